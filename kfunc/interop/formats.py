"""Keras's files for the methods of `Model`: `model.save("model.keras")`, `Model.load`, and the same for weights."""

from __future__ import annotations

from typing import Any

from ..training.model_file import FORMATS, Format

__all__: list[str] = []


# Only a model that has to do with such a file imports what knows them.


def _save(*args: Any) -> None:
    from .keras import save

    save(*args)


def _load(*args: Any) -> Any:
    from .keras import load

    return load(*args)


def _save_weights(*args: Any) -> None:
    from .keras import save_weights

    save_weights(*args)


def _load_weights(*args: Any) -> None:
    from .keras import load_weights

    load_weights(*args)


def _check(model: Any, weights: bool) -> None:
    from .keras import config_of
    from .keras.hdf5 import h5py

    h5py()
    if not weights:
        config_of(model.net, model._known().inputs)


_KERAS = Format(_save, _load, _save_weights, _load_weights, _check)
FORMATS.update(dict.fromkeys((".keras", ".h5", ".hdf5"), _KERAS))
