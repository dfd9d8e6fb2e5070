"""Features of a trained network, computed once and kept on disk, and any classifier of scikit-learn on top."""

import time

import numpy as np
from lesson import fit, images, say, start
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

import fastnn as fn
from fastnn import optim, viz

CLASSIFIERS = {
    "logistic regression": lambda: make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)),
    "support vectors": lambda: SVC(),
    "nearest neighbours": lambda: KNeighborsClassifier(5),
    "naive Bayes": lambda: GaussianNB(),
}


def main():
    """Train on the first six classes, then tell all ten apart by what the network has learned to see."""
    args = start(__doc__, __file__)
    data = images(args, train=3000)
    known, asked = data.y < 6, data.y_test < 6
    first = type(data)(x=data.x[known], y=data.y[known], x_test=data.x_test[asked], y_test=data.y_test[asked])
    model = fn.models.resnet20(num_classes=6, in_channels=data.shape[0])
    epochs = 3 if args.quick else (12 if args.data == "digits" else 4)
    fit(model, first, optim.Adam(model.parameters(), lr=3e-3), epochs)

    features, seconds = {}, []
    for part, x, y in (("train", data.x, data.y), ("test", data.x_test, data.y_test)):
        path = args.out / f"{part}.safetensors"
        path.unlink(missing_ok=True)
        for _ in ("run through the network", "read from the file"):
            begun = time.perf_counter()
            features[part], _ = fn.features.extract(model, (x, y), "avgpool", path)
            seconds.append(time.perf_counter() - begun)
    say("features an image", features["train"].shape[1])
    say("milliseconds to compute them", 1e3 * seconds[0])
    say("milliseconds to read them again", 1e3 * seconds[1])

    table = {}
    for name, make in CLASSIFIERS.items():
        table[name] = make().fit(features["train"], data.y).score(features["test"], data.y_test)
        say(f"test accuracy, {name} on features", table[name])
    rows = data.x.reshape(len(data.x), -1), data.x_test.reshape(len(data.x_test), -1)
    table["on pixels"] = CLASSIFIERS["logistic regression"]().fit(rows[0], data.y).score(rows[1], data.y_test)
    say("test accuracy, logistic regression on pixels", table["on pixels"])
    viz.bars(table, xlabel="test accuracy on all ten classes", path=args.out / "classifiers.png")

    flat = PCA(2, random_state=0).fit_transform(features["test"])
    clouds = {data.classes[c]: tuple(flat[data.y_test == c].T) for c in np.unique(data.y_test)}
    viz.lines(clouds, points=clouds, title="two principal components of the features", path=args.out / "plane.png")


if __name__ == "__main__":
    main()
