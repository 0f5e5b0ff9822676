"""Arrays with a shape and a dtype, and no values. `init` runs networks on them to find shapes.

Most of the namespace is tables: a few shape rules, each with the names of the functions that follow it. A dtype is its
name. A size of None is unknown, and fits to any other; two known sizes that differ are an error.
"""

from __future__ import annotations

import functools
from typing import Any

from ... import tree
from ...backends.base import Backend, Kind
from ...backends.registry import add_kind
from ...errors import ShapeError
from .. import loops
from .array import Spec, as_spec, make
from .shapes import normal_axis, one_size, replace

__all__ = ["Spec", "SpecBackend", "backend"]


class SpecBackend(Backend):
    """The backend of Specs. Transforms run the function once, and return the shapes that would come out."""

    name = "spec"
    trains = False

    @functools.cached_property
    def xp(self) -> Any:
        from . import namespace

        return namespace

    @property
    def version(self) -> str:
        return self.xp.__array_api_version__

    def kind(self, cls: Any) -> Any:
        return Kind(self, rank=1) if issubclass(cls, Spec) else None

    def asarray(self, x: Any, dtype: Any = None, device: Any = None) -> Any:
        return self.xp.asarray(x, dtype=dtype)

    def joined(self, x: Any, dtype: Any, like: Any) -> Any:
        # A constant keeps its values, which may say what shape comes out.
        return x if dtype is None else make(x.shape, dtype)

    def to_numpy(self, x: Any) -> Any:
        return x._no_value()

    def device(self, x: Any) -> Any:
        return None

    def is_traced(self, x: Any) -> Any:
        return True

    def implement(self, op: Any, native: Any) -> Any:
        return op.on_specs or op.reference

    def value_and_grad(self, fun: Any, argnums: Any = 0, has_aux: bool = False, strict: bool = False) -> Any:
        """A gradient has the shapes of the arguments that it is taken for."""

        def both(*args, **kwargs):
            value = fun(*args, **kwargs)
            grads = args[argnums] if isinstance(argnums, int) else tuple(args[i] for i in argnums)
            return value, grads

        return both

    def vjp(self, fun: Any, *primals: Any, has_aux: bool = False) -> Any:
        out, aux = fun(*primals) if has_aux else (fun(*primals), None)
        return (out, lambda cotangent: primals, aux) if has_aux else (out, lambda cotangent: primals)

    def jvp(self, fun: Any, primals: Any, tangents: Any, has_aux: bool = False) -> Any:
        out, aux = fun(*primals) if has_aux else (fun(*primals), None)
        return (out, out, aux) if has_aux else (out, out)

    def checkpoint(self, fun: Any) -> Any:
        return fun

    def custom_gradient(self, fun: Any) -> Any:
        return lambda *args: fun(*args)[0]

    def vmap(self, fun: Any, in_axes: Any = 0, out_axes: Any = 0) -> Any:
        def mapped(*args):
            axes = loops.mapped_axes(args, in_axes)
            mapped_args = [(a, axis) for a, axis in zip(args, axes, strict=True) if axis is not None]
            shapes = [(x.shape, axis) for a, axis in mapped_args for x in tree.leaves(a)]
            n = one_size("vmap", {s[axis] for s, axis in shapes}, [s for s, _ in shapes])
            rows = [
                a if axis is None else tree.map(lambda x, axis=axis: _without(x, axis), a)
                for a, axis in zip(args, axes, strict=True)
            ]
            return tree.map(lambda y: _with(y, n, out_axes), fun(*rows))

        return mapped

    def scan(self, fun: Any, init: Any, xs: Any, length: Any = None, reverse: bool = False) -> Any:
        leaves = tree.leaves(xs)
        sizes = {x.shape[0] for x in leaves} | ({length} if length is not None else set())
        if not sizes:
            raise ShapeError(
                "`scan` was given neither an array to go over nor a length.",
                argument="xs",
                expected="leaves with a first axis, or length=",
                got="no leaves and no length",
            )
        n = one_size("scan", sizes, [*(x.shape for x in leaves), *([(length,)] if length is not None else [])])
        carry, y = fun(init, tree.map(lambda x: _without(x, 0), xs))
        _same_tree("scan", "the carry that goes in", init, "the one that comes out", carry)
        return carry, tree.map(lambda y: _with(y, n, 0), y)

    def associative_scan(self, fun: Any, elems: Any, reverse: bool = False, axis: Any = 0) -> Any:
        one_size("associative_scan", {x.shape[axis] for x in tree.leaves(elems)}, [x.shape for x in tree.leaves(elems)])
        out = fun(elems, elems)
        _same_tree("associative_scan", "elems", elems, "what fun returns", out)
        return elems

    def while_loop(self, cond_fun: Any, body_fun: Any, init: Any) -> Any:
        cond_fun(init)
        carry = body_fun(init)
        _same_tree("while_loop", "the carry that goes in", init, "the one that comes out", carry)
        return carry

    def cond(self, pred: Any, true_fun: Any, false_fun: Any, *operands: Any) -> Any:
        a, b = true_fun(*operands), false_fun(*operands)
        _same_tree("cond", "the result of the first branch", a, "that of the second one", b)
        return a


def _without(x: Any, axis: int) -> Spec:
    x = as_spec("vmap", x)
    return make(replace(x.shape, normal_axis("vmap", axis, x.ndim)), x.dtype)


def _with(y: Any, n: int | None, axis: int) -> Spec:
    y = backend.asarray(y)
    axis = normal_axis("vmap", axis, y.ndim + 1)
    return make((*y.shape[:axis], n, *y.shape[axis:]), y.dtype)


def _same_tree(name: str, what_a: str, a: Any, what_b: str, b: Any) -> None:
    """Check that two trees have one structure, and leaves of one shape and dtype."""
    fits = tree.structure(a) == tree.structure(b)
    for p, q in zip(tree.leaves(a), tree.leaves(b), strict=True) if fits else ():
        p, q = map(backend.asarray, (p, q))
        sizes = zip(p.shape, q.shape, strict=True) if p.ndim == q.ndim else [(0, 1)]
        fits = fits and p.dtype == q.dtype and all(m == n or None in (m, n) for m, n in sizes)
    if not fits:
        raise ShapeError(
            f"{name}: {what_a} and {what_b} differ.",
            argument=name,
            expected="one structure, and the same shapes and dtypes",
            got=f"{a} and {b}",
            fix="make the function return what it was given",
        )


backend: SpecBackend = SpecBackend()
add_kind(Spec, Kind(backend, rank=1))
