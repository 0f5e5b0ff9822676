"""What kfunc asks of OpenVINO."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import openvino as ov

from ... import arrays, tree
from ...tracing import loops
from ..base import Backend, Kind
from ..registry import add_kind
from .array import Array
from .program import Compiled

__all__ = ["OpenvinoBackend", "backend"]

_TRAIN = 'train on numpy, jax, torch or tensorflow, then move the model here to serve it: model.to("openvino")'


class OpenvinoBackend(Backend):
    """OpenVINO.

    Attributes:
        precision: The dtype in which floating-point numbers are computed: "f32", "bf16" or "f16".
        target: OpenVINO's name of the device to compile for: "CPU", "GPU", "AUTO" …
    """

    name = "openvino"
    trains = False
    compiles = True
    one_size = False
    precision = "f32"
    target = "CPU"

    @functools.cached_property
    def xp(self) -> Any:
        from . import namespace

        return namespace

    def kind(self, cls: Any) -> Any:
        if issubclass(cls, Array):
            return Kind(self)
        return Kind(self, native=True) if issubclass(cls, ov.Tensor) else None

    def lift(self, x: Any) -> Any:
        # A copy: the tensor may belong to an inference request, whose next run overwrites it.
        return Array.concrete(np.array(x.data)) if isinstance(x, ov.Tensor) else x

    def asarray(self, x: Any, dtype: Any = None, device: Any = None) -> Any:
        return self.xp.asarray(x, dtype=dtype, device=device)

    def to_numpy(self, x: Any) -> Any:
        return self.lift(x).numpy()

    def device(self, x: Any) -> Any:
        return "cpu"

    def is_traced(self, x: Any) -> Any:
        return isinstance(x, Array) and x.traced

    def jit(self, fun: Any, *, static_argnames: Any = (), constant_argnums: Any = (), donate_argnums: Any = ()) -> Any:
        return Compiled(self, fun, static_argnames, constant_argnums)

    def value_and_grad(self, fun: Any, argnums: Any = 0, has_aux: bool = False, strict: bool = False) -> Any:
        raise self.unsupported("differentiation", _TRAIN)

    def vjp(self, fun: Any, *primals: Any, has_aux: bool = False) -> Any:
        raise self.unsupported("differentiation", _TRAIN)

    def jvp(self, fun: Any, primals: Any, tangents: Any, has_aux: bool = False) -> Any:
        raise self.unsupported("differentiation", _TRAIN)

    def checkpoint(self, fun: Any) -> Any:
        return fun

    def custom_gradient(self, fun: Any) -> Any:
        return lambda *args: fun(*args)[0]

    def vmap(self, fun: Any, in_axes: Any = 0, out_axes: Any = 0) -> Any:
        raise self.unsupported(
            "vmap", "write the batch axis out, which costs nothing here, or run it on another backend"
        )

    def scan(self, fun: Any, init: Any, xs: Any, length: Any = None, reverse: bool = False) -> Any:
        """The steps, one after the other: their number must be known when the program is built."""
        return loops.scan(fun, init, xs, length, reverse)

    def while_loop(self, cond_fun: Any, body_fun: Any, init: Any) -> Any:
        carry = init
        while True:
            go_on = cond_fun(carry)
            if self.is_traced(go_on):
                raise self.unsupported(
                    "while_loop over arrays that are not known yet",
                    "give the number of steps as an int (fori_loop, scan), or keep the loop out of kf.jit",
                )
            if not bool(go_on):
                return carry
            carry = body_fun(carry)

    def cond(self, pred: Any, true_fun: Any, false_fun: Any, *operands: Any) -> Any:
        """Where `pred` is traced, both branches are computed, and one result is picked."""
        if not self.is_traced(pred):
            return NotImplemented
        return tree.map(
            lambda a, b: arrays.namespace(pred, a, b).where(pred, a, b), true_fun(*operands), false_fun(*operands)
        )


backend: OpenvinoBackend = OpenvinoBackend()
add_kind(Array, Kind(backend))
