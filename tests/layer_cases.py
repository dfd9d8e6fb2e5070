"""The registry of layers: one row gives a layer all generic checks of test_layers.py."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from fastnn import nn

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layer:
    """One layer under test: how it is made, what goes in and comes out, what it prints, what it refuses and how."""

    build: Callable[[], nn.Module]
    input: Shape
    output: Shape
    text: str
    parameters: dict[str, Shape] = field(default_factory=dict)
    buffers: tuple[str, ...] = ()
    wrong: tuple[tuple[Shape, str], ...] = ()
    random: bool = False

    @property
    def name(self) -> str:
        return self.text.split("(")[0]


IMAGE = (2, 3, 6, 5)
SIGNAL = (2, 3, 8)
ROWS = (4, 3)

not_image = ((3, 6, 5), "expected 4-D (N, C, H, W) input, got shape (3, 6, 5)")
not_signal = ((3, 8), "expected 3-D (N, C, L) input, got shape (3, 8)")
bn_buffers = ("running_mean", "running_var", "num_batches_tracked")


def linear_maps() -> list[Layer]:
    channels = ((2, 4, 6, 5), "expected input with 3 channels, got shape (2, 4, 6, 5)")
    return [
        Layer(
            lambda: nn.Linear(3, 5),
            ROWS,
            (4, 5),
            "Linear(in_features=3, out_features=5, bias=True)",
            {"weight": (5, 3), "bias": (5,)},
            wrong=(((4, 2), "expected input with 3 features, got shape (4, 2)"),),
        ),
        Layer(
            lambda: nn.Linear(3, 5, bias=False),
            (2, 4, 3),
            (2, 4, 5),
            "Linear(in_features=3, out_features=5, bias=False)",
            {"weight": (5, 3)},
        ),
        Layer(
            lambda: nn.Conv2d(3, 4, 3, padding=1),
            IMAGE,
            (2, 4, 6, 5),
            "Conv2d(3, 4, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1))",
            {"weight": (4, 3, 3, 3), "bias": (4,)},
            wrong=(channels, not_image),
        ),
        Layer(
            lambda: nn.Conv2d(4, 6, (2, 3), 2, "valid", (1, 2), 2, False),
            (2, 4, 6, 9),
            (2, 6, 3, 3),
            "Conv2d(4, 6, kernel_size=(2, 3), stride=(2, 2), padding=valid, dilation=(1, 2), groups=2, bias=False)",
            {"weight": (6, 2, 2, 3)},
        ),
        Layer(
            lambda: nn.Conv2d(3, 3, 4, padding="same", groups=3),
            IMAGE,
            IMAGE,
            "Conv2d(3, 3, kernel_size=(4, 4), stride=(1, 1), padding=same, groups=3)",
            {"weight": (3, 1, 4, 4), "bias": (3,)},
        ),
        Layer(
            lambda: nn.Conv1d(3, 4, 3, 2, 1),
            SIGNAL,
            (2, 4, 4),
            "Conv1d(3, 4, kernel_size=(3,), stride=(2,), padding=(1,))",
            {"weight": (4, 3, 3), "bias": (4,)},
            wrong=(not_signal, ((2, 4, 8), "expected input with 3 channels, got shape (2, 4, 8)")),
        ),
    ]


def pools() -> list[Layer]:
    return [
        Layer(
            lambda: nn.MaxPool2d(2),
            IMAGE,
            (2, 3, 3, 2),
            "MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)",
            wrong=(not_image,),
        ),
        Layer(
            lambda: nn.MaxPool2d((3, 2), 2, 1, 1, False, True),
            IMAGE,
            (2, 3, 4, 3),
            "MaxPool2d(kernel_size=(3, 2), stride=2, padding=1, dilation=1, ceil_mode=True)",
        ),
        Layer(
            lambda: nn.MaxPool1d(3, 2),
            SIGNAL,
            (2, 3, 3),
            "MaxPool1d(kernel_size=3, stride=2, padding=0, dilation=1, ceil_mode=False)",
            wrong=(not_signal,),
        ),
        Layer(
            lambda: nn.AvgPool2d(3, 2, 1),
            IMAGE,
            (2, 3, 3, 3),
            "AvgPool2d(kernel_size=3, stride=2, padding=1)",
            wrong=(not_image,),
        ),
        Layer(
            lambda: nn.AvgPool1d(2),
            SIGNAL,
            (2, 3, 4),
            "AvgPool1d(kernel_size=(2,), stride=(2,), padding=(0,))",
            wrong=(not_signal,),
        ),
        Layer(
            lambda: nn.LPPool2d(2, 3, 2),
            IMAGE,
            (2, 3, 2, 2),
            "LPPool2d(norm_type=2, kernel_size=3, stride=2, ceil_mode=False)",
            wrong=(not_image,),
        ),
        Layer(
            lambda: nn.LPPool1d(2, 2),
            SIGNAL,
            (2, 3, 4),
            "LPPool1d(norm_type=2, kernel_size=2, stride=None, ceil_mode=False)",
            wrong=(not_signal,),
        ),
        Layer(
            lambda: nn.AdaptiveAvgPool2d(1),
            IMAGE,
            (2, 3, 1, 1),
            "AdaptiveAvgPool2d(output_size=1)",
            wrong=(not_image,),
        ),
        Layer(lambda: nn.AdaptiveAvgPool2d((4, None)), IMAGE, (2, 3, 4, 5), "AdaptiveAvgPool2d(output_size=(4, None))"),
        Layer(lambda: nn.AdaptiveAvgPool1d(3), SIGNAL, (2, 3, 3), "AdaptiveAvgPool1d(output_size=3)"),
        Layer(
            lambda: nn.AdaptiveMaxPool2d((4, 2)),
            IMAGE,
            (2, 3, 4, 2),
            "AdaptiveMaxPool2d(output_size=(4, 2))",
            wrong=(not_image,),
        ),
        Layer(lambda: nn.AdaptiveMaxPool1d(3), SIGNAL, (2, 3, 3), "AdaptiveMaxPool1d(output_size=3)"),
    ]


def norms() -> list[Layer]:
    affine = {"weight": (3,), "bias": (3,)}
    return [
        Layer(
            lambda: nn.BatchNorm2d(3),
            IMAGE,
            IMAGE,
            "BatchNorm2d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)",
            affine,
            bn_buffers,
            wrong=(not_image, ((2, 4, 6, 5), "expected input with 3 channels, got shape (2, 4, 6, 5)")),
        ),
        Layer(
            lambda: nn.BatchNorm2d(3, 1e-3, None, False),
            IMAGE,
            IMAGE,
            "BatchNorm2d(3, eps=0.001, momentum=None, affine=False, bias=False, track_running_stats=True)",
            {},
            bn_buffers,
        ),
        Layer(
            lambda: nn.BatchNorm1d(3),
            ROWS,
            ROWS,
            "BatchNorm1d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=True)",
            affine,
            bn_buffers,
            wrong=((IMAGE, f"expected 2-D (N, C) or 3-D (N, C, L) input, got shape {IMAGE}"),),
        ),
        Layer(
            lambda: nn.BatchNorm1d(3, track_running_stats=False),
            SIGNAL,
            SIGNAL,
            "BatchNorm1d(3, eps=1e-05, momentum=0.1, affine=True, bias=True, track_running_stats=False)",
            affine,
        ),
        Layer(
            lambda: nn.LocalResponseNorm(3, 1e-2),
            IMAGE,
            IMAGE,
            "LocalResponseNorm(3, alpha=0.01, beta=0.75, k=1.0)",
            wrong=((ROWS, "expected 3-D (N, C, L) or 4-D (N, C, H, W) input, got shape (4, 3)"),),
        ),
        Layer(
            lambda: nn.Normalize([0.5, 0.0, -1.0], [2.0, 1.0, 0.25], scale=1 / 255),
            IMAGE,
            IMAGE,
            "Normalize(mean=[0.5, 0.0, -1.0], std=[2.0, 1.0, 0.25], scale=0.00392157)",
            wrong=(
                ((2, 4, 6, 5), "expected input with 3 channels, got shape (2, 4, 6, 5)"),
                ((3,), "expected input of shape (N, C, ...), got shape (3,)"),
            ),
        ),
        Layer(lambda: nn.Normalize(0.5), SIGNAL, SIGNAL, "Normalize(mean=[0.5], std=[1.0], scale=1)"),
        Layer(lambda: nn.LocalResponseNorm(2), SIGNAL, SIGNAL, "LocalResponseNorm(2, alpha=0.0001, beta=0.75, k=1.0)"),
    ]


def activations() -> list[Layer]:
    rows = [
        (lambda: nn.ReLU(), "ReLU()"),
        (lambda: nn.ReLU(inplace=True), "ReLU(inplace=True)"),
        (lambda: nn.ReLU6(), "ReLU6()"),
        (lambda: nn.LeakyReLU(0.2), "LeakyReLU(negative_slope=0.2)"),
        (lambda: nn.Sigmoid(), "Sigmoid()"),
        (lambda: nn.Tanh(), "Tanh()"),
        (lambda: nn.SiLU(), "SiLU()"),
        (lambda: nn.Mish(), "Mish()"),
        (lambda: nn.Hardswish(), "Hardswish()"),
        (lambda: nn.Hardsigmoid(), "Hardsigmoid()"),
        (lambda: nn.Hardtanh(-0.5, 2.0), "Hardtanh(min_val=-0.5, max_val=2.0)"),
        (lambda: nn.GELU(), "GELU(approximate='none')"),
        (lambda: nn.GELU("tanh"), "GELU(approximate='tanh')"),
        (lambda: nn.ELU(0.5), "ELU(alpha=0.5)"),
        (lambda: nn.Softplus(2, 10), "Softplus(beta=2, threshold=10)"),
        (lambda: nn.Softsign(), "Softsign()"),
        (lambda: nn.LogSigmoid(), "LogSigmoid()"),
        (lambda: nn.Softmax(1), "Softmax(dim=1)"),
        (lambda: nn.Softmax(-1), "Softmax(dim=-1)"),
        (lambda: nn.LogSoftmax(1), "LogSoftmax(dim=1)"),
        (lambda: nn.Softmin(), "Softmin(dim=None)"),
        (lambda: nn.Softmax2d(), "Softmax2d()"),
        (lambda: nn.Identity(7), "Identity()"),
    ]
    found = [Layer(build, IMAGE, IMAGE, text) for build, text in rows]
    found += [
        Layer(lambda: nn.PReLU(), ROWS, ROWS, "PReLU(num_parameters=1)", {"weight": (1,)}),
        Layer(lambda: nn.PReLU(3), IMAGE, IMAGE, "PReLU(num_parameters=3)", {"weight": (3,)}),
    ]
    return found


def others() -> list[Layer]:
    return [
        Layer(lambda: nn.Dropout(0.4), ROWS, ROWS, "Dropout(p=0.4, inplace=False)", random=True),
        Layer(
            lambda: nn.Dropout2d(),
            IMAGE,
            IMAGE,
            "Dropout2d(p=0.5, inplace=False)",
            random=True,
            wrong=((ROWS, "expected (N, C, L) or (N, C, H, W) input, got shape (4, 3)"),),
        ),
        Layer(lambda: nn.StochasticDepth(0.5, "row"), IMAGE, IMAGE, "StochasticDepth(p=0.5, mode=row)", random=True),
        Layer(lambda: nn.Flatten(), IMAGE, (2, 90), "Flatten(start_dim=1, end_dim=-1)"),
        Layer(
            lambda: nn.Unflatten(1, (3, 1)),
            ROWS,
            (4, 3, 1),
            "Unflatten(dim=1, unflattened_size=(3, 1))",
            wrong=(((4, 5), "expected sizes that multiply to 5, got (3, 1) for shape (4, 5)"),),
        ),
        Layer(lambda: nn.ZeroPad2d((1, 2, 0, 3)), IMAGE, (2, 3, 9, 8), "ZeroPad2d((1, 2, 0, 3))", wrong=(not_image,)),
        Layer(
            lambda: nn.ConstantPad2d(1, 2.5),
            IMAGE,
            (2, 3, 8, 7),
            "ConstantPad2d(padding=(1, 1, 1, 1), value=2.5)",
            wrong=(not_image,),
        ),
    ]


LAYERS = [*linear_maps(), *pools(), *norms(), *activations(), *others()]
