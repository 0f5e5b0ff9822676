"""What a layer's `forward` is given: its parameters, its state, its random keys. Lives for one call."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .. import random
from ..arrays import Spec, dtype_name, namespace
from ..errors import LayerError, MissingKeyError, ParamError
from ..registry import resolve

if TYPE_CHECKING:
    from .layer import Layer

__all__ = ["Scope"]


@dataclasses.dataclass(eq=False)
class Call:
    """What all scopes of one `init` or `apply` share.

    Attributes:
        train: Whether layers behave as in training.
        key: The root key of the call's random draws, or None.
        new_state: What layers have set: scope path and name to value.
        draws: How many keys each path has drawn, so that a layer that is used twice draws different numbers.
        declared: In `init`, each parameter's and state variable's declaration; None in `apply`.
        owners: In `init`, the path at which each layer object was met.
        outputs: In `init`, for each layer that ran, its path, itself and what it returned.
    """

    train: bool = False
    key: Any = None
    new_state: dict[tuple[str, ...], Any] = dataclasses.field(default_factory=dict)
    draws: dict[str, int] = dataclasses.field(default_factory=dict)
    declared: dict[tuple[str, ...], Declaration] | None = None
    owners: dict[int, str] = dataclasses.field(default_factory=dict)
    outputs: list[tuple[str, Layer, Any]] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Declaration:
    """A parameter or state variable as a layer asks for it."""

    kind: str
    spec: Spec
    initializer: Callable

    def draw(self, key: Any, path: tuple[str, ...]) -> Any:
        """Its first value, which depends on the key and the path and on nothing else."""
        digest = hashlib.blake2b("/".join(path).encode(), digest_size=8).digest()
        for word in (digest[:4], digest[4:]):
            key = random.fold_in(key, int.from_bytes(word, "big"))
        return self.initializer(key, self.spec.shape, dtype_name(self.spec.dtype))


def name_id(name: str) -> int:
    """A 32-bit number for a name, the same on every machine (FNV-1a); plain Python, so that compilers fold it."""
    h = 0x811C9DC5
    for c in name:
        h = ((h ^ ord(c)) * 0x01000193) & 0xFFFFFFFF
    return h


def mix(a: int, b: int) -> int:
    """Two 32-bit numbers as one; plain integer arithmetic, so that compilers fold it."""
    h = ((a ^ b) * 0x9E3779B1 + 0x7F4A7C15) & 0xFFFFFFFF
    h = ((h ^ (h >> 15)) * 0x85EBCA77) & 0xFFFFFFFF
    return h ^ (h >> 13)


class Scope:
    """One layer's view of the call: `param`, `state` and `set`, `key`, and the Python bool `train`.

    Attributes:
        train: Whether the layer behaves as in training.
        path: Where the layer stands in the network: `"encoder/dense"`.
    """

    __slots__ = ("_call", "_id", "_layer", "_params", "_parts", "_state")

    def __init__(self, call: Call, layer: Layer, parts: tuple[str, ...], number: int, params: Any, state: Any):
        self._call, self._layer, self._parts, self._id = call, layer, parts, number
        self._params, self._state = params, state

    @property
    def train(self) -> bool:
        return self._call.train

    @property
    def initializing(self) -> bool:
        """Whether this call finds shapes: arrays are `Spec`s, and have no values."""
        return self._call.declared is not None

    @property
    def path(self) -> str:
        return "/".join(self._parts)

    def sub(self, name: str) -> Scope:
        """A scope below this one, for a layer that groups its parameters: `s.sub("query").param("kernel", …)`."""
        return self._below(self._layer, name, name_id(name))

    def _below(self, layer: Layer, name: str, number: int) -> Scope:
        params = self._params.get(name) if self._params else None
        state = self._state.get(name) if self._state else None
        return Scope(self._call, layer, (*self._parts, name), mix(self._id, number), params, state)

    def child(self, layer: Layer) -> Scope:
        """The scope of `layer`, one of this layer's children.

        Raises:
            LayerError: It is no child of this layer, or stands under another parent too.
        """
        try:
            name, number = self._layer._children[id(layer)]
        except KeyError:
            raise LayerError(
                f"{type(layer).__name__} was called inside {type(self._layer).__name__}, which does not own it.",
                path=self.path,
                expected="a layer that is a field, or in a list or dict that is a field, of the layer that calls it",
                got=repr(layer),
                fix=f"make it a field of {type(self._layer).__name__}: its name in the parameter tree comes from there",
            ) from None
        scope = self._below(layer, name, number)
        if self._call.declared is not None:
            self._claim(layer, scope.path)
        return scope

    def _claim(self, layer: Layer, path: str) -> None:
        owner = self._call.owners.setdefault(id(layer), path)
        if owner != path:
            raise LayerError(
                f"One {type(layer).__name__} object stands at two places of the network.",
                path=path,
                expected="each layer object under one parent",
                got=f"{owner} and {path}",
                fix="make two layers, or let one parent call it twice, which shares its weights",
            )

    # -- parameters and state ----------------------------------------------------------------------------------------

    def param(self, name: str, shape: tuple[int, ...], initializer: Any, dtype: str = "float32") -> Any:
        """The parameter `name` of this layer.

        Args:
            name: Its name in the tree, unique in the layer.
            shape: Its shape; may depend on the shapes of the inputs.
            initializer: `(key, shape, dtype) -> array`, or the name of one.
            dtype: Name of the dtype it is made with.

        Raises:
            ParamError: The tree that was passed has no such leaf, or one of another shape.
        """
        if self._call.declared is not None:
            return self._declare(self._call.declared, "params", name, shape, initializer, dtype)
        return self._look_up("params", self._params, name, shape)

    def state(self, name: str, shape: tuple[int, ...], initializer: Any, dtype: str = "float32") -> Any:
        """The current value of the state variable `name`; arguments and errors as for `param`."""
        if self._call.declared is not None:
            return self._declare(self._call.declared, "state", name, shape, initializer, dtype)
        path = (*self._parts, name)
        if path in self._call.new_state:
            return self._call.new_state[path]
        return self._look_up("state", self._state, name, shape)

    def set(self, name: str, value: Any) -> None:
        """Give the state variable `name` a new value, of its old shape and dtype; `apply` returns it.

        Raises:
            ParamError: There is no such variable, or the value has another shape.
        """
        if self._call.declared is not None:
            return
        old = self._look_up("state", self._state, name, tuple(value.shape))
        if value.dtype != old.dtype:
            value = namespace(value).astype(value, old.dtype)
        self._call.new_state[(*self._parts, name)] = value

    def _declare(self, declared: dict, kind: str, name: str, shape: Any, initializer: Any, dtype: str) -> Spec:
        if any(not isinstance(n, int) or n < 0 for n in shape):
            raise ParamError(
                f"The shape of {name!r} is not known.",
                path=self.path,
                argument=name,
                expected="a tuple of non-negative integers",
                got=tuple(shape),
                fix="give the input's sizes on which it depends in the sample or Spec passed to init",
            )
        declaration = Declaration(kind, Spec(tuple(shape), dtype), resolve("initializer", initializer))
        path = (*self._parts, name)
        known = declared.setdefault(path, declaration)
        if known.kind != kind or known.spec.shape != declaration.spec.shape:
            raise ParamError(
                f"{name!r} is used with two shapes.",
                path=self.path,
                argument=name,
                expected=f"{known.kind} of shape {known.spec.shape}, as at its first use",
                got=f"{kind} of shape {tuple(shape)}",
                fix="a layer that shares its weights needs inputs of one width",
            )
        return declaration.spec

    def _look_up(self, kind: str, leaves: Any, name: str, shape: tuple[int, ...]) -> Any:
        try:
            value = leaves[name]
        except (KeyError, TypeError):
            raise self._missing(kind, leaves, name) from None
        if tuple(value.shape) != tuple(shape):  # a torch.Size is no equal of a tuple to Dynamo
            raise ParamError(
                f"{name!r} does not fit the input.",
                path=self.path,
                argument=name,
                expected=f"shape {tuple(shape)}, for this input",
                got=f"shape {tuple(value.shape)}",
                fix="pass inputs of the width that the network was initialised with, or initialise it for these",
            )
        return value

    def _missing(self, kind: str, leaves: Any, name: str) -> ParamError:
        return ParamError(
            f"There is no {name!r} in the {kind} that were passed.",
            path=self.path,
            argument=kind,
            expected=f"a dict with {name!r}",
            got="nothing" if not leaves else f"a dict with {', '.join(map(repr, leaves))}",
            fix="pass state=state, as init returned it" if kind == "state" else "pass params as init returned them",
        )

    # -- randomness --------------------------------------------------------------------------------------------------

    def key(self) -> Any:
        """A fresh random key, which depends on the call's key, the layer's path, and the number of draws before.

        Raises:
            MissingKeyError: `apply` was given no key.
        """
        call = self._call
        if call.key is None:
            raise MissingKeyError(
                "The layer draws random numbers, and the call has no key.",
                path=self.path,
                argument="key",
                expected="a key, or a seed",
                got=None,
                fix="pass key=, a seed such as key=0 or a key of the arrays' backend",
            )
        count = call.draws.get(self.path, 0)
        call.draws[self.path] = count + 1
        return random.fold_in(call.key, mix(self._id, count))
