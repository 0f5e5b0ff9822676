"""Layers of images against Keras 3: given what was drawn, the same pixels, boxes and masks; and drawn alike."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from backends import params
from sampling import one_of

import kfunc as kf
from kfunc import nn
from kfunc.errors import ArgumentError, ShapeError

RNG = np.random.default_rng(20)
BATCH, HEIGHT, WIDTH = 3, 9, 12
IMAGES = RNG.integers(0, 256, (BATCH, HEIGHT, WIDTH, 3)).astype("uint8")
MASKS = RNG.integers(0, 5, (BATCH, HEIGHT, WIDTH, 1)).astype("uint8")
BOXES = np.tile(np.asarray([[1, 2, 5, 6], [2, 0, 11, 8], [6, 3, 9, 7]], "float32"), (BATCH, 1, 1))
LABELS = np.tile(np.asarray([0, 1, 2], "int32"), (BATCH, 1))
EPS = 2.0**-23


def data(value_range=(0, 255), first=False, form="xyxy", boxes=True, masks=True):
    """A dict as layers of images take it, of NumPy arrays."""
    x = IMAGES
    if tuple(value_range) != (0, 255):
        low, high = value_range
        x = (IMAGES / np.float32(255) * (high - low) + low).astype("float32")
    found: dict[str, Any] = {"images": x, "labels": np.eye(4, dtype="float32")[:BATCH]}
    if boxes:
        given = kf.utils.bounding_boxes.convert_format(BOXES, "xyxy", form, HEIGHT, WIDTH)
        found["bounding_boxes"] = {"boxes": given, "labels": LABELS}
    if masks:
        found["segmentation_masks"] = MASKS
    if first:
        found |= {k: np.moveaxis(found[k], -1, 1) for k in ("images", "segmentation_masks") if k in found}
    return found


@dataclasses.dataclass(frozen=True, eq=False)
class Row:
    """A layer of both, and how what Keras has drawn is called here.

    Attributes:
        condition: By how much it magnifies the rounding of numbers as large as its range of values.
        places: Whether pixels come from computed places: 12 of these, which are rounded, to a change of 255 a pixel.
        boxes: Whether boxes are compared, or why not.
        masks: The same for masks.
        single: Whether Keras is given the images one by one, since it takes one histogram of all.
        floats: Whether images are given as floats: integers would be rounded where a result lies between two.
    """

    name: str
    args: tuple = ()
    kwargs: dict[str, Any] = dataclasses.field(default_factory=dict)
    drawn: Any = None
    condition: float = 1
    places: bool = False
    n: int = 1
    value_range: tuple[float, float] = (0, 255)
    boxes: bool | str = True
    masks: bool | str = True
    single: bool = False
    floats: bool = False

    @property
    def id(self):
        rest = [*map(str, self.args), *(f"{k}={v}" for k, v in self.kwargs.items())]
        rest += [] if self.value_range == (0, 255) else [f"value_range={self.value_range}"]
        return f"{self.name}({', '.join(rest)})"


def flat(*names):
    """What is drawn for each image, as arrays (batch,)."""
    return lambda t: {name: np.asarray(t[name]).reshape(-1) for name in names}


def same(*names):
    return lambda t: {name: np.asarray(t[name]) for name in names}


def mask(t):
    return {"apply_grayscale": np.asarray(t).reshape(-1)}


def blur(t):
    return {**same("should_apply_blur")(t), "blur_factor": np.tile(np.asarray(t["blur_factor"]), (BATCH, 1))}


def edges(t):
    """The box, of which Keras tells the pixels inside."""
    inside = np.asarray(t["batch_masks"])[..., 0]
    found = {}
    for axis, along in (("x", 1), ("y", 2)):
        seen = inside.any(axis=along)
        found[f"{axis}0"] = seen.argmax(axis=1).astype("float32") - 0.5
        found[f"{axis}1"] = found[f"{axis}0"] + seen.sum(axis=1).astype("float32")
    return found


def erased(t):
    return {**edges(t), **same("apply_erasing")(t)}


def cut(t):
    return {**edges(t), **flat("mix_weight", "permutation_order")(t)}


def several(t):
    """What RandAugment has drawn: Keras chooses the same layers for all images of a batch."""
    found = {row.name: row.drawn for row in ROWS if row.drawn is not None}
    names = {kf.registry.snake_case(name): name for name in found}
    drawn = {
        k: found[names[k]](v) if v is not None and k in names else {"none": np.zeros(1)}
        for k, v in t["transforms"].items()
    }
    return {"layer_idxes": np.tile(np.asarray(t["layer_idxes"]), (BATCH, 1)), "transforms": drawn}


ZOOM, SEES = flat("height_zoom", "width_zoom"), same("apply_perspective", "start_points", "end_points")
FIRST = {"data_format": "channels_first"}
ONLY_XYXY = "Keras takes boxes of any format for corners"
NO_BOXES = "Keras's boxes are wrong; docs/differences.md"
FAILS = "Keras fails"
TILES = {"clip_limit": 8.0, "tile_grid_size": (2, 3)}
ROWS = [
    *(Row("Resizing", (6, 8), kw, n=4) for kw in ({}, {"crop_to_aspect_ratio": True}, {"interpolation": "nearest"})),
    Row("Resizing", (6, 4), {"pad_to_aspect_ratio": True, "fill_value": 7.0}, n=4, floats=True),
    Row("Resizing", (5, 14), {"interpolation": "bicubic", "antialias": True}, n=16),
    Row("Resizing", (6, 8), FIRST, n=4),
    Row("CenterCrop", (6, 7)),
    Row("CenterCrop", (5, 6), FIRST),
    Row("CenterCrop", (10, 8), n=4, masks="Keras mixes classes"),
    *(Row("RandomFlip", (mode,), drawn=flat("flips")) for mode in ("horizontal", "vertical")),
    Row("RandomFlip", (), FIRST, drawn=flat("flips")),
    Row("RandomRotation", (0.2,), drawn=same("angle"), places=True),
    Row("RandomRotation", ((-0.3, 0.1), "constant", "nearest"), {"fill_value": 9.0}, same("angle"), places=True),
    Row("RandomRotation", (0.2, "wrap"), FIRST, same("angle"), places=True),
    Row("RandomTranslation", (0.3, 0.2), drawn=same("translations"), places=True),
    Row("RandomTranslation", (0.3, 0.2, "nearest", "nearest"), FIRST, same("translations"), places=True),
    Row("RandomZoom", (0.3,), drawn=ZOOM, places=True),
    Row("RandomZoom", ((-0.5, -0.1), 0.4, "constant"), drawn=ZOOM, places=True),
    Row("RandomShear", (0.3, 0.2), drawn=same("shear_factor"), places=True, boxes=NO_BOXES),
    Row("RandomShear", (0.3,), {"fill_mode": "constant", **FIRST}, same("shear_factor"), places=True, boxes=NO_BOXES),
    Row("RandomPerspective", (1.0, 0.3), drawn=SEES, places=True, condition=8),
    Row("RandomBrightness", (0.4,), drawn=flat("rgb_delta")),
    Row("RandomBrightness", ((-0.2, 0.6),), drawn=flat("rgb_delta"), value_range=(0, 1)),
    Row("RandomContrast", (0.4,), drawn=flat("contrast_factor"), n=108),
    Row("RandomContrast", ((0.2, 0.5),), drawn=flat("contrast_factor"), n=108, value_range=(0, 1)),
    *(Row("RandomHue", (0.6,), drawn=same("factor"), condition=6, value_range=r) for r in ((0, 255), (0, 1))),
    Row("RandomSaturation", ((0.0, 0.5),), drawn=same("factor"), condition=4),
    Row("RandomSaturation", (1.0,), drawn=same("factor"), condition=4, value_range=(0, 1)),
    *(Row("RandomColorDegeneration", (0.6,), drawn=flat("factor"), value_range=r, n=3) for r in ((0, 255), (0, 1))),
    Row("RandomColorDegeneration", (0.6,), FIRST, flat("factor"), n=3),
    Row("RandomGrayscale", (0.5,), drawn=mask, n=3, boxes=FAILS),
    Row("RandomInvert", (0.5,), drawn=same("apply_inversion")),
    Row("RandomPosterization", (5,), drawn=same("shift_factor")),
    Row("RandomPosterization", ((2, 7),), drawn=same("shift_factor"), value_range=(-1, 1)),
    Row("RandomSharpness", (0.9,), drawn=same("factor"), n=9),
    Row("RandomSharpness", (0.9,), drawn=same("factor"), n=9, value_range=(0, 1)),
    Row("Solarization", (0.3, 0.6), drawn=flat("additions", "thresholds")),
    Row("Solarization", (0.3, 0.6), drawn=flat("additions", "thresholds"), value_range=(0, 1)),
    *(Row("AutoContrast", value_range=r, condition=4) for r in ((0, 255), (-1, 1))),
    *(Row("Equalization", (), {"bins": 32}, value_range=r, single=True) for r in ((0, 255), (0, 1))),
    Row("Equalization", (), {"bins": 24, **FIRST}, single=True),
    Row("ContrastLimitedAdaptiveHistogramEqualization", n=256, boxes=FAILS, masks=FAILS),
    Row("ContrastLimitedAdaptiveHistogramEqualization", (), TILES, n=256, floats=True, boxes=FAILS, masks=FAILS),
    Row("RandomErasing", (0.8,), {"fill_value": 3.0}, erased, boxes=True),
    Row("RandomErasing", (1.0, (0.2, 0.6)), {"fill_value": (1.0, 0.0, 2.0)}, erased),
    Row("MixUp", (0.4,), drawn=same("mix_weight", "permutation_order"), masks="Keras mixes classes", boxes=FAILS),
    Row("CutMix", (1.0,), drawn=cut, boxes=FAILS, masks=FAILS),
    Row("RandAugment", (), drawn=several, places=True, boxes=NO_BOXES, n=108, condition=4),
    Row("RandAugment", (), {"num_ops": 1}, several, places=True, boxes=NO_BOXES, n=108, condition=4),
    Row("RandomGaussianBlur", (0.7,), drawn=blur, n=9),
    Row("RandomGaussianBlur", (0.7, (3, 5), (0.5, 1.0)), drawn=blur, n=15),
]


def built(module, row, form="xyxy"):
    kwargs = dict(row.kwargs)
    if row.value_range != (0, 255):
        kwargs["value_range"] = row.value_range
    return getattr(module, row.name)(*row.args, **kwargs, bounding_box_format=form)


def given(row, form="xyxy", boxes=True):
    first = row.kwargs.get("data_format") == "channels_first"
    x = data(row.value_range, first, form, boxes and row.boxes is True, row.masks is True)
    return {**x, "images": x["images"].astype("float32")} if row.floats else x


def sliced(x, i):
    return {k: sliced(v, i) if isinstance(v, dict) else v[i : i + 1] for k, v in x.items()}


def copied(x):
    return {k: copied(v) if isinstance(v, dict) else v for k, v in x.items()}


FILE = Path(__file__).with_name("pictures_oracle.npz")
"""What Keras has drawn and made; `python tests/test_pictures.py` writes it anew."""


def spread(x, path):
    """The arrays in nested dicts by their paths."""
    if isinstance(x, dict):
        return {k: v for name, part in x.items() for k, v in spread(part, f"{path}|{name}").items()}
    return {path: np.asarray(x)}


def gathered(path):
    """The nested dict that `spread` took apart."""
    out: dict[str, Any] = {}
    for key, value in stored().items():
        if key.startswith(f"{path}|"):
            *names, last = key.removeprefix(f"{path}|").split("|")
            place = out
            for name in names:
                place = place.setdefault(name, {})
            place[last] = value
    return out


@functools.cache
def stored():
    with np.load(FILE, allow_pickle=False) as file:
        return dict(file)


def oracle(i):
    """What Keras has drawn, in the words here, and what it makes of the data."""
    row = ROWS[i]
    return gathered(f"{row.id}|drawn"), gathered(f"{row.id}|out")


def record():
    """Ask Keras, and write down what it says."""
    os.environ["KERAS_BACKEND"] = "numpy"
    found = {}
    for row in ROWS:
        drawn, out = asked(row)
        found |= spread({"drawn": drawn, "out": out}, row.id)
    for name, args in DRAWS.items():
        found |= spread(many(name, args), f"draws|{name}")
    np.savez_compressed(FILE, **found)


def asked(row):
    import keras

    # With this seed RandAugment does not choose Equalization, which takes one histogram for a whole batch in Keras.
    keras.utils.set_random_seed(SEED if row.name == "RandAugment" else 3)
    kwargs = dict(row.kwargs) | ({} if row.value_range == (0, 255) else {"value_range": row.value_range})
    cls = getattr(keras.layers, row.name)
    try:
        theirs = cls(*row.args, **kwargs, bounding_box_format="xyxy")
    except (TypeError, ValueError):  # a layer that has no boxes
        theirs = cls(*row.args, **kwargs)
    if row.name == "RandAugment":  # which, on NumPy, lets this layer write into the images that others are given
        write = theirs.random_brightness.transform_images
        theirs.random_brightness.transform_images = lambda images, *args: write(images.copy(), *args)
    x = given(row)
    x["images"] = x["images"] if keeps(row) else x["images"].astype("float32")
    found = theirs.get_random_transformation(x["images"] if row.name == "RandomGrayscale" else x, training=True)
    drawn = {} if row.drawn is None else row.drawn(found)
    outs = []
    for part in [sliced(x, j) for j in range(BATCH)] if row.single else [x]:
        x = copied(part)
        out = {"images": theirs.transform_images(x["images"], found, training=True)}
        if "segmentation_masks" in x:
            out["segmentation_masks"] = theirs.transform_segmentation_masks(x["segmentation_masks"], found)
        if "bounding_boxes" in x:
            out["bounding_boxes"] = theirs.transform_bounding_boxes(x["bounding_boxes"], found, training=True)
        with contextlib.suppress(NotImplementedError):
            out["labels"] = theirs.transform_labels(x["labels"], found)
        outs.append(kf.tree.map(np.asarray, out))
    return drawn, kf.tree.map(lambda *xs: np.concatenate(xs), *outs)


def keeps(row):
    return row.name in ("Resizing", "ContrastLimitedAdaptiveHistogramEqualization")


def on(backend, x):
    return kf.tree.map(lambda v: kf.asarray(v, backend=backend), x)


def fed(layer, drawn, backend):
    """The layer, which draws what it is given."""
    drawn = on(backend, drawn)
    object.__setattr__(layer, "draw", lambda s, images: drawn)
    return layer


CASES = [
    pytest.param(i, name, id=f"{row.id}-{name}", marks=getattr(pytest.mark, name))
    for i, row in enumerate(ROWS)
    for name in ("numpy", *one_of(("jax", "torch", "tensorflow"), row.id))
]


@pytest.mark.parametrize(("i", "backend"), CASES)
def test_against_keras(i, backend):
    row = ROWS[i]
    drawn, want = oracle(i)
    layer = fed(built(nn, row), drawn, backend)
    got, _ = layer.apply({}, on(backend, given(row)), key=on(backend, kf.random.key(0)), train=True)
    got = kf.tree.map(kf.to_numpy, got)
    span = 2 * max(map(abs, row.value_range))
    bound = 8 * EPS * span * row.n**0.5 * row.condition * (WIDTH if row.places else 1)
    if keeps(row) and not row.floats:
        assert got["images"].dtype == want["images"].dtype == np.uint8
        # A quotient that lies on a border of two integers may be rounded to either.
        np.testing.assert_allclose(got["images"].astype(int), want["images"].astype(int), atol=0)
    else:
        assert got["images"].dtype == np.float32
        off = np.abs(got["images"] - want["images"])
        assert off.max() <= bound, (off.max(), bound)
    if row.masks is True:
        assert got["segmentation_masks"].dtype == np.uint8
        np.testing.assert_array_equal(got["segmentation_masks"], want["segmentation_masks"])
    if row.boxes is True:
        found, boxes = got["bounding_boxes"], want["bounding_boxes"]
        scale = 8 * EPS * WIDTH * row.condition * 4
        np.testing.assert_allclose(found["boxes"], boxes["boxes"], rtol=0, atol=scale)
        np.testing.assert_array_equal(found["labels"], boxes["labels"])
    labels = want.get("labels", np.eye(4)[:BATCH])
    np.testing.assert_allclose(got["labels"], labels, rtol=0, atol=8 * EPS)


# -- what is drawn ---------------------------------------------------------------------------------------------------

MANY = 256
SEED = 4
DRAWS: dict[str, tuple] = {
    "RandomFlip": (),
    "RandomRotation": ((-0.1, 0.2),),
    "RandomTranslation": (0.2, (0.1, 0.3)),
    "RandomZoom": (0.3, (-0.2, 0.4)),
    "RandomShear": (0.3, (0.1, 0.2)),
    "RandomPerspective": ((0.2, 0.8), 0.5),
    "RandomBrightness": (0.3,),
    "RandomContrast": (0.3,),
    "RandomHue": (0.3,),
    "RandomSaturation": ((0.2, 0.7),),
    "RandomColorDegeneration": (0.4,),
    "RandomInvert": ((0.2, 0.6),),
    "RandomPosterization": ((2, 6),),
    "RandomSharpness": ((0.2, 0.7),),
    "Solarization": (0.3, 0.6),
    "RandomErasing": ((0.3, 0.9),),
    "RandomGaussianBlur": ((0.3, 0.9),),
    "MixUp": (0.3,),
    "CutMix": ((0.8, 0.8),),
}
"""Layers, and their arguments."""

ONCE = ("blur_factor", "permutation_order", "batch_masks", "fill_value", "input_shape", "image_height", "image_width")
ONCE += ("batch_size", "rotation_matrix", "start_points", "x0", "x1", "y0", "y1")
"""Numbers that Keras draws once for a batch, or draws none of."""


def many(name, args):
    """What Keras draws for many images."""
    import keras

    keras.utils.set_random_seed(5)
    theirs = getattr(keras.layers, name)(*args)
    found = theirs.get_random_transformation(np.zeros((MANY, 6, 8, 3), "float32"), training=True)
    return {k: np.asarray(v, "float32") for k, v in found.items() if k not in ONCE}


def distance(a, b):
    """The largest difference of two empirical distribution functions (Kolmogorov and Smirnov)."""
    at = np.concatenate([a, b])
    return np.abs(*[np.subtract(*(np.searchsorted(np.sort(v), at, "right") / len(v) for v in (a, b)))]).max()


class Drawn(Exception):
    pass


def drawn_by(layer, images, seed=1):
    """What a layer draws for images of NumPy."""
    found = {}
    draw = layer.draw
    object.__setattr__(layer, "draw", lambda s, x: found.setdefault("all", draw(s, x)))
    layer.apply({}, images, key=kf.random.key(seed), train=True)
    return found["all"]


@pytest.mark.parametrize("name", DRAWS)
def test_draws_as_keras(name):
    """The same distributions. A fair test fails with a probability of 1e-5 for a number: 2.47 is that quantile."""
    x = np.zeros((MANY, 6, 8, 3), "float32")
    ours, theirs = drawn_by(getattr(nn, name)(*DRAWS[name]), x), gathered(f"draws|{name}")
    assert theirs.keys() == {k for k in ours if k not in ONCE}
    for k, v in theirs.items():
        ours_k, v = (np.asarray(a, "float32").reshape(MANY, -1) for a in (ours[k], v))
        for i in range(v.shape[1]):
            assert distance(ours_k[:, i], v[:, i]) < 2.47 * (2 / MANY) ** 0.5


# -- the same for every batch and backend ----------------------------------------------------------------------------

RANDOM = [
    *(nn.RandomCrop(4, 5), nn.RandomFlip(), nn.RandomRotation(0.2), nn.RandomTranslation(0.2, 0.2), nn.RandomZoom(0.3)),
    *(nn.RandomShear(0.2, 0.2), nn.RandomPerspective(0.7), nn.RandomBrightness(0.3), nn.RandomContrast(0.3)),
    *(nn.RandomHue(0.3), nn.RandomSaturation(0.6), nn.RandomColorDegeneration(0.3), nn.RandomGrayscale()),
    *(nn.RandomInvert(0.5), nn.RandomColorJitter((0, 255), 0.2, 0.2, 0.2, 0.2), nn.RandomPosterization(4)),
    *(nn.RandomSharpness(0.5), nn.Solarization(0.2, 0.5), nn.RandomGaussianBlur(0.7), nn.RandomErasing(0.8)),
    *(nn.RandAugment(), nn.AugMix(num_chains=2, chain_depth=1)),
]
NAMED = [pytest.param(v, id=type(v).__name__) for v in RANDOM]


@pytest.mark.parametrize("layer", NAMED)
def test_a_draw_depends_on_the_key_and_the_number_of_the_image(layer):
    x = RNG.integers(0, 256, (16, 6, 8, 3)).astype("float32")
    key = kf.random.key(4)
    whole, _ = layer.apply({}, x, key=key, train=True)
    part, _ = layer.apply({}, x[:8], key=key, train=True)
    one, _ = layer.apply({}, x[0], key=key, train=True)
    np.testing.assert_array_equal(part, whole[:8])
    np.testing.assert_array_equal(one, whole[0])
    assert np.ptp(np.abs(layer.apply({}, np.tile(x[:1], (16, 1, 1, 1)), key=key, train=True)[0]), axis=0).max() > 0
    if not isinstance(layer, nn.RandomCrop):
        np.testing.assert_array_equal(layer.apply({}, x)[0], x)


def names_of(layer):
    """The backends that a layer is tried on: the largest programs take PyTorch and TensorFlow long to compile."""
    large = isinstance(layer, nn.RandAugment | nn.AugMix)
    return ["jax"] if large else one_of(("jax", "torch", "tensorflow"), type(layer).__name__, "compiled")


@pytest.mark.parametrize(
    ("layer", "backend"),
    [
        pytest.param(v, b, id=f"{type(v).__name__}-{b}", marks=getattr(pytest.mark, b))
        for v in RANDOM
        for b in names_of(v)
    ],
)
def test_the_same_pixels_on_every_backend(layer, backend):
    """As one compiled program on JAX; on the others op by op, since `fit` above compiles a pipeline on them."""
    x = IMAGES.astype("float32")
    want, _ = layer.apply({}, x, key=kf.random.key(4), train=True)

    def step(x, key):
        return layer.apply({}, x, key=key, train=True)[0]

    got = kf.to_numpy((kf.jit(step) if backend == "jax" else step)(*on(backend, (x, kf.random.key(4)))))
    # A value on the border of two levels or hues, or a place between two pixels, may fall to either side.
    off = np.abs(got - want) > 8 * EPS * 255 * WIDTH * 8
    assert off.mean() < 0.01


# -- bad input -------------------------------------------------------------------------------------------------------

WRONG = [
    (lambda: nn.RandomBrightness(0.1, (0, 0)), "value_range"),
    (lambda: nn.RandomBrightness(0.1, 255), "value_range"),
    (lambda: nn.RandomBrightness(1.5), "factor"),
    (lambda: nn.RandomContrast((-0.1, 0.2)), "factor"),
    (lambda: nn.RandomRotation("0.2"), "factor"),
    (lambda: nn.RandomRotation(0.2, "mirror"), "fill_mode"),
    (lambda: nn.RandomRotation(0.2, interpolation="cubic"), "interpolation"),
    (lambda: nn.RandomZoom(-1.0), "height_factor"),
    (lambda: nn.RandomTranslation(0.1, (1, 2, 3)), "width_factor"),
    (lambda: nn.RandomFlip("sideways"), "mode"),
    (lambda: nn.RandomPosterization(2.5), "factor"),
    (lambda: nn.RandomGaussianBlur(kernel_size=4), "kernel_size"),
    (lambda: nn.RandomErasing(fill_value=(1, 2)), "fill_value"),
    (lambda: nn.Resizing(0, 3), "height"),
    (lambda: nn.Resizing(3, 3, crop_to_aspect_ratio=True, pad_to_aspect_ratio=True), "pad_to_aspect_ratio"),
    (lambda: nn.RandomFlip(bounding_box_format="xxyy"), "bounding_box_format"),
    (lambda: nn.MixUp(0), "alpha"),
    (lambda: nn.Pipeline([]), "layers"),
]


@pytest.mark.parametrize(("make", "argument"), WRONG, ids=[f"{a}-{i}" for i, (_, a) in enumerate(WRONG)])
def test_wrong_arguments(make, argument):
    with pytest.raises((ArgumentError, ShapeError), match=f"`{argument}`"):
        make()


FLIP = nn.RandomFlip(bounding_box_format="xyxy")
GIVEN = [
    (FLIP, {"images": IMAGES, "segmentation_masks": MASKS[:, :4]}, "segmentation masks have the size 4 x 12"),
    (FLIP, {"images": IMAGES, "segmentation_masks": MASKS[..., 0]}, "must have 4 axes"),
    (FLIP, {"image": IMAGES}, "no 'images'"),
    (FLIP, {"images": IMAGES, "bounding_boxes": BOXES}, "`bounding_boxes` must be a dict"),
    (FLIP, {"images": IMAGES, "bounding_boxes": {"boxes": BOXES[..., :3], "labels": LABELS}}, "four numbers"),
    (FLIP, {"images": IMAGES, "bounding_boxes": {"boxes": BOXES, "labels": LABELS[:, :2]}}, "do not fit"),
    (nn.RandomFlip(), data(), "`bounding_box_format` of RandomFlip"),
    (FLIP, IMAGES[0, 0], "an image or a batch"),
    (nn.RandomHue(0.2), IMAGES[..., :2], "3 channels"),
    (nn.CutMix(bounding_box_format="xyxy"), data(), "bounding boxes"),
    (nn.MixUp(), {"images": IMAGES, "labels": np.arange(BATCH)}, "labels must be floats"),
]


@pytest.mark.parametrize(("layer", "x", "says"), GIVEN, ids=[s.split()[-1] + str(i) for i, (*_, s) in enumerate(GIVEN)])
def test_wrong_input(layer, x, says):
    with pytest.raises((ArgumentError, ShapeError)) as caught:
        layer.apply({}, x, key=kf.random.key(0), train=True)
    assert says in str(caught.value).splitlines()[0]


# -- formats, and the rest -------------------------------------------------------------------------------------------

FORMATS = ("xyxy", "yxyx", "xywh", "center_xywh", "center_yxhw", "rel_xyxy", "rel_yxyx", "rel_xywh", "rel_center_xywh")


@pytest.mark.parametrize("form", FORMATS)
def test_formats_of_boxes(form):
    """A layer moves boxes of any format as it moves corners; and conversions lead back."""
    layer = nn.RandomRotation(0.1)
    convert = functools.partial(kf.utils.bounding_boxes.convert_format, height=HEIGHT, width=WIDTH)
    np.testing.assert_allclose(convert(convert(BOXES, "xyxy", form), form, "xyxy"), BOXES, rtol=0, atol=8 * EPS * WIDTH)
    found = {}
    for name in (form, "xyxy"):
        own = type(layer)(0.1, bounding_box_format=name)
        out, _ = own.apply({}, data(form=name), key=kf.random.key(1), train=True)
        found[name] = convert(out["bounding_boxes"]["boxes"], name, "xyxy")
    np.testing.assert_allclose(found[form], found["xyxy"], rtol=0, atol=32 * EPS * WIDTH)


def test_the_number_of_boxes():
    for most in (2, 5):
        layer = nn.MaxNumBoundingBoxes(most, bounding_box_format="xyxy")
        out = layer.apply({}, data())[0]["bounding_boxes"]
        kept = min(most, 3)
        assert out["boxes"].shape == (BATCH, most, 4)
        np.testing.assert_array_equal(out["boxes"][:, :kept], BOXES[:, :kept])
        np.testing.assert_array_equal(out["labels"][:, kept:], -1)


def test_a_crop_moves_boxes_and_masks_with_the_pixels():
    x = np.zeros((BATCH, HEIGHT, WIDTH, 1), "float32")
    x[:, 3:5, 4:7] = 1
    boxes = {"boxes": np.tile(np.asarray([[4, 3, 7, 5]], "float32"), (BATCH, 1, 1)), "labels": np.ones((BATCH, 1))}
    given = {"images": x, "segmentation_masks": x.astype("int32"), "bounding_boxes": boxes}
    layer = nn.RandomCrop(6, 8, bounding_box_format="xyxy")
    out, _ = layer.apply({}, given, key=kf.random.key(2), train=True)
    np.testing.assert_array_equal(out["images"], out["segmentation_masks"])
    for image, (x0, y0, x1, y1) in zip(out["images"], out["bounding_boxes"]["boxes"][:, 0].astype(int), strict=True):
        assert image[y0:y1, x0:x1].all() and image.sum() == (y1 - y0) * (x1 - x0)


def curve(backend):
    x = np.random.default_rng(2).integers(0, 256, (16, 6, 8, 3)).astype("float32")
    y = np.random.default_rng(3).integers(0, 2, 16)
    augment = nn.Pipeline([nn.RandomFlip(), nn.RandomRotation(0.1), nn.RandomBrightness(0.1)])
    model = kf.Model(nn.Sequential([augment, nn.Rescaling(1 / 255), nn.Flatten(), nn.Dense(2)]), seed=1)
    model.compile("sgd", kf.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model.fit(x, y, batch_size=8, epochs=2, verbose=0, backend=backend).history["loss"]


@pytest.mark.parametrize("backend", params(("jax", "torch", "tensorflow")))
def test_a_pipeline_in_fit(backend):
    """The same curve on all backends, of layers that augment in the step."""
    np.testing.assert_allclose(curve(backend), curve("numpy"), rtol=64 * EPS)


if __name__ == "__main__":
    record()
