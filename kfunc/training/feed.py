"""`Feed`: brings batches of NumPy arrays into the form in which a program takes them."""

from __future__ import annotations

import functools
from typing import Any

from .. import tree
from ..backends import Backend
from ..data.batches import Batch, filled, room
from ..data.protocol import Reader

__all__ = ["Feed", "read"]


def read(reader: Reader, n: int, number: int, when: str) -> Batch | None:
    """`reader.read(n)`, whose errors say which batch it was: `number` of `when`."""
    try:
        return reader.read(n)
    except Exception as error:
        error.add_note(f"in batch {number} of {when}")
        raise


class Feed:
    """The way of batches from the host to the device.

    Args:
        backend, where: Where they go, and to which device there.
        size: Samples a step.
        fills: Whether batches are filled up, so that few compiled programs take batches of all sizes. Each program is
            then told how many samples count, also if all do: the same batches run in the same programs, and give the
            same bits, whether or not it is known beforehand that all are full.
        compiled: Whether the program is compiled.
        still: Whether nobody writes to the memory of the batches until the results are there.
    """

    def __init__(self, backend: Backend, where: Any, size: int, fills: bool, compiled: bool, still: bool = False):
        self.size: int = size
        self.fills: bool = fills
        self._backend, self._where = backend, where
        as_it_is = compiled and backend.takes_numpy and where is None
        put = backend.asarray if backend.compiles and not compiled else backend.staged
        self._put = None if as_it_is else functools.partial(put, device=where)
        self._copies = (as_it_is or backend.stages_in_place) and not still

    def program_size(self, n: int, before: int) -> int:
        """How many samples the program takes in which a batch of `n` samples runs, after `before` full batches.

        It is the program of full batches, if all steps so far then take at most a quarter more than they must: a
        program of its own would take longer to compile than it saves. In shorter epochs it is a smaller one. This
        depends on nothing but the sizes, since the bits may depend on the program.
        """
        if not self.fills:
            return n
        full = n <= self.size and 4 * (before + 1) * self.size <= 5 * (before * self.size + n)
        return self.size if full else room(n)

    def one(self, batch: Batch, before: int = 0) -> Batch:
        """All of `batch`, for one step after `before` others."""
        size = batch.size
        return self._counted(self._own(filled(batch, self.program_size(size, before))), size)

    def several(self, batch: Batch, most: int) -> Batch:
        """`batch` for a program of several steps, with memory for `most` of them: leaves (most, size, ...).

        The last step is filled up. The values in those that do not run are arbitrary.
        """
        import numpy as np

        def spread(a: Any) -> Any:
            if total < most * self.size:
                a, given = np.empty((most * self.size, *a.shape[1:]), a.dtype), a
                a[:total], a[total : -(-total // self.size) * self.size] = given, given[:1]
            return a.reshape(most, self.size, *a.shape[1:])

        total = batch.size
        batch = tree.map(spread, self._own(batch) if total == most * self.size else batch)
        return self._counted(batch, np.clip(total - np.arange(most) * self.size, 0, self.size))

    def whole(self, batch: Batch) -> Batch:
        """`batch` for a loop that cuts it into steps by itself."""
        return self._given(self._own(batch))

    def number(self, n: int) -> Any:
        """A number of steps, int32 ()."""
        import numpy as np

        return self._given(np.asarray(n, np.int32))

    def ahead(self, batch: Batch) -> Batch:
        """`batch` on the device, before its turn."""
        return tree.map(lambda x: self._backend.asarray(x, device=self._where), batch)

    def _counted(self, batch: Batch, counts: Any) -> Batch:
        """`batch` with the number of samples that count, where samples that do not may stand in it."""
        import numpy as np

        if self.fills and batch.y is not None:
            batch = Batch(batch.x, batch.y, batch.sample_weight, np.asarray(counts, np.int32))
        return self._given(batch)

    def _own(self, batch: Batch) -> Batch:
        """`batch` in memory that keeps its values until a program that takes NumPy's arrays has read them."""
        if not self._copies:
            return batch
        views = any([getattr(a, "base", None) is not None for a in tree.leaves(batch)])
        return tree.map(lambda a: a.copy(), batch) if views else batch

    def _given(self, batch: Any) -> Any:
        """`batch` as the program takes it. An array that is on the device already stays as it is."""
        import numpy as np

        if (put := self._put) is None:
            return batch
        return tree.map(lambda x: put(x) if isinstance(x, np.ndarray) else x, batch)
