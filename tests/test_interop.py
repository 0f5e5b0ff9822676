"""kfunc inside other people's loops: optax, torch autograd and optimizers, JAX transformations, TensorFlow tapes."""

from __future__ import annotations

import numpy as np
import pytest
from digits_data import digits

import kfunc as kf
from kfunc import nn

LOSS = kf.losses.SparseCategoricalCrossentropy(from_logits=True)


def network():
    return nn.Sequential(
        [nn.Conv2D(8, 3, activation="relu"), nn.BatchNormalization(), nn.Flatten(), nn.Dropout(0.2), nn.Dense(10)]
    )


def start(name, n=64):
    x, y = kf.to_backend(digits(n), name)
    net = network()
    return net, *net.init(0, x), x, y


@pytest.mark.jax
def test_optax_in_model():
    optax = pytest.importorskip("optax")
    model = kf.Model(network())
    model.compile(optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-2)), LOSS, metrics=["accuracy"])
    history = model.fit(*digits(256), epochs=5, verbose=0, backend="jax")
    assert history.history["loss"][-1] < 0.3 * history.history["loss"][0]


@pytest.mark.jax
def test_optax_and_ours_in_each_other(tmp_path):
    optax = pytest.importorskip("optax")
    optimizers = [
        kf.optim.chain(optax.clip_by_global_norm(1.0), kf.optim.adam(1e-2)),
        optax.chain(kf.optim.clip_by_global_norm(1.0), kf.optim.adam(1e-2)),
    ]
    losses = []
    for optimizer in optimizers:
        model = kf.Model(network())
        model.compile(optimizer, LOSS)
        losses.append(model.fit(*digits(128), epochs=2, verbose=0, backend="jax").history["loss"])
    np.testing.assert_allclose(*losses, rtol=1e-5)
    # A chain with a foreign part cannot be described in a file; the model and its optimizer's state still are.
    path = tmp_path / "m.safetensors"
    model.save(path)
    again = kf.Model.load(path, backend="jax")
    assert again.optimizer is None
    again.compile(optimizers[1], LOSS)
    for a, b in zip(kf.tree.leaves(again.train_state), kf.tree.leaves(model.train_state), strict=True):
        np.testing.assert_array_equal(kf.to_numpy(a), kf.to_numpy(b))


@pytest.mark.torch
def test_apply_in_a_torch_loop():
    import torch

    net, params, state, x, y = start("torch")
    leaves = [p.requires_grad_() for p in kf.tree.leaves(params)]
    optimizer = torch.optim.Adam(leaves, lr=1e-2)
    losses = []
    for step in range(20):
        logits, state = net.apply(params, x, state=state, key=step, train=True)
        loss = torch.nn.functional.cross_entropy(logits, y.long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in leaves if p.ndim > 1)
    assert losses[-1] < 0.2 * losses[0]
    assert not any(s.requires_grad for s in kf.tree.leaves(state))


@pytest.mark.torch
def test_torch_func_and_our_grad_agree():
    import torch

    net, params, state, x, y = start("torch")

    def objective(params):
        return LOSS(y, net.apply(params, x, state=state)[0])

    ours = kf.tree.leaves(kf.grad(objective)(params))
    theirs = kf.tree.leaves(torch.func.grad(objective)(params))
    per_sample = torch.vmap(
        torch.func.grad(lambda p, x, y: LOSS(y[None], net.apply(p, x[None], state=state)[0])), (None, 0, 0)
    )
    means = kf.tree.leaves(kf.tree.map(lambda g: g.mean(0), per_sample(params, x, y)))
    for a, b, c in zip(ours, theirs, means, strict=True):
        torch.testing.assert_close(a, b)
        torch.testing.assert_close(a, c, rtol=1e-4, atol=1e-6)


@pytest.mark.jax
def test_apply_in_a_jax_loop():
    import jax

    net, params, state, x, y = start("jax")

    def objective(params, state, key):
        logits, state = net.apply(params, x, state=state, key=key, train=True)
        return LOSS(y, logits), state

    @jax.jit
    def step(params, state, key):
        (loss, state), grads = jax.value_and_grad(objective, has_aux=True)(params, state, key)
        return jax.tree.map(lambda p, g: p - 0.1 * g, params, grads), state, loss

    losses = []
    for key in jax.random.split(jax.random.PRNGKey(0), 30):
        params, state, loss = step(params, state, key)
        losses.append(float(loss))
    assert losses[-1] < 0.3 * losses[0]
    assert step._cache_size() == 1


@pytest.mark.jax
def test_ensembles_by_vmap_of_init_and_apply():
    import jax

    net, _, _, x, _ = start("jax", 8)
    keys = jax.random.split(jax.random.PRNGKey(0), 3)
    params, state = jax.vmap(lambda key: net.init(key, x))(keys)
    out = jax.vmap(lambda p, s: net.apply(p, x, state=s)[0])(params, state)
    for i in range(3):
        alone, _ = net.init(keys[i], x)
        np.testing.assert_array_equal(alone["dense"]["kernel"], params["dense"]["kernel"][i])
    assert out.shape == (3, 8, 10)


@pytest.mark.tensorflow
@pytest.mark.parametrize("jit_compile", [False, True])
def test_apply_in_a_tensorflow_loop(jit_compile):
    import tensorflow as tf

    net, params, state, x, y = start("tensorflow")
    variables = kf.tree.map(tf.Variable, params)
    traces = []

    @tf.function(jit_compile=jit_compile)
    def step(state, key):
        traces.append(1)
        with tf.GradientTape() as tape:
            logits, state = net.apply(variables, x, state=state, key=key, train=True)
            loss = LOSS(y, logits)
        leaves = kf.tree.leaves(variables)
        for v, g in zip(leaves, tape.gradient(loss, leaves), strict=True):
            v.assign_sub(0.1 * g)
        return state, loss

    losses = []
    for i in range(30):
        state, loss = step(state, kf.random.key(i, backend="tensorflow"))
        losses.append(float(loss))
    assert losses[-1] < 0.3 * losses[0]
    assert len(traces) == 1


@pytest.mark.tensorflow
def test_a_tensorflow_function_with_an_unknown_batch():
    import tensorflow as tf

    net, params, state, x, _ = start("tensorflow", 8)
    serve = tf.function(
        lambda x: net.apply(params, x, state=state)[0], input_signature=[tf.TensorSpec((None, 8, 8, 1), tf.float32)]
    )
    want = net.apply(params, x, state=state)[0]
    for n in (8, 3):
        np.testing.assert_allclose(serve(x[:n]), want[:n], rtol=1e-5, atol=1e-5)


@pytest.mark.torch
def test_safetensors_with_torch(tmp_path):
    from safetensors.torch import load_file, save_file

    net, params, state, x, _ = start("torch", 8)
    kf.save(params, tmp_path / "ours.safetensors")
    theirs = load_file(tmp_path / "ours.safetensors")
    assert set(theirs) == {p.replace("/", ".") for p in kf.tree.paths(params)}
    save_file({name: 2 * value for name, value in theirs.items()}, tmp_path / "theirs.safetensors")
    back = kf.load(tmp_path / "theirs.safetensors", backend="torch")
    for a, b in zip(kf.tree.leaves(params), kf.tree.leaves(back), strict=True):
        assert (2 * a == b).all()
    net.apply(back, x, state=state)


@pytest.mark.torch
def test_our_grad_inside_torch_vmap():
    import torch

    w, xs = torch.randn(3), torch.randn(4, 3)
    each = torch.vmap(lambda x: kf.grad(lambda w: (w * w * x).sum())(w))(xs)
    torch.testing.assert_close(each, 2 * w * xs)
