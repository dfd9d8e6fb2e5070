"""Smoke test of an installation without a compiler: it says what it is, and it trains. Run as a script."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import fastnn as fn
    from fastnn import nn


class Net(nn.Module):
    """A small network with a convolution, a batch norm and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.fc = nn.Linear(64, 10)

    def forward(self, x):
        y = nn.functional.max_pool2d(nn.functional.relu(self.norm(self.conv(x))), 2)
        return self.fc(y.flatten(1))


def main() -> None:
    """Check the backend and the warning, then fit random images of random classes."""
    source = Path(__file__).resolve().parent.parent
    assert source not in Path(fn.__file__).resolve().parents, fn.__file__
    assert not fn._backend.compiled()
    assert any("no C compiler was found" in str(w.message) for w in caught), [str(w.message) for w in caught]
    fn.manual_seed(0)
    rng = np.random.default_rng(0)
    x = rng.standard_normal((16, 1, 8, 8)).astype(np.float32)
    y = rng.integers(0, 10, 16)
    model = Net()
    step = fn.TrainStep(model, nn.CrossEntropyLoss(), fn.optim.SGD(model.parameters(), lr=0.1, momentum=0.9))
    losses = [step(x, y) for _ in range(15)]
    assert losses[-1] < 0.5 * losses[0], losses
    print(f"pure installation: loss {losses[0]:.3f} -> {losses[-1]:.3f}")


if __name__ == "__main__":
    main()
