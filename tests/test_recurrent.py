"""What recurrent layers do beside what Keras's rows say: state between calls, dropout, masks, cells of a user's own."""

from __future__ import annotations

import functools
import importlib

import numpy as np
import pytest
from backends import EAGER
from keras_rows import normal

import kfunc as kf
from kfunc import nn
from kfunc.errors import ArgumentError, MissingKeyError, ShapeError

X = normal(2, 4, 3)
IMAGES = normal(2, 4, 3, 3, 2)
MASK = np.array([[1, 0, 1, 1], [0, 1, 1, 0]], bool)
ALL = {"return_sequences": True, "return_state": True}


def close(a, b):
    a, b = (list(map(kf.to_numpy, kf.tree.leaves(tree))) for tree in (a, b))
    assert len(a) == len(b)
    for x, y in zip(a, b, strict=True):
        np.testing.assert_allclose(x, y, rtol=0, atol=2e-6)


def run(layer, *args, name="numpy", train=False, key=None, **options):
    params, state = layer.init(0, *args, **options)
    given = kf.to_backend([params, state, list(args), options], name)
    out, state, aux = layer.apply(given[0], *given[2], state=given[1], train=train, key=key, aux=True, **given[3])
    return out, state, aux


# -- state between calls -----------------------------------------------------------------------------------------------

STATEFUL = {
    "LSTM": (functools.partial(nn.LSTM, 2), X),
    "GRU": (functools.partial(nn.GRU, 2), X),
    "SimpleRNN": (functools.partial(nn.SimpleRNN, 2), X),
    "RNN": (functools.partial(nn.RNN, [nn.LSTMCell(2), nn.GRUCell(3)]), X),
    "ConvLSTM2D": (functools.partial(nn.ConvLSTM2D, 1, 2), IMAGES),
}


@pytest.mark.parametrize("name", STATEFUL)
def test_a_stateful_layer_goes_on_where_it_stopped(name):
    make, x = STATEFUL[name]
    params, _ = make().init(0, x)
    (out, *states), _ = make(**ALL).apply(params, x)
    layer = make(**ALL, stateful=True)
    again, first = layer.init(0, x)
    assert kf.tree.paths(again) == kf.tree.paths(params)
    (a, *_), middle = layer.apply(params, x[:, :3], state=first)
    (b, *_), last = layer.apply(params, x[:, 3:], state=middle, train=True)
    close([np.concatenate([a, b], axis=1)], [out])
    close(last, states)
    close(layer.apply(params, x[:, :3], state=first)[0][0], a)  # the first state resets it
    given = kf.tree.map(np.ones_like, states)
    (out, *_), _ = make(**ALL).apply(params, x, initial_state=given)
    close(layer.apply(params, x, state=middle, initial_state=given)[0][0], out)
    with pytest.raises(ShapeError, match="unknown batch size"):
        layer.init(0, kf.Spec((None, *x.shape[1:])))


def test_both_directions_are_stateful():
    layer = nn.Bidirectional(nn.GRU(2, stateful=True, return_state=True))
    (_, *states), state, _ = run(layer, X)
    close(state, [states[1], states[0]])  # by name: the backward layer's first


# -- dropout -----------------------------------------------------------------------------------------------------------

LINEAR = {"activation": None, "use_bias": False}
INPUT = {"dropout": 0.5, "kernel_initializer": "identity", "recurrent_initializer": "zeros"}
STATE = {"recurrent_dropout": 0.5, "kernel_initializer": "zeros", "recurrent_initializer": "identity"}


@pytest.mark.parametrize("backend", EAGER)
@pytest.mark.parametrize(
    "make", [nn.SimpleRNN, lambda *a, **k: nn.RNN(nn.SimpleRNNCell(*a, **k), return_sequences=True)]
)
def test_the_same_features_are_dropped_at_all_steps(make, backend):
    options = {"return_sequences": True} if make is nn.SimpleRNN else {}
    ones = np.ones((3, 4, 50), np.float32)
    out = kf.to_numpy(run(make(50, **LINEAR, **INPUT, **options), ones, name=backend, train=True, key=1)[0])
    assert set(np.unique(out)) == {0, 2} and 0.3 < np.mean(out == 0) < 0.7
    np.testing.assert_array_equal(out, np.broadcast_to(out[:, :1], out.shape))
    first = {"initial_state": ones[:, 0]}
    out = kf.to_numpy(run(make(50, **LINEAR, **STATE, **options), ones, name=backend, train=True, key=1, **first)[0])
    factors = out[:, :1]
    assert set(np.unique(factors)) == {0, 2} and 0.3 < np.mean(factors == 0) < 0.7
    np.testing.assert_array_equal(out, factors ** np.arange(1, 5)[:, None])


DROPPING = {
    "LSTM": nn.LSTM(2, dropout=0.3, recurrent_dropout=0.4),
    "GRU": nn.GRU(2, dropout=0.3, recurrent_dropout=0.4),
    "GRU before": nn.GRU(2, recurrent_dropout=0.4, reset_after=False),
    "SimpleRNN": nn.SimpleRNN(2, dropout=0.3, recurrent_dropout=0.4),
    "RNN": nn.RNN([nn.LSTMCell(2, dropout=0.3), nn.GRUCell(2, recurrent_dropout=0.4)]),
    "ConvLSTM2D": nn.ConvLSTM2D(2, 2, dropout=0.3, recurrent_dropout=0.4),
    "Bidirectional": nn.Bidirectional(nn.GRU(2, dropout=0.3)),
}


@pytest.mark.parametrize("name", DROPPING)
def test_dropout_is_for_training_and_the_same_everywhere(name):
    layer = DROPPING[name]
    x = IMAGES if name == "ConvLSTM2D" else X
    plain, trained = run(layer, x)[0], run(layer, x, train=True, key=3)[0]
    assert np.max(np.abs(plain - trained)) > 1e-3
    for backend in kf.backends.available():
        if backend != "openvino":
            close(run(layer, x, name=backend, train=True, key=3)[0], trained)


@pytest.mark.parametrize("name", DROPPING)
def test_dropout_needs_a_key(name):
    with pytest.raises(MissingKeyError):
        run(DROPPING[name], IMAGES if name == "ConvLSTM2D" else X, train=True)


def test_a_seed_gives_other_draws():
    outs = [run(nn.LSTM(9, recurrent_dropout=0.5, seed=seed), X, train=True, key=0)[0] for seed in (None, 1, 2, 2)]
    assert [np.array_equal(outs[0], outs[1]), np.array_equal(outs[1], outs[2]), np.array_equal(outs[2], outs[3])] == [
        *(False, False, True)
    ]


@pytest.mark.parametrize("recurrent", [False, True])
def test_dropped_gates_are_those_of_a_step(recurrent):
    """An LSTM, and its cell, which draws in the same order, step by step."""
    options = {"recurrent_dropout": 0.5} if recurrent else {"dropout": 0.5}
    layer, cell = nn.LSTM(3, **options), nn.LSTMCell(3, **options)
    params, _ = layer.init(0, X)
    states = (np.zeros((2, 3), np.float32),) * 2
    for t in range(4):
        (out, states), _ = cell.apply(params, X[:, t], states, train=True, key=5)
    close(layer.apply(params, X, train=True, key=5)[0], out)


# -- masks -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [functools.partial(nn.LSTM, 2), functools.partial(nn.RNN, nn.GRUCell(2))])
def test_steps_that_do_not_count_might_not_be_there(make):
    layer = make(return_sequences=True)
    params, _ = layer.init(0, X)
    out, _, aux = layer.apply(params, X, mask=MASK, aux=True)
    np.testing.assert_array_equal(aux.mask, MASK)
    nan = np.where(MASK[..., None], X, np.nan)
    close(make(return_sequences=True).apply(params, nan, mask=MASK)[0], out)
    for i, counts in enumerate(MASK):
        close(layer.apply(params, X[i : i + 1, counts])[0][0], out[i, counts])
    backwards, _, aux = make(return_sequences=True, go_backwards=True).apply(params, X, mask=MASK, aux=True)
    np.testing.assert_array_equal(aux.mask, MASK[:, ::-1])
    flipped = layer.apply(params, X[:, ::-1], mask=MASK[:, ::-1])[0]
    close(backwards, flipped)
    # Zeros are for sequences.
    close(make(zero_output_for_mask=True).apply(params, X, mask=MASK)[0], out[:, -1])
    zeros = make(zero_output_for_mask=True, return_sequences=True).apply(params, X, mask=MASK)[0]
    close(zeros, np.where(MASK[..., None], out, 0))


@pytest.mark.parametrize("unroll", [False, True])
def test_convolutions_take_masks(unroll):
    options = {"return_sequences": True, "zero_output_for_mask": True, "unroll": unroll}
    layer = nn.ConvLSTM2D(1, 2, **options)
    params, _ = layer.init(0, IMAGES)
    out, _ = layer.apply(params, IMAGES, mask=MASK)
    assert not np.any(out[~MASK])
    for i, counts in enumerate(MASK):
        close(layer.apply(params, IMAGES[i : i + 1, counts])[0][0], out[i, counts])


def test_a_regularizer_of_the_activity():
    (out, *_), _, aux = run(nn.SimpleRNN(2, activity_regularizer=nn.regularizers.L1(1.0), return_state=True), X)
    one = nn.ActivityRegularization(l1=1.0)
    close(list(aux.losses.values()), [list(run(one, out)[2].losses.values())] * 2)


# -- derivatives -----------------------------------------------------------------------------------------------------


@pytest.mark.jax
@pytest.mark.parametrize("name, gates, states", [("lstm", 4, 2), ("gru", 3, 1), ("simple_rnn", 1, 1)])
def test_a_derivative_of_our_own_has_derivatives(name, gates, states):
    """Forwards, by one argument alone, and twice, in a batch: what JAX makes of the reference."""
    op, bias = getattr(kf.ops, name), (2, 2 * gates) if name == "gru" else (2 * gates,)
    shapes = ((2, 4, 3), (3, 2 * gates), (2, 2 * gates), bias, *[(2, 2)] * states)
    args, moves = kf.to_backend(([normal(*s) for s in shapes], [normal(*s) for s in shapes]), "jax")
    mask = kf.asarray(MASK, backend="jax")

    def everything(fun, args, moves):
        def outputs(*args):
            return fun(*args, reverse=True, mask=mask, zero_output_for_mask=True)

        def loss(*args):
            return sum((a * a).sum() for a in outputs(*args))

        gradient = kf.grad(loss, tuple(range(len(args))))
        batch = kf.vmap(lambda x, move: kf.jvp(gradient, [x, *args[1:]], [move, *moves[1:]]))
        return kf.jvp(outputs, args, moves), kf.grad(loss, 3)(*args), batch(args[0][None], moves[0][None])

    run = kf.jit(lambda args, moves: [everything(f, args, moves) for f in (op, op.reference)], compile=True)
    got, want = map(kf.tree.leaves, run(args, moves))
    assert len(got) == len(want)
    for a, b in zip(got, want, strict=True):
        a, b = kf.to_numpy(a), kf.to_numpy(b)
        np.testing.assert_allclose(a, b, rtol=0, atol=64 * np.finfo(np.float32).eps * max(1, np.max(np.abs(b))))


# -- a user's own cells ----------------------------------------------------------------------------------------------


@nn.layer
class StepCounter(nn.Layer):
    """Its output is no state; it counts its steps in a state variable, and starts at ones."""

    state_size = 2
    output_size = 3

    def initial_states(self, x):
        return (kf.namespace(x).ones_like(x[:, :2]),)

    def forward(self, s, x, states):
        s.set("steps", s.state("steps", (), "zeros") + 1)
        h = states[0] + x[:, :2] * s.param("gamma", (2,), "ones")
        return 2 * x, h


@pytest.mark.parametrize("backend", EAGER)
def test_any_layer_may_be_a_cell(backend):
    (out, h), state, _ = run(nn.RNN(StepCounter(), **ALL), X, name=backend)
    close(out, 2 * X)
    close(h, 1 + X[:, :, :2].sum(1))
    close(state, [np.float32(4)])
    (out, h), state, _ = run(nn.RNN(StepCounter(), **ALL), X, name=backend, mask=MASK)
    close(out, 2 * np.stack([X[0, [0, 0, 2, 3]], [0 * X[1, 0], *X[1, [1, 2, 2]]]]))
    close(h, 1 + (X * MASK[..., None])[:, :, :2].sum(1))
    close(state, [np.float32(4)])


def test_a_frozen_cell_is_state():
    layer = nn.Sequential([nn.RNN(nn.LSTMCell(2, trainable=False, kernel_regularizer="l2"))])
    params, state = layer.init(0, X)
    assert not kf.tree.leaves(params) and len(kf.tree.leaves(state)) == 3
    (out, after, aux) = layer.apply(params, X, state=state, train=True, key=0, aux=True)
    close(after, state)
    assert not aux.losses
    close(out, nn.LSTM(2).apply(state["rnn"]["cell"], X)[0])


def test_what_is_no_cell():
    for make in (lambda: nn.RNN(nn.Dense(3)), lambda: nn.RNN(3), lambda: nn.StackedRNNCells([nn.Dense(3)])):
        with pytest.raises(ArgumentError, match="state_size"):
            make()
    with pytest.raises(ArgumentError, match="2 arrays"):
        run(nn.RNN(nn.LSTMCell(2)), X, initial_state=[X[:, 0, :2]])
    with pytest.raises(ArgumentError, match="2 arrays"):
        run(nn.LSTMCell(2), X[:, 0], [X[:, 0, :2]])


# -- precision, constraints, wrappers --------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["jax", "torch"])
@pytest.mark.parametrize("layer", [nn.LSTM(2, dtype="mixed_bfloat16"), nn.RNN(nn.GRUCell(2), dtype="mixed_bfloat16")])
def test_half_precision(layer, backend):
    pytest.importorskip(backend)
    full = run(type(layer)(**{**fields(layer), "dtype": None}), X, mask=MASK)[0]
    half = run(layer, X, name=backend, mask=MASK, initial_state=None)[0]
    assert "bfloat16" in str(half.dtype)
    np.testing.assert_allclose(
        kf.to_numpy(kf.namespace(half).astype(half, kf.namespace(half).float32)), full, atol=0.03
    )


def fields(layer):
    return {name: value for name, value in layer._arguments() if name != "name"}


def test_constraints_are_those_of_the_parameters():
    layer = nn.GRU(2, kernel_constraint="non_neg", recurrent_constraint="unit_norm", bias_constraint="max_norm")
    assert set(layer.constraints(X)) == {"kernel", "recurrent_kernel", "bias"}


def test_both_directions_have_weights_of_their_own():
    cell = nn.GRUCell(2)
    one = nn.RNN(cell, return_sequences=True)
    net = nn.Sequential([nn.Bidirectional(one), nn.Bidirectional(one, "sum"), one])
    params, _ = net.init(0, X)
    assert len(kf.tree.leaves(params)) == 15
    kernels = [params["bidirectional"][d]["cell"]["kernel"] for d in ("forward_layer", "backward_layer")]
    assert not np.array_equal(*kernels)


def test_a_layer_on_each_step_sees_all_steps_as_one_batch():
    layer = nn.TimeDistributed(nn.BatchNormalization(momentum=0.0))
    out, state, _ = run(layer, X, train=True)
    close([out.mean((0, 1)), state["layer"]["moving_mean"]], [np.zeros(3), X.mean((0, 1))])


UNKNOWN = {
    "LSTM": nn.LSTM(2),
    "SimpleRNN": nn.SimpleRNN(2, return_sequences=True, go_backwards=True),
    "RNN": nn.RNN([nn.GRUCell(2), nn.LSTMCell(2)]),
    "ConvLSTM1D": nn.ConvLSTM1D(2, 1),
    "Bidirectional": nn.Bidirectional(nn.GRU(2, return_sequences=True)),
    "TimeDistributed": nn.TimeDistributed(nn.Dense(2)),
}


@pytest.mark.tensorflow
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", UNKNOWN)
def test_batch_and_time_may_be_unknown(name, masked):
    tf = importlib.import_module("tensorflow")
    layer, x = UNKNOWN[name], normal(2, 4, 3, 2) if name == "ConvLSTM1D" else X
    spec = layer.trace(kf.Spec((None, None, *x.shape[2:]))).outputs[-1][2]
    assert spec.shape[0] is None
    params, _ = layer.init(0, x)

    @functools.partial(
        tf.function,
        input_signature=[tf.TensorSpec((None, None, *x.shape[2:])), tf.TensorSpec((None, None), tf.bool)],
        autograph=False,
    )
    def compiled(x, mask):
        return layer.apply(kf.to_backend(params, "tensorflow"), x, mask=mask if masked else None)[0]

    close(compiled(x, MASK), layer.apply(params, x, mask=MASK if masked else None)[0])


@pytest.mark.openvino
@pytest.mark.parametrize("layer", [nn.LSTM(2), nn.GRU(2, reset_after=False), nn.SimpleRNN(2, return_sequences=True)])
def test_one_program_of_openvino_for_any_time(layer):
    params, _ = layer.init(0, X)
    program = kf.jit(lambda p, x: layer.apply(p, x)[0], constant_argnums=(0,), compile=True)
    for x in (X, normal(3, 6, 3)):
        close(program(*kf.to_backend((params, x), "openvino")), layer.apply(params, x)[0])
