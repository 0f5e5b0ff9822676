"""Programs of TensorFlow as layers, and networks as its modules: each against TensorFlow itself."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest

import kfunc as kf
from kfunc import nn, optim
from kfunc.interop import tensorflow as interop

tf = pytest.importorskip("tensorflow")
pytestmark = pytest.mark.tensorflow

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(8, 3)).astype("float32"), RNG.normal(size=(8, 2)).astype("float32")


def equal(a, b):
    kf.tree.map(lambda x, y: np.testing.assert_array_equal(x, y), a, b)


def close(a, b):
    kf.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6), a, b)


# -- programs as layers ------------------------------------------------------------------------------------------------


class Program(tf.Module):
    """Variables of one name, one that counts, and an integer."""

    def __init__(self):
        super().__init__()
        self.kernel = tf.Variable(RNG.normal(size=(3, 2)).astype("float32"), name="a/kernel")
        self.bias, self.scale = tf.Variable(tf.zeros(2)), tf.Variable(tf.ones(2))
        self.mean = tf.Variable(tf.zeros(2), trainable=False, name="mean")
        self.calls = tf.Variable(0, name="calls")

    def layers(self, x):
        y = tf.tanh(x @ self.kernel + self.bias)
        _, y = tf.while_loop(lambda i, _: i < 2, lambda i, y: (i + 1, tf.sin(y)), [0, y])
        return y * self.scale

    @tf.function(input_signature=[tf.TensorSpec((None, 3))])
    def serve(self, x):
        return self.layers(x) - self.mean

    @tf.function(input_signature=[tf.TensorSpec((None, 3))])
    def train(self, x):
        self.calls.assign_add(1)
        y = self.layers(x)
        self.mean.assign(0.5 * self.mean + 0.5 * tf.reduce_mean(y, 0))
        return y

    @tf.function(input_signature=[tf.TensorSpec((None, 3))])
    def loop(self, x):
        return tf.while_loop(lambda i, _: i < 2, lambda i, y: (i + 1, tf.sin(y * self.scale)), [0, x[:, :2]])[1]

    @tf.function(input_signature=[{"a": tf.TensorSpec((None, 3)), "b": tf.TensorSpec((None, 3))}])
    def both(self, inputs):
        return {"sum": inputs["a"] + inputs["b"], "all": (self.layers(inputs["a"]), [inputs["b"]])}


PATHS = {"a/kernel", "Variable", "Variable_1"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("saved"))
    program = Program()
    tf.saved_model.save(program, path, signatures={"serving_default": program.serve})
    return path


@pytest.fixture(scope="module")
def layer(folder):
    return nn.TFSMLayer(folder, call_training_endpoint="train")


@pytest.fixture(scope="module")
def native(folder):
    return tf.saved_model.load(folder)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("train", [False, True])
def test_values_state_and_gradients(layer, folder, train, compiled):
    """Those of the program with these values in its variables, which stay as they are."""
    params, state = layer.init(0, tf.constant(X))
    assert set(kf.tree.paths(params)) == PATHS and set(kf.tree.paths(state)) == {"calls", "mean"}
    params = kf.tree.map(lambda v: v + 0.5, params)

    def loss(params, x):
        y, new = layer.apply(params, x, state=state, train=train)
        return tf.reduce_sum(y * y), (y, new)

    both = kf.value_and_grad(loss, argnums=(0, 1), has_aux=True)
    (_, (y, new)), (grads, share) = (kf.jit(both) if compiled else both)(params, tf.constant(X))

    native, x = tf.saved_model.load(folder), tf.constant(X)
    variables = [native.kernel, native.bias, native.scale]
    for variable, value in zip(
        variables, [params["a"]["kernel"], params["Variable"], params["Variable_1"]], strict=True
    ):
        variable.assign(value)
    with tf.GradientTape() as tape:
        tape.watch(x)
        want = (native.train if train else native.serve)(x)
        value = tf.reduce_sum(want * want)
    *wanted, wanted_share = tape.gradient(value, [*variables, x])
    close(y, want)
    close([grads["a"]["kernel"], grads["Variable"], grads["Variable_1"], share], [*wanted, wanted_share])
    close(new, {"calls": native.calls, "mean": native.mean})
    assert int(new["calls"]) == train


def test_a_tape_around_a_function(layer):
    """TensorFlow differentiates the graph of a `tf.function` in another way."""
    params, state = layer.init(0, tf.constant(X))
    run = tf.function(lambda params: layer.apply(params, tf.constant(X), state=state)[0], autograph=False)
    grads = []
    for fun in (run, lambda params: layer.apply(params, tf.constant(X), state=state)[0]):
        with tf.GradientTape() as tape:
            tape.watch(params["a"]["kernel"])
            value = tf.reduce_sum(fun(params) ** 2)
        grads.append(tape.gradient(value, params["a"]["kernel"]))
    close(*grads)


def test_a_variable_in_a_loop(folder, native):
    """TensorFlow differentiates it under one tape, and outside of compiled functions."""
    layer, x = nn.TFSMLayer(folder, "loop"), tf.constant(X)
    params, state = layer.init(0, x)
    grads = kf.grad(lambda params: tf.reduce_sum(layer.apply(params, x, state=state)[0]))(params)
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(native.loop(x))
    close(grads["Variable"], tape.gradient(value, native.scale))


def test_a_derivative_of_the_derivative(layer):
    params, state = layer.init(0, tf.constant(X))

    def loss(x):
        return tf.reduce_sum(layer.apply(params, x, state=state)[0])

    with pytest.raises(kf.errors.UnsupportedError, match="derivative of a TFSMLayer's derivative"):
        kf.grad(lambda x: tf.reduce_sum(kf.grad(loss)(x) ** 2))(tf.constant(X))


def test_calls_do_not_know_of_each_other(layer):
    """Threads with other parameters, at the same time."""
    x = tf.constant(X)
    params, state = layer.init(0, x)
    trees = [kf.tree.map(lambda v, n=n: v * (n + 1.0), params) for n in range(4)]
    want = [layer.apply(p, x, state=state)[0].numpy() for p in trees]
    got = [[] for _ in trees]

    def run(n):
        for _ in range(20):
            got[n].append(layer.apply(trees[n], x, state=state)[0].numpy())

    threads = [threading.Thread(target=run, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for ys, y in zip(got, want, strict=True):
        assert len(ys) == 20
        for other in ys:
            np.testing.assert_array_equal(other, y)


def test_in_a_model(layer, native):
    model = kf.Model(nn.Sequential([layer, nn.Dense(2)]))
    model.compile("sgd", "mse")
    losses = model.fit(X, Y, 8, 3, verbose=0, backend="tensorflow").history["loss"]
    assert losses[2] < losses[0]
    assert int(model.train_state.state["tfsm_layer"]["calls"]) == 3 and int(native.calls) == 0
    before = model.predict(X)
    model.freeze("tfsm_layer")
    assert kf.tree.paths(model.train_state.params) == ["dense/bias", "dense/kernel"]
    close(model.predict(X), before)


def test_in_a_network_of_half_precision(folder, native):
    """The program has dtypes of its own, which the layer says by its own policy."""
    with pytest.raises(kf.errors.ShapeError, match="dtype='float32'"):
        nn.Sequential([nn.TFSMLayer(folder)], dtype="mixed_bfloat16").init(0, tf.constant(X))
    layers = [nn.TFSMLayer(folder, dtype="float32"), nn.Dense(2)]
    net, x = nn.Sequential(layers, dtype="mixed_bfloat16"), tf.constant(X)
    params, state = net.init(0, x)
    assert params["tfsm_layer"]["a"]["kernel"].dtype == tf.float32
    assert net.apply(params, x, state=state)[0].dtype == tf.bfloat16
    x = tf.cast(tf.cast(x, tf.bfloat16), tf.float32)  # the network rounds it
    close(net.layers[0].apply(params["tfsm_layer"], x, state=state["tfsm_layer"])[0], native.serve(x))


@pytest.mark.parametrize(
    ("endpoint", "x", "want"),
    [
        ("serving_default", X, lambda m: {"output_0": m.serve(X)}),
        ("both", {"a": X, "b": X}, lambda m: {"sum": tf.constant(X + X), "all": (m.layers_(X), [X])}),
    ],
)
def test_endpoints(folder, native, endpoint, x, want):
    native.layers_ = lambda x: native.serve(x)  # the mean is 0
    layer, x = nn.TFSMLayer(folder, endpoint), kf.to_backend(x, "tensorflow")
    params, state = layer.init(0, x)
    out = layer.apply(params, x, state=state)[0]
    close(out, want(native))
    specs = layer.trace(kf.tree.map(lambda a: kf.Spec((None, 3)), x)).outputs[-1][2]
    assert kf.tree.structure(specs) == kf.tree.structure(out)
    assert kf.tree.leaves(specs)[0].shape[0] is None


@kf.register("layer", "test_tensorflow_modules.saved_folder")
def saved_folder():
    return saved_folder.path


def test_in_a_file(folder, tmp_path):
    """A file names no program; a registered function may."""
    saved_folder.path = folder
    for path in (saved_folder, "custom:test_tensorflow_modules.saved_folder"):
        model = kf.Model(nn.Sequential([nn.TFSMLayer(path)]))
        model.build(kf.Spec((None, 3)), backend="tensorflow")
        model.save(tmp_path / "model", overwrite=True)
        again = kf.Model.load(tmp_path / "model", backend="tensorflow")
        equal(again.predict(X), model.predict(X))
    config = kf.registry.to_config("layer", nn.TFSMLayer(folder))
    with pytest.raises(kf.errors.ArgumentError, match="A TFSMLayer cannot be in a model file"):
        kf.registry.from_config("layer", json.loads(json.dumps(config)))


WRONG = {
    "nothing there": (lambda folder: nn.TFSMLayer(f"{folder}/none"), "FileError", "is no SavedModel"),
    "endpoint": (lambda folder: nn.TFSMLayer(folder, "call"), "ArgumentError", "no endpoint 'call'"),
    "no function": (lambda folder: nn.TFSMLayer(folder, "kernel"), "ArgumentError", "no endpoint 'kernel'"),
    "training": (
        lambda folder: nn.TFSMLayer(folder, call_training_endpoint="fit"),
        "ArgumentError",
        "call_training_endpoint",
    ),
    "path": (lambda folder: nn.TFSMLayer(3), "ArgumentError", "`filepath` must be the path of a folder"),
    "shape": (lambda folder: nn.TFSMLayer(folder).init(0, kf.Spec((None, 4))), "ShapeError", "for other inputs"),
    "net": (lambda folder: interop.to_module(tf.Module(), {}), "ArgumentError", "`net` must be a layer"),
    "backend": (
        lambda folder: kf.Model(nn.TFSMLayer(folder)).predict(X),
        "UnsupportedError",
        "TFSMLayer computes with arrays of tensorflow only, and got arrays of numpy",
    ),
}


@pytest.mark.parametrize("row", WRONG)
def test_refusals(row, folder):
    run, error, words = WRONG[row]
    with pytest.raises(getattr(kf.errors, error)) as caught:
        run(folder)
    assert words in str(caught.value)


# -- networks as modules -----------------------------------------------------------------------------------------------


NET = nn.Sequential(
    [nn.Dense(4, "tanh", kernel_regularizer="l2", name="name"), nn.BatchNormalization(name="variables"), nn.Dense(2)]
)
"""The names are those of attributes of every `tf.Module`."""


def test_in_a_loop_of_tensorflow():
    """A tape and steps by hand, against the same steps of kfunc's functions."""
    params, state = NET.init(0, tf.constant(X))
    module = interop.to_module(NET, params, state)
    paths = [v.name.partition(":")[0] for v in module.trainable_variables]
    assert sorted(paths) == kf.tree.paths(params)
    assert [v.name for v in module.variables if not v.trainable] == [
        "variables/moving_mean:0",
        "variables/moving_variance:0",
    ]

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            out, aux = module(x, training=True, aux=True)
            loss = tf.reduce_mean((out - y) ** 2) + sum(aux.losses.values())
        for v, g in zip(module.trainable_variables, tape.gradient(loss, module.trainable_variables), strict=True):
            v.assign_sub(0.1 * g)

    for _ in range(3):
        step(tf.constant(X), tf.constant(Y))

    optimizer = optim.sgd(0.1)
    opt_state = optimizer.init(params)
    for _ in range(3):

        def loss(params, state=state):
            out, new, aux = NET.apply(params, tf.constant(X), state=state, train=True, aux=True)
            return tf.reduce_mean((out - Y) ** 2) + sum(aux.losses.values()), new

        (_, state), grads = kf.value_and_grad(loss, has_aux=True)(params)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        params = kf.tree.map(lambda p, u: p + u, params, updates)
    got = {v.name.partition(":")[0]: v.numpy() for v in module.variables}
    want = {
        path: x.numpy() for t in (params, state) for path, x in zip(kf.tree.paths(t), kf.tree.leaves(t), strict=True)
    }
    close(got, want)


def test_checkpoints_and_saved_models(tmp_path):
    """They come back, in TensorFlow and as a layer, whose tree has the paths of the network."""
    params, state = NET.init(0, X)
    module, x = interop.to_module(NET, params, state), tf.constant(X)
    module(x, training=True, aux=False)
    want = module(x)
    close(want, module(X))
    written = tf.train.Checkpoint(module=module).save(str(tmp_path / "checkpoint"))
    other = interop.to_module(NET, *NET.init(1, X))
    assert not np.allclose(other(x), want)
    tf.train.Checkpoint(module=other).restore(written).assert_consumed()
    equal(other(x), want)

    module.serve = tf.function(module, input_signature=[tf.TensorSpec((None, 3))])
    tf.saved_model.save(module, str(tmp_path / "saved"), signatures=module.serve.get_concrete_function())
    served = tf.saved_model.load(str(tmp_path / "saved"))
    close(served.serve(x), want)
    layer = nn.TFSMLayer(str(tmp_path / "saved"))
    again = layer.init(0, x)
    assert [*map(kf.tree.paths, again)] == [*map(kf.tree.paths, (params, state))]
    close(layer.apply(again[0], x, state=again[1])[0], want)


def test_draws():
    """They are TensorFlow's, new in each call, inside of a `tf.function` too."""
    module, x = interop.to_module(nn.Dropout(0.5), {}), tf.ones((4, 16))
    for run in (module, tf.function(module)):
        draws = []
        for seed in (0, 0, 1):
            tf.random.set_seed(seed)
            draws.append([run(x, training=True).numpy() for _ in range(2)])
        if run is module:  # the seed of an operation in a `tf.function` stands in its graph
            equal(draws[0], draws[1])
            assert not np.array_equal(draws[0], draws[2])
        assert not np.array_equal(*draws[0])
    equal(module(x), x)


def test_auxiliary_losses_are_not_lost():
    module = interop.to_module(NET, *NET.init(0, X))
    with pytest.warns(UserWarning, match="aux=True"):
        module(X, training=True)
    module(X, training=True)  # is said once
    interop.to_module(NET, *NET.init(0, X))(X, training=True, aux=False)


def test_only_floats_train():
    values = {"kernel": X[:, :2], "index": np.arange(3), "phase": np.ones(2, "complex64")}
    module = interop.to_module(nn.Dense(2), values)
    assert [v.name for v in module.trainable_variables] == ["kernel:0", "phase:0"]
