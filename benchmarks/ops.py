"""What ops cost beside the framework's own call, and beside our reference.

    python benchmarks/ops.py [--backend torch ...] [--op conv ...] [--rounds 31]

Each row is one op of one backend: the time of `kf.ops`, the framework's own call, their ratio (1.00: nothing lost), and
how many times slower our reference is on the same arrays (why the lowering exists). The two sides are timed by turns: a
round runs one for a while and then the other, and the next round begins with the other; ratios are medians over the
rounds. JAX is timed under `jit` on both sides, as it is used. The last table is what dispatch adds to one small op: the
least processor time of each side, since whatever else runs would drown it.
"""

from __future__ import annotations

import argparse
import gc
import statistics
import time
from typing import Any

import numpy as np

import kfunc as kf
from kfunc import backends, ops
from kfunc.ops._op import OPS

RNG = np.random.default_rng(0)


def normal(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


IMAGES, KERNEL = normal(32, 32, 32, 32), normal(3, 3, 32, 64)
DEEP = normal(32, 16, 16, 64)
ROWS, SQUARE = normal(256, 1024), normal(1024, 1024)
HEADS = normal(8, 128, 8, 64)
FEW = normal(8, 128, 2, 64)
SEQUENCE = normal(32, 50, 64)

# Name of a row, the op, its arrays, its other arguments.
CASES = {
    "linear": ("linear", (ROWS, SQUARE, normal(1024)), {}),
    "conv": ("conv", (IMAGES, KERNEL), {"padding": "same"}),
    "conv strides": ("conv", (IMAGES, KERNEL), {"padding": "same", "strides": 2}),
    "conv depthwise": ("conv", (IMAGES, normal(3, 3, 1, 32)), {"padding": "same"}),
    "conv_transpose": ("conv_transpose", (DEEP, normal(3, 3, 32, 64)), {"strides": 2, "padding": "same"}),
    "max_pool": ("max_pool", (IMAGES,), {"pool_size": 2}),
    "max_pool same": ("max_pool", (IMAGES,), {"pool_size": 3, "strides": 2, "padding": "same"}),
    "average_pool": ("average_pool", (IMAGES,), {"pool_size": 2}),
    "adaptive_average_pool": ("adaptive_average_pool", (IMAGES,), {"output_size": 7}),
    "batch_normalization": ("batch_normalization", (DEEP, normal(64), normal(64) ** 2), {"axis": -1}),
    "normalize_batch": ("normalize_batch", (DEEP, normal(64), normal(64)), {}),
    "layer_normalization": ("layer_normalization", (ROWS, normal(1024), normal(1024)), {}),
    "rms_normalization": ("rms_normalization", (ROWS, normal(1024)), {}),
    "moments": ("moments", (DEEP,), {"axes": (0, 1, 2)}),
    "moments last": ("moments", (ROWS,), {"axes": (-1,)}),
    "attention": ("dot_product_attention", (HEADS, HEADS, HEADS), {}),
    "attention causal": ("dot_product_attention", (HEADS, HEADS, HEADS), {"is_causal": True}),
    "attention grouped": ("dot_product_attention", (HEADS, FEW, FEW), {}),
    "softmax": ("softmax", (ROWS,), {}),
    "log_softmax": ("log_softmax", (ROWS,), {}),
    "gelu": ("gelu", (ROWS,), {}),
    "silu": ("silu", (ROWS,), {}),
    "softplus": ("softplus", (ROWS,), {}),
    "label_crossentropy": ("label_crossentropy", (ROWS, RNG.integers(0, 1024, 256, np.int32)), {}),
    "lstm": ("lstm", (SEQUENCE, normal(64, 256), normal(64, 256), normal(256)), {}),
    "gru": ("gru", (SEQUENCE, normal(64, 192), normal(64, 192), normal(2, 192)), {}),
    "unfold": ("unfold", (normal(16, 32, 32, 32),), {"kernel_size": 3}),
    "fold": ("fold", (normal(16, 288, 900),), {"output_size": 32, "kernel_size": 3}),
}


# -- the frameworks' own calls -----------------------------------------------------------------------------------------


def torch_calls() -> dict[str, Any]:
    import torch
    import torch.nn.functional as F

    def images(fun):
        return lambda x, *rest: fun(x.permute(0, 3, 1, 2), *rest).permute(0, 2, 3, 1)

    def attention(**options):
        return lambda *qkv: F.scaled_dot_product_attention(*(x.transpose(1, 2) for x in qkv), **options).transpose(1, 2)

    def recurrent(kernel, width, n):
        own, again = torch.zeros(32, 64)[None], torch.zeros(width)
        first = own if n == 1 else (own, own)

        def run(x, w, u, b):
            biases = [b[0], b[1]] if n == 1 else [b, again]
            return kernel(x, first, [w.T, u.T, *biases], True, 1, 0.0, False, False, True)

        return run

    mean, variance = torch.zeros(64), torch.ones(64)

    def training(x, offset, scale):
        # With momentum 1 it hands out the moments, as our op does.
        return F.batch_norm(x.permute(0, 3, 1, 2), mean, variance, scale, offset, True, 1.0, 1e-3)

    return {
        "linear": lambda x, w, b: F.linear(x, w.T, b),
        "conv": images(lambda x, w: F.conv2d(x, w.permute(3, 2, 0, 1), None, 1, 1)),
        "conv strides": images(lambda x, w: F.conv2d(F.pad(x, (0, 1, 0, 1)), w.permute(3, 2, 0, 1), None, 2)),
        "conv depthwise": images(lambda x, w: F.conv2d(x, w.permute(3, 2, 0, 1), None, 1, 1, 1, 32)),
        "conv_transpose": images(lambda x, w: F.conv_transpose2d(x, w.permute(3, 2, 0, 1), None, 2)[..., :-1, :-1]),
        "max_pool": images(lambda x: F.max_pool2d(x, 2)),
        "max_pool same": images(lambda x: F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=-np.inf), 3, 2)),
        "average_pool": images(lambda x: F.avg_pool2d(x, 2)),
        "adaptive_average_pool": images(lambda x: F.adaptive_avg_pool2d(x, 7)),
        "batch_normalization": images(lambda x, m, v: F.batch_norm(x, m, v, eps=1e-3)),
        "normalize_batch": training,
        "layer_normalization": lambda x, g, b: F.layer_norm(x, (1024,), g, b, 1e-7),
        "rms_normalization": lambda x, g: F.rms_norm(x, (1024,), g, 1e-7),
        "moments": lambda x: torch.var_mean(x, (0, 1, 2), correction=0),
        "moments last": lambda x: torch.var_mean(x, (-1,), correction=0),
        "attention": attention(),
        "attention causal": attention(is_causal=True),
        "attention grouped": attention(enable_gqa=True),
        "softmax": lambda x: torch.softmax(x, -1),
        "log_softmax": lambda x: torch.log_softmax(x, -1),
        "gelu": lambda x: F.gelu(x, approximate="tanh"),
        "silu": F.silu,
        "softplus": F.softplus,
        "label_crossentropy": lambda x, y: F.cross_entropy(x, y.long(), reduction="none"),
        "lstm": recurrent(torch.lstm, 256, 2),
        "gru": recurrent(torch.gru, 192, 1),
        "unfold": lambda x: F.unfold(x, 3),
        "fold": lambda x: F.fold(x, 32, 3),
    }


def jax_calls() -> dict[str, Any]:
    import jax
    import jax.numpy as jnp

    def conv(x, w, strides=1, groups=1):
        layout = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            x, w, (strides,) * 2, "SAME", dimension_numbers=layout, feature_group_count=groups
        )

    def pool(init, combine, k, s, padding):
        return lambda x: jax.lax.reduce_window(x, init, combine, (1, k, k, 1), (1, s, s, 1), padding)

    calls = {
        "linear": lambda x, w, b: x @ w + b,
        "conv": conv,
        "conv strides": lambda x, w: conv(x, w, 2),
        "conv depthwise": lambda x, w: conv(x, w, 1, 32),
        "conv_transpose": lambda x, w: jax.lax.conv_transpose(
            x, w, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"), transpose_kernel=True
        ),
        "max_pool": pool(-jnp.inf, jax.lax.max, 2, 2, "VALID"),
        "max_pool same": pool(-jnp.inf, jax.lax.max, 3, 2, "SAME"),
        "average_pool": lambda x: pool(0.0, jax.lax.add, 2, 2, "VALID")(x) / 4,
        "attention": jax.nn.dot_product_attention,
        "attention causal": lambda q, k, v: jax.nn.dot_product_attention(q, k, v, is_causal=True),
        "attention grouped": jax.nn.dot_product_attention,
        "softmax": jax.nn.softmax,
        "log_softmax": jax.nn.log_softmax,
        "gelu": jax.nn.gelu,
        "silu": jax.nn.silu,
        "softplus": jax.nn.softplus,
    }
    return {name: jax.jit(call) for name, call in calls.items()}


def tensorflow_calls() -> dict[str, Any]:
    import tensorflow as tf

    return {
        "linear": lambda x, w, b: tf.matmul(x, w) + b,
        "conv": lambda x, w: tf.nn.conv2d(x, w, 1, "SAME"),
        "conv strides": lambda x, w: tf.nn.conv2d(x, w, 2, "SAME"),
        "conv depthwise": lambda x, w: tf.nn.depthwise_conv2d(x, tf.reshape(w, (3, 3, 32, 1)), (1, 1, 1, 1), "SAME"),
        "conv_transpose": lambda x, w: tf.nn.conv2d_transpose(x, w, (32, 32, 32, 32), 2, "SAME"),
        "max_pool": lambda x: tf.nn.max_pool2d(x, 2, 2, "VALID"),
        "max_pool same": lambda x: tf.nn.max_pool2d(x, 3, 2, "SAME"),
        "average_pool": lambda x: tf.nn.avg_pool2d(x, 2, 2, "VALID"),
        "softmax": tf.nn.softmax,
        "log_softmax": tf.nn.log_softmax,
        "gelu": lambda x: tf.nn.gelu(x, approximate=True),
        "silu": tf.nn.silu,
        "softplus": tf.math.softplus,
        "label_crossentropy": lambda x, y: tf.nn.sparse_softmax_cross_entropy_with_logits(y, x),
    }


def numpy_calls() -> dict[str, Any]:
    def softmax(x):
        e = np.exp(x - x.max(-1, keepdims=True))
        return e / e.sum(-1, keepdims=True)

    return {"linear": lambda x, w, b: x @ w + b, "softmax": softmax}


CALLS = {"numpy": numpy_calls, "jax": jax_calls, "torch": torch_calls, "tensorflow": tensorflow_calls}


# -- the clock ---------------------------------------------------------------------------------------------------------


def wait(x: Any) -> Any:
    for leaf in kf.tree.leaves(x):
        if hasattr(leaf, "block_until_ready"):
            leaf.block_until_ready()
    return x


def seconds(run, repeats: int, clock=time.perf_counter) -> float:
    begun = clock()
    for _ in range(repeats):
        run()
    return (clock() - begun) / repeats


def paired(ours, theirs, rounds: int, turn: float = 0.004) -> tuple[float, float, float]:
    """Median seconds of both, and the median of the rounds' ratios. Turns are short, so that few are interrupted."""
    for run in (ours, theirs):
        seconds(run, 2)
    repeats = max(1, round(turn / max(min(seconds(ours, 2), seconds(theirs, 2)), 1e-7)))
    a, b = [], []
    gc.collect()
    gc.disable()
    for i in range(rounds):
        for times, run in ((a, ours), (b, theirs)) if i % 2 else ((b, theirs), (a, ours)):
            times.append(seconds(run, repeats))
    gc.enable()
    return statistics.median(a), statistics.median(b), statistics.median(x / y for x, y in zip(a, b, strict=True))


# -- the tables --------------------------------------------------------------------------------------------------------


def measure(backend, name: str, native: Any, rounds: int) -> None:
    op, arrays, options = CASES[name]
    arrays = kf.to_backend(arrays, backend)

    @kf.arrays.native
    def by_reference(*arrays):
        return OPS[op].reference(*arrays, **options)

    def ours(*arrays):
        return OPS[op](*arrays, **options)

    if backend.name == "jax":
        ours, by_reference = kf.jit(ours), kf.jit(by_reference)
    run = lambda: wait(ours(*arrays))  # noqa: E731
    other = run if native is None else lambda: wait(native(*arrays))
    here, there, ratio = paired(run, other, rounds)
    _, _, gain = paired(lambda: wait(by_reference(*arrays)), run, max(3, rounds // 3))
    own = "-" if native is None else f"{1e3 * there:.3f}"
    beside = "-" if native is None else f"{ratio:.2f}"
    lowered = "yes" if op in backend.lowerings else "no"
    print(f"{name:<24}{backend.name:<12}{1e3 * here:>9.3f}{own:>9}{beside:>7}{gain:>11.2f}  {lowered}", flush=True)


def dispatch(rounds: int) -> None:
    """What `kf.ops` adds to one small call on PyTorch, in microseconds."""
    import torch
    import torch.nn.functional as F

    x, w, b = torch.ones(2, 4), torch.ones(4, 4), torch.ones(4)
    image, kernel = torch.ones(1, 4, 4, 2), torch.ones(2, 2, 2, 2)
    q = torch.ones(1, 2, 2, 4)
    pairs = {
        "relu": (lambda: ops.relu(x), lambda: torch.relu(x)),
        "add": (lambda: ops.add(x, x), lambda: torch.add(x, x)),
        "softmax": (lambda: ops.softmax(x), lambda: torch.softmax(x, -1)),
        "linear": (lambda: ops.linear(x, w, b), lambda: F.linear(x, w.T, b)),
        "conv": (
            lambda: ops.conv(image, kernel),
            lambda: F.conv2d(image.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1)).permute(0, 2, 3, 1),
        ),
        "max_pool": (
            lambda: ops.max_pool(image, 2),
            lambda: F.max_pool2d(image.permute(0, 3, 1, 2), 2).permute(0, 2, 3, 1),
        ),
        "layer_normalization": (lambda: ops.layer_normalization(x, b, b), lambda: F.layer_norm(x, (4,), b, b, 1e-7)),
        "dot_product_attention": (
            lambda: ops.dot_product_attention(q, q, q),
            lambda: F.scaled_dot_product_attention(*(x.transpose(1, 2) for x in (q, q, q))).transpose(1, 2),
        ),
    }
    print(f"\n{'dispatch on torch':<24}{'kfunc µs':>9}{'own µs':>9}{'added µs':>10}")
    for name, (ours, theirs) in pairs.items():
        turns = [[seconds(run, 100, time.process_time) for run in (ours, theirs)] for _ in range(2 * rounds)]
        here, there = map(min, zip(*turns, strict=True))
        print(f"{name:<24}{1e6 * here:>9.2f}{1e6 * there:>9.2f}{1e6 * (here - there):>10.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", nargs="+", choices=CALLS, default=tuple(CALLS))
    parser.add_argument("--op", nargs="+", choices=CASES, default=tuple(CASES))
    parser.add_argument("--rounds", type=int, default=31)
    arguments = parser.parse_args()

    print(f"{'op':<24}{'backend':<12}{'kfunc ms':>9}{'own ms':>9}{'ratio':>7}{'reference':>11}  lowered")
    for name in arguments.backend:
        if name not in backends.available():
            print(f"{name}: not installed: {backends.install_command(name)}")
            continue
        backend, calls = backends.get(name), CALLS[name]()
        for row in arguments.op:
            if CASES[row][0] in backend.lowerings or row in calls:
                measure(backend, row, calls.get(row), arguments.rounds)
    if "torch" in arguments.backend and "torch" in backends.available():
        dispatch(arguments.rounds)


if __name__ == "__main__":
    main()
