"""Convolutions: every argument of every class, over sequences, images and volumes."""

from keras_rows import normal

from catalogue import New, layer

SEQUENCE, IMAGE, VOLUME = normal(2, 7, 4), normal(2, 6, 5, 4), normal(1, 4, 3, 4, 2)
FIRST = {"data_format": "channels_first"}

L1, L2 = New("regularizers.L1", 0.1), New("regularizers.L2", 0.1)
NORM = New("constraints.MaxNorm", 2)
"""Constraints act after updates: in a row, they are arguments and nothing more."""

KERNEL = {"kernel_initializer": "he_normal", "kernel_regularizer": L2, "kernel_constraint": NORM}
BIAS = {"bias_initializer": "ones", "bias_regularizer": L1, "bias_constraint": "non_neg"}
DEPTHWISE = {"depthwise_initializer": "he_normal", "depthwise_regularizer": L2, "depthwise_constraint": NORM}
POINTWISE = {"pointwise_initializer": "he_normal", "pointwise_regularizer": L1, "pointwise_constraint": NORM}

# The longest sum is that of a gradient: of the bias, over all positions.
ROWS = [
    layer(New("Conv1D", 3, 3, **KERNEL, **BIAS, activity_regularizer=L2), SEQUENCE, n=28),
    layer(New("Conv1D", 3, 2, padding="causal", dilation_rate=2, activation="tanh"), SEQUENCE, n=28, note="causal"),
    layer(New("Conv1D", 4, 3, 2, padding="same", groups=2, use_bias=False), SEQUENCE, n=28, note="groups"),
    layer(New("Conv1D", 3, 2, padding="causal", **FIRST), normal(2, 4, 7), n=28, note="first"),
    layer(New("Conv2D", 3, (3, 2), (1, 2), "same", **KERNEL, **BIAS), IMAGE, n=60, note="same"),
    layer(New("Conv2D", 4, 2, dilation_rate=(2, 1), groups=2, activation="relu"), IMAGE, n=60, note="dilated"),
    layer(New("Conv2D", 3, 3, 2, "same", "channels_first", use_bias=False), normal(2, 4, 5, 6), n=60, note="first"),
    layer(New("Conv3D", 3, 2, (2, 1, 1), "same", **KERNEL, **BIAS), VOLUME, n=96),
    layer(
        New("Conv3D", 2, (2, 1, 3), dilation_rate=(1, 2, 1), groups=2, **FIRST),
        normal(1, 2, 3, 3, 4),
        n=36,
        note="first",
    ),
    layer(New("Conv1DTranspose", 3, 3, 2, **KERNEL, **BIAS), SEQUENCE, n=60),
    layer(New("Conv1DTranspose", 3, 3, 2, "same", 1, "channels_first"), normal(2, 4, 5), n=60, note="more"),
    layer(
        New("Conv1DTranspose", 2, 3, padding="same", dilation_rate=2, activation="tanh"), SEQUENCE, n=28, note="dilated"
    ),
    layer(New("Conv2DTranspose", 3, 3, 2, "same", **KERNEL, **BIAS), normal(2, 3, 4, 4), n=96),
    layer(
        New("Conv2DTranspose", 2, (2, 3), (2, 1), "valid", (1, 0), use_bias=False),
        normal(2, 3, 4, 4),
        n=48,
        note="more",
    ),
    layer(
        New("Conv2DTranspose", 2, 2, dilation_rate=(2, 1), activation="relu", **FIRST),
        normal(2, 4, 3, 4),
        n=60,
        note="first",
    ),
    layer(New("Conv3DTranspose", 2, 2, 2, "same", **KERNEL, **BIAS), normal(1, 2, 3, 2, 2), n=96),
    layer(New("Conv3DTranspose", 2, 2, 2, "valid", "channels_first", 1), normal(1, 2, 2, 3, 2), n=108, note="first"),
    layer(New("DepthwiseConv1D", 3, 2, "same", 2, **DEPTHWISE, **BIAS), SEQUENCE, n=16),
    layer(
        New("DepthwiseConv1D", 3, dilation_rate=2, use_bias=False, activation="relu", **FIRST),
        normal(2, 4, 7),
        n=14,
        note="first",
    ),
    layer(New("DepthwiseConv2D", 2, 2, dilation_rate=2), normal(2, 7, 6, 4), n=60, note="both"),
    layer(New("DepthwiseConv2D", 3, 2, "same", **DEPTHWISE, **BIAS), IMAGE, n=60),
    layer(
        New("DepthwiseConv2D", (3, 2), depth_multiplier=2, dilation_rate=2, use_bias=False), IMAGE, n=60, note="deep"
    ),
    layer(New("DepthwiseConv2D", 2, activation="tanh", **FIRST), normal(2, 4, 5, 6), n=60, note="first"),
    # Two kernels one after the other.
    layer(
        New("SeparableConv1D", 3, 3, 2, "same", depth_multiplier=2, **DEPTHWISE, **POINTWISE, **BIAS), SEQUENCE, n=64
    ),
    layer(New("SeparableConv1D", 3, 3, dilation_rate=2, use_bias=False, **FIRST), normal(2, 4, 7), n=42, note="first"),
    layer(New("SeparableConv2D", 3, 2, 2, "same", dilation_rate=2), normal(2, 7, 6, 4), n=60, note="both"),
    layer(New("SeparableConv2D", 3, 3, 2, "same", **DEPTHWISE, **POINTWISE, **BIAS), IMAGE, n=72),
    layer(
        New("SeparableConv2D", 3, 2, dilation_rate=2, depth_multiplier=2, activation="relu"), IMAGE, n=96, note="deep"
    ),
    layer(New("SeparableConv2D", 3, 2, use_bias=False, **FIRST), normal(2, 4, 5, 6), n=96, note="first"),
]
