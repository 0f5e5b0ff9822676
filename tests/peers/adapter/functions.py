"""`keras.ops`: functions are ours, and a class such as `Add(…)` is our function with some arguments kept."""

from __future__ import annotations

import functools
import inspect
from typing import Any

from keras.src import backend as keras_backend
from keras.src.ops.operation import Operation
from keras.src.utils.naming import to_snake_case

from kfunc import Spec, ops, tree

from .arrays import Unmapped, is_tensor, standardize_dtype, to_backend


def mapped(name: str, theirs: Any) -> Any:
    """Our counterpart of `keras.ops.name`."""
    if inspect.isclass(theirs) and issubclass(theirs, Operation):
        return _class(name, theirs)
    if not callable(theirs) or name.startswith("_"):
        return theirs
    ours = getattr(ops, name, None) or getattr(ops.image, name, None)
    return theirs if ours is None else function(ours)


def function(ours: Any) -> Any:
    """`ours`, given NumPy's arrays and variables in the backend under test."""

    # What Keras takes from the surroundings is an argument here.
    defaults = {
        name: value
        for name, value in {"data_format": keras_backend.image_data_format, "seed": lambda: 1337}.items()
        if name in inspect.signature(ours).parameters
    }

    signature = inspect.signature(ours)

    @functools.wraps(ours)
    def call(*args, **kwargs):
        given = [x if name in ON_HOST else to_backend(x) for name, x in zip(signature.parameters, args, strict=False)]
        args = (*given, *to_backend(args[len(given) :]))
        kwargs = {name: x if name in ON_HOST else to_backend(x) for name, x in kwargs.items()}
        if defaults:
            bound = signature.bind_partial(*args, **kwargs).arguments
            kwargs |= {name: value() for name, value in defaults.items() if bound.get(name) is None}
        for name in ("unroll", "flash_attention"):  # how Keras computes it
            if kwargs.pop(name, None) is True:
                raise Unmapped(f"{name}=True")
        for name in ("sparse", "ragged"):
            if kwargs.pop(name, None):
                raise Unmapped(f"{name} tensors")
        out = ours(*args, **kwargs)
        # What is made of numbers alone is NumPy's; Keras makes it in its one backend.
        return out if ours is ops.convert_to_numpy else to_backend(out)

    return call


ON_HOST = {"kernel_size", "sigma"}
"""Sizes, which are no arrays of a backend."""


# Classes whose functions are not called by their name in lower case.
NAMES = {
    "AdaptiveAvgPool": "adaptive_average_pool",
    "AdaptiveMaxPool": "adaptive_max_pool",
    "AvgPool": "average_pool",
    "Argsort": "argsort",
    "CTCLoss": "ctc_loss",
    "CTCDecode": "ctc_decode",
    "ExtractPatches3D": "extract_patches_3d",
    "FFT": "fft",
    "FFT2": "fft2",
    "IFFT": "ifft",
    "IFFT2": "ifft2",
    "IRFFT": "irfft",
    "ISTFT": "istft",
    "RFFT": "rfft",
    "STFT": "stft",
    "SVD": "svd",
    "LuFactor": "lu_factor",
    "Topk": "top_k",
    "TopK": "top_k",
    "InTopK": "in_top_k",
    "GetItem": "get_item",
    "RGBToHSV": "rgb_to_hsv",
    "HSVToRGB": "hsv_to_rgb",
    "RGBToGrayscale": "rgb_to_grayscale",
    "RgbToGrayscale": "rgb_to_grayscale",
    "RgbToHsv": "rgb_to_hsv",
    "HsvToRgb": "hsv_to_rgb",
    "ExpandDims": "expand_dims",
    "Isclose": "isclose",
    "RMSNorm": "rms_normalization",
    "RMSNormalization": "rms_normalization",
    "LayerNorm": "layer_normalization",
}


def _candidates(name: str) -> list[str]:
    snake = to_snake_case(name)
    return [NAMES.get(name, snake), snake, snake.replace("_", ""), name.lower()]


def _class(name: str, theirs: Any) -> Any:
    module = inspect.getmodule(theirs)
    known = [n for n in _candidates(name) if hasattr(ops, n) or hasattr(ops.image, n)]
    if not known:
        return theirs
    ours = function(getattr(ops, known[0], None) or getattr(ops.image, known[0]))
    order = list(inspect.signature(getattr(module, known[0], theirs.call)).parameters)
    kept_names = list(inspect.signature(theirs.__init__).parameters)[1:]
    call_names = [p for p in inspect.signature(theirs.call).parameters.values()][1:]

    class Kept:
        def __init__(self, *args, **kwargs):
            kwargs.pop("name", None)
            self.kept = {**dict(zip(kept_names, args, strict=False)), **kwargs}

        def __call__(self, *args, **kwargs):
            if any(p.kind is p.VAR_POSITIONAL for p in call_names):
                first = [self.kept[n] for n in order if n in self.kept and order.index(n) == 0]
                rest = {k: v for k, v in self.kept.items() if order.index(k) > 0}
                return ours(*first, *args, **rest, **kwargs)
            given = {**dict(zip([p.name for p in call_names], args, strict=False)), **kwargs}
            if set(given) | set(self.kept) <= set(order):
                return ours(**{n: {**self.kept, **given}[n] for n in order if n in given or n in self.kept})
            return ours(*args, **self.kept, **kwargs)

        call = __call__

        def symbolic_call(self, *args, **kwargs):
            out = self(*args, **kwargs)
            return tree.map(lambda x: Spec(x.shape, standardize_dtype(x.dtype)) if is_tensor(x) else x, out)

        compute_output_spec = symbolic_call

        def __getattr__(self, attribute):
            raise Unmapped(f"{name}.{attribute}: ops have no classes")

    Kept.__name__ = name
    return Kept
