"""Twenty-five years of networks: accuracy against operations and parameters, and their speed on this machine."""

import time

import numpy as np
from lesson import say, start

import fastnn as fn
from fastnn import viz

# top-1 accuracy in per cent on ImageNet's validation set, as torchvision publishes it for its first weights
PUBLISHED = {
    "alexnet": 56.522, "vgg11": 69.020, "vgg11_bn": 70.370, "vgg13": 69.928, "vgg13_bn": 71.586, "vgg16": 71.592,
    "vgg16_bn": 73.360, "vgg19": 72.376, "vgg19_bn": 74.218, "googlenet": 69.778, "resnet18": 69.758,
    "resnet34": 73.314, "resnet50": 76.130, "resnet101": 77.374, "resnet152": 78.312, "mobilenet_v2": 71.878,
    "efficientnet_b0": 77.692, "efficientnet_b1": 78.642, "efficientnet_b2": 80.608, "efficientnet_b3": 82.008,
    "efficientnet_b4": 83.384, "efficientnet_b5": 83.444, "efficientnet_b6": 84.008, "efficientnet_b7": 84.122,
}  # fmt: skip
SIDES = dict(zip((f"efficientnet_b{i}" for i in range(1, 8)), (240, 288, 300, 380, 456, 528, 600), strict=True))
QUICK = ("alexnet", "resnet18", "mobilenet_v2")


def throughput(model, image, seconds):
    """Return images a second, one at a time, after one to warm up: the median of what fits into the time."""
    model(image)
    taken, end = [], time.perf_counter() + seconds
    while not taken or time.perf_counter() < end:
        begun = time.perf_counter()
        model(image)
        taken.append(time.perf_counter() - begun)
    return 1 / float(np.median(taken))


def main():
    """Count, time, draw."""
    args = start(__doc__, __file__)
    rows = []
    for name in QUICK if args.quick else PUBLISHED:
        build = getattr(fn.models, name)
        options = {"aux_logits": False} if name == "googlenet" else {}
        model = build(**options).eval()
        side = 64 if args.quick else SIDES.get(name, 224)
        image = np.random.default_rng(0).random((1, 3, side, side), dtype=np.float32)
        with fn.no_grad():
            summary = model.summary(image)
            speed = throughput(model, image, 0.1 if args.quick else 0.5)
        row = {"name": name, "accuracy": PUBLISHED[name], "parameters": summary.total_params}
        rows.append(row | {"operations": summary.multiply_adds, "throughput": speed})
        say(f"million parameters of {name}", summary.total_params / 1e6)
        say(f"billion multiply-adds of {name} at {side}", summary.multiply_adds / 1e9)
        say(f"images a second of {name}", speed)
    viz.accuracy_against_operations(rows, ylabel="ImageNet top-1, per cent", path=args.out / "networks.png")


if __name__ == "__main__":
    main()
