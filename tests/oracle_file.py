"""What another library says to our rows, kept in a file: computing it takes minutes, reading it a moment."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import kfunc as kf

__all__ = ["OracleFile", "digest"]

Answer = dict[str, list[np.ndarray]]


def digest(*trees: Any) -> str:
    """Of the leaves of `trees`: arrays by their bytes, everything else by its `repr`."""
    h = hashlib.sha256()
    for x in kf.tree.leaves(trees):
        h.update(f"{x.dtype}{x.shape}".encode() + x.tobytes() if isinstance(x, np.ndarray) else repr(x).encode())
    return h.hexdigest()[:16]


class OracleFile:
    """Answers by row, in an `.npz` file.

    Args:
        path: The file.
        ids: A name for each row, which no other has.
        groups: What `record` names the rows by.
        digests: From a row's number to the digest of what its answer is made from.
        compute: From a row's number to its answer.
    """

    def __init__(
        self, path: Path, ids: Sequence[str], groups: Sequence[str], digests: Callable, compute: Callable[[int], Answer]
    ):
        self.path, self.ids, self.groups, self.compute = path, ids, groups, compute
        self.digest = functools.cache(digests)
        self.answer = functools.cache(self._answer)

    @functools.cached_property
    def _stored(self) -> dict[str, np.ndarray]:
        if not self.path.exists():
            return {}
        with np.load(self.path, allow_pickle=False) as file:
            return dict(file)

    @functools.cached_property
    def _keys(self) -> dict[str, list[str]]:
        keys: dict[str, list[str]] = {}
        for key in self._stored:
            keys.setdefault(key.rpartition("/")[0], []).append(key)
        return keys

    def stale(self, i: int) -> bool:
        """Whether the file has nothing for row `i`, or what was made from other arguments."""
        return str(self._stored.get(f"{self.ids[i]}/digest")) != self.digest(i)

    def _answer(self, i: int) -> Answer:
        """The answer to row `i`: from the file, or computed where that is stale."""
        if self.stale(i):
            return self.compute(i)
        out: Answer = {}
        keys = [k for k in self._keys[self.ids[i]] if not k.endswith("/digest")]
        for key in sorted(keys, key=lambda k: int(k.rpartition(":")[2])):
            out.setdefault(key.rpartition("/")[2].partition(":")[0], []).append(self._stored[key])
        return out

    def record(self, anew: set[str]) -> None:
        """Write the file, with the rows of the groups `anew`, or all if it has "--all", computed again."""
        out = {}
        for i, name in enumerate(self.ids):
            answer = self.compute(i) if anew & {self.groups[i], "--all"} else self.answer(i)
            out[f"{name}/digest"] = np.asarray(self.digest(i))
            for kind, arrays in answer.items():
                out.update({f"{name}/{kind}:{k}": x for k, x in enumerate(arrays)})
        np.savez_compressed(self.path, **out)
        print(f"{len(self.ids)} rows, {self.path.stat().st_size / 1e6:.2f} MB")
