"""Which layer of kfunc a layer of Keras is, and where its config uses other words: read in both directions."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ... import nn
from ...errors import ArgumentError
from ...nn import applications

__all__ = ["CONTAINERS", "KerasLayer", "array", "by_class", "by_name", "clean", "object_config", "python_name"]


class KerasLayer(NamedTuple):
    """How Keras describes the layers of one class.

    Attributes:
        cls: The class here.
        name: The class in a config.
        python: The name of the Python class, by which files of weights call the layer.
        module: Where Keras has the class.
        renamed: The name here of an argument that Keras calls otherwise.
        read: Changes the arguments of a config, translated already, into those that the class here takes.
        write: Changes the arguments of a layer here into those of Keras, before they are translated.
        silent: Arguments in configs that say nothing about this layer.
    """

    cls: type[nn.Layer]
    name: str
    python: str
    module: str = "keras.layers"
    renamed: Mapping[str, str] = {}
    read: Callable[[dict[str, Any]], dict[str, Any]] = dict
    write: Callable[[dict[str, Any]], dict[str, Any]] = dict
    silent: frozenset[str] = frozenset()


_PLAIN = """
    Activation ActivityRegularization AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D
    AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D Add AdditiveAttention AlphaDropout Attention Average
    AveragePooling1D AveragePooling2D AveragePooling3D BatchNormalization Bidirectional Concatenate Conv1D
    Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D ConvLSTM3D Cropping1D
    Cropping2D Cropping3D Dense DepthwiseConv1D DepthwiseConv2D Dot Dropout ELU EinsumDense Embedding Flatten GRU
    GRUCell GaussianDropout GaussianNoise GlobalAveragePooling1D GlobalAveragePooling2D GlobalAveragePooling3D
    GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D GroupNormalization GroupQueryAttention Identity LSTM
    LSTMCell LayerNormalization LeakyReLU Masking MaxPooling1D MaxPooling2D MaxPooling3D Maximum Minimum
    MultiHeadAttention Multiply Normalization PReLU Permute RMSNormalization RNN ReLU RepeatVector Rescaling Reshape
    ReversibleEmbedding SeparableConv1D SeparableConv2D SimpleRNN SimpleRNNCell Softmax SpatialDropout1D
    SpatialDropout2D SpatialDropout3D SpectralNormalization StackedRNNCells Subtract TimeDistributed UnitNormalization
    UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D ZeroPadding2D ZeroPadding3D
    AugMix AutoContrast CenterCrop ContrastLimitedAdaptiveHistogramEqualization CutMix Equalization MaxNumBoundingBoxes
    MixUp RandAugment RandomBrightness RandomColorDegeneration RandomColorJitter RandomContrast RandomCrop RandomErasing
    RandomFlip RandomGaussianBlur RandomGrayscale RandomHue RandomInvert RandomPerspective RandomPosterization
    RandomRotation RandomSaturation RandomSharpness RandomShear RandomTranslation RandomZoom Resizing Solarization
""".split()
"""The classes that have Keras's name and arguments; `_MORE` has what else there is to say."""

_OF_KERNELS = frozenset({"filters", "groups", "kernel_initializer", "kernel_regularizer", "kernel_constraint"})
"""What Keras 2 writes for all convolutions, also for those without one kernel."""


def _one_axis(config: dict[str, Any]) -> dict[str, Any]:
    """Keras 2 writes a single axis in a list."""
    axis = config.get("axis")
    return {**config, "axis": axis[0]} if isinstance(axis, list | tuple) and len(axis) == 1 else config


_MORE: dict[str, dict[str, Any]] = {
    "BatchNormalization": {"read": _one_axis},
    "DepthwiseConv1D": {"silent": _OF_KERNELS},
    "DepthwiseConv2D": {"silent": _OF_KERNELS},
    "GroupQueryAttention": {"python": "GroupedQueryAttention"},
    "LayerNormalization": {"read": _one_axis},
    "LeakyReLU": {"renamed": {"alpha": "negative_slope"}},
    "MaxNumBoundingBoxes": {"silent": frozenset({"data_format"})},
    "Normalization": {"read": _one_axis},
    "SeparableConv1D": {"silent": _OF_KERNELS},
    "SeparableConv2D": {"silent": _OF_KERNELS},
}

_APPLICATIONS = {
    "CustomScaleLayer": "keras.src.applications.inception_resnet_v2",
    "LayerScale": "keras.src.applications.convnext",
    "StochasticDepth": "keras.src.applications.convnext",
}
"""The layers that Keras keeps to itself, and its modules that have them."""


@functools.cache
def by_name() -> dict[str, KerasLayer]:
    """Each class that a config may name, by this name."""
    rows = [KerasLayer(getattr(nn, name), **{"name": name, "python": name} | _MORE.get(name, {})) for name in _PLAIN]
    rows += [KerasLayer(getattr(applications, name), name, name, module) for name, module in _APPLICATIONS.items()]
    return {name: row for row in rows for name in (row.python, row.name)}  # legacy files have Python's names


@functools.cache
def by_class() -> dict[type[nn.Layer], KerasLayer]:
    """The same rows, by the class here."""
    return {row.cls: row for row in by_name().values()}


CONTAINERS = {"Functional": "Functional", "Model": "Functional", "Sequential": "Sequential"}
"""The networks that a config may name, and the names of their Python classes."""


def python_name(obj: dict[str, Any]) -> str:
    """The name of the Python class of what a config describes."""
    name = obj["class_name"]
    known = by_name().get(name)
    return CONTAINERS.get(name) or (known.python if known else name)


def object_config(module: str | None, name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """How a config of Keras describes an object of the class `name`."""
    return {"module": module, "class_name": name, "config": dict(config), "registered_name": None}


def clean(name: Any) -> str:
    """A name of Keras's as one that paths may have: 'conv 1/a' becomes 'conv_1_a'."""
    if not isinstance(name, str):
        raise ArgumentError.must_be("name", "a string", name)
    return re.sub(r"[^\w-]", "_", name)


_DTYPES = frozenset("bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 bfloat16".split())


def array(value: Any, dtype: Any) -> np.ndarray:
    """An array that stands in a config. One in bfloat16 becomes float32, which NumPy has."""
    if dtype not in _DTYPES:
        raise ArgumentError.must_be("dtype", "the name of a dtype of numbers", dtype)
    return np.asarray(value, "float32" if dtype == "bfloat16" else dtype)
