"""The convolutional networks once more: functions of a torchvision state_dict, written on torch.nn.functional alone.

They know no module and none of fastnn's definitions: where logits agree, names, order, strides, padding, pooling and
activations do. All are in eval mode.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F

__all__ = ["NETWORKS"]

Weights = Mapping[str, torch.Tensor]
Tensor = torch.Tensor


def conv(w: Weights, name: str, x: Tensor, stride: int = 1, padding: int = 0, groups: int = 1) -> Tensor:
    return F.conv2d(x, w[f"{name}.weight"], w.get(f"{name}.bias"), stride, padding, 1, groups)


def norm(w: Weights, name: str, x: Tensor, eps: float = 1e-5) -> Tensor:
    parts = (w[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(x, *parts, training=False, eps=eps)


def linear(w: Weights, name: str, x: Tensor) -> Tensor:
    return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])


def hidden_layers(w: Weights, x: Tensor, places: Sequence[int]) -> Tensor:
    for i in places[:-1]:
        x = F.relu(linear(w, f"classifier.{i}", x))
    return linear(w, f"classifier.{places[-1]}", x)


def alexnet(w: Weights, x: Tensor) -> Tensor:
    for i, stride, padding, pooled in ((0, 4, 2, 1), (3, 1, 2, 1), (6, 1, 1, 0), (8, 1, 1, 0), (10, 1, 1, 1)):
        x = F.relu(conv(w, f"features.{i}", x, stride, padding))
        x = F.max_pool2d(x, 3, 2) if pooled else x
    return hidden_layers(w, F.adaptive_avg_pool2d(x, 6).flatten(1), (1, 4, 6))


def vgg(stages: str, normed: bool) -> Callable[[Weights, Tensor], Tensor]:
    def forward(w: Weights, x: Tensor) -> Tensor:
        i = 0
        for letter in stages:
            if letter == "M":
                x, i = F.max_pool2d(x, 2), i + 1
                continue
            x = conv(w, f"features.{i}", x, 1, 1)
            x = norm(w, f"features.{i + 1}", x) if normed else x
            x, i = F.relu(x), i + (3 if normed else 2)
        if "classifier.weight" in w:
            return linear(w, "classifier", x.mean((2, 3)))
        return hidden_layers(w, F.adaptive_avg_pool2d(x, 7).flatten(1), (0, 3, 6))

    return forward


def resnet(layers: Sequence[int], convolutions: int, small: bool = False) -> Callable[[Weights, Tensor], Tensor]:
    def block(w: Weights, name: str, x: Tensor, stride: int) -> Tensor:
        y, shortcut = x, x
        for i in range(1, convolutions + 1):
            padding = w[f"{name}.conv{i}.weight"].shape[-1] // 2
            here = stride if i == (1 if convolutions == 2 else 2) else 1
            y = norm(w, f"{name}.bn{i}", conv(w, f"{name}.conv{i}", y, here, padding))
            y = F.relu(y) if i < convolutions else y
        if f"{name}.downsample.0.weight" in w:
            shortcut = norm(w, f"{name}.downsample.1", conv(w, f"{name}.downsample.0", x, stride))
        elif shortcut.shape != y.shape:  # He et al.'s option A
            shortcut = torch.zeros_like(y)
            shortcut[:, : x.shape[1]] = x[:, :, ::stride, ::stride]
        return F.relu(y + shortcut)

    def forward(w: Weights, x: Tensor) -> Tensor:
        x = F.relu(norm(w, "bn1", conv(w, "conv1", x, 1, 1) if small else conv(w, "conv1", x, 2, 3)))
        x = x if small else F.max_pool2d(x, 3, 2, 1)
        for i, count in enumerate(layers):
            for k in range(count):
                x = block(w, f"layer{i + 1}.{k}", x, 2 if i > 0 and k == 0 else 1)
        return linear(w, "fc", x.mean((2, 3)))

    return forward


def googlenet(w: Weights, x: Tensor) -> Tensor:
    def basic(name: str, x: Tensor, stride: int = 1) -> Tensor:
        x = conv(w, f"{name}.conv", x, stride, w[f"{name}.conv.weight"].shape[-1] // 2)
        return F.relu(norm(w, f"{name}.bn", x, 0.001))

    def inception(name: str, x: Tensor) -> Tensor:
        pooled = F.max_pool2d(x, 3, 1, 1)
        two, three = (basic(f"{name}.branch{i}.1", basic(f"{name}.branch{i}.0", x)) for i in (2, 3))
        return torch.cat([basic(f"{name}.branch1", x), two, three, basic(f"{name}.branch4.1", pooled)], 1)

    x = F.max_pool2d(basic("conv1", x, 2), 3, 2, ceil_mode=True)
    x = F.max_pool2d(basic("conv3", basic("conv2", x)), 3, 2, ceil_mode=True)
    x = inception("inception3b", inception("inception3a", x))
    x = F.max_pool2d(x, 3, 2, ceil_mode=True)
    for letter in "abcde":
        x = inception(f"inception4{letter}", x)
    x = F.max_pool2d(x, 2, 2, ceil_mode=True)
    x = inception("inception5b", inception("inception5a", x))
    return linear(w, "fc", x.mean((2, 3)))


def mobilenet_v2(w: Weights, x: Tensor) -> Tensor:
    def mixed(name: str, x: Tensor, stride: int = 1, groups: int = 1) -> Tensor:
        x = conv(w, f"{name}.0", x, stride, w[f"{name}.0.weight"].shape[-1] // 2, groups)
        return norm(w, f"{name}.1", x).clamp(0, 6)

    x = mixed("features.0", x, 2)
    halving = {2, 4, 7, 14}
    for i in range(1, 18):
        name, y = f"features.{i}.conv", x
        if i > 1:
            y = mixed(f"{name}.0", y)
        depthwise = 0 if i == 1 else 1
        y = mixed(f"{name}.{depthwise}", y, 2 if i in halving else 1, y.shape[1])
        y = norm(w, f"{name}.{depthwise + 2}", conv(w, f"{name}.{depthwise + 1}", y))
        x = x + y if x.shape == y.shape else y
    return linear(w, "classifier.1", mixed("features.18", x).mean((2, 3)))


def efficientnet_b0(w: Weights, x: Tensor) -> Tensor:
    def mixed(name: str, x: Tensor, stride: int = 1, groups: int = 1) -> Tensor:
        x = conv(w, f"{name}.0", x, stride, w[f"{name}.0.weight"].shape[-1] // 2, groups)
        return norm(w, f"{name}.1", x)

    x = F.silu(mixed("features.0", x, 2))
    for stage, (count, stride) in enumerate(((1, 1), (2, 2), (2, 2), (3, 2), (3, 1), (4, 2), (1, 1)), 1):
        for k in range(count):
            name, y, i = f"features.{stage}.{k}.block", x, 0
            if stage > 1:
                y, i = F.silu(mixed(f"{name}.0", y)), 1
            y = F.silu(mixed(f"{name}.{i}", y, stride if k == 0 else 1, y.shape[1]))
            gate = F.silu(conv(w, f"{name}.{i + 1}.fc1", y.mean((2, 3), keepdim=True)))
            y = y * torch.sigmoid(conv(w, f"{name}.{i + 1}.fc2", gate))
            y = mixed(f"{name}.{i + 2}", y)
            x = x + y if k > 0 else y
    return linear(w, "classifier.1", F.silu(mixed("features.8", x)).mean((2, 3)))


NETWORKS: dict[str, Callable[[Weights, Tensor], Tensor]] = {
    "alexnet": alexnet,
    "vgg11": vgg("xMxMxxMxxMxxM", normed=False),
    "vgg16_bn": vgg("xxMxxMxxxMxxxMxxxM", normed=True),
    "googlenet": googlenet,
    "resnet18": resnet((2, 2, 2, 2), 2),
    "resnet50": resnet((3, 4, 6, 3), 3),
    "resnet18 cifar": resnet((2, 2, 2, 2), 2, small=True),
    "resnet20 cifar": resnet((3, 3, 3), 2, small=True),
    "mobilenet_v2": mobilenet_v2,
    "efficientnet_b0": efficientnet_b0,
}
