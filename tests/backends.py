"""Backends as parameters of tests, each with its marker: `@pytest.mark.parametrize("name", TRAINING)`."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

import kfunc as kf
from kfunc import backends

__all__ = ["BACKENDS", "COMPILING", "EAGER", "NAMES", "TRAINING", "params"]

NAMES = ("numpy", "jax", "torch", "tensorflow", "openvino", "array_api_strict")


def params(names: Iterable[str]) -> list:
    """One `pytest.param` for each name, marked so that it is skipped where that framework is not installed."""
    return [pytest.param(name, marks=getattr(pytest.mark, name)) for name in names]


BACKENDS = params(NAMES)
"""Every backend."""

EAGER = params(n for n in NAMES if n != "openvino")
"""Those whose arrays can be read at once."""

TRAINING = params(n for n in NAMES if n != "openvino")
"""Those that take gradients; array-api-strict stands for every conforming library without autodiff."""

COMPILING = params(("jax", "torch", "tensorflow", "openvino"))
"""Those whose `kf.jit` compiles."""


def missing(name: str) -> str | None:
    """Why the tests of backend `name` cannot run here, or None if they can."""
    return None if name in backends.available() else f"{name} is not installed: {backends.install_command(name)}"


def arrays(name: str, tree):
    """The tree with its NumPy leaves moved to backend `name`."""
    return kf.to_backend(tree, name)
