"""Backends as parameters of tests, each with its marker: `@pytest.mark.parametrize("name", TRAINING)`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import pytest

import kfunc as kf
from kfunc import backends

__all__ = ["BACKENDS", "COMPILING", "EAGER", "IN_PLACE", "NAMES", "TRAINING", "in_place", "params"]

NAMES = ("numpy", "jax", "torch", "tensorflow", "openvino", "array_api_strict")


def params(names: Iterable[str], more: str = "") -> list:
    """One `pytest.param` for each name, with `more` behind it; it is skipped where that framework is not installed."""
    return [pytest.param(name + more, marks=getattr(pytest.mark, name)) for name in names]


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


IN_PLACE = ("numpy", "torch", "tensorflow")
"""Those where `fit` updates a large state in place."""


@contextlib.contextmanager
def in_place(large: int, piece: int = 64):
    """Where a state of `large` numbers is updated in place, `piece` at a time."""
    with pytest.MonkeyPatch.context() as patch:
        for name in set(IN_PLACE) & set(backends.available()):
            patch.setattr(backends.get(name), "large", large)
            patch.setattr(backends.get(name), "piece", piece)
        yield
