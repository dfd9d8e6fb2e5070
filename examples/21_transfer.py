"""Transfer learning: a frozen, a fine-tuned and a fresh body, for little and much data, near to the old and far."""

import numpy as np
from lesson import accuracy, fit, images, say, start

import fastnn as fn
from fastnn import nn, optim, viz


def part(data, classes, shuffle=False):
    """Return the images of some classes, labelled from 0; their pixels in another order, always the same, if asked."""
    order = np.random.default_rng(0).permutation(int(np.prod(data.shape))) if shuffle else slice(None)
    found = []
    for x, y in ((data.x, data.y), (data.x_test, data.y_test)):
        rows = np.flatnonzero(np.isin(y, classes))
        found += [x[rows].reshape(len(rows), -1)[:, order].reshape(x[rows].shape), np.searchsorted(classes, y[rows])]
    return type(data)(**dict(zip(("x", "y", "x_test", "y_test"), found, strict=True)), shape=data.shape)


def enlarged_digits(data):
    """Return four of the shipped digits in the shape of other images: nothing looks less like them."""
    parts = [fn.datasets.digits(train=train) for train in (True, False)]
    sides, (channels, *wanted) = [-(-side // 8) for side in data.shape[1:]], data.shape
    grown = [np.kron(p.x * np.float32(p.scale), np.ones((1, channels, *sides), np.float32)) for p in parts]
    x, x_test = (images[:, :, : wanted[0], : wanted[1]] for images in grown)
    return part(type(data)(x=x, y=parts[0].y, x_test=x_test, y_test=parts[1].y, shape=data.shape), np.arange(6, 10))


def network(data, classes, old=None):
    """Return a residual network; all but its head from an old one, if there is one."""
    model = fn.models.ResNet(fn.models.BasicBlock, (1, 1, 1), classes, data.shape[0], cifar=True, width=16)
    if old is not None:
        kept = {name: value for name, value in old.state_dict().items() if not name.startswith("fc.")}
        model.load_state_dict(kept, strict=False)
    return model


def adapt(way, data, old, count, epochs):
    """Train on some images of new classes; return the test accuracy."""
    fn.manual_seed(1)
    model = network(data, 4, None if way == "fresh" else old)
    body = [p for name, p in model.named_parameters() if not name.startswith("fc.")]
    # which layers learn beside the head, at which rate
    stages = {"frozen": [((), 0.0)], "fine-tuned": [(("",), 1e-3)], "fresh": [(("",), 3e-3)]}
    stages["step by step"] = [((), 0.0), (("layer3",), 1e-3), (("",), 1e-4)]
    for layers, rate in stages[way]:
        rounds = -(-epochs // len(stages[way]))
        groups = [{"params": list(model.fc.parameters()), "lr": 1e-2}, {"params": body, "lr": rate}]
        optimizer = optim.Adam(groups)
        falling = fn.training.LRSchedulerCallback(optim.lr_scheduler.CosineAnnealingLR(optimizer, rounds))
        for name, p in model.named_parameters():
            p.requires_grad = name.startswith(("fc.", *layers))
        trainer = fn.Trainer(model, nn.CrossEntropyLoss(), optimizer, callbacks=[falling])
        trainer.fit((data.x[:count], data.y[:count]), epochs=rounds, batch_size=32, progress=False)
    return accuracy(model, data.x_test, data.y_test)


def main():
    """Learn six classes, then four others: near to the six, and far from them."""
    args = start(__doc__, __file__)
    data = images(args)
    first = part(data, np.arange(6))
    old = network(data, 6)
    history = fit(old, first, optim.Adam(old.parameters(), lr=3e-3), 4 if args.quick else 10, batch_size=32)
    say("accuracy on the first six classes", history[-1]["val_accuracy"])

    far, table = part(data, np.arange(6, 10), True) if args.data == "digits" else enlarged_digits(data), {}
    for amount, count, epochs in (("little", 40, 24), ("much", 800, 10)):
        for kind, new in (("similar", part(data, np.arange(6, 10))), ("different", far)):
            for way in ("frozen", "fine-tuned", "step by step", "fresh"):
                table[f"{amount} {kind} data, {way}"] = adapt(way, new, old, count, epochs)
                say(f"accuracy, {amount} {kind} data, {way}", table[f"{amount} {kind} data, {way}"])
    viz.bars(table, xlabel="test accuracy on four new classes", path=args.out / "transfer.png")


if __name__ == "__main__":
    main()
