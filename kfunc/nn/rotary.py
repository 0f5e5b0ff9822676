"""Rotary embedding: positions as rotations of pairs of features, and what is done to them for longer sequences."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from .. import checks, ops
from ..arrays import device, dtype_name, kind_of_tree, namespace
from ..errors import ArgumentError, ShapeError, shown
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
    integers (time,) or (batch, time), gives the positions of all entries. `x` may also be a list of arrays that differ
    in axes other than those of time and features alone, such as the heads of a query and a key; so is the output then.

    Args:
        max_wavelength: The longest wavelength, divided by `2 pi`; `rope_theta` in configs of Hugging Face.
        scaling_factor: Positions are divided by this number, to use longer sequences than in training (Chen et al.,
            arXiv:2306.15595).
        sequence_axis: The axis of time, which is not the first axis.
        feature_axis: The axis of features. The number of those that are turned must be even.
        scaling: Another way to longer sequences, a dict with the names of Hugging Face's configs. `rope_type` is one of

            - "default": no change.
            - "linear": with `factor`, as `scaling_factor`.
            - "dynamic": `max_wavelength` grows where the sequence is longer than `max_position_embeddings`, with
              `factor`. The key of an earlier step keeps its angle, so decoding a sequence that grows beyond that length
              differs from computing it at once, here as in transformers.
            - "yarn" (Peng et al., arXiv:2309.00071): `factor`, `original_max_position_embeddings`, and maybe
              `beta_fast`, `beta_slow`, `attention_factor`, `mscale`, `mscale_all_dim`, `truncate`.
            - "llama3": `factor`, `low_freq_factor`, `high_freq_factor`, `original_max_position_embeddings`.
            - "longrope" (Ding et al., arXiv:2402.13753): `short_factor` and `long_factor`, a number for each pair of
              features, `original_max_position_embeddings`, and maybe `factor`, `attention_factor`. Which of the two
              factors counts depends on the length of the sequence, as for "dynamic".

            `factor` of the last three may be missing if `max_position_embeddings` is there.
        partial_rotary_factor: The part of the features that is turned, from the first one on. The others stay.
        interleaved: Whether neighbouring features, `2 i` and `2 i + 1`, make one complex number, as in GPT-J.
    """

    float_inputs: ClassVar[tuple[str, ...]] = ("x",)

    max_wavelength: float = 10000
    scaling_factor: float = 1.0
    sequence_axis: int = 1
    feature_axis: int = -1
    scaling: Mapping[str, Any] | None = dataclasses.field(default=None, kw_only=True)
    partial_rotary_factor: float = dataclasses.field(default=1.0, kw_only=True)
    interleaved: bool = dataclasses.field(default=False, kw_only=True)

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
        checks.number("partial_rotary_factor", self.partial_rotary_factor, above=0, most=1)
        object.__setattr__(self, "scaling", _checked(self.scaling))

    def forward(
        self, s: Scope, x: Array | list[Array], start_index: int | Array = 0, positions: Array | None = None
    ) -> Any:
        several = isinstance(x, list | tuple)
        xs: Any = x if several else (x,)
        if not xs:
            raise ArgumentError.must_be("x", "an array, or a list of arrays", x)
        axes = time, features, width = self._axes(xs[0])
        for other in xs[1:]:
            sizes = {other.shape[time], xs[0].shape[time]} - {None}
            if self._axes(other) != axes or len(sizes) > 1:
                raise ShapeError(
                    f"The arrays in `x` differ in time or features: {tuple(xs[0].shape)} and {tuple(other.shape)}.",
                    argument="x",
                    expected="arrays with one size of the axes of time and of features",
                    got=tuple(other.shape),
                    fix="turn them one by one",
                )
        xp = namespace(xs[0])
        cos, sin = self._turns(s, xs[0], time, width, start_index, positions)
        if features < time:
            cos, sin = xp.matrix_transpose(cos), xp.matrix_transpose(sin)
        for axis in range(0 if cos.ndim == 2 else 1, xs[0].ndim):
            if axis not in (time, features):
                cos, sin = xp.expand_dims(cos, axis=axis), xp.expand_dims(sin, axis=axis)
        turned = [self._turned(xp, y, cos, sin, features, width) for y in xs]
        return turned if several else turned[0]

    def _turned(self, xp, x, cos, sin, features: int, width: int):
        """`x`, turned by angles of which the cosines and sines are given."""
        half, before = width // 2, (slice(None),) * features
        if self.interleaved:
            first, second = x[(*before, slice(0, width, 2), ...)], x[(*before, slice(1, width, 2), ...)]
        else:
            first, second = x[(*before, slice(None, half), ...)], x[(*before, slice(half, width), ...)]
        parts = [first * cos - second * sin, second * cos + first * sin]
        if self.interleaved:
            turned = xp.moveaxis(xp.stack(parts, axis=-1), features, -2)
            parts = [xp.moveaxis(ops.join_last(turned), -1, features)]
        if width < x.shape[features]:
            rest = x[(*before, slice(width, None), ...)]
            parts.append(rest if rest.dtype == parts[0].dtype else xp.astype(rest, parts[0].dtype))
        turned = xp.concat(parts, axis=features)
        return turned if turned.dtype == x.dtype else xp.astype(turned, x.dtype)

    def _axes(self, x) -> tuple[int, int, int]:
        """The axes of time and of features, and how many features are turned."""
        if any(not -x.ndim < axis < x.ndim for axis in (self.sequence_axis, self.feature_axis)):
            checks.rank("x", x, 1 + max(abs(self.sequence_axis), abs(self.feature_axis)), least=True)
        time, features = self.sequence_axis % x.ndim, self.feature_axis % x.ndim
        width = 0 if time == features else checks.known("x", x, features)[0]
        width = width if self.partial_rotary_factor == 1 else int(width * self.partial_rotary_factor)
        if time == features or width % 2:
            part = "" if self.partial_rotary_factor == 1 else f", {width} of which are turned"
            raise ShapeError(
                f"`x` must have an even number of features on axis {self.feature_axis}, "
                f"got shape {tuple(x.shape)}{part}.",
                argument="x",
                expected=f"an even number of them on axis {self.feature_axis}, and time on axis {self.sequence_axis}",
                got=tuple(x.shape),
            )
        return time, features, width

    def _turns(self, s, x, time: int, width: int, start, positions):
        """The cosines and sines of the angles, (time, width / 2) or (batch, time, width / 2)."""
        xp = namespace(x)
        wide = x.dtype if dtype_name(x.dtype) == "float64" else xp.float32
        length = None  # the greatest position and 1
        if positions is None:
            if isinstance(start, int) and x.shape[time] is not None:
                length = start + x.shape[time]
            positions = steps(x, time)
            if kind_of_tree(start) is not None and start.ndim == 1:
                start = xp.expand_dims(start, axis=-1)
            positions = positions + start
        if s.initializing:  # shapes only, of which a file may name any: so nothing is done for each feature
            rates, factor = xp.zeros((width // 2,), dtype=wide), 1.0
        else:
            rates, factor = self._rates(xp, wide, device(x), width, positions, length)
        angles = xp.expand_dims(xp.astype(positions, wide), axis=-1) * rates
        cos, sin = xp.cos(angles), xp.sin(angles)
        return (cos, sin) if factor == 1 else (cos * factor, sin * factor)

    def _rates(self, xp, dtype, where, width: int, positions, length):
        """The angle of each pair of features at position 1, and the factor of cosines and sines."""

        def array(numbers):
            return xp.asarray(numbers, dtype=dtype, device=where)

        powers = [self.max_wavelength ** (-2 * i / width) / self.scaling_factor for i in range(width // 2)]
        if self.scaling is None:
            return array(powers), 1.0
        scaling = dict(self.scaling)
        kind = _SCALINGS[scaling.pop("rope_type")]
        fixed, factor = kind.rates(powers, self.max_wavelength, **scaling)
        if kind.limit is None:
            return array(fixed), factor
        limit = scaling[kind.limit]
        if length is None:
            length = xp.max(positions) + 1 if 0 not in positions.shape else 0
        if isinstance(length, int):
            return array(kind.beyond(powers, length, **scaling) if length > limit else fixed), factor
        # The length is a value of the device, so both are computed.
        longer = kind.beyond_by_arrays(xp, array, powers, xp.astype(length, dtype), **scaling)
        return xp.where(length > limit, longer, array(fixed)), factor


# -- scalings ----------------------------------------------------------------------------------------------------------


class _Scaling(NamedTuple):
    """A way to use longer sequences than in training.

    Attributes:
        needed: Arguments that must be there; one of several where they stand in a tuple.
        options: Arguments that may be there.
        rates: From the rates without scaling to those with it, and to the factor of cosines and sines.
        limit: The argument that says beyond which length the rates are others; None if they do not depend on it.
        beyond: The rates for a greater length.
        beyond_by_arrays: The same where the length is an array ().
    """

    needed: tuple[Any, ...]
    options: tuple[str, ...]
    rates: Any
    limit: str | None = None
    beyond: Any = None
    beyond_by_arrays: Any = None


def _factor(given: Mapping[str, Any]) -> float:
    factor = given.get("factor")
    return given["max_position_embeddings"] / given["original_max_position_embeddings"] if factor is None else factor


def _linear(rates, wavelength, factor):
    return [r / factor for r in rates], 1.0


def _longer_wavelength(rates, length, factor, max_position_embeddings):
    growth = factor * length / max_position_embeddings - (factor - 1)
    return [r * growth ** (-i / max(len(rates) - 1, 1)) for i, r in enumerate(rates)]


def _longer_wavelength_by_arrays(xp, array, rates, length, factor, max_position_embeddings):
    # Where the length is below the limit, the result is not used, and must not be NaN.
    growth = xp.log(xp.maximum(factor * length / max_position_embeddings - (factor - 1), xp.ones_like(length)))
    return array(rates) * xp.exp(-growth * array([i / max(len(rates) - 1, 1) for i in range(len(rates))]))


def _yarn(rates, wavelength, **given):
    """Fast rotations stay, slow ones are slowed down by the factor, and between them is a ramp."""
    factor, width = _factor(given), 2 * len(rates)
    trained = given["original_max_position_embeddings"]

    def place(turns):  # of the feature that makes so many turns in the trained length
        return width * math.log(trained / (turns * 2 * math.pi)) / (2 * math.log(wavelength))

    low, high = place(given.get("beta_fast") or 32), place(given.get("beta_slow") or 1)
    if given.get("truncate", True):
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, width - 1)
    high = high + 0.001 if low == high else high
    slowed = [min(max((i - low) / (high - low), 0), 1) for i in range(len(rates))]
    factors = given.get("attention_factor")
    if factors is None:
        scales = given.get("mscale"), given.get("mscale_all_dim")
        above, below = scales if all(scales) else (1.0, 0.0)
        factors = _louder(factor, above) / _louder(factor, below)
    return [r / factor * part + r * (1 - part) for r, part in zip(rates, slowed, strict=True)], factors


def _louder(factor, scale):
    return 1.0 if factor <= 1 else 0.1 * scale * math.log(factor) + 1.0


def _llama3(rates, wavelength, **given):
    """As for yarn, with the ramp between two numbers of turns in the trained length."""
    factor, low, high = _factor(given), given["low_freq_factor"], given["high_freq_factor"]
    scaled = []
    for rate in rates:
        turns = given["original_max_position_embeddings"] * rate / (2 * math.pi)
        kept = 0.0 if turns < low else 1.0 if turns > high else (turns - low) / (high - low)
        scaled.append((1 - kept) * rate / factor + kept * rate)
    return scaled, 1.0


def _longrope(rates, wavelength, **given):
    factor, scale = _factor(given), given.get("attention_factor")
    if scale is None:
        trained = given["original_max_position_embeddings"]
        scale = 1.0 if factor <= 1 else math.sqrt(1 + math.log(factor) / math.log(trained))
    return _divided(rates, "short_factor", given), scale


def _divided(rates, argument, given):
    if len(given[argument]) != len(rates):
        raise ShapeError(
            f"`{argument}` of the rotary scaling must have {len(rates)} numbers, got {len(given[argument])}.",
            argument="scaling",
            expected=f"{len(rates)} numbers, one for each pair of features that is turned",
            got=f"{len(given[argument])} numbers",
        )
    return [r / f for r, f in zip(rates, given[argument], strict=True)]


_TRAINED = "original_max_position_embeddings"
_EITHER = ("factor", "max_position_embeddings")

_SCALINGS = {
    "default": _Scaling((), (), lambda rates, wavelength: (rates, 1.0)),
    "linear": _Scaling(("factor",), (), _linear),
    "dynamic": _Scaling(
        ("factor", "max_position_embeddings"),
        (),
        lambda rates, wavelength, **_: (rates, 1.0),
        "max_position_embeddings",
        _longer_wavelength,
        _longer_wavelength_by_arrays,
    ),
    "yarn": _Scaling(
        (_EITHER, _TRAINED),
        ("attention_factor", "beta_fast", "beta_slow", "mscale", "mscale_all_dim", "truncate"),
        _yarn,
    ),
    "llama3": _Scaling((_EITHER, _TRAINED, "low_freq_factor", "high_freq_factor"), (), _llama3),
    "longrope": _Scaling(
        (_EITHER, _TRAINED, "short_factor", "long_factor"),
        ("attention_factor",),
        _longrope,
        _TRAINED,
        lambda rates, length, **given: _divided(rates, "long_factor", given),
        lambda xp, array, rates, length, **given: array(_divided(rates, "long_factor", given)),
    ),
}
"""The scalings by `rope_type`, as Hugging Face's configs call them."""


def _checked(scaling: Any) -> dict[str, Any] | None:
    """`scaling` without the arguments that are None; or an ArgumentError."""
    if scaling is None:
        return None
    if not isinstance(scaling, Mapping):
        raise ArgumentError.must_be("scaling", "a dict with a `rope_type`, or None", scaling)
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in scaling.items() if v is not None}
    kind = given.get("rope_type")
    if not isinstance(kind, str) or kind not in _SCALINGS:
        raise ArgumentError(
            f"The rotary scaling {shown(kind)} is unknown." if kind else "`scaling` must have a `rope_type`.",
            argument="scaling",
            expected=f"a `rope_type` that is one of {', '.join(_SCALINGS)}",
            got=shown(scaling),
        )
    known = _SCALINGS[kind]
    missing = [n for n in known.needed if not (n in given if isinstance(n, str) else any(m in given for m in n))]
    names = [m for n in known.needed for m in ((n,) if isinstance(n, str) else n)] + list(known.options)
    unknown = [n for n in given if n not in (*names, "rope_type")]
    if missing or unknown:
        missing = [n if isinstance(n, str) else " or ".join(n) for n in missing]
        problem = f"lacks {', '.join(missing)}" if missing else f"has no argument {shown(unknown[0])}"
        raise ArgumentError(
            f"The rotary scaling {kind!r} {problem}.",
            argument="scaling",
            expected=", ".join(names) or "no arguments",
            got=shown(scaling),
        )
    for name, value in given.items():
        if name in ("short_factor", "long_factor"):
            for number in value if isinstance(value, tuple) else (value,):
                checks.number(name, number, above=0)
            if not isinstance(value, tuple):
                raise ArgumentError.must_be(name, "a list of numbers", value)
        elif name == "truncate":
            checks.boolean(name, value)
        elif name in ("mscale", "mscale_all_dim", "attention_factor"):
            checks.number(name, value, least=0)
        elif name != "rope_type":
            checks.number(name, value, above=0)
    if kind == "llama3" and not given["low_freq_factor"] < given["high_freq_factor"]:
        raise ArgumentError.must_be("high_freq_factor", "above `low_freq_factor`", given["high_freq_factor"])
    return given


def steps(x: Any, axis: int) -> Any:
    """The integers 0, 1, … along `axis` of `x`, int32. The size of the axis may be unknown."""
    xp = namespace(x)
    if x.shape[axis] is not None:
        return xp.arange(x.shape[axis], dtype=xp.int32, device=device(x))
    line = x[tuple(slice(None) if n == axis % x.ndim else 0 for n in range(x.ndim))]
    return xp.cumulative_sum(xp.ones_like(line, dtype=xp.int32), axis=0) - 1
