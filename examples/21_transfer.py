"""Transfer learning: a frozen, a fine-tuned and a fresh body, for little and much data, near to the old and far."""

import numpy as np
from lesson import fit, images, say, start

import fastnn as fn
from fastnn import optim, viz


def part(data, classes, count=None, order=None):
    """Return the images of some classes, labelled from 0; at most ``count``; with their pixels in another order."""
    found = []
    for x, y in ((data.x, data.y), (data.x_test, data.y_test)):
        rows = np.flatnonzero(np.isin(y, classes))
        rows = rows[:count] if not found else rows
        flat = x[rows].reshape(len(rows), -1)
        found += [
            (flat if order is None else flat[:, order]).reshape(-1, *data.shape),
            np.searchsorted(classes, y[rows]),
        ]
    return type(data)(**dict(zip(("x", "y", "x_test", "y_test"), found, strict=True)), shape=data.shape)


def network(data, classes, old=None):
    """Return a residual network; all but its head from an old one, if there is one."""
    model = fn.models.resnet20(num_classes=classes, in_channels=data.shape[0])
    if old is not None:
        kept = {name: value for name, value in old.state_dict().items() if not name.startswith("fc.")}
        model.load_state_dict(kept, strict=False)
    return model


def adapt(way, data, old, epochs):
    """Train on new classes; return the test accuracy."""
    fn.manual_seed(1)
    model = network(data, int(data.y.max()) + 1, None if way == "fresh" else old)
    rates = {"frozen": 0.0, "fine-tuned": 1e-3, "fresh": 3e-3, "unfrozen step by step": 0.0}
    body = [p for name, p in model.named_parameters() if not name.startswith("fc.")]
    for p in body:
        p.requires_grad = rates[way] > 0
    groups = [{"params": list(model.fc.parameters()), "lr": 3e-3}, {"params": body, "lr": rates[way]}]
    optimizer = optim.Adam(groups)
    if way != "unfrozen step by step":
        return fit(model, data, optimizer, epochs, batch_size=32)[-1]["val_accuracy"]
    # the head first, then the last stage with a tenth of the rate, then all with a hundredth
    for layers, rate in (((), 0.0), (("layer3",), 3e-4), (("layer1", "layer2", "layer3"), 3e-5)):
        optimizer.param_groups[1]["lr"] = rate
        for name, p in model.named_parameters():
            p.requires_grad = name.startswith(("fc.", *layers))
        history = fit(model, data, optimizer, -(-epochs // 3), batch_size=32)
    return history[-1]["val_accuracy"]


def main():
    """Learn six classes, then the other four: as they are, and with their pixels shuffled."""
    args = start(__doc__, __file__)
    data = images(args)
    first = part(data, np.arange(6))
    old, epochs = network(data, 6), 4 if args.quick else 12
    history = fit(old, first, optim.Adam(old.parameters(), lr=3e-3), epochs, batch_size=32)
    say("accuracy on the first six classes", history[-1]["val_accuracy"])

    order, table = np.random.default_rng(0).permutation(int(np.prod(data.shape))), {}
    few, much = 24, 120 if args.quick else 2000
    for amount, count in (("little", few), ("much", much)):
        for kind, shuffle in (("similar", None), ("different", order)):
            new = part(data, np.arange(6, 10), count, shuffle)
            for way in ("frozen", "fine-tuned", "unfrozen step by step", "fresh"):
                name = f"{amount} {kind} data, {way}"
                table[name] = adapt(way, new, old, 2 * epochs if amount == "little" else epochs)
                say(f"accuracy, {name}", table[name])
    viz.bars(table, xlabel="test accuracy on four new classes", path=args.out / "transfer.png")


if __name__ == "__main__":
    main()
