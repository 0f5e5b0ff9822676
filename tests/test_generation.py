"""`kf.generate`, beside `transformers`' `generate`, and beside the whole sequence computed anew for each token."""

from __future__ import annotations

import functools
import gc
import weakref
import zlib
from typing import Any

import numpy as np
import pytest
from backends import BACKENDS, params

import kfunc as kf
from kfunc import generation, nn, ops

# -- networks of one's own ---------------------------------------------------------------------------------------------


@nn.layer
class Attended(nn.Layer):
    attention: nn.Layer

    def forward(self, s, x, mask, positions, cache):
        y = self.attention(s, x, x, value_mask=mask, positions=positions, cache=cache, use_causal_mask=cache is None)
        y, cache = (y, None) if cache is None else y
        return x + y, cache


@nn.layer
class SmallDecoder(nn.Layer):
    """The smallest network that `generate` takes."""

    traces = [0]

    embed: nn.Layer
    blocks: tuple[nn.Layer, ...]

    def forward(self, s, ids, mask=None, caches=None, positions=None):
        self.traces[0] += 1
        x, new = self.embed(s, ids), []
        for i, block in enumerate(self.blocks):
            x, cache = block(s, x, mask, positions, None if caches is None else caches[i])
            new.append(cache)
        logits = self.embed(s, x, reverse=True)
        return logits if caches is None else (logits, new)

    def init_caches(self, batch, length, **where):
        return [block.attention.init_cache(batch, length, **where) for block in self.blocks]


@nn.layer
class TokenPlain(SmallDecoder):
    """One whose prompts cannot be filled up."""

    def forward(self, s, ids, caches=None):
        return super().forward(s, ids, None, caches)


@nn.layer
class TokenTranslator(nn.Layer):
    """An encoder-decoder, whose caches hold what is needed of the encoder."""

    eos_token_id = 3
    decoder_start_token_id = 1

    embed: nn.Layer
    block: nn.Layer
    crossing: nn.Layer

    def forward(self, s, inputs, ids, mask=None, caches=None, positions=None):
        memory = None if inputs is not None else caches["memory"]
        if inputs is not None:
            x = self.embed(s, inputs)
            x = x if mask is None else x * ops.expand_dims(ops.cast(mask, x.dtype), -1)
            memory = self.crossing.keys_and_values(s, x)
        x, cache = self.block(s, self.embed(s, ids), None, positions, None if caches is None else caches["past"])
        logits = self.embed(s, x + self.crossing(s, x, memory=memory), reverse=True)
        return logits if caches is None else (logits, {"past": cache, "memory": memory})

    def init_caches(self, batch, length, **where):
        return {"past": self.block.attention.init_cache(batch, length, **where), "memory": None}


VOCABULARY = 23


def attention(window=None):
    return nn.MultiHeadAttention(2, 4, sliding_window=window, rotary=nn.RotaryEmbedding())


@functools.cache
def network(kind="decoder"):
    """A network and its parameters, so large that each token depends on those before."""
    embed = nn.ReversibleEmbedding(VOCABULARY, 8, tie_weights=False)
    if kind == "translator":
        net = TokenTranslator(embed, Attended(attention()), nn.MultiHeadAttention(2, 4))
        samples = (kf.Spec((1, 3), "int32"),) * 2
    else:
        blocks = tuple(Attended(attention(5 if kind == "window" else None)) for _ in range(2))
        net, samples = (TokenPlain if kind == "plain" else SmallDecoder)(embed, blocks), (kf.Spec((1, 3), "int32"),)
    rng = np.random.default_rng(1)
    return net, kf.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), net.init(0, *samples)[0])


IDS = np.array([[4, 9, 2, 6, 1], [7, 5, 2, 5, 8]])
MASK = np.array([[False, False, True, True, True], [True] * 5])


def slow(kind, ids, n, mask=None, inputs=None):
    """The likeliest tokens, where all is computed anew for each token."""
    net, weights = network(kind)
    out = ids
    for _ in range(n):
        given = {}
        if mask is not None:
            mask_now = np.pad(mask, ((0, 0), (0, out.shape[1] - mask.shape[1])), constant_values=True)
            given = {"mask": mask_now, "positions": np.maximum(np.cumsum(mask_now, 1) - 1, 0)}
        logits = net.apply(weights, *([] if inputs is None else [inputs]), out, **given)[0]
        out = np.concatenate([out, logits[:, -1].argmax(-1)[:, None]], axis=1)
    return out[:, ids.shape[1] :]


def tokens(name, kind, ids, n, **options):
    net, weights = network(kind)
    out = kf.generate(net, kf.to_backend(weights, name), ids, n, **options)
    assert kf.backend_of(out).name == name
    out = kf.to_numpy(out)
    assert out.dtype == np.int32
    return out


SLOW: dict[str, tuple[str, dict[str, Any]]] = {
    "decoder": ("decoder", {}),
    "padded": ("decoder", {"mask": MASK}),
    "plain": ("plain", {}),
    "window": ("window", {}),
    "window padded": ("window", {"mask": MASK}),
    "translator": ("translator", {"stop": ()}),
}


def two(case):
    """NumPy and another backend, by a fixed hash."""
    return ("numpy", ("torch", "jax", "tensorflow", "openvino", "array_api_strict")[zlib.crc32(case.encode()) % 5])


ROWS = [p for case in SLOW for p in (pytest.param(n, case, marks=getattr(pytest.mark, n)) for n in two(case))]


@pytest.mark.parametrize(("name", "case"), ROWS)
def test_tokens_are_those_of_whole_sequences(name, case):
    kind, options = SLOW[case]
    if kind == "translator":
        want = slow(kind, np.ones((2, 1), int), 9, inputs=IDS)
    else:
        want = slow(kind, IDS, 9, options.get("mask"))
    assert len(np.unique(want)) > 3
    np.testing.assert_array_equal(tokens(name, kind, IDS, 9, **options), want)


# -- the same everywhere -----------------------------------------------------------------------------------------------

ALL = {"temperature": 6.0, "top_k": 12, "top_p": 0.97, "min_p": 0.001, "repetition_penalty": 1.2}


@pytest.mark.parametrize("name", BACKENDS)
def test_one_key_gives_the_same_tokens_on_every_backend(name):
    want = tokens("numpy", "decoder", IDS, 8, mask=MASK, key=3, **ALL)
    assert len(np.unique(want)) > 5
    assert (want != tokens("numpy", "decoder", IDS, 8, mask=MASK, key=4, **ALL)).any()
    if name != "numpy":
        np.testing.assert_array_equal(tokens(name, "decoder", IDS, 8, mask=MASK, key=kf.random.key(3), **ALL), want)


@pytest.mark.parametrize("name", params(("numpy", "torch", "jax")))
def test_programs_are_kept_and_serve_longer_prompts(name):
    """One program for the prompt and one for the tokens, also for other prompts, numbers of tokens and options."""
    net, weights = network()
    weights, options = kf.to_backend(weights, name), {"key": 1, "stop": [0], "temperature": 1.0}
    net = kf.replace(net)
    for _ in range(2):  # a recording is made at the second call
        kf.generate(net, weights, IDS, 6, **options)
    SmallDecoder.traces[0] = 0
    kf.generate(
        net, weights, IDS[:, :4] if kf.backends.get(name).compiles else IDS, 6, **options | {"temperature": 0.5}
    )
    kf.generate(net, weights, IDS, 6, **options | {"key": 9, "stop": [1], "pad_token_id": 2})
    assert SmallDecoder.traces[0] == 0


def test_programs_go_with_their_network():
    net, weights = network()
    net = kf.replace(net)
    kf.generate(net, weights, IDS, 4)
    kept = weakref.ref(net)
    del net
    gc.collect()
    assert kept() is None


# -- stops, streams, samplers of one's own -----------------------------------------------------------------------------


@nn.layer
class OfTheLastOnly(SmallDecoder):
    asked = []

    def forward(self, s, ids, mask=None, caches=None, positions=None, last_only=False):
        self.asked.append(last_only)
        out = super().forward(s, ids, mask, caches, positions)
        return (out[0][:, -1:, ...], out[1]) if last_only else out


@pytest.mark.numpy
def test_only_the_last_logits_of_a_prompt_are_computed():
    net, weights = network()
    other = OfTheLastOnly(net.embed, net.blocks)
    np.testing.assert_array_equal(kf.generate(other, weights, IDS, 4), kf.generate(net, weights, IDS, 4))
    assert OfTheLastOnly.asked[0] is False and all(OfTheLastOnly.asked[1:])  # the first one asks for the vocabulary
    for net in (
        kf.models.Llama(9, 8, 8, num_hidden_layers=1, num_attention_heads=2),
        kf.models.GPT2(9, n_positions=8, n_embd=8, n_layer=1, n_head=2),
    ):
        weights, _ = net.init(0, IDS % 9)
        logits, last = (net.apply(weights, IDS % 9, last_only=only)[0] for only in (False, True))
        # Sums of 8 products, perhaps in another order.
        np.testing.assert_allclose(last, logits[:, -1:], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", params(("numpy", "torch", "jax")))
def test_rows_end_and_are_filled_up(name):
    free = tokens("numpy", "decoder", IDS, 30)
    stops = [int(free[0, 2]), int(free[1, 6])]
    want = free.copy()
    for row in want:
        row[int(np.argmax(np.isin(row, stops))) + 1 :] = 21
    assert (want[:, -1] == 21).all()
    seen = []
    got = tokens(name, "decoder", IDS, 30, stop=stops, pad_token_id=21, stream=lambda t: seen.append(np.array(t)))
    np.testing.assert_array_equal(got, want)
    ends = int((want != 21).any(axis=0).sum())
    assert ends < 30
    assert len(seen) == ends  # it stops where all rows have ended
    np.testing.assert_array_equal(np.stack(seen, axis=1), want[:, :ends])
    np.testing.assert_array_equal(tokens(name, "decoder", IDS, 30, stop=stops, pad_token_id=21), want)


def test_a_sampler_of_ones_own():
    def second(key, logits):
        return ops.top_k(logits, 2)[1][:, 1]

    net, weights = network()
    got = kf.to_numpy(kf.generate(net, weights, IDS, 1, sample=second))[:, 0]
    logits = net.apply(weights, IDS)[0][:, -1]
    np.testing.assert_array_equal(got, np.argsort(-logits, axis=-1)[:, 1])


def test_tokens_that_are_never_made():
    free = tokens("numpy", "decoder", IDS, 12)
    first, common = sorted({*free[:, 0].tolist()}), int(np.bincount(free.ravel()).argmax())
    got = tokens("numpy", "decoder", IDS, 12, suppress_tokens=[common], begin_suppress_tokens=first)
    assert common not in got
    assert not set(first) & set(got[:, 0].tolist())


@pytest.mark.parametrize("name", params(("numpy", "torch", "jax")))
def test_nothing_is_made_of_nothing(name):
    assert tokens(name, "decoder", IDS, 0).shape == (2, 0)
    assert tokens(name, "decoder", IDS[:0], 3).shape == (0, 3)


def test_what_temperature_zero_means():
    want = tokens("numpy", "decoder", IDS, 5)
    np.testing.assert_array_equal(tokens("numpy", "decoder", IDS, 5, key=1, temperature=0), want)
    np.testing.assert_array_equal(tokens("numpy", "decoder", IDS, 5, temperature=0), want)
    np.testing.assert_array_equal(tokens("numpy", "decoder", IDS, 5, key=1, top_k=1), want)


# -- beside transformers -----------------------------------------------------------------------------------------------


@functools.cache
def _pair(tmp):
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(3)
    config = GPT2Config(vocab_size=31, n_positions=32, n_embd=16, n_layer=2, n_head=2, initializer_range=0.6)
    config.bos_token_id = config.eos_token_id = config.pad_token_id = None
    theirs = GPT2LMHeadModel(config).eval()
    theirs.save_pretrained(tmp)
    net, weights, _ = kf.models.load(tmp)
    return theirs, net, weights


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return _pair(tmp_path_factory.mktemp("gpt2"))


THEIRS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "padded": {"mask": MASK},
    "stop": {"stop": 7},
    "stops": {"stop": [7, 20], "mask": MASK},
    "repetition": {"repetition_penalty": 1.7},
    "beams": {"num_beams": 3},
    "beams padded": {"num_beams": 4, "mask": MASK},
    "beams stop": {"num_beams": 3, "stop": 7},
    "beams stops": {"num_beams": 3, "stop": [7, 20, 4], "length_penalty": 2.0},
    "beams short": {"num_beams": 3, "stop": [7, 20, 4], "length_penalty": -1.5},
    "beams early": {"num_beams": 3, "stop": [7, 20, 4], "early_stopping": True},
    "beams never": {"num_beams": 3, "stop": [7, 20, 4], "early_stopping": "never", "length_penalty": 0.5},
    "beams repetition": {"num_beams": 2, "repetition_penalty": 1.7},
}
_PAIRS = [(n, case) for case in THEIRS for n in ("numpy", *(("torch",) if zlib.crc32(case.encode()) % 2 else ()))]
_PAIRS += [("jax", "beams early")]


@pytest.mark.parametrize(("name", "case"), [pytest.param(*row, marks=getattr(pytest.mark, row[0])) for row in _PAIRS])
def test_tokens_are_those_of_transformers(pair, name, case):
    import torch

    theirs, net, weights = pair
    given = dict(THEIRS[case])
    got = kf.to_numpy(kf.generate(net, kf.to_backend(weights, name), IDS, 16, pad_token_id=30, **given))
    mask, stop = torch.tensor(given.pop("mask", MASK | True)), given.pop("stop", None)
    want = theirs.generate(
        torch.tensor(IDS),
        attention_mask=mask,
        max_new_tokens=16,
        do_sample=False,
        eos_token_id=stop,
        pad_token_id=30,
        **given,
    )[:, 5:].numpy()
    want = np.pad(want, ((0, 0), (0, 16 - want.shape[1])), constant_values=30)  # theirs ends with the longest row
    np.testing.assert_array_equal(got, want)


LIMITS: dict[str, dict[str, Any]] = {
    "temperature": {"temperature": 0.6},
    "top_k": {"top_k": 4},
    "top_p": {"top_p": 0.7},
    "top_p of one": {"top_p": 0.0001},
    "min_p": {"min_p": 0.2},
    "all": {"repetition_penalty": 1.4, "temperature": 1.8, "top_k": 9, "top_p": 0.8, "min_p": 0.1},
}


@pytest.mark.parametrize("case", LIMITS)
def test_probabilities_are_those_of_transformers(case):
    """What the tokens are drawn from: their processors, in their order, on the same logits."""
    import torch
    from transformers.generation import logits_process as theirs

    options = LIMITS[case]
    rng = np.random.default_rng(zlib.crc32(case.encode()))
    logits = (rng.normal(size=(6, 40)) * 3).astype(np.float32)
    before = rng.integers(0, 40, (6, 7))
    seen = np.zeros((6, 40), bool)
    np.put_along_axis(seen, before, True, axis=1)
    values = {k: np.float32(v) for k, v in options.items() if k != "top_k"}
    fixed = generation._Fixed(length=None, pad=None, **values)
    carry = generation._Carry(None, None, None, None, seen=seen)
    got = generation._processed(generation._Rules(True, options.get("top_k")), fixed, logits, carry)
    want = torch.tensor(logits)
    for name, cls in (
        ("repetition_penalty", theirs.RepetitionPenaltyLogitsProcessor),
        ("temperature", theirs.TemperatureLogitsWarper),
        ("top_k", theirs.TopKLogitsWarper),
        ("top_p", theirs.TopPLogitsWarper),
        ("min_p", theirs.MinPLogitsWarper),
    ):
        if name in options:
            want = cls(options[name])(torch.tensor(before), want)
    want = want.numpy()
    np.testing.assert_array_equal(np.isinf(got), np.isinf(want))
    assert case == "temperature" or np.isinf(want).any()
    # One division of float32 on both sides.
    np.testing.assert_allclose(got, want, rtol=2 * np.finfo(np.float32).eps)


# -- bad input ---------------------------------------------------------------------------------------------------------

A, X, S = kf.errors.ArgumentError, kf.errors.IndexingError, kf.errors.ShapeError
BAD: dict[str, tuple[type[Exception], str, dict[str, Any]]] = {
    "negative number": (A, "max_new_tokens", {"max_new_tokens": -1}),
    "no rank": (S, "ids", {"ids": np.arange(4)}),
    "floats": (S, "ids", {"ids": np.zeros((2, 3))}),
    "empty prompt": (S, "ids", {"ids": np.zeros((2, 0), int)}),
    "tokenizer": (X, "ids", {"ids": np.array([[1, VOCABULARY]])}),
    "negative token": (X, "ids", {"ids": np.array([[1, -1]])}),
    "stop": (X, "stop", {"stop": VOCABULARY}),
    "stops": (X, "stop", {"stop": [1, -2]}),
    "text": (A, "stop", {"stop": "."}),
    "pad": (X, "pad_token_id", {"pad_token_id": 99}),
    "suppressed": (A, "suppress_tokens", {"suppress_tokens": range(VOCABULARY)}),
    "mask": (S, "mask", {"mask": MASK[:, 1:]}),
    "row hidden": (A, "mask", {"mask": MASK & [[True], [False]]}),
    "right": (A, "mask", {"mask": MASK[:, ::-1]}),
    "temperature": (A, "temperature", {"temperature": -1.0, "key": 1}),
    "no key": (A, "top_k", {"top_k": 3}),
    "top_k": (A, "top_k", {"top_k": 0, "key": 1}),
    "top_p": (A, "top_p", {"top_p": 1.5, "key": 1}),
    "min_p": (A, "min_p", {"min_p": -0.1, "key": 1}),
    "penalty": (A, "repetition_penalty", {"repetition_penalty": 0.0}),
    "key": (A, "key", {"key": np.zeros(3, np.uint32)}),
    "beams": (A, "num_beams", {"num_beams": 0}),
    "beams drawn": (A, "key", {"num_beams": 2, "key": 1}),
    "beams streamed": (A, "stream", {"num_beams": 2, "stream": print}),
    "early": (A, "early_stopping", {"num_beams": 2, "early_stopping": "always"}),
    "sample": (A, "sample", {"sample": 3}),
    "no caches": (A, "net", {"net": nn.Dense(3)}),
    "no mask": (A, "mask", {"net": network("plain")[0], "mask": MASK}),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("name", params(("numpy", "torch")))
def test_bad_input(name, case):
    error, argument, given = BAD[case]
    net, weights = network()
    given = {"net": net, "ids": IDS, "max_new_tokens": 3} | given
    with pytest.raises(error) as caught:
        kf.generate(given.pop("net"), kf.to_backend(weights, name), given.pop("ids"), **given)
    assert caught.value.argument == argument


def test_more_tokens_than_positions(pair):
    _, net, weights = pair
    assert kf.generate(net, weights, IDS, 28).shape == (2, 28)  # the last one is read by nobody
    with pytest.raises(S) as caught:
        kf.generate(net, weights, IDS, 29)
    assert caught.value.argument == "max_new_tokens"
