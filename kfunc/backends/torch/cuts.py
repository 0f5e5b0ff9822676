"""Why a result has no gradient: a function is run once more, and the call that cuts its gradient off is noted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.autograd import forward_ad
from torch.overrides import TorchFunctionMode

from ... import tree
from ..gradients import cut_off

__all__ = ["is_tracked", "refuse_cut"]

_READS = ("item", "tolist", "numpy", "__array__", "__float__", "__int__", "__complex__", "__index__", "__dlpack__")
_DETACHES = ("detach", "detach_", "data")


class _Watch(TorchFunctionMode):
    """Notes the first call that cuts off the derivative of a tensor."""

    how: str | None = None

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self.how is None and any(is_tracked(x) for x in tree.leaves((list(args), kwargs))):
            name = getattr(func, "__name__", "")
            name = getattr(getattr(func, "__self__", None), "__name__", name) if name == "__get__" else name
            if name in _READS:
                self.how = f"the values of a tensor that is being differentiated were read ({name})"
            elif name in _DETACHES and func is not torch.detach:
                self.how = f"a tensor that is being differentiated was detached ({name})"
            elif torch.is_inference_mode_enabled():
                self.how = "it is computed under torch.inference_mode"
            elif not torch.is_grad_enabled():
                self.how = "it is computed under torch.no_grad"
        return func(*args, **kwargs)


def is_tracked(x: Any) -> bool:
    """Whether a derivative flows through `x`, backwards or forwards."""
    return isinstance(x, torch.Tensor) and (x.requires_grad or forward_ad.unpack_dual(x).tangent is not None)


def refuse_cut(fun: Callable[..., Any], args: Any, kwargs: Any) -> None:
    """Run `fun` once more, and raise an error if it cuts gradients off. Call it where no result of `fun` has one.

    `kf.stop_gradient` calls `torch.detach`, and not the tensor's method, so that it can be told from it.
    """
    watch = _Watch()
    with watch:
        fun(*args, **kwargs)
    if watch.how is not None:
        raise cut_off(watch.how)
