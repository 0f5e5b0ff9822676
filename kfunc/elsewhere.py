"""Keras's names that have another place here, or none: what the `AttributeError` says to those who look for them."""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Callable
from typing import Any

from .errors import UnknownAttributeError, UnknownImportError

__all__ = ["ARGUMENTS", "MEMBERS", "OVERRIDDEN", "PLACES", "REASONS", "SETS", "looked_up", "tell"]

_PREPROCESSING = (
    "preprocessing layers are not here yet: do it to the arrays, in a kf.data.Dataset, or in a layer of your own with "
    "the functions of kf.ops and kf.ops.image"
)
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
        "applications": "kf.keras.applications",
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
    "kfunc.utils": {"register_keras_serializable": "kf.register"},
}
"""For each of our namespaces, Keras's name and ours."""

REASONS: dict[str, dict[str, str]] = {
    "kfunc": {
        "Quantizer": _QUANTIZED,
        "RematScope": "give the layers that are to be computed again: kf.nn.Remat(layer)",
        "StatelessScope": "every call of a layer is without state: net.apply(params, x, state=state)",
        "SymbolicScope": _SYMBOLS,
        "Variable": _STATE + "; in a layer, s.param and s.state declare them",
        "backend": _BACKEND + "; kf.backend_of(x) and kf.backends.available() tell which",
        "clone_model": "model.clone(seed=1) has new weights, and copy.copy(model) the same ones",
        "config": _NO_GLOBALS + "backend, dtype, data format and seed are arguments",
        "device": "arrays say where they are computed: model.to(backend, device) moves a model",
        "distillation": "write the loss: kf.Model(net, objective=...), see examples/distillation.py",
        "distribution": _DISTRIBUTED,
        "export": "model.save writes one file for all backends; frameworks export net.apply as any function of theirs",
        "legacy": "names that Keras keeps for old programs are not here",
        "mixed_precision": _DTYPES + "; the loss is scaled by compile(auto_scale_loss=True)",
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
        **dict.fromkeys(
            (*("MelSpectrogram", "RandomElasticTransform", "STFTSpectrogram"),),
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
        "clear_session": _NO_GLOBALS + "there is no session, and a model that is deleted is gone",
        "legacy": "names that Keras keeps for old programs are not here",
        "set_random_seed": _SEEDS,
        "standardize_dtype": "str(kf.to_numpy(x).dtype) is the name of a dtype",
        **dict.fromkeys(
            ("CustomObjectScope", "custom_object_scope", "get_custom_objects", "get_registered_name"), _NAMES
        ),
        **dict.fromkeys(("get_registered_object", "deserialize_keras_object", "serialize_keras_object"), _NAMES),
        **dict.fromkeys(
            ("disable_interactive_logging", "enable_interactive_logging", "is_interactive_logging_enabled"),
            _NO_GLOBALS + "verbose= says what fit shows",
        ),
        **dict.fromkeys(("get_source_inputs", "is_keras_tensor"), _SYMBOLS),
        **dict.fromkeys(
            ("pack_x_y_sample_weight", "unpack_x_y_sample_weight"),
            "a step is given a batch with x, y and sample_weight",
        ),
    },
}
"""For each of our namespaces, Keras's names that it does not have, and why."""


_ARRAYS = (
    "layers hold no arrays: model.train_state.params['dense'] are the parameters of the layer with that name, and "
    "model.get_weights() is a list of all arrays"
)
_OF_MODEL = (
    "model.train_state.params is the tree of arrays that train, and model.train_state.state that of the others; "
    "model.get_weights() is a list of all of them"
)
_VARIABLES = ("trainable_variables", "trainable_weights", "variables", "weights")
_OTHERS = ("non_trainable_variables", "non_trainable_weights")
_STEP = (
    "kf.Model(net, objective=fun) has another loss, and kf.Model(net, step=fun) another training step, eval_step=fun "
    "another step of evaluate"
)
_STEPS = (
    *("compute_loss", "compute_metrics", "make_predict_function", "make_test_function", "make_train_function"),
    *("test_step", "train_step"),
)
_SPECS = "layer.trace(kf.Spec((None, 4))).outputs[-1][2].shape, and layer.output.shape in a graph"
_LOSSES = "net.apply(..., aux=True) returns the losses that layers add as aux.losses, and fit adds them to its loss"
_BATCH = "train_on_batch and test_on_batch return the numbers of their batch alone, so that nothing is to be reset"
_METRIC = (
    "a metric has no state: acc = metric.init(y_pred), acc = metric.update(acc, y_true, y_pred), metric.result(acc)"
)
_UPDATE = (
    "updates, opt_state = optimizer.update(grads, opt_state, params) and params = kf.optim.apply_updates(params, "
    "updates); kf.value_and_grad computes gradients"
)
_VALUE = "a node has no value yet: kf.Model(inputs, node).predict(x) computes it"
_CONFIG = "kf.nn.serialize(model.net) is the config of its network, and model.save writes a whole model"

MEMBERS: dict[str, dict[str, str]] = {
    "Layer": {
        **dict.fromkeys(("bias", "embeddings", "get_weights", "kernel", "set_weights", *_OTHERS, *_VARIABLES), _ARRAYS),
        "add_loss": "in forward, s.add_loss(value)",
        "add_metric": "metrics belong to model.compile",
        "add_variable": "in forward, s.param(name, shape, initializer)",
        "add_weight": "a layer with call(self, x) calls it in build(self, input_shape), and not in __init__; in "
        "forward, s.param(name, shape, initializer), or s.state of what does not train",
        "build": "layers are built by running forward on shapes: params, state = layer.init(0, x)",
        "built": "layers hold no arrays: model.built says whether a model has weights",
        "call": "in kfunc a layer computes in forward(self, s, x), where s has its parameters and s.train",
        "compute_dtype": "layer.dtype is its policy, or None for that of the layer around it",
        "compute_mask": "in forward, s.hand_on(mask) says the mask of the output",
        "compute_output_shape": _SPECS,
        "compute_output_spec": _SPECS,
        "count_params": "model.count_params(), and model.summary() for each layer",
        "dtype_policy": "layer.dtype",
        **dict.fromkeys(
            ("input_shape", "output_shape"), "layer.input.shape and layer.output.shape of a layer in a graph"
        ),
        "input_spec": "shapes are checked when forward runs on them",
        "losses": _LOSSES,
        "metrics": "metrics belong to model.compile",
        "quantize": _QUANTIZED,
        "stateless_call": "out, state = layer.apply(params, x, state=state)",
        "variable_dtype": "layer.dtype is its policy",
    },
    "Model": {
        **dict.fromkeys((*_OTHERS, *_VARIABLES), _OF_MODEL),
        **dict.fromkeys(
            ("add", "pop"), "a network never changes: kf.Model(model.net + [layer]), or kfunc.keras.Sequential"
        ),
        **dict.fromkeys((*_STEPS, "predict_function", "predict_step", "test_function", "train_function"), _STEP),
        **dict.fromkeys(("get_metrics_result", "metrics_variables", "reset_metrics", "reset_states"), _BATCH),
        **dict.fromkeys(("from_config", "get_config", "to_json", "to_yaml"), _CONFIG),
        **dict.fromkeys(
            ("evaluate_generator", "fit_generator", "predict_generator"), "fit, evaluate and predict take generators"
        ),
        "add_loss": "in a layer's forward, s.add_loss(value); or kf.Model(net, objective=fun)",
        "add_metric": "model.compile(metrics=...)",
        "add_weight": "in a layer's forward, s.param(name, shape, initializer)",
        "call": "model(x), or model.net.apply(params, x, state=state)",
        "dtype": "model.net.dtype",
        "dtype_policy": "model.net.dtype",
        "export": "model.net.apply is a function that each framework exports as any of its own",
        "losses": _LOSSES,
        "quantize": _QUANTIZED,
        "stateless_call": "out, state = model.net.apply(params, x, state=state)",
    },
    "Optimizer": {
        **dict.fromkeys(("apply", "apply_gradients", "minimize", "stateless_apply", "update_step"), _UPDATE),
        **dict.fromkeys(
            ("get_weights", "set_weights", "variables", "weights"), "its state is model.train_state.opt_state"
        ),
        "assign": _UPDATE,
        "build": "opt_state = optimizer.init(params)",
        "iterations": "model.train_state.step counts the steps",
        "lr": "optimizer.learning_rate",
        "scale_loss": "kf.optim.LossScaleOptimizer does that, and compile adds one for float16",
    },
    "Metric": {
        **dict.fromkeys(
            ("reset_state", "reset_states", "stateless_update_state", "update_state", "variables"), _METRIC
        ),
        "add_weight": _METRIC,
    },
    "Node": {
        **dict.fromkeys(("eval", "numpy", "value"), _VALUE),
        "assign": _VALUE,
        "get_shape": "x.shape",
        "set_shape": "a shape follows from what was computed; kf.ops.reshape changes it",
    },
}
"""For the classes that have members in Keras which they do not have here: what is in their place."""

ARGUMENTS: dict[str, str] = {
    **dict.fromkeys(
        ("batch_input_shape", "batch_shape", "input_dim", "input_length", "input_shape"),
        "it is not in the layer: nn.Input(shape) as the first of the layers says the shape of the input",
    ),
    "autocast": "a policy as dtype= says what is cast",
    "lr": "it is called learning_rate",
    "weights": "model.set_weights(arrays) sets those of a model",
}
"""Arguments of Keras's layers and optimizers, of now and before, that have another place here."""

OVERRIDDEN: dict[str, str] = {
    "call": "write the network as a layer with forward(self, s, x), and make kf.Model(layer) of it",
    **dict.fromkeys((*_STEPS, "compute_mask"), _STEP),
    "predict_step": "write a layer around the network, and call predict of kf.Model(layer)",
}
"""Methods that subclasses of Keras's `Model` define, and what is written here."""

SETS: dict[str, str] = {
    "trainable": "model.freeze('path') and model.unfreeze('path') do what layer.trainable = False and True do in "
    "Keras; nn.freeze(net, 'path') for a network alone",
    "learning_rate": "for a model that trains: ts = model.train_state; model.train_state = ts._replace(opt_state="
    "kf.optim.with_learning_rate(ts.opt_state, 1e-4)); kf.callbacks.LearningRateScheduler does it by epochs",
}
"""For attributes that Keras's users set: what they write here."""


class _Told:
    """A member that a class has in Keras: an error about it says what is in its place.

    A class with a `__getattr__` would do it, too, but PyTorch's compiler cannot run through one.
    """

    def __init__(self, name: str, reason: str):
        self.name, self.reason = name, reason

    def __get__(self, instance: Any, owner: type) -> Any:
        offered = getattr(type(instance), "__offered__", {})  # of a layer in its `call`, by way of super()
        if self.name in offered:
            return types.MethodType(offered[self.name], instance)
        raise UnknownAttributeError(
            f"{owner.__name__} has no `{self.name}`, unlike in Keras.",
            argument=self.name,
            fix=f"{self.reason}; docs/from_keras.md has more",
        )


def tell(cls: type, of: str) -> None:
    """Let the class `cls` answer for the members that Keras's class has and it has not: those of `MEMBERS[of]`."""
    for name, reason in MEMBERS[of].items():
        setattr(cls, name, _Told(name, reason))


def looked_up(namespace: str, later: tuple[str, ...] = ()) -> Callable[[str], Any]:
    """The `__getattr__` of a namespace: it raises an error that says where a name of Keras's is.

    Args:
        namespace: The name of the module.
        later: The names of modules in it that are imported when they are asked for.
    """

    def __getattr__(name: str) -> Any:
        if name in later:
            return importlib.import_module(f"{namespace}.{name}")
        if name.startswith("__"):  # which Python itself looks for
            raise AttributeError(f"module {namespace!r} has no attribute {name!r}")
        place = PLACES.get(namespace, {}).get(name)
        reason = REASONS.get(namespace, {}).get(name)
        if place is None and reason is None:
            raise AttributeError(
                f"module {namespace!r} has no attribute {name!r}", name=name, obj=sys.modules[namespace]
            )
        error = UnknownImportError if _is_import(sys._getframe(1)) else UnknownAttributeError
        raise error(
            f"`{name}` of Keras is not in {namespace}: {place or reason}.",
            argument=name,
            expected=place,
            got=f"{namespace}.{name}",
            fix="docs/from_keras.md shows what is written in its place",
        )

    return __getattr__


def _is_import(frame: Any) -> bool:
    """Whether a frame runs `from module import name`, where Python hides the text of an AttributeError."""
    import opcode

    return frame.f_code.co_code[frame.f_lasti] == opcode.opmap["IMPORT_FROM"]
