"""Recurrent cells: one step of a recurrence. Any layer `cell(s, x, states) -> (output, states)` is a cell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from .. import checks, ops, tree
from ..arrays import namespace
from ..dataclasses import dataclass
from ..errors import ArgumentError, ShapeError
from ..ops.recurrent import gru_step, lstm_step, simple_step
from ..registry import register, resolve
from ..typing import ActivationLike, Array, ConstraintLike, InitializerLike, RegularizerLike, Tree
from . import activations, initializers
from .layer import Layer, base_layer, layer
from .scope import Scope

__all__ = ["GRUCell", "LSTMCell", "SimpleRNNCell", "StackedRNNCells"]


@register("initializer")
@dataclass
class ForgetGateOnes:
    """An initializer for the bias (4 * units,) of an LSTM: `bias`, but 1 for the forget gate (Jozefowicz, 2015)."""

    bias: InitializerLike = "zeros"

    def __call__(self, key: Any, shape: tuple[int, ...], dtype: str = "float32") -> Any:
        units = shape[0] // 4
        first = resolve("initializer", self.bias)(key, (units,), dtype)
        rest = resolve("initializer", self.bias)(key, (2 * units,), dtype)
        return namespace(key).concat([first, initializers.Ones()(key, (units,), dtype), rest])


# -- states ------------------------------------------------------------------------------------------------------------


def zeros_for(x: Any, *units: int) -> tuple[Array, ...]:
    """A state of zeros (batch, n) for each n of `units`. `x` is (batch, ...); the size of its batch may be unknown."""
    xp = namespace(x)
    column = xp.zeros_like(xp.reshape(x[(slice(None), *[slice(0, 1)] * (x.ndim - 1))], (-1, 1)))
    return tuple(xp.repeat(column, n, axis=1) for n in units)


def first_states(cell: Any, x: Any) -> Any:
    """The tuple of the states of `cell` before its first step. `x` is the input of this step."""
    own = getattr(cell, "initial_states", None)
    if own is not None:
        return own(x)
    sizes = cell.state_size
    return zeros_for(x, *(sizes if isinstance(sizes, tuple | list) else (sizes,)))


def counted(argument: str, arrays: Sequence[Array], number: int) -> tuple[Array, ...]:
    """`arrays` as a tuple.

    Raises:
        ArgumentError: There are not `number` of them.
    """
    if len(arrays) != number:
        raise ArgumentError(
            f"`{argument}` must be {number} arrays, got {len(arrays)}.",
            argument=argument,
            expected=f"{number} arrays",
            got=", ".join(str(tuple(a.shape)) for a in arrays) or "none",
        )
    return tuple(arrays)


def filled(argument: str, states: Any, given: Any) -> Any:
    """The arrays in `given`, which may be nested in any way, in the structure of `states`."""
    wanted = tree.leaves(states)
    arrays = counted(argument, tree.leaves(given), len(wanted))
    for a, b in zip(arrays, wanted, strict=True):
        if a.ndim != b.ndim or any(m != n for m, n in zip(a.shape[1:], b.shape[1:], strict=True)):
            raise ShapeError(
                f"A state in `{argument}` has shape {tuple(a.shape)}, and {tuple(b.shape)} is needed.",
                argument=argument,
                expected=tuple(b.shape),
                got=tuple(a.shape),
            )
    return tree.unflatten(tree.structure(states), arrays)


def check_cell(argument: str, cell: Any) -> None:
    """Raise an ArgumentError if `cell` is not a cell."""
    if not isinstance(cell, Layer) or not hasattr(cell, "state_size"):
        raise ArgumentError.must_be(
            argument,
            "a cell",
            cell,
            said="a layer that is called with (s, x, states), and has a state_size: an integer, or one for each state",
        )


# -- what a cell shares with the layer that runs it over time ----------------------------------------------------------


class Recurrent(Layer):
    """Weights, dropout and one step of a cell whose output is its first state.

    The kernels of all gates lie side by side in one matrix.

    Args:
        units: The number of features of each state and of the output.
        activation: The function for the candidate and the output, or its name; None for the identity.
        recurrent_activation: The function for the gates, or its name; None for the identity.
        dropout: The probability that training drops a feature of the input. It is dropped at all steps of a sequence.
        recurrent_dropout: The probability that training drops a feature of the state before it goes into a gate, at all
            steps of a sequence (Gal and Ghahramani, arXiv:1512.05287).
    """

    gates: ClassVar[int]
    states: ClassVar[int] = 1

    # Attributes that all subclasses have as fields; each declares its own, in Keras's order.
    units: int
    activation: ActivationLike
    use_bias: bool
    kernel_initializer: InitializerLike
    recurrent_initializer: InitializerLike
    bias_initializer: InitializerLike
    kernel_regularizer: RegularizerLike
    recurrent_regularizer: RegularizerLike
    bias_regularizer: RegularizerLike
    kernel_constraint: ConstraintLike
    recurrent_constraint: ConstraintLike
    bias_constraint: ConstraintLike
    dropout: float
    recurrent_dropout: float

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.positive("units", self.units)
        checks.probability("dropout", self.dropout, one=True)
        checks.probability("recurrent_dropout", self.recurrent_dropout, one=True)

    def weights(self, s: Scope, inputs: int) -> tuple[Any, Any, Any]:
        """The kernel, the recurrent kernel, and the bias or None, for inputs of so many features."""
        shapes = {"kernel": (inputs, self.gates * self.units), "recurrent": (self.units, self.gates * self.units)}
        return parameters(self, s, shapes["kernel"], shapes["recurrent"], self.bias_shape)

    @property
    def bias_shape(self) -> tuple[int, ...]:
        return (self.gates * self.units,)

    def biases(self, bias: Array) -> tuple[Array, Array]:
        """The part of `bias` that is added to the input, and the part for the recurrent product."""
        return bias, None

    def dropped(self, s: Scope, x: Any) -> Any:
        """`x`, (batch, features) or (batch, time, features), after dropout of the same features at all times."""
        if not s.train or not self.dropout:
            return x
        return ops.dropout(x, s.key(), self.dropout, (x.shape[0], *[1] * (x.ndim - 2), x.shape[-1]))

    def keep(self, s: Scope, x: Any) -> Any:
        """The factors of recurrent dropout, (gates, batch, units); None without recurrent dropout."""
        return factors(self, s, zeros_for(x, self.units)[0])

    def step(
        self, z: Array, states: tuple[Array, ...], recurrent_kernel: Array, bias: Array, keep: Array
    ) -> tuple[Array, ...]:
        """The new states. `z` (batch, gates * units) is the part of the gates that comes from the input."""
        raise NotImplementedError


def parameters(
    layer: Any, s: Scope, kernel: tuple[int, ...], recurrent: tuple[int, ...], bias: tuple[int, ...]
) -> tuple[Array, Array, Array | None]:
    """The kernel, the recurrent kernel, and the bias or None, of these shapes."""
    forgetting = getattr(layer, "unit_forget_bias", False)
    first_bias = ForgetGateOnes(layer.bias_initializer) if forgetting else layer.bias_initializer

    return (
        s.weight("kernel", kernel),
        s.weight("recurrent_kernel", recurrent, "recurrent"),
        s.weight("bias", bias, initializer=first_bias) if layer.use_bias else None,
    )


def factors(layer: Any, s: Scope, state: Any) -> Any:
    """The factors of the state for each gate in training, (gates, *shape of the state); None without dropout."""
    if not s.train or not layer.recurrent_dropout:
        return None
    xp = namespace(state)
    # The batch is last, so that the factors of a sample do not depend on the number of samples after it.
    ones = xp.stack([xp.ones_like(state)] * layer.gates, axis=1)
    return xp.moveaxis(ops.dropout(ones, s.key(), layer.recurrent_dropout), 1, 0)


@base_layer
class LSTMArguments(Recurrent):
    """The arguments and the step of an LSTM.

    Args:
        unit_forget_bias: Whether the bias of the forget gate starts at 1.
    """

    gates: ClassVar[int] = 4
    states: ClassVar[int] = 2

    units: int
    activation: ActivationLike = "tanh"
    recurrent_activation: ActivationLike = "sigmoid"
    use_bias: bool = True
    kernel_initializer: InitializerLike = "glorot_uniform"
    recurrent_initializer: InitializerLike = "orthogonal"
    bias_initializer: InitializerLike = "zeros"
    unit_forget_bias: bool = True
    kernel_regularizer: RegularizerLike = None
    recurrent_regularizer: RegularizerLike = None
    bias_regularizer: RegularizerLike = None
    kernel_constraint: ConstraintLike = None
    recurrent_constraint: ConstraintLike = None
    bias_constraint: ConstraintLike = None
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    seed: int | None = None

    def step(
        self, z: Array, states: tuple[Array, ...], recurrent_kernel: Array, bias: Array, keep: Array
    ) -> tuple[Array, ...]:
        functions = activations.get(self.activation), activations.get(self.recurrent_activation)
        return lstm_step(z, states, recurrent_kernel, *functions, keep)


@base_layer
class GRUArguments(Recurrent):
    """The arguments and the step of a GRU.

    Args:
        reset_after: Whether the reset gate is applied after the recurrent product, as in cuDNN, or before it.
    """

    gates: ClassVar[int] = 3

    units: int
    activation: ActivationLike = "tanh"
    recurrent_activation: ActivationLike = "sigmoid"
    use_bias: bool = True
    kernel_initializer: InitializerLike = "glorot_uniform"
    recurrent_initializer: InitializerLike = "orthogonal"
    bias_initializer: InitializerLike = "zeros"
    kernel_regularizer: RegularizerLike = None
    recurrent_regularizer: RegularizerLike = None
    bias_regularizer: RegularizerLike = None
    kernel_constraint: ConstraintLike = None
    recurrent_constraint: ConstraintLike = None
    bias_constraint: ConstraintLike = None
    dropout: float = 0.0
    recurrent_dropout: float = 0.0

    @property
    def after(self) -> bool:
        return self.reset_after  # type: ignore[attr-defined]  # which Keras puts at different places

    @property
    def bias_shape(self) -> tuple[int, ...]:
        return (2, 3 * self.units) if self.after else (3 * self.units,)

    def biases(self, bias: Array) -> tuple[Array, Array]:
        return (bias[0, :], bias[1, :]) if self.after and bias is not None else (bias, None)

    def step(
        self, z: Array, states: tuple[Array, ...], recurrent_kernel: Array, bias: Array, keep: Array
    ) -> tuple[Array, ...]:
        functions = activations.get(self.activation), activations.get(self.recurrent_activation)
        return gru_step(z, states, recurrent_kernel, bias, self.after, *functions, keep)


@base_layer
class SimpleRNNArguments(Recurrent):
    """The arguments and the step of a simple recurrence."""

    gates: ClassVar[int] = 1

    units: int
    activation: ActivationLike = "tanh"
    use_bias: bool = True
    kernel_initializer: InitializerLike = "glorot_uniform"
    recurrent_initializer: InitializerLike = "orthogonal"
    bias_initializer: InitializerLike = "zeros"
    kernel_regularizer: RegularizerLike = None
    recurrent_regularizer: RegularizerLike = None
    bias_regularizer: RegularizerLike = None
    kernel_constraint: ConstraintLike = None
    recurrent_constraint: ConstraintLike = None
    bias_constraint: ConstraintLike = None
    dropout: float = 0.0
    recurrent_dropout: float = 0.0

    def step(
        self, z: Array, states: tuple[Array, ...], recurrent_kernel: Array, bias: Array, keep: Array
    ) -> tuple[Array, ...]:
        return simple_step(z, states, recurrent_kernel, activations.get(self.activation), keep)


# -- cells -------------------------------------------------------------------------------------------------------------


class _Cell(Recurrent):
    float_inputs: ClassVar[tuple[str, ...]] = ("x",)

    @property
    def state_size(self) -> int | tuple[int, ...]:
        """The number of features of the state, or of each state."""
        return self.units if self.states == 1 else (self.units,) * self.states

    @property
    def output_size(self) -> int:
        return self.units

    def forward(self, s: Scope, x: Array, states: Tree) -> Array:
        """(batch, inputs) and states of (batch, units) each to the output (batch, units) and the new states."""
        checks.rank("x", x, 2)
        states = counted("states", tree.leaves(states), self.states)
        kernel, recurrent_kernel, bias = self.weights(s, x.shape[-1])
        own, recurrent_bias = self.biases(bias)
        z = ops.linear(self.dropped(s, x), kernel, own)
        new = self.step(z, states, recurrent_kernel, recurrent_bias, self.keep(s, x))
        return new[0], new


@layer
class LSTMCell(_Cell, LSTMArguments):
    """One step of a long short-term memory (Hochreiter and Schmidhuber, 1997); see `LSTM`.

    `cell(s, x, (h, c))`: (batch, inputs) and states (batch, units) to (h, (h, c)).
    """


@layer
class GRUCell(_Cell, GRUArguments):
    """One step of a gated recurrent unit (Cho et al., arXiv:1406.1078); see `GRU`.

    `cell(s, x, (h,))`: (batch, inputs) and the state (batch, units) to (h, (h,)).
    """

    reset_after: bool = True
    seed: int | None = None


@layer
class SimpleRNNCell(_Cell, SimpleRNNArguments):
    """`activation(x @ kernel + h @ recurrent_kernel + bias)` (Elman, 1990); see `SimpleRNN`.

    `cell(s, x, (h,))`: (batch, inputs) and the state (batch, units) to (h, (h,)).
    """

    seed: int | None = None


@layer
class StackedRNNCells(Layer):
    """Several cells as one cell. Each takes the output of the one before it.

    `cell(s, x, states)`: (batch, inputs) and a tuple of the states of each cell to the output of the last cell and the
    new states.

    Args:
        cells: The cells, at least one.
    """

    float_inputs: ClassVar[tuple[str, ...]] = ("x",)

    cells: Sequence[Layer]

    def __post_init__(self) -> None:
        if not isinstance(self.cells, tuple | list) or not self.cells:
            raise ArgumentError(
                "`cells` must be a list of at least one cell, got an empty list.",
                argument="cells",
                expected="a list of cells",
                got=self.cells,
            )
        for cell in self.cells:
            check_cell("cells", cell)
        super().__post_init__()

    @property
    def state_size(self) -> tuple[int, ...]:
        cells: Sequence[Any] = self.cells
        return tuple(cell.state_size for cell in cells)

    @property
    def output_size(self) -> int:
        return output_size(self.cells[-1])

    def initial_states(self, x: Array) -> Tree:
        return tuple(first_states(cell, x) for cell in self.cells)

    def forward(self, s: Scope, x: Array, states: Tree) -> Array:
        new = []
        for cell, own in zip(self.cells, states, strict=True):
            x, after = cell(s, x, own)
            new.append(after)
        return x, tuple(new)


def output_size(cell: Any) -> int:
    """The number of features of the output of a cell; if the cell does not say it, that of its first state."""
    sizes = cell.state_size
    return getattr(cell, "output_size", None) or (sizes[0] if isinstance(sizes, tuple | list) else sizes)
