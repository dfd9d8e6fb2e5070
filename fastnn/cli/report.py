"""The table that a run ends with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["result_table"]


def result_table(result: dict[str, Any], classes: Sequence[str]) -> str:
    """Return loss, accuracy and a line a class, from an evaluation with a confusion matrix.

    Examples
    --------
    >>> import numpy as np
    >>> result = {"loss": 0.5, "accuracy": 0.75, "confusion_matrix": np.array([[2, 0], [1, 1]])}
    >>> print(result_table(result, ["cat", "dog"]))
    class  precision  recall      F1   count
    cat        0.667   1.000   0.800       2
    dog        1.000   0.500   0.667       2
    accuracy 75.00 % of 4 held-out images, loss 0.5000
    """
    from ..training import class_report

    matrix = np.asarray(result["confusion_matrix"])
    width = max(5, *(len(name) for name in classes))
    lines = [f"{'class':<{width}}  precision  recall      F1   count"]
    for row in class_report(matrix, classes):
        lines.append(
            f"{row['class']:<{width}}  {row['precision']:9.3f}  {row['recall']:6.3f}  "
            f"{row['f1']:6.3f}  {row['count']:6d}"
        )
    lines.append(
        f"accuracy {100 * result['accuracy']:.2f} % of {int(matrix.sum())} held-out images, loss {result['loss']:.4f}"
    )
    return "\n".join(lines)
