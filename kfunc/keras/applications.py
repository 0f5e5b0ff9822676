"""`keras.applications`: the networks for images of `kf.models`, and a module for each family, as in Keras.

`from kfunc.keras.applications.resnet50 import ResNet50, preprocess_input` stands in place of Keras's own import.
Weights are given by path, since nothing is downloaded.
"""

from __future__ import annotations

import os
import sys
import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .. import checks
from ..elsewhere import looked_up
from ..typing import Array

if TYPE_CHECKING:
    from ..models.convnext import ConvNeXtBase as ConvNeXtBase
    from ..models.convnext import ConvNeXtLarge as ConvNeXtLarge
    from ..models.convnext import ConvNeXtSmall as ConvNeXtSmall
    from ..models.convnext import ConvNeXtTiny as ConvNeXtTiny
    from ..models.convnext import ConvNeXtXLarge as ConvNeXtXLarge
    from ..models.densenet import DenseNet121 as DenseNet121
    from ..models.densenet import DenseNet169 as DenseNet169
    from ..models.densenet import DenseNet201 as DenseNet201
    from ..models.efficientnet import EfficientNetB0 as EfficientNetB0
    from ..models.efficientnet import EfficientNetB1 as EfficientNetB1
    from ..models.efficientnet import EfficientNetB2 as EfficientNetB2
    from ..models.efficientnet import EfficientNetB3 as EfficientNetB3
    from ..models.efficientnet import EfficientNetB4 as EfficientNetB4
    from ..models.efficientnet import EfficientNetB5 as EfficientNetB5
    from ..models.efficientnet import EfficientNetB6 as EfficientNetB6
    from ..models.efficientnet import EfficientNetB7 as EfficientNetB7
    from ..models.efficientnet import EfficientNetV2B0 as EfficientNetV2B0
    from ..models.efficientnet import EfficientNetV2B1 as EfficientNetV2B1
    from ..models.efficientnet import EfficientNetV2B2 as EfficientNetV2B2
    from ..models.efficientnet import EfficientNetV2B3 as EfficientNetV2B3
    from ..models.efficientnet import EfficientNetV2L as EfficientNetV2L
    from ..models.efficientnet import EfficientNetV2M as EfficientNetV2M
    from ..models.efficientnet import EfficientNetV2S as EfficientNetV2S
    from ..models.inception import InceptionResNetV2 as InceptionResNetV2
    from ..models.inception import InceptionV3 as InceptionV3
    from ..models.mobilenet import MobileNet as MobileNet
    from ..models.mobilenet import MobileNetV2 as MobileNetV2
    from ..models.mobilenet import MobileNetV3Large as MobileNetV3Large
    from ..models.mobilenet import MobileNetV3Small as MobileNetV3Small
    from ..models.nasnet import NASNetLarge as NASNetLarge
    from ..models.nasnet import NASNetMobile as NASNetMobile
    from ..models.resnet import ResNet50 as ResNet50
    from ..models.resnet import ResNet50V2 as ResNet50V2
    from ..models.resnet import ResNet101 as ResNet101
    from ..models.resnet import ResNet101V2 as ResNet101V2
    from ..models.resnet import ResNet152 as ResNet152
    from ..models.resnet import ResNet152V2 as ResNet152V2
    from ..models.vgg import VGG16 as VGG16
    from ..models.vgg import VGG19 as VGG19
    from ..models.xception import Xception as Xception

_FAMILIES: dict[str, tuple[str | None, tuple[str, ...]]] = {
    "convnext": (None, tuple(f"ConvNeXt{size}" for size in ("Base", "Large", "Small", "Tiny", "XLarge"))),
    "densenet": ("torch", tuple(f"DenseNet{n}" for n in (121, 169, 201))),
    "efficientnet": (None, tuple(f"EfficientNetB{n}" for n in range(8))),
    "efficientnet_v2": (None, tuple(f"EfficientNetV2{size}" for size in ("B0", "B1", "B2", "B3", "L", "M", "S"))),
    "inception_resnet_v2": ("tf", ("InceptionResNetV2",)),
    "inception_v3": ("tf", ("InceptionV3",)),
    "mobilenet": ("tf", ("MobileNet",)),
    "mobilenet_v2": ("tf", ("MobileNetV2",)),
    "mobilenet_v3": (None, ()),  # as in Keras
    "nasnet": ("tf", ("NASNetLarge", "NASNetMobile")),
    "resnet": ("caffe", ("ResNet50", "ResNet101", "ResNet152")),
    "resnet50": ("caffe", ("ResNet50",)),
    "resnet_v2": ("tf", ("ResNet50V2", "ResNet101V2", "ResNet152V2")),
    "vgg16": ("caffe", ("VGG16",)),
    "vgg19": ("caffe", ("VGG19",)),
    "xception": ("tf", ("Xception",)),
}
"""For each module of Keras: the mode of its `preprocess_input`, or None if that changes nothing; and its networks."""

_NETWORKS = {name for _, names in _FAMILIES.values() for name in names} | {"MobileNetV3Large", "MobileNetV3Small"}


def _found(name: str) -> Any:
    from .. import models

    return models.find(name)


def _preprocess(mode: str | None) -> Callable[..., Array]:
    def preprocess_input(x: Array, data_format: str | None = None) -> Array:
        """Pixels from 0 to 255 as this family takes them; see `kf.models.preprocess_input`."""
        checks.one_of("data_format", data_format, ("channels_last", "channels_first", None))
        return x if mode is None else _found("preprocess_input")(x, data_format, mode)

    return preprocess_input


def _decode(preds: Array, top: int = 5, labels: str | os.PathLike[str] | None = None) -> Any:
    """See `kf.models.decode_predictions`."""
    return _found("decode_predictions")(preds, top, labels)


def _module(name: str, names: tuple[str, ...], public: dict[str, Any]) -> types.ModuleType:
    """A module that imports its networks when they are asked for."""
    module = types.ModuleType(f"{__name__}.{name}", f"`keras.applications.{name}`.")
    missing = looked_up(module.__name__)

    def find(attribute: str) -> Any:
        return _found(attribute) if attribute in names else missing(attribute)

    vars(module).update(public, __getattr__=find, __all__=[*names, *public])
    sys.modules[module.__name__] = module
    return module


for _name, (_mode, _names) in _FAMILIES.items():
    _public = {"preprocess_input": _preprocess(_mode), "decode_predictions": _decode}
    globals()[_name] = _module(_name, _names, _public)
_OWN = ("preprocess_input", "decode_predictions")
imagenet_utils = _module("imagenet_utils", _OWN, {})

_missing = looked_up(__name__)


def __getattr__(name: str) -> Any:
    return _found(name) if name in _NETWORKS else _missing(name)


def __dir__() -> list[str]:
    return [*globals(), *_NETWORKS]
