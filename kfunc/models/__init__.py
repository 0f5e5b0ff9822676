"""Families of networks, a module each, and `load` and `save` for the folders of Hugging Face that hold them.

A family is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .family import Config, Family
from .folders import load, save

if TYPE_CHECKING:
    from .bart import Bart as Bart
    from .bart import Marian as Marian
    from .bart import MBart as MBart
    from .bart import Pegasus as Pegasus
    from .bert import Bert as Bert
    from .bert import MPNet as MPNet
    from .bert import Roberta as Roberta
    from .bert import XLMRoberta as XLMRoberta
    from .clip import CLIP as CLIP
    from .clip import CLIPText as CLIPText
    from .clip import CLIPVision as CLIPVision
    from .convnext import ConvNeXtBase as ConvNeXtBase
    from .convnext import ConvNeXtLarge as ConvNeXtLarge
    from .convnext import ConvNeXtSmall as ConvNeXtSmall
    from .convnext import ConvNeXtTiny as ConvNeXtTiny
    from .convnext import ConvNeXtXLarge as ConvNeXtXLarge
    from .densenet import DenseNet121 as DenseNet121
    from .densenet import DenseNet169 as DenseNet169
    from .densenet import DenseNet201 as DenseNet201
    from .distilbert import DistilBert as DistilBert
    from .efficientnet import EfficientNetB0 as EfficientNetB0
    from .efficientnet import EfficientNetB1 as EfficientNetB1
    from .efficientnet import EfficientNetB2 as EfficientNetB2
    from .efficientnet import EfficientNetB3 as EfficientNetB3
    from .efficientnet import EfficientNetB4 as EfficientNetB4
    from .efficientnet import EfficientNetB5 as EfficientNetB5
    from .efficientnet import EfficientNetB6 as EfficientNetB6
    from .efficientnet import EfficientNetB7 as EfficientNetB7
    from .efficientnet import EfficientNetV2B0 as EfficientNetV2B0
    from .efficientnet import EfficientNetV2B1 as EfficientNetV2B1
    from .efficientnet import EfficientNetV2B2 as EfficientNetV2B2
    from .efficientnet import EfficientNetV2B3 as EfficientNetV2B3
    from .efficientnet import EfficientNetV2L as EfficientNetV2L
    from .efficientnet import EfficientNetV2M as EfficientNetV2M
    from .efficientnet import EfficientNetV2S as EfficientNetV2S
    from .gpt2 import GPT2 as GPT2
    from .images import decode_predictions as decode_predictions
    from .images import preprocess_input as preprocess_input
    from .inception import InceptionResNetV2 as InceptionResNetV2
    from .inception import InceptionV3 as InceptionV3
    from .llama import Gemma as Gemma
    from .llama import Gemma2 as Gemma2
    from .llama import Gemma3 as Gemma3
    from .llama import Granite as Granite
    from .llama import Llama as Llama
    from .llama import Mistral as Mistral
    from .llama import Qwen2 as Qwen2
    from .llama import Qwen3 as Qwen3
    from .llama import SmolLM3 as SmolLM3
    from .mobilenet import MobileNet as MobileNet
    from .mobilenet import MobileNetV2 as MobileNetV2
    from .mobilenet import MobileNetV3Large as MobileNetV3Large
    from .mobilenet import MobileNetV3Small as MobileNetV3Small
    from .nasnet import NASNetLarge as NASNetLarge
    from .nasnet import NASNetMobile as NASNetMobile
    from .resnet import ResNet18 as ResNet18
    from .resnet import ResNet34 as ResNet34
    from .resnet import ResNet50 as ResNet50
    from .resnet import ResNet50V2 as ResNet50V2
    from .resnet import ResNet101 as ResNet101
    from .resnet import ResNet101V2 as ResNet101V2
    from .resnet import ResNet152 as ResNet152
    from .resnet import ResNet152V2 as ResNet152V2
    from .sentences import SentenceEncoder as SentenceEncoder
    from .t5 import T5 as T5
    from .t5 import T5Encoder as T5Encoder
    from .vgg import VGG16 as VGG16
    from .vgg import VGG19 as VGG19
    from .vit import DeiT as DeiT
    from .vit import ViT as ViT
    from .whisper import Whisper as Whisper
    from .whisper import WhisperFeatures as WhisperFeatures
    from .xception import Xception as Xception

__all__ = ["Config", "Family", "load", "save"]

_MODULES = {
    **dict.fromkeys(("ConvNeXtBase", "ConvNeXtLarge", "ConvNeXtSmall", "ConvNeXtTiny", "ConvNeXtXLarge"), "convnext"),
    **dict.fromkeys(("DenseNet121", "DenseNet169", "DenseNet201"), "densenet"),
    **dict.fromkeys(
        (
            "EfficientNetB0",
            "EfficientNetB1",
            "EfficientNetB2",
            "EfficientNetB3",
            "EfficientNetB4",
            "EfficientNetB5",
            "EfficientNetB6",
            "EfficientNetB7",
            "EfficientNetV2B0",
            "EfficientNetV2B1",
            "EfficientNetV2B2",
            "EfficientNetV2B3",
            "EfficientNetV2L",
            "EfficientNetV2M",
            "EfficientNetV2S",
        ),
        "efficientnet",
    ),
    **dict.fromkeys(("decode_predictions", "preprocess_input"), "images"),
    **dict.fromkeys(("InceptionResNetV2", "InceptionV3"), "inception"),
    **dict.fromkeys(("MobileNet", "MobileNetV2", "MobileNetV3Large", "MobileNetV3Small"), "mobilenet"),
    **dict.fromkeys(("NASNetLarge", "NASNetMobile"), "nasnet"),
    **dict.fromkeys(("ResNet18", "ResNet34", "ResNet50", "ResNet101", "ResNet152"), "resnet"),
    **dict.fromkeys(("ResNet50V2", "ResNet101V2", "ResNet152V2"), "resnet"),
    **dict.fromkeys(("VGG16", "VGG19"), "vgg"),
    **dict.fromkeys(("Xception",), "xception"),
    **dict.fromkeys(("Bart", "MBart", "Marian", "Pegasus"), "bart"),
    **dict.fromkeys(("Bert", "MPNet", "Roberta", "XLMRoberta"), "bert"),
    "DistilBert": "distilbert",
    **dict.fromkeys(("CLIP", "CLIPText", "CLIPVision"), "clip"),
    "GPT2": "gpt2",
    **dict.fromkeys(("Gemma", "Gemma2", "Gemma3", "Granite", "Llama", "Mistral", "Qwen2", "Qwen3", "SmolLM3"), "llama"),
    "SentenceEncoder": "sentences",
    **dict.fromkeys(("T5", "T5Encoder"), "t5"),
    **dict.fromkeys(("DeiT", "ViT"), "vit"),
    **dict.fromkeys(("Whisper", "WhisperFeatures"), "whisper"),
}
"""The module of each public name."""


def find(name: str) -> Any:
    """The network or function of this name; None if there is none. Its module is imported."""
    module = _MODULES.get(name)
    return None if module is None else getattr(importlib.import_module(f".{module}", __name__), name)


def __getattr__(name: str) -> Any:
    found = find(name)
    if found is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return found


def __dir__() -> list[str]:
    return [*globals(), *_MODULES]
