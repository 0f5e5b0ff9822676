"""What layers cost beside the framework's own functions, and beside Keras on the same framework.

    python benchmarks/layers.py [--backend torch ...] [--layer Conv2D ...] [--rounds 15] [--no-keras]

Each row is one layer on one backend, called as in inference ("forward"), and differentiated by its parameters and
inputs as in training ("gradient"): the time of kfunc, of the framework's own function, of Keras, and the ratios of
kfunc's time to theirs (below 1.00: faster). Two sides take turns as in `ops.py`; all are compiled on JAX and
TensorFlow, and eager on PyTorch. The framework's own side starts from the same parameters, and must agree with ours
before the clock starts. Keras chooses its backend when it is imported, so each backend runs in a process of its own.

To add a layer, add a row to `ROWS`, by the names that kfunc and Keras share, and its equivalents below. These take a
dict of the layer's parameters and state (by their paths, and by the last parts of these) and the inputs; where training
is another function, it has " training" after its name.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from ops import normal, paired, wait

import kfunc as kf
from kfunc import backends

SEQUENCE, IMAGES, DEEP = normal(32, 64, 64), normal(16, 32, 32, 32), normal(16, 16, 16, 64)
VOLUMES, ROWS_OF_TEXT = normal(4, 12, 12, 12, 16), normal(32, 64, 256)

# Name of a row: the layer, from the module `L` of either library, and its inputs.
ROWS: dict[str, tuple[Callable, tuple]] = {
    "Dense": (lambda L: L.Dense(512, activation="relu"), (normal(256, 512),)),
    # convolutions
    "Conv1D": (lambda L: L.Conv1D(64, 3, padding="causal"), (SEQUENCE,)),
    "Conv2D": (lambda L: L.Conv2D(64, 3, padding="same"), (IMAGES,)),
    "Conv2D strides": (lambda L: L.Conv2D(64, 3, 2, padding="same"), (IMAGES,)),
    "Conv3D": (lambda L: L.Conv3D(32, 3), (VOLUMES,)),
    "Conv2DTranspose": (lambda L: L.Conv2DTranspose(32, 3, 2, "same"), (DEEP,)),
    "DepthwiseConv2D": (lambda L: L.DepthwiseConv2D(3, padding="same"), (IMAGES,)),
    "SeparableConv2D": (lambda L: L.SeparableConv2D(64, 3, padding="same"), (IMAGES,)),
    # normalizations
    "BatchNormalization": (lambda L: L.BatchNormalization(), (IMAGES,)),
    "LayerNormalization": (lambda L: L.LayerNormalization(), (ROWS_OF_TEXT,)),
    "GroupNormalization": (lambda L: L.GroupNormalization(8), (IMAGES,)),
    "RMSNormalization": (lambda L: L.RMSNormalization(), (ROWS_OF_TEXT,)),
    "UnitNormalization": (lambda L: L.UnitNormalization(), (ROWS_OF_TEXT,)),
    "SpectralNormalization": (lambda L: L.SpectralNormalization(L.Dense(512)), (normal(256, 512),)),
    # pooling
    "MaxPooling2D": (lambda L: L.MaxPooling2D(), (IMAGES,)),
    "MaxPooling2D same": (lambda L: L.MaxPooling2D(3, 2, "same"), (IMAGES,)),
    "AveragePooling2D": (lambda L: L.AveragePooling2D(2), (IMAGES,)),
    "AveragePooling2D same": (lambda L: L.AveragePooling2D(3, 2, "same"), (IMAGES,)),
    "GlobalMaxPooling2D": (lambda L: L.GlobalMaxPooling2D(), (IMAGES,)),
    "GlobalAveragePooling2D": (lambda L: L.GlobalAveragePooling2D(), (IMAGES,)),
    "AdaptiveAveragePooling2D": (lambda L: L.AdaptiveAveragePooling2D(7), (IMAGES,)),
    # recurrence
    "LSTM": (lambda L: L.LSTM(64), (SEQUENCE,)),
    "GRU": (lambda L: L.GRU(64), (SEQUENCE,)),
    "Bidirectional": (lambda L: L.Bidirectional(L.LSTM(64, return_sequences=True)), (SEQUENCE,)),
    # attention
    "MultiHeadAttention": (lambda L: L.MultiHeadAttention(8, 32), (ROWS_OF_TEXT, ROWS_OF_TEXT)),
    "GroupQueryAttention": (lambda L: L.GroupQueryAttention(32, 8, 2), (ROWS_OF_TEXT, ROWS_OF_TEXT)),
}


# -- the frameworks' own functions -------------------------------------------------------------------------------------


def torch_own() -> dict[str, Callable]:
    import torch
    import torch.nn.functional as F

    def images(fun):
        return lambda p, x: fun(p, x.movedim(-1, 1)).movedim(1, -1)

    def kernel(w):
        return w.permute(-1, -2, *range(w.ndim - 2))

    def batch_norm(p, x):
        mean, variance = p["moving_mean"].clone(), p["moving_variance"].clone()
        return F.batch_norm(x, mean, variance, p["gamma"], p["beta"], True, 0.01, 1e-3)

    def transposed(p, x):
        return F.conv_transpose2d(x, kernel(p["kernel"]), p["bias"], 2)[..., :-1, :-1]

    def depthwise(p, x):
        return F.conv2d(x, p["kernel"].permute(2, 3, 0, 1), p["bias"], 1, 1, groups=x.shape[1])

    def separable(p, x):
        x = F.conv2d(x, p["depthwise_kernel"].permute(2, 3, 0, 1), None, 1, 1, groups=x.shape[1])
        return F.conv2d(x, kernel(p["pointwise_kernel"]), p["bias"])

    def attention(p, x, y):
        def heads(name, x):
            kernel, bias = p[f"{name}/kernel"], p[f"{name}/bias"]
            return F.linear(x, kernel.flatten(1).T, bias.flatten()).unflatten(-1, bias.shape).transpose(1, 2)

        q, k, v = heads("query", x), heads("key", y), heads("value", y)
        out = F.scaled_dot_product_attention(q, k, v, enable_gqa=q.shape[1] != k.shape[1])
        kernel = p["attention_output/kernel"].flatten(0, 1)
        return F.linear(out.transpose(1, 2).flatten(2), kernel.T, p["attention_output/bias"])

    def recurrent(kernel, states, *directions):
        def run(p, x):
            weights = []
            for d in directions:
                bias = p[f"{d}bias"]
                biases = bias if bias.ndim == 2 else (bias, torch.zeros_like(bias))
                weights += [p[f"{d}kernel"].T, p[f"{d}recurrent_kernel"].T, *biases]
            first = [x.new_zeros(len(directions), x.shape[0], weights[1].shape[1])] * states
            both = len(directions) == 2
            y = kernel(x, first if states > 1 else first[0], weights, True, 1, 0.0, False, both, True)[0]
            return y if both else y[:, -1]

        return run

    return {
        "Dense": lambda p, x: torch.relu(F.linear(x, p["kernel"].T, p["bias"])),
        "LSTM": recurrent(torch.lstm, 2, ""),
        "Bidirectional": recurrent(torch.lstm, 2, "forward_layer/", "backward_layer/"),
        "Conv1D": images(lambda p, x: F.conv1d(F.pad(x, (2, 0)), kernel(p["kernel"]), p["bias"])),
        "Conv2D": images(lambda p, x: F.conv2d(x, kernel(p["kernel"]), p["bias"], 1, 1)),
        "Conv2D strides": images(lambda p, x: F.conv2d(F.pad(x, (0, 1, 0, 1)), kernel(p["kernel"]), p["bias"], 2)),
        "Conv3D": images(lambda p, x: F.conv3d(x, kernel(p["kernel"]), p["bias"])),
        "Conv2DTranspose": images(transposed),
        "DepthwiseConv2D": images(depthwise),
        "SeparableConv2D": images(separable),
        "BatchNormalization": images(
            lambda p, x: F.batch_norm(x, p["moving_mean"], p["moving_variance"], p["gamma"], p["beta"], eps=1e-3)
        ),
        "BatchNormalization training": images(batch_norm),
        "LayerNormalization": lambda p, x: F.layer_norm(x, x.shape[-1:], p["gamma"], p["beta"], 1e-3),
        "GroupNormalization": images(lambda p, x: F.group_norm(x, 8, p["gamma"], p["beta"], 1e-3)),
        "RMSNormalization": lambda p, x: F.rms_norm(x, x.shape[-1:], p["scale"], 1e-6),
        "UnitNormalization": lambda p, x: F.normalize(x, dim=-1),
        "MaxPooling2D": images(lambda p, x: F.max_pool2d(x, 2)),
        "MaxPooling2D same": images(lambda p, x: F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=-torch.inf), 3, 2)),
        "AveragePooling2D": images(lambda p, x: F.avg_pool2d(x, 2)),
        "GlobalMaxPooling2D": lambda p, x: x.amax((1, 2)),
        "GlobalAveragePooling2D": lambda p, x: x.mean((1, 2)),
        "AdaptiveAveragePooling2D": images(lambda p, x: F.adaptive_avg_pool2d(x, 7)),
        "MultiHeadAttention": attention,
        "GroupQueryAttention": attention,
    }


def jax_own() -> dict[str, Callable]:
    import jax
    import jax.numpy as jnp

    def conv(x, w, strides=1, padding="SAME", groups=1):
        space = "DHW"[-(x.ndim - 2) :]
        layout = (f"N{space}C", f"{space}IO", f"N{space}C")
        steps = (strides,) * (x.ndim - 2)
        return jax.lax.conv_general_dilated(x, w, steps, padding, dimension_numbers=layout, feature_group_count=groups)

    def depthwise(x, w):
        return conv(x, w.reshape(*w.shape[:2], 1, -1), groups=x.shape[-1])

    def transposed(p, x):
        layout = ("NHWC", "HWIO", "NHWC")
        y = jax.lax.conv_transpose(x, p["kernel"], (2, 2), "SAME", dimension_numbers=layout, transpose_kernel=True)
        return y + p["bias"]

    def normal_along(x, axes, epsilon=1e-3):
        mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
        return (x - mean) * jax.lax.rsqrt(variance + epsilon)

    def group_norm(p, x):
        parts = x.reshape(*x.shape[:-1], 8, -1)
        return normal_along(parts, (1, 2, 4)).reshape(x.shape) * p["gamma"] + p["beta"]

    def batch_norm(p, x):
        return (x - p["moving_mean"]) * jax.lax.rsqrt(p["moving_variance"] + 1e-3) * p["gamma"] + p["beta"]

    def rms_norm(p, x):
        return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-6) * p["scale"]

    def windows(x, start, combine, size, step, padding):
        return jax.lax.reduce_window(x, start, combine, (1, size, size, 1), (1, step, step, 1), padding)

    def attention(p, x, y):
        def heads(name, x):
            return jnp.einsum("btd,dhe->bthe", x, p[f"{name}/kernel"]) + p[f"{name}/bias"]

        out = jax.nn.dot_product_attention(heads("query", x), heads("key", y), heads("value", y))
        return jnp.einsum("bthe,hed->btd", out, p["attention_output/kernel"]) + p["attention_output/bias"]

    return {
        "Dense": lambda p, x: jax.nn.relu(x @ p["kernel"] + p["bias"]),
        "Conv1D": lambda p, x: conv(x, p["kernel"], padding=[(2, 0)]) + p["bias"],
        "Conv2D": lambda p, x: conv(x, p["kernel"]) + p["bias"],
        "Conv2D strides": lambda p, x: conv(x, p["kernel"], 2) + p["bias"],
        "Conv3D": lambda p, x: conv(x, p["kernel"], padding="VALID") + p["bias"],
        "Conv2DTranspose": transposed,
        "DepthwiseConv2D": lambda p, x: depthwise(x, p["kernel"]) + p["bias"],
        "SeparableConv2D": lambda p, x: conv(depthwise(x, p["depthwise_kernel"]), p["pointwise_kernel"]) + p["bias"],
        "BatchNormalization": batch_norm,
        "BatchNormalization training": lambda p, x: normal_along(x, (0, 1, 2)) * p["gamma"] + p["beta"],
        "LayerNormalization": lambda p, x: normal_along(x, -1) * p["gamma"] + p["beta"],
        "GroupNormalization": group_norm,
        "RMSNormalization": rms_norm,
        "UnitNormalization": lambda p, x: x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-12),
        "MaxPooling2D": lambda p, x: windows(x, -jnp.inf, jax.lax.max, 2, 2, "VALID"),
        "MaxPooling2D same": lambda p, x: windows(x, -jnp.inf, jax.lax.max, 3, 2, "SAME"),
        "AveragePooling2D": lambda p, x: windows(x, 0.0, jax.lax.add, 2, 2, "VALID") / 4,
        "AveragePooling2D same": lambda p, x: (
            windows(x, 0.0, jax.lax.add, 3, 2, "SAME")
            / windows(jnp.ones((1, *x.shape[1:3], 1)), 0.0, jax.lax.add, 3, 2, "SAME")
        ),
        "GlobalMaxPooling2D": lambda p, x: x.max((1, 2)),
        "GlobalAveragePooling2D": lambda p, x: x.mean((1, 2)),
        "MultiHeadAttention": attention,
        "GroupQueryAttention": attention,
    }


def tensorflow_own() -> dict[str, Callable]:
    import tensorflow as tf

    def transposed(p, x):
        n, h, w, _ = x.shape
        y = tf.nn.conv2d_transpose(x, p["kernel"], (n, 2 * h, 2 * w, p["kernel"].shape[2]), 2, "SAME")
        return y + p["bias"]

    def depthwise(x, w):
        return tf.nn.depthwise_conv2d(x, w, (1, 1, 1, 1), "SAME")

    def layer_norm(p, x):
        mean, variance = tf.nn.moments(x, -1, keepdims=True)
        return tf.nn.batch_normalization(x, mean, variance, p["beta"], p["gamma"], 1e-3)

    def group_norm(p, x):
        parts = tf.reshape(x, (*x.shape[:-1], 8, -1))
        mean, variance = tf.nn.moments(parts, (1, 2, 4), keepdims=True)
        out = tf.nn.batch_normalization(parts, mean, variance, None, None, 1e-3)
        return tf.reshape(out, x.shape) * p["gamma"] + p["beta"]

    def batch_norm(p, x):
        mean, variance = p["moving_mean"], p["moving_variance"]
        return tf.nn.batch_normalization(x, mean, variance, p["beta"], p["gamma"], 1e-3)

    def attention(p, x, y):
        def heads(name, x):
            return tf.einsum("btd,dhe->bhte", x, p[f"{name}/kernel"]) + p[f"{name}/bias"][:, None, :]

        q, k, v = heads("query", x), heads("key", y), heads("value", y)
        k, v = (tf.repeat(a, q.shape[1] // a.shape[1], axis=1) for a in (k, v))
        weights = tf.nn.softmax(tf.matmul(q, k, transpose_b=True) / q.shape[-1] ** 0.5)
        out = tf.matmul(weights, v)
        return tf.einsum("bhte,hed->btd", out, p["attention_output/kernel"]) + p["attention_output/bias"]

    return {
        "Dense": lambda p, x: tf.nn.relu(tf.matmul(x, p["kernel"]) + p["bias"]),
        "Conv1D": lambda p, x: tf.nn.conv1d(tf.pad(x, ((0, 0), (2, 0), (0, 0))), p["kernel"], 1, "VALID") + p["bias"],
        "Conv2D": lambda p, x: tf.nn.conv2d(x, p["kernel"], 1, "SAME") + p["bias"],
        "Conv2D strides": lambda p, x: tf.nn.conv2d(x, p["kernel"], 2, "SAME") + p["bias"],
        "Conv3D": lambda p, x: tf.nn.conv3d(x, p["kernel"], (1,) * 5, "VALID") + p["bias"],
        "Conv2DTranspose": transposed,
        "DepthwiseConv2D": lambda p, x: depthwise(x, p["kernel"]) + p["bias"],
        "SeparableConv2D": lambda p, x: (
            tf.nn.conv2d(depthwise(x, p["depthwise_kernel"]), p["pointwise_kernel"], 1, "SAME") + p["bias"]
        ),
        "BatchNormalization": batch_norm,
        "BatchNormalization training": lambda p, x: tf.compat.v1.nn.fused_batch_norm(x, p["gamma"], p["beta"])[0],
        "LayerNormalization": layer_norm,
        "GroupNormalization": group_norm,
        "RMSNormalization": lambda p, x: (
            x * tf.math.rsqrt(tf.reduce_mean(x * x, -1, keepdims=True) + 1e-6) * p["scale"]
        ),
        "UnitNormalization": lambda p, x: tf.math.l2_normalize(x, -1),
        "MaxPooling2D": lambda p, x: tf.nn.max_pool2d(x, 2, 2, "VALID"),
        "MaxPooling2D same": lambda p, x: tf.nn.max_pool2d(x, 3, 2, "SAME"),
        "AveragePooling2D": lambda p, x: tf.nn.avg_pool2d(x, 2, 2, "VALID"),
        "AveragePooling2D same": lambda p, x: tf.nn.avg_pool2d(x, 3, 2, "SAME"),
        "GlobalMaxPooling2D": lambda p, x: tf.reduce_max(x, (1, 2)),
        "GlobalAveragePooling2D": lambda p, x: tf.reduce_mean(x, (1, 2)),
        "MultiHeadAttention": attention,
        "GroupQueryAttention": attention,
    }


# -- running on each ---------------------------------------------------------------------------------------------------


class Torch:
    """How a function of a list of arrays is run, and differentiated: here, eagerly."""

    own = staticmethod(torch_own)

    def forward(self, fun: Callable, xs: list) -> Callable:
        import torch

        def run():
            with torch.no_grad():
                return fun(xs)

        return run

    def gradient(self, fun: Callable, xs: list) -> Callable:
        import torch

        xs = [x.requires_grad_() for x in xs]
        return lambda: torch.autograd.grad(fun(xs), xs, allow_unused=True)

    def total(self, x: Any, w: Any) -> Any:
        return (x * w).sum()


class Jax:
    own = staticmethod(jax_own)

    def forward(self, fun: Callable, xs: list) -> Callable:
        import jax

        run = jax.jit(fun)
        return lambda: wait(run(xs))

    def gradient(self, fun: Callable, xs: list) -> Callable:
        import jax

        return self.forward(jax.grad(fun), xs)

    def total(self, x: Any, w: Any) -> Any:
        return (x * w).sum()


class TensorFlow:
    own = staticmethod(tensorflow_own)

    def forward(self, fun: Callable, xs: list) -> Callable:
        import tensorflow as tf

        return tf.function(lambda: fun(xs), autograph=False)

    def gradient(self, fun: Callable, xs: list) -> Callable:
        import tensorflow as tf

        def run(xs):
            with tf.GradientTape() as tape:
                tape.watch(xs)
                total = fun(xs)
            return tape.gradient(total, xs)

        return self.forward(run, xs)

    def total(self, x: Any, w: Any) -> Any:
        import tensorflow as tf

        return tf.reduce_sum(x * w)


RUNNERS = {"torch": Torch, "jax": Jax, "tensorflow": TensorFlow}


# -- the sides ---------------------------------------------------------------------------------------------------------


def first(out: Any) -> Any:
    return kf.tree.leaves(out)[0]


def floating(x: Any) -> bool:
    return "float" in str(x.dtype)


def by_name(paths: list[str], leaves: list) -> dict[str, Any]:
    """`leaves` by their paths, and by the last parts of these."""
    pairs = list(zip(paths, leaves, strict=True))
    return {**{path.rpartition("/")[2]: x for path, x in pairs}, **dict(pairs)}


class Case:
    """One layer on one backend; `kfunc`, `own` and `keras` give its output as a function of a list of arrays.

    The list holds the parameters' leaves, and then the inputs that are floating.
    """

    def __init__(self, name: str, backend: str, own: Callable | None, trained: Callable | None):
        self.make, arrays = ROWS[name]
        self.layer = self.make(kf.nn)
        params, self.state = self.layer.init(0, *arrays, backend=backend)
        self.leaves, self.structure = kf.tree.flatten(params)
        self.paths = kf.tree.paths(params)
        self.named_state = by_name(kf.tree.paths(self.state), kf.tree.leaves(self.state))
        self.inputs = list(kf.to_backend(arrays, backend))
        self.key = kf.to_backend(kf.random.key(0), backend)
        self.owns = {False: own, True: trained or own}

    def arrays(self, leaves: list) -> list:
        return [*leaves, *(x for x in self.inputs if floating(x))]

    def parts(self, xs: list, n: int) -> tuple[list, list]:
        rest = iter(xs[n:])
        return xs[:n], [next(rest) if floating(x) else x for x in self.inputs]

    def kfunc(self, xs: list, train: bool) -> Any:
        leaves, inputs = self.parts(xs, len(self.leaves))
        params = kf.tree.unflatten(self.structure, leaves)
        return first(self.layer.apply(params, *inputs, state=self.state, key=self.key, train=train)[0])

    def own(self, xs: list, train: bool) -> Any:
        leaves, inputs = self.parts(xs, len(self.leaves))
        return self.owns[train]({**self.named_state, **by_name(self.paths, leaves)}, *inputs)

    def keras(self, backend: str) -> tuple[Callable, list]:
        """Keras's side, and its leaves; only on JAX it is a function of them, elsewhere they are its variables' own."""
        import keras

        layer = self.make(keras.layers)
        layer(*self.inputs)
        variables, others = layer.trainable_variables, layer.non_trainable_variables

        def run(xs, train):
            leaves, inputs = self.parts(xs, len(variables))
            options = {"training": train} if layer._call_has_training_arg else {}
            if backend == "jax":
                return first(layer.stateless_call(leaves, [v.value for v in others], *inputs, **options)[0])
            return first(layer(*inputs, **options))

        return run, self.arrays([v.value for v in variables])


def measure(name: str, backend: str, runner: Any, owns: dict, rounds: int, with_keras: bool) -> None:
    case = Case(name, backend, owns.get(name), owns.get(f"{name} training"))
    sides = {"kfunc": (case.kfunc, case.arrays(case.leaves))}
    if name in owns:
        sides["own"] = case.own, case.arrays(case.leaves)
    if with_keras:
        sides["keras"] = case.keras(backend)
    out = case.kfunc(case.arrays(case.leaves), False)
    w = kf.to_backend(np.random.default_rng(1).normal(size=tuple(out.shape)).astype(np.float32), backend)

    for kind in ("forward", "gradient"):

        def prepared(fun, xs, kind=kind):
            if kind == "forward":
                return runner.forward(lambda xs: fun(xs, False), xs)
            return runner.gradient(lambda xs: runner.total(fun(xs, True), w), xs)

        runs = {side: prepared(*what) for side, what in sides.items()}
        if "own" in runs:
            for a, b in zip(*(kf.tree.leaves(runs[s]()) for s in ("kfunc", "own")), strict=True):
                a, b = (kf.to_numpy(x.detach() if hasattr(x, "detach") else x) for x in (a, b))
                if not np.allclose(a, b, rtol=1e-3, atol=1e-4 * max(1, abs(b).max())):
                    sys.exit(f"{name} on {backend}, {kind}: the framework's own function gives something else")
        columns = ""
        for side in ("own", "keras"):
            if side in runs:
                here, there, ratio = paired(runs["kfunc"], runs[side], rounds)
                columns += f"{1e3 * there:>10.3f}{ratio:>7.2f}"
            else:
                columns += f"{'-':>10}{'-':>7}"
        if len(runs) == 1:
            here, _, _ = paired(runs["kfunc"], runs["kfunc"], rounds)
        print(f"{name:<24}{backend:<12}{kind:<10}{1e3 * here:>9.3f}{columns}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", nargs="+", choices=RUNNERS, default=tuple(RUNNERS))
    parser.add_argument("--layer", nargs="+", choices=ROWS, default=tuple(ROWS))
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--no-keras", action="store_true")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        (name,) = arguments.backend
        runner = RUNNERS[name]()
        owns = runner.own()
        for row in arguments.layer:
            measure(row, name, runner, owns, arguments.rounds, not arguments.no_keras)
        return
    columns = f"{'kfunc ms':>9}{'own ms':>10}{'ratio':>7}{'keras ms':>10}{'ratio':>7}"
    print(f"{'layer':<24}{'backend':<12}{'kind':<10}{columns}", flush=True)
    for name in arguments.backend:
        if name not in backends.available():
            print(f"{name}: not installed: {backends.install_command(name)}")
            continue
        options = ["--backend", name, "--rounds", str(arguments.rounds), "--one", "--layer", *arguments.layer]
        options += ["--no-keras"] * arguments.no_keras
        environment = {**os.environ, "KERAS_BACKEND": name, "TF_CPP_MIN_LOG_LEVEL": "3"}
        subprocess.run([sys.executable, __file__, *options], env=environment, check=True)


if __name__ == "__main__":
    main()
