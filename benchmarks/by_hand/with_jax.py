"""JAX: `jax.jit(jax.value_and_grad(...))` over dicts of arrays, and Adam by `jax.tree.map`."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp

from . import BETA_1, BETA_2, EPSILON, LEARNING_RATE, MOMENTUM, NORM_EPSILON, Trainer


def dense(p, x):
    return x @ p["kernel"] + p["bias"]


def mlp(p, state, x, key, rate, train):
    x = jax.nn.relu(dense(p["dense"], x))
    x = jax.nn.relu(dense(p["dense_1"], x))
    return dense(p["dense_2"], x), state


def conv(p, x):
    y = jax.lax.conv_general_dilated(x, p["kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    return y + p["bias"]


def max_pool(x):
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")


def dropout(x, key, rate):
    return jnp.where(jax.random.bernoulli(key, 1 - rate, x.shape), x / (1 - rate), 0)


def cnn(p, state, x, key, rate, train):
    x = jax.nn.relu(conv(p["conv2d"], x))
    mean, variance = state["batch_normalization"]["moving_mean"], state["batch_normalization"]["moving_variance"]
    if train:
        batch_mean, batch_variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
        moved = {
            "moving_mean": MOMENTUM * mean + (1 - MOMENTUM) * batch_mean,
            "moving_variance": MOMENTUM * variance + (1 - MOMENTUM) * batch_variance,
        }
        state, mean, variance = {"batch_normalization": moved}, batch_mean, batch_variance
    norm = p["batch_normalization"]
    x = (x - mean) * (jax.lax.rsqrt(variance + NORM_EPSILON) * norm["gamma"]) + norm["beta"]
    x = max_pool(jax.nn.relu(conv(p["conv2d_1"], max_pool(x))))
    x = x.reshape(x.shape[0], -1)
    if train and rate:
        x = dropout(x, key, rate)
    return dense(p["dense"], x), state


def lstm(p, state, x, key, rate, train):
    q = p["lstm"]
    z = jnp.swapaxes(dense(q, x), 0, 1)
    start = jnp.zeros((x.shape[0], q["recurrent_kernel"].shape[0]))

    def step(carry, z):
        h, c = carry
        i, f, g, o = jnp.split(z + h @ q["recurrent_kernel"], 4, axis=-1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

    (h, _), _ = jax.lax.scan(step, (start, start), z)
    return dense(p["dense"], h), state


def layer_norm(p, x):
    mean, variance = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) * jax.lax.rsqrt(variance + NORM_EPSILON) * p["gamma"] + p["beta"]


def attention(p, x):
    def heads(q):
        return jnp.einsum("bti,ihd->bthd", x, q["kernel"]) + q["bias"]

    y = jax.nn.dot_product_attention(heads(p["query"]), heads(p["key"]), heads(p["value"]))
    return jnp.einsum("bthd,hdo->bto", y, p["attention_output"]["kernel"]) + p["attention_output"]["bias"]


def transformer(p, state, x, key, rate, train):
    x = p["embedding"]["embeddings"][x]
    for name in ("block_0", "block_1"):
        q = p[name]
        x = x + attention(q["attention"], layer_norm(q["norm_1"], x))
        x = x + dense(q["down"], jax.nn.gelu(dense(q["up"], layer_norm(q["norm_2"], x))))
    return dense(p["dense"], layer_norm(p["norm"], x).mean(1)), state


NETWORKS = {"mlp": mlp, "cnn": cnn, "lstm": lstm, "transformer": transformer}


def trainer(network, params, state, rate):
    # Copies, since a step's arrays are given to the next one's.
    params, state = jax.tree.map(jnp.array, (params, state))
    forward = functools.partial(NETWORKS[network], rate=rate)

    def objective(params, state, x, y, key):
        logits, state = forward(params, state, x, key, train=True)
        picked = jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], axis=-1)
        return -picked.mean(), state

    @functools.partial(jax.jit, donate_argnums=0)
    def step(carry, x, y):
        params, state, mu, nu, count, key = carry
        key, sub = jax.random.split(key)
        (loss, state), grads = jax.value_and_grad(objective, has_aux=True)(params, state, x, y, sub)
        count = count + 1
        mu = jax.tree.map(lambda m, g: BETA_1 * m + (1 - BETA_1) * g, mu, grads)
        nu = jax.tree.map(lambda v, g: BETA_2 * v + (1 - BETA_2) * g * g, nu, grads)
        # 1 - beta**count without the cancellation, which shows in the losses after ten steps.
        unbias_1, unbias_2 = (-jnp.expm1(count * math.log(beta)) for beta in (BETA_1, BETA_2))
        params = jax.tree.map(
            lambda p, m, v: p - LEARNING_RATE * (m / unbias_1) / (jnp.sqrt(v / unbias_2) + EPSILON), params, mu, nu
        )
        return (params, state, mu, nu, count, key), loss

    mu, nu = (jax.tree.map(jnp.zeros_like, params) for _ in range(2))
    carry = (params, state, mu, nu, jnp.float32(0), jax.random.PRNGKey(0))
    apply = jax.jit(lambda params, state, x: forward(params, state, x, None, train=False)[0])

    def train(x, y):
        nonlocal carry
        carry, loss = step(carry, x, y)
        return loss

    # Compiled functions take NumPy arrays, faster than they are converted.
    return Trainer(lambda *xy: xy, lambda x: x, train, lambda x: apply(carry[0], carry[1], x), jax.device_get)


def build(network, params, state, rate, x, y):
    t, x, y = trainer(network, params, state, rate), jnp.asarray(x), jnp.asarray(y)
    return lambda: t.step(x, y).block_until_ready(), lambda: t.apply(x).block_until_ready()
