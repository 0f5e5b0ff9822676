"""Every error that kfunc raises: one small hierarchy under `KfuncError`."""

from __future__ import annotations

import dataclasses
import sys
import warnings
from typing import Any, Self

__all__ = [
    "ArgumentError",
    "BackendError",
    "BackendNotInstalledError",
    "DataError",
    "FileError",
    "FrozenError",
    "GraphError",
    "IndexingError",
    "KfuncError",
    "LabelError",
    "LayerError",
    "MissingKeyError",
    "MissingPackageError",
    "MixedBackendsError",
    "NonFiniteError",
    "ParamError",
    "ResumeWarning",
    "ShapeError",
    "UnknownAttributeError",
    "UnknownBackendError",
    "UnknownImportError",
    "UnsupportedError",
]


def shown(value: Any, most: int = 80) -> str:
    """`repr(value)` on one line, cut to `most` characters, as the first line of an error has it."""
    text = " ".join(repr(value).split())
    return text if len(text) <= most else f"{text[: most - 3]}..."


def warn(text: str) -> None:
    """Warn at the line outside of kfunc from which it was called."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "kfunc":
        frame, level = frame.f_back, level + 1
    warnings.warn(text, stacklevel=level)


class KfuncError(Exception):
    """Base of all kfunc errors.

    Args:
        problem: What is wrong, in one sentence that can stand alone in a log: "`units` must be a positive integer,
            got -1."; `must_be` writes such a sentence.
        path: Path of the layer or leaf, such as `"encoder/dense"`. A layer fills it in when an error passes through it.
        op: Name of the op that was called. The op fills it in.
        argument: Name of the argument at fault.
        expected, got: What was expected, and what came.
        fix: What to do about it.
    """

    def __init__(
        self,
        problem: str,
        *,
        path: str | None = None,
        op: str | None = None,
        argument: str | None = None,
        expected: Any = None,
        got: Any = None,
        fix: str | None = None,
    ):
        super().__init__(problem)
        self.problem: str = problem
        self.path: str | None = path
        self.op: str | None = op
        self.argument: str | None = argument
        self.expected: Any = expected
        self.got: Any = got
        self.fix: str | None = fix

    @classmethod
    def must_be(
        cls, argument: str, expected: str, value: Any, *, fix: str | None = None, said: str | None = None
    ) -> Self:
        """The error "`argument` must be `expected`, got `value`."

        Args:
            argument: Name of the argument, as the user wrote it.
            expected: What its values are, with an article: "a positive integer".
            value: What came.
            fix: What to do about it.
            said: The line "expected" of the error, where it is not just `expected`.
        """
        problem = f"`{argument}` must be {expected}, got {shown(value)}."
        return cls(problem, argument=argument, expected=said or expected, got=repr(value), fix=fix)

    def __str__(self) -> str:
        parts = [
            ("layer", self.path),
            ("op", self.op),
            ("argument", self.argument),
            ("expected", self.expected),
            ("got", self.got),
            ("fix", self.fix),
        ]
        lines = [f"  {name}: {value}" for name, value in parts if value is not None]
        return "\n".join([self.problem, *lines])


class ArgumentError(KfuncError, ValueError):
    """An argument has a value that is not allowed."""


class ShapeError(KfuncError, ValueError):
    """Shapes do not fit together."""


class IndexingError(ShapeError, IndexError):
    """An index, or an axis to index, lies outside the array."""


class LayerError(KfuncError, ValueError):
    """A network is put together wrongly: one layer stands under two parents, or two layers have one name."""


class GraphError(KfuncError, TypeError):
    """A node of a graph was used where only an array will do."""


class ParamError(KfuncError, ValueError):
    """The tree of parameters or state lacks a leaf that the network asks for, or has one of another shape."""


class MissingKeyError(KfuncError, ValueError):
    """A layer draws random numbers, but the call was given no key."""


class MissingPackageError(KfuncError, ImportError):
    """The call needs a package that is not installed."""


class LabelError(KfuncError, ValueError):
    """Class labels lie outside `[0, classes)`."""


class DataError(KfuncError, ValueError):
    """Data ran out, or something is not a batch."""


class NonFiniteError(KfuncError, ArithmeticError):
    """Training met a NaN or an infinity, and the parameters kept are those before the step. Or a parameter is NaN."""


class BackendError(KfuncError):
    """Base of the errors about backends."""


class UnknownBackendError(BackendError, ValueError):
    """No backend has that name, or no backend claims arrays of that type."""


class BackendNotInstalledError(BackendError, ImportError):
    """The backend exists, but its framework is not installed."""


class MixedBackendsError(BackendError, TypeError):
    """One call was given arrays of two backends."""


class UnknownAttributeError(KfuncError, AttributeError):
    """An attribute that has no meaning was set, or one was read that Keras has and kfunc has not."""


class UnknownImportError(KfuncError, ImportError):
    """`from kfunc... import name` of a name that Keras has at such a place and kfunc has not."""


class FrozenError(KfuncError, dataclasses.FrozenInstanceError):
    """An attribute of an object that never changes was set or deleted."""


class UnsupportedError(BackendError, NotImplementedError):
    """The backend cannot do this at all."""


class ResumeWarning(KfuncError, UserWarning):
    """A training was resumed, but its data or callbacks are not as they were: it is another training from there on."""


class FileError(KfuncError, OSError):
    """A file is truncated or corrupt, is in another format, or could not be written."""

    def __str__(self) -> str:  # OSError has one, too
        return KfuncError.__str__(self)
