"""Handwritten digits (LeCun, Cortes and Burges)."""

from __future__ import annotations

from ..utils.downloads import get_file
from ._reading import ADDRESS, Parts, npz

__all__ = ["load_data"]


def load_data(path: str = "mnist.npz") -> Parts:
    """70,000 grey pictures of handwritten digits.

    Args:
        path: The file's name in the folder of data sets.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: x uint8 (samples, 28, 28), y uint8 (samples,); 60,000 and
        10,000 samples.

    Raises:
        FileError: It cannot be downloaded, or is damaged.
    """
    digest = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
    found = npz(get_file(path, ADDRESS + "mnist.npz", file_hash=digest))
    return (found["x_train"], found["y_train"]), (found["x_test"], found["y_test"])
