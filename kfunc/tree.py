"""Trees of arrays: nested dicts, lists, tuples and named tuples, by optree, with dict keys always sorted as in JAX."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import optree

from .elsewhere import looked_up
from .typing import Tree

__all__ = ["flatten", "leaves", "map", "paths", "register", "structure", "unflatten", "up_to"]


def register(
    cls: type[Any],
    flatten: Callable[[Any], tuple[Iterable[Any], Any] | tuple[Iterable[Any], Any, Iterable[Any]]],
    unflatten: Callable[[Any, Any], Any],
) -> None:
    """Let trees have nodes of a class of another library, such as flax's FrozenDict; it is a leaf otherwise.

    `kf.tree.register(FrozenDict, lambda d: (d.values(), tuple(d), tuple(d)), lambda names, xs: FrozenDict(zip(names,
    xs)))`

    Args:
        cls: The class. Its subclasses stay leaves.
        flatten: From a node to its children, to what else `unflatten` needs, and to their names for `paths`: by default
            0, 1, ....
        unflatten: `unflatten(rest, children)` builds the node again.

    Raises:
        ValueError: The class is registered already.
    """
    optree.register_pytree_node(cls, flatten, unflatten, namespace=optree.registry.__GLOBAL_NAMESPACE)


def structure(tree: Tree) -> Any:
    """The form of `tree`, from which `unflatten` builds it again; equal for trees of one form."""
    return optree.tree_structure(tree)


def leaves(tree: Tree) -> list[Any]:
    """The leaves of `tree`. None is not a leaf: it is a tree without leaves."""
    return optree.tree_leaves(tree)


def map(fun: Callable[..., Any], tree: Tree, *rest: Tree) -> Tree:
    """The tree of `fun(leaf, ...)` for the leaves of `tree` and those at the same places of `rest`."""
    return optree.tree_map(fun, tree, *rest)


def flatten(tree: Tree, until: Callable[[Any], bool] | None = None) -> tuple[list[Any], Any]:
    """The leaves of `tree` and its structure; parts for which `until` holds are leaves, too."""
    return optree.tree_flatten(tree, is_leaf=until)


def up_to(structure: Any, tree: Tree) -> list[Any]:
    """The parts of `tree` at the places where `structure` has leaves."""
    return structure.flatten_up_to(tree)


def unflatten(structure: Any, leaves: Iterable[Any]) -> Tree:
    """The tree of this `structure` with these `leaves`."""
    return optree.tree_unflatten(structure, leaves)


def paths(tree: Tree) -> list[str]:
    """The path of each leaf, in the order of `leaves`: `"dense/kernel"`."""
    return ["/".join(str(part) for part in path) for path in optree.tree_paths(tree)]


__getattr__ = looked_up(__name__)
