"""Names for the types in public signatures.

Arrays of every library are welcome, and no static type covers them all, so these are `Any` to a type checker: they tell
the reader what is meant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, SupportsFloat, TypeAlias

__all__ = [
    "ActivationLike",
    "Array",
    "Axes",
    "ConstraintLike",
    "DType",
    "InitializerLike",
    "LearningRateLike",
    "RegularizerLike",
    "Shape",
    "Sizes",
    "Tree",
]

Array: TypeAlias = Any
"""An array of any backend."""

DType: TypeAlias = Any
"""A dtype: the standard's name, such as `"float32"`, or a dtype object of any backend."""

Shape: TypeAlias = tuple[int | None, ...]
"""Sizes of the axes; None where a size is not known, as that of the batch."""

Tree: TypeAlias = Any
"""Nested dicts, lists and tuples, named ones too, whose leaves are arrays."""

LearningRateLike: TypeAlias = SupportsFloat | Callable[[Array], Array]
"""A number, an array (), or a schedule: a function of the number of updates so far, an int32 array ()."""

ActivationLike: TypeAlias = str | Callable[..., Array] | None
"""A name, a function of an array, or None for the identity."""

InitializerLike: TypeAlias = str | Callable[..., Array] | Mapping[str, Any] | None
"""A name, a function `(key, shape, dtype) -> array`, an object of `nn.initializers`, or a config of one.

None is the layer's own choice."""

RegularizerLike: TypeAlias = str | Callable[[Array], Array] | Mapping[str, Any] | None
"""A name, a function from an array to an array (), an object of `nn.regularizers`, or a config of one; None is none."""

ConstraintLike: TypeAlias = str | Callable[[Array], Array] | Mapping[str, Any] | None
"""A name, a function from an array to an array, an object of `nn.constraints`, or a config of one; None is none."""

Sizes: TypeAlias = int | Sequence[int]
"""One number for all axes, or one for each: the sizes of a window, its steps, or how often elements are repeated."""

Axes: TypeAlias = int | Sequence[int]
"""One axis, or several."""
