"""Attention with all that real models need: against a formula in float64, and step by step with each kind of cache."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from backends import BACKENDS, TRAINING
from keras_rows import normal
from sampling import chosen, one_of
from test_decoding import turned

import kfunc as kf
from kfunc import nn
from kfunc.nn.attention import KVCache, Memory, RollingCache

EPS = float(np.finfo(np.float32).eps)
NAMES = [p.values[0] for p in BACKENDS]
COMPILED = ("jax", "tensorflow", "openvino")
TIME, LENGTH = 9, 12
TOKENS, SOURCE = normal(2, TIME, 6), normal(2, 5, 6, salt=1)
PADDING = np.array([[0], [3]])
"""How many positions before the tokens of each sequence are padding."""
SEEN = np.arange(LENGTH)[None] >= PADDING
PLACES = np.maximum(np.arange(TIME)[None] - PADDING, 0).astype(np.int32)
BIAS = normal(1, 4, LENGTH, LENGTH, salt=2)


def backends(*row):
    """NumPy, and another one for a few rows."""
    return ["numpy", *(one_of(NAMES[1:], *row) if chosen(8, *row) else ())]


def norm():
    return nn.RMSNormalization(epsilon=1e-6)


ALL = {"scale": 0.7, "attn_logits_soft_cap": 3.0, "use_bias": ("key", "attention_output"), "use_gate": True}
LAYERS = {
    "plain": nn.MultiHeadAttention(4, 4),
    "heads": nn.MultiHeadAttention(4, 4, 3, output_shape=5, rotary=nn.RotaryEmbedding(), query_norm=norm(), **ALL),
    "groups": nn.GroupQueryAttention(
        4, 4, 2, rotary=nn.RotaryEmbedding(100, partial_rotary_factor=0.5), query_norm=norm(), key_norm=norm(), **ALL
    ),
}
WINDOWS = {"all": (None, None), "rolling": (3, True), "one": (1, True), "window": (3, False), "long": (20, None)}
OPTIONS = ("positions", "mask", "bias")
CASES = {
    f"{kind}, {window}{''.join(f', {o}' for o in some)}": (kind, window, some)
    for kind, window in itertools.product(LAYERS, WINDOWS)
    for n in range(4)
    for some in itertools.combinations(OPTIONS, n)
    if chosen(2, "options", kind, window, *some)
}
CHUNKS = ((0, 5), (5, 6), (6, 7), (7, 9))


def the_layer(kind, window="all"):
    return kf.replace(LAYERS[kind], sliding_window=WINDOWS[window][0])


def weights(layer, *inputs):
    params, _ = layer.init(0, *inputs)
    return kf.tree.map(lambda x: x + normal(*x.shape) * np.float32(0.3), params)


def formula(layer, params, x, source, places=None, seen=None, bias=None, causal=True):
    """The output, one head and target after another, in float64."""
    params = kf.tree.map(lambda a: a.astype(np.float64), params)
    wide = [a.astype(np.float64) for a in (x, source)]

    def project(name, x):
        return np.einsum("btd,dhe->bthe", x, params[name]["kernel"]) + params[name].get("bias", 0)

    def placed(name, x):
        if f"{name}_norm" in params:
            root = np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)
            x = x / root * params[f"{name}_norm"]["scale"]
        if layer.rotary is None:
            return x
        where = np.arange(x.shape[1]) if places is None else places
        return turned(x, where, layer.rotary.max_wavelength, part=layer.rotary.partial_rotary_factor)

    q, k = placed("query", project("query", wide[0])), placed("key", project("key", wide[1]))
    v = project("value", wide[1])
    out = np.zeros((*q.shape[:3], v.shape[-1]))
    share, scale = q.shape[2] // k.shape[2], layer.scale or 1 / math.sqrt(q.shape[-1])
    for b, t, h in np.ndindex(q.shape[:3]):
        logits = k[b, :, h // share] @ q[b, t, h] * scale
        if layer.attn_logits_soft_cap:
            logits = layer.attn_logits_soft_cap * np.tanh(logits / layer.attn_logits_soft_cap)
        if bias is not None:
            logits = logits + bias[0, h, t, : len(logits)]
        there = np.ones(len(logits), bool) if seen is None else seen[b, : len(logits)].copy()
        there &= (np.arange(len(logits)) <= t) if causal else True
        if layer.sliding_window:
            there &= np.abs(np.arange(len(logits)) - t) < layer.sliding_window
        chances = np.exp(logits - logits[there].max(initial=-99)) * there
        out[b, t, h] = chances / max(chances.sum(), 1e-300) @ v[b, :, h // share]
    if layer.use_gate:
        out = out / (1 + np.exp(-project("gate", wide[0])))
    last = params["attention_output"]
    return np.einsum("bthe,heo->bto", out, last["kernel"]) + last.get("bias", 0)


def close(got, want, real=None, n=64):
    """Within `16 eps sqrt(n)` at the scale of `want`: two layers of products after one another, the widest of 16."""
    got = kf.to_numpy(got)
    assert got.shape == want.shape
    real = np.ones(got.shape[:2], bool) if real is None else real
    assert np.isfinite(got).all()
    scale = max(1.0, np.abs(want).max())
    np.testing.assert_allclose(got[real], want[real], rtol=0, atol=16 * EPS * math.sqrt(n) * scale)


def given(some, start, end, name):
    """The options of a call for the targets from `start` to `end`."""
    options = {
        "positions": PLACES[:, start:end],
        "value_mask": SEEN,
        "attention_bias": BIAS[:, :, start:end],
    }
    keep = {"positions": "positions", "mask": "value_mask", "bias": "attention_bias"}
    return kf.to_backend({keep[o]: options[keep[o]] for o in some}, name)


def cut(options):
    """The same for all at once, where the sources are the tokens."""
    return {
        name: x[:, :TIME] if name == "value_mask" else x[..., :TIME] if name == "attention_bias" else x
        for name, x in options.items()
    }


@pytest.mark.parametrize("case", CASES)
def test_all_at_once_and_step_by_step(case):
    kind, window, some = CASES[case]
    layer = the_layer(kind, window)
    params = weights(layer, TOKENS, TOKENS)
    places = PLACES if "positions" in some else None
    want = formula(
        layer, params, TOKENS, TOKENS, places, SEEN if "mask" in some else None, BIAS if "bias" in some else None
    )
    real = SEEN[:, :TIME] if "mask" in some else None  # a target that sees no source gets some mean
    for name in backends("options", case):
        here, x = kf.to_backend((params, TOKENS), name)
        options = cut(given(some, 0, TIME, name))
        close(layer.apply(here, x, x, use_causal_mask=True, **options)[0], want, real)
        cache = layer.init_cache(2, LENGTH, backend=name, rolling=WINDOWS[window][1])
        assert type(cache) is (RollingCache if WINDOWS[window][1] else KVCache)
        assert cache.key.shape[1] == (max(WINDOWS[window][0] - 1, 1) if WINDOWS[window][1] else LENGTH)

        def step(params, x, cache, options, layer=layer):
            return layer.apply(params, x, x, cache=cache, **options)[0]

        run, out = kf.jit(step) if name in COMPILED else step, []
        for start, end in CHUNKS:
            y, cache = run(here, kf.to_backend(TOKENS[:, start:end], name), cache, given(some, start, end, name))
            out.append(kf.to_numpy(y))
        close(np.concatenate(out, axis=1), want, real)
        assert int(kf.to_numpy(cache.index)) == TIME


@nn.layer
class Crossed(nn.Layer):
    """Attention to another sequence, whose keys and values are computed once."""

    attention: nn.Layer

    def forward(self, s, x, source=None, memory=None, **options):
        if memory is None:
            memory = self.attention.keys_and_values(s, source, positions=options.get("positions"))
        return self.attention(s, x, memory=memory, **options), memory


@pytest.mark.parametrize("some", [(), ("bias",), ("mask",), ("bias", "mask")], ids=lambda some: "+".join(some) or "no")
@pytest.mark.parametrize("kind", LAYERS)
def test_a_memory_is_the_source(kind, some):
    layer, net = LAYERS[kind], Crossed(LAYERS[kind])
    params = weights(layer, TOKENS, SOURCE)
    seen, bias = np.arange(5)[None] >= np.array([[0], [2]]), BIAS[:, :, :TIME, :5]
    options = {"value_mask": seen} if "mask" in some else {}
    options |= {"attention_bias": bias} if "bias" in some else {}
    want = formula(
        layer,
        params,
        TOKENS,
        SOURCE,
        seen=options.get("value_mask"),
        bias=options.get("attention_bias"),
        causal=False,
    )
    for name in backends("memory", kind, *some):
        here, x, y, there = kf.to_backend((params, TOKENS, SOURCE, options), name)
        close(layer.apply(here, x, y, **there)[0], want)
        (out, memory), _ = net.apply({"attention": here}, x, y, **there)
        close(out, want)
        assert isinstance(memory, Memory)
        for t in range(3):
            one = {n: a[:, :, t : t + 1, :] if n == "attention_bias" else a for n, a in options.items()}
            one, x = kf.to_backend(({"positions": np.array([t], np.int32), **one}, TOKENS[:, t : t + 1]), name)
            (out, memory), _ = net.apply({"attention": here}, x, memory=memory, **one)
            close(out, want[:, t : t + 1])


@pytest.mark.parametrize("name", TRAINING)
def test_gradients(name, kind="groups"):
    """Of all weights, the inputs and the bias, against differences of the formula."""
    layer = the_layer(kind, "window")
    params = weights(layer, TOKENS, TOKENS)
    tree = {"params": params, "x": TOKENS, "bias": BIAS[:, :, :TIME, :TIME]}
    places, seen = np.arange(TIME)[None] + np.array([[4], [1]]), np.ones((2, TIME), bool)
    seen[1, 4] = False
    out = formula(layer, params, TOKENS, TOKENS, places, seen, tree["bias"])
    cotangent = np.sin(np.arange(out.size)).reshape(out.shape)
    here, weight, where, mask = kf.to_backend((tree, cotangent.astype(np.float32), places.astype(np.int32), seen), name)

    @kf.arrays.native
    def weighted(y, w):
        return kf.namespace(y).sum(y * w)

    def objective(tree):
        options = {"positions": where, "value_mask": mask, "attention_bias": tree["bias"], "use_causal_mask": True}
        return weighted(layer.apply(tree["params"], tree["x"], tree["x"], **options)[0], weight)

    got = [kf.to_numpy(g).astype(np.float64) for g in kf.tree.leaves(kf.grad(objective)(here))]
    leaves, structure = kf.tree.flatten(kf.tree.map(lambda a: a.astype(np.float64), tree))
    for seed in range(3):  # along random directions, by central differences
        rng = np.random.default_rng(seed)
        direction = [rng.normal(size=a.shape) for a in leaves]

        def moved(h, direction=direction):
            tree = kf.tree.unflatten(structure, [a + h * d for a, d in zip(leaves, direction, strict=True)])
            y = formula(layer, tree["params"], tree["x"], tree["x"], places, seen, tree["bias"])
            return (y * cotangent).sum()

        want = (moved(1e-5) - moved(-1e-5)) / 2e-5
        parts = [(g * d).sum() for g, d in zip(got, direction, strict=True)]
        size = math.sqrt(sum((g**2).sum() for g in got))
        assert abs(sum(parts) - want) < 64 * EPS * 16 * size


def test_a_mask_says_nothing_of_positions_behind_its_end():
    layer = the_layer("plain", "rolling")
    params = weights(layer, TOKENS, TOKENS)
    cache = layer.init_cache(2, 5, rolling=True)
    (out, cache), _ = layer.apply(params, TOKENS[:, :6], TOKENS[:, :6], cache=cache)
    assert np.isfinite(out).all()  # a window has no end by itself
    (out, cache), _ = layer.apply(params, TOKENS[:, :1], TOKENS[:, :1], cache=cache, value_mask=SEEN[:, :6])
    assert np.isnan(out).all()


POLICIES = {
    "none": (None, None, "float32"),
    "net": ("float16", None, "float16"),
    "mixed": ("mixed_float16", None, "float16"),
    "own": ("float16", "float32", "float32"),
    "map": ({"attention": "float16", "": "float32"}, None, "float16"),
}


@pytest.mark.parametrize("case", POLICIES)
def test_a_cache_takes_the_policy_of_the_network(case):
    whole, own, want = POLICIES[case]
    net = nn.Remat(Crossed(nn.MultiHeadAttention(2, 4, dtype=own)), dtype=whole)
    attention = net.layer.attention
    cache = attention.init_cache(2, 3, within=net)
    assert str(cache.key.dtype) == str(cache.value.dtype) == want
    assert str(attention.init_cache(2, 3, "float64", within=net).key.dtype) == "float64"
    params, _ = net.init(0, TOKENS, SOURCE)
    out, _ = attention.apply(params["layer"]["attention"], TOKENS[:, :3], TOKENS[:, :3], cache=cache)
    assert out[1].key.dtype == cache.key.dtype


@pytest.mark.parametrize("name", ["numpy", "torch", "jax"])
def test_the_cache_does_not_widen_the_computation(name):
    """Weights in half precision without a policy: a cache in float32 leaves the output as it is without a cache."""
    layer = LAYERS["plain"]
    params = kf.to_backend(kf.tree.map(lambda x: x.astype(np.float16), weights(layer, TOKENS, TOKENS)), name)
    x = kf.to_backend(TOKENS.astype(np.float16), name)
    (out, _), _ = layer.apply(params, x, x, cache=layer.init_cache(2, LENGTH, backend=name))
    assert kf.arrays.dtype_name(kf.to_numpy(out).dtype) == "float16"


BAD = {
    "positions": (kf.errors.ShapeError, (TOKENS, TOKENS), {"positions": np.arange(4)}),
    "positions of pairs": (kf.errors.ShapeError, (TOKENS, TOKENS), {"positions": np.zeros((2, 1, 9), np.int32)}),
    "value": (kf.errors.ArgumentError, (TOKENS,), {}),
    "memory": (kf.errors.ArgumentError, (TOKENS, TOKENS), {"memory": Memory(TOKENS, TOKENS)}),
    "memory of other shape": (kf.errors.ShapeError, (TOKENS,), {"memory": Memory(TOKENS, TOKENS)}),
    "attention_bias": (kf.errors.ShapeError, (TOKENS, TOKENS), {"attention_bias": BIAS}),
    "attention_mask": (kf.errors.ShapeError, (TOKENS, TOKENS), {"attention_mask": BIAS > 0}),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit(case):
    error, inputs, options = BAD[case]
    with pytest.raises(error) as caught:
        the_layer("heads").init(0, *inputs, **options)
    assert caught.value.argument == case.split()[0]
    params = weights(the_layer("heads"), TOKENS, TOKENS)
    with pytest.raises(error):
        the_layer("heads").apply(params, *inputs, **options)


@pytest.mark.torch
@pytest.mark.parametrize("kind", ["plain", "groups"])
def test_the_fused_kernel_of_torch(kind, monkeypatch):
    """With a scale, a bias, masks and caches too; a soft cap it does not know."""
    torch = pytest.importorskip("torch")
    layer, calls = kf.replace(LAYERS[kind], attn_logits_soft_cap=None, scale=0.3, sliding_window=3), []
    kernel = torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(
        torch.nn.functional,
        "scaled_dot_product_attention",
        lambda *args, **options: calls.append(args) or kernel(*args, **options),
    )
    params, x = kf.to_backend((weights(layer, TOKENS, TOKENS), TOKENS), "torch")
    layer.apply(params, x, x, use_causal_mask=True, **cut(given(OPTIONS, 0, TIME, "torch")))
    for rolling in (True, False):
        cache = layer.init_cache(2, LENGTH, backend="torch", rolling=rolling)
        layer.apply(params, x, x, cache=cache, **given(OPTIONS, 0, TIME, "torch"))
    assert len(calls) == 3


def test_attention_over_several_axes_takes_a_bias():
    x = normal(2, 3, 4, 6)
    layer, flat = nn.MultiHeadAttention(2, 4), nn.MultiHeadAttention(2, 4)
    one = nn.MultiHeadAttention(2, 4, attention_axes=2)
    params = weights(flat, x[:, 0], x[:, 0])
    bias = normal(2, 2, 3, 4, 3, 4, salt=3)  # (batch, heads, targets, sources)
    line, pairs = x.reshape(2, 12, 6), bias.reshape(2, 2, 12, 12)
    want = flat.apply(params, line, line, attention_bias=pairs)[0].reshape(2, 3, 4, 6)
    close(layer.apply(params, x, x, attention_bias=bias)[0], want)
    bias = normal(2, 3, 2, 4, 4, salt=3)  # (batch, the other axis, heads, target, source)
    out = one.apply(params, x, x, attention_bias=bias)[0]
    for i in range(3):
        close(out[:, i], flat.apply(params, x[:, i], x[:, i], attention_bias=bias[:, i])[0])
