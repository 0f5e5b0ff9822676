"""Optimizers that treat a kernel as a matrix."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

from .. import checks, tree
from ..arrays import namespace
from ..dataclasses import dataclass
from ..typing import LearningRateLike
from .base import cast, in_range, patterns, zeros_like, zeros_of
from .optimizer import Core, Optimizer, leafwise, optimizer
from .transformations import adam_step

__all__ = ["Adafactor", "Muon", "adafactor", "muon"]


class Factors(NamedTuple):
    """The running mean squares: for matrices their means over rows and over columns, for other leaves all numbers.

    A field that a leaf does not use holds an array ().
    """

    rows: Any
    columns: Any
    all: Any


@optimizer("adafactor", "Adafactor")
class Adafactor(Optimizer):
    """Adam without momentum that keeps the mean squares of a matrix as two vectors, to save memory (arXiv:1804.04235).

    Args:
        learning_rate: A number, or a schedule, in units of the root mean square of each parameter.
        beta_2_decay: A negative number: at step t the share `1 - t**beta_2_decay` of the running means stays.
        epsilon_1: A number that is added to squared gradients.
        epsilon_2: The smallest root mean square that a parameter counts as.
        clip_threshold: The largest root mean square of a step before the learning rate is applied.
        relative_step: Whether a learning rate that is a number is limited to `1 / sqrt(t)` at step t.
    """

    beta_2_decay: float = -0.8
    epsilon_1: float = 1e-30
    epsilon_2: float = 0.001
    clip_threshold: float = 1.0
    relative_step: bool = True

    def core(self) -> Core:
        in_range("beta_2_decay", self.beta_2_decay, -math.inf, 0, "()")
        in_range("epsilon_1", self.epsilon_1)
        in_range("epsilon_2", self.epsilon_2)
        in_range("clip_threshold", self.clip_threshold, ends="()")
        checks.boolean("relative_step", self.relative_step)
        capped = self.relative_step and not callable(self.learning_rate)

        def rms(x):
            xp = namespace(x)
            return xp.sqrt(xp.mean(x * x))

        def step(g, p, lr, most, keep, rows, columns, v):
            xp = namespace(g)
            square = g * g + self.epsilon_1
            if g.ndim < 2:
                v = keep * v + (1 - keep) * square
                u = g / xp.sqrt(v)
            else:
                rows = keep * rows + (1 - keep) * xp.mean(square, axis=-1)
                columns = keep * columns + (1 - keep) * xp.mean(square, axis=-2)
                share = rows / xp.mean(rows, axis=-1, keepdims=True)
                u = g / xp.sqrt(xp.expand_dims(share, axis=-1) * xp.expand_dims(columns, axis=-2))
            size, over = rms(p), rms(u) / self.clip_threshold
            alpha = xp.maximum(size, xp.full_like(size, self.epsilon_2)) * (
                xp.minimum(xp.ones_like(most) * lr, most) if capped else lr
            )
            return -alpha * (u / xp.maximum(over, xp.ones_like(over))), rows, columns, v

        def numbers(t):
            return 1 / namespace(t).sqrt(t), 1 - t**self.beta_2_decay

        matrix = lambda p: p.ndim > 1  # noqa: E731
        return leafwise(
            step,
            Factors,
            lambda p: zeros_of(p, p.shape[:-1] if matrix(p) else ()),
            lambda p: zeros_of(p, (*p.shape[:-2], p.shape[-1]) if matrix(p) else ()),
            lambda p: zeros_of(p, () if matrix(p) else p.shape),
            reads=True,
            shared=numbers,
            elementwise=False,
        )


class Momenta(NamedTuple):
    """The running sum of the gradients, and (); for parameters that Adam updates, Adam's two running means."""

    momentum: Any
    velocity: Any


@dataclass(eq=False)
class _MuonByPosition:
    """The arguments that Keras's Muon takes by position, in its order.

    A dataclass begins with the fields of its last base, and a field that is overridden keeps its place. Otherwise
    `weight_decay`, which every optimizer has, would come second and not sixth.
    """

    learning_rate: LearningRateLike = 0.001
    adam_beta_1: float = 0.9
    adam_beta_2: float = 0.999
    adam_weight_decay: float | None = 0.004
    epsilon: float = 1e-7
    weight_decay: float | None = 0.004


@optimizer("muon", "Muon")
class Muon(Optimizer, _MuonByPosition):
    """For matrices, momentum whose singular values are all made about 1; for other parameters, Adam (Jordan, 2024).

    Adam updates the parameters that do not have two axes, those with "embedding" in their paths, and those that
    `exclude_layers` names.

    Args:
        learning_rate: A number, or a schedule.
        adam_beta_1, adam_beta_2, epsilon: The arguments of Adam.
        adam_weight_decay: The weight decay of the parameters that Adam updates.
        weight_decay: The weight decay of the other parameters, in units of the learning rate.
        exclude_layers: Regular expressions. Adam updates a parameter if one of them is found in its path.
        exclude_embeddings: Whether Adam updates embeddings.
        muon_a, muon_b, muon_c: The polynomial `a x + b x**3 + c x**5` of the singular values in each iteration.
        adam_lr_ratio: The learning rate of Adam, in units of `learning_rate`.
        momentum: The share of the running sum that stays at each step, in [0, 1].
        ns_steps: The number of iterations.
        nesterov: Whether to look ahead along the momentum.
        rms_rate: Each step is multiplied by this number and by the root of the longer side of the matrix, so that this
            is about its root mean square. None: the step is not scaled.
    """

    weight_decay: float | None = 0.004
    exclude_layers: Sequence[str] | None = dataclasses.field(default=None, kw_only=True)
    exclude_embeddings: bool = dataclasses.field(default=True, kw_only=True)
    muon_a: float = dataclasses.field(default=3.4445, kw_only=True)
    muon_b: float = dataclasses.field(default=-4.775, kw_only=True)
    muon_c: float = dataclasses.field(default=2.0315, kw_only=True)
    adam_lr_ratio: float = dataclasses.field(default=1, kw_only=True)
    momentum: float = dataclasses.field(default=0.95, kw_only=True)
    ns_steps: int = dataclasses.field(default=5, kw_only=True)
    nesterov: bool = dataclasses.field(default=True, kw_only=True)
    rms_rate: float | None = dataclasses.field(default=0.2, kw_only=True)
    _positions: ClassVar[tuple[Any, ...]] = (..., "exclude_from_weight_decay")

    def core(self) -> Core:
        in_range("adam_beta_1", self.adam_beta_1, 0, 1)
        in_range("adam_beta_2", self.adam_beta_2, 0, 1)
        in_range("adam_weight_decay", self.adam_weight_decay, none=True)
        in_range("epsilon", self.epsilon)
        in_range("adam_lr_ratio", self.adam_lr_ratio)
        in_range("momentum", self.momentum, 0, 1, "[]")
        in_range("rms_rate", self.rms_rate, none=True)
        checks.natural("ns_steps", self.ns_steps)
        checks.boolean("exclude_embeddings", self.exclude_embeddings)
        checks.boolean("nesterov", self.nesterov)
        for name, value in {"muon_a": self.muon_a, "muon_b": self.muon_b, "muon_c": self.muon_c}.items():
            in_range(name, value, -math.inf, ends="()")
        excluded = patterns("exclude_layers", self.exclude_layers)

        def for_adam(path, leaf):
            return len(leaf.shape) != 2 or (self.exclude_embeddings and "embedding" in path.lower()) or excluded(path)

        def init(params):
            leaves, structure = tree.flatten(params)
            shapes = [p.shape if for_adam(path, p) else () for path, p in zip(tree.paths(params), leaves, strict=True)]
            velocity = [zeros_of(p, shape) for p, shape in zip(leaves, shapes, strict=True)]
            return Momenta(zeros_like(params), tree.unflatten(structure, velocity))

        def orthogonal(x):
            xp = namespace(x)
            wide = x.shape[0] <= x.shape[1]
            x = x if wide else xp.matrix_transpose(x)
            x = x / (xp.sqrt(xp.sum(x * x)) + 1e-7)
            for _ in range(self.ns_steps):
                a = x @ xp.matrix_transpose(x)
                x = self.muon_a * x + (self.muon_b * a + self.muon_c * (a @ a)) @ x
            return x if wide else xp.matrix_transpose(x)

        def turned(g, m, lr):
            m = self.momentum * m + g
            by = orthogonal(g + self.momentum * m if self.nesterov else m)
            factor = 1.0 if self.rms_rate is None else math.sqrt(max(g.shape)) * self.rms_rate
            return by * cast(lr * -factor, g.dtype), m

        def update(grads, state, params, lr, t):
            (gs, structure), ms, vs = tree.flatten(grads), tree.leaves(state.momentum), tree.leaves(state.velocity)
            updates, paths = list(gs), tree.paths(grads)
            adams = [i for i, g in enumerate(gs) if for_adam(paths[i], g)]
            for i, g in enumerate(gs):
                if i not in adams:
                    updates[i], ms[i] = turned(g, ms[i], lr)
            chosen = ([xs[i] for i in adams] for xs in (gs, ms, vs))
            options = lr * -self.adam_lr_ratio, self.adam_beta_1, self.adam_beta_2, self.epsilon
            done = adam_step(t, *options, *chosen, corrected=False)
            for i, *new in zip(adams, *done, strict=True):
                updates[i], ms[i], vs[i] = new
            return tree.unflatten(structure, updates), Momenta(*(tree.unflatten(structure, xs) for xs in (ms, vs)))

        def decay(weight_decay, path, leaf):
            return self.adam_weight_decay if for_adam(path, leaf) else weight_decay

        return Core(init, update, decay=decay)


adafactor = Adafactor
muon = Muon
