"""What `fit` shows, and what it returns."""

from __future__ import annotations

import contextlib
import csv
import io
import os
import pty
import subprocess
import sys
import types
import warnings

import numpy as np
import pytest

import kfunc as kf
from kfunc import nn
from kfunc.training import progress_bar as progress
from kfunc.training.history import History

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 3)).astype(np.float32)
Y = (X[:, :1] > 0).astype(np.float32)
OPTIONS = {"batch_size": 5, "shuffle": False, "backend": "numpy"}


def model():
    out = kf.Model(nn.Dense(1, activation="sigmoid"))
    out.compile("sgd", "mse", metrics=["mae"])
    return out


class Stream(io.StringIO):
    def __init__(self, terminal):
        super().__init__()
        self.isatty = lambda: terminal


def terminal(monkeypatch):
    """stdout from now on, as a terminal of 60 columns. No fixture: pytest has a stdout of its own for each phase."""
    stream = Stream(True)
    monkeypatch.setattr(sys, "stdout", stream)
    monkeypatch.setenv("COLUMNS", "60")
    return stream


@pytest.fixture
def clock(monkeypatch):
    """A clock that each look moves on by a thousandth of a second."""
    now = [0.0]

    def tick():
        now[0] += 1e-3
        return now[0]

    monkeypatch.setattr(progress, "time", types.SimpleNamespace(perf_counter=tick))
    return now


def shown(logs):
    return " - ".join(f"{name}: {progress.number(value)}" for name, value in logs.items())


@pytest.mark.parametrize("verbose", ["auto", 1, 2])
def test_lines_where_there_is_no_terminal(verbose, capsys):
    m = model()
    history = m.fit(X, Y, epochs=2, verbose=verbose, validation_data=(X, Y), **OPTIONS)
    out, err = capsys.readouterr()
    lines = out
    assert err == ""
    assert "\r" not in lines and "\x1b" not in lines
    for line, row in zip(lines.splitlines(), history.rows(), strict=True):
        assert line.startswith(f"Epoch {row.pop('epoch') + 1}/2 - 10/10 steps - ")
        assert "/step - " in line
        assert line.endswith(shown(row))
    logs = m.evaluate(X, Y, 5, verbose=verbose, return_dict=True)
    assert {f"val_{name}": value for name, value in logs.items()}.items() <= row.items()
    m.predict(X, 5, verbose=verbose)
    lines = "".join(capsys.readouterr()).splitlines()
    assert [line.split(" - ")[0] for line in lines] == ["Evaluate", "Predict"]
    assert lines[0].endswith(shown(logs))


def test_silence(capsys):
    m = model()
    m.fit(X, Y, verbose=0, validation_data=(X, Y), **OPTIONS)
    m.evaluate(X, Y, verbose=0)
    m.predict(X, verbose=0)
    assert capsys.readouterr() == ("", "")
    with pytest.raises(kf.errors.ArgumentError, match="verbose"):
        m.fit(X, Y, verbose=3)


@pytest.mark.parametrize("verbose", ["auto", 1])
def test_a_bar_in_a_terminal(verbose, monkeypatch):
    m, stream = model(), terminal(monkeypatch)
    history = m.fit(X, Y, epochs=2, verbose=verbose, validation_data=(X, Y), **OPTIONS)
    # Too long for 60 columns: the last line wraps, so that all numbers are there.
    bars = [line.split("\r")[-1] for line in stream.getvalue().split("\n")[:-1]]
    for bar, row in zip(bars, history.rows(), strict=True):
        assert f"Epoch {row.pop('epoch') + 1}/2 10/10 |" in bar
        assert bar.endswith(f", {shown(row)}")
    lines = [line for text in stream.getvalue().split("\n")[:-1] for line in text.split("\r")[:-1]]
    assert max(map(len, lines)) <= 59


def test_one_line_an_epoch_in_a_notebook(monkeypatch, capsys):
    """The bar writes over its line by carriage returns alone, which notebooks and terminals know alike."""
    stream = Stream(False)
    stream.pub_thread = None  # as the streams of IPython's kernel
    monkeypatch.setattr(sys, "stdout", stream)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # tqdm warns where its widgets are not installed
        model().fit(X, Y, epochs=2, verbose=1, **OPTIONS)
    lines = stream.getvalue().split("\n")
    assert "\x1b" not in stream.getvalue() and lines.pop() == ""
    assert [line.split("\r")[-1].split(" |")[0] for line in lines] == ["Epoch 1/2 10/10", "Epoch 2/2 10/10"]
    assert all("mae: " in line.split("\r")[-1] for line in lines) and capsys.readouterr().err == ""


def test_steps_that_are_not_known(monkeypatch):
    batches = [(X[i : i + 5], Y[i : i + 5]) for i in range(0, 50, 5)]
    m = model()

    class Batches:
        def __iter__(self):
            return iter(batches)

    stream = terminal(monkeypatch)
    m.fit(Batches(), epochs=2, verbose=1)
    first, second = stream.getvalue().split("\n")[:-1]
    assert "10/? |" in first.split("\r")[-1]
    assert "10/10 |" in second.split("\r")[-1]  # as many as in the first


def test_prints_of_callbacks_have_a_line_of_their_own(monkeypatch):
    class Talks(kf.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None, train_state=None):
            logs["more"] = 7
            print("the callback")

    m, stream = model(), terminal(monkeypatch)
    history = m.fit(X, Y, verbose=1, callbacks=[Talks()], **OPTIONS)
    said, bar = stream.getvalue().split("\n")[:-1]
    assert said.split("\r")[-1] == "the callback"
    assert bar.endswith(" - more: 7")
    assert history.history["more"] == [7]


PROGRAM = """
import numpy as np, sys
import kfunc as kf
x = np.ones((8, 3), np.float32)
class Talks(kf.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        print("after epoch", epoch + 1)
model = kf.Model(kf.nn.Dense(1))
model.compile("sgd", "mse")
print("before")
model.fit(x, x[:, :1], 4, epochs=2, verbose=VERBOSE, callbacks=[Talks()])
print("between")
model.evaluate(x, x[:, :1], verbose=VERBOSE)
print("after")
"""
SAID = ["before", "after epoch 1", "Epoch 1/2", "after epoch 2", "Epoch 2/2", "between", "Evaluate", "after"]


@pytest.mark.parametrize(("verbose", "tty"), [("'auto'", False), ("2", False), ("'auto'", True)])
def test_a_log_of_standard_output_has_everything_in_order(verbose, tty, tmp_path):
    """As in `python train.py > log.txt`, and in a terminal, where each bar stays as one line."""
    program = [sys.executable, "-c", PROGRAM.replace("VERBOSE", verbose)]
    read, write = pty.openpty() if tty else (None, os.open(tmp_path / "log.txt", os.O_CREAT | os.O_WRONLY))
    with subprocess.Popen(program, stdout=write, stderr=subprocess.PIPE, text=True) as process:
        os.close(write)
        text = ended(read) if tty else ""
        assert process.communicate(timeout=60)[1] == "" and process.returncode == 0
    text = text if tty else (tmp_path / "log.txt").read_text()
    lines = text.replace("\r\n", "\n").split("\n")[:-1]
    lines = [[part for part in line.split("\r") if part.strip()][-1] for line in lines]  # what is left to be seen
    assert len(lines) == len(SAID), text
    assert all(line.startswith(said) for line, said in zip(lines, SAID, strict=True)), text


def ended(terminal):
    """All that was written to a pseudo-terminal until its other end was closed."""
    parts = []
    with contextlib.suppress(OSError):  # which is how Linux tells the end
        while part := os.read(terminal, 65536):
            parts.append(part)
    os.close(terminal)
    return b"".join(parts).decode()


@pytest.mark.parametrize(("tty", "least", "most"), [(True, 2, 10), (False, 1, 2)])
def test_reads_of_the_device_a_second(tty, least, most, clock, monkeypatch):
    """Each step looks at the clock, so that 1000 of them take a second, and what is read takes a little longer."""
    monkeypatch.setattr(sys, "stdout", Stream(tty))
    m, reads = model(), []
    m.compile("sgd", "mse", steps_per_execution=1)
    real = kf.training.fit.numbers
    monkeypatch.setattr("kfunc.training.fit.numbers", lambda *args: reads.append(clock[0]) or real(*args))
    m.fit(X[:20].repeat(50, axis=0), Y[:20].repeat(50, axis=0), batch_size=1, verbose=1, backend="numpy")
    reads.pop()  # that of the end of the epoch
    assert least <= len(reads) <= most
    assert np.diff(reads).min() >= (0.1 if tty else 1.0) if len(reads) > 1 else True


def test_lines_every_ten_seconds(clock, capsys):
    bar = progress.Bar(None, "Epoch 1/1", 1)
    with bar:
        for i in range(25_000):
            if bar.advance():
                bar.show({"loss": i})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("Epoch 1/1 - 10")  # thousand steps
    assert lines[-1].startswith("Epoch 1/1 - 25000 steps - 25.")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.5, "0.5000"),
        (0.0, "0.0000"),
        (-12.34567, "-12.3457"),
        (1e-7, "1.0000e-07"),
        (1e9, "1.0000e+09"),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        (3, "3"),
        ([0.25, 0.5], "[0.2500, 0.5000]"),
        ([[0.25], [1.0]], "[[0.2500], [1.0000]]"),
        (list(range(100)), "[0, 1, 2, ..., 99]"),
    ],
)
def test_numbers(value, text):
    assert progress.number(value) == text


# -- History -----------------------------------------------------------------------------------------------------------


def history():
    out = History()
    out.add(0, {"loss": 1.0, "f1": [0.25, 0.5]})
    out.add(1, {"loss": 0.1 + 0.2, "f1": [0.5, 0.75], "val_loss": 2.0})
    out.add(2, {"loss": 0.125, "f1": [1.0, 1.0]})
    return out


def test_history_knows_which_epochs_its_numbers_are_of(tmp_path):
    found = model().fit(X, Y, epochs=4, validation_data=(X, Y), validation_freq=[2, 4], verbose=0, **OPTIONS)
    assert len(found.history["loss"]) == 4
    assert len(found.history["val_loss"]) == 2
    assert found.epochs["val_loss"] == [1, 3]
    assert [row.keys() for row in found.rows()] == [
        {"epoch", "loss", "mae"},
        {"epoch", "loss", "mae", "val_loss", "val_mae"},
    ] * 2
    assert repr(found).startswith("<History of 4 epochs, last loss: 0.")

    history().to_csv(tmp_path / "history.csv")
    with open(tmp_path / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["epoch", "loss", "f1_0", "f1_1", "val_loss"]
    assert [row["val_loss"] for row in rows] == ["", "2.0", ""]
    assert float(rows[1]["loss"]) == 0.1 + 0.2  # to the bit
    assert [row["f1_1"] for row in rows] == ["0.5", "0.75", "1.0"]
    History().to_csv(tmp_path / "history.csv")
    assert (tmp_path / "history.csv").read_text() == "epoch\n"
    with pytest.raises(OSError, match="nowhere"):
        history().to_csv(tmp_path / "nowhere" / "history.csv")


class Axes:
    """Matplotlib's, as far as plots use them."""

    def __init__(self):
        self.lines, self.labels, self.legends = {}, {}, 0

    def plot(self, x, y, marker=None, label=None):
        self.lines[label] = (x, y, marker)

    def set_xlabel(self, text):
        self.labels["x"] = text

    def set_ylabel(self, text):
        self.labels["y"] = text

    def legend(self):
        self.legends += 1


LOSSES = {"loss": ([1, 2, 3], [1.0, 0.1 + 0.2, 0.125], None), "val_loss": ([2], [2.0], "o")}


def test_plots():
    axes = Axes()
    assert history().plot("val_loss", ax=axes) == [axes]
    assert axes.lines == LOSSES
    assert axes.labels == {"x": "epoch", "y": "loss"}
    assert axes.legends == 1
    first, second = history().plot(ax=[Axes(), Axes()])
    assert first.lines == LOSSES
    assert second.lines == {"f1_0": ([1, 2, 3], [0.25, 0.5, 1.0], None), "f1_1": ([1, 2, 3], [0.5, 0.75, 1.0], None)}
    with pytest.raises(kf.errors.ArgumentError, match=r"(?s)expected: loss, f1\n  got: acc"):
        history().plot(["loss", "acc"])
    with pytest.raises(kf.errors.ArgumentError, match="one for each quantity"):
        history().plot(ax=axes)
    with pytest.raises(kf.errors.ArgumentError, match="nothing to plot"):
        History().plot()


def test_plots_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(kf.errors.MissingPackageError, match="pip install matplotlib"):
        history().plot()


def test_plots_make_a_figure(monkeypatch):
    made = []

    class Figure:
        def __init__(self, **options):
            made.append(options)

        def add_subplot(self, rows, columns, number):
            made.append((rows, columns, number))
            return Axes()

    pyplot = types.ModuleType("matplotlib.pyplot")
    pyplot.figure = Figure
    package = types.ModuleType("matplotlib")
    package.pyplot = pyplot
    monkeypatch.setitem(sys.modules, "matplotlib", package)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", pyplot)
    axes = history().plot()
    assert made[1:] == [(1, 2, 1), (1, 2, 2)]
    assert axes[0].lines == LOSSES
