"""Small colour pictures of 10 kinds (Krizhevsky, 2009)."""

from __future__ import annotations

from ..utils.downloads import get_file
from ._reading import Parts, cifar

__all__ = ["load_data"]


def load_data() -> Parts:
    """60,000 colour pictures of 10 kinds of animals and vehicles.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: x uint8 (samples, 32, 32, 3), y uint8 (samples, 1), 50,000 and 10,000
        samples.

    Raises:
        FileError: It cannot be downloaded, or is damaged.
    """
    address = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
    digest = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
    folder = get_file("cifar-10-batches-py-target", address, extract=True, file_hash=digest) + "/cifar-10-batches-py"
    train = [f"data_batch_{i}" for i in range(1, 6)]
    return cifar(folder, train, "labels", "uint8"), cifar(folder, ["test_batch"], "labels", "uint8")
