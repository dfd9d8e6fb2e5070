"""fastnn beside PyTorch and NumPy on the same CPU, in turn, in one process.

    python -m bench.peers kernels [--suite conv] [--threads 1 2] [--quick] [--out results]
    python -m bench.peers networks [--quick]
    python -m bench.peers curves [--quick]
    python -m bench.peers accuracy --data-dir DIR [--quick]
    python -m bench.peers scaling [--suite pooling]
    python -m bench.peers oracle [--level baseline] [--suite pooling]

Peers that are not installed are left out; PyTorch is measured as ``pip install torch==2.13.0`` gives it. Every result
is checked once before it is timed. Results go to a folder: JSON, a table, and the kernels under the roof as a picture.
"""

from __future__ import annotations

import sys
from pathlib import Path

# Modules of this folder import each other by name, and an unbuilt source tree must not hide the installed package.
HERE = Path(__file__).resolve().parent
if not (HERE.parent / "fastnn" / "_build_info.py").exists():
    sys.path[:] = [p for p in sys.path if Path(p or ".").resolve() != HERE.parent]
sys.path.insert(0, str(HERE))

import argparse  # noqa: E402

__all__ = ["main"]


def main() -> None:
    """Run the suite that was asked for."""
    import curves
    import lowest_level
    import peer_accuracy
    import peer_kernels
    import peer_networks
    import scaling

    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(required=True)
    for module in (peer_kernels, peer_networks, curves, peer_accuracy, scaling, lowest_level):
        command = commands.add_parser(module.NAME, help=(module.__doc__ or "").split("\n")[0])
        command.add_argument("--threads", type=int, nargs="+", default=[1, 2])
        command.add_argument("--quick", action="store_true", help="a few cases of each suite, fewer rounds")
        command.add_argument("--out", type=Path, default=Path("bench-results"), help="folder of the results")
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
