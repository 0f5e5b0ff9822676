"""What kfunc asks of TensorFlow: arrays in and out, ops, transforms."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from ... import tree
from ...errors import ArgumentError, KfuncError, ShapeError
from ...tracing import loops
from .. import defaults
from ..base import Backend, Kind
from ..gradients import independent, not_floating, not_known
from ..registry import add_kind
from . import autodiff, memory
from .array import Array, cast

__all__ = ["TensorflowBackend", "backend"]


class TensorflowBackend(Backend):
    """TensorFlow's backend.

    Attributes:
        jit_compile: Whether `jit` compiles by XLA; None leaves it to TensorFlow.
    """

    name = "tensorflow"
    compiles = leaves_open = loops = True
    jit_compile: bool | None = None
    # In large states, copies and calls of programs take longer than kernels that write to the state.
    large, piece = 1 << 25, 1 << 20

    @functools.cached_property
    def xp(self) -> Any:
        from . import namespace

        return namespace

    @property
    def version(self) -> Any:
        return tf.__version__

    # -- arrays ------------------------------------------------------------------------------------------------------

    def kind(self, cls: Any) -> Any:
        return Kind(self, native=True) if issubclass(cls, (tf.Tensor, tf.Variable)) else None

    def lift(self, x: Any) -> Any:
        if isinstance(x, tf.Tensor):
            return Array(x)
        return Array(tf.convert_to_tensor(x)) if isinstance(x, tf.Variable) else x

    def lower(self, x: Any) -> Any:
        return x.tensor if type(x) is Array else x

    def asarray(self, x: Any, dtype: Any = None, device: Any = None) -> Any:
        from .creation import on

        dtype = None if dtype is None else tf.as_dtype(dtype)
        with on(device):
            x = tf.convert_to_tensor(self.lower(x))
            x = tf.identity(x) if device else x
            return x if dtype is None else cast(x, dtype)

    def adopted(self, x: Any) -> Any:
        return memory.shared(x)

    def staged(self, x: Any, device: Any = None) -> Any:
        return tf.convert_to_tensor(x)  # a compiled function moves it itself, which is faster than another call

    extent, part, write = staticmethod(memory.extent), staticmethod(memory.part), staticmethod(memory.write)

    def is_endless(self, batches: Any) -> bool:
        return isinstance(batches, tf.data.Dataset) and int(batches.cardinality()) == tf.data.INFINITE_CARDINALITY

    def released(self, x: Any) -> Any:
        return tf.raw_ops.DeepCopy(x=x) if isinstance(x, tf.Tensor) else x

    def to_numpy(self, x: Any) -> Any:
        if self.is_traced(x):
            raise self.unsupported(
                "reading the values of an array inside a compiled function",
                "return the array from the compiled function, and read it outside",
            )
        return np.asarray(self.lower(x).numpy())  # TensorFlow gives a NumPy scalar for shape ()

    def device(self, x: Any) -> Any:
        return x.device

    def is_traced(self, x: Any) -> Any:
        x = self.lower(x)
        return tf.is_symbolic_tensor(x) if isinstance(x, tf.Tensor) else not tf.executing_eagerly()

    def is_symbol(self, size: Any) -> Any:
        return isinstance(size, Array)

    def sizes(self, x: Any) -> Any:
        return tuple(Array(tf.shape(x.tensor)[i]) if n is None else n for i, n in enumerate(x.shape))

    # -- ops ---------------------------------------------------------------------------------------------------------

    def implement(self, op: Any, native: Any) -> Any:
        """Lowerings take and return bare tensors; the reference runs on Arrays."""
        lowering, reference = self.lowerings.get(op.name, _decline), op.reference

        def on_tensors(*args, **kwargs):
            out = lowering(*args, **kwargs)
            if out is NotImplemented:
                args, kwargs = tree.map(self.lift, (args, kwargs))
                out = tree.map(self.lower, reference(*args, **kwargs))
            return out

        def on_arrays(*args, **kwargs):
            out = lowering(*map(self.lower, args), **{k: self.lower(v) for k, v in kwargs.items()})
            if out is NotImplemented:
                return reference(*map(self.lift, args), **{k: self.lift(v) for k, v in kwargs.items()})
            return Array(out) if isinstance(out, tf.Tensor) else tree.map(self.lift, out)

        return on_tensors if native else on_arrays

    # -- transforms --------------------------------------------------------------------------------------------------

    def jit(
        self,
        fun: Any,
        *,
        static_argnames: Any = (),
        constant_argnums: Any = (),
        donate_argnums: Any = (),
        jit_compile: Any = None,
        any_size: bool = False,
        open_axes: tuple[tuple[int, ...], ...] = (),
    ) -> Any:
        """`fun` as a `tf.function`, traced once for each structure of its arguments with their shapes and dtypes.

        Numbers are passed as tensors (int32, float32), so that a new value needs no new trace. Booleans, strings and
        functions are Python values inside, and each new one is traced. XLA compiles the program with `jit_compile`, or
        with `backend.jit_compile`. With `any_size` one program serves arrays of any sizes. With `open_axes`, see
        `Backend.leaves_open`, one serves all sizes of these axes, unless XLA compiles it, or `fun` needs the sizes.
        """
        programs: dict[Any, Callable] = {}
        opened = any(open_axes)

        @functools.wraps(fun)
        def compiled(*args, **kwargs):
            nonlocal opened
            static = {k: kwargs.pop(k) for k in static_argnames if k in kwargs}
            leaves, structure = tree.flatten((args, kwargs))
            tensors, fixed = [], []
            for leaf in leaves:
                t = _argument(leaf)
                if t is None:
                    fixed.append(leaf)
                else:
                    tensors.append(t)
                    shape = _shape(t)
                    fixed.append((t.dtype, len(shape) if any_size else shape))
            use_xla = self.jit_compile if jit_compile is None else jit_compile
            opens = opened and not use_xla
            if opens:
                for i, axes in enumerate(open_axes, len(tree.leaves(args[:2]))):
                    fixed[i] = fixed[i][0], _opened(fixed[i][1], axes)
            key = (structure, tuple(fixed), tuple(sorted(static.items())), use_xla)
            try:
                program = programs.get(key)
            except TypeError:
                raise ArgumentError(
                    "An argument of a function under kf.jit is neither an array nor hashable.",
                    argument="args",
                    expected="arrays, numbers and hashable Python values",
                    got=sorted({type(x).__name__ for x in leaves} | {type(x).__name__ for x in static.values()}),
                ) from None
            if program is None:
                shapes = [f[1] for leaf, f in zip(leaves, fixed, strict=True) if _argument(leaf) is not None]
                shapes = [[None] * rank for rank in shapes] if any_size else shapes
                try:
                    traced = self.explaining(fun)
                    program = programs[key] = _program(traced, leaves, structure, shapes, static, use_xla)
                except Exception:
                    if not opens:
                        raise
                    opened = False
                    try:
                        return compiled(*args, **kwargs, **static)  # a layer of the user's own may need the sizes
                    except Exception:
                        opened = True  # the fault is another one, and the next call may have none
                        raise
            return program(tensors)

        return compiled

    def repeats(self, fun: Any, fixed: Any, carry: Any, batch: Any) -> Any:
        # A call takes as long as a small step, so all steps gain. But to gather results costs as much as that.
        return carry is not None

    def shapes(self, fun: Any, *args: Any) -> Any:
        leaves, structure = tree.flatten(args)
        found = []

        def run(*tensors):
            found.append(fun(*tree.unflatten(structure, tensors)))

        tf.function(run, autograph=False).get_concrete_function(*(tf.TensorSpec(t.shape, t.dtype) for t in leaves))
        return found[0]

    def value_and_grad(self, fun: Any, argnums: Any = 0, has_aux: bool = False, strict: bool = False) -> Any:
        numbers = (argnums,) if isinstance(argnums, int) else argnums

        @functools.wraps(fun)
        def both(*args, **kwargs):
            args = list(args)
            # New tensors: a tensor that `fun` also closes over must not be differentiated for there.
            flat, structure = tree.flatten([args[n] for n in numbers])
            flat = [tf.identity(self.lower(x)) for x in flat]
            for x in flat:
                if not (x.dtype.is_floating or x.dtype.is_complex):
                    raise not_floating(x.dtype.name)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(flat)
                for n, arg in zip(numbers, tree.unflatten(structure, flat), strict=True):
                    args[n] = arg
                out = fun(*args, **kwargs)
                value, aux = out if has_aux else (out, None)
                value = tf.convert_to_tensor(self.lower(value))
            grads = tape.gradient(value, flat)
            if flat and all(g is None for g in grads):
                if strict:
                    raise independent()
                autodiff.refuse_cut(fun, args, kwargs)
            grads = [
                tf.zeros_like(x) if g is None else tf.convert_to_tensor(g) for x, g in zip(flat, grads, strict=True)
            ]
            grads = tree.unflatten(structure, grads)
            grads = grads[0] if isinstance(argnums, int) else tuple(grads)
            return ((value, tree.map(self.lower, aux)), grads) if has_aux else (value, grads)

        return autodiff.apart(both, "MaxPoolGrad")

    def explain(self, error: Exception) -> None:
        # For some reads of a tensor of a graph, TensorFlow or Python raises a plain TypeError.
        if not isinstance(error, _READS) or isinstance(error, KfuncError):
            return
        if _SYMBOLIC.search(str(error)) and not _NO_READ.search(str(error)):
            raise not_known(error) from error

    vjp, jvp = staticmethod(autodiff.vjp), staticmethod(autodiff.jvp)
    checkpoint, custom_gradient = staticmethod(autodiff.checkpoint), staticmethod(autodiff.custom_gradient)

    def stop_gradient(self, x: Any) -> Any:
        if type(x) is Array:
            return Array(tf.stop_gradient(x.tensor))
        return tf.stop_gradient(x) if isinstance(x, (tf.Tensor, tf.Variable)) else x

    def vmap(self, fun: Any, in_axes: Any = 0, out_axes: Any = 0) -> Any:
        @functools.wraps(fun)
        def mapped(*args):
            axes = loops.mapped_axes(args, in_axes)
            over = [i for i, axis in enumerate(axes) if axis is not None]
            flat, structure = tree.flatten([tree.map(lambda x, a=axes[i]: _to_front(x, a), args[i]) for i in over])
            sizes = {x.shape[0] for x in flat} - {None}
            if not flat or len(sizes) > 1:
                raise ShapeError(
                    f"The axes that vmap maps over have different sizes: {sorted(sizes)}."
                    if sizes
                    else "vmap was given no array to map over.",
                    argument="in_axes",
                    expected="one size",
                    got=sorted(sizes) or "no mapped array",
                    fix="map over axes of equal size, or pass None for arguments that are not mapped",
                )
            results = None

            def row(tensors):
                nonlocal results
                full = list(args)
                for i, arg in zip(over, tree.unflatten(structure, tensors), strict=True):
                    full[i] = arg
                out, results = tree.flatten(tree.map(self.lower, fun(*full)))
                return [tf.convert_to_tensor(x) for x in out]

            try:
                with autodiff.vectorizing():
                    out = tf.vectorized_map(row, flat)
            except Exception:
                # TensorFlow cannot vectorize some graphs, such as gradients of loops: then one row after the other. An
                # error of `fun` itself is raised again there; here it may have become one of AutoGraph's.
                _, out = self.scan(lambda carry, x: (carry, row(x)), (), flat)
            return tree.unflatten(results, [_from_front(x, out_axes) for x in out])

        return mapped

    def scan(self, fun: Any, init: Any, xs: Any, length: Any = None, reverse: bool = False) -> Any:
        """A `tf.while_loop` inside a compiled function, else a Python loop."""
        if tf.executing_eagerly():
            return tree.map(self.lower, loops.scan(fun, init, xs, length, reverse))
        sizes = {x.shape[0] for x in tree.leaves(xs)} | ({length} if length is not None else set())
        known = sizes - {None}  # that of a mask, where the sequence says nothing
        n = next(iter(known)) if len(known) == 1 else loops.scan_length(xs, length) if known else _length(xs)
        return _while_scan(self, fun, init, xs, n, reverse)

    def while_loop(self, cond_fun: Any, body_fun: Any, init: Any) -> Any:
        if tf.executing_eagerly():
            return defaults.while_loop(self, lambda carry: self.lower(cond_fun(carry)), body_fun, init)
        return autodiff.while_loop(cond_fun, body_fun, init)

    def cond(self, pred: Any, true_fun: Any, false_fun: Any, *operands: Any) -> Any:
        pred = self.lower(pred)
        if not isinstance(pred, (tf.Tensor, tf.Variable)) or not self.is_traced(pred):
            return true_fun(*operands) if bool(pred) else false_fun(*operands)
        structures = []

        def branch(fun):
            def run():
                out, structure = tree.flatten(tree.map(self.lower, fun(*operands)))
                structures.append(structure)
                return [tf.convert_to_tensor(x) for x in out]

            return run

        try:
            out = tf.cond(pred, branch(true_fun), branch(false_fun))
        except TypeError as error:
            if len(structures) != 2:
                raise
            raise _unequal("cond's two functions", "true_fun, false_fun", *structures) from error
        if structures[0] != structures[1]:
            raise _unequal("cond's two functions", "true_fun, false_fun", *structures)
        return tree.unflatten(structures[0], out)


_READS = (AttributeError, NotImplementedError, TypeError, tf.errors.OperatorNotAllowedInGraphError)
_SYMBOLIC = re.compile("SymbolicTensor|symbolic `?tf.Tensor")
"""Errors of TensorFlow and Python about reading the value of a symbolic tensor, and a pattern that their texts have."""
_NO_READ = re.compile("has no attribute '(?!numpy|item|tolist)|is not callable|item assignment")
"""Faults that an array of known values has, too."""


def _decline(*args, **kwargs):
    return NotImplemented


def _unequal(what: str, argument: str, expected: Any, got: Any) -> ShapeError:
    return ShapeError(f"{what} return different structures.", argument=argument, expected=expected, got=got)


# -- jit ---------------------------------------------------------------------------------------------------------------


def _argument(leaf: Any) -> tf.Tensor | None:
    """`leaf` as a tensor that a compiled function takes, or None if it stays a Python value."""
    if isinstance(leaf, tf.Tensor):
        return leaf
    if isinstance(leaf, (bool, np.bool_)):
        return None
    if isinstance(leaf, (tf.Variable, int, float, complex, np.generic, np.ndarray)):
        return tf.convert_to_tensor(leaf)
    return leaf.tensor if type(leaf) is Array else None


def _program(
    fun: Callable,
    leaves: list,
    structure: Any,
    shapes: list[Any],
    static: dict,
    use_xla: bool | None,
) -> Callable[[list], Any]:
    """`fun` traced for arguments like these, with tensors of these shapes: a function of the tensors among them."""
    slots = [_argument(leaf) is not None for leaf in leaves]
    constants = [None if slot else leaf for slot, leaf in zip(slots, leaves, strict=True)]
    results: list[Any] = []

    def flat(*tensors):
        source = iter(tensors)
        filled = [next(source) if slot else c for slot, c in zip(slots, constants, strict=True)]
        args, kwargs = tree.unflatten(structure, filled)
        out, out_structure = tree.flatten(tree.map(backend.lower, fun(*args, **kwargs, **static)))
        values = [x if _is_tensor(x) else None for x in out]
        results[:] = [out_structure, [None if _is_tensor(x) else x for x in out]]
        return [x for x in values if x is not None]

    function = tf.function(flat, autograph=False, jit_compile=use_xla)
    dtypes = [t.dtype for leaf in leaves if (t := _argument(leaf)) is not None]
    program = function.get_concrete_function(*map(tf.TensorSpec, shapes, dtypes))
    run = functools.partial(_run, program)
    out_structure, plain = results
    if all(x is None for x in plain):
        return lambda tensors: tree.unflatten(out_structure, run(tensors))

    def call(tensors):
        source = iter(run(tensors))
        return tree.unflatten(out_structure, [next(source) if x is None else x for x in plain])

    return call


def _shape(t: tf.Tensor) -> Any:
    """The shape of a tensor: of a symbolic one, sizes may be None, and all of it."""
    # The public `t.shape` makes a Python object for each axis: in a step of a small network, a tenth of its time.
    sizes = getattr(t, "_shape_tuple", None)
    return t.shape if sizes is None else sizes()


def _opened(shape: Any, axes: tuple[int, ...]) -> Any:
    """The shape with unknown sizes at these axes, counted from the last one."""
    return tuple([None if k - len(shape) in axes else size for k, size in enumerate(shape)]) if axes else shape


def _run(program: Any, tensors: list) -> list:
    # The public call compares each tensor with the signature, which is known to fit here: 10 µs a tensor.
    call = getattr(program, "_call_flat", None)
    return program(*tensors) if call is None else call(tensors, program.captured_inputs)


def _is_tensor(x: Any) -> bool:
    return isinstance(x, (tf.Tensor, tf.Variable))


# -- vmap --------------------------------------------------------------------------------------------------------------


def _to_front(x: Any, axis: int) -> tf.Tensor:
    x = tf.convert_to_tensor(backend.lower(x))
    order = list(range(x.shape.rank))
    order.insert(0, order.pop(axis))
    return x if order[0] == 0 else tf.transpose(x, order)


def _from_front(x: tf.Tensor, axis: int) -> tf.Tensor:
    order = list(range(1, x.shape.rank))
    order.insert(axis % x.shape.rank, 0)
    return x if order[0] == 0 else tf.transpose(x, order)


# -- scan --------------------------------------------------------------------------------------------------------------


def _length(xs: Any) -> tf.Tensor:
    return tf.shape(tree.leaves(xs)[0])[0]


def _while_scan(self, fun: Callable, init: Any, xs: Any, n: Any, reverse: bool) -> tuple[Any, Any]:
    carry, carry_structure = tree.flatten(tree.map(lambda x: tf.convert_to_tensor(self.lower(x)), init))
    inputs, xs_structure = tree.flatten(tree.map(lambda x: tf.convert_to_tensor(self.lower(x)), xs))
    y_structure = None

    def step(carry, x):
        nonlocal y_structure
        c, y = fun(tree.unflatten(carry_structure, carry), tree.unflatten(xs_structure, x))
        c, structure = tree.flatten(tree.map(self.lower, c))
        if structure != carry_structure:
            raise _unequal("scan: fun and init", "fun", carry_structure, structure)
        y, y_structure = tree.flatten(tree.map(self.lower, y))
        c = [tf.convert_to_tensor(t, dtype_hint=was.dtype) for t, was in zip(c, carry, strict=True)]
        for t, was in zip(c, carry, strict=True):
            if t.dtype is not was.dtype or not t.shape.is_compatible_with(was.shape):
                raise ShapeError(
                    f"The carry of scan changes from {was.dtype.name} {tuple(was.shape)} to "
                    f"{t.dtype.name} {tuple(t.shape)}.",
                    argument="fun",
                    expected=f"{was.dtype.name} {tuple(was.shape)}, as in init",
                    got=f"{t.dtype.name} {tuple(t.shape)}",
                    fix="give init the shape and dtype that fun returns",
                )
        return c, [tf.convert_to_tensor(t) for t in y]

    # A loop must know the results of its steps beforehand: a function is traced for that, and never run.
    like = tf.function(lambda c, x: step(c, x)[1], autograph=False).get_concrete_function(
        [tf.TensorSpec(t.shape, t.dtype) for t in carry], [tf.TensorSpec(t.shape[1:], t.dtype) for t in inputs]
    )
    sources = [tf.TensorArray(t.dtype, n, element_shape=t.shape[1:], clear_after_read=False).unstack(t) for t in inputs]
    targets = [tf.TensorArray(y.dtype, n, element_shape=y.shape) for y in like.outputs]

    def body(i, carry, targets):
        at = n - 1 - i if reverse else i
        c, ys = step(carry, [a.read(at) for a in sources])
        # The sizes of the carry do not change: TensorFlow is told so, or known sizes would become unknown.
        c = [tf.ensure_shape(t, was.shape) for t, was in zip(c, carry, strict=True)]
        return i + 1, c, [a.write(at, y) for a, y in zip(targets, ys, strict=True)]

    _, last, targets = tf.while_loop(
        lambda i, *_: i < n,
        body,
        (tf.constant(0), carry, targets),
        shape_invariants=(tf.TensorShape([]), [t.shape for t in carry], [tf.TensorShape(None)] * len(targets)),
        # XLA needs it to reserve memory for the gradient.
        maximum_iterations=n,
    )
    ys = [
        tf.ensure_shape(a.stack(), [n if isinstance(n, int) else None, *y.shape])
        for a, y in zip(targets, like.outputs, strict=True)
    ]
    return tree.unflatten(carry_structure, last), tree.unflatten(y_structure, ys)


backend: TensorflowBackend = TensorflowBackend()
add_kind(Array, Kind(backend))
