"""Results of kernels as JSON, as a table with weighted means, and as points under the roof."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import fastnn as fn

__all__ = ["machine", "means", "table", "write_report"]

Row = dict[str, Any]


def machine() -> dict[str, Any]:
    """Return what the figures belong to: processor, levels, versions."""
    facts: dict[str, Any] = dict(fn.config())
    facts["processor name"] = _processor()
    facts["system"] = platform.platform()
    for name in ("torch", "scipy", "sklearn"):
        try:
            facts[name] = __import__(name).__version__
        except ImportError:
            facts[name] = "not installed"
    return facts


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(text.split(":")[1].strip() for text in lines if text.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def means(rows: Sequence[Row]) -> list[Row]:
    """Return means weighted by FLOPs (by bytes, where memory bounds): shares of the limit, ratios to the best peer.

    One for each suite, pass and thread count over all its kernels, and one for each network among them.
    """
    groups: dict[tuple[str, str, int, str], list[tuple[Row, float]]] = {}
    for row in rows:
        for network, count in [("all", 1), *row["networks"].items()]:
            key = (row["suite"], row["what"], row["threads"], network)
            groups.setdefault(key, []).append((row, float(count)))
    result = []
    for (suite, what, threads, network), members in groups.items():
        took = sum(count * row["seconds"]["step"] for row, count in members)
        needed = sum(count * row["roof"] for row, count in members)
        theirs = sum(count * row["seconds"]["step"] * row["step_ratio"] for row, count in members if row["step_ratio"])
        compared = sum(count * row["seconds"]["step"] for row, count in members if row["step_ratio"])
        weights = np.array([count * (row["flops"] or row["bytes"]) for row, count in members])
        ratios = np.array([row["step_ratio"] or np.nan for row, _ in members])
        result.append(
            {
                "suite": suite,
                "what": what,
                "threads": threads,
                "network": network,
                "kernels": len(members),
                "share": needed / took,
                "time_ratio": theirs / compared if compared else None,
                "weighted_ratio": float((weights * ratios).sum() / weights.sum()) if compared else None,
                "worst_ratio": float(np.nanmin(ratios)) if compared else None,
            }
        )
    return result


def write_report(rows: Sequence[Row], folder: Path) -> None:
    """Write results.json, results.md and, where matplotlib is installed, roofline.png."""
    folder.mkdir(parents=True, exist_ok=True)
    facts, summary = machine(), means(rows)
    text = json.dumps({"machine": facts, "means": summary, "rows": list(rows)}, indent=1, default=str)
    (folder / "results.json").write_text(text + "\n")
    (folder / "results.md").write_text(_markdown(facts, summary, rows))
    try:
        import matplotlib as mpl
    except ImportError:
        return
    mpl.use("Agg")
    _roofline(rows, folder / "roofline.png")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return lines + ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]


def _markdown(facts: dict[str, Any], summary: Sequence[Row], rows: Sequence[Row]) -> str:
    lines = ["# Kernels", "", "Medians taken in turn. Ratios above 1: fastnn is faster than the best peer.", ""]
    lines += [f"- {name}: {value}" for name, value in facts.items()]
    lines += ["", "## Weighted means", ""]
    keys = ("suite", "what", "threads", "network", "kernels", "share", "time_ratio", "weighted_ratio")
    keys += ("worst_ratio",)
    lines += table([k.replace("_", " ") for k in keys], [[m[k] for k in keys] for m in summary])
    lines += ["", "## Kernels", ""]
    header = ["suite", "kernel", "threads", "algorithm", "GFLOP/s", "share of limit", "ms", "ratio, called", "step"]
    body = [
        [
            row["suite"],
            row["name"],
            row["threads"],
            "+".join(dict.fromkeys(row["algorithms"])),
            row["gflops"],
            row["share"],
            f"{row['seconds']['step'] * 1e3:.4f}",
            row["ratio"],
            row["step_ratio"],
        ]
        for row in rows
    ]
    return "\n".join(lines + table(header, body)) + "\n"


def _roofline(rows: Sequence[Row], path: Path) -> None:
    """Points (FLOPs a byte moved, GFLOP/s) of what has both, under the highest peak and bandwidth measured."""
    import matplotlib.pyplot as plt

    moved = [row for row in rows if row["bytes"] and row["flops"]]
    figure, axes = plt.subplots(1, 2, figsize=(13, 6))
    for threads in sorted({row["threads"] for row in rows}):
        mine = [row for row in rows if row["threads"] == threads]
        peak = float(np.median([row["peak_gflops"] for row in mine]))
        ranked = sorted(row["gflops"] / peak for row in mine)
        axes[0].plot(np.linspace(0, 1, len(ranked)), ranked, ".", label=f"{threads} thread(s), peak {peak:.0f} GFLOP/s")
        points = [row for row in moved if row["threads"] == threads]
        if points:
            x = np.array([row["flops"] / row["bytes"] for row in points])
            stream = max(row["bytes"] / row["roof"] for row in points) * 1e-9
            span = np.geomspace(x.min() / 2, x.max() * 2)
            axes[1].plot(span, np.minimum(peak, span * stream), "-")
            axes[1].plot(x, [row["gflops"] for row in points], ".", label=f"{threads} thread(s), {stream:.0f} GB/s")
    axes[0].set(xlabel="kernels, slowest first", ylabel="share of the multiply-add peak")
    axes[1].set(xscale="log", yscale="log", xlabel="FLOPs a byte", ylabel="GFLOP/s")
    for axis in axes:
        axis.grid(True, alpha=0.3)
        if axis.lines:
            axis.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)
