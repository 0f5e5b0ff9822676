"""Keras's names for its test files, with kfunc behind them.

`builtins` gives a test file an `__import__` that answers `keras` and what lies below it from here: from `PARTS` where
kfunc is under test, and from Keras itself elsewhere (dtype rules, trees, helpers of tests).
"""

from __future__ import annotations

import builtins as _builtins
import contextlib
import importlib
import importlib.util
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

with contextlib.suppress(ImportError):
    import torch  # noqa: F401  (before TensorFlow, or both crash)

import keras as _keras

from . import arrays, case, functions, objects
from .arrays import BACKEND, Unmapped

__all__ = ["BACKEND", "Unmapped", "builtins", "short"]


def short(nodeid: str) -> str:
    """`ops/numpy_test.py::Class::test`, of pytest's id."""
    return nodeid.partition("keras/src/")[2] or nodeid


# What stands behind the names: the path below `keras.src`, and the names that are ours there.
PARTS: dict[str, dict[str, Any]] = {
    "backend": arrays.BACKEND_NAMES,
    "backend.common": arrays.BACKEND_NAMES,
    "backend.common.keras_tensor": arrays.BACKEND_NAMES,
    "backend.common.variables": arrays.BACKEND_NAMES,
    "ops": {"KerasTensor": arrays.KerasTensor},
    "testing": {"TestCase": case.TestCase},
    "testing.test_case": {"TestCase": case.TestCase},
}
OPS = [f"ops.{name}" for name in "numpy nn core math linalg image einops".split()]


class Mapped(types.ModuleType):
    """A module of Keras's, of which some names are ours."""

    def __init__(self, path: str):
        super().__init__(f"keras.src.{path}".rstrip("."))
        self.__dict__["_path"] = path
        self.__dict__["_real"] = importlib.import_module(f"keras.src.{path}".rstrip("."))

    def __getattr__(self, name: str) -> Any:
        value = resolve(self._path, name, self._real)
        self.__dict__[name] = value
        return value


_modules: dict[str, Mapped] = {}


def module(path: str) -> Any:
    """Of the path below `keras.src`."""
    if path not in _modules:
        _modules[path] = Mapped(path)
    return _modules[path]


def resolve(path: str, name: str, real: types.ModuleType) -> Any:
    """The attribute `name` of the module at `path`."""
    if name in PARTS.get(path, {}):
        return PARTS[path][name]
    theirs = getattr(real, name, None)
    if theirs is None:
        below = f"{path}.{name}".lstrip(".")
        try:
            return module(below)
        except ImportError:
            raise AttributeError(f"Keras has no {below}") from None
    if isinstance(theirs, types.ModuleType):
        return module(theirs.__name__.removeprefix("keras.src").lstrip(".")) if _ours(theirs) else theirs
    if path == "ops" or path in OPS:
        return functions.mapped(name, theirs)
    area = path.partition(".")[0]
    if area == "random":
        if name == "SeedGenerator":
            return objects.SeedGenerator
        is_one = isinstance(theirs, types.FunctionType) and hasattr(_keras.random, name)
        return objects.random_function(name) if is_one else theirs
    return objects.mapped(area, name, theirs)


def _ours(theirs: types.ModuleType) -> bool:
    return theirs.__name__.startswith("keras.src")


def builtins(load: Callable[[Path], types.ModuleType], checkout: Path) -> dict[str, Any]:
    """The builtins of a test file: `load` makes a module of another test file that it imports from."""

    def import_(name: str, globals: Any = None, locals: Any = None, fromlist: Any = (), level: int = 0) -> Any:
        if name == "conftest":
            return types.SimpleNamespace(skip_if_backend=case.skip_if_backend)
        if name.partition(".")[0] != "keras" or level:
            return _builtins.__import__(name, globals, locals, fromlist, level)
        path = name.removeprefix("keras").removeprefix(".src").removeprefix(".api").lstrip(".")
        if path.endswith("_test"):
            return load(checkout.joinpath("keras", "src", *path.split(".")).with_suffix(".py"))
        if not fromlist:
            return Top()
        return module(path) if path else Top()

    return {**vars(_builtins), "__import__": import_}


class Top(types.ModuleType):
    """`keras` itself, whose public names lie all over `keras.src`."""

    def __init__(self):
        super().__init__("keras")
        self.__path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name == "src":
            return self
        theirs = getattr(_keras, name, None)
        if theirs is None or isinstance(theirs, types.ModuleType):
            return module(name) if importlib.util.find_spec(f"keras.src.{name}") else theirs
        return resolve("", name, _keras.src)
