"""Files: weights and checkpoints as safetensors, written so that a crash leaves the old file or the new one."""

from .checkpoint import load_state, save_state
from .weights import load, load_metadata, save

__all__ = ["load", "load_metadata", "load_state", "save", "save_state"]
