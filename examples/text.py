"""Tell four authors by a sentence, with a network that reads the sentences themselves, on any backend.

`TextVectorization` is the first layer: `fit` and `predict` take strings, and a file of the model holds its words.

python examples/text.py [--backend jax]
"""

from __future__ import annotations

import argparse
import os

import numpy as np

import kfunc as kf
from kfunc import nn, optim

AUTHORS = ("Austen", "Carroll", "Darwin", "Doyle")
TRAINED = 240  # sentences; the other 80 are for validation


def sentences():
    """The sentences of the file, in a random order that it has already, and the numbers of their authors."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "authors.tsv")
    with open(path, encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file if not line.startswith("#")]
    return np.array([text for _, text in rows], object), np.array([AUTHORS.index(author) for author, _ in rows])


def main(backend="numpy", epochs=15, verbose=2):
    """Train, and return the shares of sentences that are told rightly."""
    texts, labels = sentences()
    data = kf.data.Dataset.from_tensor_slices((texts, labels))
    train, validation = data.take(TRAINED).shuffle(seed=0).batch(16), data.skip(TRAINED).batch(16)
    words = nn.TextVectorization(max_tokens=1000, output_sequence_length=40).adapt(texts[:TRAINED])
    net = nn.Sequential([words, nn.Embedding(1000, 32), nn.GlobalAveragePooling1D(), nn.Dropout(0.3), nn.Dense(4)])
    model = kf.Model(net, seed=0)
    loss = kf.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optim.adam(1e-2), loss, metrics=["accuracy"])
    history = model.fit(train, validation_data=validation, epochs=epochs, backend=backend, verbose=verbose).history
    shares = {"by chance": 1 / len(AUTHORS), "network": history["val_accuracy"][-1]}
    for name, share in shares.items():
        print(f"{name}: {share:.2f} of {len(labels) - TRAINED} sentences")
    guess = model.predict(["The species of this island differ from those of the mainland."], verbose=0)
    print(AUTHORS[guess[0].argmax()])
    return shares


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backend", default="numpy")
    parser.add_argument("--epochs", type=int, default=15)
    options = parser.parse_args()
    main(options.backend, options.epochs)
