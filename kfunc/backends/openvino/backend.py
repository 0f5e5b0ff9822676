"""What kfunc asks of OpenVINO."""

from __future__ import annotations

import functools

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
    def xp(self):
        from . import namespace

        return namespace

    def kind(self, cls):
        if issubclass(cls, Array):
            return Kind(self)
        return Kind(self, native=True) if issubclass(cls, ov.Tensor) else None

    def lift(self, x):
        # A copy: the tensor may belong to an inference request, whose next run overwrites it.
        return Array.concrete(np.array(x.data)) if isinstance(x, ov.Tensor) else x

    def asarray(self, x, dtype=None, device=None):
        return self.xp.asarray(x, dtype=dtype, device=device)

    def to_numpy(self, x):
        return self.lift(x).numpy()

    def device(self, x):
        return "cpu"

    def is_traced(self, x):
        return isinstance(x, Array) and x.traced

    def jit(self, fun, *, static_argnames=(), constant_argnums=(), donate_argnums=()):
        return Compiled(self, fun, static_argnames, constant_argnums)

    def value_and_grad(self, fun, argnums=0, has_aux=False):
        raise self.unsupported("differentiation", _TRAIN)

    def vjp(self, fun, *primals, has_aux=False):
        raise self.unsupported("differentiation", _TRAIN)

    def jvp(self, fun, primals, tangents, has_aux=False):
        raise self.unsupported("differentiation", _TRAIN)

    def checkpoint(self, fun):
        return fun

    def custom_gradient(self, fun):
        return lambda *args: fun(*args)[0]

    def vmap(self, fun, in_axes=0, out_axes=0):
        raise self.unsupported(
            "vmap", "write the batch axis out, which costs nothing here, or run it on another backend"
        )

    def scan(self, fun, init, xs, length=None, reverse=False):
        """The steps, one after the other: their number must be known when the program is built."""
        return loops.scan(fun, init, xs, length, reverse)

    def while_loop(self, cond_fun, body_fun, init):
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

    def cond(self, pred, true_fun, false_fun, *operands):
        """Where `pred` is traced, both branches are computed, and one result is picked."""
        if not self.is_traced(pred):
            return NotImplemented
        return tree.map(
            lambda a, b: arrays.namespace(pred, a, b).where(pred, a, b), true_fun(*operands), false_fun(*operands)
        )


backend = OpenvinoBackend()
add_kind(Array, Kind(backend))
