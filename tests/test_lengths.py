"""Batches whose inner sizes differ from those of the first batch, such as sequences sorted into buckets by length."""

from __future__ import annotations

import time

import numpy as np
import pytest
from backends import NAMES, params

import kfunc as kf
from kfunc import nn
from kfunc.data.batches import Batch
from kfunc.data.prefetch import STAGED
from kfunc.data.sources import source
from kfunc.errors import ShapeError
from kfunc.tree import leaves

TRAINING = params(("numpy", "jax", "torch", "tensorflow"))
EPS = float(np.finfo(np.float32).eps)
LENGTHS = (5, 7, 7, 5, 9)
CLASSES = 3


def sequences(length, samples=4, seed=0):
    return np.random.default_rng([length, seed]).normal(size=(samples, length, 2)).astype(np.float32)


def words(length, samples=4, seed=0):
    return np.random.default_rng([length, seed]).integers(0, 6, (samples, length)).astype(np.int32)


def one_label(x):
    return (np.arange(x.shape[0]) % CLASSES).astype(np.int32)


def label_each(x):
    return np.broadcast_to(one_label(x)[:, None], x.shape[:2]).copy()


# Name: the layers, the inputs of a length, and the targets for them.
NETWORKS = {
    "LSTM": (lambda: [nn.LSTM(4), nn.Dense(CLASSES)], sequences, one_label),
    "pooled words": (
        lambda: [nn.Embedding(6, 4, mask_zero=True), nn.GlobalAveragePooling1D(), nn.Dense(CLASSES)], words, one_label,
    ),
    "Conv1D": (lambda: [nn.Conv1D(4, 3), nn.GlobalMaxPooling1D(), nn.Dense(CLASSES)], sequences, one_label),
    "an output each": (
        lambda: [nn.Embedding(6, 4, mask_zero=True), nn.Dense(CLASSES)],
        words, label_each,
    ),
}  # fmt: skip


def fresh(row, loss=None, metrics=("accuracy",)):
    model = kf.Model(nn.Sequential(NETWORKS[row][0]()))
    model.compile(
        kf.optim.sgd(0.1), loss or kf.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=list(metrics)
    )
    return model


def batches(row, weighted=True):
    """Batches of all lengths, the last one smaller than the others."""
    _, inputs, targets = NETWORKS[row]
    found = [inputs(n, 4 if i + 1 < len(LENGTHS) else 3, i) for i, n in enumerate(LENGTHS)]
    return [(x, targets(x), np.linspace(0.5, 1.5, len(x), dtype=np.float32)) for x in found]


def close(found, expected):
    """Numbers of about 1 that come from sums over up to 4 x 9 positions, rounded in another order, in ten steps.

    A step of 0.1 adds at most 0.1 * 36 * EPS to the difference: ten steps add 36 * EPS; 8 times that is for the layers.
    """
    for a, b in zip(leaves(found), leaves(expected), strict=True):
        np.testing.assert_allclose(kf.to_numpy(a), kf.to_numpy(b), rtol=0, atol=8 * 36 * EPS)


ROWS = [
    pytest.param(row, *p.values, marks=p.marks, id=f"{row}-{p.values[0]}")
    for i, row in enumerate(NETWORKS)
    for j, p in enumerate(TRAINING)
    if j == 0 or (i + j) % 2
]
"""All networks on NumPy. Others compile a program for each length, which takes seconds: each of them has half."""


@pytest.mark.parametrize(("row", "name"), ROWS)
@pytest.mark.usefixtures("quickly_compiled")
def test_training_is_that_of_the_batches_one_by_one(row, name):
    data = batches(row)
    model, other = fresh(row), fresh(row)
    history = model.fit(data, epochs=2, shuffle=False, validation_data=iter(data), validation_steps=2, verbose=0,
                        backend=name).history  # fmt: skip
    for _ in range(2):
        for x, y, w in data:
            other.train_on_batch(x, y, w, backend=name)
    close(model.train_state.params, other.train_state.params)
    assert int(kf.to_numpy(model.train_state.step)) == 2 * len(data)

    each = [(other.test_on_batch(*batch), len(batch[0])) for batch in data]
    mean = sum(np.asarray(value[0]) * n for value, n in each) / sum(n for _, n in each)
    close(model.evaluate(data, verbose=0)[0], mean)
    assert np.isfinite(history["val_loss"]).all()


@pytest.mark.parametrize("name", params(NAMES))
def test_outputs_of_batches_of_all_lengths(name):
    model, data = fresh("LSTM"), batches("LSTM")
    model.build(data[0][0])
    wanted = np.concatenate([model.predict_on_batch(x) for x, *_ in data])
    close(model.predict(data, backend=name), wanted)


def test_outputs_of_several_lengths_are_refused():
    model, data = fresh("an output each"), batches("an output each")
    with pytest.raises(ShapeError, match=r"\(4, 5, 3\) and \(4, 7, 3\)") as error:
        model.predict(data)
    assert "batch by batch" in error.value.fix


# -- one program for all lengths --------------------------------------------------------------------------------------


CALLS = []  # for each call of Counted on arrays, whether it saw a length


@nn.layer
class Counted(nn.Layer):
    """The identity, whose Python runs where a program is traced."""

    needs_length: bool = False

    def forward(self, s, x):
        if type(x) is not kf.Spec:
            CALLS.append(x.shape[1] is not None)
            if self.needs_length and x.shape[1] is None:
                raise TypeError("a size is needed here")
        return x


@pytest.mark.parametrize("needs_length", [False, True])
@pytest.mark.parametrize("row", ["LSTM", "pooled words", "Conv1D"])
def test_tensorflow_compiles_one_program_for_the_axes_that_build_was_given_no_size_for(row, needs_length):
    pytest.importorskip("tensorflow")
    layers, data = NETWORKS[row][0](), batches(row)
    spec = kf.Spec((None, None, *data[0][0].shape[2:]), str(data[0][0].dtype))
    model = kf.Model(nn.Sequential([Counted(needs_length), *layers]))
    other = kf.Model(nn.Sequential([nn.Identity(), *layers]))
    CALLS.clear()
    for each in (model, other):
        each.compile(kf.optim.sgd(0.1), kf.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.build(spec, backend="tensorflow")
    other.build(data[0][0], backend="tensorflow")
    known = []
    for x, y, w in data[:4]:
        model.train_on_batch(x, y, w)
        other.train_on_batch(x, y, w)
        close(model.predict_on_batch(x), other.predict_on_batch(x))
        close(model.test_on_batch(x, y, w), other.test_on_batch(x, y, w))
        known.append(len(CALLS))
    close(model.train_state.params, other.train_state.params)
    # Tracing runs the Python of a layer once or more. After the first batch it does not run again.
    assert (known[0] < known[-1] and any(CALLS)) if needs_length else (known[0] == known[-1] and not any(CALLS))


def test_a_first_batch_that_does_not_fit_is_refused_by_a_program_for_all_lengths():
    pytest.importorskip("tensorflow")
    model = fresh("Conv1D").build(kf.Spec((None, None, 2)), backend="tensorflow")
    x, y, _ = batches("Conv1D")[0]
    model.train_on_batch(x, y)
    for call in (
        lambda x: model.train_on_batch(x, y), lambda x: model.fit(x, y, verbose=0),
        lambda x: model.evaluate(x, y, verbose=0), model.predict, model.predict_on_batch,
    ):  # fmt: skip
        with pytest.raises(ShapeError):
            call(sequences(2))


# -- batches that do not fit ------------------------------------------------------------------------------------------


def squared(y_true, y_pred):
    return kf.ops.mean((y_true - y_pred) ** 2)


X, Y, W = batches("an output each")[1]
# Name: the network, the first batch, the bad one, what the error says, and the loss.
REFUSED = {
    "features": ("LSTM", batches("LSTM")[0][:2], (np.ones((4, 7, 3), np.float32), one_label(X)), "'kernel'", None),
    "too short": ("Conv1D", batches("Conv1D")[0][:2], (sequences(2), one_label(X)), "x has shape (4, 2, 2)", None),
    "labels of the length before": ("an output each", (X, Y), (words(5), Y), "The labels have shape (4, 7)", None),
    "labels of one position": ("an output each", (X, Y), (X, Y[:, :1]), "The labels have shape (4", None),
    "weights": ("an output each", (X, Y, Y), (words(5), Y[:, :5], Y), "`sample_weight` has shape", None),
    "spread targets": (
        "an output each", (X, np.ones((4, 7, 3), np.float32)), (words(5), np.ones((4, 1, 3), np.float32)),
        "The targets have shape (4, 1, 3), and the output has (4, 5, 3).", squared,
    ),
    "spread outputs": (
        "an output each", (X, np.ones((4, 7, 3), np.float32)), (words(1), np.ones((4, 5, 3), np.float32)),
        "The targets have shape (4, 5, 3), and the output has (4, 1, 3).", squared,
    ),
    "axes": ("an output each", (X, Y), (X, Y[..., None]), "other axes", None),
}  # fmt: skip


@pytest.mark.parametrize("method", ["fit", "evaluate"])
@pytest.mark.parametrize("row", REFUSED)
def test_a_batch_that_does_not_fit_changes_nothing(row, method):
    network, first, bad, text, loss = REFUSED[row]
    model = fresh(network, loss, () if loss else ("accuracy",))
    before = fresh(network, loss, () if loss else ("accuracy",))
    before.fit([first], verbose=0)
    model.fit([first], verbose=0)
    other = dict(epochs=1, shuffle=False) if method == "fit" else {}
    with pytest.raises(ShapeError) as error:
        getattr(model, method)([first, bad], verbose=0, **other)
    assert text in str(error.value)
    assert any(note.startswith("in batch 1 of ") for note in error.value.__notes__)
    if method == "fit":
        before.fit([first], verbose=0)
    for a, b in zip(leaves(model.train_state), leaves(before.train_state), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_step_of_ones_own_gets_all_lengths():
    def step(ts, batch):
        if batch.x.shape[1] == 9:
            raise ValueError("too long")
        return ts, {"length": kf.namespace(batch.x).sum(batch.x[0] * 0 + 1) / 2}

    model = kf.Model(nn.Sequential(NETWORKS["LSTM"][0]()), step=step)
    data = [batch[:1] for batch in batches("LSTM")]
    assert model.fit(data[:4], verbose=0, shuffle=False).history["length"] == [6.0]
    with pytest.raises(ValueError, match="too long") as error:
        model.fit(data, verbose=0, shuffle=False)
    assert error.value.__notes__ == ["in batch 4 of epoch 1"]


def test_batches_are_joined_if_they_are_alike_and_not_too_large():
    large = STAGED // 4 // 3  # numbers, so that three batches fit into a dispatch
    sizes = [2, 2, 3, 2, *[large] * 7]
    reader = source([(np.full((1, n), i, np.float32),) for i, n in enumerate(sizes)]).epoch()
    found: list[Batch] = []
    with reader:
        while (batch := reader.read(32)) is not None:
            found.append(batch)
            time.sleep(0.05)  # the thread reads as far ahead as it may
    assert all(batch.x.nbytes <= STAGED for batch in found)
    assert np.concatenate([batch.x[:, 0] for batch in found]).tolist() == list(range(len(sizes)))
