"""The small data of these examples, and where they train. All are NumPy arrays, drawn from a fixed seed or real."""

from __future__ import annotations

import pathlib

import numpy as np
from safetensors.numpy import load_file

where: dict = {}
"""What `fit` is told beside the example's own arguments: `backend=`. Keras reads the backend from the environment
instead, before it is imported, so this is empty there. `run.py` sets it."""


def digits(n_train: int = 512, n_test: int = 128):
    """Real handwritten digits: images (n, 8, 8) of 0 to 16, uint8, and labels (n,); to train on, and held out."""
    data = load_file(pathlib.Path(__file__).parents[1] / "data" / "digits.safetensors")
    order = np.random.default_rng(0).permutation(len(data["labels"]))[: n_train + n_test]
    x, y = data["images"][order], data["labels"][order].astype("int32")
    return (x[:n_train], y[:n_train]), (x[n_train:], y[n_train:])
