"""Modules of other libraries as pure functions of their arrays: what `kfunc.nn` asks of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .. import tree
from ..errors import ArgumentError, MissingKeyError
from ..tracing.spec import Spec

__all__ = ["Foreign", "Variable", "arrays_of", "by_sizes", "lacks_key", "plain"]

_SIZES = (96, 144), (8, 16), (2, 4)
"""In place of a size that is not known: sizes of the result that differ between two are not known, either. The first
have many divisors, so that a network may divide them. A network with a table of positions may need smaller ones."""


class Variable(NamedTuple):
    """A variable of a module.

    Attributes:
        path: Where it stands in the tree of the layer.
        shape, dtype: Its shape, and the name of its dtype.
        trainable: Whether it is a parameter; if not, it is a variable of the state.
        first: From a random key, an array of any backend, to its first value, an array of any backend.
    """

    path: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: str
    trainable: bool
    first: Callable[[Any], Any]


class Foreign:
    """A module of another library. Trees take it for a leaf.

    Attributes:
        name: What errors call it: "FlaxLayer".
        library: The name of the backend on whose arrays it runs.
    """

    name: str
    library: str

    def variables(self, args: tuple[Any, ...], kwargs: dict[str, Any] | None) -> tuple[Variable, ...]:
        """The variables, if it is called with these arguments: arrays or `Spec`s."""
        raise NotImplementedError

    def shapes(
        self, values: list[Any], args: tuple[Any, ...], kwargs: dict[str, Any] | None, train: bool
    ) -> tuple[Any, bool]:
        """The shapes of its output, a tree of `Spec`s; and whether it draws random numbers.

        The arguments are `Spec`s, too. Where sizes are not known, `by_sizes` finds those of the output.
        """
        raise NotImplementedError

    def draws(self, args: tuple[Any, ...], kwargs: dict[str, Any] | None, train: bool) -> bool | None:
        """Whether it draws random numbers in such a call; None if that is not known. If not, it is given no key."""
        return None

    def run(
        self, values: list[Any], args: tuple[Any, ...], kwargs: dict[str, Any] | None, key: Any, train: bool
    ) -> tuple[Any, list[Any] | None]:
        """Run the module on the library's own arrays. It changes none of them.

        Args:
            values: The values of its variables, in the order of `variables`.
            args, kwargs: Its arguments.
            key: A random key, or None if the call has none.
            train: Whether it behaves as in training.

        Returns:
            Its output, arrays in lists, tuples and dicts; and the new values of the variables that are not trainable,
            in order, or None if none has changed.

        Raises:
            MissingKeyError: It draws random numbers, and `key` is None; see `lacks_key`.
        """
        raise NotImplementedError


def lacks_key(name: str) -> MissingKeyError:
    """The error of a module that draws random numbers, and has no key. `name` is that of the layer."""
    return MissingKeyError(
        f"The module in {name} draws random numbers, and the call was given no key.",
        argument="key",
        expected="a key, or a seed",
        got=None,
        fix="pass key=, a seed such as key=0 or a key of the arrays' backend",
    )


def by_sizes(run: Callable[[Any], Any], specs: Any) -> Any:
    """The shapes that `run` returns for `specs`. `run` is called with copies of `specs` in which all sizes are known.

    Args:
        run: A function of a tree like `specs`. It returns a tree of `Spec`s.
        specs: A tree of `Spec`s.
    """

    def sized(n: int) -> Any:
        return tree.map(
            lambda x: Spec([n if k is None else k for k in x.shape], x.dtype) if isinstance(x, Spec) else x, specs
        )

    def common(a: Spec, b: Spec) -> Spec:
        return Spec([m if m == n else None for m, n in zip(a.shape, b.shape, strict=True)], a.dtype)

    if not any(None in x.shape for x in tree.leaves(specs) if isinstance(x, Spec)):
        return run(specs)
    first: Exception | None = None
    for n, m in _SIZES:
        try:
            return tree.map(common, run(sized(n)), run(sized(m)))
        except Exception as error:
            first = first or error
    assert first is not None
    raise first


def plain(x: Any) -> Any:
    """`x` with dicts, lists and tuples in place of classes of other libraries, which trees take for leaves."""
    if isinstance(x, Mapping):
        return {name: plain(value) for name, value in x.items()}
    if isinstance(x, list | tuple):
        parts = [plain(value) for value in x]
        return parts if isinstance(x, list) else type(x)(*parts) if hasattr(x, "_fields") else tuple(parts)
    if dataclasses.is_dataclass(x):
        return {field.name: plain(getattr(x, field.name)) for field in dataclasses.fields(x)}
    return x


def arrays_of(out: Any, name: str, is_array: Callable[[Any], bool]) -> Any:
    """The output of a module, checked, in plain containers as `plain` makes them. Errors call the layer `name`.

    Raises:
        ArgumentError: It has a leaf that is no array.
    """
    out = plain(out)
    strange = [type(x).__name__ for x in tree.leaves(out) if not is_array(x)]
    if strange:
        raise ArgumentError(
            f"The module in {name} returned a value of type {strange[0]}, and no array.",
            argument="module",
            expected="arrays, and lists, tuples and dicts of arrays",
            got=strange[0],
            fix="wrap the module in one that returns its arrays",
        )
    return out
