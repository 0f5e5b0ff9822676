"""Encoder-decoders: gradients, folders of networks by hand, speech, and calls that cannot be answered."""

from __future__ import annotations

import numpy as np
import pytest
from families import FAMILIES, IDS, oracle
from sampling import one_of

import kfunc as kf
from kfunc.errors import ArgumentError, KfuncError, ShapeError
from kfunc.models import bart, t5, whisper

EPS = float(np.finfo(np.float32).eps)
MODULES = {"bart": bart, "marian": bart, "t5": t5, "t5-1.1": t5, "whisper": whisper}


@pytest.mark.parametrize("name", MODULES)
def test_gradients_are_those_of_transformers(name, tmp_path):
    """The key map names the gradients as it names the parameters."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    row, made = FAMILIES[name], oracle(name, tmp_path)
    model = getattr(transformers, row.model).from_pretrained(made.folder).eval().double()
    given = {theirs: torch.from_numpy(x) for theirs, x in row.inputs.values()}
    given = {n: x.double() if x.is_floating_point() else x.long() for n, x in given.items()}
    (model(**given).logits ** 2).mean().backward()
    net, params, state = kf.models.load(made.folder)

    def loss(params):
        logits, _ = net.apply(params, state=state, **{n: x for n, (_, x) in row.inputs.items()})
        return kf.ops.mean(logits * logits)

    grads = MODULES[name].key_map(net).save(kf.grad(loss)(params))
    theirs = {n: p.grad.numpy() for n, p in model.named_parameters() if p.grad is not None}
    theirs = {n: g for n, g in theirs.items() if n in grads}
    assert set(theirs) == set(grads)
    # Backwards, each sum over up to 27 rows of 60 terms comes through some dozen sums of up to 64 terms.
    largest = max(np.abs(g).max() for g in theirs.values())
    for n, g in theirs.items():
        np.testing.assert_allclose(grads[n], g, rtol=0, atol=12 * 8 * EPS * largest, err_msg=n)


@pytest.mark.parametrize("name", ["bart", "marian", "pegasus", "t5", "t5-1.1", "whisper"])
@pytest.mark.parametrize("beams", [1, 2])
def test_tokens_are_those_of_transformers(name, beams, tmp_path):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    row, made = FAMILIES[name], oracle(name, tmp_path)
    model = getattr(transformers, row.model).from_pretrained(made.folder).eval()
    (_, given), mask = row.inputs["inputs"], row.inputs.get("mask", (None, None))[1]
    beside = {} if mask is None else {"attention_mask": torch.from_numpy(mask).long()}
    inputs = torch.from_numpy(given) if given.dtype == np.float32 else torch.from_numpy(given).long()
    want = transformers.GenerationMixin.generate(
        model, inputs, **beside, max_new_tokens=8, do_sample=False, num_beams=beams, use_cache=False
    ).numpy()[:, 1:]
    net, params, state = kf.models.load(made.folder)
    got = kf.to_numpy(kf.generate(net, params, given, 8, mask=mask, state=state, num_beams=beams))
    got = got[:, : want.shape[1]]
    # After its end a row is filled up: by us with pad_token_id, and by their beam search with the end if that is 0.
    ended = np.cumsum(want == net.eos_token_id, axis=1) - (want == net.eos_token_id) > 0
    np.testing.assert_array_equal(got, np.where(ended, net.pad_token_id, want))


@pytest.mark.parametrize(
    "options",
    [{}, {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}, {"scale_decoder_outputs": False}],
    ids=["1.0", "1.1", "tied 1.1"],
)
def test_transformers_reads_a_network_that_was_made_by_hand(options, tmp_path):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    net = kf.models.T5(60, d_model=16, d_kv=6, d_ff=24, num_layers=2, num_heads=2, **options)
    params, state = net.init(0, *net.input_specs())
    kf.models.save(tmp_path, net, params, state)
    model = transformers.T5ForConditionalGeneration.from_pretrained(tmp_path).eval()
    ids = torch.from_numpy(IDS).long()
    want = model(input_ids=ids, decoder_input_ids=ids).logits.detach().numpy()
    for n, p in ((net, params), kf.models.load(tmp_path)[:2]):
        got, _ = n.apply(p, IDS, IDS)
        np.testing.assert_allclose(got, want, rtol=0, atol=12 * 8 * EPS * np.abs(want).max())


@pytest.mark.parametrize(
    "backend",
    [
        pytest.param(b, marks=getattr(pytest.mark, b))
        for b in ("numpy", *one_of(("torch", "jax", "tensorflow"), "speech"))
    ],
)
def test_speech_as_the_extractor_of_transformers_has_it(backend):
    """Speech that is filled up with silence, and speech that is cut; a tone 60 dB above the noise, and chirps."""
    transformers = pytest.importorskip("transformers")
    theirs = transformers.WhisperFeatureExtractor(feature_size=20, chunk_length=2)
    ours = kf.models.WhisperFeatures(20, chunk_length=2)
    t = np.arange(40000) / 16000
    noise = np.random.default_rng(0).normal(size=(2, 40000))
    speech = (0.1 * np.sin(2 * np.pi * np.array([[400 * t], [900 * t * t]])[:, 0]) + 1e-4 * noise).astype(np.float32)
    for x in (speech[:, :9000], speech):
        want = theirs._np_extract_fbank_features(np.pad(x, ((0, 0), (0, 32000)))[:, :32000].astype(np.float64), "cpu")
        got, _ = ours.apply({}, kf.asarray(x, backend=backend))
        got = kf.to_numpy(got)
        assert got.shape == want.shape == (2, 20, 200)
        # The floor is 1e-8 of the largest power, 1e-4 of its root, and a transform's error is that of its 9 levels.
        np.testing.assert_allclose(got, want, rtol=0, atol=2 * 9 * EPS / 1e-4 / np.log(10) / 4)
        np.testing.assert_allclose(10 ** (4 * got), 10 ** (4 * want), rtol=0, atol=4 * 9 * EPS * 10 ** (4 * want.max()))
    extractor = np.asarray(theirs(list(speech), sampling_rate=16000)["input_features"])
    np.testing.assert_allclose(got, extractor, rtol=0, atol=4 * 9 * EPS / 1e-4 / np.log(10) / 4)


def small():
    return kf.models.Whisper(60, 5, 16, 1, 1, 2, 2, 24, 24, max_source_positions=8, max_target_positions=12)


MEL = np.zeros((3, 5, 16), np.float32)
REFUSED = {
    "nothing was encoded": (lambda f, net: f(None, IDS), ArgumentError, "`inputs` is missing"),
    "a cache that holds nothing": (
        lambda f, net: f(None, IDS, caches=net.init_caches(3, 12)),
        ArgumentError,
        "no cache holds",
    ),
    "frames": (lambda f, net: f(MEL[..., :-1], IDS), ShapeError, r"\(batch, 5, 16\), got \(3, 5, 15\)"),
    "one sample": (lambda f, net: f(MEL[0], IDS), ShapeError, r"\(batch, 5, 16\), got \(5, 16\)"),
    "bins": (lambda f, net: f(MEL[:, :4], IDS), ShapeError, r"\(batch, 5, 16\), got \(3, 4, 16\)"),
    "rows": (lambda f, net: f(MEL, IDS[:2]), ShapeError, "different numbers of rows: 2 and 3"),
    "ids of one row": (lambda f, net: f(MEL, IDS[0]), ShapeError, "`ids` must have 2 axes"),
    "no ids": (lambda f, net: f(MEL, None), ArgumentError, "`ids` must be integers"),
    "other caches": (lambda f, net: f(None, IDS, caches=[]), ArgumentError, "`caches` must be what"),
    "a mask": (lambda f, net: f(MEL, IDS, mask=MEL[:, 0] == 0), ArgumentError, "`mask` must be None"),
    "too many tokens": (lambda f, net: f(MEL, np.zeros((3, 13), int)), ShapeError, "`ids` has 13 positions"),
    "too long a cache": (lambda f, net: net.init_caches(3, 13), ArgumentError, "`length` has 13 positions"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_calls_that_cannot_be_answered(case):
    run, error, said = REFUSED[case]
    net = small()
    params, state = net.init(0, *net.input_specs())
    with pytest.raises(error, match=said):
        run(lambda *args, **options: net.apply(params, *args, state=state, **options), net)


TEXT = {
    "mask": (lambda f, net: f(IDS, IDS, mask=IDS[:, :8] > 0), "`mask` must have the shape of `inputs`"),
    "mask of other rows": (lambda f, net: f(IDS, IDS, mask=IDS[:2] > 0), "`mask` must have the shape of `inputs`"),
    "one text": (lambda f, net: f(IDS[0], IDS), "`inputs` must have 2 axes"),
}


@pytest.mark.parametrize("case", TEXT)
def test_texts_that_do_not_fit(case):
    run, said = TEXT[case]
    for net in (kf.models.T5(60, 16, 6, 24, 1, 2), kf.models.Bart(60, 9, 16, 1, 1, 2, 2, 8, 8)):
        params, state = net.init(0, *net.input_specs())
        with pytest.raises(ShapeError, match=said):
            run(
                lambda *args, net=net, params=params, state=state, **options: net.apply(
                    params, *args, state=state, **options
                ),
                net,
            )


CONFIGS = {
    "heads": (lambda: kf.models.Whisper(d_model=16, encoder_attention_heads=3), "`d_model` must be a multiple"),
    "activation": (lambda: kf.models.T5(feed_forward_proj="gated-sine"), "`feed_forward_proj`"),
    "gate": (lambda: kf.models.T5(feed_forward_proj="double-gelu"), "`feed_forward_proj`"),
    "empty": (lambda: kf.models.T5Encoder(feed_forward_proj=""), "`feed_forward_proj`"),
    "no blocks": (lambda: kf.models.T5(num_decoder_layers=0), "`num_decoder_layers`"),
    "a number for a name": (lambda: kf.models.T5(feed_forward_proj=5), "`feed_forward_proj`"),
    "buckets": (lambda: kf.models.T5(relative_attention_num_buckets=1), "`relative_attention_num_buckets`"),
    "distance": (lambda: kf.models.T5(relative_attention_max_distance=9), "`relative_attention_max_distance`"),
    "dropout": (lambda: kf.models.T5Encoder(dropout_rate=5.0), "`dropout_rate`"),
    "dropout of attention": (lambda: kf.models.Bart(attention_dropout=-0.1), "`attention_dropout`"),
    "words": (lambda: kf.models.Marian(bad_words_ids=[1]), "`bad_words_ids`"),
    "one word": (lambda: kf.models.Marian(bad_words_ids=5), "`bad_words_ids`"),
    "suppressed": (lambda: kf.models.Whisper(suppress_tokens="abc"), "`suppress_tokens`"),
    "seconds": (lambda: kf.models.WhisperFeatures(chunk_length=0), "`chunk_length`"),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_networks_that_cannot_be(case):
    make, said = CONFIGS[case]
    with pytest.raises(KfuncError, match=said):
        make()


# -- training ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["encoder_layerdrop", "decoder_layerdrop"])
@pytest.mark.parametrize("name", ["bart", "pegasus", "whisper"])
def test_training_leaves_out_blocks_as_in_transformers(name, which, tmp_path):
    """With the probability 1, no block is left; in between, some draws leave out a block, and others do not."""
    torch, row = pytest.importorskip("torch"), FAMILIES[name]
    transformers = pytest.importorskip("transformers")
    cls = getattr(transformers, row.model)
    off = {"dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0}
    model = cls(cls.config_class(**{**row.config, **off, which: 1.0})).train()
    model.save_pretrained(tmp_path)
    given = {theirs: torch.from_numpy(x) for theirs, x in row.inputs.values()}
    with torch.no_grad():
        want = model(**{n: x if x.is_floating_point() else x.long() for n, x in given.items()}).logits.numpy()
    net, parameters, state = kf.models.load(tmp_path)
    ours = {n: x for n, (_, x) in row.inputs.items()}

    def trained(net, key):
        return net.apply(parameters, state=state, train=True, key=kf.random.key(key), **ours)[0]

    np.testing.assert_allclose(trained(net, 0), want, rtol=0, atol=1e-5 * max(1, np.abs(want).max()))
    some = kf.replace(net, **{which: 0.5})
    assert 1 < len({trained(some, key).tobytes() for key in range(12)}) <= 4  # of two blocks
