"""What goes wrong in training: it says where, and leaves the model as it was after the last sound step."""

from __future__ import annotations

import contextlib
import gc
import itertools
import os
import signal
import tracemalloc
import weakref

import numpy as np
import pytest
from backends import IN_PLACE, NAMES, in_place, params

import kfunc as kf
from kfunc import nn, optim
from kfunc.arrays import native
from kfunc.callbacks.base import HOOKS
from kfunc.data.batches import Batch
from kfunc.optim.base import foreign_part
from kfunc.training.state import TrainState, start
from kfunc.training.step import make_train_step

BACKENDS = ("numpy", "jax", "torch", "tensorflow")
RNG = np.random.default_rng(0)
SIZE, STEPS = 4, 6
X = RNG.normal(size=(SIZE * STEPS, 3)).astype(np.float32)
Y = RNG.normal(size=(SIZE * STEPS, 2)).astype(np.float32)
ROW = 3 * SIZE + 2
"""A sample of step 3, in the middle of what compiling backends run in one dispatch."""


@nn.layer
class Root(nn.Layer):
    """`x + sqrt(w)`, whose gradient is infinite where `w` is 0."""

    def forward(self, s, x):
        return x + kf.namespace(x).sqrt(s.param("w", (), "ones"))


# TensorFlow fuses product, bias and relu into one kernel, which turns NaN into 0.
NET = nn.Sequential([nn.Dense(5, activation="relu"), Root(), nn.Dense(2)])


def leaves(ts):
    return [np.array(kf.to_numpy(x)) for x in kf.tree.leaves(ts)]


class Trained:
    """A model, and what its train state is after each number of steps over `X` and `Y`, one dispatch a step."""

    def __init__(self, name):
        self.model = kf.Model(NET)
        self.model.compile("adam", "mse")
        self.start = self.model.build(kf.Spec((None, 3)), backend=name).train_state
        self.after = {0: leaves(self.start)}
        after = self.after

        class Keep(kf.callbacks.Callback):
            def on_train_batch_end(self, batch, logs=None, train_state=None):
                after[batch + 1] = leaves(train_state)

        self.fit(callbacks=[Keep()])

    def fit(self, x=X, y=Y, **options):
        options = {"shuffle": False, "verbose": 0, "batch_size": SIZE} | options
        return self.model.fit(x, y, **options)

    def steps(self):
        """How many steps were taken, all of the train state to the bit as after as many without any fault."""
        n = int(kf.to_numpy(self.model.train_state.step))
        for got, want in zip(leaves(self.model.train_state), self.after[n], strict=True):
            assert np.isfinite(want).all()
            np.testing.assert_array_equal(got, want)
        return n

    def goes_on(self):
        """After a fault, the model trains on, and gets to where it would have been."""
        done = self.steps() * SIZE
        if done < len(X):
            self.fit(X[done:], Y[done:])
        return self.steps() == STEPS


@pytest.fixture(scope="module", params=[*params(BACKENDS), *params(IN_PLACE, " in place")])
def trained(request):
    name, _, where = request.param.partition(" ")
    with in_place(1, 7) if where else contextlib.nullcontext():
        yield Trained(name)


@pytest.fixture
def case(trained):
    trained.model.train_state = trained.start
    return trained


# -- parameters that an optimizer makes not finite ---------------------------------------------------------------------


def spoils(value, at=2):
    """Gradient descent, by a pair of functions, which puts `value` into all updates of one step."""
    xp = kf.namespace

    def init(params):
        return {"count": kf.tree.map(lambda p: xp(p).zeros_like(p), params)}

    def update(grads, state, params=None):
        count = kf.tree.map(lambda c: c + 1, state["count"])
        return kf.tree.map(lambda g, c: xp(g).where(c == at, value, -0.1 * g), grads, count), {"count": count}

    return optim.GradientTransformation(native(init), native(update))


SPOILT = {
    "NaN": (np.nan, None, lambda o: o),
    "infinity": (np.inf, None, lambda o: o),
    "what float16 does not hold": (1e6, "float16", lambda o: o),
    "inside of ours": (np.nan, None, lambda o: optim.chain(optim.clip_by_value(9.0), o)),
    "with a scale": (np.nan, "mixed_float16", lambda o: o),
    "a pair in ours": (np.nan, None, lambda o: optim.accumulate((o.init, o.update), 1)),
    "in a dict": (np.nan, None, lambda o: optim.multi_transform({"it": o}, {"": "it"})),
    "in a map": (np.nan, None, lambda o: optim.multi_optimizer(optim.OptimizerMap("sgd", {".*": o}))),
    "chosen by a function": (np.nan, None, lambda o: optim.multi_optimizer(lambda path: o)),
    "beside a table": (np.nan, None, lambda o: o),
}


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
@pytest.mark.parametrize("row", SPOILT)
@pytest.mark.parametrize("name", params(BACKENDS))
def test_parameters_that_a_foreign_optimizer_spoils(name, row):
    value, policy, wrap = SPOILT[row]
    net, x, y = nn.Dense(1, dtype=policy), X[:, :3], Y[:, :1]
    if row == "beside a table":
        net, x = nn.Sequential([nn.Embedding(2, 3), nn.Flatten(), net]), (x > 0).astype("int32")
    model = kf.Model(net)
    model.compile(wrap(spoils(value)), "mse")
    model.fit(x[:SIZE], y[:SIZE], batch_size=SIZE, shuffle=False, verbose=0, backend=name)
    before = leaves(model.train_state)
    words = r"step 1: the optimizer test_faults.(spoils|<lambda>) makes the parameter [\w/]+ NaN or infinite"
    with pytest.raises(kf.errors.NonFiniteError, match=words) as error:
        model.fit(x, y, batch_size=SIZE, shuffle=False, verbose=0)
    assert error.value.path.rpartition("/")[2] in ("kernel", "bias", "embeddings")
    for got, want in zip(leaves(model.train_state), before, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
@pytest.mark.parametrize("name", params(BACKENDS))
def test_parameters_that_a_constraint_spoils(name):
    model = kf.Model(nn.Dense(1, kernel_constraint=native(lambda w: w / (w - w))))
    model.compile("sgd", "mse")
    model.build(kf.Spec((None, 3)), backend=name)
    before = leaves(model.train_state)
    words = "step 0: the parameter kernel becomes NaN or infinite by its constraint or the learning rate"
    with pytest.raises(kf.errors.NonFiniteError, match=words):
        model.fit(X[:, :3], Y[:, :1], batch_size=SIZE, verbose=0)
    for got, want in zip(leaves(model.train_state), before, strict=True):
        np.testing.assert_array_equal(got, want)


def rate(value, at=2):
    """A learning rate that is `value` at one step."""
    return native(lambda step: kf.namespace(step).where(step == at, value, 0.1 + 0.0 * step))


class Rate:
    """The same as an object."""

    def __init__(self, value):
        self.fun = rate(value)

    def __call__(self, step):
        return self.fun(step)


RATES = {
    "NaN": lambda: optim.adam(rate(np.nan)),
    "infinity": lambda: optim.sgd(rate(-np.inf)),
    "an object": lambda: optim.sgd(Rate(np.nan)),
    "a transformation": lambda: optim.chain(optim.clip_by_norm(1.0), optim.scale_by_schedule(rate(np.nan))),
    "of one part": lambda: optim.by_part({"kernel": optim.sgd(rate(np.nan)), "bias": "sgd"}),
    "of decay alone": lambda: optim.lion(rate(np.nan), weight_decay=0.1),
    "ours": lambda: optim.sgd(optim.PolynomialDecay(0.1, 2, power=-1.0)),
}


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
@pytest.mark.parametrize("row", [row for row in RATES if row != "NaN"])
def test_parameters_that_a_learning_rate_spoils(row):
    check_rate("numpy", row)


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
@pytest.mark.parametrize("name", [*params(BACKENDS), *params(IN_PLACE, " in place")])
def test_parameters_that_a_learning_rate_spoils_everywhere(name):
    check_rate(name, "NaN")


def check_rate(name, row):
    name, _, where = name.partition(" ")
    model = kf.Model(nn.Dense(1))
    model.compile(RATES[row](), "mse")
    x, y = X[:, :3], Y[:, :1]
    with in_place(1, 7) if where else contextlib.nullcontext():
        model.fit(x[: 2 * SIZE], y[: 2 * SIZE], batch_size=SIZE, shuffle=False, verbose=0, backend=name)
        before = leaves(model.train_state)
        words = r"step 2: the learning rate \w+\.\w+ makes the parameter \w+ NaN or infinite"
        with pytest.raises(kf.errors.NonFiniteError, match=words):
            model.fit(x, y, batch_size=SIZE, shuffle=False, verbose=0)
    for got, want in zip(leaves(model.train_state), before, strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0])
@pytest.mark.parametrize("name", params(BACKENDS))
def test_an_array_as_a_learning_rate(name, value):
    given = kf.asarray(value, "float32", backend=name)
    state = optim.sgd(0.1).init({"w": kf.asarray([1.0], "float32", backend=name)})
    for make in (optim.sgd, optim.scale_by_learning_rate, lambda v: optim.with_learning_rate(state, v)):
        with pytest.raises(
            kf.errors.ArgumentError, match=r"`learning_rate` must be a number at least 0, got (nan|inf|-1.0)"
        ):
            make(given)


OURS = {
    "one": lambda: optim.Adam(optim.CosineDecay(0.1, 9)),
    "in others": lambda: optim.chain(optim.clip_by_norm(1.0), optim.accumulate(optim.ema("adam"), 2)),
    "in a dict": lambda: optim.by_part({"a": "adam", "b": optim.SGD()}),
    "in a map": lambda: optim.multi_optimizer(optim.OptimizerMap("sgd", {"a": optim.Adam()})),
}


@pytest.mark.parametrize("row", OURS)
def test_parameters_that_our_optimizers_make_are_not_judged(row):
    assert foreign_part(OURS[row]()) is None


# -- numbers that are not finite ---------------------------------------------------------------------------------------

NOT_FINITE = {
    "NaN in the input": (np.nan, 0.0),
    "infinity in the input": (np.inf, 0.0),
    "NaN in the target": (0.0, np.nan),
    "a loss that overflows": (0.0, 1e30),
}


def spoilt(x, y):
    a, b = X.copy(), Y.copy()
    a[ROW, 1] += x
    b[ROW, 1] += y
    return a, b


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")  # NumPy's own
@pytest.mark.parametrize("fault", NOT_FINITE)
def test_training_stops_before_the_step(case, fault, tmp_path):
    case.model.save(tmp_path / "good.safetensors")
    with pytest.raises(kf.errors.NonFiniteError, match=r"Training stopped at step 3: the (loss|gradient of dense)"):
        case.fit(*spoilt(*NOT_FINITE[fault]))
    assert case.steps() == 3
    assert case.goes_on()
    assert os.listdir(tmp_path) == ["good.safetensors"]
    for got, want in zip(leaves(kf.Model.load(tmp_path / "good.safetensors").train_state), case.after[0], strict=True):
        np.testing.assert_array_equal(got, want)


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
def test_a_gradient_alone(case):
    params = case.start.params | {"root": {"w": case.start.params["root"]["w"] * 0}}
    case.model.train_state = case.start._replace(params=params)
    before = leaves(case.model.train_state)
    with pytest.raises(kf.errors.NonFiniteError, match="step 0: the gradient of root/w is not finite") as error:
        case.fit()
    assert error.value.path == "root/w"
    for got, want in zip(leaves(case.model.train_state), before, strict=True):
        np.testing.assert_array_equal(got, want)


# -- interrupts, and others' exceptions --------------------------------------------------------------------------------


class Own(Exception):
    pass


def batches(error, before=3):
    for i in range(before):
        yield X[i * SIZE :][:SIZE], Y[i * SIZE :][:SIZE]
    raise error


@pytest.mark.parametrize("error", [KeyboardInterrupt, Own, SystemExit])
def test_a_source_that_raises(case, error):
    with pytest.raises(error):
        case.model.fit(batches(error("mine")), steps_per_epoch=STEPS, verbose=0)
    assert case.steps() == 3
    assert case.goes_on()


def test_an_interrupt_at_any_time(case):
    """Whatever runs when the signal comes: the train state is that of one and the same step."""
    epochs = []

    class Watch(kf.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None, train_state=None):
            epochs.append(epoch)
            # Again and again: Python drops exceptions that are raised while it destroys an object.
            if epoch == 1:
                signal.setitimer(signal.ITIMER_REAL, 0.01, 0.02)

    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            case.fit(epochs=100_000, callbacks=[Watch()])
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    got, done = leaves(case.model.train_state), int(kf.to_numpy(case.model.train_state.step))
    assert done >= 2 * STEPS
    case.model.train_state = case.start
    case.fit(epochs=done // STEPS)
    if rest := done % STEPS * SIZE:
        case.fit(X[:rest], Y[:rest])
    for a, b in zip(leaves(case.model.train_state), got, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", params(("numpy", "torch")))
def test_an_interrupt_in_a_layer(name):
    calls = []

    @nn.layer
    class Interrupted(nn.Layer):
        def forward(self, s, x):
            if not s.initializing:
                calls.append(1)
                if len(calls) == 4:
                    raise KeyboardInterrupt
            return x

    model = kf.Model(nn.Sequential([nn.Dense(2), Interrupted(), nn.Dense(2)]))
    model.compile("adam", "mse", run_eagerly=True)  # or its Python runs no more, once it is recorded
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, SIZE, shuffle=False, verbose=0, backend=name)
    done = int(kf.to_numpy(model.train_state.step))
    model.fit(X[done * SIZE :], Y[done * SIZE :], SIZE, shuffle=False, verbose=0)
    want = kf.Model(model.net)
    want.compile("adam", "mse", run_eagerly=True)
    want.fit(X, Y, SIZE, shuffle=False, verbose=0, backend=name)
    for a, b in zip(leaves(model.train_state), leaves(want.train_state), strict=True):
        np.testing.assert_array_equal(a, b)


def test_callbacks_that_raise(case):
    for hook in HOOKS:
        calls = []

        def complain(self, *args, hook=hook, calls=calls):
            calls.append(1)
            if len(calls) == (2 if "batch" in hook else 1):
                raise Own(hook)

        callback = type("Complaining", (kf.callbacks.Callback,), {hook: complain})()
        case.model.train_state = case.start
        with pytest.raises(Own, match=hook):
            if "predict" in hook:
                case.model.predict(X, SIZE, callbacks=[callback])
            else:
                case.fit(validation_data=(X, Y), callbacks=[callback])
        case.steps()
    assert case.goes_on()


def test_a_fit_keeps_its_optimizer(case):
    class Compiling(kf.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None, train_state=None):
            self.model.compile("sgd", "mse")

    with pytest.raises(kf.errors.ArgumentError, match="being trained"):
        case.fit(epochs=2, callbacks=[Compiling()])
    case.steps()
    assert case.goes_on()
    case.model.compile(case.model.optimizer, case.model.loss)


# -- NaN that was there before -----------------------------------------------------------------------------------------


def with_nan(ts, part, path, value=np.nan):
    """The train state with one number of an array replaced."""
    changed = [np.array(kf.to_numpy(x)) for x in kf.tree.leaves(getattr(ts, part))]
    changed[kf.tree.paths(getattr(ts, part)).index(path)].flat[-1] = value
    found = kf.to_backend(changed, kf.arrays.backend_of(ts.key))
    return ts._replace(**{part: kf.tree.unflatten(kf.tree.structure(getattr(ts, part)), found)})


BEFORE = {
    "a weight": ("params", "dense/kernel", "parameter"),
    "a bias": ("params", "dense_1/bias", "parameter"),
    "a moving mean": ("state", "batch_normalization/moving_mean", "state"),
}


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")  # NumPy's own
@pytest.mark.parametrize(
    ("name", "where"),
    [
        *(pytest.param("numpy", where) for where in BEFORE),
        *(pytest.param(*p.values, "a weight", marks=p.marks) for p in params(n for n in NAMES if n != "numpy")),
    ],
)
def test_nan_in_the_parameters(name, where, tmp_path):
    """It is named, whoever meets it, where NaN in the data alone is an answer like any other."""
    part, path, kind = BEFORE[where]
    net = nn.Sequential([nn.Dense(4), nn.BatchNormalization(), nn.Dense(2)])
    model = kf.Model(net)
    model.compile("adam", "mse", metrics=["mae"])
    good = model.build(kf.Spec((None, 3)), backend=name).train_state
    x, y = X[:8], Y[:8, :2]
    unknown = np.where(np.arange(8)[:, None] == 5, np.float32(np.nan), x)
    assert np.isnan(model.predict(unknown)).any() and np.isnan(model.evaluate(unknown, y, verbose=0)).all()
    model.save(tmp_path / "sound.safetensors")
    model.train_state = bad = with_nan(good, part, path)
    said = rf"[Tt]he {kind} {path} is not finite"
    calls = [lambda: model.predict(x), lambda: model.evaluate(x, y, 4, verbose=0)]
    if kf.backends.get(name).trains and part == "params":
        calls += [lambda: model.fit(x, y, verbose=0)]
    for call in calls:
        with pytest.raises(kf.errors.NonFiniteError, match=said) as caught:
            call()
        assert "of its" in str(caught.value)
    model.save(tmp_path / "model.safetensors")
    model.save_weights(tmp_path / "weights.safetensors")
    if part == "params":
        with pytest.raises(kf.errors.NonFiniteError, match=f"model.safetensors cannot be used: {said}"):
            kf.Model.load(tmp_path / "model.safetensors", name)
        model = kf.Model.load(tmp_path / "sound.safetensors", name)
        before = model.train_state
        with pytest.raises(kf.errors.NonFiniteError, match=f"weights.safetensors cannot be used: {said}"):
            model.load_weights(tmp_path / "weights.safetensors")
        assert model.train_state is before
    model.train_state = with_nan(bad, part, path, np.inf)  # which some layers want
    model.save(tmp_path / "model.safetensors")
    kf.Model.load(tmp_path / "model.safetensors", name).predict(x)


# -- labels and indices outside their range ----------------------------------------------------------------------------


@nn.layer
class Added(nn.Layer):
    """`x` plus an embedding."""

    table: nn.Layer

    def forward(self, s, x, ids):
        return x + self.table(s, ids)


@nn.layer
class Lookups(nn.Layer):
    """An embedding by itself, one in `Remat`, one that is used twice, and a `Stack` of some."""

    plain: nn.Layer
    remat: nn.Layer
    twice: nn.Layer
    stack: nn.Layer
    head: nn.Layer

    def forward(self, s, a, b, c, d, e):
        out = self.plain(s, a) + self.remat(s, b) + self.remat(s, b * 0) + self.twice(s, c) + self.twice(s, d)
        return self.head(s, self.stack(s, out, e))


TABLES = nn.Embedding(5, 2), nn.Remat(nn.Embedding(6, 2)), nn.Embedding(7, 2)
LOOKUPS = Lookups(*TABLES, nn.Stack(Added(nn.Embedding(8, 2)), 2), nn.Dense(3))
IDS = {name: RNG.integers(0, 5, SIZE * 3).astype(np.int32) for name in "acde"}
IDS["b"] = RNG.integers(0, 5, SIZE * 3).astype(np.float32)
LABELS = RNG.integers(0, 3, SIZE * 3).astype(np.int32)
OUTSIDE = {
    "one too high": ("a", 5),
    "negative": ("a", -1),
    "far out": ("a", 2**31 - 1),
    "a float, and in Remat": ("b", 6.0),
    "in a table that is used twice": ("c", 7),
    "in its second use": ("d", 9),
    "in a stack": ("e", 8),
    "a label": ("y", 3),
    "a negative label": ("y", -1),
}


PLACES = {"a": "plain", "b": "remat/layer", "c": "twice", "d": "twice", "e": "stack/layer/table"}


def with_one(argument, value):
    """Inputs and labels with `value` in one sample of the second batch."""
    data = {**IDS, "y": LABELS}
    data[argument] = data[argument].copy()
    data[argument][SIZE + 1] = value
    y = data.pop("y")
    return [data[name] for name in "abcde"], y


def in_batches(x, y):
    for i in range(0, len(y), SIZE):
        yield [a[i : i + SIZE] for a in x], y[i : i + SIZE]


def lookups(name, optimizer):
    model = kf.Model(LOOKUPS)
    model.compile(optimizer, kf.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model.build(*(kf.Spec((None,), IDS[n].dtype) for n in "abcde"), backend=name)


def complaint(fun):
    with pytest.raises((kf.errors.IndexingError, kf.errors.LabelError)) as error:
        fun()
    return type(error.value), str(error.value), getattr(error.value, "__notes__", [])


def complaints(name, optimizer):
    """What each fault says in each use, and how many steps were taken before."""
    model, said = lookups(name, optimizer), {}
    start, options = model.train_state, {"batch_size": SIZE, "verbose": 0}
    for fault, (argument, value) in OUTSIDE.items():
        x, y = with_one(argument, value)
        uses = {
            "fit": lambda x=x, y=y: model.fit(x, y, shuffle=False, **options),
            "fit batches": lambda x=x, y=y: model.fit(in_batches(x, y), verbose=0),
            "evaluate": lambda x=x, y=y: model.evaluate(x, y, **options),
            "predict": lambda x=x: model.predict(x, **options),
        }
        if argument == "y":
            del uses["predict"]
        for use, fun in uses.items():
            model.train_state = start
            said[fault, use] = (*complaint(fun), int(kf.to_numpy(model.train_state.step)))
    model.train_state = start
    model.fit([IDS[n] for n in "abcde"], LABELS, **options)  # goes on
    assert int(kf.to_numpy(model.train_state.step)) == 3
    return said


@pytest.fixture(scope="module")
def said():
    return complaints("numpy", "sgd")


def test_what_is_said_about_indices_and_labels(said):
    assert said["one too high", "fit"][:2] == (
        kf.errors.IndexingError,
        "Training stopped at step 1: an index lies outside the table.\n  layer: plain\n  argument: x\n"
        "  expected: integers in [0, 5)\n  got: 5\n"
        "  fix: check the data, or give the layer a larger input_dim",
    )
    for (fault, use), (kind, text, _, steps) in said.items():
        argument, value = OUTSIDE[fault]
        assert kind is (kf.errors.LabelError if argument == "y" else kf.errors.IndexingError), (fault, use)
        assert f"got: {int(value)}" in text, (fault, use)
        # Labels in memory are looked at before training.
        assert steps == (1 if use == "fit batches" or (use == "fit" and argument != "y") else 0), (fault, use)
        if argument != "y":
            assert PLACES[argument] in text, (fault, use)


# A loss that is scaled makes steps that may be skipped; those at fault may not. What compiles takes its time.
@pytest.mark.parametrize("name", params(BACKENDS))
def test_the_same_is_said_everywhere(name, said):
    for key, wording in complaints(name, optim.LossScaleOptimizer("sgd")).items():
        assert wording == said[key], key


@pytest.mark.torch
def test_the_same_is_said_without_a_scale(said):
    assert complaints("torch", "sgd") == said


TABLE = nn.Sequential([nn.Embedding(5, 2), nn.Flatten(), nn.Dense(1)])
BATCHES = {
    "good": Batch(np.int32([[0, 1], [2, 3]]), np.float32([[0], [1]])),
    "index": Batch(np.int32([[0, 1], [7, 3]]), np.float32([[0], [1]])),
    "loss": Batch(np.int32([[0, 1], [2, 3]]), np.float32([[0], [np.nan]])),
    "both": Batch(np.int32([[0, 1], [7, 3]]), np.float32([[np.nan], [1]])),
}
CULPRITS = {"index": 4, "loss": 0, "both": 4}  # the loss, three gradients, the table


@pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
@pytest.mark.parametrize("name", params(("numpy", "torch")))
@pytest.mark.parametrize("number", [0, 3])
@pytest.mark.parametrize("second", ["good", "index", "loss"])
@pytest.mark.parametrize(
    ("first", "scale"), [("index", 1.0), ("loss", 1.0), ("both", 1.0), ("index", 8.0), ("both", 8.0)]
)
def test_the_first_fault_is_told_and_nothing_changes_after_it(first, second, scale, number, name):
    optimizer, loss = optim.LossScaleOptimizer("sgd", initial_scale=scale), kf.losses.MeanSquaredError()
    parameters, state = TABLE.init(0, BATCHES["good"].x, backend=name)
    opt_state, key = optimizer.init(parameters), kf.random.key(0, backend=name)
    before = TrainState(parameters, state, opt_state, key, kf.asarray(np.int32(number), backend=name))
    step = make_train_step(TABLE, optimizer, loss, {}, tables={"embedding": 5})
    ts, progress = before, start({}, kf.backends.get(name))
    for batch in (first, second):
        ts, progress = step(ts, progress, kf.to_backend(BATCHES[batch], name))
        assert kf.to_numpy(progress.fault).tolist()[:2] == [number, CULPRITS[first]]
        if first != "loss":
            assert int(kf.to_numpy(progress.fault)[2]) == 7
        for got, want in zip(leaves(ts), leaves(before), strict=True):
            np.testing.assert_array_equal(got, want)


# -- memory ------------------------------------------------------------------------------------------------------------


def resident():
    """Bytes in memory."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def growth(case, measure, fits, windows=4):
    """By how much `measure()` grows in so many fits: what leaks does so each time, what is kept for use does not."""
    x, y = X[: 2 * SIZE], Y[: 2 * SIZE]
    found = []
    for window in range(windows + 1):
        for i in range(fits):
            case.fit(x, y, validation_data=None if i % 4 else (x, y))
            if i % 4 == 0:
                case.model.predict(x, SIZE)
        while gc.collect():  # what goes may let others go
            pass
        if window == 0:
            gc.freeze()  # frameworks are a million objects, which need not be counted again and again
        found.append(measure())
    return [min(b - a for a, b in itertools.pairwise(m)) for m in zip(*found, strict=True)]


def test_200_fits_of_one_model(case):
    objects, size = growth(case, lambda: (len(gc.get_objects()), resident()), 40)
    assert objects < 40  # less than one a fit
    assert size < 40 * 2**10  # nor a quarter of a page


@pytest.mark.numpy
def test_fits_leave_no_array_behind():
    numpys = tracemalloc.DomainFilter(True, np.lib.tracemalloc_domain)

    def arrays():
        traces = tracemalloc.take_snapshot().filter_traces([numpys]).traces
        return len(traces), sum(trace.size for trace in traces)

    case = Trained("numpy")
    tracemalloc.start()
    try:
        assert growth(case, arrays, 5, windows=2) == [0, 0]
    finally:
        tracemalloc.stop()


def test_models_that_are_gone_leave_nothing(case):
    name, alive = case.model.backend, []

    def run():
        model = kf.Model(nn.Dense(2))
        model.compile("sgd", "mse")
        model.fit(X[:SIZE], Y[:SIZE], verbose=0, backend=name)
        alive.extend(map(weakref.ref, [model, model.net, *model._functions]))

    for _ in range(3):
        run()
    gc.collect()
    assert len(alive) >= 9
    assert not [ref() for ref in alive if ref() is not None]


def test_nan_in_the_optimizers_state_of_a_file(tmp_path):
    """The first step of training would make every parameter NaN."""
    model = kf.Model(nn.Dense(2))
    model.compile("adam", "mse")
    model.fit(X[:8], Y[:8, :2], verbose=0)
    ts = model.train_state
    bad = kf.tree.map(lambda a: a * np.float32(np.nan) if a.dtype.kind == "f" and a.ndim == 2 else a, ts.opt_state)
    model.train_state = ts._replace(opt_state=bad)
    model.save(tmp_path / "model.safetensors")
    with pytest.raises(
        kf.errors.NonFiniteError, match=r"model.safetensors cannot be used: the array opt_state\..*kernel"
    ):
        kf.Model.load(tmp_path / "model.safetensors")
