"""Keras's files for the methods of `Model`: `model.save("model.keras")`, `Model.load`, and the same for weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..training.model_file import FORMATS, Format

__all__: list[str] = []


def _later(name: str) -> Callable[..., Any]:
    """A function of `kfunc.interop.keras`, which is imported when the function is first called."""

    def call(*args: Any) -> Any:
        from . import keras

        return getattr(keras, name)(*args)

    return call


def _check(model: Any, weights: bool) -> None:
    from .keras import config_of
    from .keras.hdf5 import h5py

    h5py()
    if not weights:
        config_of(model.net, model._known().inputs)


_KERAS = Format(
    save=_later("save"),
    load=_later("load"),
    save_weights=_later("save_weights"),
    load_weights=_later("load_weights"),
    check=_check,
)
FORMATS.update(dict.fromkeys((".keras", ".h5", ".hdf5"), _KERAS))
