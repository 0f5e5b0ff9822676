"""Training steps that update the state where it lies: they do what pure ones do, and touch nobody else's arrays."""

from __future__ import annotations

import contextlib
import itertools
import signal
import sys
import threading
import tracemalloc

import numpy as np
import pytest
from backends import IN_PLACE, in_place, params
from hypothesis import given
from hypothesis import strategies as st
from test_optim import GRADS, OPTIMIZERS, PARAMS

import kfunc as kf
from kfunc import nn, optim
from kfunc.training import in_place as inplace
from kfunc.training.signals import Deferral

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(14, 5)).astype(np.float32), RNG.normal(size=(14, 3)).astype(np.float32)
EPS = float(np.finfo(np.float32).eps)
NEVER = 1 << 60

ROWS = {name: row[0] for name, row in OPTIMIZERS.items()} | {
    "adagrad": optim.adagrad,
    "adadelta": optim.adadelta,
    "adamax": optim.adamax,
    "nadam": optim.nadam,
    "ftrl": lambda: optim.ftrl(l1_regularization_strength=0.01),
    "amsgrad": lambda: optim.adam(amsgrad=True),
    "centered rmsprop": lambda: optim.rmsprop(momentum=0.9, centered=True),
    "schedule-free": optim.schedule_free_adamw,
    "averaged": lambda: optim.adamw(use_ema=True, ema_overwrite_frequency=3),
    "accumulated": lambda: optim.adam(0.01, gradient_accumulation_steps=2),
    "a fixed scale": lambda: optim.adam(0.01, loss_scale_factor=8.0),
    "clipvalue": lambda: optim.adam(0.01, clipvalue=0.01),
}
WHOLE = {
    "clipnorm": lambda: optim.adam(clipnorm=1.0),
    "global_clipnorm": lambda: optim.sgd(global_clipnorm=1.0),
    "adafactor": optim.adafactor,
    "muon": optim.muon,
    "loss scale": lambda: optim.loss_scale(optim.adam()),
    "by part": lambda: optim.by_part({"a": optim.adam()}),
    "clipped and accumulated": lambda: optim.adam(clipnorm=1.0, gradient_accumulation_steps=2),
    "averaged and clipped": lambda: optim.adam(clipnorm=1.0, use_ema=True),
    **{name: row for name, row in ROWS.items() if row().elementwise is None},
}
PIECEWISE = {name: row for name, row in ROWS.items() if name not in WHOLE}
COMPILED = ("adam", "adamw by path", "schedule", "averaged", "accumulated")  # which takes seconds


def leaves(tree):
    return [np.array(kf.to_numpy(x)) for x in kf.tree.leaves(tree)]


def net(*more):
    return nn.Sequential([nn.Dense(9, activation="relu"), *more, nn.Dense(30, activation="tanh"), nn.Dense(3)])


def fit(name, optimizer="adam", network=None, x=X, y=Y, **options):
    model = kf.Model(network or net(nn.LayerNormalization(), nn.Dropout(0.3)))
    model.compile(optimizer, "mse", metrics=["mae"], **options)
    history = model.fit(x, y, 4, 2, verbose=0, backend=name).history
    return model, history


def steps_of(model):
    return [type(f) for f in model._functions if isinstance(f, inplace.InPlace)]


@pytest.mark.parametrize(
    "name, optimizer",
    [
        pytest.param(name, optimizer, marks=getattr(pytest.mark, name))
        for name in IN_PLACE
        for optimizer in (COMPILED if name == "tensorflow" else PIECEWISE)
    ],
)
def test_like_pure_steps(name, optimizer):
    with in_place(NEVER):
        pure, wanted = fit(name, PIECEWISE[optimizer]())
    with in_place(1):
        model, history = fit(name, PIECEWISE[optimizer]())
    assert len(steps_of(model)) == 1 and not steps_of(pure)
    assert kf.tree.structure(model.train_state) == kf.tree.structure(pure.train_state)
    for got, want in zip(leaves(model.train_state), leaves(pure.train_state), strict=True):
        if name == "tensorflow":  # which adds up more than two terms in an order of its own in each program
            np.testing.assert_allclose(got, want, rtol=64 * EPS, atol=64 * EPS * np.abs(want).max(initial=1))
        else:
            np.testing.assert_array_equal(got, want)
    for key, values in wanted.items():
        assert history[key] == (pytest.approx(values, rel=64 * EPS) if name == "tensorflow" else values)


@pytest.mark.parametrize("name", params(("numpy", "torch")))
def test_like_pure_steps_run_eagerly(name):
    with in_place(NEVER):
        wanted = fit(name)[1]
    with in_place(1):
        model, history = fit(name, run_eagerly=True)
    assert steps_of(model) and history == wanted


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "mixed_bfloat16"])
@pytest.mark.parametrize("name", params(IN_PLACE))
def test_dtypes(name, dtype):
    if name == "numpy" and "bfloat16" in dtype:
        return  # NumPy has none
    network = nn.Sequential([nn.Dense(30, activation="relu", dtype=dtype), nn.Dense(3, dtype=dtype)])
    x, y = (a.astype(np.float64 if dtype == "float64" else np.float32) for a in (X, Y))
    with in_place(NEVER):
        pure, wanted = fit(name, optim.adam(), network, x, y, auto_scale_loss=False)
    with in_place(1):
        model, history = fit(name, optim.adam(), network, x, y, auto_scale_loss=False)
    assert steps_of(model) and history == wanted
    for got, want in zip(leaves(model.train_state), leaves(pure.train_state), strict=True):
        np.testing.assert_array_equal(got, want)


def pieces(tree, axis):
    """The two halves of arrays of even length, in dicts by their paths."""
    by_path = dict(zip(kf.tree.paths(tree), kf.tree.leaves(tree), strict=True))
    return [{path: np.split(a.reshape(-1), 2)[i] for path, a in by_path.items()} for i in range(axis)]


EVEN = [kf.tree.map(lambda p: np.concatenate([p.reshape(-1), p.reshape(-1)[::-1] * 0.5]), t) for t in (PARAMS, *GRADS)]


def halves_agree(optimizer):
    """Whether an update is the same for halves of the leaves as for all, for some steps."""
    whole, *grads = EVEN
    state, parts = optimizer.init(whole), pieces(whole, 2)
    states = [optimizer.init(part) for part in parts]
    for g in grads:
        updates, state = optimizer.update(g, state, whole)
        whole = optim.apply_updates(whole, updates)
        for i, piece in enumerate(pieces(g, 2)):
            updates, states[i] = optimizer.update(piece, states[i], parts[i])
            parts[i] = optim.apply_updates(parts[i], updates)
    return all(
        np.array_equal(np.concatenate([part[path] for part in parts]), leaf)
        for path, leaf in zip(kf.tree.paths(whole), kf.tree.leaves(whole), strict=True)
    )


@pytest.mark.parametrize("optimizer", PIECEWISE)
def test_elementwise_optimizers_are(optimizer):
    assert halves_agree(PIECEWISE[optimizer]())


def test_others_are_not():
    """What the test above tests can fail; and no other optimizer says that it is elementwise."""
    assert {name for name, row in WHOLE.items() if row().elementwise} == set()
    assert {"lamb", "clip_by_global_norm", "multi_optimizer", "add_decayed_weights with a mask"} <= WHOLE.keys()
    assert not halves_agree(optim.lamb(0.1)) and not halves_agree(optim.adam(clipnorm=0.1))


def test_an_optimizer_of_a_users_own_is_not():
    plain = optim.adam()
    with in_place(1):
        model, _ = fit("numpy", optim.GradientTransformation(plain.init, plain.update))
    assert not steps_of(model)


@given(st.lists(st.integers(0, 500), max_size=8), st.integers(1, 300))
def test_groups_cover_each_number_once(sizes, most):
    groups = inplace._groups(tuple(sizes), most)
    seen = [np.zeros(n, int) for n in sizes]
    for i, part in itertools.chain(*groups):
        seen[i][part or slice(None)] += 1
        assert part is None or (part.start % 64 == 0 and sizes[i] > most)
    assert all((s == 1).all() for s in seen)
    assert {i for i, *_ in itertools.chain(*groups)} == set(range(len(sizes)))
    assert all(sum(len(seen[i][part or slice(None)]) for i, part in group) < most + 64 for group in groups)


# -- what is whose -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", params(IN_PLACE))
def test_what_was_seen_stays(name):
    seen, places = [], []

    class Keeps(kf.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            kernel = self.model._carry.value[0].params["dense_2"]["kernel"]
            places.append(kf.backends.get(name).extent(kernel))
            if batch == 1:
                ts = self.model.train_state
                seen.append((ts, leaves(ts)))

    with in_place(1):
        model, _ = fit(name)
        ts = model.train_state
        seen.append((ts, leaves(ts)))
        model.fit(X, Y, 4, 2, verbose=0, callbacks=[Keeps()])
        model.train_on_batch(X, Y)
    for ts, values in seen:
        for x, value in zip(kf.tree.leaves(ts), values, strict=True):
            np.testing.assert_array_equal(kf.to_numpy(x), value)
    # Of four batches an epoch: a copy, where it stays until batch 1 of the next epoch has been seen.
    assert [a == b for a, b in itertools.pairwise(places)] == [True, False, True, True, True, False, True]


@nn.layer
class Delayed(nn.Layer):
    """`x` times the factor of the step before, and plus one that another parameter is part of the gradient of."""

    def forward(self, s, x):
        factor, other = s.param("factor", (x.shape[-1],), "ones"), s.param("other", (), "ones")
        before = s.state("before", factor.shape, "ones")
        s.set("before", factor)
        return x * before + factor * other


@pytest.mark.parametrize("name", params(IN_PLACE))
def test_results_that_lie_in_the_state(name):
    """A step may return a parameter itself, as a new state or a gradient; it is the parameter before the update."""
    with in_place(NEVER):
        pure, wanted = fit(name, network=net(Delayed()))
    with in_place(1):
        model, history = fit(name, network=net(Delayed()))
    assert steps_of(model) and history == wanted
    for got, want in zip(leaves(model.train_state), leaves(pure.train_state), strict=True):
        np.testing.assert_array_equal(got, want)


# -- signals -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", params(IN_PLACE))
@pytest.mark.parametrize("at", [1, 30, 61])
def test_an_interrupt_in_the_update(name, at, monkeypatch):
    """Ctrl-C while half of the state is new: the step is done, and counted."""
    with in_place(1):
        backend, wanted = kf.backends.get(name), {0: None}

        class Keep(kf.callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None, train_state=None):
                wanted[int(kf.to_numpy(train_state.step))] = leaves(train_state)

        model = kf.Model(net())
        model.compile("adam", "mse")
        model.fit(X, Y, 4, 2, verbose=0, shuffle=False, callbacks=[Keep()], backend=name)

        model = kf.Model(net())
        model.compile("adam", "mse")
        write, calls = backend.write, itertools.count(1)

        def interrupting(*args):
            write(*args)
            if next(calls) == at:
                signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(backend, "write", interrupting)
        with pytest.raises(KeyboardInterrupt):
            model.fit(X, Y, 4, 2, verbose=0, shuffle=False, backend=name)
        done = int(kf.to_numpy(model.train_state.step))
        assert 1 <= done < 8
        for got, want in zip(leaves(model.train_state), wanted[done], strict=True):
            np.testing.assert_array_equal(got, want)


@contextlib.contextmanager
def undisturbed():
    """As a `fit` has it around an update."""
    with Deferral() as signals, signals.closed:
        yield


def test_undisturbed():
    came = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
    try:
        handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        with pytest.raises(KeyboardInterrupt), undisturbed():
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGTERM)
            came.append("done")
        assert came == ["done", signal.SIGTERM]
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
        with pytest.raises(ZeroDivisionError), undisturbed():
            1 / 0  # noqa: B018
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
    finally:
        signal.signal(signal.SIGTERM, before)


def test_a_handler_that_raises_costs_no_other_signal():
    """Wherever Python may run it: it raises, the body runs whole or not at all, and all other signals are heeded."""
    came, ran, ends = [], [], set()

    def terminated(number, frame):
        came.append(number)

    def stricken(at):
        """Run the body, with SIGALRM at event number `at`, if there are so many."""
        calls = itertools.count()

        def strike(frame, *_):  # at each call and return, which is where Python looks for signals
            if frame.f_code not in (stricken.__code__, terminated.__code__) and next(calls) == at:
                signal.raise_signal(signal.SIGALRM)

        try:
            sys.setprofile(strike)
            with undisturbed():
                ran.append("begun")
                signal.raise_signal(signal.SIGTERM)
                ran.append("done")
        finally:
            sys.setprofile(None)
        return next(calls) > at

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, terminated)
    signal.signal(signal.SIGALRM, lambda number, frame: 1 / 0)
    try:
        for at in itertools.count():
            came.clear()
            ran.clear()
            with contextlib.suppress(ZeroDivisionError):
                assert not stricken(at)
                break
            ends.add(tuple(ran))
            assert came == [signal.SIGTERM] * bool(ran)
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            with pytest.raises(ZeroDivisionError):
                signal.raise_signal(signal.SIGALRM)
            signal.raise_signal(signal.SIGTERM)
            assert len(came) == 1 + bool(ran)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert ends == {(), ("begun", "done")}


def test_undisturbed_in_a_thread():
    entered = []

    def run():
        with undisturbed():
            entered.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert entered == [signal.getsignal(signal.SIGINT)]


# -- memory ------------------------------------------------------------------------------------------------------------


def test_memory():
    """Beside the state there are the gradients, the activations, and pieces: less than a second state."""
    width = 1200
    x = RNG.normal(size=(8, width)).astype(np.float32)
    model = kf.Model(nn.Sequential([nn.Dense(width), nn.Dense(width)]))
    model.compile("adam", "mse")
    params = 2 * width * (width + 1) * 4  # bytes
    tracemalloc.start()
    try:
        model.fit(x, x, 4, 3, verbose=0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Parameters, two running means, gradients; a piece, of some arrays; and 2 MB for all else.
    assert peak < 4 * params + 8 * kf.backends.get("numpy").piece * 4 + 2e6
