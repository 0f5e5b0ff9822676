"""Keras's names that have another place here, or none: what the `AttributeError` says to those who look for them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, NoReturn

from .errors import UnknownAttributeError

__all__ = ["PLACES", "REASONS", "looked_up"]

_PREPROCESSING = (
    "preprocessing layers are not here yet: do it to the arrays, in a kf.data.Dataset, or in a layer of your own with "
    "the functions of kf.ops and kf.ops.image"
)
_BRIDGE = "networks of other libraries are not layers: a function of kf.Model(net, step=...) may call them"
_SEEDS = (
    "there is no global seed, which any call could move on: kf.Model(net, seed=1) draws weights, the order of samples "
    "and dropout from one seed, and kf.random takes keys"
)
_NO_GLOBALS = "nothing is global here: "
_BACKEND = _NO_GLOBALS + "arrays say where they are computed, and backend= of fit and predict moves them"
_DTYPES = _NO_GLOBALS + "give layers dtype=, such as nn.Sequential(layers, dtype='mixed_bfloat16')"
_FORMAT = _NO_GLOBALS + "give layers data_format="
_NAMES = (
    "names in files are looked up in a closed registry: register a class by @kf.register('layer'), or @nn.layer, which "
    "does it"
)
_TREES = "kf.tree has flatten, unflatten, map, leaves, paths and structure"
_QUANTIZED = "quantization is not here yet"
_DISTRIBUTED = "training on several devices is not here yet"
_APPLICATIONS = "pretrained networks are not here yet"
_DATASETS = "data sets are not downloaded: give arrays, or anything that yields batches, to fit"
_PICTURES = "pictures are not drawn: model.summary() prints the layers, and model.dot() is the text for Graphviz"
_SYMBOLS = "shapes are found by running layers on kf.Spec, arrays without values"
_STATE = "layers have no variables: net.init makes parameters and state, and net.apply takes them"

PLACES: dict[str, dict[str, str]] = {
    "kfunc": {
        "DTypePolicy": "kf.nn.dtype_policies.DTypePolicy",
        "FloatDTypePolicy": "kf.nn.dtype_policies.DTypePolicy",
        "Function": "kf.nn.Graph",
        "Functional": "kf.nn.Graph",
        "Initializer": "kf.nn.initializers.Initializer",
        "Input": "kf.nn.Input",
        "InputSpec": "kf.Spec",
        "KerasTensor": "kf.Spec",
        "Layer": "kf.nn.Layer",
        "Loss": "kf.losses.Loss",
        "Metric": "kf.metrics.Metric",
        "Operation": "kf.nn.Layer",
        "Optimizer": "kf.optim.Optimizer",
        "Regularizer": "kf.nn.regularizers.Regularizer",
        "Sequential": "kf.nn.Sequential",
        "activations": "kf.nn.activations",
        "constraints": "kf.nn.constraints",
        "dtype_policies": "kf.nn.dtype_policies",
        "initializers": "kf.nn.initializers",
        "layers": "kf.nn",
        "load_model": "kf.Model.load",
        "optimizers": "kf.optim",
        "regularizers": "kf.nn.regularizers",
        "remat": "kf.nn.Remat",
        "version": "kf.__version__",
    },
    "kfunc.nn": {"InputLayer": "kf.nn.Input", "InputSpec": "kf.Spec", "Model": "kf.Model"},
    "kfunc.nn.dtype_policies": {"FloatDTypePolicy": "kf.nn.dtype_policies.DTypePolicy"},
    "kfunc.tree": {
        "flatten_with_path": "kf.tree.paths",
        "map_structure": "kf.tree.map",
        "pack_sequence_as": "kf.tree.unflatten",
    },
    "kfunc.utils": {"Sequence": "kf.utils.PyDataset", "register_keras_serializable": "kf.register"},
}
"""For each of our namespaces, Keras's name and ours."""

REASONS: dict[str, dict[str, str]] = {
    "kfunc": {
        "Quantizer": _QUANTIZED,
        "RematScope": "give the layers that are to be computed again: kf.nn.Remat(layer)",
        "StatelessScope": "every call of a layer is without state: net.apply(params, x, state=state)",
        "SymbolicScope": _SYMBOLS,
        "Variable": _STATE + "; in a layer, s.param and s.state declare them",
        "applications": _APPLICATIONS,
        "backend": _BACKEND + "; kf.backend_of(x) and kf.backends.available() tell which",
        "clone_model": "copy.copy(model) has the same weights, and kf.Model(copy.copy(model.net), seed=1) new ones",
        "config": _NO_GLOBALS + "backend, dtype, data format and seed are arguments",
        "datasets": _DATASETS,
        "device": "arrays say where they are computed: model.to(backend, device) moves a model",
        "distillation": "write the loss: kf.Model(net, objective=...), see examples/distillation.py",
        "distribution": _DISTRIBUTED,
        "export": "model.save writes one file for all backends; frameworks export net.apply as any function of theirs",
        "legacy": "names that Keras keeps for old programs are not here",
        "mixed_precision": _DTYPES + "; the loss is scaled by compile(auto_scale_loss=True)",
        "models": "kf.Model, kf.nn.Sequential, and for load_model kf.Model.load; copy.copy(model) clones one",
        "name_scope": "the names of parameters are the paths of layers: Layer(name=...)",
        "preprocessing": _PREPROCESSING,
        "quantizers": _QUANTIZED,
        "saving": "model.save and kf.Model.load, model.save_weights and load_weights; @kf.register for your classes",
        "set_random_seed": _SEEDS,
        "src": "that is Keras's inside",
        "visualization": _PICTURES,
        "wrappers": "estimators for scikit-learn are not here",
    },
    "kfunc.nn": {
        **dict.fromkeys(("FlaxLayer", "JaxLayer", "TFSMLayer", "TorchModuleWrapper"), _BRIDGE),
        **dict.fromkeys(
            (
                *(
                    "AugMix",
                    "AutoContrast",
                    "CategoryEncoding",
                    "CenterCrop",
                    "CutMix",
                    "Discretization",
                    "Equalization",
                ),
                *("ContrastLimitedAdaptiveHistogramEqualization", "HashedCrossing", "Hashing", "IntegerLookup"),
                *("MaxNumBoundingBoxes", "MelSpectrogram", "MixUp", "Normalization", "Pipeline", "RandAugment"),
                *("RandomBrightness", "RandomColorDegeneration", "RandomColorJitter", "RandomContrast", "RandomCrop"),
                *("RandomElasticTransform", "RandomErasing", "RandomFlip", "RandomGaussianBlur", "RandomGrayscale"),
                *("RandomHue", "RandomInvert", "RandomPerspective", "RandomPosterization", "RandomRotation"),
                *("RandomSaturation", "RandomSharpness", "RandomShear", "RandomTranslation", "RandomZoom", "Rescaling"),
                *("Resizing", "STFTSpectrogram", "Solarization", "StringLookup", "TextVectorization"),
            ),
            _PREPROCESSING,
        ),
    },
    "kfunc.optim": {"legacy": "names that Keras keeps for old programs are not here"},
    "kfunc.nn.dtype_policies": dict.fromkeys(
        (
            *("AWQDTypePolicy", "GPTQDTypePolicy", "Int4DTypePolicy", "QuantizedDTypePolicy"),
            "QuantizedFloat8DTypePolicy",
        ),
        _QUANTIZED,
    ),
    "kfunc.random": {
        "SeedGenerator": "a generator changes with each call: kf.random.key(seed) makes a key, and split and fold_in "
        "make new ones of it; in a layer, s.key() is a new key for each call",
    },
    "kfunc.tree": dict.fromkeys(
        (
            *("MAP_TO_NONE", "assert_same_paths", "assert_same_structure", "is_nested", "lists_to_tuples"),
            *("map_shape_structure", "map_structure_up_to", "traverse"),
        ),
        _TREES,
    ),
    "kfunc.utils": {
        "Config": "a dataclass of your own does that",
        "FeatureSpace": _PREPROCESSING,
        "Progbar": "fit shows one by verbose=1; kf.callbacks.ProgbarLogger is one for loops of your own",
        "bounding_boxes": _PREPROCESSING,
        "clear_session": _NO_GLOBALS + "there is no session, and a model that is deleted is gone",
        "get_file": "nothing is downloaded",
        "legacy": "names that Keras keeps for old programs are not here",
        "set_random_seed": _SEEDS,
        "standardize_dtype": "str(kf.to_numpy(x).dtype) is the name of a dtype",
        "normalize": "kf.ops.normalize does that to arrays of any backend",
        **dict.fromkeys(
            ("CustomObjectScope", "custom_object_scope", "get_custom_objects", "get_registered_name"), _NAMES
        ),
        **dict.fromkeys(("get_registered_object", "deserialize_keras_object", "serialize_keras_object"), _NAMES),
        **dict.fromkeys(
            ("array_to_img", "img_to_array", "load_img", "save_img"),
            "images are read by Pillow: np.asarray(Image.open(p))",
        ),
        **dict.fromkeys(
            ("audio_dataset_from_directory", "image_dataset_from_directory", "text_dataset_from_directory"),
            "data sets are not made from folders yet: kf.data.Dataset reads batches by number, with workers",
        ),
        **dict.fromkeys(
            ("disable_interactive_logging", "enable_interactive_logging", "is_interactive_logging_enabled"),
            _NO_GLOBALS + "verbose= says what fit shows",
        ),
        **dict.fromkeys(("get_source_inputs", "is_keras_tensor"), _SYMBOLS),
        **dict.fromkeys(("model_to_dot", "plot_model"), _PICTURES),
        **dict.fromkeys(
            ("pack_x_y_sample_weight", "unpack_x_y_sample_weight"),
            "a step is given a batch with x, y and sample_weight",
        ),
        "split_dataset": "this function is not here yet; validation_split= of fit does a part",
    },
}
"""For each of our namespaces, Keras's names that it does not have, and why."""


def looked_up(namespace: str) -> Callable[[str], Any]:
    """The `__getattr__` of a namespace: it raises an error that says where a name of Keras's is."""

    def __getattr__(name: str) -> NoReturn:
        if name.startswith("__"):  # which Python itself looks for
            raise AttributeError(f"module {namespace!r} has no attribute {name!r}")
        place = PLACES.get(namespace, {}).get(name)
        reason = REASONS.get(namespace, {}).get(name)
        if place is None and reason is None:
            raise AttributeError(
                f"module {namespace!r} has no attribute {name!r}", name=name, obj=sys.modules[namespace]
            )
        raise UnknownAttributeError(
            f"`{name}` of Keras is not in {namespace}: {place or reason}.",
            argument=name,
            expected=place,
            got=f"{namespace}.{name}",
            fix="docs/from_keras.md shows what is written in its place",
        )

    return __getattr__
