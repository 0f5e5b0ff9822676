"""Layers with Keras's `call`, without a decorator: one text runs in Keras and here, with equal results."""

from __future__ import annotations

import copy
import functools
import gc
import pickle
import re
import weakref

import numpy as np
import pytest
from backends import params

import kfunc as kf
from kfunc import keras as ours
from kfunc import nn
from kfunc.errors import ArgumentError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 6)).astype("float32")
IDS = np.array([[3, 1, 0, 0], [2, 2, 2, 0], [1, 4, 3, 2]])


def parts(keras):
    """Children in attributes, lists and dicts, a model among them; methods, properties and a base class."""
    layers = keras.layers

    class Base(layers.Layer):
        def __init__(self, units, **kwargs):
            super().__init__(**kwargs)
            self.dense = layers.Dense(units, activation="tanh")

        def call(self, x):
            return self.dense(x)

    class Parts(Base):
        def __init__(self, units, **kwargs):
            super().__init__(units, **kwargs)
            self.factor = 3.0
            self.ffn = keras.Sequential([layers.Dense(5, activation="relu"), layers.Dense(units)])
            self.several = [layers.Dense(units), layers.LayerNormalization()]
            self.named = {"last": layers.Dense(units)}

        @property
        def last(self):
            return self.named["last"]

        @staticmethod
        def doubled(x):
            return x * 2

        def rest(self, x):
            for layer in self.several:
                x = layer(x)
            return self.doubled(self.last(x)) * self.factor

        def call(self, inputs):
            self.seen = super().call(inputs)
            return self.rest(self.ffn(self.seen)) + self.dense(inputs)

    return (6,), lambda x: Parts(3, name="mine")(x)


def inner(keras):
    """A layer in a layer in a layer, one of which is called from outside."""
    layers = keras.layers

    class Inner(layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(3)

        def call(self, x, scale=1.0):
            return self.dense(x) * scale

    class Outer(layers.Layer):
        def __init__(self):
            super().__init__()
            self.inner = Inner()

        def call(self, x, y):
            return self.inner(x, scale=2.0) + self.inner.dense(y)

    return (6,), lambda x: Outer()(x, x + 1)


def positions(keras):
    """Numbers that are made without saying where."""
    layers, ops = keras.layers, keras.ops

    class Positions(layers.Layer):
        def __init__(self, length, size):
            super().__init__()
            self.tokens = layers.Embedding(input_dim=size, output_dim=3)
            self.positions = layers.Embedding(input_dim=length, output_dim=3)

        def call(self, x):
            length = ops.shape(x)[-1]
            return self.tokens(x) + self.positions(ops.arange(start=0, stop=length, step=1))

    return (4, "int32"), lambda x: Positions(4, 5)(x)


def masks(keras):
    """A mask goes from child to child, in from outside, and out."""
    layers = keras.layers

    class Embed(layers.Layer):
        def __init__(self):
            super().__init__()
            self.embed = layers.Embedding(5, 3, mask_zero=True)
            self.dense = layers.Dense(3)

        def call(self, x):
            return self.dense(self.embed(x))

    class Read(layers.Layer):
        def __init__(self):
            super().__init__()
            self.mean = layers.GlobalAveragePooling1D()
            self.supports_masking = True

        def call(self, x, mask=None):
            y = x + self.mean(x)[:, None]
            return y if mask is None else y + keras.ops.cast(mask, "float32")[..., None]  # Keras builds it without one

    return (4, "int32"), lambda x: Read()(Embed()(x))


def weights(keras):
    """Weights of its own, made in `build`, which is told the shape of the first input; an auxiliary loss."""
    layers = keras.layers

    class Linear(layers.Layer):
        def __init__(self, units):
            super().__init__()
            self.units = units

        def build(self, input_shape):
            size = input_shape[-1]
            self.w = self.add_weight(shape=(size, self.units), initializer="random_normal", trainable=True, name="w")
            self.b = self.add_weight(shape=(self.units,), initializer="ones", regularizer="l2", name="b")

        def call(self, x, shift):
            y = keras.ops.matmul(x, self.w) + self.b + shift
            self.add_loss(keras.ops.abs(y) * 1e-2)
            return y

    return (6,), lambda x: Linear(3)(x, x[:, :1])


def training(keras):
    """`call` is told whether it is in training, and so is a child of a child."""
    layers = keras.layers

    class Doubles(layers.Layer):
        def call(self, x, training=None):
            return x * 2 if training else x

    class Both(layers.Layer):
        def __init__(self):
            super().__init__()
            self.first, self.second, self.never = Doubles(), Doubles(), Doubles()

        def call(self, x, training=False):
            return self.first(x) + self.second(x, training=training) * 10 + self.never(x, training=False) * 100

    return (6,), lambda x: Both()(x)


def built(keras):
    """Layers that `build` makes, as it knows shapes: one, a model, and several in a list and a dict."""
    layers = keras.layers

    class Built(layers.Layer):
        def build(self, input_shape):
            size = input_shape[-1]
            self.gate = layers.Dense(size, activation="sigmoid")
            self.ffn = keras.Sequential([layers.Dense(4, activation="relu"), layers.Dense(size)])
            self.several = [layers.Dense(size) for _ in range(2)]
            self.named = {"last": layers.Dense(2)}

        def call(self, x):
            x = self.gate(x) * self.ffn(x)
            for layer in self.several:
                x = layer(x)
            return self.named["last"](x)

    return (6,), lambda x: Built(name="mine")(x)


def arrays(keras):
    """NumPy arrays in attributes, and arrays of the size of the batch, which is not known while shapes are found."""
    layers, ops = keras.layers, keras.ops

    class Arrays(layers.Layer):
        def __init__(self):
            super().__init__()
            self.mask = np.array([0, 1] * 3, "float32")
            self.several = [np.eye(6, dtype="float32"), np.ones((6,), "float32")]
            self.dense = layers.Dense(6)

        def call(self, x):
            batch = ops.shape(x)[0]
            x = self.mask * self.dense(x) + (1 - self.mask) * ops.matmul(x, self.several[0]) * self.several[1]
            out = ops.zeros((batch, 6)) + ops.full([batch, 1], 2.0)
            out += x * ops.ones([batch, 1])
            return ops.reshape(ops.reshape(out, [batch, -1, 2]), (batch, 6))

    return (6,), lambda x: Arrays()(x)


def names(keras):
    """Names that a layer in a call might need for itself, two weights of one name, setters and other descriptors."""
    layers = keras.layers

    class Mixin:
        def call(self, x):
            return self.rest(x)

    class Names(Mixin, layers.Layer):
        def __init__(self):
            super().__init__()
            self._factor = 1.0
            self.scope, self._layer = layers.Dense(3), layers.Dense(3)
            self.several = [layers.Dense(3, activation="tanh") for _ in range(3)]

        @property
        def factor(self):
            return self._factor

        @factor.setter
        def factor(self, value):
            self._factor = value * 10

        @functools.cached_property
        def last(self):
            return self.several[-1]

        def _part(self, x, by):
            return x * by

        twice = functools.partialmethod(_part, by=2)

        def build(self, input_shape):
            self.pair = [self.add_weight(shape=(3,), initializer="ones", name="w") for _ in range(2)]
            super().build(input_shape)

        def rest(self, x):
            self.factor = 2.0
            x = self._layer(self.scope(x))
            for layer in self.several:
                x = self.twice(layer(x)) if layer is self.last else layer(x)
            return x * self.pair[0] - self.pair[1] * self.factor

    return (6,), lambda x: Names()(x)


def shorter(keras):
    """A layer that computes its mask."""
    layers = keras.layers

    class Shorter(layers.Layer):
        def call(self, x):
            return x[:, ::2] * 1.0

        def compute_mask(self, x, mask=None):
            return None if mask is None else mask[:, ::2]

    def made(x):
        x = Shorter()(layers.Embedding(5, 3, mask_zero=True)(x))
        return layers.GlobalAveragePooling1D()(x)

    return (4, "int32"), made


CASES = {
    case.__name__: case for case in (parts, inner, positions, masks, weights, training, built, arrays, names, shorter)
}


COMPILED = ("inner", "masks", "weights")
"""PyTorch's compiler cannot run through `super()` in a `call`, and warns of layers that `build` makes."""


def made(keras, case):
    (length, *dtype), layer = CASES[case](keras)
    inputs = keras.Input((length,), dtype=dtype[0] if dtype else None)
    model = keras.Model(inputs, layer(inputs))
    model.compile("sgd", "mse")
    return model, IDS if dtype else X


@functools.cache
def of_keras(case):
    """Keras's outputs without and with training, its loss, and its weights after a step: from our first weights."""
    model, x = made(pytest.importorskip("keras"), case)
    model.set_weights(made(ours, case)[0].build(x).get_weights())
    y = model.predict(x, verbose=0)
    trained, loss = model(x, training=True), model.evaluate(x, y * 0, verbose=0)
    model.fit(x, y * 0, verbose=0, batch_size=len(x))
    return np.asarray(y), np.asarray(trained), loss, [np.asarray(w.value) for w in model.weights]


@pytest.mark.parametrize("backend", params(("numpy", "jax", "torch", "tensorflow")))
@pytest.mark.parametrize("case", CASES)
def test_beside_keras(case, backend):
    y, trained, loss, weights = of_keras(case)
    model, x = made(ours, case)
    first = model.build(x).to(backend).get_weights()
    near = {"rtol": 1e-5, "atol": 1e-5}
    np.testing.assert_allclose(model.predict(x, verbose=0), y, **near)
    np.testing.assert_allclose(kf.to_numpy(model(kf.asarray(x, backend=backend), training=True)), trained, **near)
    np.testing.assert_allclose(model.evaluate(x, y * 0, verbose=0), loss, **near)
    model.fit(x, y * 0, verbose=0, batch_size=len(x))
    for got, want, before in zip(model.get_weights(), weights, first, strict=True):
        np.testing.assert_allclose(got - before, want - before, rtol=1e-4, atol=1e-6)


def test_files():
    """A class that is registered is saved, as any other; one without a decorator is told about it."""

    @nn.layer
    class Registered(nn.Layer):
        def __init__(self, units):
            super().__init__()
            self.dense = nn.Dense(units)

        def call(self, x):
            return self.dense(x)

    class Unknown(nn.Layer):
        def call(self, x):
            return x

    net = nn.deserialize(nn.serialize(Registered(2)))
    params, _ = net.init(0, X)
    assert net.apply(params, X)[0].shape == (4, 2) and list(params) == ["dense"]
    with pytest.raises(ArgumentError, match="Unknown"):
        nn.serialize(Unknown())


def test_a_layer_with_fields_keeps_its_decorator():
    class Fields(nn.Layer):
        units: int = 3

        def call(self, x):
            return x * self.units

    with pytest.raises(TypeError, match=r"write @nn\.layer above `class Fields`"):
        Fields()
    y, _ = nn.layer(Fields)(2).apply({}, X)
    np.testing.assert_array_equal(y, X * 2)


def test_random_numbers():
    class Noise(nn.Layer):
        def call(self, x):
            return x + kf.random.normal(self.scope.key(), x.shape)

    (first, _), (second, _) = (Noise().apply({}, X, key=key) for key in (0, 1))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, Noise().apply({}, X, key=0)[0])


class Scaled(nn.Layer):
    def __init__(self):
        super().__init__()
        self.scale = 1.0

    @property
    def fixed(self):
        return 2

    def call(self, x, scale=1.0):
        return x * self.scale * scale


def assigned(self, name, value):
    setattr(self, name, value)


def set_and_called(self, x, name, value):
    setattr(self.inner, name, value)
    return self.inner(x)


REFUSED = {  # what `call` does, and the words of the error: all of it had no effect, or ended in a RecursionError
    "an argument that is not there": (lambda self, x: self.inner(x, scal=2.0), "unexpected keyword argument 'scal'"),
    "an attribute of a child": (lambda self, x: set_and_called(self, x, "scale", 2.0), "`scale` of Scaled was set"),
    "freezing a child": (lambda self, x: set_and_called(self, x, "trainable", False), r"model\.freeze\('path'\)"),
    "a property without a setter": (
        lambda self, x: assigned(self.inner, "fixed", 3),
        "'fixed' of Scaled has no setter",
    ),
    "copy": (lambda self, x: copy.copy(self), "cannot be copied or pickled inside"),
    "deepcopy of a child": (lambda self, x: copy.deepcopy(self.inner), "cannot be copied or pickled inside"),
    "pickle": (lambda self, x: pickle.dumps(self), "cannot be copied or pickled inside"),
    "a call of itself": (lambda self, x: self(x), "calls itself"),
}


@pytest.mark.parametrize("row", REFUSED)
def test_refused(row):
    do, words = REFUSED[row]

    class Outer(nn.Layer):
        def __init__(self):
            super().__init__()
            self.inner = Scaled()

        def call(self, x):
            return do(self, x)

    with pytest.raises((TypeError, AttributeError, kf.errors.LayerError)) as error:
        Outer().apply({}, X)
    assert re.search(words, str(error.value))


def test_arrays_are_freed_with_the_call():
    """Not when Python looks for cycles of references: activations would fill the memory until then."""
    alive = []

    class Made(nn.Layer):
        def build(self, input_shape):
            self.dense = nn.Dense(3)

        def call(self, x):
            self.dense.seen = self.seen = y = self.dense(x)
            if isinstance(y, np.ndarray):
                alive.append(weakref.ref(y))
            return y * 2

    params, _ = Made().init(0, X)
    gc.disable()
    try:
        Made().apply(params, X)
        assert alive and all(ref() is None for ref in alive)
    finally:
        gc.enable()


def test_nothing_is_kept():
    """What `call` assigns is gone after it: the layer is frozen, and a call is a pure function."""

    class Assigns(nn.Layer):
        def call(self, x):
            self.seen = x
            return self.seen

    layer = Assigns()
    layer.apply({}, X)
    with pytest.raises(AttributeError):
        layer.seen  # noqa: B018


@pytest.mark.parametrize("backend", params(("jax", "torch", "tensorflow")))
@pytest.mark.parametrize("case", COMPILED)
def test_compiled(case, backend):
    """Compilers run through the whole of `call`: PyTorch's looks at objects before they are complete."""
    model, x = made(ours, case)
    net, (params, state) = model.net, model.net.init(0, x)
    want, _ = net.apply(params, x, state=state)
    params, state, x = kf.to_backend((params, state, x), backend)
    got = kf.jit(lambda params, x: net.apply(params, x, state=state)[0])(params, x)
    np.testing.assert_allclose(kf.to_numpy(got), want, rtol=1e-5, atol=1e-5)
