"""Connectionist temporal classification: the loss of a sequence of labels without times, and decoding.

A path gives one class to each frame; merging repeated classes, and then leaving out the blank ones, makes it a
sequence of labels (Graves et al., 2006).
"""

from __future__ import annotations

import math

from ..arrays import device, namespace
from ..errors import ArgumentError, ShapeError
from ..transforms import scan
from ..typing import Array
from ._masks import hidden
from ._op import op
from ._promotion import cast, lift
from .activation import log_softmax
from .normalization import wide

__all__ = ["ctc_decode", "ctc_loss"]

NEVER = -1e30
"""The logarithm of 0, where infinities would make the gradient NaN."""


def _frames(output, lengths, name):
    """Logits and lengths, checked: floats (batch, time, classes), float32 at least, and int32 (batch,)."""
    output, lengths = lift(output, lengths)
    if output.ndim != 3:
        raise ShapeError(
            f"`{name}` must have 3 axes, got shape {tuple(output.shape)}.",
            argument=name,
            expected="(batch, time, classes)",
            got=tuple(output.shape),
        )
    return wide(output)[0], cast(lengths, "int32")


def _counts(xp, x, n):
    return xp.arange(n, dtype=xp.int32, device=device(x))


def _pick(xp, x, index, axis):
    """`take_along_axis` with an `index` whose other axes may have size 1."""
    like = xp.zeros_like(x[(slice(None),) * axis + (slice(0, 1), ...)])
    return xp.take_along_axis(x, index + xp.astype(like, index.dtype), axis=axis)


@op
def ctc_loss(target: Array, output: Array, target_length: Array, output_length: Array, mask_index: int = 0) -> Array:
    """The negative logarithm of the probability of all paths that give `target` (Graves et al., 2006).

    Args:
        target: Labels, integers (batch, labels).
        output: Logits, (batch, time, classes).
        target_length, output_length: How many labels and frames count, (batch,).
        mask_index: The blank class.

    Returns:
        (batch,), float32 of half precision; infinite where the labels do not fit into the frames.

    Raises:
        ShapeError: The shapes do not fit together.
    """
    target, output = lift(target, output)
    output, frames = _frames(output, output_length, "output")
    target, count = cast(target, "int32"), cast(lift(target, target_length)[1], "int32")
    if target.ndim != 2:
        raise ShapeError(
            f"`target` must have 2 axes, got shape {tuple(target.shape)}.",
            argument="target",
            expected="(batch, labels)",
            got=tuple(target.shape),
        )
    xp = namespace(target, output)
    time, labels = output.shape[1], target.shape[1]
    live = xp.expand_dims(_counts(xp, output, time), axis=0) < xp.expand_dims(frames, axis=1)
    logs = log_softmax(hidden(output, live))
    emitted = _pick(xp, logs, xp.expand_dims(target, axis=1), 2)
    none = xp.zeros_like(logs[:, 0, :1]) + NEVER
    nothing = none + xp.zeros((1, labels), dtype=logs.dtype, device=device(logs))
    # From one label to the next without a blank between: only to another label.
    other = xp.astype(target[:, 1:] == target[:, :-1], logs.dtype) * NEVER
    skip = xp.concat([none, other], axis=1)[:, :labels]

    def step(carry, frame):
        """Logarithms of having emitted n labels and stood at a blank since, and at the n-th label."""
        blanks, labels = carry
        emitted, blank, live = frame
        before = xp.concat([none, labels], axis=1)
        reached = xp.logaddexp(xp.logaddexp(labels, blanks[:, :-1]), before[:, :-1] + skip)
        moved = xp.logaddexp(blanks, before) + blank, reached + emitted
        return tuple(xp.where(live, new, old) for new, old in zip(moved, carry, strict=True)), blanks[:, 0]

    start = xp.concat([xp.zeros_like(none), nothing], axis=1), nothing
    over_time = [xp.moveaxis(x, 1, 0) for x in (emitted, logs[:, :, mask_index : mask_index + 1])]
    (blanks, labels), _ = scan(step, start, (*over_time, xp.expand_dims(xp.moveaxis(live, 1, 0), axis=-1)))
    ends = xp.logaddexp(blanks, xp.concat([none, labels], axis=1))
    loss = -xp.squeeze(xp.take_along_axis(ends, xp.expand_dims(count, axis=1), axis=1), axis=1)
    return xp.where(loss > -0.1 * NEVER, xp.full_like(loss, math.inf), loss)


@op
def ctc_decode(
    inputs: Array,
    sequence_lengths: Array,
    strategy: str = "greedy",
    beam_width: int = 100,
    top_paths: int = 1,
    merge_repeated: bool = True,
    mask_index: int | None = 0,
) -> tuple[Array, Array]:
    """The most likely labels.

    Args:
        inputs: Logits, (batch, time, classes).
        sequence_lengths: How many frames count, (batch,).
        strategy: "greedy" takes the best class of each frame; "beam_search" adds up the paths of the likeliest
            beginnings (prefix search; Graves et al., 2006; Hannun et al., arXiv:1408.2873).
        beam_width: How many beginnings are kept.
        top_paths: How many sequences the beam search returns.
        merge_repeated: Whether the greedy strategy merges repeated classes.
        mask_index: The blank class; the last one if None.

    Returns:
        Labels, int32 (paths, batch, time), with -1 after the end; and for the greedy strategy the negative sum of the
        best logits, (batch, 1), for the beam search the logarithm of each sequence's probability, (batch, paths).
        Both are float32 where `inputs` are in half precision.

    Raises:
        ArgumentError: The strategy is unknown, or `beam_width` is less than `top_paths`.
    """
    x, lengths = _frames(inputs, sequence_lengths, "inputs")
    blank = x.shape[-1] - 1 if mask_index is None else mask_index
    if strategy == "greedy":
        return _greedy(x, lengths, blank, merge_repeated)
    if strategy != "beam_search":
        raise ArgumentError.must_be("strategy", "'greedy' or 'beam_search'", strategy)
    if not 1 <= top_paths <= beam_width:
        raise ArgumentError.must_be("top_paths", f"from 1 to beam_width, {beam_width}", top_paths)
    return _beam_search(x, lengths, blank, beam_width, top_paths)


def _greedy(x, lengths, blank, merge_repeated):
    xp = namespace(x)
    frames = xp.expand_dims(_counts(xp, x, x.shape[1]), axis=0)
    live = frames < xp.expand_dims(lengths, axis=1)
    best = xp.astype(xp.argmax(x, axis=-1), xp.int32)
    said = live & (best != blank)
    if merge_repeated:
        new = xp.concat([xp.ones_like(said[:, :1]), best[:, 1:] != best[:, :-1]], axis=1)
        said = said & new
    labels = xp.where(said, best, xp.full_like(best, -1))
    # The labels move to the front, in order.
    order = xp.argsort(xp.where(said, frames, xp.full_like(best, x.shape[1])), axis=1, stable=True)
    labels = xp.take_along_axis(labels, order, axis=1)
    top = xp.max(x, axis=-1)
    score = -xp.sum(xp.where(live, top, xp.zeros_like(top)), axis=1, keepdims=True)
    return xp.expand_dims(labels, axis=0), score


def _beam_search(x, lengths, blank, width, top_paths):
    xp = namespace(x)
    logs, classes, time = log_softmax(x), x.shape[-1], x.shape[1]
    where = {"device": device(x)}
    places, numbers = _counts(xp, x, time), _counts(xp, x, classes)
    empty = xp.zeros_like(logs[:, 0, :1])  # (batch, 1)
    none = xp.astype(empty, xp.int32) + xp.zeros((1, width), dtype=xp.int32, **where)
    first = xp.expand_dims(_counts(xp, x, width), axis=0) == 0

    def step(carry, frame):
        """Sequences (batch, width, time) and their lengths and last labels, with the logarithms of the paths that
        stand at a blank and at the last label."""
        paths, sizes, last, blanks, labels = carry
        logs, live = frame
        logs_of = xp.expand_dims(logs, axis=1)  # (batch, 1, classes)
        # A sequence stays as it is by a blank or by its last label again,
        stay_blank = xp.logaddexp(blanks, labels) + logs[:, blank : blank + 1]
        said = xp.where(last < 0, xp.zeros_like(last), last)
        stay_label = labels + xp.take_along_axis(logs, said, axis=1)
        # or becomes longer by a label: by the same one only after a blank.
        same = xp.expand_dims(last, axis=2) == numbers
        longer = xp.where(same, xp.expand_dims(blanks, axis=2), xp.expand_dims(xp.logaddexp(blanks, labels), axis=2))
        longer = xp.where(numbers == blank, xp.full_like(longer, NEVER), longer + logs_of)
        # A longer sequence that is among the others already is added to that one.
        shorter = xp.where(places == xp.expand_dims(sizes - 1, axis=2), xp.full_like(paths, -1), paths)
        grows = xp.all(xp.expand_dims(paths, axis=2) == xp.expand_dims(shorter, axis=1), axis=3)
        grows = grows & xp.expand_dims(sizes > 0, axis=1)  # (batch, from, to)
        to = _pick(xp, longer, xp.expand_dims(said, axis=1), 2)
        added = xp.max(xp.where(grows, to, xp.full_like(to, NEVER)), axis=1)
        stay_label = xp.logaddexp(stay_label, added)
        gone = xp.matmul(xp.astype(grows, logs.dtype), xp.astype(same, logs.dtype)) > 0
        longer = xp.where(gone, xp.full_like(longer, NEVER), longer)

        scores = xp.concat([xp.logaddexp(stay_blank, stay_label), xp.reshape(longer, (-1, width * classes))], axis=1)
        best = xp.argsort(scores, axis=1, descending=True)[:, :width]
        stays = best < width
        parent = xp.where(stays, best, (best - width) // classes)
        label = xp.astype((best - width) % classes, xp.int32)
        of = [xp.take_along_axis(a, parent, axis=1) for a in (stay_blank, stay_label, sizes, last)]
        paths_of = _pick(xp, paths, xp.expand_dims(parent, axis=2), 1)
        at_end = (places == xp.expand_dims(of[2], axis=2)) & ~xp.expand_dims(stays, axis=2)
        moved = (
            xp.where(at_end, xp.expand_dims(label, axis=2), paths_of),
            of[2] + xp.astype(~stays, xp.int32),
            xp.where(stays, of[3], label),
            xp.where(stays, of[0], xp.full_like(of[0], NEVER)),
            xp.where(stays, of[1], xp.take_along_axis(scores, best, axis=1)),
        )
        lives = (xp.expand_dims(live, axis=1), *[live] * 4)
        return tuple(xp.where(*parts) for parts in zip(lives, moved, carry, strict=True)), live

    begun = xp.where(first, empty, xp.full_like(empty, NEVER))
    nowhere = xp.zeros((1, 1, time), dtype=xp.int32, **where)
    start = (xp.expand_dims(none, axis=2) + nowhere - 1, none, none - 1, begun, empty + xp.zeros_like(begun) + NEVER)
    live = xp.expand_dims(places, axis=1) < xp.expand_dims(lengths, axis=0)  # (time, batch)
    (paths, _, _, blanks, labels), _ = scan(step, start, (xp.moveaxis(logs, 1, 0), xp.expand_dims(live, axis=2)))
    scores = xp.logaddexp(blanks, labels)
    best = xp.argsort(scores, axis=1, descending=True)[:, :top_paths]
    paths = _pick(xp, paths, xp.expand_dims(best, axis=2), 1)
    return xp.moveaxis(paths, 1, 0), xp.take_along_axis(scores, best, axis=1)
