"""Layers that mix images, erase parts of them, or choose among other layers at random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from ... import checks, ops, random
from ...arrays import backend_of, device, namespace
from ...errors import ArgumentError, ShapeError
from ...ops._promotion import cast, dtype_of, floating, kind
from ...ops.image._layout import known_sizes
from ...ops.rejection import GAMMA_PROPOSALS, gamma_variates
from ...random.continuous import open_unit
from ...typing import Tree
from ..layer import Layer, base_layer, layer
from ..scope import Scope
from .colours import (
    AutoContrast,
    Equalization,
    RandomBrightness,
    RandomColorDegeneration,
    RandomContrast,
    RandomPosterization,
    RandomSharpness,
    Solarization,
    between,
)
from .geometry import RandomRotation, RandomShear, RandomTranslation
from .pictures import PAIR, Picture, beside, grid

__all__ = ["AugMix", "CutMix", "MaxNumBoundingBoxes", "MixUp", "Pipeline", "RandAugment", "RandomErasing"]


def _gammas(s: Scope, images: Any, alpha: Any, count: int) -> tuple[Any, Any]:
    """Gamma distributed numbers (batch, count), each times `exp` of the second array; `alpha` is (batch, 1).

    `random.gamma` would draw others for a batch of another size, since its proposals come first.
    """
    batch = backend_of(images).sizes(images)[0]
    xp = namespace(alpha)
    many = (batch, count, GAMMA_PROPOSALS)
    x, u = (xp.moveaxis(f(s.key(), many, "float32"), -1, 0) for f in (random.normal, open_unit))
    return gamma_variates(alpha + xp.zeros_like(x[0, ...]), x, u, open_unit(s.key(), (batch, count), "float32"))


def _beta(s: Scope, images: Any, alpha: Any) -> Any:
    """Numbers (batch,) of a beta distribution with both parameters `alpha`, (batch, 1)."""
    value, log_factor = _gammas(s, images, alpha, 2)
    xp = namespace(value)
    logs = xp.log(value) + log_factor
    return ops.sigmoid(logs[:, 0] - logs[:, 1])


def _filled(images: Any, value: float) -> Any:
    """(batch, 1), the same number for each image."""
    return cast(images[:, 0, 0, :1], "float32") * 0 + value


def _box(layer: Picture, s: Scope, images: Any, down: Any, across: Any) -> dict[str, Any]:
    """Random boxes with sides of these parts (batch,) of the image: the first and the last place along both axes."""
    found: dict[str, Any] = {}
    height, width = known_sizes(images)
    for axis, n, part in (("x", width, across), ("y", height, down)):
        length = part * n
        start = layer.uniform(s, images, 0.0, 1.0) * (n - length)
        found |= {f"{axis}0": start, f"{axis}1": start + length}
    return found


def _inside(images: Any, drawn: dict[str, Any]) -> Any:
    """Which pixels lie in the boxes, (batch, height, width, 1)."""
    rows, columns = grid(images)
    x0, x1, y0, y1 = (beside(rows, drawn[k]) for k in ("x0", "x1", "y0", "y1"))
    return (columns >= x0) & (columns < x1) & (rows >= y0) & (rows < y1)


@layer
class RandomErasing(Picture):
    """In training, images with a random rectangle that is filled: (batch, height, width, channels) to the same.

    Also an image without the batch, or a dict with boxes and masks, which stay. Integers become float32
    (Zhong et al., arXiv:1708.04896).

    Args:
        factor: The probability that an image changes, in [0, 1]; or a pair that it is drawn from.
        scale: The range of the parts of the area, in [0, 1], whose square roots are the sides: a pair, or a number `v`
            for (0, v).
        fill_value: A number, or one for each of three channels. None fills with normal noise, times the largest value.
        value_range: The least and the largest value of a pixel.
    """

    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    factor: float | tuple[float, float] = 1.0
    scale: float | tuple[float, float] = (0.02, 0.33)
    fill_value: float | Sequence[float] | None = None
    value_range: tuple[float, float] = (0, 255)
    seed: int | None = None
    data_format: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._range("scale")
        if isinstance(self.fill_value, PAIR):
            if len(self.fill_value) != 3:
                raise ArgumentError.must_be("fill_value", "a number, three numbers or None", self.fill_value)
            for v in self.fill_value:
                checks.number("fill_value", v)
        else:
            checks.number("fill_value", self.fill_value, none=True)

    def draw(self, s: Scope, images: Any) -> dict[str, Any]:
        xp = namespace(images)
        sides = xp.sqrt(self.uniform(s, images, *self._range("scale"), 2))
        drawn = _box(self, s, images, sides[:, 1], sides[:, 0])
        drawn["apply_erasing"] = self.chosen(s, images)
        if self.fill_value is None:
            noise = random.normal(s.key(), backend_of(images).sizes(images), "float32")
            return {**drawn, "fill_value": noise * self.value_range[1]}
        return drawn

    def pixels(self, images: Any, drawn: dict[str, Any]) -> Any:
        xp = namespace(images)
        if self.fill_value is None:
            fill = cast(drawn["fill_value"], dtype_of(images))
        else:
            fill = xp.asarray(self.fill_value, dtype=images.dtype, device=device(images))
        inside = _inside(images, drawn) & beside(images, drawn["apply_erasing"])
        return xp.where(inside, between(fill + xp.zeros_like(images), *self.value_range), images)


# -- images mixed with each other ------------------------------------------------------------------------------------


@base_layer
class _Mixed(Picture):
    """The base of layers that mix each image of a batch with another one; they do nothing to one image alone."""

    per_sample: ClassVar[bool | None] = False

    def forward(self, s: Scope, x: Tree) -> Tree:
        images = self._given(x)["images"]
        if images.ndim == 4 or not s.train:
            return super().forward(s, x)
        if not isinstance(x, dict):
            return self._floats(s, images)
        return {**x, "images": self._floats(s, images)}

    def _order(self, s: Scope, images: Any) -> Any:
        """The indices of the images in random order."""
        xp = namespace(images)
        return xp.astype(ops.argsort(self.uniform(s, images, 0.0, 1.0), axis=0), xp.int32)

    def _others(self, x: Any, drawn: dict[str, Any]) -> Any:
        return namespace(x).take(x, drawn["permutation_order"], axis=0)

    def labels(self, labels: Any, drawn: dict[str, Any]) -> Any:
        if labels.ndim < 2 or kind(labels) != "f":
            raise ShapeError(
                f"The labels must be floats (batch, classes) to be mixed, got {dtype_of(labels)} of shape "
                f"{tuple(labels.shape)}.",
                argument="labels",
                expected="probabilities of classes, (batch, classes)",
                got=tuple(labels.shape),
                fix="kf.ops.one_hot(labels, classes)",
            )
        weight = namespace(labels).reshape(
            cast(drawn["mix_weight"], dtype_of(labels)), (-1, *(1 for _ in labels.shape[1:]))
        )
        return weight * labels + (1.0 - weight) * self._others(labels, drawn)


@layer
class MixUp(_Mixed):
    """In training, each image mixed with another one of the batch, and so its label: `w x + (1 - w) other`.

    Images (batch, height, width, channels) to the same; or a dict with labels (batch, classes). Of masks, each pixel
    keeps the class of the stronger image; boxes of both images stand one after another. Integers become float32 (Zhang
    et al., arXiv:1710.09412).

    Args:
        alpha: `w` is drawn from a beta distribution with both parameters `alpha`.
    """

    alpha: float = 0.2
    data_format: str | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.number("alpha", self.alpha, above=0)

    def draw(self, s: Scope, images: Any) -> dict[str, Any]:
        weight = _beta(s, images, _filled(images, self.alpha))
        return {"mix_weight": weight, "permutation_order": self._order(s, images)}

    def pixels(self, images: Any, drawn: dict[str, Any]) -> Any:
        weight = beside(images, drawn["mix_weight"])
        return weight * images + (1.0 - weight) * self._others(images, drawn)

    def masks(self, masks: Any, drawn: dict[str, Any]) -> Any:
        xp = namespace(masks)
        own = xp.reshape(drawn["mix_weight"] >= 0.5, (-1, 1, 1, 1))
        return xp.where(own, masks, self._others(masks, drawn))

    def _moved(self, boxes: dict[str, Any], drawn: dict[str, Any], images: Any) -> dict[str, Any]:
        xp = namespace(images)
        both = {k: xp.concat([boxes[k], self._others(boxes[k], drawn)], axis=1) for k in ("boxes", "labels")}
        return {**boxes, **both}


@layer
class CutMix(_Mixed):
    """In training, a rectangle of each image shows another one of the batch, and the labels are mixed by their areas.

    Images (batch, height, width, channels) to the same; or a dict with labels (batch, classes) and masks. Bounding
    boxes are refused. Integers become float32 (Yun et al., arXiv:1905.04899).

    Args:
        factor: The range of the parameter of the beta distribution that the areas are drawn from, in [0, 1]: a pair, or
            a number `v` for (0, v).
    """

    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    factor: float | tuple[float, float] = 1.0
    seed: int | None = None
    data_format: str | None = None

    def draw(self, s: Scope, images: Any) -> dict[str, Any]:
        alpha = self.uniform(s, images, *self._range("factor"), 1) + 1e-6
        weight = _beta(s, images, alpha)
        side = namespace(weight).sqrt(1.0 - weight)
        drawn = _box(self, s, images, side, side)
        height, width = known_sizes(images)
        area = (drawn["x1"] - drawn["x0"]) * (drawn["y1"] - drawn["y0"]) / (height * width)
        return {**drawn, "mix_weight": 1.0 - area, "permutation_order": self._order(s, images)}

    def pixels(self, images: Any, drawn: dict[str, Any]) -> Any:
        return namespace(images).where(_inside(images, drawn), self._others(images, drawn), images)

    def masks(self, masks: Any, drawn: dict[str, Any]) -> Any:
        return self.pixels(masks, drawn)

    def _moved(self, boxes: dict[str, Any], drawn: dict[str, Any], images: Any) -> dict[str, Any]:
        raise ArgumentError(
            "CutMix cannot carry bounding boxes along: a box may be covered in part.",
            argument="bounding_boxes",
            expected="images, labels and masks",
            fix="use MixUp, or leave the boxes out",
        )


# -- layers chosen at random -----------------------------------------------------------------------------------------


@base_layer
class _Chosen(Picture):
    """The base of layers that apply other layers, each image its own ones.

    Since the choice is made in the compiled step, all layers compute, and the result of one is taken. Those that a
    matrix says are one: the matrix of each image is chosen, and pixels are looked up once.
    """

    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._layers()

    def _layers(self) -> list[tuple[str, Any]]:
        """The layers to choose from, with their names; those with a matrix first."""
        own: Any = self
        pair, values, by = self._range("factor"), own.value_range, own.interpolation
        return [
            ("random_shear", RandomShear(pair, pair, interpolation=by)),
            ("random_translation", RandomTranslation(pair, pair, interpolation=by)),
            ("random_rotation", RandomRotation(pair, interpolation=by)),
            ("random_brightness", RandomBrightness(pair, values)),
            ("random_color_degeneration", RandomColorDegeneration(pair, values)),
            ("random_contrast", RandomContrast(pair, values)),
            ("random_sharpness", RandomSharpness(pair, values)),
            ("random_posterization", RandomPosterization(self._bits(), values)),
            ("solarization", Solarization(pair, pair, values)),
            ("auto_contrast", AutoContrast(values)),
            ("equalization", Equalization(values)),
        ]

    def _bits(self) -> int:
        return max(1, int(8 * self._range("factor")[1]))

    def _numbers(self, s: Scope, images: Any, most: int, *shape: int) -> Any:
        """Random integers below `most`, (batch, *shape), int32."""
        xp = namespace(images)
        return xp.astype(xp.floor(self.uniform(s, images, 0.0, float(most), *shape)), xp.int32)

    def _matrix(self, layers: Any, which: Any, drawn: dict[str, Any], size: Any) -> Any:
        """The matrix of each image; one that changes nothing where another kind of layer is chosen."""
        xp = namespace(which)
        out: Any = None
        for i, (name, step) in enumerate(layers):
            if not hasattr(step, "matrix"):
                continue
            matrix = step.matrix(drawn[name], size)
            if out is None:
                same = xp.asarray([[1.0, 0, 0, 0, 1.0, 0, 0, 0]], dtype=matrix.dtype, device=device(matrix))
                out = same + xp.zeros_like(matrix)
            out = xp.where(xp.expand_dims(which == i, axis=-1), matrix, out)
        return out

    def _step(self, layers: Any, images: Any, which: Any, drawn: dict[str, Any]) -> Any:
        """The images, each after the layer that `which` (batch,) says; after none if there is no such number."""
        xp = namespace(images)
        matrix = self._matrix(layers, which, drawn, known_sizes(images))
        out = ops.image.affine_transform(images, matrix, self.interpolation, "reflect", data_format="channels_last")  # type: ignore[attr-defined]
        for i, (name, step) in enumerate(layers):
            if not hasattr(step, "matrix"):
                out = xp.where(beside(images, which == i), step.pixels(images, drawn[name]), out)
        return out

    def _masks_after(self, layers: Any, masks: Any, which: Any, drawn: dict[str, Any]) -> Any:
        matrix = self._matrix(layers, which, drawn, known_sizes(masks))
        out = ops.image.affine_transform(floating(masks), matrix, "nearest", "reflect", data_format="channels_last")
        return cast(out, dtype_of(masks))


@layer
class RandAugment(_Chosen):
    """In training, for each image `num_ops` changes chosen at random (Cubuk et al., arXiv:1909.13719).

    Images (batch, height, width, channels) to the same. The changes are those of `RandomShear`, `RandomTranslation`,
    `RandomRotation`, `RandomBrightness`, `RandomColorDegeneration`, `RandomContrast`, `RandomSharpness`,
    `RandomPosterization`, `Solarization`, `AutoContrast` and `Equalization`. Also an image without the batch, or a dict
    with boxes and masks, see `RandomFlip`. Integers become float32.

    Args:
        value_range: The least and the largest value of a pixel.
        num_ops: How many changes.
        factor: The range of their strengths, in [0, 1]: a pair, or a number `v` for (0, v).
        interpolation: "bilinear" or "nearest".
    """

    value_range: tuple[float, float] = (0, 255)
    num_ops: int = 2
    factor: float | tuple[float, float] = 0.5
    interpolation: str = "bilinear"
    seed: int | None = None
    data_format: str | None = None

    def __post_init__(self) -> None:
        checks.integer("num_ops", self.num_ops, least=1, most=32)
        super().__post_init__()

    def draw(self, s: Scope, images: Any) -> dict[str, Any]:
        layers = self._layers()
        chosen = self._numbers(s, images, len(layers), self.num_ops)
        return {"layer_idxes": chosen, "transforms": {name: step.draw(s, images) for name, step in layers}}

    def pixels(self, images: Any, drawn: dict[str, Any]) -> Any:
        layers = self._layers()
        for i in range(self.num_ops):
            images = self._step(layers, images, drawn["layer_idxes"][:, i], drawn["transforms"])
        return images

    def masks(self, masks: Any, drawn: dict[str, Any]) -> Any:
        layers = self._layers()
        for i in range(self.num_ops):
            masks = self._masks_after(layers, masks, drawn["layer_idxes"][:, i], drawn["transforms"])
        return masks

    def boxes(self, boxes: Any, drawn: dict[str, Any], size: tuple[int, int]) -> Any:
        xp = namespace(boxes)
        for i in range(self.num_ops):
            which, before = xp.reshape(drawn["layer_idxes"][:, i], (-1, 1, 1)), boxes
            for j, (name, step) in enumerate(self._layers()):
                moved = step.boxes(before, drawn["transforms"][name], size)
                boxes = boxes if moved is None else xp.where(which == j, moved, boxes)
        return boxes


@layer
class AugMix(_Chosen):
    """In training, each image mixed with several chains of random changes of itself (Hendrycks et al.,
    arXiv:1912.02781).

    Images (batch, height, width, channels) to the same. The changes are those of `RandAugment`, or none. Also an image
    without the batch, or a dict with boxes and masks, which stay. Integers become float32.

    Args:
        value_range: The least and the largest value of a pixel.
        num_chains: How many chains.
        chain_depth: How many changes a chain has.
        factor: The range of their strengths, in [0, 1]: a pair, or a number `v` for (0, v).
        alpha: The parameter of the Dirichlet and beta distributions that the weights are drawn from.
        all_ops: Whether brightness, colour, contrast and sharpness are among the changes.
        interpolation: "bilinear" or "nearest".
    """

    value_range: tuple[float, float] = (0, 255)
    num_chains: int = 3
    chain_depth: int = 3
    factor: float | tuple[float, float] = 0.3
    alpha: float = 1.0
    all_ops: bool = True
    interpolation: str = "bilinear"
    seed: int | None = None
    data_format: str | None = None

    def __post_init__(self) -> None:
        # All changes of all chains are a part of the program, so that there must not be thousands.
        checks.integer("num_chains", self.num_chains, least=1, most=32)
        checks.integer("chain_depth", self.chain_depth, least=1, most=max(32 // self.num_chains, 1))
        checks.number("alpha", self.alpha, above=0)
        super().__post_init__()

    def _layers(self) -> list[tuple[str, Any]]:
        further = ("random_brightness", "random_color_degeneration", "random_contrast", "random_sharpness")
        return [(name, step) for name, step in super()._layers() if self.all_ops or name not in further]

    def draw(self, s: Scope, images: Any) -> dict[str, Any]:
        layers, alpha = self._layers(), _filled(images, self.alpha)
        value, log_factor = _gammas(s, images, alpha, self.num_chains)
        weights = ops.softmax(namespace(value).log(value) + log_factor, axis=-1)
        chains: dict[str, Any] = {}
        for i in range(self.num_chains * self.chain_depth):
            chains[str(i)] = {name: step.draw(s, images) for name, step in layers}
        # One number more than there are layers: none.
        chosen = self._numbers(s, images, len(layers) + 1, self.num_chains * self.chain_depth)
        return {
            "chain_mixing_weights": weights,
            "weight_sample": _beta(s, images, alpha),
            "layer_idxes": chosen,
            "chain_transforms": chains,
        }

    def pixels(self, images: Any, drawn: dict[str, Any]) -> Any:
        layers, mixed = self._layers(), namespace(images).zeros_like(images)
        for chain in range(self.num_chains):
            x = images
            for i in range(chain * self.chain_depth, (chain + 1) * self.chain_depth):
                x = self._step(layers, x, drawn["layer_idxes"][:, i], drawn["chain_transforms"][str(i)])
            mixed = mixed + x * beside(x, drawn["chain_mixing_weights"][:, chain])
        weight = beside(images, drawn["weight_sample"])
        return between(weight * images + (1.0 - weight) * mixed, *self.value_range)


# -- and what remains ------------------------------------------------------------------------------------------------


@layer
class MaxNumBoundingBoxes(Picture):
    """A dict of images with just `max_number` boxes each: others are left out, and missing ones are `fill_value`.

    Boxes (batch, boxes, 4) to (batch, max_number, 4), and their labels likewise. Also outside training.

    Args:
        max_number: How many boxes.
        fill_value: An integer, in place of the numbers and the labels of boxes that are missing.
    """

    always: ClassVar[bool] = True

    max_number: int
    fill_value: int = -1

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.integer("max_number", self.max_number, least=1, most=2**20)
        checks.integer("fill_value", self.fill_value)

    keeps_dtype: ClassVar[bool] = True

    def _moved(self, boxes: dict[str, Any], drawn: dict[str, Any], images: Any) -> dict[str, Any]:
        out = dict(boxes)
        for k in ("boxes", "labels"):
            x = boxes[k][:, : self.max_number, ...]
            widths = [(0, 0), (0, self.max_number - x.shape[1]), *[(0, 0)] * (x.ndim - 2)]
            out[k] = ops.pad(x, widths, constant_values=self.fill_value)
        return out


@layer
class Pipeline(Layer):
    """Layers one after another, as `Sequential`; arrays, or dicts of images with labels, boxes and masks.

    Any shape that the first layer takes becomes that of the last one.

    Args:
        layers: The layers, at least one.
    """

    layers: Sequence[Layer]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not isinstance(self.layers, PAIR) or not self.layers or not all(isinstance(v, Layer) for v in self.layers):
            raise ArgumentError.must_be("layers", "a list of layers, at least one", self.layers)

    def forward(self, s: Scope, x: Tree) -> Tree:
        for step in self.layers:
            x = step(s, x)
        return x
