"""`kf.interop.to_layout`: whole networks in the other data format, there and back."""

from __future__ import annotations

import dataclasses
import inspect
import math
import zlib

import numpy as np
import pytest

import kfunc as kf
from kfunc import nn, ops
from kfunc.interop import to_layout

NAMES = ("numpy", "torch", "tensorflow")
FIRST = {3: (0, 2, 1), 4: (0, 3, 1, 2), 5: (0, 4, 1, 2, 3)}
"""Where the axes of maps go: (batch, *space, channels) to (batch, channels, *space)."""
VIDEO = {4: (0, 1, 3, 2), 5: (0, 1, 4, 2, 3)}
"""The same for sequences of maps."""

SPACE = {1: (12,), 2: (9, 10), 3: (6, 7, 5)}


@nn.layer
class Around(nn.Layer):
    """A user's block: its forward adds, multiplies and applies functions to each element."""

    body: nn.Layer
    norm: nn.Layer = nn.BatchNormalization()
    scale: float = 0.5

    def forward(self, s, x):
        y = self.body(s, x) * self.scale
        return self.norm(s, ops.relu(x + y))


class KerasBlock(nn.Layer):
    """The same in Keras's form, with layers that come as arguments."""

    def __init__(self, body, **kwargs):
        super().__init__(**kwargs)
        self.body = body

    def call(self, x):
        return ops.gelu(self.body(x)) + x


@nn.layer
class Scale(nn.Layer):
    """A user's layer with a rule of its own."""

    axis: int = -1

    def forward(self, s, x):
        shape = [1] * x.ndim
        shape[self.axis] = x.shape[self.axis]
        return x * s.param("scale", tuple(shape), nn.initializers.RandomUniform(0.5, 1.5))

    def to_layout(self, move):
        move.turn("scale", move.order)
        return dataclasses.replace(self, axis=move.axis(self.axis))


def excitation():
    x = nn.Input((9, 10, 3), name="image")
    h = nn.Conv2D(6, 3, padding="same", activation="silu")(x)
    g = nn.GlobalAveragePooling2D()(h)
    g = nn.Dense(6, activation="sigmoid")(nn.Dense(2, activation="relu")(g))
    h = nn.Multiply()([h, nn.Reshape((1, 1, 6))(g)])
    return nn.Graph(x, nn.Dense(2)(nn.Flatten()(h)))


def functions():
    """Functions of `kf.ops` between the layers of a graph."""
    x = nn.Input((9, 10, 3))
    h = nn.Conv2D(4, 3, padding="same")(x / 2 - 0.5)
    h = ops.concatenate([h, x], axis=-1)
    h = h - ops.mean(h, axis=(1, 2), keepdims=True)
    maps = nn.Conv2D(4, 3)(ops.softmax(h, axis=-1) + ops.tanh(h))
    tokens = nn.Reshape((-1, 4))(maps)
    h = nn.Add()([nn.MultiHeadAttention(2, 2)(tokens, tokens), tokens])
    return nn.Graph(x, [nn.Conv1D(3, 2)(h), nn.Conv1D(2, 2)(ops.max(maps, axis=1)), ops.mean(h, axis=(-1, -2))])


def several():
    """Two images and a table; a shared tower; one image also goes through a Dense."""
    a, b, t = nn.Input((9, 10, 3), name="a"), nn.Input((9, 10, 3), name="b"), nn.Input((5,), name="t")
    tower = nn.Sequential([nn.Conv2D(4, 3), nn.MaxPooling2D(), nn.Flatten()], name="tower")
    pixels = nn.GlobalMaxPooling2D()(nn.Dense(3)(b))
    return nn.Graph({"a": a, "b": b, "t": t}, nn.Dense(2)(nn.Concatenate()([tower(a), tower(b), pixels, t])))


def generator():
    return nn.Sequential(
        [
            nn.Input((5,)),
            nn.Dense(3 * 4 * 2),
            nn.Reshape((3, 4, 2)),
            nn.Conv2DTranspose(3, 3, 2, "same"),
            nn.LeakyReLU(),
            nn.Conv2D(2, 3, activation="softmax"),
        ]
    )


def one(rank, layers, *more, order=FIRST):
    """A network of layers on maps."""
    return lambda: nn.Sequential([nn.Input((*more, *SPACE[rank], 4)), *layers()]), order


ROWS = {
    "excitation": (excitation, FIRST),
    "functions": (functions, FIRST),
    "several": (several, FIRST),
    "generator": (generator, {4: FIRST[4]}),
    "classifier": one(
        2,
        lambda: [
            *(nn.ZeroPadding2D(((0, 1), (2, 0))), nn.Conv2D(6, 3, 2, activation="relu"), nn.BatchNormalization()),
            *(nn.SeparableConv2D(5, 2), nn.PReLU(), nn.MaxPooling2D(), nn.Dropout(0.5), nn.Flatten()),
            *(nn.Activation("tanh"), nn.BatchNormalization(), nn.PReLU(), nn.LayerNormalization(), nn.Dense(3)),
        ],
    ),
    "normalized": one(
        2, lambda: [nn.Conv2D(4, 3), nn.BatchNormalization(), nn.Flatten(), nn.BatchNormalization(), nn.Dense(2)]
    ),
    "an activation of sizes": one(
        2, lambda: [nn.Conv2D(4, 3, activation=lambda x: x / x.shape[-1]), nn.Activation(lambda x: x * x.shape[1])]
    ),
    "segmentation": one(2, lambda: [nn.Conv2D(5, 3, activation="softmax", padding="same")]),
    "other activations": one(
        2, lambda: [nn.Conv2D(4, 3, activation="log_softmax"), nn.Activation("softmax"), nn.Activation("glu")]
    ),
    "blocks": one(
        2,
        lambda: [
            Around(nn.Sequential([nn.Conv2D(4, 3, padding="same"), nn.SpatialDropout2D(0.2)])),
            nn.Residual(nn.SpectralNormalization(nn.Conv2D(4, 1))),
            KerasBlock(nn.Conv2D(4, 3, padding="same")),
            nn.Frozen(nn.Conv2D(4, 2)),
            nn.Remat(Around(nn.DepthwiseConv2D(3, padding="same"))),
            nn.Branch([nn.Conv2D(3, 3), nn.AveragePooling2D(3, 1)]),
            nn.Concatenate(),
            nn.Stack(Around(nn.Sequential([nn.Conv2D(7, 3, padding="same"), nn.LayerNormalization((1, 2, 3))])), 2),
        ],
    ),
    "tokens": one(
        2, lambda: [nn.Conv2D(4, 2, 2), nn.Reshape((-1, 4)), nn.LayerNormalization(), nn.LSTM(3), nn.Dense(2)]
    ),
    "pixelwise": one(2, lambda: [nn.Conv2D(4, 3), nn.Dense(5, "gelu"), nn.LayerNormalization(), nn.Conv2D(3, 1)]),
    "recurrent": one(1, lambda: [nn.Conv1D(4, 3, padding="causal"), nn.Bidirectional(nn.GRU(3)), nn.Dense(2)]),
    "rule": one(2, lambda: [Scale(), nn.Conv2D(3, 3), Scale(1)]),
    "permuted": one(2, lambda: [nn.Conv2D(3, 3), nn.Permute((3, 1, 2)), nn.Flatten(), nn.Dense(2)]),
    "flattened maps": one(2, lambda: [nn.Conv2D(3, 3), nn.Flatten()]),
    "flattened, halves multiplied": one(2, lambda: [nn.Conv2D(4, 3), nn.Flatten(), nn.Activation("glu"), nn.Dense(2)]),
    "flattened, by a function": one(
        2, lambda: [nn.Conv2D(4, 3), nn.Flatten(), nn.Lambda(lambda x: ops.roll(x, 1, axis=1)), nn.Dense(2)]
    ),
    "flattened, by a rule": one(2, lambda: [nn.Conv2D(4, 3), nn.Flatten(), Scale(), nn.Dense(2)]),
    "flattened twice": one(2, lambda: [nn.Conv2D(3, 3), nn.Flatten(), nn.Reshape((7, 8, 3)), nn.Conv2D(2, 2)]),
    "tables": (lambda: nn.Sequential([nn.Input((7, 5)), nn.Dense(4), nn.Flatten(), nn.Dense(2)]), {}),
    "video": one(
        2,
        lambda: [
            nn.ConvLSTM2D(3, 3, return_sequences=True),
            nn.TimeDistributed(nn.Conv2D(2, 3)),
            nn.TimeDistributed(nn.Flatten()),
            nn.GRU(3),
        ],
        4,
        order=VIDEO,
    ),
}
for rank in (1, 2, 3):
    d = f"{rank}D"
    many = {
        "Conv": ((3, 2), {"groups": 1, "padding": "same"}),
        "Conv ": ((4, 2), {"groups": 2, "dilation_rate": 2}),
        "Conv  Transpose": ((3, 3, 2), {"padding": "same"}),
        "MaxPooling": ((2,), {"strides": 1}),
        "AveragePooling": ((2,), {"padding": "same"}),
        "AdaptiveMaxPooling": ((2,), {}),
        "AdaptiveAveragePooling": ((3,), {}),
        "GlobalMaxPooling": ((), {"keepdims": True}),
        "GlobalAveragePooling": ((), {}),
        "Cropping": ((1,), {}),
        "ZeroPadding": ((2,), {}),
        "UpSampling": ((2,), {}),
    }
    if rank < 3:
        many |= {"DepthwiseConv": ((2,), {"depth_multiplier": 2}), "SeparableConv": ((3, 2), {})}
    if rank > 1:
        many |= {"SpatialDropout": ((0.2,), {})}
    for label, (args, kwargs) in many.items():
        name = label.split()[0]
        full = name + d + ("Transpose" if "Transpose" in label else "")
        ROWS[f"{label} {d}"] = one(
            rank, lambda full=full, args=args, kwargs=kwargs: [getattr(nn, full)(*args, **kwargs), nn.ReLU()]
        )
    ROWS[f"ConvLSTM {d}"] = one(
        rank, lambda d=d: [getattr(nn, "ConvLSTM" + d)(2, 2, padding="same"), nn.ReLU()], 3,
        order={rank + 3: (0, 1, rank + 2, *range(2, rank + 2)), rank + 2: FIRST[rank + 2]},
    )  # fmt: skip
for label, layer in {
    "BatchNormalization": lambda: nn.BatchNormalization(),
    "BatchNormalization 1": lambda: nn.BatchNormalization(axis=1),
    "LayerNormalization": lambda: nn.LayerNormalization(),
    "LayerNormalization 2, -1": lambda: nn.LayerNormalization(axis=(-1, 2)),
    "GroupNormalization": lambda: nn.GroupNormalization(2),
    "RMSNormalization": lambda: nn.RMSNormalization(axis=(1, 3)),
    "UnitNormalization": lambda: nn.UnitNormalization(axis=(3,)),
    "Softmax": lambda: nn.Softmax(),
    "Softmax 1, 2": lambda: nn.Softmax(axis=(1, 2)),
    "PReLU": lambda: nn.PReLU(shared_axes=(1, 2)),
    "Dropout": lambda: nn.Dropout(0.5, noise_shape=(None, 1, 1, None)),
    "UpSampling": lambda: nn.UpSampling2D(2, interpolation="bilinear"),
    "Normalization": lambda: nn.Normalization(axis=(3, 1)),
    "Normalization by numbers": lambda: nn.Normalization(mean=[1.0, 2, 3, 4], variance=[1.0, 2, 1, 0.5]),
    "Rescaling": lambda: nn.Rescaling(0.5, [1.0, 2, 3, 4]),
    "EinsumDense": lambda: nn.EinsumDense("bhwc,cd->bhwd", (None, None, 3), bias_axes="d"),
}.items():
    ROWS[f"after {label}"] = one(2, lambda layer=layer: [nn.Conv2D(4, 3), layer(), nn.Conv2D(3, 2)])


PICTURES = [
    *(nn.RandomFlip(), nn.RandomRotation(0.2), nn.RandomTranslation(0.2, 0.2), nn.RandomZoom(0.3), nn.RandomShear(0.3)),
    *(nn.RandomPerspective(), nn.RandomErasing(), nn.RandomGaussianBlur(0.5), nn.RandomGrayscale(0.9)),
    *(nn.RandomBrightness(0.2), nn.RandomContrast(0.3), nn.RandomHue(0.3), nn.RandomSaturation(0.3)),
    *(nn.RandomColorDegeneration(0.4), nn.RandomColorJitter(brightness_factor=0.2), nn.RandomInvert(0.5)),
    *(nn.RandomPosterization(4), nn.RandomSharpness(0.4), nn.Solarization(), nn.AutoContrast(), nn.Equalization()),
    *(nn.ContrastLimitedAdaptiveHistogramEqualization(), nn.MixUp(), nn.CutMix(), nn.RandAugment(), nn.AugMix()),
    *(nn.Resizing(7, 8), nn.CenterCrop(6, 7), nn.RandomCrop(5, 6)),
]
ROWS["photographs"] = (lambda: nn.Sequential([nn.Input((9, 10, 3)), *PICTURES, nn.Conv2D(2, 3)])), FIRST


def arrays(specs, seed=0):
    r = np.random.default_rng(seed)
    return kf.tree.map(lambda x: r.normal(size=[n or 2 for n in x.shape]).astype("float32"), specs)


def perturbed(trees):
    r = np.random.default_rng(1)
    return kf.tree.map(lambda x: (np.asarray(x) + 0.2 * r.random(x.shape)).astype(x.dtype), trees)


def turned(x, order):
    return kf.tree.map(lambda x: np.transpose(x, order[x.ndim]) if x.ndim in order else x, x)


def tolerance(params):
    """8 eps sqrt(n): sums of at most n terms, in another order, where n is at most the size of a kernel."""
    return 8 * 2.0**-24 * math.sqrt(max([x.size for x in kf.tree.leaves(params)], default=1))


def close(a, b, tol):
    for x, y in zip(kf.tree.leaves(a), kf.tree.leaves(b), strict=True):
        x, y = kf.to_numpy(x), kf.to_numpy(y)
        np.testing.assert_allclose(x, y, rtol=0, atol=2 * tol * max(1, np.abs(x).max()))


def row(name):
    build, order = ROWS[name]
    net = build()
    specs = net.input_specs()
    params, state = perturbed(net.init(0, *specs))
    return net, specs, params, state, order


@pytest.mark.parametrize("name", ROWS)
def test_networks_compute_the_same_there_and_back(name):
    net, specs, params, state, order = row(name)
    backend = NAMES[zlib.crc32(name.encode()) % 3]
    if backend == "tensorflow":
        pytest.importorskip("tensorflow")
    xs = arrays(specs)
    first, first_params, first_state = to_layout(net, params, "channels_first", state=state)
    given = first.input_specs()
    assert [tuple(x.shape) for x in kf.tree.leaves(given)] == [
        tuple(x.shape[i] for i in order.get(len(x.shape), range(len(x.shape)))) for x in kf.tree.leaves(specs)
    ]
    want, _ = net.apply(params, *xs, state=state)
    tol = tolerance(params)
    out, _ = first.apply(
        *kf.to_backend((first_params, *turned(xs, order)), backend), state=kf.to_backend(first_state, backend)
    )
    close(turned(want, order if name not in PLAIN else {}), out, tol)
    last, last_params, last_state = to_layout(first, first_params, "channels_last", state=first_state)
    assert kf.tree.paths(last_params) == kf.tree.paths(params) and kf.tree.paths(last_state) == kf.tree.paths(state)
    for a, b in zip(kf.tree.leaves((params, state)), kf.tree.leaves((last_params, last_state)), strict=True):
        np.testing.assert_array_equal(a, b)
    out, _ = last.apply(last_params, *xs, state=last_state)
    close(want, out, tol)


PLAIN = {"tokens", "other activations", "an activation of sizes"}
"""Rows whose outputs are no maps, or not in the format, although they have as many axes."""


def test_training_is_the_same():
    """Gradients of the parameters, and statistics of the batch, are those of the old network, in the new order."""
    net, specs, params, state, order = row("normalized")
    new, new_params, new_state = to_layout(net, params, "channels_first", state=state)
    (x,) = arrays(specs)

    def loss(net, x, state):
        def of(params):
            y, after = net.apply(params, x, state=state, train=True)
            return ops.sum(y * y), after

        return of

    grads, after = kf.grad(loss(net, x, state), has_aux=True)(params)
    new_grads, new_after = kf.grad(loss(new, turned(x, order), new_state), has_aux=True)(new_params)
    # They pass through four layers, and sum over the 7 * 8 places of two images beside the terms of a kernel.
    tol = 4 * math.sqrt(2 * 7 * 8) * tolerance(params)
    _, back_grads, back_state = to_layout(new, new_grads, "channels_last", state=new_after)
    close(after, back_state, tol)
    close(grads, back_grads, tol)


@pytest.mark.parametrize("i", range(len(PICTURES)), ids=[type(x).__name__ for x in PICTURES])
def test_pictures_are_augmented_alike(i):
    net = nn.Sequential([nn.Input((9, 10, 3)), nn.Pipeline([PICTURES[i]])])
    new, _, _ = to_layout(net, {}, "channels_first", state={})
    x, key = np.random.default_rng(0).integers(0, 256, (3, 9, 10, 3)).astype("float32"), kf.random.key(1)
    (want, _), (out, _) = (n.apply({}, v, key=key, train=True) for n, v in ((net, x), (new, turned(x, FIRST))))
    np.testing.assert_allclose(out, turned(want, FIRST), rtol=0, atol=255 * 2.0**-20)  # the same sums, in any order


@pytest.mark.parametrize("name", ["excitation", "several", "generator", "tokens"])
def test_files_hold_the_new_network(name):
    """Its layers have the same names when a file gives it back, so that they find their parameters."""
    net, _, params, state, _ = row(name)
    first, first_params, _ = to_layout(net, params, "channels_first", state=state)
    again = nn.deserialize(nn.serialize(first))
    declared = again.trace(*again.input_specs()).declared
    assert {"/".join(path) for path, d in declared.items() if d.kind == "params"} == set(kf.tree.paths(first_params))


def test_every_layer_with_a_format_or_an_axis_has_a_row():
    used: set[type] = set()

    def note(layer):
        used.add(type(layer))
        for _, child in layer.children():
            note(child)

    for build, _ in ROWS.values():
        note(build())
    classes = {c for c in vars(nn).values() if inspect.isclass(c) and issubclass(c, nn.Layer)}
    for cls in classes:
        names = set(cls.__fields__)
        if names & {"data_format", "axis", "shared_axes", "noise_shape"} and cls not in used:
            assert cls in (nn.AlphaDropout,), cls


@nn.layer
class Average(nn.Layer):
    body: nn.Layer

    def forward(self, s, x):
        return ops.mean(self.body(s, x), axis=(1, 2))


@nn.layer
class Native(nn.Layer):
    body: nn.Layer = nn.Conv2D(3, 3)

    def forward(self, s, x):
        return kf.namespace(x).flip(self.body(s, x), axis=1)


@nn.layer
class MakesItsOwn(nn.Layer):
    def __init__(self, filters, **kwargs):
        super().__init__(**kwargs)
        self.conv = nn.Conv2D(filters, 3)

    def forward(self, s, x):
        return self.conv(s, x)


@nn.layer
class Unknown(nn.Layer):
    def forward(self, s, x):
        return x * s.param("scale", (x.shape[-1],), "ones")


@nn.layer
class OfHalf(nn.Conv2D):
    def convolve(self, s, x, window, channels):
        return super().convolve(s, x, window, channels) / 2


@nn.layer
class BySizes(nn.Layer):
    body: nn.Layer

    def forward(self, s, x):
        return self.body(s, x) / x.shape[-1]


@nn.layer
class Chosen(nn.Layer):
    body: nn.Layer
    filters: int = 4

    def forward(self, s, x):
        return x + self.body(s, x) if x.shape[-1] == self.filters else x


@nn.layer
class Twice(nn.Layer):
    body: nn.Layer

    def forward(self, s, x):
        return self.body(s, self.body(s, x))


@nn.layer
class Training(nn.Layer):
    body: nn.Layer

    def forward(self, s, x):
        y = self.body(s, x)
        return y - ops.mean(y, axis=-1, keepdims=True) if s.train else y


REFUSED = {
    "training": (lambda: Training(nn.Conv2D(3, 3)), "training", "its forward computes something else in training"),
    "twice": (
        lambda: nn.Sequential([nn.Conv2D(3, 3), Twice(nn.Dense(3))]),
        "sequential/twice/body",
        "it is called several times, with maps in other formats",
    ),
    "sizes": (lambda: BySizes(nn.Conv2D(3, 3)), "by_sizes", "its forward computes with sizes of its inputs"),
    "a choice": (
        lambda: Chosen(nn.Conv2D(4, 3, padding="same")),
        "chosen",
        "its forward computes with sizes of its inputs",
    ),
    "reduction": (lambda: Average(nn.Conv2D(3, 3)), "average", "its forward calls `mean`"),
    "namespace": (lambda: Native(), "native", "its forward does more than to call layers"),
    "own init": (lambda: MakesItsOwn(3), "makes_its_own", "its __init__ makes the layers in it"),
    "unknown": (lambda: nn.Sequential([nn.Conv2D(3, 3), Unknown()]), "sequential/unknown", "its forward calls"),
    "overridden": (lambda: OfHalf(3, 3), "of_half", "its class is not kfunc's"),
    "lambda": (
        lambda: nn.Sequential([nn.Conv2D(3, 3), nn.Lambda(lambda x: x[:, 0])]),
        "sequential/lambda",
        "its function may give the axes a meaning",
    ),
    "lambda, sizes": (
        lambda: nn.Sequential([nn.Conv2D(3, 3), nn.Lambda(lambda x: x / x.shape[-1])]),
        "sequential/lambda",
        "its function may give the axes a meaning",
    ),
    "bidirectional": (
        lambda: nn.Sequential([nn.Reshape((1, 9, 10, 4)), nn.Bidirectional(nn.ConvLSTM2D(2, 3))]),
        "sequential/bidirectional",
        "layers in it have a data_format",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_layers_that_cannot_say_how(name):
    build, path, words = REFUSED[name]
    net = nn.Sequential([nn.Input((9, 10, 4)), build()])
    params, state = net.init(0, *net.input_specs())
    with pytest.raises(kf.errors.LayerError, match=f"cannot be turned into channels_first: {words}") as error:
        to_layout(net, params, "channels_first", state=state)
    assert error.value.path == path


def test_arguments():
    net = nn.Sequential([nn.Conv2D(3, 3)])
    params, _ = net.init(0, kf.Spec((None, 8, 8, 2)))
    with pytest.raises(kf.errors.ArgumentError, match="`layout` must be"):
        to_layout(net, params, "nchw", kf.Spec((None, 8, 8, 2)))
    with pytest.raises(kf.errors.ArgumentError, match="shapes of the network's inputs are not known"):
        to_layout(net, params, "channels_first")
    with pytest.raises(kf.errors.ParamError, match="`params` does not belong to the network: conv2d/kernel needs"):
        to_layout(net, params, "channels_first", kf.Spec((None, 8, 8, 3)))
    with pytest.raises(kf.errors.ParamError, match="conv2d/bias needs shape"):
        to_layout(net, {"conv2d": {"kernel": params["conv2d"]["kernel"]}}, "channels_first", kf.Spec((None, 8, 8, 2)))
