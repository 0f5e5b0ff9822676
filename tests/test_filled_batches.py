"""The last batch of an epoch, which compiling backends fill up: nothing may depend on what it is filled up with."""

from __future__ import annotations

import numpy as np
import pytest
from backends import params
from catalogue import losses, metrics

import kfunc as kf
from kfunc import nn, optim
from kfunc.data.batches import Batch, room
from kfunc.data.sources import source
from kfunc.training.feed import Feed
from kfunc.training.functions import mapped
from kfunc.training.objective import OutputMetric, all_per_sample, per_sample
from kfunc.training.state import TrainState, start
from kfunc.training.step import _masked, make_eval_step, make_train_step
from kfunc.tree import leaves, map

EPS = float(np.finfo(np.float32).eps)
MODULES = {"losses": kf.losses, "metrics": kf.metrics, "layers": nn}


def rows(found, kind):
    """Rows of the catalogue whose arrays all have a first axis for the samples."""
    return [pytest.param(row, id=f"{row.new!r}-{row.note}") for row in found if row.kind == kind]


def behind(x, fill):
    """`x` with two samples more: its last ones (fill 0), or others of its own, so that labels remain labels."""
    return np.concatenate([x, x[-2:] if fill == 0 else np.repeat(x[:1], 2, 0)])


def close(found, expected, n):
    """Sums of up to `n` float32 numbers, in another order."""
    for a, b in zip(leaves(found), leaves(expected), strict=True):
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        scale = np.max(np.abs(b), initial=1e-3)
        np.testing.assert_allclose(a, b, rtol=0, atol=8 * n * EPS * scale)


def same(found, expected):
    for a, b in zip(leaves(found), leaves(expected), strict=True):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


# -- every loss and every metric ---------------------------------------------------------------------------------------


def arguments(row):
    y_true, y_pred, *weights = map(np.asarray, row.args)
    mask = row.options.get("mask")
    return y_true, y_pred, (weights[0] if weights and weights[0].ndim else None), mask


@pytest.mark.parametrize("row", rows(losses.ROWS, "call"))
def test_loss(row):
    loss = row.new.build(MODULES)
    y_true, y_pred, weight, mask = arguments(row)
    samples = np.arange(len(y_pred) + 2) < len(y_pred)
    if not isinstance(loss, kf.losses.Loss):
        return  # the function, whose class has rows
    whole = getattr(loss, "axis", -1) in (0, None) or isinstance(loss, kf.losses.Circle)
    can = not whole and loss.reduction not in ("none", None)
    assert per_sample(loss, y_true, kf.Spec((None, *y_pred.shape[1:]))) == can
    if not can:
        return

    def run(*parts, mask=mask):
        y_true, weight = parts[1:]
        return kf.value_and_grad(lambda y_pred: loss(y_true, y_pred, weight, mask))(parts[0])

    value, grad = run(y_pred, y_true, weight)
    results = []
    for fill in range(2):
        filled = map(lambda x: behind(x, fill), (y_pred, y_true, weight, mask))
        results.append(run(*filled[:3], mask=_masked(filled[3], samples)))
    same(*results)
    close((results[0][0], results[0][1][:-2]), (value, grad), row.n)
    assert not results[0][1][-2:].any()


@pytest.mark.parametrize("row", rows(metrics.ROWS, "metric"))
def test_metric(row):
    metric = row.new.build(MODULES)
    by_value = isinstance(metric, kf.metrics.Mean | kf.metrics.Sum)
    if not all_per_sample({"": OutputMetric(metric)}, *(np.asarray(x) for x in row.args[0][:2])):
        return

    def run(fill=None):
        acc = None
        for batch in row.args:
            batch = [np.asarray(x) for x in batch]
            n, mask = len(batch[0]), None
            if fill is not None:
                batch, mask = [behind(x, fill) for x in batch], np.arange(n + 2) < n
            acc = metric.init(like=batch) if acc is None else acc
            weight = batch[2:] or [None]
            acc = metric.update(acc, *batch[:2], *weight, mask)
        return acc

    if by_value:
        return
    plain, *filled = run(), run(0), run(1)
    same(*filled)
    close(metric.result(filled[0]), metric.result(plain), row.n)


# -- networks ----------------------------------------------------------------------------------------------------------

NUMBERS = np.random.default_rng(0).normal(size=(12, 6, 4)).astype(np.float32)
TOKENS = np.random.default_rng(1).integers(0, 5, (12, 6)).astype(np.int32)
"""Of which 0 is masked."""


def _graph():
    x = nn.Input((6, 4), name="x")
    h = nn.BatchNormalization()(nn.Dense(5, kernel_regularizer="l2")(x))
    first = nn.Dense(3, name="first")(nn.GlobalAveragePooling1D()(h))
    second = nn.Dense(2, name="second")(nn.LSTM(3)(h))
    return nn.Graph(x, {"first": first, "second": second})


NETWORKS = {
    "dense": lambda: [nn.Flatten(), nn.Dense(5, kernel_regularizer="l2", kernel_constraint="max_norm")],
    "batch norm": lambda: [nn.BatchNormalization(), nn.Flatten()],
    "batch norm, renormed": lambda: [nn.BatchNormalization(renorm=True), nn.Flatten()],
    "batch norm, masked": lambda: [nn.Masking(), nn.BatchNormalization(), nn.LSTM(3)],
    "spectral norm": lambda: [nn.SpectralNormalization(nn.Dense(3)), nn.Flatten()],
    "mask": lambda: [nn.Embedding(5, 4, mask_zero=True), nn.LSTM(3, return_sequences=True), nn.GRU(3)],
    "mask of the output": lambda: [nn.Embedding(5, 4, mask_zero=True), nn.Dense(3)],
    "attention": lambda: [Attend(nn.MultiHeadAttention(2, 3, dropout=0.3)), nn.LayerNormalization(), nn.Flatten()],
    "dropout": lambda: [nn.Flatten(), nn.Dense(8), nn.Dropout(0.4), nn.GaussianNoise(0.1), nn.AlphaDropout(0.3)],
    "spatial dropout": lambda: [nn.SpatialDropout1D(0.4), nn.GaussianDropout(0.2), nn.Flatten()],
    "recurrent dropout": lambda: [nn.LSTM(3, dropout=0.3, recurrent_dropout=0.3)],
    "stack": lambda: [nn.Dense(4), nn.Stack(nn.Dense(4, activation="tanh"), 3), nn.Flatten()],
    "remat": lambda: [nn.Remat(nn.Sequential([nn.Dense(4), nn.BatchNormalization()])), nn.Flatten()],
    "convolution": lambda: [
        nn.Conv1D(3, 2, activation="relu"),
        nn.MaxPooling1D(2),
        nn.GroupNormalization(3),
        nn.Flatten(),
    ],
    "time distributed": lambda: [
        nn.TimeDistributed(nn.Dense(3)),
        nn.TimeDistributed(nn.BatchNormalization()),
        nn.Flatten(),
    ],
    "time distributed, dropped": lambda: [nn.TimeDistributed(nn.Dropout(0.3)), nn.Flatten(), nn.Dense(2)],
    "bidirectional": lambda: [nn.Bidirectional(nn.GRU(2, recurrent_dropout=0.2)), nn.UnitNormalization()],
    "cell": lambda: [nn.RNN([nn.LSTMCell(2, dropout=0.2), nn.GRUCell(3)]), nn.Dense(2)],
    "activations": lambda: [nn.PReLU(), nn.Softmax(1), nn.AveragePooling1D(2), nn.Flatten()],
    "double": lambda: [nn.Dense(4, dtype="float64"), nn.BatchNormalization(dtype="float64"), nn.Flatten()],
    "grouped attention": lambda: [Attend(nn.GroupQueryAttention(2, 4, 2, dropout=0.3)), nn.Flatten()],
    "rates": lambda: [nn.ConvLSTM1D(2, 2, recurrent_dropout=0.3, dropout=0.2)],
    "own statistics": lambda: [nn.Flatten(), nn.Dense(3), AboutTheMean()],
}


@nn.layer
class Attend(nn.Layer):
    body: nn.Layer
    per_sample = True

    def forward(self, s, x):
        return self.body(s, x, x)


@nn.layer
class AboutTheMean(nn.Layer):
    """`x` minus the mean of the samples that count, in training and in evaluations."""

    per_sample = True

    def forward(self, s, x):
        xp = kf.namespace(x)
        which = xp.ones_like(x[:, :1]) if s.samples is None else xp.astype(s.samples, x.dtype)[:, None]
        return x - xp.sum(x * which, axis=0) / xp.sum(which)


def one_step(net, batch, y, loss, backend="numpy"):
    """The state and the numbers after a training step and an evaluation step, NumPy's."""
    params, state = net.init(0, batch.x, backend=backend)
    optimizer = optim.sgd(0.1)
    number = kf.asarray(np.int32(3), backend=backend)
    ts = TrainState(params, state, optimizer.init(params), kf.random.key(0, backend=backend), number)
    batch = kf.to_backend(batch, backend)
    found = {"mae": OutputMetric(kf.metrics.MeanAbsoluteError())}
    tables = net.trace(batch.x).tables
    step = make_train_step(net, optimizer, loss, found, net.constraints(batch.x), tables)
    ts, progress = step(ts, start(found, kf.backends.get(backend)), batch)
    seen = make_eval_step(net, loss, found, tables)(ts.params, ts.state, start(found, kf.backends.get(backend)), batch)
    return map(kf.to_numpy, (ts, progress, seen))


ELSEWHERE = [
    pytest.param(name, *p.values, marks=p.marks)
    for name in ("dense", "batch norm, masked", "mask", "dropout")
    for p in params(("torch", "array_api_strict"))
]
"""Backends that fill up only when they are told to compile, which takes long; here they do not compile."""


@pytest.mark.parametrize(("name", "backend"), [*((name, "numpy") for name in NETWORKS), *ELSEWHERE])
def test_network(name, backend):
    net = nn.Sequential(NETWORKS[name]())
    assert net.separates_samples()
    x = TOKENS if "Embedding" in repr(net) else NUMBERS[..., None] if "ConvLSTM" in repr(net) else NUMBERS
    y = np.zeros((len(x), *net.trace(kf.Spec((None, *x.shape[1:]), x.dtype.name)).outputs[-1][2].shape[1:]), np.float32)
    y += np.arange(len(x), dtype=np.float32).reshape(-1, *[1] * (y.ndim - 1))
    weight = np.linspace(0.5, 2, len(x), dtype=np.float32)
    loss, plain = kf.losses.MeanSquaredError(), Batch(x, y, weight)
    expected = one_step(net, plain, y, loss, backend)
    filled = [map(lambda a: behind(a, fill), plain)._replace(count=np.int32(len(x))) for fill in range(2)]
    found = [one_step(net, batch, y, loss, backend) for batch in filled]
    if x is TOKENS:  # NumPy adds a table's gradients in an order that depends on all rows
        close(*found, 72)
    else:
        same(*found)
    close(found[0], expected, 72)


# -- fit, evaluate and predict on backends that fill up ----------------------------------------------------------------


@nn.layer
class Centered(nn.Layer):
    """A layer of the user's own, which mixes the samples of a batch."""

    def forward(self, s, x):
        return x - kf.namespace(x).mean(x, axis=0, keepdims=True)


@nn.layer
class Counting(nn.Layer):
    """Counts how often it is traced."""

    per_sample = True

    def forward(self, s, x):
        TRACES.append(tuple(x.shape))
        return x


TRACES: list = []


def squared(y_true, y_pred):
    """A loss that mixes the samples, and has a value for each."""
    xp = kf.namespace(y_pred)
    return xp.mean((y_pred - y_true) ** 2 * (1 + xp.mean(y_pred**2)), axis=-1)


def scalar(y_true, y_pred):
    return kf.namespace(y_pred).mean((y_pred - y_true) ** 2)


Y = np.random.default_rng(2).normal(size=(12, 2)).astype(np.float32)


def centered(x):
    return x - kf.namespace(x).mean(x, axis=0, keepdims=True)


PLAIN = [nn.Flatten(), nn.Dense(2)]
UNFILLED = {
    "layer": ([*PLAIN, Centered()], {"loss": "mse"}),
    "layer inside": ([nn.Remat(nn.Sequential([nn.Flatten(), Centered(), nn.Dense(2)]))], {"loss": "mse"}),
    "lambda": ([*PLAIN, nn.Lambda(centered)], {"loss": "mse"}),
    "activity": ([nn.Flatten(), nn.Dense(2, activity_regularizer="l2")], {"loss": "mse"}),
    "loss": (PLAIN, {"loss": squared}),
    "scalar": (PLAIN, {"loss": scalar}),
    "metric": (PLAIN, {"loss": "mse", "metrics": [squared]}),
    "scalar metric": (PLAIN, {"loss": "mse", "weighted_metrics": [scalar]}),
    "loss of all": (PLAIN, {"loss": kf.losses.Dice()}),
}
"""What may mix the samples, or count those that fill up."""


@pytest.mark.parametrize("name", UNFILLED)
def test_unfilled(name):
    layers, options = UNFILLED[name]
    model = kf.Model(nn.Sequential(layers))
    model.compile("sgd", **options)
    assert not fills(model)


def test_filled():
    model = kf.Model(nn.Sequential(PLAIN))
    model.compile("sgd", "mse", metrics=["mae", "r2_score"], weighted_metrics=["mse"])
    assert fills(model)


def fills(model):
    data, setup = model._trainable(source(NUMBERS, Y, batch_size=5), "numpy")
    return setup.objective.fills(data.first.y, setup.traced)


FITS = {
    "filled": lambda: (
        [nn.BatchNormalization(), nn.LSTM(3, dropout=0.2, recurrent_dropout=0.2), nn.Dropout(0.3), nn.Dense(2)],
        {"loss": "mse", "metrics": ["mae", "r2_score"], "weighted_metrics": ["mse"]},
    ),
    "unfilled": lambda: ([nn.Flatten(), nn.Dense(2), Centered()], {"loss": squared, "metrics": [scalar]}),
}


def trained(name, backend):
    layers, options = FITS[name]()
    model = kf.Model(nn.Sequential(layers), seed=1)
    model.compile(optim.sgd(0.01), **options)
    weight = np.linspace(0.5, 2, 12, dtype=np.float32)
    history = model.fit(NUMBERS, Y, 5, 2, sample_weight=weight, verbose=0, backend=backend)
    return (
        history.history,
        model.evaluate(NUMBERS, Y, 5, verbose=0, return_dict=True),
        model.predict(NUMBERS, 5),
        kf.tree.map(kf.to_numpy, (model.train_state.params, model.train_state.state)),
    )


@pytest.mark.parametrize("name", FITS)
@pytest.mark.parametrize("backend", params(("jax", "tensorflow")))
def test_fit(name, backend):
    """Of 2.4 batches, as NumPy's, which never fills up."""
    close(trained(name, backend), trained(name, "numpy"), 300)


@pytest.mark.parametrize("backend", params(("jax", "tensorflow")))
def test_compiled_once(backend):
    """More, or less, data needs no other program, if filling up takes at most a quarter more than it must."""
    model = kf.Model(nn.Sequential([nn.Flatten(), Counting(), nn.Dense(2)]))
    model.compile("sgd", "mse", metrics=["mae"])
    model.build(NUMBERS, backend=backend)
    model.fit(NUMBERS, Y, 5, 2, verbose=0, validation_data=(NUMBERS, Y), validation_batch_size=5)
    model.predict(NUMBERS, 5)
    TRACES.clear()
    for n in (12, 9, 13):
        x, y = NUMBERS[:n], Y[:n]
        model.fit(x, y, 5, 2, verbose=0)
        model.evaluate(x, y, 5, verbose=0)
        model.predict(x, 5)
        model.fit(iter([(x[:5], y[:5]), (x[5:10], y[5:10])]), steps_per_epoch=2, verbose=0)
    assert not [shape for shape in TRACES if shape[0] is not None]  # but shapes are looked at, on Specs


def in_batches(n, size=32):
    return [min(size, n - i) for i in range(0, n, size)]


@pytest.mark.parametrize("size", [32, 37, 1, 5])
def test_room(size):
    """All steps together take at most a quarter more samples than they must, in few programs."""
    feed = Feed(kf.backends.get("numpy"), None, size, True, True)
    seen = set()
    for n in range(1, 101):
        sizes = [feed.program_size(k, i) for i, k in enumerate(in_batches(n, size))]
        assert n <= sum(sizes) <= 1.25 * n
        seen |= set(sizes)
    assert len(seen) <= 7 + 4 * 3
    whole = [room(n) for n in range(1, 101)]
    assert all(n <= k <= 1.25 * n for n, k in enumerate(whole, 1))
    assert len(set(whole)) == 23


CALLS = {
    "predict": lambda model, x, y: model.predict(x),
    "predict_on_batch": lambda model, x, y: model.predict_on_batch(x),
    "evaluate": lambda model, x, y: model.evaluate(x, y, verbose=0),
    "test_on_batch": lambda model, x, y: model.test_on_batch(x, y),
    "train_on_batch": lambda model, x, y: model.train_on_batch(x, y),
    "fit": lambda model, x, y: model.fit(x, y, verbose=0),
    "a generator": None,
}


@pytest.mark.parametrize("backend", params(("jax", "tensorflow")))
@pytest.mark.parametrize("name", CALLS)
def test_few_samples_are_few(name, backend):
    """No call computes more than a quarter more samples than it was given, and it compiles few programs."""
    model = kf.Model(nn.Sequential([nn.Flatten(), Counting(), nn.Dense(2)]))
    model.compile("sgd", "mse")
    x, y = np.concatenate([NUMBERS] * 4), np.concatenate([Y] * 4)
    model.build(x, backend=backend)
    for sizes in ((3,), (17, 18, 20)):
        TRACES.clear()
        if name == "a generator":  # of batches of several sizes
            model.fit(iter([(x[:n], y[:n]) for n in sizes]), steps_per_epoch=len(sizes), verbose=0)
            model.predict(iter([x[:n] for n in sizes]))
        else:
            for n in sizes:
                CALLS[name](model, x[:n], y[:n])
        run = {shape[0] for shape in TRACES} - {None}
        assert run and len(run) <= 2 and min(run) >= sizes[0] and max(run) <= 1.25 * sizes[0], run


@pytest.mark.jax
def test_steps_without_samples_do_not_run():
    """A program of many predictions takes fewer in the time of fewer: the results of the others are zeros."""
    backend = kf.backends.get("jax")
    program = backend.jit(mapped(backend, lambda: lambda fixed, key, batch: (fixed * batch.x, batch.x[0, 0])))
    x = np.arange(1, 13, dtype=np.float32).reshape(4, 3, 1)
    out, first = program(np.float32(2), None, Batch(x), np.int32(2))
    np.testing.assert_array_equal(out, np.concatenate([2 * x[:2].reshape(6, 1), np.zeros((6, 1))]))
    np.testing.assert_array_equal(first, [1, 4, 0, 0])


@pytest.mark.parametrize("backend", params(("jax", "tensorflow")))
def test_pace(backend, monkeypatch):
    """How many steps a dispatch takes, which depends on the time they take, changes no bit."""
    results = []
    for patience in (0.0, 1e9):
        monkeypatch.setattr("kfunc.training.program._PATIENCE", patience)
        results.append(trained("filled", backend))
    same(*results)
