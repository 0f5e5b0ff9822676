"""What Keras says to the rows of `keras_rows`: values and gradients, computed in float64 and kept in a file.

Computing them anew takes minutes, since JAX compiles each; reading them takes a moment. After a change of rows, run

    python tests/keras_oracle.py [FUNCTION ...]

which computes what is missing or was made from other arguments, and the functions that are named, as after a change of
a row's `call` alone; `--all` names all. The file, `keras_oracle.npz`, is the output of Keras 3 (Apache-2.0) on our own
inputs; nothing else is in it.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import os
import pkgutil
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import keras_rows
import numpy as np
from keras_rows import Row

import kfunc as kf

__all__ = ["IDS", "ROWS", "call", "flat", "floats", "is_array", "moving", "oracle", "stale", "weights"]

FILE = Path(__file__).with_suffix(".npz")


def _rows() -> tuple[list[Row], list[str]]:
    """All rows, and for each a name that no other has: the op's, and its number among the rows of the theme."""
    rows, ids = [], []
    for module in sorted(m.name for m in pkgutil.iter_modules(keras_rows.__path__)):
        counts: dict[str, int] = {}
        for row in importlib.import_module(f"keras_rows.{module}").ROWS:
            counts[row.name] = counts.get(row.name, -1) + 1
            rows.append(row)
            ids.append(f"{module}-{row.name}-{counts[row.name]}")
    return rows, ids


ROWS, IDS = _rows()


# -- calls -----------------------------------------------------------------------------------------------------------


def is_array(x: Any) -> bool:
    return isinstance(x, np.ndarray)


def function(module: Any, name: str) -> Any:
    """`module.name`, of the functions or the image family."""
    return getattr(module, name) if hasattr(module, name) else getattr(module.image, name)


def call(module: Any, row: Row, args: tuple, kwargs: dict) -> Any:
    fun = functools.partial(row.call, module) if row.call else function(module, row.name)
    out = fun(*args, **kwargs)
    return row.only(out) if row.only else out


def flat(out: Any) -> list[np.ndarray]:
    """The arrays, numbers and texts in `out`, as NumPy arrays."""
    if isinstance(out, list | tuple):
        return [leaf for part in out for leaf in flat(part)]
    if isinstance(out, dict):
        return [leaf for key in sorted(out) for leaf in flat(out[key])]
    if out is None:
        return []
    return [np.asarray(out if isinstance(out, str) else kf.to_numpy(out))]


def moving(tree: Any, given: Any) -> tuple[list, Any]:
    """The leaves of `given` where those of `tree` are float arrays, and a function that puts others in their place."""
    leaves, structure = kf.tree.flatten(given)
    at = [i for i, x in enumerate(kf.tree.leaves(tree)) if is_array(x) and x.dtype.kind == "f"]

    def fill(xs):
        filled = dict(zip(at, xs, strict=True))
        return kf.tree.unflatten(structure, [filled.get(i, x) for i, x in enumerate(leaves)])

    return [leaves[i] for i in at], fill


def weights(values: list[np.ndarray]) -> list[np.ndarray]:
    """One for each number of a result, to make a scalar of it."""
    return [np.random.default_rng(7).normal(size=v.shape) for v in values if v.dtype.kind == "f"]


def floats(leaves: list) -> list:
    return [x for x in leaves if "float" in str(getattr(x, "dtype", ""))]


# -- what Keras says -------------------------------------------------------------------------------------------------


def wide(x: Any) -> Any:
    return x.astype({"f": np.float64, "c": np.complex128}[x.dtype.kind]) if is_array(x) and x.dtype.kind in "fc" else x


def compute(row: Row) -> tuple[list[np.ndarray], list[np.ndarray] | None]:
    """Values and gradients by Keras on JAX, in float64, which it would round to float32."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import jax
    import keras

    narrows = importlib.import_module("keras.src.backend.common.dtypes").BIT64_TO_BIT32_DTYPE
    with jax.enable_x64(True), mock.patch.dict(narrows, float64="float64", complex128="complex128"):
        given = kf.tree.map(wide, (row.args, row.kwargs))
        values = flat(call(keras.ops, row, *given))
        xs, fill = moving(given, given)
        ws = weights(values)
        if row.grad is not True or not xs or not ws:
            return values, None

        def objective(xs):
            outs = floats(jax.tree.leaves(call(keras.ops, row, *fill(xs))))
            return sum(jax.numpy.sum(o * w) for o, w in zip(outs, ws, strict=True))

        return values, [np.asarray(g) for g in jax.grad(objective)(xs)]


def digest(row: Row) -> str:
    """Of the arguments, and whether there is a gradient."""
    h = hashlib.sha256()
    for x in kf.tree.leaves((row.args, row.kwargs, row.grad is True)):
        h.update(f"{x.dtype}{x.shape}".encode() + x.tobytes() if is_array(x) else repr(x).encode())
    return h.hexdigest()[:16]


@functools.cache
def _stored() -> dict[str, np.ndarray]:
    if not FILE.exists():
        return {}
    with np.load(FILE, allow_pickle=False) as file:
        return dict(file)


def stale(i: int) -> bool:
    """Whether the file has nothing for row `i`, or what was made from other arguments."""
    return str(_stored().get(f"{IDS[i]}/digest")) != digest(ROWS[i])


@functools.cache
def oracle(i: int) -> tuple[list[np.ndarray], list[np.ndarray] | None]:
    """Values and gradients of row `i`: from the file, or computed where that is stale."""
    if stale(i):
        return compute(ROWS[i])
    parts = {kind: [] for kind in ("value", "gradient")}
    for kind, found in parts.items():
        while (key := f"{IDS[i]}/{kind}{len(found)}") in _stored():
            found.append(_stored()[key])
    return parts["value"], parts["gradient"] if ROWS[i].grad is True and parts["gradient"] else None


def record(anew: set[str]) -> None:
    """Write the file, with the functions `anew`, or all if it has "--all", computed again."""
    out = {}
    for i, (name, row) in enumerate(zip(IDS, ROWS, strict=True)):
        values, gradients = compute(row) if anew & {row.name, "--all"} else oracle(i)
        out[f"{name}/digest"] = np.asarray(digest(row))
        for kind, arrays in (("value", values), ("gradient", gradients or [])):
            out.update({f"{name}/{kind}{k}": x for k, x in enumerate(arrays)})
    np.savez_compressed(FILE, **out)
    print(f"{len(ROWS)} rows, {FILE.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    record(set(sys.argv[1:]))
