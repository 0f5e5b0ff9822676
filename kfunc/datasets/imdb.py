"""Reviews of films, for and against (Maas et al., 2011)."""

from __future__ import annotations

import numpy as np

from .. import checks
from ..utils.downloads import get_file
from ._reading import ADDRESS, Parts, npz, texts, word_index

__all__ = ["get_word_index", "load_data"]


def load_data(
    path: str = "imdb.npz",
    num_words: int | None = None,
    skip_top: int = 0,
    maxlen: int | None = None,
    seed: int = 113,
    start_char: int | None = 1,
    oov_char: int | None = 2,
    index_from: int = 3,
) -> Parts:
    """50,000 reviews of films, each a list of the numbers of its words, by how often they occur.

    Args:
        path: The file's name in the folder of data sets.
        num_words: Words of this number or above are replaced by `oov_char`; None keeps all.
        skip_top: Words below this number are replaced, too.
        maxlen: Only shorter reviews are kept; None keeps all.
        seed: For the order of the reviews.
        start_char: What each review begins with; None for nothing.
        oov_char: What replaces a word; None leaves it out.
        index_from: Is added to the number of each word.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: x an array of lists (samples,), y int64 (samples,), 1 for praise; 25,000
        samples each.

    Raises:
        ArgumentError: An argument has a value that is not allowed, or no review is shorter than `maxlen`.
        FileError: It cannot be downloaded, or is damaged.
    """
    digest = "69664113be75683a8fe16e3ed0ab59fda8886cb3cd7ada244f7d9544e4676b9f"
    found = npz(get_file(path, ADDRESS + "imdb.npz", file_hash=digest))
    draw, parts = np.random.RandomState(checks.natural("seed", seed)), []
    for name in ("train", "test"):
        x, y = found[f"x_{name}"], found[f"y_{name}"]
        order = np.arange(len(x))
        draw.shuffle(order)
        parts.append(texts(x[order], y[order], num_words, skip_top, maxlen, start_char, oov_char, index_from))
    return parts[0], parts[1]


def get_word_index(path: str = "imdb_word_index.json") -> dict[str, int]:
    """The number of each word, to which `load_data` adds `index_from`.

    Raises:
        FileError: It cannot be downloaded.
    """
    return word_index(path, "imdb_word_index.json", "bfafd718b763782e994055a2d397834f")
