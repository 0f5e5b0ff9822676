"""Pictures of networks: `keras.utils.plot_model` and `model_to_dot`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import Any

from .. import checks
from ..errors import ArgumentError, FileError, MissingPackageError
from ..model import Model
from ..training.drawing import boxes_of, dot_of, svg_of

__all__ = ["model_to_dot", "plot_model"]


def model_to_dot(
    model: Model,
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = True,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: int = 200,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    splines: str = "ortho",
) -> str:
    """The layers of a model and what they are connected to, as a text in Graphviz's language.

    Args:
        model, show_shapes, show_dtype, show_layer_names, rankdir, expand_nested, dpi, show_layer_activations,
            show_trainable, splines: As for `plot_model`.

    Raises:
        ArgumentError: An argument has a value that is not allowed, or the shapes in the model are not known yet.
    """
    options = _checked(
        model, rankdir, show_shapes, show_dtype, show_layer_names, expand_nested, show_layer_activations, show_trainable
    )
    return dot_of(boxes_of(*options), rankdir, checks.positive("dpi", dpi), splines)


def plot_model(
    model: Model,
    to_file: str | os.PathLike[str] = "model.png",
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = False,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: int = 200,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    splines: str = "ortho",
) -> Any:
    """Draw the layers of a model and what they are connected to.

    A file whose name ends in ".svg" needs nothing else. For ".png", ".pdf" and others, Graphviz's program `dot` must be
    installed, which also draws ".svg" where it is. ".dot" is the text for it.

    Args:
        model: A `kf.Model` whose shapes are known: it was built, or begins with `nn.Input`.
        to_file: The file, which is replaced.
        show_shapes, show_dtype: Whether to show the shapes and the dtypes of the outputs.
        show_layer_names: Whether to show the names of the layers.
        rankdir: "TB" from top to bottom, "LR" from left to right, "BT" or "RL".
        expand_nested: Whether to show the layers of networks that are layers.
        dpi: How fine Graphviz's picture is, in dots an inch.
        show_layer_activations: Whether to show the activations of layers that have one.
        show_trainable: Whether to say which layers train.
        splines: How Graphviz draws the arrows.

    Returns:
        In a notebook, the picture; else None.

    Raises:
        ArgumentError: An argument has a value that is not allowed, or the shapes in the model are not known yet.
        MissingPackageError: The file is not ".svg" or ".dot", and Graphviz is not installed.
        FileError: The file cannot be written.
    """
    path = os.fspath(to_file)
    kind = os.path.splitext(path)[1][1:].lower()
    options = _checked(
        model, rankdir, show_shapes, show_dtype, show_layer_names, expand_nested, show_layer_activations, show_trainable
    )
    boxes = boxes_of(*options)
    text, program = dot_of(boxes, rankdir, checks.positive("dpi", dpi), splines), shutil.which("dot")
    try:
        if kind == "dot" or (kind == "svg" and program is None):
            with open(path, "w", encoding="utf-8") as file:
                file.write(text if kind == "dot" else svg_of(boxes, rankdir))
        elif program is None:
            raise MissingPackageError(
                f"Graphviz is not installed; it draws {kind or 'files without an ending'}.",
                argument="to_file",
                expected="a name that ends in .svg, or the program dot",
                got=path,
                fix='pass to_file="model.svg"; or install Graphviz: apt install graphviz, brew install graphviz',
            )
        else:
            subprocess.run([program, f"-T{kind}", "-o", path], input=text, text=True, check=True, capture_output=True)
    except subprocess.CalledProcessError as error:
        raise FileError(
            f"Graphviz cannot draw {path!r}: {error.stderr.strip()}", argument="to_file", got=path
        ) from error
    except OSError as error:
        raise FileError(f"The file {path!r} cannot be written: {error}.", argument="to_file", got=path) from error
    if "IPython" in sys.modules and kind in ("png", "svg"):
        from IPython import display

        return display.SVG(filename=path) if kind == "svg" else display.Image(filename=path)
    return None


def _checked(model: Any, rankdir: str, *options: bool) -> tuple[Any, ...]:
    if not isinstance(model, Model):
        raise ArgumentError.must_be("model", "a kf.Model", model, fix="kf.Model(net) makes one of a network")
    checks.one_of("rankdir", rankdir, ("TB", "BT", "LR", "RL"))
    names = (
        "show_shapes",
        "show_dtype",
        "show_layer_names",
        "expand_nested",
        "show_layer_activations",
        "show_trainable",
    )
    for name, value in zip(names, options, strict=True):
        checks.boolean(name, value)
    return model._shapes().whole_call, *options
