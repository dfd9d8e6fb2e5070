"""Convolution by hand: kernels you can read, padding, stride, dilation, 1x1, and what a pixel sees."""

import numpy as np
from lesson import images, say, start

import fastnn.nn.functional as F
from fastnn import nn, viz

KERNELS = {
    "blur": np.full((3, 3), 1 / 9),
    "vertical edges": np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]),
    "horizontal edges": np.array([[-1, -2, -1], [0, 0, 0], [1, 2, 1]]),
    "sharpen": np.array([[0, -1, 0], [-1, 5, -1], [0, -1, 0]]),
}


def by_hand(image, kernel, stride=1, padding=0, dilation=1):
    """Return the cross-correlation of one map with one kernel, as four loops would compute it."""
    x, size, step = np.pad(image, padding), dilation * (len(kernel) - 1) + 1, dilation
    rows, columns = ((side - size) // stride + 1 for side in x.shape)
    corners = ((i * stride, j * stride) for i in range(rows) for j in range(columns))
    sums = [(x[i : i + size : step, j : j + size : step] * kernel).sum() for i, j in corners]
    return np.reshape(sums, (rows, columns))


def field(layers, side=33):
    """Return what the middle output pixel sees of the input: the gradient through layers of ones."""
    model = nn.Sequential(*layers)
    for layer in model:
        layer.weight.data[...] = 1
    y = model(np.zeros((1, 1, side, side)))
    dy = np.zeros_like(y)
    dy[0, 0, y.shape[2] // 2, y.shape[3] // 2] = 1
    return model.backward(dy)[0, 0] > 0


def main():
    """Each idea in turn."""
    args = start(__doc__, __file__)
    data = images(args)
    image = data.x[:1, :1]
    kernel = KERNELS["vertical edges"]
    for stride, padding, dilation in ((1, 0, 1), (1, 1, 1), (2, 1, 1), (1, 2, 2)):
        ours = by_hand(image[0, 0], kernel, stride, padding, dilation)
        library = F.conv2d(image, kernel[None, None], None, stride, padding, dilation)[0, 0]
        way = f"stride {stride}, padding {padding}" + (f", dilation {dilation}" if dilation > 1 else "")
        say(f"output side, {way}", len(ours))
        say(f"largest difference, {way}", np.abs(ours - library).max())
    filtered = F.conv2d(image, np.array(list(KERNELS.values()))[:, None], padding=1)[0]
    viz.image_grid([image[0, 0], *filtered], ["image", *KERNELS], path=args.out / "kernels.png")

    # 1x1: a linear layer on the channels of each pixel
    x, w = np.random.default_rng(0).random((1, 3, 4, 4)), np.random.default_rng(1).random((2, 3, 1, 1))
    say(
        "largest difference, 1x1 and a matrix",
        np.abs(F.conv2d(x, w)[0].reshape(2, -1) - w[:, :, 0, 0] @ x.reshape(3, -1)).max(),
    )

    seen = {
        "three 3x3": field([nn.Conv2d(1, 1, 3, bias=False) for _ in range(3)]),
        "3x3, dilation 1, 2, 4": field([nn.Conv2d(1, 1, 3, dilation=d, bias=False) for d in (1, 2, 4)]),
        "3x3, stride 2, three times": field([nn.Conv2d(1, 1, 3, stride=2, padding=1, bias=False) for _ in range(3)]),
    }
    for name, mask in seen.items():
        say(f"side of the field of {name}", mask.any(axis=0).sum())
    viz.image_grid(np.array(list(seen.values()), float), list(seen), columns=3, path=args.out / "fields.png")


if __name__ == "__main__":
    main()
