"""`TorchModuleWrapper`: a module of PyTorch as a layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .. import checks
from ..backends import get
from ..backends.foreign import Foreign
from .foreign import ForeignLayer
from .layer import layer

__all__ = ["TorchModuleWrapper"]


@layer
class TorchModuleWrapper(ForeignLayer):
    """A `torch.nn.Module` as a layer: arrays of PyTorch, of any shapes that it takes, to what it returns.

    Its parameters are those of the layer under their own names: `0.weight` is `params["0"]["weight"]`. Tied ones are
    one. Its buffers, and parameters that require no gradient, are a part of the state. `init` copies the values that
    the module has; the module itself never changes. What it writes into its buffers is in the new state, and what it
    writes into parameters that train is not kept. In training, it behaves as after `module.train()`, and what it
    draws from PyTorch's generators, as in dropout, depends on the key of the call alone.

    The output may be an array, or tuples, lists and dicts of arrays.

    Args:
        module: A `torch.nn.Module`. Or a function without arguments that makes one, or its name: such a layer can be
            saved, if the function is registered by `kfunc.register("layer")`.
        output_shape: The shape of the output, with None for the batch. By default, PyTorch finds it, without computing
            the output.
    """

    _positions = ("name", "output_shape", ...)

    module: Any | Callable[[], Any] | str
    output_shape: Sequence[int | None] | None = None

    def __post_init__(self) -> None:
        if self.output_shape is not None:
            object.__setattr__(self, "output_shape", checks.sizes("output_shape", self.output_shape))
        super().__post_init__()

    def _made(self) -> Foreign:
        return get("torch").foreign["TorchModuleWrapper"](self._given("module"), self.output_shape)
