"""Spectra: Fourier transforms, and those of short pieces of a signal.

Complex numbers are pairs of real arrays, `(real, imaginary)`, as in Keras.
"""

from __future__ import annotations

import math

from .. import checks
from ..arrays import device, namespace
from ..errors import ArgumentError, ShapeError
from ..typing import Array
from ._extensions import extension
from ._op import op
from ._promotion import floating, lift, together
from .indexing import positions
from .manipulation import join_last, pad, split_last

__all__ = ["extract_sequences", "fft", "fft2", "ifft2", "irfft", "istft", "rfft", "stft"]


def _complex(x):
    """The pair `x` as one complex array.

    Raises:
        ArgumentError: `x` is something else than a pair.
        ShapeError: The two differ in shape.
    """
    if not isinstance(x, list | tuple) or len(x) != 2:
        given = "one array" if hasattr(x, "shape") else type(x).__name__
        raise ArgumentError(
            f"`x` must be a pair of arrays, (real, imaginary), got {given}.",
            argument="x",
            expected="(real, imaginary)",
            got=given,
            fix="pass (x, zeros_like(x)) for real numbers",
        )
    real, imaginary = together(*x, least="f")
    if tuple(real.shape) != tuple(imaginary.shape):
        raise ShapeError(
            f"The real and the imaginary part differ in shape: {tuple(real.shape)} and {tuple(imaginary.shape)}.",
            argument="x",
            expected=tuple(real.shape),
            got=tuple(imaginary.shape),
        )
    xp = namespace(real, imaginary)
    dtype = xp.complex128 if real.dtype == xp.float64 else xp.complex64
    return xp.astype(real, dtype) + xp.astype(imaginary, dtype) * 1j


def _pair(z):
    xp = namespace(z)
    return xp.real(z), xp.imag(z)


def _transform(function, z, sizes, **options):
    """`function` of the namespace's `fft` over the last axes of `z`, which get these sizes; None keeps one.

    Raises:
        ShapeError: One of these axes has no entry, before or after it.
    """
    axes = len(sizes)
    if z.ndim < axes or 0 in z.shape[-axes:] or any(n is not None and n < 1 for n in sizes):
        which = "a last axis" if axes == 1 else "two last axes"
        raise ShapeError(
            f"A Fourier transform needs {which} with entries, got shape {tuple(z.shape)}.",
            argument="x",
            expected="(..., n)" if axes == 1 else "(..., n, m)",
            got=tuple(z.shape),
        )
    run = extension("fft", function, z)
    if 0 not in z.shape:
        return run(z, **options)
    # PyTorch's library refuses a batch of nothing, so one transform of zeros is repeated 0 times.
    xp = namespace(z)
    one = run(xp.sum(z, axis=tuple(range(z.ndim - axes)), keepdims=True), **options)
    return xp.broadcast_to(one, (*z.shape[:-axes], *one.shape[-axes:]))


@op(nested=True)
def fft(x: tuple[Array, Array]) -> tuple[Array, Array]:
    """The discrete Fourier transform along the last axis of a pair of arrays (..., n): a pair."""
    z = _complex(x)
    return _pair(_transform("fft", z, (None,)))


@op(nested=True)
def fft2(x: tuple[Array, Array]) -> tuple[Array, Array]:
    """The discrete Fourier transform along the last two axes of a pair of arrays (..., n, m): a pair."""
    z = _complex(x)
    return _pair(_transform("fftn", z, (None, None), axes=(-2, -1)))


@op(nested=True)
def ifft2(x: tuple[Array, Array]) -> tuple[Array, Array]:
    """The inverse of `fft2`."""
    z = _complex(x)
    return _pair(_transform("ifftn", z, (None, None), axes=(-2, -1)))


@op
def rfft(x: Array, fft_length: int | None = None) -> tuple[Array, Array]:
    """The Fourier transform of real numbers (..., n) at frequencies from 0 up: a pair of (..., n // 2 + 1).

    Args:
        fft_length: Cut or fill up with zeros to this length first; n by default.
    """
    x = floating(x)
    return _pair(_transform("rfft", x, (fft_length,), n=fft_length))


@op(nested=True)
def irfft(x: tuple[Array, Array], fft_length: int | None = None) -> Array:
    """The inverse of `rfft`: real numbers (..., fft_length) of a pair of arrays (..., k).

    Args:
        fft_length: 2 * (k - 1) by default.
    """
    z = _complex(x)
    pieces = z.shape[-1] if z.ndim else None
    return _transform("irfft", z, (fft_length or (pieces and 2 * (pieces - 1)),), n=fft_length)


# -- pieces of a signal ----------------------------------------------------------------------------------------------


@op
def extract_sequences(x: Array, sequence_length: int, sequence_stride: int) -> Array:
    """Pieces of a signal, of `sequence_length` numbers, one every `sequence_stride`.

    Args:
        x: (..., n).

    Returns:
        (..., pieces, sequence_length), where pieces = 1 + (n - sequence_length) // sequence_stride.

    Raises:
        ShapeError: The signal is shorter than a piece.
        ArgumentError: `sequence_length` or `sequence_stride` is not positive.
    """
    x = lift(x)
    xp = namespace(x)
    checks.rank("x", x, 1, least=True)
    length, stride = checks.count("sequence_length", sequence_length), checks.count("sequence_stride", sequence_stride)
    n = x.shape[-1]
    if n is not None and n < length:
        raise ShapeError(
            f"The signal has length {n}, and a piece has {length}.",
            argument="x",
            expected=f"a length of at least {length}",
            got=n,
            fix="pad the signal, or take shorter pieces",
        )
    firsts = x[..., : n if length == 1 else 1 - length : stride]  # a number of each piece: there may be any number
    places = xp.expand_dims(positions(firsts, -1) * stride, axis=1)
    places = places + xp.arange(length, dtype=xp.int32, device=device(x))
    pieces = xp.take(x, xp.reshape(places, (-1,)), axis=-1)
    return split_last(pieces, (-1 if n is None else firsts.shape[-1], length))


_COSINES = {"hann": (0.5, 0.5), "hamming": (0.54, 0.46)}


def _window(window, length, size, like):
    """The window (length,), named or given, with zeros on both sides up to `size`, in the dtype of `like`.

    Raises:
        ArgumentError: The name of the window is unknown.
        ShapeError: It has another length.
    """
    xp = namespace(like)
    if window is None:
        return xp.ones(size, dtype=like.dtype, device=device(like))
    if isinstance(window, str):
        if window not in _COSINES:
            raise ArgumentError.must_be("window", " or ".join(map(repr, _COSINES)), window)
        a, b = _COSINES[window]
        values = [a - b * math.cos(2 * math.pi * i / length) for i in range(length)] if length > 1 else [1.0]
        values = xp.asarray(values, dtype=like.dtype, device=device(like))
    else:
        values = floating(lift(like, window)[1])
        values = xp.astype(values, like.dtype)
    if tuple(values.shape) != (length,):
        raise ShapeError(
            f"`window` must have length {length}, got shape {tuple(values.shape)}.",
            argument="window",
            expected=(length,),
            got=tuple(values.shape),
        )
    before = (size - length) // 2
    return pad(values, ((before, size - length - before),))


def _check_lengths(sequence_length, sequence_stride, fft_length):
    checks.count("sequence_length", sequence_length)
    checks.count("sequence_stride", sequence_stride)
    if checks.count("fft_length", fft_length) < sequence_length:
        raise ArgumentError(
            f"`fft_length` must be at least sequence_length, {sequence_length}, got {fft_length}.",
            argument="fft_length",
            expected=f"at least sequence_length, {sequence_length}",
            got=fft_length,
        )


@op(grows=True)
def stft(
    x: Array,
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    window: Array | str | None = "hann",
    center: bool = True,
) -> tuple[Array, Array]:
    """The Fourier transforms of short pieces of real signals (..., n): a pair of (..., pieces, fft_length // 2 + 1).

    Args:
        sequence_length: Length of the pieces.
        sequence_stride: How far apart they begin.
        fft_length: Length of the transforms; the windows are filled up with zeros to it, on both sides.
        window: "hann", "hamming", an array (sequence_length,), or None for ones of that length `fft_length`.
        center: Whether the signal is mirrored at its ends, so that piece i has its middle at `i * sequence_stride`.
    """
    _check_lengths(sequence_length, sequence_stride, fft_length)
    x = floating(x)
    checks.rank("x", x, 1, least=True)
    if center:
        half = fft_length // 2
        x = pad(x, (*((0, 0),) * (x.ndim - 1), (half, half)), mode="reflect")
    pieces = extract_sequences(x, fft_length, sequence_stride)
    return rfft(pieces * _window(window, sequence_length, fft_length, x), fft_length)


@op(nested=True, grows=True)
def istft(
    x: tuple[Array, Array],
    sequence_length: int,
    sequence_stride: int,
    fft_length: int,
    length: int | None = None,
    window: Array | str | None = "hann",
    center: bool = True,
) -> Array:
    """Real signals (..., length) of the transforms of their pieces: the inverse of `stft`, by least squares.

    Griffin and Lim, 1984: pieces are laid over each other, weighted by the window, and divided by its squares' sum.

    Args:
        x: A pair of arrays (..., pieces, fft_length // 2 + 1).
        length: Length of the result, which is cut or filled up with zeros; by default all that the pieces cover.
        sequence_length, sequence_stride, fft_length, window, center: As for `stft`. Without a window, the result is
            `fft_length / sequence_stride` times the signal, as in Keras: as many pieces overlap.
    """
    _check_lengths(sequence_length, sequence_stride, fft_length)
    checks.count("length", length, none=True)
    pieces = irfft(x, fft_length)
    checks.rank("x", pieces, 2, least=True)
    xp = namespace(pieces)
    count = pieces.shape[-2]
    weight = _window(window, sequence_length, fft_length, pieces)
    signal = _overlap_add(pieces * weight, sequence_stride)
    squares = weight * weight
    same = xp.ones_like(pieces) * squares if count is None else xp.broadcast_to(squares, (count, fft_length))
    norm = _overlap_add(same, sequence_stride)
    signal = signal / xp.where(norm > 1e-10, norm, xp.ones_like(norm))
    signal = signal * (fft_length / sequence_stride) if window is None else signal
    start = fft_length // 2 if center else 0
    if length is None:
        return signal[..., start : -start or None]
    total = signal.shape[-1]
    missing = length if total is None else max(0, start + length - total)
    signal = pad(signal, (*((0, 0),) * (signal.ndim - 1), (0, missing)))
    return xp.take(signal, xp.arange(start, start + length, dtype=xp.int32, device=device(signal)), axis=-1)


def _overlap_add(pieces, stride):
    """Pieces (..., count, length), each `stride` after the last one, added: (..., length + stride * (count - 1))."""
    length = pieces.shape[-1]
    turns = -(-length // stride)
    rest = turns * stride - length
    none = ((0, 0),) * (pieces.ndim - 2)
    blocks = split_last(pad(pieces, (*none, (0, 0), (0, rest))), (turns, stride))
    # Block number i of piece number f lies at block f + i of the signal.
    total = None
    for i in range(turns):
        part = pad(blocks[..., i, :], (*none, (i, turns - 1 - i), (0, 0)))
        total = part if total is None else total + part
    return join_last(total)[..., : -rest or None]
