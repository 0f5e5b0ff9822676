"""What editors are told: every public function of arrays has a type for each parameter and for its result, and the
signature that Python shows is that of the function as written, decorators or not."""

from __future__ import annotations

import inspect
import typing

import pytest

import kfunc as kf
from kfunc.ops import Op

TRANSFORMS = tuple(kf.transforms.__all__)
PLACES = {
    "ops": (kf.ops, dir(kf.ops)),
    "ops.nn": (kf.ops.nn, dir(kf.ops.nn)),
    "ops.image": (kf.ops.image, dir(kf.ops.image)),
    "random": (kf.random, kf.random.__all__),
    "tree": (kf.tree, kf.tree.__all__),
    "kfunc": (kf, TRANSFORMS),
}
FUNCTIONS = {
    f"{place}.{name}": getattr(module, name)
    for place, (module, names) in PLACES.items()
    for name in names
    if not name.startswith("_") and callable(getattr(module, name)) and not inspect.isclass(getattr(module, name))
}


def untyped(fun):
    """The parameters of `fun` without a type, and "return" if its result has none."""
    signature = inspect.signature(fun)
    found = [name for name, p in signature.parameters.items() if p.annotation is p.empty]
    return found + ["return"] * (signature.return_annotation is signature.empty)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_parameter_and_result_has_a_type(name):
    fun = FUNCTIONS[name]
    assert untyped(fun) == []
    typing.get_type_hints(fun.reference if isinstance(fun, Op) else inspect.unwrap(fun))  # their names exist


def test_the_check_finds():
    assert untyped(lambda x: x) == ["x", "return"]


@pytest.mark.parametrize(
    ("fun", "signature"),
    [
        (kf.ops.relu, "(x: 'Array') -> 'Array'"),
        (kf.ops.softmax, "(x: 'Array', axis: 'int | Sequence[int] | None' = -1) -> 'Array'"),
        (kf.ops.concatenate, "(xs: 'Sequence[Array] | Array', axis: 'int | None' = 0) -> 'Array'"),  # op(nested=True)
        (kf.ops.mean, "(x: 'Array', axis: 'int | Sequence[int] | None' = None, keepdims: 'bool' = False) -> 'Array'"),
        (kf.random.split, "(key: 'Array', num: 'int | Sequence[int]' = 2) -> 'Array'"),
    ],
    ids=["op", "op with options", "nested op", "op in single precision", "door"],
)
def test_decorators_keep_the_signature(fun, signature):
    assert str(inspect.signature(fun)) == signature


@pytest.mark.parametrize(
    "transform", [kf.jit, kf.grad, kf.value_and_grad, kf.vmap, kf.checkpoint], ids=lambda t: t.__name__
)
def test_transforms_keep_the_name_and_the_signature(transform):
    def loss(w: float, x: float) -> float:
        return w * x

    out = transform(loss)
    assert out.__name__ == "loss"
    assert list(inspect.signature(out).parameters) == ["w", "x"]
