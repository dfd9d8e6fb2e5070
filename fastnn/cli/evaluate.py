"""`fastnn evaluate`."""

from __future__ import annotations

import argparse
from typing import Any

from .bundle import Bundle, load_bundle
from .errors import UsageError, usage
from .report import result_table
from .sources import held_out

__all__ = ["EVALUATION_BATCH", "evaluate", "measure"]

EVALUATION_BATCH = 256


def evaluate(args: argparse.Namespace) -> int:
    """Print the table of saved weights on the held-out part of their data, or of the data named."""
    import fastnn as fn

    if args.threads is not None:
        fn.set_num_threads(args.threads)
    bundle = load_bundle(args.weights)
    name = args.data or bundle.data
    with usage():
        data = held_out(name, args.data_dir, args.download, bundle.seed)
    shape = tuple(data.x.shape[1:])
    if shape != bundle.input_shape or len(data.classes) != len(bundle.classes):
        raise UsageError(
            f"{args.weights}: expected weights for {name} (images {shape} in {len(data.classes)} "
            f"classes), got weights for {bundle.input_shape} in {len(bundle.classes)}"
        )
    print(f"{bundle.name} on {name}: {args.weights}")
    print(result_table(measure(bundle, data, args.batch_size or EVALUATION_BATCH), [str(c) for c in data.classes]))
    return 0


def measure(bundle: Bundle, data: Any, batch_size: int) -> dict[str, Any]:
    """Return loss, accuracy and confusion matrix of a network on a dataset."""
    import fastnn as fn
    from fastnn.data import DataLoader
    from fastnn.training import ConfusionMatrix

    loss = fn.nn.CrossEntropyLoss()
    metrics = ["accuracy", ConfusionMatrix(len(bundle.classes))]
    optimizer = fn.optim.SGD(bundle.model.parameters(), lr=0.0)
    trainer = fn.Trainer(bundle.on_pixels(), loss, optimizer, metrics)
    return trainer.evaluate(DataLoader(data, batch_size))
