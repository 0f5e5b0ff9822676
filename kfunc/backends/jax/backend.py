"""What kfunc asks of JAX."""

from __future__ import annotations

import math
import weakref
from typing import Any

import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np

from ...tracing import loops
from ..base import Backend, Kind
from ..gradients import independent, not_floating, not_known
from . import namespace

__all__ = ["JaxBackend", "backend"]


_LARGE = 1 << 20  # bytes
_READS = (
    jax.errors.ConcretizationTypeError,  # float, bool, sizes
    jax.errors.NonConcreteBooleanIndexError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
)
"""How JAX says that a value is not known."""


class JaxBackend(Backend):
    name = "jax"
    compiles = True
    loops = True
    donates = True
    takes_numpy = True  # a call moves NumPy arrays in a quarter of the time that `jnp.array` takes
    xp = namespace

    def __init__(self) -> None:
        super().__init__()
        self._repeats = weakref.WeakKeyDictionary()

    def kind(self, cls: Any) -> Any:
        return Kind(self) if issubclass(cls, jax.Array | jax.core.Tracer) else None

    def asarray(self, x: Any, dtype: Any = None, device: Any = None) -> Any:
        # A copy by NumPy: on CPU, JAX may share the memory, to which the caller may write later. A copy by JAX compiles
        # a program for each shape.
        if isinstance(x, np.ndarray):
            x = np.array(x)
            if x.dtype.kind in "iu" and x.itemsize == 8 and x.size:
                namespace.refuse_large(int(x.min()), int(x.max()), x.dtype if dtype is None else dtype)
            if x.dtype.name == dtype and x.dtype.itemsize < 8:
                dtype = None  # asking for the dtype that is there already takes as long as the conversion
        return jnp.array(x, dtype=dtype, copy=False, device=device)

    def adopted(self, x: Any) -> Any:
        # `jnp.array` copies always. In a function that is being compiled, `device_put` would become a part of it.
        with jax.ensure_compile_time_eval():
            return jax.device_put(x)

    def to_numpy(self, x: Any) -> Any:
        return np.asarray(x)

    def device(self, x: Any) -> Any:
        # None, unless the array was put there on purpose: an array made with `device=` is committed to it, and jit
        # compiles anew for committed arrays.
        return x.device if not isinstance(x, jax.core.Tracer) and x.committed else None

    def is_traced(self, x: Any) -> Any:
        return isinstance(x, jax.core.Tracer)

    def is_symbol(self, size: Any) -> Any:
        return jax.export.is_symbolic_dim(size)

    def key_words(self, key: Any) -> Any:
        if key.shape != () or not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
            return None
        words = jax.random.key_data(key)
        return words if words.shape == (2,) else None  # four words: of another generator

    def jit(self, fun: Any, *, static_argnames: Any = (), constant_argnums: Any = (), donate_argnums: Any = ()) -> Any:
        # JAX finds the programs of a function by the function, so `fun` itself must come to it.
        return self.explaining(jax.jit(fun, static_argnames=static_argnames, donate_argnums=donate_argnums))

    def explain(self, error: Exception) -> None:
        if isinstance(error, _READS):
            raise not_known(error) from error
        if isinstance(error, TypeError) and str(error).startswith("grad requires real- or complex-valued inputs"):
            raise not_floating(str(error).partition("\n")[0]) from error
        if isinstance(error, ValueError) and str(error).startswith("Reverse-mode differentiation does not work for"):
            raise self.unsupported(
                "a gradient of kf.while_loop, or of kf.fori_loop between arrays",
                "use kf.scan, or kf.fori_loop between ints; or differentiate forward, with kf.jvp",
            ) from error

    def released(self, x: Any) -> Any:
        # `x.copy()` would compile a program for each shape: 5 % of the processor time of a small network's first `fit`.
        return jax.device_put(x, may_alias=False).block_until_ready() if isinstance(x, jax.Array) else x

    def value_and_grad(self, fun: Any, argnums: Any = 0, has_aux: bool = False, strict: bool = False) -> Any:
        return jax.value_and_grad(_dependent(fun) if strict else fun, argnums, has_aux)

    def vjp(self, fun: Any, *primals: Any, has_aux: bool = False) -> Any:
        return jax.vjp(fun, *primals, has_aux=has_aux)

    def jvp(self, fun: Any, primals: Any, tangents: Any, has_aux: bool = False) -> Any:
        return jax.jvp(fun, primals, tangents, has_aux=has_aux)

    def checkpoint(self, fun: Any) -> Any:
        return jax.checkpoint(fun)

    def custom_gradient(self, fun: Any) -> Any:
        def flat(*args):
            out, gradient = fun(*args)
            leaves, structure = jax.tree.flatten(out)
            outs[:] = [structure]

            def shares(upstream):
                given = loops.gradient_leaves(gradient, upstream, args)
                flat, inner = jax.tree.flatten(args)
                filled = [jnp.zeros_like(x) if g is None else g for x, g in zip(flat, given, strict=True)]
                return jax.tree.unflatten(inner, filled)

            return leaves, shares

        outs: list = []
        once = jax.custom_gradient(flat)

        @jax.custom_vjp
        def often(*args):
            return once(*args)

        def forward(*args):
            # In a derivative of the derivative, JAX would differentiate what `once` computes.
            return often(*args), jax.vjp(once, *args)[1]

        often.defvjp(forward, lambda pull, upstream: pull(upstream))

        def run(*args):
            leaves = often(*args)
            return jax.tree.unflatten(outs[0], leaves)

        return run

    def repeats(self, fun: Any, fixed: Any, carry: Any, batch: Any) -> Any:
        # Remembered, since JAX keeps memory for every tracing of `fun` as long as `fun` lives.
        args = fixed, carry, batch
        known, leaves = self._repeats.setdefault(getattr(fun, "func", fun), {}), jax.tree.leaves(args)
        key = tuple(map(jnp.shape, leaves))
        if key not in known:
            # A call takes the time of so many operations for each array that it passes. Where a step takes much longer
            # than a call, a loop does not pay: it copies its carry.
            cpu = jax.default_backend() == "cpu"
            known[key] = _work(jax.make_jaxpr(fun)(*args).jaxpr, cpu) < (2e6 if cpu else 2e8) * len(leaves)
        return known[key]

    def shapes(self, fun: Any, *args: Any) -> Any:
        return jax.eval_shape(fun, *args)

    def stop_gradient(self, x: Any) -> Any:
        return jax.lax.stop_gradient(x)

    def vmap(self, fun: Any, in_axes: Any = 0, out_axes: Any = 0) -> Any:
        return jax.vmap(fun, in_axes, out_axes)

    def scan(self, fun: Any, init: Any, xs: Any, length: Any = None, reverse: bool = False) -> Any:
        return jax.lax.scan(fun, init, xs, length, reverse)

    def associative_scan(self, fun: Any, elems: Any, reverse: bool = False, axis: Any = 0) -> Any:
        # JAX counts a negative axis from the end of the first array, and not at all where it goes backwards.
        ranks = {x.ndim for x in jax.tree.leaves(elems)}
        if axis < 0 and len(ranks) != 1:
            return NotImplemented
        return jax.lax.associative_scan(fun, elems, reverse, axis % ranks.pop() if axis < 0 else axis)

    def while_loop(self, cond_fun: Any, body_fun: Any, init: Any) -> Any:
        return jax.lax.while_loop(cond_fun, body_fun, init)

    def switch(self, index: Any, branches: Any, *operands: Any) -> Any:
        return jax.lax.switch(index, branches, *operands)

    def cond(self, pred: Any, true_fun: Any, false_fun: Any, *operands: Any) -> Any:
        return jax.lax.cond(pred, true_fun, false_fun, *operands)

    def choose(self, pred: Any, true_fun: Any, false_fun: Any) -> Any:
        other = false_fun()
        # For small arrays both are computed: XLA fuses nothing across a branch, which costs a fifth of a small step.
        # For large ones a branch is faster, since a choice copies them; but on a GPU a branch waits for the host.
        if jax.default_backend() == "cpu" and sum(x.nbytes for x in jax.tree.leaves(other)) > _LARGE:
            return jax.lax.cond(pred, true_fun, lambda: other)
        return jax.tree.map(lambda a, b: jnp.where(pred, a, b), true_fun(), other)


def _dependent(fun):
    """`fun(params)`, which returns `(value, aux)`, and an error if the value depends on none of the parameters."""

    def run(params):
        out = fun(params)
        # Under `jax.grad`, a value that depends on the parameters is a tracer of the same class as they are.
        if not any(type(out[0]) is type(x) for x in jax.tree.leaves(params)):
            raise independent()
        return out

    return run


def _work(jaxpr, cpu) -> float:
    """About how many operations `jaxpr` takes: those of matrix products, and one for each number that is computed.

    A convolution counts as infinitely many on a CPU: inside a loop, XLA runs it on one thread, ten times slower.
    """
    total = 0.0
    for equation in jaxpr.eqns:
        name, params = equation.primitive.name, equation.params
        if name == "conv_general_dilated" and cpu:
            return math.inf
        inner = [_work(sub, cpu) for sub in jax.extend.core.jaxprs_in_params(params)]
        out = sum(math.prod(v.aval.shape) for v in equation.outvars if hasattr(v.aval, "shape"))
        if name == "dot_general":
            out *= 2 * math.prod(equation.invars[0].aval.shape[i] for i in params["dimension_numbers"][0][0])
        total += sum(inner) * params.get("length", 1) if inner else out
    return total


def _serializable():
    """Let `jax.export` write programs with our NamedTuples, such as the states of optimizers, among their arguments."""
    for cls in tuple.__subclasses__():
        if cls.__module__.startswith("kfunc.") and hasattr(cls, "_fields"):
            name = f"{cls.__module__}.{cls.__qualname__}"
            jax.export.register_namedtuple_serialization(cls, serialized_name=name)


_serializable()
backend: JaxBackend = JaxBackend()
