"""Arrays by name in one safetensors file: what a model's weights are saved as.

The format: 8 bytes with the header's length (little-endian), a JSON header that gives each tensor's dtype,
shape and byte range, then the bytes. It can hold numbers and strings only, so that loading a file runs
nothing. Headers are written here, in a fixed order (equal input gives equal files), and validated on reading
by the safetensors package.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from .atomic import atomic_write

__all__ = ["load", "load_metadata", "save"]

Path = str | os.PathLike[str]

MAX_HEADER = 100_000_000  # the format's own limit, in bytes

_DTYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"), "F32": np.dtype("<f4"), "F16": np.dtype("<f2"), "C64": np.dtype("<c8"),
    "I64": np.dtype("<i8"), "I32": np.dtype("<i4"), "I16": np.dtype("<i2"), "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"), "U32": np.dtype("<u4"), "U16": np.dtype("<u2"), "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}  # fmt: skip
_CODES = {dtype: code for code, dtype in _DTYPES.items()}


def save(model_or_dict: Any, path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Save a model's weights, or arrays by name, to a safetensors file in one atomic step.

    A crash, a full disk or Ctrl-C at any moment leaves the old file or the new one. Any program that reads
    safetensors reads the file, PyTorch's included.

    Parameters
    ----------
    model_or_dict : Module or mapping of str to array
        Something with a ``state_dict()``, or the arrays themselves (any strides; saved in C order).
    path : str or path-like
        The file to make or replace; an existing one keeps its permission bits.
    metadata : mapping of str to str, optional
        Free text kept in the header. Use ``json.dumps`` for anything else.

    Raises
    ------
    TypeError
        If a name or a metadata entry is not a string, or an array's dtype has no place in the format.
    ValueError
        If a name is reserved, or the header passes the format's 100 MB.
    OSError
        If the file cannot be written; it names ``path``.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from fastnn.io import load, load_metadata, save
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "weights.safetensors")
    ...     save({"weight": np.ones((2, 3), np.float32)}, path, metadata={"made by": "an example"})
    ...     load(path)["weight"].shape, load_metadata(path)
    ((2, 3), {'made by': 'an example'})
    """
    state = model_or_dict.state_dict() if hasattr(model_or_dict, "state_dict") else model_or_dict
    if not isinstance(state, Mapping):
        raise TypeError(f"save: expected a module or a dict of arrays, got {type(model_or_dict).__name__}")
    arrays = {_checked_name(name): _plain_array(name, value) for name, value in state.items()}
    atomic_write(path, _encode(arrays, _checked_metadata(metadata)))


def load(path: Path) -> dict[str, np.ndarray]:
    """Load the arrays of a safetensors file.

    Parameters
    ----------
    path : str or path-like
        A file made by `save` or by any other writer of the format.

    Returns
    -------
    dict of str to ndarray
        Fresh arrays in the header's order, for ``model.load_state_dict``. bfloat16, which NumPy lacks, becomes float32.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If it is not a whole and valid safetensors file, or holds a dtype that NumPy has no equal of; it names ``path``.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np
    >>> from fastnn.io import load, save
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "weights.safetensors")
    ...     save({"bias": np.arange(3.0)}, path)
    ...     load(path)
    {'bias': array([0., 1., 2.])}
    """
    return _load(path)[0]


def load_metadata(path: Path) -> dict[str, str]:
    """Return the metadata of a safetensors file; only the header is read.

    Parameters
    ----------
    path : str or path-like
        A file made by `save` or by any other writer of the format.

    Returns
    -------
    dict of str to str
        What was given as ``metadata``; empty if nothing was.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If its header is not that of a safetensors file; it names ``path``.

    Examples
    --------
    >>> import os, tempfile
    >>> from fastnn.io import load_metadata, save
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "weights.safetensors")
    ...     save({}, path, metadata={"epochs": "5"})
    ...     load_metadata(path)
    {'epochs': '5'}
    """
    with open(path, "rb") as file:
        return _metadata_of(path, _read_header(path, file)[1])


def _checked_name(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"save: expected array names to be strings, got {name!r}")
    if name == "__metadata__":
        raise ValueError("save: the name '__metadata__' is reserved by the safetensors format")
    return _encodable("array name", name)


def _checked_metadata(metadata: Mapping[str, str] | None) -> dict[str, str]:
    if metadata is not None and not isinstance(metadata, Mapping):
        raise TypeError(f"save: expected metadata as a dict of strings, got {type(metadata).__name__}")
    for key, value in (metadata or {}).items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise TypeError(f"save: expected metadata of strings to strings, got {key!r}: {value!r}")
        _encodable("metadata key", key), _encodable("metadata value", value)
    return dict(metadata or {})


def _encodable(what: str, text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"save: expected {what} to be valid Unicode, got {text!r} ({error.reason})") from None
    return text


def _plain_array(name: str, value: Any) -> np.ndarray:
    """Return ``value`` as a little-endian C-ordered array of a dtype that the format knows."""
    array = np.asarray(value)
    dtype = array.dtype.newbyteorder("<")
    if dtype not in _CODES:
        raise TypeError(f"save: expected array {name!r} to have one of the dtypes of safetensors, got {array.dtype}")
    return np.asarray(array, dtype=dtype, order="C")


def _encode(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, str]) -> Iterator[bytes | memoryview]:
    """Return the file's chunks; the header is made, and checked, before the first is asked for."""
    # Wide dtypes first, so that every tensor is aligned to its item size.
    names = sorted(arrays, key=lambda name: -arrays[name].dtype.itemsize)
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    offset = 0
    for name in names:
        array = arrays[name]
        end = offset + array.nbytes
        header[name] = {"dtype": _CODES[array.dtype], "shape": list(array.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    if len(text) > MAX_HEADER:
        raise ValueError(f"save: expected a header of at most {MAX_HEADER} bytes, got {len(text)}; save less metadata")

    def chunks() -> Iterator[bytes | memoryview]:
        yield len(text).to_bytes(8, "little") + text
        for name in names:
            if arrays[name].size:
                yield arrays[name].reshape(-1).view(np.uint8).data

    return chunks()


def _read_header(path: Path, file: Any) -> tuple[bytes, dict[str, Any]]:
    """Return the file's first bytes and the header they hold; nothing is read that the file's size does not cover."""
    size = os.fstat(file.fileno()).st_size
    prefix = file.read(8)
    if len(prefix) < 8:
        raise ValueError(f"{os.fspath(path)}: expected a safetensors file, got {len(prefix)} bytes in all")
    length = int.from_bytes(prefix, "little")
    if length > min(MAX_HEADER, size - 8):
        raise ValueError(
            f"{os.fspath(path)}: expected a safetensors header of at most {min(MAX_HEADER, size - 8)} bytes, "
            f"got a length of {length}: not a safetensors file, or a truncated one"
        )
    text = file.read(length)
    try:
        header = json.loads(text.decode())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{os.fspath(path)}: expected a safetensors header in JSON, got {error}") from None
    if not isinstance(header, dict):
        raise ValueError(
            f"{os.fspath(path)}: expected a safetensors header that is an object, got {type(header).__name__}"
        )
    return prefix + text, header


def _metadata_of(path: Path, header: Mapping[str, Any]) -> dict[str, str]:
    metadata = header.get("__metadata__") or {}
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ValueError(f"{os.fspath(path)}: expected metadata of strings to strings")
    return metadata


def _load(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return a file's arrays, in the header's order, and its metadata."""
    import safetensors

    with open(path, "rb") as file:
        start, header = _read_header(path, file)
        content = start + file.read()
    try:
        tensors = dict(safetensors.deserialize(content))  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as error:
        raise ValueError(f"{os.fspath(path)}: expected a valid safetensors file, got {error}") from None
    arrays = {name: _decode(path, name, tensors[name]) for name in header if name in tensors}
    return arrays, _metadata_of(path, header)


def _decode(path: Path, name: str, tensor: Mapping[str, Any]) -> np.ndarray:
    code: str = tensor["dtype"]
    data: bytearray = tensor["data"]
    if code == "BF16":
        wide: np.ndarray = np.frombuffer(data, np.uint16).astype(np.uint32) << np.uint32(16)
        return wide.view(np.float32).reshape(tensor["shape"])
    if code not in _DTYPES:
        raise ValueError(f"{os.fspath(path)}: expected a dtype that NumPy has, got {code} for tensor {name!r}")
    if code == "BOOL" and any(byte > 1 for byte in set(data)):
        raise ValueError(f"{os.fspath(path)}: expected bytes 0 and 1 in boolean tensor {name!r}")
    try:
        return np.frombuffer(data, _DTYPES[code]).reshape(tensor["shape"])
    except ValueError:
        wanted = f"a shape for {len(data)} bytes of tensor {name!r}"
        raise ValueError(f"{os.fspath(path)}: expected {wanted}, got {tensor['shape']}") from None
