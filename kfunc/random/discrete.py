"""Random choices: numbers, classes, orders and masks."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

from ..arrays import device, dtype_name, namespace
from ..errors import ArgumentError, ShapeError
from ..ops.bits import WORD, random_bits, random_integers, sizes
from ..ops.dropout import dropout as dropout_op
from ..ops.rejection import BINOMIAL_PROPOSALS, binomial_variates
from ..ops.sorting import argsort
from ..tracing.spec import Spec
from ..typing import Array, DType
from .continuous import float_name, gumbel, open_unit, parameters, unit, working
from .keys import check_key, drawing, split

__all__ = [
    "bernoulli",
    "binomial",
    "categorical",
    "choice",
    "dropout",
    "permutation",
    "randint",
    "shuffle",
]


@drawing
def bernoulli(key: Array, p: Array = 0.5, shape: int | Sequence[int] | None = None) -> Array:
    """Booleans that are True with probability `p`.

    Args:
        key: uint32 (2,).
        p: A number, or an array that broadcasts to `shape`.
        shape: Shape of the result; that of `p` by default.
    """
    key = check_key(key)
    if hasattr(p, "shape"):
        return p > unit(key, sizes(p.shape if shape is None else shape, key), dtype_name(p.dtype))
    import numpy as np

    # The same comparison with integers: u < p where u = mantissa / 2**23.
    mantissa = namespace(key).bitwise_right_shift(random_bits(key, sizes(shape or (), key), "int32"), 9) & (2**23 - 1)
    return mantissa < max(min(math.ceil(float(np.float32(p)) * 2**23), 2**23), 0)


@drawing
def randint(key: Array, shape: int | Sequence[int], minval: int, maxval: int, dtype: DType = "int32") -> Array:
    """Random integers in `[minval, maxval)`, as `jax.random.randint` draws those of int32.

    Args:
        key: uint32 (2,).
        shape: Shape of the result.
        minval, maxval: Integers with -2**31 <= minval < maxval <= 2**31.
        dtype: An integer dtype, which holds them.
    """
    key = check_key(key)
    low, high = operator.index(minval), operator.index(maxval)
    xp, name = namespace(key), dtype_name(dtype)
    if "int" not in name or not hasattr(xp, name):
        raise ArgumentError.must_be("dtype", "an integer dtype of the backend, such as 'int32'", name)
    width = min(int(name.lstrip("uint")), 32)
    least, most = (0, min(2**width, 2**31)) if name.startswith("u") else (-(2 ** (width - 1)), 2 ** (width - 1))
    if not least <= low < high <= most or high - low >= WORD:
        raise ArgumentError(
            f"`minval` and `maxval` do not make a range of {name}, got {low} and {high}.",
            argument="maxval",
            expected=f"{least} <= minval < maxval <= {most}, fewer than 2**32 integers",
            got=f"[{low}, {high})",
        )
    keys = split(key)
    out = random_integers(keys[0, :], keys[1, :], sizes(shape, key), low, high - low)
    return out if name == "int32" else xp.astype(out, getattr(xp, name))


@drawing
def binomial(
    key: Array, counts: Array, probabilities: Array, shape: int | Sequence[int] | None = None, dtype: DType = "float32"
) -> Array:
    """Binomially distributed random numbers: how many of `counts` trials succeed.

    Args:
        key: uint32 (2,).
        counts: Natural numbers, below 2**24 unless `dtype` is "float64": a number or an array.
        probabilities: In [0, 1]: a number or an array. A negative count, or another probability, gives NaN.
        shape: Shape of the result, which both broadcast to; their common one by default.
        dtype: "float32", "float64", "float16" or "bfloat16".
    """
    key = check_key(key)
    name = float_name(dtype, key)
    at = working(name)
    common, n, p = parameters(key, shape, at, counts, probabilities)
    xp = namespace(n, p)
    keys, many = split(key), (BINOMIAL_PROPOSALS, *common)
    valid = (n >= 0) & (p >= 0) & (p <= 1)
    n, p = (xp.where(valid, v, xp.zeros_like(v)) for v in (n, p))
    k = binomial_variates(n, p, *(open_unit(keys[i, :], many, at) for i in range(2)))
    return xp.astype(xp.where(valid, k, xp.full_like(k, math.nan)), getattr(xp, name))


@drawing
def categorical(
    key: Array,
    logits: Array,
    axis: int = -1,
    shape: int | Sequence[int] | None = None,
    num_samples: int | None = None,
    dtype: DType = "int32",
) -> Array:
    """Random classes with probabilities `softmax(logits, axis)`, by the Gumbel-max trick.

    Args:
        key: uint32 (2,).
        logits: (..., classes), float.
        axis: The axis of the classes.
        shape: Shape of the result; that of `logits` without `axis` by default, which it must otherwise end with.
        num_samples: In place of `shape`, how many to draw for each row: the result is (..., num_samples), Keras's way.
        dtype: An integer dtype.
    """
    key = check_key(key)
    xp = namespace(key, logits)
    axis = _axis(axis, logits) - logits.ndim
    batch = (*logits.shape[:axis], *(logits.shape[axis + 1 :] if axis < -1 else ()))
    if num_samples is not None:
        if shape is not None:
            raise ArgumentError(
                "`shape` and `num_samples` are both given, and both say how many to draw.",
                argument="num_samples",
                expected="shape or num_samples",
                got=num_samples,
            )
        shape = (*sizes(num_samples, key), *batch)
    shape = batch if shape is None else sizes(shape, key)
    if shape[len(shape) - len(batch) :] != batch:
        raise ShapeError(
            f"`shape` must end with the shape of the rows, {batch}, got {shape}.",
            argument="shape",
            expected=f"(..., {batch})",
            got=shape,
        )
    at = len(shape) + 1 + axis
    noise = gumbel(key, (*shape[:at], logits.shape[axis], *shape[at:]), float_name(logits.dtype, key))
    drawn = xp.astype(xp.argmax(logits + noise, axis=axis), getattr(xp, dtype_name(dtype)))
    return drawn if num_samples is None else xp.moveaxis(drawn, 0, -1)


def _axis(axis: int, x: Array) -> int:
    if not -x.ndim <= axis < x.ndim:
        raise ArgumentError.must_be("axis", f"an axis of an array with {x.ndim} axes", axis)
    return axis % x.ndim


def _indices(xp: Any) -> Any:
    """The namespace's dtype of indices."""
    return xp.__array_namespace_info__().default_dtypes()["indexing"]


def _order(key: Array, shape: tuple[int, ...], axis: int) -> Any:
    """For each row along the axis, its indices in random order, int32."""
    xp = namespace(key)
    ones = (1,) * (len(shape) - axis - 1)
    order = xp.arange(shape[axis], dtype=xp.int32, device=device(key))
    order = xp.broadcast_to(xp.reshape(order, (-1, *ones)), shape)
    for _ in range(math.ceil(3 * math.log(max(math.prod(shape), 1)) / math.log(WORD - 1))):
        keys = split(key)
        key = keys[0, :]
        # Flipping the sign bit makes signed integers sort as the unsigned ones with the same bits do.
        rank = random_bits(keys[1, :], shape, "int32") ^ xp.asarray(-(2**31), dtype=xp.int32, device=device(key))
        best = argsort(rank, axis)
        order = xp.take(order, best, axis=0) if len(shape) == 1 else xp.take_along_axis(order, best, axis=axis)
    return order


@drawing
def permutation(key: Array, x: Array, axis: int = 0, independent: bool = False) -> Array:
    """The integers below `x` in random order, int32; or the array `x` with the order along an axis random.

    The order is that of `jax.random.permutation`: sorted by random bits, stably, as often as makes ties improbable.

    Args:
        key: uint32 (2,).
        x: A natural number, or an array (...).
        axis: The axis whose order is random.
        independent: Whether every row along the axis gets an order of its own.
    """
    key = check_key(key)
    xp = namespace(key, x)
    if not hasattr(x, "shape"):
        return _order(key, (operator.index(x),), 0)
    axis = _axis(axis, x)
    if isinstance(x, Spec):
        return x
    if independent and x.ndim > 1:
        return xp.take_along_axis(x, xp.astype(_order(key, sizes(x.shape), axis), _indices(xp)), axis=axis)
    return xp.take(x, _order(key, sizes(x.shape[axis]), 0), axis=axis)


@drawing
def shuffle(key: Array, x: Array, axis: int = 0) -> Array:
    """The array `x` with the order along an axis random: `permutation` under Keras's name.

    Args:
        key: uint32 (2,).
        x: An array (...).
        axis: The axis whose order is random.
    """
    return permutation(key, x, axis)


@drawing
def choice(
    key: Array, a: Array, shape: int | Sequence[int] = (), replace: bool = True, p: Array | None = None, axis: int = 0
) -> Array:
    """Random elements of an array, or of the integers below a number, as `jax.random.choice` draws them.

    Args:
        key: uint32 (2,).
        a: A natural number, or an array (..., n, ...).
        shape: How many to draw, or a shape of them.
        replace: Whether an element may come more than once.
        p: The elements' probabilities (n,), float; equal by default. They need not sum to 1 exactly.
        axis: The axis of `a` to draw along.

    Returns:
        int32 (*shape,), or (..., *shape, ...) of the dtype of `a`.

    Raises:
        ShapeError: More are to be drawn, without replacement, than there are; or `p` is not (n,).
    """
    key = check_key(key)
    xp, shape, is_array = namespace(key, a, p), sizes(shape, key), hasattr(a, "shape")
    axis = _axis(axis, a) if is_array else 0
    if None in shape:  # of a Spec alone
        return Spec((*a.shape[:axis], *shape, *a.shape[axis + 1 :]), a.dtype) if is_array else Spec(shape, "int32")
    n, draws = a.shape[axis] if is_array else operator.index(a), math.prod(shape)
    if draws and (n < 1 or (not replace and draws > n)):
        raise ShapeError(
            f"{draws} elements are to be drawn from {n}{'' if replace else ' without replacement'}.",
            argument="shape",
            expected=f"at most {n} draws" if n else "no draws, since there is no element",
            got=shape,
            fix="draw fewer, or with replace=True",
        )
    if p is not None:
        p = p if hasattr(p, "shape") else xp.asarray(p, dtype=xp.float32, device=device(key))
        if tuple(p.shape) != (n,):
            raise ShapeError(
                f"`p` must have shape ({n},), one probability for each element, got {tuple(p.shape)}.",
                argument="p",
                expected=(n,),
                got=tuple(p.shape),
            )
        name = float_name(p.dtype, key)
    if not draws:
        index = xp.zeros((0,), dtype=xp.int32, device=device(key))
    elif p is None:
        index = randint(key, (draws,), 0, n) if replace else permutation(key, n)[:draws]
    elif replace:
        total = xp.cumulative_sum(p)
        index = xp.searchsorted(total, total[-1] * (1 - unit(key, (draws,), name)))
    else:
        # The Gumbel-max trick, for the several largest.
        possible = p > 0
        score = xp.log(xp.where(possible, p, xp.ones_like(p))) + gumbel(key, (n,), name)
        score = xp.where(possible, score, xp.full_like(score, -math.inf))
        index = xp.argsort(score, descending=True)[:draws]
    index = xp.astype(index, xp.int32)
    if not is_array:
        return xp.reshape(index, shape)
    return xp.reshape(xp.take(a, index, axis=axis), (*a.shape[:axis], *shape, *a.shape[axis + 1 :]))


@drawing
def dropout(key: Array, x: Array, rate: float, noise_shape: tuple[int | None, ...] | None = None) -> Array:
    """`x` with each element 0 with probability `rate`, and the others scaled by `1 / (1 - rate)`.

    Srivastava et al., JMLR 15, 2014. The mask comes from a generator of its own, which is cheaper than `bernoulli`.

    Args:
        key: uint32 (2,).
        x: An array (...), float.
        rate: In [0, 1]; rounded to a multiple of 2**-32.
        noise_shape: Shape of the mask, which broadcasts to that of `x`; None in it stands for the size of `x`.
    """
    key = check_key(key)
    if not 0 <= rate <= 1:
        raise ArgumentError.must_be("rate", "a number in [0, 1]", rate)
    if noise_shape is None:
        return dropout_op(x, key, rate)
    return dropout_op(x, key, rate, tuple([n if m is None else m for m, n in zip(noise_shape, x.shape, strict=True)]))
