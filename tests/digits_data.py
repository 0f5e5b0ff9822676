"""The digits, for tests: the data file of the example."""

from __future__ import annotations

import functools
import pathlib

import numpy as np

import kfunc as kf

PATH = pathlib.Path(__file__).parents[1] / "examples" / "data" / "digits.safetensors"


@functools.cache
def digits(n: int | None = None):
    """The first `n` images (n, 8, 8, 1) in [0, 1], float32, and their labels (n,), int32."""
    data = kf.load(PATH)
    return data["images"][:n].astype(np.float32)[..., None] / 16, data["labels"][:n].astype(np.int32)
