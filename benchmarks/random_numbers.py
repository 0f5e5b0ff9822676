"""Dropout and random numbers in kfunc, beside the framework's own.

    python benchmarks/random_numbers.py [--backend torch ...] [--size 10000 1000000] [--rounds 20]

Dropout is timed forward, and forward with the gradient; uniform and normal numbers as they are drawn. NumPy and PyTorch
run eagerly, JAX and TensorFlow compiled. Both sides take turns, as in step.py, and `ratio` is the median of kfunc's
time over the other's in the same round. By hand, NumPy's dropout is `x * (rng.random(x.shape, float32) < keep) * scale`
and its gradient a product with the mask that was kept, while kfunc's goes over the tape, which takes 0.1 ms by itself.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
from step import measure, wait

import kfunc as kf
from kfunc import backends, ops, random

RATE = 0.25
dropout = kf.arrays.native(ops.dropout)


@kf.arrays.native
def weighted(x, key, weights):
    return kf.namespace(x).sum(ops.dropout(x, key, RATE) * weights)


def by_numpy(x, weights):
    rng, keep, scale = np.random.default_rng(0), np.float32(1 - RATE), np.float32(1 / (1 - RATE))

    def both():
        mask = (rng.random(x.shape, np.float32) < keep) * scale
        return np.sum(x * mask * weights), weights * mask

    return {
        "dropout": lambda: x * (rng.random(x.shape, np.float32) < keep) * scale,
        "gradient": both,
        "uniform": lambda: rng.random(x.shape, np.float32),
        "normal": lambda: rng.standard_normal(x.shape, np.float32),
    }


def by_torch(x, weights):
    import torch

    x = x.clone().requires_grad_()

    def both():
        value = torch.sum(torch.nn.functional.dropout(x, RATE, True) * weights)
        return value, torch.autograd.grad(value, x)

    return {
        "dropout": lambda: torch.nn.functional.dropout(x.detach(), RATE, True),
        "gradient": both,
        "uniform": lambda: torch.rand(x.shape),
        "normal": lambda: torch.randn(x.shape),
    }


def by_jax(x, weights):
    import jax

    def drop(x, key):
        return jax.numpy.where(jax.random.bernoulli(key, 1 - RATE, x.shape), x / (1 - RATE), 0)

    key = jax.random.key(0)
    forward = jax.jit(drop)
    both = jax.jit(jax.value_and_grad(lambda x, key: jax.numpy.sum(drop(x, key) * weights)))
    uniform, normal = (
        jax.jit(lambda k, draw=draw: draw(k, x.shape)) for draw in (jax.random.uniform, jax.random.normal)
    )
    return {
        "dropout": lambda: wait(forward(x, key)),
        "gradient": lambda: wait(both(x, key)),
        "uniform": lambda: wait(uniform(key)),
        "normal": lambda: wait(normal(key)),
    }


def by_tensorflow(x, weights):
    import tensorflow as tf

    @tf.function
    def forward(x):
        return tf.nn.dropout(x, RATE)

    @tf.function
    def both(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = tf.reduce_sum(tf.nn.dropout(x, RATE) * weights)
        return value, tape.gradient(value, x)

    return {
        "dropout": lambda: forward(x),
        "gradient": lambda: both(x),
        "uniform": tf.function(lambda: tf.random.uniform(x.shape)),
        "normal": tf.function(lambda: tf.random.normal(x.shape)),
    }


THEIRS: dict[str, Callable] = {"numpy": by_numpy, "torch": by_torch, "jax": by_jax, "tensorflow": by_tensorflow}
COMPILED = ("jax", "tensorflow")


def by_kfunc(name, x, weights):
    key = random.key(0, backend=name)
    jit = kf.jit if name in COMPILED else lambda fun: fun
    forward = jit(lambda x, key: dropout(x, key, RATE))
    both = jit(kf.value_and_grad(weighted))
    uniform, normal = (jit(lambda k, draw=draw: draw(k, tuple(x.shape))) for draw in (random.uniform, random.normal))
    return {
        "dropout": lambda: wait(forward(x, key)),
        "gradient": lambda: wait(both(x, key, weights)),
        "uniform": lambda: wait(uniform(key)),
        "normal": lambda: wait(normal(key)),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", nargs="+", choices=THEIRS, default=tuple(THEIRS))
    parser.add_argument("--size", nargs="+", type=int, default=(10**4, 10**6))
    parser.add_argument("--rounds", type=int, default=20)
    arguments = parser.parse_args()

    print(f"{'what':<11}{'backend':<12}{'size':>9}{'kfunc us':>11}{'theirs us':>11}{'ratio':>8}")
    for name in arguments.backend:
        if name not in backends.available():
            print(f"{'':<11}{name:<12}not installed: {backends.install_command(name)}")
            continue
        for size in arguments.size:
            rng = np.random.default_rng(0)
            x, weights = (kf.asarray(rng.random(size, np.float32), backend=name) for _ in range(2))
            ours, theirs = by_kfunc(name, x, weights), THEIRS[name](x, weights)
            for what in ours:
                a, b, ratio = measure(ours[what], theirs[what], arguments.rounds)
                print(f"{what:<11}{name:<12}{size:>9}{1e3 * a:>11.0f}{1e3 * b:>11.0f}{ratio:>8.2f}", flush=True)


if __name__ == "__main__":
    main()
