"""Families of networks against `transformers`: outputs, caches, folders that come back byte for byte, bad folders."""

from __future__ import annotations

import filecmp
import functools
import json
import math
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from backends import params
from families import FAMILIES, MASK, oracle
from published import PUBLISHED
from sampling import chosen, one_of

import kfunc as kf
from kfunc.errors import ArgumentError, FileError, KfuncError, ParamError, ShapeError

IDS = FAMILIES["llama"].inputs["ids"][1]
EPS = float(np.finfo(np.float32).eps)
RUNS = [
    pytest.param(name, backend, id=f"{name}-{backend}", marks=getattr(pytest.mark, backend))
    for name in FAMILIES
    # JAX and TensorFlow take seconds to compile what torch just does, and families have no code for any of them.
    for backend in ("numpy", *dict.fromkeys(one_of((*["torch"] * 6, "jax", "tensorflow"), name)))
]
FOLDERS = [(name, kind) for name in FAMILIES for kind in ("float32", *one_of(("bfloat16", "shards"), name))]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """`written(name)`: the oracle of a row, made once for each way to save it."""
    pytest.importorskip("transformers")

    @functools.cache
    def make(name, kind="float32"):
        saving = {"max_shard_size": "8KB"} if kind == "shards" else {}
        dtype = kind if kind != "shards" else "float32"
        return oracle(name, tmp_path_factory.mktemp(name), dtype, **saving)

    return make


def compare(row, got, want, real=None):
    """A number goes through some dozen sums of up to 64 terms, each with an error of `sqrt(64) eps` at most."""
    got = {row.outputs[0]: got} if len(row.outputs) == 1 else got
    for name, w in want.items():
        g = kf.to_numpy(got[name])
        assert g.shape == w.shape
        if real is not None and w.shape[:2] == real.shape:
            g, w = g[real], w[real]
        np.testing.assert_allclose(g, w, rtol=0, atol=12 * 8 * EPS * max(1.0, np.abs(w).max()))


def applied(net, backend):
    """`net.apply`, compiled where each operation would be compiled by itself otherwise, which takes far longer."""
    return kf.jit(net.apply) if backend == "jax" else net.apply


def inputs(row, backend):
    return {name: kf.asarray(x, backend=backend) for name, (_, x) in row.inputs.items()}


@pytest.mark.parametrize(("name", "backend"), RUNS)
def test_outputs_are_those_of_transformers(name, backend, written):
    row, made = FAMILIES[name], written(name)
    net, parameters, state = kf.models.load(made.folder, backend)
    out, _ = applied(net, backend)(parameters, state=state, **inputs(row, backend))
    compare(row, out, made.outputs, row.inputs["mask"][1] if "mask" in row.inputs else None)


@pytest.mark.parametrize(("name", "kind"), FOLDERS)
def test_folders_come_back_byte_for_byte(name, kind, written, tmp_path):
    folder = written(name, kind).folder
    for backend, dtype in (("numpy", None), ("torch", "auto"), *one_of([("numpy", "auto"), ("torch", None)], name)):
        net, parameters, state = kf.models.load(folder, backend, dtype=dtype)
        found = {str(x.dtype).removeprefix("torch.") for x in kf.tree.leaves(parameters)}
        assert found == {"bfloat16" if (kind, dtype) == ("bfloat16", "auto") else "float32"}
        paths = kf.models.save(tmp_path / backend, net, parameters, state)
        names = sorted(os.path.basename(path) for path in paths)
        assert names == sorted(os.listdir(folder))
        assert filecmp.cmpfiles(folder, tmp_path / backend, names, shallow=False) == (names, [], [])


@pytest.mark.parametrize(("name", "backend"), [run for run in RUNS if "inputs" in FAMILIES[run.values[0]].inputs])
def test_steps_with_a_memory_are_the_whole(name, backend, written):
    """The encoder runs in the first call alone: later calls have neither its inputs nor its parameters."""
    row, made = FAMILIES[name], written(name)
    net, parameters, state = kf.models.load(made.folder, backend)
    given = inputs(row, backend)
    ids = given.pop("ids")

    def run(parameters, state, given, ids, caches):
        return net.apply(parameters, ids=ids, caches=caches, state=state, **given)[0]

    run = kf.jit(run) if backend == "jax" else run  # which compiles each operation otherwise, and takes far longer
    out, caches = run(parameters, state, given, ids[:, :4], net.init_caches(3, 10, backend=backend))
    outs = [kf.to_numpy(out)]
    rest, state = ({n: x for n, x in part.items() if n != "encoder"} for part in (parameters, state))
    given = {"inputs": None}
    for i in range(4, ids.shape[1]):
        out, caches = run(rest, state, given, ids[:, i : i + 1], caches)
        outs.append(kf.to_numpy(out))
    compare(row, np.concatenate(outs, axis=1), made.outputs)


@pytest.mark.parametrize(("name", "backend"), [run for run in RUNS if FAMILIES[run.values[0]].decoder])
def test_steps_with_caches_are_the_whole(name, backend, written):
    """A prompt that is filled up on the left, then token by token."""
    row, made = FAMILIES[name], written(name)
    net, parameters, _ = kf.models.load(made.folder, backend)
    given = inputs(row, backend)
    apply = applied(net, backend)
    whole, _ = apply(parameters, **given)
    ids, mask = given["ids"], given.get("mask")
    length = ids.shape[1] + 2
    if mask is not None:
        more = np.concatenate([kf.to_numpy(mask), np.ones((3, 2), bool)], axis=1)
        mask = kf.asarray(more, backend=backend)
    caches, outs = net.init_caches(ids.shape[0], length, backend=backend), []
    for begin, end in ((0, 6), *((i, i + 1) for i in range(6, ids.shape[1]))):
        (out, caches), _ = apply(parameters, ids[:, begin:end], caches=caches, mask=mask)
        outs.append(kf.to_numpy(out))
    compare(row, np.concatenate(outs, axis=1), {row.outputs[0]: kf.to_numpy(whole)}, MASK if mask is not None else None)


# -- folders that are not as they should be ----------------------------------------------------------------------------


def config(**changes):
    """A change of a folder: other values in its config. None as a change removes the key."""

    def change(folder):
        path = folder / "config.json"
        values = json.loads(path.read_text()) | changes
        path.write_text(json.dumps({k: v for k, v in values.items() if k not in changes or v is not None}))

    return change


def text(name, content):
    return lambda folder: (folder / name).write_text(content)


def without(name):
    return lambda folder: (folder / name).unlink()


def without_a_shard(folder):
    sorted(folder.glob("model-*"))[1].unlink()


def tensors(change):
    """A change of a folder: `change` of the dict of its tensors, in one file."""

    def rewrite(folder):
        found = dict(kf.interop.Checkpoint(folder))
        change(found)
        for path in folder.glob("model*"):
            path.unlink()
        kf.interop.save_checkpoint(found, folder)

    return rewrite


EMBED = "model.embed_tokens.weight"
BAD = {
    "no config": (without("config.json"), FileError, "config.json could not be read: No such file"),
    "no json": (text("config.json", "{"), FileError, "config.json: The file is corrupt"),
    "a list": (text("config.json", "[1]"), FileError, "The config is not an object"),
    "unknown type": (config(model_type="mamba"), FileError, "value of `model_type` that kfunc does not know: 'mamba'"),
    "no type": (config(model_type=None), FileError, "value of `model_type` that kfunc does not know: None"),
    "type is a list": (config(model_type=["llama"]), FileError, "value of `model_type` that kfunc does not know"),
    "unknown class": (config(architectures=["LlamaForOther"]), FileError, "`architectures` .*LlamaForOther"),
    "unknown keys": (config(new_norm=2, other_gate=True), FileError, "does not know: new_norm = 2, other_gate = True"),
    "unknown rope": (
        config(rope_parameters={"rope_type": "spiral", "rope_theta": 1e4}),
        ArgumentError,
        "rotary scaling 'spiral' is unknown",
    ),
    "key of a rope": (
        config(rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 1e4, "more": 1}),
        ArgumentError,
        "rotary scaling 'linear' has no argument 'more'",
    ),
    "two ropes": (
        config(
            rope_parameters={"rope_type": "default", "rope_theta": 1e4},
            rope_scaling={"rope_type": "linear", "factor": 2.0},
        ),
        ArgumentError,
        "`rope_parameters` and `rope_scaling` are both given",
    ),
    "unknown activation": (config(hidden_act="frelu"), ArgumentError, "`hidden_act` must be .* got 'frelu'"),
    "size is a text": (config(hidden_size="many"), ArgumentError, "`hidden_size` must be a positive integer"),
    "heads that do not fit": (config(num_attention_heads=5, head_dim=None), ArgumentError, "got 24 and 5"),
    "size is huge": (config(head_dim=10**400), FileError, "`head_dim` that kfunc does not know"),
    "size is negative": (config(num_hidden_layers=-1), ArgumentError, "`num_hidden_layers` must be a positive"),
    "heads that do not share": (config(num_key_value_heads=3), ArgumentError, "`num_key_value_heads` must divide 4"),
    "far too many layers": (config(num_hidden_layers=10**9), FileError, "`num_hidden_layers` that kfunc does not"),
    "more layers": (config(num_hidden_layers=3), ParamError, "blocks_2/.*: no tensor is for it"),
    "fewer layers": (config(num_hidden_layers=1), ParamError, "model.layers.1.*: the network has no blocks_1/"),
    "other width": (config(vocab_size=61), ParamError, "its shape is .60, 24., and .61, 24. is needed"),
    "half of the shards": (without_a_shard, FileError, "model-00002-of-.*.safetensors could not be read"),
    "no tensors": (lambda folder: [p.unlink() for p in folder.glob("model*")], FileError, "has no checkpoint"),
    "index elsewhere": (
        text("model.safetensors.index.json", json.dumps({"weight_map": {EMBED: "../x.safetensors"}})),
        FileError,
        "index names a file that lies outside",
    ),
    "tensor missing": (tensors(lambda t: t.pop("model.norm.weight")), ParamError, "norm/scale: no tensor is for it"),
    "tensor too many": (
        tensors(lambda t: t.update({"model.extra.weight": t[EMBED]})),
        ParamError,
        "model.extra.weight: no rule has it",
    ),
    "integers": (tensors(lambda t: t.update({EMBED: t[EMBED].astype("int32")})), ParamError, "dtype is int32"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_folders_are_refused_by_name(name, written, tmp_path):
    change, error, message = BAD[name]
    folder = tmp_path / "folder"
    shutil.copytree(written("llama", "shards").folder, folder)
    change(folder)
    with pytest.raises(error, match=message):
        kf.models.load(folder)


VALUES = (None, True, 0, -1, 1.5, 10**400, math.inf, "x", [], [1], [None, None], {}, {"a": 1}, {"rope_type": "yarn"})


@pytest.mark.parametrize("name", ["gpt2", "gemma3"])
def test_any_value_of_a_config_is_read_or_a_fault_of_it(name, written, tmp_path):
    shutil.copytree(written(name).folder, tmp_path, dirs_exist_ok=True)
    values = json.loads((tmp_path / "config.json").read_text())
    rows = [(key, value) for key in values for value in VALUES if chosen(4, name, key, value)]
    refused = 0
    for key, value in rows:
        (tmp_path / "config.json").write_text(json.dumps(values | {key: value}))
        try:
            kf.models.load(tmp_path)
        except KfuncError:
            refused += 1
    assert 0 < refused < len(rows)


@pytest.mark.parametrize("folder", [None, 3, "a\0b"])
def test_paths_that_are_none(folder):
    with pytest.raises(ArgumentError, match="`folder` must be a path"):
        kf.models.load(folder)


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileError, match="nothing: There is no folder of this name"):
        kf.models.load(tmp_path / "nothing")


def test_prompts_longer_than_the_positions():
    net = kf.models.GPT2(vocab_size=60, n_positions=8, n_embd=8, n_layer=1, n_head=2)
    parameters, _ = net.init(0, *net.input_specs())
    with pytest.raises(ShapeError, match="`ids` has 9 positions, and the network has 8"):
        net.apply(parameters, IDS)
    with pytest.raises(ArgumentError, match="`length` has 9 positions, and the network has 8"):
        net.init_caches(1, 9)
    with pytest.raises(ShapeError, match="`ids`"):
        net.apply(parameters, IDS[0])
    with pytest.raises(ShapeError, match=r"`mask` must have the shape of `ids`, \(3, 7\), got \(3, 9\)"):
        net.apply(parameters, IDS[:, :7], mask=MASK)


@pytest.mark.parametrize("backend", params(("numpy", "torch")))
@pytest.mark.parametrize("name", ["gpt2", "gemma2"])
def test_a_row_without_tokens(name, backend, written):
    """Its numbers mean nothing, but are numbers; the other rows are what they are without it."""
    net, parameters, _ = kf.models.load(written(name).folder, backend)
    mask = MASK.copy()
    mask[1] = False
    ids, masks = (kf.asarray(x, backend=backend) for x in (IDS, mask))
    out, _ = net.apply(parameters, ids, mask=masks)
    caches = net.init_caches(3, 9, backend=backend)
    (step, _), _ = net.apply(parameters, ids, mask=masks, caches=caches)
    alone, _ = net.apply(parameters, ids[:1], mask=masks[:1])
    for got in (out, step):
        assert np.isfinite(kf.to_numpy(got)).all()
        compare(FAMILIES[name], got[:1], {"logits": kf.to_numpy(alone)})


HALF = 2.0**-8
"""The error of a number that is rounded to bfloat16."""


@pytest.mark.parametrize("name", ["gpt2", "llama", "gemma3"])
@pytest.mark.parametrize("backend", params(("numpy", "torch")))
def test_bfloat16_is_kept(name, backend, written):
    """Two dozen values are rounded one after the other, from the vectors of the tokens to the logits."""
    made = written(name, "bfloat16")
    net, parameters, _ = kf.models.load(made.folder, backend, dtype="auto")
    out, _ = net.apply(parameters, **inputs(FAMILIES[name], backend))
    caches = net.init_caches(3, 9, backend=backend)
    # NumPy, which has such arrays by ml_dtypes, leaves the sums of a product as they are.
    kept = (caches[0].key, *kf.tree.leaves(parameters), *([out] if backend == "torch" else []))
    assert {kf.arrays.dtype_name(x.dtype) for x in kept} == {"bfloat16"}
    (step, _), _ = net.apply(parameters, **inputs(FAMILIES[name], backend), caches=caches)
    wanted = made.outputs["logits"]
    for got in (out, step):
        error = np.abs(kf.to_numpy(got).astype(np.float32) - wanted)[MASK]
        assert error.max() < 24 * HALF * max(1.0, np.abs(wanted).max())


# -- generation_config.json --------------------------------------------------------------------------------------------

GENERATED: dict[str, tuple[str, dict, dict]] = {
    "several ends": ("llama", {"eos_token_id": [5, 17, 40], "pad_token_id": 3, "max_new_tokens": 8}, {}),
    "a length with the prompt": ("gpt2", {"max_length": 15, "pad_token_id": 9, "bos_token_id": 1}, {}),
    "suppressed": ("llama", {"suppress_tokens": [1, 2, 3], "begin_suppress_tokens": [7], "max_new_tokens": 5}, {}),
    "bad words": ("t5", {"bad_words_ids": [[4], [8]], "decoder_start_token_id": 3, "max_new_tokens": 6}, {}),
    "forced": (
        "bart",
        {"forced_bos_token_id": 11, "forced_eos_token_id": 12, "max_new_tokens": 5, "decoder_start_token_id": 1},
        {},
    ),
    "forced, beams": (
        "mbart",
        {
            "forced_bos_token_id": 11,
            "decoder_start_token_id": 7,
            "num_beams": 3,
            "length_penalty": 2.0,
            "max_length": 7,
        },
        {},
    ),
    "options": ("llama", {"repetition_penalty": 1.7, "max_new_tokens": 6}, {"repetition_penalty": 1.7}),
    "begin": ("whisper", {"begin_suppress_tokens": [1, 2, 3], "decoder_start_token_id": 4, "max_new_tokens": 5}, {}),
}


@pytest.mark.parametrize("case", GENERATED)
def test_a_generation_config_says_what_transformers_takes_of_it(case, written, tmp_path):
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    name, says, options = GENERATED[case]
    row, folder = FAMILIES[name], tmp_path / "folder"
    shutil.copytree(written(name).folder, folder)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": 2, "pad_token_id": 0} | says))
    net, parameters, state = kf.models.load(folder)
    given = {ours: x for ours, (_, x) in row.inputs.items() if ours in ("inputs", "mask") or not net_encodes(row)}
    prompt = given.pop("inputs", given.get("ids"))
    given.pop("ids", None)
    if name != "whisper":
        assert net.generation_options == {n: says[n] for n in ("num_beams", "length_penalty") if n in says} | options
        given |= net.generation_options
    out = kf.generate(net, parameters, prompt, state=state, **given)

    model = getattr(transformers, row.model).from_pretrained(folder).eval()
    theirs = {n: torch.from_numpy(x) for ours, (n, x) in row.inputs.items() if ours != "ids" or not net_encodes(row)}
    theirs = {n: x if x.is_floating_point() else x.long() for n, x in theirs.items()}
    generate = transformers.GenerationMixin.generate  # Whisper's own looks for times in the tokens
    want = generate(model, **theirs, do_sample=False).numpy()
    want = want[:, 1 if net_encodes(row) else prompt.shape[1] :]
    want = np.pad(want, ((0, 0), (0, out.shape[1] - want.shape[1])), constant_values=says.get("pad_token_id", 0))
    np.testing.assert_array_equal(out, want)
    paths = kf.models.save(tmp_path / "out", net, parameters, state)
    assert filecmp.cmp(folder / "generation_config.json", tmp_path / "out" / "generation_config.json", shallow=False)
    assert len(paths) == len(os.listdir(tmp_path / "out"))


def net_encodes(row):
    return "inputs" in row.inputs


def test_options_of_a_generation_config(written, tmp_path):
    """Those of drawing need a key, so they are given where the folder draws; others that we lack are warned of."""
    shutil.copytree(written("llama").folder, tmp_path, dirs_exist_ok=True)
    says = {"do_sample": True, "temperature": 0.7, "top_p": 0.8, "top_k": 20, "repetition_penalty": 1.05}
    (tmp_path / "generation_config.json").write_text(json.dumps(says | {"max_new_tokens": 4, "min_p": None}))
    net, parameters, state = kf.models.load(tmp_path)
    options = net.generation_options
    assert options == {n: v for n, v in says.items() if n != "do_sample"}
    drawn = kf.generate(net, parameters, IDS, key=3, **options)
    assert (drawn == kf.generate(net, parameters, IDS, 4, key=3, **options)).all()
    greedy = kf.generate(kf.replace(net, generation=None), parameters, IDS, 4)
    assert (kf.generate(net, parameters, IDS) == greedy).all()  # nothing is drawn without a key
    for value, warns in ((0, 0), (3, 1)):
        net = kf.replace(net, generation={"no_repeat_ngram_size": value})
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert net.generation_options == {}
        assert len(caught) == warns
    kf.models.save(tmp_path, net, parameters, state)
    assert kf.models.load(tmp_path)[0].generation["no_repeat_ngram_size"] == 3


@pytest.mark.parametrize(("content", "says"), [("[1]", "is not an object"), ("{", "is corrupt")])
def test_a_generation_config_that_is_none(content, says, written, tmp_path):
    shutil.copytree(written("llama").folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "generation_config.json").write_text(content)
    with pytest.raises(FileError, match=f"generation_config.json: The .*{says}"):
        kf.models.load(tmp_path)


def test_without_a_generation_config_the_config_says_it(written, tmp_path):
    shutil.copytree(written("gpt2").folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "generation_config.json").unlink()
    config(max_length=12, num_beams=2, length_penalty=None)(tmp_path)
    net, parameters, state = kf.models.load(tmp_path)
    assert net.generation_options == {"num_beams": 2}
    assert kf.generate(net, parameters, IDS).shape == (3, 3)
    kf.models.save(tmp_path / "out", net, parameters, state)
    assert sorted(os.listdir(tmp_path / "out")) == ["config.json", "model.safetensors"]


# -- what changes on the way -------------------------------------------------------------------------------------------


def theirs(folder, ids):
    """What `transformers` computes of a folder."""
    import torch
    import transformers

    model, report = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True
    )
    assert not any(report.values()), report
    model.save_pretrained(Path(folder) / "theirs")
    assert set(kf.interop.Checkpoint(Path(folder) / "theirs")) <= set(kf.interop.Checkpoint(folder))
    with torch.no_grad():
        return model.eval()(torch.from_numpy(ids).long()).logits.numpy()


SIZES = {"vocab_size": 60, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4}


@pytest.mark.parametrize(
    "net",
    [
        lambda: kf.models.GPT2(vocab_size=60, n_positions=16, n_embd=24, n_layer=2, n_head=3),
        lambda: kf.models.Llama(**SIZES, rope_parameters={"rope_type": "linear", "factor": 2.0, "rope_theta": 50.0}),
        lambda: kf.models.Gemma3(**SIZES, head_dim=8, sliding_window=4, sliding_window_pattern=2),
    ],
    ids=["gpt2", "llama", "gemma3"],
)
def test_transformers_reads_networks_made_by_hand(net, tmp_path):
    pytest.importorskip("transformers")
    net = net()
    parameters, state = net.init(0, *net.input_specs())
    out, _ = net.apply(parameters, IDS)
    kf.models.save(tmp_path, net, parameters, state)
    np.testing.assert_allclose(theirs(tmp_path, IDS), out, rtol=0, atol=12 * 8 * EPS * max(1.0, np.abs(out).max()))
    again, values, _ = kf.models.load(tmp_path)
    assert again.values() == net.values()
    assert kf.tree.map(lambda a, b: bool((a == b).all()), parameters, values) == kf.tree.map(lambda a: True, values)


def test_trained_values_that_bfloat16_does_not_hold_are_saved_as_they_are(written, tmp_path):
    folder = written("llama", "bfloat16").folder
    net, parameters, state = kf.models.load(folder)
    parameters["norm"]["scale"] = parameters["norm"]["scale"] + np.float32(1e-4)
    kf.models.save(tmp_path, net, parameters, state)
    again, values, _ = kf.models.load(tmp_path, dtype="auto")
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == "float32"
    assert (values["norm"]["scale"] == parameters["norm"]["scale"]).all()
    assert again.values() == net.values()


def test_a_changed_field_is_a_changed_value_of_the_config(written, tmp_path):
    net, parameters, state = kf.models.load(written("llama").folder)
    net = kf.replace(net, rms_norm_eps=1e-3, head=None)
    del parameters["logits"]
    kf.models.save(tmp_path, net, parameters, state)
    before, after = (json.loads((p / "config.json").read_text()) for p in (Path(written("llama").folder), tmp_path))
    assert after == before | {"rms_norm_eps": 1e-3, "architectures": ["LlamaModel"]}
    assert kf.models.load(tmp_path)[0].values() == net.values()


def test_configs_of_older_transformers(written, tmp_path):
    """Rotary positions stood beside each other, and values that were defaults did not stand there at all."""
    folder = written("llama-llama3").folder
    wanted, parameters, _ = kf.models.load(folder)
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    values = json.loads((tmp_path / "config.json").read_text())
    rope = values.pop("rope_parameters")
    values |= {"rope_theta": rope.pop("rope_theta"), "rope_scaling": rope, "torch_dtype": values.pop("dtype")}
    left_out = ("hidden_act", "rms_norm_eps", "attention_bias", "mlp_bias", "tie_word_embeddings", "head_dim")
    for name in (*left_out, "bos_token_id", "eos_token_id"):
        values.pop(name)
    (tmp_path / "config.json").write_text(json.dumps(values))
    net, again, state = kf.models.load(tmp_path)
    assert (net.apply(again, IDS)[0] == wanted.apply(parameters, IDS)[0]).all()
    assert (net.bos_token_id, net.eos_token_id, net.pad_token_id) == (1, 2, 0)
    paths = kf.models.save(tmp_path / "out", net, again, state)
    for path in paths:
        assert filecmp.cmp(path, tmp_path / os.path.basename(path), shallow=False)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_configs_have_no_unknown_key(name, tmp_path):
    """A folder without tensors: nothing but them is missing, so the error says so, and names no key."""
    (tmp_path / "config.json").write_text(json.dumps(PUBLISHED[name]))
    kf.interop.save_checkpoint({"model.x": np.zeros(1, np.float32), "transformer.x": np.zeros(1, np.float32)}, tmp_path)
    with pytest.raises(ParamError, match=r"(model|transformer)\.x: no rule has it"):
        kf.models.load(tmp_path)


def test_a_head_that_a_tied_config_has_for_itself(written, tmp_path):
    """As in transformers: if both tables are in the folder, with different values, they are two; copies are one."""
    shutil.copytree(written("llama-tied").folder, tmp_path, dirs_exist_ok=True)
    for factor in (1, 2):
        tensors(lambda t, f=factor: t.update({"lm_head.weight": t[EMBED] * f}))(tmp_path)
        net, parameters, state = kf.models.load(tmp_path)
        assert net.tie_word_embeddings == (factor == 1)
        out, _ = net.apply(parameters, IDS)
        compare(FAMILIES["llama"], out, {"logits": theirs(tmp_path, IDS)})
        names = [os.path.basename(path) for path in kf.models.save(tmp_path / "out", net, parameters, state)]
        assert filecmp.cmpfiles(tmp_path, tmp_path / "out", names, shallow=False)[0] == names


def test_a_family_of_ones_own(written, tmp_path):
    """Its module has the functions; here it is one of kfunc's under another `model_type`."""
    shutil.copytree(written("llama").folder, tmp_path, dirs_exist_ok=True)
    config(model_type="alpaca")(tmp_path)
    with pytest.raises(FileError, match="alpaca"):
        kf.models.load(tmp_path)
    code = (
        "from kfunc.models.llama import *; from kfunc.models import Llama; from kfunc import nn\n"
        "@nn.layer\nclass Alpaca(Llama): model_type = 'alpaca'\n"
        "def from_config(config): return Alpaca(**config.fields(Alpaca))\n"
    )
    (tmp_path / "alpaca_family.py").write_text(code)
    sys.path.insert(0, str(tmp_path))
    try:
        from alpaca_family import Alpaca
    finally:
        sys.path.remove(str(tmp_path))
    net, parameters, state = kf.models.load(tmp_path, family=Alpaca)
    assert type(net) is Alpaca
    names = [os.path.basename(path) for path in kf.models.save(tmp_path / "out", net, parameters, state)]
    assert filecmp.cmpfiles(tmp_path, tmp_path / "out", names, shallow=False)[0] == names


def test_files_of_models_have_families(written, tmp_path):
    """A model file names the class, which is imported then; the folder can be written from it."""
    folder = written("gpt2").folder
    net, parameters, state = kf.models.load(folder)
    model = kf.Model(net, params=parameters, state=state)
    model.save(tmp_path / "model.safetensors")
    code = (
        "import kfunc as kf, sys; m = kf.Model.load(sys.argv[1]); s = m.train_state;"
        "kf.models.save(sys.argv[2], m.net, s.params, s.state)"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "model.safetensors", tmp_path / "out"], check=True)
    names = os.listdir(tmp_path / "out")
    assert filecmp.cmpfiles(folder, tmp_path / "out", names, shallow=False)[0] == names
