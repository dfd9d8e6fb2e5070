"""Sequential, ModuleList, ModuleDict."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

import numpy as np
import pytest

from fastnn import nn


def row(*sizes: int) -> nn.Sequential:
    return nn.Sequential(*(nn.Linear(a, b) for a, b in pairwise(sizes)))


def sizes(container) -> list[int]:
    return [layer.out_features for layer in container]


def test_sequential_is_a_list() -> None:
    model = row(1, 2, 3, 4)
    assert len(model) == 3
    assert model[-1].out_features == 4
    assert isinstance(model[:2], nn.Sequential)
    assert model[:2][0] is model[0]
    assert sizes(model[1:]) == [3, 4]
    model.insert(1, nn.Linear(7, 7))
    assert sizes(model) == [2, 7, 3, 4]
    assert list(dict(model.named_children())) == ["0", "1", "2", "3"]
    del model[1]
    assert sizes(model) == [2, 3, 4]
    assert model.pop().out_features == 4
    model.extend([nn.Linear(3, 5), nn.Linear(5, 6)])
    assert sizes(model + row(6, 8)) == [2, 3, 5, 6, 8]
    model[0] = nn.Linear(1, 9)
    assert sizes(model)[0] == 9
    assert model[0] in model
    del model[1:]
    assert sizes(model) == [9]


def test_sequential_errors() -> None:
    model = row(1, 2)
    with pytest.raises(IndexError, match="Sequential: index 3 is out of range for 1 modules"):
        _ = model[3]
    with pytest.raises(IndexError, match="insert: index 5 is out of range for 1 modules"):
        model.insert(5, nn.ReLU())
    with pytest.raises(TypeError, match="expected child '1' to be a Module or None, got function"):
        model.append(lambda x: x)


def test_sequential_with_names() -> None:
    model = nn.Sequential(OrderedDict(conv=nn.Conv1d(1, 1, 1), act=nn.ReLU()))
    assert model.conv is model[0]
    assert list(model.state_dict()) == ["conv.weight", "conv.bias"]
    assert list(dict(model[1:].named_children())) == ["act"]
    del model[0]
    assert list(dict(model.named_children())) == ["act"]


def test_module_list() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.steps = nn.ModuleList([nn.Linear(2, 2), nn.Linear(2, 2)])
            self.steps += [nn.Linear(2, 3)]

        def forward(self, x):
            for i, step in enumerate(self.steps):
                x = step(x) + self.steps[i // 2](x).sum(1, True) * 0.0
            return x

    net = Net()
    assert net(np.ones((1, 2))).shape == (1, 3)
    assert list(net.state_dict())[-1] == "steps.2.bias"
    assert isinstance(net.steps[1:], nn.ModuleList)
    assert len(net.steps + nn.ModuleList([nn.ReLU()])) == 4
    with pytest.raises(NotImplementedError, match="ModuleList does not define forward"):
        net.steps(np.ones(1))


def test_module_dict() -> None:
    heads = nn.ModuleDict({"a": nn.ReLU(), "b": nn.Tanh()})
    heads["c"] = nn.Sigmoid()
    assert list(heads) == list(heads.keys()) == ["a", "b", "c"]
    assert "b" in heads
    assert len(heads) == 3
    assert isinstance(heads.pop("b"), nn.Tanh)
    heads.update([("a", nn.ELU())])
    assert [type(m).__name__ for m in heads.values()] == ["ELU", "Sigmoid"]
    assert [k for k, _ in heads.items()] == ["a", "c"]
    del heads["a"]
    heads.clear()
    assert not heads
    with pytest.raises(KeyError):
        _ = heads["a"]
