"""Whole training steps (or inference) of networks beside PyTorch's: time, and peak memory above the imports."""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from measure import alternate, at_threads, with_torch_threads
from network_steps import TORCH_FORMS, fastnn_inference, fastnn_step, torch_inference, torch_step
from networks import NETWORKS, Network
from report import machine, table

__all__ = ["NAME", "add_arguments", "run"]

NAME = "networks"
Row = dict[str, Any]
HERE = Path(__file__).resolve().parent


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what only this command takes."""
    parser.add_argument("--match", default="", help="only networks whose name holds this text")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compile", action="store_true", help="torch.compile as a third peer (minutes a network)")
    parser.add_argument("--inference", type=int, nargs="+", metavar="BATCH", help="time eval() at these instead")
    parser.add_argument("--memory", action="store_true", help="measure peak memory too, each in a process of its own")


def run(args: argparse.Namespace) -> None:
    """Measure, print as it goes, write results.json, results.md and bars.png."""
    networks = [network for network in NETWORKS if args.match in network.name]
    if args.quick:
        networks = [network for network in networks if network.shape[1] == 1]
    forms = TORCH_FORMS if args.compile else TORCH_FORMS[:2]
    if not importlib.util.find_spec("torch"):
        forms = ()
    rows = []
    for threads in args.threads:
        for network in networks:
            for size in args.inference or (None,):
                row = measure(network, threads, size, forms, 3 if args.quick else args.rounds)
                if args.memory and size is None:
                    row["memory"] = {form: peak_memory(network, form, threads) for form in ("fastnn", *forms[1:2])}
                rows.append(row)
                print(line(row), flush=True)
    write(rows, args.out)


def measure(network: Network, threads: int, size: int | None, forms: Sequence[str], rounds: int) -> Row:
    """Return one row: seconds by name, the best peer and the ratio to it."""
    works = {"fastnn": at_threads(threads, fastnn_step(network) if size is None else fastnn_inference(network, size))}
    for form in forms:
        work = torch_step(network, form) if size is None else torch_inference(network, form, size)
        works[f"torch {form}"] = with_torch_threads(threads, work)
    times = alternate(works, rounds)
    peers = {name: t for name, t in times.items() if name != "fastnn"}
    best = min(peers, key=lambda name: peers[name], default=None)
    return {
        "network": network.name,
        "what": "training step" if size is None else "inference",
        "batch": size or network.shape[0],
        "threads": threads,
        "seconds": times,
        "best_peer": best,
        "ratio": peers[best] / times["fastnn"] if best else None,
        "target": network.target if size is None else 1.5,
        "memory_target": network.memory,
    }


def peak_memory(network: Network, form: str, threads: int) -> float:
    """Return the MB that a few steps need above what the imports took, in a fresh process."""
    command = [sys.executable, str(HERE / "network_memory.py"), network.name, form, str(threads)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])


def memory_share(row: Row) -> float | None:
    """Return our peak memory over the peer's."""
    values = list(row.get("memory", {}).values())
    return values[0] / values[1] if len(values) == 2 else None


def line(row: Row) -> str:
    """Return a row in words."""
    cells = ", ".join(f"{name} {t * 1e3:.3f} ms" for name, t in row["seconds"].items())
    text = f"{row['network']} {row['what']}, batch {row['batch']}, {row['threads']} threads: {cells}"
    if row["ratio"]:
        text += f"; {row['ratio']:.2f}x (target {row['target']})"
    for name, megabytes in row.get("memory", {}).items():
        text += f"; {name} {megabytes:.0f} MB"
    return text


def write(rows: Sequence[Row], folder: Path) -> None:
    """Write the results as JSON, as a table, and as bars where matplotlib is installed."""
    folder.mkdir(parents=True, exist_ok=True)
    facts = machine()
    (folder / "networks.json").write_text(json.dumps({"machine": facts, "rows": rows}, indent=1, default=str) + "\n")
    header = ["network", "what", "batch", "threads", "fastnn ms", "best peer", "its ms", "ratio", "target", "memory"]
    body = []
    for row in rows:
        theirs = row["seconds"][row["best_peer"]] * 1e3 if row["best_peer"] else None
        first = [row[key] for key in ("network", "what", "batch", "threads")]
        last = [row["ratio"], row["target"], memory_share(row)]
        body.append([*first, row["seconds"]["fastnn"] * 1e3, row["best_peer"], theirs, *last])
    lines = ["# Networks", "", "Medians taken in turn. Ratios above 1: fastnn is faster than the best peer.", ""]
    lines += [f"- {name}: {value}" for name, value in facts.items()]
    for threads in sorted({row["threads"] for row in rows}):
        ratios = [row["ratio"] for row in rows if row["threads"] == threads and row["ratio"]]
        if ratios:
            lines.append(f"- geometric mean, {threads} thread(s): {np.exp(np.mean(np.log(ratios))):.2f}")
    (folder / "networks.md").write_text("\n".join([*lines, "", *table(header, body)]) + "\n")
    if importlib.util.find_spec("matplotlib"):
        bars([row for row in rows if row["ratio"]], folder / "networks.png")


def bars(rows: Sequence[Row], path: Path) -> None:
    """Draw each ratio as a bar, and its target as a mark."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 1 + 0.35 * len(rows)))
    names = [f"{row['network']}, batch {row['batch']}, {row['threads']} thread(s)" for row in rows]
    axes.barh(names, [row["ratio"] for row in rows])
    axes.plot([row["target"] for row in rows], names, "k|", markersize=14, label="target")
    axes.axvline(1.0, color="grey")
    axes.invert_yaxis()
    axes.set(xlabel="times faster than PyTorch's best")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)
