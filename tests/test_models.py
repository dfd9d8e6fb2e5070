"""The networks of the zoo: sizes, shapes, names, and what they refuse."""

import numpy as np
import pytest

import fastnn as fn

SIZES = {
    "cnn32": 288_746,
    "digits_cnn": 38_442,
    "garment": 44_426,
    "lenet5": 61_706,
    "mlp": 235_146,
    "softmax": 7_850,
}
IMAGES = {"cnn32": (3, 32), "digits_cnn": (1, 8)}


def image_of(name):
    return IMAGES.get(name, (1, 28))


def test_the_names_are_these():
    assert set(SIZES) <= set(fn.models.names())


@pytest.mark.parametrize("name", SIZES)
def test_sizes_and_shapes(name):
    channels, side = image_of(name)
    model = fn.models.create(name, in_channels=channels, image_size=side)
    assert sum(p.data.size for p in model.parameters()) == SIZES[name]
    x = np.zeros((3, channels, side, side), np.float32)
    assert model(x).shape == (3, 10)
    assert model.eval()(x.astype(np.uint8)).shape == (3, 10)
    wide = fn.models.create(name, num_classes=7, in_channels=2, image_size=(side, side + 5))
    assert wide(np.zeros((1, 2, side, side + 5), np.float32)).shape == (1, 7)


@pytest.mark.parametrize("name", SIZES)
def test_weights_go_to_a_file_and_back(name, tmp_path):
    channels, side = image_of(name)
    fn.manual_seed(1)
    one, two = (fn.models.create(name, in_channels=channels, image_size=side) for _ in range(2))
    x = np.random.default_rng(0).normal(size=(2, channels, side, side)).astype(np.float32)
    assert (one.eval()(x) != two.eval()(x)).any()
    fn.save(one, tmp_path / "weights.safetensors", {"model": name})
    two.load_state_dict(fn.load(tmp_path / "weights.safetensors"))
    np.testing.assert_array_equal(one(x), two(x))


def test_garment_has_the_parameter_names_of_its_model():
    names = [name for name, _ in fn.models.create("garment").named_parameters()]
    layers = ("conv1", "conv2", "fc1", "fc2", "fc3")
    assert names == [f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias")]


@pytest.mark.parametrize("name", ["cnn32", "digits_cnn", "garment", "lenet5"])
def test_smallest_images(name):
    smallest = {"cnn32": 8, "digits_cnn": 2, "garment": 16, "lenet5": 12}[name]
    model = fn.models.create(name, image_size=smallest)
    assert model.eval()(np.zeros((1, 1, smallest, smallest), np.float32)).shape == (1, 10)
    with pytest.raises(ValueError, match=f"of at least {smallest} x {smallest}, got {smallest - 1} x 40"):
        fn.models.create(name, image_size=(smallest - 1, 40))


@pytest.mark.parametrize("name", SIZES)
def test_a_few_steps_lower_the_loss(name):
    fn.manual_seed(0)
    channels, side = image_of(name)
    model = fn.models.create(name, in_channels=channels, image_size=side)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, channels, side, side)).astype(np.float32), np.arange(8)
    step = fn.TrainStep(model, fn.nn.CrossEntropyLoss(), fn.optim.Adam(model.parameters(), lr=1e-2))
    losses = [float(step(x, y)) for _ in range(12)]
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "resnet-9000"}, "expected one of alexnet, .*, cnn32, digits_cnn, .*, got 'resnet-9000'"),
        ({"name": "mlp", "num_classes": 0}, "expected num_classes to be an int >= 1, got 0"),
        ({"name": "mlp", "in_channels": 1.5}, "expected in_channels to be an int >= 1, got 1.5"),
        ({"name": "mlp", "image_size": (1, 2, 3)}, "expected image_size to be an int or a pair of ints"),
    ],
)
def test_refuses_bad_arguments(arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        fn.models.create(**arguments)


def test_a_name_is_entered_once():
    with pytest.raises(ValueError, match="expected a new name, got 'mlp', which is taken"):
        fn.models.register("mlp")(fn.models.MLP)
