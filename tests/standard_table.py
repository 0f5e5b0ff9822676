"""What the tables of the standard's functions are made of: cases, inputs, and how far off a result may be."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

EPS = 2.0**-23
"""Distance from 1 to the next float32."""

TINY = 2.0**-126
"""The smallest normal float32. What is smaller may be flushed to 0: XLA, oneDNN and others run with subnormals off."""

HUGE = float(np.finfo(np.float32).max)

DTYPES = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "complex64")
"""What is tested of what a backend has; 64-bit floats are the oracle's."""


# -- how far off a result may be ---------------------------------------------------------------------------------------


def relative(expected, *arrays, **options):
    """8 units in the last place of each element; of the modulus where it is complex."""
    return 8 * EPS * np.abs(expected) + TINY


def exact(expected, *arrays, **options):
    return np.zeros(np.shape(expected))


def of(size: Callable) -> Callable:
    """8 units in the last place of `size(*arrays, **options)`, the size of what the result is a sum of."""

    def allowed(expected, *arrays, **options):
        return 8 * EPS * np.asarray(size(*arrays, **options)) + TINY

    return allowed


# -- cases -------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Case:
    """One function of the standard, on one kind of input.

    Attributes:
        name: Its name in the namespace, with its extension: `"linalg.qr"`.
        args: Strategy of pairs: NumPy arrays, and other arguments by their names.
        oracle: The result (an array or a tuple of them) from the same arrays, floating ones in 64 bits.
        error: The absolute error allowed, from the oracle's result and what the oracle was given. With several results
            it is called for each.
        call: How to call it, `call(xp, *arrays, **options)`; plainly by default.
        label: What tells it from the other cases of the name.
        dtypes: Dtypes of which the backend must have all.
        signs: Whether -0 and 0 differ.
        eager: Whether the call needs values, so that no compiler can have it.
        dynamic: Whether shapes of the result depend on values, which few compilers can have.
        after: What is made of the results, with twice the bits, before they are compared: the product of factors that
            are not unique.
    """

    name: str
    args: Any
    oracle: Callable
    error: Callable = relative
    call: Callable | None = None
    label: str = ""
    dtypes: tuple[str, ...] = ()
    signs: bool = False
    eager: bool = False
    dynamic: bool = False
    after: Callable | None = None

    @property
    def id(self) -> str:
        return f"{self.name}[{self.label}]" if self.label else self.name

    def run(self, xp: Any, *arrays: Any, **options: Any) -> tuple:
        out = (self.call or call_by_name(self.name))(xp, *arrays, **options)
        return tuple(out) if isinstance(out, tuple | list) else (out,)

    def expected(self, arrays: tuple, options: dict) -> tuple:
        with np.errstate(all="ignore"):
            out = self.oracle(*map(wide, arrays), **options)
        return tuple(map(np.asarray, out)) if isinstance(out, tuple | list) else (np.asarray(out),)

    def allowed(self, expected: np.ndarray, arrays: tuple, options: dict) -> np.ndarray:
        with np.errstate(all="ignore"):
            return self.error(expected, *map(wide, arrays), **options) if expected.dtype.kind in "fc" else np.zeros(())


def call_by_name(name: str) -> Callable:
    def call(xp, *arrays, **options):
        for part in name.split("."):
            xp = getattr(xp, part)
        return xp(*arrays, **options)

    return call


def wide(x: np.ndarray) -> np.ndarray:
    """`x` with twice the bits, where it is floating."""
    return x.astype({"f": np.float64, "c": np.complex128}.get(x.dtype.kind, x.dtype))


@dataclass
class Misfit:
    """How much a result is off: `ratio` of what is allowed, 0 where equal."""

    ratio: float = 0.0
    text: str = field(default="", compare=False)


def misfit(
    got: np.ndarray,
    expected: np.ndarray,
    allowed: np.ndarray,
    signs: bool = False,
    floating: tuple[str, ...] = ("float32", "complex64"),
) -> Misfit:
    """The worst element's error as a multiple of the allowed; infinite for what no tolerance covers.

    Args:
        signs: Whether -0 and 0 differ.
        floating: The dtypes that a floating result may have.
    """
    if got.shape != expected.shape:
        return Misfit(math.inf, f"shape {got.shape}, expected {expected.shape}")
    if expected.dtype == object:  # integers, of which None stands for what does not fit
        fits = np.array([v is not None for v in expected.ravel()], bool)
        got, expected = got.ravel()[fits], expected.ravel()[fits]
    kinds = "iu" if expected.dtype.kind in "iuO" else expected.dtype.kind
    if got.dtype.kind not in kinds or (got.dtype.kind in "fc" and got.dtype.name not in floating):
        return Misfit(math.inf, f"dtype {got.dtype}, expected one of kind {kinds!r}, {floating} if floating")
    if not got.size:
        return Misfit()
    if kinds in ("b", "iu"):
        off = np.where(got == expected, 0.0, math.inf)
    else:
        with np.errstate(all="ignore"):
            g, e = wide(got), expected
            off = np.abs(g - e) / np.maximum(allowed, 1e-300)
            # At the border of overflow both sides of it are near enough.
            border = HUGE * (1 - 8 * EPS)
            over = (np.abs(e) >= border) & (np.abs(g) >= border) & (np.sign(g) == np.sign(e)) & ~np.isinf(e)
            off = np.where((g == e) | (np.isnan(g) & np.isnan(e)) | over, 0.0, off)
            if signs:
                off = np.where((g == 0) & (e == 0) & (np.signbit(g) != np.signbit(e)), math.inf, off)
        off = np.where(np.isnan(off), math.inf, off)
    i = np.unravel_index(np.argmax(off), off.shape)
    return Misfit(float(off[i]), f"at {tuple(map(int, i))}: {got[i]!r}, expected {expected[i]!r}")


# -- inputs ------------------------------------------------------------------------------------------------------------


@st.composite
def reals(draw, low: float = -HUGE, high: float = HUGE, shape: tuple[int, ...] = (512,)) -> np.ndarray:
    """float32 numbers from `low` to `high`: hypothesis's odd ones, and many of all magnitudes; none subnormal."""
    n = math.prod(shape)
    odd = draw(
        hnp.arrays(
            np.float32, min(n, 12), elements=st.floats(low, high, width=32, allow_subnormal=False), fill=st.nothing()
        )
    )
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    many = [
        rng.uniform(*np.clip((low, high), -20, 20), n),
        rng.uniform(low / 2, high / 2, n) * 2,
        rng.choice((-1, 1), n) * np.exp2(rng.uniform(-125, 127, n)),
        rng.choice((-1, 1), n) * np.exp2(rng.uniform(-20, 10, n)),
        np.float32(low) + np.exp2(rng.uniform(-24, 0, n)),
        np.float32(high) - np.exp2(rng.uniform(-24, 0, n)),
    ]
    # What lies outside would all be the same number at the border.
    values = rng.permutation(np.concatenate([x[(low <= x) & (x <= high)] for x in many]))[: n - len(odd)]
    values = rng.permutation(np.concatenate([odd, values])).astype(np.float32)
    values = np.where(np.abs(values) < TINY, np.float32(0 if low <= 0 <= high else 1), values)
    return np.clip(values, np.float32(low), np.float32(high)).reshape(shape)


@st.composite
def complexes(draw, size: float = 20.0, shape: tuple[int, ...] = (64,)) -> np.ndarray:
    """complex64 numbers of all directions with modulus up to `size`."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    radius = size * np.exp2(rng.uniform(-8, 0, shape))
    return (radius * np.exp(1j * rng.uniform(-np.pi, np.pi, shape))).astype(np.complex64)


@st.composite
def integers(draw, dtype: str, low: int | None = None, high: int | None = None, shape: tuple[int, ...] = (128,)):
    """Integers of all magnitudes, the ends of the range among them."""
    info = np.iinfo(dtype)
    low, high = max(info.min, info.min if low is None else low), min(info.max, info.max if high is None else high)
    n = math.prod(shape)
    odd = draw(hnp.arrays(dtype, min(n, 12), elements=st.integers(low, high), fill=st.nothing()))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    signs = rng.choice((-1, 1), n)
    sizes = np.exp2(rng.uniform(0, math.log2(max(-low, high) + 1), n))
    many = [min(max(int(s) * int(v), low), high) for s, v in zip(signs, sizes, strict=True)]
    ends = [v for v in (low, low + 1, -1, 0, 1, 2, high - 1, high) if low <= v <= high]
    values = np.array([*odd.tolist(), *ends, *many][: n + 8], dtype)
    return rng.permutation(values)[:n].reshape(shape)


def booleans(shape: tuple[int, ...] = (16,)):
    return hnp.arrays(np.bool_, shape)


def calls(*arrays: Any, **options: Any):
    """Strategy of a call: arrays and options, each a strategy or a value."""
    strategies = {name: o if isinstance(o, st.SearchStrategy) else st.just(o) for name, o in options.items()}
    return st.tuples(
        st.tuples(*(a if isinstance(a, st.SearchStrategy) else st.just(np.asarray(a)) for a in arrays)),
        st.fixed_dictionaries(strategies),
    )
