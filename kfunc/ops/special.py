"""Special functions that the standard lacks."""

from __future__ import annotations

from ._op import op

__all__ = ["erf", "erf_inv"]


@op
def erf(x):
    """The error function."""
    raise NotImplementedError


@op
def erf_inv(x):
    """The inverse of the error function, on (-1, 1)."""
    raise NotImplementedError
