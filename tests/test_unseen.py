"""Masked positions are not seen: whatever they hold, values and gradients are those of zeros there."""

from __future__ import annotations

import numpy as np
import pytest
from backends import NAMES
from sampling import chosen

import kfunc as kf
from kfunc import losses, metrics, nn

B, T, D = 3, 5, 4
X = np.random.default_rng(0).normal(size=(B, T, D)).astype(np.float32)
MASK = np.asarray([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 0, 1, 0, 0]], bool)
PAIRS = MASK[:, None, :] & np.ones((T, 1), bool)

# The layer, how it is called with one array, and its options.
ONE, TWO, LISTED = (lambda x: (x,)), (lambda x: (x, x)), (lambda x: ([x, x],))
LAYERS = {
    "LSTM": (nn.LSTM(3), ONE, {"mask": MASK}),
    "LSTM backwards": (nn.LSTM(3, go_backwards=True, return_sequences=True), ONE, {"mask": MASK}),
    "GRU": (nn.GRU(3, return_sequences=True), ONE, {"mask": MASK}),
    "GRU old": (nn.GRU(3, reset_after=False), ONE, {"mask": MASK}),
    "SimpleRNN": (nn.SimpleRNN(3, unroll=True), ONE, {"mask": MASK}),
    "RNN": (nn.RNN([nn.LSTMCell(3), nn.GRUCell(2)]), ONE, {"mask": MASK}),
    "Bidirectional": (nn.Bidirectional(nn.LSTM(3, return_sequences=True)), ONE, {"mask": MASK}),
    "ConvLSTM1D": (nn.ConvLSTM1D(2, 2), lambda x: (kf.ops.expand_dims(x, -1),), {"mask": MASK}),
    "TimeDistributed": (nn.TimeDistributed(nn.Dense(3)), ONE, {"mask": MASK}),
    "BatchNormalization": (nn.BatchNormalization(), ONE, {"mask": MASK}),
    "GlobalAveragePooling1D": (nn.GlobalAveragePooling1D(), ONE, {"mask": MASK}),
    "Softmax": (nn.Softmax(axis=1), ONE, {"mask": MASK[..., None]}),
    "Sequential": (nn.Sequential([nn.Dense(4), nn.LayerNormalization(), nn.LSTM(3)]), ONE, {"mask": MASK}),
    "Graph": (nn.Graph(i := nn.Input((T, D)), nn.GRU(2)(nn.Dense(3)(i))), ONE, {"mask": MASK}),
    "MultiHeadAttention": (nn.MultiHeadAttention(2, 3), TWO, {"query_mask": MASK, "value_mask": MASK}),
    "attention_mask": (nn.MultiHeadAttention(2, 3), lambda x: (X, x), {"attention_mask": PAIRS}),
    "key_mask": (nn.MultiHeadAttention(2, 3), lambda x: (X, X, x), {"key_mask": MASK}),
    "GroupQueryAttention": (nn.GroupQueryAttention(3, 4, 2), TWO, {"query_mask": MASK, "value_mask": MASK}),
    "Attention": (nn.Attention(use_scale=True), LISTED, {"mask": [MASK, MASK]}),
    "AdditiveAttention": (nn.AdditiveAttention(), LISTED, {"mask": [MASK, MASK]}),
}


def rows(table):
    """All rows on NumPy, and a third of them, by a fixed hash, on each other backend with gradients."""
    return [
        pytest.param(backend, name, marks=getattr(pytest.mark, backend))
        for backend in NAMES
        for name in table
        if backend == "numpy" or (backend != "openvino" and chosen(3, backend, name))
    ]


def differentiated(name, backend, hidden):
    """Value and gradients where the masked positions hold `hidden`."""
    layer, call, options = LAYERS[name]
    x = np.where(MASK[..., None], X, np.float32(hidden))
    params, state = layer.init(0, *call(x), **options)
    params, state, x, mask, options, given = kf.to_backend((params, state, x, MASK, options, X), backend)

    def objective(params, x):
        args = [given if a is X else a for a in call(x)]
        y, _ = layer.apply(params, *args, state=state, train=True, key=0, **options)
        if tuple(y.shape[:2]) == (B, T):
            y = kf.ops.where(kf.ops.expand_dims(mask, -1), y, kf.ops.zeros_like(y))
        return kf.ops.sum(y * y)

    value, gradients = kf.value_and_grad(lambda both: objective(*both))((params, x))
    return [kf.to_numpy(leaf) for leaf in kf.tree.leaves((value, gradients))]


@pytest.mark.parametrize(("backend", "name"), rows(LAYERS))
def test_layers(backend, name):
    wanted = differentiated(name, backend, 0.0)
    assert any(np.any(w != 0) for w in wanted[1:])
    for hidden in (np.nan, np.inf)[: 2 if backend == "numpy" else 1]:
        for got, want in zip(differentiated(name, backend, hidden), wanted, strict=True):
            # The same sums in the same order, of zeros in both.
            np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)


@nn.layer
class Masked(nn.Layer):
    attention: nn.Layer

    def forward(self, s, x, mask):
        return self.attention(s, x, x, query_mask=mask, value_mask=mask)


@pytest.mark.parametrize("backend", [pytest.param(name, marks=getattr(pytest.mark, name)) for name in NAMES])
def test_what_comes_after_finite_numbers(backend):
    """A program that has seen finite numbers alone hides the others nevertheless."""
    net, kept = kf.Model(Masked(nn.MultiHeadAttention(2, 3))), MASK[..., None]
    net.build(kf.Spec((None, T, D)), kf.Spec((None, T), "bool"), backend=backend)
    want = net.predict_on_batch([X * kept, MASK])
    for hidden in (np.nan, np.inf, 0.0):
        got = net.predict_on_batch([np.where(kept, X, np.float32(hidden)), MASK])
        np.testing.assert_allclose(got * kept, want * kept, rtol=1e-6, atol=1e-6)  # the same sums


WEIGHTS = {n: np.random.default_rng(n).normal(size=(7, n * 3)).astype(np.float32) / 2 for n in (1, 3, 4)}


def recurrent(op, gates, **options):
    def run(x, mask):
        weights = kf.to_backend((WEIGHTS[gates][:D], WEIGHTS[gates][D:]), kf.backend_of(x).name)
        return op(x, *weights, mask=mask, **options)[0]

    return run


def heads(x, mask):
    """The mask of an attention hides sources, and no targets."""
    query, x = (kf.ops.reshape(a, (B, T, 2, 2)) for a in (kf.to_backend(X, kf.backend_of(x).name), x))
    return kf.ops.dot_product_attention(query, x, x, mask=kf.ops.reshape(mask, (B, 1, 1, T)))


def ctc(x, mask):
    counts = kf.ops.sum(kf.ops.cast(mask, "int32"), axis=1)
    return kf.ops.ctc_loss(kf.ops.cast(mask, "int32")[:, :1], x, kf.ops.minimum(counts, 1), counts)


OPS = {
    "lstm": recurrent(kf.ops.lstm, 4),
    "lstm backwards": recurrent(kf.ops.lstm, 4, reverse=True, zero_output_for_mask=True),
    "gru": recurrent(kf.ops.gru, 3),
    "gru old": recurrent(kf.ops.gru, 3, reset_after=False),
    "simple_rnn": recurrent(kf.ops.simple_rnn, 1),
    "dot_product_attention": heads,
    "ctc_loss": ctc,
}
FIRST = np.asarray([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 1, 0, 0, 0]], bool)  # ctc_loss hides the end only


@pytest.mark.parametrize(("backend", "name"), rows(OPS))
def test_ops(backend, name):
    def differentiated(hidden):
        x, mask = kf.to_backend((np.where(FIRST[..., None], X, np.float32(hidden)), FIRST), backend)

        def objective(x):
            y = OPS[name](x, mask)
            seen = kf.ops.reshape(mask, (B, T, *(1,) * (y.ndim - 2))) if y.ndim > 1 else kf.ops.any(mask, axis=1)
            return kf.ops.sum(kf.ops.where(seen, y * y, kf.ops.zeros_like(y)))

        return [kf.to_numpy(a) for a in kf.value_and_grad(objective)(x)]

    value, slope = differentiated(0.0)
    assert np.isfinite(value) and np.any(slope[FIRST])
    for hidden in (np.nan, np.inf):
        for got, want in zip(differentiated(hidden), (value, np.where(FIRST[..., None], slope, 0)), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)


LOSSES = {
    "MeanSquaredError": losses.MeanSquaredError(),
    "BinaryCrossentropy": losses.BinaryCrossentropy(),
    "CategoricalCrossentropy": losses.CategoricalCrossentropy(from_logits=True),
    "CosineSimilarity": losses.CosineSimilarity(),
    "KLDivergence": losses.KLDivergence(reduction="mean_with_sample_weight"),
    "Huber": losses.Huber(reduction="none"),
    "function": losses.get(lambda t, p: kf.ops.square(kf.ops.subtract(t, p))),
}


@pytest.mark.parametrize(("backend", "name"), rows(LOSSES))
def test_losses(backend, name):
    def differentiated(hidden):
        true, pred = (np.where(MASK[..., None], a, np.float32(hidden)) for a in (abs(X) / 3, abs(X[::-1]) / 3))
        true, pred, mask = kf.to_backend((true, pred, MASK), backend)
        value, slope = kf.value_and_grad(lambda p: kf.ops.sum(LOSSES[name](true, p, mask=mask)))(pred)
        return kf.to_numpy(value), kf.to_numpy(slope)

    value, slope = differentiated(0.5)
    assert np.isfinite(value) and not np.any(slope[~MASK])
    for hidden in (np.nan, np.inf):
        for got, want in zip(differentiated(hidden), (value, slope), strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "metric",
    [metrics.MeanSquaredError(), metrics.RootMeanSquaredError(), metrics.BinaryCrossentropy(), metrics.AUC()],
    ids=lambda m: m.name,
)
def test_metrics(metric):
    def measured(hidden):
        true, pred = (np.where(MASK[..., None], a, np.float32(hidden)) for a in (abs(X) / 3, abs(X[::-1]) / 3))
        return metric.result(metric.update(metric.init(), np.rint(true), pred, mask=MASK))

    np.testing.assert_allclose([measured(np.nan), measured(np.inf)], 2 * [measured(0.5)], rtol=1e-6)
    mean = metrics.Mean()
    np.testing.assert_allclose(
        mean.result(mean.update(mean.init(), np.float32([1, np.nan, 3]), mask=np.asarray([1, 0, 1], bool))), 2
    )


@pytest.mark.parametrize("layer", [nn.LSTM(3), nn.GRU(3), nn.RNN(nn.LSTMCell(3)), nn.TimeDistributed(nn.Dense(2))])
@pytest.mark.parametrize("shape", [(B, T + 1), (B, T - 1), (B + 1, T)])
def test_masks_of_other_lengths(layer, shape):
    with pytest.raises(kf.errors.ShapeError, match=r"`mask` must have the batch and the steps of x, \(3, 5\)"):
        layer.init(0, X, mask=np.ones(shape, bool))
