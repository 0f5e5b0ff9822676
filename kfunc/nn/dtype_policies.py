"""Precision as a policy: the dtype that parameters are kept in, and the one that layers compute in."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from ..arrays import backend_of, dtype_name, kind_of_tree, namespace
from ..backends.constants import common
from ..dataclasses import dataclass
from ..elsewhere import looked_up
from ..errors import ArgumentError, UnsupportedError
from ..ops._promotion import kind
from ..registry import configs, register, resolve

__all__ = ["DTypePolicy", "DTypePolicyMap", "deserialize", "get", "serialize"]

_FLOATING = ("bfloat16", "float16", "float32", "float64")


@register("dtype_policy")
@dataclass
class DTypePolicy:
    """Which dtypes a layer keeps and computes in.

    Args:
        name: A floating dtype, in which layers keep their parameters and compute; or "mixed_bfloat16" or
            "mixed_float16": they keep them in float32, and compute in half precision (Micikevicius et al.,
            arXiv:1710.03740).
    """

    name: str

    def __post_init__(self) -> None:
        if self.name not in (*_FLOATING, "mixed_bfloat16", "mixed_float16"):
            names = ", ".join((*_FLOATING, "mixed_bfloat16", "mixed_float16"))
            raise ArgumentError.must_be("dtype", "a policy, or the name of one", self.name, said=f"one of {names}")

    @property
    def compute_dtype(self) -> str:
        """Name of the dtype of inputs and outputs, and of parameters while layers compute with them."""
        return self.name.removeprefix("mixed_")

    @property
    def variable_dtype(self) -> str:
        """Name of the dtype that parameters are made and kept in."""
        return "float32" if self.name.startswith("mixed_") else self.name

    def at(self, path: str) -> DTypePolicy:
        """The policy of the layer at `path`: this one."""
        return self

    def cast(self, x: Any) -> Any:
        """`x` in the compute dtype, if it is a floating array.

        Raises:
            UnsupportedError: The backend has no such dtype.
        """
        if kind_of_tree(x) is None or not hasattr(x, "dtype"):
            return x
        xp = namespace(x)
        wanted = getattr(xp, self.compute_dtype, None)
        if wanted is None:
            try:
                wanted = backend_of(x).further_dtype(self.compute_dtype)  # NumPy's bfloat16 is that of ml_dtypes
            except UnsupportedError:
                fix = "run it elsewhere, or in another precision: kfunc.replace(net, dtype='float32')"
                raise backend_of(x).unsupported(f"the policy {self.name!r}", fix) from None
        return x if x.dtype == wanted or kind(x) != "f" else xp.astype(x, wanted)

    def widen(self, x: Any) -> Any:
        """As `cast`, but an array of a dtype that holds more stays as it is."""
        own = None if kind_of_tree(x) is None or not hasattr(x, "dtype") else dtype_name(x.dtype)
        return x if own in _FLOATING and common(own, self.compute_dtype) == own else self.cast(x)


@register("dtype_policy")
@dataclass
class DTypePolicyMap:
    """A policy for each path.

    Args:
        policy_map: Regular expressions to policies or their names. The first one that is found in the path of a layer
            (`"encoder/dense"`) decides.
        default_policy: The policy of all other paths. None leaves their arrays as they are.
    """

    policy_map: dict[str, Any]
    default_policy: Any = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "policy_map", {k: get(v) for k, v in self.policy_map.items()})
        object.__setattr__(self, "default_policy", get(self.default_policy))
        object.__setattr__(self, "at", functools.lru_cache(maxsize=None)(self.at))

    def at(self, path: str) -> DTypePolicy | None:
        """The policy of the layer at `path`."""
        return next((p for pattern, p in self.policy_map.items() if re.search(pattern, path)), self.default_policy)


PolicyLike: TypeAlias = str | DTypePolicy | DTypePolicyMap | Mapping[str, Any] | None
"""A policy, its name, a map or a dict from paths to policies, a config of one, or None for that of the layer around."""


def get(policy: PolicyLike) -> Any:
    """The policy that `policy` stands for: a name, a policy, a config, or None."""
    if isinstance(policy, str):
        return DTypePolicy(policy)
    if isinstance(policy, dict) and "class" not in policy:
        return DTypePolicyMap(policy)
    found = resolve("dtype_policy", policy)
    if found is not None and not hasattr(found, "at"):
        raise ArgumentError.must_be("dtype", "a policy, or the name of one", policy)
    return found


serialize, deserialize = configs("dtype_policy")

__getattr__ = looked_up(__name__)
