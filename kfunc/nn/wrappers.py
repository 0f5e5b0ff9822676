"""Layers around a layer for sequences: both directions, and each step by itself."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable
from typing import Any

from .. import checks, ops
from ..arrays import namespace
from ..dataclasses import replace
from ..errors import ArgumentError, ShapeError
from ..typing import Tree
from .combinators import Wrapper
from .layer import Layer, layer
from .masks import check_steps, hidden
from .scope import Scope

__all__ = ["Bidirectional", "TimeDistributed"]

_MODES = ("sum", "mul", "ave", "concat", None)
_COMMON = ("stateful", "return_sequences", "return_state")


@layer
class Bidirectional(Layer):
    """A recurrent layer in both directions (Schuster and Paliwal, 1997): (batch, time, inputs) to (batch, 2 * units).

    `layer(s, x, initial_state=None, mask=None)`: the first half of the states is that of the forward layer. With
    `return_state`, it returns (output, *forward states, *backward states). Outputs of steps that do not count are zero.

    Args:
        layer: A recurrent layer. It is copied for each direction, so that it may be used elsewhere, too.
        merge_mode: What becomes of the two outputs: "concat" joins their features, "sum" adds them, "ave" averages
            them, "mul" multiplies them, and None returns both.
        weights: Must be None: Keras has this argument at this place, and does nothing with it. Give the weights as the
            parameters of `apply`.
        backward_layer: The layer for the other direction. By default a copy of `layer`.
    """

    layer: Layer
    merge_mode: str | None = "concat"
    weights: None = None
    backward_layer: Layer | None = None
    _directions: tuple[Layer, Layer] = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        for argument in ("layer", "backward_layer"):
            wrapped = getattr(self, argument)
            if wrapped is None and argument == "backward_layer":
                continue
            if not isinstance(wrapped, Layer) or not all(hasattr(wrapped, a) for a in (*_COMMON, "go_backwards")):
                raise ArgumentError.must_be(
                    argument,
                    "a recurrent layer",
                    wrapped,
                    said="an LSTM, a GRU, an RNN, or a layer that has their arguments return_sequences, go_backwards …",
                )
        checks.one_of("merge_mode", self.merge_mode, _MODES)
        checks.one_of("weights", self.weights, (None,))
        one: Any = self.layer
        other: Any = self.backward_layer
        for attribute in _COMMON if other is not None else ():
            if getattr(one, attribute) != getattr(other, attribute):
                raise ArgumentError(
                    f"`{attribute}` must be the same for both directions, got {getattr(one, attribute)} and "
                    f"{getattr(other, attribute)}.",
                    argument="backward_layer",
                    expected=f"{attribute}={getattr(one, attribute)}, as in layer",
                    got=getattr(other, attribute),
                )
        if other is not None and one.go_backwards == other.go_backwards:
            raise ArgumentError(
                f"`backward_layer` must go in the other direction than `layer`, got go_backwards={other.go_backwards} "
                "for both.",
                argument="backward_layer",
                expected=f"go_backwards={not one.go_backwards}, unlike layer",
                got=other.go_backwards,
            )
        zeros = {"zero_output_for_mask": one.return_sequences} if hasattr(one, "zero_output_for_mask") else {}
        forward = _copy(one, **zeros)
        if other is None:
            backward = _copy(one, **zeros, go_backwards=not one.go_backwards)
        else:
            backward = _copy(other, **(zeros if hasattr(other, "zero_output_for_mask") else {}))
        object.__setattr__(self, "_directions", (forward, backward))
        super().__post_init__()

    def children(self) -> Iterable[tuple[str, Layer]]:
        both = zip(("forward_layer", "backward_layer"), self._directions, strict=True)
        return [*both, *self._assigned_children()]

    def forward(self, s: Scope, x: Tree, initial_state: Tree = None, mask: Tree = None) -> Tree:
        recurrent: Any = self.layer
        halves: tuple = (None, None)
        if initial_state is not None:
            n = len(initial_state) // 2
            halves = (initial_state[:n], initial_state[n:])
        outs, states = [], []
        for child, first in zip(self._directions, halves, strict=True):
            given = {"initial_state": first, "mask": mask}
            out = child(s, x, **{k: v for k, v in given.items() if v is not None})
            if recurrent.return_state:
                out, *last = out
                states += last
            outs.append(out)
        xp = namespace(outs[0])
        if recurrent.return_sequences:
            outs[1] = xp.flip(outs[1], axis=1)
        a, b = outs
        merged: Any = {
            "concat": lambda: xp.concat([a, b], axis=-1),
            "sum": lambda: a + b,
            "ave": lambda: (a + b) / 2,
            "mul": lambda: a * b,
            None: lambda: (a, b),
        }[self.merge_mode]()
        mask = mask if recurrent.return_sequences else None
        masks = (mask, mask) if self.merge_mode is None else mask
        if recurrent.return_state:
            masks = (*(masks if self.merge_mode is None else (masks,)), *(None for _ in states))
            merged = (*(merged if self.merge_mode is None else (merged,)), *states)
        s.hand_on(masks)
        return merged


def _copy(x: Layer, **changes: Any) -> Any:
    """A copy of the layer `x`, and of the layers in it."""
    return replace(copy.deepcopy(x), **changes)


@layer
class TimeDistributed(Wrapper):
    """`layer` applied to each step of a sequence: (batch, time, ...) to (batch, time, ...).

    To `layer`, all steps are one batch: a BatchNormalization in it sees the statistics of all steps. A mask, (batch,
    time, ...) booleans, is handed on, and goes to `layer` if it takes one.
    """

    supports_masking = True

    def forward(self, s: Scope, x: Tree, mask: Tree = None) -> Tree:  # type: ignore[override]
        checks.rank("x", x, 3, least=True)
        options = {}
        if mask is not None:
            check_steps(mask, x)
            x = hidden(x, mask)
            s.hand_on(mask)
            if "mask" in self.layer._options:
                options["mask"] = _one_batch(mask)
        with s.of_samples(None if s.samples is None else _one_batch(_at_all_steps(s.samples, x))):
            out = self.layer(s, _one_batch(x), **options)
        return ops.split_first(out, x)


def _at_all_steps(samples: Any, x: Any) -> Any:
    """The booleans `samples`, (batch,), for each step of `x`: (batch, time)."""
    xp = namespace(x)
    steps = xp.ones_like(x[(slice(None), slice(None), *[0] * (x.ndim - 2))], dtype=xp.bool)
    return xp.reshape(samples, (-1, 1)) & steps


def _one_batch(x: Any) -> Any:
    """`x`, (batch, time, ...), as one batch: (batch * time, ...)."""
    if None in x.shape[2:]:
        raise ShapeError(
            f"TimeDistributed needs known sizes after the batch and the steps, got {tuple(x.shape)}.",
            argument="x",
            expected="(batch, time, ...), where only the first two sizes may be unknown",
            got=tuple(x.shape),
        )
    return namespace(x).reshape(x, (-1, *x.shape[2:]))
