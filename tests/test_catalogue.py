"""Everything in Keras's catalogue, on every backend, against Keras 3 itself. The rows are in `catalogue/`."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import json
import math

import numpy as np
import pytest
from backends import BACKENDS
from catalogue import New
from catalogue_oracle import FILE, IDS, OURS, ROWS, cotangents, floating, made, weights
from sampling import chosen
from test_initializers import RANDOM

import kfunc as kf

keras = pytest.importorskip("keras")

rows = pytest.mark.parametrize("i", range(len(ROWS)), ids=IDS)

# -- the list --------------------------------------------------------------------------------------------------------

THEMES = (
    "layers",
    "losses",
    "metrics",
    "optimizers",
    "optimizers.schedules",
    "initializers",
    "regularizers",
    "constraints",
)

ELSEWHERE: dict[str, str] = {
    "InputLayer": "nn.Input",
    "InputSpec": "kf.Spec",
    "Layer": "a base of layers, which have rows",
    "FlaxLayer": "a module of flax as a layer: see test_jax_modules",
    "JaxLayer": "a function of JAX as a layer: see test_jax_modules",
    "TFSMLayer": "a program of TensorFlow as a layer: see test_tensorflow_modules",
    "TorchModuleWrapper": "a module of PyTorch as a layer: see test_torch_modules",
    "Wrapper": "a base of layers, which have rows; ours does what its layer does, see test_combinators",
    "Metric": "a base of metrics, which have rows",
    "Constraint": "a base of Keras's: here any function is one",
    "Initializer": "a base of Keras's: here any function is one",
    "Loss": "a base of losses, which have rows",
    "Regularizer": "a base of Keras's: here any function is one",
    "Optimizer": "optim.GradientTransformation, optax's pair of functions",
    "OptimizerMap": "an argument of optim.MultiOptimizer, which has rows",
    "LearningRateSchedule": "optim.LearningRateSchedule, the base of schedules, which have rows",
}
"""Classes of Keras that have no row here, each with where it is, or why it is not."""


def classes(theme):
    module = functools.reduce(getattr, theme.split("."), keras)
    found = {n: getattr(module, n) for n in dir(module) if inspect.isclass(getattr(module, n))}
    found = {n: cls for n, cls in found.items() if ".preprocessing." not in cls.__module__}  # a step of its own
    names = {}
    for name, cls in found.items():  # of aliases, the class's own name
        names.setdefault(cls, []).append(name)
    return {cls.__name__ if cls.__name__ in ns else ns[0]: ns for cls, ns in names.items()}


NAMES = [
    (theme, name, alias)
    for theme in THEMES
    for name, aliases in classes(theme).items()
    for alias in aliases
    if name not in ELSEWHERE
]


@pytest.mark.parametrize(("theme", "name", "alias"), NAMES, ids=lambda x: x)
def test_names(theme, name, alias):
    naming = importlib.import_module("keras.src.utils.naming")
    assert hasattr(OURS[theme], alias)
    assert kf.registry.snake_case(name) == naming.to_snake_case(name)  # what the layer is called in a network


@pytest.mark.parametrize("name", ["My_Layer", "_Hidden", "ABlock", "X1Ab", "ReLU6B", "HTTPServer2", "aB", "MLP"])
def test_names_of_ones_own(name):
    """A file of Keras's has a class of the user's under this name."""
    naming = importlib.import_module("keras.src.utils.naming")
    assert kf.registry.snake_case(name) == naming.to_snake_case(name)


def test_every_class_has_a_row():
    with_rows = {row.new.name for row in ROWS} | {f"initializers.{name}" for name in RANDOM}
    missing = {
        name if theme == "layers" else f"{theme}.{name}"
        for theme, name, _ in NAMES
        if not with_rows & {f"{theme}.{a}".removeprefix("layers.") for a in classes(theme)[name]}
    }
    assert not missing


WITHOUT: dict[str, str] = {
    "EinsumDense.gptq_unpacked_column_size": "a matter of quantized parameters",
    "kwargs": "what Keras passes to its base class are arguments of their own here",
    "autocast": "arrays are cast if there is a policy",
    "lora_rank": "a transformation of the parameters, not of the layer",
    "lora_alpha": "a transformation of the parameters, not of the layer",
    "quantization_config": "a transformation of the parameters, not of the layer",
}
"""Arguments that mean something to Keras alone."""


@pytest.mark.parametrize(("theme", "name"), sorted({(t, n) for t, n, _ in NAMES}))
def test_arguments(theme, name):
    """Keras's, in its order and with its defaults; more may follow."""
    theirs = inspect.signature(getattr(functools.reduce(getattr, theme.split("."), keras), name)).parameters
    ours = list(inspect.signature(getattr(OURS[theme], name)).parameters.values())
    wanted = [p for p in theirs.values() if not {p.name, f"{name}.{p.name}"} & {*WITHOUT, "args"}]
    positional = [p for p in ours if p.kind is not p.KEYWORD_ONLY]
    by_name = {p.name: p for p in ours}
    assert {p.name for p in wanted} <= set(by_name)
    named = [p.name for p in wanted if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert [p.name for p in positional[: len(named)]] == named
    for p in wanted:
        assert by_name[p.name].default == p.default or p.default is p.empty, p.name


NEGATIVE = {
    *("CategoricalFocalCrossentropy alpha", "Circle margin", "ELU alpha", "Ftrl learning_rate_power", "Identity gain"),
    *("Adafactor beta_2_decay", "BinaryAccuracy threshold", "BinaryIoU threshold", "Masking mask_value", "Muon muon_a"),
    *("Muon muon_b", "Muon muon_c", "PolynomialDecay power"),
}
"""Arguments that may be -1."""


@pytest.mark.parametrize("theme", OURS)
def test_every_number_is_checked(theme):
    """Whatever has a number or a bool by default refuses a text, and a negative number where it counts something."""
    news = [row.new for row in reversed(ROWS)]
    objects = {new.name: new for new in news if (new.name.rpartition(".")[0] or "layers") == theme}
    for new in objects.values():
        made = getattr(OURS[theme], new.name.rpartition(".")[2])
        if not inspect.isclass(made) and theme != "optimizers":
            continue  # a function of arrays
        for p in list(inspect.signature(made).parameters.values())[len(new.args) :]:
            if type(p.default) not in (int, float, bool):
                continue
            name = f"{made.__name__} {p.name}"
            for bad in ("no",) if type(p.default) is not float or name in NEGATIVE else ("no", -1.0):
                with pytest.raises(kf.errors.ArgumentError) as error:
                    New(new.name, *new.args, **{**new.kwargs, p.name: bad}).build(OURS)
                assert error.value.argument == p.name, name


FUNCTIONS = [
    (theme, name)
    for theme in ("activations", "losses", "metrics")
    for name, f in inspect.getmembers(functools.reduce(getattr, theme.split("."), keras), inspect.isfunction)
    if name not in ("get", "serialize", "deserialize")
]


@pytest.mark.parametrize(("theme", "name"), FUNCTIONS)
def test_functions(theme, name):
    """Keras's, with its arguments in its order and its defaults; more may follow."""
    theirs = inspect.signature(getattr(getattr(keras, theme), name)).parameters.values()
    ours = list(inspect.signature(getattr(OURS[theme], name)).parameters.values())
    assert [(p.name, p.default) for p in ours[: len(theirs)]] == [(p.name, p.default) for p in theirs]


def test_every_activation_has_a_row():
    with_rows = {row.new.name.removeprefix("activations.") for row in ROWS}
    functions = {getattr(keras.activations, name): name for theme, name in FUNCTIONS if theme == "activations"}
    assert not set(functions.values()) - with_rows


def test_the_oracle_is_up_to_date():
    """`python tests/catalogue_oracle.py` brings it there."""
    assert not [name for i, name in enumerate(IDS) if FILE.stale(i)]


@pytest.mark.parametrize("i", range(0, len(ROWS), 29))
def test_keras_still_says_so(i):
    """A sample of what the file says, computed anew."""
    kept, new = FILE.answer(i), FILE.compute(i)
    for kind, arrays in new.items():
        for a, b in zip(kept.get(kind, []), arrays, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


# -- what our objects say --------------------------------------------------------------------------------------------


@kf.arrays.native
def weighted(outputs, ws):
    xp = kf.namespace(*outputs)
    return functools.reduce(lambda a, b: a + b, [xp.sum(y * w) for y, w in zip(outputs, ws, strict=True)])


def ours_layer(row):
    net = made(row)  # outside: Dynamo reads no caches

    def fun(tree, state):
        params, inputs, options = tree
        out, new, aux = net.apply(params, *inputs, state=state, train=row.train, aux=True, **options)
        losses = list(aux.losses.values())
        found = {"value": out, "losses": [summed(losses)] if losses else [], "mask": aux.mask}
        return {**found, "state": new} if row.train else found

    params, state = weights(row)
    return fun, (params, row.args, row.options), state


@kf.arrays.native
def summed(xs):
    return functools.reduce(lambda a, b: a + b, xs)


def ours_call(row):
    fun = made(row)
    return lambda tree, state: {"value": fun(*tree[0], **tree[1])}, (row.args, row.options), ()


def ours_metric(row):
    metric = made(row)

    def fun(batches, state):
        acc = metric.init(like=batches)
        for batch in batches:
            acc = metric.update(acc, *batch)
        return {"value": metric.result(acc)}

    return fun, row.args, ()


def ours_optimizer(row):
    optimizer = made(row)

    def fun(given, state):
        params, *gradients = given
        out, opt_state = [], optimizer.init(params)
        for g in gradients:
            updates, opt_state = optimizer.update(g, opt_state, params)
            params = kf.optim.apply_updates(params, updates)
            out.append(params)
        return {"value": out}

    return fun, row.args, ()


def ours_initializer(row):
    draw = made(row)
    return lambda key, state: {"value": draw(key, row.args[0], "float32")}, kf.random.key(0), ()


def run(row, name, answer, compiled, dtype="float32"):
    """Everything that the row gives on backend `name`."""
    make, *given = globals()[f"ours_{row.kind}"](row)
    given, state = kf.tree.map(lambda x: x.astype(dtype) if floating(x) else x, given)
    leaves, structure = kf.tree.flatten((given, state))
    at = [i for i, x in enumerate(leaves) if isinstance(x, np.ndarray)]
    differentiable = [i for i in at if leaves[i].dtype.kind == "f" and i < len(kf.tree.leaves(given))]
    ws = kf.to_backend([w.astype(dtype) for w in cotangents(answer["value"])], name)
    with_gradient = "gradient" in answer and name != "openvino"

    def fun(arrays, ws):
        values = dict(zip(at, arrays, strict=True))

        def objective(xs):
            now = {**values, **dict(zip(differentiable, xs, strict=True))}
            out = make(*kf.tree.unflatten(structure, [now.get(i, x) for i, x in enumerate(leaves)]))
            if not with_gradient:
                return out
            return weighted([y for y in kf.tree.leaves(out["value"]) if "float" in str(y.dtype)], ws), out

        xs = [values[i] for i in differentiable]
        if not with_gradient:
            return objective(xs)
        gradients, out = kf.grad(objective, has_aux=True)(xs)
        return {**out, "gradient": gradients}

    arrays = kf.to_backend([leaves[i] for i in at], name)
    return compiled(fun)(arrays, ws)


def close(got, want, row, dtype="float32"):
    got = [kf.to_numpy(x) for x in kf.tree.leaves(got)]
    assert len(got) == len(want)
    for a, b in zip(got, want, strict=True):
        assert a.shape == b.shape
        if a.dtype.kind != "f":
            np.testing.assert_array_equal(a, b)
            continue
        assert a.dtype == dtype
        scale = max(1.0, np.abs(b[np.isfinite(b)]).max(initial=0))
        eps = float(np.finfo(dtype).eps)
        np.testing.assert_allclose(a, b, rtol=0, atol=8 * eps * math.sqrt(row.n) * row.condition * scale)


def check(row, i, name, compiled, dtype="float32"):
    answer = FILE.answer(i)
    out = run(row, name, answer, compiled, dtype)
    for kind in out:
        close(out[kind], answer.get(kind, []), row, dtype)
    assert set(answer) - set(out) <= ({"gradient"} if name == "openvino" else set())
    assert {kf.backend_of(x).name for x in kf.tree.leaves(out["value"])} <= {name}


@rows
@pytest.mark.usefixtures("quickly_compiled")
@pytest.mark.parametrize("name", BACKENDS)
def test_row(name, i):
    """Values, gradients, state, losses and mask; compiled where the backend compiles whole programs cheaply."""
    row = ROWS[i]
    if name == "openvino" and row.openvino is not True:
        with pytest.raises(kf.errors.UnsupportedError):
            check(row, i, name, kf.jit)
        return
    wanted = name in ("jax", "tensorflow", "openvino") and row.jit is True
    check(row, i, name, kf.jit if wanted else lambda fun: fun)


SINGLE = {
    "attention-MultiHeadAttention": "Keras takes JAX's attention, whose softmax is in float32",
    "attention-MultiHeadAttention-window": "so here",
    "attention-GroupQueryAttention-masks": "so here",
    "ccuracy": "Keras divides in float32",
    "IoU": "Keras counts in float32",
    "schedules": "the learning rate is float32",
    "float32": "the row asks for it",
}
"""What cannot be exact in float64: names of rows, and what their classes or arguments contain; and why."""

DOUBLE = [
    i
    for i, row in enumerate(ROWS)
    if row.kind != "initializer" and IDS[i] not in SINGLE and not any(text in repr(row.new) for text in SINGLE)
]


@pytest.mark.numpy
@pytest.mark.parametrize("i", DOUBLE, ids=[IDS[i] for i in DOUBLE])
def test_row_in_double(i):
    """In float64, where small constants show, such as what is added to a divisor, that float32 rounds away."""
    row = ROWS[i]
    if row.kind in ("layer", "metric"):
        new = New(row.new.name, *row.new.args, **{**row.new.kwargs, "dtype": "float64"})
        row = dataclasses.replace(row, new=new)
    check(row, i, "numpy", lambda fun: fun, "float64")


@pytest.mark.parametrize("name", [p for p in BACKENDS if p.values[0] in ("numpy", "array_api_strict")])
@pytest.mark.parametrize("i", [i for i, row in enumerate(ROWS) if weights(row)[0]], ids=lambda i: IDS[i])
def test_inputs_that_are_not_differentiated(name, i):
    """As in training: on the tape, parameters are arrays of one class, and inputs and state of another."""
    row, answer = ROWS[i], FILE.answer(i)
    params, state, args, options = kf.to_backend((*weights(row), row.args, row.options), name)
    ws = kf.to_backend([w.astype(np.float32) for w in cotangents(answer["value"])], name)

    def objective(params):
        out, new, aux = made(row).apply(params, *args, state=state, train=row.train, aux=True, **options)
        return weighted([y for y in kf.tree.leaves(out) if "float" in str(y.dtype)], ws), (out, new, aux.mask)

    gradients, seen = kf.grad(objective, has_aux=True)(params)
    assert {type(x) for x in kf.tree.leaves(seen)} <= {type(kf.asarray(0.0, backend=name))}
    leaves = kf.tree.leaves(gradients)
    if "gradient" in answer:
        close(leaves, answer["gradient"][: len(leaves)], row)


FIRST = {row.new.name: i for i, row in reversed(list(enumerate(ROWS))) if row.jit is True}
"""The row of each class that Dynamo reads, which takes seconds."""


@pytest.mark.torch
@pytest.mark.parametrize("cls", [cls for cls in FIRST if chosen(4, cls)])
def test_one_graph_on_torch(cls):
    """Without gradients, as one graph and run as it is; what Inductor makes of graphs is tested with the layers."""
    torch = importlib.import_module("torch")
    torch.compiler.reset()
    i = FIRST[cls]
    row = ROWS[i]
    make, *given = globals()[f"ours_{row.kind}"](row)
    out = torch.compile(make, fullgraph=True, backend="eager")(*kf.to_backend(given, "torch"))
    for kind in out:
        close(out[kind], FILE.answer(i).get(kind, []), row)


@pytest.mark.parametrize("i", [i for i, row in enumerate(ROWS) if row.kind == "layer"], ids=lambda i: IDS[i])
def test_an_unknown_batch_changes_no_shape(i):
    row = ROWS[i]
    if row.jit is not True:
        return

    def unknown(x):
        return kf.Spec((None, *x.shape[1:]), x.dtype) if isinstance(x, np.ndarray) else x

    found = made(row).trace(*kf.tree.map(unknown, row.args), **kf.tree.map(unknown, row.options)).outputs[-1][2]
    for spec, array in zip(kf.tree.leaves(found), FILE.answer(i)["value"], strict=True):
        assert [n for n in spec.shape if n is not None] == [
            m for m, n in zip(array.shape, spec.shape, strict=True) if n is not None
        ]
        assert spec.shape[0] is None or row.options


@pytest.mark.parametrize("i", [i for i, row in enumerate(ROWS) if row.kind == "layer"], ids=lambda i: IDS[i])
def test_configs_describe_layers_completely(i):
    config = json.loads(json.dumps(kf.registry.to_config("layer", made(ROWS[i]))))
    again = kf.registry.from_config("layer", config)
    assert json.loads(json.dumps(kf.registry.to_config("layer", again))) == config
