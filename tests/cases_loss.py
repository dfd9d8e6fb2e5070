"""Cases of the losses and the optimizers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from case_data import Case, Fixed, Given, Input
from tiles import lane_tails

REDUCTIONS = ("none", "mean", "sum")


def f(*shape: int) -> Input:
    return Input(shape)


def p(*shape: int) -> Input:
    return Input(shape, "positive")


def unit(*shape: int) -> Input:
    return Input(shape, "unit")


def classes(high: int, n: int, ignore: int | None = None) -> Input:
    return Input((n,), "index", high, ignore)


def loss_cases() -> Iterator[Case]:
    yield from class_loss_cases()
    yield from element_loss_cases()


def both(
    name: str, label: str, inputs: tuple[Given, ...], attrs: Mapping[str, Any], per_row: bool, group: str = "basic"
) -> Iterator[Case]:
    """A loss and its backward; its unreduced shape is that of its input, or one value a row."""
    reductions = REDUCTIONS if per_row else (*REDUCTIONS, "batchmean")
    for reduction in reductions[:2] if group in ("tails", "blocks") else reductions:
        full = {**attrs, "reduction": reduction}
        x = inputs[0]
        assert isinstance(x, Input)
        dy = f() if reduction != "none" else f(*(x.shape[:1] if per_row else x.shape))
        yield Case(name, f"{label}_{reduction}", inputs, full, group)
        yield Case(f"{name}_bwd", f"{label}_{reduction}", (dy, *inputs), full, group)


def class_loss_cases() -> Iterator[Case]:
    sizes: list[tuple[str, int, int, str]] = [
        ("small", 6, 5, "basic"), ("one_row", 1, 3, "basic"), ("one_class", 4, 1, "basic"), ("empty", 0, 5, "empty"),
        *((f"classes{size}", 3, size, "tails") for size in lane_tails()), ("rows", 1030, 10, "blocks"),
        ("imagenet", 64, 1000, "big"),
    ]  # fmt: skip
    for label, n, c, group in sizes:
        smooth = {"label_smoothing": 0.0, "ignore_index": -100}
        yield from both("cross_entropy", label, (f(n, c), classes(c, n)), smooth, True, group)
        yield from both("cross_entropy_soft", label, (f(n, c), unit(n, c)), {"label_smoothing": 0.0}, True, group)
        yield from both("nll_loss", label, (f(n, c), classes(c, n)), {"ignore_index": -100}, True, group)
        margin = {"p": 1, "margin": 1.0, "divide": True}
        yield from both("multi_margin_loss", label, (f(n, c), classes(c, n)), margin, True, group)
    x, w = f(7, 5), p(5)
    for smoothing in (0.1, 1.0):
        attrs = {"label_smoothing": smoothing, "ignore_index": -100}
        yield from both("cross_entropy", f"smooth{smoothing}", (x, classes(5, 7)), attrs, True)
        yield from both("cross_entropy", f"smooth{smoothing}_weight", (x, classes(5, 7, -100), w), attrs, True)
        soft = {"label_smoothing": smoothing}
        yield from both("cross_entropy_soft", f"smooth{smoothing}", (x, unit(7, 5)), soft, True)
        yield from both("cross_entropy_soft", f"smooth{smoothing}_weight", (x, unit(7, 5), w), soft, True)
    for ignore in (-100, 2):
        target = classes(5, 7, ignore)
        attrs = {"label_smoothing": 0.0, "ignore_index": ignore}
        yield from both("cross_entropy", f"ignore{ignore}", (x, target), attrs, True)
        yield from both("cross_entropy", f"ignore{ignore}_weight", (x, target, w), attrs, True)
        yield from both("nll_loss", f"ignore{ignore}", (x, target), {"ignore_index": ignore}, True)
        yield from both("nll_loss", f"ignore{ignore}_weight", (x, target, w), {"ignore_index": ignore}, True)
    all_ignored = Fixed((-100,) * 4, "int64")
    yield from both(
        "cross_entropy", "all_ignored", (f(4, 5), all_ignored), {"label_smoothing": 0.0, "ignore_index": -100}, True
    )
    yield from both("nll_loss", "all_ignored", (f(4, 5), all_ignored), {"ignore_index": -100}, True)
    for power, margin, divide in ((1, 0.5, False), (2, 1.0, True), (2, 2.0, False)):
        attrs = {"p": power, "margin": margin, "divide": divide}
        label = f"p{power}_margin{margin}_{'divided' if divide else 'whole'}"
        yield from both("multi_margin_loss", label, (x, classes(5, 7)), attrs, True)
        yield from both("multi_margin_loss", f"{label}_weight", (x, classes(5, 7), w), attrs, True)


def element_loss_cases() -> Iterator[Case]:
    shapes: list[tuple[str, tuple[int, ...], str]] = [
        ("rows", (4, 6), "basic"), ("vector", (8,), "basic"), ("image", (2, 4, 2, 3), "basic"),
        ("empty", (0, 3), "empty"), *((f"tail{size}", (2, size), "tails") for size in lane_tails()),
        ("long", (37, 513), "blocks"), ("image_big", (4, 3, 64, 64), "big"),
    ]  # fmt: skip
    for label, shape, group in shapes:
        for name, attrs in (
            ("mse_loss", {}), ("l1_loss", {}), ("smooth_l1_loss", {"beta": 2.0}), ("huber_loss", {"delta": 2.0})
        ):  # fmt: skip
            yield from both(name, label, (f(*shape), f(*shape)), attrs, False, group)
        yield from both("bce_loss", label, (unit(*shape), unit(*shape)), {}, False, group)
        yield from both("bce_with_logits", label, (f(*shape), unit(*shape)), {}, False, group)
    x, t = f(4, 6), f(4, 6)
    for beta in (0.0, 0.5):
        yield from both("smooth_l1_loss", f"beta{beta}", (x, t), {"beta": beta}, False)
    yield from both("huber_loss", "delta0.5", (x, t), {"delta": 0.5}, False)
    yield from both("bce_loss", "weight", (unit(4, 6), unit(4, 6), p(4, 6)), {}, False)
    yield from both("bce_with_logits", "weight", (x, unit(4, 6), p(4, 6)), {}, False)
    yield from both("bce_with_logits", "pos_weight", (x, unit(4, 6), None, p(4, 6)), {}, False)
    yield from both("bce_with_logits", "both_weights", (x, unit(4, 6), p(4, 6), p(4, 6)), {}, False)


# ---- optimizers ----


def counter(value: float) -> Fixed:
    return Fixed(value, "float32")


def hyper(*values: float) -> Fixed:
    return Fixed(values, "float64")


def optimizer_cases() -> Iterator[Case]:
    shapes: list[tuple[str, tuple[int, ...], str]] = [
        ("weights", (6, 5, 3, 3), "basic"), ("vector", (7,), "basic"), ("scalar", (), "basic"),
        *((f"tail{size}", (size,), "tails") for size in lane_tails()), ("blocks", (20011,), "blocks"),
        ("big", (256, 128, 3, 3), "big"),
    ]  # fmt: skip
    for label, shape, group in shapes:
        for case in optimizer_rows(f(*shape), p(*shape)):
            if group != "basic" and not case.name.endswith("step3"):
                continue
            yield Case(case.primitive, f"{label}_{case.name}", case.inputs, case.attrs, group)


def optimizer_rows(x: Input, state: Input) -> Iterator[Case]:
    """Every option, for a parameter like ``x``; ``state`` is like it and not negative."""
    for step in (0.0, 3.0):
        mark = f"step{step:g}"
        for maximize in (False, True):
            side = f"{mark}{'_max' if maximize else ''}"
            plain = {"nesterov": False, "maximize": maximize}
            yield Case("sgd_step", f"plain_{side}", (x, x, counter(step), hyper(0.1, 0.0, 0.0, 0.01)), plain)
            rates = hyper(0.1, 0.9, 0.2, 0.01)
            yield Case("sgd_step", f"momentum_{side}", (x, x, counter(step), rates, x), plain)
            rates = hyper(0.1, 0.01, 0.02, 1e-8)
            yield Case("adagrad_step", side, (x, x, counter(step), rates, state), {"maximize": maximize})
            yield from rmsprop_rows(x, state, step, side, maximize)
            for decoupled in (False, True):
                name = f"{'adamw' if decoupled else 'adam'}_{side}"
                rates = hyper(0.01, 0.9, 0.99, 1e-6, 0.05)
                attrs = {"decoupled": decoupled, "maximize": maximize}
                yield Case("adam_step", name, (x, x, counter(step), rates, x, state), attrs)
                yield Case("adam_step", f"amsgrad_{name}", (x, x, counter(step), rates, x, state, state), attrs)
        nesterov = {"nesterov": True, "maximize": False}
        yield Case("sgd_step", f"nesterov_{mark}", (x, x, counter(step), hyper(0.1, 0.9, 0.0, 0.0), x), nesterov)


def rmsprop_rows(x: Input, state: Input, step: float, side: str, maximize: bool) -> Iterator[Case]:
    """With and without the centre and momentum; the centre is small, as a mean of gradients is."""
    rates = hyper(0.01, 0.9, 1e-6, 0.05, 0.8)
    centre = Input(x.shape, "small")
    for centred in (False, True):
        for momentum in (False, True):
            inputs = (x, x, counter(step), rates, state, centre if centred else None, x if momentum else None)
            name = f"{'centred_' if centred else ''}{'momentum_' if momentum else ''}{side}"
            yield Case("rmsprop_step", name, inputs, {"maximize": maximize})
