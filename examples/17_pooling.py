"""Making maps smaller: a strided convolution, maximum, average and L2 pooling, and none at all."""

from lesson import fit, images, say, start

import fastnn as fn
from fastnn import nn, optim, viz

# the step from full to half resolution, between two convolutions of 16 maps
WAYS = {
    "nothing": lambda: [nn.Conv2d(16, 16, 3, padding=1), nn.ReLU()],
    "stride 2": lambda: [nn.Conv2d(16, 16, 3, stride=2, padding=1), nn.ReLU()],
    "maximum": lambda: [nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)],
    "average": lambda: [nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2)],
    "L2": lambda: [nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(), nn.LPPool2d(2, 2)],
}


def network(data, down):
    """Return a small network whose resolution is halved once, or not."""
    return nn.Sequential(
        nn.Conv2d(data.shape[0], 16, 3, padding=1), nn.ReLU(), *down,
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32 * 4, len(data.classes)),
    )  # fmt: skip


def main():
    """Train five networks that differ in that step alone."""
    args = start(__doc__, __file__)
    data = images(args)
    epochs = 8 if args.quick else (20 if args.data == "digits" else 4)
    found = {}
    for name, down in WAYS.items():
        fn.manual_seed(0)
        model = network(data, down())
        operations = model.summary(data.x[:1]).flops / 1e6
        fit(model, data, optim.Adam(model.parameters(), lr=3e-3), epochs)
        trainer = fn.Trainer(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1), metrics=["accuracy"])
        found[name] = trainer.evaluate((data.x_test, data.y_test))["accuracy"]
        say(f"test accuracy with {name}", found[name])
        say(f"million operations an image with {name}", operations)
    viz.bars(found, xlabel="test accuracy", path=args.out / "pooling.png")


if __name__ == "__main__":
    main()
