"""Layers that look up learned vectors by integers."""

from __future__ import annotations

from typing import Any

from .. import checks, ops
from ..arrays import asarray, namespace
from ..errors import ArgumentError
from ..ops._promotion import beside, kind
from ..typing import Array, ConstraintLike, InitializerLike, RegularizerLike
from .dtype_policies import DTypePolicy
from .initializers import Constant
from .layer import Layer, layer
from .scope import Scope

__all__ = ["Embedding", "ReversibleEmbedding"]


def _rows(s: Scope, x: Any, table: Any, mask_zero: bool) -> Any:
    """The rows of `table` at the indices `x`."""
    xp = namespace(x)
    if kind(x) not in "iu":
        if x.dtype not in (xp.float32, getattr(xp, "float64", None)):
            raise ArgumentError(
                f"`x` must hold integers, got an array of {x.dtype}: half precision is not exact enough for indices.",
                argument="x",
                expected="integers",
                got=f"an array of {x.dtype}",
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
    """Learned vectors for integers: integers (...) in `[0, input_dim)` to (..., output_dim).

    Args:
        input_dim: The number of vectors.
        output_dim: The size of each vector.
        mask_zero: Whether index 0 means that there is no data. The layer then hands on a mask that is False there.
        weights: The initial values of the table, (input_dim, output_dim), in place of the initializer. The config does
            not hold them, since files hold the parameters.
    """

    input_dim: int
    output_dim: int
    embeddings_initializer: InitializerLike = "uniform"
    embeddings_regularizer: RegularizerLike = None
    embeddings_constraint: ConstraintLike = None
    mask_zero: bool = False
    weights: Array | None = None

    def __post_init__(self) -> None:
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
                f"`weights` must have shape {(self.input_dim, self.output_dim)}, got {shape}.",
                argument="weights",
                expected=f"an array of shape {(self.input_dim, self.output_dim)}",
                got=f"shape {shape}",
            )
        object.__setattr__(self, "weights", Constant(weights))

    def forward(self, s: Scope, x: Array) -> Array:
        table = s.weight("embeddings", (self.input_dim, self.output_dim), initializer=self.weights)
        return _rows(s, x, table, self.mask_zero)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "weights": None}


@layer
class ReversibleEmbedding(Layer):
    """Learned vectors for integers, and logits from vectors: the first and the last layer of a language model.

    `layer(s, x)`: integers (...) to (..., output_dim). `layer(s, x, reverse=True)` multiplies by the transposed table:
    (..., output_dim) to (..., input_dim) (Press and Wolf, arXiv:1608.05859).

    Args:
        input_dim: The number of vectors.
        output_dim: The size of each vector.
        tie_weights: Whether both directions use one table.
        mask_zero: As for `Embedding`.
        reverse_dtype: The floating dtype in which the reverse direction is computed; None for that of its input.
        logit_soft_cap: None, or a positive number c: the reverse direction returns `c * tanh(logits / c)`.
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

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_table(self)
        checks.number("logit_soft_cap", self.logit_soft_cap, above=0, none=True)
        allowed = (None, "bfloat16", "float16", "float32", "float64")
        checks.one_of("reverse_dtype", self.reverse_dtype, allowed)

    def forward(self, s: Scope, x: Array, reverse: bool = False) -> Array:
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
