"""Results of the functions of the Array API standard that have several, and of `finfo` and `iinfo`."""

from __future__ import annotations

from collections import namedtuple

__all__ = ["QR", "SVD", "Eigh", "Finfo", "Iinfo", "Slogdet", "UniqueAll", "UniqueCounts", "UniqueInverse"]

UniqueAll = namedtuple("UniqueAll", "values indices inverse_indices counts")
UniqueCounts = namedtuple("UniqueCounts", "values counts")
UniqueInverse = namedtuple("UniqueInverse", "values inverse_indices")

QR = namedtuple("QR", "Q R")
SVD = namedtuple("SVD", "U S Vh")
Eigh = namedtuple("Eigh", "eigenvalues eigenvectors")
Slogdet = namedtuple("Slogdet", "sign logabsdet")

Finfo = namedtuple("Finfo", "bits eps max min smallest_normal dtype")
Iinfo = namedtuple("Iinfo", "bits max min dtype")
