"""Rotary embedding: positions as rotations of pairs of features."""

from __future__ import annotations

from typing import Any, ClassVar

from .. import checks
from ..arrays import device, dtype_name, kind_of_tree, namespace
from ..errors import ArgumentError, ShapeError
from ..typing import Array
from .layer import Layer, layer
from .scope import Scope

__all__ = ["RotaryEmbedding"]


@layer
class RotaryEmbedding(Layer):
    """Turn pairs of features by angles that grow with the position (RoPE; Su et al., arXiv:2104.09864).

    `layer(s, x, start_index=0, positions=None)`: (batch, ..., time, ..., features) to the same. Feature `i` of the
    first half and feature `i` of the second half make one complex number. It is turned by the angle
    `position / scaling_factor * max_wavelength ** (-2 i / features)`. So the dot product of a query and a key depends
    on the distance of their positions. Angles are computed in float32 or wider: at position `p`, the first one is exact
    to about `p * 1e-7`.

    `start_index`, an integer or integers (batch,), is the position of the first entry, for decoding. `positions`,
    integers (time,) or (batch, time), gives the positions of all entries.

    Args:
        max_wavelength: The longest wavelength, divided by `2 pi`.
        scaling_factor: Positions are divided by this number, to use longer sequences than in training (Chen et al.,
            arXiv:2306.15595).
        sequence_axis: The axis of time, which is not the first axis.
        feature_axis: The axis of features. Their number must be even.
    """

    float_inputs: ClassVar[tuple[str, ...]] = ("x",)

    max_wavelength: float = 10000
    scaling_factor: float = 1.0
    sequence_axis: int = 1
    feature_axis: int = -1

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.number("max_wavelength", self.max_wavelength, above=0)
        checks.number("scaling_factor", self.scaling_factor, above=0)
        checks.integer("sequence_axis", self.sequence_axis)
        checks.integer("feature_axis", self.feature_axis)
        if 0 in (self.sequence_axis, self.feature_axis) or self.sequence_axis == self.feature_axis:
            raise ArgumentError(
                f"`sequence_axis` and `feature_axis` must be two axes after the batch, "
                f"got {self.sequence_axis} and {self.feature_axis}.",
                argument="sequence_axis",
                expected="two different axes that are not 0",
                got=(self.sequence_axis, self.feature_axis),
            )

    def forward(self, s: Scope, x: Array, start_index: int | Array = 0, positions: Array | None = None) -> Array:
        time, features = self._axes(x)
        xp = namespace(x)
        angles = self._angles(s, x, time, x.shape[features], start_index, positions)
        if features < time:
            angles = xp.matrix_transpose(angles)
        for axis in range(0 if angles.ndim == 2 else 1, x.ndim):
            if axis not in (time, features):
                angles = xp.expand_dims(angles, axis=axis)
        cos, sin = xp.cos(angles), xp.sin(angles)
        half, before = x.shape[features] // 2, (slice(None),) * features
        first, second = x[(*before, slice(None, half), ...)], x[(*before, slice(half, None), ...)]
        turned = xp.concat([first * cos - second * sin, second * cos + first * sin], axis=features)
        return turned if turned.dtype == x.dtype else xp.astype(turned, x.dtype)

    def _axes(self, x) -> tuple[int, int]:
        if any(not -x.ndim < axis < x.ndim for axis in (self.sequence_axis, self.feature_axis)):
            checks.rank("x", x, 1 + max(abs(self.sequence_axis), abs(self.feature_axis)), least=True)
        time, features = self.sequence_axis % x.ndim, self.feature_axis % x.ndim
        if time == features or checks.known("x", x, features)[0] % 2:
            raise ShapeError(
                f"`x` must have an even number of features on axis {self.feature_axis}, got shape {tuple(x.shape)}.",
                argument="x",
                expected=f"an even number of them on axis {self.feature_axis}, and time on axis {self.sequence_axis}",
                got=tuple(x.shape),
            )
        return time, features

    def _angles(self, s, x, time: int, features: int, start, positions):
        """The angles, (time, features / 2) or (batch, time, features / 2)."""
        xp = namespace(x)
        wide = x.dtype if dtype_name(x.dtype) == "float64" else xp.float32
        if positions is None:
            positions = steps(x, time)
            if kind_of_tree(start) is not None and start.ndim == 1:
                start = xp.expand_dims(start, axis=-1)
            positions = positions + start
        if s.initializing:  # shapes only, of which a file may name any: so nothing is done for each feature
            rates = xp.zeros((features // 2,), dtype=wide)
        else:
            powers = [self.max_wavelength ** (-2 * i / features) / self.scaling_factor for i in range(features // 2)]
            rates = xp.asarray(powers, dtype=wide, device=device(x))
        return xp.expand_dims(xp.astype(positions, wide), axis=-1) * rates


def steps(x: Any, axis: int) -> Any:
    """The integers 0, 1, … along `axis` of `x`, int32. The size of the axis may be unknown."""
    xp = namespace(x)
    if x.shape[axis] is not None:
        return xp.arange(x.shape[axis], dtype=xp.int32, device=device(x))
    line = x[tuple(slice(None) if n == axis % x.ndim else 0 for n in range(x.ndim))]
    return xp.cumulative_sum(xp.ones_like(line, dtype=xp.int32), axis=0) - 1
