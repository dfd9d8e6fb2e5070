"""Definitions written for PyTorch run unchanged once their imports are replaced."""

from __future__ import annotations

import types

import numpy as np
import pytest

import fastnn as fn

IMPORTS = """
import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor
from torch.nn import init
"""

MLP = """
class MLP(nn.Module):
    def __init__(self, in_dim=784, hidden=(64, 32), classes=10, p=0.2):
        super(MLP, self).__init__()
        sizes = [in_dim, *hidden]
        layers = []
        for a, b in zip(sizes[:-1], sizes[1:]):
            layers += [nn.Linear(a, b), nn.BatchNorm1d(b), nn.ReLU(inplace=True), nn.Dropout(p)]
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Linear(sizes[-1], classes)
        self.apply(self._init)

    @staticmethod
    def _init(m):
        if isinstance(m, nn.Linear):
            init.xavier_uniform_(m.weight)
            nn.init.zeros_(m.bias)

    def forward(self, x):
        x = torch.flatten(x, 1)
        return F.log_softmax(self.classifier(self.features(x)), dim=1)

def build():
    return MLP()
"""

LENET = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 4 * 4, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        x = x.view(-1, 16 * 4 * 4)
        x = F.relu(self.fc1(x))
        x = F.dropout(x, training=self.training)
        x = F.relu(self.fc2(x))
        x = self.fc3(x)
        return x

def build():
    return Net()
"""

RESNET = """
def conv3x3(in_planes, out_planes, stride=1):
    return nn.Conv2d(in_planes, out_planes, kernel_size=3, stride=stride, padding=1, bias=False)

class BasicBlock(nn.Module):
    expansion = 1

    def __init__(self, inplanes, planes, stride=1, downsample=None):
        super().__init__()
        self.conv1 = conv3x3(inplanes, planes, stride)
        self.bn1 = nn.BatchNorm2d(planes)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = conv3x3(planes, planes)
        self.bn2 = nn.BatchNorm2d(planes)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        identity = x
        out = self.conv1(x)
        out = self.bn1(out)
        out = self.relu(out)
        out = self.conv2(out)
        out = self.bn2(out)
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        out = self.relu(out)
        return out

class ResNet(nn.Module):
    def __init__(self, block, layers, num_classes=10):
        super().__init__()
        self.inplanes = 8
        self.conv1 = nn.Conv2d(3, 8, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = self._make_layer(block, 8, layers[0])
        self.layer2 = self._make_layer(block, 16, layers[1], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(16 * block.expansion, num_classes)
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode='fan_out', nonlinearity='relu')
            elif isinstance(m, nn.BatchNorm2d):
                nn.init.constant_(m.weight, 1)
                nn.init.constant_(m.bias, 0)

    def _make_layer(self, block, planes, blocks, stride=1):
        downsample = None
        if stride != 1 or self.inplanes != planes * block.expansion:
            downsample = nn.Sequential(
                nn.Conv2d(self.inplanes, planes * block.expansion, kernel_size=1, stride=stride, bias=False),
                nn.BatchNorm2d(planes * block.expansion),
            )
        layers = [block(self.inplanes, planes, stride, downsample)]
        self.inplanes = planes * block.expansion
        for _ in range(1, blocks):
            layers.append(block(self.inplanes, planes))
        return nn.Sequential(*layers)

    def forward(self, x):
        x = self.conv1(x)
        x = self.bn1(x)
        x = self.relu(x)
        x = self.maxpool(x)
        x = self.layer1(x)
        x = self.layer2(x)
        x = self.avgpool(x)
        x = torch.flatten(x, 1)
        x = self.fc(x)
        return x

def build():
    return ResNet(BasicBlock, [1, 1])
"""

MIXED = """
class Gate(nn.Module):
    def __init__(self, channels, reduction=2):
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(channels, channels // reduction, bias=False),
            nn.SiLU(),
            nn.Linear(channels // reduction, channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x):
        b, c, _, _ = x.size()
        y = F.adaptive_avg_pool2d(x, 1).view(b, c)
        y = self.fc(y).view(b, c, 1, 1)
        return x * y.expand_as(x)

class Mixed(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, 1, 1)
        self.branches = nn.ModuleList([nn.Conv2d(4, 4, k, padding=k // 2) for k in (1, 3, 5)])
        self.gate = Gate(12)
        self.scale = nn.Parameter(torch.ones(1, 12, 1, 1))
        self.register_buffer("mean", torch.zeros(1, 3, 1, 1))
        self.heads = nn.ModuleDict({"a": nn.Linear(12, 3), "b": nn.Linear(12, 2)})

    def forward(self, x):
        x = torch.relu(self.stem((x - self.mean) / 2.0))
        x = torch.cat([branch(x) for branch in self.branches], dim=1)
        shortcut = x
        x = shortcut + self.gate(x) * self.scale
        x = F.max_pool2d(x, 2)
        x = x.mean(dim=(2, 3))
        if x.shape[1] != 12:
            raise RuntimeError("channels")
        return {"a": self.heads["a"](x), "b": self.heads["b"](x)}

def build():
    return Mixed()
"""


def ported(source: str) -> fn.nn.Module:
    """Run the definition with ``torch`` replaced in its import lines, and nowhere else."""
    module = types.ModuleType("ported")
    imports = IMPORTS.replace("import torch\n", "import fastnn as torch\n").replace("torch.nn", "fastnn.nn")
    imports = imports.replace("from torch import", "from fastnn import")
    exec(imports + source, module.__dict__)
    return module.build()


def block(prefix: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    shapes: dict[str, tuple[int, ...]] = {}
    for i, channels in (("1", inputs), ("2", outputs)):
        shapes[f"{prefix}.conv{i}.weight"] = (outputs, channels, 3, 3)
        shapes |= norm(f"{prefix}.bn{i}", outputs)
    return shapes


def norm(prefix: str, channels: int) -> dict[str, tuple[int, ...]]:
    names = ("weight", "bias", "running_mean", "running_var")
    return {f"{prefix}.{name}": (channels,) for name in names} | {f"{prefix}.num_batches_tracked": ()}


def linear(prefix: str, inputs: int, outputs: int) -> dict[str, tuple[int, ...]]:
    return {f"{prefix}.weight": (outputs, inputs), f"{prefix}.bias": (outputs,)}


STATES = {
    "MLP": linear("features.0", 784, 64)
    | norm("features.1", 64)
    | linear("features.4", 64, 32)
    | norm("features.5", 32)
    | linear("classifier", 32, 10),
    "LENET": {"conv1.weight": (6, 1, 5, 5), "conv1.bias": (6,), "conv2.weight": (16, 6, 5, 5), "conv2.bias": (16,)}
    | linear("fc1", 256, 120)
    | linear("fc2", 120, 84)
    | linear("fc3", 84, 10),
    "RESNET": {"conv1.weight": (8, 3, 7, 7)}
    | norm("bn1", 8)
    | block("layer1.0", 8, 8)
    | block("layer2.0", 8, 16)
    | {"layer2.0.downsample.0.weight": (16, 8, 1, 1)}
    | norm("layer2.0.downsample.1", 16)
    | linear("fc", 16, 10),
}
SOURCES = {"MLP": MLP, "LENET": LENET, "RESNET": RESNET}
INPUTS = {"MLP": (4, 1, 28, 28), "LENET": (4, 1, 28, 28), "RESNET": (4, 3, 32, 32)}


@pytest.mark.parametrize("name", SOURCES)
def test_keys_and_shapes_of_the_state_are_pytorchs(name: str) -> None:
    state = ported(SOURCES[name]).state_dict()
    assert {key: value.shape for key, value in state.items()} == STATES[name]
    assert list(state) == list(STATES[name])


@pytest.mark.parametrize("name", SOURCES)
def test_it_runs_and_learns(name: str) -> None:
    fn.manual_seed(1)
    model = ported(SOURCES[name])
    rng = np.random.default_rng(0)
    x = rng.standard_normal(INPUTS[name]).astype(np.float32)
    target = np.array([0, 3, 7, 9])
    loss = fn.nn.NLLLoss() if name == "MLP" else fn.nn.CrossEntropyLoss()
    optimizer = fn.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        losses.append(loss(model(x), target))
        assert model.backward(loss.backward()).shape == x.shape
        optimizer.step()
    assert all(np.isfinite(losses))
    assert losses[-1] < 0.5 * losses[0]
    model.eval()
    assert model(x).shape == (4, 10)


def test_definitions_with_branches_gates_and_several_outputs() -> None:
    fn.manual_seed(1)
    model = ported(MIXED)
    x = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)
    y = model(x)
    assert {key: value.shape for key, value in y.items()} == {"a": (2, 3), "b": (2, 2)}
    assert model.backward(np.ones((2, 3)), np.ones((2, 2))).shape == x.shape
    assert all(p.grad is not None for p in model.parameters())
    assert "mean" in model.state_dict()


def test_control_flow_on_values_is_refused_with_the_reason() -> None:
    source = """
class Net(nn.Module):
    def forward(self, x):
        if x.sum() > 0:
            return x
        return -x

def build():
    return Net()
"""
    with pytest.raises(TypeError, match="control flow may depend on shapes and settings only"):
        ported(source)(np.ones((1, 2)))


def test_makers_of_tensors() -> None:
    assert fn.zeros(2, 3).dtype == fn.ones([4]).dtype == fn.empty(1).dtype == np.float32
    assert fn.full((2,), 3.0).tolist() == [3.0, 3.0]
    assert fn.tensor([1, 2]).dtype == fn.arange(3).dtype == np.int64
    assert fn.tensor([[0.5]], dtype=np.float64).dtype == np.float64
    assert fn.arange(0.0, 1.0, 0.25).tolist() == [0.0, 0.25, 0.5, 0.75]
    fn.manual_seed(0)
    first = fn.randn(3), fn.rand(3)
    fn.manual_seed(0)
    np.testing.assert_array_equal(fn.randn(3), first[0])
    np.testing.assert_array_equal(fn.rand(3), first[1])
    assert fn.relu(first[0]).shape == (3,)
    assert {"relu", "zeros", "Trainer", "nn"} <= set(dir(fn))
    with pytest.raises(AttributeError, match="module 'fastnn' has no attribute 'nonsense'"):
        _ = fn.nonsense


def test_draws_in_forward_are_refused() -> None:
    source = """
class Net(nn.Module):
    def forward(self, x):
        return x * torch.rand(x.shape[0], 1)

def build():
    return Net()
"""
    with pytest.raises(RuntimeError, match="rand inside forward would draw once"):
        ported(source)(np.ones((1, 2)))
