"""CIFAR-10 to 94 % on two cores in half an hour, with the ideas of Jordan's airbench (arXiv:2404.00498).

A first layer that whitens 2 x 2 patches and is never trained, identity convolutions to start from, large rates for
the shifts of batch norm, label smoothing, mirroring every other epoch, an average of the weights that the training
itself goes on from, and predictions averaged over mirrored and shifted images.
"""

import argparse
import itertools
import os

import numpy as np

import fastnn as fn
from fastnn import nn, optim
from fastnn.data import ArrayDataset, DataLoader
from fastnn.data.transforms import Compose, Normalize, PCAWhitening, RandomCrop
from fastnn.training import Callback, CSVLogger, LRSchedulerCallback

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
RATE, MOMENTUM, DECAY, SHIFT_RATE = 1.5, 0.85, 1.33e-3, 64  # the rate: for batches of 1024


def block(in_channels, out_channels):
    """Return the layers that halve the image: convolution, pooling, convolution, each with batch norm and GELU."""
    layers = []
    for channels, pool in ((in_channels, [nn.MaxPool2d(2)]), (out_channels, [])):
        conv = nn.Conv2d(channels, out_channels, 3, padding=1, bias=False)
        nn.init.dirac_(conv.weight.data[:channels])
        norm = nn.BatchNorm2d(out_channels, momentum=0.4)
        norm.weight.requires_grad = False
        layers += [conv, *pool, norm, nn.GELU("tanh")]
    return layers


class Network(nn.Module):
    """Whitening, three blocks, the maximum of what is left, scores.

    Parameters
    ----------
    images : ndarray
        Normalized images (N, 3, H, W) whose patches are whitened.
    widths : sequence of int
        Channels of the blocks.
    """

    def __init__(self, images, widths=(64, 256, 256)):
        super().__init__()
        windows = np.lib.stride_tricks.sliding_window_view(images, (2, 2), axis=(2, 3))
        patches = windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, 3, 2, 2)
        filters = PCAWhitening(eps=5e-4).fit(patches).matrix.reshape(-1, 3, 2, 2)
        whiten = nn.Conv2d(3, 2 * len(filters), 2)
        whiten.weight.data[...] = np.concatenate([filters, -filters])
        whiten.weight.requires_grad = False
        nn.init.zeros_(whiten.bias)
        channels = (2 * len(filters), *widths)
        blocks = [layer for pair in itertools.pairwise(channels) for layer in block(*pair)]
        self.features = nn.Sequential(whiten, nn.GELU("tanh"), *blocks, nn.MaxPool2d(3))
        self.head = nn.Linear(widths[-1], 10, bias=False)

    def forward(self, x):
        """Return the scores (N, 10)."""
        return self.head(self.features(x).flatten(1)) * (1 / 9)


class Mirror(Callback):
    """Mirror every training image before each epoch, so that two epochs see both sides of each; half start mirrored."""

    def __init__(self, x):
        self.x, self.turned = x, False
        half = np.random.default_rng(0).permutation(len(x))[: len(x) // 2]
        x[half] = x[half, :, :, ::-1]

    def on_epoch_begin(self, trainer):
        """Turn the images to the side that this epoch shows."""
        if self.turned != trainer.epoch % 2:
            self.x[...] = self.x[:, :, :, ::-1].copy()
            self.turned = not self.turned


class Lookahead(Callback):
    """Every five steps the weights become an average of themselves and their past (Zhang et al., arXiv:1907.08610).

    The weight of the past grows with the cube of the time, to all of it at the end.
    """

    def __init__(self, model, steps):
        self.model, self.steps = model, steps
        self.past = {name: value.copy() for name, value in model.state_dict().items()}

    def on_step(self, trainer):
        """Average, every fifth step and at the last one."""
        last = trainer.steps >= self.steps
        if trainer.steps % 5 and not last:
            return
        keep = 1.0 if last else 0.95**5 * (trainer.steps / self.steps) ** 3
        state = self.model.state_dict()
        for name, past in self.past.items():
            if past.dtype == np.float32:
                past += np.float32(1 - keep) * (state[name] - past)
        self.model.load_state_dict({**state, **{n: p for n, p in self.past.items() if p.dtype == np.float32}})

    def state_dict(self):
        """Return the past."""
        return dict(self.past)

    def load_state_dict(self, state):
        """Take over the past."""
        self.past = {name: np.array(value) for name, value in state.items()}


def predict(model, x, normalize):
    """Return scores averaged over images, their mirror images, and both moved by a pixel in two directions."""
    model.eval()
    scores = []
    for start in range(0, len(x), 500):
        part = normalize(x[start : start + 500])
        padded = np.pad(part, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="reflect")
        views = ((part, 0.5), (padded[:, :, :32, :32], 0.25), (padded[:, :, 2:, 2:], 0.25))
        scores.append(sum(w * (model(np.ascontiguousarray(v)) + model(v[..., ::-1].copy())) for v, w in views))
    return np.concatenate(scores)


def data(args, train):
    """Return a part of CIFAR-10, or noise in its place."""
    if args.quick:
        rng = np.random.default_rng(int(train))
        return ArrayDataset(rng.integers(0, 256, (256, 3, 32, 32), np.uint8), rng.integers(0, 10, 256))
    return fn.datasets.cifar10(args.data_dir, train)


def trainer_for(args, train, normalize):
    """Return the trainer and the loader of its batches."""
    batch, widths = (64, (8, 16, 16)) if args.quick else (512, (64, 256, 256))
    model = Network(normalize(train.x[:5000]), widths)
    crop = RandomCrop(32, padding=2, padding_mode="reflect")
    loader = DataLoader(train, batch, shuffle=True, drop_last=True, transform=Compose([crop, normalize]))

    steps, rate = args.epochs * len(loader), RATE * batch / 1024
    shifts = [p for name, p in model.named_parameters() if name.endswith("bias")]
    others = [p for name, p in model.named_parameters() if name.endswith("weight") and p.requires_grad]
    groups = [
        {"params": others, "lr": rate, "weight_decay": DECAY},
        {"params": shifts, "lr": rate * SHIFT_RATE, "weight_decay": DECAY / SHIFT_RATE},
    ]
    optimizer = optim.SGD(groups, lr=rate, momentum=MOMENTUM, nesterov=True)
    course = np.interp(np.arange(steps + 1), [0, 0.23 * steps, steps], [0.2, 1.0, 0.07])
    schedule = optim.lr_scheduler.LambdaLR(optimizer, lambda step: float(course[min(step, steps)]))
    callbacks = [LRSchedulerCallback(schedule, interval="step"), Mirror(train.x), Lookahead(model, steps)]
    if args.log:
        callbacks.append(CSVLogger(args.log))
    return fn.Trainer(model, nn.CrossEntropyLoss(label_smoothing=0.2), optimizer, ["accuracy"], callbacks), loader


def options(words=None):
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="folder with the original files of CIFAR-10")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--threads", type=int, help="default: all cores")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--checkpoint", help="file that the state is saved to after each epoch, and resumed from")
    parser.add_argument("--log", help="file for the history, as CSV")
    parser.add_argument("--quick", action="store_true", help="narrow, on noise: only to see that it runs")
    return parser.parse_args(words)


def main():
    """Train, then measure with and without averaged predictions."""
    args = options()
    fn.manual_seed(args.seed)
    if args.threads:
        fn.set_num_threads(args.threads)
    train, test = data(args, True), data(args, False)
    normalize = Normalize(MEAN, STD, scale=1 / 255)
    trainer, loader = trainer_for(args, train, normalize)
    if args.checkpoint and os.path.exists(args.checkpoint):
        trainer.load(args.checkpoint)
    plain = DataLoader(test, 500, transform=normalize)
    if trainer.epoch < args.epochs:
        trainer.fit(loader, plain, epochs=args.epochs, checkpoint=args.checkpoint)

    averaged = predict(trainer.model, test.x, normalize).argmax(axis=1) == test.y
    print(f"test accuracy: {trainer.history[-1]['val_accuracy']:.4f}")
    print(f"test accuracy, predictions averaged: {np.mean(averaged):.4f}")
    print(f"seconds of training: {sum(row['seconds'] for row in trainer.history):.0f}")


if __name__ == "__main__":
    main()
