"""Results of the functions of the Array API standard that have several, and of `finfo` and `iinfo`."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..typing import Array

__all__ = ["QR", "SVD", "Eigh", "Finfo", "Iinfo", "Slogdet", "UniqueAll", "UniqueCounts", "UniqueInverse"]


class UniqueAll(NamedTuple):
    """What `unique_all` returns."""

    values: Array
    indices: Array
    inverse_indices: Array
    counts: Array


class UniqueCounts(NamedTuple):
    """What `unique_counts` returns."""

    values: Array
    counts: Array


class UniqueInverse(NamedTuple):
    """What `unique_inverse` returns."""

    values: Array
    inverse_indices: Array


class QR(NamedTuple):
    """What `linalg.qr` returns."""

    Q: Array
    R: Array


class SVD(NamedTuple):
    """What `linalg.svd` returns."""

    U: Array
    S: Array
    Vh: Array


class Eigh(NamedTuple):
    """What `linalg.eigh` returns."""

    eigenvalues: Array
    eigenvectors: Array


class Slogdet(NamedTuple):
    """What `linalg.slogdet` returns."""

    sign: Array
    logabsdet: Array


class Finfo(NamedTuple):
    """What `finfo` returns."""

    bits: int
    eps: float
    max: float
    min: float
    smallest_normal: float
    dtype: Any


class Iinfo(NamedTuple):
    """What `iinfo` returns."""

    bits: int
    max: int
    min: int
    dtype: Any
