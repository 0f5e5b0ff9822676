"""Names for the types in public signatures.

Arrays of every library are welcome, and no static type covers them all, so these are `Any` to a type checker: they tell
the reader what is meant.
"""

from __future__ import annotations

from typing import Any, TypeAlias

__all__ = ["Array", "DType", "Shape", "Tree"]

Array: TypeAlias = Any
"""An array of any backend."""

DType: TypeAlias = Any
"""A dtype: the standard's name, such as `"float32"`, or a dtype object of any backend."""

Shape: TypeAlias = tuple[int | None, ...]
"""Sizes of the axes; None where a size is not known, as that of the batch."""

Tree: TypeAlias = Any
"""Nested dicts, lists and tuples, named ones too, whose leaves are arrays."""
