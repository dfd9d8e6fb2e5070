"""Peak memory of some training steps above what the imports took, in MB: network_memory.py NETWORK FORM THREADS."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

__all__ = ["main"]

STEPS = 3


def resident(field: str) -> float:
    """Return VmRSS (now) or VmHWM (the most so far) in MB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(text.split()[1]) / 1e3 for text in lines if text.startswith(field))


def main() -> None:
    """Run the steps and print the difference."""
    name, form, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
    import fastnn as fn
    from networks import NETWORKS

    network = next(network for network in NETWORKS if network.name == name)
    if form != "fastnn":
        import torch

        torch.set_num_threads(threads)
    from network_steps import fastnn_step, torch_step

    fn.set_num_threads(threads)
    before = resident("VmRSS")
    step = fastnn_step(network) if form == "fastnn" else torch_step(network, form)
    for _ in range(STEPS):
        step()
    print(f"{resident('VmHWM') - before:.1f}")


if __name__ == "__main__":
    main()
