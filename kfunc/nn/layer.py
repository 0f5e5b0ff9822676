"""A layer is a frozen dataclass with one `forward(scope, x)`; `init` and `apply` are derived from it, and pure."""

from __future__ import annotations

import dataclasses
import inspect
import numbers
import operator
import re
import typing
import weakref
from collections import Counter, UserList, deque
from collections.abc import Callable, Iterable, Mapping, Set, ValuesView
from difflib import get_close_matches
from typing import Any, ClassVar, Literal, NamedTuple, TypeVar, overload

from .. import checks, random, tree
from ..arrays import asarray, backend_of, dtype_name, enter, kind_of_tree, namespace, to_numpy
from ..backends import Backend, get, kind_of
from ..backends.base import CONSTANT
from ..dataclasses import arguments, dataclass, is_open
from ..elsewhere import tell
from ..errors import ArgumentError, KfuncError, LayerError, UnknownAttributeError, shown
from ..ops._promotion import floating, kind
from ..random.keys import check_key
from ..registry import register, resolve, snake_case
from ..tracing.spec import Spec
from ..typing import Array, RegularizerLike, Tree
from . import dtype_policies
from .call import as_layer, derive_forward, written
from .dtype_policies import PolicyLike
from .scope import Call, Declaration, Scope, name_id, updated

__all__ = ["Aux", "Layer", "as_layer", "layer"]

L = TypeVar("L", bound=type)

_NAME = r"[\w-]+"


class Aux(NamedTuple):
    """What `apply(aux=True)` returns beside the output and the state.

    Attributes:
        losses: Scalars that training adds to the loss, by the path of the parameter or layer that they come from.
        mask: Booleans that say which positions of the output count; None if all do.
        indices: With `report=True`, for the path of each layer that looks up rows of a table, an index that it was
            given, int32 (): the one furthest outside the table if there is one, in place of which the nearest row was
            taken.
    """

    losses: dict[str, Array]
    mask: Tree
    indices: dict[str, Array] | None = None


# Not `frozen_default`: static tools would refuse the assignments in an `__init__` that a layer writes itself.
@typing.dataclass_transform(eq_default=False, field_specifiers=(dataclasses.field,))
def base_layer(cls: L) -> L:
    """As `layer`, for the base class of several layers: no file can name it."""
    return dataclass(cls, eq=False)


@typing.dataclass_transform(eq_default=False, field_specifiers=(dataclasses.field,))
def layer(cls: L) -> L:
    """Class decorator that makes a layer: a frozen dataclass, which model files call by the name of the class.

    Fields are hyperparameters and children. A layer in a field is a child with the name of the field; layers in lists,
    tuples and dicts, to any depth, are children named `field_0`, `field_key`, `field_0_key`. A layer that is the
    default of a field is copied for each object.

    In place of fields, a class may have its own `__init__`, which assigns attributes as usual; the layer is frozen when
    it returns. Then layers in attributes are the children, and files hold the arguments of `__init__`.
    """
    return register("layer")(dataclass(cls, eq=False))


class NodeRef:
    """A weak reference to a node of a graph. One of several values that a layer returns is made again if need be."""

    def __init__(self, node: Any, whole: Any = None, make: Callable[[Any], Any] | None = None):
        self._node = weakref.ref(node)
        self._whole, self._make = None if whole is None else weakref.ref(whole), make

    def __call__(self) -> Any:
        node = self._node()
        whole = None if self._whole is None or node is not None else self._whole()
        if whole is None or self._make is None:
            return node
        node = self._make(whole)
        self._node = weakref.ref(node)
        return node


class _Name:
    """The name that a layer was given, or the one that it has in the first network which it was put into."""

    def __get__(self, layer: Any, owner: type) -> Any:
        return self if layer is None else layer._given_name or vars(layer).get("_found_as")

    def __set__(self, layer: Any, value: Any) -> None:
        vars(layer)["name"] = value


class _NodeOf:
    """The nodes at one end of a layer in a graph. A field of the same name takes its place."""

    def __init__(self, what: str, index: int):
        self.what, self.index = what, index

    def __get__(self, layer: Any, owner: type) -> Any:
        return self if layer is None else layer._ends(self.what)[self.index]


@base_layer
class Layer:
    """Base of all layers. Subclasses are decorated with `@nn.layer`, and define `forward`.

    Or they define `call(self, x)` as in Keras, and need no decorator: `self.dense(x)` calls a child without a scope,
    `build` may make weights by `self.add_weight`, and `self.scope` is the scope. The decorator makes the class known to
    files.

    Fields that mean the same in all layers are checked here (`kfunc.checks.standard`): those of type bool, `seed`,
    `data_format`, and `…activation`, `…initializer`, `…regularizer` and `…constraint`.

    Args:
        name: The layer's name in the parameter tree, if its parent is a `Sequential` or `Graph`; else the name of the
            field counts. Without a name, `layer.name` is the one that it has in the network that it was first put into,
            such as "dense_1", and None before.
        dtype: The precision of this layer and of the layers in it: a policy or its name ("mixed_bfloat16", "float16"),
            or a `DTypePolicyMap`. By default that of the layer around it; if no layer has one, arrays are not cast.
        trainable: If False, this layer and the layers in it behave as in inference, and their parameters are a part of
            the state, so that no optimizer sees them. `nn.freeze` and `Model.freeze` do that later.
        activity_regularizer: An auxiliary loss, divided by the batch size: a function `(output) -> scalar`, or its
            name.
    """

    name: str | None = dataclasses.field(default=None, kw_only=True)
    dtype: PolicyLike = dataclasses.field(default=None, kw_only=True)
    trainable: bool = dataclasses.field(default=True, kw_only=True)
    activity_regularizer: RegularizerLike = dataclasses.field(default=None, kw_only=True)
    _children: dict[int, tuple[str, int]] = dataclasses.field(init=False, repr=False)
    _called: tuple[tuple[str, tuple[str, ...]], ...] = dataclasses.field(default=(), init=False, repr=False)
    """The name of the layer in each network that it was put into, and all names of that network; the newest last."""
    _renamed: tuple[str, ...] | None = dataclasses.field(default=None, init=False, repr=False)
    """The names of the layers in a list of this one, if they are others than copies of them would get."""
    _calls: tuple[tuple[Any, Any], ...] = dataclasses.field(default=(), init=False, repr=False)
    """The nodes of graphs that the layer was called with, and those that it returned, as weak references."""

    _held: tuple[tuple[Any, str], ...] = dataclasses.field(default=(), init=False, repr=False)
    """What models share of the layer, and its path in each; see `training.graph_face`."""

    input: ClassVar[Any] = _NodeOf("input", 0)
    """The node that the layer was called with in a graph; several in a list."""
    output: ClassVar[Any] = _NodeOf("output", 1)
    """The node that the layer returned in a graph."""

    _trains: dict[str, bool] | None = dataclasses.field(default=None, init=False, repr=False)
    """For paths of layers below this one: whether they train, whatever they say themselves; see `nn.freeze`."""

    _written: ClassVar[dict[str, Any]] = {}
    """Of a class with a `call`: what it defines, and its bases outside of kfunc."""

    __decorator__: ClassVar[str] = "@nn.layer"
    """The decorator that an error names if a subclass has none."""

    per_sample: ClassVar[bool | None] = None
    """Whether the output for a sample depends on this sample alone, or else, in training and evaluation, on statistics
    over `Scope.samples`; `predict` does not say which samples count. If so, the last batch of an epoch may be filled up
    to the size of the others, so that no step is compiled for it. None means True for kfunc's own layers and False for
    others."""

    supports_masking: ClassVar[bool] = False
    """Whether the mask of the first input is the mask of the output, too. Or else `forward` calls `Scope.hand_on`."""

    float_inputs: ClassVar[tuple[str, ...]] = ()
    """The arguments of `forward` that are numbers to compute with: arrays of integers and booleans become float32."""

    rounds_late: ClassVar[bool] = False
    """Whether the policy rounds the output and not the inputs. `forward` subtracts numbers that may be close to each
    other, such as a mean from the input: half precision would have lost the difference before."""

    _inputs: ClassVar[tuple[str, ...]] = ("x",)
    """Names of the arguments of `forward` that may be given by position."""

    _options: ClassVar[frozenset[str]] = frozenset()
    """Names of all arguments of `forward`."""

    _takes_training: ClassVar[bool] = False
    """Whether one of them is called `training`."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        defines = next(vars(c) for c in cls.__mro__ if "call" in vars(c) or "forward" in vars(c))
        if "forward" not in defines:
            derive_forward(cls)
        if hasattr(cls, "call"):
            cls._written = written(cls)
        if hasattr(cls, "call") and not inspect.get_annotations(cls):
            dataclass(cls, eq=False)  # Keras's layers have no decorator; one that registers the class may follow
        if {"build", "forward"} <= cls.__dict__.keys() and not hasattr(cls, "call"):
            _check_build(cls)
        if "forward" in cls.__dict__:
            parameters = list(inspect.signature(cls.forward).parameters.values())[2:]
            cls._inputs = tuple(p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD))
            cls._options = frozenset(p.name for p in parameters)
            cls._takes_training = "training" in cls._options

    def __post_init__(self) -> None:
        object.__setattr__(self, "dtype", dtype_policies.get(self.dtype))
        checks.standard(self)
        if self.activity_regularizer is not None:
            object.__setattr__(self, "activity_regularizer", resolve("regularizer", self.activity_regularizer))
        name = self._given_name
        if name is not None and not (isinstance(name, str) and re.fullmatch(_NAME, name)):
            raise ArgumentError(
                f"`name` must consist of letters, digits, '_' and '-', got {shown(name)}.",
                argument="name",
                expected="letters, digits, '_' and '-', since the name is a part of paths",
                got=repr(name),
            )
        if not is_open(self):
            self._settle()

    def _settle(self) -> None:
        """Find the children, when all attributes are set."""
        for attribute, value in [*self._plain_fields(), *self._assigned()]:
            plain = _plain(value)
            if plain is not value:
                object.__setattr__(self, attribute, plain)
        # The keys are ids, since Dynamo takes layers with equal fields for equal keys. The ids of a copy's children are
        # others: so a copy is made anew from its arguments (`kfunc.dataclasses`), and finds its children here.
        children: dict[int, tuple[str, int]] = {}
        for name, child in self.children():
            children.setdefault(id(child), (name, name_id(name)))
            vars(child).setdefault("_found_as", name)
        names = [name for name, _ in children.values()]
        split = [name for name in names if "/" in name]
        if split:
            raise LayerError(
                f"A layer in {type(self).__name__} would have the name {split[0]!r}.",
                argument="name",
                expected="a name without '/', which separates the names in a path",
                got=repr(split[0]),
                fix="give the dict that holds the layer another key",
            )
        twice = sorted(repr(n) for n, times in Counter(names).items() if times > 1)
        if twice:
            raise LayerError(
                f"Several layers in {type(self).__name__} have the name {', '.join(twice)}.",
                argument="name",
                expected="a different name for each layer object",
                got=", ".join(names),
            )
        object.__setattr__(self, "_children", children)

    @property
    def _given_name(self) -> str | None:
        """The name that the layer was given itself; see `name`."""
        return vars(self)["name"]

    @property
    def _beside(self) -> dict[str, Any]:
        """What a copy of this layer does not get from its arguments: `__setstate__` takes it."""
        found = {} if self._renamed is None else {"names": self._renamed}
        return found if self._trains is None else {**found, "trains": tuple(self._trains.items())}

    def __setstate__(self, found: dict[str, Any]) -> None:
        """Give this layer, which is a copy or comes from a file, what it does not have by its arguments.

        Args:
            found: "names" of the layers in a list of this one, and "trains", which layers train: as the original's.
        """
        if "trains" in found:
            pairs = found["trains"]
            if not all(isinstance(p, tuple) and len(p) == 2 and tuple(map(type, p)) == (str, bool) for p in pairs):
                raise ArgumentError.must_be("trains", "pairs of the path of a layer and whether it trains", pairs)
            object.__setattr__(self, "_trains", dict(pairs))
        if "names" in found:
            self._rename(found["names"])

    def _rename(self, names: tuple[str, ...]) -> None:
        children = dict(self._children)
        if not isinstance(names, tuple) or len(names) > len(children) or len({*names}) < len(names):
            raise ArgumentError.must_be("names", "a different name for each layer", names)
        for name, (of, child) in zip(names, {id(c): c for _, c in self.children()}.items(), strict=False):
            if not (isinstance(name, str) and re.fullmatch(_NAME, name)):
                raise ArgumentError.must_be("names", "a different name for each layer", names)
            children[of] = name, name_id(name)
            if child._given_name is None:
                object.__setattr__(child, "_called", (*child._called[:-1], (name, names)))
                vars(child)["_found_as"] = name
        object.__setattr__(self, "_children", children)
        object.__setattr__(self, "_renamed", names)

    def children(self) -> Iterable[tuple[str, Layer]]:
        """The name and the object of each child. A child that comes twice shares its weights."""
        return [*self._layers_in(self._arguments()), *self._assigned_children()]

    @staticmethod
    def _layers_in(attributes: Iterable[tuple[str, Any]]) -> Iterable[tuple[str, Layer]]:
        """The layers that are attributes, or lie in lists, tuples and dicts that are, with their names."""
        for name, value in attributes:
            value = as_layer(value)
            if isinstance(value, Layer):
                yield name, value
            elif isinstance(value, list | tuple | deque | UserList):
                yield from Layer._layers_in((f"{name}_{i}", v) for i, v in enumerate(value))
            elif isinstance(value, Mapping):
                yield from Layer._layers_in((f"{name}_{k}", v) for k, v in value.items())
            elif isinstance(value, Set | ValuesView) and any(True for _ in Layer._layers_in((name, v) for v in value)):
                raise LayerError(
                    f"`{name}` holds layers in a {type(value).__name__}, where they have no names.",
                    argument=name,
                    expected="layers in lists, tuples or dicts, to any depth",
                    got=shown(value),
                    fix=f"give `{name}` a list, whose order says the names of the parameters",
                )

    def _assigned_children(self) -> Iterable[tuple[str, Layer]]:
        """The children that the class's own `__init__` has assigned, beside those in fields."""
        return self._layers_in(self._assigned())

    def _arguments(self) -> Iterable[tuple[str, Any]]:
        """The fields; for a class with its own `__init__`, those of its base."""
        return [(name, vars(self)[name]) for name in type(self).__arguments__[1]]  # type: ignore[attr-defined]

    def _plain_fields(self) -> Iterable[tuple[str, Any]]:
        """The fields whose lists become tuples, and NumPy's numbers Python's."""
        return self._arguments()

    def _assigned(self) -> list[tuple[str, Any]]:
        """The attributes that the class's own `__init__` has assigned, without those of its base."""
        cls: Any = type(self)
        if cls.__own__ is None:
            return []
        base = next(b for b in cls.__mro__ if vars(b).get("__own__", ...) is None)
        passed_over = {*base.__dataclass_fields__, "_children", "_found_as", "_given"}
        return [(name, value) for name, value in vars(self).items() if name not in passed_over]

    def forward(self, s: Scope, *inputs: Any, **options: Any) -> Tree:
        """The layer's output, to be written in the Array API. `s` has the parameters, the state and random keys."""
        raise TypeError(f"{type(self).__name__} defines no forward(self, s, x).")

    def get_config(self) -> dict[str, Any]:
        """The arguments that make a layer like this one, as files hold it."""
        return dict(arguments(self))

    def input_specs(self) -> tuple[Any, ...] | None:
        """What `init` takes, as `Spec`s, if the layer knows it; see `nn.Input`."""
        return None

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer in this one that has a name, as `summary` shows it, or a place in `layers`.

        Args:
            name: The name: `"dense_1"`; or a path: `"encoder/dense_1"`.
            index: The place, in place of the name.

        Raises:
            ArgumentError: No layer has this name or place.
        """
        if (name is None) == (index is None):
            raise ArgumentError("`get_layer` needs either `name` or `index`.", argument="name", got=f"{name}, {index}")
        if index is not None:
            layers = list(getattr(self, "layers", ()) or [child for _, child in self.children()])
            if not -len(layers) <= index < len(layers):
                raise ArgumentError.must_be("index", f"an index of {len(layers)} layers", index)
            return layers[index]
        found: Layer = self
        for part in str(name).split("/"):
            children = found._findable()
            if part not in children:
                raise ArgumentError(
                    f"There is no layer {shown(name)}.",
                    argument="name",
                    expected=f"one of {', '.join(children)}",
                    got=repr(name),
                    fix=next((f"did you mean {n!r}?" for n in get_close_matches(part, children, n=1)), None),
                )
            found = children[part]
        return found

    def _ends(self, what: str) -> tuple[Any, Any]:
        """The nodes that the layer takes and returns; an AttributeError about `what` if they are not known."""
        if len(self._calls) == 1:
            ends = tree.map(lambda x: x() if isinstance(x, NodeRef) else x, self._calls[0])
            if tree.structure(ends) == tree.structure(self._calls[0]):
                return ends
        times = "was never called on a node"
        if self._calls:
            times = f"was called {len(self._calls)} times" if self._calls[1:] else "was called in a graph that is gone"
        raise UnknownAttributeError(
            f"The `{what}` of {type(self).__name__} is not known: the layer {times}.",
            argument=what,
            expected="a layer that was called once in a graph: layer(nn.Input(...))",
            got=f"{len(self._calls)} calls",
            fix="keep the nodes that the calls take and return" if self._calls else None,
        )

    def _findable(self) -> dict[str, Layer]:
        """What `get_layer` finds."""
        return dict(self._named())

    def _named(self) -> Iterable[tuple[str, Layer]]:
        """The children by the names that they have in this layer."""
        return [(self._children[id(child)][0], child) for _, child in self.children()]

    def separates_samples(self) -> bool:
        """Whether this layer and all layers in it are `per_sample`, and none has an activity regularizer."""
        own = type(self).__module__.startswith(f"{__package__}.") if self.per_sample is None else self.per_sample
        return own and self.activity_regularizer is None and all(c.separates_samples() for _, c in self.children())

    def _base_name(self) -> str:
        """What a network calls the layer if it has no name, before a number."""
        return snake_case(type(self).__name__.lstrip("_"))

    def output_names(self) -> list[str] | None:
        """A name for each of several outputs that are not in a dict; None if they only have numbers."""
        return None

    def activity(self, out: Tree) -> Tree:
        """The part of the output that the activity regularizer sees: all of it, by default."""
        return out

    def __call__(self, *args: Any, **kwargs: Any) -> Tree:
        """`layer(s, x)` inside another layer's `forward`, or `layer(node)` to build a `Graph`.

        An array that an op made on its own makes nodes, too: `nn.Embedding(9, 4)(kf.ops.arange(9))`.

        Args:
            args, kwargs: The arguments of `forward`. `training=True` or `training=False` beside them says whether the
                layer, and the layers in it, behave as in training in this call, as in Keras: `base(x, training=False)`.
                Without it, or with None, they do as the whole network does. `train=` is the same.
        """
        if args and isinstance(args[0], Scope):
            return self._run(args[0].child(self), args[1:], kwargs)
        from .nodes import Node, called

        if any(isinstance(x, Node) or _is_constant(x) for x in tree.leaves((args, kwargs))):
            return called(self, args, kwargs)
        raise ArgumentError(
            f"{type(self).__name__} was called with {', '.join(type(a).__name__ for a in args) or 'no arguments'}, but "
            "it takes a scope first, or nodes of a graph.",
            argument="x",
            expected="layer(s, x) inside a forward, or layer(nn.Input(...)) to build a graph",
            got=", ".join(type(a).__name__ for a in args) or "nothing",
            fix="a layer holds no weights, and cannot compute alone as in Keras. On arrays, kf.Model(layer)(x) makes "
            "weights and runs it; or params, state = layer.init(0, x); y, state = layer.apply(params, x, state=state)",
        )

    def masked(self, s: Scope, *inputs: Any, mask: Tree = None, **options: Any) -> tuple[Tree, Tree]:
        """Inside another layer's `forward`: the output and its mask, if the first of `inputs` has the mask `mask`."""
        if mask is None:  # most networks have no masks, and need not search for arguments that take one
            scope = s.child(self)
            return self._run(scope, inputs, options), scope.masked(None)
        return self._masked(s, inputs, options, {"": mask})

    def _masked(self, s: Scope, inputs: tuple, options: dict, masks: dict[str, Any]) -> tuple[Any, Any]:
        """The output and its mask. `masks` has the mask of each argument by its name in `forward`, in their order.

        As in Keras, `forward` gets the mask of its first argument as `mask`, and that of any argument `x` as `x_mask`,
        if it has an argument of that name, and the caller has not given it.
        """
        scope = s.child(self)
        first = next(iter(masks.values()), None)
        for i, (name, mask) in enumerate(masks.items()):
            if all(m is None for m in tree.leaves(mask)):
                continue
            for argument in ("mask", f"{name}_mask")[i > 0 :]:
                if argument in self._options and options.get(argument) is None:
                    options = {**options, argument: mask}
                    break
        out = self._run(scope, inputs, options)
        return out, scope.masked(first)

    def _run(self, s: Scope, args: tuple, kwargs: dict) -> Any:
        try:
            floats = self.float_inputs
            if floats:
                named = [_floats(x) if n in floats else x for n, x in zip(self._inputs, args, strict=False)]
                args = (*named, *args[len(named) :])
                if kwargs:
                    kwargs = {n: _floats(x) if n in floats else x for n, x in kwargs.items()}
            if self._takes_training or (kwargs and ("training" in kwargs or "train" in kwargs)):
                args, kwargs = self._told(s, args, kwargs)
            if s.policy is not None:
                args, kwargs = tree.map(s.policy.widen if self.rounds_late else s.policy.cast, (args, kwargs))
            out = self.forward(s, *args, **kwargs)
            if s.policy is not None and self.rounds_late:
                out = tree.map(s.policy.cast, out)
            regularizer: Any = self.activity_regularizer
            if regularizer is not None and s.wants_losses:
                for i, x in enumerate(tree.leaves(_floats(self.activity(out)))):
                    s.add_loss(regularizer(x) / batch_size(x), f"activity_{i}")
        except KfuncError as error:
            if error.path is None:
                error.path = s.path or type(self).__name__
            raise
        except Exception as error:
            # It is a framework's own error. The innermost layer adds its path.
            if not hasattr(error, "__notes__"):
                error.add_note(f"in layer: {s.path or type(self).__name__}")
            raise
        if s.initializing:
            s._call.outputs.append((s.path, self, out))
        return out

    def _told(self, s: Scope, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]]:
        """The arguments of `forward`, where the caller may have said `training`; see `__call__`.

        A `forward` with an argument of this name is told, as Keras's `call` is.
        """
        if "training" in self._inputs[: len(args)]:
            i = self._inputs.index("training")
            args, kwargs = args[:i], {**dict(zip(self._inputs[i:], args[i:], strict=False)), **kwargs}
        names = [n for n in ("training", "train") if n in kwargs and (n == "training" or n not in self._options)]
        for name in names:
            if kwargs[name] is not None:
                s.say(checks.boolean(name, kwargs[name]))
        kwargs = {name: value for name, value in kwargs.items() if name not in names}
        return args, {**kwargs, "training": s.train} if self._takes_training else kwargs

    # -- the two pure functions --------------------------------------------------------------------------------------

    def trace(self, *inputs: Any, **options: Any) -> Call:
        """Run `forward` on shapes alone.

        Args:
            inputs, options: The arguments of `forward`, each array a sample or a `Spec`.

        Returns:
            The call, with the parameters and state variables that were declared, and the output of each layer.
        """
        call = Call(declared={})
        self._run(Scope(call, self, None, None), *tree.map(spec_of, (inputs, options)))
        return call

    def constraints(self, *inputs: Any, **options: Any) -> dict[str, Callable[[Array], Array]]:
        """The constraints of parameters by their paths, for `nn.constraints.constrain`; arguments as for `trace`."""
        declared = self.trace(*inputs, **options).declared or {}
        return {"/".join(path): d.constraint for path, d in declared.items() if d.constraint and d.kind == "params"}

    def init(
        self, key: Array | int, *inputs: Any, backend: str | Backend | None = None, device: Any = None, **options: Any
    ) -> tuple[Tree, Tree]:
        """The first parameters and state.

        Args:
            key: A seed or a key. All backends draw the same bits. With a seed, or a key of a backend that would compile
                a program for each shape, NumPy draws them. Under `kf.jit`, the compiled program does.
            inputs, options: The arguments of `forward`, each array a sample or a `Spec`.
            backend: The backend of the values. By default that of the inputs, or that of the key if all inputs are
                `Spec`s, or NumPy if the key is a seed.
            device: The device on that backend.

        Returns:
            (params, state): nested dicts of native arrays.

        Raises:
            KfuncError: Shapes do not fit. The message has the path of the layer.
        """
        call = self.trace(*inputs, **options)
        given = kind_of_tree([x for x in tree.leaves((inputs, options)) if not isinstance(x, Spec)])
        target = get(backend) if backend is not None else backend_of(key) if given is None else given.backend
        if isinstance(key, numbers.Integral):
            key = random.key(int(key))
        elif (source := backend_of(key)).compiles and not source.is_traced(key):
            key = check_key(key)
            device = source.device(key) if device is None and source is target else device
            key = to_numpy(key)  # JAX takes 6 s to compile the draws of 12 layers, NumPy 0.03 s to draw them
        moves = backend_of(key) is not target or device is not None

        def first(path: tuple[str, ...], declaration: Declaration) -> Any:
            value, dtype = declaration.draw(key, path), dtype_name(declaration.spec.dtype)
            if moves or dtype_name(value.dtype) != dtype:
                value = asarray(value, dtype, backend=target, device=device)
            return value

        return call.trees(first)

    @overload
    def apply(
        self,
        params: Tree,
        *inputs: Any,
        state: Tree = None,
        key: Array | int | None = None,
        train: bool = False,
        aux: Literal[False] = False,
        report: bool = False,
        samples: Array = None,
        **options: Any,
    ) -> tuple[Tree, Tree]: ...

    @overload
    def apply(
        self,
        params: Tree,
        *inputs: Any,
        state: Tree = None,
        key: Array | int | None = None,
        train: bool = False,
        aux: Literal[True],
        report: bool = False,
        samples: Array = None,
        **options: Any,
    ) -> tuple[Tree, Tree, Aux]: ...

    @overload
    def apply(
        self,
        params: Tree,
        *inputs: Any,
        state: Tree = None,
        key: Array | int | None = None,
        train: bool = False,
        aux: bool,
        report: bool = False,
        samples: Array = None,
        **options: Any,
    ) -> tuple[Tree, Tree] | tuple[Tree, Tree, Aux]: ...

    def apply(
        self,
        params: Tree,
        *inputs: Any,
        state: Tree = None,
        key: Array | int | None = None,
        train: bool = False,
        aux: bool = False,
        report: bool = False,
        samples: Array = None,
        **options: Any,
    ) -> Any:
        """The output for `inputs`, and the new state. This is a pure function: no argument changes.

        Args:
            params: As `init` returned them, of any backend.
            inputs, options: The arguments of `forward`, arrays of the same backend.
            state: As `init` or the last `apply` returned it. Needed if the network has state.
            key: A key or seed. Needed if a layer draws random numbers, as Dropout does in training.
            train: Whether layers behave as in training.
            aux: Whether to return an `Aux`, too: auxiliary losses, and the mask of the output.
            report: Whether `Aux.indices` reports indices that lie outside their tables, in place of the error or the
                NaN with which the backend would answer.
            samples: Which samples of the batch count, booleans (batch,). Statistics over the batch skip the others.

        Returns:
            (output, state), or (output, state, `Aux`) with `aux`: native arrays. The new state has the structure of
            `state`.

        Raises:
            ParamError: `params` or `state` lacks a leaf, or has one of another shape.
            MissingKeyError: A layer draws random numbers, and there is no key.
            ShapeError: Shapes do not fit.
            MixedBackendsError: The arrays belong to two backends.
        """
        if isinstance(key, numbers.Integral):
            key = random.key(int(key), backend=backend_of(params, inputs))
        # `alike`, since layers ask for the namespace of one array and take it for that of all.
        named = {"key": key, "train": train, "aux": aux}
        if report or samples is not None:
            named |= {"report": report, "samples": samples}
        return enter(self._apply, (params, inputs, options, state), named, alike=True)

    def _apply(self, params, inputs, options, state, key, train, aux, report=False, samples=None):
        call = Call(train=train, key=key, losses={} if aux else None, samples=samples, indices={} if report else None)
        scope = Scope(call, self, params, state)
        out = self._run(scope, inputs, options)
        state = updated(state, call.new_state)
        if not aux:
            return out, state
        return out, state, Aux(call.losses, scope.masked(options.get("mask")), call.indices)


Layer.name = _Name()  # type: ignore[assignment]
tell(Layer, "Layer")


def _check_build(cls: Any) -> None:
    """Raise a LayerError if a class with a `forward` has Keras's `build`, too."""
    if "input_shape" in inspect.signature(cls.build).parameters:
        raise LayerError(
            f"{cls.__name__} defines `build` beside `forward`, and nothing calls it, unlike in Keras.",
            argument="build",
            fix="declare weights in forward, by s.param(name, shape, initializer), where x.shape is known; or write "
            "call(self, x) in place of forward",
        )


def _plain(value: Any) -> Any:
    """Lists as tuples, and NumPy's numbers, which files cannot hold, as Python's: floats, and integers in tuples."""
    if isinstance(value, list | tuple):
        parts = [operator.index(v) if _is_foreign(v, numbers.Integral) else _plain(v) for v in value]
        same = isinstance(value, tuple) and all([a is b for a, b in zip(parts, value, strict=True)])
        return value if same else tuple(parts)
    return float(value) if _is_foreign(value, numbers.Real) and not isinstance(value, numbers.Integral) else value


def _is_constant(x: Any) -> bool:
    """Whether an op made the array `x` on its own, as `kf.ops.arange(3)` is."""
    known = kind_of(type(x))
    return known is not None and known.rank == CONSTANT


def _is_foreign(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and type(value) not in (bool, int, float)


def _floats(x: Tree) -> Tree:
    """`x` with arrays of integers and booleans as float32."""
    if not hasattr(x, "dtype"):
        return tree.map(floating, x)
    return x if kind(x) in "fc" else floating(x)


def batch_size(x: Any) -> Any:
    """The size of the first axis: a number, or an array () if it is not known yet; 1 for a scalar."""
    if x.ndim == 0 or x.shape[0] is not None:
        return max(x.shape[0], 1) if x.ndim else 1
    xp = namespace(x)
    first = x[(slice(None), *[0] * (x.ndim - 1))]
    return xp.sum(xp.ones_like(first))


def spec_of(x: Any) -> Any:
    found = kind_of_tree(x)
    if found is None or isinstance(x, Spec):
        return x
    x = found.backend.lift(x)
    return Spec(x.shape, x.dtype)
