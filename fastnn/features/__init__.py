"""Features of images: made by hand (extra ``features``), or taken from a trained network and kept on disk."""

from .by_hand import BagOfVisualWords, colour_histogram, hog
from .extraction import extract

__all__ = ["BagOfVisualWords", "colour_histogram", "extract", "hog"]
