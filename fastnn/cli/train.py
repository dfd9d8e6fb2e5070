"""`fastnn train`."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from typing import Any

from .bundle import Bundle, load_bundle, make_model, save_bundle
from .errors import UsageError, usage
from .evaluate import EVALUATION_BATCH, measure
from .pixels import Normalization
from .recipes import Recipe, make_optimizer, make_schedule, recipe_for
from .report import result_table
from .sources import augmented, quick_parts, training_parts

__all__ = ["train"]

INTERRUPTED = 130
QUICK_EPOCHS = 2


def train(args: argparse.Namespace) -> int:
    """Train a network, print its table, and leave weights, history and curves in a folder."""
    import fastnn as fn

    if args.threads is not None:
        fn.set_num_threads(args.threads)
    fn.manual_seed(args.seed)
    recipe = recipe_for(
        args.data,
        model=args.model,
        epochs=args.epochs,
        batch_size=args.batch_size,
        optimizer=args.optimizer,
        lr=args.lr,
        weight_decay=args.weight_decay,
        schedule=args.schedule,
    )
    with usage():
        if args.quick:
            recipe = replace(recipe, epochs=min(recipe.epochs, QUICK_EPOCHS))
            train_set, test_set = quick_parts(args.data, args.data_dir, args.download, args.seed)
        else:
            train_set, test_set = training_parts(args.data, args.data_dir, args.download, args.seed)
        folder = _make_folder(args.out or f"fastnn-{args.data}")
    bundle = _make_bundle(args, recipe, train_set)
    trainer, loader, test_loader = _make_trainer(args, bundle, recipe, train_set, test_set, folder)
    enlarged = train_set.name == "digits" and args.data != "digits"
    shown = f"digits in the shape of {args.data}" if enlarged else args.data
    print(
        f"{recipe.model} on {shown}: {_count(bundle.model):,} parameters, {len(train_set):,} training images, "
        f"{len(test_set):,} held out; {recipe.optimizer}, lr {recipe.lr:g} ({recipe.schedule}), "
        f"batches of {recipe.batch_size}, {fn.get_num_threads()} threads",
        flush=True,
    )
    state = os.path.join(folder, "state.fastnn") if args.checkpoint else None
    with usage():
        if state is not None and os.path.exists(state):
            trainer.load(state)
    if trainer.epoch < recipe.epochs:
        trainer.fit(loader, test_loader, epochs=recipe.epochs, checkpoint=state)
    history = trainer.history
    # written before the final evaluation, which a second Ctrl-C may cut short
    written = _leave(bundle, trainer, folder)
    print(result_table(measure(bundle, test_set, EVALUATION_BATCH), bundle.classes))
    print("wrote " + ", ".join(written))
    return INTERRUPTED if history.status == "interrupted" else 0


def _make_folder(path: str) -> str:
    if os.path.exists(path) and not os.path.isdir(path):
        raise UsageError(f"{path}: expected a folder to write to, got a file")
    os.makedirs(path, exist_ok=True)
    return path


def _make_bundle(args: argparse.Namespace, recipe: Recipe, train_set: Any) -> Bundle:
    """Return the network to train: a fresh one, or the one whose weights were given."""
    shape = tuple(train_set.x.shape[1:])
    classes = [str(name) for name in train_set.classes]
    normalization = Normalization.of(train_set.scale, train_set.mean, train_set.std)
    if args.weights is None:
        with usage():
            model = make_model(recipe.model, len(classes), shape)
        return Bundle(model, recipe.model, classes, shape, normalization, args.data, args.seed)
    bundle = load_bundle(args.weights)
    if bundle.input_shape != shape or len(bundle.classes) != len(classes):
        raise UsageError(
            f"{args.weights}: expected weights for images {shape} in {len(classes)} classes, "
            f"got {bundle.input_shape} in {len(bundle.classes)}"
        )
    if args.model not in (None, bundle.name):
        raise UsageError(f"{args.weights}: expected weights of model {args.model}, got {bundle.name}")
    bundle.data, bundle.seed, bundle.classes = args.data, args.seed, classes
    bundle.normalization = normalization
    return bundle


def _make_trainer(
    args: argparse.Namespace, bundle: Bundle, recipe: Recipe, train_set: Any, test_set: Any, folder: str
) -> tuple[Any, Any, Any]:
    import fastnn as fn
    from fastnn.data import DataLoader
    from fastnn.training import CSVLogger

    transform = augmented(args.data, bundle.input_shape) if args.augment else None
    loader = DataLoader(train_set, recipe.batch_size, shuffle=True, transform=transform)
    test_loader = DataLoader(test_set, EVALUATION_BATCH)
    with usage():
        optimizer = make_optimizer(recipe, bundle.model.parameters())
    callbacks = [*make_schedule(recipe, optimizer, len(loader)), CSVLogger(os.path.join(folder, "history.csv"))]
    trainer = fn.Trainer(bundle.on_pixels(), fn.nn.CrossEntropyLoss(), optimizer, ["accuracy"], callbacks)
    return trainer, loader, test_loader


def _count(model: Any) -> int:
    return sum(p.numel() for p in model.parameters())


def _leave(bundle: Bundle, trainer: Any, folder: str) -> list[str]:
    """Write the weights, the history and, with matplotlib, the curves; return their paths."""
    from ..training.curves import can_plot

    weights = os.path.join(folder, "weights.safetensors")
    save_bundle(bundle, weights)
    written = [weights, os.path.join(folder, "history.csv")]
    with usage():
        trainer.history.save_csv(written[1])
        if trainer.history and can_plot():
            written.append(os.path.join(folder, "curves.png"))
            trainer.history.plot(written[-1])
        elif trainer.history:
            print("no curves.png: matplotlib is not installed", file=sys.stderr)
    return written
