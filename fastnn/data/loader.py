"""The loader: batches of a dataset in an order that is a pure function of (seed, epoch).

Nothing random is kept between batches. The order of an epoch follows from (seed, epoch), and what a random
transform does to a batch from (seed, epoch, batch index). So a thread that works ahead cannot change a result,
and three integers say exactly where an iteration stands.
"""

from __future__ import annotations

import contextlib
import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any

import numpy as np

from .. import _random
from .._checks import as_int
from .dataset import Indices, as_dataset, take

__all__ = ["DataLoader"]

Batch = tuple[np.ndarray, ...]
Transform = Callable[..., np.ndarray]

_ORDER, _TRANSFORM, _TARGET_TRANSFORM = 0, 1, 2  # which random stream of an epoch


class DataLoader:
    """Iterates over a dataset in batches, each a tuple of fresh arrays.

    Images of shape (N, C, H, W) come in channels-last memory when the dataset holds them so (those of
    `fastnn.datasets` do), which training reads without a reorder. Bytes stay bytes unless a transform converts them:
    a network that begins with `fastnn.nn.Normalize` takes them so.

    Parameters
    ----------
    dataset : Dataset, ndarray or tuple of ndarray
        The data; arrays are wrapped in an `ArrayDataset`.
    batch_size : int, default 1
        Samples in a batch; the last batch of an epoch may be smaller.
    shuffle : bool, default False
        Take the samples in a new random order every epoch.
    seed : int, optional
        Seed of the orders and of the random transforms. Without it one is drawn from the generator that
        `fastnn.manual_seed` seeds, when it is first needed.
    drop_last : bool, default False
        Leave out the last batch of an epoch if it is not full.
    prefetch : int, optional
        How many batches one thread prepares ahead; 0 for none. By default 2 where batches cost work (a
        transform, or a dataset not in memory) and 0 where they do not. Results never depend on it.
    transform : callable, optional
        Applied to the first array of each batch: ``transform(x)``, or ``transform(x, rng)`` if it has a true attribute
        ``random`` (as the random ones in `fastnn.data.transforms` do).
    target_transform : callable, optional
        The same for the second array.
    num_workers, pin_memory, persistent_workers
        PyTorch's, taken and ignored: one thread prepares batches ahead, and there is no other device.

    Raises
    ------
    TypeError, ValueError
        For data that are not a dataset, a batch size below 1, a negative prefetch or seed, or a target
        transform without targets.

    Notes
    -----
    `state_dict` says, as plain data, which batch comes next. After `load_state_dict` the next iteration goes on
    there: it yields exactly the batches that were left. ``len(loader)`` is always the number of batches in a
    whole epoch.

    An iteration that is left early ends its thread; the next one begins a new epoch.

    Examples
    --------
    >>> import numpy as np
    >>> from fastnn.data import DataLoader
    >>> loader = DataLoader((np.arange(10), np.arange(10) ** 2), batch_size=4, shuffle=True, seed=0)
    >>> len(loader), [len(x) for x, y in loader]
    (3, [4, 4, 2])
    >>> state = None
    >>> for x, y in loader:
    ...     if state is None:
    ...         state = loader.state_dict()
    >>> state
    {'seed': 0, 'epoch': 1, 'position': 1, 'samples': 10, 'batch_size': 4, 'shuffle': True, 'drop_last': False}
    >>> loader.load_state_dict(state)
    >>> len(list(loader))
    2
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        *,
        seed: int | None = None,
        drop_last: bool = False,
        prefetch: int | None = None,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        num_workers: int = 0,
        pin_memory: bool = False,
        persistent_workers: bool = False,
    ) -> None:
        self.dataset = as_dataset(dataset)
        self.batch_size = as_int("batch_size", batch_size, 1)
        self.shuffle = bool(shuffle)
        self.drop_last = bool(drop_last)
        self.transform = transform
        self.target_transform = target_transform
        if prefetch is None:
            in_memory = hasattr(self.dataset, "arrays")
            prefetch = 0 if in_memory and transform is None and target_transform is None else 2
        self.prefetch = as_int("prefetch", prefetch, 0)
        self._seed = None if seed is None else as_int("seed", seed, 0, None)
        self._epoch = 0
        self._position = 0
        self._under_way = False  # an iteration of this epoch began, and is not to be resumed by the next one

    @property
    def seed(self) -> int:
        """Seed of the orders and of the random transforms."""
        if self._seed is None:
            self._seed = int(_random.generator().integers(0, 2**63))
        return self._seed

    @property
    def epoch(self) -> int:
        """How many epochs were finished (or left early) before the one that `state_dict` speaks of."""
        return self._epoch

    @property
    def _draws(self) -> bool:
        """Whether anything here is random; if not, no seed is ever drawn."""
        transforms = (self.transform, self.target_transform)
        return self.shuffle or any(getattr(transform, "random", False) for transform in transforms)

    def __len__(self) -> int:
        whole, rest = divmod(len(self.dataset), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Batch]:
        if self._under_way:
            self._epoch, self._position = self._epoch + 1, 0
        self._under_way = True
        if self._draws:
            _ = self.seed  # drawn here, not on the prefetching thread
        return self._iterate(self._epoch, self._position)

    def _iterate(self, epoch: int, start: int) -> Iterator[Batch]:
        order = self._order(epoch)
        total = len(self)

        def make(index: int) -> Batch:
            return self._batch(order, epoch, index)

        with contextlib.closing(_ahead(make, start, total, self.prefetch)) as batches:
            for index, batch in enumerate(batches, start):
                # A later iteration of this loader may have begun meanwhile: the state is that of the newest.
                if self._epoch == epoch:
                    self._position = index + 1
                yield batch
        if self._epoch == epoch:
            self._epoch, self._position, self._under_way = epoch + 1, 0, False

    def _order(self, epoch: int) -> np.ndarray | None:
        if not self.shuffle:
            return None
        return np.random.default_rng((self.seed, epoch, _ORDER)).permutation(len(self.dataset))

    def _batch(self, order: np.ndarray | None, epoch: int, index: int) -> Batch:
        begin = index * self.batch_size
        end = min(begin + self.batch_size, len(self.dataset))
        where: Indices = slice(begin, end) if order is None else order[begin:end]
        arrays = take(self.dataset, where)
        if self.transform is not None:
            arrays = (self._apply(self.transform, arrays[0], (epoch, _TRANSFORM, index)), *arrays[1:])
        if self.target_transform is not None:
            if len(arrays) < 2:
                raise ValueError("DataLoader: expected targets for target_transform, got a dataset of one array")
            target = self._apply(self.target_transform, arrays[1], (epoch, _TARGET_TRANSFORM, index))
            arrays = (arrays[0], target, *arrays[2:])
        return arrays

    def _apply(self, transform: Transform, x: np.ndarray, key: tuple[int, int, int]) -> np.ndarray:
        if not getattr(transform, "random", False):
            return transform(x)
        return transform(x, np.random.default_rng((self.seed, *key)))

    def state_dict(self) -> dict[str, Any]:
        """Return, as plain data, which batch comes next and what the order depends on."""
        return {
            "seed": self.seed if self._draws else self._seed,
            "epoch": self._epoch,
            "position": self._position,
            "samples": len(self.dataset),
            "batch_size": self.batch_size,
            "shuffle": self.shuffle,
            "drop_last": self.drop_last,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on, at the next iteration, where ``state`` was taken.

        Raises
        ------
        ValueError
            If ``state`` is incomplete, or comes from a loader that cuts other batches.
        """
        mine = self.state_dict()
        missing = sorted(set(mine) - set(state))
        if missing:
            raise ValueError(f"DataLoader: expected a state with {', '.join(mine)}; missing {', '.join(missing)}")
        for name in ("samples", "batch_size", "shuffle", "drop_last"):
            if state[name] != mine[name]:
                raise ValueError(f"DataLoader: expected a state with {name} {mine[name]}, got {state[name]}")
        position = as_int("position", state["position"], 0)
        if position > len(self):
            raise ValueError(f"DataLoader: expected a position of at most {len(self)}, got {position}")
        self._seed = None if state["seed"] is None else as_int("seed", state["seed"], 0, None)
        self._epoch, self._position = as_int("epoch", state["epoch"], 0), position
        self._under_way = False


def _ahead(make: Callable[[int], Batch], start: int, total: int, depth: int) -> Generator[Batch, None, None]:
    """Yield ``make(i)`` for i from start to total, made up to ``depth`` ahead on one thread (none if 0).

    What ``make`` raises is raised here, in its turn. The thread ends with this generator, however that ends.
    """
    if depth == 0:
        yield from map(make, range(start, total))
        return
    from concurrent.futures import Future, ThreadPoolExecutor

    owner = os.getpid()
    waiting: deque[Future[Batch]] = deque()
    executor = ThreadPoolExecutor(1, thread_name_prefix="fastnn-prefetch")
    try:
        for index in range(start, total):
            # A forked child has no such thread to wait for; it makes its batches itself.
            if os.getpid() != owner:
                yield make(index)
                continue
            while len(waiting) <= depth and index + len(waiting) < total:
                waiting.append(executor.submit(make, index + len(waiting)))
            yield waiting.popleft().result()
    finally:
        if os.getpid() == owner:
            executor.shutdown(wait=True, cancel_futures=True)
