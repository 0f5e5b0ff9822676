"""Functions that Dynamo traces in place of others.

These are optree's, which are compiled code, and whose replacements in torch 2.13 fail on dicts; and functions of ours
that remember what they were called with.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import torch
from torch._dynamo.variables.builder import VariableBuilder

from ... import arrays, tree
from ...ops import _promotion
from .. import constants, registry
from ..numpy.constant import Constant, constant
from ..registry import common_backend, get, kind_of
from ..standard import DTYPES

# What a compiled function may ask about NumPy's constants is remembered beforehand: Dynamo cannot import the modules
# that know it.
get("numpy").xp  # noqa: B018
for _cls in (np.ndarray, Constant, *set(np.sctypeDict.values())):
    kind_of(_cls)


def _rebuild(like: Any, parts: list) -> Any:
    """A node of the kind of `like` with these children, in the order of `_children`."""
    if isinstance(like, dict):
        return dict(zip(sorted(like), parts, strict=True))
    if isinstance(like, list):
        return parts
    return type(like)(*parts) if hasattr(like, "_fields") else tuple(parts)


def _children(node: Any) -> list | None:
    """The children of a node, dict keys sorted; None for a leaf."""
    if node is None:
        return []
    if isinstance(node, dict):
        return [node[k] for k in sorted(node)]
    return list(node) if isinstance(node, list | tuple) else None


@torch.compiler.substitute_in_graph(tree.leaves, skip_signature_check=True)
def leaves(tree: Any) -> Any:
    children = _children(tree)
    if children is None:
        return [tree]
    out = []
    for child in children:
        out.extend(leaves(child))
    return out


@torch.compiler.substitute_in_graph(tree.map, skip_signature_check=True)
def map(fun: Any, tree: Any, *rest: Any) -> Any:
    children = _children(tree)
    if children is None:
        return fun(tree, *rest)
    if tree is None:
        return None
    others = [_children(r) for r in rest]
    return _rebuild(tree, [map(fun, child, *(o[i] for o in others)) for i, child in enumerate(children)])


_NAMES = {x: str(x).rpartition(".")[2] for x in vars(torch).values() if isinstance(x, torch.dtype)}


@torch.compiler.substitute_in_graph(_promotion.dtype_of, skip_signature_check=True)
def dtype_of(x: Any) -> Any:
    # Ours keeps a table of the dtypes that it has seen; whenever the table grows, Dynamo would compile anew. And Dynamo
    # does not say what dtype a NumPy array has.
    return _NAMES[x.dtype if isinstance(x, torch.Tensor) else torch.as_tensor(x).dtype]


_COMMON = {(a, b): constants.common(a, b) for a in DTYPES for b in DTYPES}


@torch.compiler.substitute_in_graph(constants.common, skip_signature_check=True)
def common(*dtypes: Any) -> Any:
    # Ours remembers, as `dtype_of` does.
    out = dtypes[0]
    for dtype in dtypes[1:]:
        out = _COMMON[out, dtype]
    return out


@torch.compiler.substitute_in_graph(registry.kind_of, skip_signature_check=True)
def _kind_of(cls: Any) -> Any:
    # Ours would remember for the class of constants what Dynamo says of it: that it is NumPy's own.
    return registry._kinds[cls] if cls in registry._kinds else registry._find_kind(cls)


@torch.compiler.substitute_in_graph(arrays.kind_and_constants, skip_signature_check=True)
def _kind_and_constants(trees: Any) -> Any:
    # To Dynamo, constants are NumPy's arrays like any others: they join, and ours must not remember that.
    kinds = [k for k in [kind_of(type(x)) for x in leaves(trees)] if k is not None]
    kind = common_backend([k for k in kinds if not k.backend.joins] or kinds)
    return kind, kind is not None and any([k.backend.joins for k in kinds]) and constants.takes_constants(kind)


@torch.compiler.substitute_in_graph(_promotion._alone, skip_signature_check=True)
def _alone(x: Any) -> Any:
    # Ours asks a NumPy array for its dtype.
    return np.asarray(x, dtype=_promotion.lowest(_promotion.kind_of_numbers(x), x))


@torch.compiler.substitute_in_graph(constants.join, skip_signature_check=True)
def join(x: Any, kind: Any, like: Any, dtypes: Any) -> Any:
    # Dynamo does not say what dtype a NumPy array has, nor whether it is a scalar.
    x = torch.as_tensor(x)
    number = common(*dtypes)
    dtype = constants.weak_dtype(_NAMES[x.dtype], dtypes)
    dtype = number if x.ndim == 0 and common(dtype, number) == number else dtype
    return x.to(device=like.device, dtype=getattr(torch, dtype))


# Dynamo makes tensors of NumPy's arrays, and these meet other tensors. It knows them by their class.
# (The table is private to PyTorch; where a version has none, compiled functions take such constants as arguments only.)
_WRAPS = getattr(VariableBuilder, "_type_dispatch", dict)()
if np.ndarray in _WRAPS:
    _WRAPS[Constant] = _WRAPS[np.ndarray]


@torch.compiler.substitute_in_graph(constant, skip_signature_check=True)
def _constant(x: Any) -> Any:
    return x


def reason(error: Exception) -> tuple[str, str]:
    """Why a function is not compiled, in a line, and what to do: for the functions below, the reason that they give.

    The functions fail when Dynamo comes to them. Dynamo cannot raise our errors, which have more than a message.
    """
    text = str(error).strip().replace(" raised:\n", " raised: ")
    given = re.search(r"`torch.compiler.disable` \(reason: (.*)\)\n", text)
    fix = "call it without kf.jit"
    if not given and not isinstance(error, torch._dynamo.exc.BackendCompilerFailed):
        values = "do not read values of arrays in it (float, bool, np.asarray): choose by kf.ops.where or kf.cond"
        fix = f"{values}; or {fix}"
    return given[1] if given else text.partition("\n")[0], fix


@torch.compiler.disable(
    reason="torch.compile cannot trace the gradient of a custom_gradient (it would give zeros): take it without kf.jit"
)
def refuse_custom_gradient() -> None:
    """See `reason`."""


@torch.compiler.disable(
    reason="torch.compile has no while_loop in vmap, and no second derivative of one, nor one in forward mode; "
    "kf.scan and kf.fori_loop have them"
)
def refuse_while_loop() -> None:
    """See `reason`."""


@torch.compiler.disable(reason="the loss does not depend on the parameters, so training would change nothing")
def refuse_independent() -> None:
    """See `reason`."""
