"""Data frames and series, of pandas and polars alike, as arrays."""

from __future__ import annotations

from typing import Any

from ..errors import ArgumentError

__all__ = ["column", "columns", "is_frame", "is_series"]


def is_lazy(x: Any) -> bool:
    """Whether `x` stands for a frame or an array that is not computed yet, as polars' LazyFrame and dask's do.

    Data sets of the user's own may have a method `collect`, too; they have a length, or are iterable.
    """
    frame = hasattr(x, "collect") and not any(hasattr(x, name) for name in ("shape", "__len__", "__iter__", "__next__"))
    return frame or hasattr(x, "__dask_graph__")


def is_frame(x: Any) -> bool:
    """Whether `x` has named columns."""
    return hasattr(x, "columns") and hasattr(x, "to_numpy")


def is_series(x: Any) -> bool:
    """Whether `x` is a column."""
    return hasattr(x, "to_frame") and hasattr(x, "to_numpy")


def columns(frame: Any) -> Any:
    """The columns of a frame as one array (samples, columns), in the dtype that can hold all of them.

    Raises:
        ArgumentError: A column does not hold numbers.
    """
    import numpy as np

    # By position, since two columns may have one name.
    each = [frame.iloc[:, i] for i in range(frame.shape[1])] if hasattr(frame, "iloc") else frame.get_columns()
    found = [column(c, str(name)) for name, c in zip(frame.columns, each, strict=True)]
    return np.stack(found, axis=1) if found else np.zeros(frame.shape, np.float32)


def column(series: Any, name: str | None = None, strings: bool = False) -> Any:
    """The numbers in a column, (samples,). With `strings`, it may hold strings, too.

    Raises:
        ArgumentError: The column holds something else than numbers.
    """
    x = series.to_numpy()
    if strings and x.dtype.kind in "OTU":
        return x.astype(object)
    if x.dtype.kind not in "biuf":
        name = str(series.name) if name is None else name
        raise ArgumentError(
            f"The column {name!r} has the dtype {series.dtype}, and not numbers.",
            argument=name,
            expected="numbers or booleans",
            got=str(series.dtype),
            fix="encode it as numbers, or drop the column; a network that begins with nn.StringLookup takes a dict of "
            "columns",
        )
    return x
