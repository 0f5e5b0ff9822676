"""The namespaces that array-api-tests is run on: a backend's own, unless there is a module of its name here.

Such a module has the namespace as its attribute `xp`; there, what is no plain eager library adapts itself.
"""

from __future__ import annotations

import importlib
from pathlib import Path

from kfunc import backends


def load(name):
    """The namespace of the target `name`."""
    if Path(__file__).with_name(f"{name}.py").exists():
        return importlib.import_module(f"targets.{name}").xp
    return backends.get(name).xp
