"""Validation: k nearest neighbours, with k chosen by cross-validation and the test part looked at once."""

import numpy as np
from lesson import images, say, start
from sklearn.neighbors import KNeighborsClassifier

from fastnn import viz
from fastnn.data import ArrayDataset, k_fold, train_test_split


def score(k, train, valid):
    """Return the accuracy on one part of k neighbours found in the other."""
    model = KNeighborsClassifier(k).fit(train.x, train.y)
    return float(model.score(valid.x, valid.y))


def main():
    """One split first, then five folds."""
    args = start(__doc__, __file__)
    data = images(args, train=2000)
    known = ArrayDataset(data.x.reshape(len(data.x), -1), data.y)
    asked = ArrayDataset(data.x_test.reshape(len(data.x_test), -1), data.y_test)
    say("accuracy of 1 neighbour on its own training data: says nothing", score(1, known, known))

    train, valid = train_test_split(known, test_size=0.2, stratify=True, seed=0)
    say("training samples", len(train))
    say("validation samples", len(valid))
    say("test samples", len(asked))
    say("accuracy of 5 neighbours on one validation part", score(5, train, valid))

    choices = (1, 3, 5, 9, 15, 25, 51)
    table = np.array([[score(k, *fold) for k in choices] for fold in k_fold(known, 5, stratify=True, seed=0)])
    for k, column in zip(choices, table.T, strict=True):
        print(f"k = {k:2d}: {column.mean():.4f} +- {column.std():.4f} over {len(column)} folds")
    best = choices[int(table.mean(axis=0).argmax())]
    say("k chosen by cross-validation", best)
    say("test accuracy with that k", score(best, known, asked))
    curves = {"mean": (choices, table.mean(axis=0)), "folds": (np.tile(choices, 5), table.ravel())}
    viz.lines(curves, points=["folds"], xlabel="k", ylabel="accuracy", path=args.out / "neighbours.png")


if __name__ == "__main__":
    main()
