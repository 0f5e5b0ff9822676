"""`Model`: the same training on every backend, and what Keras's users expect of it."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from backends import BACKENDS, params
from digits_data import digits

import kfunc as kf
from kfunc import nn

TRAINING = params(("numpy", "jax", "torch", "tensorflow"))
LOSS = kf.losses.SparseCategoricalCrossentropy(from_logits=True)


def network():
    return nn.Sequential(
        [
            nn.Conv2D(8, 3, padding="same", activation="relu"),
            nn.MaxPooling2D(),
            nn.BatchNormalization(),
            nn.Flatten(),
            nn.Dropout(0.25),
            nn.Dense(10),
        ]
    )


def compiled(net=None, optimizer="adam", loss=LOSS, metrics=("accuracy",), **options):
    model = kf.Model(network() if net is None else net)
    model.compile(optimizer, loss, metrics=metrics, **options)
    return model


def arrays(tree):
    return [kf.to_numpy(x) for x in kf.tree.leaves(tree)]


def same(a, b):
    for x, y in zip(arrays(a), arrays(b), strict=True):
        np.testing.assert_array_equal(x, y)


# -- the same training everywhere ------------------------------------------------------------------------------------


@functools.cache
def trained(name):
    model = compiled()
    first = model.build(kf.Spec((None, 8, 8, 1)), backend=name).train_state.params
    history = model.fit(*digits(), epochs=3, verbose=0)
    return model, first, history.history


@pytest.mark.parametrize("name", TRAINING)
def test_fit_is_the_same_on_every_backend(name):
    model, first, history = trained(name)
    reference, reference_first, reference_history = trained("numpy")
    same(first, reference_first)
    assert model.backend == name
    assert int(kf.to_numpy(model.train_state.step)) == 3 * 57
    np.testing.assert_allclose(history["loss"], reference_history["loss"], rtol=1e-4)
    np.testing.assert_allclose(history["accuracy"], reference_history["accuracy"], atol=2.5 / 1797)
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    logits = model.predict(digits(100)[0])
    scale = np.abs(logits).max()
    np.testing.assert_allclose(logits, reference.predict(digits(100)[0]), atol=1e-3 * scale)


@pytest.mark.parametrize("name", BACKENDS)
def test_move_predict_evaluate(name):
    x, y = digits(100)
    model, _, _ = trained("numpy")
    loss, accuracy = model.evaluate(x, y, verbose=0)
    reference = model.predict(x)
    moved = kf.Model(model.net)
    moved.compile("adam", LOSS, metrics=["accuracy"])
    moved.train_state = model.train_state
    moved.to(name)
    assert moved.backend == name
    logits = moved.predict(x)
    assert isinstance(logits, np.ndarray)
    np.testing.assert_allclose(logits, reference, atol=1e-5 * np.abs(reference).max())
    np.testing.assert_allclose(moved.evaluate(x, y, verbose=0), [loss, accuracy], rtol=1e-4)


@pytest.mark.parametrize("name", TRAINING)
def test_one_compilation_a_shape(name):
    traces = []

    @nn.layer
    class Traced(nn.Layer):
        def forward(self, s, x):
            if not s.initializing:
                traces.append(tuple(x.shape))
            return x

    x, y = digits(96)
    model = compiled(nn.Sequential([Traced(), nn.Flatten(), nn.Dense(10)]))
    model.fit(x, y, epochs=1, verbose=0, backend=name)
    first = len(traces)
    model.fit(x, y, epochs=3, verbose=0)
    assert len(traces) == first < 4


@pytest.mark.torch
def test_the_compiled_step_on_torch_compiles_once():
    import torch

    x, y = digits(90)  # the last batch is smaller, and is filled up
    model = compiled(jit_compile=True)
    eager = compiled()
    first = model.fit(x[:32], y[:32], shuffle=False, verbose=0, backend="torch").history["loss"]
    with torch._dynamo.config.patch(error_on_recompile=True):
        rest = model.fit(x, y, epochs=2, shuffle=False, verbose=0).history["loss"]
    eager.fit(x[:32], y[:32], shuffle=False, verbose=0, backend="torch")
    np.testing.assert_allclose(rest, eager.fit(x, y, epochs=2, shuffle=False, verbose=0).history["loss"], rtol=1e-4)
    assert first[0] > rest[-1]


# -- what Keras's users expect ---------------------------------------------------------------------------------------


def test_history_validation_and_verbosity(capsys):
    x, y = digits(96)
    model = compiled()
    history = model.fit(x, y, epochs=2, verbose=2, validation_split=0.25)
    assert history.epoch == [0, 1]
    assert list(history.history) == ["loss", "accuracy", "val_loss", "val_accuracy"]
    out = capsys.readouterr()
    assert out.out.count("Epoch ") == 2
    assert "val_accuracy" in out.out
    logs = model.evaluate(x[72:], y[72:], verbose=0, return_dict=True)
    assert logs["loss"] == pytest.approx(history.history["val_loss"][-1], rel=1e-6)
    model.fit(x, y, epochs=1, verbose=0)
    assert capsys.readouterr() == ("", "")
    model.fit(x, y, epochs=1, verbose=1)
    assert "Epoch 1/1" in capsys.readouterr().out


@pytest.mark.parametrize("name", TRAINING)
def test_weights_of_samples_and_classes(name):
    x, y = digits(32)
    weights = np.linspace(0.1, 2, 32).astype(np.float32)
    by_class = {c: 1.0 + c for c in range(10)}
    reference = compiled().train_on_batch(x, y, sample_weight=weights, return_dict=True)
    logits, _ = (m := compiled().build(kf.Spec((None, 8, 8, 1)))).net.apply(
        m.train_state.params, x, state=m.train_state.state, key=kf.random.fold_in(kf.random.key(0), 0), train=True
    )
    logits = logits.astype(np.float64)
    values = np.log(np.exp(logits).sum(-1)) - logits[np.arange(32), y]
    assert reference["loss"] == pytest.approx((values * weights).mean(), rel=1e-5)
    model = compiled()
    logs = model.train_on_batch(x, y, sample_weight=weights, return_dict=True, backend=name)
    assert logs["loss"] == pytest.approx(reference["loss"], rel=1e-5)
    logs = compiled().train_on_batch(x, y, class_weight=by_class, return_dict=True, backend=name)
    assert logs["loss"] == pytest.approx((values * (1.0 + y)).mean(), rel=1e-5)


@pytest.mark.parametrize("name", TRAINING)
def test_several_inputs(name):
    a, b = nn.Input((3,)), nn.Input((4,))

    @nn.layer
    class Add(nn.Layer):
        def forward(self, s, x, y):
            return x + y

    net = nn.Graph({"a": a, "b": b}, nn.Dense(1)(Add()(nn.Dense(5)(a), nn.Dense(5)(b))))
    rng = np.random.default_rng(0)
    x = {"a": rng.normal(size=(64, 3)), "b": rng.normal(size=(64, 4))}
    y = x["a"].sum(1, keepdims=True) - x["b"].sum(1, keepdims=True)
    model = compiled(net, kf.optim.adam(0.03), "mse", ["mae"])
    history = model.fit(x, y, epochs=20, verbose=0, backend=name)
    assert history.history["loss"][-1] < 0.1 * history.history["loss"][0]
    assert model.predict(x).shape == (64, 1)


def test_outputs_in_a_list_have_the_names_of_their_layers():
    x = nn.Input((3,))
    h = nn.Dense(4)(x)
    net = nn.Graph(x, [nn.Dense(1, name="price")(h), nn.Dense(2)(h)])
    model = compiled(net, "sgd", {"price": "mse", "dense_1": "mse"}, {"dense_1": ["mae"]})
    data = np.ones((8, 3), np.float32), [np.ones((8, 1), np.float32), np.ones((8, 2), np.float32)]
    logs = model.fit(*data, verbose=0).history
    assert list(logs) == ["loss", "price_loss", "dense_1_loss", "dense_1_mae"]  # as Keras's, for these names of layers


def test_a_model_that_is_built_anew_forgets_the_first_inputs():
    model = compiled(nn.Dropout(0.5))
    x, y = np.full((6, 4), 0.25, np.float32), np.arange(6) % 4
    model.evaluate(x[:, :3], y % 3, verbose=0)
    model.build(kf.Spec((None, 4)))
    model.evaluate(x, y, verbose=0)
    with pytest.raises(kf.errors.LabelError, match="4"):
        model.evaluate(x, y + 1, verbose=0)


@pytest.mark.parametrize("name", BACKENDS)
def test_a_model_of_parameters_that_one_has(name):
    net = nn.Sequential([nn.Dense(3), nn.BatchNormalization(), nn.Dense(2)])
    x = np.arange(20, dtype=np.float32).reshape(4, 5) / 20
    weights, state = net.init(1, x, backend=name)
    want, _ = net.apply(weights, kf.to_backend(x, name), state=state)
    model = kf.Model(net, params=weights, state=state)
    for _ in range(2):  # `build` does not draw others
        assert model.backend == name
        np.testing.assert_allclose(model.predict(x, verbose=0), arrays(want)[0], rtol=0, atol=1e-6)  # 8 eps of 1
        model.build(kf.Spec((None, 5)))
    model.reset(7)
    assert (model.predict(x, verbose=0) != arrays(want)[0]).any()


INPUT = nn.Sequential([nn.Input((5,)), nn.Dense(3)])
KERNEL, BIAS = np.ones((5, 3), np.float32), np.ones(3, np.float32)
UNFIT = {
    "a leaf lacks": (INPUT, {"dense": {"kernel": KERNEL}}, "'params.dense.bias'"),
    "a leaf too many": (INPUT, {"dense": {"kernel": KERNEL, "bias": BIAS, "scale": BIAS}}, "'params.dense.scale'"),
    "another shape": (INPUT, {"dense": {"kernel": KERNEL.T, "bias": BIAS}}, "'params.dense.kernel'"),
    "another kind of numbers": (INPUT, {"dense": {"kernel": KERNEL, "bias": BIAS > 0}}, "'params.dense.bias'"),
    "of two, the first is named": (INPUT, {"dense": {"kernel": KERNEL.T}}, "'params.dense.bias'.*; 1 more is not"),
    "found when data come": (nn.Dense(3), {"kernel": KERNEL}, "'params.bias'"),
}


@pytest.mark.parametrize("net, weights, message", UNFIT.values(), ids=UNFIT)
def test_parameters_that_do_not_fit(net, weights, message):
    with pytest.raises(kf.errors.ParamError, match=message):
        kf.Model(net, params=weights).predict(np.ones((2, 5), np.float32), verbose=0)


@pytest.mark.parametrize("weights", ["dense", [KERNEL], {"dense": 3.0}, {"dense": {"kernel": [1.0, 2.0]}}])
def test_parameters_that_are_no_arrays(weights):
    with pytest.raises(kf.errors.ArgumentError, match="`params` must be a dict of arrays"):
        kf.Model(INPUT, params=weights)


def test_build_keeps_what_training_has_changed():
    model = compiled(nn.Dense(4))
    model.fit(np.ones((8, 3), np.float32), np.arange(8) % 4, verbose=0)
    before = model.train_state
    model.build((None, 3))
    same(model.train_state, before)
    model.build((None, 5))  # inputs of another size need others
    assert model.train_state.params["kernel"].shape == (5, 4)


def test_summary_counts_every_parameter():
    lines = []
    model = kf.Model(nn.Sequential([nn.MultiHeadAttention(2, 3), nn.BatchNormalization()]))
    model.build(kf.Spec((None, 5, 6)), kf.Spec((None, 5, 6)))
    model.summary(lines.append)
    total = sum(x.size for x in arrays(model.train_state.params))
    assert f"{total:,}" in lines[-1]
    assert any("multi_head_attention" in line and "(None, 5, 6)" in line for line in lines)


# -- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TRAINING)
def test_saved_training_goes_on_as_if_unbroken(name, tmp_path):
    x, y = digits(96)
    unbroken = compiled()
    unbroken.fit(x, y, epochs=1, verbose=0, backend=name)
    path = tmp_path / "model.safetensors"
    unbroken.save(path)
    resumed = kf.Model.load(path, backend=name)
    same(resumed.train_state, unbroken.train_state)
    for model in (unbroken, resumed):
        model.fit(x, y, epochs=1, verbose=0)
    same(resumed.train_state, unbroken.train_state)
    assert resumed.evaluate(x, y, verbose=0) == unbroken.evaluate(x, y, verbose=0)


def test_a_graph_with_shared_layers_comes_back(tmp_path):
    a, b = nn.Input((3,)), nn.Input((3,))
    shared = nn.Dense(4, activation="tanh", name="shared")
    net = nn.Graph([a, b], [shared(a), nn.Residual(nn.Dense(4))(shared(b))])
    model = kf.Model(net).build(kf.Spec((None, 3)), kf.Spec((None, 3)))
    model.save(tmp_path / "m.safetensors")
    again = kf.Model.load(tmp_path / "m.safetensors")
    assert set(again.train_state.params) == {"shared", "residual"}
    x = [np.ones((2, 3), np.float32), np.zeros((2, 3), np.float32)]
    same(again.predict(x), model.predict(x))


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "missing", "other"])
def test_a_damaged_file_leaves_the_model_as_it_was(damage, tmp_path):
    path = tmp_path / "m.safetensors"
    model = compiled().build(kf.Spec((None, 8, 8, 1)))
    model.save(path)
    before = kf.tree.map(np.copy, model.train_state)
    data = bytearray(path.read_bytes())
    if damage == "truncated":
        path.write_bytes(data[:-10])
    elif damage == "flipped":
        data[-10] ^= 1
        path.write_bytes(data)
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "missing":
        path.unlink()
    else:
        kf.Model(nn.Dense(3)).build(kf.Spec((None, 8))).save(path)
    with pytest.raises(kf.errors.FileError):
        model.load_weights(path)
    if damage != "other":
        with pytest.raises(kf.errors.FileError):
            kf.Model.load(path)
    same(model.train_state, before)


# -- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TRAINING)
def test_nan_stops_at_its_step_with_finite_parameters(name):
    x, y = digits(96)
    x = x.copy()
    model = compiled(optimizer=kf.optim.sgd(0.01))
    model.fit(x[:64], y[:64], shuffle=False, verbose=0, backend=name)
    before = kf.tree.map(np.copy, kf.to_backend(model.train_state, "numpy"))
    x[40] = np.nan
    with pytest.raises(kf.errors.NonFiniteError, match="step 3") as error:
        model.fit(x, y, shuffle=False, verbose=0)
    assert "loss" in str(error.value) or "gradient" in str(error.value)
    assert int(kf.to_numpy(model.train_state.step)) == int(before.step) + 1
    assert all(np.isfinite(a).all() for a in arrays(model.train_state))
    model.fit(digits(64)[0], y[:64], verbose=0)


def test_a_gradient_that_is_not_finite_is_named():
    @nn.layer
    class SquareRoot(nn.Layer):
        def forward(self, s, x):
            w = s.param("w", (), "zeros")
            return kf.namespace(x).sqrt(w) + x

    model = compiled(nn.Sequential([nn.Dense(1), SquareRoot()]), loss="mse", metrics=())
    with pytest.raises(kf.errors.NonFiniteError, match="square_root/w"):
        model.fit(np.ones((4, 2), np.float32), np.ones((4, 1), np.float32), verbose=0)


@pytest.mark.parametrize("name", TRAINING)
@pytest.mark.parametrize("label", [10, -1])
def test_labels_out_of_range(name, label):
    x, y = digits(32)
    y = y.copy()
    y[5] = label
    with pytest.raises(kf.errors.LabelError, match=str(label)):
        compiled().fit(x, y, verbose=0, backend=name)


def test_training_on_openvino_says_where_to_train():
    with pytest.raises(kf.errors.UnsupportedError, match="numpy"):
        compiled().fit(*digits(32), verbose=0, backend="openvino")


test_training_on_openvino_says_where_to_train = pytest.mark.openvino(test_training_on_openvino_says_where_to_train)


def test_bad_arguments():
    x, y = digits(32)
    with pytest.raises(kf.errors.ArgumentError, match="compile"):
        kf.Model(network()).fit(x, y)
    with pytest.raises(kf.errors.ShapeError, match="numbers of samples"):
        compiled().fit(x, y[:-1])
    with pytest.raises(kf.errors.ArgumentError, match="validation_split"):
        compiled().fit(x, y, validation_split=1.0)
    with pytest.raises(kf.errors.ArgumentError, match="class_weight"):
        compiled().fit(x, y, class_weight={0: 1.0})
    with pytest.raises(kf.errors.ArgumentError, match="adam"):
        kf.Model(network()).compile("adamm")
    with pytest.raises(kf.errors.UnknownBackendError, match="jaxx"):
        compiled().fit(x, y, backend="jaxx")
    with pytest.raises(kf.errors.ArgumentError, match="build"):
        compiled().save("never")
