"""Images in and labels out: what stands around a network for images, as in `keras.applications`."""

from __future__ import annotations

import os
from typing import NamedTuple

from .. import checks, files, ops
from ..arrays import dtype_name, to_numpy
from ..errors import ArgumentError, FileError
from ..typing import Array

__all__ = ["decode_predictions", "preprocess_input"]


class _Mode(NamedTuple):
    """How pixels are scaled: divided by `scale`, less `mean`, divided by `deviation`, each of these if it is there.

    Attributes:
        bgr: Whether the channels come in the order blue, green, red.
    """

    name: str
    scale: float | None
    mean: float | tuple[float, float, float]
    deviation: tuple[float, float, float] | None = None
    bgr: bool = False


_MODES = (
    _Mode("caffe", None, (103.939, 116.779, 123.68), bgr=True),
    _Mode("tf", 127.5, 1.0),
    _Mode("torch", 255.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
)
_TEXT = 10_000_000  # bytes of a file of labels


def preprocess_input(x: Array, data_format: str | None = None, mode: str = "caffe") -> Array:
    """Pixels from 0 to 255 in the form in which a network was trained on them.

    - "caffe", for ResNet and VGG with Keras's weights: the channels in the order blue, green, red, less their means on
      ImageNet.
    - "tf", for ResNet v2, Inception, Xception, NASNet, MobileNet and its v2: from -1 to 1.
    - "torch", for DenseNet, and for ResNet and VGG with weights of torchvision and timm: from 0 to 1, less the means on
      ImageNet, divided by the standard deviations.

    ConvNeXt, EfficientNet and MobileNet v3 do it themselves. Unlike Keras's function, this one never writes into `x`.

    Args:
        x: (batch, height, width, 3), or as `data_format` says; or one image without the batch. A node of a graph is
            taken, too. Integers become float32.
        data_format: "channels_last", which is the default, or "channels_first".
        mode: One of the three.

    Returns:
        An array of the same shape.

    Raises:
        ArgumentError: `mode` or `data_format` is unknown, or the images have other than three channels.
    """
    checks.one_of("mode", mode, [each.name for each in _MODES])
    checks.one_of("data_format", data_format, ("channels_last", "channels_first", None))
    way = next(each for each in _MODES if each.name == mode)
    shape = tuple(getattr(x, "shape", ()))
    if len(shape) not in (3, 4):
        raise ArgumentError.must_be("x", "images with three or four axes", shape)
    axis = -3 if data_format == "channels_first" else -1
    x = x if "float" in dtype_name(x.dtype) else ops.cast(x, "float32")
    x = x if way.scale is None else x / way.scale
    if isinstance(way.mean, float):
        return x - way.mean
    if shape[axis] != 3:
        raise ArgumentError.must_be("x", "images with three channels", shape)
    planes = ops.unstack(x, axis=axis)
    planes = [plane - mean for plane, mean in zip(planes[::-1] if way.bgr else planes, way.mean, strict=True)]
    if way.deviation is not None:
        planes = [plane / deviation for plane, deviation in zip(planes, way.deviation, strict=True)]
    return ops.stack(planes, axis=axis)


def decode_predictions(
    preds: Array, top: int = 5, labels: str | os.PathLike[str] | None = None
) -> list[list[tuple[str, str, float]]]:
    """The classes with the largest scores, by name.

    Args:
        preds: (batch, classes), of any backend.
        top: How many classes.
        labels: The path of a file in JSON with the names of the classes. It is one as Keras keeps it in
            `~/.keras/models/imagenet_class_index.json`, {"0": ["n01440764", "tench"], ...}, or a list of names. Nothing
            is downloaded.

    Returns:
        For each sample a list of (identifier, name, score), the largest score first. In a file with a list, the name is
        the identifier.

    Raises:
        ArgumentError: No file is named, or the predictions have another number of classes than it.
        FileError: The file cannot be read, or holds something else.
    """
    checks.positive("top", top)
    if labels is None:
        raise ArgumentError(
            "`labels` is not given, and nothing is downloaded here.",
            argument="labels",
            expected="the path of a file in JSON with the names of the classes",
            got="None",
            fix='labels="imagenet_class_index.json", which Keras keeps in ~/.keras/models once its own '
            "decode_predictions was called",
        )
    names = _names(labels)
    scores = to_numpy(preds)
    if scores.ndim != 2 or scores.shape[1] != len(names):
        raise ArgumentError(
            f"`preds` has the shape {scores.shape}, and the file has {len(names)} classes.",
            argument="preds",
            expected=f"(batch, {len(names)})",
            got=scores.shape,
        )
    order = (-scores).argsort(axis=1, kind="stable")[:, :top]
    return [[(*names[i], row[i]) for i in best] for row, best in zip(scores, order, strict=True)]


def _names(path: str | os.PathLike[str]) -> list[tuple[str, str]]:
    """The identifier and the name of each class."""
    with files.blaming(path, argument="labels"), files.open_file(path) as file:
        found = files.decoded(file.read(_TEXT))
        if isinstance(found, dict) and set(found) == set(map(str, range(len(found)))):
            found = [found[str(i)] for i in range(len(found))]
        pairs = [tuple(x) if isinstance(x, list) else (x, x) for x in found] if isinstance(found, list) else []
        if not pairs or not all(len(pair) == 2 and all(isinstance(x, str) for x in pair) for pair in pairs):
            raise FileError(
                "The file has no names of classes.",
                argument="labels",
                expected='{"0": ["n01440764", "tench"], ...}, or ["tench", ...]',
                got=type(found).__name__,
            )
    return pairs
