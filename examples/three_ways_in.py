"""The same network trained in fastnn's three ways: by hand, one call a step, and by the Trainer.

From the same seed all three end with the same weights, to the bit.
"""

import numpy as np

import fastnn as fn
from fastnn import nn, optim

EPOCHS, BATCH = 3, 64


def ingredients():
    """Return model, loss and optimizer, equal each time."""
    fn.manual_seed(1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    return model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1, momentum=0.9)


def by_hand(batches):
    """Forward, loss, backward, update: each written out."""
    model, loss, optimizer = ingredients()
    for x, y in batches:
        optimizer.zero_grad()
        loss(model(x), y)
        model.backward(loss.backward())
        optimizer.step()
    return model


def by_step(batches):
    """One call a step."""
    model, loss, optimizer = ingredients()
    step = fn.TrainStep(model, loss, optimizer)
    for x, y in batches:
        step(x, y)
    return model


def by_trainer(data):
    """Everything done for you."""
    model, loss, optimizer = ingredients()
    fn.Trainer(model, loss, optimizer).fit(data, epochs=EPOCHS, batch_size=BATCH, shuffle=False, progress=False)
    return model


def main():
    """Train three times and compare."""
    train, test = fn.datasets.digits(train=True), fn.datasets.digits(train=False)
    x, y = train.x.astype(np.float32) / 16, train.y
    batches = [(x[i : i + BATCH], y[i : i + BATCH]) for _ in range(EPOCHS) for i in range(0, len(x), BATCH)]
    models = {"by hand": by_hand(batches), "by step": by_step(batches), "by trainer": by_trainer((x, y))}
    for name, model in models.items():
        guess = model.eval()(test.x.astype(np.float32) / 16).argmax(axis=1)
        print(f"{name}: {np.mean(guess == test.y):.2%} of {len(test.y)} held-out digits")
    weights = [model[1].weight.data for model in models.values()]
    print("equal weights:", all(np.array_equal(weights[0], w) for w in weights))


if __name__ == "__main__":
    main()
