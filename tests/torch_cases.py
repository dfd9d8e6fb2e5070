"""The one table of what is compared with PyTorch: modules, losses, functions and tensor operations, by options.

`write_torch_values.py` takes PyTorch's values of every case; test_torch_values.py checks that nothing is missing here.
"""

from __future__ import annotations

from typing import Any

from torch_case import Case, Drawn, Shape

ROWS, SIGNAL, IMAGE = (5, 4), (3, 4, 9), (2, 4, 7, 6)
REDUCTIONS = ("mean", "sum", "none")


def given(arrays: Any) -> tuple[Any, ...]:
    """Return a case's arguments: a shape stands for normal numbers, a list for several arguments."""
    if isinstance(arrays, list):
        return tuple(a for one in arrays for a in given(one))
    return (Drawn("normal", arrays),) if isinstance(arrays, tuple) else (arrays,)


def layer(name: str, *make: Any, on: Any = IMAGE, train: bool = True, **options: Any) -> Case:
    return Case("module", name, make, given(on), options, train)


def function(name: str, *args: Any, **options: Any) -> Case:
    return Case("function", name, (), args, options)


# ---- layers with weights ----

LINEAR_MAPS = [
    *(layer("Linear", 4, 3, on=shape) for shape in (ROWS, (4,), (3, 5, 4), (2, 3, 2, 4), (0, 4))),
    layer("Linear", 4, 3, bias=False, on=ROWS),
    layer("Linear", 1, 1, on=(3, 1)),
    layer("Linear", 70, 33, on=(3, 70)),
    layer("Conv2d", 4, 6, 3),
    layer("Conv2d", 4, 6, 3, on=(0, 4, 7, 6)),
    layer("Conv2d", 4, 6, (2, 3), bias=False),
    layer("Conv2d", 4, 6, 3, stride=2, padding=1),
    layer("Conv2d", 4, 3, 3, stride=(1, 3), padding=(2, 0)),
    layer("Conv2d", 4, 5, 1),
    layer("Conv2d", 4, 5, 1, stride=2),
    layer("Conv2d", 4, 5, 1, padding=1),
    layer("Conv2d", 4, 4, 3, padding="same"),
    layer("Conv2d", 4, 3, 4, padding="same"),
    layer("Conv2d", 4, 3, (2, 3), padding="same", dilation=(3, 1)),
    layer("Conv2d", 4, 3, 3, padding="valid", stride=2),
    layer("Conv2d", 4, 3, 2, dilation=3),
    layer("Conv2d", 4, 3, (3, 2), (2, 1), (2, 1), (2, 3)),
    layer("Conv2d", 4, 6, 3, groups=2),
    layer("Conv2d", 6, 9, 2, 1, 1, 1, 3, on=(2, 6, 4, 5)),
    layer("Conv2d", 4, 4, 3, padding=1, groups=4),
    layer("Conv2d", 4, 8, 3, 2, 1, groups=4),
    layer("Conv2d", 4, 4, 5, padding=4, dilation=2, groups=4, bias=False),
    layer("Conv2d", 4, 8, (3, 1), padding="same", groups=4),
    layer("Conv2d", 4, 3, (7, 6)),
    layer("Conv2d", 3, 5, 5, 2, 2, on=(1, 3, 11, 9)),
    layer("Conv2d", 1, 1, 1, on=(1, 1, 1, 1)),
    layer("Conv2d", 17, 19, 3, padding=1, on=(1, 17, 4, 5)),
    layer("Conv1d", 4, 6, 3, on=SIGNAL),
    layer("Conv1d", 4, 3, 4, 2, 1, on=SIGNAL),
    layer("Conv1d", 4, 3, 4, padding="same", dilation=2, on=SIGNAL),
    layer("Conv1d", 4, 3, 3, padding="valid", bias=False, on=SIGNAL),
    layer("Conv1d", 4, 8, 3, 2, 1, 1, 4, on=SIGNAL),
    layer("Conv1d", 4, 6, 3, groups=2, on=SIGNAL),
]

NORMS = [
    *(
        layer(name, 4, train=train, on=on, **options)
        for name, on in (("BatchNorm2d", IMAGE), ("BatchNorm1d", (9, 4)), ("BatchNorm1d", SIGNAL))
        for train in (True, False)
        for options in (
            {},
            {"eps": 0.1, "momentum": 0.3},
            {"momentum": None},
            {"affine": False},
            {"bias": False},
            {"track_running_stats": False},
        )
    ),
    layer("BatchNorm2d", 4, momentum=0.0),
    layer("BatchNorm2d", 4, momentum=1.0),
    layer("BatchNorm2d", 4, affine=False, track_running_stats=False),
    layer("BatchNorm2d", 4, on=(0, 4, 3, 3), train=False),
    layer("LocalResponseNorm", 3),
    layer("LocalResponseNorm", 4, alpha=0.5),
    layer("LocalResponseNorm", 3, 0.3, 0.5, 2.0),
    layer("LocalResponseNorm", 9, 1.0),
    layer("LocalResponseNorm", 1, 0.5, beta=1.0, k=0.5),
    layer("LocalResponseNorm", 2, 1.0, on=SIGNAL),
    layer("Dropout", 0.5, train=False),
    layer("Dropout", p=0.0),
    layer("Dropout", p=1.0),
    layer("Dropout2d", 0.5, train=False),
    layer("Dropout2d", p=0.0),
    layer("Dropout2d", p=1.0, on=SIGNAL),
]

# ---- pooling ----

SPECIAL_IMAGE = Drawn("special", (1, 2, 6, 6))
TIED_IMAGE = Drawn("ties", IMAGE)

POOLS = [
    layer("MaxPool2d", 2),
    layer("MaxPool2d", 2, on=TIED_IMAGE),
    layer("MaxPool2d", 3, 1, 1, on=TIED_IMAGE),
    layer("MaxPool2d", 2, on=SPECIAL_IMAGE),
    layer("MaxPool2d", 3, 2, 1, on=SPECIAL_IMAGE),
    layer("MaxPool2d", 2, on=(0, 4, 7, 6)),
    layer("MaxPool2d", 3, 2, 1),
    layer("MaxPool2d", 3, stride=2, ceil_mode=True),
    layer("MaxPool2d", 4, 3, 2, ceil_mode=True),
    layer("MaxPool2d", (2, 3), (1, 2), (1, 1), dilation=(2, 1)),
    layer("MaxPool2d", 2, 2, 1, 3, ceil_mode=True),
    layer("MaxPool2d", (3, 1), stride=(2, 1)),
    layer("MaxPool2d", 17, 1, 8, on=(1, 1, 3, 4)),
    layer("MaxPool1d", 2, on=SIGNAL),
    layer("MaxPool1d", 3, 2, 1, on=SIGNAL),
    layer("MaxPool1d", 2, padding=1, dilation=3, ceil_mode=True, on=SIGNAL),
    layer("MaxPool1d", 3, stride=1, on=Drawn("ties", SIGNAL)),
    layer("AvgPool2d", 2),
    layer("AvgPool2d", 2, on=(0, 4, 7, 6)),
    layer("AvgPool2d", 3, 2, 1),
    layer("AvgPool2d", 3, 2, 1, count_include_pad=False),
    layer("AvgPool2d", 3, 2, 1, ceil_mode=True),
    layer("AvgPool2d", 3, 2, 1, True, False),
    layer("AvgPool2d", (2, 3), stride=(3, 1), padding=(1, 0), divisor_override=5),
    layer("AvgPool2d", 4, 3, 2, True, False, 3),
    layer("AvgPool2d", 2, 1),
    layer("AvgPool2d", (7, 6)),
    layer("AvgPool2d", 2, 5, ceil_mode=True),
    layer("AvgPool1d", 2, on=SIGNAL),
    layer("AvgPool1d", 3, stride=2, padding=1, on=SIGNAL),
    layer("AvgPool1d", 4, 3, 2, ceil_mode=True, count_include_pad=False, on=SIGNAL),
    layer("AvgPool1d", 4, 3, 2, True, True, on=SIGNAL),
    layer("LPPool2d", 2, 2),
    layer("LPPool2d", 2, (3, 2), stride=2),
    layer("LPPool2d", 2, 3, 2, ceil_mode=True),
    layer("LPPool2d", 1, 2, on=Drawn("positive", IMAGE)),
    layer("LPPool2d", 1, 2),
    layer("LPPool2d", 3, 3, on=Drawn("positive", IMAGE)),
    layer("LPPool2d", 1.5, 2, on=Drawn("positive", IMAGE)),
    layer("LPPool2d", 4, (2, 3), 1),
    layer("LPPool1d", 2, 3, on=SIGNAL),
    layer("LPPool1d", 2, 2, stride=3, ceil_mode=True, on=SIGNAL),
    layer("LPPool1d", 3.5, 4, 2, on=Drawn("positive", SIGNAL)),
    *(
        layer(f"Adaptive{kind}Pool2d", size)
        for kind in ("Avg", "Max")
        for size in (1, 3, 9, (1, 6), (3, 4), (None, 2), (5, None), (7, 6))
    ),
    *(layer(f"Adaptive{kind}Pool1d", size, on=SIGNAL) for kind in ("Avg", "Max") for size in (1, 4, 9, 13)),
    layer("AdaptiveMaxPool2d", 3, on=TIED_IMAGE),
    layer("AdaptiveMaxPool2d", 2, on=SPECIAL_IMAGE),
    layer("AdaptiveAvgPool2d", 1, on=(0, 4, 7, 6)),
]

# ---- activations ----

ACTIVATION_OPTIONS: list[tuple[str, dict[str, Any]]] = [
    *(
        (name, {})
        for name in [
            "ReLU",
            "ReLU6",
            "Sigmoid",
            "Tanh",
            "SiLU",
            "Mish",
            "Hardswish",
            "Hardsigmoid",
            "Softsign",
            "LogSigmoid",
        ]
    ),
    ("LeakyReLU", {}),
    ("LeakyReLU", {"negative_slope": 0.25}),
    ("LeakyReLU", {"negative_slope": 0.0}),
    ("PReLU", {}),
    ("Hardtanh", {}),
    ("Hardtanh", {"min_val": -0.5, "max_val": 2.0}),
    ("GELU", {}),
    ("GELU", {"approximate": "tanh"}),
    ("ELU", {}),
    ("ELU", {"alpha": 0.5}),
    ("Softplus", {}),
    ("Softplus", {"beta": 2, "threshold": 3}),
    ("Softplus", {"beta": 0.5}),
]

ACTIVATIONS = [
    *(
        layer(name, **options, on=on)
        for name, options in ACTIVATION_OPTIONS
        for on in (Drawn("normal", (2, 3, 3, 5)), Drawn("steps", (60,)), Drawn("special", (30,)))
    ),
    layer("ReLU", on=(0, 3)),
    layer("GELU", on=Drawn("big", (50,))),
    layer("GELU", "tanh", on=Drawn("big", (50,))),
    layer("PReLU", 4),
    layer("PReLU", num_parameters=4, on=SIGNAL),
    layer("PReLU", 4, on=ROWS),
    layer("PReLU", init=0.5, on=ROWS),
    *(layer(name, dim, on=on) for name in ("Softmax", "LogSoftmax", "Softmin") for on, dim in (
        (ROWS, 1), (ROWS, 0), (ROWS, None), (SIGNAL, 1), (SIGNAL, -1), (IMAGE, 1), (IMAGE, 2), (IMAGE, 3), ((6,), None),
        (Drawn("big", ROWS), 1), (Drawn("big", IMAGE), 1),
    )),
    *(layer(name, dim=1, on=Drawn("special", (30, 9))) for name in ("Softmax", "LogSoftmax")),
    layer("Softmax2d"),
]  # fmt: skip

# ---- shapes ----

SHAPES = [
    layer("Identity", on=SIGNAL),
    layer("Identity", 54, unused=0.1),
    layer("Flatten"),
    layer("Flatten", 0),
    layer("Flatten", start_dim=2),
    layer("Flatten", 0, end_dim=1),
    layer("Flatten", 1, -2),
    layer("Flatten", on=(2, 4, 1, 3)),
    layer("Unflatten", 1, (2, 2)),
    layer("Unflatten", 1, (2, -1), on=ROWS),
    layer("Unflatten", dim=-1, unflattened_size=(3, 3), on=SIGNAL),
    layer("ZeroPad2d", 2),
    layer("ZeroPad2d", (1, 0, 2, 3)),
    layer("ZeroPad2d", padding=(1, -2, -1, 2)),
    layer("ConstantPad2d", (0, 1, 2, -1), 1.5),
    layer("ConstantPad2d", padding=1, value=-2.0),
]

# ---- losses ----

N, C = 7, 5
SCORES, MAPS, SIGNALS = (N, C), (2, C, 3, 2), (2, C, 4)
WEIGHT = Drawn("weight", (C,))


def classes(scores: Shape, kind: str = "classes") -> list[Any]:
    """Return scores and the class indices for them."""
    target = (scores[0], *scores[2:]) if len(scores) > 1 else ()
    return [Drawn("normal", scores), Drawn(kind, target, C)]


def shares(scores: Shape) -> list[Any]:
    return [Drawn("normal", scores), Drawn("shares", scores)]


def loss(name: str, *ons: Any, **options: Any) -> list[Case]:
    return [layer(name, on=on, reduction=word, **options) for on in ons for word in REDUCTIONS]


EVERY = [classes(SCORES), classes(MAPS), classes(SIGNALS), classes(SCORES, "ignored classes")]
SOFT = [shares(SCORES), shares(MAPS)]
PAIR = [Drawn("normal", SCORES), Drawn("target", SCORES)]
IMAGES = [Drawn("normal", MAPS), Drawn("target", MAPS)]
STEPS = [Drawn("steps", (9, 6)), Drawn("target steps", (9, 6))]
PROBABILITIES = [Drawn("unit", SCORES), Drawn("target unit", SCORES)]
CERTAIN = [Drawn("binary", (9, 2)), Drawn("binary", (9, 2))]
LOGITS = [Drawn("normal", SCORES), Drawn("target unit", SCORES)]
SMOOTH = {"label_smoothing": 0.2}

CLASS_LOSSES = [
    *loss("CrossEntropyLoss", *EVERY, *SOFT, classes((C,)), shares((C,))),
    *loss("CrossEntropyLoss", *EVERY, *SOFT, weight=WEIGHT),
    *loss("CrossEntropyLoss", *EVERY, *SOFT, **SMOOTH),
    *loss("CrossEntropyLoss", *EVERY, *SOFT, weight=WEIGHT, **SMOOTH),
    *loss("CrossEntropyLoss", classes(SCORES), classes(MAPS), ignore_index=2),
    *loss("CrossEntropyLoss", classes(SCORES), weight=WEIGHT, ignore_index=2, **SMOOTH),
    *loss("CrossEntropyLoss", [Drawn("big", SCORES), Drawn("classes", (N,), C)]),
    *loss("CrossEntropyLoss", classes(SCORES, "all ignored")),
    *loss("NLLLoss", *EVERY, classes((C,))),
    *loss("NLLLoss", *EVERY, weight=WEIGHT),
    *loss("NLLLoss", classes(SCORES), classes(MAPS), weight=WEIGHT, ignore_index=2),
    *loss("NLLLoss", classes(SCORES, "all ignored")),
    *loss("MultiMarginLoss", classes(SCORES), classes((C,)), [Drawn("steps", (9, C)), Drawn("classes", (9,), C)]),
    *loss("MultiMarginLoss", classes(SCORES), p=2),
    *loss("MultiMarginLoss", classes(SCORES), margin=2.5, weight=WEIGHT),
    *loss("MultiMarginLoss", classes(SCORES), p=2, margin=0.5, weight=WEIGHT),
]

VALUE_LOSSES = [
    *(case for name in ("MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss") for case in loss(name, PAIR, IMAGES, STEPS)),
    *loss("MSELoss", [Drawn("normal", ()), Drawn("target", ())]),
    *(case for beta in (0.5, 2.0, 0.0) for case in loss("SmoothL1Loss", PAIR, STEPS, beta=beta)),
    *(case for delta in (0.5, 3.0) for case in loss("HuberLoss", PAIR, STEPS, delta=delta)),
    *loss("BCELoss", PROBABILITIES, [Drawn("unit", MAPS), Drawn("binary", MAPS)], CERTAIN),
    *loss("BCELoss", PROBABILITIES, weight=WEIGHT),
    *loss("BCELoss", PROBABILITIES, weight=Drawn("weight", (N, 1))),
    *loss("BCEWithLogitsLoss", LOGITS, [Drawn("big", SCORES), Drawn("binary", SCORES)]),
    *loss("BCEWithLogitsLoss", [Drawn("normal", MAPS), Drawn("binary", MAPS)], weight=Drawn("weight", (3, 2))),
    *loss("BCEWithLogitsLoss", LOGITS, pos_weight=WEIGHT),
    *loss("BCEWithLogitsLoss", LOGITS, weight=Drawn("weight", (N, C)), pos_weight=WEIGHT),
    *(
        layer(name, on=on, **old)
        for name, on in (("MSELoss", PAIR), ("CrossEntropyLoss", classes(SCORES)), ("NLLLoss", classes(SCORES)))
        for old in ({"size_average": False}, {"reduce": False}, {"size_average": True, "reduce": True})
    ),
]

SQUARES, HINGE = (
    "((a - b) ** 2)",
    f"(F.multi_margin_loss(a, b, p={{p}}, margin={{margin}}, reduction='{{word}}') * {C})",
)
HINGES: list[dict[str, Any]] = [{}, {"margin": 0.5}, {"p": 2}, {"margin": 2.0, "p": 2}]

OWN_LOSSES = [
    *(
        Case("module", "SSELoss", (), given(on), {"reduction": word}, torch=SQUARES + form)
        for on in (PAIR, IMAGES)
        for word, form in (("mean", ".sum() / a.shape[0]"), ("sum", ".sum()"), ("none", ""))
    ),
    *(
        Case(
            "module", "MulticlassHingeLoss", (), given(classes(SCORES)), {**options, "reduction": word},
            torch=HINGE.format(p=options.get("p", 1), margin=options.get("margin", 1.0), word=word),
        )
        for options in HINGES
        for word in REDUCTIONS
    ),
]  # fmt: skip

MODULES = [*LINEAR_MAPS, *NORMS, *POOLS, *ACTIVATIONS, *SHAPES, *CLASS_LOSSES, *VALUE_LOSSES, *OWN_LOSSES]
