"""Prices of houses in Boston (Harrison and Rubinfeld, 1978)."""

from __future__ import annotations

from ..utils.downloads import get_file
from ._reading import ADDRESS, Parts, divided, npz

__all__ = ["load_data"]


def load_data(path: str = "boston_housing.npz", test_split: float = 0.2, seed: int = 113) -> Parts:
    """The prices of houses in 506 districts of Boston, and 13 numbers about each.

    One of the numbers is made of the share of Black residents, so this data set should not serve for anything but to
    compare with older results.

    Args:
        path: The file's name in the folder of data sets.
        test_split: The part of the samples that is for tests.
        seed: For their order.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: x float64 (samples, 13), y float64 (samples,), in thousands of dollars.

    Raises:
        ArgumentError: An argument has a value that is not allowed.
        FileError: It cannot be downloaded, or is damaged.
    """
    digest = "f553886a1f8d56431e820c5b82552d9d95cfcb96d1e678153f8839538947dff5"
    found = npz(get_file(path, ADDRESS + "boston_housing.npz", file_hash=digest))
    return divided(found["x"], found["y"], test_split, seed)
