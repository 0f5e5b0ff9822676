"""Normalizations, in training and out of it."""

from keras_rows import booleans, normal

from catalogue import New, layer

SEQUENCE, IMAGE = normal(3, 4, 5), normal(2, 3, 2, 4)
MASK = booleans(3, 4, salt=3)

L1, L2 = New("regularizers.L1", 0.1), New("regularizers.L2", 0.1)
NORM = New("constraints.MaxNorm", 2)
GAMMA = {"gamma_initializer": "zeros", "gamma_regularizer": L2, "gamma_constraint": NORM}
BETA = {"beta_initializer": "ones", "beta_regularizer": L1, "beta_constraint": "non_neg"}
PLAIN = {"center": False, "scale": False}
MOVING = {"moving_mean_initializer": "ones", "moving_variance_initializer": "zeros"}
CLIPPING = {"rmin": 0.9, "rmax": 1.1, "dmax": 0.2}

# Differences from the mean cancel, and are divided by their own size: condition 2, as for the ops.
ROWS = [
    layer(New("BatchNormalization", **GAMMA, **BETA, **MOVING), SEQUENCE, n=12),
    layer(
        New("BatchNormalization", 1, 0.9, 1e-2, synchronized=False), IMAGE, train=True, n=16, condition=2, note="train"
    ),
    layer(New("BatchNormalization", **PLAIN), SEQUENCE, train=True, n=12, condition=2, note="plain"),
    layer(
        New("BatchNormalization", momentum=0.9),
        *(SEQUENCE,),
        options={"mask": MASK},
        train=True,
        n=12,
        condition=2,
        note="mask",
    ),
    layer(
        New("BatchNormalization", 1, renorm=True, renorm_clipping=CLIPPING, renorm_momentum=0.9, **GAMMA, **BETA),
        IMAGE,
        train=True,
        n=16,
        condition=2,
        note="renorm",
    ),
    layer(
        New("BatchNormalization", renorm=True, **PLAIN),
        SEQUENCE,
        options={"mask": MASK},
        train=True,
        n=12,
        condition=2,
        note="renorm-mask",
    ),
    layer(New("BatchNormalization", renorm=True, scale=False), SEQUENCE, n=12, note="renormed"),
    layer(New("LayerNormalization", **GAMMA, **BETA), SEQUENCE, n=12, condition=2),
    layer(New("LayerNormalization", (1, 2), 1e-2), SEQUENCE, n=20, condition=2, note="axes"),
    layer(New("LayerNormalization", 1, **PLAIN), SEQUENCE, n=4, condition=2, note="plain"),
    layer(New("GroupNormalization", 2, **GAMMA, **BETA), IMAGE, n=12, condition=2),
    layer(New("GroupNormalization", 2, scale=False), IMAGE, n=12, condition=2, note="beta"),
    layer(New("GroupNormalization", 3, 1, 1e-2), IMAGE, n=16, condition=2, note="first"),
    layer(New("GroupNormalization", -1, **PLAIN), IMAGE, n=6, condition=2, note="instance"),
    layer(New("GroupNormalization", 1), normal(3, 6), n=6, condition=2, note="vectors"),
    layer(New("RMSNormalization"), SEQUENCE, n=12),
    layer(New("RMSNormalization", [1, 2], 1e-2), SEQUENCE, n=20, note="axes"),
    layer(New("UnitNormalization"), SEQUENCE, n=5),
    layer(New("UnitNormalization", [2, 1]), SEQUENCE, n=20, note="axes"),
    # In training only: Keras has the weights divided in place there, and what a pure function is given stays.
    layer(New("SpectralNormalization", New("Dense", 5, kernel_regularizer=L2)), normal(3, 4), train=True, n=20),
    layer(
        New("SpectralNormalization", New("Conv1D", 3, 2), 3),
        normal(2, 5, 4),
        train=True,
        n=24,
        # Each of the iterations is divided by its norm.
        condition=3,
        note="conv",
    ),
    layer(New("Rescaling", 1 / 127.5, -1), IMAGE),
    layer(New("Rescaling", [1.0, 0.5, 2.0, 0.1], offset=[0.0, 1.0, -1.0, 0.3]), IMAGE, note="channels"),
    layer(New("Normalization"), SEQUENCE, condition=2),
    layer(New("Normalization", (1, -1)), SEQUENCE, condition=2, note="axes"),
    layer(New("Normalization", None, 0.5, 2.0), SEQUENCE, condition=2, note="one"),
    layer(New("Normalization", -1, [0.1, 0.2, 0.3, 0.4, 0.5], [1.0, 2.0, 3.0, 4.0, 5.0], True), SEQUENCE, note="out"),
    layer(New("Normalization", (1, 2), [0.1, 0.2, 0.3, 0.4, 0.5], [1.0, 0.0, 3.0, 4.0, 5.0]), SEQUENCE, note="fewer"),
]
