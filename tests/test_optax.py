"""Optimizers of optax in `Model`: those that ask for more than gradients, and those that are refused."""

from __future__ import annotations

import numpy as np
import pytest
from sampling import one_of

import kfunc as kf
from kfunc import nn, optim

optax = pytest.importorskip("optax")
contrib = pytest.importorskip("optax.contrib")
pytestmark = pytest.mark.jax

X = np.random.default_rng(0).normal(size=(32, 3)).astype(np.float32)
Y = 2 * X[:, :1]
LOSS = "cannot take a step: .*(keyword-only argument|grad_fn must be provided)"

ROWS = {  # the optimizer; and the error where the loss is scaled, which optimizers inside of that do not see
    "adam": (lambda: optax.adam(0.1), None),
    "MultiSteps": (lambda: optax.MultiSteps(optax.adam(0.1), 2), None),
    "lbfgs": (lambda: optax.lbfgs(), LOSS),
    "reduce_on_plateau": (lambda: optax.chain(optax.adam(0.1), contrib.reduce_on_plateau()), LOSS),
    "sam": (lambda: contrib.sam(optax.sgd(0.1), optax.sgd(0.05)), None),
    "sam with gradients": (lambda: contrib.sam(optax.sgd(0.1), optax.sgd(0.05), opaque_mode=True), LOSS),
    "apply_if_finite": (lambda: optax.apply_if_finite(optax.adam(0.1), 3), None),
    "inject_hyperparams": (lambda: optax.inject_hyperparams(optax.sgd)(learning_rate=0.1), None),
    "schedule_free": (lambda: contrib.schedule_free_sgd(0.1), None),
    "lookahead": (lambda: optax.lookahead(optax.sgd(0.1), 5, 0.5), "no attribute 'fast'"),
}
ALWAYS = {"lookahead"}
"""Those that are refused under every policy."""


def fitted(optimizer, policy, **options):
    model = kf.Model(nn.Dense(1, dtype=policy))
    model.compile(optimizer, "mse", **options)
    return model.fit(X, Y, 8, 6, verbose=0, backend="jax").history["loss"]


HALF = ("bfloat16", "mixed_bfloat16")


@pytest.mark.parametrize(
    ("row", "policy"),
    [(r, p) for i, r in enumerate(ROWS) for p in (None, *one_of(("mixed_float16", HALF[i % 2]), r))],
)
def test_it_trains_or_is_refused(row, policy):
    make, words = ROWS[row]
    if words and (row in ALWAYS or policy == "mixed_float16"):
        with pytest.raises(kf.errors.ArgumentError, match=words) as error:
            fitted(make(), policy)
        assert "auto_scale_loss=False" in error.value.fix and "step=" in error.value.fix
        if row in ALWAYS:
            return
        policy, options = "mixed_float16", {"auto_scale_loss": False}
    else:
        options = {}
    losses = fitted(make(), policy, **options)
    assert losses[-1] < losses[0] and np.isfinite(losses).all()


def test_a_line_search_sees_the_loss_of_the_batch():
    """On one batch, L-BFGS solves a least-squares problem in a few steps."""
    model = kf.Model(nn.Dense(1))
    model.compile(optax.lbfgs(), "mse")
    losses = [model.train_on_batch(X, Y, backend="jax") for _ in range(8)]
    assert losses[-1] < 1e-6 * losses[0]


@pytest.mark.parametrize("wrap", [lambda o: o, lambda o: optim.chain(optim.clip_by_global_norm(1.0), o)])
def test_parameters_that_it_makes_nan(wrap):
    """In bfloat16 `b2 = 0.999` rounds to 1, so that Adam's correction of its second moment divides by 0."""
    model = kf.Model(nn.Dense(1, dtype="bfloat16"))
    model.compile(wrap(optax.inject_hyperparams(optax.adam)(learning_rate=0.1)), "mse")
    model.build(kf.Spec((None, 3)), backend="jax")
    before = kf.to_backend(model.train_state, "numpy")
    words = "step 0: the optimizer optax.inject_hyperparams makes the parameter (bias|kernel) NaN or infinite"
    with pytest.raises(kf.errors.NonFiniteError, match=words):
        model.fit(X, Y, 8, 2, verbose=0, backend="jax")
    kf.tree.map(np.testing.assert_array_equal, kf.to_backend(model.train_state, "numpy"), before)


def test_inside_of_ours():
    with pytest.raises(kf.errors.ArgumentError, match=LOSS):
        fitted(optim.chain(optax.adam(0.1), contrib.reduce_on_plateau()), None)
    losses = fitted(optim.chain(optim.clip_by_global_norm(1.0), optax.MultiSteps(optax.adam(0.1), 2)), None)
    assert losses[-1] < losses[0]
