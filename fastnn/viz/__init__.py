"""Pictures of training and of what was learned (extra ``plot``): functions that return a figure and can save it."""

from .comparison import accuracy_against_operations
from .curves import bars, histograms, learning_curves, lines, lr_range
from .graph import computation
from .images import activation_maps, confusion_matrix, filters, image_grid, misclassified, templates
from .surfaces import boundary, contour, loss_surface

__all__ = [
    "accuracy_against_operations",
    "activation_maps",
    "bars",
    "boundary",
    "computation",
    "confusion_matrix",
    "contour",
    "filters",
    "histograms",
    "image_grid",
    "learning_curves",
    "lines",
    "loss_surface",
    "lr_range",
    "misclassified",
    "templates",
]
