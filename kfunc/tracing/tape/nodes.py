"""The graph of the tape: how arrays were made, and how cotangents go back through it."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from ...backends.standard import is_kind
from .array import TapeArray

__all__ = ["GroupNode", "IndexNode", "Node", "PartNode", "PullNode", "RuleNode", "sweep", "unbroadcast"]

_ids = itertools.count()


class Node:
    """One recorded operation; this class itself is an argument of the differentiated function."""

    __slots__ = ("grad", "id", "owned", "parents")

    def __init__(self, parents: Sequence[Node | None]) -> None:
        self.parents = parents
        self.id = next(_ids)
        self.grad: Any = None
        self.owned = False

    def add(self, g: Any) -> None:
        """Add `g` to the cotangent."""
        if self.grad is None:
            self.grad = g
        elif isinstance(g, TapeArray):
            self.grad = g + self.grad
        elif self.owned:
            self.grad += g
        else:
            # The first cotangent may be shared with other nodes. The sum is ours, so later ones are added in place.
            self.grad, self.owned = self.grad + g, True

    def push(self, g: Any) -> None:
        """Give the parents their shares of the cotangent `g`."""

    def clear(self) -> None:
        """Forget the cotangent, for the next sweep."""
        self.grad, self.owned = None, False

    def release(self) -> None:
        """Free the memory that only a sweep needs, since there will be no other sweep."""
        self.parents = ()


class RuleNode(Node):
    """A function with a rule for each argument."""

    __slots__ = ("args", "backend", "kwargs", "nested", "out", "rules")

    def __init__(self, parents: Any, rules: Any, backend: Any, nested: Any, out: Any, args: Any, kwargs: Any) -> None:
        self.parents = parents
        self.id = next(_ids)
        self.grad = None
        self.owned = False
        self.rules, self.backend, self.nested = rules, backend, nested
        self.out, self.args, self.kwargs = out, args, kwargs

    def push(self, g: Any) -> None:
        backend, out, args, kwargs, rules = self.backend, self.out, self.args, self.kwargs, self.rules
        if self.nested or g.__class__ is backend.cls:
            # All as tape arrays: some libraries do not leave operations of their arrays and tape arrays to these.
            xp, constant = backend.xp, backend.constant
            g, out, args = constant(g), constant(out), [constant(a) for a in args]
        else:
            xp = backend.inner.xp
        for i, parent in enumerate(self.parents):
            if parent is not None:
                x = args[i]
                if rules.__class__ is tuple:
                    share = rules[i](xp, g, out, *args, **kwargs)
                else:
                    share = rules(xp, i, g, out, *args, **kwargs)
                if share.shape != x.shape:
                    share = unbroadcast(xp, share, x.shape)
                if share.dtype != x.dtype:
                    share = recast(xp, share, x.dtype)
                parent.add(share)

    def release(self) -> None:
        self.parents = self.args = ()
        self.out = None


class GroupNode(Node):
    """An operation with several results, whose cotangent is a list with one entry, or None, for each of them.

    Attributes:
        outs: The results, as values of the level below.
        pull: From the list of cotangents, zeros where a result was not used, to one share, or None, for each parent.
    """

    __slots__ = ("backend", "outs", "pull")

    def __init__(
        self, parents: Sequence[Node | None], pull: Callable[..., Any], outs: Sequence[Any], backend: Any
    ) -> None:
        super().__init__(parents)
        self.pull, self.outs, self.backend = pull, outs, backend
        self.grad = [None] * len(outs)

    def parts(self) -> list[PartNode]:
        """A node for each result."""
        return [PartNode(self, i) for i in range(len(self.outs))]

    def clear(self) -> None:
        self.grad = [None] * len(self.outs)

    def push(self, g: Any) -> None:
        # The cotangent of a result that is not used is zero.
        g = [self.backend.zeros_like(out) if part is None else part for part, out in zip(g, self.outs, strict=True)]
        for parent, share in zip(self.parents, self.pull(g), strict=False):
            if parent is not None and share is not None:
                parent.add(share() if callable(share) else share)

    def release(self) -> None:
        self.parents, self.pull, self.outs = (), None, ()


class PartNode(Node):
    """One of the results of a `GroupNode`."""

    __slots__ = ("index",)

    def __init__(self, parent: GroupNode, index: int) -> None:
        super().__init__((parent,))
        self.index = index

    def push(self, g: Any) -> None:
        self.parents[0].grad[self.index] = g


class PullNode(Node):
    """An operation with one result, whose backend has a pullback for it; `GroupNode` is for several results."""

    __slots__ = ("pull",)

    def __init__(self, parents: Sequence[Node | None], pull: Callable[..., Any]) -> None:
        super().__init__(parents)
        self.pull = pull

    def push(self, g: Any) -> None:
        for parent, share in zip(self.parents, self.pull(g), strict=False):
            if parent is not None and share is not None:
                parent.add(share() if callable(share) else share)

    def release(self) -> None:
        self.parents, self.pull = (), None


class IndexNode(Node):
    """`x[key]`, where the backend can add into a part of an array: many slices need only one array of zeros."""

    __slots__ = ("backend", "key", "x")

    def __init__(self, parent: Any, backend: Any, x: Any, key: Any) -> None:
        super().__init__((parent,))
        self.backend, self.x, self.key = backend, x, key

    def push(self, g: Any) -> None:
        parent, x, backend = self.parents[0], self.x, self.backend
        if g.__class__ is backend.cls or parent.grad.__class__ is backend.cls:
            parent.add(backend.xp.unindex(g, x.shape, self.key))
            return
        if parent.grad is None:
            parent.grad = backend.inner.xp.zeros(x.shape, dtype=x.dtype)
        elif not parent.owned or parent.grad.ndim == 0:
            parent.grad = backend.inner.xp.asarray(parent.grad, copy=True)
        parent.owned = True
        backend.inner.index_add(parent.grad, self.key, g)

    def release(self) -> None:
        self.parents, self.x = (), None


def sweep(roots: Iterable[tuple[Node, Any]], keep: bool = False, after: int = -1) -> None:
    """Carry cotangents back to all nodes that the roots were made from.

    Args:
        roots: Nodes, each with its cotangent; a node may be there twice.
        keep: Whether there will be other sweeps through these nodes.
        after: Cotangents stop at nodes of this id and below, which keep them.
    """
    roots = list(roots)
    seen = {id(root): root for root, _ in roots if root.id > after}
    stack = list(seen.values())
    while stack:
        for parent in stack.pop().parents:
            if parent is not None and parent.id > after and id(parent) not in seen:
                seen[id(parent)] = parent
                stack.append(parent)
    order = sorted(seen.values(), key=operator.attrgetter("id"))
    for root, seed in roots:
        root.add(seed)
    del seen, stack, roots
    # A derivative may be infinite. NumPy, and libraries built on it, would warn of that.
    with np.errstate(all="ignore"):
        while order:
            node = order.pop()
            if node.__class__ is not Node and node.grad is not None:
                node.push(node.grad)
                if keep:
                    node.clear()
                else:
                    node.grad = None
                    node.release()


def new_id() -> int:
    """An id above those of all nodes made until now."""
    return next(_ids)


def unbroadcast(xp: Any, g: Any, shape: tuple[int, ...]) -> Any:
    """Sum `g` over the axes along which an array of `shape` was broadcast."""
    extra = g.ndim - len(shape)
    axes = tuple(i for i in range(g.ndim) if i < extra or (shape[i - extra] == 1 and g.shape[i] != 1))
    g = xp.sum(g, axis=axes, dtype=g.dtype) if axes else g
    return g if g.shape == shape else xp.reshape(g, shape)


def recast(xp: Any, g: Any, dtype: Any) -> Any:
    """The cotangent `g` in `dtype`, that of its array; the cotangent of a real array is real."""
    if is_kind(g.dtype, "complex floating") and not is_kind(dtype, "complex floating"):
        g = xp.real(g)
    return g if g.dtype == dtype else xp.astype(g, dtype)
