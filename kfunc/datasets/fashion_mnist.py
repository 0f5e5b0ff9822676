"""Pictures of clothes (Xiao, Rasul and Vollgraf, arXiv:1708.07747)."""

from __future__ import annotations

import gzip
import os
from typing import Any

import numpy as np

from ..errors import FileError
from ..utils.downloads import get_file
from ._reading import ADDRESS, Parts

__all__ = ["load_data"]


def load_data() -> Parts:
    """70,000 grey pictures of clothes of 10 kinds.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: x uint8 (samples, 28, 28), y uint8 (samples,); 60,000 and
        10,000 samples.

    Raises:
        FileError: It cannot be downloaded, or is damaged.
    """

    def read(name: str, header: int, *shape: int) -> Any:
        folder = os.path.join("datasets", "fashion-mnist")
        path = get_file(name, ADDRESS + name, cache_subdir=folder)
        try:
            with gzip.open(path) as file:
                return np.frombuffer(file.read(), np.uint8, offset=header).reshape(-1, *shape)
        except (OSError, EOFError, ValueError) as error:
            raise FileError(f"The file {path} is damaged.", got=path, fix="remove it") from error

    parts = [
        (read(f"{name}-images-idx3-ubyte.gz", 16, 28, 28), read(f"{name}-labels-idx1-ubyte.gz", 8))
        for name in ("train", "t10k")
    ]
    return parts[0], parts[1]
