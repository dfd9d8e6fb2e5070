"""The graph's own parts: placement, differentiation, fusion, plans and their keys."""

from __future__ import annotations

import numpy as np
import pytest

import fastnn as fn
from fastnn import nn
from fastnn.graph.place import ALIGN, Interval, place
from fastnn.graph.plan import CompiledPlan
from fastnn.graph.runtime import runtime_of
from fastnn.nn import functional as F


def overlap(a: Interval, b: Interval) -> bool:
    alive = a.birth <= b.death and b.birth <= a.death
    return alive and a.offset < b.offset + b.nbytes and b.offset < a.offset + a.nbytes


@pytest.mark.parametrize("seed", range(20))
def test_placement_never_overlaps_what_lives_together(seed):
    rng = np.random.default_rng(seed)
    births = rng.integers(0, 50, 120)
    intervals = [
        Interval(int(n), int(b), int(b + d))
        for n, b, d in zip(rng.integers(0, 5000, 120), births, rng.integers(0, 15, 120), strict=True)
    ]
    size = place(intervals)
    assert all(i.offset % ALIGN == 0 and i.offset >= 0 and i.offset + i.nbytes <= size for i in intervals)
    assert not [(a, b) for k, a in enumerate(intervals) for b in intervals[:k] if overlap(a, b)]
    alive = max(sum(-(-i.nbytes // ALIGN) * ALIGN for i in intervals if i.birth <= t <= i.death) for t in range(65))
    assert size <= 2 * alive


def test_placement_leaves_no_room_between_large_and_small():
    """Values of a residual network: in the order of birth the large ones would not fit where the last ones were."""
    lives = [(38, 0, 2), (205, 2, 3), (51, 3, 7), (205, 5, 11), (51, 7, 9), (51, 9, 11), (205, 11, 17), (51, 13, 15)]
    lives += [(51, 15, 17), (205, 17, 23), (51, 19, 21), (51, 21, 23), (205, 23, 27), (102, 25, 31), (102, 27, 29)]
    intervals = [Interval(n << 10, birth, death) for n, birth, death in lives]
    alive = max(sum(i.nbytes for i in intervals if i.birth <= t <= i.death) for t in range(32))
    assert place(intervals) == alive
    assert not [(a, b) for k, a in enumerate(intervals) for b in intervals[:k] if overlap(a, b)]
    assert place([]) == 0


def conv_net():
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 4, 3),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, 5),
    )


def images(n=6, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 3, 9, 9)).astype(np.float32)


def test_fused_relu_gives_the_bits_of_the_separate_one():
    fused = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
    separate = fused[0]
    x = images()
    plan = str(fused.plan(x))
    assert "conv2d+relu" in plan
    np.testing.assert_array_equal(fused(x), np.maximum(separate(x), 0))


def test_relu_is_not_fused_when_the_convolution_is_read_elsewhere():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            y = self.conv(x)
            return F.relu(y) + y

    model, x = Both(), images()
    y = model.conv(x)
    np.testing.assert_array_equal(model(x), np.maximum(y, 0) + y)


def test_arena_is_shared_and_smaller_than_the_sum_of_values():
    model, x = conv_net(), images()
    model(x)
    arena = runtime_of(model).arena
    block = arena.block
    model(images(2))
    assert arena.block is block, "a smaller batch runs in the larger one's memory"
    report = model.plan(x)
    plan = report.plan
    assert isinstance(plan, CompiledPlan)
    assert plan.arena_bytes < sum(i.nbytes for i in plan.intervals.values())


def test_plans_are_kept_by_shape_and_mode():
    model, x = conv_net(), images()
    plans = runtime_of(model).plans
    for _ in range(3):
        for batch in (2, 6):
            model(images(batch))
    assert len(plans) == 2
    model.eval()
    model(x)
    assert len(plans) == 3
    model.train()
    model(x)
    assert len(plans) == 3


def test_attribute_assignment_takes_effect():
    model = nn.Sequential(nn.LeakyReLU(0.1))
    x = np.array([[-1.0, 2.0]], np.float32)
    np.testing.assert_allclose(model(x), [[-0.1, 2.0]])
    model[0].negative_slope = 0.5
    np.testing.assert_allclose(model(x), [[-0.5, 2.0]])


@pytest.mark.parametrize("write", ["inplace", "assign", "load"])
def test_parameter_writes_take_effect_in_all_three_ways_in(write):
    model = nn.Linear(3, 2)
    x, t = np.ones((4, 3), np.float32), np.zeros((4, 2), np.float32)
    step = fn.TrainStep(model, nn.MSELoss(), fn.optim.SGD(model.parameters(), lr=0.0))
    model(x)
    step(x, t)
    value = np.full((2, 3), 2.0, np.float32)
    if write == "inplace":
        model.weight.data[...] = value
    elif write == "assign":
        model.weight.data = value
    else:
        model.load_state_dict({"weight": value, "bias": model.bias.data.copy()})
    expected = x @ value.T + model.bias.data
    np.testing.assert_allclose(model(x), expected, rtol=1e-6)
    np.testing.assert_allclose(F.linear(x, model.weight, model.bias), expected, rtol=1e-6)
    assert step(x, t) == pytest.approx(float((expected**2).mean()), rel=1e-5)


def test_backward_is_refused_after_another_call():
    model, x = conv_net(), images()
    y = model(x)
    model(x)
    model.backward(np.ones_like(y))
    with pytest.raises(RuntimeError, match="no forward run to go back from"):
        model.backward(np.ones_like(y))
    model(x)
    with fn.no_grad():
        model(x)
    with pytest.raises(RuntimeError, match="no_grad"):
        model.backward(np.ones_like(y))
    model(x)
    with pytest.raises(ValueError, match=r"expected shape \(6, 5\), got \(6, 4\)"):
        model.backward(np.ones((6, 4)))


def test_frozen_parameters_cost_no_gradient_work():
    model, x = conv_net(), images()
    full = [row for row in model.plan(x).rows() if row[0] == "backward"]
    for p in model[0].parameters():
        p.requires_grad = False
    rows = [row for row in model.plan(x).rows() if row[0] == "backward"]
    assert len(rows) < len(full)
    y = model(x)
    model.backward(np.ones_like(y))
    assert model[0].weight.grad is None
    assert model[3].weight.grad is not None


def test_gradients_add_up():
    model, x = conv_net(), images()
    model.eval()
    y = model(x)
    model.backward(np.ones_like(y))
    once = model[7].weight.grad.copy()
    model(x)
    model.backward(np.ones_like(y))
    np.testing.assert_allclose(model[7].weight.grad, 2 * once, rtol=1e-6)


def test_results_are_the_callers_and_inputs_stay():
    model, x = conv_net(), images()
    before = x.copy()
    x.setflags(write=False)
    y = model(x)
    kept = y.copy()
    y[...] = 7.0
    dx = model.backward(np.ones_like(kept))
    assert dx.shape == x.shape
    np.testing.assert_array_equal(x, before)
    other = model(x)
    np.testing.assert_array_equal(other, kept)


def test_reused_module_and_shared_parameter_sum_their_gradients():
    layer = nn.Linear(3, 3, bias=False)

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, x):
            return self.layer(self.layer(x))

    assert fn.gradcheck(Twice(), np.random.default_rng(0).normal(size=(2, 3)))


def test_control_flow_on_values_is_refused():
    class Branch(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(TypeError):
        Branch()(np.ones((2, 2)))


def test_a_stored_node_says_that_it_is_one():
    kept = []

    class Leaky(nn.Module):
        def forward(self, x):
            kept.append(x * 2)
            return x + 1

    class Uses(nn.Module):
        def forward(self, x):
            return x + kept[0]

    Leaky()(np.ones((2, 2)))
    with pytest.raises(RuntimeError, match="outlived its trace"):
        Uses()(np.ones((2, 2)))


def test_capture_and_hooks_give_the_values_inside():
    fn.set_precision("exact")  # else batch norm is folded where nobody looks
    model, x = conv_net().eval(), images()
    values = fn.capture(model, ["0", "4", ""])(x)
    np.testing.assert_array_equal(values[""], model(x))
    np.testing.assert_array_equal(values["0"], model[0](x))
    seen = []
    handle = model[4].register_forward_hook(lambda module, args, output: seen.append(output))
    model(x)
    handle.remove()
    model(x)
    assert len(seen) == 1
    np.testing.assert_array_equal(seen[0], values["4"])


def test_several_inputs_and_outputs():
    class Pair(nn.Module):
        def forward(self, a, b):
            return {"sum": a + b, "parts": (a * 2, b)}

    model = Pair()
    out = model(np.ones((2, 3)), np.full((2, 3), 2.0))
    assert set(out) == {"sum", "parts"}
    np.testing.assert_array_equal(out["sum"], np.full((2, 3), 3.0))
    da, db = model.backward(np.ones((2, 3)), np.ones((2, 3)), np.zeros((2, 3)))
    np.testing.assert_array_equal(da, np.full((2, 3), 3.0))
    np.testing.assert_array_equal(db, np.ones((2, 3)))


def test_input_dtypes_and_strides():
    model = nn.Conv2d(2, 3, 3).eval()
    x = np.random.default_rng(0).integers(0, 9, (2, 2, 6, 6))
    expected = model(x.astype(np.float32))
    for other in (
        x,
        x.astype(np.uint8),
        x.astype(np.float64),
        x.astype(np.int16),
        x[::-1][::-1],
        np.asfortranarray(x),
        np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
    ):
        np.testing.assert_array_equal(model(other), expected)
    for bad in (x.astype(complex), x.astype(object), x.astype(str)):
        with pytest.raises(TypeError, match="dtype"):
            model(bad)


@pytest.mark.parametrize("shape", [(2, 1, 5, 4), (3, 6, 1, 1), (2, 4, 3, 5)])
def test_images_come_out_channels_last(shape):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    last = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    for given in (x, last):
        y = F.relu(given)
        assert y.shape == shape
        assert y.transpose(0, 2, 3, 1).flags.c_contiguous
        np.testing.assert_array_equal(y, np.maximum(x, 0))


def test_plan_and_summary_print():
    model, x = conv_net(), images()
    text = str(model.plan(x))
    assert "conv2d" in text
    assert "arena:" in text
    summary = model.summary(x)
    assert summary.total_params == sum(p.data.size for p in model.parameters())
    assert "BatchNorm2d" in str(summary)
    assert summary.flops >= 2 * 6 * 8 * 81 * 27


def test_two_threads_of_python_run_two_models():
    from concurrent.futures import ThreadPoolExecutor

    models = [conv_net().eval() for _ in range(2)]
    expected = [m(images()) for m in models]

    def work(i):
        return all(np.array_equal(models[i](images()), expected[i]) for _ in range(50))

    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(work, range(2)))
