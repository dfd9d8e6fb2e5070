"""Preprocessing: mean pixel, mean image, standardised channels, and whitening by PCA and ZCA, with pictures."""

import numpy as np
from lesson import images, say, start

from fastnn import viz
from fastnn.data.transforms import Normalize, PCAWhitening, Standardize, ZCAWhitening


def correlation(x):
    """Return the mean absolute correlation between two different pixels."""
    flat = x.reshape(len(x), -1)
    flat = flat[:, flat.std(axis=0) > 1e-3]
    matrix = np.corrcoef(flat.T)
    return float(np.abs(matrix[~np.eye(len(matrix), dtype=bool)]).mean())


def main():
    """Fit each on the training part alone, apply it to both parts, and look."""
    args = start(__doc__, __file__)
    data = images(args, train=2000)
    pixel, image = Normalize(per="pixel").fit(data.x), Normalize(per="image").fit(data.x)
    channel = Normalize(per="channel").fit(data.x)
    for c, value in enumerate(np.atleast_1d(pixel.mean)):
        say(f"mean pixel, channel {c}", value)
    say("mean after subtracting the mean image", image(data.x).mean())
    say("deviation after standardising channels", channel(data.x).std())
    say("the same on the test part, not fitted to", channel(data.x_test).std())
    viz.image_grid(image.mean[None], ["mean image"], path=args.out / "mean.png")

    zca, pca = ZCAWhitening(eps=1e-2).fit(data.x), PCAWhitening(eps=1e-2).fit(data.x)
    say("mean correlation of two pixels", correlation(data.x))
    say("after standardising each pixel", correlation(Standardize().fit(data.x)(data.x)))
    say("after decorrelation", correlation(PCAWhitening(eps=1e-2, whiten=False).fit(data.x)(data.x)))
    say("after PCA whitening", correlation(pca(data.x)))
    say("after ZCA whitening", correlation(zca(data.x)))

    # two neighbouring pixels as points of a plane: whitening is a turn, then a stretch
    middle = tuple(side // 2 for side in data.shape[1:])
    pair = data.x[:500, 0, middle[0] - 1 : middle[0] + 1, middle[1]]
    steps = {"before": pair - pair.mean(axis=0)}
    for name, whiten in (("decorrelated", False), ("whitened", True)):
        steps[name] = PCAWhitening(eps=1e-4, whiten=whiten).fit(pair)(pair)
    viz.lines({name: tuple(cloud.T) for name, cloud in steps.items()}, points=steps, path=args.out / "pair.png")

    shown = data.x[:10]
    viz.image_grid(shown, title="before", path=args.out / "before.png")
    viz.image_grid(zca(shown), title="after ZCA whitening: still images, edges stand out", path=args.out / "zca.png")
    rotated = pca(shown)[:, : int(np.prod(data.shape[1:]))].reshape(-1, *data.shape[1:])
    viz.image_grid(rotated, title="after PCA whitening: coefficients, no images", path=args.out / "pca.png")
    for kept in (4, 16, 32):
        few = PCAWhitening(n_components=kept).fit(data.x)
        back = few.inverse(few(data.x_test)).reshape(data.x_test.shape)
        say(f"share of the variance in {kept} components", 1 - (back - data.x_test).var() / data.x_test.var())
        viz.image_grid(back[:10], title=f"from {kept} components", path=args.out / f"components-{kept}.png")


if __name__ == "__main__":
    main()
