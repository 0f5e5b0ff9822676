"""The parts of the Array API standard (2024.12) that OpenVINO lacks, and in which version of the runtime."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ...errors import UnsupportedError

__all__ = ["GAPS", "cannot", "missing"]

_FACTORISATIONS = "it has no operations that factorise matrices"
_COMPLEX = "it has no complex dtype"

GAPS: dict[str, tuple[str, str]] = {
    "cholesky": ("2026.4.1", _FACTORISATIONS),
    "det": ("2026.4.1", _FACTORISATIONS),
    "eigh": ("2026.4.1", _FACTORISATIONS),
    "eigvalsh": ("2026.4.1", _FACTORISATIONS),
    "matrix_rank": ("2026.4.1", _FACTORISATIONS),
    "pinv": ("2026.4.1", _FACTORISATIONS),
    "qr": ("2026.4.1", _FACTORISATIONS),
    "slogdet": ("2026.4.1", _FACTORISATIONS),
    "svd": ("2026.4.1", _FACTORISATIONS),
    "svdvals": ("2026.4.1", _FACTORISATIONS),
    "matrix_norm by singular values": ("2026.4.1", _FACTORISATIONS),
    "fft": ("2026.4.1", _COMPLEX),
    "ifft": ("2026.4.1", _COMPLEX),
    "fftn": ("2026.4.1", _COMPLEX),
    "ifftn": ("2026.4.1", _COMPLEX),
    "rfft": ("2026.4.1", _COMPLEX),
    "irfft": ("2026.4.1", _COMPLEX),
    "rfftn": ("2026.4.1", _COMPLEX),
    "irfftn": ("2026.4.1", _COMPLEX),
    "hfft": ("2026.4.1", _COMPLEX),
    "ihfft": ("2026.4.1", _COMPLEX),
    "cumulative_prod along an unknown size": ("2026.4.1", "running products are built for one size"),
    "indexing by arrays and None at once": ("2026.4.1", "the new axes would have to be placed among gathered ones"),
    "indexing by negative integers": ("2026.4.1", "where several arrays index, the size to count from must be known"),
    "assignment to elements": ("2026.4.1", "a graph's outputs do not change"),
}
"""Each missing part, with the version of the runtime and the reason."""


_ELSEWHERE = 'compute it on another backend: kf.asarray(x, backend="numpy")'


def cannot(what: str, fix: str = _ELSEWHERE) -> UnsupportedError:
    """The error to raise for the gap `what`."""
    version, reason = GAPS[what]
    return UnsupportedError(
        f"openvino cannot do {what}: {reason}.",
        argument="backend",
        expected="a backend that can",
        got=f"openvino {version}",
        fix=fix,
    )


def missing(like: Callable[..., Any]) -> Callable[..., Any]:
    """A function with the name and the arguments of `like` that raises the error of this gap."""

    @functools.wraps(like)
    def fun(*args, **kwargs):
        raise cannot(like.__name__)

    return fun
