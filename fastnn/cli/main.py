"""The command `fastnn`: its options, and what its exit status says."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from .._backend import MOST_THREADS
from .errors import UsageError
from .recipes import DATASETS, OPTIMIZERS, SCHEDULES

__all__ = ["main"]

COMMANDS = ("train", "evaluate", "predict", "info")
OK, FAILED, MISUSED, INTERRUPTED = 0, 1, 2, 130


class _Parser(argparse.ArgumentParser):
    """An argument parser whose complaint is one line."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} ({self.prog} --help lists the options)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments; those of the process unless given.

    Returns
    -------
    int
        0; 1 if training failed (a loss that is not finite); 2 for a bad option, folder or file, after one line on
        standard error; 130 after Ctrl-C.

    Examples
    --------
    >>> from fastnn.cli import main
    >>> main(["train", "--epochs", "-1"])
    2
    """
    name = "fastnn"
    try:
        words = sys.argv[1:] if argv is None else argv
        if words and words[0] in COMMANDS:
            name = f"fastnn {words[0]}"
        args = _parser().parse_args(words)
        return _command(args.command)(args)
    except UsageError as error:
        return _complain(name, error, MISUSED)
    except FloatingPointError as error:
        return _complain(name, error, FAILED)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # the reader of standard output has gone; Python would complain once more at exit
        sys.stdout = None
        return FAILED


def _complain(name: str, error: Exception, status: int) -> int:
    print(f"{name}: error: {' '.join(str(error).split())}", file=sys.stderr)
    return status


def _command(name: str) -> Callable[[argparse.Namespace], int]:
    """Import a command when it is called: `fastnn info` needs no trainer."""
    if name == "train":
        from .train import train as command
    elif name == "evaluate":
        from .evaluate import evaluate as command
    elif name == "predict":
        from .predict import predict as command
    else:
        from .info import info as command
    return command


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="fastnn", description="Train neural networks on CPUs, fast.")
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)
    _add_train(commands)
    _add_evaluate(commands)
    _add_predict(commands)
    commands.add_parser("info", help="print version, backend, instruction level and threads, and why")
    return parser


class _Version(argparse.Action):
    """Print the version, read when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *args: object) -> NoReturn:
        from .._version import __version__

        print(f"fastnn {__version__}")
        parser.exit(OK)


def _add_data_options(command: argparse.ArgumentParser, default: str | None) -> None:
    command.add_argument(
        "--data",
        choices=DATASETS,
        default=default,
        metavar="NAME",
        help=f"{', '.join(DATASETS)} (default: {default or 'what the weights were trained on'})",
    )
    command.add_argument(
        "--data-dir",
        metavar="DIR",
        help="folder with the data set's original files (default: $FASTNN_DATA_DIR, or ~/.cache/fastnn)",
    )
    command.add_argument("--download", action="store_true", help="fetch the data set if it is not there")


def _add_common_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--threads", type=_whole(1, MOST_THREADS), metavar="N", help="threads to compute with")
    command.add_argument("--batch-size", type=_whole(1), metavar="N", help="images in a batch")


def _add_train(commands: argparse._SubParsersAction[_Parser]) -> None:
    command = commands.add_parser("train", help="train a network; without options a small CNN on the digits")
    _add_data_options(command, "digits")
    _add_common_options(command)
    command.add_argument("--model", metavar="NAME", help="the network (default: one that suits the data)")
    command.add_argument("--epochs", type=_whole(1), metavar="N", help="passes over the training data")
    command.add_argument("--optimizer", choices=OPTIMIZERS, metavar="NAME", help=", ".join(OPTIMIZERS))
    command.add_argument("--lr", type=_positive, metavar="RATE", help="learning rate (the peak of its schedule)")
    command.add_argument("--weight-decay", type=_not_negative, metavar="X", help="weight decay of the optimizer")
    command.add_argument(
        "--schedule", choices=SCHEDULES, metavar="NAME", help=f"course of the learning rate: {', '.join(SCHEDULES)}"
    )
    command.add_argument(
        "--seed", type=_whole(0, 2**64 - 1), default=0, metavar="N", help="seed of everything (default: 0)"
    )
    command.add_argument("--weights", metavar="FILE", help="weights to start from")
    command.add_argument(
        "--quick",
        action="store_true",
        help="two epochs of 256 images, to see that all works; where no folder is named, of digits in the data's shape",
    )
    command.add_argument(
        "--augment", action="store_true", help="train on random crops and, where they mean the same, mirror images"
    )
    command.add_argument(
        "--checkpoint",
        action="store_true",
        help="save the whole state after every epoch and on Ctrl-C, and go on from it if the folder has one",
    )
    command.add_argument(
        "--out", metavar="DIR", help="folder for weights, history and (with matplotlib) curves (default: fastnn-<data>)"
    )


def _add_evaluate(commands: argparse._SubParsersAction[_Parser]) -> None:
    command = commands.add_parser("evaluate", help="measure saved weights on held-out data")
    command.add_argument("--weights", required=True, metavar="FILE", help="a file that `fastnn train` wrote")
    _add_data_options(command, None)
    _add_common_options(command)


def _add_predict(commands: argparse._SubParsersAction[_Parser]) -> None:
    command = commands.add_parser("predict", help="classify image files with saved weights")
    command.add_argument("--weights", required=True, metavar="FILE", help="a file that `fastnn train` wrote")
    command.add_argument("--top", type=_whole(1), default=3, metavar="K", help="classes to list (default: 3)")
    command.add_argument("--invert", action="store_true", help="swap dark and bright (ink on paper for MNIST)")
    command.add_argument("images", nargs="+", metavar="IMAGE", help="image files of any size")
    _add_common_options(command)


def _whole(least: int, most: float = math.inf) -> Callable[[str], int]:
    def convert(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"expected a whole number >= {least}, got {text!r}")
        if value > most:
            raise argparse.ArgumentTypeError(f"expected a whole number from {least} to {most}, got {text!r}")
        return value

    return convert


def _number(text: str, what: str, allowed: Callable[[float], bool]) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not allowed(value) or value == float("inf"):
        raise argparse.ArgumentTypeError(f"expected {what}, got {text!r}")
    return value


def _positive(text: str) -> float:
    return _number(text, "a number > 0", lambda value: value > 0)


def _not_negative(text: str) -> float:
    return _number(text, "a number >= 0", lambda value: value >= 0)
