"""Networks and models as Keras's: the config that Keras builds them from, and `save`, the file that Keras opens."""

from __future__ import annotations

import contextlib
import inspect
import os
import types
from typing import Any, NoReturn

from ... import nn, registry, tree
from ...arrays import dtype_name
from ...dataclasses import arguments
from ...errors import ArgumentError, shown, warn
from ...model import Model
from ...nn.call import as_layer
from ...nn.nodes import Node, Part
from ...nn.operations import ConstantArray, Operation
from ...ops._op import OPS
from ...tracing.spec import Spec
from ...training.model_file import check_free
from . import archives, compiled, weights
from .layers import by_class
from .layers import object_config as _object

__all__ = ["config_of", "save"]


def save(model: Model, filepath: str | os.PathLike[str], overwrite: bool = True) -> None:
    """Write a model to a `.keras` file, which Keras 3 opens by `keras.models.load_model`, and `load` here.

    The file has the network, its weights, how the model is compiled, and the optimizer's state, so that training goes
    on in Keras. What Keras has no place for, such as losses of your own, is left out, and a warning names it.

    Args:
        model: A model that has weights.
        filepath: The file, which ends in ".keras".
        overwrite: Whether a file that is there already is replaced.

    Raises:
        ArgumentError: The network has a layer or an argument that Keras lacks; the error names it.
        FileError: It could not be written, or there is a file that must stay; what was at `filepath` is as it was.
        MissingPackageError: h5py is not installed.
    """
    if not os.fspath(filepath).endswith(".keras"):
        raise ArgumentError.must_be("filepath", "a path that ends in .keras", os.fspath(filepath))
    check_free(filepath, overwrite)
    with contextlib.ExitStack() as stack:
        with model._carry.lock:  # or the optimizer may be another than that of the state
            traced, ts = model._known(), stack.enter_context(model._carry.lent())
            own = {"step": model.step, "objective": model.objective, "run_eagerly": model.run_eagerly}
            now: Any = types.SimpleNamespace(train_state=ts, **own, **model._compiled)
        net, declared = traced.net, traced.call.declared or {}
        config = config_of(net, traced.inputs)
        config["compile_config"] = compiled.described(now)
        found = weights.places(net, declared)
        groups = weights.groups(found, declared, ts.params, ts.state, {})
        weights.warn_of_differences(net)
        if not isinstance(net, nn.Sequential | nn.Graph):  # `config_of` has put it into a Sequential
            first = f"layers/{registry.snake_case(weights.python_name(net))}"
            groups = [(f"{first}/{file}".rstrip("/"), *rest) for file, *rest in groups]  # type: ignore[misc]
        if config["compile_config"] is not None:
            groups += compiled.groups(now, found)
        archives.write(filepath, config, groups)


def config_of(net: nn.Layer, inputs: tuple[Any, ...] | None = None) -> dict[str, Any]:
    """The config from which Keras builds a network, in JSON's types, as Keras writes it in a `.keras` file.

    Args:
        net: A network of layers that Keras has. Any but a `Sequential` or `Graph` is put into a `Sequential`.
        inputs: The `Spec`s of its inputs; by default those of its `Input`s.

    Raises:
        ArgumentError: Keras lacks a layer, or an argument that a layer has.
    """
    inputs = net.input_specs() if inputs is None else inputs
    writer = _Writer()
    if isinstance(net, nn.Sequential | nn.Graph):
        config = writer.layer(net, "", None, inputs)
    else:
        inner = writer.layer(net, "", None)
        config = _sequential("sequential", net.trainable, [_input(inputs), inner], inputs)
    if writer.acting:
        warn(
            f"Layers that are frozen go on acting in Keras's training: {', '.join(writer.acting)}. Keras freezes their "
            "weights alone, and here they do nothing; see docs/keras_files.md."
        )
    return config


def _input(inputs: tuple[Any, ...] | None, name: str = "input_layer") -> dict[str, Any] | None:
    """The layer of an only input."""
    if inputs is None:
        return None
    if len(inputs) != 1 or not isinstance(inputs[0], Spec):
        raise ArgumentError(
            "A Sequential of Keras has one input, and the network has several.",
            expected="a network with one input; or an nn.Graph, which becomes a functional model",
            got=inputs,
        )
    return _input_layer(inputs[0], name)


def _input_layer(spec: Spec, name: str) -> dict[str, Any]:
    config = {"batch_shape": list(spec.shape), "dtype": dtype_name(spec.dtype), "sparse": False, "name": name}
    return _object("keras.layers", "InputLayer", config)


def _sequential(name: str, trainable: bool, layers: list[Any], inputs: tuple[Any, ...] | None) -> dict[str, Any]:
    config: dict[str, Any] = {"name": name, "trainable": trainable, "layers": [x for x in layers if x is not None]}
    if inputs is not None:
        config["build_input_shape"] = list(inputs[0].shape)
    return _object("keras", "Sequential", config)


class _Writer:
    """Describes the layers of one network.

    Layers are described with the precision and the trainability that they have in the network, since layers of Keras
    take neither from the layers around them.
    """

    def __init__(self) -> None:
        self.trains: list[tuple[str, dict[str, bool]]] = []
        self.acting: list[str] = []
        """The paths of frozen layers that act as in training in Keras, such as dropout."""

    def layer(
        self,
        layer: nn.Layer,
        path: str,
        policies: Any,
        inputs: tuple[Any, ...] | None = None,
        frozen: bool = False,
    ) -> dict[str, Any]:
        """The config of a layer at `path`. `policies` and `frozen` are those of the layer around it."""
        policies = policies if layer.dtype is None else layer.dtype
        frozen = frozen or not layer.trainable
        if layer._trains is not None:
            self.trains.append((path, layer._trains))
        for base, trains in self.trains:  # the outermost network that says something about this layer decides
            below = path == base or not base or path.startswith(f"{base}/")
            said = trains.get(path.removeprefix(base).removeprefix("/")) if below else None
            if said is not None:
                frozen = not said
                break
        if isinstance(layer, nn.Frozen | nn.Remat):
            inner = self.layer(as_layer(layer.layer), _joined(path, "layer"), policies, None, frozen)
            inner["config"]["name"] = _last(path) or inner["config"]["name"]
            return inner
        name = _last(path) or layer.name or registry.snake_case(type(layer).__name__)
        if type(layer) is nn.Sequential:
            return self.sequential(layer, path, policies, name, frozen, inputs)
        if type(layer) is nn.Graph:
            return self.graph(layer, path, policies, name, frozen)
        known = by_class().get(type(layer))
        if known is None:
            self.refuse(layer, path)
        policy = None if policies is None else policies.at(path)
        config: dict[str, Any] = {"name": name, "dtype": "float32" if policy is None else policy.name}
        given = dict(arguments(layer))
        for common in (*config, "trainable"):
            given.pop(common, None)
        if frozen and any(given.get(rate) for rate in _RATES):
            self.acting.append(path or name)
        if not known.name.startswith("SpatialDropout"):  # which has no weights, and no such argument
            config["trainable"] = not frozen
        if given.get("activity_regularizer") is None or known.name == "ActivityRegularization":  # which makes its own
            given.pop("activity_regularizer", None)
        for key, value in known.write(given).items():
            if key in _OURS.get(known.name, ()):
                if value not in (None, False, "channels_last"):
                    self.lacks(layer, path, key, value)
            elif key == "use_bias" and not isinstance(value, bool):  # a list of projections, which would mean True
                self.lacks(layer, path, key, value)
            else:
                config[key] = self.value(value, key, path, policies, frozen)
        return _object(known.module, known.name, config)

    def refuse(self, layer: nn.Layer, path: str) -> NoReturn:
        raise ArgumentError(
            f"Keras has no layer like {type(layer).__name__}, so the network cannot be written for it.",
            path=path or None,
            expected="layers that keras.layers has, in nn.Sequential and nn.Graph",
            got=shown(layer),
            fix="build the network of Keras's layers and of kf.ops; Model.save writes any network for kfunc",
        )

    def lacks(self, layer: nn.Layer, path: str, argument: str, value: Any) -> NoReturn:
        raise ArgumentError(
            f"`{argument}` of {type(layer).__name__} is {shown(value)}, and the layer of Keras lacks this argument.",
            path=path or None,
            argument=argument,
            expected="arguments that the layer of Keras has",
            got=shown(value),
        )

    # -- containers ------------------------------------------------------------------------------------------------

    def children(self, net: nn.Layer, path: str, policies: Any, frozen: bool) -> dict[int, tuple[str, dict[str, Any]]]:
        """The name and the config of each layer of a container, by the layer's id."""
        found: dict[int, tuple[str, dict[str, Any]]] = {}
        for name, child in net.children():
            child = as_layer(child)
            if id(child) not in found and not isinstance(child, Operation | ConstantArray):
                found[id(child)] = name, self.layer(child, _joined(path, name), policies, None, frozen)
        return found

    def sequential(
        self, net: nn.Sequential, path: str, policies: Any, name: str, frozen: bool, inputs: tuple[Any, ...] | None
    ) -> dict[str, Any]:
        known = self.children(net, path, policies, frozen)
        taken = {called for called, _ in known.values()}
        if len(known) < len(net.layers):
            raise ArgumentError(
                "A layer stands twice in a Sequential, which Keras refuses.",
                path=path or None,
                expected="an nn.Graph, in which a layer may be called twice",
                got=len(net.layers),
            )
        if inputs is None:
            inputs = net.input_specs() if net.inputs is not None else None
        given = None if net.inputs is None else net.inputs[2]
        first = _input(inputs, given or _free("input_layer", taken))
        return _sequential(name, not frozen, [first, *(known[id(as_layer(x))][1] for x in net.layers)], inputs)

    def graph(self, net: nn.Graph, path: str, policies: Any, name: str, frozen: bool) -> dict[str, Any]:
        known = self.children(net, path, policies, frozen)
        taken = {called for called, _ in known.values()}
        layers: dict[int, dict[str, Any]] = {}
        places: dict[Node, list[Any]] = {}
        """For each node: the name of its layer, which call of the layer it is, and how many nodes the layer has."""
        for node, called in zip(tree.leaves(net.inputs), net.input_names(), strict=True):
            called = _free(called, taken)
            layers[id(node)] = {**_input_layer(node.spec, called), "name": called, "inbound_nodes": []}
            places[node] = [called, 0]
        inner = {id(as_layer(x)) for _, x in net.children() if type(as_layer(x)) is nn.Graph}

        def place(x: Node, end: bool = False) -> list[Any]:
            node, index = (x.whole, x.index) if isinstance(x, Part) and x not in places else (x, 0)
            called, number = places[node]
            # Where a graph begins and ends, Keras counts the node that a functional model has of its own, too.
            return [called, number + (end and id(node.layer) in inner and node not in inputs), index]

        inputs = set(tree.leaves(net.inputs))

        def argument(x: Any) -> Any:
            if isinstance(x, Node):
                if isinstance(x.layer, ConstantArray):
                    values = x.layer.initializer.value
                    values = values.tolist() if hasattr(values, "tolist") else values
                    return _object(None, "__tensor__", {"value": values, "dtype": x.layer.kept_in})
                history = {"shape": list(x.shape), "dtype": dtype_name(x.dtype), "keras_history": place(x)}
                return _object(None, "__keras_tensor__", history)
            if isinstance(x, dict):
                return {key: argument(v) for key, v in x.items()}
            return [argument(v) for v in x] if isinstance(x, list | tuple) else self.value(x, "", path, None, False)

        for node in net._order:
            layer = as_layer(node.layer)
            if isinstance(layer, ConstantArray):
                continue
            args, kwargs = list(node.args), dict(node.kwargs)
            nodes = [x for x in tree.leaves((args, kwargs)) if isinstance(x, Node)]
            if all(isinstance(x.layer, ConstantArray) for x in nodes):
                name = getattr(node.layer, "name", None) or type(layer).__name__
                raise ArgumentError(
                    f"The layer {name} is called on an array alone, which a graph of Keras cannot hold.",
                    argument="model",
                    expected="layers whose inputs depend on the inputs of the network",
                    got=", ".join(map(shown, nodes)),
                    fix="call the layer in the `call` of a layer of your own; or save the model as .safetensors",
                )
            if "train" in kwargs:
                kwargs["training"] = kwargs.pop("train")
            if isinstance(layer, Operation):
                called = _free(layer.name or layer.function, taken)
                args, kwargs, config = self.operation(layer, args, kwargs, _joined(path, called))
                entry = layers[id(node)] = {**config, "name": called, "inbound_nodes": []}
                config["config"]["name"] = called
            else:
                called, config = known[id(layer)]
                entry = layers.setdefault(id(layer), {**config, "name": called, "inbound_nodes": []})
            places[node] = [called, len(entry["inbound_nodes"])]
            entry["inbound_nodes"].append({"args": argument(args), "kwargs": argument(kwargs)})
        ends = [tree.map(lambda x: place(x, True), x) for x in (net.inputs, net.outputs)]
        # In Keras's order, by which files number the layers of a class.
        rank = {id(layer): i for i, layer in enumerate(map(as_layer, net.layers))}
        rank |= {id(node): rank[id(as_layer(node.layer))] for node in net._order}
        found = [layers[key] for key in sorted(layers, key=lambda key: rank.get(key, -1))]  # inputs first
        config = {"name": name, "trainable": not frozen, "layers": found}
        config |= {"input_layers": ends[0], "output_layers": ends[1]}
        return _object("keras.src.models.functional", "Functional", config)

    def operation(self, layer: Operation, args: list[Any], kwargs: dict[str, Any], path: str) -> Any:
        """The arguments that an operation of Keras is called with, and its config."""
        if layer.function == "stop_gradient":
            return args, kwargs, _object("keras.src.ops.core", "StopGradient", {})
        module = next((m for m, names in _OPERATIONS.items() if layer.function in names), None)
        if module is None:
            self.refuse_function(layer, path)
        signature = inspect.signature(OPS[layer.function].reference)
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        names, options = signature_of(layer.function)
        called: list[Any] = []
        named: dict[str, Any] = {}
        config: dict[str, Any] = {}
        for name, value in bound.arguments.items():
            kind = signature.parameters[name].kind
            if kind is inspect.Parameter.VAR_KEYWORD:
                named |= value
            elif name in names:
                called += list(value) if kind is inspect.Parameter.VAR_POSITIONAL else [value]
            elif name in options:
                if any(isinstance(x, Node) for x in tree.leaves(value)):
                    self.refuse_function(layer, path, name)
                config[name] = self.value(value, name, path, None, False)
            elif value is not None:
                self.refuse_function(layer, path, name)
        while called and called[-1] is None and len(called) > 1:
            called.pop()
        return called, named, _object(f"keras.src.ops.{module}", class_of(layer.function), config)

    def refuse_function(self, layer: Operation, path: str, argument: str | None = None) -> NoReturn:
        what = "no operation like it" if argument is None else f"no graph in which its `{argument}` is computed"
        raise ArgumentError(
            f"The network has the operation {layer.function}, and Keras has {what}.",
            path=path,
            expected="operations of keras.ops that stand in a functional model",
            got=f"kf.ops.{layer.function}",
        )

    # -- values ----------------------------------------------------------------------------------------------------

    def value(self, x: Any, argument: str, path: str, policies: Any, frozen: bool) -> Any:
        """An argument of a layer in JSON's types."""
        if isinstance(as_layer(x), nn.Layer):
            return self.layer(as_layer(x), _joined(path, argument), policies, None, frozen)
        if argument == "cells":
            return [
                self.layer(as_layer(v), _joined(path, f"cells_{i}"), policies, None, frozen) for i, v in enumerate(x)
            ]
        if isinstance(x, slice):
            return _object(None, "__slice__", {n: getattr(x, n) for n in ("start", "stop", "step")})
        if x is Ellipsis:
            return _object(None, "__ellipsis__", {})
        if isinstance(x, list | tuple):
            return [self.value(v, argument, path, policies, frozen) for v in x]
        if isinstance(x, dict):
            return {k: self.value(v, argument, path, policies, frozen) for k, v in x.items()}
        category = next((c for c in _CATEGORIES if argument.endswith(c)), None)
        if x is None or (isinstance(x, str | int | float) and category != "activation"):
            return x
        if category is not None:
            try:
                found = registry.to_config(category, x)
            except ArgumentError:
                found = "custom:"
            name, config = (found, {}) if isinstance(found, str) else (found["class"], found["config"])
            name = "relu" if name == "ops.relu" else name
            if not name.startswith("custom:") and name not in _UNKNOWN:
                return name if category == "activation" else _object(f"keras.{category}s", name, config)
        raise ArgumentError(
            f"`{argument}` is {shown(x)}, which Keras does not know.",
            path=path or None,
            argument=argument,
            expected="objects of Keras",
            got=shown(x),
        )


_CATEGORIES = ("initializer", "regularizer", "constraint", "activation")

_UNKNOWN = frozenset(
    {"ForgetGateOnes", "gelu_new", "gelu_pytorch_tanh", "hard_sigmoid_of_keras_2", "ops.gelu", "quick_gelu"}
)
"""Objects of these categories that Keras 3 lacks. `ops.gelu` is the approximation, and Keras's gelu is not."""

_RATES = ("dropout", "drop_path_rate", "rate", "recurrent_dropout", "stddev")
"""Arguments of layers that do something at random in training, if it is not 0."""

_OURS: dict[str, tuple[str, ...]] = {
    "Cropping1D": ("data_format",),
    "GroupQueryAttention": ("rotary", "scale", "attn_logits_soft_cap", "query_norm", "key_norm"),
    "LayerNormalization": ("rms_scaling",),
    "MultiHeadAttention": ("rotary", "scale", "attn_logits_soft_cap", "query_norm", "key_norm"),
    "UpSampling1D": ("data_format",),
}
"""Arguments that Keras's layers lack."""

_OPERATIONS: dict[str, frozenset[str]] = {
    module: frozenset(names.split())
    for module, names in {
        "core": "cast saturate_cast scatter scatter_update slice slice_update unstack",
        "einops": "rearrange",
        "image": """affine_transform crop_images elastic_transform extract_patches gaussian_blur hsv_to_rgb
            map_coordinates pad_images perspective_transform resize rgb_to_grayscale rgb_to_hsv scale_and_translate
            sobel_edges ssim""",
        "linalg": """cholesky cholesky_inverse det eig eigh inv lstsq lu_factor matrix_rank norm pinv qr solve
            solve_triangular svd""",
        "math": """cdist erf erfc erfinv extract_sequences fft fft2 ifft2 in_top_k irfft istft logdet logsumexp rfft
            rsqrt segment_max segment_min segment_prod segment_sum stft top_k view_as_complex view_as_real""",
        "nn": """adaptive_average_pool adaptive_max_pool average_pool binary_crossentropy categorical_crossentropy celu
            conv conv_transpose ctc_decode ctc_loss depth_to_space depthwise_conv dot_product_attention elu fold gelu
            glu hard_shrink hard_sigmoid hard_silu hard_tanh leaky_relu log_sigmoid log_softmax max_pool moments
            multi_hot normalize one_hot polar psnr relu relu6 selu separable_conv sigmoid silu soft_shrink softmax
            softplus softsign space_to_depth sparse_categorical_crossentropy sparse_plus sparse_sigmoid sparsemax
            squareplus tanh_shrink threshold unfold""",
        "numpy": """abs absolute add all allclose amax amin angle any append arange arccos arccosh arcsin arcsinh arctan
            arctan2 arctanh argmax argmin argpartition argsort array_split average bincount bitwise_and bitwise_invert
            bitwise_left_shift bitwise_not bitwise_or bitwise_right_shift bitwise_xor broadcast_to cbrt ceil clip
            concatenate conj conjugate copy corrcoef correlate cos cosh count_nonzero cross cumprod cumsum deg2rad
            diag diagflat diagonal diff digitize divide divide_no_nan dot dsplit dstack einsum empty_like equal exp
            exp2 expand_dims expm1 fabs flip fliplr flipud floor floor_divide fmax fmin fmod full full_like gcd
            geomspace get_item greater greater_equal heaviside histogram hsplit hstack hypot i0 imag inner isclose
            isfinite isin isinf isnan isneginf isposinf isreal kron lcm ldexp left_shift less less_equal linspace log
            log10 log1p log2 logaddexp logaddexp2 logical_and logical_not logical_or logical_xor logspace matmul max
            maximum mean median meshgrid min minimum mod moveaxis multiply nan_to_num nanargmax nanargmin nancumprod
            nancumsum nanmax nanmean nanmedian nanmin nanpercentile nanprod nanquantile nanstd nansum nanvar ndim
            negative nextafter nonzero not_equal ones_like outer pad percentile power prod ptp quantile rad2deg ravel
            real reciprocal repeat reshape right_shift roll rot90 round searchsorted select sign signbit sin sinc sinh
            size slogdet sort split sqrt square squeeze stack std subtract sum swapaxes take take_along_axis tan tanh
            tensordot tile trace transpose trapezoid tril triu true_divide trunc unique unravel_index vander var vdot
            view vsplit vstack where zeros_like""",
    }.items()
}
"""The functions of `kf.ops` that are operations of Keras, by the module there."""

_OPERATION_NAMES = {
    "allclose": "AllClose",
    "cdist": "CDist",
    "ctc_decode": "CTCDecode",
    "ctc_loss": "CTCLoss",
    "fft": "FFT",
    "fft2": "FFT2",
    "hsv_to_rgb": "HSVToRGB",
    "ifft2": "IFFT2",
    "irfft": "IRFFT",
    "isin": "IsIn",
    "istft": "ISTFT",
    "psnr": "PSNR",
    "rfft": "RFFT",
    "rgb_to_grayscale": "RGBToGrayscale",
    "rgb_to_hsv": "RGBToHSV",
    "searchsorted": "SearchSorted",
    "ssim": "SSIM",
    "stft": "STFT",
    "svd": "SVD",
}
"""Their classes, where the rule does not give them."""

_HERE = ("backend", "bias", "like")
"""Arguments of functions here that no operation of Keras has."""

_CALLED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "bincount": ((), ("weights",)),
    "clip": ((), ("x_min", "x_max")),
    "dot_product_attention": (("bias", "scale"), ()),
    "elastic_transform": ((), ("seed",)),
    "get_item": (("key",), ()),
    "isclose": (("rtol", "atol"), ()),
    "istft": ((), ("window",)),
    "logspace": ((), ("base",)),
    "matrix_rank": ((), ("tol",)),
    "max": ((), ("initial",)),
    "min": ((), ("initial",)),
    "pad": (("constant_values",), ()),
    "rearrange": (("pattern",), ()),
    "repeat": ((), ("repeats",)),
    "scale_and_translate": (("output_shape",), ()),
    "stft": ((), ("window",)),
    "trapezoid": ((), ("x",)),
}
"""Arguments that Keras's operation is called with though they are no arrays, and arrays that stand in its config."""


def class_of(function: str) -> str:
    """The name of Keras's class for a function of `kf.ops`."""
    return _OPERATION_NAMES.get(function) or "".join(part.capitalize() for part in function.split("_"))


def signature_of(function: str) -> tuple[list[str], list[str]]:
    """What Keras's operation for a function is called with, which are arrays in most cases; and what it is made of."""
    parameters = inspect.signature(OPS[function].reference).parameters.values()
    more, less = _CALLED.get(function, ((), ()))
    less = (*less, *_HERE)
    called = [p.name for p in parameters if p.name in more or ("Array" in str(p.annotation) and p.name not in less)]
    rest = [p for p in parameters if p.name not in called and p.kind is not inspect.Parameter.VAR_KEYWORD]
    return called, [p.name for p in rest if p.name not in _HERE]


def _joined(path: str, name: str) -> str:
    return f"{path}/{name}".lstrip("/")


def _last(path: str) -> str:
    return path.rpartition("/")[2]


def _free(name: str, taken: set[str]) -> str:
    """`name`, or with a number if another layer has it; then it is taken."""
    found, n = name, 0
    while found in taken:
        n += 1
        found = f"{name}_{n}"
    taken.add(found)
    return found
