"""Recording: the kernel calls of a function, run again with other numbers, give the bits that the function gives."""

from __future__ import annotations

import numpy as np
import pytest
from backends import params
from catalogue_oracle import FILE, IDS, ROWS
from test_catalogue import run

import kfunc as kf
from kfunc import nn
from kfunc.backends.numpy.inside import whole
from kfunc.tracing.record import RecordedFunction, record_of
from kfunc.training.carry import Carry

RECORDING = ("numpy", "torch", "array_api_strict")


class Recorded(RecordedFunction):
    """A recorded function that tells how many programs it has, and can be forbidden to run without one."""

    def __init__(self, fun, name="numpy"):
        super().__init__(kf.backends.get(name), fun)

    @property
    def programs(self):
        return sum(len(known.paths) for known in self._known.values())

    def replayed(self, *args):
        fun, self._fun = self._fun, None
        try:
            return self(*args)
        finally:
            self._fun = fun


def assert_same(got, want):
    for a, b in zip(kf.tree.leaves(got), kf.tree.leaves(want), strict=True):
        a, b = kf.to_numpy(a), kf.to_numpy(b)
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def other(x, name):
    """`x` with other numbers, that tell the same of an `if`."""
    values = kf.to_numpy(x)
    if values.dtype.kind != "f":
        return x
    factors = np.random.default_rng(1).uniform(0.5, 0.9, values.shape)
    return kf.asarray(np.asarray(values * factors, values.dtype), backend=name)


@pytest.mark.parametrize("name", params(RECORDING))
@pytest.mark.parametrize("i", range(len(ROWS)), ids=IDS)
def test_rows(name, i):
    """The whole catalogue, gradients and new state included."""
    if name == "array_api_strict" and i % 4:
        return  # what it has of its own is little, and slow

    def twice(fun):
        recorded = Recorded(fun, name)

        def compare(arrays, ws):
            others = [other(x, name) for x in arrays]
            for _ in range(2):
                recorded(others, ws)
            got = recorded.replayed(arrays, ws)
            assert_same(got, fun(arrays, ws))
            return got

        return compare

    run(ROWS[i], name, FILE.answer(i), twice)


def a(*values):
    return np.asarray(values, np.float32)


def test_an_if_is_asked_again():
    def fun(x):
        xp = kf.namespace(x)
        if xp.sum(x) > 0:
            return x * 2
        return x - 1 if bool(xp.all(x < -1)) else x

    recorded = Recorded(fun)
    for values in (a(1, 2), a(3, 4), a(-1, -2), a(-3, -4), a(-5, -6)):
        for _ in range(2):
            assert_same(recorded(values), fun(values))
    assert recorded.programs == 3
    for values in (a(7, 8), a(-7, -8), a(-1, -0.5)):
        assert_same(recorded.replayed(values), fun(values))


def largest(x):
    """The largest element, as an integer."""
    xp = kf.namespace(x)
    return xp.astype(xp.max(xp.abs(x)), xp.int64)


SHAPES = {
    "mask": lambda xp, x: x[x > 0],
    "mask in a tuple": lambda xp, x: x[(x > 0,)],
    "nonzero": lambda xp, x: xp.nonzero(x)[0],
    "unique_values": lambda xp, x: xp.unique_values(x),
    "unique_counts": lambda xp, x: xp.unique_counts(x).counts,
    "arange": lambda xp, x: xp.arange(xp.max(xp.abs(x))),
    "repeat": lambda xp, x: xp.repeat(x, xp.astype(xp.abs(x), xp.int64)),
    "zeros": lambda xp, x: xp.zeros((largest(x), 2)),
    "full": lambda xp, x: xp.full(shape=(largest(x),), fill_value=1.0),
    "broadcast_to": lambda xp, x: xp.broadcast_to(x, (largest(x), 3)),
    "tile": lambda xp, x: xp.tile(x, (largest(x),)),
}


@pytest.mark.parametrize("name", params(RECORDING))
@pytest.mark.parametrize("fun", SHAPES.values(), ids=SHAPES)
def test_a_shape_is_asked_again(fun, name):
    def sized(x):
        made = fun(kf.namespace(x), x)
        return made.shape[0] * x, made

    recorded = Recorded(sized, name)
    for _ in range(3):
        for values in (a(1, 2, 3), a(1, -2, 3), a(3, 2, 1), a(1, 0, 3), a(1, 2, 4), a(1, 1, 1)):
            x = kf.asarray(values, backend=name)
            assert_same(recorded(x), sized(x))
    assert recorded.programs > 1


def test_answers_without_end():
    """Where each call has another answer, the function runs."""

    def fun(x):
        return x * float(kf.namespace(x).sum(x))

    recorded = Recorded(fun)
    for i in range(20):
        assert_same(recorded(a(i, 1)), fun(a(i, 1)))
        assert recorded.programs <= 4
    assert recorded.programs == 0  # they would only cost time


def to_numpy(x):
    return kf.asarray(np.tanh(kf.to_numpy(x)), backend=kf.backend_of(x))


def own_function(x):
    if kf.backend_of(x).name == "torch":
        import torch

        return torch.tanh(x)
    return np.tanh(x)


def writes(x):
    y = kf.namespace(x).zeros_like(x)
    y[0] = x[1] * 2
    return x + y


@pytest.mark.parametrize("name", params(("numpy", "torch")))
@pytest.mark.parametrize(("fun", "programs"), [(to_numpy, 0), (own_function, 0), (writes, 1)])
def test_what_is_no_kernel(name, fun, programs):
    recorded = Recorded(fun, name)
    for values in (a(1, 2), a(3, 4), a(5, 6)):
        x = kf.asarray(values, backend=name)
        assert_same(recorded(x), fun(x))
    assert recorded.programs == programs


@pytest.mark.parametrize("name", params(RECORDING))
def test_gradients_of_gradients(name):
    def fun(x):
        inner = kf.grad(lambda z: kf.namespace(z).sum(z * z * z))
        return kf.grad(lambda z: kf.namespace(z).sum(inner(z) ** 2))(x)

    recorded = Recorded(fun, name)
    for values in (a(1, 2), a(3, 4), a(5, 6)):
        x = kf.asarray(values, backend=name)
        assert_same(recorded(x), fun(x))
    assert recorded.programs == (0 if name == "torch" else 1)  # autograd would have to keep what it throws away


@pytest.mark.torch
def test_autograd_around_a_recording():
    import torch

    recorded = Recorded(lambda x: x * x, "torch")
    plain = torch.tensor([1.0, 2.0])
    recorded(plain), recorded(plain)
    x = torch.tensor([3.0, 4.0], requires_grad=True)
    recorded(x).sum().backward()
    assert x.grad.tolist() == [6.0, 8.0]
    assert torch.func.grad(lambda x: recorded(x).sum())(plain).tolist() == [2.0, 4.0]


def test_each_form_has_a_program():
    recorded = Recorded(lambda x, n: {"y": x * n, "n": n})
    for x, n in ((a(1), 2), (a(1, 2), 2), (a(1, 2), 3), (a(1).astype(np.float64), 2), (a(1), True), (a(1), 1)):
        for _ in range(3):
            assert_same(recorded(x, n), {"y": x * n, "n": n})
    assert recorded.programs == 6
    for i in range(100):  # in the end, all that come are new
        for _ in range(2):
            assert_same(recorded(a(1), float(i)), {"y": a(i), "n": float(i)})
    assert recorded.programs == 64


def test_results_are_the_callers():
    recorded = Recorded(lambda x: (kf.namespace(x).zeros_like(x), x + 1))
    for _ in range(4):
        zeros, more = recorded(a(1, 2))
        assert zeros.tolist() == [0, 0]
        assert more.tolist() == [2, 3]
        zeros += 1
        more += 1


def test_errors_are_the_functions_own():
    net = nn.Sequential([nn.Lambda(lambda x: kf.ops.cholesky(x), name="factor")])
    recorded = Recorded(lambda x: net.apply({}, x))
    good, bad = np.eye(2, dtype=np.float32)[None], -np.eye(2, dtype=np.float32)[None]
    for _ in range(3):
        recorded(good)
    with pytest.raises(Exception) as plain:
        net.apply({}, bad)
    with pytest.raises(plain.type) as found:
        recorded(bad)
    assert str(found.value) == str(plain.value)


@pytest.mark.parametrize("name", params(RECORDING))
def test_exactly_the_steps_before_an_error(name):
    """Several steps run at once, and one of them fails in a kernel."""
    net = nn.Sequential(
        [nn.Dense(4), nn.Reshape((2, 2)), nn.Lambda(lambda x: x @ x.mT + 1), nn.Flatten(), MeetsInfinity()]
    )
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    y = np.ones((40, 4), np.float32)
    whole, part = (kf.Model(net) for _ in range(2))
    for model in whole, part:
        model.compile("sgd", "mse")
        model.build(x, backend=name)
    bad = x.copy()
    bad[4 * 6 + 2] = np.inf
    with pytest.raises(ValueError, match="broken"):
        whole.fit(bad, y, 4, shuffle=False, verbose=0)
    part.fit(x[: 4 * 6], y[: 4 * 6], 4, shuffle=False, verbose=0)
    assert int(kf.to_numpy(whole.train_state.step)) == 6
    assert_same(whole.train_state, part.train_state)
    whole.fit(x, y, 4, verbose=0)  # and on it goes


@nn.layer
class MeetsInfinity(nn.Layer):
    """Fails in a step that has met infinity."""

    def forward(self, s, x):
        xp = kf.namespace(x)
        if not s.initializing and not bool(xp.all(xp.isfinite(x))):
            raise ValueError("broken")
        return x


@pytest.mark.parametrize("name", params(RECORDING))
def test_fit_evaluate_predict(name):
    """Dropout, batch statistics, metrics, a schedule, and a smaller last batch: to the bit what eager steps give."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(70, 5)).astype(np.float32), rng.integers(0, 3, 70).astype(np.int32)
    net = nn.Sequential([nn.Dense(8, activation="relu"), nn.BatchNormalization(), nn.Dropout(0.3), nn.Dense(3)])
    found = []
    for eagerly in (False, True):
        model = kf.Model(net)
        rate = kf.optim.CosineDecay(0.01, 20)
        loss = kf.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(kf.optim.Adam(rate, clipnorm=0.5), loss, metrics=["accuracy"], run_eagerly=eagerly)
        history = model.fit(x, y, 16, 3, validation_data=(x, y), verbose=0, backend=name).history
        found.append((history, model.evaluate(x, y, 16, verbose=0), model.predict(x, 16), model.train_state))
    (history, *got), (wanted, *want) = found
    assert history == wanted
    assert_same(got, want)


@nn.layer
class OfParametersAlone(nn.Layer):
    """`x * sinh(w)`."""

    def forward(self, s, x):
        return x * kf.namespace(x).sinh(s.param("w", (x.shape[-1],), "ones"))


@pytest.mark.parametrize("name", params(RECORDING))
def test_what_parameters_alone_make_is_made_once_a_dispatch(name, monkeypatch):
    backend, made = kf.backends.get(name), []
    sinh = backend.xp.sinh
    monkeypatch.setattr(backend.xp, "sinh", lambda x: made.append(1) or sinh(x))
    x = np.random.default_rng(0).normal(size=(256, 3)).astype(np.float32)
    net = nn.Sequential([OfParametersAlone(), nn.LSTM(4), nn.Dense(2)])
    x, y = x.reshape(-1, 2, 3), x[:128, :2]
    models = [kf.Model(net), kf.Model(net)]
    for model, eagerly in zip(models, (False, True), strict=True):
        model.compile("sgd", "mse", run_eagerly=eagerly)
        model.build(x, backend=name)
    model, eager = models
    for _ in range(2):
        model.fit(x, y, 64, verbose=0)  # other parameters
        model.predict(x, 2)  # which finds out how many steps a dispatch takes
        made.clear()
        got = model.predict(x, 2), model.evaluate(x, y, 2, 0)
        times, eager.train_state = len(made), model.train_state
        assert_same(got, (eager.predict(x, 2), eager.evaluate(x, y, 2, 0)))
        if backend.stand_in is None:  # NumPy's functions are not called, but looked into
            assert 0 < times <= 2 * 64 // 8


class Results:
    """Takes the results of a loop in place of a carry."""

    leaves, structure, value = (), None, None

    def __init__(self):
        self.found = []

    def put(self, leaves, structure):
        self.found.append(kf.tree.unflatten(structure, leaves))


@pytest.mark.numpy
def test_what_steps_write_to_is_made_in_each():
    def kernel(w, x):
        y, z = w * 2, np.sinh(w)  # of what stays the same alone
        part = y[0]
        part += x[0]
        y *= z
        return y, z + x

    backend = kf.backends.get("numpy")
    opened = record_of(backend).opened(kernel)
    recorded = RecordedFunction(backend, lambda fixed, carry, batch: opened(fixed, batch))
    w, x = np.arange(6, dtype=np.float32).reshape(2, 3), np.arange(24, dtype=np.float32).reshape(8, 3)
    loop, results = recorded.loop(w), Results()
    for _ in range(2):
        loop.run(results, x, 2)
    assert_same(results.found, [kernel(w, x[i : i + 2]) for i in (0, 2, 4, 6)] * 2)
    (path,) = next(iter(recorded._known.values())).paths
    assert len(path.split(1)[0](w)) == 1  # z


@pytest.mark.parametrize("name", params(RECORDING))
def test_paths_of_the_optimizer(name):
    """Accumulation updates at every third step, and a loss scale is lowered: other answers, other programs."""
    x = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)
    x[17] = 1e30
    found = []
    for eagerly in (False, True):
        model = kf.Model(nn.Dense(2))
        optimizer = kf.optim.LossScaleOptimizer(kf.optim.SGD(0.1, gradient_accumulation_steps=3), 4.0)
        model.compile(optimizer, "mse", run_eagerly=eagerly)
        model.fit(x, x[:, :2] * 1e-3, 4, 2, verbose=0, shuffle=False, backend=name)
        found.append(model.train_state)
    assert_same(*found)


@pytest.mark.parametrize("name", params(RECORDING))
def test_gradients_inside_a_prediction(name):
    """A network of which a layer is a derivative, where else nothing is differentiated."""

    def slope(x):
        return kf.grad(lambda z: kf.namespace(z).sum(z * z * z))(x)

    x = np.arange(1, 41, dtype=np.float32).reshape(20, 2)
    model = kf.Model(nn.Sequential([nn.Lambda(slope)]))
    model.compile("sgd", "mse")
    model.build(x, backend=name)
    np.testing.assert_array_equal(model.predict(x, 4), 3 * x * x)
    assert model.evaluate(x, 3 * x * x, 4, verbose=0) == 0


# -- inside NumPy's kernels ------------------------------------------------------------------------------------------


def writes_through_a_view(x):
    y = x * 2
    y.reshape(-1)[1:] += x.ravel()[:-1]
    y[0] = 7
    return y


def reads_before_and_after(x):
    y = x + 1
    before = y * 1
    y *= x
    return before, y


def writes_to_what_it_returns(x):
    out = np.empty_like(x)
    np.multiply(x, 3, out=out)
    np.add.at(out, ([0, 0], [1, 1]), x[:, 0])
    return out, out.T


def adds_to_a_scalar(x):
    total = x.sum()
    kept = total
    total += 1
    return np.stack([kept, total, x.max(), x.mean(), x.mean(axis=0)[0], np.sum(x), np.mean(x, axis=1)[1]])


def asks(x):
    return x * 2 if (x > 0).all() else x - 1


def returns_a_function(x):
    y = np.exp(x)
    return y, lambda g: (g * y, lambda: (g + y).sum(axis=0))


def loops(x):
    for _ in range(80):
        x = x * np.float32(1.01) + x.T
    return x


def counts(x):
    return x / (1 + x[x > 0].size)


def rounds(x):
    return x * float(x.sum())


def fills_a_buffer(x):
    out = np.zeros((2, 4), x.dtype)
    out[:, 1:3] = x
    return out


def finds(x):
    return x * len(np.where(x > 2)[0])


def repeats(x):
    return x * x[0].repeat(np.abs(x[1]).astype(int)).size


def fails_later(x):
    return x * 2, lambda g: (np.sort(g) * x,)


@whole
def number(x, power):
    return float(x.sum()) ** power


def multiplies_by_a_number(x):
    return x * number(x, 2), x + number(x, 3)


OPEN = [writes_through_a_view, reads_before_and_after, writes_to_what_it_returns, adds_to_a_scalar, asks]
OPEN += [returns_a_function, multiplies_by_a_number]
CLOSED = [loops, counts, rounds, fills_a_buffer, finds, repeats, fails_later]


@pytest.mark.parametrize("kernel", [*OPEN, *CLOSED], ids=lambda fun: fun.__name__)
def test_inside_kernels(kernel):
    """A kernel is written down as its calls; or, where that cannot be done, as itself."""

    def called(run):
        def fun(x):
            out = run(x)
            if isinstance(out, tuple) and callable(out[1]):
                return out[0], [part() if callable(part) else part for part in out[1](x * 3)]
            return out

        return fun

    recorded = Recorded(called(record_of(kf.backends.get("numpy")).opened(kernel)))
    plain = called(kernel)
    for i in range(1, 5):
        x = np.asarray([[1, 2], [3, 4]], np.float32) * i
        kept = x.copy()
        run = recorded if i < 3 or kernel is rounds else recorded.replayed
        for _ in range(2):
            assert_same(run(x), plain(x))
        np.testing.assert_array_equal(x, kept)
    assert_same(recorded(-x), plain(-x))
    scope = next(iter(recorded._known.values())).paths[0].run.__globals__
    assert any(value is kernel for value in scope.values()) == (kernel in CLOSED)


# -- memory that loops take --------------------------------------------------------------------------------------------


def written_at(x, at, value):
    return kf.ops.slice_update(x, [at], value)


def returns_a_view_of_it(fixed, carry):
    x, at, _, view = carry
    x = written_at(x, at, carry[2] + 1)
    return x, at, kf.ops.reshape(kf.ops.sum(view), (1,)), kf.ops.reshape(x, (2, 4))


def writes_and_then_asks(fixed, carry):
    x, at, value, view = carry
    y = written_at(x, at, value + 1)
    return (x if kf.ops.sum(value) > 3 else y), at + 1, value + 1, view


def writes_to_both(fixed, carry):
    x, at, value, view = carry
    return written_at(x, at, value + fixed[:1]), at + 1, value, written_at(view, at + 1, value)


def reads_what_stays(fixed, carry):
    x, at, value, view = carry
    return written_at(x, at, kf.ops.reshape(kf.ops.sum(fixed), (1,))), at + 1, value, view


LOOPS = [returns_a_view_of_it, writes_and_then_asks, writes_to_both, reads_what_stays]


@pytest.mark.parametrize("name", params(("numpy", "torch")))
@pytest.mark.parametrize("step", LOOPS, ids=lambda fun: fun.__name__)
def test_memory_that_a_loop_takes(name, step):
    """Nobody sees that programs write to it: neither the step, nor who has the arrays of the beginning."""
    backend = kf.backends.get(name)
    zeros, at, one = kf.to_backend((np.zeros(8, np.float32), np.asarray(0, np.int32), a(1)), name)
    last = zeros if step is writes_to_both else kf.ops.reshape(zeros, (2, 4))
    start = (zeros, at, one, last)  # the same memory twice, and again among what stays the same
    recorded = RecordedFunction(backend, lambda fixed, carry, batch: step(fixed, carry), donate_argnums=(1,))
    want = start
    for _ in range(6):
        want = step(zeros, want)
    want = [kf.to_numpy(x).copy() for x in want]
    before = [kf.to_numpy(x).copy() for x in start]
    for _ in range(2):  # in the second loop, there is a program from the first step on
        carry = Carry(start)
        recorded.loop(zeros).repeat(carry, 6)
        assert_same(carry.value, want)
        assert_same(start, before)


@pytest.mark.parametrize("name", params(("numpy", "torch")))
def test_results_of_equal_calls_are_apart(name):
    def fun(x):
        return kf.ops.reshape(kf.ops.exp(x), (2, 1)), kf.ops.reshape(kf.ops.exp(x), (2, 1))

    recorded = Recorded(fun, name)
    x = kf.asarray(a(0, 0), backend=name)
    for _ in range(3):
        first, second = recorded(x)
        first *= 5
        assert kf.to_numpy(second).tolist() == [[1], [1]]
