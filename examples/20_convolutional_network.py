"""A convolutional network, and looking into it: curves, confusions, mistakes, filters, maps, loss surface."""

import numpy as np
from lesson import images, say, start

import fastnn as fn
from fastnn import nn, optim, viz


def main():
    """Train, then draw what there is to see."""
    args = start(__doc__, __file__)
    data = images(args, train=10000, test=2000)
    name = "digits_cnn" if data.shape[1] < 16 else ("lenet5" if data.shape[0] == 1 else "cnn32")
    model = fn.models.create(name, len(data.classes), data.shape[0], data.shape[1:])
    print(model.summary(data.x[:1]))

    epochs = 5 if args.quick else (3 if name == "cnn32" else 15)
    optimizer = optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=3e-3, total_steps=epochs * -(-len(data.x) // 64), cycle_momentum=False
    )
    trainer = fn.Trainer(
        model,
        nn.CrossEntropyLoss(),
        optimizer,
        metrics=["accuracy", fn.training.ConfusionMatrix(len(data.classes))],
        callbacks=[fn.training.LRSchedulerCallback(schedule, interval="step")],
    )
    test = data.x_test, data.y_test
    history = trainer.fit((data.x, data.y), test, epochs=epochs, batch_size=64, progress=not args.quick)
    measured = trainer.evaluate(test)
    say("test accuracy", measured["accuracy"])
    say("parameters", sum(p.data.size for p in model.parameters()))
    for row in fn.training.class_report(measured["confusion_matrix"], data.classes):
        print(f"  {row['class']:>12}  precision {row['precision']:.3f}  recall {row['recall']:.3f}  of {row['count']}")

    viz.learning_curves(history, path=args.out / "curves.png")
    viz.confusion_matrix(measured["confusion_matrix"], data.classes, path=args.out / "confusion.png")
    probabilities = trainer.predict_proba(data.x_test)
    say("mistakes", np.sum(probabilities.argmax(axis=1) != data.y_test))
    viz.misclassified(*test, probabilities, data.classes, path=args.out / "mistakes.png")

    convolutions = [key for key, layer in model.named_modules() if isinstance(layer, nn.Conv2d)]
    viz.filters(model.get_submodule(convolutions[0]).weight.data, path=args.out / "filters.png")
    model.eval()
    for key, maps in fn.capture(model, convolutions)(data.x_test[:1]).items():
        viz.activation_maps(maps[:, :16], title=key, path=args.out / f"maps-{key}.png")
    weights = {key: p.data for key, p in model.named_parameters() if p.data.ndim > 1}
    viz.histograms(weights, title="weights", path=args.out / "weights.png")
    loss = nn.CrossEntropyLoss()
    loss(model(data.x[:64]), data.y[:64])
    model.backward(loss.backward())
    gradients = {key: p.grad for key, p in model.named_parameters() if p.data.ndim > 1}
    viz.histograms(gradients, title="gradients of the loss of 64 images", path=args.out / "gradients.png")
    if not args.quick:
        few = data.x_test[:200], data.y_test[:200]
        viz.loss_surface(model, loss, *few, points=15, path=args.out / "surface.png")


if __name__ == "__main__":
    main()
