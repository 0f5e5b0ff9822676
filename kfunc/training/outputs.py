"""`Outputs`: where the results of a prediction go."""

from __future__ import annotations

import collections
import math
from collections.abc import Callable
from typing import Any, ClassVar

from .. import tree
from ..arrays import to_numpy
from ..data.batches import Batch

__all__ = ["Outputs"]

_LAG = 32  # dispatches under way
_UNDER_WAY = 2**24  # about how many numbers they may hold, in and out, once there are more than two


class Outputs:
    """Gathers the results of a prediction as NumPy arrays.

    It takes the place of a program's carry. Results are fetched from the device some dispatches later, so that the
    device never waits for the host.

    Args:
        check: Called with the indices that layers have looked up, which the results come with then.
        key: Called with the number of samples so far; gives the random key of the next batch, or None.

    Attributes:
        last: The result of the newest dispatch.
    """

    structure: Any = None
    leaves: ClassVar[list[Any]] = []

    def __init__(self, check: Callable[[Any], None] | None, key: Callable[[int], Any]):
        self.last: Any = None
        self._check, self._key = check, key
        self._batch, self._share = Batch(None), 1
        self._samples = self._lag = 0
        self._waiting: collections.deque[tuple[Any, int]] = collections.deque()
        self._parts: list[list] = []
        self._form: Any = None

    def expect(self, batch: Batch, share: int = 1) -> None:
        """Say what the next results are of, and how many times as much a dispatch may be of."""
        self._batch, self._share = batch, share

    @property
    def value(self) -> Any:
        """The key, which a program is given in place of a carry."""
        return self._key(self._samples)

    def put(self, leaves: list[Any], structure: Any, steps: int = 1) -> None:
        """`replace` by a flat tree."""
        self.replace(tree.unflatten(structure, leaves), steps)

    def replace(self, out: Any, steps: int = 1) -> None:
        """Take the result of a dispatch, whose first axis may be longer than there are samples."""
        n = self._batch.size
        if not self._lag:
            given, made = (sum(math.prod(x.shape) for x in tree.leaves(t)) for t in (self._batch.x, out))
            self._lag = max(2, min(_LAG, _UNDER_WAY // max(1, given * self._share + made)))
        self.last, self._samples = out, self._samples + n
        self._waiting.append((out, n))
        if len(self._waiting) > self._lag:
            while len(self._waiting) > self._lag // 2:  # fetched in groups: once the first is there, so are the others
                self._fetch()

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
        self._parts.append([to_numpy(x)[:n] for x in leaves])
