"""Optimizers: two steps, or more where a row says why, on a matrix and a bias.

Where parameters are treated each in its way (Muon, MultiOptimizer), on an embedding and another matrix, too. Programs
hold all steps and all parameters, and compiling them is what these rows cost.
"""

from __future__ import annotations

import numpy as np

from . import New, optimizer

RNG = np.random.default_rng(5)
PARAMS = {
    name: RNG.normal(size=shape).astype(np.float32)
    for name, shape in {"kernel": (3, 2), "bias": (2,), "embeddings": (2, 3), "gate": (2, 4)}.items()
}
GRADS = [{name: RNG.normal(size=p.shape).astype(np.float32) for name, p in PARAMS.items()} for _ in range(4)]


FEW = ("kernel", "bias")


def some(tree, names):
    return {name: tree[name] for name in names}


def row(cls, /, *args, steps=2, n=1, note="", **arguments):
    new = New(f"optimizers.{cls}", *args, **arguments)
    names = tuple(PARAMS) if cls in ("Muon", "MultiOptimizer") else FEW
    return optimizer(new, some(PARAMS, names), *(some(g, names) for g in GRADS[:steps]), n=n, note=note)


def schedule(*args):
    return New("optimizers.schedules.ExponentialDecay", *args)


ROWS = [
    # What all optimizers have, once.
    row("SGD"),
    row("SGD", 0.1, 0.9),
    row("SGD", schedule(0.1, 2, 0.5), momentum=0.8, nesterov=True, weight_decay=0.1, name="sgd"),
    row("SGD", 0.1, clipnorm=0.7, n=8),
    row("SGD", 0.1, clipvalue=0.5),
    row("SGD", 0.1, global_clipnorm=0.7, n=8),
    row("SGD", 0.1, 0.5, use_ema=True, ema_momentum=0.7, ema_overwrite_frequency=2, steps=3),
    row("SGD", 0.1, use_ema=True),
    row("SGD", 0.1, 0.5, loss_scale_factor=8.0),
    row("SGD", schedule(0.1, 1, 0.5), 0.5, weight_decay=0.1, clipnorm=1.0, gradient_accumulation_steps=2, steps=4, n=8),
    row("SGD", 0.1, use_ema=True, ema_overwrite_frequency=2, gradient_accumulation_steps=2, steps=4, note="average"),
    # Their own arguments.
    row("Adam", 0.1),
    row("Adam", schedule(0.1, 2, 0.5), 0.8, 0.95, 1e-2),
    row("Adam", 0.1, beta_1=0.5, beta_2=0.6, amsgrad=True, weight_decay=0.1, gradient_accumulation_steps=2, steps=4),
    row("AdamW", 0.1),
    row("AdamW", schedule(0.1, 2, 0.5), 0.2, 0.8, 0.7, 1e-3, True),
    row("Adamax", 0.1),
    row("Adamax", 0.1, 0.5, 0.8, 1e-2, weight_decay=0.1),
    row("Nadam", 0.1),
    row("Nadam", schedule(0.1, 2, 0.5), 0.5, 0.8, 1e-2, weight_decay=0.1),
    row("Adagrad", 0.1),
    row("Adagrad", 0.1, 0.3, 1e-2, weight_decay=0.1),
    row("Adadelta", 1.0),
    row("Adadelta", 0.5, 0.8, 1e-2, weight_decay=0.1),
    row("RMSprop", 0.1),
    row("RMSprop", 0.1, 0.8, 0.5, 1e-2),
    row("RMSprop", schedule(0.1, 2, 0.5), 0.8, epsilon=1e-2, centered=True, weight_decay=0.1),
    row("RMSprop", 0.1, 0.8, 0.5, 1e-2, True),
    row("Ftrl", 0.1),
    row("Ftrl", 0.1, -0.7, 0.2, 0.1, 0.2, 0.3, 0.4, weight_decay=0.1),
    row("Lamb", 0.1, n=8),
    row("Lamb", schedule(0.1, 2, 0.5), 0.5, 0.8, 1e-2, weight_decay=0.1, n=8),
    row("Lion", 0.1),
    row("Lion", schedule(0.1, 2, 0.5), 0.5, 0.8, weight_decay=0.1),
    row("ScheduleFreeAdamW", 0.1),
    row(
        "ScheduleFreeAdamW", schedule(0.1, 2, 0.5), 0.7, 0.8, 1e-2, 2, weight_decay=0.1, steps=3
    ),  # two of them to warm up
    row("Adafactor", 0.1, n=8),
    row("Adafactor", 0.1, -0.5, 1e-3, 1e-2, 0.5, True, weight_decay=0.1, n=8),
    # Keras caps the rate at 1 / sqrt(t) here too, against its documentation: up to the cap both are the same.
    row("Adafactor", 0.1, relative_step=False, n=8),
    row("Adafactor", schedule(0.1, 2, 0.5), n=8),
    row("Muon", 0.1, n=8),
    row(
        "Muon", schedule(0.1, 2, 0.5), 0.5, 0.8, 0.3, 1e-2, 0.2, exclude_layers=["gate"], exclude_embeddings=False, n=8
    ),
    row(
        "Muon",
        0.1,
        adam_weight_decay=None,
        weight_decay=None,
        muon_a=2.0,
        muon_b=-1.5,
        muon_c=0.5,
        adam_lr_ratio=0.5,
        momentum=0.8,
        ns_steps=3,
        nesterov=False,
        rms_rate=None,
        n=8,
    ),
    # Around others.
    row("LossScaleOptimizer", New("optimizers.Adam", 0.1)),
    row(
        "LossScaleOptimizer",
        New("optimizers.SGD", 0.1),
        initial_scale=4.0,
        dynamic_growth_steps=2,
        steps=3,
        name="scaled",
    ),
    optimizer(
        New("optimizers.LossScaleOptimizer", New("optimizers.Adam", 0.1), 4.0, 1),
        some(PARAMS, FEW),
        *(some(g, FEW) for g in (GRADS[0], {**GRADS[1], "bias": np.asarray([np.inf, 0], np.float32)}, GRADS[2])),
        note="overflow",
    ),
    row(
        "MultiOptimizer",
        New(
            "optimizers.OptimizerMap",
            New("optimizers.SGD", 0.1),
            {"kernel": New("optimizers.Adam", 0.1), "b.*s": New("optimizers.Lion", 0.1)},
        ),
    ),
    row(
        "MultiOptimizer",
        New("optimizers.OptimizerMap", New("optimizers.SGD", 0.1, 0.5)),
        loss_scale_factor=4.0,
        name="one",
    ),
]
