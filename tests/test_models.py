"""The networks of the zoo: sizes, shapes, names, and what they refuse."""

import numpy as np
import pytest

import fastnn as fn

SIZES = {
    "cnn32": 288_746,
    "digits_cnn": 38_442,
    "garment": 44_426,
    "lenet5": 61_706,
    "lenet5_1998": 60_900,
    "mlp": 235_146,
    "sigmoid_mlp": 79_510,
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


@pytest.mark.parametrize("name", ["cnn32", "digits_cnn", "garment", "lenet5", "lenet5_1998"])
def test_smallest_images(name):
    smallest = {"cnn32": 8, "digits_cnn": 2, "garment": 16, "lenet5": 12, "lenet5_1998": 12}[name]
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


def test_lenet5_as_printed_trains_sixty_thousand_numbers():
    model = fn.models.LeNet5Original()
    assert np.count_nonzero(model.table) == 60 * 25  # 1,516 with the sixteen biases
    assert sum(p.data.size for p in model.parameters()) - np.count_nonzero(model.table == 0) == 60_000
    x = np.random.default_rng(0).normal(size=(4, 1, 28, 28)).astype(np.float32)
    model(x)
    model.backward(np.ones((4, 10), np.float32))
    assert not model.c3.weight.grad[model.table == 0].any()
    assert model.c3.weight.grad[model.table == 1].all()


def test_lenet5_as_printed_scores_by_distance():
    model = fn.models.LeNet5Original()
    x = np.random.default_rng(0).normal(size=(3, 1, 28, 28)).astype(np.float32)
    last = fn.capture(model, ["f6"])(x)["f6"]
    units = 1.7159 * np.tanh(last * 2 / 3)
    distances = ((units[:, None] - model.codes) ** 2).sum(axis=2)
    np.testing.assert_allclose(model(x), -distances, rtol=1e-4)


def test_linear_models_start_from_zero_and_find_what_they_should():
    x = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
    truth = x @ np.array([[1.0], [-2.0], [0.5]], np.float32) + 3.0
    line = fn.models.LinearRegression(3)
    assert not line(x).any()
    step = fn.TrainStep(line, fn.nn.MSELoss(), fn.optim.SGD(line.parameters(), lr=0.2))
    for _ in range(100):
        step(x, truth)
    np.testing.assert_allclose(line.fc.weight.data, [[1.0, -2.0, 0.5]], atol=1e-3)
    odds = fn.models.LogisticRegression(3)
    step = fn.TrainStep(odds, fn.nn.BCEWithLogitsLoss(), fn.optim.SGD(odds.parameters(), lr=1.0))
    labels = (truth > 3.0).astype(np.float32)
    for _ in range(200):
        step(x, labels)
    assert np.mean((odds.probability(x) > 0.5) == (labels[:, 0] > 0)) > 0.97


@pytest.mark.parametrize("classes", [2, 4])
def test_perceptrons_separate_what_can_be_separated(classes):
    centres = 6 * np.array([[1, 0], [-1, 0], [0, 1], [0, -1]])[:classes]
    y = np.arange(200) % classes
    x = (centres[y] + np.random.default_rng(0).uniform(-1, 1, (200, 2))).astype(np.float32)
    model = fn.models.Perceptron(2, 1 if classes == 2 else classes)
    step = fn.TrainStep(model, model.perceptron_loss, fn.optim.SGD(model.parameters(), lr=1.0))
    for _ in range(5):
        for i in range(200):
            last = step(x[i : i + 1], y[i : i + 1])
    assert (model.decide(x) == y).all()
    assert last < 1e-5


def test_the_network_of_eleven_lines_does_what_the_eleven_lines_do():
    fn.manual_seed(0)
    x = np.array([[0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]], np.float64)
    y = np.array([[0, 1, 1, 0]]).T
    model = fn.models.TwoLayerPerceptron(3)
    syn0, syn1 = (p.data.T.astype(np.float64) for p in model.parameters())
    step = fn.TrainStep(model, fn.nn.SSELoss(), fn.optim.SGD(model.parameters(), lr=len(x) / 2))
    for _ in range(50):
        l1 = 1 / (1 + np.exp(-(np.dot(x, syn0))))
        l2 = 1 / (1 + np.exp(-(np.dot(l1, syn1))))
        l2_delta = (y - l2) * (l2 * (1 - l2))
        l1_delta = l2_delta.dot(syn1.T) * (l1 * (1 - l1))
        syn1 += l1.T.dot(l2_delta)
        syn0 += x.T.dot(l1_delta)
        step(x, y.astype(np.float32))
    np.testing.assert_allclose(model.fc1.weight.data, syn0.T, atol=1e-4)
    np.testing.assert_allclose(model.fc2.weight.data, syn1.T, atol=1e-4)


def test_a_multilayer_perceptron_of_any_depth():
    count = {hidden: sum(p.data.size for p in fn.models.MLP(hidden=hidden).parameters()) for hidden in ((), (100,))}
    assert count == {(): 7_850, (100,): 79_510}
    with pytest.raises(ValueError, match=r"expected MLP's hidden\[1\] to be an int >= 1, got 0"):
        fn.models.MLP(hidden=(5, 0))
    with pytest.raises(TypeError, match="MLP: expected hidden as a list of whole numbers, got 100"):
        fn.models.MLP(hidden=100)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: fn.models.mobilenet_v2(width_mult=0), "MobileNetV2: expected width_mult to be above 0"),
        (lambda: fn.models.MobileNetV2(width_mult=np.inf), "at most 100, got inf"),
        (lambda: fn.models.EfficientNet(1, 0), "EfficientNet: expected depth_mult to be above 0"),
        (lambda: fn.models.EfficientNet("a", 1), "EfficientNet: expected width_mult to be a number, got 'a'"),
        (lambda: fn.models.compound_scaling(1e9), "compound_scaling: expected phi from -100 to 100, got 1000000000.0"),
        (lambda: fn.models.ResNet(3, (2, 2)), "ResNet: expected block to be BasicBlock or Bottleneck, got 3"),
        (lambda: fn.models.ResNet(fn.models.BasicBlock, ()), "ResNet: expected layers as the blocks of each stage"),
        (lambda: fn.models.ResNet(fn.models.BasicBlock, (1, 0)), r"ResNet's layers\[1\] to be an int >= 1, got 0"),
    ],
)
def test_sizes_that_no_network_has(make, words):
    with pytest.raises((ValueError, TypeError), match=words):
        make()
