"""SavedModels of TensorFlow as layers: `TFSMLayer`."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from ..backends import get
from ..backends.foreign import Foreign
from ..errors import ArgumentError
from ..typing import Tree
from .foreign import ForeignLayer
from .layer import layer
from .scope import Scope

__all__ = ["TFSMLayer"]


@layer
class TFSMLayer(ForeignLayer):
    """A SavedModel of TensorFlow: arrays of TensorFlow (batch, ...), as it was saved for, to what it returns.

    Its variables are in the tree by their names, those that train as parameters and the others as state, and the values
    in the folder are the first ones. Random numbers are TensorFlow's own, and do not come from the key of the call. The
    gradient is TensorFlow's, and has no derivative itself. XLA does not compile the program. TensorFlow cannot
    differentiate it in a compiled function if it reads variables in loops: `model.compile(jit_compile=False)` helps.

    A SavedModel is a program, and this layer runs it: its operations can read and write files, and more. Load none
    whose author you do not trust. So no model file can name a folder: a model with this layer is saved only if
    `filepath` is a registered function.

    Args:
        filepath: The folder; or a function without arguments that returns it, which may be registered by
            `@kf.register("layer")`, or the name of one.
        call_endpoint: The function that is called: an attribute of the saved object, or one of its signatures. "serve"
            is what Keras writes; a signature is often "serving_default".
        call_training_endpoint: The one that is called in training. By default the same.

    Raises:
        ArgumentError: There is no such endpoint.
        FileError: The folder holds no SavedModel.
        ShapeError: The SavedModel is for other shapes.
        UnsupportedError: The arrays are not TensorFlow's.

    Source: Keras's layer of this name.
    """

    filepath: str | os.PathLike[str] | Callable[[], str]
    call_endpoint: str = "serve"
    call_training_endpoint: str | None = None

    def _made(self) -> Foreign:
        path: Any = self.filepath
        if _is_name(path):
            path = self._registered("filepath")
        path = path() if callable(path) else path
        if not isinstance(path, str | os.PathLike):
            raise ArgumentError.must_be("filepath", "the path of a folder", path)
        endpoints = self.call_endpoint, self.call_training_endpoint
        return get("tensorflow").foreign["TFSMLayer"](os.fspath(path), *endpoints)

    def forward(self, s: Scope, inputs: Tree, **options: Any) -> Tree:
        return super().forward(s, inputs, **options)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> TFSMLayer:
        """The layer that `get_config` described, if it names a registered function."""
        path = config.get("filepath")
        if not callable(path) and not _is_name(path):
            raise ArgumentError(
                "A TFSMLayer cannot be in a model file: the file would name a program for TensorFlow to run.",
                argument="filepath",
                expected="a registered function that returns the path",
                got=repr(path),
                fix="give the layer a function: @kf.register('layer') above def folder(): return path; or save the "
                "weights alone, by model.save_weights, and make the layer anew",
            )
        return cls(**config)


def _is_name(path: Any) -> bool:
    """Whether `path` is the name of something that a user has registered."""
    return isinstance(path, str) and path.startswith("custom:")
