"""What Keras says to the rows of `catalogue`: computed in float64 and kept in a file.

After a change of rows, run

    python tests/catalogue_oracle.py [CLASS ...]

which computes what is missing or was made from other arguments, and the classes that are named; `--all` names all. The
file, `catalogue_oracle.npz`, is the output of Keras 3 (Apache-2.0) on our own inputs; nothing else is in it.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import operator
import os
import pkgutil
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import catalogue
import numpy as np
from catalogue import Row
from oracle_file import OracleFile, digest

import kfunc as kf

__all__ = [
    "FILE",
    "IDS",
    "OURS",
    "ROWS",
    "THEIRS",
    "compute",
    "cotangents",
    "floating",
    "made",
    "matched",
    "moving",
    "weights",
]


def _rows() -> tuple[list[Row], list[str]]:
    """All rows, and for each a name that no other has."""
    rows, ids = [], []
    for module in sorted(m.name for m in pkgutil.iter_modules(catalogue.__path__)):
        counts: dict[str, int] = {}
        for row in importlib.import_module(f"catalogue.{module}").ROWS:
            name = "-".join(filter(None, (module, row.new.name, row.note)))
            number = counts[name] = counts.get(name, -1) + 1
            rows.append(row)
            ids.append(f"{name}-{number}" if number else name)
    return rows, ids


ROWS, IDS = _rows()


OURS = {
    "layers": kf.nn,
    "models": kf.nn,
    "losses": kf.losses,
    "metrics": kf.metrics,
    "optimizers": kf.optim,
    "optimizers.schedules": kf.optim,
    **{theme: getattr(kf.nn, theme) for theme in ("activations", "constraints", "initializers", "regularizers")},
}
"""Our modules by the names of Keras's."""


class _Theirs:
    """Keras's, imported when first asked for."""

    def __getitem__(self, theme: str) -> Any:
        import keras

        return operator.attrgetter(theme)(keras)


THEIRS = _Theirs()


@functools.cache
def made(row: Row) -> Any:
    """Our object of the row."""
    return row.new.build(OURS)


def is_array(x: Any) -> bool:
    return isinstance(x, np.ndarray)


def floating(x: Any) -> bool:
    return "float" in str(getattr(x, "dtype", ""))


def weights(row: Row) -> tuple[Any, Any]:
    """Parameters and state of a row's layer: numbers that depend on their paths and shapes alone."""
    if row.kind != "layer":
        return {}, {}
    params, state = made(row).init(0, *row.args, **row.options)

    def fill(tree, positive):
        leaves = []
        for path, x in zip(kf.tree.paths(tree), kf.tree.leaves(tree), strict=True):
            seed = int.from_bytes(hashlib.sha256(path.encode()).digest()[:4], "big")
            if x.dtype.kind == "f":
                drawn = np.random.default_rng([seed, *x.shape]).normal(size=x.shape) * 0.4
                x = np.asarray(abs(drawn) + 0.5 if positive(path) else drawn, np.float32)
            leaves.append(x)
        return kf.tree.unflatten(kf.tree.structure(tree), leaves)

    # Of what is state, only variances are roots; the means of some layers must not stand out from them.
    return fill(params, lambda path: False), fill(state, lambda path: "variance" in path or "stddev" in path)


def moving(tree: Any) -> tuple[list, Any]:
    """The floating arrays of `tree`, and a function that puts others in their places."""
    leaves, structure = kf.tree.flatten(tree)
    at = [i for i, x in enumerate(leaves) if floating(x)]

    def fill(xs, rest=None):
        filled = dict(zip(at, xs, strict=True))
        others = leaves if rest is None else kf.tree.leaves(rest)
        return kf.tree.unflatten(structure, [filled.get(i, x) for i, x in enumerate(others)])

    return [leaves[i] for i in at], fill


def cotangents(values: list[np.ndarray]) -> list[np.ndarray]:
    """A weight for each number of a result, to make a scalar of it."""
    return [np.random.default_rng(7).normal(size=v.shape) for v in values if v.dtype.kind == "f"]


# -- what Keras says -------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def double():
    """Keras on JAX in float64, which it would round to float32."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    import jax
    import keras

    narrows = importlib.import_module("keras.src.backend.common.dtypes").BIT64_TO_BIT32_DTYPE
    before = keras.config.floatx(), keras.config.dtype_policy()
    with jax.enable_x64(True), mock.patch.dict(narrows, float64="float64", complex128="complex128"):
        keras.config.set_floatx("float64")
        keras.config.set_dtype_policy("float64")
        try:
            yield
        finally:
            keras.config.set_floatx(before[0])
            keras.config.set_dtype_policy(before[1])


def wide(x: Any) -> Any:
    return x.astype(np.float64) if floating(x) else x


def arrays(tree: Any) -> list[np.ndarray]:
    import jax

    return [np.asarray(x) for x in jax.tree.leaves(tree)]


def matched(variables: list, leaves: dict[str, np.ndarray]) -> list[str]:
    """For each of Keras's variables, the path of ours with its name and shape, and the longest common end of path.

    Where several remain, both are in the order of their making.
    """
    free, out = dict(leaves), []
    for variable in variables:
        theirs = variable.path.split("/")

        def common(path, theirs=theirs):
            pairs = zip(reversed(path.split("/")), reversed(theirs), strict=False)
            return next((i for i, (a, b) in enumerate(pairs) if a != b), len(path.split("/")))

        fitting = [p for p, x in free.items() if x.shape == tuple(variable.shape) and common(p)]
        if not fitting:
            raise ValueError(
                f"no {variable.path} {tuple(variable.shape)} among { ({p: x.shape for p, x in free.items()}) }"
            )
        found = max(fitting, key=common)  # the first of equals
        out.append(found)
        del free[found]
    if free:
        raise ValueError(f"Keras has no {list(free)}")
    return out


def compute(i: int) -> dict[str, list[np.ndarray]]:
    """The answer to row `i`: lists "value", "gradient", "state", "losses", "mask"."""
    with double():
        return globals()[f"_{ROWS[i].kind}"](ROWS[i], kf.tree.map(wide, (ROWS[i].args, ROWS[i].options)))


def _differentiated(row: Row, given: Any, fun: Any) -> dict[str, list[np.ndarray]]:
    """Value and gradients of `fun(tree) -> outputs`, at the arrays of `given`."""
    import jax

    values = arrays(fun(given))
    out = {"value": values}
    xs, fill = moving(given)
    ws = cotangents(values)
    if row.grad is True and xs and ws:

        def objective(xs):
            leaves = [y for y in jax.tree.leaves(fun(fill(xs))) if "float" in str(y.dtype)]
            return sum(jax.numpy.sum(y * w) for y, w in zip(leaves, ws, strict=True))

        out["gradient"] = arrays(jax.jit(jax.grad(objective))(xs))
    return out


def _layer(row: Row, given: Any) -> dict[str, list[np.ndarray]]:
    import jax
    import keras

    params, state = kf.tree.map(wide, weights(row))
    order = ["/".join(path) for path in made(row).trace(*row.args, **row.options).declared]
    ours = {**dict(zip(kf.tree.paths(params), kf.tree.leaves(params), strict=True))}
    ours |= dict(zip(kf.tree.paths(state), kf.tree.leaves(state), strict=True))
    ours = {path: ours[path] for path in order}
    theirs = row.new.build(THEIRS)
    inputs, options = jax.tree.map(jax.numpy.asarray, given)
    theirs(*inputs, **options)
    variables = [v for v in theirs.variables if "seed_generator" not in v.path]
    names = dict(zip([v.path for v in variables], matched(variables, ours), strict=True))
    for v in variables:
        v.assign(ours[names[v.path]])
    if hasattr(theirs, "finalize_state"):  # Normalization computes with copies of its variables
        theirs.finalize_state()
    training = {"training": row.train} if theirs._call_has_training_arg else {}

    def run(tree):
        params, inputs, options = tree
        leaves = {**ours, **dict(zip(kf.tree.paths(params), kf.tree.leaves(params), strict=True))}
        values = [(v, jax.numpy.asarray(leaves[names[v.path]])) for v in variables]
        # Called as users do: `stateless_call` passes by what __call__ adds, such as activity regularizers.
        with keras.StatelessScope(values, collect_losses=True) as scope:
            out = theirs(*inputs, **options, **training)
            losses = theirs.losses
        return out, {names[v.path]: scope.get_current_value(v) for v in variables}, losses

    out = _differentiated(row, (params, inputs, options), lambda tree: run(tree)[0])
    _, new, losses = run((params, inputs, options))
    out["losses"] = arrays([sum(losses)] if losses else [])
    if row.train:
        out["state"] = [np.asarray(new[path]) for path in kf.tree.paths(state)]
    masks = [keras.src.backend.get_keras_mask(y) for y in jax.tree.leaves(theirs(*inputs, **options))]
    out["mask"] = arrays([m for m in masks if m is not None])
    return out


def _call(row: Row, given: Any) -> dict[str, list[np.ndarray]]:
    import jax
    import keras

    theirs = row.new.build(THEIRS)

    def fun(tree):
        # Of NumPy's arrays, `keras.utils.normalize` takes axis 0 for the last.
        args, options = jax.tree.map(lambda x: jax.numpy.asarray(x) if is_array(x) else x, tree)
        if isinstance(theirs, keras.Loss) and "mask" in options:  # Keras finds it on the predictions
            keras.src.backend.set_keras_mask(args[1], options["mask"])
            options = {k: v for k, v in options.items() if k != "mask"}
        return theirs(*args, **options)

    return _differentiated(row, given, fun)


def _metric(row: Row, given: Any) -> dict[str, list[np.ndarray]]:
    theirs = row.new.build(THEIRS)
    for batch in given[0]:
        theirs.update_state(*batch)
    return {"value": arrays(theirs.result())}


def _optimizer(row: Row, given: Any) -> dict[str, list[np.ndarray]]:
    import keras

    (params, *gradients), _ = given
    theirs = row.new.build(THEIRS)
    variables = {name: keras.Variable(x, name=name) for name, x in sorted(params.items())}
    out = []
    theirs.build(list(variables.values()))
    for g in gradients:
        listed = [g[name] for name in variables]
        if hasattr(theirs, "inner_optimizer"):  # which runs on JAX without state alone
            both = theirs.variables, [v.value for v in variables.values()]
            news = theirs.stateless_apply([v.value for v in both[0]], listed, both[1])
            for v, new in zip((*variables.values(), *theirs.variables), (*news[0], *news[1]), strict=True):
                v.assign(new)
        else:
            theirs.apply(listed)
        out.append({name: np.asarray(v.value) for name, v in variables.items()})
    return {"value": arrays(out)}


def _initializer(row: Row, given: Any) -> dict[str, list[np.ndarray]]:
    return {"value": arrays(row.new.build(THEIRS)(row.args[0], "float64"))}


def _digest(i: int) -> str:
    row = ROWS[i]
    return digest(row.args, row.options, repr(row.new), row.train, row.grad is True, weights(row))


FILE = OracleFile(Path(__file__).with_suffix(".npz"), IDS, [row.new.name for row in ROWS], _digest, compute)

if __name__ == "__main__":
    FILE.record(set(sys.argv[1:]))
