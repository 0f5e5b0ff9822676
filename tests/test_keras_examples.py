"""The published examples of Keras: the same losses on every backend, beside the programs for Keras, and their table."""

from __future__ import annotations

import ast
import functools
import importlib.util
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from sampling import chosen, one_of

FOLDER = pathlib.Path(__file__).parents[1] / "examples" / "keras_io"
_spec = importlib.util.spec_from_file_location("keras_io_run", FOLDER / "run.py")
assert _spec is not None and _spec.loader is not None
examples = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(examples)

LOOSE: dict[str, float] = {}
"""Relative tolerances of examples whose curve is not equal to 1e-4, each with its reason."""

KERAS_ON: dict[str, str] = {"dcgan_overriding_train_step": "tensorflow", "vae": "tensorflow"}
"""The backend that Keras needs for programs that name it, such as those with `tf.GradientTape`; else it is JAX."""

FALLS: dict[str, str] = {"dcgan_overriding_train_step": "d_loss"}
"""The number that falls where that is not "loss"."""


def history(name, backend, keras=False):
    """The numbers of the last `fit` of an example: arrays by name."""
    found = examples.run(name, backend, keras)["history"].history
    sys.modules.pop("data", None)
    return {key: np.asarray(values) for key, values in found.items()}


on_numpy = functools.lru_cache(lambda name: history(name, "numpy"))

starts_afresh = pytest.mark.filterwarnings("ignore:The state of the optimizer after")
"""For a second `compile` with another learning rate, as in Keras. Keras says nothing there."""


@starts_afresh
@pytest.mark.parametrize(
    ("name", "backend"),
    [
        pytest.param(name, backend, marks=getattr(pytest.mark, backend))
        for name in examples.EXAMPLES
        for backend in one_of(("jax", "torch", "tensorflow"), name)
    ],
)
def test_the_same_losses_on_every_backend(name, backend):
    """Float32 rounds each loss by about 1e-7, and some tens of steps of training multiply that."""
    want, got = on_numpy(name), history(name, backend)
    assert got.keys() == want.keys()
    for quantity in filter(lambda q: "loss" in q, want):
        np.testing.assert_allclose(got[quantity], want[quantity], rtol=LOOSE.get(name, 1e-4), err_msg=quantity)


@starts_afresh
@pytest.mark.parametrize("name", examples.EXAMPLES)
def test_they_learn(name):
    loss = on_numpy(name)[FALLS.get(name, "loss")]
    assert np.isfinite(loss).all() and loss[-1] < loss[0]


@pytest.mark.filterwarnings("ignore")  # what Keras warns of, such as its own use of NumPy, is not ours to mend
@pytest.mark.parametrize("name", [name for name in examples.EXAMPLES if chosen(4, name)])
def test_the_programs_for_keras_run(name):
    """The other side of each file is no fiction: Keras runs it, and it learns about as much.

    The numbers themselves differ, since Keras draws other weights.
    """
    pytest.importorskip("keras")
    backend, number = KERAS_ON.get(name, "jax"), FALLS.get(name, "loss")
    if backend == "jax":
        found = history(name, "jax", keras=True)
    else:  # Keras reads its backend once in a process
        pytest.importorskip(backend)
        command = [sys.executable, str(FOLDER / "run.py"), name, "--keras", "--backend", backend]
        out = subprocess.run(command, capture_output=True, text=True, check=False)
        assert out.returncode == 0, out.stderr[-3000:]
        found = ast.literal_eval(out.stdout.splitlines()[-1])
    want, got = found[number], on_numpy(name)[number]
    assert len(want) == len(got) and want[-1] < want[0]


def test_the_table_is_that_of_the_files():
    text = examples.README.read_text(encoding="utf-8")
    assert examples.table() in text, "python examples/keras_io/run.py --table writes it anew"


@pytest.mark.parametrize("name", examples.EXAMPLES)
def test_imports_are_all_that_differs_without_saying_so(name):
    """Outside of marked lines, an example names nothing of kfunc but `kfunc.keras`."""
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    assert "kfunc" not in examples.for_keras(text).replace("# kfunc", "")
    for block in examples.blocks(text):
        assert block.reason != ""
