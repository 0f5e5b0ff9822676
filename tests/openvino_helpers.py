"""What the tests of OpenVINO share: random arrays, and a comparison in float32 roundings."""

from __future__ import annotations

import numpy as np

import kfunc as kf

EPS = 2.0**-23
rng = np.random.default_rng(0)


def floats(*shape):
    return rng.normal(size=shape).astype(np.float32)


def integers(*shape, low=-(2**31), high=2**31 - 1, dtype=np.int32):
    return rng.integers(low, high, size=shape, dtype=np.int64).astype(dtype)


def words(*shape):
    return rng.integers(0, 2**32, size=shape, dtype=np.uint32)


def on_openvino(tree):
    return kf.to_backend(tree, "openvino")


def compiled(fun, **options):
    return kf.backends.get("openvino").jit(fun, **options)


def names(text):
    return text.split()


def wide(x):
    return x.astype(np.float64) if isinstance(x, np.ndarray) and x.dtype == np.float32 else x


def assert_close(got, want, ulps=8.0):
    """Equal, or for floats within `ulps` float32 roundings of `want`, at the scale of its largest finite element."""
    got, want = np.asarray(kf.to_numpy(got)), np.asarray(want)
    assert got.shape == want.shape
    if want.dtype.kind != "f":
        np.testing.assert_array_equal(got, want)
        return
    scale = np.max(np.abs(want), initial=0.0, where=np.isfinite(want))
    np.testing.assert_allclose(got, want, rtol=ulps * EPS, atol=ulps * EPS * scale)
