"""Functions and operations on tensors that are compared with PyTorch; part of the table of torch_cases.py."""

from __future__ import annotations

from torch_case import Case, Drawn, Shape
from torch_cases import (
    CERTAIN,
    HINGE,
    IMAGE,
    MODULES,
    PAIR,
    PROBABILITIES,
    REDUCTIONS,
    ROWS,
    SCORES,
    SIGNAL,
    SQUARES,
    WEIGHT,
    classes,
    function,
    given,
    shares,
)


def of(shape: Shape, kind: str = "normal") -> Drawn:
    return Drawn(kind, shape)


X, S, R = of(IMAGE), of(SIGNAL), of(ROWS)
BIG, STEPS, TIES, POSITIVE = of((5, 4), "big"), of((30,), "steps"), of((4, 6), "ties"), of((5, 4), "positive")
STATISTICS = (of((4,), "running"), of((4,), "running"))

LINEAR_MAPS = [
    function("linear", R, of((3, 4))),
    function("linear", S, of((3, 9)), bias=of((3,))),
    function("linear", of((4,)), of((3, 4)), of((3,))),
    function("conv2d", X, of((6, 4, 3, 3))),
    function("conv2d", X, of((6, 2, 3, 2)), of((6,)), 2, 1, 1, 2),
    function("conv2d", X, of((4, 1, 3, 3)), None, padding="same", groups=4),
    function("conv2d", X, of((3, 4, 2, 2)), bias=of((3,)), stride=(2, 1), padding=(0, 2), dilation=(3, 2)),
    function("conv1d", S, of((6, 4, 3))),
    function("conv1d", S, of((6, 2, 2)), of((6,)), 2, 1, 3, 2),
    function("conv1d", S, of((3, 4, 4)), bias=of((3,)), stride=1, padding="same", dilation=1, groups=1),
]

POOLS = [
    function("max_pool2d", X, 3, 2, 1, 1, True),
    function("max_pool2d", X, kernel_size=(2, 3), stride=1, padding=(1, 0), dilation=2, ceil_mode=False),
    function("max_pool1d", S, 3, 2, 1, 2, True),
    function("max_pool1d", S, kernel_size=2, stride=3, padding=0, dilation=1, ceil_mode=True),
    function("avg_pool2d", X, 3, 2, 1, True, False),
    function("avg_pool2d", X, kernel_size=2, stride=1, padding=1, ceil_mode=True, divisor_override=3),
    function("avg_pool2d", X, kernel_size=3, count_include_pad=True),
    function("avg_pool1d", S, 3, 2, 1, True, False),
    function("avg_pool1d", S, kernel_size=2, stride=1, padding=1, ceil_mode=False, count_include_pad=True),
    function("lp_pool2d", X, 2, (2, 3), 2, True),
    function("lp_pool2d", X, norm_type=2.0, kernel_size=3, stride=1, ceil_mode=False),
    function("lp_pool1d", S, 2, 3, 2, True),
    function("lp_pool1d", S, norm_type=2.0, kernel_size=3, stride=1, ceil_mode=False),
    *(
        function(f"adaptive_{kind}_pool{dims}d", x, output_size=size)
        for kind in ("avg", "max")
        for dims, x, sizes in ((2, X, (1, (2, 4))), (1, S, (1, 4)))
        for size in sizes
    ),
]

NORMS = [
    function("batch_norm", X, *STATISTICS),
    function("batch_norm", X, *STATISTICS, of((4,)), of((4,)), True, 0.3, 0.01),
    function("batch_norm", X, None, None, weight=of((4,)), training=True, momentum=0.1),
    function("batch_norm", R, *STATISTICS, bias=of((4,)), training=False, eps=0.5),
    function("batch_norm", S, *STATISTICS, weight=of((4,)), bias=of((4,)), training=True),
    function("local_response_norm", X, 3),
    function("local_response_norm", S, size=2, alpha=0.5, beta=0.5, k=2.0),
    function("normalize", R),
    function("normalize", S, p=3.0, dim=-1, eps=0.1),
    function("normalize", R, 1.0, 0, 10.0),
    function("dropout", X, 0.3, False),
    function("dropout", X, p=1.0, training=True),
    function("dropout2d", X, 0.3, False),
    function("dropout2d", X, p=0.0, training=True),
]

_unary = (
    "relu relu6 sigmoid tanh silu hardswish hardsigmoid mish softsign logsigmoid elu gelu softplus leaky_relu hardtanh"
)
ACTIVATIONS = [
    *(function(name, x) for name in _unary.split() for x in (X, STEPS)),
    function("leaky_relu", R, negative_slope=0.3),
    function("hardtanh", R, min_val=-0.2, max_val=0.9),
    function("gelu", R, approximate="tanh"),
    function("elu", R, alpha=2.0),
    function("softplus", R, beta=3.0, threshold=1.0),
    function("prelu", R, of((1,))),
    function("prelu", R, of((4,))),
    function("prelu", X, of((4,))),
    *(
        function(name, x, dim)
        for name in ("softmax", "log_softmax", "softmin")
        for x, dim in ((BIG, 1), (X, 1), (S, -1))
    ),
    *(function(name, R, dim=0) for name in ("softmax", "log_softmax", "softmin")),
]

LOSSES = [
    *(
        function(name, *given(classes(SCORES)), reduction=word, **options)
        for word in REDUCTIONS
        for name, options in (
            ("cross_entropy", {"weight": WEIGHT, "ignore_index": 1, "label_smoothing": 0.1}),
            ("nll_loss", {"weight": WEIGHT, "ignore_index": 1}),
            ("multi_margin_loss", {"p": 2, "margin": 0.7, "weight": WEIGHT}),
        )
    ),
    *(function("cross_entropy", *given(shares(SCORES)), reduction=word) for word in REDUCTIONS),
    *(
        function(name, *given(PAIR), reduction=word, **options)
        for word in REDUCTIONS
        for name, options in (
            ("mse_loss", {}),
            ("l1_loss", {}),
            ("smooth_l1_loss", {"beta": 0.7}),
            ("huber_loss", {"delta": 0.7}),
        )
    ),
    *(
        function(name, *given(on), reduction=word, **options)
        for word in REDUCTIONS
        for name, on, options in (
            ("binary_cross_entropy", PROBABILITIES, {"weight": WEIGHT}),
            ("binary_cross_entropy", CERTAIN, {}),
            ("binary_cross_entropy_with_logits", [of(SCORES), of(SCORES, "target unit")], {"weight": WEIGHT}),
            ("binary_cross_entropy_with_logits", [of(SCORES), of(SCORES, "binary")], {"pos_weight": WEIGHT}),
        )
    ),
    Case("function", "sse_loss", args=given(PAIR), torch=f"{SQUARES}.sum() / a.shape[0]"),
    Case("function", "sse_loss", args=given(PAIR), options={"reduction": "none"}, torch=SQUARES),
    Case(
        "function",
        "multiclass_hinge_loss",
        args=given(classes(SCORES)),
        options={"margin": 0.5, "p": 2, "reduction": "sum"},
        torch=HINGE.format(p=2, margin=0.5, word="sum"),
    ),
]

TENSORS = [
    function("matmul", R, of((4, 4))),
    *(function(name, R, of(shape)) for name in ("add", "sub", "mul") for shape in ((4,), (1, 4))),
    *(function(name, X, of(IMAGE)) for name in ("add", "sub", "mul", "maximum", "minimum")),
    *(function(name, X, of(shape)) for name in ("add", "mul") for shape in ((4, 1, 1), (2, 1, 7, 1), (6,), ())),
    *(function(name, TIES, of((4, 6), "ties")) for name in ("maximum", "minimum")),
    *(function(name, TIES, of((6,), "ties")) for name in ("maximum", "minimum")),
    function("maximum", of((30,), "special"), of((30,), "special")),
    function("minimum", of((30,), "special"), of((30,), "special")),
    function("div", R, POSITIVE),
    *(function(name, R, 2.5) for name in ("add", "sub", "mul", "div")),
    *(function("pow", POSITIVE, e) for e in (0.5, -1.5, 2.5)),
    *(function("pow", R, exponent=e) for e in (2, 3.0, 1, 0)),
    *(function(name, POSITIVE) for name in ("log", "sqrt", "exp")),
    *(function(name, of((30,), "special")) for name in ("exp", "abs")),
    function("abs", STEPS),
    function("clamp", STEPS, -2.0, 3.0),
    function("clamp", R, min=0.5),
    function("clamp", R, max=0.5),
    function("clamp", of((30,), "special"), -1.0, 1.0),
    *(
        function(name, x, *args, **options)
        for name in ("sum", "mean", "amax")
        for x, args, options in (
            (X, ((2, 3),), {}),
            (X, (1,), {"keepdim": True}),
            (X, ((-1, 0),), {"keepdim": True}),
            (S, (), {"dim": -1}),
            (TIES, (1,), {}),
            (R, (0,), {}),
        )
    ),
    function("sum", X),
    function("mean", X),
    function("amax", R),
    function("amax", of((3, 9), "special"), 1),
    function("cat", [X, of((2, 3, 7, 6))], 1),
    function("cat", [R, of((2, 4)), of((1, 4))]),
    function("cat", [S, of(SIGNAL)], dim=-1),
    function("stack", [R, of(ROWS)]),
    function("stack", [R, of(ROWS), of(ROWS)], dim=-1),
    function("split", X, 3, 1),
    function("split", X, [1, 5, 1], dim=2),
    function("split", R, split_size_or_sections=2),
    function("chunk", X, 2, 1),
    function("chunk", X, 3, dim=-2),
    function("chunk", R, chunks=4),
    function("reshape", X, (2, -1, 3)),
    function("permute", X, (0, 2, 3, 1)),
    function("permute", S, dims=(2, 0, 1)),
    function("transpose", X, 1, 3),
    function("transpose", R, dim0=0, dim1=-1),
    function("squeeze", of((1, 3, 1, 2))),
    function("squeeze", of((1, 3, 1, 2)), dim=2),
    function("squeeze", R, 1),
    function("unsqueeze", S, 1),
    function("unsqueeze", R, dim=-1),
    function("flatten", X, 1),
    function("flatten", X, start_dim=1, end_dim=2),
    function("unflatten", X, 1, (2, 2)),
    function("unflatten", R, dim=-1, sizes=(-1, 2)),
    function("pad", X, (1, 2)),
    function("pad", X, (1, 0, 2, 1, 0, 1), "constant", 2.5),
    function("pad", R, pad=(-1, 2, 1, -2), value=-1.0),
]  # fmt: skip


def expression(code: str, *arrays: Drawn) -> Case:
    return Case("expression", code, args=arrays)


EXPRESSIONS = [
    *(expression(code, R) for code in (
        "a[1]", "a[-1:]", "a[:, 1]", "a[1:4, ::2]", "a[2:2]", "a[None]", "a[:, None, 1:]", "a.T", "a.expand(3, 5, 4)",
        "a - 2", "3 - a", "a * 0.5", "2 * a + 1", "-a", "a / 4", "a ** 2", "a ** 3", "a.pow(2)", "a.exp()", "a.abs()",
        "a.relu()", "a.sigmoid()", "a.tanh()", "a.softmax(1)", "a.clamp(-1, 0.5)", "a.clamp(min=0)",
        "a.clamp(max=0)", "a.log_softmax(-1)", "a.sum()", "a.mean()", "a.sum(0)", "a.mean(1, True)", "a.amax(1)",
        "a * a.detach()", "a.contiguous().float() + 0.5", "a.unsqueeze(1).squeeze(1)", "a * a + a",
        "a.reshape(2, 10)", "a.view(-1, 2)", "a.add(a)", "a.sub(1)", "a.mul(a)", "a.div(2)", "a.matmul(a.T)",
    )),
    *(expression(code, X) for code in (
        "a[:, 1:3]", "a[..., ::2]", "a[1]", "a[:, -1]", "a[0, 1:3, ::3]", "a[:, :, 2, 3]", "a[:, None, 1:, :, 2]",
        "a[..., 1:, :-1]", "a.flatten(1)", "a.flatten()", "a.flatten(2).permute(0, 2, 1)", "a.view(-1, 28)",
        "a.view((2, 2, 2, -1))", "a.permute(2, 3, 0, 1)", "a.transpose(1, 2)", "a.mean((2, 3))", "a.mean((2, 3), True)",
        "a.sum(1, keepdim=True)", "a.amax((2, 3))", "a - a.mean(1, True)", "a * a.sigmoid()", "a.split(2, 1)",
        "a.split([1, 3], dim=1)", "a.chunk(4, 1)", "a.reshape(2, 2, 2, 7, 6).transpose(1, 2).reshape(2, 4, 7, 6)",
        "a.unsqueeze(2)", "a[:, :1].expand(2, 4, 7, 6)", "a[:, :, :1].expand(-1, -1, 5, -1)",
        "a.permute(0, 2, 3, 1).reshape(-1, 4)", "a[:, 0] + a[:, 1].exp()", "a.chunk(2, 1)[1] * 2",
    )),
    *(expression(code, POSITIVE) for code in ("1 / a", "a ** 0.5", "a ** -1", "a.log()", "a.sqrt()", "a ** -0.5 * 2")),
    *(expression(code, X, of((2, 4, 1, 1))) for code in ("a + b", "a * b", "a - b", "b - a", "a / (1 + b * b)")),
    *(expression(code, X, of((6,))) for code in ("a + b", "b * a")),
    *(expression("a @ b", of(first), of(second)) for first, second in (
        ((3, 4), (4, 5)), ((4,), (4,)), ((4,), (4, 3)), ((3, 4), (4,)), ((2, 3, 4), (2, 4, 5)), ((2, 3, 4), (4, 5)),
        ((3, 4), (2, 4, 5)), ((2, 1, 3, 4), (3, 4, 2)), ((2, 3, 2, 4), (2, 3, 4, 3)), ((2, 3, 4), (4,)),
    )),
    expression("(a @ b.transpose(1, 2)).softmax(-1) @ c", of((2, 5, 4)), of((2, 6, 4)), of((2, 6, 3))),
    expression("b.expand_as(a)", X, of((4, 1, 1))),
    expression("F.relu(a + b)", X, of(IMAGE)),
    expression("F.max_pool2d(F.relu(F.conv2d(a, b, c, padding=1)), 2)", X, of((3, 4, 3, 3)), of((3,))),
    expression("F.log_softmax(F.linear(a.flatten(1), b), dim=1)", of((2, 3, 2, 2)), of((4, 12))),
]  # fmt: skip

FUNCTIONS = [*LINEAR_MAPS, *POOLS, *NORMS, *ACTIVATIONS, *LOSSES, *TENSORS]


def all_cases() -> dict[str, Case]:
    """Return every case by its id."""
    table: dict[str, Case] = {}
    for case in [*MODULES, *FUNCTIONS, *EXPRESSIONS]:
        assert case.id not in table, f"{case.id} is in the table twice"
        table[case.id] = case
    return table
