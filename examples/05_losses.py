"""Losses of a classifier: hinge and softmax on the scores of a lecture, and what each is content with."""

import math

import numpy as np
from lesson import say, start

import fastnn.nn.functional as F
from fastnn import nn, viz

SCORES = np.array([[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]])  # of a cat, a car and a frog
CLASSES = np.array([0, 1, 2])


def main():
    """Print the worked numbers, then draw each loss over the right class's score."""
    args = start(__doc__, __file__)
    for name, loss in zip(
        ("cat", "car", "frog"), F.multiclass_hinge_loss(SCORES, CLASSES, reduction="none"), strict=True
    ):
        say(f"hinge loss of the {name}", loss)
    say("mean hinge loss", nn.MulticlassHingeLoss()(SCORES, CLASSES))
    for name, p in zip(("cat", "car", "frog"), F.softmax(SCORES[0], dim=0), strict=True):
        say(f"probability of {name}, from the cat's scores", p)
    natural = nn.CrossEntropyLoss()(SCORES[:1], CLASSES[:1])
    say("softmax loss of the cat, natural logarithm", natural)
    say("the same to base 10, as a slide has it", natural / math.log(10))
    for k in (3, 10):
        scores, y = np.zeros((1, k)), np.array([0])
        say(f"hinge loss of {k} equal scores (K - 1)", F.multiclass_hinge_loss(scores, y))
        say(f"softmax loss of {k} equal scores (ln K)", F.cross_entropy(scores, y))

    # the cat's score moves, the others stay: hinge is content once it leads by 1, softmax never
    right = np.linspace(-2, 12, 141)
    moved = np.column_stack([right, np.full_like(right, 5.1), np.full_like(right, -1.7)])
    y = np.zeros(len(right), np.int64)
    viz.lines(
        {
            "hinge": (right, F.multiclass_hinge_loss(moved, y, reduction="none")),
            "squared hinge": (right, F.multiclass_hinge_loss(moved, y, p=2, reduction="none")),
            "softmax": (right, F.cross_entropy(moved, y, reduction="none")),
        },
        xlabel="score of the right class; the best other has 5.1",
        ylabel="loss",
        path=args.out / "losses.png",
    )


if __name__ == "__main__":
    main()
