"""Layers without a theme of their own: dense maps, tables, and those that change nothing but masks."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from .. import checks, ops, registry
from ..arrays import asarray, backend_of, device, namespace
from ..errors import ArgumentError, ShapeError
from ..frozen import dataclass
from ..ops._promotion import beside
from ..typing import ActivationLike, ConstraintLike, InitializerLike, RegularizerLike
from . import activations
from .dtype_policies import DTypePolicy
from .layer import Layer, layer
from .scope import Scope

__all__ = [
    "Dense",
    "EinsumDense",
    "Embedding",
    "Identity",
    "Lambda",
    "Masking",
    "ReversibleEmbedding",
]


@layer
class Dense(Layer):
    """`activation(x @ kernel + bias)`: (..., inputs) to (..., units)."""

    supports_masking: ClassVar[bool] = True

    units: int
    activation: ActivationLike = None
    use_bias: bool = True
    kernel_initializer: InitializerLike = "glorot_uniform"
    bias_initializer: InitializerLike = "zeros"
    kernel_regularizer: RegularizerLike = None
    bias_regularizer: RegularizerLike = None
    kernel_constraint: ConstraintLike = None
    bias_constraint: ConstraintLike = None

    def __post_init__(self):
        super().__post_init__()
        checks.positive("units", self.units)

    def forward(self, s: Scope, x):
        checks.rank("x", x, 1, least=True)
        kernel = s.weight("kernel", (x.shape[-1], self.units))
        bias = s.weight("bias", (self.units,)) if self.use_bias else None
        return activations.get(self.activation)(ops.linear(beside(x, kernel), kernel, bias))


_EQUATION = re.compile(r"(\.\.\.)?([a-zA-Z]+)(\.\.\.)?,([a-zA-Z]+)->(\.\.\.)?([a-zA-Z]+)(\.\.\.)?")


@layer
class EinsumDense(Layer):
    """`activation(einsum(equation, x, kernel) + bias)`: a dense map between axes that the equation names.

    Args:
        equation: `"abc,cd->abd"`: the axes of the input, of the kernel, and of the output. "..." may stand for the
            first or the last axes of the input and of the output.
        output_shape: Sizes of the output's named axes, all but the batch's, of which None is as in the input. The
            batch's is the first named axis, unless "..." comes before it.
        bias_axes: The axes of the output along which the bias varies; None for no bias.
    """

    supports_masking: ClassVar[bool] = False

    equation: str
    output_shape: int | Sequence[int | None]
    activation: ActivationLike = None
    bias_axes: str | None = None
    kernel_initializer: InitializerLike = "glorot_uniform"
    bias_initializer: InitializerLike = "zeros"
    kernel_regularizer: RegularizerLike = None
    bias_regularizer: RegularizerLike = None
    kernel_constraint: ConstraintLike = None
    bias_constraint: ConstraintLike = None
    _terms: tuple[str, str, str, str, str] = dataclasses.field(init=False, repr=False)

    def __post_init__(self):
        super().__post_init__()
        found = isinstance(self.equation, str) and _EQUATION.fullmatch(self.equation)
        if not found or found.group(1, 3) != found.group(5, 7) or None not in found.group(1, 3):
            raise ArgumentError(
                "This is no equation of an input, a kernel and an output.",
                argument="equation",
                expected="'ab,bc->ac', '...b,bc->...c' or 'ab...,bc->ac...'",
                got=repr(self.equation),
            )
        before, inputs, after, kernel, _, outputs, _ = found.groups(default="")
        object.__setattr__(self, "_terms", (before, inputs, after, kernel, outputs))
        self._refuse_letters("equation", set(kernel) - set(inputs + outputs), self.equation)
        self._refuse_letters("equation", set(outputs) - set(inputs + kernel), self.equation)
        if self.bias_axes is not None and not (isinstance(self.bias_axes, str) and self.bias_axes):
            raise ArgumentError(
                "bias_axes are letters.", argument="bias_axes", expected="letters or None", got=repr(self.bias_axes)
            )
        self._refuse_letters("bias_axes", set(self.bias_axes or "") - set(outputs), self.bias_axes)
        checks.sizes("output_shape", self._partial())

    def _refuse_letters(self, argument: str, letters: set[str], got: Any) -> None:
        if letters:
            raise ArgumentError(
                f"Nothing says how long the axes {', '.join(sorted(letters))} are.",
                argument=argument,
                expected="letters of the input's or the output's axes",
                got=repr(got),
            )

    def _partial(self) -> tuple[int | None, ...]:
        one = isinstance(self.output_shape, int)
        return (self.output_shape,) if one else self.output_shape  # type: ignore[return-value]

    def _sizes(self, x: Any) -> tuple[dict[str, Any], int]:
        """The size of each letter, and for how many axes "..." stands."""
        before, inputs, after, _, outputs = self._terms
        hidden = x.ndim - len(inputs)
        if hidden < 0 or (hidden and not before + after):
            raise ShapeError(
                "The input does not fit the equation.",
                argument="x",
                expected=f"the axes {before}{inputs}{after}",
                got=tuple(x.shape),
            )
        known = x.shape[hidden:] if before else x.shape[: len(inputs)]
        sizes: dict[str, Any] = dict(zip(inputs, known, strict=True))
        partial = self._partial()
        given = partial if before and len(partial) == len(outputs) else (None, *partial)
        if len(given) != len(outputs):
            raise ArgumentError(
                "output_shape does not fit the equation.",
                argument="output_shape",
                expected=f"{len(outputs) - (not before)} sizes",
                got=self.output_shape,
            )
        for letter, n in zip(outputs, given, strict=True):
            if n is not None and sizes.get(letter) not in (None, n):
                raise ShapeError(
                    f"The axis {letter!r} has two sizes.",
                    argument="output_shape",
                    expected=sizes[letter],
                    got=n,
                )
            sizes[letter] = sizes.get(letter) if n is None else n
        return sizes, hidden

    def forward(self, s: Scope, x):
        sizes, hidden = self._sizes(x)
        _, _, after, kernel, outputs = self._terms
        bias = None
        if self.bias_axes is not None:
            first = min([outputs.index(c) for c in self.bias_axes])
            bias = tuple(sizes[c] if c in self.bias_axes else 1 for c in outputs[first:])
            bias = (*bias, *(1,) * (hidden if after else 0))
        made = registry.resolve("initializer", self.kernel_initializer)
        if getattr(made, "input_axes", ()) is None and made.output_axes is None:
            # What scales by fans cannot see from the shape which axes are inputs.
            outer = tuple(i for i, c in enumerate(kernel) if c in outputs)
            inner = tuple(i for i, c in enumerate(kernel) if c not in outputs)
            made = dataclasses.replace(made, input_axes=inner, output_axes=outer)
        w = s.weight("kernel", tuple(sizes[c] for c in kernel), initializer=made)
        y = ops.einsum(self.equation, x, w)
        return activations.get(self.activation)(y if bias is None else y + s.weight("bias", bias))


# -- tables ------------------------------------------------------------------------------------------------------------


@dataclass
class _Values:
    """An initializer: these values."""

    values: Any

    def __call__(self, key: Any, shape: tuple[int, ...], dtype: str = "float32") -> Any:
        return asarray(self.values, dtype, backend=backend_of(key), device=device(key))


def _rows(s: Scope, x: Any, table: Any, mask_zero: bool) -> Any:
    """The rows of `table` for indices `x`."""
    xp = namespace(x)
    if not xp.isdtype(x.dtype, "integral"):
        if x.dtype not in (xp.float32, getattr(xp, "float64", None)):
            raise ArgumentError(
                "Half precision does not hold indices.", argument="x", expected="integers", got=f"an array of {x.dtype}"
            )
        x = xp.astype(x, xp.int32)
    if mask_zero:
        s.hand_on(x != 0)
    return ops.embedding(s.within(x, table.shape[0]), table)


def _check_table(of: Any) -> None:
    checks.positive("input_dim", of.input_dim)
    checks.positive("output_dim", of.output_dim)


@layer
class Embedding(Layer):
    """Vectors for integers: (...) in `[0, input_dim)` to (..., output_dim).

    Args:
        mask_zero: Whether index 0 stands for nothing: the mask that is handed on is False there.
        weights: The first values of the table, (input_dim, output_dim), instead of the initializer's. They are no part
            of the config: files hold the parameters.
    """

    input_dim: int
    output_dim: int
    embeddings_initializer: InitializerLike = "uniform"
    embeddings_regularizer: RegularizerLike = None
    embeddings_constraint: ConstraintLike = None
    mask_zero: bool = False
    weights: Any = None

    def __post_init__(self):
        super().__post_init__()
        _check_table(self)
        weights = self.weights
        if weights is None:
            return
        if isinstance(weights, tuple) and len(weights) == 1 and hasattr(weights[0], "shape"):
            weights = weights[0]
        shape = tuple((weights if hasattr(weights, "shape") else asarray(weights)).shape)
        if shape != (self.input_dim, self.output_dim):
            raise ArgumentError(
                "The table has another shape.",
                argument="weights",
                expected=f"an array of shape {(self.input_dim, self.output_dim)}",
                got=f"shape {shape}",
            )
        object.__setattr__(self, "weights", _Values(weights))

    def forward(self, s: Scope, x):
        table = s.weight("embeddings", (self.input_dim, self.output_dim), initializer=self.weights)
        return _rows(s, x, table, self.mask_zero)

    def get_config(self) -> dict[str, Any]:
        return {**dict(self._arguments()), "weights": None}


@layer
class ReversibleEmbedding(Layer):
    """Vectors for integers, and back: (...) to (..., output_dim); reversed, (..., output_dim) to (..., input_dim).

    Called with `reverse=True` it multiplies by the table's transpose (Press and Wolf, arXiv:1608.05859).

    Args:
        tie_weights: Whether both ways have one table.
        mask_zero: As for `Embedding`.
        reverse_dtype: Name of the floating dtype that the way back is computed in; that of its inputs by default.
        logit_soft_cap: If given, a number c > 0: the way back gives `c * tanh(logits / c)`.
    """

    input_dim: int
    output_dim: int
    tie_weights: bool = True
    embeddings_initializer: InitializerLike = "uniform"
    embeddings_regularizer: RegularizerLike = None
    embeddings_constraint: ConstraintLike = None
    mask_zero: bool = False
    reverse_dtype: str | None = None
    logit_soft_cap: float | None = None

    def __post_init__(self):
        super().__post_init__()
        _check_table(self)
        checks.number("logit_soft_cap", self.logit_soft_cap, above=0, none=True)
        allowed = (None, "bfloat16", "float16", "float32", "float64")
        checks.one_of("reverse_dtype", self.reverse_dtype, allowed)

    def forward(self, s: Scope, x, reverse=False):
        table = s.weight("embeddings", (self.input_dim, self.output_dim))
        back = None
        if not self.tie_weights:
            back = s.param("reverse_embeddings", (self.output_dim, self.input_dim), self.embeddings_initializer)
        if not reverse:
            return _rows(s, x, table, self.mask_zero)
        back = namespace(table).matrix_transpose(table) if back is None else back
        if self.reverse_dtype is not None:
            x, back = map(DTypePolicy(self.reverse_dtype).cast, (x, back))
        s.hand_on(None)
        logits = ops.linear(beside(x, back), back)
        cap = self.logit_soft_cap
        return logits if cap is None else namespace(logits).tanh(logits / cap) * cap


# -- what changes nothing, and what changes anything -------------------------------------------------------------------


@layer
class Identity(Layer):
    """`x` itself: an array, or a tree of arrays."""

    supports_masking: ClassVar[bool] = True

    def forward(self, s: Scope, x):
        return x


@layer
class Masking(Layer):
    """A mask of the steps that say something: (batch, steps, features) to the same.

    A step of which all features equal `mask_value` is masked, and becomes 0.
    """

    mask_value: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        if isinstance(self.mask_value, bool) or not isinstance(self.mask_value, int | float):
            raise ArgumentError(
                "mask_value is a number.", argument="mask_value", expected="a number", got=repr(self.mask_value)
            )

    def forward(self, s: Scope, x):
        checks.rank("x", x, 2, least=True)
        xp = namespace(x)
        some = xp.any(ops.not_equal(x, float(self.mask_value)), axis=-1, keepdims=True)
        s.hand_on(xp.squeeze(some, axis=-1))
        return xp.where(some, x, xp.zeros_like(x))


@layer
class Lambda(Layer):
    """`function(x, **arguments)`; `function` is also given `mask` and `training`, if it takes these arguments.

    Files hold names and never code: to save a network, register its functions by `kfunc.register("activation")`.

    Args:
        function: A function of conforming arrays, or the name of a registered one.
        output_shape: What the shape of the output should be, without the batch's size; or a function from the shape of
            the input to that of the output, with it. It is found in any case; this is checked.
        mask: The mask to hand on: booleans, or a function `(x, mask) -> mask`. None hands on none.
        arguments: Further arguments for `function`.
    """

    per_sample: ClassVar[bool] = False

    function: Callable
    output_shape: Any = None
    mask: Any = None
    arguments: dict[str, Any] | None = None
    _takes: frozenset[str] = dataclasses.field(init=False, repr=False)

    def __post_init__(self):
        super().__post_init__()
        for argument in ("function", "output_shape", "mask"):
            if isinstance(getattr(self, argument), str):
                object.__setattr__(self, argument, registry.resolve("activation", getattr(self, argument), argument))
        if not callable(self.function):
            raise ArgumentError(
                "Lambda calls a function.", argument="function", expected="a function", got=repr(self.function)
            )
        if self.mask is not None and not callable(self.mask):
            object.__setattr__(self, "mask", asarray(self.mask).tolist())
        if self.arguments is not None and not isinstance(self.arguments, dict):
            raise ArgumentError(
                "Arguments have names.", argument="arguments", expected="a dict", got=repr(self.arguments)
            )
        try:  # here and not in forward: Dynamo does not look into signatures
            takes = frozenset(inspect.signature(self.function).parameters) & {"mask", "training"}
        except (TypeError, ValueError):
            takes = frozenset()
        object.__setattr__(self, "_takes", takes)

    def forward(self, s: Scope, x, mask=None):
        given = {"mask": mask, "training": s.train}
        out = self.function(x, **(self.arguments or {}), **{name: given[name] for name in sorted(self._takes)})
        if self.output_shape is not None and s.initializing:
            self._check_shape(x, out)
        if callable(self.mask):
            s.hand_on(self.mask(x, mask))
        elif self.mask is not None:
            xp = namespace(out)
            s.hand_on(xp.asarray(self.mask, dtype=xp.bool, device=device(out)))
        return out

    def _check_shape(self, x: Any, out: Any) -> None:
        made = callable(self.output_shape)
        wanted = self.output_shape(tuple(x.shape)) if made else (None, *self.output_shape)
        if len(wanted) != out.ndim or any(n not in (None, m) for n, m in zip(wanted, out.shape, strict=True)):
            raise ShapeError(
                "The function gives another shape than output_shape says.",
                argument="output_shape",
                expected=tuple(wanted),
                got=tuple(out.shape),
            )

    def get_config(self) -> dict[str, Any]:
        config = dict(self._arguments())
        for argument in ("function", "output_shape", "mask"):
            value = config[argument]
            if callable(value):
                try:
                    registry.to_config("activation", value)
                except ArgumentError as error:
                    raise ArgumentError(
                        "A file holds no code, and this function has no name in the registry.",
                        argument=argument,
                        expected="a registered function",
                        got=repr(value),
                        fix='register it where it is defined: @kfunc.register("activation")',
                    ) from error
        return config
