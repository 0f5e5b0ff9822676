"""The closed registry: what goes into a config comes back, and nothing else does."""

from __future__ import annotations

import dataclasses
import json

import pytest

from kfunc import registry
from kfunc.errors import ArgumentError


@registry.register("layer")
@dataclasses.dataclass(frozen=True)
class Leaf:
    units: int
    activation: object = None
    derived: int = dataclasses.field(default=7, init=False)


@registry.register("layer")
@dataclasses.dataclass(frozen=True)
class Stack:
    layers: tuple


@registry.register("layer")
class Described:
    def __init__(self, inner):
        self.inner = inner

    def get_config(self):
        return {"inner": [self.inner]}

    @classmethod
    def from_config(cls, config):
        return cls(*config["inner"])


@registry.register("activation", "twice", "double")
def twice(x):
    return 2 * x


def through_json(category, obj):
    return registry.from_config(category, json.loads(json.dumps(registry.to_config(category, obj))))


@pytest.mark.parametrize(
    "obj",
    [
        Leaf(3),
        Leaf(3, activation="relu"),
        Leaf(3, activation=twice),
        Leaf(3, activation={"a": (1, 2.5, None, True), "category": {"class": "x"}}),
        Stack((Leaf(1), Stack((Leaf(2), Leaf(2))))),
    ],
    ids=["plain", "name", "function", "nested", "shared"],
)
def test_dataclasses_come_back_equal(obj):
    assert through_json("layer", obj) == obj


def test_one_object_twice_is_one_object_again_and_equal_ones_stay_apart():
    shared = Leaf(2)
    back = through_json("layer", Stack((shared, Stack((Leaf(2), shared)), Described(shared))))
    assert back.layers[0] is back.layers[1].layers[1] is back.layers[2].inner
    assert back.layers[1].layers[0] is not back.layers[0]


def test_get_config_and_from_config():
    assert through_json("layer", Described(Leaf(5))).inner == Leaf(5)


def test_names():
    assert registry.to_config("activation", twice) == "custom:twice"
    for name in ("custom:twice", "custom:double"):
        assert registry.resolve("activation", name) is twice
    assert registry.resolve("activation", twice) is twice
    assert registry.resolve("layer", Stack((Leaf(1),))) == Stack((Leaf(1),))
    assert registry.to_config("activation", "custom:double") == "custom:twice"
    assert "custom:Leaf" in registry.names("layer")


GRAPH = {"inputs": [[None, 2], "float32"], "nodes": [["one", "two"]], "outputs": []}


@pytest.mark.parametrize(
    "call, text",
    [
        (lambda: registry.resolve("activation", "custom:twise"), "did you mean 'custom:twice'"),
        (lambda: registry.resolve("activations", "relu"), "did you mean 'activation'"),
        (lambda: registry.resolve("layer", {"class": "os.system", "config": {}}), "no layer 'os.system'"),
        (lambda: registry.resolve("layer", {"class": "custom:Leaf", "config": {"unit": 1}}), "unexpected keyword"),
        (lambda: registry.from_config("layer", {"config": {}}), "no layer None"),
        (lambda: registry.from_config("layer", 5), "malformed"),
        (lambda: registry.from_config("layer", {"class": "custom:Leaf", "config": 5}), "malformed"),
        (
            lambda: registry.from_config("layer", {"class": "custom:Leaf", "config": {"units": {"category": "same"}}}),
            "malformed",
        ),
        (lambda: registry.from_config("layer", {"class": "Graph", "config": GRAPH}), "malformed"),
        (lambda: registry.to_config("layer", Stack((object(),))), "cannot describe"),
        (lambda: registry.to_config("layer", Leaf(1, activation=lambda x: x)), "cannot describe"),
        (lambda: registry.to_config("layer", twice), "cannot describe"),
        (lambda: registry.register("layer", "custom:Leaf")(Stack), "already registered"),
    ],
)
def test_errors(call, text):
    with pytest.raises(ArgumentError, match=text):
        call()
