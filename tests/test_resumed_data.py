"""`fit(resume=...)` on data that have a state of their own, in each role that `fit` has for data."""

from __future__ import annotations

import numpy as np
import pytest
import resume_run
from test_resume import Six, batches, dense, dying, same_values

import kfunc as kf

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
