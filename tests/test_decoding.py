"""What rows cannot hold of attention: rotary positions, decoding with a cache, masks by hand, dropout."""

from __future__ import annotations

import importlib
import math

import numpy as np
import pytest
from backends import BACKENDS, COMPILING, TRAINING
from keras_rows import normal

import kfunc as kf
from kfunc import nn

EPS = float(np.finfo(np.float32).eps)


def close(got, want, n=64):
    """Within `8 eps sqrt(n)` at the scale of `want`; `n` is the longest sum, of the widest layer here by default."""
    got = kf.to_numpy(got)
    assert got.shape == want.shape
    scale = max(1.0, np.abs(want).max(initial=0))
    np.testing.assert_allclose(got, want, rtol=0, atol=8 * EPS * math.sqrt(n) * scale)


# -- rotary positions --------------------------------------------------------------------------------------------------


def turned(x, positions, wavelength=10000, scaling=1.0, sign=1, part=1, interleaved=False, rates=None):
    """(batch, time, heads, features) as complex numbers that are turned, in float64."""
    half = int(x.shape[-1] * part) // 2
    first = slice(0, 2 * half, 2) if interleaved else slice(0, half)
    second = slice(1, 2 * half, 2) if interleaved else slice(half, 2 * half)
    z = x[..., first].astype(np.float64) + 1j * x[..., second]
    rates = wavelength ** (-np.arange(half) / half) / scaling if rates is None else rates
    z = z * np.exp(sign * 1j * np.asarray(positions, np.float64)[..., None] * rates)[..., None, :]
    out = x.astype(np.float64)
    out[..., first], out[..., second] = z.real, z.imag
    return out


X = normal(2, 5, 3, 8)
TIMES = np.array([[0, 3, 4, 90, 7], [2, 2, 1, 0, 60]], np.int32)

ROTARY = {
    "plain": (nn.RotaryEmbedding(), {}, np.arange(5), {}),
    "scaled": (nn.RotaryEmbedding(100, scaling_factor=4), {}, np.arange(5), {"wavelength": 100, "scaling": 4}),
    "start": (nn.RotaryEmbedding(), {"start_index": 11}, np.arange(5) + 11, {}),
    "starts": (
        nn.RotaryEmbedding(),
        {"start_index": np.array([3, 70], np.int32)},
        np.arange(5) + np.array([[3], [70]]),
        {},
    ),
    "positions": (nn.RotaryEmbedding(), {"positions": TIMES}, TIMES, {}),
    "part": (nn.RotaryEmbedding(partial_rotary_factor=0.5), {"positions": TIMES}, TIMES, {"part": 0.5}),
    "interleaved": (nn.RotaryEmbedding(interleaved=True), {}, np.arange(5), {"interleaved": True}),
    "part, interleaved": (
        nn.RotaryEmbedding(interleaved=True, partial_rotary_factor=0.75),
        {"positions": TIMES[0]},
        TIMES[0],
        {"interleaved": True, "part": 0.75},
    ),
}


@pytest.mark.parametrize("case", ROTARY)
@pytest.mark.parametrize("name", BACKENDS)
def test_rotary(name, case):
    layer, options, positions, formula = ROTARY[case]
    x, options = kf.to_backend((X, options), name)
    out, _ = layer.apply({}, x, **options)
    # An angle is a product of float32 numbers up to 100, so sums of two terms come from numbers that are 100 eps off.
    close(out, turned(X, positions, **formula), n=2 * 100**2)


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 1, 2), (0, 2, 3, 1)], ids=str)
def test_rotary_on_other_axes(order):
    axes = {"sequence_axis": order.index(1), "feature_axis": order.index(3) - 4}
    for options, positions in (({}, np.arange(5)), ({"positions": TIMES}, TIMES)):
        for kind in ({}, {"interleaved": True}):
            out, _ = nn.RotaryEmbedding(**axes, **kind).apply({}, np.transpose(X, order), **options)
            close(out, np.transpose(turned(X, positions, **kind), order), n=2 * 100**2)


def test_rotary_of_several_arrays():
    layer, one = nn.RotaryEmbedding(), normal(2, 5, 1, 8)
    for options in ({}, {"positions": TIMES}):
        got, _ = layer.apply({}, [X, one], **options)
        for x, y in zip((X, one), got, strict=True):
            np.testing.assert_array_equal(y, layer.apply({}, x, **options)[0])
    for other in (normal(2, 4, 3, 8), normal(2, 5, 3, 6)):
        with pytest.raises(kf.errors.ShapeError, match="differ in time or features"):
            layer.init(0, [X, other])
    with pytest.raises(kf.errors.ArgumentError):
        layer.init(0, [])


@pytest.mark.parametrize("kind", [{}, {"interleaved": True, "partial_rotary_factor": 0.5}], ids=["halves", "pairs"])
@pytest.mark.parametrize("name", TRAINING)
def test_gradients_turn_back(name, kind):
    x, w = kf.to_backend((X, normal(*X.shape, salt=1)), name)

    @kf.arrays.native
    def weighted(y, w):
        return kf.namespace(y).sum(y * w)

    gradient = kf.grad(lambda x: weighted(nn.RotaryEmbedding(**kind).apply({}, x)[0], w))(x)
    kind = {"interleaved": True, "part": 0.5} if kind else {}
    close(gradient, turned(kf.to_numpy(w), np.arange(5), sign=-1, **kind), n=2 * 100**2)


LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
FACTORS = {"short_factor": [1.0, 1.1, 1.3, 2.0], "long_factor": [1.0, 2.0, 4.0, 9.0]}
SCALINGS = {
    "linear": {"rope_type": "linear", "factor": 4.0},
    "dynamic": {"rope_type": "dynamic", "factor": 3.0},
    "llama3": {"rope_type": "llama3", "factor": 8.0, **LLAMA3},
    "yarn": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64},
    "yarn, all": {
        "rope_type": "yarn",
        "factor": 4.0,
        "original_max_position_embeddings": 64,
        **{"beta_fast": 8.0, "beta_slow": 2.0, "mscale": 0.7, "mscale_all_dim": 0.3, "truncate": False},
    },
    "yarn, factor": {
        "rope_type": "yarn",
        "factor": 4.0,
        "original_max_position_embeddings": 64,
        "attention_factor": 1.3,
    },
    "longrope": {"rope_type": "longrope", "original_max_position_embeddings": 64, **FACTORS},
    "longrope, factor": {
        "rope_type": "longrope",
        "factor": 2.0,
        "original_max_position_embeddings": 64,
        "attention_factor": 1.2,
        **FACTORS,
    },
}


@pytest.mark.parametrize("kind", SCALINGS)
@pytest.mark.parametrize("name", BACKENDS)
def test_scalings_are_those_of_transformers(name, kind):
    """Lengths within and beyond the one of training, which `positions`, `start_index` and the sizes say."""
    torch, llama = importlib.import_module("torch"), importlib.import_module("transformers.models.llama")
    config = llama.LlamaConfig(
        hidden_size=24, num_attention_heads=3, max_position_embeddings=64, rope_parameters={**SCALINGS[kind]}
    )
    more = {"max_position_embeddings": 64} if kind in ("dynamic", "longrope") else {}
    layer = nn.RotaryEmbedding(scaling={**SCALINGS[kind], **more})
    for first in (0, 200):
        theirs = llama.modeling_llama.LlamaRotaryEmbedding(config)
        positions = torch.arange(5)[None] + first
        cos, sin = theirs(torch.tensor(X), positions)
        x = torch.tensor(X)
        want, _ = llama.modeling_llama.apply_rotary_pos_emb(x, x, cos, sin, unsqueeze_dim=2)
        x, places, start = kf.to_backend((X, positions[0].numpy().astype(np.int32), np.int32(first)), name)
        for options in ({"positions": places}, {"start_index": start}, {"start_index": first}):
            # Both sides compute angles up to 204 in float32.
            close(layer.apply({}, x, **options)[0], want.numpy(), n=8 * 204**2)


def test_scalings_in_files(tmp_path):
    scaling = {**SCALINGS["longrope, factor"], "truncate": None}
    net = kf.Model(nn.Sequential([nn.RotaryEmbedding(scaling=scaling, interleaved=True, partial_rotary_factor=1.0)]))
    net(X)
    net.save(tmp_path / "net.kf")
    again = kf.Model.load(tmp_path / "net.kf")
    assert again.net.layers[0].scaling == net.net.layers[0].scaling
    np.testing.assert_array_equal(again(X), net(X))


def test_rotary_keeps_half_precision():
    ml_dtypes = pytest.importorskip("ml_dtypes")
    x = X.astype(ml_dtypes.bfloat16)
    out, _ = nn.RotaryEmbedding().apply({}, x, start_index=1000)
    assert out.dtype == x.dtype
    want = turned(x.astype(np.float32), np.arange(5) + 1000)
    # One rounding to bfloat16, and angles of 1000 in float32.
    np.testing.assert_allclose(out.astype(np.float64), want, rtol=2**-8, atol=8 * 1000 * EPS)


@pytest.mark.parametrize(
    ("layer", "x", "argument"),
    [
        (nn.RotaryEmbedding(), normal(2, 3, 5), "x"),
        (nn.RotaryEmbedding(sequence_axis=3), normal(2, 3, 6), "x"),
        (nn.RotaryEmbedding(sequence_axis=2), normal(2, 3, 6), "x"),
    ],
)
def test_rotary_refuses(layer, x, argument):
    with pytest.raises(kf.errors.ShapeError) as caught:
        layer.init(0, x)
    assert caught.value.argument == argument


# -- decoding ----------------------------------------------------------------------------------------------------------

LAYERS = {
    "heads": nn.MultiHeadAttention(2, 4),
    "everything": nn.MultiHeadAttention(
        2, 4, 3, use_bias=False, output_shape=5, sliding_window=3, use_gate=True, rotary=nn.RotaryEmbedding()
    ),
    "groups": nn.GroupQueryAttention(4, 4, 2, rotary=nn.RotaryEmbedding()),
}
TOKENS = normal(2, 7, 6)
CHUNKS = ((0, 3), (3, 4), (4, 5), (5, 7))


def weights(layer):
    """Parameters of which none is zero, and the output of all tokens at once."""
    params, _ = layer.init(0, TOKENS, TOKENS)
    params = kf.tree.map(lambda x: x + normal(*x.shape) * np.float32(0.2), params)
    return params, layer.apply(params, TOKENS, TOKENS, use_causal_mask=True)[0]


def decoded(step, name, params, cache, chunks=CHUNKS):
    """The outputs for chunks of the tokens on backend `name`, and the last cache."""
    out, params = [], kf.to_backend(params, name)
    for start, end in chunks:
        y, cache = step(params, kf.to_backend(TOKENS[:, start:end], name), cache)
        out.append(kf.to_numpy(y))
    return np.concatenate(out, axis=1), cache


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("name", BACKENDS)
def test_step_by_step_is_all_at_once(name, kind):
    layer = LAYERS[kind]
    params, want = weights(layer)

    def step(params, x, cache):
        return layer.apply(params, x, x, cache=cache)[0]

    cache = layer.init_cache(2, 8, backend=name)
    assert kf.backend_of(cache).name == name
    run = kf.jit(step, constant_argnums=(0,)) if name in ("jax", "tensorflow", "openvino") else step
    got, cache = decoded(run, name, params, cache)
    close(got, want)
    assert int(kf.to_numpy(cache.index)) == 7


@pytest.mark.parametrize("name", COMPILING)
def test_one_program_for_all_positions(name):
    layer = LAYERS["groups"]
    params, want = weights(layer)
    programs = []

    def step(params, x, cache):
        if name != "torch":  # where Dynamo repeats the side effect at every call
            programs.append(x.shape)
        return layer.apply(params, x, x, cache=cache)[0]

    singles = [(i, i + 1) for i in range(7)]
    cache = layer.init_cache(2, 7, backend=name)
    if name == "torch":
        torch = importlib.import_module("torch")

        def compiler(graph, inputs):
            programs.append(graph)
            return graph

        for _ in range(2):  # the first time, kfunc's memory of dtypes grows, on which Dynamo guards
            torch.compiler.reset()
            programs.clear()
            run = torch.compile(step, backend=compiler, fullgraph=True, dynamic=False)
            got, _ = decoded(run, name, params, cache, singles)
    else:
        got, _ = decoded(kf.jit(step, constant_argnums=(0,)), name, params, cache, singles)
    close(got, want)
    assert len(programs) == 1


@pytest.mark.parametrize("name", BACKENDS)
def test_past_the_end_there_is_nothing(name):
    layer = LAYERS["groups"]
    params, want = weights(layer)

    def step(params, x, cache):
        return layer.apply(params, x, x, cache=cache)[0]

    got, _ = decoded(step, name, params, layer.init_cache(2, 5, backend=name), ((0, 4), (4, 6)))
    close(got[:, :4], want[:, :4])
    assert np.isnan(got[:, 4:]).all()


def test_masks_are_of_the_whole_cache():
    """Padding before the tokens that is masked away, as sources, changes nothing but positions."""
    layer = nn.MultiHeadAttention(2, 4)
    params, want = weights(layer)
    padded = np.concatenate([normal(2, 2, 6, salt=5), TOKENS], axis=1)
    seen = np.arange(10)[None, :] >= np.array([[2], [2]])
    got = []
    cache = layer.init_cache(2, 10)
    for start, end in ((0, 5), (5, 9)):
        x = padded[:, start:end]
        (y, cache), _ = layer.apply(params, x, x, cache=cache, value_mask=seen)
        got.append(y)
    close(np.concatenate(got, axis=1)[:, 2:], want)
    with pytest.raises(kf.errors.ShapeError, match="whole cache"):
        layer.apply(params, padded[:, :1], padded[:, :1], cache=cache, value_mask=seen[:, :1])


def test_scores_with_a_cache():
    layer = LAYERS["heads"]
    params, _ = weights(layer)
    _, want = layer.apply(params, TOKENS, TOKENS, use_causal_mask=True, return_attention_scores=True)[0]
    (_, scores, cache), _ = layer.apply(
        params, TOKENS, TOKENS, cache=layer.init_cache(2, 9), return_attention_scores=True
    )
    close(scores, np.pad(want, [(0, 0), (0, 0), (0, 0), (0, 2)]))
    assert cache.key.shape == (2, 9, 2, 4)


@nn.layer
class Block(nn.Layer):
    attention: nn.Layer
    dense: nn.Layer

    def forward(self, s, x, cache=None):
        if cache is None:
            y = self.attention(s, x, x, use_causal_mask=True)
        else:
            y, cache = self.attention(s, x, x, cache=cache)
        return x + self.dense(s, y), cache


@nn.layer
class Decoder(nn.Layer):
    blocks: tuple[nn.Layer, ...]

    def forward(self, s, x, caches=(None, None)):
        new = []
        for block, cache in zip(self.blocks, caches, strict=True):
            x, cache = block(s, x, cache)
            new.append(cache)
        return x, new


@pytest.mark.parametrize("dtype", [None, "mixed_bfloat16"])
def test_a_network_threads_its_caches(dtype):
    net = Decoder([Block(LAYERS[kind], nn.Dense(6)) for kind in ("heads", "groups")], dtype=dtype)
    compute = "bfloat16" if dtype else "float32"
    params, _ = net.init(0, TOKENS, backend="jax")
    tokens = kf.to_backend(TOKENS, "jax")
    want = net.apply(params, tokens)[0][0]
    traces = []

    @kf.jit
    def step(params, x, caches):
        traces.append(x.shape)
        return net.apply(params, x, caches)[0]

    caches = [block.attention.init_cache(2, 7, compute, backend="jax") for block in net.blocks]
    got, caches = decoded(step, "jax", params, caches, ((0, 3), (3, 4), (4, 5), (5, 6), (6, 7)))
    assert len(traces) == 2
    assert {kf.arrays.dtype_name(c.key.dtype) for c in caches} == {compute}
    # A few roundings of bfloat16, of 8 bits.
    difference = np.abs(got.astype(np.float64) - kf.to_numpy(want).astype(np.float64)).max()
    assert difference < (8 * 2**-8 * 8 if dtype else 8 * EPS * 8) * np.abs(got.astype(np.float64)).max()


def test_the_length_of_a_chunk_may_be_unknown():
    layer = LAYERS["everything"]
    x = kf.Spec((None, None, 6), "float32")
    for rolling, slots in ((False, 8), (True, 2)):
        cache = layer.init_cache(2, 8, rolling=rolling)
        (out, new) = layer.trace(x, x, cache=cache).outputs[-1][2]
        assert out.shape == (2, None, 5) or out.shape == (None, None, 5)
        assert new.key.shape == (2, slots, 2, 4)
        assert new.index.shape == ()


def test_init_cache():
    cache = nn.GroupQueryAttention(3, 4, 2, dtype="mixed_float16").init_cache(2, 5)
    assert (cache.key.shape, cache.value.shape, cache.key.dtype) == ((2, 5, 2, 3), (2, 5, 2, 3), np.float16)
    assert cache.index.dtype == np.int32
    cache = nn.MultiHeadAttention(3, 4, value_dim=2).init_cache(2, 5, "float32", "torch")
    assert cache.value.shape == (2, 5, 3, 2)
    with pytest.raises(kf.errors.ArgumentError):
        nn.MultiHeadAttention(3, 4).init_cache(2, 0)


@pytest.mark.parametrize("sizes", [(3, 9), (2, 6)], ids=["batch", "length"])
def test_a_cache_that_does_not_fit(sizes):
    layer = LAYERS["heads"]
    params, _ = weights(layer)
    with pytest.raises(kf.errors.ShapeError) as caught:
        layer.apply(params, TOKENS, TOKENS, cache=layer.init_cache(*sizes))
    assert caught.value.argument == "cache"
    with pytest.raises(kf.errors.ShapeError):
        nn.GroupQueryAttention(4, 2, 1).init(0, TOKENS, TOKENS, cache=layer.init_cache(2, 9))


# -- masks, axes, losses -----------------------------------------------------------------------------------------------

BOTH = [nn.MultiHeadAttention(4, 3), nn.GroupQueryAttention(3, 4, 2)]
SEEN = np.array([[True, True, False, True, True, True, False], [True] * 7])


@pytest.mark.parametrize("layer", BOTH)
def test_a_mask_of_the_query(layer):
    params, _ = weights(layer)
    one = layer.apply(params, TOKENS, TOKENS, query_mask=SEEN, return_attention_scores=True, aux=True)
    two = layer.apply(params, TOKENS, TOKENS, attention_mask=SEEN[:, :, None], return_attention_scores=True, aux=True)
    for a, b in zip(one[0], two[0], strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(one[2].mask, SEEN)
    assert two[2].mask is None
    np.testing.assert_allclose(one[0][1][0, :, 2], 1 / 7, rtol=4 * EPS)  # a target that sees nothing sees all
    x = nn.Input((7,), dtype="int32")
    embedded = nn.Embedding(5, 6, mask_zero=True)(x)
    net = nn.Graph(x, layer(embedded, embedded))
    ids = SEEN.astype(np.int32) * 3
    params, state = net.init(0, ids)
    _, _, aux = net.apply(params, ids, state=state, aux=True)
    np.testing.assert_array_equal(aux.mask, SEEN)


def test_numbers_are_masks_too():
    layer = BOTH[0]
    params, _ = weights(layer)
    a, _ = layer.apply(params, TOKENS, TOKENS, value_mask=SEEN)
    b, _ = layer.apply(params, TOKENS, TOKENS, value_mask=SEEN.astype(np.float32))
    np.testing.assert_array_equal(a, b)


def test_attention_beside_other_axes_is_one_for_each_of_their_indices():
    x, y = normal(2, 4, 3, 2, 6), normal(2, 5, 3, 2, 6)
    layer, plain = (
        nn.MultiHeadAttention(2, 4, attention_axes=axes, rotary=nn.RotaryEmbedding(), sliding_window=3)
        for axes in (1, None)
    )
    params, _ = layer.init(0, x, y)
    seen = np.arange(2 * 3 * 2 * 4 * 5).reshape(2, 3, 2, 4, 5) % 3 > 0
    masks = {"query_mask": x[..., 0] > -1, "value_mask": y[..., 0] > -1, "key_mask": y[..., 1] > -1}
    more = {"use_causal_mask": True, "return_attention_scores": True}
    out, scores = layer.apply(params, x, y, attention_mask=seen, **masks, **more)[0]
    assert scores.shape == (2, 3, 2, 2, 4, 5)
    for i, j in np.ndindex(3, 2):
        each = {name: mask[:, :, i, j] for name, mask in masks.items()}
        want = plain.apply(params, x[:, :, i, j], y[:, :, i, j], attention_mask=seen[:, i, j], **each, **more)[0]
        close(out[:, :, i, j], want[0])
        close(scores[:, i, j], want[1])
    # Masks without the other axes hold for all of them.
    out, _ = layer.apply(params, x, y, attention_mask=seen[:, 0, 0])
    close(out[:, :, 2, 1], plain.apply(params, x[:, :, 2, 1], y[:, :, 2, 1], attention_mask=seen[:, 0, 0])[0])


def test_activity_is_that_of_each_projection():
    layer = nn.GroupQueryAttention(3, 4, 2, use_gate=True, activity_regularizer="l2")
    params, _ = weights(layer)
    out, _, aux = layer.apply(params, TOKENS, TOKENS, aux=True)
    want = 0.01 * (out.astype(np.float64) ** 2).sum() / 2
    for name in ("query", "key", "value", "gate"):
        y = np.einsum("btd,dhe->bthe", TOKENS.astype(np.float64), params[name]["kernel"]) + params[name]["bias"]
        y = 1 / (1 + np.exp(-y)) if name == "gate" else y
        want += 0.01 * (y**2).sum() / 2
    close(np.asarray(sum(aux.losses.values())), np.asarray(want), n=2 * 7 * 12)


@pytest.mark.parametrize("layer", [nn.Attention(dropout=0.5), nn.AdditiveAttention(dropout=0.5)])
def test_dropout_of_weights(layer):
    x, identity = TOKENS, np.broadcast_to(np.eye(7, 6, dtype=np.float32), (2, 7, 6))
    params, _ = layer.init(0, [x, x])
    whole, _ = layer.apply(params, [x, identity, x])
    got, _ = layer.apply(params, [x, identity, x], train=True, key=0)
    dropped = got == 0
    assert 0.25 < dropped.mean() < 0.75  # of 84: by chance alone, once in a hundred thousand
    close(got, np.where(dropped, 0, 2 * whole))


@pytest.mark.parametrize("layer", [nn.MultiHeadAttention(1, 6, dropout=0.5), nn.GroupQueryAttention(6, 2, 1, 0.5)])
def test_dropout_of_weights_in_heads(layer):
    """The values and the output are the identity here, so the output is the weights that are left."""
    x, identity = TOKENS, np.broadcast_to(np.eye(7, 6, dtype=np.float32), (2, 7, 6))
    params, _ = weights(layer)
    heads = params["query"]["kernel"].shape[1]
    one = np.eye(6, dtype=np.float32)
    params["value"] = {"kernel": one[:, None, :], "bias": np.zeros((1, 6), np.float32)}
    last = np.zeros((heads, 6, 6), np.float32)
    last[0] = one
    params["attention_output"] = {"kernel": last, "bias": np.zeros(6, np.float32)}
    whole, _ = layer.apply(params, x, identity, x)
    got, _ = layer.apply(params, x, identity, x, train=True, key=0)
    dropped = got == 0
    assert 0.25 < dropped.mean() < 0.75
    close(got, np.where(dropped, 0, 2 * whole))
    seeded = [type(layer)(*([1, 6] if heads == 1 else [6, 2, 1]), dropout=0.5, seed=seed) for seed in (1, 1, 2)]
    a, b, c = (other.apply(params, x, identity, x, train=True, key=0)[0] for other in seeded)
    np.testing.assert_array_equal(a, b)
    assert (a != c).any()


@pytest.mark.parametrize(
    ("layer", "args", "argument"),
    [
        (BOTH[0], (TOKENS[0], TOKENS), "query"),
        (BOTH[0], (TOKENS, TOKENS[0]), "value"),
        (BOTH[0], (TOKENS, TOKENS, TOKENS[:, :3]), "key"),
        (BOTH[1], (TOKENS[:, None], TOKENS[:, None]), "query"),
        (nn.MultiHeadAttention(2, 3, attention_axes=2), (TOKENS, TOKENS), "attention_axes"),
        (nn.MultiHeadAttention(2, 3, attention_axes=(1, -2)), (TOKENS, TOKENS), "attention_axes"),
        (nn.MultiHeadAttention(2, 3, attention_axes=2), (normal(2, 3, 4, 6), normal(2, 4, 4, 6)), "value"),
        (nn.Attention(), ([TOKENS, TOKENS[0]],), "value"),
    ],
)
def test_inputs_that_do_not_fit(layer, args, argument):
    with pytest.raises(kf.errors.ShapeError) as caught:
        layer.init(0, *args)
    assert caught.value.argument == argument


@pytest.mark.parametrize("inputs", [TOKENS, [TOKENS], [TOKENS] * 4])
def test_attention_is_of_two_or_three(inputs):
    with pytest.raises(kf.errors.ArgumentError) as caught:
        nn.Attention().init(0, inputs)
    assert caught.value.argument == "inputs"


def test_the_activity_is_that_of_the_output_and_not_of_scores():
    mha, x = nn.MultiHeadAttention(2, 3, activity_regularizer="l2"), np.ones((2, 4, 6), np.float32)
    params, _ = mha.init(0, x, x)
    plain, scored = (mha.apply(params, x, x, aux=True, return_attention_scores=s)[2].losses for s in (False, True))
    assert plain.keys() == scored.keys()
