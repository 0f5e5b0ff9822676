"""Data from anywhere: the same batches in any container are the same training, and what is wrong with them is said."""

from __future__ import annotations

import collections
import contextvars
import functools
import itertools
import re
import signal
import threading
import time

import numpy as np
import pytest
from backends import params

import kfunc as kf
from kfunc import nn
from kfunc.errors import ArgumentError, DataError, LabelError, ShapeError

TRAINING = params(("numpy", "jax", "torch", "tensorflow"))
N, SIZE, CLASSES = 37, 4, 3  # 10 batches, of which the last has one sample
STEPS = 10


def samples(seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(N, 5)).astype(np.float32)
    return x, (np.arange(N) % CLASSES).astype(np.int32), rng.uniform(0.5, 2, N).astype(np.float32)


X, Y, W = samples()


def batches(*arrays, size=SIZE):
    return [tuple(a[i : i + size] for a in arrays) for i in range(0, len(arrays[0]), size)]


def compiled(net=None, loss=None, metrics=("accuracy",)):
    model = kf.Model(nn.Sequential([nn.Dense(4, activation="tanh"), nn.Dense(CLASSES)]) if net is None else net)
    loss = kf.losses.SparseCategoricalCrossentropy(from_logits=True) if loss is None else loss
    model.compile(kf.optim.adam(0.05), loss, metrics=metrics, weighted_metrics=["accuracy"])
    return model


def leaves(tree):
    return [kf.to_numpy(x) for x in kf.tree.leaves(tree)]


def same(a, b):
    for x, y in zip(leaves(a), leaves(b), strict=True):
        np.testing.assert_array_equal(x, y)


@functools.cache
def shared(name):
    """One model a backend, which compiles once; the history and the states of training on arrays in memory."""
    model, states = compiled().build(kf.Spec((None, 5)), backend=name), []

    class Kept(kf.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None, train_state=None):
            states.append(kf.to_backend(train_state, "numpy"))

    states.append(kf.to_backend(model.train_state, "numpy"))
    history = model.fit(X, Y, SIZE, 2, sample_weight=W, shuffle=False, verbose=0, callbacks=[Kept()]).history
    return model, history, states


def fresh(name):
    """The shared model at its first state."""
    model, _, states = shared(name)
    model.train_state = kf.to_backend(states[0], name)
    return model


def threads():
    return [t for t in threading.enumerate() if t.name.startswith("kfunc")]


# -- containers -------------------------------------------------------------------------------------------------------


class Looked(kf.data.Dataset):
    def __init__(self, items, **options):
        super().__init__(**options)
        self.items, self.calls = items, []

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        return self.items[i]

    def on_epoch_begin(self):
        self.calls.append("begin")

    def on_epoch_end(self):
        self.calls.append("end")


class Bare:
    """A data set without a base class."""

    def __len__(self):
        return STEPS

    def __getitem__(self, i):
        return batches(X, Y, W)[i]


class Again:
    """What is iterated over anew in each epoch."""

    def __init__(self, items):
        self.items = items

    def __iter__(self):
        return iter(self.items)


class Counted(Again):
    """The same, and it says how long it is."""

    def __len__(self):
        return STEPS


def reused():
    """One buffer for all batches, as readers of files have it."""
    buffer = np.empty((SIZE, 5), np.float32)
    while True:
        for x, y, w in batches(X, Y, W):
            out = buffer[: len(x)]
            out[:] = x
            yield out, y, w


def endless():
    while True:
        yield from batches(X, Y, W)


def torch_loader(**options):
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    return DataLoader(TensorDataset(*map(torch.asarray, (X, Y, W))), SIZE, **options)


def tf_dataset():
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((X, Y, W)).batch(SIZE)


def tf_tensors(part):
    import tensorflow as tf

    return tf.constant(part)


def grain_map(kind):
    grain = pytest.importorskip("grain")
    data = grain.MapDataset.source(list(zip(X, Y, W, strict=True))).batch(SIZE)
    return data if kind == "map" else data.to_iter_dataset()


def grain_loader():
    import grain

    source = list(zip(X, Y, W, strict=True))
    sampler = grain.samplers.IndexSampler(len(source), shuffle=False, num_epochs=1)
    return grain.DataLoader(data_source=source, sampler=sampler, operations=[grain.transforms.Batch(SIZE)])


def keras_dataset():
    import keras

    class Own(keras.utils.PyDataset):
        def __len__(self):
            return STEPS

        def __getitem__(self, i):
            return batches(X, Y, W)[i]

    return Own(workers=2)


STEPPED = {"steps_per_epoch": STEPS}
# Name: a function that gives the batches of (X, Y, W), how `fit` is to take them, and the backends.
SOURCES = {
    "endless generator": (endless, STEPPED, "numpy jax torch tensorflow"),
    "one buffer": (reused, STEPPED, "numpy jax torch"),
    "iterable": (lambda: Counted(batches(X, Y, W)), {}, "numpy jax torch tensorflow"),
    "iterable without a length": (lambda: Again(batches(X, Y, W)), {}, "numpy torch"),
    "list of tuples": (lambda: batches(X, Y, W), {}, "numpy torch"),
    "lists": (lambda: Again([list(b) for b in batches(X, Y, W)]), {}, "numpy"),
    "Dataset": (lambda: Looked(batches(X, Y, W)), {}, "numpy jax torch tensorflow"),
    "Dataset with workers": (lambda: Looked(batches(X, Y, W), workers=3, max_queue_size=4), {}, "numpy jax"),
    "no base class": (Bare, {}, "numpy"),
    "iterable of Batch": (lambda: Again([kf.data.Batch(*b) for b in batches(X, Y, W)]), {}, "numpy"),
    "a source": (lambda: kf.data.source(Again(batches(X, Y, W))), {}, "numpy"),
    "Keras's PyDataset": (keras_dataset, {}, "torch"),
    "DataLoader": (torch_loader, {}, "torch numpy"),
    "tf.data": (tf_dataset, {}, "tensorflow numpy"),
    "grain MapDataset": (lambda: grain_map("map"), {}, "numpy"),
    "grain IterDataset": (lambda: grain_map("iter"), {}, "numpy"),
    "grain DataLoader": (grain_loader, {}, "numpy"),
}


def rows(table):
    return [pytest.param(key, *p.values, marks=p.marks) for key, row in table.items() for p in params(row[-1].split())]


@pytest.mark.parametrize("row, name", rows(SOURCES))
def test_batches_from_anywhere_train_as_arrays(row, name):
    make, options, _ = SOURCES[row]
    _, history, states = shared(name)
    model = fresh(name)
    assert model.fit(make(), epochs=2, verbose=0, shuffle=False, **options).history == history
    same(model.train_state, states[-1])
    once = {"steps": STEPS} if options else {}
    assert model.evaluate(make(), verbose=0, **once) == model.evaluate(X, Y, SIZE, 0, W)
    np.testing.assert_array_equal(model.predict(make(), **once), model.predict(X, SIZE))
    assert not threads()


WHOLE = {"list": Again, "generator": iter, "Dataset": Looked, "Dataset with workers": lambda b: Looked(b, workers=2)}


@functools.cache
def normalizing(name):
    net = nn.Sequential([nn.Dense(8), nn.BatchNormalization(), nn.Activation("relu"), nn.Dense(CLASSES)])
    return compiled(net).build(kf.Spec((None, 5)), backend=name)


@pytest.mark.parametrize("name", TRAINING)
@pytest.mark.parametrize("n", [32, 31, 21, 9])
def test_all_batches_full_or_not_give_the_same_bits(n, name):
    """Arrays say beforehand whether the last batch is full, iterables do not; the programs are the same."""
    x, y = X[:n], Y[:n]
    model, found = normalizing(name), []
    first = kf.to_backend(model.train_state, "numpy")
    size = 8
    for make in (None, *WHOLE.values()):
        given = (lambda: (x, y, size)) if make is None else lambda make=make: (make(batches(x, y, size=size)),)
        steps = {} if make is not iter else {"steps_per_epoch": -(-n // size)}
        model.train_state = kf.to_backend(first, name)
        history = model.fit(*given(), epochs=1, verbose=0, shuffle=False, **steps).history
        predicted = model.predict(x, size) if make is None else model.predict(make(batches(x, size=size)))
        found.append((history, model.evaluate(*given(), verbose=0), predicted, model.train_state))
    model.train_state = kf.to_backend(first, name)
    for other in found[1:]:
        assert other[:2] == found[0][:2]
        same(other[2:], found[0][2:])


def pandas_frames():
    pd = pytest.importorskip("pandas")
    return pd.DataFrame(X.astype(np.float64)), pd.Series(Y), pd.Series(W)


def polars_frames():
    pl = pytest.importorskip("polars")
    return pl.DataFrame(X), pl.Series(Y), pl.Series(W)


def jax_arrays():
    import jax.numpy as jnp

    return jnp.asarray(X), jnp.asarray(Y), jnp.asarray(W)


def torch_arrays():
    import torch

    return torch.asarray(X), torch.asarray(Y), torch.asarray(W)


ARRAYS = {
    "pandas": (pandas_frames, "numpy"),
    "polars": (polars_frames, "numpy"),
    "jax's": (jax_arrays, "jax"),
    "torch's": (torch_arrays, "torch"),
    "TensorFlow's": (lambda: tuple(map(tf_tensors, (X, Y, W))), "tensorflow"),
    "targets in a column": (lambda: (X, Y[:, None], W[:, None]), "numpy"),
    "lists of one": (lambda: (X, [Y], [W]), "numpy"),
}


@pytest.mark.parametrize("row, name", rows(ARRAYS))
def test_arrays_of_any_library_train_as_numpys(row, name):
    x, y, w = ARRAYS[row][0]()
    _, history, states = shared(name)
    model = fresh(name)
    assert model.fit(x, y, SIZE, 2, sample_weight=w, shuffle=False, verbose=0).history == history
    same(model.train_state, states[-1])


# -- faults -----------------------------------------------------------------------------------------------------------


class Broken(ValueError):
    """An exception of the user's own."""


AT = 5  # the batch at fault


def spoiled(change):
    """The batches with one changed."""
    items = batches(X, Y, W)
    items[AT] = change(*items[AT])
    return items


def raising():
    yield from batches(X, Y, W)[:AT]
    raise Broken("the user's")


class Raising(Looked):
    error = Broken

    def __getitem__(self, i):
        if i == AT:
            raise self.error("the user's")
        return super().__getitem__(i)


class Ending(Raising):
    error = StopIteration


# Name: the data with a fault in batch 5, arguments of `fit`, the error and what it says.
FAULTS = {
    "runs dry": (lambda: iter(batches(X, Y, W)[:AT]), STEPPED, DataError, "10 batches an epoch"),
    "raises": (raising, STEPPED, Broken, "the user's"),
    "raises in a worker": (lambda: Raising(batches(X, Y, W), workers=3), {}, Broken, "the user's"),
    "raises in the background": (lambda: Raising(batches(X, Y, W)), {}, Broken, "the user's"),
    "ends": (lambda: Ending(batches(X, Y, W)), {}, DataError, f"batch {AT} from __getitem__"),
    "ends in a worker": (lambda: Ending(batches(X, Y, W), workers=3), {}, DataError, f"batch {AT} from __getitem__"),
    "other shape": (lambda: Counted(spoiled(lambda x, y, w: (x[:, :3], y, w))), {}, ShapeError, "(4, 5)"),
    "other structure": (lambda: Counted(spoiled(lambda x, y, w: (x, y))), {}, ShapeError, "sample_weight"),
    "lengths differ": (lambda: Counted(spoiled(lambda x, y, w: (x, y[1:], w))), {}, ShapeError, "y: 3"),
    "four parts": (lambda: Counted(spoiled(lambda x, y, w: (x, y, w, w))), {}, ArgumentError, "got 4 parts"),
    "no numbers": (lambda: Counted(spoiled(lambda x, y, w: (x.astype(str), y, w))), {}, ArgumentError, "x"),
    "label out of range": (lambda: Counted(spoiled(lambda x, y, w: (x, y + 7, w))), {}, LabelError, r"[0, 3)"),
    "None": (lambda: Counted(spoiled(lambda x, y, w: None)), {}, ArgumentError, "None"),
    "no samples": (lambda: Counted(spoiled(lambda x, y, w: (x[:0], y[:0], w[:0]))), {}, DataError, "no samples"),
}


@pytest.mark.parametrize("name", TRAINING)
@pytest.mark.parametrize("row", ["arrays", "generator"])
def test_a_device_gets_its_batches_ahead(row, name, monkeypatch):
    # No device is needed for that: only that the host is taken for one.
    monkeypatch.setattr("kfunc.model.on_host", lambda x: False)
    _, history, states = shared(name)
    model = fresh(name)
    data = kf.data.source(X, Y, W, batch_size=SIZE) if row == "arrays" else endless()
    assert model.fit(data, epochs=2, steps_per_epoch=STEPS, verbose=0, shuffle=False).history == history
    same(model.train_state, states[-1])
    assert not threads()


@pytest.mark.parametrize("row", ["evaluate", "predict"])
def test_a_fault_without_training(row):
    model = fresh("numpy")
    with pytest.raises(Broken) as error:
        getattr(model, row)(Raising(batches(X, Y, W)))
    assert error.value.__notes__ == [f"in batch {AT} of the {'evaluation' if row == 'evaluate' else 'prediction'}"]
    assert not threads()


@pytest.mark.parametrize("name", TRAINING)
@pytest.mark.parametrize("row", FAULTS)
def test_a_fault_comes_after_the_steps_before_it_and_fit_goes_on(row, name):
    make, options, kind, text = FAULTS[row]
    _, _, states = shared(name)
    model = fresh(name)
    with pytest.raises(kind, match=re.escape(text)) as error:
        model.fit(make(), epochs=2, verbose=0, shuffle=False, **options)
    assert any(f"in batch {AT} of epoch 1" in note for note in error.value.__notes__)
    assert not threads()
    same(model.train_state, states[AT])
    model.fit(Looked(batches(X, Y, W)[AT:] + batches(X, Y, W)[:AT]), steps_per_epoch=STEPS, verbose=0, shuffle=False)
    assert int(kf.to_numpy(model.train_state.step)) == AT + STEPS


def test_ctrl_c_while_data_is_awaited_ends_the_thread():
    def slow():
        yield from batches(X, Y, W)[:AT]
        signal.raise_signal(signal.SIGINT)  # Python hands it to the main thread, which waits for a batch
        time.sleep(0.2)
        yield from batches(X, Y, W)[AT:]

    model = fresh("numpy")
    with pytest.raises(KeyboardInterrupt):
        model.fit(slow(), verbose=0)
    assert not threads()
    same(model.train_state, shared("numpy")[2][int(model.train_state.step)])
    assert model.fit(X, Y, SIZE, verbose=0).epoch == [0]


def test_ctrl_c_while_the_thread_is_started_ends_it(monkeypatch):
    def interrupted(thread, start=threading.Thread.start):
        flag = thread._started
        if thread.name == "kfunc data":  # which says late that it runs, when Ctrl-C has come
            flag.wait = lambda: signal.raise_signal(signal.SIGINT)
            flag.set = lambda: (time.sleep(0.1), threading.Event.set(flag))
        start(thread)

    data = kf.data.source(iter(batches(X, Y, W)))
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fresh("numpy").fit(data, verbose=0)
    assert not threads()
    model = fresh("numpy")
    model.fit(data, verbose=0)  # nothing is lost
    same(model.train_state, shared("numpy")[2][STEPS])


def test_the_thread_ends_when_its_reader_is_gone():
    # Which a second Ctrl-C in `__exit__` does.
    reader = kf.data.source(endless(), steps=STEPS).epoch()
    reader.read(1)
    found = threads()
    assert found
    del reader
    found[0].join(60)
    assert not threads()


def test_a_source_of_an_iterator_loses_nothing():
    data, seen = kf.data.source(iter(batches(X, Y, W))), []

    class Stops(kf.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(batch)
            if batch == AT - 1:
                raise Broken("the user's")

    model = fresh("numpy")
    with pytest.raises(Broken):
        model.fit(data, verbose=0, callbacks=[Stops()])
    same(model.train_state, shared("numpy")[2][AT])
    model.fit(data, verbose=0)
    same(model.train_state, shared("numpy")[2][STEPS])


def test_the_thread_has_the_callers_context():
    variable = contextvars.ContextVar("variable", default="other")
    found = []

    def items():
        for item in batches(X, Y, W):
            found.append(variable.get())
            yield item

    contextvars.copy_context().run(lambda: (variable.set("own"), fresh("numpy").fit(Again(Lazy(items)), verbose=0)))
    assert set(found) == {"own"} and len(found) == STEPS


class Lazy:
    def __init__(self, make):
        self.make = make

    def __iter__(self):
        return self.make()


# -- which batches an epoch is of -------------------------------------------------------------------------------------

KEY = kf.random.key(3)
NUMBERS = np.arange(N, dtype=np.float32)[:, None]


def read(reader, n=1):
    """The samples of each batch."""
    found = []
    with reader:
        while (batch := reader.read(n)) is not None:
            ends = [min(SIZE * (i + 1), len(batch.x)) for i in range(reader.steps)]
            found += [part[:, 0].tolist() for part in np.split(batch.x, ends[:-1])]
    return found


def cycled():
    while True:
        yield from batches(NUMBERS)


BY_STEPS = {
    "arrays": lambda steps: kf.data.source(NUMBERS, batch_size=SIZE, steps=steps),
    "Dataset": lambda steps: kf.data.source(Looked(batches(NUMBERS)), steps=steps),
    "workers": lambda steps: kf.data.source(Looked(batches(NUMBERS), workers=2), steps=steps),
    "iterable": lambda steps: kf.data.source(Again(batches(NUMBERS)), steps=steps),
    "generator": lambda steps: kf.data.source(cycled(), steps=steps),
}


@pytest.mark.parametrize("row", BY_STEPS)
@pytest.mark.parametrize("steps", [1, 3, STEPS, 14, 25])
def test_epochs_of_steps_go_on_where_the_last_stopped(row, steps):
    whole = [b[0][:, 0].tolist() for b in batches(NUMBERS)] * 8
    data = BY_STEPS[row](steps)
    for epoch in range(3):
        assert data.steps == steps
        got = read(data.epoch(None, 0, epoch, epoch * steps), 1 + epoch)
        assert got == whole[epoch * steps : (epoch + 1) * steps]
    # As after a checkpoint, in another process.
    assert read(BY_STEPS[row](steps).epoch(None, steps // 2, 2, 2 * steps)) == whole[2 * steps + steps // 2 : 3 * steps]


@pytest.mark.parametrize("row", ["arrays", "Dataset", "workers"])
@pytest.mark.parametrize("steps", [3, 14])
def test_each_round_has_an_order_of_its_own(row, steps):
    make = BY_STEPS[row]
    rounds = [read(make(None).epoch(KEY, 0, r, 7 + r * STEPS)) for r in range(5)]
    for found in rounds:
        assert sorted(itertools.chain(*found)) == NUMBERS[:, 0].tolist()
    assert len({str(found) for found in rounds}) == 5
    whole = list(itertools.chain(*rounds))
    for epoch in range(3):
        got = read(make(steps).epoch(KEY, 1, epoch, 7 + epoch * steps), 2)
        assert got == whole[epoch * steps + 1 : (epoch + 1) * steps]


def test_fit_by_steps_is_fit_by_rounds():
    model = fresh("numpy")
    model.fit(X, Y, SIZE, epochs=2, sample_weight=W, verbose=0)
    state = model.train_state
    model = fresh("numpy")
    history = model.fit(X, Y, SIZE, epochs=5, sample_weight=W, steps_per_epoch=4, verbose=0)
    assert len(history.epoch) == 5
    same(model.train_state, state)
    # Keras's batch size of so many steps.
    assert kf.data.source(X, Y, steps=4).batch_size == 10


def test_a_resumed_iterable_has_begun_as_often_as_an_unbroken_one():
    class Shuffled:
        def __init__(self):
            self.epoch = 0

        def __iter__(self):
            order = np.random.default_rng(self.epoch).permutation(STEPS)
            self.epoch += 1
            return (batches(NUMBERS)[i] for i in order)

    unbroken, resumed = kf.data.source(Shuffled()), kf.data.source(Shuffled())
    epochs = [read(unbroken.epoch(None, 0, e)) for e in range(3)]
    assert read(resumed.epoch(None, 4, 2)) == epochs[2][4:]
    own = Looked(batches(NUMBERS))
    read(kf.data.source(own).epoch(None, 4, 2))
    assert own.calls == ["begin", "end"] * 3


RESUMED = {
    "Dataset": (lambda: Looked(batches(X, Y, W)), {}),
    "Dataset by steps": (lambda: Looked(batches(X, Y, W)), {"steps_per_epoch": 13}),
    "iterable": (lambda: Again(batches(X, Y, W)), {}),
    "generator": (endless, {"steps_per_epoch": 7}),
    "arrays by steps": (lambda: kf.data.source(X, Y, W, batch_size=SIZE), {"steps_per_epoch": 7}),
}


@pytest.mark.parametrize("row", RESUMED)
def test_a_broken_fit_resumes_at_its_batch(row, tmp_path):
    make, options = RESUMED[row]

    class Breaks(kf.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None, train_state=None):
            if int(train_state.step) == 17:
                raise Broken("the user's")

    model = fresh("numpy")
    history = model.fit(make(), epochs=3, verbose=0, **options).history
    state, options = model.train_state, {**options, "resume": kf.Checkpoints(tmp_path, every=3)}
    with pytest.raises(Broken):
        fresh("numpy").fit(make(), epochs=3, verbose=0, callbacks=[Breaks()], **options)
    model = fresh("numpy")
    assert model.fit(make(), epochs=3, verbose=0, **options).history == history
    same(model.train_state, state)


def test_an_evaluation_begins_anew():
    for row in ("arrays", "Dataset", "iterable"):
        data = BY_STEPS[row](3)
        assert read(data.epoch()) == read(data.epoch()) == [b[0][:, 0].tolist() for b in batches(NUMBERS)[:3]]


def test_batches_are_moved_ahead():
    moved = []

    def move(batch):
        moved.append((threading.current_thread().name, batch.size))
        return batch

    for row in ("arrays", "Dataset", "iterable"):
        moved.clear()
        assert read(BY_STEPS[row](None).epoch(move=move)) == [b[0][:, 0].tolist() for b in batches(NUMBERS)]
        # The last one is filled up first.
        assert moved == [("kfunc data", SIZE)] * (STEPS - 1)


# -- batches of other sizes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TRAINING)
@pytest.mark.parametrize("what", ["fit", "evaluate", "predict"])
def test_what_is_written_to_samples_behind_a_batch_changes_nothing(what, name):
    rng = np.random.default_rng(0)
    samples = rng.random((8 * 32, 1024), np.float32)
    y = rng.integers(0, CLASSES, len(samples), np.int32)
    # At a multiple of 64 bytes, from where JAX on a CPU reads them without a copy, and later.
    memory = np.zeros(samples.size + 16, np.float32)
    x = memory[-memory.ctypes.data % 64 // 4 :][: samples.size].reshape(samples.shape)

    class Writes(kf.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            x[: 32 * (batch + 1)] = 0

        on_test_batch_end = on_predict_batch_end = on_train_batch_end

    model = compiled(nn.Sequential([nn.Dense(1024), nn.Dense(1024), nn.Dense(CLASSES)]), metrics=())
    runs = {
        "fit": lambda **more: model.fit(x, y, 32, shuffle=False, verbose=0, **more).history["loss"],
        "evaluate": lambda **more: model.evaluate(x, y, 32, 0, **more),
        "predict": lambda **more: model.predict(x, 32, **more),
    }
    ends = []
    for callbacks in ([], [Writes()]):
        x[:] = samples
        model.build(kf.Spec((None, 1024)), backend=name).reset()
        ends.append(runs[what](callbacks=callbacks))
    np.testing.assert_array_equal(*ends)


@pytest.mark.parametrize("name", TRAINING)
def test_a_batch_is_a_step_whatever_its_size(name):
    cuts = np.cumsum([4, 6, 4, 4, 4, 1, 4, 4, 4, 2])[:-1]
    parts = list(zip(*(np.split(a, cuts) for a in (X, Y, W)), strict=True))
    assert len(parts) == STEPS
    want = compiled().build(kf.Spec((None, 5)))
    for x, y, w in parts:
        want.train_on_batch(x, y, w)
    expected = leaves(want.train_state)
    model = fresh(name)
    losses = [compiled_loss(want, *part) for part in parts]  # of the state after all, by hand
    model.fit(Counted(parts), verbose=0)
    assert int(kf.to_numpy(model.train_state.step)) == STEPS
    for a, b in zip(leaves(model.train_state), expected, strict=True):
        # Ten steps of Adam, each of sums over at most 6 samples: errors are of some eps a step.
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-5)
    mean = sum(n * len(p[0]) for n, p in zip(losses, parts, strict=True)) / N
    model.train_state = kf.to_backend(want.train_state, name)
    got = model.evaluate(Counted(parts), verbose=0, return_dict=True)["loss"]
    np.testing.assert_allclose(got, mean, rtol=1e-5)
    np.testing.assert_allclose(model.predict(Counted(parts)), model.predict(X), rtol=1e-5, atol=1e-6)


def test_several_batches_at_once_are_of_one_size():
    sizes = [4, 4, 4, 6, 4, 2, 4, 4, 1, 1, 8, 4, 4]
    items = np.split(np.arange(sum(sizes), dtype=np.float32)[:, None], np.cumsum(sizes)[:-1])
    found = []
    with kf.data.source(Again(items)).epoch() as reader:
        while (batch := reader.read(4)) is not None:
            found.append((batch.x[:, 0].tolist(), reader.steps))
            time.sleep(0.01)  # for the thread to read ahead
    assert list(itertools.chain(*(x for x, _ in found))) == list(range(sum(sizes)))
    assert sum(n for _, n in found) == len(sizes)
    for x, n in found:
        assert n == 1 or SIZE * (n - 1) < len(x) <= SIZE * n


def compiled_loss(model, x, y, w):
    """The loss of a batch in float64."""
    z = model.predict(x).astype(np.float64)
    z = z - np.log(np.exp(z).sum(-1, keepdims=True))
    return float((-z[np.arange(len(y)), y] * w).mean())


# -- weights, keys and frames -----------------------------------------------------------------------------------------


def test_class_weights_of_batches():
    weights = {0: 1.0, 1: 3.0, 2: 0.5}
    by_class = np.asarray([weights[c] for c in Y], np.float32)
    a, b = fresh("numpy"), fresh("numpy")
    for data in (Counted(batches(X, Y, W)), Looked(batches(X, Y, W))):
        a = fresh("numpy")
        history = a.fit(data, class_weight=weights, verbose=0, shuffle=False).history
        state, b = a.train_state, fresh("numpy")
        assert b.fit(X, Y, SIZE, sample_weight=W * by_class, verbose=0, shuffle=False).history == history
        same(state, b.train_state)
    with pytest.raises(ArgumentError, match="class_weight"):
        fresh("numpy").fit(Counted(batches(X)), class_weight=weights, verbose=0)


VALIDATIONS = {
    "arrays": (lambda: (X, Y, W), {"validation_batch_size": SIZE}),
    "Dataset": (lambda: Looked(batches(X, Y, W)), {}),
    "iterable": (lambda: Again(batches(X, Y, W)), {}),
    "list of tuples": (lambda: batches(X, Y, W), {}),
    "generator": (endless, {"validation_steps": STEPS}),
}


@pytest.mark.parametrize("row", VALIDATIONS)
def test_validation_data_from_anywhere(row):
    make, options = VALIDATIONS[row]
    model, values = fresh("numpy"), []

    class Judged(kf.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            values.append(self.model.evaluate(X, Y, SIZE, 0, W))

    logs = model.fit(X, Y, SIZE, 2, validation_data=make(), callbacks=[Judged()], verbose=0, **options).history
    assert [[logs[f"val_{n}"][e] for n in ("loss", "accuracy", "weighted_accuracy")] for e in (0, 1)] == values


def two_headed(outputs):
    a, b = nn.Input((5,)), nn.Input((5,))
    h = nn.Concatenate()([nn.Dense(3, name="h")(a), nn.Dense(2, name="g")(b)])
    z, m = nn.Dense(1, name="z")(h), nn.Dense(1, name="m")(h)
    model = kf.Model(nn.Graph({"a": a, "b": b}, {"z": z, "m": m} if outputs == "dict" else [z, m]))
    model.compile("sgd", {"z": "mse", "m": "mse"})
    return model


def two_headed_data():
    x = {"b": X[::-1], "a": X}
    y = {"z": W[:, None], "m": Y[:, None].astype(np.float32)}
    return x, y, {"z": W, "m": W[::-1]}


BY_KEY = {
    "as they are": lambda x, y, w: (x, y, w),
    "other order": lambda x, y, w: tuple(dict(reversed(part.items())) for part in (x, y, w)),
    "other mapping": lambda x, y, w: tuple(collections.ChainMap(part) for part in (x, y, w)),
    "series": lambda x, y, w: (x, {k: pytest.importorskip("pandas").Series(v[:, 0]) for k, v in y.items()}, w),
}


@pytest.mark.parametrize("row", BY_KEY)
@pytest.mark.parametrize("outputs", ["dict", "list"])
def test_dicts_are_matched_by_key(row, outputs):
    x, y, w = two_headed_data()
    model = two_headed(outputs)
    data = BY_KEY[row](x, y, w)
    history = model.fit(*data[:2], N, sample_weight=data[2], shuffle=False, verbose=0).history
    # By the formula: the same network, its losses one by one.
    plain = two_headed(outputs).build({k: kf.Spec((None, 5)) for k in "ab"})
    out = plain.predict(x)
    z, m = (out["z"], out["m"]) if outputs == "dict" else out
    want = [float((w[n] * ((p - y[n]) ** 2)[:, 0]).mean()) for n, p in (("z", z), ("m", m))]
    np.testing.assert_allclose([history[f"{n}_loss"][0] for n in "zm"], want, rtol=1e-5)
    np.testing.assert_allclose(history["loss"][0], sum(want), rtol=1e-5)
    assert two_headed(outputs).fit(Again([data]), verbose=0).history == history


def renamed(part, **names):
    return {names.get(k, k): v for k, v in part.items()}


def without(part, name):
    return {k: v for k, v in part.items() if k != name}


def sparse():
    return pytest.importorskip("scipy.sparse").csr_matrix(X)


def frame(**columns):
    return pytest.importorskip("pandas").DataFrame({"a": range(N), **columns})


WRONG_KEYS = {
    "target missing": (lambda x, y, w: (x, without(y, "m"), w), "'m' has a loss"),
    "target unknown": (lambda x, y, w: (x, renamed(y, m="q"), w), "q"),
    "weight unknown": (lambda x, y, w: (x, y, renamed(w, m="q")), "q"),
    "input missing": (lambda x, y, w: (without(x, "b"), y, w), "b"),
    "input unknown": (lambda x, y, w: (renamed(x, b="q"), y, w), "q"),
    "no targets": (lambda x, y, w: (x, None, None), "`y` is missing"),
    "too few targets": (lambda x, y, w: (x, [y["z"]], w), "a list of 2"),
    "sparse": (lambda x, y, w: ({**x, "a": sparse()}, y, w), "x/a"),
    "texts in a column": (lambda x, y, w: ({**x, "a": frame(t=["u"] * N)}, y, w), "x/a, column 't'"),
    "texts in polars": (
        lambda x, y, w: ({**x, "a": pytest.importorskip("polars").DataFrame({"t": ["u"] * N})}, y, w),
        "column 't'",
    ),
    "texts": (lambda x, y, w: ({**x, "a": X.astype(str)}, y, w), "x/a"),
}


@pytest.mark.parametrize("built", [False, True])
@pytest.mark.parametrize("row", WRONG_KEYS)
def test_wrong_keys_and_contents_are_named(row, built):
    change, text = WRONG_KEYS[row]
    model = two_headed("dict")
    if built:
        model.build({k: kf.Spec((None, 5)) for k in "ab"})
    x, y, w = change(*two_headed_data())
    with pytest.raises(ArgumentError, match=re.escape(text)):
        model.fit(x, y, sample_weight=w, verbose=0)
    assert model.train_state is None or int(model.train_state.step) == 0
    model.fit(*two_headed_data()[:2], verbose=0)


REFUSED = {
    "a number": (lambda: dict(x=3), ArgumentError, "`x` must be arrays, data frames"),
    "a text": (lambda: dict(x="data.csv"), ArgumentError, "str"),
    "a lazy frame": (lambda: dict(x=pytest.importorskip("polars").LazyFrame({"a": [1]})), ArgumentError, "collect"),
    "no batches": (lambda: dict(x=iter(())), DataError, "`x` yields no batches"),
    "an empty Dataset": (lambda: dict(x=Looked([])), DataError, "length 0"),
    "no end": (lambda: dict(x=kf.data.Dataset()), ArgumentError, "steps_per_epoch"),
    "own targets": (lambda: dict(x=endless(), y=Y), ArgumentError, "`y` must be None"),
    "processes": (lambda: dict(x=Looked([], use_multiprocessing=True)), ArgumentError, "use_multiprocessing"),
    "no workers": (lambda: dict(x=Looked([], workers=-1)), ArgumentError, "workers"),
    "no steps": (lambda: dict(x=X, steps=0), ArgumentError, "steps_per_epoch"),
    "no samples a batch": (lambda: dict(x=X, batch_size=0), ArgumentError, "batch_size"),
    "samples": (lambda: dict(x=Again([(1.0, 2)])), ShapeError, "no axis"),
    "no samples": (lambda: dict(x=X[:0], y=Y[:0]), DataError, "no samples"),
    "a batch without samples": (lambda: dict(x=iter([(X[:0], Y[:0])])), DataError, "no samples"),
    "masked numbers": (lambda: dict(x=np.ma.masked_array(X, X > 2)), ArgumentError, "filled"),
    "a list of numbers": (lambda: dict(x=[0.0] * 999), ShapeError, "x/7, ...\n"),
}


@pytest.mark.parametrize("row", REFUSED)
def test_what_is_no_data(row):
    make, kind, text = REFUSED[row]
    with pytest.raises(kind, match=re.escape(text)):
        kf.data.source(**make())


@pytest.mark.parametrize("name", TRAINING)
def test_half_precision_data_meet_parameters_of_more(name):
    model, half = fresh(name), X.astype(np.float16)
    np.testing.assert_allclose(model.predict(half), model.predict(half.astype(np.float32)), rtol=1e-5, atol=1e-6)
    model.fit(half, Y, SIZE, verbose=0, steps_per_epoch=1)


# For each argument of `fit`, what it does not take.
NO_NUMBERS = {
    "batch_size": (0, -1, 2.5, True, "4"),
    "epochs": (-1, 2.5, True, None, "3"),
    "initial_epoch": (-1, 2.5, True, None),
    "steps_per_epoch": (0, -1, 1.5, True),
    "validation_split": (-0.1, 1, 0.999, True, "a", float("nan")),
    "validation_steps": (0, -1, 1.5, True),
    "validation_batch_size": (0, -1, 1.5, True),
    "validation_freq": (0, -1, 1.5, True, "a", None),
    "class_weight": ([1.0, 2.0, 3.0], {0: 1.0, 1: "a"}),
    "shuffle": ("no", None),
}


@pytest.mark.parametrize("argument", NO_NUMBERS)
def test_what_is_no_number_of_things(argument):
    model, begun = fresh("numpy"), []
    options = {"verbose": 0, "callbacks": kf.callbacks.LambdaCallback(on_train_begin=begun.append)}
    held_out = {} if argument == "validation_split" else {"validation_data": (X, Y)}
    for value in NO_NUMBERS[argument]:
        with pytest.raises(ArgumentError) as error:
            model.fit(X, Y, **held_out, **options, **{argument: value})
        assert error.value.argument == argument and not begun


def test_numbers_of_numpy_are_numbers():
    model, two = fresh("numpy"), np.int64(2)
    counts = dict.fromkeys(["batch_size", "epochs", "steps_per_epoch", "validation_steps", "validation_freq"], two)
    history = model.fit(X, Y, verbose=0, validation_data=(X, Y), **counts)
    assert history.epoch == [0, 1] and history.epochs["val_loss"] == [1] and int(model.train_state.step) == 4
    assert model.fit(X, Y, verbose=0, validation_split=np.float32(0.5)).history["val_loss"]


def test_a_dataset_that_has_become_empty():
    items = batches(X, Y, W)
    model = fresh("numpy")
    shrinks = kf.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: items.clear())
    with pytest.raises(DataError, match="length 0") as error:
        model.fit(Looked(items), epochs=2, verbose=0, callbacks=shrinks)
    assert error.value.__notes__ == ["in batch 0 of epoch 2"]


def test_frames_keep_their_dtypes():
    whole = kf.data.source(frame(b=True)).first.x
    assert whole.shape == (N, 2) and whole.dtype == np.int64
    assert kf.data.source(frame(b=np.float64(0.5))).first.x.dtype == np.float32


def test_an_iterator_has_one_epoch_without_steps():
    model = fresh("numpy")
    with pytest.raises(DataError, match="ran out") as error:
        model.fit(iter(batches(X, Y, W)), epochs=2, verbose=0)
    assert "in batch 0 of epoch 2" in error.value.__notes__
    same(model.train_state, shared("numpy")[2][STEPS])


def test_many_fits_leave_no_threads():
    model = fresh("numpy")
    data = kf.data.source(Again(batches(X, Y, W)))
    for _ in range(20):
        model.fit(data, verbose=0)
    assert not threads() and not data._checks and not data._changes


class Cardinal(Again):
    """Batches with a method that has nothing to do with batches."""

    def cardinality(self, of):
        raise AssertionError("nobody asked")


def test_a_method_of_a_like_name_is_not_called():
    model = kf.Model(nn.Dense(1))
    model.compile("sgd", "mse")
    assert len(model.fit(Cardinal([(X, Y)]), epochs=2, verbose=0).epoch) == 2


@pytest.mark.tensorflow
def test_data_of_tensorflow_without_end():
    model = kf.Model(nn.Dense(1))
    model.compile("sgd", "mse")
    with pytest.raises(DataError, match="yields batches without end"):
        model.fit(tf_dataset().repeat(), verbose=0, backend="numpy")
    model.fit(tf_dataset().repeat(), steps_per_epoch=2, verbose=0, backend="numpy")


@pytest.mark.parametrize("where, argument", [("y_true", "y"), ("sample_weight", "sample_weight"), ("y_pred", "x")])
@pytest.mark.parametrize("name", TRAINING)
def test_complex_numbers_where_they_must_be_real(name, where, argument):
    model = kf.Model(nn.Dense(1))
    model.compile("sgd", "mse")
    given = {"x": X, "y": np.ones((len(X), 1)), "sample_weight": np.ones(len(X))}
    given[argument] = given[argument] * np.complex64(1 + 1j)
    with pytest.raises(ArgumentError, match=f"`{where}` is complex, and must be real"):
        model.fit(**given, verbose=0, backend=name)
