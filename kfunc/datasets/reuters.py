"""Short news and their topics (Reuters-21578, Lewis)."""

from __future__ import annotations

from ..utils.downloads import get_file
from ._reading import ADDRESS, Parts, divided, npz, texts, word_index

__all__ = ["get_label_names", "get_word_index", "load_data"]


def load_data(
    path: str = "reuters.npz",
    num_words: int | None = None,
    skip_top: int = 0,
    maxlen: int | None = None,
    test_split: float = 0.2,
    seed: int = 113,
    start_char: int | None = 1,
    oov_char: int | None = 2,
    index_from: int = 3,
) -> Parts:
    """11,228 news of 46 topics, each a list of the numbers of its words, by how often they occur.

    Args:
        path, num_words, skip_top, maxlen, start_char, oov_char, index_from: As for `imdb.load_data`.
        test_split: The part of the samples that is for tests.
        seed: For their order.

    Returns:
        `(x_train, y_train), (x_test, y_test)`: x an array of lists (samples,), y int64 (samples,).

    Raises:
        ArgumentError: An argument has a value that is not allowed, or no text is shorter than `maxlen`.
        FileError: It cannot be downloaded, or is damaged.
    """
    digest = "d6586e694ee56d7a4e65172e12b3e987c03096cb01eab99753921ef915959916"
    found = npz(get_file(path, ADDRESS + "reuters.npz", file_hash=digest))
    (x, y), _ = divided(found["x"], found["y"], 0, seed)
    x, y = texts(x, y, num_words, skip_top, maxlen, start_char, oov_char, index_from)
    return divided(x, y, test_split, None)


def get_word_index(path: str = "reuters_word_index.json") -> dict[str, int]:
    """The number of each word, to which `load_data` adds `index_from`.

    Raises:
        FileError: It cannot be downloaded.
    """
    return word_index(path, "reuters_word_index.json", "4d44cc38712099c9e383dc6e5f11a921")


def get_label_names() -> tuple[str, ...]:
    """The topics, in the order of the labels."""
    return _TOPICS


_TOPICS = (
    "cocoa",
    "grain",
    "veg-oil",
    "earn",
    "acq",
    "wheat",
    "copper",
    "housing",
    "money-supply",
    "coffee",
    "sugar",
    "trade",
    "reserves",
    "ship",
    "cotton",
    "carcass",
    "crude",
    "nat-gas",
    "cpi",
    "money-fx",
    "interest",
    "gnp",
    "meal-feed",
    "alum",
    "oilseed",
    "gold",
    "tin",
    "strategic-metal",
    "livestock",
    "retail",
    "ipi",
    "iron-steel",
    "rubber",
    "heat",
    "jobs",
    "lei",
    "bop",
    "zinc",
    "orange",
    "pet-chem",
    "dlr",
    "gas",
    "silver",
    "wpi",
    "hog",
    "lead",
)
