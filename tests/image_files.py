"""Tiny files in the formats of the image data sets, made on the spot."""

import gzip
import io
import lzma
import struct
import tarfile

import numpy as np

PACKERS = {"": bytes, ".gz": lambda data: gzip.compress(data, 1), ".xz": lzma.compress}


def idx(array):
    """Return an array of bytes as an IDX file."""
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_mnist(folder, images, labels, part="train", suffix="", dot=False):
    """Write the two files of one part in MNIST's names."""
    folder.mkdir(parents=True, exist_ok=True)
    for kind, array in (("images-idx3", images), ("labels-idx1", labels)):
        name = f"{part}-{kind}-ubyte"
        name = name.replace("-idx", ".idx") if dot else name
        (folder / (name + suffix)).write_bytes(PACKERS[suffix](idx(array)))


def cifar_binary(labels, pixels):
    """Return a binary CIFAR batch: a label, then 3072 bytes, for each image."""
    return np.concatenate([labels[:, None], pixels.reshape(len(labels), -1)], axis=1).astype(np.uint8).tobytes()


def python2_string(text):
    data = text.encode("latin1") if isinstance(text, str) else text
    return b"U" + bytes([len(data)]) + data if len(data) < 256 else b"T" + struct.pack("<i", len(data)) + data


def python2_int(value):
    if 0 <= value < 256:
        return b"K" + bytes([value])
    return b"M" + struct.pack("<H", value) if 0 <= value < 65536 else b"J" + struct.pack("<i", value)


class Memo:
    """Numbers the PUT opcodes that Python 2's pickler writes after everything it may meet again."""

    def __init__(self):
        self.count = 0

    def put(self):
        self.count += 1
        return b"q" + bytes([self.count]) if self.count < 256 else b"r" + struct.pack("<I", self.count)


def python2_batch(labels, pixels, order="C"):
    """Return a CIFAR batch as Python 2's cPickle wrote it in protocol 2, opcode by opcode."""
    memo = Memo()
    put = memo.put
    rows = pixels.reshape(len(labels), -1)
    out = [b"\x80\x02}", put(), b"("]
    out += [python2_string("batch_label"), put(), python2_string("training batch 1 of 5"), put()]
    out += [python2_string("labels"), put(), b"]", put(), b"(", *(python2_int(int(n)) for n in labels), b"e"]
    out += [python2_string("data"), put(), b"cnumpy.core.multiarray\n_reconstruct\n", put()]
    out += [b"cnumpy\nndarray\n", put(), b"K\x00\x85", python2_string("b"), b"\x87R", put()]
    out += [b"(K\x01", python2_int(rows.shape[0]), python2_int(rows.shape[1]), b"\x86", put()]
    out += [b"cnumpy\ndtype\n", put(), python2_string("u1"), put(), b"K\x00K\x01\x87R", put()]
    out += [b"(K\x03", python2_string("|"), put(), b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"]
    out += [b"\x89" if order == "C" else b"\x88", python2_string(rows.tobytes(order)), put(), b"tb"]
    out += [python2_string("filenames"), put(), b"]", put(), b"("]
    out += [part for i in range(len(labels)) for part in (python2_string(f"image_s_{i:06}.png"), put())]
    return b"".join([*out, b"eu."])


def tarball(files, mode="w:gz"):
    """Return a tar archive of a folder with the given files."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(f"cifar/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return buffer.getvalue()
