"""Parts of a network find their parameters in those of the whole, and never take those of another layer."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest
from backends import EAGER

import kfunc as kf
from kfunc import nn
from kfunc.registry import from_config, to_config

CLOSE = 2 * 4 * 2 * 2.0**-23  # at most two layers, each a sum of 3 products and a bias, all below 2
A, B = np.random.default_rng(0).normal(size=(2, 4, 3)).astype(np.float32)


def dense():
    return nn.Dense(3, "tanh")


def towers(part_first=False):
    """Retrieval: both towers have layers of the same sizes. The part is the second one."""
    a, b = nn.Input((3,)), nn.Input((3,))
    u, v = dense()(dense()(a)), dense()(dense()(b))
    if part_first:
        part = nn.Graph(b, v)
    whole = nn.Graph([a, b], [u, v])
    return whole, (part if part_first else nn.Graph(b, v)), (A, B), lambda out: (B, out[1])


def towers_part_first():
    return towers(part_first=True)


def features():
    x = nn.Input((3,))
    h = dense()(x)
    whole = nn.Graph(x, [dense()(x), h, dense()(h)])
    return whole, nn.Graph(x, h), (A,), lambda out: (A, out[1])


def decoder():
    """Layers of the whole that are called on a new input."""
    x, z = nn.Input((3,)), nn.Input((3,))
    encoder, layers = [dense(), dense()], [dense(), dense()]
    h, out = encoder[1](encoder[0](x)), layers[1](layers[0](z))
    return nn.Graph(x, [h, layers[1](layers[0](h))]), nn.Graph(z, out), (A,), lambda out: (out[0], out[1])


def shared():
    a, b = nn.Input((3,)), nn.Input((3,))
    first, base = dense(), dense()
    return nn.Graph([a, b], [base(first(a)), base(b)]), nn.Graph(b, base(b)), (A, B), lambda out: (B, out[1])


def dict_inputs():
    x = {"user": nn.Input((3,)), "item": nn.Input((3,))}
    out = {"user": dense()(x["user"]), "item": dense()(x["item"])}
    whole, part = nn.Graph(x, out), nn.Graph({"user": x["user"]}, out["user"])
    return whole, part, ({"user": A, "item": B},), lambda out: ({"user": A}, out["user"])


def sequential():
    whole = nn.Sequential([dense(), nn.Branch([dense(), dense()]), nn.Add(), dense(), nn.Dropout(0.5), dense()])
    before, _ = nn.Sequential(whole.layers[:3]).apply(whole.init(0, A)[0], A)
    return whole, nn.Sequential(whole.layers[3:]), (A,), lambda out: (before, out)


def branch():
    whole = nn.Branch([dense(), dense(), dense()])
    return whole, nn.Branch(whole.layers[:0:-1]), (A,), lambda out: (A, out[:0:-1])


def graph_of_a_sequential():
    layers = nn.Sequential([dense(), dense()]).layers
    x = nn.Input((3,))
    whole = nn.Sequential([*layers, dense()])
    inner, _ = nn.Sequential(layers[:1]).apply(whole.init(0, A)[0], A)
    return whole, nn.Graph(x, whole.layers[2](layers[1](x))), (A,), lambda out: (inner, out)


@nn.layer
class Own(nn.Sequential):
    def __init__(self, layers):
        super().__init__(layers)


def own_class():
    whole = nn.Sequential([dense(), dense()])
    middle, _ = nn.Sequential(whole.layers[:1]).apply(whole.init(0, A)[0], A)
    return whole, Own(whole.layers[1:]), (A,), lambda out: (middle, out)


WHOLES = [
    *(towers, towers_part_first, features, decoder, shared, dict_inputs, sequential, branch),
    *(graph_of_a_sequential, own_class),
]
COPIES = {
    "itself": lambda net: net,
    "deepcopy": copy.deepcopy,
    "pickle": lambda net: pickle.loads(pickle.dumps(net)),
    "config": lambda net: from_config("layer", json.loads(json.dumps(to_config("layer", net)))),
    "replace": kf.replace,
}


@pytest.mark.parametrize("copied", COPIES)
@pytest.mark.parametrize("whole", WHOLES)
def test_a_part_reads_its_parameters_in_those_of_the_whole(whole, copied):
    whole, part, xs, pick = whole()
    part = COPIES[copied](COPIES[copied](part))
    params, _ = whole.init(0, *xs)
    x, want = pick(whole.apply(params, *xs)[0])
    for a, b in zip(*map(kf.tree.leaves, (part.apply(params, x)[0], want)), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=CLOSE)
    own, _ = part.init(0, x)  # a seed draws the same for the part as for the whole, since names are the same
    for path, value in zip(kf.tree.paths(own), kf.tree.leaves(own), strict=True):
        found = params
        for name in path.split("/"):
            found = found[name]
        np.testing.assert_array_equal(value, found)


@pytest.mark.parametrize("name", EAGER)
def test_parts_on_every_backend_and_in_files(name, tmp_path):
    whole, part, xs, pick = towers()
    model = kf.Model(whole).build(*[kf.Spec((None, 3))] * 2, backend=name)
    x, want = pick(model.predict(list(xs)))
    tower = kf.Model(part).build(kf.Spec((None, 3)), backend=name)
    names = list(tower.train_state.params)
    tower.train_state = tower.train_state._replace(params={n: model.train_state.params[n] for n in names})
    np.testing.assert_allclose(tower.predict(x), want, rtol=0, atol=CLOSE)
    tower.save(tmp_path / "tower.safetensors")
    again = kf.Model.load(tmp_path / "tower.safetensors", backend=name)
    assert list(again.train_state.params) == names
    np.testing.assert_allclose(again.predict(x), want, rtol=0, atol=CLOSE)
    model.save(tmp_path / "whole.safetensors")
    np.testing.assert_allclose(
        kf.Model.load(tmp_path / "whole.safetensors").predict(list(xs))[1], want, rtol=0, atol=CLOSE
    )


def test_names_follow_from_the_network_alone():
    """Not from what else the process has made, so that seeds and files mean the same in every process."""
    for _ in range(2):
        whole, part, _, _ = towers()
        assert [name for name, _ in whole.children()] == ["dense", "dense_1", "dense_2", "dense_3"]
        assert [name for name, _ in part.children()] == ["dense_2", "dense_3"]
        assert "names" not in to_config("layer", whole)  # as files of older versions


def test_parts_that_were_made_apart_refuse_the_parameters_of_their_whole():
    """Both call their layers alike, so that the names of the whole must be others."""
    a, b = nn.Input((3,)), nn.Input((3,))
    u, v = dense()(dense()(a)), dense()(b)
    parts = [nn.Graph(a, u), nn.Graph(b, v)]
    whole = nn.Graph([a, b], [u, v])
    params, _ = whole.init(0, A, B)
    out, _ = whole.apply(params, A, B)
    assert list(params) == ["dense_2", "dense_1", "dense_3"]
    for part, x in zip(parts, (A, B), strict=True):
        with pytest.raises(kf.errors.ParamError, match="for the layer dense"):
            part.apply(params, x)
        part.apply(part.init(0, x)[0], x)
    for (inputs, outputs), x, want in zip([(a, u), (b, v)], (A, B), out, strict=True):
        np.testing.assert_array_equal(nn.Graph(inputs, outputs).apply(params, x)[0], want)  # made after the whole


def built(*layers):
    return list(nn.Sequential(list(layers)).init(0, A)[0])


def test_no_name_means_another_layer_in_a_network_made_before():
    first, second = [dense() for _ in range(3)], [dense() for _ in range(3)]
    params, _ = (net := nn.Sequential(first)).init(0, A)
    nn.Sequential(second)
    mixtures = [(first[0], second[0]), (second[0], first[0]), (first[0], second[1]), (dense(), first[0], second[0])]
    for layers in mixtures:
        with pytest.raises(kf.errors.ParamError, match="for the layer dense"):
            nn.Sequential(list(layers)).apply(params, A)
    middle, _ = nn.Sequential(first[:2]).apply(params, A)  # still a part of the network that they were in together
    np.testing.assert_array_equal(nn.Sequential(first[2:]).apply(params, middle)[0], net.apply(params, A)[0])


def test_a_new_head_has_a_name_of_its_own():
    backbone, old = dense(), dense()
    x = nn.Input((3,))
    for _ in range(3):  # however often it is done
        assert built(backbone, old) == ["dense", "dense_1"]
        assert built(backbone, dense()) == ["dense", "dense_2"]
        assert built(backbone, old, dense()) == ["dense", "dense_1", "dense_2"]
        assert built(dense(), backbone) == ["dense_2", "dense"]
        assert list(nn.Graph(x, dense()(backbone(x))).init(0, A)[0]) == ["dense", "dense_2"]
    for _ in range(100):
        built(backbone, dense())
    assert len(backbone._called) < 50


def test_a_name_that_another_layer_had_is_refused():
    x = nn.Input((3,))
    h = dense()(x)
    nn.Graph(x, h)
    with pytest.raises(kf.errors.LayerError, match="Two layers are called 'dense'"):
        nn.Graph(x, [h, nn.Dense(3, name="dense")(x)])


@pytest.mark.parametrize("names", [["a/b"], ["dense", "dense"], ["a", "b", "c"], "dense", [1], [["a"]], None, {}])
def test_forged_names(names):
    config = {**to_config("layer", nn.Sequential([dense(), dense()])), "names": names}
    with pytest.raises(kf.errors.ArgumentError):
        from_config("layer", config)
