"""Functions of JAX, and modules of flax, as layers: their trees of variables as paths, and their calls."""

from __future__ import annotations

import collections
import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ... import tree
from ...arrays import backend_of, dtype_name, to_numpy
from ...errors import ArgumentError, MissingKeyError, shown
from ...ops._op import lowering
from ...ops.foreign import foreign
from ...tracing.spec import Spec
from ..foreign import Foreign, Variable, arrays_of, by_sizes, lacks_key
from .backend import backend

__all__ = ["JaxModule"]

_CALL, _INIT = ("params", "state", "rng", "inputs", "training"), ("rng", "inputs", "training")
_KEY = jax.ShapeDtypeStruct((2,), jnp.uint32)
_REMEMBERED = 64
_ONE = 32
"""In place of a size that is not known when the variables are made; the batch is 1."""


@lowering(backend, foreign)
def _foreign(module, values, args, kwargs, key, train):
    return module.run(values, args, kwargs, key, train) if isinstance(module, JaxModule) else NotImplemented


class JaxModule(Foreign):
    """Functions of JAX: what `nn.JaxLayer` says of `call_fn`, `init_fn`, `params` and `state` holds here.

    Args:
        name: What errors call it.
        places: The paths below which the parameters and the state stand in the tree.
        flax: Whether it is a module of flax: `call_fn` is then given keys outside of training, too, and the arrays lie
            in boxes, whose attribute `value` is no part of a path.
    """

    library = "jax"

    def __init__(
        self,
        name: str,
        call_fn: Callable[..., Any],
        init_fn: Callable[..., Any] | None = None,
        params: Any = None,
        state: Any = None,
        places: tuple[tuple[str, ...], tuple[str, ...]] = (("params",), ("state",)),
        flax: bool = False,
    ):
        self.name, self._places, self._flax = name, places, flax
        self._call, self._takes = call_fn, _arguments("call_fn", call_fn, _CALL)
        self._init, self._init_takes = init_fn, () if init_fn is None else _arguments("init_fn", init_fn, _INIT)
        self._known: dict[Any, _Trees] = {}
        self._fixed: _Trees | None = None
        if params is not None or state is not None or init_fn is None:
            if params is None and state is None and not {"params", "state"}.isdisjoint(self._takes):
                raise ArgumentError(
                    "`init_fn`, `params` and `state` are all None, and `call_fn` takes params or state.",
                    argument="init_fn",
                    expected="a function that makes the parameters and the state; or these themselves",
                    got=None,
                )
            self._fixed = _Trees((params, state), lambda key: (params, state), places, flax)

    def _trees(self, args: tuple) -> _Trees:
        """The variables for inputs like `args`: arrays or `Spec`s."""
        if self._fixed is not None:
            return self._fixed
        leaves, structure = tree.flatten(args)
        form = structure, *[(tuple(x.shape), dtype_name(x.dtype)) if hasattr(x, "dtype") else x for x in leaves]
        found = self._known.get(form)
        if found is None:
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            first = functools.partial(self._first, tree.map(_sample, args))
            found = self._known[form] = _Trees(jax.eval_shape(first, _KEY), first, self._places, self._flax)
        return found

    def _first(self, args: tuple, key: Any) -> tuple[Any, Any]:
        """(params, state), as `init_fn` makes them for inputs like `args`."""
        assert self._init is not None
        inputs = jax.tree.map(lambda x: jnp.ones(x.shape, x.dtype) if hasattr(x, "dtype") else x, args[0])
        given = {"rng": key, "inputs": inputs, "training": True}
        made = self._init(*[given[name] for name in self._init_takes])
        return made if "state" in self._takes else (made, None)

    def variables(self, args: Any, kwargs: Any) -> Any:
        return self._trees(args).variables

    def shapes(self, values: Any, args: Any, kwargs: Any, train: Any) -> Any:
        try:
            return by_sizes(functools.partial(self._shapes, self._trees(args), values, None, train), args), False
        except MissingKeyError:
            return by_sizes(functools.partial(self._shapes, self._trees(args), values, _KEY, train), args), True

    def _shapes(self, trees: _Trees, values: Any, key: Any, train: bool, args: Any) -> Any:
        leaves, structure = tree.flatten(args)
        shown = [_struct(x) for x in (*values, *leaves) if isinstance(x, Spec)]

        def on_arrays(arrays: Any, key: Any) -> Any:
            arrays = iter(arrays)
            given = [next(arrays) if isinstance(x, Spec) else x for x in (*values, *leaves)]
            inputs = tree.unflatten(structure, given[len(values) :])
            return self._run(trees, given[: len(values)], inputs, key, train)[0]

        return tree.map(lambda x: Spec(x.shape, x.dtype), jax.eval_shape(on_arrays, shown, key))

    def run(self, values: Any, args: Any, kwargs: Any, key: Any, train: Any) -> Any:
        return self._run(self._trees(args), values, args, key, train)

    def _run(self, trees: _Trees, values: Any, args: Any, key: Any, train: Any) -> Any:
        params, state = trees.joined(values)
        if not self._flax:
            key = key if train else None  # as in Keras
            if train and key is None and "rng" in self._takes:
                raise lacks_key(self.name)
        given = {"params": params, "state": state, "rng": key, "inputs": args[0], "training": train}
        out = self._call(*[given[name] for name in self._takes])
        if "state" not in self._takes:
            return arrays_of(out, self.name, _is_array), None
        if not isinstance(out, tuple) or len(out) != 2:
            raise ArgumentError.must_be("call_fn", "a function that returns its output and its new state", out)
        return arrays_of(out[0], self.name, _is_array), trees.kept(values, out[1])


backend.foreign["JaxLayer"] = functools.partial(JaxModule, "JaxLayer")


class _Trees:
    """The trees of parameters and state of a module, and the variables that their arrays are.

    Args:
        both: (params, state), with arrays or their shapes.
        first: From a key to the same with the first values.
        places: The paths below which the two stand.
        boxed: Whether arrays lie in boxes, as flax's.
    """

    def __init__(self, both: Any, first: Callable[[Any], Any], places: Any, boxed: bool):
        found, self._structure = jax.tree_util.tree_flatten_with_path(both)
        self._first = first
        self._drawn: tuple[bytes, dict[int, Any]] = b"", {}
        # What is no array is a part of the function, such as an activation in a module of equinox.
        self._leaves = [i for i, (_, x) in enumerate(found) if _is_array(x)]
        self._rest = [None if _is_array(x) else x for _, x in found]
        self._impls = {i: _impl(x) for i, (_, x) in enumerate(found) if _is_key(x)}
        self.variables = tuple([self._variable(i, *found[i], places, boxed) for i in self._leaves])
        _check_paths([v.path for v in self.variables])
        self._of_params = len(jax.tree.leaves(both[0]))  # those of the state come after these
        self._state_structure = jax.tree.structure(both[1])

    def _variable(self, i: int, path: Any, leaf: Any, places: Any, boxed: bool) -> Variable:
        if boxed and path[-1] == jax.tree_util.GetAttrKey("value"):
            path = path[:-1]
        parts = [str(getattr(key, "key", getattr(key, "idx", getattr(key, "name", "")))) for key in path[1:]]
        x = _struct(leaf)
        names = [*places[path[0].idx], *[p for part in parts for p in part.split("/")]]
        trainable = path[0].idx == 0 and jnp.issubdtype(x.dtype, jnp.inexact)
        return Variable(tuple(names), x.shape, dtype_name(x.dtype), trainable, functools.partial(self._value, i))

    def _value(self, i: int, key: Any) -> Any:
        if backend_of(key).is_traced(key):
            return _as_plain(jax.tree.leaves(self._first(key))[i])
        # All values are drawn at once, and each is handed out once, so that they are not kept.
        words, left = self._drawn
        if words != to_numpy(key).tobytes() or i not in left:
            words = to_numpy(key).tobytes()
            left = dict(enumerate(jax.tree.leaves(self._first(jnp.asarray(to_numpy(key))))))
            self._drawn = words, left
        return _as_plain(left.pop(i))

    def joined(self, values: Any) -> tuple[Any, Any]:
        """(params, state) with these values of the variables."""
        leaves = list(self._rest)
        for i, value in zip(self._leaves, values, strict=True):
            leaves[i] = jax.random.wrap_key_data(value, impl=self._impls[i]) if i in self._impls else value
        return jax.tree.unflatten(self._structure, leaves)

    def kept(self, values: Any, state: Any) -> list[Any]:
        """The new values of the variables that are not trainable, where the module has returned this state."""
        leaves, structure = jax.tree.flatten(state)
        if structure != self._state_structure:
            raise ArgumentError(
                "`call_fn` returned a state of another structure than it was given.",
                argument="call_fn",
                expected=str(self._state_structure),
                got=str(structure),
            )
        each = zip(self.variables, self._leaves, values, strict=True)
        n = self._of_params
        return [_as_plain(leaves[i - n]) if i >= n else value for v, i, value in each if not v.trainable]


def _arguments(argument: str, fun: Any, known: tuple[str, ...]) -> tuple[str, ...]:
    """The names of the arguments of `fun`, in order."""
    if not callable(fun):
        raise ArgumentError.must_be(argument, "a function", fun)
    names = tuple(inspect.signature(fun).parameters)
    strange = [name for name in names if name not in known]
    if strange or "inputs" not in names:
        raise ArgumentError(
            f"`{argument}` has an argument {strange[0]!r}." if strange else f"`{argument}` has no argument 'inputs'.",
            argument=argument,
            expected=f"a function with the argument inputs, and any others of {', '.join(known)}",
            got=f"({', '.join(names)})",
            fix=f"write a function with these arguments that calls {getattr(fun, '__name__', 'it')}",
        )
    return names


def _check_paths(paths: list[tuple[str, ...]]) -> None:
    """Raise an ArgumentError if two variables have one path, or one stands below another."""
    above = {path[:n] for path in paths for n in range(len(path))}
    counts = collections.Counter(paths)
    twice = [path for path in paths if path in above or counts[path] > 1 or "" in path]
    if twice:
        raise ArgumentError(
            f"Two variables of the module have the name {'/'.join(twice[0])!r}.",
            argument="params",
            expected="trees whose keys, joined by '/', differ",
            got=shown([*map("/".join, paths)]),
        )


def _is_array(x: Any) -> bool:
    return isinstance(x, jax.Array | jax.ShapeDtypeStruct | np.ndarray | np.generic | bool | int | float)


def _is_key(x: Any) -> bool:
    return hasattr(x, "dtype") and jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def _as_plain(x: Any) -> Any:
    """`x`; of random keys of JAX's own type, their words."""
    return jax.random.key_data(x) if _is_key(x) else x


def _impl(x: Any) -> Any:
    """The generator of the random keys `x`, or of keys of which only shape and dtype are known."""
    found = []
    jax.eval_shape(lambda key: found.append(jax.random.key_impl(key)), x)
    return found[0]


def _struct(x: Any) -> Any:
    """The shape and dtype of `x`, as `_as_plain` returns it."""
    if isinstance(x, Spec):
        return jax.ShapeDtypeStruct(x.shape, x.dtype)
    return jax.eval_shape(_as_plain, x) if _is_key(x) else jax.eval_shape(jnp.asarray, x)


def _sample(x: Any) -> Any:
    """The shape of a sample like `x`, an array or a `Spec`, in which all sizes are known."""
    if not hasattr(x, "dtype"):
        return x
    shape = [1 if n is None and i == 0 else _ONE if n is None else n for i, n in enumerate(x.shape)]
    return jax.ShapeDtypeStruct(shape, dtype_name(x.dtype))
