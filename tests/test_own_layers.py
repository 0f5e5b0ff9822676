"""Layers that users write, with fields or an `__init__` of their own; defaults that are layers; copies; wrong uses."""

from __future__ import annotations

import collections
import copy
import dataclasses
import inspect
import itertools
import json
import pickle
import types
import typing

import numpy as np
import pytest
from backends import BACKENDS, COMPILING, TRAINING
from layers_table import ROWS

import kfunc as kf
from kfunc import losses, metrics, nn, optim
from kfunc.registry import from_config, to_config

X = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)


@nn.layer
class OwnScale(nn.Layer):
    first: str = "ones"

    def forward(self, s, x):
        return x * s.param("scale", (x.shape[-1],), self.first)


@nn.layer
class DefaultLayers(nn.Layer):
    """A layer is the default of a field, and lists and dicts of layers are, too."""

    units: int
    scale: OwnScale = OwnScale("zeros")
    more: tuple = (OwnScale(), {"a": 1})
    named: nn.Layer | None = None

    def forward(self, s, x):
        return x + self.scale(s, self.more[0](s, x))


@nn.layer
class KerasStyle(nn.Layer):
    """As a Keras user writes it.

    Args:
        units: The features of the output.
    """

    def __init__(self, units, activation="relu", sizes=(), **kwargs):
        super().__init__(**kwargs)
        self.dense = nn.Dense(2 * units, activation=activation)
        self.activation = nn.Activation(activation)
        self.blocks = []
        for size in sizes:
            self.blocks.append(nn.Dense(size))
        self.units = 2 * units

    def forward(self, s, x):
        x = self.dense(s, x)
        for block in self.blocks:
            x = block(s, x)
        return self.activation(s, x)


@nn.layer
class TorchStyle(nn.Layer):
    """As a torch user writes it."""

    def __init__(self, *sizes: int, last: nn.Layer = nn.Dense(1)):  # noqa: B008
        self.layers = [nn.Dense(n) for n in sizes]
        self.last = last

    def forward(self, s, x):
        for layer in self.layers:
            x = layer(s, x)
        return self.last(s, x)


@nn.layer
class DeeperStyle(KerasStyle):
    def __init__(self, units, **kwargs):
        super().__init__(units, sizes=[5], **kwargs)
        self.last = nn.Dense(1)

    def forward(self, s, x):
        return self.last(s, super().forward(s, x))


@nn.layer
class RenamedStyle(KerasStyle):
    """It inherits the `__init__`."""


@nn.layer
class WiderDense(nn.Dense):
    """It has a base with fields."""

    def __init__(self, units, **kwargs):
        super().__init__(units, use_bias=False, **kwargs)
        self.first = OwnScale()

    def forward(self, s, x):
        return super().forward(s, self.first(s, x))


@nn.layer
class DenseTower(nn.Sequential):
    """It has children of its own beside those of its base."""

    def __init__(self, depth):
        super().__init__([nn.Dense(3) for _ in range(depth)])
        self.head = nn.Dense(1)

    def forward(self, s, x):
        return self.head(s, super().forward(s, x))


@nn.layer
class BothWays(nn.Bidirectional):
    def __init__(self, units):
        super().__init__(nn.LSTM(units))
        self.outputs = [nn.Dense(3), nn.Dense(2)]

    def forward(self, s, x):
        for output in self.outputs:
            x = output(s, x)
        return super().forward(s, x[:, None, :])


OWN = [
    DefaultLayers(3),
    KerasStyle(3, sizes=[4, 2], name="own"),
    KerasStyle(2, activation="tanh", dtype="float32"),
    TorchStyle(4, 2),
    TorchStyle(),
    DeeperStyle(2, name="deeper"),
    RenamedStyle(2),
    WiderDense(2),
    DenseTower(3),
    BothWays(2),
    nn.Sequential([KerasStyle(3), KerasStyle(3), DefaultLayers(2), DefaultLayers(2), TorchStyle(3), TorchStyle(3)]),
]
own = pytest.mark.parametrize("layer", OWN, ids=lambda layer: type(layer).__name__)


def same(one, other, *inputs):
    """Two layers that initialise and compute alike."""
    first, second = one.init(0, *inputs), other.init(0, *inputs)
    assert kf.tree.paths(first) == kf.tree.paths(second)
    outs = [layer.apply(p, *inputs, state=s, key=1) for layer, (p, s) in ((one, first), (other, second))]
    for a, b in zip(*map(kf.tree.leaves, ((first, outs[0]), (second, outs[1]))), strict=True):
        np.testing.assert_array_equal(a, b)


def through_json(layer):
    return from_config("layer", json.loads(json.dumps(to_config("layer", layer))))


COPIES = {
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    "pickle": lambda layer: pickle.loads(pickle.dumps(layer)),
    "config": through_json,
    "replace": kf.replace,
}
copies = pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)


@own
@pytest.mark.parametrize("name", BACKENDS)
def test_values(name, layer):
    params, state = layer.init(0, X)
    want, _ = layer.apply(params, X, state=state)
    out, _ = layer.apply(kf.to_backend(params, name), kf.asarray(X, backend=name), state=kf.to_backend(state, name))
    np.testing.assert_allclose(kf.to_numpy(out), want, rtol=1e-5, atol=1e-5)


@own
@copies
def test_copies(copied, layer):
    again = copied(layer)
    assert type(again) is type(layer)
    assert repr(again) == repr(layer)
    same(layer, again, X)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
@copies
def test_copies_of_the_catalogue(copied, row):
    again = copied(row.layer)
    assert again is not row.layer and again != row.layer
    same(row.layer, again, *row.inputs)


def test_deep_copies_have_layers_of_their_own_and_share_what_was_shared():
    shared = nn.Dense(3)
    x = nn.Input((3,))
    for net in (nn.Sequential([shared, nn.ReLU(), shared]), nn.Graph(x, shared(shared(x))), TorchStyle(3)):
        for copied in (copy.deepcopy, COPIES["pickle"]):
            again = copied(net)
            assert len(list(again.children())) == len(list(net.children()))
            assert not {id(c) for _, c in again.children()} & {id(c) for _, c in net.children()}
            same(net, again, X)
            # Both in one network: no object stands at two places.
            nn.Sequential([net, again]).init(
                0, np.ones((1, net.trace(X).outputs[-1][2].shape[-1]), np.float32)
            ) if net.trace(X).outputs[-1][2].shape[-1] == 3 else None


def test_a_deep_graph_is_copied():
    x = y = nn.Input((3,))
    for _ in range(1500):
        y = nn.Add()([y, x])
    net = nn.Graph(x, y)
    for copied in (copy.deepcopy, COPIES["pickle"]):
        out, _ = copied(net).apply({}, X)
        np.testing.assert_allclose(out, 1501 * X, rtol=1e-4)


OTHERS = [
    *(losses.Huber(0.3), losses.MeanSquaredError(reduction="sum"), losses.FunctionLoss(losses.mean_squared_error)),
    *(metrics.AUC(), metrics.MeanMetricWrapper(losses.Huber(0.3), name="h"), metrics.BinaryAccuracy(threshold=0.4)),
    *(nn.initializers.HeNormal(), nn.regularizers.L2(0.1), nn.constraints.MaxNorm(2.0)),
    *(nn.dtype_policies.DTypePolicy("mixed_bfloat16"), nn.dtype_policies.DTypePolicyMap({"a": "float16"}, "float32")),
    optim.schedules.CosineDecay(0.1, 10),
]


@pytest.mark.parametrize("thing", OTHERS, ids=lambda thing: type(thing).__name__)
@copies
def test_copies_of_other_things(copied, thing):
    if copied is through_json:
        return
    assert copied(thing) == thing
    assert repr(copied(thing)) == repr(thing)


OPTIMIZERS = [
    optim.adam(1e-2, clipnorm=1.0),
    optim.sgd(optim.schedules.ExponentialDecay(0.1, 5, 0.5), momentum=0.9),
    optim.chain(optim.clip_by_global_norm(1.0), optim.adamw(0.1)),
]


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", ["deepcopy", "copy", "pickle"])
def test_copies_of_optimizers(name, optimizer):
    again = COPIES[name](optimizer)
    params = {"w": np.ones(3, np.float32)}
    states = []
    for each in (optimizer, again):
        state = each.init(params)
        for _ in range(2):
            updates, state = each.update({"w": X[0]}, state, params)
        states.append((updates, state))
    for a, b in zip(*map(kf.tree.leaves, states), strict=True):
        np.testing.assert_array_equal(a, b)
    assert to_config("optimizer", again) == to_config("optimizer", optimizer)


def test_layers_in_lists_of_lists_are_children():
    @nn.layer
    class Nested(nn.Layer):
        def __init__(self):
            self.blocks = [[nn.Dense(2), nn.Dense(3)], {"a": [nn.Dense(4)]}]

        def forward(self, s, x):
            for layer in (*self.blocks[0], *self.blocks[1]["a"]):
                x = layer(s, x)
            return x

    assert [name for name, _ in Nested().children()] == ["blocks_0_0", "blocks_0_1", "blocks_1_a_0"]
    same(Nested(), copy.deepcopy(Nested()), X)


NESTED = {
    "list of tuples": (lambda a, b: [(a, b)], ["blocks_0_0", "blocks_0_1"]),
    "dict of tuples": (lambda a, b: {"x": (a,), "y": (b,)}, ["blocks_x_0", "blocks_y_0"]),
    "named tuples": (lambda a, b: [collections.namedtuple("Block", "norm mlp")(a, b)], ["blocks_0_0", "blocks_0_1"]),
    "deep": (lambda a, b: [[[{"x": [(a, {"y": b})]}]]], ["blocks_0_0_0_x_0_0", "blocks_0_0_0_x_0_1_y"]),
    "integers": (lambda a, b: {1: a, 0: b}, ["blocks_1", "blocks_0"]),
    "deque": (lambda a, b: collections.deque([a, b]), ["blocks_0", "blocks_1"]),
    "user's list": (lambda a, b: collections.UserList([a, [b]]), ["blocks_0", "blocks_1_0"]),
    "read only": (lambda a, b: types.MappingProxyType({"x": (a, b)}), ["blocks_x_0", "blocks_x_1"]),
    "set": (lambda a, b: {a, b}, "`blocks` holds layers in a set"),
    "frozen set": (lambda a, b: [frozenset([(a, b)])], "`blocks_0` holds layers in a frozenset"),
    "values": (lambda a, b: {"x": a, "y": b}.values(), "`blocks` holds layers in a dict_values"),
    "separated": (lambda a, b: {"x/y": a, "z": b}, "would have the name 'blocks_x/y'"),
    "colliding": (lambda a, b: {"x": {"y_0": a}, "x_y": [b]}, "have the name 'blocks_x_y_0'"),
}


@pytest.mark.parametrize("form", NESTED)
@pytest.mark.parametrize("way", ["field", "__init__"])
def test_layers_in_nested_containers_are_children_or_refused(form, way):
    make, wanted = NESTED[form]

    @nn.layer
    class Field(nn.Layer):
        blocks: typing.Any

    @nn.layer
    class Init(nn.Layer):
        def __init__(self, form):
            self.blocks = NESTED[form][0](nn.LayerNormalization(), nn.Dense(3))

    made = (lambda: Field(make(nn.LayerNormalization(), nn.Dense(3)))) if way == "field" else (lambda: Init(form))
    if isinstance(wanted, str):
        with pytest.raises(kf.errors.LayerError, match=wanted):
            made()
    else:
        assert [name for name, _ in made().children()] == wanted


@pytest.mark.parametrize("name", ["a/b", "", 5, ["a"]])
def test_names_that_are_no_parts_of_paths(name):
    with pytest.raises(kf.errors.ArgumentError, match="`name` must consist of letters"):
        nn.Dense(3, name=name)


# -- random draws outside training -----------------------------------------------------------------------------------


@nn.layer
class Sampling(nn.Layer):
    """As in a variational autoencoder, in training and outside."""

    def forward(self, s, x):
        return x + kf.random.normal(s.key(), x.shape)


@nn.layer
class SamplingCell(nn.Layer):
    state_size: int = 3

    def forward(self, s, x, states):
        y = x + states[0] + kf.random.normal(s.key(), states[0].shape)
        return y, (y,)


def _sampling_graph():
    x = nn.Input((3,))
    shared = Sampling()
    return nn.Graph(x, [shared(nn.Dense(3)(x)), shared(x)])


@nn.layer
class MonteCarlo(nn.Layer):
    """Dropout outside training, too."""

    def forward(self, s, x):
        return kf.random.dropout(s.key(), x, 0.5)


DRAWING = {
    "Sampling": (Sampling(), X),
    "Sequential": (nn.Sequential([nn.Dense(3), Sampling(), MonteCarlo()]), X),
    "Graph": (_sampling_graph(), X),
    "Stack": (nn.Stack(nn.Sequential([nn.Dense(3), Sampling()]), 2), X),
    "Remat": (nn.Remat(Sampling()), X),
    "Frozen": (nn.Frozen(Sampling()), X),
    "RNN": (nn.RNN(SamplingCell()), X[:, None, :]),
    "TimeDistributed": (nn.TimeDistributed(Sampling()), np.stack([X, X], 1)),
}
drawing = pytest.mark.parametrize(("net", "x"), DRAWING.values(), ids=DRAWING)


@drawing
@pytest.mark.parametrize("name", BACKENDS)
def test_draws_outside_training(name, net, x):
    params, state = net.init(0, x)
    want, _ = net.apply(params, x, state=state, key=5)
    other, _ = net.apply(params, x, state=state, key=6)
    given = kf.to_backend((params, x, state), name)
    out, _ = net.apply(*given[:2], state=given[2], key=5)
    for a, b, c in zip(*map(kf.tree.leaves, (out, want, other)), strict=True):
        np.testing.assert_allclose(kf.to_numpy(a), b, rtol=1e-5, atol=1e-5)
        assert not np.array_equal(b, c)
    with pytest.raises(kf.errors.MissingKeyError, match="was given no key"):
        net.apply(*given[:2], state=given[2])


@drawing
def test_draws_are_traced(net, x):
    call = net.trace(kf.Spec((None, *x.shape[1:])))
    assert call.draws
    for spec in kf.tree.leaves(call.outputs[-1][2]):
        assert spec.shape[0] is None and spec.dtype == kf.Spec((), "float32").dtype


def test_most_networks_draw_in_training_only():
    net = nn.Sequential([nn.Dense(3), nn.Dropout(0.5), nn.GaussianNoise(1.0), nn.Remat(nn.Dropout(0.3))])
    assert not net.trace(X).draws


def test_draws_leave_the_parameters_alone():
    """They depend on the seed and the path, whatever else is drawn."""
    plain, _ = nn.Sequential([nn.Dense(3, name="a"), nn.Dense(2, name="b")]).init(0, X)
    drawn, _ = nn.Sequential([nn.Dense(3, name="a"), Sampling(), nn.Dense(2, name="b")]).init(0, X)
    for a, b in zip(*map(kf.tree.leaves, (plain, {k: drawn[k] for k in plain})), strict=True):
        np.testing.assert_array_equal(a, b)


K = kf.Spec((2,), "uint32")
P = kf.Spec((None, 4), "float32")
S = (None, 4)
DISTRIBUTIONS = {
    "normal": (lambda: kf.random.normal(K, S), S),
    "normal/float64": (lambda: kf.random.normal(K, S, "float64"), S),
    "normal/moments": (lambda: kf.random.normal(K, S, mean=P, stddev=P), S),
    "uniform": (lambda: kf.random.uniform(K, S, minval=-1.0), S),
    "bits": (lambda: kf.random.bits(K, S, "uint8"), S),
    "exponential": (lambda: kf.random.exponential(K, S), S),
    "gumbel": (lambda: kf.random.gumbel(K, S), S),
    "laplace": (lambda: kf.random.laplace(K, S), S),
    "truncated_normal": (lambda: kf.random.truncated_normal(K, shape=S), S),
    "bernoulli": (lambda: kf.random.bernoulli(K, 0.3, S), S),
    "bernoulli/array": (lambda: kf.random.bernoulli(K, P, (3, *S)), (3, *S)),
    "randint": (lambda: kf.random.randint(K, S, 0, 5), S),
    "gamma": (lambda: kf.random.gamma(K, 2.0, S), S),
    "beta": (lambda: kf.random.beta(K, P, 2.0), S),
    "binomial": (lambda: kf.random.binomial(K, 10, P), S),
    "categorical": (lambda: kf.random.categorical(K, P), (None,)),
    "categorical/samples": (lambda: kf.random.categorical(K, P, num_samples=3), (None, 3)),
    "permutation": (lambda: kf.random.permutation(K, P), S),
    "shuffle": (lambda: kf.random.shuffle(K, P), S),
    "choice": (lambda: kf.random.choice(K, 5, S), S),
    "choice/array": (lambda: kf.random.choice(K, P, (3,), axis=1), (None, 3)),
    "dropout": (lambda: kf.random.dropout(K, P, 0.5), S),
}


def test_every_distribution_has_a_row():
    own = {name for name in kf.random.__all__ if name.islower()} - {"key", "split", "fold_in"}
    assert own == {name.partition("/")[0] for name in DISTRIBUTIONS}


@pytest.mark.parametrize(("draw", "shape"), DISTRIBUTIONS.values(), ids=DISTRIBUTIONS)
def test_shapes_of_unknown_sizes_are_traced(draw, shape):
    assert draw().shape == shape


def test_arrays_need_known_sizes():
    with pytest.raises(kf.errors.ShapeError, match="known sizes"):
        kf.random.normal(kf.random.key(0), (None, 3))


# -- compiled --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", COMPILING)
@pytest.mark.parametrize("copied", [lambda net: net, copy.deepcopy], ids=["itself", "deepcopy"])
def test_compiled(name, copied):
    """Children are found by identity, which compilers must not mix up: two layers here have equal fields."""
    net = copied(nn.Sequential([KerasStyle(3), KerasStyle(3), DefaultLayers(2), TorchStyle(4, 4), TorchStyle(4)]))
    params, state = net.init(0, X)
    want, _ = net.apply(params, X, state=state)
    fun = kf.jit(lambda params, x: net.apply(params, x)[0], constant_argnums=(0,))
    for _ in range(2):
        out = fun(kf.to_backend(params, name), kf.asarray(X, backend=name))
        np.testing.assert_allclose(kf.to_numpy(out), want, rtol=1e-4, atol=1e-4)


# -- what an `__init__` of one's own means ---------------------------------------------------------------------------


def test_attributes_are_found_and_frozen():
    layer = KerasStyle(3, sizes=[4, 5], name="n")
    assert [name for name, _ in layer.children()] == ["dense", "activation", "blocks_0", "blocks_1"]
    assert layer.units == 6 and layer.name == "n" and isinstance(layer.blocks, tuple)
    assert repr(layer) == "KerasStyle(units=3, sizes=(4, 5), name='n')"
    assert list(inspect.signature(KerasStyle).parameters) == ["units", "activation", "sizes", "kwargs"]
    with pytest.raises(dataclasses.FrozenInstanceError, match=r"KerasStyle is frozen; kfunc\.replace makes"):
        layer.units = 4
    with pytest.raises(dataclasses.FrozenInstanceError, match="frozen"):
        del layer.units
    with pytest.raises(dataclasses.FrozenInstanceError, match="frozen"):
        nn.Dense(3).units = 4
    changed = kf.replace(layer, units=1)
    assert changed.units == 2 and changed.name == "n" and len(changed.blocks) == 2


def test_configs_hold_the_arguments_of_init():
    config = to_config("layer", KerasStyle(3, sizes=[4]))
    assert config == {"class": "custom:KerasStyle", "config": {"units": 3, "activation": "relu", "sizes": [4]}}
    config = to_config("layer", TorchStyle(4, 2, last=nn.ReLU()))
    assert config["config"]["sizes"] == [4, 2]


def test_a_list_that_changes_later_changes_nothing():
    sizes = [4]
    layer = KerasStyle(3, sizes=sizes)
    sizes.append(5)
    assert to_config("layer", layer)["config"]["sizes"] == [4]
    same(layer, through_json(layer), X)


def test_defaults_that_are_layers_are_no_one_elses():
    one, other = DefaultLayers(3), DefaultLayers(3)
    found = [one.scale, other.scale, one.more[0], other.more[0], DefaultLayers.scale, DefaultLayers.more[0]]
    assert len({*map(id, found)}) == len(found)
    given = OwnScale()
    assert DefaultLayers(3, given).scale is given
    assert TorchStyle().last is not TorchStyle().last


@nn.layer
class Keeps(nn.Sequential):
    """A base class that has no field of its own."""


def test_a_subclass_of_a_layer_with_fields_is_a_layer():
    same(nn.Sequential([nn.Dense(3)]), Keeps([nn.Dense(3)]), X)


def _undecorated(decorate, base, own_init=False):
    def forward(self, s, x):
        return x

    body = {"forward": forward, "__module__": __name__, "__annotations__": {} if own_init else {"units": "int"}}
    if own_init:

        def __init__(self, units):
            super(cls, self).__init__()
            self.units = units

        body["__init__"] = __init__
    cls = type("Mine", (base,), body)
    cls = decorate(cls)
    return cls


DECORATORS = {
    "none": lambda cls: cls,
    "dataclass": dataclasses.dataclass,
    "frozen": dataclasses.dataclass(frozen=True),
    "eq": dataclasses.dataclass(eq=False, kw_only=True),
}


@pytest.mark.parametrize("decorate", DECORATORS.values(), ids=DECORATORS)
@pytest.mark.parametrize("base", [nn.Layer, nn.Dense, nn.Sequential, KerasStyle], ids=lambda cls: cls.__name__)
def test_a_class_without_the_decorator(decorate, base):
    with pytest.raises((TypeError, AttributeError), match=r"@nn\.layer"):
        _undecorated(decorate, base)(units=3)


def test_an_init_without_the_decorator():
    with pytest.raises(TypeError, match=r"write @nn\.layer above `class Mine`"):
        _undecorated(lambda cls: cls, nn.Layer, own_init=True)(3)


def test_a_loss_without_the_decorator():
    class Mine(kf.losses.Loss):
        pass

    with pytest.raises(TypeError, match=r"write @kfunc\.dataclass above `class Mine`"):
        Mine()


def test_fields_below_an_init():
    with pytest.raises(TypeError, match="has fields, and inherits an __init__ that does not know them"):

        @nn.layer
        class Below(KerasStyle):
            more: int = 3


def test_an_init_that_leaves_out_what_its_base_needs():
    @nn.layer
    class Forgetful(nn.Dense):
        def __init__(self):
            self.extra = 3

    with pytest.raises(TypeError, match="Forgetful is missing the required argument 'units'"):
        Forgetful()


def test_what_an_init_does_not_take():
    with pytest.raises(TypeError, match="unexpected keyword argument 'unit'"):
        TorchStyle(unit=3)
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'nam'.*did you mean 'name'"):
        KerasStyle(3, nam="x")
    with pytest.raises(kf.errors.ArgumentError, match="activation"):
        KerasStyle(3, activation="rellu")
    with pytest.raises(kf.errors.ArgumentError, match="trainable"):
        KerasStyle(3, trainable=1)


# -- large networks, and what comes in lists ---------------------------------------------------------------------------


def test_a_network_of_many_layers_is_described():
    net = nn.Sequential([nn.Dense(1) for _ in range(12_000)])
    again = through_json(net)
    assert len(again.layers) == 12_000


def test_a_config_cannot_describe_a_network_without_end():
    net = nn.Dense(3)
    config = to_config("layer", net)
    inner = {"category": "layer", **config}
    for i in range(40):  # each holds the one before twice
        again = {"category": "same", "index": i}
        inner = {"category": "layer", "class": "Sequential", "config": {"layers": [inner, again]}}
    with pytest.raises(kf.errors.ArgumentError, match="too large"):
        from_config("layer", inner)


def _structures():
    a, b = nn.Input((3,)), nn.Input((3,))
    x, y = nn.Dense(2)(a), nn.Dense(1)(b)
    return {
        "list": nn.Graph([a, b], [x, y]),
        "tuple": nn.Graph((a, b), (x, y)),
        "one in a list": nn.Graph([a, b], [nn.Add()([x, y])]),
        "dict": nn.Graph({"a": a, "b": b}, {"x": x, "y": [y, (x,)]}),
        "dict with a tuple": nn.Graph([a, b], {"tuple": (x, y)}),
    }


@pytest.mark.parametrize("form", _structures())
@pytest.mark.parametrize("copied", [lambda net: net, *COPIES.values()], ids=["itself", *COPIES])
def test_outputs_come_in_the_structure_that_they_were_given_in(copied, form):
    net = copied(_structures()[form])
    x = {"a": X, "b": X} if isinstance(net.inputs, dict) else (X, X)
    params, _ = net.init(0, x)
    out, _ = net.apply(params, x)
    assert kf.tree.structure(out) == kf.tree.structure(_structures()[form].outputs)
    assert type(net.inputs) is type(_structures()[form].inputs)
    inside, _ = nn.Sequential([net]).apply({"graph": params}, x)
    assert kf.tree.structure(inside) == kf.tree.structure(out)


def test_graphs_keep_all_their_fields_in_files():
    x = nn.Input((3,))
    net = nn.Graph(x, nn.Dense(2)(x), name="n", trainable=False, dtype="float16", activity_regularizer="l2")
    for again in (through_json(net), copy.deepcopy(net), kf.replace(net)):
        assert again.name == "n" and again.trainable is False and again.dtype == net.dtype
        assert again.activity_regularizer == net.activity_regularizer
        same(net, again, X)


def test_the_standard_replace_does_not_guess():
    """An attribute may hold something else than the argument of its name."""
    with pytest.raises((TypeError, ValueError), match=r"units.*must be specified"):
        dataclasses.replace(KerasStyle(3), name="n")
    assert kf.replace(KerasStyle(3), name="n").units == 6
    assert dataclasses.replace(nn.Dense(3), name="n").name == "n"


@nn.layer
class Typed(nn.Layer):
    """Annotations of class variables are no fields."""

    count: typing.ClassVar[int] = 3
    units: int = 4

    def forward(self, s, x):
        return x


@nn.layer
class BelowTyped(KerasStyle):
    note: typing.ClassVar[str] = "it has no field"


def test_annotations_that_are_no_fields():
    assert "count" not in inspect.signature(Typed).parameters and Typed.count == 3
    assert BelowTyped(3).note == "it has no field"


@kf.dataclass
class OwnLoss(kf.losses.Loss):
    """A loss as a Keras user writes it."""

    def __init__(self, factor=0.5, name="own"):
        super().__init__(name=name)
        self.factor = 2 * factor

    def call(self, y_true, y_pred):
        xp = kf.namespace(y_pred)
        return self.factor * xp.mean(xp.abs(y_true - y_pred), axis=-1)


@pytest.mark.parametrize("name", BACKENDS)
def test_a_loss_with_an_init(name):
    loss = OwnLoss(0.25)
    y, p = kf.to_backend((X, 2 * X), name)
    np.testing.assert_allclose(kf.to_numpy(loss(y, p)), 0.5 * np.abs(X).mean(), rtol=1e-5)
    assert loss == OwnLoss(0.25) != OwnLoss(0.5) and hash(loss) == hash(OwnLoss(0.25))
    for copied in (copy.deepcopy, COPIES["pickle"], kf.replace):
        assert copied(loss) == loss and copied(loss).factor == 0.5


class KerasLoss(kf.losses.Loss):
    """Without a decorator, as Keras's users write it."""

    def __init__(self, factor=0.5, name="own"):
        super().__init__(name=name)
        self.factor = 2 * factor

    def call(self, y_true, y_pred):
        return self.factor * kf.ops.mean(kf.ops.abs(y_pred - y_true), axis=-1)


class KerasLossBare(kf.losses.Loss):
    def call(self, y_true, y_pred):
        return 0.5 * kf.ops.mean(kf.ops.abs(y_pred - y_true), axis=-1)


class KerasSchedule(optim.schedules.LearningRateSchedule):
    def __init__(self, initial_learning_rate):
        self.initial_learning_rate = initial_learning_rate

    def __call__(self, step):
        return self.initial_learning_rate / (1 + kf.ops.cast(step, "float32"))


class KerasInitializer(nn.initializers.Initializer):
    def __init__(self, scale):
        self.scale = scale

    def __call__(self, shape, dtype=None):
        return self.scale * kf.ops.ones(shape, dtype)


class KerasRegularizer(nn.regularizers.Regularizer):
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x):
        return self.factor * kf.ops.sum(kf.ops.square(x))


class KerasConstraint(nn.constraints.Constraint):
    def __init__(self, most):
        self.most = most

    def __call__(self, w):
        return kf.ops.clip(w, -self.most, self.most)


def half_error(y_true, y_pred):
    return kf.ops.mean(kf.ops.abs(y_pred - y_true), axis=-1) / 2


IN_KERAS_FORM = {  # a model with a class of the user's own, and one with ours that does the same
    "loss": lambda own: (nn.Dense(2), optim.sgd(0.1), KerasLoss(0.25) if own else half_error),
    "loss without init": lambda own: (nn.Dense(2), optim.sgd(0.1), KerasLossBare() if own else half_error),
    "schedule": lambda own: (
        nn.Dense(2),
        optim.sgd(KerasSchedule(0.1) if own else optim.InverseTimeDecay(0.1, 1, 1.0)),
        "mse",
    ),
    "initializer": lambda own: (
        nn.Dense(2, kernel_initializer=KerasInitializer(0.1) if own else nn.initializers.Constant(0.1)),
        optim.sgd(0.1),
        "mse",
    ),
    "regularizer": lambda own: (
        nn.Dense(2, kernel_regularizer=KerasRegularizer(0.1) if own else nn.regularizers.L2(0.1)),
        optim.sgd(0.1),
        "mse",
    ),
    "constraint": lambda own: (
        nn.Dense(2, kernel_constraint=KerasConstraint(0.2) if own else lambda w: kf.ops.clip(w, -0.2, 0.2)),
        optim.sgd(0.1),
        "mse",
    ),
}


@pytest.mark.parametrize("backend", TRAINING)
@pytest.mark.parametrize("row", IN_KERAS_FORM)
def test_classes_in_keras_form(row, backend):
    histories = []
    for own in (True, False):
        net, optimizer, loss = IN_KERAS_FORM[row](own)
        model = kf.Model(net)
        model.compile(optimizer, loss)
        histories.append(model.fit(X, X[:, :2], epochs=3, verbose=0, backend=backend).history["loss"])
    np.testing.assert_allclose(*histories, rtol=1e-5)
    assert histories[0][0] > histories[0][-1]


def test_what_is_assigned_in_keras_form_is_frozen():
    loss = KerasLoss(0.25)
    assert (loss.factor, loss.name, repr(loss)) == (0.5, "own", "KerasLoss(factor=0.25)")
    assert loss == KerasLoss(0.25) != KerasLoss(1.0) and copy.deepcopy(loss) == loss
    with pytest.raises(kf.errors.FrozenError, match="KerasLoss is frozen"):
        loss.factor = 1.0
    np.testing.assert_array_equal(KerasInitializer(2.0)((2, 3)), np.full((2, 3), 2.0))


def test_a_metric_with_keras_s_methods_is_told():
    with pytest.raises(kf.errors.ArgumentError, match="defines `update_state`, which nothing calls"):

        class Own(kf.metrics.Metric):
            def update_state(self, y_true, y_pred, sample_weight=None):
                pass


@pytest.mark.parametrize("layer", OWN[1:-1], ids=lambda layer: type(layer).__name__)
def test_models_of_layers_with_an_init_are_saved(tmp_path, layer):
    model = kf.Model(nn.Sequential([layer, nn.Dense(2)]))
    model.compile(optim.adam(0.1), OwnLoss())
    model.fit(X, X[:, :2], epochs=2, verbose=0)
    model.save(tmp_path / "model.kf")
    again = kf.Model.load(tmp_path / "model.kf")
    np.testing.assert_array_equal(again.predict(X, verbose=0), model.predict(X, verbose=0))


@nn.layer
class AsksItself(nn.Layer):
    body: nn.Layer = nn.Dense(2)

    def forward(self, s, x):
        more = 1.0 if hasattr(self, "thing") else 0.0
        return self.body(s, x) + getattr(self, "other", more)


@pytest.mark.parametrize("backend", COMPILING)
def test_attributes_that_are_missing_in_a_compiled_forward(backend):
    """PyTorch's compiler runs through what looks for them: a `__getattr__` with errors of ours would end it."""
    net, x = AsksItself(), kf.asarray(X, backend=backend)
    params, _ = net.init(0, x)
    want = net.body.apply(params["body"], x)[0]
    got = kf.jit(lambda params, x: net.apply(params, x)[0])(params, x)
    np.testing.assert_allclose(kf.to_numpy(got), kf.to_numpy(want), rtol=1e-6, atol=1e-6)


# -- `training` in a call --------------------------------------------------------------------------------------------


@nn.layer
class InMode(nn.Layer):
    """Calls a layer with `training=said`, by the keyword `word`."""

    body: nn.Layer = nn.Sequential([nn.BatchNormalization(momentum=0.5), nn.GaussianNoise(1.0)])
    said: typing.Any = None
    word: str = "training"

    def forward(self, s, x):
        return self.body(s, x, **{self.word: self.said})


@nn.layer
class ToldMode(nn.Layer):
    """A `forward` with Keras's argument `training`."""

    body: nn.Layer = nn.Sequential([nn.BatchNormalization(momentum=0.5), nn.GaussianNoise(1.0)])

    def forward(self, s, x, training=None, more=0.0):
        return self.body(s, x) + more if training is s.train else None


@nn.layer
class TellingByPosition(nn.Layer):
    told: nn.Layer = ToldMode()
    said: bool | None = None

    def forward(self, s, x):
        return self.told(s, x, self.said, 0.0)


def in_a_graph(said):
    x = nn.Input((3,))
    return nn.Graph(x, InMode().body(x, training=said))


IN_MODE = {
    "training=": lambda said: InMode(said=said),
    "train=": lambda said: InMode(said=said, word="train"),
    "to a forward that asks": lambda said: InMode(ToldMode(), said),
    "by position": lambda said: TellingByPosition(said=said),
    "in Remat": lambda said: nn.Remat(InMode(said=said)),
    "around Remat": lambda said: InMode(nn.Remat(InMode().body), said),
    "in a graph": in_a_graph,
}


@pytest.mark.parametrize("backend", TRAINING)
@pytest.mark.parametrize("make", IN_MODE.values(), ids=IN_MODE)
def test_training_in_a_call(make, backend):
    """True and False hold for the layer and those in it; None leaves it to the whole network."""
    outs = {}
    for said, train in itertools.product((None, True, False), (True, False)):
        net = make(said)
        x = kf.asarray(X, backend=backend)
        params, state = net.init(0, x)
        out, after = net.apply(params, x, state=state, key=1, train=train)
        outs[said, train] = kf.to_numpy(out)
        pairs = zip(*([kf.to_numpy(v) for v in kf.tree.leaves(part)] for part in (state, after)), strict=True)
        changed = any((a != b).any() for a, b in pairs)
        assert changed == (train if said is None else said)
    trained, not_trained = outs[None, True], outs[None, False]
    assert (trained != not_trained).all()
    np.testing.assert_array_equal(not_trained, outs[False, True])
    np.testing.assert_array_equal(not_trained, outs[False, False])
    np.testing.assert_array_equal(trained, outs[True, True])
    np.testing.assert_array_equal(trained, outs[True, False])


def test_the_model_keeps_what_a_call_said():
    """Through a file; and `predict` fills no batch up with samples that would count in statistics."""
    x = nn.Input((3,))
    model = kf.Model(x, nn.BatchNormalization()(x, training=True)).build()
    again = from_config("layer", json.loads(json.dumps(to_config("layer", model.net))))
    for net in (model, kf.Model(again).build()):
        out = net.predict(X[:3], batch_size=2)
        np.testing.assert_array_equal(out[2], 0)  # the one sample of the last batch is its own mean
        np.testing.assert_array_equal(out[:2], net(X[:2]))
    frozen = nn.freeze(model.net)
    params, state = frozen.init(0, X)
    np.testing.assert_array_equal(frozen.apply(params, X, state=state)[1]["batch_normalization"]["moving_mean"], 0)


def test_training_must_be_a_bool():
    with pytest.raises(kf.errors.ArgumentError, match="`training` must be a bool, got 'yes'"):
        InMode(said="yes").init(0, X)
    with pytest.raises(kf.errors.ArgumentError, match="`training` must be a bool or None, got 'yes'"):
        kf.Model(nn.Dropout(0.5))(X, training="yes")
    x = nn.Input((3,))
    model = kf.Model(nn.Dropout(0.5)).build(X)
    np.testing.assert_array_equal(model(X, train=True), model(X, training=True))
    assert (kf.Model(x, model(x, training=True)).predict(X) == 0).any()
