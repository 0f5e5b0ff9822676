"""The file of a model: what it says beside its arrays, and whether its arrays fit the network that it describes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from .. import checks, files, losses, tree
from ..arrays import dtype_name, to_numpy
from ..errors import ArgumentError, FileError, KfuncError, ParamError
from ..metrics import resolve as resolve_metric
from ..registry import collected, from_config, to_config
from ..tracing.spec import Spec
from .state import TrainState
from .traced import Traced

if TYPE_CHECKING:
    from ..model import Model

__all__ = ["FORMATS", "Format", "check_free", "format_of", "named", "read", "read_weights", "write", "write_weights"]

MODEL = "kfunc.model"
_TABLES = "tables."
_NAMED = 1000  # arrays that an error tells of


class Format(NamedTuple):
    """The functions that save and load models, and weights, in the format of another library.

    They take what the methods of `Model` take: `save(model, path, overwrite)`, `load(path, backend)`,
    `save_weights(model, path, overwrite)` and `load_weights(model, path)`. `check(model, weights)` raises what saving
    the model, or its weights alone, will raise whatever its arrays are.
    """

    save: Callable[..., None]
    load: Callable[..., Any]
    save_weights: Callable[..., None]
    load_weights: Callable[..., None]
    check: Callable[..., None]


FORMATS: dict[str, Format] = {}
"""Formats of other libraries by the suffix of a file, which `kfunc.interop` adds."""


def format_of(path: Any) -> Format | None:
    """The format of another library that a path has; None for kfunc's own."""
    return FORMATS.get(os.path.splitext(path)[1].lower()) if isinstance(path, str | os.PathLike) else None


def check_free(path: str | os.PathLike[str], overwrite: bool) -> None:
    """Raise a FileError if there is a file at `path` that must not be replaced."""
    if not checks.boolean("overwrite", overwrite) and os.path.lexists(path):
        raise FileError(
            f"{os.fspath(path)} exists already, and `overwrite` is False.",
            argument="overwrite",
            expected="a path where there is no file",
            got=os.fspath(path),
            fix="take another path, or overwrite=True",
        )


def write(path: str | os.PathLike[str], model: Model, traced: Traced, ts: TrainState) -> None:
    """See `Model.save`."""
    texts = {MODEL: json.dumps(config_of(model, traced))}
    arrays = {name: to_numpy(x) for name, x in named(ts._asdict()).items()}
    for i, table in enumerate(traced.word_tables):
        arrays |= {f"{_TABLES}{i}.{name}": x for name, x in table.arrays().items()}
    files.write(path, arrays, texts, "filepath")


def read(cls: type[Model], path: str | os.PathLike[str]) -> tuple[Model, Traced, TrainState, dict[str, Any]]:
    """The model in a file, what is known of its network, its train state, and the optimizer's state by name.

    Raises:
        FileError: As `Model.load` says.
    """
    found: list[tuple[Model, Traced]] = []
    arrays, _ = files.read(path, lambda forms, texts: found.append(model_of(cls, forms, texts)), "filepath")
    model, traced = found[0]
    with files.blaming(path):
        for i, table in enumerate(traced.read_tables):
            table.fill({name: arrays[f"{_TABLES}{i}.{name}"] for name in table.forms()})
    ts = TrainState(*trees(traced, arrays), None, arrays["key"], arrays["step"])
    return model, traced, ts, split(arrays)[1]


def write_weights(path: str | os.PathLike[str], ts: TrainState) -> None:
    """See `Model.save_weights`."""
    arrays = named({"params": ts.params, "state": ts.state})
    files.write(path, {name: to_numpy(x) for name, x in arrays.items()}, argument="filepath")


def read_weights(path: str | os.PathLike[str], traced: Traced, skip: bool) -> tuple[dict[str, Any], dict[str, str]]:
    """The arrays in a file by the names that they have in the network that was traced; and what was skipped, and why.

    Args:
        path: The file.
        traced: What is known of the network.
        skip: Whether arrays may be skipped that do not fit.

    Raises:
        FileError: As `Model.load_weights` says.
    """
    skipped: dict[str, str] = {}

    def fits(forms: Mapping[str, files.Form], texts: Mapping[str, str]) -> None:
        own, wanted = placed(traced, _without_tables(split(forms)[0])), expected(traced)
        if skip or not own.keys() & {"key", "step"}:  # from save_weights
            wanted, own = ({n: f for n, f in x.items() if n not in ("key", "step")} for x in (wanted, own))
        if not skip:
            check(wanted, own)
            return
        wrong = [n for n in (*wanted, *sorted(own.keys() - wanted)) if not _alike(wanted.get(n), own.get(n))]
        skipped.update((n, f"expected {_said(wanted.get(n))}, got {_said(own.get(n))}") for n in wrong)
        if not wanted.keys() - skipped.keys():
            check(wanted, own)  # nothing is left, and this says why

    found = placed(traced, _without_tables(files.read(path, fits, "filepath")[0]))
    return {name: x for name, x in found.items() if name not in skipped}, skipped


def placed(traced: Traced, found: Mapping[str, Any]) -> dict[str, Any]:
    """What a file has by name, where a parameter may be a part of the state, and the other way round.

    A parameter of a layer that is frozen is a part of the state. So in a file of the same network, in which other
    layers were frozen, it has another name.
    """
    here = {".".join(path): d.kind for path, d in (traced.call.declared or {}).items()}
    out: dict[str, Any] = {}
    for name, x in found.items():
        kind, _, place = name.partition(".")
        other = f"{here.get(place)}.{place}"
        out[other if kind in ("params", "state") and place in here and other not in found else name] = x
    return out


def config_of(model: Model, traced: Traced) -> dict[str, Any]:
    """The parts of `model` in JSON's types. Objects that are not kfunc's are left out."""
    return {
        "net": traced.config,
        "inputs": _encoded(traced.given),
        "seed": int(model.seed),
        "optimizer": _described("optimizer", model.optimizer),
        "loss": _described_losses(model.loss),
        "loss_weights": model.loss_weights,
        "metrics": _described_metrics(model.metrics),
        "weighted_metrics": _described_metrics(model.weighted_metrics),
        "own_step": model.step is not None,
        "own_objective": model.objective is not None,
    }


def named(parts: Mapping[str, Any]) -> dict[str, Any]:
    """The leaves of trees by name: `{"params": {"dense": {"kernel": x}}}` gives `{"params.dense.kernel": x}`."""
    return dict(zip((p.replace("/", ".") for p in tree.paths(parts)), tree.leaves(parts), strict=True))


def trees(traced: Traced, arrays: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters and the state of a network, from arrays by name."""
    return traced.call.trees(lambda path, declaration: arrays[".".join((declaration.kind, *path))])


def expected(traced: Traced) -> dict[str, files.Form]:
    """The arrays beside the optimizer's that the file of a network has."""
    return _forms(*traced.variables) | {"key": files.Form("uint32", (2,)), "step": files.Form("int32", ())}


def _form(x: Any) -> files.Form:
    return files.Form(dtype_name(x.dtype), tuple(x.shape))


def fit(traced: Traced, params: Any, state: Any) -> bool:
    """Whether trees are parameters and state of a network, by their paths, shapes and kinds of dtypes."""
    wanted, forms = (_forms(*trees) for trees in (traced.variables, (params, state)))
    return not _wrong(wanted, forms)


def check_given(traced: Traced, params: Any, state: Any) -> None:
    """Check trees that were given for parameters and state of a network. A float may be of another precision.

    Raises:
        ParamError: They are not those of the network.
    """
    wanted, forms = (_forms(*trees) for trees in (traced.variables, (params, state)))
    check(wanted, forms, "of `params` and `state`", ParamError)


def _forms(params: Any, state: Any) -> dict[str, files.Form]:
    return {name: _form(x) for name, x in named({"params": params, "state": state}).items()}


def _wrong(wanted: Mapping[str, files.Form], forms: Mapping[str, files.Form]) -> list[str]:
    """The names at which arrays are not as they should be."""
    return [n for n in sorted(wanted.keys() | forms.keys()) if not _alike(wanted.get(n), forms.get(n))]


def check(
    wanted: Mapping[str, files.Form],
    forms: Mapping[str, files.Form],
    source: str = "in the file",
    error: type[KfuncError] = FileError,
) -> None:
    """Check what a file, or another source, says of its arrays. A float may be of another precision.

    Raises:
        FileError: They are not those that are expected. Or another `error`.
    """
    wrong = _wrong(wanted, forms)
    if not wrong:
        return
    name, more = wrong[0], len(wrong) - 1
    others = f"; {more} more {'is not' if more == 1 else 'are not'}" if more else ""
    each = [f"{n}: {_said(wanted.get(n))}, got {_said(forms.get(n))}" for n in wrong[:_NAMED]]
    raise error(
        f"The array {name!r} {source} is not the one that the network needs{others}.",
        argument=name,
        expected=_said(wanted.get(name)) if not more else "\n    ".join(["", *each]),
        got=_said(forms.get(name)) if not more else f"{len(wrong)} others",
    )


def _alike(a: files.Form | None, b: files.Form | None) -> bool:
    if a is None or b is None or a.shape != b.shape:
        return False
    return a.dtype == b.dtype or ("float" in a.dtype and "float" in b.dtype)


def _said(form: files.Form | None) -> str:
    return "no such array" if form is None else f"shape {form.shape}, {form.dtype}"


def model_of(cls: type[Model], forms: Mapping[str, files.Form], texts: Mapping[str, str]) -> tuple[Model, Traced]:
    """The model that a file describes, without arrays, and what is known of its network.

    Raises:
        FileError: It describes no model, or its arrays do not fit the model that it describes.
    """
    try:
        config = files.decoded(texts[MODEL])
        with collected() as tables:
            net = from_config("layer", config["net"])
        model = cls._of(net, checks.integer("seed", config["seed"]))
        inputs = _decoded(config["inputs"])
        if config["optimizer"] is not None:
            model.compile(
                from_config("optimizer", config["optimizer"]),
                _losses_of(config["loss"]),
                metrics=_metrics_of(config["metrics"]),
                loss_weights=_weights_of(config.get("loss_weights")),
                weighted_metrics=_metrics_of(config.get("weighted_metrics", [])),
                auto_scale_loss=False,  # the optimizer is described as it was
            )
        model.step = _lost_step if checks.boolean("own_step", config.get("own_step", False)) else None
        if checks.boolean("own_objective", config.get("own_objective", False)):
            model.objective = _lost_objective
        traced = Traced(model.net, inputs)
        traced.read_tables = tables.found
        opt_state: dict[str, Any] = {}
        if model.optimizer is not None:
            params, _ = traced.call.trees(lambda path, declaration: declaration.spec)
            opt_state = named({"opt_state": model.optimizer.init(params)})
    except Exception as error:  # arguments from a file may make layers, losses and optimizers fail in any way
        raise FileError(
            f"The file holds no model that can be built: {str(error)[:2000]}",
            expected="a file that Model.save wrote",
            got=type(error).__name__,
            fix="kf.load reads bare trees of arrays; define the classes of your own layers before loading",
        ) from error
    weights, stored = split(forms)
    wanted = expected(traced)
    for i, table in enumerate(traced.read_tables):
        wanted |= {f"{_TABLES}{i}.{name}": files.Form(*form) for name, form in table.forms().items()}
    if stored.keys() == opt_state.keys():  # otherwise they belong to another optimizer, or to a step of the user's own
        wanted |= {name: _form(x) for name, x in opt_state.items()}
        weights |= stored
    check(wanted, weights)
    return model, traced


def _without_tables(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """The arrays that are no words of layers."""
    return {name: x for name, x in arrays.items() if not name.startswith(_TABLES)}


def split(arrays: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The arrays that are not the optimizer's, and those that are."""
    own = {name: x for name, x in arrays.items() if name.startswith("opt_state.")}
    return {name: x for name, x in arrays.items() if name not in own}, own


def _encoded(x: Any) -> Any:
    """A tree of `Spec`s in JSON's types."""
    if isinstance(x, Spec):
        return {"shape": list(x.shape), "dtype": dtype_name(x.dtype)}
    return {"dict": {k: _encoded(v) for k, v in x.items()}} if isinstance(x, dict) else [_encoded(v) for v in x]


def _decoded(x: Any) -> Any:
    if isinstance(x, list):
        return tuple(_decoded(v) for v in x)
    if "dict" in x:
        return {k: _decoded(v) for k, v in x["dict"].items()}
    checks.integer("inputs", len(x["shape"]), 0, files.RANK)
    for size in x["shape"]:
        checks.integer("inputs", size, 0, 2**31, none=True)
    return Spec(x["shape"], x["dtype"])


def _described(category: str, value: Any) -> Any:
    if value is None:
        return None
    try:
        return to_config(category, value)
    except ArgumentError:
        return None


def _described_losses(loss: Any) -> Any:
    if isinstance(loss, dict):
        return {name: _described_losses(v) for name, v in loss.items()}
    if isinstance(loss, list | tuple):
        return [_described_losses(v) for v in loss]
    return _described("loss", loss)


def _described_metrics(metrics: Any) -> Any:
    """Names stay names: some find their metric by the shapes of the data. Metrics without a config are left out."""
    if isinstance(metrics, dict):
        return {name: _described_metrics(v) for name, v in metrics.items()}
    if isinstance(metrics, list | tuple):
        found = [_described_metrics(v) for v in metrics]
        return [m for m in found if m is not None]
    return metrics if isinstance(metrics, str) else _described("metric", metrics)


def _metrics_of(config: Any) -> Any:
    if isinstance(config, list):
        return [_metrics_of(v) for v in config]
    if isinstance(config, dict) and "class" not in config:
        return {name: _metrics_of(v) for name, v in config.items()}
    if isinstance(config, str) and config not in ("accuracy", "acc", "crossentropy", "ce"):
        resolve_metric(config)  # so that an unknown name fails now
    return from_config("metric", config) if isinstance(config, dict) else config


def _losses_of(config: Any) -> Any:
    if isinstance(config, list):
        return [_losses_of(v) for v in config]
    if isinstance(config, dict) and "class" not in config:
        return {name: _losses_of(v) for name, v in config.items()}
    return config if config in (None, "crossentropy", "ce") else losses.get(config)


def _weights_of(config: Any) -> Any:
    for value in tree.leaves(config):
        checks.number("loss_weights", value)
    return config


def _lost_step(ts: Any, batch: Any) -> Any:
    raise _lost("step")


def _lost_objective(params: Any, state: Any, batch: Any, key: Any, train: bool) -> Any:
    raise _lost("objective")


def _lost(argument: str) -> ArgumentError:
    article = "an" if argument == "objective" else "a"
    return ArgumentError(
        f"The model was trained by {article} `{argument}` of your own, which a file cannot hold.",
        argument=argument,
        fix=f"give it again: Model.load(path, {argument}=...)",
    )
