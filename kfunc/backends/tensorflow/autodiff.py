"""TensorFlow's vjp, jvp, checkpoint and custom gradients, and loops of unknown length."""

from __future__ import annotations

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import tensorflow as tf

from ... import tree
from ...errors import ShapeError, UnsupportedError
from ...tracing import loops
from ..gradients import cut_off
from .array import Array

__all__ = ["apart", "checkpoint", "custom_gradient", "jvp", "vectorizing", "vjp", "while_loop"]


def _tensor(x: Any) -> Any:
    return x.tensor if type(x) is Array else x


def _tensors(values: Any) -> tuple[list[tf.Tensor], Any]:
    """The leaves as tensors, and the structure."""
    leaves, structure = tree.flatten(values)
    return [tf.convert_to_tensor(_tensor(x)) for x in leaves], structure


def _renewed(values: Any) -> tuple[list[tf.Tensor], Any]:
    """Copies of the leaves, so that a tape does not see other uses of them."""
    leaves, structure = _tensors(values)
    return [tf.identity(x) for x in leaves], structure


def _results(fun: Callable, args: Sequence, has_aux: bool) -> tuple[list[tf.Tensor], Any, list]:
    out, *aux = fun(*args) if has_aux else (fun(*args),)
    return *_tensors(out), [tree.map(_tensor, x) for x in aux]


def refuse_cut(fun: Callable[..., Any], args: Sequence, kwargs: dict[str, Any]) -> None:
    """Raise an error if `fun` reads values of its arguments. Call it where no result of `fun` has a gradient.

    A tape does not see such reads. A graph has no values to read, so `fun` fails in one.
    """
    if not tf.executing_eagerly():
        return
    leaves, structure = tree.flatten((tuple(args), kwargs))
    at = [i for i, x in enumerate(leaves) if isinstance(_tensor(x), tf.Tensor)]

    def run(*tensors):
        filled = list(leaves)
        for i, x in zip(at, tensors, strict=True):
            filled[i] = Array(x) if type(leaves[i]) is Array else x
        args, kwargs = tree.unflatten(structure, filled)
        fun(*args, **kwargs)

    given = [_tensor(leaves[i]) for i in at]
    try:
        tf.function(run, autograph=False).get_concrete_function(*(tf.TensorSpec(x.shape, x.dtype) for x in given))
    except tf.errors.OperatorNotAllowedInGraphError:
        pass  # a choice by a value: the result may well be a constant
    except (AttributeError, NotImplementedError, TypeError, UnsupportedError) as error:
        raise cut_off("the values of an array that is being differentiated were read (numpy, float)") from error


def vjp(fun: Callable[..., Any], *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    flat, structure = _renewed(primals)
    with tf.GradientTape(watch_accessed_variables=False, persistent=True) as tape:
        tape.watch(flat)
        outs, out_structure, aux = _results(fun, tree.unflatten(structure, flat), has_aux)

    def pull(cotangent):
        given, _ = _tensors(cotangent)
        return tree.unflatten(structure, _or_zeros(tape.gradient(outs, flat, output_gradients=given), flat, cut))

    def cut():
        refuse_cut(fun, primals, {})

    return tree.unflatten(out_structure, outs), pull, *aux


def jvp(
    fun: Callable[..., Any], primals: tuple[Any, ...], tangents: tuple[Any, ...], has_aux: bool = False
) -> tuple[Any, ...]:
    # Two reverse modes make a forward one: the result of the first is linear in the cotangent, and the second
    # differentiates for that. TensorFlow gives wrong numbers in forward mode where tangents are differentiated, zeros
    # behind custom gradients, and fails in loops of compiled functions.
    flat, structure = _renewed(primals)
    with tf.GradientTape(watch_accessed_variables=False, persistent=True) as outer:
        with tf.GradientTape(watch_accessed_variables=False, persistent=True) as inner:
            inner.watch(flat)
            outs, out_structure, aux = _results(fun, tree.unflatten(structure, flat), has_aux)
        cotangents = [tf.zeros_like(x) for x in outs]
        outer.watch(cotangents)
        pulled = inner.gradient(outs, flat, cotangents)
        if all(g is None for g in pulled):
            refuse_cut(fun, primals, {})
        given = [
            (tf.convert_to_tensor(g), t) for g, t in zip(pulled, _tensors(tangents)[0], strict=True) if g is not None
        ]
    tangent = [None] * len(outs)
    if given:
        tangent = outer.gradient([g for g, _ in given], cotangents, [t for _, t in given])
    tangent = [tf.zeros_like(x) if d is None else tf.convert_to_tensor(d) for d, x in zip(tangent, outs, strict=True)]
    return tree.unflatten(out_structure, outs), tree.unflatten(out_structure, tangent), *aux


def _or_zeros(derivatives: list, like: list[tf.Tensor], none: Callable[[], None]) -> list[tf.Tensor]:
    """Zeros in place of derivatives that are None; `none` is called if all are."""
    if derivatives and all(d is None for d in derivatives):
        none()
    return [tf.zeros_like(x) if d is None else tf.convert_to_tensor(d) for d, x in zip(derivatives, like, strict=True)]


_vectorized = threading.local()


@contextlib.contextmanager
def vectorizing() -> Iterator[None]:
    """Around `tf.vectorized_map`, which loses custom gradients, and fails in gradients of loops of unknown length."""
    before = getattr(_vectorized, "on", False)
    _vectorized.on = True
    try:
        yield
    finally:
        _vectorized.on = before


def refuse_to_vectorize() -> None:
    """Leave `vectorizing`. `vmap` catches this error, and computes the rows one after the other."""
    if getattr(_vectorized, "on", False):
        raise NotImplementedError("TensorFlow cannot vectorize this.")


def _attach(outs: list[tf.Tensor], inputs: list[tf.Tensor], shares: Callable) -> list[tf.Tensor]:
    """The values of `outs`. Their cotangents go on to `outs`, and as `shares(*upstream)` to `inputs`."""

    refuse_to_vectorize()

    @tf.custom_gradient
    def values(*tensors):
        def gradient(*upstream):
            return *upstream, *shares(*upstream)

        return [tf.identity(x) for x in tensors[: len(outs)]], gradient

    return values(*outs, *inputs)


def checkpoint(fun: Callable[..., Any]) -> Callable[..., Any]:
    """As `tf.recompute_grad`, which however gives no gradients to arrays that `fun` closes over."""

    @functools.wraps(fun)
    def run(*args, **kwargs):
        leaves, structure = tree.flatten((args, kwargs))
        leaves = [_tensor(x) for x in leaves]
        at = [i for i, x in enumerate(leaves) if isinstance(x, (tf.Tensor, tf.Variable)) and _differentiable(x)]
        inputs = [tf.convert_to_tensor(leaves[i]) for i in at]

        def call(tensors):
            filled = list(leaves)
            for i, x in zip(at, tensors, strict=True):
                filled[i] = x
            args, kwargs = tree.unflatten(structure, filled)
            return _tensors(fun(*args, **kwargs))

        def again(*upstream):
            # In a graph, so that TensorFlow does not merge the second computation with the first.
            with tf.control_dependencies(upstream):
                new = [tf.identity(x) for x in inputs]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(new)
                outs, _ = call(new)
            return tape.gradient(outs, new, upstream, unconnected_gradients=tf.UnconnectedGradients.ZERO)

        outs, out_structure = call([tf.stop_gradient(x) for x in inputs])
        return tree.unflatten(out_structure, _attach(outs, inputs, again))

    return run


def _differentiable(x: Any) -> bool:
    return x.dtype.is_floating or x.dtype.is_complex


def custom_gradient(fun: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(fun)
    def run(*args):
        out, gradient = fun(*args)
        outs, structure = _tensors(out)
        inputs, _ = _tensors(args)

        def shares(*upstream):
            leaves = loops.gradient_leaves(gradient, upstream, args)
            return [tf.zeros_like(x) if g is None else _tensor(g) for x, g in zip(inputs, leaves, strict=True)]

        return tree.unflatten(structure, _attach([tf.stop_gradient(x) for x in outs], inputs, shares))

    return run


def apart(fun: Callable[..., Any], operation: str) -> Callable[..., Any]:
    """`fun`; in a graph, a separate function if it contains `operation`.

    TensorFlow replaces max-pooling and its gradient by kernels that are eight times as fast, if it visits the pooling
    before the gradient. In the body of a loop the order of its visits is random:
    https://github.com/tensorflow/tensorflow/blob/v2.21.0/tensorflow/core/common_runtime/mkl_layout_pass.cc
    """

    @functools.wraps(fun)
    def run(*args, **kwargs):
        if tf.executing_eagerly():
            return fun(*args, **kwargs)
        graph = tf.compat.v1.get_default_graph()
        before = len(graph.get_operations())
        out, structure = tree.flatten(fun(*args, **kwargs))
        if any(op.type == operation for op in graph.get_operations()[before:]):
            inner = tf.function(
                lambda: [x for x in tree.leaves(fun(*args, **kwargs)) if isinstance(x, tf.Tensor)],
                autograph=False,
                experimental_attributes={"_noinline": True},  # else TensorFlow would insert it into the graph again
            )
            again = iter(inner())
            out = [next(again) if isinstance(x, tf.Tensor) else x for x in out]
        return tree.unflatten(structure, out)

    return run


def while_loop(cond_fun: Callable[..., Any], body_fun: Callable[..., Any], init: Any) -> Any:
    """A loop inside a graph."""
    refuse_to_vectorize()
    carry, structure = _tensors(init)

    def body(*flat):
        out, out_structure = _tensors(body_fun(tree.unflatten(structure, flat)))
        if out_structure != structure or any(
            x.dtype is not was.dtype or not x.shape.is_compatible_with(was.shape)
            for x, was in zip(out, carry, strict=True)
        ):
            raise ShapeError(
                "The carry of while_loop changes its structure, shapes or dtypes.",
                argument="body_fun",
                expected=f"{structure}: {[(x.dtype.name, tuple(x.shape)) for x in carry]}",
                got=f"{out_structure}: {[(x.dtype.name, tuple(x.shape)) for x in out]}",
                fix="give init the shapes and dtypes that body_fun returns",
            )
        return [tf.ensure_shape(x, was.shape) for x, was in zip(out, carry, strict=True)]

    out = tf.while_loop(lambda *flat: _tensor(cond_fun(tree.unflatten(structure, flat))), body, carry)
    return tree.unflatten(structure, out)
