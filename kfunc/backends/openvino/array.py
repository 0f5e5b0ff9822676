"""The array class: an output of an OpenVINO graph that is not compiled yet, or a NumPy buffer that can become one."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import openvino as ov
from openvino import opset15 as opset  # with opset16, the CPU plugin crashes on AvgPool (2026.4)

from ...errors import ArgumentError, ShapeError, UnsupportedError
from .gaps import cannot

__all__ = ["Array", "build", "compile_graph", "core", "ints", "opset"]

# uint32 is stored as int32: the CPU plugin has no unsigned 32-bit arithmetic, and clamps numbers of that dtype.
TYPES = {
    np.dtype("bool"): ov.Type.boolean,
    np.dtype("int8"): ov.Type.i8,
    np.dtype("int16"): ov.Type.i16,
    np.dtype("int32"): ov.Type.i32,
    np.dtype("int64"): ov.Type.i64,
    np.dtype("uint8"): ov.Type.u8,
    np.dtype("uint16"): ov.Type.u16,
    np.dtype("uint32"): ov.Type.i32,
    np.dtype("uint64"): ov.Type.u64,
    np.dtype("float16"): ov.Type.f16,
    np.dtype("float32"): ov.Type.f32,
    np.dtype("float64"): ov.Type.f64,
}
UINT32 = np.dtype("uint32")


@functools.cache
def core() -> ov.Core:
    return ov.Core()


def compile_graph(
    outputs: list[Any], parameters: list[Any], precision: str = "f32", device: str = "CPU"
) -> ov.CompiledModel:
    """The compiled program from `parameters` to `outputs`."""
    config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": precision}
    return core().compile_model(ov.Model(outputs, parameters, "kfunc"), device, config)


class Array:
    """An Array-API array on OpenVINO. Immutable.

    Attributes:
        shape: Sizes; None where unknown.
        dtype: A NumPy dtype. 64-bit types are computed in 32 bits, see `kfunc.backends.openvino`.
        traced: Whether the values depend on the arguments of a function being compiled, and so are not known yet.
    """

    __slots__ = ("__weakref__", "_node", "_value", "dtype", "shape", "traced")
    __array_ufunc__ = None  # so that NumPy leaves mixed expressions to this class
    __hash__: ClassVar[None] = None  # type: ignore[assignment]
    device = "cpu"

    def __init__(
        self, node: ov.Output | None, value: Any, dtype: np.dtype, shape: tuple[Any, ...], traced: bool
    ) -> None:
        self._node = node
        self._value = value
        self.dtype: Any = dtype
        self.shape: tuple[Any, ...] = shape
        self.traced: bool = traced

    @classmethod
    def concrete(cls, value: np.ndarray) -> Array:
        """An array with the values of `value`, in the same memory."""
        if not value.dtype.isnative:
            value = value.astype(value.dtype.newbyteorder("="))
        if value.dtype not in TYPES:
            raise UnsupportedError(
                f"openvino has no dtype {value.dtype}.",
                argument="dtype",
                expected=", ".join(str(d) for d in TYPES),
                got=str(value.dtype),
            )
        return cls(None, np.asarray(value, order="C"), value.dtype, value.shape, False)

    @classmethod
    def parameter(cls, shape: tuple[int | None, ...], dtype: np.dtype) -> Array:
        """An argument of a function being compiled."""
        sizes = ov.PartialShape([-1 if n is None else n for n in shape])
        return cls.of_node(opset.parameter(sizes, TYPES[dtype]), dtype, True)

    @classmethod
    def of_node(cls, node: Any, dtype: np.dtype, traced: bool) -> Array:
        """The array that is an output of a graph, or the first output of a node, computed as `dtype`."""
        out = node if isinstance(node, ov.Output) else node.output(0)
        if out.get_element_type() != TYPES[dtype]:
            out = opset.convert(out, TYPES[dtype]).output(0)
        shape = tuple(d.get_length() if d.is_static else None for d in out.get_partial_shape())
        if 0 in shape and None not in shape and out.get_node().get_type_name() != "Parameter":
            # An empty array is known already; to compute it, the plugin would divide by 0.
            return cls.concrete(np.empty(shape, dtype))
        return cls(out, None, dtype, shape, traced)

    @property
    def is_concrete(self) -> bool:
        """Whether the values are computed already."""
        return self._value is not None

    @property
    def node(self) -> ov.Output:
        """The graph output that this array is."""
        if self._node is None:
            value = self._value.view(np.int32) if self.dtype == UINT32 else self._value
            # OpenVINO shares only memory that can be written to, which that of JAX's arrays cannot.
            self._node = opset.constant(value, shared_memory=value.flags.writeable).output(0)
        return self._node

    def numpy(self) -> np.ndarray:
        """The values; compiles and runs the graph behind them, once.

        Raises:
            UnsupportedError: The array stands for an argument of a function being compiled.
        """
        if self._value is None:
            if self.traced:
                raise UnsupportedError(
                    "A value was asked for inside a function that openvino compiles, where it is not known yet.",
                    expected="code that does not branch on, print or convert array values",
                    got=repr(self),
                    fix="use where instead of if, or compute this outside kf.jit",
                )
            request = compile_graph([self._node], []).create_infer_request()
            request.infer()
            self._value, self._node = read(request.get_output_tensor(0), self.dtype), None
        return self._value

    # -- what the standard asks of an array ------------------------------------------------------------------------

    def __array_namespace__(self, /, *, api_version: str | None = None) -> Any:
        from . import namespace

        return namespace

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int | None:
        return None if None in self.shape else math.prod(self.shape)

    @property
    def T(self) -> Array:
        if self.ndim != 2:
            raise ShapeError(
                f"`x.T` needs two axes, got {self.ndim}.",
                expected="2 axes",
                got=self.shape,
                fix="use permute_dims, or mT",
            )
        return self.mT

    @property
    def mT(self) -> Array:
        return self.__array_namespace__().matrix_transpose(self)

    def to_device(self, device: Any, /, *, stream: Any = None) -> Array:
        check_device(device)
        return self

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __dlpack__(
        self,
        /,
        *,
        stream: Any = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any:
        return self.numpy().__dlpack__(stream=stream, max_version=max_version, dl_device=dl_device, copy=copy)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)

    def __repr__(self) -> str:
        if not self.is_concrete:
            return f"Array(shape={self.shape}, dtype={self.dtype}, {'traced' if self.traced else 'lazy'})"
        return f"Array({np.array2string(self._value, prefix='Array(', separator=', ')}, dtype={self.dtype})"

    def __bool__(self) -> bool:
        return bool(self.numpy())

    def __int__(self) -> int:
        return int(self.numpy())

    def __float__(self) -> float:
        return float(self.numpy())

    def __complex__(self) -> complex:
        return complex(self.numpy())

    def __index__(self) -> int:
        return self.numpy().__index__()

    def __len__(self) -> int:
        if not self.shape or self.shape[0] is None:
            raise TypeError(f"an array of shape {self.shape} has no length")
        return self.shape[0]

    def __iter__(self) -> Any:
        return (self[i, ...] for i in range(len(self)))

    def __setitem__(self, key: Any, value: Any) -> None:
        raise cannot("assignment to elements", "make a new array with xp.where or xp.concat")


def read(tensor: ov.Tensor, dtype: np.dtype) -> np.ndarray:
    """A copy of an output of an inference request, which will use the memory of that output again."""
    value = np.array(tensor.data)
    return value.view(dtype) if dtype == UINT32 else value.astype(dtype, copy=False)


def check_device(device: Any) -> None:
    if device not in (None, "cpu"):
        raise ArgumentError(
            f"`device` must be 'cpu' or None for arrays of openvino, got {device!r}.",
            argument="device",
            expected="'cpu' or None",
            got=repr(device),
            fix='to compute elsewhere: kf.backends.get("openvino").target = "GPU"',
        )


def ints(*values: int) -> Any:
    """A constant vector of integers, such as axes or sizes."""
    return opset.constant(np.array(values, np.int64))


def build(op: Callable[..., Any], dtype: np.dtype, *inputs: Any, **attributes: Any) -> Array:
    """The result of OpenVINO's operation `op` on `inputs`: arrays, and other arguments of the operation.

    Raises:
        ShapeError: The operation cannot work on arrays of these shapes.
    """
    arrays = [x for x in inputs if isinstance(x, Array)]
    try:
        node = op(*(x.node if isinstance(x, Array) else x for x in inputs), **attributes)
    except RuntimeError as error:
        raise ShapeError(
            f"openvino's {getattr(op, 'func', op).__name__.strip('_')} cannot work on these arrays.",
            expected=str(error).strip().rpartition("\n")[2],
            got=", ".join(f"{x.dtype} {x.shape}" for x in arrays),
        ) from error
    return Array.of_node(node, dtype, any(x.traced for x in arrays))
