"""Layers that are written as Keras's are: with `call(self, x)`, which calls other layers without a scope.

The `self` of such a `call` is a `Bound`: the layer together with the scope of this one call. Its children are bound to
that scope, too, so nothing is global, and the layer itself stays frozen and without weights. `Layer` derives a
`forward` from `call`, and all else follows from that.
"""

from __future__ import annotations

import inspect
import itertools
import types
from collections.abc import Callable
from typing import Any

from .. import tree
from ..arrays import device, kind_of, namespace
from ..tracing.spec import Spec
from ..typing import Array, ConstraintLike, InitializerLike, RegularizerLike, Tree
from .scope import Scope

__all__ = ["Bound", "as_layer", "derive_forward"]


def as_layer(x: Any) -> Any:
    """`x`; if it is a `kf.Model`, its network, which brings its weights into a model that is made of it."""
    given = getattr(type(x), "_as_layer", None)
    return x if given is None else given(x)


def derive_forward(cls: Any) -> None:
    """Give `cls`, which defines `call`, a `forward` with the same arguments. It takes masks in any case."""
    call: Callable[..., Any] = cls.call
    first, *others = inspect.signature(call).parameters.values()
    named = [p.name for p in others if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    known = {p.name for p in others}
    takes_all = any(p.kind is p.VAR_KEYWORD for p in others)
    masks = {name: "mask" if i == 0 else f"{name}_mask" for i, name in enumerate(named)}
    more = [n for n in masks.values() if n not in known]

    def forward(self: Any, s: Scope, *args: Any, **kwargs: Any) -> Tree:
        given = dict(zip(named, args, strict=False)) | kwargs
        bound = Bound(self, s, like=next((x for x in tree.leaves(given) if kind_of(type(x)) is not None), None))
        for name, x in given.items():
            if kwargs.get(masks.get(name, "")) is not None:
                bound._remember(x, kwargs[masks[name]])
        if hasattr(type(self), "build"):
            bound.build(*[tree.map(lambda x: tuple(x.shape), given[name]) for name in _built_for(self, named, given)])
        # `call` gets the masks that it has arguments for.
        out = bound.call(*args, **{n: x for n, x in kwargs.items() if n in known or (takes_all and n not in more)})
        mask = bound._mask_of(out)
        if any(m is not None for m in tree.leaves(mask)):
            s.hand_on(mask)
        return out

    position = inspect.Parameter.POSITIONAL_OR_KEYWORD
    options = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in more]
    last = [others.pop()] if takes_all else []
    parameters = [first, inspect.Parameter("s", position), *others, *options, *last]
    forward.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    forward.__doc__ = call.__doc__
    cls.forward = forward


def _built_for(layer: Any, named: list[str], given: dict[str, Any]) -> list[str]:
    """The arguments whose shapes `build` takes: as many as it has arguments."""
    most = len(inspect.signature(type(layer).build).parameters) - 1
    return [name for name in named if name in given][:most]


class Bound:
    """A layer in one call: the `self` of its `call`, and of `build`, which runs before.

    Attributes that are assigned to it are forgotten after the call.

    Attributes:
        scope: The `Scope` of the call: `self.scope.key()` is a new key for random numbers.
    """

    def __init__(self, layer: Any, scope: Scope | None, parent: Bound | None = None, like: Any = None):
        self._layer, self._scope, self._parent = layer, scope, parent
        self._like: Any = like if parent is None else parent._like
        self._masks: list[tuple[Any, Any]] = [] if parent is None else parent._masks
        self._weights = itertools.count()
        self._made: list[Any] = []

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # so that isinstance and super() take it for the layer
        return self._layer.__class__

    @property
    def scope(self) -> Scope:
        if self._scope is None and self._parent is not None:
            self._scope = self._parent.scope.child(self._layer)
        assert self._scope is not None
        return self._scope

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value if name in _OWN else self._with_made(name, value))

    def _with_made(self, name: str, value: Any) -> Any:
        """`value`, in which layers that were made during the call, as `build` may do, are children with this name."""
        value = as_layer(value)
        if type(value) in (tuple, list):
            return type(value)([self._with_made(f"{name}_{i}", v) for i, v in enumerate(value)])
        if type(value) is dict:
            return {key: self._with_made(f"{name}_{key}", v) for key, v in value.items()}
        if type(value) is Bound or not hasattr(type(value), "_masked"):
            return value
        if id(value) not in self._layer._children:
            self._made.append(value)  # the scope knows it by its id, so it must live as long
            self.scope.adopt(value, name)
        return Bound(value, None, self)

    def __getattr__(self, name: str) -> Any:
        layer = self._layer
        if name in vars(layer):
            return self._part(getattr(layer, name))
        for cls in type(layer).__mro__:
            if name in vars(cls):
                found = vars(cls)[name]
                if isinstance(found, types.FunctionType):
                    return types.MethodType(found, self)
                if isinstance(found, property) and found.fget is not None:
                    return found.fget(self)
                break
        return self._part(getattr(layer, name))

    def _part(self, value: Any) -> Any:
        """An attribute of the layer, in which children are bound."""
        value = as_layer(value)
        if id(value) in self._layer._children:
            return Bound(value, None, self)
        if isinstance(value, tuple | list) and type(value) in (tuple, list):
            return type(value)([self._part(v) for v in value])
        if type(value) is dict:
            return {name: self._part(v) for name, v in value.items()}
        kind = kind_of(type(value))  # PyTorch's operators do not take a plain NumPy array
        return value if kind is None else kind.backend.constant(value)

    def __call__(self, *args: Any, **kwargs: Any) -> Tree:
        """The output of a child, which gets the masks of its inputs, as in Keras."""
        if self._parent is None:
            raise TypeError(f"{type(self._layer).__name__}.call calls itself.")
        masks: dict[Any, Any] = {}
        if self._masks:
            given = dict(zip(itertools.chain(self._layer._inputs, itertools.count()), args, strict=False)) | kwargs
            masks = {name: self._mask_of(x) for name, x in given.items()}
        args, kwargs = tree.map(self._beside, (args, kwargs))
        out, mask = self._layer._masked(self._parent.scope, args, kwargs, masks)
        if mask is not None:
            self._remember(out, mask)
        return out

    def _beside(self, x: Any) -> Any:
        """`x`, or the same numbers where the inputs of the call are, if `x` was made without saying where: by NumPy."""
        kind, like = kind_of(type(x)), kind_of(type(self._like))
        if kind is None or like is None or kind.backend is like.backend or isinstance(self._like, Spec):
            return x
        return namespace(self._like).asarray(x, device=device(self._like))

    def _remember(self, x: Tree, mask: Tree) -> None:
        arrays = tree.leaves(x)
        masks = mask if isinstance(mask, list | tuple) else [mask] + [None] * (len(arrays) - 1)
        self._masks.extend((a, m) for a, m in zip(arrays, masks, strict=False) if m is not None)

    def _mask_of(self, x: Tree) -> Tree:
        return tree.map(lambda x: next((mask for a, mask in self._masks if a is x), None), x)

    def add_weight(
        self,
        shape: tuple[int, ...] = (),
        initializer: InitializerLike = "glorot_uniform",
        dtype: str | None = None,
        trainable: bool = True,
        autocast: bool = True,
        regularizer: RegularizerLike = None,
        constraint: ConstraintLike = None,
        *,
        name: str | None = None,
    ) -> Array:
        """The value of a parameter, or of a variable of the state if it is not `trainable`; see `Scope.param`."""
        number = next(self._weights)
        name = name or ("weight" if number == 0 else f"weight_{number}")
        if trainable:
            return self.scope.param(name, tuple(shape), initializer, dtype, regularizer, constraint, autocast)
        return self.scope.state(name, tuple(shape), initializer, dtype)

    def add_loss(self, loss: Array) -> None:
        """Add the sum of `loss` to what training minimises."""
        if self.scope.wants_losses:
            self.scope.add_loss(namespace(loss).sum(loss))


_OWN = frozenset(("_layer", "_scope", "_parent", "_like", "_masks", "_weights", "_made"))
"""The attributes of a `Bound` itself."""
