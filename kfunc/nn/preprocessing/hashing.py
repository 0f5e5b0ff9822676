"""Layers that sort categories into bins by a hash, without a vocabulary."""

from __future__ import annotations

from typing import Any

import numpy as np

from ... import checks
from ...backends.standard import DTYPES
from ...errors import ArgumentError, ShapeError, shown
from ...tracing.spec import Spec
from ..layer import layer
from .hashes import buckets, crossed, farmhash64
from .host import HostLayer, as_bytes, encoded, encoded_shape, encodes, is_strings, salted, texts

__all__ = ["HashedCrossing", "Hashing"]


def _as_texts(x: np.ndarray) -> list[bytes]:
    """What is hashed: strings in UTF-8, and integers as their decimal digits."""
    return as_bytes(texts(x) if is_strings(x) else list(map(str, x.astype(np.int64).ravel().tolist())))


def _number(layer: Any) -> str:
    """The dtype of the output: `dtype` if it is the name of one."""
    name = getattr(layer.dtype, "name", layer.dtype)
    return name if name in DTYPES else "int64" if layer.output_mode == "int" else "float32"


@layer
class Hashing(HostLayer):
    """The bin of each string or integer, by its hash: FarmHash64, or SipHash64 with a `salt`. Keras has the same bins.

    Input of any shape. It runs on the host; see `HostLayer`. Integers are hashed as their decimal digits; floats lose
    their fraction.

    Args:
        num_bins: The number of bins.
        mask_value: A value that gets bin 0, where no other value comes to then.
        salt: One or two integers, which make the bins others.
        output_mode: "int" for the number of the bin, int64 of the shape of the input; "one_hot", "multi_hot" or "count"
            for arrays (..., num_bins), as `CategoryEncoding` has them.
        sparse: Must be False.
    """

    num_bins: int
    mask_value: Any = None
    salt: Any = None
    output_mode: str = "int"
    sparse: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.positive("num_bins", self.num_bins)
        object.__setattr__(self, "salt", salted(self.salt))
        encodes(self, ("int", "one_hot", "multi_hot", "count"))

    def _spec(self, *xs: Any) -> Spec:
        return Spec(encoded_shape(xs[0].shape, self.output_mode, self.num_bins), _number(self))

    def _values(self, *xs: np.ndarray) -> np.ndarray:
        x = xs[0]
        masks = self.mask_value is not None and self.num_bins > 1
        bins = buckets(_as_texts(x), self.num_bins - masks, self.salt).reshape(x.shape)
        if masks:
            mask = np.asarray(self.mask_value, object if is_strings(x) else x.dtype)
            bins = np.where((x.astype(object) if is_strings(x) else x) == mask, 0, bins + 1)
        return encoded(bins, self.output_mode, self.num_bins, _number(self))


@layer
class HashedCrossing(HostLayer):
    """The bin of each combination of two or more categories, by their hash. Keras has the same bins.

    It runs on the host; see `HostLayer`. The input is a list or tuple of strings or integers, arrays of a common shape
    (samples,) or (samples, 1).

    Args:
        num_bins: The number of bins.
        output_mode: "int" for the number of the bin, int64; "one_hot" for arrays (samples, num_bins).
        sparse: Must be False.
    """

    num_bins: int
    output_mode: str = "int"
    sparse: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.positive("num_bins", self.num_bins)
        encodes(self, ("int", "one_hot"))

    def _check(self, xs: Any) -> None:
        if len(xs) < 2:
            raise ArgumentError(
                "`HashedCrossing` takes two features or more, got one.",
                argument="x",
                expected="a list or tuple of arrays",
                got=shown(xs[0]),
                fix="call it with a list: layer([a, b])",
            )
        shapes = [tuple(x.shape) for x in xs]
        if len(set(shapes)) > 1 or len(shapes[0]) > 2 or (len(shapes[0]) == 2 and shapes[0][1] != 1):
            raise ShapeError(
                f"The features of `HashedCrossing` have the shapes {', '.join(map(str, shapes))}.",
                argument="x",
                expected="one shape, (samples,) or (samples, 1)",
                got=", ".join(map(str, shapes)),
            )

    def _spec(self, *xs: Any) -> Spec:
        self._check(xs)
        return Spec(encoded_shape(xs[0].shape, self.output_mode, self.num_bins), _number(self))

    def _values(self, *xs: np.ndarray) -> np.ndarray:
        self._check(xs)
        columns = []
        for x in xs:
            if not is_strings(x) and x.dtype.kind not in "iub":
                raise ArgumentError(
                    f"A feature of `HashedCrossing` has the dtype {x.dtype}.",
                    argument="x",
                    expected="integers or strings",
                    got=f"dtype {x.dtype}",
                    fix="sort numbers into bins first, by nn.Discretization",
                )
            hashed = farmhash64(as_bytes(texts(x))) if is_strings(x) else x.ravel().astype(np.int64).view(np.uint64)
            columns.append(hashed)
        bins = crossed(columns, self.num_bins).reshape(xs[0].shape)
        return encoded(bins, self.output_mode, self.num_bins, _number(self))
