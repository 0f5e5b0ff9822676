"""Layers that look words and integers up in a vocabulary."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import os
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np

from ... import checks
from ...arrays import kind_of, to_numpy
from ...dataclasses import replace
from ...errors import ArgumentError, DataError, FileError
from ...tracing.spec import Spec
from ...tracing.spec.dtypes import STRING
from ..layer import base_layer, layer
from .adapting import batches
from .categories import not_adapted
from .hashes import buckets
from .host import MODES, HostLayer, as_bytes, encoded_shape, encodes, is_strings, salted, texts
from .words import Table, given

__all__ = ["IntegerLookup", "StringLookup"]


def rows_of(x: np.ndarray) -> np.ndarray:
    """For each element of an array (n,) or (n, m), the sample that it belongs to: an array (n,) is one sample."""
    return np.repeat(np.arange(x.shape[0]), x.shape[1]) if x.ndim > 1 else np.zeros(x.size, np.int64)


@base_layer
class Lookup(HostLayer):
    """What the layers with a vocabulary have in common.

    The indices are, in this order: 0 for the mask token, if there is one and `output_mode` is "int"; `num_oov_indices`
    for values that are not in the vocabulary; and the words.
    """

    kind: ClassVar[str] = "string"
    max_tokens: Any
    num_oov_indices: Any
    mask_token: Any
    oov_token: Any
    vocabulary: Any
    idf_weights: Any
    invert: Any
    output_mode: Any
    sparse: Any
    pad_to_max_tokens: Any
    salt: Any

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.integer("max_tokens", self.max_tokens, least=2, none=True)
        checks.natural("num_oov_indices", self.num_oov_indices)
        encodes(self, MODES)
        if self.pad_to_max_tokens and self.max_tokens is None:
            raise ArgumentError.must_be("max_tokens", "a number where `pad_to_max_tokens` is True", None)
        if self.invert and self.output_mode != "int":
            raise ArgumentError.must_be("output_mode", '"int" where `invert` is True', self.output_mode)
        if self.idf_weights is not None and self.output_mode != "tf_idf":
            raise ArgumentError.must_be("idf_weights", 'None, or `output_mode` "tf_idf"', self.idf_weights)
        object.__setattr__(self, "salt", salted(self.salt))
        if self.vocabulary is not None:
            self._settle_vocabulary()

    @property
    def _masks(self) -> int:
        return int(self.mask_token is not None and self.output_mode == "int")

    @property
    def _start(self) -> int:
        """The index of the first word."""
        return self._masks + self.num_oov_indices

    def _settle_vocabulary(self) -> None:
        """Check the vocabulary and its weights, and bring them into the form that files hold."""
        weights, words = self.idf_weights, self.vocabulary
        if isinstance(words, Table):
            if words.kind != self.kind:
                raise ArgumentError.must_be("vocabulary", f"a table of {self.kind}", words.kind)
            table, found = words, len(words)
        else:
            if isinstance(words, str | os.PathLike) and self.output_mode == "tf_idf":
                raise ArgumentError.must_be("vocabulary", 'words, and no file, for `output_mode` "tf_idf"', words)
            words = self._listed(words)
            found = len(words)
            special = [self.mask_token] * self._masks + [self.oov_token] * self.num_oov_indices
            tokens = words[self._start :] if words[: self._start] == special else words
            if not tokens:
                raise DataError(
                    "`vocabulary` has no words.",
                    argument="vocabulary",
                    expected="a word or more",
                    got=f"{found} words, all of them special tokens" if found else "an empty list",
                )
            self._check_words(tokens, special)
            table = given(tokens, self.kind)
        size = self._start + len(table)
        if self.max_tokens is not None and size > self.max_tokens:
            raise ArgumentError(
                f"`vocabulary` has {size} tokens with the special ones, and `max_tokens` is {self.max_tokens}.",
                argument="vocabulary",
                expected=f"at most {self.max_tokens} tokens",
                got=size,
            )
        object.__setattr__(self, "vocabulary", table)
        if self.output_mode == "tf_idf":
            self._settle_weights(weights, found, size)

    def _settle_weights(self, weights: Any, found: int, size: int) -> None:
        if isinstance(weights, Table):
            if len(weights) != size or weights.kind != "float32":
                raise ArgumentError.must_be("idf_weights", f"{size} numbers, one for each token", len(weights))
            return
        array = np.zeros(0) if weights is None else np.asarray(to_numpy(weights), np.float64)
        if array.ndim != 1 or array.size != found:
            raise ArgumentError(
                f"`idf_weights` must have a number for each of the {found} words of `vocabulary`.",
                argument="idf_weights",
                expected=f"{found} numbers",
                got="None" if weights is None else f"shape {array.shape}",
                fix='adapt finds them: nn.StringLookup(output_mode="tf_idf").adapt(data)',
            )
        array = np.concatenate([np.full(size - found, array.mean()), array]).astype(np.float32)
        object.__setattr__(self, "idf_weights", Table(array.tolist(), "float32"))

    def _listed(self, words: Any) -> list[Any]:
        """The words of a list, an array, a column or a file."""
        if isinstance(words, str | os.PathLike):
            try:
                with open(words, encoding=getattr(self, "encoding", "utf-8"), newline="\n") as file:
                    lines = file.read().split("\n")
            except (OSError, UnicodeDecodeError) as error:
                raise FileError(
                    f"The vocabulary file {os.fspath(words)!r} cannot be read: {error}.",
                    argument="vocabulary",
                    expected="a text file with a word in each line",
                    got=os.fspath(words),
                ) from error
            lines = lines[:-1] if lines and not lines[-1] else lines
            return lines if self.kind == "string" else [int(line) for line in lines]
        if kind_of(type(words)) is not None or hasattr(words, "to_numpy"):
            words = (words.to_numpy() if hasattr(words, "to_numpy") else to_numpy(words)).ravel().tolist()
        if not isinstance(words, list | tuple):
            raise ArgumentError.must_be("vocabulary", "a list or an array of words, or the path of a file", words)
        return [checks.as_python(w.decode() if isinstance(w, bytes) else w) for w in words]

    def _check_words(self, tokens: Sequence[Any], special: Sequence[Any]) -> None:
        twice = [w for w, times in collections.Counter(tokens).items() if times > 1]
        reserved = [self.mask_token] if self.mask_token is not None else []
        reserved += [self.oov_token] if self.invert and self.oov_token is not None else []
        known = set(tokens)
        wrong = [w for w in reserved if w in known]
        if twice or wrong:
            raise DataError(
                f"`vocabulary` has {twice[0]!r} twice or more."
                if twice
                else f"`vocabulary` has the special token {wrong[0]!r} among its words.",
                argument="vocabulary",
                expected=f"different words; before them all of {list(special)}, in this order, or none of these",
                got=", ".join(map(repr, twice[:9])) or f"{wrong[0]!r} at place {list(tokens).index(wrong[0])}",
                fix="list(dict.fromkeys(words)) keeps the first of each" if twice else "leave it out",
            )

    # -- learning ----------------------------------------------------------------------------------------------------

    def adapt(self, data: Any, steps: int | None = None) -> Any:
        """A layer like this one, whose vocabulary are the values in `data`, the most frequent first.

        Of those that are as frequent, the greater comes first, as in Keras. `max_tokens` bounds their number, with the
        special tokens. For "tf_idf" it also finds the weights `log(1 + samples / (1 + samples with the word))`. The
        layer itself stays as it is. It takes the memory of the different values.

        Args:
            data: An array, a list or a column; or batches: whatever `fit` takes. It is read once. In an array (n, m)
                each row is a sample for "tf_idf", in (n,) each element; a batch (n,) is one sample, as in Keras.
            steps: How many batches are read; by default all.

        Raises:
            ArgumentError: The layer was given a vocabulary.
            DataError: There are no data, or they are of another kind.
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
            if whole and x.ndim == 1:
                x = x[:, None]
            values = self._read(x)
            sizes = [x.shape[1]] * x.shape[0] if x.ndim > 1 else [len(values)]
            counts.add(values, sizes)
        return self._learnt(counts)

    def _learnt(self, counts: Counts) -> Any:
        words, weights = counts.vocabulary({self.mask_token, self.oov_token}, self._most)
        if not words:
            raise DataError("`data` has no words.", argument="data", expected="a word or more", got="no words")
        table = Table(words, self.kind)
        if weights is None:
            return replace(self, vocabulary=table)
        front = np.full(self._start, weights.mean(dtype=np.float32), np.float32)
        return replace(self, vocabulary=table, idf_weights=Table(np.concatenate([front, weights]).tolist(), "float32"))

    @property
    def _most(self) -> int | None:
        return None if self.max_tokens is None else max(0, self.max_tokens - self._start)

    # -- the vocabulary ----------------------------------------------------------------------------------------------

    def get_vocabulary(self, include_special_tokens: bool = True) -> list[Any]:
        """The words, in the order of their indices.

        Args:
            include_special_tokens: Whether the mask token and the tokens for unknown words come first, so that each
                word has its index.
        """
        words = [] if self.vocabulary is None else self.vocabulary.values
        special = [self.mask_token] * self._masks + [self.oov_token] * self.num_oov_indices
        return [*special, *words] if include_special_tokens else list(words)

    def vocabulary_size(self) -> int:
        """The number of indices, with those of special tokens."""
        return self._start + (0 if self.vocabulary is None else len(self.vocabulary))

    @property
    def _depth(self) -> int:
        return self.max_tokens if self.pad_to_max_tokens else self.vocabulary_size()

    # -- looking up --------------------------------------------------------------------------------------------------

    def _spec(self, *xs: Any) -> Spec:
        self._check_adapted()
        shape = encoded_shape(xs[0].shape, self.output_mode.replace("tf_idf", "count"), self._depth)
        if self.output_mode == "int":
            return Spec(shape, STRING if self.invert and self.kind == "string" else "int64")
        return Spec(shape, "float32")

    def _check_adapted(self) -> None:
        if self.vocabulary is None:
            raise not_adapted(self, "it has no vocabulary")

    def _values(self, *xs: np.ndarray) -> np.ndarray:
        x = xs[0]
        self._check_adapted()
        if self.invert:
            return self._words_at(x)
        found: Any = self._found(self._read(x), x).reshape(x.shape)
        if self.output_mode == "int":
            return found
        if self.output_mode == "one_hot":
            shape: Any = encoded_shape(x.shape, "one_hot", self._depth)
            out = np.zeros((x.size, self._depth), np.float32)
            flat = found.ravel()
            inside = (flat >= 0) & (flat < self._depth)
            out[np.flatnonzero(inside), flat[inside]] = 1
            return out.reshape(shape)
        if found.ndim > 2:
            raise ArgumentError.must_be("x", "an array (samples,) or (samples, n) for this `output_mode`", x.shape)
        found = found if found.ndim else found.reshape(1)
        out = self._summed(found.ravel(), rows_of(found), found.shape[0] if found.ndim > 1 else 1)
        return out if found.ndim > 1 else out[0]

    def _summed(self, found: np.ndarray, rows: np.ndarray, samples: int) -> np.ndarray:
        """What `output_mode` makes of the indices of samples, float32 (samples, depth)."""
        out = np.zeros((samples, self._depth), np.float32)
        inside = (found >= 0) & (found < self._depth)
        if not inside.all():
            found, rows = found[inside], rows[inside]
        if self.output_mode == "multi_hot":
            out[rows, found] = 1
            return out
        np.add.at(out, (rows, found), np.float32(1))
        if self.output_mode == "tf_idf":
            weights = np.zeros(self._depth, np.float32)
            known = np.asarray(self.idf_weights.values, np.float32)
            weights[: known.size] = known
            out *= weights
        return out

    def _found(self, values: Sequence[Any], x: Any = None, table: dict[Any, int] | None = None) -> np.ndarray:
        """The index of each value, int64; -1 for the mask token where it counts for nothing."""
        table = self.vocabulary.index if table is None else table
        oov = self._masks
        found = np.fromiter(map(table.get, values, itertools.repeat(-1 - self._start)), np.int64, len(values))
        found += self._start
        lacking = np.flatnonzero(found < 0)
        if not lacking.size:
            return found
        if self.mask_token is not None:
            mask = self.mask_token.encode() if isinstance(values[0], bytes) else self.mask_token
            hidden = np.fromiter((values[i] == mask for i in lacking.tolist()), bool, lacking.size)
            found[lacking[hidden]] = 0 if self._masks else -1
            lacking = lacking[~hidden]
        if self.num_oov_indices == 1:
            found[lacking] = oov
        elif lacking.size:
            if self.num_oov_indices == 0:
                raise self._unknown(values, int(lacking[0]), x)
            found[lacking] = oov + self._hashed([values[i] for i in lacking.tolist()])
        return found

    def _unknown(self, values: Sequence[Any], wrong: int, x: Any) -> DataError:
        row = wrong if x is None or x.ndim < 2 else wrong // int(np.prod(x.shape[1:]))
        return DataError(
            f"{values[wrong]!r} in row {row} is not in the vocabulary, and `num_oov_indices` is 0.",
            argument="x",
            expected=f"one of {len(self.vocabulary)} words",
            got=repr(values[wrong])[:99],
            fix="give the layer num_oov_indices=1: then unknown values have an index of their own",
        )

    def _hashed(self, values: list[Any]) -> np.ndarray:
        return buckets(as_bytes(values), self.num_oov_indices, self.salt)

    def _read(self, x: np.ndarray) -> list[Any]:
        """The values of an array, in their order."""
        return texts(x)

    def _words_at(self, x: np.ndarray) -> np.ndarray:
        """The words at indices."""
        if x.dtype.kind not in "iub":
            raise ArgumentError.must_be("x", "integers, where `invert` is True", x)
        words = np.asarray([*self.vocabulary.values, self.oov_token], object if self.kind == "string" else np.int64)
        at = x.astype(np.int64) - self._start
        out = words[np.where((at < 0) | (at >= len(self.vocabulary)), len(self.vocabulary), at)]
        if self.mask_token is not None:
            out = np.where(x == 0, np.asarray(self.mask_token, words.dtype), out)
        return out


class Counts:
    """How often values occur, and in how many samples.

    Args:
        by_sample: Whether to count the samples, too.
    """

    def __init__(self, by_sample: bool):
        self.all: collections.Counter[Any] = collections.Counter()
        self.samples: collections.Counter[Any] | None = collections.Counter() if by_sample else None
        self.number = 0

    def add(self, values: Sequence[Any], sizes: Iterable[int]) -> None:
        """Count values in, which belong to samples of these sizes."""
        self.all.update(values)
        if self.samples is not None:
            at = 0
            for size in sizes:
                self.samples.update(set(values[at : at + size]))
                at, self.number = at + size, self.number + 1

    def decoded(self) -> Counts:
        """The same counts, of strings where they were counted in UTF-8."""
        for counter in (self.all, self.samples):
            if counter and isinstance(next(iter(counter)), bytes):
                found = {word.decode(): times for word, times in counter.items()}
                counter.clear()
                counter.update(found)
        return self

    def vocabulary(self, special: set[Any], most: int | None) -> tuple[list[Any], np.ndarray | None]:
        """The most frequent values, and the weights of their inverse frequency in samples."""
        for token in special:
            self.all.pop(token, None)
        words = [w for w, _ in sorted(self.all.items(), key=lambda item: (item[1], item[0]), reverse=True)][:most]
        if self.samples is None:
            return words, None
        frequency = np.asarray([self.samples[w] for w in words], np.float64)
        return words, np.log(1 + self.number / (1 + frequency)).astype(np.float32)


@layer
class StringLookup(Lookup):
    """The index of each string in a vocabulary, or an array of what is in a sample. It runs on the host.

    The input has any shape. The vocabulary is given, or learnt: `layer = layer.adapt(data)` returns a layer that has
    it.

    Args:
        max_tokens: The most indices that there may be, with those of special tokens.
        num_oov_indices: How many indices there are for strings that are not in the vocabulary; where there are several,
            a hash chooses. With 0, such a string is an error.
        mask_token: A string that has index 0, and counts for nothing in the other output modes.
        oov_token: The word for unknown strings, in `get_vocabulary` and where `invert` is True.
        vocabulary: The words: a list, an array or a column, or the path of a text file with a word in each line. The
            special tokens may stand before them.
        idf_weights: For "tf_idf", a weight for each word.
        invert: Whether to give the string for each index instead.
        output_mode: "int" for indices, int64 of the shape of the input; "one_hot", "multi_hot" or "count" as for
            `CategoryEncoding`; "tf_idf" for counts, each times its weight. All but "int" are float32.
        pad_to_max_tokens: Whether the last axis of the output has the size `max_tokens`, however many words there are.
        sparse: Must be False.
        encoding: Of the file in `vocabulary`.
        salt: One or two integers, which make the hash of unknown strings another.

    Raises:
        DataError: A value is not a string, or an unknown one where `num_oov_indices` is 0.
    """

    max_tokens: int | None = None
    num_oov_indices: int = 1
    mask_token: str | None = None
    oov_token: str = "[UNK]"
    vocabulary: Any = None
    idf_weights: Any = None
    invert: bool = False
    output_mode: str = "int"
    pad_to_max_tokens: bool = False
    sparse: bool = False
    encoding: str = "utf-8"
    salt: Any = dataclasses.field(default=None, kw_only=True)


@layer
class IntegerLookup(Lookup):
    """The index of each integer in a vocabulary, or an array of what is in a sample. It runs on the host.

    The input has any shape. See `StringLookup`, whose arguments these are, but for three.

    Args:
        vocabulary_dtype: Must be "int64".
        oov_method: How unknown integers are shared among several `num_oov_indices`: "floormod" by their remainder,
            "farmhash" by the hash of their digits.
        salt: One or two integers, which make this hash another.
        max_tokens, num_oov_indices, mask_token, oov_token, vocabulary, idf_weights, invert: As for `StringLookup`.
        output_mode, sparse, pad_to_max_tokens: As for `StringLookup`.

    Raises:
        DataError: An integer is unknown, and `num_oov_indices` is 0.
    """

    kind: ClassVar[str] = "int64"

    max_tokens: int | None = None
    num_oov_indices: int = 1
    mask_token: int | None = None
    oov_token: int = -1
    vocabulary: Any = None
    vocabulary_dtype: str = "int64"
    idf_weights: Any = None
    invert: bool = False
    output_mode: str = "int"
    sparse: bool = False
    pad_to_max_tokens: bool = False
    oov_method: str = "floormod"
    salt: Any = None

    def __post_init__(self) -> None:
        checks.one_of("vocabulary_dtype", self.vocabulary_dtype, ("int64",))
        checks.one_of("oov_method", self.oov_method, ("floormod", "farmhash"))
        if self.salt is not None and self.oov_method != "farmhash":
            raise ArgumentError.must_be("salt", 'None, or `oov_method` "farmhash"', self.salt)
        super().__post_init__()

    def _read(self, x: np.ndarray) -> list[Any]:
        if is_strings(x) or x.dtype.kind not in "iubf":
            raise DataError(
                f"`x` has the dtype {x.dtype}, and the layer reads integers.",
                argument="x",
                expected="integers",
                got=f"dtype {x.dtype}",
                fix="take nn.StringLookup for strings",
            )
        return x.astype(np.int64).ravel().tolist()

    def _hashed(self, values: list[Any]) -> np.ndarray:
        if self.oov_method == "floormod":
            return np.asarray(values, np.int64) % self.num_oov_indices
        return super()._hashed(list(map(str, values)))
