"""Initializers: `(key, shape, dtype) -> array`, on the key's backend."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from .. import random
from ..arrays import device, namespace, native
from ..errors import ArgumentError
from ..registry import register

__all__ = [
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "lecun_normal",
    "lecun_uniform",
    "ones",
    "orthogonal",
    "zeros",
]


C = TypeVar("C", bound=type)


@typing.dataclass_transform(frozen_default=True)
def _initializer(*names: str) -> Callable[[C], C]:
    def decorate(cls: C) -> C:
        cls.__call__ = native(cls.__call__)  # type: ignore[method-assign]
        return register("initializer", cls.__name__, *names)(dataclasses.dataclass(frozen=True)(cls))

    return decorate


def fans(shape: tuple[int, ...]) -> tuple[float, float]:
    """Fan-in and fan-out of a kernel (*window, inputs, outputs), as Keras counts them."""
    if len(shape) < 2:
        n = math.prod(shape)
        return n, n
    window = math.prod(shape[:-2])
    return window * shape[-2], window * shape[-1]


@_initializer("constant")
class Constant:
    """Every element is `value`."""

    value: float = 0.0

    def __call__(self, key: Any, shape: tuple[int, ...], dtype: str = "float32") -> Any:
        xp = namespace(key)
        return xp.full(shape, self.value, dtype=getattr(xp, dtype), device=device(key))


@_initializer("zeros")
class Zeros:
    """Every element is 0."""

    def __call__(self, key: Any, shape: tuple[int, ...], dtype: str = "float32") -> Any:
        return Constant(0.0)(key, shape, dtype)


@_initializer("ones")
class Ones:
    """Every element is 1."""

    def __call__(self, key: Any, shape: tuple[int, ...], dtype: str = "float32") -> Any:
        return Constant(1.0)(key, shape, dtype)


@_initializer("random_uniform", "uniform")
class RandomUniform:
    """Uniform on [minval, maxval)."""

    minval: float = -0.05
    maxval: float = 0.05

    def __call__(self, key: Any, shape: tuple[int, ...], dtype: str = "float32") -> Any:
        if self.minval == -self.maxval:
            # Only the product rounds: a fused multiply and add, which some compilers make, would change the last bit.
            return random.uniform(key, shape, dtype, -1.0, 1.0) * self.maxval
        return random.uniform(key, shape, dtype, self.minval, self.maxval)


@_initializer("random_normal", "normal")
class RandomNormal:
    """Normal."""

    mean: float = 0.0
    stddev: float = 0.05

    def __call__(self, key: Any, shape: tuple[int, ...], dtype: str = "float32") -> Any:
        return random.normal(key, shape, dtype) * self.stddev + self.mean


@_initializer("truncated_normal")
class TruncatedNormal:
    """Normal, cut off at two standard deviations."""

    mean: float = 0.0
    stddev: float = 0.05

    def __call__(self, key: Any, shape: tuple[int, ...], dtype: str = "float32") -> Any:
        return random.truncated_normal(key, -2.0, 2.0, shape, dtype) * self.stddev + self.mean


# The standard deviation of the standard normal distribution, cut off at two.
_TRUNCATED_STDDEV = 0.87962566103423978


@_initializer("variance_scaling")
class VarianceScaling:
    """Variance `scale / fan` (He et al., arXiv:1502.01852).

    Args:
        scale: A positive factor.
        mode: "fan_in", "fan_out" or "fan_avg".
        distribution: "truncated_normal", "untruncated_normal" or "uniform".
    """

    scale: float = 1.0
    mode: str = "fan_in"
    distribution: str = "truncated_normal"

    def __post_init__(self) -> None:
        allowed = {
            "mode": ("fan_in", "fan_out", "fan_avg"),
            "distribution": ("truncated_normal", "untruncated_normal", "uniform"),
        }
        for argument, values in allowed.items():
            if getattr(self, argument) not in values:
                raise ArgumentError(
                    f"Unknown {argument}.",
                    argument=argument,
                    expected=" or ".join(map(repr, values)),
                    got=repr(getattr(self, argument)),
                )

    def __call__(self, key: Any, shape: tuple[int, ...], dtype: str = "float32") -> Any:
        fan_in, fan_out = fans(shape)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        stddev = math.sqrt(self.scale / max(1.0, fan))
        if self.distribution == "uniform":
            limit = math.sqrt(3.0) * stddev
            return RandomUniform(-limit, limit)(key, shape, dtype)
        if self.distribution == "untruncated_normal":
            return RandomNormal(0.0, stddev)(key, shape, dtype)
        return TruncatedNormal(0.0, stddev / _TRUNCATED_STDDEV)(key, shape, dtype)


class _Scaled:
    """A `VarianceScaling` that has a name of its own."""

    scaling: ClassVar[VarianceScaling]

    def __call__(self, key: Any, shape: tuple[int, ...], dtype: str = "float32") -> Any:
        return self.scaling(key, shape, dtype)


@_initializer("glorot_uniform")
class GlorotUniform(_Scaled):
    """Uniform, variance `2 / (inputs + outputs)` (Glorot and Bengio, 2010)."""

    scaling = VarianceScaling(1.0, "fan_avg", "uniform")


@_initializer("glorot_normal")
class GlorotNormal(_Scaled):
    """Truncated normal, variance `2 / (inputs + outputs)` (Glorot and Bengio, 2010)."""

    scaling = VarianceScaling(1.0, "fan_avg")


@_initializer("lecun_uniform")
class LecunUniform(_Scaled):
    """Uniform, variance `1 / inputs` (LeCun et al., Efficient BackProp, 1998)."""

    scaling = VarianceScaling(1.0, "fan_in", "uniform")


@_initializer("lecun_normal")
class LecunNormal(_Scaled):
    """Truncated normal, variance `1 / inputs` (LeCun et al., Efficient BackProp, 1998)."""

    scaling = VarianceScaling(1.0, "fan_in")


@_initializer("he_uniform")
class HeUniform(_Scaled):
    """Uniform, variance `2 / inputs` (He et al., arXiv:1502.01852)."""

    scaling = VarianceScaling(2.0, "fan_in", "uniform")


@_initializer("he_normal")
class HeNormal(_Scaled):
    """Truncated normal, variance `2 / inputs` (He et al., arXiv:1502.01852)."""

    scaling = VarianceScaling(2.0, "fan_in")


@_initializer("orthogonal")
class Orthogonal:
    """A (rows, columns) matrix with orthonormal rows or columns, times `gain` (Saxe et al., arXiv:1312.6120)."""

    gain: float = 1.0

    def __call__(self, key: Any, shape: tuple[int, ...], dtype: str = "float32") -> Any:
        if len(shape) < 2:
            raise ArgumentError(
                "Only a matrix can be orthogonal.", argument="shape", expected="two or more axes", got=shape
            )
        rows, columns = math.prod(shape[:-1]), shape[-1]
        xp = namespace(key)
        q, r = xp.linalg.qr(random.normal(key, (max(rows, columns), min(rows, columns)), dtype))
        # With R's diagonal made positive the factorisation is unique, and Q uniformly distributed.
        diagonal = xp.linalg.diagonal(r)
        q = q * xp.where(diagonal < 0, -xp.ones_like(diagonal), xp.ones_like(diagonal))
        return self.gain * xp.reshape(q if rows >= columns else xp.matrix_transpose(q), shape)


zeros, ones, orthogonal = Zeros(), Ones(), Orthogonal()
glorot_uniform, glorot_normal = GlorotUniform(), GlorotNormal()
lecun_uniform, lecun_normal = LecunUniform(), LecunNormal()
he_uniform, he_normal = HeUniform(), HeNormal()
