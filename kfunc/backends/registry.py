"""Which backends there are, and which one an array belongs to.

No framework is imported here. A backend's module is imported when its name, or an array of one of its types, is first
used. So the table names modules by strings, and this module imports none of them.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterable
from typing import Any, NamedTuple

from ..errors import BackendNotInstalledError, MixedBackendsError, UnknownBackendError
from .base import Backend, Kind

__all__ = [
    "add_kind",
    "available",
    "common_backend",
    "get",
    "install_command",
    "kind_of",
    "known",
    "loaded",
    "register",
]


class Entry(NamedTuple):
    """Where to find a backend.

    Attributes:
        module: Our module, which has a variable `backend`.
        distribution: The framework's distribution.
        roots: The top-level modules that define the framework's array classes.
        install: The command that installs the framework.
    """

    module: str
    distribution: str
    roots: tuple[str, ...]
    install: str


_ENTRIES = {
    "numpy": Entry("kfunc.backends.numpy", "numpy", ("numpy",), "pip install numpy"),
    "jax": Entry("kfunc.backends.jax", "jax", ("jax", "jaxlib"), 'pip install "kfunc[jax]"'),
    "torch": Entry("kfunc.backends.torch", "torch", ("torch",), 'pip install "kfunc[torch]"'),
    "tensorflow": Entry("kfunc.backends.tensorflow", "tensorflow", ("tensorflow",), 'pip install "kfunc[tensorflow]"'),
    "openvino": Entry("kfunc.backends.openvino", "openvino", ("openvino",), 'pip install "kfunc[openvino]"'),
    "array_api_strict": Entry(
        "kfunc.backends.strict", "array-api-strict", ("array_api_strict",), "pip install array-api-strict"
    ),
}
_GENERIC = "kfunc.backends.generic"
"""The module for arrays of any other library that conforms to the standard."""

_loaded: dict[str, Backend] = {}


def register(name: str, module: str, distribution: str, roots: Iterable[str], install: str) -> None:
    """Make a backend known: `module` is imported when `name`, or a type defined below one of `roots`, is first used.

    The module must have a variable `backend`, an instance of `Backend`.
    """
    _ENTRIES[name] = Entry(module, distribution, tuple(roots), install)


def known() -> tuple[str, ...]:
    """Names of all backends that `get` accepts, installed or not."""
    return tuple(_ENTRIES)


def install_command(name: str) -> str:
    """The command that installs the framework of the backend `name`."""
    return _entry(name).install


def available() -> tuple[str, ...]:
    """Names of the backends whose framework is installed. Imports none of them."""
    return tuple(name for name in _ENTRIES if _is_installed(name))


def loaded() -> tuple[Backend, ...]:
    """The backends that are in use: their frameworks are imported."""
    return tuple(_loaded.values())


def _is_installed(name: str) -> bool:
    from importlib import metadata

    try:
        metadata.version(_ENTRIES[name].distribution)
    except metadata.PackageNotFoundError:
        # Distributions under another name, such as tensorflow-cpu, still have the module.
        return any(root in sys.modules or importlib.util.find_spec(root) for root in _ENTRIES[name].roots[:1])
    return True


def _entry(name: str) -> Entry:
    try:
        return _ENTRIES[name]
    except (KeyError, TypeError):
        raise UnknownBackendError(
            f"There is no backend {name!r}.",
            argument="backend",
            expected=f"one of {', '.join(_ENTRIES)}",
            got=repr(name),
            fix="use one of these names, or kf.backends.register to add your own",
        ) from None


def get(name: str | Backend) -> Backend:
    """The backend called `name`; imports its framework.

    Raises:
        UnknownBackendError: No backend has that name.
        BackendNotInstalledError: Its framework is not installed.
    """
    if isinstance(name, Backend):
        return name
    entry = _entry(name)
    if name not in _loaded:
        if not _is_installed(name):
            raise BackendNotInstalledError(
                f"The backend {name!r} needs {entry.distribution}, which is not installed.",
                argument="backend",
                got=repr(name),
                fix=entry.install,
            )
        _loaded[name] = importlib.import_module(entry.module).backend
    return _loaded[name]


# These are no arrays. They are here from the start, since Dynamo cannot look into a builtin class.
_kinds: dict[type[Any], Kind | None] = dict.fromkeys(
    (bool, int, float, complex, str, bytes, tuple, list, dict, type(None), type)
)


def add_kind(cls: type[Any], kind: Kind) -> None:
    """Say what kind of array the type `cls` is (for array classes that kfunc itself defines)."""
    _kinds[cls] = kind


def kind_of(cls: type[Any]) -> Kind | None:
    """What the registry knows about the type `cls`; None if it is no array type. Each type is looked up once."""
    try:
        return _kinds[cls]
    except KeyError:
        kind = _kinds[cls] = _find_kind(cls)
        return kind


_NO_ARRAYS = frozenset({"builtins", "kfunc", "types", "typing", "collections", "optree", "functools"})


def _find_kind(cls: type) -> Kind | None:
    for base in cls.__mro__[:-1]:
        root = base.__module__.partition(".")[0]
        if root in _NO_ARRAYS:
            continue
        for name, entry in _ENTRIES.items():
            if root in entry.roots:
                kind = get(name).kind(cls)
                if kind is not None:
                    return kind
    if hasattr(cls, "__array_namespace__"):
        return Kind(importlib.import_module(_GENERIC).GenericBackend(cls))
    return None


def common_backend(kinds: Iterable[Kind]) -> Kind | None:
    """The kind that wins where arrays of `kinds` meet, or None if there is none.

    Raises:
        MixedBackendsError: Two backends of equal rank meet.
    """
    winner: Kind | None = None
    for kind in kinds:
        if winner is None or kind.rank > winner.rank:
            winner = kind
        elif kind.rank == winner.rank and kind.backend is not winner.backend:
            raise MixedBackendsError(
                f"Arrays of two backends meet in one call: {winner.backend.name} and {kind.backend.name}.",
                expected="arrays of one backend",
                got=f"{winner.backend.name} and {kind.backend.name}",
                fix=f'move one of them: kf.asarray(x, backend="{winner.backend.name}")',
            )
        elif kind.backend is winner.backend and winner.native and not kind.native:
            winner = kind  # a conforming array among native ones: layer code runs here, so the result must conform
    return winner
