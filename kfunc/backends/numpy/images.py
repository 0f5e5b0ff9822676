"""NumPy's lowerings of image ops: resizing gathers the few inputs of each result, and histograms count in one pass."""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from ... import ops
from ...ops._op import lowering
from ...ops.image.resampling import resampling_matrix, resized
from .backend import backend

__all__ = ["counts_below", "resize"]

_MOST_TAPS = 16
"""With more inputs for a result, the product with the whole matrix is as fast. Two take a tenth of its time."""


@functools.lru_cache(64)
def _taps(n: int, size: int, method: str, antialias: bool, dtype: Any) -> Any:
    """The numbers of the inputs of each result, and their weights, (taps, size) each; or the matrix (size, n)."""
    matrix = resampling_matrix(np.zeros((), dtype), n, size, method, antialias)
    used = matrix != 0
    first, last = np.argmax(used, axis=1), n - np.argmax(used[:, ::-1], axis=1)
    taps = min(n, int(np.max(last - first)))
    if taps > _MOST_TAPS:
        return matrix
    inputs = np.minimum(first, n - taps) + np.arange(taps)[:, None]
    return inputs, matrix[np.arange(size), inputs]


def _resample(x: Any, axis: int, size: int, method: str, antialias: bool) -> Any:
    n, before, after = x.shape[axis], math.prod(x.shape[:axis]), math.prod(x.shape[axis + 1 :])
    shape = (*x.shape[:axis], size, *x.shape[axis + 1 :])
    found = _taps(n, size, method, antialias, x.dtype)
    if not isinstance(found, tuple):
        return np.matmul(found, x.reshape(before, n, after)).reshape(shape)
    if after > 16:  # whole rows are gathered
        x = x.reshape(before, n, after)
        inputs, weights = found[0], found[1][..., None]
    else:  # as single numbers: NumPy takes longer for each short row
        x = x.reshape(before, n * after)
        inputs = (found[0][..., None] * after + np.arange(after)).reshape(len(found[0]), -1)
        weights = np.repeat(found[1], after, axis=1)
    out: Any = None
    for i, w in zip(inputs, weights, strict=True):
        part = x.take(i, 1)
        part *= w
        out = part if out is None else np.add(out, part, out=out)
    return out.reshape(shape)


@lowering(backend, ops.image.resize)
def resize(images: Any, *args: Any, **options: Any) -> Any:
    # The reference resizes half precision: sums of float16 would lose digits here. bfloat16 has the kind "V" in NumPy.
    if not isinstance(images, np.ndarray) or images.dtype.kind not in "biuf" or images.dtype == np.float16:
        return NotImplemented
    return resized(_resample, images, *args, **options)


@lowering(backend, ops.image.counts_below)
def counts_below(levels: Any, bins: int) -> Any:
    batch, _, channels = levels.shape
    first = bins * np.arange(batch * channels).reshape(batch, 1, channels)
    counts = np.bincount((levels + first).ravel(), minlength=batch * channels * bins).reshape(batch, channels, bins)
    return np.cumsum(counts, axis=2, dtype=np.int32).transpose(0, 2, 1)
