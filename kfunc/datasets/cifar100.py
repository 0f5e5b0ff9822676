"""Small colour pictures of 100 kinds (Krizhevsky, 2009)."""

from __future__ import annotations

from .. import checks
from ..utils.downloads import get_file
from ._reading import Parts, cifar

__all__ = ["load_data"]


def load_data(label_mode: str = "fine") -> Parts:
    """60,000 colour pictures of 100 kinds, in 20 groups.

    Args:
        label_mode: "fine": the labels are the 100 kinds; "coarse": the 20 groups.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: x uint8 (samples, 32, 32, 3), y int64 (samples, 1), 50,000 and 10,000
        samples.

    Raises:
        FileError: It cannot be downloaded, or is damaged.
    """
    checks.one_of("label_mode", label_mode, ("fine", "coarse"))
    address = "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"
    digest = "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"
    folder = get_file("cifar-100-python-target", address, extract=True, file_hash=digest) + "/cifar-100-python"
    train, test = (cifar(folder, [name], f"{label_mode}_labels", "int64") for name in ("train", "test"))
    return train, test
