"""One model in several threads: those that read see one train state, one thread trains, and nothing is lost."""

from __future__ import annotations

import contextlib
import copy
import functools
import pickle
import sys
import threading
import time

import numpy as np
import pytest
from backends import IN_PLACE, TRAINING, in_place, params

import kfunc as kf
from kfunc import nn
from kfunc.tracing.record import recorded

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(24, 5)).astype(np.float32), RNG.normal(size=(24, 3)).astype(np.float32)
NET = nn.Sequential([nn.Dense(7, "relu"), nn.BatchNormalization(), nn.Dropout(0.2), nn.Dense(3)])
SIZE, STEPS, NEVER = 4, 6, 1 << 60
CASES = [*TRAINING, *params(IN_PLACE, " in place")]
WAIT = 60  # seconds, after which a test that hangs fails


def leaves(tree):
    return [np.array(kf.to_numpy(x)) for x in kf.tree.leaves(tree)]


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(leaves(a), leaves(b), strict=True))


@pytest.fixture
def case(request):
    name, _, where = request.param.partition(" ")
    with in_place(1 if where else NEVER):
        yield name


def every(cases):
    return pytest.mark.parametrize("case", cases, indirect=True)


def made(name, optimizer="adam"):
    model = kf.Model(NET)
    model.compile(optimizer, "mse", metrics=["mae"])
    return model.build(X, backend=name)


def fit(model, *callbacks, epochs=2):
    return model.fit(X, Y, SIZE, epochs, verbose=0, callbacks=list(callbacks))


class Paused(kf.callbacks.Callback):
    """Stops the fit after a step of its second epoch, while the block runs: `with Paused(model):`."""

    def __init__(self, model):
        self.reached, self.go, self.failed = threading.Event(), threading.Event(), []
        self.of, self.thread = model, threading.Thread(target=self.run)

    def run(self):
        try:
            fit(self.of, self)
        except BaseException as error:
            self.failed.append(error)
            self.reached.set()

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == (1, 2):
            self.reached.set()
            assert self.go.wait(WAIT)

    def __enter__(self):
        self.thread.start()
        assert self.reached.wait(WAIT)
        assert not self.failed
        return self

    def __exit__(self, *_):
        self.go.set()
        self.thread.join(WAIT)
        assert not self.failed


@functools.cache
def undisturbed(name, large):
    model, states = made(name), []
    keep = kf.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs, ts: states.append(leaves(ts)))
    fit(model, keep)
    return states


def trained(case, steps=2 * STEPS):
    return undisturbed(case, kf.backends.get(case).large)[steps - 1]


def in_thread(function, *args, **kwargs):
    """Start `function`; a function that waits for its end, and returns its result or raises its error."""
    found = []

    def run():
        try:
            found.append((function(*args, **kwargs), None))
        except BaseException as error:
            found.append((None, error))

    thread = threading.Thread(target=run)
    thread.start()

    def wait():
        thread.join(WAIT)
        result, error = found[0]
        if error is not None:
            raise error
        return result

    return wait


# -- reading while another thread trains -------------------------------------------------------------------------------


def stopping(reached, go, *parts):
    """Batches of `parts`, which wait after the first one."""
    for i in range(0, len(X), 8):
        if i:
            reached.set()
            assert go.wait(WAIT)
        batch = tuple(part[i : i + 8] for part in parts)
        yield batch if len(parts) > 1 else batch[0]


@every(CASES)
def test_a_whole_fit_in_the_middle_of_it(case):
    """A call that was begun before works with the state of then, and if it fails, nothing of the fit is lost."""
    model, gates = made(case), [(threading.Event(), threading.Event()) for _ in range(4)]
    fit(model, epochs=1)  # so that nobody has seen the state
    broken = kf.callbacks.LambdaCallback(on_predict_end=fails, on_test_end=fails)
    calls = [
        (model.predict, (X,), []),
        (model.evaluate, (X, Y), []),
        (model.predict, (X,), [broken]),
        (model.evaluate, (X, Y), [broken]),
    ]
    want = model.predict(X, 8), model.evaluate(X, Y, 8, verbose=0)
    waits = [
        in_thread(call, stopping(*gate, *parts), verbose=0, callbacks=hooks)
        for gate, (call, parts, hooks) in zip(gates, calls, strict=True)
    ]
    assert all(reached.wait(WAIT) for reached, _ in gates)
    fit(model, epochs=1)
    for _, go in gates:
        go.set()
    for wait, value in zip(waits, want, strict=False):
        np.testing.assert_array_equal(wait(), value)
    for wait in waits[2:]:
        with pytest.raises(RuntimeError, match="here"):
            wait()
    assert same(model.train_state, trained(case))


def fails(logs):
    raise RuntimeError("here")


def saved(model, path):
    model.save(path / "model.safetensors")
    return kf.Model.load(path / "model.safetensors").train_state


def saved_weights(model, path):
    model.save_weights(path / "weights.safetensors")
    found = kf.load(path / "weights.safetensors")
    return found["params"], found.get("state", {})


def elsewhere(model):
    return "numpy" if model.backend == "array_api_strict" else "array_api_strict"


READS = {
    "predict": lambda model, path: model.predict(X, 8),
    "predict elsewhere": lambda model, path: model.predict(X, 8, backend=elsewhere(model)),
    "predict_on_batch": lambda model, path: model.predict_on_batch(X),
    "evaluate": lambda model, path: model.evaluate(X, Y, 8, verbose=0),
    "test_on_batch": lambda model, path: model.test_on_batch(X, Y),
    "train_state": lambda model, path: model.train_state,
    "save": saved,
    "save_weights": saved_weights,
    "copy": lambda model, path: copy.copy(model).train_state,
    "deepcopy": lambda model, path: copy.deepcopy(model).train_state,
    "pickle": lambda model, path: pickle.loads(pickle.dumps(model)).train_state,
    "summary": lambda model, path: model.summary(lambda line: None),
}
WRITES = {
    "fit": lambda model, path: model.fit(never(), steps_per_epoch=1, verbose=0),
    "train_on_batch": lambda model, path: model.train_on_batch(X[:SIZE], Y[:SIZE]),
    "compile": lambda model, path: model.compile("sgd", "mse"),
    "build": lambda model, path: model.build(X),
    "to": lambda model, path: model.to(elsewhere(model)),
    "load_weights": lambda model, path: model.load_weights(path / "other.safetensors"),
    "train_state": lambda model, path: setattr(model, "train_state", kf.tree.map(lambda x: x, model.train_state)),
    "a callback of evaluate": lambda model, path: model.evaluate(X, Y, verbose=0, callbacks=Zeroed()),
    "a callback of predict": lambda model, path: model.predict(X, callbacks=Zeroed()),
}


def never():
    raise AssertionError("a batch was read")
    yield


class Zeroed(kf.callbacks.Callback):
    """Evaluates with another state, and puts back what was there, as SwapEMAWeights does."""

    def on_test_begin(self, logs=None, train_state=None):
        self.before = train_state
        return train_state._replace(params=kf.tree.map(lambda x: x * 0, train_state.params))

    def on_test_end(self, logs=None, train_state=None):
        return self.before

    on_predict_begin, on_predict_end = on_test_begin, on_test_end


def reset(model, path):
    model.reset()


@every(CASES)
def test_beside_a_fit(case, tmp_path):
    """While a fit stands between two steps: what reads gets the state of that step, and what would change it fails."""
    made(case).save_weights(tmp_path / "other.safetensors")
    model, got = made(case), {}
    with Paused(model):
        assert same(model.train_state, trained(case, STEPS + 3))
        for name, read in READS.items():
            got[name] = read(model, tmp_path)
        for name, write in WRITES.items():
            with pytest.raises(kf.errors.ArgumentError, match=r"^The model is being trained") as found:
                write(model, tmp_path)
            assert found.value.fix, name
        assert isinstance(model.optimizer, kf.optim.Adam) and model.backend == case
    assert same(model.train_state, trained(case))
    alone = made(case)
    alone.train_state = got["train_state"]
    for name, read in READS.items():
        want = read(alone, tmp_path)
        assert want is None or same(got[name], want), name
        alone.to(case)
    for write in (WRITES["train_on_batch"], WRITES["build"], reset, WRITES["compile"], WRITES["train_state"]):
        write(model, tmp_path)  # and now nothing stands in their way


@every(params(("numpy", "jax")))
def test_a_state_that_will_be_taken_back_is_nobody_elses(case):
    """While a callback of an evaluation has put another state in place, nobody trains from it."""
    model, start = made(case), made(case).train_state
    for kind in ("evaluate", "predict"):
        reached, go = threading.Event(), threading.Event()
        batches = stopping(reached, go, X, Y)
        wait = in_thread(getattr(model, kind), batches, verbose=0, callbacks=[Zeroed()])
        assert reached.wait(WAIT)
        with pytest.raises(kf.errors.ArgumentError, match=r"^Another thread evaluates the model"):
            fit(model)
        go.set()
        wait()
        assert same(model.train_state, start)
    broken = kf.callbacks.LambdaCallback(on_predict_end=lambda logs: 1 / 0)
    for changed in (Zeroed(), assigning(model)):
        with pytest.raises(ZeroDivisionError):
            model.predict(X, callbacks=[broken, changed] if isinstance(changed, Zeroed) else [changed, broken])
        assert same(model.train_state, start)
    fit(model)
    assert same(model.train_state, trained(case))


def assigning(model):
    zero = kf.tree.map(lambda x: x * 0, model.train_state)
    return kf.callbacks.LambdaCallback(on_predict_begin=lambda logs: setattr(model, "train_state", zero))


@every([*params(("numpy", "jax")), *params(("torch",), " in place")])
def test_within_a_fit(case, tmp_path):
    """Its own callbacks may do all but change the optimizer and the backend, and the epoch goes on as before."""
    model, wanted = made(case), fit(made(case)).history
    made(case).save_weights(tmp_path / "other.safetensors")
    plain = [name for name in WRITES if name not in ("fit", "compile", "to", "build")]

    class Does(kf.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            before = self.model.train_state
            if batch != 2:
                return
            for read in READS.values():
                read(self.model, tmp_path)
            assert same(self.model.train_state, before)
            for name in plain:
                WRITES[name](self.model, tmp_path)
            self.model.fit(X, Y, SIZE, verbose=0, callbacks=stop)
            assert self.model.stop_training is False
            for name in ("compile", "to"):
                with pytest.raises(kf.errors.ArgumentError, match=r"^The model is being trained"):
                    WRITES[name](self.model, tmp_path)
            with pytest.raises(kf.errors.ArgumentError, match=r"^The model is being trained"):
                self.model.fit(X, Y, backend=elsewhere(model), verbose=0)
            self.model.train_state = before

    stop = kf.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: setattr(model, "stop_training", True))
    assert fit(model, Does()).history == wanted and same(model.train_state, trained(case))


def test_a_look_while_the_state_is_copied():
    """As `model.backend` in another thread may have it: the step takes its copies, and nothing else."""
    carry = kf.Model(NET).build(X)._carry
    old = {id(x) for x in carry.leaves}
    carry.own(lambda x: (carry.train_state, np.array(x))[1])
    assert not old & {id(x) for x in kf.tree.leaves(carry.train_state)}


# -- the first call ----------------------------------------------------------------------------------------------------


def in_a_thread(fun):
    thread = threading.Thread(target=fun)
    thread.start()
    thread.join(WAIT)
    assert not thread.is_alive()


@every(TRAINING)
def test_a_freeze_after_a_call_has_begun(case):
    """The call goes on with the network of before, and the numbers are the same; those of training may differ."""
    model = made(case)
    expected, losses = model.predict(X, 8), model.evaluate(X, Y, 8, verbose=0)
    turns = [lambda: model.freeze("dense"), lambda: model.unfreeze("dense")] * 2

    def turn(*_):
        in_a_thread(turns.pop())

    hooks = kf.callbacks.LambdaCallback(on_predict_begin=turn, on_test_begin=turn)
    for _ in range(2):
        np.testing.assert_array_equal(model.predict(X, 8, callbacks=hooks), expected)
        assert model.evaluate(X, Y, 8, verbose=0, callbacks=hooks) == losses
    assert not turns


@every(params(["numpy", "torch"]))
def test_a_storm_of_freezes(case, monkeypatch):
    setup = kf.Model._setup

    def slow(*args, **options):
        made = setup(*args, **options)
        time.sleep(0.002)  # in which a freeze comes
        return made

    monkeypatch.setattr(kf.Model, "_setup", slow)
    model = made(case)
    one, all_ = model.predict_on_batch(X[:2]), model.predict(X, 8)
    end, errors = time.monotonic() + 1.5, []

    def until_the_end(fun):
        def run():
            try:
                while time.monotonic() < end and not errors:
                    fun()
            except BaseException as error:
                errors.append(error)

        return run

    def turns():
        model.freeze("dense")
        model.unfreeze()

    reads = [
        lambda: np.testing.assert_array_equal(model.predict_on_batch(X[:2]), one),
        lambda: np.testing.assert_array_equal(model.predict(X, 8), all_),
        lambda: model.evaluate(X, Y, 8, verbose=0),
        lambda: model(X[:2]),
    ]
    threads = [threading.Thread(target=until_the_end(fun)) for fun in (turns, *reads)]
    with hasty():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT)
    assert not errors, errors


@every(TRAINING)
def test_two_threads_that_build_at_once(case, monkeypatch):
    want, init, inits, both = made(case).predict(X), nn.Layer.init, [], threading.Barrier(2)

    def counted(self, *args, **kwargs):
        inits.append(self)
        time.sleep(0.05)  # in which the other thread comes as far, if it can
        return init(self, *args, **kwargs)

    monkeypatch.setattr(nn.Layer, "init", counted)
    model = kf.Model(NET)

    def call():
        both.wait(WAIT)
        return model.predict(X, backend=case)

    results = [wait() for wait in [in_thread(call), in_thread(call)]]
    assert inits == [model.net]
    for got in results:
        np.testing.assert_array_equal(got, want)


# -- storms ------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def hasty():
    """Threads take turns after a few instructions."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


@every(CASES)
def test_serving_while_training(case):
    """Every prediction is that of one step, and training comes to the same bits as without them."""
    alone, wanted = made(case), []
    start = leaves(alone.train_state)
    for state in [start, *undisturbed(case, kf.backends.get(case).large)]:
        alone.train_state = kf.tree.unflatten(kf.tree.structure(alone.train_state), kf.to_backend(state, case))
        wanted.append(alone.predict(X[:8]))
    model, ends = made(case), threading.Event()
    model.predict(X[:8])
    seen = [set(), set()]

    def serve(steps):
        while not ends.is_set():
            got = model.predict(X[:8])
            steps.add(next((i for i, want in enumerate(wanted) if np.array_equal(got, want)), "a mixture"))

    each = kf.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: None)
    with hasty():
        waits = [in_thread(serve, steps) for steps in seen]
        fit(model, each)
        ends.set()
        for wait in waits:
            wait()
    assert "a mixture" not in seen[0] | seen[1] and seen[0] | seen[1]
    assert same(model.train_state, trained(case))


@every(params(("numpy", "torch", "array_api_strict")))
def test_recorded_functions_in_two_threads(case):
    """Recorded, replayed and forgotten by threads at once, each with arguments of its own."""
    backend = kf.backends.get(case)

    def fun(fixed, carry, x):
        y = kf.ops.relu(x @ (fixed * 2) + 1)
        if bool(kf.ops.sum(carry) > 0):  # two paths
            y = y * 2
        return kf.ops.sum(y * y, axis=0) - carry

    fixed, step = kf.asarray(X[:5], backend=case), None
    data = [[kf.asarray(RNG.normal(size=(n, 5)).astype(np.float32), backend=case) for n in (3, 4)] for _ in range(2)]
    carries = [kf.asarray(RNG.normal(size=5).astype(np.float32), backend=case) for _ in range(6)]
    wants = [[[kf.to_numpy(fun(fixed, c, x)) for x in part] for c in carries] for part in data]

    def call(part, want):
        for _ in range(40):
            for c, row in zip(carries, want, strict=True):
                for x, value in zip(part, row, strict=True):
                    np.testing.assert_array_equal(kf.to_numpy(step(fixed, c, x)), value)

    with hasty():
        for _ in range(3):
            step = recorded(backend, fun)
            for wait in [in_thread(call, part, want) for part, want in zip(data, wants, strict=True)]:
                wait()
