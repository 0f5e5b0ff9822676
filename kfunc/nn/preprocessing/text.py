"""`TextVectorization`: texts as the indices of their words."""

from __future__ import annotations

import dataclasses
import itertools
import string
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ... import checks
from ...errors import ArgumentError, DataError, ShapeError, shown
from ...tracing.spec import Spec
from ..layer import layer
from .adapting import batches
from .host import MODES, as_bytes, encoded_shape, encodes, is_strings, texts
from .lookups import Counts, Lookup, rows_of

__all__ = ["TextVectorization"]

_STANDARDS = ("lower_and_strip_punctuation", "lower", "strip_punctuation")
_LOWER = bytes.maketrans(string.ascii_uppercase.encode(), string.ascii_lowercase.encode())
_PUNCTUATION = string.punctuation.encode()
_END = b"\0"


@layer
class TextVectorization(Lookup):
    """Texts (samples,) or (samples, 1) to the indices of their words, or to arrays of which words are in them.

    It runs on the host.

    A text is standardised, split into words, joined to n-grams, and looked up. The vocabulary is given, or learnt:
    `layer = layer.adapt(texts)` returns a layer that has it.

    As in Keras, "lower" changes the letters A to Z alone, "punctuation" are the 32 characters of `string.punctuation`,
    and words end at ASCII's white space. So "Ä" stays "Ä", and an ideographic space splits nothing. Functions for
    `standardize` and `split` do otherwise.

    Args:
        max_tokens: The most indices that there may be, with those of special tokens.
        standardize: "lower_and_strip_punctuation", "lower", "strip_punctuation", None, or a function from an array of
            strings to one of the same shape.
        split: "whitespace", "character", None for texts that are words already, or a function from an array of strings
            (samples,) to a list of words for each.
        ngrams: Up to how many words that follow one another are joined to one, or a tuple of these numbers.
        output_mode: "int" for indices, int64 (samples, words), where index 0 fills up shorter texts, and 1 is an
            unknown word; "multi_hot", "count" and "tf_idf" for arrays (samples, words of the vocabulary), float32.
        output_sequence_length: With "int", how many indices each text has: others are cut off.
        pad_to_max_tokens, vocabulary, idf_weights, sparse, encoding: As for `StringLookup`.
        ragged: Must be False.

    Raises:
        DataError: A value is not a string.
        ShapeError: There are several texts in a row, and `split` is not None.
    """

    max_tokens: int | None = None
    standardize: str | Callable[..., Any] | None = "lower_and_strip_punctuation"
    split: str | Callable[..., Any] | None = "whitespace"
    ngrams: int | Sequence[int] | None = None
    output_mode: str = "int"
    output_sequence_length: int | None = None
    pad_to_max_tokens: bool = False
    vocabulary: Any = None
    idf_weights: Any = None
    sparse: bool = False
    ragged: bool = False
    encoding: str = "utf-8"
    num_oov_indices: int = dataclasses.field(default=1, init=False)
    mask_token: str = dataclasses.field(default="", init=False)
    oov_token: str = dataclasses.field(default="[UNK]", init=False)
    invert: bool = dataclasses.field(default=False, init=False)
    salt: Any = dataclasses.field(default=None, init=False)

    def __post_init__(self) -> None:
        for argument, known in (("standardize", _STANDARDS), ("split", ("whitespace", "character"))):
            value = getattr(self, argument)
            if value is not None and not callable(value):
                checks.one_of(argument, value, known)
        if self.ragged:
            raise ArgumentError.must_be("ragged", "False: there are no ragged arrays here", self.ragged)
        widths = (self.ngrams,) if isinstance(self.ngrams, int) else self.ngrams or ()
        for width in widths:
            checks.positive("ngrams", width)
        checks.positive("output_sequence_length", self.output_sequence_length, none=True)
        encodes(self, MODES)
        if self.output_sequence_length is not None and self.output_mode != "int":
            raise ArgumentError.must_be(
                "output_sequence_length", 'None, or `output_mode` "int"', self.output_sequence_length
            )
        super().__post_init__()

    @property
    def _widths(self) -> tuple[int, ...]:
        return tuple(range(1, self.ngrams + 1)) if isinstance(self.ngrams, int) else tuple(self.ngrams or ())

    def _spec(self, *xs: Any) -> Spec:
        self._check_adapted()
        shape = tuple(xs[0].shape)
        if self.split is not None:
            if len(shape) > 1 and shape[-1] not in (1, None):
                raise self._several(shape)
            shape = (*shape[:1], None)
        elif self._widths:
            shape = (*shape[:1], None)
        if self.output_mode != "int":
            return Spec(encoded_shape(shape, self.output_mode.replace("tf_idf", "count"), self._depth), "float32")
        if self.output_sequence_length is not None and len(shape) > 1:
            shape = (*shape[:-1], self.output_sequence_length)
        return Spec(shape, "int64")

    def _several(self, shape: tuple[Any, ...]) -> ShapeError:
        return ShapeError(
            f"There are several texts in each row: the shape is {shape}.",
            argument="x",
            expected="(samples,) or (samples, 1)",
            got=shape,
            fix="give each column a layer of its own; or split=None, if the texts are words already",
        )

    def _values(self, *xs: np.ndarray) -> np.ndarray:
        self._check_adapted()
        x = xs[0] if xs[0].ndim else xs[0].reshape(1)
        if self.split is None and not self._widths:
            return self._fitted(super()._values(self._standard(x)))
        tokens, sizes, in_bytes = self._tokens(x)
        table = self.vocabulary.by_bytes if in_bytes else self.vocabulary.index
        out = self._arranged(self._found(tokens, None, table), sizes)
        return out[0] if self.split is None and x.ndim == 1 else out

    def _arranged(self, found: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        """The output for the indices of texts with these numbers of words."""
        rows = np.repeat(np.arange(sizes.size), sizes)
        if self.output_mode == "one_hot":
            raise ArgumentError(
                '`output_mode` must not be "one_hot" where texts have different numbers of words.',
                argument="output_mode",
                expected='"int", "multi_hot", "count" or "tf_idf"; or split=None',
                got='"one_hot"',
            )
        if self.output_mode != "int":
            return self._summed(found, rows, sizes.size)
        places = np.arange(found.size) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        length = self.output_sequence_length
        if length is None:
            length = int(sizes.max(initial=0))
        else:
            kept = places < length
            found, rows, places = found[kept], rows[kept], places[kept]
        out = np.zeros((sizes.size, length), np.int64)
        out[rows, places] = found
        return out

    def _fitted(self, found: np.ndarray) -> np.ndarray:
        """Indices, of which the last axis has the size `output_sequence_length`."""
        length = self.output_sequence_length
        if length is None or found.ndim < 2:
            return found
        found = found[..., :length]
        return np.pad(found, [(0, 0)] * (found.ndim - 1) + [(0, length - found.shape[-1])])

    # -- words -------------------------------------------------------------------------------------------------------

    def _standard(self, x: np.ndarray) -> np.ndarray:
        """The texts, standardised."""
        if callable(self.standardize):
            given = np.asarray(texts(x)).reshape(x.shape)
            out = np.asarray(self.standardize(given))
            if out.shape != x.shape or not is_strings(out):
                raise ArgumentError(
                    f"`standardize` must return strings of the shape {x.shape}, got {shown(out)}.",
                    argument="standardize",
                    expected=f"an array of strings, {x.shape}",
                    got=f"{out.dtype} {out.shape}",
                )
            return out
        if self.standardize is None:
            return x
        return np.asarray([b.decode() for b in self._cleaned(texts(x))] or [""], object)[: x.size].reshape(x.shape)

    def _cleaned(self, given: list[str]) -> list[bytes]:
        """Texts in UTF-8, standardised as one of the names says: all at once, since that takes a tenth of the time."""
        lower = _LOWER if self.standardize in ("lower", "lower_and_strip_punctuation") else None
        removed = _PUNCTUATION if self.standardize in ("strip_punctuation", "lower_and_strip_punctuation") else b""
        try:
            blob = "\0".join(given).encode()
        except UnicodeEncodeError:
            blob = _END.join(as_bytes(given))  # says which
        if blob.count(_END) != len(given) - 1:
            return [w.translate(lower, removed) for w in as_bytes(given)]
        return blob.translate(lower, removed).split(_END)

    def _tokens(self, x: np.ndarray) -> tuple[list[Any], np.ndarray, bool]:
        """All words, how many each text has, and whether the words are in UTF-8."""
        if self.split is None:
            words = texts(self._standard(x))
            rows = rows_of(x)
            sizes = np.bincount(rows, minlength=x.shape[0] if x.ndim > 1 else 1)
            return (*self._joined(_parted(words, sizes), False), False) if self._widths else (words, sizes, False)
        if x.ndim > 1:
            if x.shape[-1] != 1 or x.ndim > 2:
                raise self._several(x.shape)
            x = x[..., 0]
        if not x.size:
            return [], np.zeros(0, np.int64), False
        split = self.split
        if callable(split) or callable(self.standardize):
            x = self._standard(x)
            given = texts(x)
            if callable(split):
                parted = [list(map(_text, row)) for row in split(np.asarray(given))]
                if len(parted) != len(given):
                    raise ArgumentError(
                        f"`split` must return a list of words for each of {len(given)} texts, got {len(parted)}.",
                        argument="split",
                        expected=f"{len(given)} lists of words",
                        got=len(parted),
                    )
                return (*self._joined(parted, False), False)
            cleaned = as_bytes(given)
        else:
            cleaned = self._cleaned(texts(x))
        if split == "character":
            return (*self._joined([list(row.decode()) for row in cleaned], False), False)
        return (*self._joined([row.split() for row in cleaned], True), True)

    def _joined(self, rows: list[list[Any]], in_bytes: bool) -> tuple[list[Any], np.ndarray]:
        """The n-grams of rows of words: for each row all of the first width, then those of the second one."""
        if self._widths:
            space: Any = b" " if in_bytes else " "
            rows = [
                [space.join(row[i : i + width]) for width in self._widths for i in range(len(row) - width + 1)]
                for row in rows
            ]
        sizes = np.fromiter(map(len, rows), np.int64, len(rows))
        return list(itertools.chain.from_iterable(rows)), sizes

    def adapt(  # type: ignore[override]
        self, data: Any, batch_size: int | None = None, steps: int | None = None
    ) -> TextVectorization:
        """A layer like this one, whose vocabulary are the words of `data`, the most frequent first.

        See `StringLookup.adapt`. For "tf_idf", each text is a sample.

        Args:
            data: Texts: a list, an array or a column; or batches of them. They are read once.
            batch_size: Has no effect, as in Keras.
            steps: How many batches are read; by default all.
        """
        if self.vocabulary is not None:
            raise ArgumentError(
                "The layer has a vocabulary already, and so nothing to learn.",
                argument="vocabulary",
                expected="None",
                fix="adapt a layer that was made without `vocabulary`",
            )
        counts = Counts(self.output_mode == "tf_idf")
        for x, whole in batches(data, steps):
            if self.split is None and x.ndim == 1 and whole:
                x = x[:, None]
            words, sizes, _ = self._tokens(x)
            counts.add(words, sizes.tolist())
        return self._learnt(counts.decoded())


def _parted(words: list[Any], sizes: np.ndarray) -> list[list[Any]]:
    ends = np.cumsum(sizes).tolist()
    return [words[end - size : end] for size, end in zip(sizes.tolist(), ends, strict=True)]


def _text(word: Any) -> str:
    if isinstance(word, str | bytes):
        return word.decode() if isinstance(word, bytes) else str(word)
    raise DataError(
        f"`split` returned {shown(word)} for a word.", argument="split", expected="lists of strings", got=type(word)
    )
