"""The networks of keras.applications: their graphs against Keras's configs, weights from files, and bad input.

All 40 are compared by `tests/keras_constructors.py`, and weights of torchvision and timm by `tests/torch_images.py`.
"""

from __future__ import annotations

import inspect
import json

import keras_families
import numpy as np
import pytest
from backends import TRAINING
from keras_graphs import differences
from sampling import one_of

import kfunc as kf
from kfunc import nn
from kfunc.interop.keras import built
from kfunc.keras import applications

ArgumentError, FileError = kf.errors.ArgumentError, kf.errors.FileError
NETWORKS = sorted(applications._NETWORKS)
TINY = {"alpha": 0.25, "input_shape": (32, 32, 3), "classes": 3}


def tiny(**options):
    return kf.models.MobileNet(**{**TINY, **options})


def same(model, other):
    """Whether two models have equal trees, bit for bit."""
    a, b = ((m.train_state.params, m.train_state.state) for m in (model, other))
    pairs = zip(kf.tree.leaves(a), kf.tree.leaves(b), strict=True)
    return kf.tree.paths(a) == kf.tree.paths(b) and all(np.array_equal(x, y) for x, y in pairs)


@pytest.fixture
def undrawn(monkeypatch):
    """After `undrawn()`, whatever draws parameters fails."""

    def draws(*args, **options):
        raise AssertionError("parameters are drawn")

    return lambda: monkeypatch.setattr(nn.Layer, "init", draws)


# -- graphs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", keras_families.NAMES)
def test_a_network_is_that_of_keras(name):
    """Each layer, its arguments and its name, and the places of its arrays in files, as Keras's config has them."""
    size, options = keras_families.ROWS[name]
    config = keras_families.FILE.answer(keras_families.NAMES.index(name))["config"][0].tobytes()
    shape = {"input_shape": (size, size, 3), "classes": 10, "classifier_activation": None}
    model = getattr(kf.models, name)(**shape, **options)
    assert differences(model.net, built(json.loads(config))) == []
    assert model.optimizer is None and model.train_state is None


def test_signatures():
    """Names, order and defaults are Keras's, but nothing is downloaded by default. Ours alone are given by name."""
    theirs = pytest.importorskip("keras").applications
    assert sorted(name for name, value in vars(theirs).items() if inspect.isfunction(value)) == NETWORKS
    for name in NETWORKS:
        ours = inspect.signature(getattr(kf.models, name)).parameters.values()
        own = [p.name for p in ours if p.kind is p.KEYWORD_ONLY]
        ours = [(p.name, p.default) for p in ours if p.kind is not p.KEYWORD_ONLY]
        want = inspect.signature(getattr(theirs, name)).parameters.values()
        want = [(p.name, None if p.name == "weights" else p.default) for p in want]
        assert (name, ours, own[0]) == (name, want, "data_format")


def test_modules_are_those_of_keras():
    theirs = pytest.importorskip("keras").applications
    for name, module in inspect.getmembers(theirs, inspect.ismodule):
        if not name.startswith("_"):
            ours = getattr(applications, name)
            public = [n for n in dir(module) if not n.startswith("_")]
            assert [n for n in public if not callable(getattr(ours, n))] == []
    assert applications.resnet.ResNet50 is applications.resnet50.ResNet50 is kf.models.ResNet50
    with pytest.raises(AttributeError, match="ResNet51"):
        applications.resnet.ResNet51  # noqa: B018


def test_channels_first():
    last, first = tiny(), tiny(input_shape=(3, 32, 32), data_format="channels_first")
    last.build()
    first = kf.Model(first.net, params=last.train_state.params, state=last.train_state.state)
    x = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype("float32")
    want = last.predict(x, verbose=0)
    # sums of at most 4608 products in another order, through 28 layers
    np.testing.assert_allclose(first.predict(x.transpose(0, 3, 1, 2), verbose=0), want, rtol=0, atol=1e-5)


def test_a_network_upon_a_node():
    x = nn.Input((64, 64, 3), name="image")
    model = tiny(input_tensor=x[:, ::2, ::2] * 2.0, input_shape=None)
    assert model.net.input_names() == ["image"]
    assert model.net.name == "mobilenet_0_25_32"
    model.build()
    assert model.predict(np.zeros((1, 64, 64, 3), "float32"), verbose=0).shape == (1, 3)


def test_every_docstring_says_its_arguments():
    for name in [*NETWORKS, "ResNet18", "ResNet34"]:
        function = getattr(kf.models, name)
        assert function.__name__ == name
        for argument in inspect.signature(function).parameters:
            assert f"\n        {argument}: " in function.__doc__, (name, argument)


# -- weights -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", ["a.weights.h5", "a.keras", "a.safetensors", "whole.safetensors"])
def test_weights_of_keras_and_of_kfunc(file, tmp_path, undrawn):
    model = tiny().build()
    save = model.save_weights if "weights" in file or file == "a.safetensors" else model.save
    save(tmp_path / file)
    undrawn()
    assert same(tiny(weights=tmp_path / file), model)


def test_weights_of_torch(tmp_path, undrawn):
    """VGG's convolutions, as torchvision's and timm's VGG have them, beside a top that the features do not have."""
    torch = pytest.importorskip("torch")
    sizes = [64, 64, None, 128, 128, None, 256, 256, 256, None, 512, 512, 512, None, 512, 512, 512, None]
    layers, channels = [], 3
    torch.manual_seed(0)
    for size in sizes:
        layers += [torch.nn.MaxPool2d(2)] if size is None else [torch.nn.Conv2d(channels, size, 3, padding=1)]
        layers += [] if size is None else [torch.nn.ReLU()]
        channels = size or channels
    features = torch.nn.Sequential(*layers)
    x = np.random.default_rng(0).uniform(0, 255, (1, 32, 48, 3)).astype("float32")
    with torch.no_grad():
        given = torch.tensor(kf.models.preprocess_input(x, mode="torch"))
        want = features(given.permute(0, 3, 1, 2)).permute(0, 2, 3, 1).numpy()
    arrays = {f"features.{name}": value for name, value in features.state_dict().items()}
    for heads in (("classifier.0", "classifier.3", "classifier.6"), ("pre_logits.fc1", "head.fc")):
        top = {f"{head}.{kind}": torch.zeros(2) for head in heads for kind in ("weight", "bias")}
        kf.interop.save_checkpoint({**arrays, **top}, tmp_path / "vgg.safetensors")
        undrawn()
        model = kf.models.VGG16(include_top=False, weights=tmp_path / "vgg.safetensors")
        got = model.predict(kf.models.preprocess_input(x, mode="torch"), verbose=0)
        # 13 sums of at most 4608 products, each with an error of sqrt(4608) eps at most
        np.testing.assert_allclose(got, want, rtol=0, atol=13 * 68 * 2.0**-23 * np.abs(want).max())
    with pytest.raises(kf.errors.ParamError, match=r"pre_logits\.fc1\.weight: its shape is"):
        kf.models.VGG16(weights=tmp_path / "vgg.safetensors")


def resnet_of_torch(x, w, depths):
    """The features of torchvision's ResNet of version 1.5 with short blocks, written anew."""
    torch = pytest.importorskip("torch")

    def conv(x, name, norm, strides=1):
        x = torch.nn.functional.conv2d(x, w[f"{name}.weight"], None, strides, w[f"{name}.weight"].shape[-1] // 2)
        values = [w[f"{norm}.{kind}"] for kind in ("running_mean", "running_var", "weight", "bias")]
        return torch.nn.functional.batch_norm(x, *values, eps=1e-5)

    x = torch.relu(conv(x, "conv1", "bn1", 2))
    x = torch.nn.functional.max_pool2d(x, 3, 2, 1)
    for name in [f"layer{stage}.{i}" for stage, depth in enumerate(depths, 1) for i in range(depth)]:
        halves = 2 if name in ("layer2.0", "layer3.0", "layer4.0") else 1
        short = f"{name}.conv3.weight" not in w
        steps = [halves, 1] if short else [1, halves, 1]
        y = x
        for i, strides in enumerate(steps, 1):
            y = conv(y, f"{name}.conv{i}", f"{name}.bn{i}", strides)
            y = torch.relu(y) if i < len(steps) else y
        if f"{name}.downsample.0.weight" in w:
            x = conv(x, f"{name}.downsample.0", f"{name}.downsample.1", halves)
        x = torch.relu(x + y)
    return x


@pytest.mark.parametrize(("name", "depths"), [("ResNet18", (2, 2, 2, 2)), ("ResNet50", (3, 4, 6, 3))])
def test_resnet_of_torchvision(name, depths, tmp_path, undrawn):
    """Its file makes the network one of version 1.5, whose strides are elsewhere than Keras's."""
    torch = pytest.importorskip("torch")
    from kfunc.models import resnet

    model = getattr(kf.models, name)(include_top=False, **({"version": "1.5"} if name == "ResNet50" else {}))
    rng = np.random.default_rng(0)
    forms = {nn.Conv2D: {"weight": "kernel"}, nn.BatchNormalization: {"weight": "gamma", "bias": "beta"}}
    forms[nn.BatchNormalization].update(running_mean="moving_mean", running_var="moving_variance")
    declared = {
        "/".join(path): d.spec.shape for path, d in model.net.trace(kf.Spec((None, 32, 32, 3))).declared.items()
    }
    w = {"fc.weight": np.zeros((1000, 8), "float32"), "bn1.num_batches_tracked": np.zeros((), "int64")}
    for theirs, ours in resnet._pairs(depths)(model.net):
        layer = dict(model.net.children()).get(ours)
        for kind, array in forms.get(type(layer), {}).items():
            shape = declared[f"{ours}/{array}"]
            shape = tuple(shape[i] for i in (3, 2, 0, 1)) if array == "kernel" else shape
            size = 1.6 / np.prod(shape[1:]) if array == "kernel" else 0.1
            x = rng.standard_normal(shape, "float32") * np.float32(size**0.5)
            w[f"{theirs}.{kind}"] = np.abs(x) + np.float32(0.8) if kind == "running_var" or array == "gamma" else x
    kf.interop.save_checkpoint(w, tmp_path / "a.safetensors")
    undrawn()
    x = rng.standard_normal((1, 48, 33, 3), "float32")
    got = getattr(kf.models, name)(include_top=False, weights=tmp_path / "a.safetensors").predict(x, verbose=0)
    tensors = {k: torch.tensor(v).double() for k, v in w.items()}
    given = torch.tensor(x.transpose(0, 3, 1, 2))
    want = resnet_of_torch(given.double(), tensors, depths).permute(0, 2, 3, 1).numpy()
    rounded = resnet_of_torch(given, {k: v.float() for k, v in tensors.items()}, depths).permute(0, 2, 3, 1).numpy()
    # Both sum in float32, in another order: 4 times PyTorch's own error leaves room for that, and a wrong stride is 1.
    own = np.abs(rounded - want).max()
    assert own < 1e-4 * np.abs(want).max()
    np.testing.assert_allclose(got, want, rtol=0, atol=4 * own)
    w["fc.weight"] = rng.uniform(-1, 1, (3, want.shape[-1])).astype("float32") / want.shape[-1]
    w["fc.bias"] = np.float32([1, 2, 3])
    kf.interop.save_checkpoint(w, tmp_path / "folder")
    config = {"architecture": name.lower(), "num_classes": 3, "pretrained_cfg": {"input_size": [3, 64, 64]}}
    (tmp_path / "folder" / "config.json").write_text(json.dumps(config))
    net, params, state = kf.models.load(tmp_path / "folder")
    logits = want.mean((1, 2)) @ w["fc.weight"].T + w["fc.bias"]
    np.testing.assert_allclose(net.apply(params, x, state=state)[0], logits, rtol=4 * 2.0**-23, atol=4 * own)
    if name == "ResNet50":
        with pytest.raises(FileError, match="not those of a network that is known"):
            kf.models.ResNet50(version="1", weights=tmp_path / "a.safetensors")


def vit_of_timm(x, w, heads):
    """timm's ViT of 12 blocks, written anew: (batch, 3, height, width) to logits."""
    torch = pytest.importorskip("torch")
    functional = torch.nn.functional

    def norm(x, name):
        return functional.layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], eps=1e-6)

    def dense(x, name):
        return functional.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

    x = functional.conv2d(x, w["patch_embed.proj.weight"], w["patch_embed.proj.bias"], stride=16).flatten(2).mT
    x = torch.cat([w["cls_token"].expand(len(x), -1, -1), x], 1) + w["pos_embed"]
    for i in range(12):
        y = dense(norm(x, f"blocks.{i}.norm1"), f"blocks.{i}.attn.qkv")
        q, k, v = y.unflatten(-1, (3, heads, -1)).permute(2, 0, 3, 1, 4)
        y = (q @ k.mT / q.shape[-1] ** 0.5).softmax(-1) @ v
        x = x + dense(y.transpose(1, 2).flatten(2), f"blocks.{i}.attn.proj")
        y = functional.gelu(dense(norm(x, f"blocks.{i}.norm2"), f"blocks.{i}.mlp.fc1"))
        x = x + dense(y, f"blocks.{i}.mlp.fc2")
    return dense(norm(x, "norm")[:, 0], "head")


def test_vit_in_a_folder_of_timm(tmp_path):
    torch = pytest.importorskip("torch")
    rng, d = np.random.default_rng(0), 192
    shapes = {"cls_token": (1, 1, d), "pos_embed": (1, 5, d), "head": (3, d), "norm": (d,)}
    shapes["patch_embed.proj"] = (d, 3, 16, 16)
    rows = {"norm1": (d,), "norm2": (d,), "attn.qkv": (3 * d, d), "attn.proj": (d, d)}
    rows |= {"mlp.fc1": (4 * d, d), "mlp.fc2": (d, 4 * d)}
    shapes |= {f"blocks.{i}.{name}": shape for i in range(12) for name, shape in rows.items()}
    w = {}
    for name, shape in shapes.items():
        x = rng.standard_normal(shape, "float32") / np.float32(np.prod(shape[1:]) ** 0.5)
        w |= {name: x} if "_" in name and "." not in name else {f"{name}.weight": x}
        w |= {} if name in w else {f"{name}.bias": rng.standard_normal(shape[0], "float32")}
    kf.interop.save_checkpoint(w, tmp_path)
    config = {"architecture": "vit_tiny_patch16_224.augreg_in21k_ft_in1k", "num_classes": 3, "global_pool": "token"}
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_args": {"img_size": 32}}))
    x = rng.standard_normal((2, 32, 32, 3), "float32")
    given, tensors = torch.tensor(x.transpose(0, 3, 1, 2)), {k: torch.tensor(v) for k, v in w.items()}
    rounded = vit_of_timm(given, tensors, 3).numpy()
    want = vit_of_timm(given.double(), {k: v.double() for k, v in tensors.items()}, 3).numpy()
    own = np.abs(rounded - want).max()
    assert own < 1e-4 * np.abs(want).max()
    for backend in ("numpy", "torch"):
        net, params, state = kf.models.load(tmp_path, backend)
        got = kf.to_numpy(net.apply(params, kf.asarray(x, backend=backend), state=state)[0])
        # Sums in float32 in another order than PyTorch's.
        np.testing.assert_allclose(got, want, rtol=0, atol=4 * own)
    kf.models.save(tmp_path / "of_transformers", net, params, state)
    again, values, _ = kf.models.load(tmp_path / "of_transformers", "torch")
    np.testing.assert_array_equal(kf.to_numpy(again.apply(values, kf.asarray(x, backend="torch"))[0]), got)


def test_a_file_of_timm_with_other_zeros(tmp_path):
    """Tensors of efficientnet_b0 and tf_efficientnet_b0 have the same names: the config beside them tells."""
    kf.interop.save_checkpoint({"conv_stem.weight": X}, tmp_path)
    (tmp_path / "config.json").write_text('{"architecture": "efficientnet_b0"}')
    with pytest.raises(FileError, match="the weights are those of efficientnet_b0, and not of tf_efficientnet_b0"):
        kf.models.EfficientNetB0(weights=tmp_path / "model.safetensors")


FOLDERS = {
    "another architecture": ({"architecture": "resnet50d"}, "value of `architecture`"),
    "no name": ({"architecture": 3}, "value of `architecture`"),
    "a ViT that timm does not have": ({"architecture": "vit_tiny_distilled_patch16_224"}, "timm does not have"),
    "another layer": ({"architecture": "resnet18", "model_args": {"act_layer": "silu"}}, "`model_args.act_layer`"),
    "pooling": ({"architecture": "vit_tiny_patch16_224", "global_pool": "avg"}, "value of `global_pool`"),
    "classes": ({"architecture": "resnet18", "num_classes": "many"}, "value of `num_classes`"),
    "sizes": ({"architecture": "resnet18", "pretrained_cfg": {"input_size": [3, "a", 4]}}, "value of `pretrained_cfg`"),
    "no tensors": ({"architecture": "resnet18"}, "could not be read"),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_folders_of_timm_that_are_refused(case, tmp_path):
    values, words = FOLDERS[case]
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(FileError, match=words):
        kf.models.load(tmp_path)


def test_deviations_in_the_place_of_variances(tmp_path):
    """Keras's own files for EfficientNet have them, and a layer more divides by their roots."""
    make = {"include_top": False, "input_shape": (32, 32, 3)}
    model = kf.models.EfficientNetB0(**make).build()
    found = model.train_state.state["normalization"]
    for given, want in (((0.229, 0.224, 0.225), np.square([0.229, 0.224, 0.225])), ((0.2, 0.3, 0.4), (0.2, 0.3, 0.4))):
        found["variance"] = np.float32(given)
        model.save_weights(tmp_path / "a.weights.h5")
        loaded = kf.models.EfficientNetB0(**make, weights=tmp_path / "a.weights.h5")
        np.testing.assert_allclose(loaded.train_state.state["normalization"]["variance"], want, rtol=1e-6)


# -- images and labels -------------------------------------------------------------------------------------------------

MODES = [(mode, first, axes) for mode in ("caffe", "tf", "torch") for first in (False, True) for axes in (3, 4)]
RUNS = [
    pytest.param(*row, backend, marks=getattr(pytest.mark, backend))
    for row in MODES
    for backend in ("numpy", *one_of(("torch", "jax", "tensorflow", "array_api_strict"), *row))
]


@pytest.mark.parametrize(("mode", "first", "axes", "backend"), RUNS)
def test_preprocess_input(mode, first, axes, backend):
    utils = pytest.importorskip("keras").applications.imagenet_utils
    data_format = "channels_first" if first else None
    shape = {3: (5, 4), 4: (2, 5, 4)}[axes]
    shape = (*shape[:-2], 3, *shape[-2:]) if first else (*shape, 3)
    x = np.random.default_rng(0).integers(0, 256, shape)
    for dtype in ("uint8", "float32", "float64"):
        if dtype == "float64" and backend == "jax":
            continue  # it has float32 alone
        given = x.astype(dtype)
        want = utils.preprocess_input(given.copy(), data_format, mode)
        got = kf.models.preprocess_input(kf.asarray(given, backend=backend), data_format, mode)
        assert kf.backend_of(got).name == backend
        got = kf.to_numpy(got)
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got, want, rtol=4 * np.finfo(want.dtype).eps, atol=1e-6)
        np.testing.assert_array_equal(given, x)


@pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
def test_preprocess_input_in_a_network(mode):
    x = np.random.default_rng(0).integers(0, 256, (2, 4, 5, 3)).astype("uint8")
    node = nn.Input((4, 5, 3), dtype="uint8")
    model = kf.Model(node, kf.models.preprocess_input(node, mode=mode)).build()
    np.testing.assert_array_equal(model.predict(x, verbose=0), kf.models.preprocess_input(x, mode=mode))


def test_families_that_change_nothing():
    x = np.ones((1, 2, 2, 3), "uint8")
    for name in ("convnext", "efficientnet", "efficientnet_v2", "mobilenet_v3"):
        assert getattr(applications, name).preprocess_input(x) is x
    for name in ("resnet50", "vgg19"):
        got = getattr(applications, name).preprocess_input(x)
        np.testing.assert_array_equal(got, kf.models.preprocess_input(x, mode="caffe"))


@pytest.mark.parametrize("backend", TRAINING)
def test_decode_predictions(backend, tmp_path):
    path = tmp_path / "labels.json"
    path.write_text(json.dumps({str(i): [f"n{i}", f"thing {i}"] for i in range(12)}))
    scores = np.float32([np.arange(12) % 7, np.arange(12)]) / 16
    got = kf.models.decode_predictions(kf.asarray(scores, backend=backend), top=3, labels=path)
    assert got[0] == [("n6", "thing 6", 0.375), ("n5", "thing 5", 0.3125), ("n4", "thing 4", 0.25)][:2] + [got[0][2]]
    assert [label for label, _, _ in got[1]] == ["n11", "n10", "n9"]
    path.write_text(json.dumps(["cat", "dog"]))
    assert applications.vgg16.decode_predictions(np.float32([[0.25, 0.75]]), labels=path) == [
        [("dog", "dog", 0.75), ("cat", "cat", 0.25)]
    ]


# -- bad input ---------------------------------------------------------------------------------------------------------

X = np.zeros((1, 4, 4, 3), "float32")
REFUSED = {
    "imagenet": (lambda p: tiny(weights="imagenet"), '`weights` is "imagenet", and nothing is downloaded here'),
    "weights are a number": (lambda p: tiny(weights=3), "`weights` must be None or the path of a file"),
    "no file": (lambda p: tiny(weights=p / "no.safetensors"), "no.safetensors could not be read"),
    "no file of Keras": (lambda p: tiny(weights=p / "no.h5"), "no.h5 could not be read"),
    "strange tensors": (lambda p: tiny(weights=p / "strange.safetensors"), "not those of a network that is known"),
    "another top": (lambda p: tiny(weights=p / "seven.weights.h5"), "conv_preds/bias has shape"),
    "two sizes": (lambda p: tiny(input_shape=(32, 32)), "`input_shape` must be three sizes"),
    "unknown channels": (lambda p: tiny(include_top=False, input_shape=(32, 32, None)), "`input_shape` must be three"),
    "a size below zero": (lambda p: tiny(input_shape=(-1, 32, 3)), "`input_shape` must be a tuple of positive"),
    "too small": (lambda p: tiny(input_shape=(31, 32, 3)), "`input_shape` must have images of at least 32 x 32"),
    "unknown sizes": (lambda p: tiny(input_shape=(None, 32, 3)), "`input_shape` must have no None with `include_top"),
    "pooling": (lambda p: tiny(pooling="mean"), "`pooling` must be"),
    "classes": (lambda p: tiny(classes=0), "`classes` must be a positive integer"),
    "alpha": (lambda p: tiny(alpha=0), "`alpha` must be"),
    "an array": (lambda p: tiny(input_tensor=X, input_shape=None), "`input_tensor` must be a node of images"),
    "two shapes": (lambda p: tiny(input_tensor=nn.Input((64, 64, 3))), r"`input_shape` is \(32, 32, 3\), and"),
    "format": (lambda p: tiny(data_format="NCHW"), "`data_format` must be"),
    "ConvNeXt": (lambda p: kf.models.ConvNeXtTiny(data_format="channels_first"), "`data_format` must be"),
    "version": (lambda p: kf.models.ResNet50(version="2"), "`version` must be"),
    "version 1 has no groups": (lambda p: kf.models.ResNet50(version="1", groups=32), "`groups` and `width_per_group`"),
    "NASNet": (
        lambda p: kf.models.NASNetMobile(include_top=False, input_shape=(None, None, 3)),
        "`input_shape` must have no None in this network",
    ),
    "mode": (lambda p: kf.models.preprocess_input(X, mode="jax"), "`mode` must be"),
    "two axes": (lambda p: kf.models.preprocess_input(X[0, 0]), "`x` must be images with three or four axes"),
    "one channel": (lambda p: kf.models.preprocess_input(X[..., :1]), "`x` must be images with three channels"),
    "no labels": (lambda p: kf.models.decode_predictions(X[0, 0]), "`labels` is not given"),
    "no file of labels": (lambda p: kf.models.decode_predictions(X[0, 0], labels=p / "no"), "could not be read"),
    "strange labels": (lambda p: kf.models.decode_predictions(X[0, 0], labels=p / "strange.json"), "no names of"),
    "two labels": (lambda p: kf.models.decode_predictions(X[0, 0], labels=p / "two.json"), "the file has 2 classes"),
    "top": (lambda p: kf.models.decode_predictions(X[0, 0], 0, p / "two.json"), "`top` must be a positive integer"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case, tmp_path):
    act, words = REFUSED[case]
    kf.interop.save_checkpoint({"conv9.weight": X}, tmp_path / "strange.safetensors")
    (tmp_path / "strange.json").write_text('{"0": ["a", "b"], "2": ["c", "d"]}')
    (tmp_path / "two.json").write_text('["a", "b"]')
    if case == "another top":
        tiny(classes=7).build().save_weights(tmp_path / "seven.weights.h5")
    with pytest.raises((ArgumentError, FileError), match=words):
        act(tmp_path)
