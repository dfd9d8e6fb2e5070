"""Image data sets: one shipped in the package, the rest read from their original files in a folder."""

from .cifar import cifar10
from .folder import ImageFolder, read_image
from .idx import read_idx
from .mnist_family import fashion_mnist, mnist
from .uci_digits import digits

__all__ = ["ImageFolder", "cifar10", "digits", "fashion_mnist", "mnist", "read_idx", "read_image"]
