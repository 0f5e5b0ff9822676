"""What the networks for images share: their arguments, the layers between which they differ, and their ends.

A family is a page that says its layers by a `Maker`, and its rows: one for each network of `keras.applications`.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from .. import checks, nn
from ..errors import ArgumentError
from ..model import Model
from ..nn.graph import ordered
from ..nn.nodes import Node
from ..registry import snake_case
from . import vision_files
from .vision_files import Source

__all__ = ["Constructor", "Maker", "Recipe", "correct_pad", "documented", "made", "standard", "with_dense"]

InputShape = tuple[int | None, int | None, int | None] | None
Weights = str | os.PathLike[str] | None


class Maker:
    """Makes the layers of one network, and calls them.

    A layer without a name is called by its class and by how many of that class came before it: "conv2d", "conv2d_1".
    These are the names that Keras gives in a new session, and its weight files have them.

    Args:
        data_format: "channels_last" or "channels_first".
        symmetric: Whether zeros go around images on all sides alike, as in PyTorch, before a convolution of stride 2.
        norm: Arguments of each `BatchNormalization`.
    """

    def __init__(self, data_format: str, symmetric: bool = False, **norm: Any) -> None:
        self.data_format, self.symmetric, self.norm_options = data_format, symmetric, norm
        self.channels_first = data_format == "channels_first"
        self.axis = 1 if self.channels_first else -1
        """The axis of the channels."""
        self._numbers: dict[str, int] = {}

    def __call__(self, cls: type[nn.Layer], x: Any, *args: Any, name: str | None = None, **options: Any) -> Node:
        """What a new layer of this class, made of `args` and `options`, returns for `x`."""
        if name is None:
            base = snake_case(cls.__name__)
            number = self._numbers[base] = self._numbers.get(base, -1) + 1
            name = f"{base}_{number}" if number else base
        if "data_format" in cls.__arguments__[1]:  # type: ignore[attr-defined]
            options["data_format"] = self.data_format
        node: Node = cls(*args, name=name, **options)(x)
        return node

    def conv(
        self, x: Node, filters: int, kernel_size: Any, strides: Any = 1, padding: str = "same", **options: Any
    ) -> Node:
        """A convolution, without a bias by default."""
        options = {"use_bias": False, **options}
        if self.symmetric and padding == "same" and strides == 2 and kernel_size > 1:
            x, padding = self.pad(x, kernel_size // 2), "valid"
        return self(nn.Conv2D, x, filters, kernel_size, strides=strides, padding=padding, **options)

    def norm(self, x: Node, name: str | None = None, **options: Any) -> Node:
        return self(nn.BatchNormalization, x, axis=self.axis, name=name, **self.norm_options, **options)

    def activation(self, x: Node, function: Any = "relu", name: str | None = None) -> Node:
        return self(nn.Activation, x, function, name=name)

    def pad(self, x: Node, padding: Any, name: str | None = None) -> Node:
        return self(nn.ZeroPadding2D, x, padding, name=name)

    def concatenate(self, xs: Sequence[Node], name: str | None = None) -> Node:
        return self(nn.Concatenate, list(xs), axis=self.axis, name=name)

    def add(self, xs: Sequence[Node], name: str | None = None) -> Node:
        return self(nn.Add, list(xs), name=name)

    def channels(self, x: Node) -> int:
        """How many there are."""
        return checks.known("input_shape", x, self.axis)[0]

    def sizes(self, x: Node) -> tuple[int | None, int | None]:
        """The height and the width."""
        return (x.shape[2], x.shape[3]) if self.channels_first else (x.shape[1], x.shape[2])


def correct_pad(m: Maker, x: Node, kernel_size: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """What goes around images before a "valid" convolution of stride 2, so that it does what TensorFlow's "same" does.

    Where the size is not known, it is taken for an even one, as in Keras.
    """
    half = kernel_size // 2
    if m.symmetric:
        return (half, half), (half, half)
    height, width = (half - 1 + (n or 0) % 2 for n in m.sizes(x))
    return (height, half), (width, half)


Top = Callable[[Maker, Node, int, Any], Node]


def with_dense(
    pooled: str | None = "avg_pool", dropout: float = 0.0, kernel_initializer: Any = "glorot_uniform"
) -> Top:
    """The usual end: the mean of each channel, a dropout, and a layer "predictions".

    Args:
        pooled: The name of the layer that takes the mean.
        dropout: The rate; 0 for no such layer.
        kernel_initializer: That of the last layer.
    """

    def top(m: Maker, x: Node, classes: int, activation: Any) -> Node:
        x = m(nn.GlobalAveragePooling2D, x, name=pooled)
        if dropout > 0:
            x = m(nn.Dropout, x, dropout, name="top_dropout")
        options = {"activation": activation, "kernel_initializer": kernel_initializer}
        return m(nn.Dense, x, classes, name="predictions", **options)

    return top


@dataclasses.dataclass(frozen=True)
class Recipe:
    """One network.

    Attributes:
        body: From the images to the features.
        top: From the features to the classes: `(maker, features, classes, activation)`.
        size: The height and width of images by default.
        least: The smallest height and width.
        static: Whether the height and width must be known; None if they must be where there is a top.
        pooled: Whether the pooling in place of the top has a name, "avg_pool" or "max_pool".
        norm: Arguments of each `BatchNormalization`.
        symmetric: As of the `Maker`.
        after: What follows where there is no top.
        sources: The checkpoints of other libraries that fit.
        mended: Changes the state that a file of Keras's has, where it would be wrong here.
    """

    body: Callable[[Maker, Node], Node]
    top: Top
    size: int = 224
    least: int = 32
    static: bool | None = None
    pooled: bool = True
    norm: dict[str, Any] = dataclasses.field(default_factory=dict)
    symmetric: bool = False
    after: Callable[[Maker, Node], Node] | None = None
    sources: tuple[Source, ...] = ()
    mended: Callable[[Any], None] | None = None


def made(
    recipe: Recipe,
    include_top: bool,
    weights: Weights,
    input_tensor: Any,
    input_shape: Any,
    pooling: str | None,
    classes: int,
    classifier_activation: Any,
    name: str,
    data_format: str,
) -> Model:
    """The model of a recipe. The arguments are those of `ResNet50`."""
    checks.boolean("include_top", include_top)
    checks.one_of("pooling", pooling, (None, "avg", "max"))
    checks.positive("classes", classes)
    checks.one_of("data_format", data_format, ("channels_last", "channels_first"))
    path = vision_files.path_of(weights)
    x = _input(recipe, include_top, input_tensor, input_shape, data_format)
    inputs = _inputs(x)

    def net(**changes: Any) -> nn.Graph:
        this = dataclasses.replace(recipe, **changes)
        m = Maker(data_format, this.symmetric, **this.norm)
        y = this.body(m, x)
        if include_top:
            y = this.top(m, y, classes, classifier_activation)
        elif pooling is not None:
            cls = nn.GlobalAveragePooling2D if pooling == "avg" else nn.GlobalMaxPooling2D
            y = m(cls, y, name=f"{pooling}_pool" if this.pooled else None)
        if not include_top and this.after is not None:
            y = this.after(m, y)
        return nn.Graph(inputs, y, name=name)

    if path is None:
        return Model(net())
    return vision_files.loaded(net, path, recipe.sources, include_top, recipe.mended)


def _inputs(x: Node) -> Any:
    """The `Input`s that a node depends on: that itself, if it is one."""
    found = [node for node in ordered([x], set()) if node.layer is None]
    return found[0] if len(found) == 1 else found


def _input(recipe: Recipe, include_top: bool, input_tensor: Any, input_shape: Any, data_format: str) -> Node:
    """The images: `input_tensor`, or an `Input` of the shape that is given or usual."""
    first = data_format == "channels_first"
    fixed = include_top if recipe.static is None else recipe.static
    if input_tensor is not None:
        if not isinstance(input_tensor, Node) or len(input_tensor.shape) != 4:
            raise ArgumentError.must_be(
                "input_tensor", "a node of images, such as nn.Input((224, 224, 3))", input_tensor
            )
        shape = input_tensor.shape[1:]
        if input_shape is not None and tuple(input_shape) != tuple(shape):
            raise ArgumentError(
                f"`input_shape` is {tuple(input_shape)}, and `input_tensor` has the shape {tuple(shape)}.",
                argument="input_shape",
                expected="one of the two",
                got=tuple(input_shape),
            )
        input_shape = shape
    elif input_shape is None:
        size = recipe.size if fixed else None
        input_shape = (3, size, size) if first else (size, size, 3)
    if len(checks.sizes("input_shape", input_shape)) != 3 or input_shape[0 if first else -1] is None:
        raise ArgumentError.must_be("input_shape", "three sizes, of which that of the channels is known", input_shape)
    sizes = input_shape[1:] if first else input_shape[:2]
    if any(n is not None and n < recipe.least for n in sizes):
        raise ArgumentError(
            f"`input_shape` must have images of at least {recipe.least} x {recipe.least}, got {tuple(input_shape)}.",
            argument="input_shape",
            expected=f"at least {recipe.least} x {recipe.least}: the network halves them several times",
            got=tuple(input_shape),
            fix="resize the images: kf.ops.image.resize(x, (height, width))",
        )
    if fixed and None in sizes:
        why = "with `include_top=True`" if recipe.static is None else "in this network"
        raise ArgumentError(
            f"`input_shape` must have no None {why}, got {tuple(input_shape)}.",
            argument="input_shape",
            expected="sizes that are known",
            got=tuple(input_shape),
            fix=f"give input_shape=({recipe.size}, {recipe.size}, 3)"
            + (", or include_top=False" * (recipe.static is None)),
        )
    return input_tensor if input_tensor is not None else nn.Input(tuple(input_shape))


# -- constructors with Keras's usual arguments -------------------------------------------------------------------------


class Constructor(Protocol):
    """A function that makes a network of `keras.applications`, with the arguments that most of them have."""

    __name__: str

    def __call__(
        self,
        include_top: bool = True,
        weights: Weights = None,
        input_tensor: Node | None = None,
        input_shape: InputShape = None,
        pooling: str | None = None,
        classes: int = 1000,
        classifier_activation: Any = "softmax",
        name: str = ...,
        *,
        data_format: str = "channels_last",
    ) -> Model: ...


def standard(title: str, called: str, text: str, recipe: Recipe) -> Constructor:
    """The constructor of a network.

    Args:
        title: Its name in `keras.applications`.
        called: The name of the model by default.
        text: What its docstring says at first.
        recipe: The network.
    """

    def construct(
        include_top: bool = True,
        weights: Weights = None,
        input_tensor: Node | None = None,
        input_shape: InputShape = None,
        pooling: str | None = None,
        classes: int = 1000,
        classifier_activation: Any = "softmax",
        name: str = called,
        *,
        data_format: str = "channels_last",
    ) -> Model:
        ends = (input_tensor, input_shape, pooling, classes, classifier_activation, name, data_format)
        return made(recipe, include_top, weights, *ends)

    return documented(construct, title, text, lambda: recipe)


def documented(construct: Any, title: str, text: str, recipe: Callable[..., Recipe], more: str = "") -> Any:
    """`construct` under the name `title`, with a docstring that says its arguments.

    Args:
        construct: The function.
        title: Its name.
        text: What its docstring says at first.
        recipe: Makes the network's recipe, by default the usual one. `timm` calls it, too.
        more: What the docstring says of further arguments.
    """
    construct.recipe, usual = recipe, recipe()
    construct.__name__ = construct.__qualname__ = title
    construct.__doc__ = _DOCSTRING.format(
        text=text, size=usual.size, least=usual.least, more=more, sources=vision_files.told(usual.sources)
    )
    construct.__module__ = usual.body.__module__
    return construct


_DOCSTRING = """{text}

    The model takes images (batch, height, width, channels), and returns (batch, classes); without its top the features
    (batch, height / 32, width / 32, channels), or with `pooling` (batch, channels). It is not compiled, and its layers
    have Keras's names.

    Args:{more}
        include_top: Whether the network ends in classes.
        weights: None to draw them, or the path of a file. It is one of Keras's
            (`.weights.h5`, `.h5`, `.keras`){sources}.
            Nothing is drawn then, and nothing is ever downloaded.
        input_tensor: A node to build upon, in place of a new `nn.Input`.
        input_shape: The sizes of the images, without the batch, by default ({size}, {size}, 3). The smallest ones are
            {least} x {least}. Without the top, height and width may be None, and are by default.
        pooling: Without the top: "avg" or "max" over each channel, or None.
        classes: How many classes there are.
        classifier_activation: The activation at the end; None for logits.
        name: A name for the model.
        data_format: "channels_last" or "channels_first".

    Raises:
        ArgumentError: An argument is none of these.
        FileError: The file cannot be read, or has other arrays than the network.
    """
