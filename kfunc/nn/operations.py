"""What stands between the layers of a graph: functions of `kf.ops`, and arrays. `Node` makes these layers."""

from __future__ import annotations

import dataclasses
import inspect
import math
from typing import Any, ClassVar

from .. import ops, tree
from ..arrays import device, dtype_name, namespace, to_numpy
from ..backends.constants import weak_dtype
from ..errors import ArgumentError, KfuncError, shown
from ..ops._op import OPS
from ..ops._promotion import cast, dtype_of
from ..tracing.spec import Spec
from ..typing import Tree
from . import initializers
from .layer import Layer, layer
from .scope import Scope

__all__ = ["ConstantArray", "Operation"]

_MOST = 2**22
"""Functions that compute with numbers while a graph is made, such as the parts of `split`, and how many at most."""


@layer
class Operation(Layer):
    """A function of `kf.ops`, which graphs make of `x + y`, `x[:, 0]` and `kf.ops.concatenate([x, y])`.

    The arguments are those of the function: arrays of any shape that it takes. It computes in the dtype of its inputs
    under every policy, and it hands on no mask: both as in Keras.

    Args:
        function: The name of the function.
    """

    per_sample: ClassVar[bool] = False  # `kf.ops.mean` of the batch is an operation, too; see `Graph`

    function: str

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.function not in OPS and self.function not in _OTHERS:
            raise ArgumentError.must_be("function", "the name of a function of kf.ops", self.function)

    def _base_name(self) -> str:
        return self.function

    def _run(self, s: Scope, args: tuple, kwargs: dict) -> Any:
        s.policy = None
        try:
            return super()._run(s, args, kwargs)
        except KfuncError as error:
            if not s.path:  # the graph is being built; the error names the op
                error.path = None
            raise

    def forward(self, s: Scope, *args: Any, **kwargs: Any) -> Tree:
        s.hand_on(None)
        run = OPS[self.function] if self.function in OPS else _OTHERS[self.function]
        return run(*args, **kwargs)


def separates(function: str, args: tuple, kwargs: dict[str, Any]) -> bool:
    """Whether a call of a function, with `Spec`s for nodes, certainly computes each sample from that sample alone."""
    shapes = [x.shape for x in tree.leaves((args, kwargs)) if isinstance(x, Spec)]
    rank = max(map(len, shapes))
    if not any(shape[:1] == (None,) for shape in shapes) or not all(
        shape[0] in (None, 1) if len(shape) == rank else None not in shape for shape in shapes
    ):
        return False
    if function not in OPS:
        return True  # `stop_gradient`
    op = OPS[function]
    if op.along_axis:
        bound = inspect.signature(op.reference).bind(*args, **kwargs)
        bound.apply_defaults()
        axes = bound.arguments.get("axis")
        axes = axes if isinstance(axes, list | tuple) else [axes]
        return all(isinstance(axis, int) and -rank <= axis < rank and axis % rank for axis in axes)
    if function == "get_item":
        key = args[1] if len(args) > 1 else None
        if not isinstance(key, list | tuple) or not key or len(shapes) != 1:
            return False
        return key[0] == slice(None) or (key[0] is ... and sum(k is not None for k in key[1:]) < rank)
    if function == "where" and sum(x is not None for x in (*args, *kwargs.values())) < 3:
        return False  # the places of what is true: as many as there are
    return op.elementwise


def check_sizes(layer: Layer, args: Any, kwargs: Any, shapes: list[Any]) -> None:
    """Raise an ArgumentError if the graph in a file asks for a function of numbers that would take forever."""
    if not isinstance(layer, Operation) or layer.function not in OPS or not OPS[layer.function].grows:
        return
    inner = max([n or 1 for shape in shapes for n in shape[1:]], default=1)
    for given in (*args, *kwargs.values()):
        sizes = [abs(x) for x in tree.leaves(given) if isinstance(x, int) and x]
        if math.prod(sizes) * inner > _MOST:
            raise ArgumentError(
                f"The config of the graph asks {layer.function} for something too large to be safe.",
                argument="config",
                expected=f"at most {_MOST:,} numbers",
                got=given,
            )


_OTHERS = {"stop_gradient": ops.stop_gradient}
"""The functions that are not ops, since they go by trees."""


@layer
class ConstantArray(Layer):
    """An array beside the nodes of a graph: x (...), which says the backend and the precision, to `shape`.

    A config, and so a file, holds at most 1,000 of its numbers. A larger array is a part of the state, and no optimizer
    sees it.

    Args:
        initializer: The values, `nn.initializers.Constant(array)`.
        shape: Their shape.
        kept_in: The dtype of the array. Floats take the dtype of `x`, if that is narrower.
    """

    initializer: Any
    shape: tuple[int, ...]
    kept_in: str = "float32"
    _values: Any = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.initializer, initializers.Constant):
            raise ArgumentError.must_be("initializer", "nn.initializers.Constant(array)", self.initializer)
        values = self.initializer.value
        object.__setattr__(self, "_values", values if isinstance(values, tuple | int | float) else None)

    def _run(self, s: Scope, args: tuple, kwargs: dict) -> Any:
        s.policy = None
        return super()._run(s, args, kwargs)

    def forward(self, s: Scope, x: Any) -> Any:
        s.hand_on(None)
        dtype, xp = weak_dtype(self.kept_in, (dtype_of(x),)), namespace(x)
        if self._values is None:
            return cast(s.state("values", self.shape, self.initializer, self.kept_in), dtype)
        values = xp.asarray(self._values, dtype=getattr(xp, dtype), device=device(x))
        return xp.reshape(values, self.shape)


def constant(x: Any, dtypes: tuple[str, ...]) -> ConstantArray:
    """The array `x` of any backend as a layer, beside nodes of these dtypes."""
    values = to_numpy(x)
    dtype = weak_dtype(dtype_name(values.dtype), dtypes)
    if dtype == "int64" and values.size and values.min() >= -(2**31) and values.max() < 2**31:
        dtype = "int32"  # NumPy's integers are wide by default, and would widen those of the nodes
    try:
        return ConstantArray(initializers.Constant(values), tuple(values.shape), dtype)
    except ArgumentError as error:
        raise ArgumentError(
            f"A graph cannot hold {shown(x)}.", expected="arrays of real numbers or booleans", got=str(values.dtype)
        ) from error
