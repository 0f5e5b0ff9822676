"""`Outputs`: where the results of a prediction go."""

from __future__ import annotations

import collections
import math
from collections.abc import Callable
from typing import Any, ClassVar

from .. import tree
from ..arrays import namespace, to_numpy
from ..data.batches import Batch
from ..errors import ShapeError

__all__ = ["Outputs"]

_LAG = 32  # dispatches under way
_UNDER_WAY = 2**24  # about how many numbers they may hold, in and out, once there are more than two


class Outputs:
    """Gathers the results of a prediction as NumPy arrays.

    It takes the place of a program's carry. Results are fetched from the device some dispatches later, so that the
    device never waits for the host.

    Attributes:
        step: Samples of a step, where the results of several steps come together, with room for more steps behind.
            None where the results of each step come by themselves.

    Args:
        check: Called with the indices that layers have looked up, which the results come with then.
        key: Called with the number of samples so far; gives the random key of the next batch, or None.
    """

    structure: Any = None
    leaves: ClassVar[list[Any]] = []

    step: int | None = None

    def __init__(self, check: Callable[[Any], None] | None, key: Callable[[int], Any]):
        self._check, self._key = check, key
        self._samples = self._lag = 0
        self._made: list[tuple[list[Any], Any, int]] = []
        self._waiting: collections.deque[tuple[Any, int]] = collections.deque()
        self._parts: list[list[Any]] = []
        self._form: Any = None

    @property
    def value(self) -> Any:
        """The key, which a program is given in place of a carry."""
        return self._key(self._samples)

    def put(self, leaves: list[Any], structure: Any, steps: int = 1) -> None:
        """Take the result of a step, or of several behind each other; its first axis may be longer than the batch."""
        self._made.append((leaves, structure, steps))

    def replace(self, out: Any, steps: int = 1) -> None:
        """`put` of a tree that is not flat."""
        self.put(*tree.flatten(out))

    def dispatched(self, batch: Batch, share: int = 1) -> Any:
        """Gather the results of a dispatch.

        Args:
            batch: What they are of.
            share: How many times as many samples a dispatch may be of.

        Returns:
            The results, arrays of the backend.
        """
        n = batch.size
        if self.step is not None and len(self._made) > 1:  # full batches, and a last one in a program of its own
            first = self._made[0][2] * self.step
            self._gathered([self._made.pop(0)], first, share, batch)
            n -= first
        made, self._made = self._made, []
        return self._gathered(made, n, share, batch)

    def _gathered(self, made: list[tuple[list[Any], Any, int]], n: int, share: int, batch: Batch) -> Any:
        leaves, structure, _ = made[0]
        if len(made) > 1:
            leaves = [_joined(each) for each in zip(*(leaves for leaves, *_ in made), strict=True)]
        out = tree.unflatten(structure, leaves)
        if not self._lag:
            held = share * sum(math.prod(x.shape) for x in tree.leaves(batch.x)) + sum(
                math.prod(x.shape) for x in leaves
            )
            self._lag = max(2, min(_LAG, _UNDER_WAY // max(1, held)))
        self._samples += n
        self._waiting.append((out, n))
        if len(self._waiting) > self._lag:
            while len(self._waiting) > self._lag // 2:  # fetched in groups: once the first is there, so are the others
                self._fetch()
        return out

    def all(self) -> Any:
        """The results of all samples, a tree of arrays (samples, ...)."""
        import numpy as np

        while self._waiting:
            self._fetch()
        return tree.unflatten(self._form, [np.concatenate(each) for each in zip(*self._parts, strict=True)])

    def _fetch(self) -> None:
        out, n = self._waiting.popleft()
        if self._check is not None:
            out, indices = out
            self._check(indices)
        leaves, self._form = tree.flatten(out)
        part = [to_numpy(x)[:n] for x in leaves]
        for first, x in zip(self._parts[0] if self._parts else part, part, strict=True):
            if first.shape[1:] != x.shape[1:]:
                raise ShapeError(
                    f"The outputs of two batches cannot be put together: their shapes are {first.shape} and {x.shape}.",
                    expected="outputs of one shape, but for the first axis",
                    got=f"{first.shape} and {x.shape}",
                    fix="predict batch by batch: [model.predict_on_batch(x) for x in batches]",
                )
        self._parts.append(part)


def _joined(arrays: tuple[Any, ...]) -> Any:
    """The results of several steps behind each other; of scalars, one axis of them."""
    xp = namespace(*arrays)
    return xp.concat(arrays) if arrays[0].ndim else xp.stack(arrays)
