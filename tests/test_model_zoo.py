"""The convolutional networks: published sizes and costs, torchvision's names, PyTorch's logits, gradients, variants."""

from __future__ import annotations

import functools
import hashlib
import math
import re
from typing import Any, NamedTuple

import numpy as np
import pytest

import fastnn as fn
from fastnn import models, nn


class Published(NamedTuple):
    """What torchvision publishes: parameters, side of the images, multiply-adds in 10**9, and a digest of all names.

    The digest is the first 16 digits of the SHA-256 of the lines "name shape" of torchvision's state_dict, in order.
    """

    parameters: int
    side: int
    giga: float
    digest: str


PUBLISHED = {
    "alexnet": Published(61_100_840, 224, 0.714, "9c198ebdae1863e4"),
    "vgg11": Published(132_863_336, 224, 7.609, "cb3dc23f2a13e182"),
    "vgg11_bn": Published(132_868_840, 224, 7.609, "8b6717e727c0ecf9"),
    "vgg13": Published(133_047_848, 224, 11.308, "67c1dc8b57fde74b"),
    "vgg13_bn": Published(133_053_736, 224, 11.308, "f6b0597d18a7e4d2"),
    "vgg16": Published(138_357_544, 224, 15.470, "35c4623e0cd4a39d"),
    "vgg16_bn": Published(138_365_992, 224, 15.470, "347371586a8ea365"),
    "vgg19": Published(143_667_240, 224, 19.632, "4723255af8f6c485"),
    "vgg19_bn": Published(143_678_248, 224, 19.632, "fc3ff6fab2b5cc09"),
    "googlenet": Published(13_004_888, 224, 1.498, "7f541ca29410efb1"),
    "resnet18": Published(11_689_512, 224, 1.814, "84fb10d9c6905a1c"),
    "resnet34": Published(21_797_672, 224, 3.664, "28f9096d51307499"),
    "resnet50": Published(25_557_032, 224, 4.089, "d7e4f8bb0a536344"),
    "resnet101": Published(44_549_160, 224, 7.801, "02c0f34f4842751f"),
    "resnet152": Published(60_192_808, 224, 11.514, "685c66205bc823aa"),
    "mobilenet_v2": Published(3_504_872, 224, 0.301, "37bbbce8932fd0c4"),
    "efficientnet_b0": Published(5_288_548, 224, 0.386, "a04d0792ee390a49"),
    "efficientnet_b1": Published(7_794_184, 240, 0.687, "9aaba0741e04badf"),
    "efficientnet_b2": Published(9_109_994, 288, 1.088, "a6d3677e95ef315b"),
    "efficientnet_b3": Published(12_233_232, 300, 1.827, "495111442d67e56d"),
    "efficientnet_b4": Published(19_341_616, 380, 4.394, "2974b9d3c0556036"),
    "efficientnet_b5": Published(30_389_784, 456, 10.266, "281af15aa41414bf"),
    "efficientnet_b6": Published(43_040_704, 528, 19.068, "c32e05b40510b08d"),
    "efficientnet_b7": Published(66_347_960, 600, 37.746, "3d2a7737a3d81e53"),
}

# Names and shapes as they stand in torchvision's files: a few of each family, to see by eye what a digest hides.
SENTINELS: dict[str, dict[str, tuple[int, ...]]] = {
    "alexnet": {
        "features.0.weight": (64, 3, 11, 11),
        "features.10.bias": (256,),
        "classifier.1.weight": (4096, 9216),
        "classifier.6.weight": (1000, 4096),
    },
    "vgg11": {"features.18.weight": (512, 512, 3, 3), "classifier.0.weight": (4096, 25088)},
    "vgg16_bn": {"features.0.bias": (64,), "features.1.running_var": (64,), "features.40.weight": (512, 512, 3, 3)},
    "googlenet": {
        "conv1.conv.weight": (64, 3, 7, 7),
        "inception3a.branch1.bn.weight": (64,),
        "inception4b.branch3.1.conv.weight": (64, 24, 3, 3),
        "inception5b.branch4.1.conv.weight": (128, 832, 1, 1),
        "aux1.conv.conv.weight": (128, 512, 1, 1),
        "aux2.fc1.weight": (1024, 2048),
        "fc.weight": (1000, 1024),
    },
    "resnet18": {"layer2.0.downsample.0.weight": (128, 64, 1, 1), "layer4.1.bn2.running_mean": (512,)},
    "resnet50": {
        "bn1.num_batches_tracked": (),
        "layer1.0.downsample.0.weight": (256, 64, 1, 1),
        "layer3.5.conv3.weight": (1024, 256, 1, 1),
        "fc.bias": (1000,),
    },
    "mobilenet_v2": {
        "features.0.0.weight": (32, 3, 3, 3),
        "features.1.conv.0.0.weight": (32, 1, 3, 3),
        "features.1.conv.1.weight": (16, 32, 1, 1),
        "features.17.conv.3.running_var": (320,),
        "classifier.1.weight": (1000, 1280),
    },
    "efficientnet_b0": {
        "features.1.0.block.1.fc1.weight": (8, 32, 1, 1),
        "features.2.0.block.1.0.weight": (96, 1, 3, 3),
        "features.7.0.block.2.fc2.bias": (1152,),
        "features.8.0.weight": (1280, 320, 1, 1),
    },
}  # fmt: skip

# The variants for small images with ten classes, and what has no twin in torchvision.
OTHERS: dict[str, tuple[Any, int]] = {
    "alexnet cifar": (lambda: models.alexnet(10, cifar=True), 23_272_266),
    "alexnet2012": (lambda: models.alexnet2012(), 60_965_224),
    "vgg16 cifar": (lambda: models.vgg16(10, cifar=True), 14_719_818),
    "vgg16_bn cifar": (lambda: models.vgg16_bn(10, cifar=True), 14_728_266),
    "googlenet without heads": (lambda: models.googlenet(aux_logits=False), 6_624_904),
    "resnet18 cifar": (lambda: models.resnet18(10, cifar=True), 11_173_962),
    "resnet50 cifar": (lambda: models.resnet50(10, cifar=True), 23_520_842),
    "resnet20": (models.resnet20, 269_722),
    "resnet32": (models.resnet32, 464_154),
    "resnet44": (models.resnet44, 658_586),
    "resnet56": (models.resnet56, 853_018),
    "resnet110": (models.resnet110, 1_727_962),
    "mobilenet_v2 cifar": (lambda: models.mobilenet_v2(10, cifar=True), 2_236_682),
    "efficientnet_b0 cifar": (lambda: models.efficientnet_b0(10, cifar=True), 4_020_358),
}

# One small network of each kind, with a side of images for it.
SMALL: dict[str, tuple[Any, int]] = {
    "alexnet": (lambda: models.alexnet(10, cifar=True), 32),
    "alexnet2012": (lambda: models.alexnet2012(10, image_size=63), 63),
    "vgg11": (lambda: models.vgg11(10, cifar=True), 32),
    "vgg13_bn": (lambda: models.vgg13_bn(10, cifar=True), 32),
    "googlenet": (lambda: models.googlenet(10, aux_logits=False), 64),
    "googlenet cifar": (lambda: models.googlenet(10, cifar=True, aux_logits=False), 16),
    "resnet18": (lambda: models.resnet18(10), 64),
    "resnet50 cifar": (lambda: models.resnet50(10, cifar=True), 16),
    "resnet20": (models.resnet20, 32),
    "mobilenet_v2": (lambda: models.mobilenet_v2(10), 64),
    "mobilenet_v2 cifar": (lambda: models.mobilenet_v2(10, cifar=True), 32),
    "efficientnet_b0": (lambda: models.efficientnet_b0(10), 64),
    "efficientnet_b0 cifar": (lambda: models.efficientnet_b0(10, cifar=True), 32),
}


def parameters(model: nn.Module) -> int:
    return sum(p.data.size for p in model.parameters())


def multiply_adds(model: nn.Module, channels: int, side: int) -> int:
    """Count those of convolutions and linear layers for one image, from the graph alone: nothing is computed."""
    with fn.no_grad():
        return model.eval().summary(np.zeros((1, channels, side, side), np.uint8)).multiply_adds


@functools.lru_cache(maxsize=1)  # the tests of one network follow each other
def undrawn(name: str) -> nn.Module:
    return nn.utils.skip_init(getattr(models, name))


@pytest.mark.parametrize("name", PUBLISHED)
class TestPublished:
    """Each network that torchvision has, at its full size; no weight is drawn."""

    def test_parameters_to_the_last_digit(self, name: str) -> None:
        assert parameters(undrawn(name)) == PUBLISHED[name].parameters
        told = re.search(r"([\d,]+) parameters", getattr(models, name).__doc__)
        assert told is not None
        without_heads = 6_624_904 if name == "googlenet" else PUBLISHED[name].parameters
        assert int(told[1].replace(",", "")) == without_heads

    def test_names_and_shapes_are_torchvisions(self, name: str) -> None:
        state = {key: array.shape for key, array in nn.state.state_arrays(undrawn(name)).items()}
        for key, shape in SENTINELS.get(name, {}).items():
            assert state[key] == shape
        lines = "\n".join(f"{key} {shape}" for key, shape in state.items())
        assert hashlib.sha256(lines.encode()).hexdigest()[:16] == PUBLISHED[name].digest

    def test_multiply_adds_within_a_hundredth(self, name: str) -> None:
        counted = multiply_adds(undrawn(name), 3, PUBLISHED[name].side) / 1e9
        assert counted == pytest.approx(PUBLISHED[name].giga, rel=0.01)


@pytest.mark.parametrize("name", OTHERS)
def test_parameters_of_the_others(name: str) -> None:
    make, count = OTHERS[name]
    assert parameters(nn.utils.skip_init(make)) == count


def test_multiply_adds_of_the_printed_networks() -> None:
    assert multiply_adds(nn.utils.skip_init(models.alexnet2012), 3, 224) == pytest.approx(0.724e9, rel=0.01)
    # "ResNet-20 ... 40.8 M": the paper's 0.27 M parameters at 32 x 32
    assert multiply_adds(models.resnet20(), 3, 32) == pytest.approx(40.8e6, rel=0.01)


# ---- running ----


@pytest.mark.parametrize("name", SMALL)
def test_forward_and_backward_give_finite_numbers(name: str) -> None:
    fn.manual_seed(0)
    make, side = SMALL[name]
    model = make()
    x = np.random.default_rng(0).standard_normal((2, 3, side, side)).astype(np.float32)
    loss = nn.CrossEntropyLoss()
    assert math.isfinite(loss(model(x), np.array([1, 7])))
    dx = model.backward(loss.backward())
    assert dx.shape == x.shape
    assert np.isfinite(dx).all()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert np.isfinite(parameter.grad).all(), key
    assert any(parameter.grad.any() for parameter in model.parameters())
    scores = model.eval()(x)
    assert scores.shape == (2, 10)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("name", ["resnet20", "mobilenet_v2", "efficientnet_b0", "vgg11_bn", "googlenet"])
def test_a_few_steps_lower_the_loss(name: str) -> None:
    fn.manual_seed(0)
    side = 32 if name.startswith("vgg") else 16
    model = models.create(name, num_classes=4, in_channels=1, image_size=side)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, 1, side, side)).astype(np.float32), np.arange(8) % 4
    step = fn.TrainStep(model, nn.CrossEntropyLoss(), fn.optim.Adam(model.parameters(), lr=1e-3))
    losses = [float(step(x, y)) for _ in range(8)]
    assert min(losses[-2:]) < 0.8 * losses[0]


def calibrated(model: nn.Module, x: np.ndarray) -> nn.Module:
    """Return the model with the running statistics of one batch, such that signals neither die out nor grow."""
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 1.0
    model(x)
    return model.eval()


TWINS = {
    "alexnet": models.alexnet,
    "vgg11": models.vgg11,
    "vgg16_bn": lambda: models.vgg16_bn(10, cifar=True),
    "googlenet": lambda: models.googlenet(aux_logits=False),
    "resnet18": models.resnet18,
    "resnet50": models.resnet50,
    "resnet18 cifar": lambda: models.resnet18(10, cifar=True),
    "resnet20 cifar": models.resnet20,
    "mobilenet_v2": models.mobilenet_v2,
    "efficientnet_b0": models.efficientnet_b0,
}


@pytest.mark.parametrize("name", TWINS)
def test_a_file_that_pytorch_wrote_loads_by_name_and_gives_its_logits(name: str, tmp_path: Any) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not needed: names, shapes and operations are counted above")
    from safetensors.torch import load_file, save_file

    import torch_zoo

    fn.manual_seed(0)
    fn.set_precision("exact")
    side = 32 if "cifar" in name or name.startswith("vgg") else 64
    x = np.random.default_rng(0).standard_normal((4, 3, side, side)).astype(np.float32)
    model = calibrated(TWINS[name](), x)
    fn.save(model, tmp_path / "weights.safetensors")
    weights = load_file(tmp_path / "weights.safetensors")
    generator = torch.Generator().manual_seed(0)
    for value in weights.values():  # PyTorch draws what is multiplied; the statistics fit roughly still
        if value.ndim > 1:
            value *= 0.8 + 0.4 * torch.rand(value.shape, generator=generator)
    save_file(weights, tmp_path / "pytorchs.safetensors")
    model = nn.utils.skip_init(TWINS[name])
    assert repr(model.load_state_dict(fn.load(tmp_path / "pytorchs.safetensors"))) == "<All keys matched successfully>"
    model.eval()
    with torch.no_grad():
        expected = torch_zoo.NETWORKS[name](weights, torch.from_numpy(x)).numpy()
    # Two ways of adding up differ by some 1e-6 of the logits; a wrong stride or activation by as much as images do.
    apart = np.abs(expected - expected.mean(0)).max()
    assert np.abs(model(x) - expected).max() < 1e-3 * apart


def test_a_state_goes_from_one_network_to_another_by_name() -> None:
    one, two = models.resnet20(), nn.utils.skip_init(models.resnet20)
    x = np.ones((2, 3, 32, 32), np.float32)
    assert repr(two.load_state_dict(one.state_dict())) == "<All keys matched successfully>"
    np.testing.assert_array_equal(one.eval()(x), two.eval()(x))


# ---- GoogLeNet's heads ----


def test_heads_are_there_in_training_only() -> None:
    fn.manual_seed(0)
    model = models.googlenet(5, cifar=True)
    x = np.random.default_rng(0).standard_normal((2, 3, 16, 16)).astype(np.float32)
    output = model(x)
    assert isinstance(output, models.GoogLeNetOutput)
    assert [scores.shape for scores in output] == [(2, 5)] * 3
    loss = models.AuxiliaryLoss(nn.CrossEntropyLoss())
    parts = [nn.CrossEntropyLoss()(scores, np.array([0, 4])) for scores in output]
    assert loss(output, np.array([0, 4])) == pytest.approx(parts[0] + 0.3 * (parts[1] + parts[2]), rel=1e-6)
    model.backward(*loss.backward())
    assert all(parameter.grad.any() for parameter in model.aux1.parameters())
    assert model.eval()(x).shape == (2, 5)


def test_a_loss_for_the_heads_can_be_called() -> None:
    with pytest.raises(TypeError, match="AuxiliaryLoss: expected a loss of scores and targets, got 3"):
        models.AuxiliaryLoss(3)


def test_a_trainer_trains_the_heads_and_measures_the_scores() -> None:
    fn.manual_seed(0)
    model = models.googlenet(2, cifar=True)
    before = model.aux2.fc2.weight.data.copy()
    x, y = np.random.default_rng(0).standard_normal((4, 3, 8, 8)).astype(np.float32), np.array([0, 1, 0, 1])
    loss, optimizer = models.AuxiliaryLoss(nn.CrossEntropyLoss()), fn.optim.SGD(model.parameters(), lr=0.01)
    trainer = fn.Trainer(model, loss, optimizer, metrics=["accuracy"])
    history = trainer.fit((x, y), validation_data=(x, y), epochs=1, batch_size=4)
    assert {"accuracy", "val_accuracy", "val_loss"} <= set(history[0])
    assert (model.aux2.fc2.weight.data != before).any()


def test_images_normalised_for_torchvision_are_recentred() -> None:
    fn.manual_seed(0)
    plain = models.GoogLeNet(4, cifar=True, aux_logits=False)
    model = models.GoogLeNet(4, cifar=True, aux_logits=False, transform_input=True)
    model.load_state_dict(plain.state_dict())
    pixels = np.random.default_rng(0).random((2, 3, 8, 8)).astype(np.float32)
    mean, deviation = (np.array(v).reshape(3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    calibrated(plain, (pixels - 0.5) / 0.5)
    model.load_state_dict(plain.state_dict())
    got, expected = model.eval()((pixels - mean) / deviation), plain((pixels - 0.5) / 0.5)
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4 * np.abs(expected).max())
    with pytest.raises(ValueError, match="GoogLeNet: expected 3 channels for transform_input, got 1"):
        models.GoogLeNet(in_channels=1, transform_input=True)


# ---- first values ----


def deviation(parameter: Any) -> float:
    return float(parameter.data.std())


def test_first_values_are_torchvisions() -> None:
    fn.manual_seed(0)
    resnet = models.resnet18(100, cifar=True)
    assert deviation(resnet.layer3[0].conv1.weight) == pytest.approx(math.sqrt(2 / (256 * 9)), rel=0.01)
    assert deviation(resnet.fc.weight) == pytest.approx(1 / math.sqrt(3 * 512), rel=0.02)
    vgg = models.vgg11(1000, cifar=True)
    assert deviation(vgg.features[8].weight) == pytest.approx(math.sqrt(2 / (256 * 9)), rel=0.01)
    assert deviation(vgg.classifier.weight) == pytest.approx(0.01, rel=0.01)
    assert not vgg.features[0].bias.data.any()
    googlenet = models.googlenet(aux_logits=False)
    assert deviation(googlenet.inception4a.branch2[1].conv.weight) == pytest.approx(0.01, rel=0.01)
    mobilenet = models.mobilenet_v2()
    assert deviation(mobilenet.features[18][0].weight) == pytest.approx(math.sqrt(2 / 1280), rel=0.01)
    assert deviation(mobilenet.classifier[1].weight) == pytest.approx(0.01, rel=0.01)
    efficientnet = models.efficientnet_b0()
    assert deviation(efficientnet.classifier[1].weight) == pytest.approx(1 / math.sqrt(3 * 1000), rel=0.01)
    assert not efficientnet.classifier[1].bias.data.any()


def test_first_values_of_the_printed_alexnet() -> None:
    model = models.alexnet2012(10, image_size=63)
    layers = [layer for layer in model.modules() if isinstance(layer, (nn.Conv2d, nn.Linear))]
    assert [float(layer.bias.data[0]) for layer in layers] == [0, 1, 0, 1, 1, 1, 1, 0]
    assert all(deviation(layer.weight) == pytest.approx(0.01, rel=0.02) for layer in layers)


def test_residual_blocks_may_start_silent() -> None:
    fn.manual_seed(0)
    model = models.ResNet(models.Bottleneck, (2, 1), 10, cifar=True, width=8, zero_init_residual=True)
    assert not model.layer1[1].bn3.weight.data.any()
    x = np.random.default_rng(0).random((2, 32, 4, 4)).astype(np.float32)
    np.testing.assert_array_equal(model.layer1[1](x), x)


def test_modules_without_first_values_draw_nothing() -> None:
    fn.manual_seed(3)
    layers = [nn.utils.skip_init(nn.Conv2d, 2, 3, 3, bias=False), nn.utils.skip_init(nn.BatchNorm2d, 4)]
    after = nn.Linear(3, 3).weight.data
    fn.manual_seed(3)
    np.testing.assert_array_equal(after, nn.Linear(3, 3).weight.data)
    assert layers[0].weight.shape == (3, 2, 3, 3)
    assert layers[1].weight.data.tolist() == [1, 1, 1, 1]
    kept = np.full((4, 4), 7, np.float32)
    for fill in (nn.init.uniform_, nn.init.normal_, nn.init.trunc_normal_, nn.init.orthogonal_, nn.init.sparse_):
        options = {"sparsity": 0.5} if fill is nn.init.sparse_ else {}
        nn.utils.skip_init(lambda fill=fill, options=options: fill(kept, **options))
    assert (kept == 7).all()


# ---- scaling, sizes, names ----


def test_compound_scaling_doubles_the_operations() -> None:
    def giga(phi: float) -> float:
        scaling = models.compound_scaling(phi)
        model = nn.utils.skip_init(models.EfficientNet, scaling.width, scaling.depth)
        return multiply_adds(model, 3, scaling.resolution) / 1e9

    assert models.compound_scaling(0) == (1.0, 1.0, 224) == tuple(models.EfficientNet.scalings["b0"])
    assert giga(0) == pytest.approx(0.386, rel=0.01)
    assert 3 < giga(2) / giga(0) < 5
    for i in range(2, 8):  # B2 to B7 are phi = 1 to 6, but for rounding
        told, rule = models.EfficientNet.scalings[f"b{i}"], models.compound_scaling(i - 1)
        assert told.resolution == pytest.approx(rule.resolution, rel=0.2)
        assert told.depth == pytest.approx(rule.depth, rel=0.1)
        assert told.width == pytest.approx(rule.width, rel=0.15)


def test_widths_scale() -> None:
    assert parameters(nn.utils.skip_init(models.mobilenet_v2, width_mult=0.5)) == 1_968_680
    assert parameters(nn.utils.skip_init(models.mobilenet_v2, width_mult=1.4)) == 6_108_776


def test_names_give_the_variant_that_fits_the_images() -> None:
    names = {*PUBLISHED, "alexnet2012", "resnet20", "resnet32", "resnet44", "resnet56", "resnet110"}
    assert names <= set(models.names())
    small, large = (models.create("resnet18", image_size=side) for side in (64, 65))
    assert [model.conv1.kernel_size for model in (small, large)] == [(3, 3), (7, 7)]
    assert models.create("googlenet", image_size=32).aux1 is None
    assert models.create("vgg11_bn", 7, 1, 32)(np.zeros((2, 1, 32, 32), np.float32)).shape == (2, 7)


@pytest.mark.parametrize(
    ("name", "size", "least"),
    [("alexnet", 15, 16), ("alexnet", (70, 62), 63), ("vgg16", 28, 32), ("resnet50", (7, 64), 8), ("resnet20", 3, 4),
     ("googlenet", 7, 8), ("alexnet2012", 62, 63), ("mobilenet_v2", (65, 31), 32)],
)  # fmt: skip
def test_small_images_are_refused(name: str, size: Any, least: int) -> None:
    with pytest.raises(ValueError, match=f"of at least {least} x {least}"):
        models.create(name, image_size=size)


def test_depths_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ValueError, match="VGG: expected depth to be one of 11, 13, 16, 19, got 12"):
        models.VGG(12)
