"""`fit(resume=...)` on data that have a state of their own, in each role that `fit` has for data."""

from __future__ import annotations

import numpy as np
import pytest
import resume_run
from test_resume import Six, batches, dense, dying, same_values

import kfunc as kf
from kfunc.data.states import packed, unpacked_state

X, Y = (np.concatenate(parts) for parts in zip(*batches(), strict=True))


class Draws:
    """An iterable whose batches, their order and their end draw from one generator of random numbers."""

    def __init__(self, seed=3, late=True):
        self.random, self.late = np.random.default_rng(seed), late

    def __iter__(self):
        for i in self.random.permutation(6):
            x, y = batches()[i]
            yield x + self.random.standard_normal(x.shape).astype("float32"), y
        if self.late:
            self.random.random()


class Stateful:
    """An iterable with the methods of torchdata's loader; the state has long integers, bytes, tuples and arrays.

    Attributes:
        lacks: What the state does not have.
        adds: What it has besides.
        read: How many batches were read.
    """

    def __init__(self, seed=3, lacks=(), **adds):
        self.random, self.lacks, self.adds = np.random.default_rng(seed), lacks, adds
        self.order, self.at, self.loaded, self.read = None, 0, False, 0

    def __iter__(self):
        if not self.loaded:
            self.order, self.at = self.random.permutation(6), 0
        self.loaded = False
        return self.batches()

    def batches(self):
        while self.at < 6:
            x, y = batches()[self.order[self.at]]
            self.at, self.read = self.at + 1, self.read + 1
            yield x + self.random.standard_normal(x.shape).astype("float32"), y

    def state_dict(self):
        parts = {
            "random": self.random.bit_generator.state,
            "order": (self.order, [None, b"."]),
            "at": np.int64(self.at),
        }
        return {name: part for name, part in parts.items() if name not in self.lacks} | self.adds

    def load_state_dict(self, state):
        assert state.keys() == self.state_dict().keys()
        self.order, self.at, self.loaded = state.get("order", [self.order])[0], state["at"], True
        self.random.bit_generator.state = state.get("random", self.random.bit_generator.state)


class Walk:
    """An iterator with the methods of grain's: a generator of its own, and a place."""

    def __init__(self, seed=3):
        self.random, self.at, self.read = np.random.default_rng(seed), 0, 0

    def __iter__(self):
        return self

    def __next__(self):
        x, y = batches()[self.at % 6]
        self.at, self.read = self.at + 1, self.read + 1
        return x + self.random.standard_normal(x.shape).astype("float32"), y

    def get_state(self):
        return {"at": self.at, "random": self.random.bit_generator.state}

    def set_state(self, state):
        self.at, self.random.bit_generator.state = state["at"], state["random"]


class Seeding:
    """An iterable whose iterators have a state, without that which seeds them: how many batches were read before."""

    read = 0

    def __iter__(self):
        return Sixth(self)


class Sixth(Walk):
    def __init__(self, owner):
        super().__init__(owner.read)
        self.owner = owner

    def __next__(self):
        if self.at == 6:
            raise StopIteration
        self.owner.read += 1
        return super().__next__()

    def get_state(self):
        return {"at": self.at}

    def set_state(self, state):
        while self.at < state["at"]:
            next(self)


class Pairs:
    """Single samples by their numbers."""

    def __len__(self):
        return len(X)

    def __getitem__(self, i):
        return X[i], Y[i]

    def __repr__(self):
        return "Pairs()"  # grain's DataLoader compares it


def grain_map(epochs=None, seed=3):
    grain = pytest.importorskip("grain")
    data = grain.MapDataset.source(Pairs()).seed(seed).shuffle()
    return (data if epochs is None else data.repeat(epochs)).batch(4)


class Addressed(Pairs):
    """The same whose text has an address, which is another one in each process: grain refuses the state."""

    __repr__ = object.__repr__


def grain_loader(source=Pairs):
    grain = pytest.importorskip("grain")
    sampler = grain.samplers.IndexSampler(len(X), shuffle=True, seed=3, num_epochs=1)
    return grain.DataLoader(data_source=source(), sampler=sampler, operations=[grain.transforms.Batch(4)])


class Shuffled(kf.data.Dataset):
    """A data set that shuffles at the end of an epoch, as Keras's do."""

    def __init__(self, seed=3):
        super().__init__()
        self.random, self.order = np.random.default_rng(seed), np.arange(6)

    def __len__(self):
        return 6

    def __getitem__(self, i):
        return batches()[self.order[i]]

    def on_epoch_end(self):
        self.random.shuffle(self.order)


class StatefulTold(Stateful):
    """It has a `set_epoch` for nothing: one epoch depends on those before it."""

    def set_epoch(self, epoch):
        pass


class Told:
    """An iterable whose order follows from what `set_epoch` was told."""

    def __init__(self):
        self.epoch = self.read = 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __iter__(self):
        for i in np.random.default_rng(self.epoch).permutation(6):
            self.read += 1
            yield batches()[i]


class Tells(kf.callbacks.Callback):
    def __init__(self, data):
        self.data = data

    def on_epoch_begin(self, epoch, logs=None):
        self.data.set_epoch(epoch)


def told():
    data = Told()
    return {"x": data, "callbacks": [Tells(data)]}


def generated(n=20):
    return ((x + i, y, np.full(len(x), i + 1.0)) for i, (x, y) in enumerate(batches() * n))


class Noisy:
    """A data set of PyTorch's protocol, which draws from a generator of its own: each worker has a copy of it."""

    def __init__(self):
        self.random = np.random.default_rng(7)

    def __len__(self):
        return len(X)

    def __getitem__(self, i):
        return X[i] + self.random.standard_normal(3).astype("float32"), Y[i]


def loader(dataset=None, sampler=None, batch_sampler=False, seed=5, **options):
    import torch
    from torch.utils.data import BatchSampler, DataLoader, RandomSampler, TensorDataset

    data = TensorDataset(torch.asarray(X), torch.asarray(Y)) if dataset is None else dataset()
    generator = torch.Generator().manual_seed(seed)
    if sampler or batch_sampler:
        order = RandomSampler(data, generator=generator)
        options |= {"batch_sampler": BatchSampler(order, 4, False)} if batch_sampler else {"sampler": order}
    else:
        options |= {"shuffle": True, "generator": generator}
    return DataLoader(data, **({} if batch_sampler else {"batch_size": 4}), **options)


def stateful_loader(whole=True):
    """A loader of PyTorch's with a state. As in torchdata's, it lacks what the generator has drawn after the order."""
    import torch

    class Loader(torch.utils.data.DataLoader):
        state = None

        def __iter__(self):
            state, self.state = self.state, None
            if state is not None and whole:
                self.generator.set_state(state["generator"])
            self.begun, self.count = self.generator.get_state(), 0
            order = torch.randperm(6, generator=self.generator)
            if state is None:
                torch.rand(1, generator=self.generator)
            return self.batches(order[0 if state is None else state["count"] :])

        def batches(self, order):
            for i in order:
                self.count += 1
                yield batches()[i]

        def state_dict(self):
            return {"generator": self.begun, "count": self.count}

        def load_state_dict(self, state):
            self.state = state

    return Loader(list(range(6)), generator=torch.Generator().manual_seed(5), shuffle=True)


def both(data):
    return {"x": data, "validation_data": data}


def tf_data(seed=3, **options):
    import tensorflow as tf

    parts = [tf.data.Dataset.from_tensor_slices(a) for a in (X, Y)]
    return tf.data.Dataset.zip(tuple(parts)).shuffle(24, seed=seed, **options).batch(4).prefetch(2)


ROWS = {
    "an iterable that draws": lambda: {"x": Draws()},
    "and is cut into epochs of 4": lambda: {"x": Draws(), "steps_per_epoch": 4},
    "validation on it": lambda: {"x": Draws(), "validation_data": Draws(4), "validation_steps": 3},
    "validation on the same one": lambda: both(Draws()),
    "validation on the same one every second epoch": lambda: {**both(Draws()), "validation_freq": 2},
    "validation in the second epoch": lambda: {**both(Draws()), "validation_freq": [2, 3]},
    "a generator with weights": lambda: {"x": generated(), "steps_per_epoch": 5},
    "validation on a generator": lambda: {"x": Draws(), "validation_data": generated(), "validation_steps": 2},
    "a Dataset that shuffles": lambda: {"x": Shuffled()},
    "a Dataset that shuffles, in epochs of 4": lambda: {"x": Shuffled(), "steps_per_epoch": 4, "shuffle": False},
    "validation on a Dataset that shuffles": lambda: {
        "x": Six(), "validation_data": Shuffled(), "validation_steps": 2,
    },
    "one that is told the epoch": told,
    "a state": lambda: {"x": Stateful()},
    "a state that goes on, told the epoch": lambda: {"x": StatefulTold()},
    "a state, in epochs of 4": lambda: {"x": Stateful(), "steps_per_epoch": 4},
    "validation on a state": lambda: {"x": Six(), "validation_data": Stateful(), "validation_steps": 4},
    "a state, validation on another": lambda: {"x": Stateful(), "validation_data": Stateful(4), "validation_freq": 2},
    "an iterator with a state": lambda: {"x": Walk(), "steps_per_epoch": 5},
    "an iterator with a state, validation on it": lambda: {**both(Walk()), "steps_per_epoch": 5, "validation_steps": 2},
    "iterators with a state that another thing seeds": lambda: {"x": Seeding()},
    "validation on an iterator with a state": lambda: {
        "x": Draws(), "validation_data": Walk(), "validation_steps": 2,
    },
    "grain's loader": lambda: {"x": grain_loader()},
    "grain's loader in epochs of 4": lambda: {"x": grain_loader(), "steps_per_epoch": 4},
    "grain's map": lambda: {"x": grain_map()},
    "grain's map for both": lambda: both(grain_map()),
    "grain's iterator": lambda: {"x": iter(grain_map(9)), "steps_per_epoch": 5},
    "validation on grain's iterator": lambda: {
        "x": grain_map(9).to_iter_dataset(), "steps_per_epoch": 5,
        "validation_data": iter(grain_map(9)), "validation_steps": 2,
    },
    "torch, a state": lambda: {"x": stateful_loader()},
    "torch, a state in epochs of 4": lambda: {"x": stateful_loader(), "steps_per_epoch": 4},
    "torch, a state for both": lambda: both(stateful_loader()),
    "torch, a loader": lambda: {"x": loader()},
    "torch, a sampler": lambda: {"x": loader(sampler=True)},
    "torch, a batch sampler": lambda: {"x": loader(batch_sampler=True)},
    "torch, data that draw": lambda: {"x": loader(Noisy)},
    "torch, a loader for both": lambda: both(loader()),
    "torch, workers": lambda: {"x": loader(num_workers=1)},
    "torch, workers that live on": lambda: {"x": loader(Noisy, num_workers=1, persistent_workers=True)},
    "tensorflow, reshuffled": lambda: {"x": tf_data()},
    "tensorflow, shuffled once": lambda: {"x": tf_data(reshuffle_each_iteration=False)},
    "tensorflow, for both": lambda: both(tf_data()),
}  # fmt: skip
"""What `fit` is given. A framework that a row needs stands before a comma."""

WHEN = {"in an epoch": ("step", 9), "after an epoch": ("step", 13), "in a validation": ("validation", 2)}
SLOW = ("torch, workers", "torch, workers that live on")


def run(given, directory):
    m = dense()()
    return m, m.fit(**{"epochs": 4, "verbose": 0, **given}, resume=kf.Checkpoints(directory, every=2))


def cases():
    """Each row at each moment; those that start processes take long, and have one moment each."""
    for number, name in enumerate(ROWS):
        framework, comma, _ = name.partition(", ")
        for when in list(WHEN)[number % 3 :][:1] if name in SLOW else WHEN:
            if when != "in a validation" or "validation_data" in name or "both" in name or "validation" in name:
                backend = framework if comma and framework in ("torch", "tensorflow") else "numpy"
                yield pytest.param(name, when, marks=getattr(pytest.mark, backend), id=f"{name}, {when}")


@pytest.mark.filterwarnings(r"ignore:os.fork\(\) was called:RuntimeWarning")  # PyTorch forks; JAX may be there
@pytest.mark.parametrize("name, when", list(cases()))
def test_data_go_on_as_if_training_had_not_been_interrupted(name, when, tmp_path, monkeypatch):
    expected = resume_run.result(*run(ROWS[name](), tmp_path / "whole"))
    with dying(monkeypatch, *WHEN[when]):
        run(ROWS[name](), tmp_path / "died")
    assert same_values(resume_run.result(*run(ROWS[name](), tmp_path / "died")), expected)


def test_data_that_are_told_the_epoch_are_not_read_again(tmp_path, monkeypatch):
    with dying(monkeypatch, "step", 13):
        run(told(), tmp_path)
    given = told()
    run(given, tmp_path)
    assert given["x"].read <= 1 + 2 * 6  # the first batch, and the last epochs


KEPT = {
    "a state": (lambda: {"x": Stateful()}, lambda given: given["x"].read),
    "an iterator": (lambda: {"x": Walk(), "steps_per_epoch": 6}, lambda given: given["x"].read),
    "validation": (
        lambda: {"x": Six(), "validation_data": Stateful()}, lambda given: given["validation_data"].read - 6,
    ),
}  # fmt: skip
"""Data whose state is stored, and how many batches of them were read in the epochs after an interruption."""


@pytest.mark.parametrize("when", ["in an epoch", "after an epoch"])
@pytest.mark.parametrize("name", KEPT)
def test_data_with_a_state_are_not_read_again(name, when, tmp_path, monkeypatch, recwarn):
    make, count = KEPT[name]
    with dying(monkeypatch, "step", {"in an epoch": 21, "after an epoch": 19}[when]):
        run(make(), tmp_path)
    given = make()
    run(given, tmp_path)
    assert count(given) <= 2 + 6  # the first batch, the one that tells whether all is as it was, and the last epoch
    assert not [w for w in recwarn if w.category is kf.errors.ResumeWarning]


def test_other_first_batches_do_not_matter_where_there_is_a_state(tmp_path, monkeypatch, recwarn):
    expected = resume_run.result(*run({"x": Stateful(1)}, tmp_path / "whole"))
    with dying(monkeypatch, "step", 9):
        run({"x": Stateful(1)}, tmp_path / "died")
    assert same_values(resume_run.result(*run({"x": Stateful(2)}, tmp_path / "died")), expected)
    assert not [w for w in recwarn if w.category is kf.errors.ResumeWarning]


def containing_itself():
    loop: list = []
    loop.append(loop)
    return loop


STATE = {
    1: (2**70, -(2**63), [True, None, "\ud800"]), "1": [b"", b"a", bytearray(b"ab")], None: ["dict", 1],
    "numbers": [np.inf, np.float32(2), np.array(5), np.zeros((0, 3)), np.arange(3)[::-1], np.bool_(True)],
}  # fmt: skip


def test_a_state_comes_back_as_it_was():
    (found,) = unpacked_state(packed(STATE))
    assert repr(found) == repr(STATE)  # types, too


UNSTORABLE = {
    "an object": (object(), "An object of type object, at more/0, cannot be stored."),
    "numbers that no file has": (np.zeros(2, "complex128"), "An object of type ndarray, at more/0, cannot be stored."),
    "a key": ({(1, 2): 3}, "A key, at more/0, is neither text nor number."),
    "itself": (containing_itself(), "The state is nested more than 50 deep, or contains itself"),
}


@pytest.mark.parametrize("name", UNSTORABLE)
def test_a_state_that_cannot_be_stored_is_said(name, tmp_path, monkeypatch):
    value, said = UNSTORABLE[name]

    def given():
        return {"x": Stateful(more=[value])}

    expected = resume_run.result(*run({"x": Stateful()}, tmp_path / "whole"))
    with (
        pytest.warns(
            kf.errors.ResumeWarning, match="The state of `x` cannot be saved: state_dict.. of Stateful: "
        ) as found,
        dying(monkeypatch, "step", 9),
    ):
        run(given(), tmp_path / "died")
    assert len(found) == 1 and said in str(found[0].message)
    with pytest.warns(kf.errors.ResumeWarning, match="cannot be saved"):
        assert same_values(resume_run.result(*run(given(), tmp_path / "died")), expected)


class Streamed:
    """As Hugging Face's streamed data: each iteration begins at the state that was set, until `set_epoch` is called."""

    at = begin = 0

    def state_dict(self):
        return {"at": self.at}

    def load_state_dict(self, state):
        self.begin = state["at"]

    def __iter__(self):
        self.at = self.begin
        while self.at < 6:
            self.at += 1
            yield batches()[self.at - 1]


def test_streamed_data_that_begin_at_the_state_are_refused(tmp_path, monkeypatch):
    """Each epoch after the resumed one would lack the batches before that state, and nobody would know."""
    with dying(monkeypatch, "step", 10):
        run({"x": Streamed()}, tmp_path)
    with pytest.raises(kf.errors.DataError, match="where the resumed training began"):
        run({"x": Streamed()}, tmp_path)


LACKING = {
    "the order": (lambda: Stateful(lacks=("order",)), "it does not bring back all that the batches depend on", False),
    "what set_state needs": (lambda: Stateful(lacks=("at",)), "KeyError: 'at'", True),
    "torch, the order": (lambda: stateful_loader(whole=False), "it does not bring back all", True),
    "what grain compares": (lambda: grain_loader(Addressed), "DataSource in checkpoint does not match", True),
}
"""States in which something is missing, what is said then, and whether reading from the beginning mends all."""


def lacking():
    for name in LACKING:
        yield pytest.param(name, marks=getattr(pytest.mark, "torch" if "torch" in name else "numpy"))


@pytest.mark.parametrize("when", ["in an epoch", "after an epoch"])
@pytest.mark.parametrize("name", list(lacking()))
def test_a_state_that_lacks_something_is_said(name, when, tmp_path, monkeypatch, recwarn):
    make, said, exact = LACKING[name]
    expected = resume_run.result(*run({"x": make()}, tmp_path / "whole"))
    with dying(monkeypatch, "step", {"in an epoch": 15, "after an epoch": 19}[when]):
        run({"x": make()}, tmp_path / "died")
    assert not [w for w in recwarn if w.category is kf.errors.ResumeWarning]
    found = resume_run.result(*run({"x": make()}, tmp_path / "died"))
    told = [str(w.message) for w in recwarn if w.category is kf.errors.ResumeWarning]
    assert told[0].startswith("The state of `x` that was saved cannot be restored, so ") and said in told[0]
    assert len(told) == 1 + (not exact) and (not exact or same_values(found, expected))


def unlike(seed):
    """A generator of other numbers, of which the first are alike."""
    for i, (x, y) in enumerate(batches() * 4):
        yield x + (i > 3) * seed, y


OTHERS = {
    "another seed": lambda n: {"x": Draws(n)},
    "another seed for the validation": lambda n: {"x": Six(), "validation_data": Draws(n)},
    "a Dataset that shuffles by another seed": lambda n: {"x": Shuffled(n)},
    "a generator that differs later": lambda n: {"x": unlike(n), "steps_per_epoch": 6},
    "torch, no seed": lambda n: {"x": loader(seed=n)},
    "torch, no seed for the validation": lambda n: {"x": Six(), "validation_data": loader(seed=n)},
    "tensorflow, no seed": lambda n: {"x": tf_data(n)},
}
"""Data that are not the same in another process, where only the clock gives a seed."""


def others():
    for name in OTHERS:
        framework, comma, _ = name.partition(", ")
        yield pytest.param(name, marks=getattr(pytest.mark, framework if comma else "numpy"))


@pytest.mark.parametrize("when", ["in an epoch", "after an epoch"])
@pytest.mark.parametrize("name", list(others()))
def test_data_that_are_others_are_said(name, when, tmp_path, monkeypatch):
    with dying(monkeypatch, *WHEN[when]):
        run(OTHERS[name](1), tmp_path)
    where = "validation_data" if "validation" in name else "x"
    with pytest.warns(kf.errors.ResumeWarning, match=f"`{where}` does not yield the same batches as before") as said:
        _, history = run(OTHERS[name](4), tmp_path)
    assert len(said) == 1 and history.epoch == [0, 1, 2, 3]
