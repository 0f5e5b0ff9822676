"""Learning-rate schedules. Keras chooses the warm-up by one step; all else is given many."""

from __future__ import annotations

import numpy as np

from . import New, call

STEPS = np.arange(15, dtype=np.int32)


def row(cls, /, *args, steps=STEPS, note="", condition=1, **arguments):
    return call(New(f"optimizers.schedules.{cls}", *args, **arguments), steps, note=note, condition=condition)


ROWS = [
    row("CosineDecay", 0.3, 10),
    row("CosineDecay", 0.3, decay_steps=10.5, alpha=0.2, name="down"),
    *(
        row(
            "CosineDecay",
            0.01,
            8,
            0.1,
            warmup_target=0.3,
            warmup_steps=5,
            steps=np.asarray(n, np.int32),
            note=f"at {n}",
        )
        for n in (3, 5, 9, 20)
    ),
    # Of the restart at step 14 Keras makes an end: it takes log(8) / log(2) for less than 3.
    row("CosineDecayRestarts", 0.3, 2, steps=STEPS[:14]),
    # Over decays that grow, rounding grows with the number of steps.
    row("CosineDecayRestarts", 0.3, 3.0, t_mul=1.5, m_mul=0.8, alpha=0.1, condition=8),
    row("CosineDecayRestarts", 0.3, first_decay_steps=4, t_mul=1.0, m_mul=0.5, name="cycles"),
    row("ExponentialDecay", 0.3, 4, 0.7),
    row("ExponentialDecay", 0.3, decay_steps=4, decay_rate=0.7, staircase=True, name="stairs"),
    row("InverseTimeDecay", 0.3, 4, 0.7),
    row("InverseTimeDecay", 0.3, decay_steps=4, decay_rate=0.7, staircase=True, name="stairs"),
    row("PiecewiseConstantDecay", [3, 7], [0.3, 0.2, 0.1]),
    row("PiecewiseConstantDecay", boundaries=[4], values=[0.3, 0.1], name="one"),
    row("PolynomialDecay", 0.3, 10),
    row("PolynomialDecay", 0.3, 10, end_learning_rate=0.1, power=2.0, name="square"),
    row("PolynomialDecay", 0.3, 4, power=2.0, cycle=True),
]
