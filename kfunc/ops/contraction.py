"""Einstein sums and rearrangements: operations that name the axes of arrays."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from ..arrays import namespace
from ..errors import ArgumentError, ShapeError, shown
from ..typing import Array
from ._op import op
from ._promotion import cast, dtype_of, lift, together
from .manipulation import diagonal

__all__ = ["einsum", "rearrange"]


# -- einsum ----------------------------------------------------------------------------------------------------------


@op
def einsum(subscripts: str, *operands: Array) -> Array:
    """Sums of products by Einstein's convention: `"ij,jk->ik"`.

    Args:
        subscripts: A letter for each axis of each array, and after the arrow for each axis of the result; the other
            axes are summed over. "..." stands for axes that broadcast. A letter that an array has twice means its
            diagonal. Without an arrow, the result has the letters that appear once, in alphabetical order.
        operands: The arrays. Where all are int8, the result is int32.

    Raises:
        ArgumentError: The subscripts cannot be read, or do not fit the arrays.
        ShapeError: One letter stands for two sizes.
    """
    xs = list(together(*operands)) if len(operands) > 1 else [lift(x) for x in operands]
    xs = [cast(x, "int32") for x in xs] if all(dtype_of(x) == "int8" for x in xs) else xs
    terms, out = parse(subscripts, [x.ndim for x in xs])
    xs, terms = _without_ones(xs, terms)
    _check_sizes(subscripts, xs, terms)
    pairs = [_diagonals(x, term) for x, term in zip(xs, terms, strict=True)]
    while len(pairs) > 1:
        i, j = _cheapest(pairs, out)
        others = [pair for n, pair in enumerate(pairs) if n not in (i, j)]
        kept = {*out, *(axis for _, term in others for axis in term)}
        pairs = [*others, _product(pairs[i], pairs[j], kept)]
    x, term = pairs[0]
    x, term = _sum_out(x, term, set(out))
    return _ordered(x, term, out)


def parse(subscripts: str, ranks: Sequence[int]) -> tuple[list[list[Any]], list[Any]]:
    """The axes of each array, and of the result: lists of letters, and of numbers for those of "..."."""
    left, arrow, right = subscripts.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(ranks):
        raise ArgumentError(
            f"`subscripts` has {len(terms)} terms for {len(ranks)} arrays, got {shown(subscripts)}.",
            argument="subscripts",
            expected=f"{len(ranks)} terms, with commas between them",
            got=subscripts,
        )
    named = [_axes(subscripts, term, rank) for term, rank in zip(terms, ranks, strict=True)]
    # The axes of "..." are counted from the last one, as in broadcasting.
    dots = sorted({axis for term in named for axis in term if isinstance(axis, int)})
    if not arrow:
        letters = [axis for term in named for axis in term if isinstance(axis, str)]
        return named, dots + sorted(axis for axis in set(letters) if letters.count(axis) == 1)
    out = _axes(subscripts, right, len(right.replace("...", "")) + len(dots) * ("..." in right))
    if len(set(out)) < len(out) or not set(out) <= {axis for term in named for axis in term}:
        raise ArgumentError(
            f"The result of `subscripts` names an axis twice, or one that no array has, got {shown(subscripts)}.",
            argument="subscripts",
            expected="letters of the arrays, each at most once",
            got=subscripts,
        )
    return named, out


def _axes(subscripts, term, rank):
    before, dots, after = term.partition("...")
    hidden = rank - len(before) - len(after)
    if not all(c.isalpha() and c.isascii() for c in before + after) or hidden < 0 or (hidden and not dots):
        raise ArgumentError(
            f"The term {term!r} of `subscripts` does not fit its array, which has {rank} axes.",
            argument="subscripts",
            expected=f"letters for {rank} axes",
            got=subscripts,
            fix='name each axis by a letter, or several by "..."',
        )
    return [*before, *range(-hidden, 0), *after]


def _without_ones(xs, terms):
    """The arrays without those axes of "..." that have size 1 and are repeated."""
    many = {axis for x, term in zip(xs, terms, strict=True) for axis, n in zip(term, x.shape, strict=True) if n != 1}
    arrays, names = [], []
    for x, term in zip(xs, terms, strict=True):
        ones = tuple(i for i, a in enumerate(term) if isinstance(a, int) and x.shape[i] == 1 and a in many)
        arrays.append(namespace(x).squeeze(x, axis=ones) if ones else x)
        names.append([a for i, a in enumerate(term) if i not in ones])
    return arrays, names


def _check_sizes(subscripts, xs, terms):
    sizes = {}
    for x, term in zip(xs, terms, strict=True):
        for axis, n in zip(term, x.shape, strict=True):
            if sizes.get(axis) is None:
                sizes[axis] = n
            elif n is not None and n != sizes[axis]:
                raise ShapeError(
                    f"The axis {axis!r} has two sizes." if isinstance(axis, str) else "The axes of '...' differ.",
                    argument="operands",
                    expected=f"shapes that fit {subscripts!r}",
                    got=", ".join(str(tuple(x.shape)) for x in xs),
                )


def _diagonals(x, term):
    """`x` with one axis for each name."""
    for axis in [a for i, a in enumerate(term) if a in term[:i]]:
        first, last = term.index(axis), len(term) - 1 - term[::-1].index(axis)
        x = diagonal(x, 0, first, last)
        term = [*(a for i, a in enumerate(term) if i not in (first, last)), axis]
    return x, term


def _cheapest(pairs, out):
    """The two arrays whose product takes the fewest multiplications; if several do, the smallest result."""
    best = None
    for j in range(1, len(pairs)):
        for i in range(j):
            sizes = {a: n or 1 for x, term in (pairs[i], pairs[j]) for a, n in zip(term, x.shape, strict=True)}
            kept = {*out, *(a for n, (_, term) in enumerate(pairs) if n not in (i, j) for a in term)}
            cost = math.prod(list(sizes.values())), math.prod([n for a, n in sizes.items() if a in kept])
            if best is None or cost < best[0]:
                best = cost, (i, j)
    return best[1]


def _sum_out(x, term, kept):
    """`x` summed over the axes that are not `kept`."""
    gone = tuple(i for i, axis in enumerate(term) if axis not in kept)
    if not gone:
        return x, term
    return namespace(x).sum(x, axis=gone, dtype=x.dtype), [axis for axis in term if axis in kept]


def _ordered(x, term, wanted):
    order = tuple(term.index(axis) for axis in wanted)
    return x if order == tuple(range(x.ndim)) else namespace(x).permute_dims(x, order)


def _product(first, second, kept):
    """The product of two arrays, summed over the axes that both have and that are not `kept`."""
    (a, in_a), (b, in_b) = first, second
    a, in_a = _sum_out(a, in_a, kept | set(in_b))
    b, in_b = _sum_out(b, in_b, kept | set(in_a))
    xp = namespace(a, b)
    batch = [axis for axis in in_a if axis in in_b and axis in kept]
    summed = [axis for axis in in_a if axis in in_b and axis not in kept]
    rows, columns = ([axis for axis in term if axis not in batch + summed] for term in (in_a, in_b))
    out = batch + rows + columns
    a, b = _ordered(a, in_a, batch + rows + summed), _ordered(b, in_b, batch + summed + columns)
    n, places = len(batch), (len(rows), len(columns))
    if not summed or not rows + columns:
        for _ in columns:
            a = xp.expand_dims(a, axis=-1)
        for _ in rows:
            b = xp.expand_dims(b, axis=n)
        return _sum_out(a * b, out + summed, kept)
    sizes = *a.shape[: n + len(rows)], *b.shape[n + len(summed) :]
    a = _merged(_merged(a, n, len(rows)), n + 1, len(summed))
    b = _merged(_merged(b, n, len(summed)), n + 1, len(columns))
    c = xp.matmul(a, b)
    return c if places == (1, 1) else xp.reshape(c, _with_hole(sizes)), out


def _merged(x, start, count):
    """`x` with `count` of its axes, or none, made one."""
    xp = namespace(x)
    if count == 0:
        return xp.expand_dims(x, axis=start)
    sizes = x.shape[start : start + count]
    size = None if None in sizes else math.prod(sizes)
    return x if count == 1 else xp.reshape(x, _with_hole((*x.shape[:start], size, *x.shape[start + count :])))


def _with_hole(sizes):
    """`sizes` as `reshape` takes them: -1 stands for one unknown size, which it finds itself."""
    return tuple(-1 if n is None else n for n in sizes) if sizes.count(None) == 1 else tuple(sizes)


# -- rearrange -------------------------------------------------------------------------------------------------------


@op
def rearrange(tensor: Array, pattern: str, **axes_lengths: int) -> Array:
    """Axes split, exchanged and merged, as in einops: `"b (h p) (w q) c -> b h w (p q c)"`.

    Args:
        tensor: An array of any shape.
        pattern: Names of the axes before and after. Parentheses hold the axes that one axis is made of, in order; "..."
            stands for axes that have no name, and 1 for an axis of that size.
        axes_lengths: Sizes of named axes; of those in a parenthesis all but one are needed.

    Raises:
        ArgumentError: The pattern cannot be read, or does not fit the array.
        ShapeError: A size does not fit.
    """
    x = lift(tensor)
    xp = namespace(x)
    sides = pattern.split("->")
    left, right = (_groups(side, pattern) for side in sides) if len(sides) == 2 else ([], [])
    named = sum(group is not None for group in left)
    hidden = [f"{_DOTS}{i}" for i in range(x.ndim - named)]
    left, right = (_without_dots(side, hidden) for side in (left, right))
    before, after = ([name for group in side for name in group] for side in (left, right))
    fits = len(left) == x.ndim and sorted(before) == sorted(after) and len(set(before)) == len(before)
    if not fits or not set(axes_lengths) <= set(before):
        raise ArgumentError(
            f"`pattern` does not fit an array of {x.ndim} axes, or its two sides differ, got {shown(pattern)}.",
            argument="pattern",
            expected=f"the same names on both sides of '->', of {x.ndim} axes on the left",
            got=repr(pattern),
            fix=None if set(axes_lengths) <= set(before) else "give sizes of names in the pattern only",
        )
    sizes = dict(axes_lengths)
    for group, n in zip(left, x.shape, strict=True):
        _split_sizes(group, n, sizes, pattern)
    if any(len(group) != 1 for group in left):
        x = xp.reshape(x, _with_hole([sizes[name] for name in before]))
    x = _ordered(x, before, after)
    if all(len(group) == 1 for group in right):
        return x
    joint = [[sizes[name] for name in group] for group in right]
    return xp.reshape(x, _with_hole([None if None in group else math.prod(group) for group in joint]))


_DOTS = "..."


def _groups(side, pattern):
    """`"a (b c) 1 ..."` as `[["a"], ["b", "c"], [], None]`."""
    tokens = re.findall(r"\([^()]*\)|\.\.\.|\w+|\S", side)
    groups = [None if token == _DOTS else token.strip("()").split() for token in tokens]
    names = [name for group in groups for name in group or () if name not in (_DOTS, "1")]
    if not all(name.isidentifier() for name in names):
        raise ArgumentError.must_be("pattern", "made of names, parentheses, '...' and 1", pattern)
    return [group and [name for name in group if name != "1"] for group in groups]


def _without_dots(groups, hidden):
    out = []
    for group in groups:
        if group is None:
            out += [[name] for name in hidden]
        else:
            out.append([name for part in group for name in (hidden if part == _DOTS else [part])])
    return out


def _split_sizes(group, n, sizes, pattern):
    """Put the sizes of the axes that an axis of size `n` is made of into `sizes`."""
    open_ = [name for name in group if name not in sizes]
    known = math.prod([sizes[name] for name in group if name in sizes])
    if len(open_) > 1:
        raise ArgumentError(
            f"`axes_lengths` does not say the sizes of {' and '.join(open_)}, and the array does not either.",
            argument="axes_lengths",
            expected=f"all but one of the sizes of {' '.join(group)}",
            got=repr(pattern),
            fix=f"name it: {open_[0]}=2",
        )
    if n is not None and (n % known if open_ and known else n != known):
        raise ShapeError(
            f"An axis of size {n} cannot be split into ({' '.join(group)}).",
            argument="tensor",
            expected=f"a multiple of {known}" if open_ else known,
            got=n,
            fix=f"see the pattern {pattern!r}",
        )
    for name in open_:
        sizes[name] = None if n is None else n // max(known, 1)
