"""The trainer: epochs of steps, validation, callbacks, and states to resume from."""

from __future__ import annotations

import contextlib
import numbers
import os
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from .. import _random
from .callbacks import Callback, ProgressBar
from .callbacks.schedule import as_callbacks
from .evaluation import measure, outputs_of
from .feeding import as_loader, batch_length, hold_out, split_batch
from .history import History
from .interrupt import InterruptGuard
from .metrics import as_metrics, judged
from .prediction import to_classes, to_probabilities
from .step import NonFiniteLossError, TrainStep

__all__ = ["Trainer"]

Path = str | os.PathLike[str]
FORMAT = "fastnn-trainer-1"


class Trainer:
    """Trains a model: batches, steps, validation, metrics, callbacks, checkpoints, resuming.

    Parameters
    ----------
    model : Module
        Trained in place.
    loss : Module or callable
        Takes predictions and targets.
    optimizer : Optimizer
        Of the model's parameters.
    metrics : iterable of Metric, callable or str
        Measured on training and validation data: instances, functions of (output, target), ``"accuracy"``, ``"top5"``.
    callbacks : iterable of Callback or scheduler
        Called as `Callback` says. Learning-rate schedulers may be given as they are.
    clip_norm, clip_value, penalties, accumulate
        As for `TrainStep`.

    Attributes
    ----------
    history : History
        One dict an epoch, over all calls of `fit`.
    epoch, steps : int
        Epochs finished and steps made.
    last_loss, running_loss : float
        The last step's loss, and the mean over the present epoch.

    Raises
    ------
    TypeError
        For callbacks that are none.

    Examples
    --------
    >>> import numpy as np, fastnn as fn
    >>> _ = fn.manual_seed(0)
    >>> x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    >>> y = (x.sum(axis=1) > 0).astype("int64")
    >>> model = fn.nn.Linear(4, 2)
    >>> optimizer = fn.optim.SGD(model.parameters(), lr=0.5)
    >>> trainer = fn.Trainer(model, fn.nn.CrossEntropyLoss(), optimizer, metrics=["accuracy"])
    >>> history = trainer.fit((x, y), epochs=5, batch_size=16, progress=False)
    >>> history[-1]["loss"] < history[0]["loss"], history.status
    (True, 'completed')
    """

    def __init__(
        self,
        model: Any,
        loss: Any,
        optimizer: Any,
        metrics: Iterable[Any] | str = (),
        callbacks: Iterable[Any] = (),
        *,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        penalties: Iterable[Any] = (),
        accumulate: int = 1,
    ) -> None:
        self.model, self.loss, self.optimizer = model, loss, optimizer
        self.metrics = as_metrics(metrics)
        self.callbacks = as_callbacks(callbacks)
        self.history = History()
        self.epoch = self.first_epoch = self.last_epoch = 0
        self.steps = self.steps_in_epoch = 0
        self.steps_per_epoch: int | None = None
        self.last_loss = float("nan")
        self.stop_reason = ""
        self._loss_sum, self._loss_count, self._seconds = 0.0, 0, 0.0
        self._step = TrainStep(
            model,
            loss,
            optimizer,
            clip_norm=clip_norm,
            clip_value=clip_value,
            penalties=tuple(penalties),
            accumulate=accumulate,
        )
        self._guard = InterruptGuard()
        self._between_steps = True
        self._running: list[Callback] = []
        self._loaders: dict[str, Any] = {}
        self._pending: Mapping[str, Any] | None = None

    def __repr__(self) -> str:
        parts = (self.model, self.loss, self.optimizer)
        names = ", ".join(getattr(part, "__name__", type(part).__name__) for part in parts)
        return f"Trainer({names}, epoch={self.epoch}, steps={self.steps})"

    # ---- training ----

    def fit(
        self,
        data: Any,
        validation_data: Any = None,
        validation_split: float = 0.0,
        epochs: int = 1,
        batch_size: int = 32,
        *,
        shuffle: bool = True,
        resume: Path | None = None,
        checkpoint: Path | None = None,
        progress: bool = True,
    ) -> History:
        """Train for some epochs; a second call goes on where the first ended.

        Ctrl-C ends the run after the step under way: the weights are kept, ``history.status`` becomes
        "interrupted", and the history so far is returned; a second Ctrl-C raises at once.

        Parameters
        ----------
        data : DataLoader, Dataset, or tuple of arrays
            Inputs and targets.
        validation_data : the same, optional
            Measured after every epoch.
        validation_split : float
            Share of `data` held out for validation instead: stratified for class indices, the same on every call.
        epochs : int
            How many; for a resumed run the number that the interrupted one was given.
        batch_size : int
            For data that are no loader.
        shuffle : bool
            Whether such data are shuffled every epoch.
        resume : path, optional
            State saved by `save` or a checkpoint; the run goes on as if it had never stopped, to the bit.
        checkpoint : path, optional
            Where a state is saved after every epoch and on Ctrl-C.
        progress : bool
            Whether to show a bar (a `ProgressBar` among the callbacks is shown in any case).

        Returns
        -------
        History
            Also `history`.

        Raises
        ------
        NonFiniteLossError
            For a loss that is NaN or infinite: names epoch, step and the first layer with such an output.
        ValueError
            For data, a split or a state that do not fit.
        """
        if not isinstance(epochs, numbers.Integral) or epochs < 0:
            raise ValueError(f"fit: expected epochs >= 0, got {epochs!r}")
        if validation_split:
            if validation_data is not None:
                raise ValueError("fit: expected validation_data or validation_split, got both")
            data, validation_data = hold_out(data, validation_split)
        loader = as_loader(data, batch_size, shuffle=shuffle, who="fit")
        validation = None
        if validation_data is not None:
            validation = as_loader(validation_data, batch_size, shuffle=False, who="fit")
        self._loaders = {"train": loader, "validation": validation}
        self._running = self._with_progress(progress)
        if resume is not None:
            self.load(resume)
        self._begin(epochs, loader)
        return self._run(loader, validation, checkpoint)

    def _with_progress(self, progress: bool) -> list[Callback]:
        callbacks = list(self.callbacks)
        if progress and not any(isinstance(callback, ProgressBar) for callback in callbacks):
            callbacks.append(ProgressBar())
        return sorted(callbacks, key=lambda callback: callback.order)

    def _begin(self, epochs: int, loader: Any) -> None:
        """Set the counters of a fresh run, or those of the state that was loaded."""
        self.steps_per_epoch = len(loader) if hasattr(loader, "__len__") else None
        pending, self._pending = self._pending, None
        if pending is None:
            self.first_epoch, self.stop_reason = self.epoch, ""
            self._begin_epoch()
        else:
            for name, state in pending["loaders"].items():
                if self._loaders.get(name) is not None:
                    self._loaders[name].load_state_dict(state)
            # last: a loader without a seed draws one when it is asked for its state
            _random.set_state(pending["random"])
        self.last_epoch = self.first_epoch + epochs

    def _begin_epoch(self) -> None:
        self.steps_in_epoch = 0
        self._loss_sum, self._loss_count, self._seconds = 0.0, 0, 0.0
        for metric in self.metrics:
            metric.reset()

    def _run(self, loader: Any, validation: Any, checkpoint: Path | None) -> History:
        self.history.status = "running"
        self._between_steps = True
        try:
            with self._guard:
                for callback in self._running:
                    callback.on_fit_begin(self)
                while self.epoch < self.last_epoch and not self.stop_reason and not self._guard.requested:
                    self._run_epoch(loader, validation)
                    if checkpoint is not None and not self._guard.requested:
                        self.save(checkpoint)
            self.history.status = "interrupted" if self._guard.requested else self._final_status()
        except KeyboardInterrupt:
            self.history.status = "interrupted"
        except BaseException:
            self.history.status = "failed"
            raise
        finally:
            self._finish(checkpoint)
        return self.history

    def _final_status(self) -> str:
        return "stopped" if self.stop_reason and self.epoch < self.last_epoch else "completed"

    def _finish(self, checkpoint: Path | None) -> None:
        # a second Ctrl-C may have come inside a step's bookkeeping: such a state would not resume exactly
        if checkpoint is not None and self.history.status == "interrupted" and self._between_steps:
            self.save(checkpoint)
        for callback in self._running:
            callback.on_fit_end(self)
        self._running = []

    def _run_epoch(self, loader: Any, validation: Any) -> None:
        for callback in self._running:
            callback.on_epoch_begin(self)
        self.model.train()
        started = time.perf_counter()
        finished = self._run_steps(loader)
        self._seconds += time.perf_counter() - started
        if not finished:
            return
        row = self._row()
        if validation is not None:
            measured = measure(self.model, self.loss, self.metrics, validation)
            row.update({f"val_{name}": value for name, value in measured.items() if isinstance(value, float)})
        row["lr"] = float(self.optimizer.param_groups[0].get("lr", float("nan")))
        row["seconds"] = self._seconds
        self.history.append(row)
        self.epoch += 1
        # before the callbacks: a state that one of them saves stands at the start of the epoch to come
        self._begin_epoch()
        for callback in self._running:
            callback.on_epoch_end(self, row)

    def _row(self) -> dict[str, Any]:
        row: dict[str, Any] = {"epoch": self.epoch + 1, "loss": self.running_loss}
        row.update({metric.name: float(metric.compute()) for metric in self.metrics if metric.scalar})
        return row

    def _run_steps(self, loader: Any) -> bool:
        """Make the epoch's remaining steps; False if the run was told to end before the last one."""
        hooks = [callback.on_step for callback in self._running if type(callback).on_step is not Callback.on_step]
        ended = False

        def batches() -> Generator[tuple[Any, Any], None, None]:
            for batch in loader:
                self._between_steps = False
                yield split_batch(batch)

        def after(loss: float, x: Any, y: Any) -> bool:
            self._count(loss, x, y)
            self._between_steps = True
            for hook in hooks:
                hook(self)
            nonlocal ended
            ended = self._guard.requested or bool(self.stop_reason)
            return ended

        # a generator, so that leaving early ends the loader's thread at once
        with contextlib.closing(batches()) as given:
            try:
                self._step.run(given, on_step=after)
            except NonFiniteLossError as error:
                error.args = (f"epoch {self.epoch + 1}, step {self.steps_in_epoch + 1}: {error}",)
                raise
        if ended:
            return False
        if self.steps_in_epoch == 0:
            raise ValueError(f"fit: expected at least one batch in epoch {self.epoch + 1}, got none")
        return True

    def _count(self, loss: float, x: Any, y: Any) -> None:
        """Take a step into the counters and metrics."""
        count = batch_length(x)
        self.last_loss = loss
        self._loss_sum += loss * count
        self._loss_count += count
        self.steps += 1
        self.steps_in_epoch += 1
        for metric in self.metrics:
            metric.update(judged(self._step.output), y)

    @property
    def running_loss(self) -> float:
        """Mean loss of the present epoch's samples so far."""
        return self._loss_sum / self._loss_count if self._loss_count else float("nan")

    def stop(self, reason: str = "stopped by a callback") -> None:
        """End the run after the present step or epoch; callbacks call this."""
        self.stop_reason = reason or "stopped"

    def monitored(self, who: str, name: str, row: Mapping[str, Any]) -> float:
        """Return a column of an epoch's row, for a callback that watches it."""
        if name not in row:
            hint = "; give fit validation_data or validation_split" if name.startswith("val_") else ""
            raise KeyError(f"{who}: expected monitor to be one of {sorted(row)}, got {name!r}{hint}")
        return float(row[name])

    # ---- measuring and predicting ----

    def evaluate(self, data: Any, batch_size: int = 256) -> dict[str, Any]:
        """Return loss (penalties left out) and metrics on data, in eval mode.

        Parameters
        ----------
        data : DataLoader, Dataset, or tuple of arrays
            Inputs and targets.
        batch_size : int
            For data that are no loader.

        Returns
        -------
        dict
            ``"loss"`` and every metric by name, arrays (a confusion matrix) included.
        """
        loader = as_loader(data, batch_size, shuffle=False, who="evaluate")
        return measure(self.model, self.loss, self.metrics, loader)

    def predict_outputs(self, data: Any, batch_size: int = 256) -> np.ndarray:
        """Return the model's raw outputs in eval mode.

        Parameters
        ----------
        data : ndarray, nested lists of numbers, DataLoader or Dataset
            Inputs; of batches that hold targets too, all arrays but the last are inputs.
        batch_size : int
            For data that are no loader.

        Returns
        -------
        ndarray
            One row a sample.
        """
        if isinstance(data, list) and not any(hasattr(part, "shape") for part in data):
            try:
                data = np.asarray(data)  # numbers in nested lists are one array, not a tuple of them
            except ValueError as error:
                raise ValueError(f"predict: expected rows of equal lengths, got {error}") from None
        return outputs_of(self.model, as_loader(data, batch_size, shuffle=False, who="predict"))

    def predict(self, data: Any, batch_size: int = 256) -> np.ndarray:
        """Return class indices, if the loss is a classifier's; the raw outputs if not. See `predict_outputs`."""
        return to_classes(self.predict_outputs(data, batch_size), self.loss)

    def predict_proba(self, data: Any, batch_size: int = 256) -> np.ndarray:
        """Return class probabilities; ValueError if the loss is not a classifier's. See `predict_outputs`."""
        return to_probabilities(self.predict_outputs(data, batch_size), self.loss)

    # ---- states ----

    def state_dict(self) -> dict[str, Any]:
        """Return all that a run depends on, as plain data and arrays.

        Returns
        -------
        dict
            Model, optimizer, callbacks (schedulers among them), loaders' positions, random generators, history,
            counters, and what the present epoch has gathered.
        """
        loaders = {name: loader.state_dict() for name, loader in self._loaders.items() if hasattr(loader, "state_dict")}
        return {
            "format": FORMAT,
            "model": dict(self.model.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "step": self._step.state_dict(),
            "callbacks": {key: state for key, callback in self._keyed_callbacks() if (state := callback.state_dict())},
            "metrics": {metric.name: metric.state_dict() for metric in self.metrics},
            "loaders": loaders,
            "random": _random.get_state(),
            "history": [dict(row) for row in self.history],
            "counters": {name: getattr(self, name) for name in _COUNTERS},
        }

    def _keyed_callbacks(self) -> Iterator[tuple[str, Callback]]:
        """Yield callbacks by class name and occurrence."""
        seen: dict[str, int] = {}
        for callback in self.callbacks:
            name = type(callback).__name__
            seen[name] = seen.get(name, 0) + 1
            yield f"{name} {seen[name]}", callback

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave; the next `fit` goes on with that run.

        Raises
        ------
        ValueError
            For a state of another kind, or of other callbacks or metrics.
        """
        if state.get("format") != FORMAT:
            raise ValueError(f"Trainer: expected a state of format {FORMAT!r}, got {state.get('format')!r}")
        callbacks = dict(self._keyed_callbacks())
        unknown = sorted(set(state["callbacks"]) - set(callbacks))
        if unknown:
            raise ValueError(f"Trainer: expected the callbacks of the saved run, got none for {unknown}")
        names = [metric.name for metric in self.metrics]
        if sorted(state["metrics"]) != sorted(names):
            raise ValueError(f"Trainer: expected metrics {sorted(state['metrics'])} as in the saved run, got {names}")
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self._step.load_state_dict(state["step"])
        for key, value in state["callbacks"].items():
            callbacks[key].load_state_dict(value)
        for metric in self.metrics:
            metric.load_state_dict(state["metrics"][metric.name])
        self.history[:] = [dict(row) for row in state["history"]]
        for name in _COUNTERS:
            setattr(self, name, state["counters"][name])
        self._pending = {"loaders": state["loaders"], "random": state["random"]}

    def save(self, path: Path) -> None:
        """Save `state_dict` to a file, replacing it in one step; between steps only (callbacks may)."""
        from ..io import save_state

        save_state(path, self.state_dict())

    def load(self, path: Path) -> None:
        """Load a state saved by `save`."""
        from ..io import load_state

        state = load_state(path)
        if not isinstance(state, Mapping) or state.get("format") != FORMAT:
            raise ValueError(f"{os.fspath(path)}: expected a state saved by Trainer, got another one")
        self.load_state_dict(state)


_COUNTERS = (
    "epoch",
    "first_epoch",
    "steps",
    "steps_in_epoch",
    "last_loss",
    "stop_reason",
    "_loss_sum",
    "_loss_count",
    "_seconds",
)
