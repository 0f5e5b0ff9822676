"""`ForeignLayer`: a module of another library as a layer, whose parameters are in the tree like those of any layer."""

from __future__ import annotations

import dataclasses
import functools
import types
from typing import Any, ClassVar

from .. import registry
from ..arrays import asarray, backend_of, device, to_numpy
from ..backends import get
from ..backends.foreign import Foreign, Variable
from ..ops.foreign import foreign
from ..typing import Tree
from .layer import Layer, base_layer
from .scope import Scope

__all__ = ["ForeignLayer"]


@base_layer
class ForeignLayer(Layer):
    """Base of the layers that are modules of other libraries.

    A subclass defines `_made`. A file holds no code: so a layer is saved whose module is made by a registered function.
    """

    per_sample: ClassVar[bool] = False

    _module: Foreign = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "_module", self._made())

    def _made(self) -> Foreign:
        """The module as functions of its library's arrays."""
        raise NotImplementedError

    def _registered(self, argument: str) -> Any:
        """The value of a field; or, if it is a name, what is registered by it."""
        return registry.resolve("layer", getattr(self, argument), argument)

    def _given(self, argument: str) -> Any:
        """The object in a field, in which there may also be a function without arguments that makes it."""
        value = self._registered(argument)
        return value() if isinstance(value, types.FunctionType) else value

    def forward(self, s: Scope, *inputs: Any, **options: Any) -> Tree:
        module = self._module
        variables = module.variables(inputs, options or None)
        scopes: dict[tuple[str, ...], Scope] = {(): s}
        values = []
        for v in variables:
            for i in range(1, len(v.path)):
                if v.path[:i] not in scopes:
                    scopes[v.path[:i]] = scopes[v.path[: i - 1]].sub(v.path[i - 1])
            at = scopes[v.path[:-1]]
            declare = functools.partial(at.param, cast=False) if v.trainable else at.state  # its precision is its own
            values.append(declare(v.path[-1], v.shape, _First(v, s), v.dtype))
        quiet = not s.initializing and module.draws(inputs, options or None, s.train) is False
        key = None if quiet else s.maybe_key()
        out, new = foreign(module, values, inputs, options or None, key, s.train)
        if s.initializing:
            if new and key is None:
                s.key()  # so that it is known that the network draws random numbers
        elif new is not None:
            kept = [v for v in variables if not v.trainable]
            for v, value in zip(kept, new, strict=True):
                scopes[v.path[:-1]].set(v.path[-1], value)
        return out


class _First:
    """The initializer of a module's variable. A module draws all of them at once, from one key."""

    def __init__(self, variable: Variable, s: Scope):
        self._first, self.drawn_as = variable.first, s._parts

    def __call__(self, key: Any, shape: tuple[int, ...], dtype: str) -> Any:
        value, target = self._first(key), backend_of(key)
        if not backend_of(value).is_traced(value):
            numpy = get("numpy").xp
            value = numpy.asarray(to_numpy(value), copy=True)  # the module keeps its own values
        return asarray(value, dtype, backend=target, device=device(key))
