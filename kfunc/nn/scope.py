"""What a layer's `forward` is given: its parameters, its state, its random keys. Lives for one call."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import random, tree
from ..arrays import dtype_name, namespace
from ..errors import LayerError, MissingKeyError, ParamError
from ..registry import resolve
from ..tracing.spec import Spec
from ..typing import Array, ConstraintLike, InitializerLike, RegularizerLike, Tree

if TYPE_CHECKING:
    from .dtype_policies import DTypePolicy
    from .layer import Layer

__all__ = ["Result", "Scope"]


@dataclasses.dataclass(eq=False)
class Call:
    """What all scopes share that belong to one call of `trace` or `apply`.

    Attributes:
        train: Whether layers behave as in training.
        key: The root key of the call's random draws, or None.
        new_state: What layers have set: scope path and name to value.
        counts: How many keys each path has drawn, so that a layer that is used twice draws different numbers.
        declared: In `trace`, the declaration of each parameter and state variable; None in `apply`.
        owners: In `trace`, the path at which each layer object stands.
        outputs: In `trace`, for each layer that ran, its path, itself and what it returned.
        losses: Auxiliary losses by their path, scalar arrays; None if the caller does not want them.
        samples: Which samples of the batch count, booleans (batch,); None if all do.
        indices: For each path of a table, the index that lies furthest outside it, int32 (); None if the caller does
            not want to know.
        tables: The number of rows of each of these tables.
    """

    train: bool = False
    key: Any = None
    new_state: dict[tuple[str, ...], Any] = dataclasses.field(default_factory=dict)
    counts: dict[str, int] = dataclasses.field(default_factory=dict)
    declared: dict[tuple[str, ...], Declaration] | None = None
    owners: dict[int, str] = dataclasses.field(default_factory=dict)
    outputs: list[tuple[str, Layer, Any]] = dataclasses.field(default_factory=list)
    losses: dict[str, Any] | None = None
    samples: Any = None
    indices: dict[str, Any] | None = None
    tables: dict[str, int] = dataclasses.field(default_factory=dict)

    @property
    def draws(self) -> bool:
        """Whether a layer has drawn random numbers. Of `Layer.trace`: whether the network draws outside training."""
        return bool(self.counts)

    def trees(self, leaf: Callable[[tuple[str, ...], Declaration], Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Of `Layer.trace`: the parameters and the state, with `leaf(path, declaration)` for each."""
        trees: dict[str, dict[str, Any]] = {"params": {}, "state": {}}
        for path, declaration in (self.declared or {}).items():
            branch = trees[declaration.kind]
            for part in path[:-1]:
                branch = branch.setdefault(part, {})
            branch[path[-1]] = leaf(path, declaration)
        return trees["params"], trees["state"]


@dataclasses.dataclass(frozen=True)
class Declaration:
    """A parameter or state variable as a layer asks for it."""

    kind: str
    spec: Spec
    initializer: Callable[..., Any]
    constraint: Callable[..., Any] | None = None
    role: str = "params"
    """"params" or "state". `kind` is the same, except that it is "state" for a parameter that is frozen."""

    def draw(self, key: Any, path: tuple[str, ...]) -> Any:
        """Its first value. It depends on the key and the path alone, so that other layers do not change it.

        An initializer that draws several variables at once has a path for all of them, `drawn_as`.
        """
        path = getattr(self.initializer, "drawn_as", path)
        digest = hashlib.blake2b("/".join(path).encode(), digest_size=8).digest()
        for word in (digest[:4], digest[4:]):
            key = random.fold_in(key, int.from_bytes(word, "big"))
        dtype = dtype_name(self.spec.dtype)
        # A seed draws in NumPy, which has no bfloat16: `init` rounds on the backend that the values go to.
        return self.initializer(key, self.spec.shape, dtype if hasattr(namespace(key), dtype) else "float32")


def _stacked(initializer: Callable, key: Any, shape: tuple[int, ...], dtype: str) -> Any:
    """The values that `initializer` draws for each entry of the first axis of `shape`, each with its own key."""
    return namespace(key).stack([initializer(random.fold_in(key, i), shape[1:], dtype) for i in range(shape[0])])


def _each(constraint: Callable, value: Any) -> Any:
    """`constraint` applied to each entry of the first axis."""
    return namespace(value).stack([constraint(value[i, ...]) for i in range(value.shape[0])])


def name_id(name: str) -> int:
    """A 32-bit number for a name, the same on every machine (FNV-1a). In plain Python, so that compilers fold it."""
    h = 0x811C9DC5
    for c in name:
        h = ((h ^ ord(c)) * 0x01000193) & 0xFFFFFFFF
    return h


def mix(a: int, b: int) -> int:
    """One 32-bit number from two. In plain integer arithmetic, so that compilers fold it."""
    h = ((a ^ b) * 0x9E3779B1 + 0x7F4A7C15) & 0xFFFFFFFF
    h = ((h ^ (h >> 15)) * 0x85EBCA77) & 0xFFFFFFFF
    return h ^ (h >> 13)


class Result(NamedTuple):
    """What a layer returns that runs as a pure function; see `Scope.pure`.

    Attributes:
        output: What its `forward` returned.
        state: New values of its state variables, by their path in the network.
        losses: Auxiliary losses by their path.
        mask: The mask of the output.
        indices: Indices outside their tables by path.
    """

    output: Any
    state: dict[str, Any]
    losses: dict[str, Any]
    mask: Any
    indices: dict[str, Any] | None = None


_NOT_SAID = object()
_AS_STORED: dict[str, Callable[..., Any]] = {}
_NONE_MADE: dict[int, tuple[str, int]] = {}


class Scope:
    """One layer's view of the call: `param`, `state` and `set`, `key`, `add_loss`, and the Python bool `train`.

    Attributes:
        train: Whether the layer behaves as in training, `training` in Keras; never, below a layer that is not
            trainable.
        path: Where the layer stands in the network: `"encoder/dense"`.
        policy: The `DTypePolicy` that holds here, or None.
        mask: The mask of the layer's output, if the layer has said it by `hand_on`.
    """

    __slots__ = (
        *("_call", "_frozen", "_layer", "_number", "_params", "_parent", "_parts", "_policies", "_said", "_seen_as"),
        *("_made", "_state", "_trains", "_views", "mask", "policy"),
    )

    def __init__(
        self,
        call: Call,
        layer: Layer,
        params: Any,
        state: Any,
        parent: Scope | None = None,
        name: str = "",
        number: int = 0,
    ):
        # Every layer makes a scope in every call, so this does only what is always needed.
        self._call, self._layer, self._params, self._state = call, layer, params, state
        self._parent, self._number = parent, number
        self.mask: Any = _NOT_SAID
        self._seen_as = _AS_STORED
        self._views: dict[int, dict[str, Callable[..., Any]]] | None = None
        self._made: dict[int, tuple[str, int]] = _NONE_MADE
        policies: Any = layer.dtype
        if parent is None:
            self._parts: tuple[str, ...] = ()
            self._frozen: bool = not layer.trainable
            self._said: bool | None = None
            self._trains: tuple[tuple[int, dict[str, bool]], ...] = ()
        else:
            self._parts = (*parent._parts, name)
            self._frozen = parent._frozen or not layer.trainable
            self._said = parent._said
            self._trains = parent._trains
            policies = parent._policies if policies is None else policies
        if layer._trains is not None and (parent is None or layer is not parent._layer):
            self._trains = (*self._trains, (len(self._parts), layer._trains))
        for depth, trains in self._trains:  # the outermost network that says something about this layer decides
            said = trains.get("/".join(self._parts[depth:]))
            if said is not None:
                self._frozen = not said
                break
        self._policies: Any = policies
        self.policy: DTypePolicy | None = None if policies is None else policies.at(self.path)

    @property
    def train(self) -> bool:
        return (self._call.train if self._said is None else self._said) and not self._frozen

    def say(self, training: bool) -> None:
        """Whether this layer and the layers in it behave as in training in this call, whatever the whole network does.

        See `training` of `Layer.__call__`.
        """
        self._said = training

    @property
    def initializing(self) -> bool:
        """Whether this call is a `trace`, which finds shapes: arrays are `Spec`s, without values."""
        return self._call.declared is not None

    @property
    def _id(self) -> int:
        """A 32-bit number for the path, made from the numbers of its names."""
        return 0 if self._parent is None else mix(self._parent._id, self._number)

    @property
    def path(self) -> str:
        return "/".join(self._parts)

    def sub(self, name: str) -> Scope:
        """A scope below this one, for a layer that groups its parameters: `s.sub("query").param("kernel", …)`."""
        return self._below(self._layer, name, name_id(name))

    def _below(self, layer: Layer, name: str, number: int) -> Scope:
        params = self._params.get(name) if self._params else None
        state = self._state.get(name) if self._state else None
        return Scope(self._call, layer, params, state, self, name, number)

    def adopt(self, layer: Layer, name: str) -> None:
        """Let `layer`, which was made during this call, be a child with this name until the call ends."""
        self._made = {**self._made, id(layer): (name, name_id(name))}

    def child(self, layer: Layer) -> Scope:
        """The scope of `layer`, one of this layer's children.

        Raises:
            LayerError: `layer` is not a child of this layer, or it is a child of another layer, too.
        """
        found = self._layer._children.get(id(layer)) or self._made.get(id(layer))
        if found is None:
            raise LayerError(
                f"{type(self._layer).__name__} called a {type(layer).__name__} that is not one of its children.",
                path=self.path,
                expected="a layer that is an attribute of the layer that calls it, or in a list or dict that is one",
                got=repr(layer),
                fix=f"make it a field of {type(self._layer).__name__}, or assign it in __init__: the name of the "
                "attribute is its name in the parameter tree",
            )
        scope = self._below(layer, *found)
        if self._views is not None:
            scope._seen_as = self._views.get(id(layer), _AS_STORED)
        if self._call.declared is not None:
            self._claim(layer, scope.path)
        return scope

    def reparametrize(self, layer: Layer, views: dict[str, Callable[..., Any]]) -> None:
        """From here on in this call, a child sees some of its own parameters as functions of them.

        Args:
            layer: One of this layer's children.
            views: For the name of a parameter, a function of its value that keeps the shape. What is stored, and what
                the optimizer sees, is the value itself.
        """
        self._views = {**(self._views or {}), id(layer): views}

    def pure(self, layer: Layer, report: bool = True) -> tuple[Callable[..., Result], Any, Any]:
        """A child as a pure function, for checkpoints, scans and branches, out of which nothing can be written.

        Args:
            layer: One of this layer's children.
            report: Whether the result has the indices that lie outside their tables, which the caller hands on.

        Returns:
            (fun, params, state): `fun(params, state, key, *inputs, **options)` returns a `Result`, which the caller
            gives to `absorb`; `params` and `state` are those of the child. `key` may be None if nothing is drawn.
        """
        outer = self.child(layer)

        def fun(params: Any, state: Any, key: Any, *inputs: Any, **options: Any) -> Result:
            call = Call(self._call.train, key, losses=None if self._call.losses is None else {})
            call.samples, call.indices = self._call.samples, {} if report and self._call.indices is not None else None
            inner = Scope(call, layer, params, state)
            inner._parts, inner._parent, inner._number = outer._parts, outer._parent, outer._number
            inner._frozen, inner._policies, inner.policy = outer._frozen, outer._policies, outer.policy
            inner._trains, inner._said = outer._trains, outer._said
            inner._seen_as = outer._seen_as
            out = layer._run(inner, inputs, options)
            changes = {"/".join(path): value for path, value in call.new_state.items()}
            self._call.tables.update(call.tables)
            return Result(out, changes, call.losses or {}, inner.masked(options.get("mask")), call.indices)

        return fun, outer._params, outer._state

    def absorb(self, result: Result) -> Any:
        """The output of a child that ran by `pure`. Its new state, losses and mask become those of this call."""
        self._call.new_state.update({tuple(path.split("/")): value for path, value in result.state.items()})
        if self._call.losses is not None:
            self._call.losses.update(result.losses)
        for path, index in (result.indices or {}).items():
            self._report(path, index)
        self.hand_on(result.mask)
        return result.output

    def declare(self, layer: Layer, length: int, *inputs: Any, **options: Any) -> tuple[Any, Any]:
        """In `trace`: declare what a child declares, `length` times along a new first axis; its output and its mask."""
        scope = self.child(layer)
        call = self._call
        outer: Any = call.declared
        call.declared = {}
        try:
            out = layer._run(scope, inputs, options)
            found = call.declared
        finally:
            call.declared = outer
        for path, d in (found or {}).items():
            spec = Spec((length, *d.spec.shape), d.spec.dtype)
            limit = None if d.constraint is None else functools.partial(_each, d.constraint)
            outer[path] = Declaration(d.kind, spec, functools.partial(_stacked, d.initializer), limit, d.role)
        return out, scope.masked(options.get("mask"))

    # -- masks -------------------------------------------------------------------------------------------------------

    def hand_on(self, mask: Tree) -> None:
        """Say which mask the layer's output has: booleans, True where it counts; or None.

        `Sequential` and `Graph` pass the mask to the next layer, and `Model` passes it to the loss. A layer that does
        not call this hands on the mask of its first input if it has `supports_masking`, and no mask otherwise.
        """
        self.mask = mask

    def masked(self, mask: Tree) -> Tree:
        """The mask that the layer hands on, where its first input had `mask`."""
        if self.mask is not _NOT_SAID:
            return self.mask
        if mask is None or self._layer.supports_masking or all(m is None for m in tree.leaves(mask)):
            return mask
        warnings.warn(
            f"{self.path or type(self._layer).__name__} was given a mask, but its forward takes no mask: the layers "
            "after it get none. Give its class a `mask` argument, or set supports_masking = True if every position "
            "of its output belongs to the same position of its input.",
            stacklevel=2,
        )
        return None

    # -- losses ------------------------------------------------------------------------------------------------------

    def add_loss(self, value: Array, name: str = "activity") -> None:
        """Add a scalar to what training minimises. Losses of one name and path are summed in `apply(aux=True)`."""
        losses = self._call.losses
        if losses is not None:
            path = self._name(name)
            losses[path] = losses[path] + value if path in losses else value

    def _name(self, name: str) -> str:
        return "/".join((*self._parts, name))

    @property
    def wants_losses(self) -> bool:
        """Whether the caller asked for auxiliary losses. If not, they need not be computed."""
        return self._call.losses is not None

    # -- samples and indices -----------------------------------------------------------------------------------------

    @property
    def samples(self) -> Array | None:
        """Which samples of the batch count, booleans (batch,); statistics over the batch skip the others. None: all."""
        return self._call.samples

    @contextlib.contextmanager
    def of_samples(self, samples: Array | None) -> Iterator[None]:
        """Inside, children see `samples` as those of their batch: for a layer that makes another batch of its own."""
        before, self._call.samples = self._call.samples, samples
        try:
            yield
        finally:
            self._call.samples = before

    def within(self, indices: Array, size: int) -> Array:
        """The integer array `indices`, for looking up rows of a table that has `size` rows.

        If `apply` was told to report indices outside their tables, they are reported, and replaced by the nearest row.
        Otherwise they stay, and the backend decides what happens to them.
        """
        call, path = self._call, self.path
        call.tables[path] = size
        if call.indices is None or 0 in indices.shape:
            return indices
        self._report(path, furthest(indices))
        return namespace(indices).clip(indices, 0, size - 1)

    def _report(self, path: str, index: Any) -> None:
        """Keep an index that was looked up, unless one outside the table is kept already."""
        found, size = self._call.indices, self._call.tables[path]
        if found is not None:
            before = found.get(path)
            if before is not None:
                index = namespace(index).where((before < 0) | (before >= size), before, index)
            found[path] = index

    def _claim(self, layer: Layer, path: str) -> None:
        owner = self._call.owners.setdefault(id(layer), path)
        if owner != path:
            raise LayerError(
                f"One {type(layer).__name__} object is used at two places of the network: {owner} and {path}.",
                path=path,
                expected="each layer object under one parent",
                got=f"{owner} and {path}",
                fix="make two layers; or, to share the weights, let one parent call the layer twice",
            )

    # -- parameters and state ----------------------------------------------------------------------------------------

    def param(
        self,
        name: str,
        shape: tuple[int, ...],
        initializer: InitializerLike,
        dtype: str | None = None,
        regularizer: RegularizerLike = None,
        constraint: ConstraintLike = None,
        cast: bool = True,
    ) -> Array:
        """The parameter `name` of this layer, in the policy's compute dtype if there is a policy.

        Below a layer that is not trainable, it is a part of the state, so that no optimizer sees it.

        Args:
            name: Its name in the tree, unique in the layer.
            shape: Its shape; may depend on the shapes of the inputs.
            initializer: A function `(key, shape, dtype) -> array`, or the name of one.
            dtype: Name of the dtype that it is made and kept in. By default the policy's variable dtype, or float32 if
                there is no policy.
            regularizer: A function `(value) -> scalar`, or the name of one: an auxiliary loss.
            constraint: A function `(value) -> value`, or the name of one, which training applies after each update.
            cast: Whether the policy's compute dtype is what comes back; if not, it is the dtype that it is kept in.

        Raises:
            ParamError: The tree that was passed has no such leaf, or one of another shape.
        """
        kind = "state" if self._frozen else "params"
        if self._call.declared is not None:
            dtype = dtype or ("float32" if self.policy is None else self.policy.variable_dtype)
            value = self._declare(self._call.declared, kind, name, shape, initializer, dtype, constraint)
        else:
            value = self._look_up(kind, self._state if self._frozen else self._params, name, shape)
        if name in self._seen_as:
            value = self._seen_as[name](value)
        if regularizer is not None and self._call.losses is not None and not self._frozen:
            # The loss of weights that are used twice is counted once.
            self._call.losses.setdefault(self._name(name), resolve("regularizer", regularizer)(value))
        return self.policy.cast(value) if cast and self.policy is not None else value

    def weight(
        self, name: str, shape: tuple[int, ...], theme: str = "", initializer: InitializerLike = None, cast: bool = True
    ) -> Array:
        """The parameter `name`, with the layer's fields `{theme}_initializer`, `_regularizer` and `_constraint`.

        Args:
            theme: The beginning of the names of these fields: the parameter's name by default.
            initializer: The initializer that is used in place of the field.
            name, shape, cast: As for `param`.
        """
        if self._call.declared is None and self._call.losses is None:
            return self.param(name, shape, None, cast=cast)  # the fields are not needed
        of, theme = self._layer, theme or name
        first = initializer or getattr(of, f"{theme}_initializer")
        limits = getattr(of, f"{theme}_regularizer"), getattr(of, f"{theme}_constraint")
        return self.param(name, shape, first, None, *limits, cast)

    def state(self, name: str, shape: tuple[int, ...], initializer: InitializerLike, dtype: str | None = None) -> Array:
        """The current value of the state variable `name`, in the dtype that it is kept in.

        Arguments and errors are those of `param`.
        """
        if self._call.declared is not None:
            dtype = dtype or ("float32" if self.policy is None else self.policy.variable_dtype)
            return self._declare(self._call.declared, "state", name, shape, initializer, dtype, role="state")
        path = (*self._parts, name)
        if path in self._call.new_state:
            return self._call.new_state[path]
        return self._look_up("state", self._state, name, shape)

    def set(self, name: str, value: Array) -> None:
        """Give the state variable `name` a new value, which `apply` returns in its new state.

        The value has the shape of the old one, and is cast to its dtype. In `init`, this does nothing.

        Raises:
            ParamError: The state has no such variable, or the value has another shape.
        """
        if self._call.declared is not None:
            return
        old = self._look_up("state", self._state, name, tuple(value.shape))
        if value.dtype != old.dtype:
            value = namespace(value).astype(value, old.dtype)
        self._call.new_state[(*self._parts, name)] = value

    def _declare(
        self,
        declared: dict,
        kind: str,
        name: str,
        shape: Any,
        initializer: Any,
        dtype: str,
        constraint: Any = None,
        role: str = "params",
    ) -> Spec:
        if any(not isinstance(n, int) or n < 0 for n in shape):
            raise ParamError(
                f"The shape of the parameter {name!r} is not known: {tuple(shape)}.",
                path=self.path,
                argument=name,
                expected="a tuple of integers, none of them negative",
                got=tuple(shape),
                fix="pass init a sample or Spec of the input with the sizes on which the shape depends",
            )
        limit = None if constraint is None else resolve("constraint", constraint)
        declaration = Declaration(kind, Spec(tuple(shape), dtype), resolve("initializer", initializer), limit, role)
        path = (*self._parts, name)
        known = declared.setdefault(path, declaration)
        if known.kind != kind or known.spec.shape != declaration.spec.shape:
            raise ParamError(
                f"The parameter {name!r} is used with two shapes: {known.spec.shape} and {tuple(shape)}.",
                path=self.path,
                argument=name,
                expected=f"{known.kind} of shape {known.spec.shape}, as at its first use",
                got=f"{kind} of shape {tuple(shape)}",
                fix="call a layer that shares its weights with inputs of one width",
            )
        return declaration.spec

    def _look_up(self, kind: str, leaves: Any, name: str, shape: tuple[int, ...]) -> Any:
        try:
            value = leaves[name]
        except (KeyError, TypeError):
            raise self._missing(kind, leaves, name) from None
        if tuple(value.shape) != tuple(shape):  # a torch.Size is no equal of a tuple to Dynamo
            raise ParamError(
                f"The parameter {name!r} has shape {tuple(value.shape)}, but this input needs {tuple(shape)}.",
                path=self.path,
                argument=name,
                expected=f"shape {tuple(shape)}, for this input",
                got=f"shape {tuple(value.shape)}",
                fix="pass inputs of the width that the network was initialised with, or initialise it for these",
            )
        return value

    def _missing(self, kind: str, leaves: Any, name: str) -> ParamError:
        return ParamError(
            f"`{kind}` has no {name!r} for the layer {self.path or type(self._layer).__name__}.",
            path=self.path,
            argument=kind,
            expected=f"a dict with {name!r}",
            got="nothing" if not leaves else f"a dict with {', '.join(map(repr, leaves))}",
            fix="pass state=state, as init returned it" if kind == "state" else "pass params as init returned them",
        )

    # -- randomness --------------------------------------------------------------------------------------------------

    def maybe_key(self) -> Array | None:
        """A new random key, or None if the call has no key: for a child of which it is not known whether it draws."""
        return None if self._call.key is None else self.key()

    def key(self) -> Array:
        """A new random key. It depends on the call's key, the layer's path, and how often the layer has drawn before.

        If the layer has a field `seed` that is not None, it is mixed in, too. In `trace` the key is a `Spec`, and so
        are the numbers that are drawn with it.

        Raises:
            MissingKeyError: `apply` was given no key.
        """
        call = self._call
        count = call.counts.get(self.path, 0)
        call.counts[self.path] = count + 1
        if call.key is None:
            if self.initializing:
                return Spec((2,), "uint32")
            raise MissingKeyError(
                "The layer draws random numbers, and the call was given no key.",
                path=self.path,
                argument="key",
                expected="a key, or a seed",
                got=None,
                fix="pass key=, a seed such as key=0 or a key of the arrays' backend",
            )
        number = mix(self._id, count)
        seed = vars(self._layer).get("seed")
        return random.fold_in(call.key, number if seed is None else mix(number, seed & 0xFFFFFFFF))


def furthest(indices: Any) -> Any:
    """The least of the integers if it is negative, else the greatest, int32 (): one outside a table, if any is."""
    xp = namespace(indices)
    least, most = xp.min(indices), xp.max(indices)
    return xp.astype(xp.where(least < 0, least, most), xp.int32)


def updated(state: Any, values: dict[tuple[str, ...], Any]) -> Any:
    """A copy of `state` with `values` at their paths. It shares what does not change; `state` stays as it is."""
    if not values:
        return {} if state is None else state
    new = dict(state)
    below: dict[str, dict] = {}
    for path, value in values.items():
        if len(path) == 1:
            new[path[0]] = value
        else:
            below.setdefault(path[0], {})[path[1:]] = value
    for name, inner in below.items():
        new[name] = updated(new[name], inner)
    return new
