"""No number in a model file costs its reader more than the file's size allows: each is put in, one at a time."""

from __future__ import annotations

import contextlib
import json
import resource
import signal
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from catalogue_oracle import IDS, OURS, ROWS
from layers_table import ROWS as MORE
from sampling import chosen

import kfunc as kf
from kfunc import models, nn, optim
from kfunc.errors import FileError
from kfunc.nn import applications
from kfunc.registry import names, resolve, to_config
from kfunc.training import model_file

CATEGORIES = ("layer", "loss", "metric", "optimizer", "schedule", "initializer", "regularizer", "constraint")
HUGE, LARGE = 2**31 - 1, 10**6
"""Sizes: arrays of the one are refused in many places, and those of the other in few."""

SECONDS, BYTES = 5, 2**26
"""The bounds for one file of a kilobyte; what is sound takes a thousandth of it."""

X = np.zeros((2, 4, 6), "float32")
TRANSFORMS = (
    *(optim.scale_by_adam(), optim.add_decayed_weights(0.1), optim.trace(0.9), optim.scale(2.0), optim.identity()),
    *(optim.clip_by_norm(1.0), optim.clip_by_value(1.0), optim.clip_by_global_norm(1.0), optim.ema(optim.adam(), 0.9)),
    *(optim.scale_by_schedule(optim.schedules.ExponentialDecay(0.1, 3, 0.5)), optim.scale_by_learning_rate(0.1)),
)
_ENCODER = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
_TEXT = {**_ENCODER, "vocab_size": 16, "max_position_embeddings": 16}
_IMAGES = {**_ENCODER, "image_size": 8, "patch_size": 4}
_BOTH = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2}
_BOTH |= {"d_model": 8, "encoder_ffn_dim": 8, "decoder_ffn_dim": 8, "vocab_size": 16}
_DECODERS = ("Gemma", "Gemma2", "Gemma3", "Granite", "Llama", "Mistral", "Qwen2", "Qwen3", "SmolLM3")
_T5 = {"vocab_size": 16, "d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2}
FAMILIES = {
    **{name: getattr(models, name)(**_TEXT) for name in ("Bert", "MPNet", "Roberta", "XLMRoberta")},
    **{name: getattr(models, name)(**_IMAGES) for name in ("ViT", "DeiT")},
    "DistilBert": models.DistilBert(dim=8, n_layers=1, n_heads=2, hidden_dim=8, vocab_size=16),
    "CLIPText": models.CLIPText(**_TEXT),
    "CLIPVision": models.CLIPVision(**_IMAGES),
    "GPT2": models.GPT2(vocab_size=16, n_positions=16, n_embd=8, n_layer=1, n_head=2),
    **{name: getattr(models, name)(**_TEXT, num_key_value_heads=1) for name in _DECODERS},
    **{name: getattr(models, name)(**_T5) for name in ("T5", "T5Encoder")},
    **{name: getattr(models, name)(**_BOTH) for name in ("Bart", "MBart", "Marian", "Pegasus", "Whisper")},
    "CLIP": models.CLIP(_TEXT, _IMAGES, 8),
    "SentenceEncoder": models.SentenceEncoder(models.Bert(**_TEXT)),
    "WhisperFeatures": models.WhisperFeatures(),
}
INPUTS = {"SentenceEncoder": (kf.Spec((2, 4), "int32"),), "WhisperFeatures": (kf.Spec((2, 8), "float32"),)}


def filled(spec: Any) -> Any:
    """An array of the shape of a `Spec`, with 4 where the size may be any."""
    return np.zeros([4 if n is None else n for n in spec.shape], str(spec.dtype))


PICTURES = np.zeros((2, 4, 6, 3), "float32")
OF_PICTURES = (
    *(nn.Resizing(3, 2), nn.CenterCrop(3, 2), nn.RandomCrop(3, 2), nn.RandomFlip(), nn.RandomRotation(0.1)),
    *(nn.RandomTranslation(0.1, 0.1), nn.RandomZoom(0.1), nn.RandomShear(0.1), nn.RandomPerspective()),
    *(nn.RandomBrightness(0.1), nn.RandomContrast(0.1), nn.RandomHue(0.1), nn.RandomSaturation(0.1)),
    *(nn.RandomColorDegeneration(0.1), nn.RandomGrayscale(), nn.RandomInvert(), nn.RandomColorJitter((0, 1), 0.1)),
    *(nn.RandomPosterization(3), nn.Solarization(0.1, 0.1), nn.AutoContrast(), nn.Equalization()),
    *(nn.ContrastLimitedAdaptiveHistogramEqualization(), nn.RandomSharpness(0.1), nn.RandomGaussianBlur()),
    *(nn.RandomErasing(), nn.MixUp(), nn.CutMix(), nn.RandAugment(), nn.AugMix(), nn.MaxNumBoundingBoxes(2)),
    nn.Pipeline([nn.RandomFlip("vertical")]),
)

OTHERS: dict[str, tuple[Any, tuple]] = {
    "categories": (nn.CategoryEncoding(4), (X.astype("int32")[0],)),
    "bins": (nn.Discretization([0.0, 1.0]), (X,)),
    "bins of data": (nn.Discretization(num_bins=3).adapt(X), (X,)),
    "hashes": (nn.Hashing(4, output_mode="count"), (X[0],)),
    "crossing": (nn.HashedCrossing(4), ()),
    "integers": (nn.IntegerLookup(8, vocabulary=[1, 2], output_mode="count", pad_to_max_tokens=True), (X[0],)),
    "strings": (nn.StringLookup(vocabulary=["a", "b"], output_mode="tf_idf", idf_weights=[1.0, 2.0]), ()),
    "texts": (nn.TextVectorization(8, vocabulary=["a", "b"], ngrams=2, output_sequence_length=4), ()),
    "Rotary": (nn.RotaryEmbedding(), (X,)),
    "Input": (nn.graph.InputLayer((None, 4, 6)), (X,)),
    "Stack": (nn.Stack(nn.Dense(6), 3), (X,)),
    "Remat": (nn.Remat(nn.Dense(6)), (X,)),
    "Frozen": (nn.Frozen(nn.Dense(6)), (X,)),
    "Branch": (nn.Branch([nn.Dense(6), nn.Dense(6)]), (X,)),
    "Parallel": (nn.Sequential([nn.Branch([nn.Dense(6), nn.Dense(6)]), nn.Parallel([nn.Dense(1), nn.Dense(2)])]), (X,)),
    "layer scale": (applications.LayerScale(0.1, 6), (X,)),
    "depth": (applications.StochasticDepth(0.5), (X,)),
    "scaled": (applications.CustomScaleLayer(0.5), ((X, X),)),
    **{name: (net, tuple(map(filled, INPUTS.get(name) or net.input_specs()))) for name, net in FAMILIES.items()},
    **{type(v).__name__: (v, (PICTURES,)) for v in OF_PICTURES},
    "chain": (optim.chain(*TRANSFORMS), ()),
    "parts": (optim.accumulate(optim.by_part({"a": optim.adam()}), 2), ()),
    "multi": (optim.multi_transform({"a": optim.adam(), "b": optim.sgd()}, {"w": "a"}), ()),
    "loss scale": (kf.optim.LossScaleOptimizer(kf.optim.Adam(gradient_accumulation_steps=2)), ()),
}
"""Objects, and inputs of the layers, beside those of the tables."""


WITHOUT = {
    *("Wrapper", "MeanMetricWrapper", "FunctionLoss"),
    *("FlaxLayer", "JaxLayer", "TFSMLayer", "TorchModuleWrapper"),
}
"""Bases, whose subclasses are here, and what holds a function or a module."""


def objects() -> Iterator[tuple[str, str, Any, tuple]]:
    """Each with its name and its category."""
    found = [(i, row.new.build(OURS), row.args) for i, row in zip(IDS, ROWS, strict=True)]
    found += [(row.name, row.layer, row.inputs) for row in MORE]
    found += [(name, *given) for name, given in OTHERS.items()]
    for category in CATEGORIES[1:]:
        for name in names(category):
            with contextlib.suppress(Exception):  # some need arguments
                found.append((name, resolve(category, name), ()))
    for name, value, args in found:
        for category in CATEGORIES:
            with contextlib.suppress(kf.errors.ArgumentError):
                config = to_config(category, value)
                if isinstance(config, dict):
                    yield name, category, config, args
                break


def places(x: Any, path: tuple = ()) -> Iterator[tuple]:
    """Where a config has an integer, or None, which may stand for one."""
    if isinstance(x, dict):
        for key, value in x.items():
            if key not in ("category", "class", "names"):
                yield from places(value, (*path, key))
    elif isinstance(x, list):
        for i, value in enumerate(x):
            yield from places(value, (*path, i))
    elif x is None or type(x) is int:
        yield path


def put(x: Any, path: tuple, value: Any) -> Any:
    if not path:
        return value
    parts = dict(x) if isinstance(x, dict) else dict(enumerate(x))
    parts[path[0]] = put(parts[path[0]], path[1:], value)
    return parts if isinstance(x, dict) else list(parts.values())


def files() -> Iterator[tuple[str, str]]:
    """What model files say, each with one large number; the lesser number in some of the places, by a fixed hash."""
    plain = {
        "net": to_config("layer", nn.Dense(2)),
        "inputs": [{"shape": [None, 3], "dtype": "float32"}],
        "seed": 0,
        "optimizer": to_config("optimizer", kf.optim.Adam()),
        "loss": "mse",
        "loss_weights": None,
        "metrics": [],
        "weighted_metrics": [],
        "own_step": False,
    }
    seen = set()
    for name, category, config, args in objects():
        whole = dict(plain)
        if category == "layer":
            inputs = [{"shape": list(np.shape(x)), "dtype": str(x.dtype)} for x in args if hasattr(x, "dtype")]
            whole |= {"net": config, "inputs": inputs}
        elif category in ("loss", "optimizer"):
            whole[category] = config
        elif category == "metric":
            whole["metrics"] = [config]
        else:
            owner, field = ("optimizer", "learning_rate") if category == "schedule" else ("net", f"kernel_{category}")
            whole[owner] = put(plain[owner], ("config", field), {"category": category, **config})
        for path in places(whole):
            for size in (HUGE - (path[0] == "inputs"), LARGE):  # features are often halved
                text = json.dumps(put(whole, path, size))
                if text not in seen and (size != LARGE or chosen(8, text)):
                    seen.add(text)
                    yield f"{name} {'/'.join(map(str, path))} {size}", text


class Late(BaseException):
    pass


def late(*_):
    raise Late


def peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_every_class_is_here():
    """Of the classes whose configs hold a number."""
    here = json.dumps([config for _, _, config, _ in objects()])
    found = {(category, kf.registry._lookup(category, name)) for category in CATEGORIES for name in names(category)}
    missing = {
        entry.name
        for _, entry in found
        if entry.factory and not entry.name.startswith("custom:") and f'"class": "{entry.name}"' not in here
    }
    assert missing <= WITHOUT


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs timers")
def test_no_number_in_a_config_takes_time_or_memory():
    before, wrong, count = signal.signal(signal.SIGPROF, late), [], 0
    try:
        for name, text in files():
            memory, end, count = peak(), None, count + 1
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            try:
                model_file.model_of(kf.Model, {}, {model_file.MODEL: text})
            except FileError:
                pass
            except BaseException as error:
                end = repr(error)[:200]
            finally:
                signal.setitimer(signal.ITIMER_PROF, 0)
            if end or peak() - memory > BYTES:
                wrong.append(f"{name}: {end}, {(peak() - memory) // 2**20} MB")
    finally:
        signal.signal(signal.SIGPROF, before)
    assert count > 2000 and not wrong, "\n".join(wrong[:50])
