"""Prices of houses in California (Pace and Barry, 1997)."""

from __future__ import annotations

from .. import checks
from ..utils.downloads import get_file
from ._reading import ADDRESS, Parts, divided, npz

__all__ = ["load_data"]


def load_data(
    version: str = "large", path: str = "california_housing.npz", test_split: float = 0.2, seed: int = 113
) -> Parts:
    """The median price of houses in 20,640 districts of California, and 8 numbers about each.

    Args:
        version: "large", or "small" for the first 600 districts.
        path: The file's name in the folder of data sets.
        test_split: The part of the samples that is for tests.
        seed: For their order.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: x float32 (samples, 8), y float32 (samples,), in dollars.

    Raises:
        ArgumentError: An argument has a value that is not allowed.
        FileError: It cannot be downloaded, or is damaged.
    """
    checks.one_of("version", version, ("large", "small"))
    digest = "1a2e3a52e0398de6463aebe6f4a8da34fb21fbb6b934cf88c3425e766f2a1a6f"
    found = npz(get_file(path, ADDRESS + "california_housing.npz", file_hash=digest))
    part = slice(600 if version == "small" else None)
    return divided(found["x"][part], found["y"][part], test_split, seed)
