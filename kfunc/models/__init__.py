"""Families of networks, a module each, and `load` and `save` for the folders of Hugging Face that hold them.

A family is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from .family import Config, Family
from .folders import load, save

if TYPE_CHECKING:
    from .bert import Bert as Bert
    from .bert import Roberta as Roberta
    from .bert import XLMRoberta as XLMRoberta
    from .clip import CLIP as CLIP
    from .clip import CLIPText as CLIPText
    from .clip import CLIPVision as CLIPVision
    from .gpt2 import GPT2 as GPT2
    from .llama import Gemma as Gemma
    from .llama import Gemma2 as Gemma2
    from .llama import Gemma3 as Gemma3
    from .llama import Llama as Llama
    from .llama import Mistral as Mistral
    from .llama import Qwen2 as Qwen2
    from .llama import Qwen3 as Qwen3
    from .sentences import SentenceEncoder as SentenceEncoder
    from .t5 import T5 as T5
    from .t5 import T5Encoder as T5Encoder
    from .vit import DeiT as DeiT
    from .vit import ViT as ViT
    from .whisper import Whisper as Whisper
    from .whisper import WhisperFeatures as WhisperFeatures

__all__ = ["Config", "Family", "load", "save"]

_MODULES = {
    **dict.fromkeys(("Bert", "Roberta", "XLMRoberta"), "bert"),
    **dict.fromkeys(("CLIP", "CLIPText", "CLIPVision"), "clip"),
    "GPT2": "gpt2",
    **dict.fromkeys(("Gemma", "Gemma2", "Gemma3", "Llama", "Mistral", "Qwen2", "Qwen3"), "llama"),
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
