"""What Keras 3.15 says to the rows of categories and texts, computed on its TensorFlow backend and kept in a file.

After a change of the rows, run `python tests/text_oracle.py`, which writes `text_oracle.json`. The file is the output
of Keras (Apache-2.0), and of TensorFlow's hashes, on our own inputs; nothing else is in it.
"""

from __future__ import annotations

import itertools
import json
import os
import random
from pathlib import Path
from typing import Any

import numpy as np

FILE = Path(__file__).with_suffix(".json")

TEXTS = [
    "The quick brown fox, it's here!",
    "Ünïcödé ÄÖÜ straße",
    "Привет, мир! Как дела?",
    "你好，世界　再见",
    "こんにちは 世界",
    "안녕하세요 세계",
    "שלום עולם",
    "مرحبا بالعالم؟",
    "नमस्ते दुनिया",
    "สวัสดี ชาวโลก",
    "Γειά σου Κόσμε",
    "tab\tnew\nline\x0bvt\x0cff\x1cfs\x85nel\xa0nbsp",
    "",
    "  spaced   out  ",
    "e\u0301 combining 🎉👍🏽",
    "İstanbul ǅ ﬁ",
    "Ողջույն աշխարհ",
    "გამარჯობა მსოფლიო",
    "the the the quick",
]
WORDS = [["a", "b", "zz"], ["c", "", "a"], ["é", "a", "b"]]
NUMBERS = [[1, 2, 9], [0, -5, 1], [7, 1, 2]]
MODES = ("int", "one_hot", "multi_hot", "count", "tf_idf")
_RANDOM = random.Random(1)
HASHED = ["".join(chr(_RANDOM.choice((97, 228, 0x4E16, 0x1F389))) for _ in range(n)) for n in range(160)]
HASHED += ["".join(chr(_RANDOM.randrange(32, 127)) for _ in range(n)) for n in range(301) for _ in range(3)]


def rows() -> list[tuple[str, dict[str, Any], Any, Any]]:
    """The name of a layer, its arguments, what it adapts to (None if to nothing), and its input."""
    found: list[tuple[str, dict[str, Any], Any, Any]] = []
    for name, x, words in (("StringLookup", WORDS, ["a", "b", "c", "é"]), ("IntegerLookup", NUMBERS, [1, 2, 0, 7])):
        mask, hashes = ("", {}) if name == "StringLookup" else (0, {"oov_method": "farmhash"})
        options: list[dict[str, Any]] = [{}, {"num_oov_indices": 3}, {"mask_token": mask}]
        options += [{"mask_token": mask, "num_oov_indices": 2}, {"num_oov_indices": 2, "salt": 5} | hashes]
        options += [{"max_tokens": 9, "pad_to_max_tokens": True}, {"max_tokens": 4}]
        for mode, option in itertools.product(MODES, options):
            known = [w for w in words if w != option.get("mask_token")]
            weights = {"idf_weights": [0.1 * (i + 1) for i in range(len(known))]} if mode == "tf_idf" else {}
            full = {"output_mode": mode, **option}
            if option != {"max_tokens": 4}:
                given = {"vocabulary": known, **full, **weights}
                found += [(name, given, None, part) for part in (x, [row[:1] for row in x], x[0])]
            found.append((name, full, x, x))
        found.append((name, {"vocabulary": words, "invert": True}, None, [[0, 1, 2], [5, 9, -1]]))
    for name, x in itertools.product(("Hashing",), (NUMBERS, WORDS, [["a"], ["b"]])):
        for mode, option in itertools.product(MODES[:4], ({}, {"salt": 7}, {"salt": [3, -4]}, {"mask_value": 1})):
            option = {"mask_value": x[1][0]} if "mask_value" in option else option
            found.append((name, {"num_bins": 7, "output_mode": mode, **option}, None, x))
    for mode, x in itertools.product(("int", "one_hot"), ([["A", "B"], [101, -3]], [[["A"], ["B"]], [[1], [2]]])):
        found.append(("HashedCrossing", {"num_bins": 11, "output_mode": mode}, None, x))
    for mode, x in itertools.product(
        ("multi_hot", "one_hot", "count"), ([1, 2, 2, 0], [[1, 2, 2], [0, 3, 9]], [[1], [2]])
    ):
        found.append(("CategoryEncoding", {"num_tokens": 4, "output_mode": mode}, None, x))
    data = np.sin(np.arange(600.0) ** 1.5).round(4).reshape(200, 3).tolist()
    for mode, bins in itertools.product(MODES[:4], (4, 7)):
        found.append(("Discretization", {"num_bins": bins, "output_mode": mode}, data, data[:4]))
    found.append(("Discretization", {"num_bins": 5, "epsilon": 0.3}, data, data[:4]))
    found.append(("Normalization", {}, data, data[:4]))
    found.append(("Normalization", {"axis": None, "invert": True}, data, data[:4]))
    standards = ("lower_and_strip_punctuation", "lower", "strip_punctuation", None)
    every = itertools.product(standards, ("whitespace", "character", None), (None, 2, (2, 3)), MODES)
    for standard, split, ngrams, mode in every:
        if mode == "one_hot" and (split is not None or ngrams is not None):
            continue  # ragged there; refused here
        if split is None and ngrams == (2, 3):
            continue  # there are none
        options = {"standardize": standard, "split": split, "ngrams": ngrams, "output_mode": mode}
        found.append(("TextVectorization", options, TEXTS, TEXTS))
    for length in (2, 30):
        found.append(("TextVectorization", {"max_tokens": 12, "output_sequence_length": length}, TEXTS, TEXTS))
    return found


def array(x: Any) -> Any:
    """The input of a row; several of them if it is that of a crossing."""
    flat = np.asarray(x, object).ravel().tolist()
    return np.asarray(x, object if any(isinstance(v, str) for v in flat) else None)


def inputs(name: str, x: Any) -> Any:
    return list(map(array, x)) if name == "HashedCrossing" else array(x)


def main() -> None:
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras
    import tensorflow as tf

    made = []
    for name, options, data, x in rows():
        layer = getattr(keras.layers, name)(
            **{k: tuple(v) if k == "salt" and type(v) is list else v for k, v in options.items()}
        )
        if data is not None:
            layer.adapt(array(data) if name not in ("Discretization", "Normalization") else np.asarray(data, "float32"))
        given = inputs(name, x)
        out = np.asarray(layer(given.astype("float32") if name in ("Discretization", "Normalization") else given))
        if out.dtype == object:
            out = np.asarray([w.decode() for w in out.ravel()], object).reshape(out.shape)
        values = out.ravel().tolist()
        sparse = out.size > 200 and out.dtype.kind in "if"
        if sparse:
            values = [[i, v] for i, v in enumerate(values) if v]
        words = layer.get_vocabulary() if data is not None and hasattr(layer, "get_vocabulary") else None
        words = None if words is None else [w if isinstance(w, str) else int(w) for w in words]
        made.append({"shape": list(out.shape), "values": values, "sparse": sparse, "words": words})
    fast = tf.strings.to_hash_bucket_fast(HASHED, 2**40).numpy().tolist()
    strong = tf.strings.to_hash_bucket_strong(HASHED, 2**40, key=[7, -9]).numpy().tolist()
    FILE.write_text(json.dumps({"rows": made, "fast": fast, "strong": strong}, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
