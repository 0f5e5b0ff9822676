"""Layers that are written as Keras's are: with `call(self, x)`, which calls other layers without a scope.

The `self` of such a `call` is a `Bound`: the layer together with the scope of this one call. Its children are bound to
that scope, too, so nothing is global, and the layer itself stays frozen and without weights. `Layer` derives a
`forward` from `call`, and all else follows from that.
"""

from __future__ import annotations

import functools
import inspect
import itertools
import types
from collections import UserList, deque
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from .. import tree
from ..arrays import device, kind_of, namespace
from ..elsewhere import SETS
from ..errors import LayerError
from ..tracing.spec import Spec
from ..typing import Array, ConstraintLike, InitializerLike, RegularizerLike, Tree
from .scope import Scope

__all__ = ["Bound", "as_layer", "derive_forward", "written"]


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
    masks = {name: "mask" if i == 0 else f"{name}_mask" for i, name in enumerate(named)}
    more = [n for n in masks.values() if n not in known]

    def forward(self: Any, s: Scope, *args: Any, **kwargs: Any) -> Tree:
        given = dict(zip(named, args, strict=False)) | kwargs
        seen = Masks()
        for name, x in given.items():
            if kwargs.get(masks.get(name, "")) is not None:
                seen.add(x, kwargs[masks[name]])
        like = next((x for x in tree.leaves((args, kwargs)) if kind_of(type(x)) is not None), None)
        bound = Bound(self, s, seen, like)
        try:
            if hasattr(type(self), "build"):
                bound.build(*[tree.map(lambda x: tuple(x.shape), x) for x in _built_for(self, named, args, given)])
            out = bound.call(*args, **{n: x for n, x in kwargs.items() if n not in more})  # masks that `call` takes
            mask = seen.of(out)
            if all(m is None for m in tree.leaves(mask)) and hasattr(type(self), "compute_mask"):
                inputs = args[0] if args else given[named[0]]
                mask = bound.compute_mask(inputs, seen.of(inputs))
        finally:
            bound.__forget__()
        if any(m is not None for m in tree.leaves(mask)):
            s.hand_on(mask)
        return out

    position = inspect.Parameter.POSITIONAL_OR_KEYWORD
    options = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None) for name in more]
    last = [others.pop()] if others and others[-1].kind is inspect.Parameter.VAR_KEYWORD else []
    parameters = [first, inspect.Parameter("s", position), *others, *options, *last]
    forward.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    forward.__doc__ = call.__doc__
    cls.forward = forward


def _built_for(layer: Any, named: list[str], args: tuple, given: dict[str, Any]) -> list[Any]:
    """The inputs whose shapes `build` takes: as many as it has arguments."""
    most = len(inspect.signature(type(layer).build).parameters) - 1
    return [given[name] for name in named if name in given][:most] if named else list(args[:most])


class Masks:
    """The masks of the arrays in one call. It keeps these arrays alive, so that no other takes the place of one."""

    def __init__(self) -> None:
        self._known: list[tuple[Any, Any]] = []

    def __bool__(self) -> bool:
        return bool(self._known)

    def add(self, x: Tree, mask: Tree) -> None:
        arrays = tree.leaves(x)
        masks = mask if isinstance(mask, list | tuple) else [mask] + [None] * (len(arrays) - 1)
        self._known.extend((a, m) for a, m in zip(arrays, masks, strict=False) if m is not None)

    def of(self, x: Tree) -> Tree:
        """The mask of each array in `x`, or None. The newest counts, as in Keras, and is found first."""
        return tree.map(lambda x: next((mask for a, mask in reversed(self._known) if a is x), None), x)


class Bound:
    """A layer in one call: the `self` of its `call`, and of `build`, which runs before.

    It has the attributes and methods of the layer. Children that are read from it are bound, too: within the call, each
    child is one `Bound`. Attributes that are assigned to it are forgotten after the call.

    It has no public names of its own, since any name may be one of the layer's: its attributes begin with two
    underscores, and it offers `add_weight`, `add_loss` and `build` where `Layer` has an error in their place, and
    `scope`, the `Scope` of the call, if the layer has no attribute of that name.
    """

    def __init__(self, layer: Any, scope: Scope | None, masks: Masks, like: Any, parent: Bound | None = None):
        self.__layer, self.__scope, self.__parent = layer, scope, parent
        self.__masks, self.__like = masks, like
        self.__assigned: dict[str, Any] = {}
        self.__made: dict[int, Any] = {}  # by their ids, by which the scope knows them: they must live as long
        self.__names: set[str] = set()
        self.__parts: dict[int, Bound] = {} if parent is None else parent.__parts

    @property  # type: ignore[misc]
    def __class__(self) -> Any:  # so that isinstance and super() take it for the layer
        layer = vars(self).get("_Bound__layer")
        return Bound if layer is None else type(layer)  # Dynamo looks at objects before their `__init__` has run

    def __forget__(self) -> None:
        """End the call: without cycles of references, arrays are freed at once."""
        for bound in (self, *self.__parts.values()):
            bound.__assigned.clear()
        self.__parts.clear()

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError(f"{type(self.__layer).__name__} cannot be copied or pickled inside a `call`.")

    # -- attributes --------------------------------------------------------------------------------------------------

    def __own_scope(self) -> Scope:
        if self.__scope is None and self.__parent is not None:
            self.__scope = self.__parent.__own_scope().child(self.__layer)
        assert self.__scope is not None
        return self.__scope

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_Bound__"):
            object.__setattr__(self, name, value)
            return
        found = self.__layer._written.get(name)
        if isinstance(found, property):
            if found.fset is None:
                raise AttributeError(f"property {name!r} of {type(self.__layer).__name__} has no setter")
            found.fset(self, value)
            return
        # Layers that were made during the call, as `build` may do, are children with this name.
        layers = [(path, layer) for path, layer in self.__layer._layers_in([(name, value)]) if type(layer) is not Bound]
        for path, layer in layers:
            if id(layer) not in self.__layer._children:
                self.__made[id(layer)] = layer
                self.__own_scope().adopt(layer, path)
        self.__assigned[name] = self.__part(value) if layers else value

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_Bound__"):
            raise AttributeError(name)
        layer = self.__layer
        if name in self.__assigned:
            return self.__assigned[name]
        if name in vars(layer):
            return self.__part(getattr(layer, name))
        found = layer._written.get(name)
        if isinstance(found, types.FunctionType):
            return functools.partial(found, self)
        if isinstance(found, property) and found.fget is not None:
            return found.fget(self)
        if found is not None and hasattr(type(found), "__get__"):
            return found.__get__(self, type(layer))
        if found is None and name in self.__offered__:
            return functools.partial(self.__offered__[name], self)
        if found is None and name == "scope":
            return self.__own_scope()
        return self.__part(getattr(layer, name))

    def __part(self, value: Any) -> Any:
        """An attribute of the layer, in which children are bound."""
        value = as_layer(value)
        key = id(value)
        if key in self.__layer._children or key in self.__made:
            if key not in self.__parts:
                self.__parts[key] = Bound(value, None, self.__masks, self.__like, self)
            return self.__parts[key]
        if isinstance(value, tuple | list | deque | UserList):
            parts = [self.__part(v) for v in value]
            return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
        if isinstance(value, Mapping):
            return {name: self.__part(v) for name, v in value.items()}
        kind = kind_of(type(value))  # PyTorch's operators do not take a plain NumPy array
        return value if kind is None else kind.backend.constant(value)

    # -- calls of children -------------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Tree:
        """The output of a child, which gets the masks of its inputs, as in Keras."""
        layer, parent, known = self.__layer, self.__parent, self.__masks
        if parent is None:
            raise TypeError(f"{type(layer).__name__}.call calls itself.")
        if self.__assigned:
            name = next(iter(self.__assigned))
            raise LayerError(
                f"`{name}` of {type(layer).__name__} was set from outside in this call, and its own call would not see "
                "the change.",
                argument=name,
                fix=SETS.get(name) or f"pass it as an argument: def call(self, x, {name}); or set it in __init__",
            )
        masks: dict[Any, Any] = {}
        if known:
            given = dict(zip(itertools.chain(layer._inputs, itertools.count()), args, strict=False)) | kwargs
            masks = {name: known.of(x) for name, x in given.items()}
        args, kwargs = tree.map(self.__beside, (args, kwargs))
        out, mask = layer._masked(parent.__own_scope(), args, kwargs, masks)
        if mask is not None:
            known.add(out, mask)
        return out

    def __beside(self, x: Any) -> Any:
        """`x`, or the same numbers where the inputs of the call are, if `x` was made without saying where: by NumPy."""
        kind, like = kind_of(type(x)), kind_of(type(self.__like))
        if kind is None or like is None or kind.backend is like.backend or isinstance(self.__like, Spec):
            return x
        return namespace(self.__like).asarray(x, device=device(self.__like))

    # -- what `Layer` has an error for -------------------------------------------------------------------------------

    def __add_weight(
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
        """The value of a parameter, or of a variable of the state if it is not `trainable`; see `Scope.param`.

        Each call makes another one: the second with a name gets a number, such as "weight_1".
        """
        base = name = name or "weight"
        numbers = itertools.count(1)
        while name in self.__names:
            name = f"{base}_{next(numbers)}"
        self.__names.add(name)
        scope = self.__own_scope()
        if trainable:
            return scope.param(name, tuple(shape), initializer, dtype, regularizer, constraint, autocast)
        return scope.state(name, tuple(shape), initializer, dtype)

    def __add_loss(self, loss: Array) -> None:
        """Add the sum of `loss` to what training minimises."""
        scope = self.__own_scope()
        if scope.wants_losses:
            scope.add_loss(namespace(loss).sum(loss))

    def __build(self, *shapes: Any) -> None:
        """Nothing: for `super().build(input_shape)`, with which a `build` for Keras may end."""

    __offered__: dict[str, Callable[..., Any]] = {"add_weight": __add_weight, "add_loss": __add_loss, "build": __build}


def written(cls: Any) -> dict[str, Any]:
    """What a class and its bases define, but for those of kfunc, whose methods work on the layer itself."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__[:-1]):
        if base.__module__.startswith(_KFUNC):
            found = {name: value for name, value in found.items() if name not in vars(base)}
        else:
            found |= vars(base)
    return found


_KFUNC = f"{__package__.partition('.')[0]}."
