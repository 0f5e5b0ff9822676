"""What layers refuse. To add a case, add a line to one of the two tables.

`ARGUMENTS`: (a function that makes the layer, the argument at fault, a part of the message). An ArgumentError has to
name the argument, and to say what came. `SHAPES`: (layer, shapes of its inputs, the argument, a part of the message);
a ShapeError or ArgumentError comes where the layer is given arrays of these shapes, on `Spec`s already.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from backends import EAGER, TRAINING

import kfunc as kf
from kfunc import nn
from kfunc.registry import to_config

_LLAMA3 = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8}
_LONG = {"short_factor": [1.0], "long_factor": [2.0], "original_max_position_embeddings": 8}

RATED = (nn.Dropout, nn.AlphaDropout, nn.GaussianDropout, nn.SpatialDropout1D, nn.SpatialDropout2D, nn.SpatialDropout3D)
CONVOLUTIONS = (
    *(nn.Conv1D, nn.Conv2D, nn.Conv3D, nn.Conv1DTranspose, nn.Conv2DTranspose, nn.Conv3DTranspose),
    *(nn.SeparableConv1D, nn.SeparableConv2D),
)
WITH_EPSILON = (nn.BatchNormalization, nn.LayerNormalization, nn.GroupNormalization, nn.RMSNormalization)

SPATIAL = tuple(getattr(nn, f"{name}{n}D") for name in ("Cropping", "ZeroPadding", "UpSampling") for n in (1, 2, 3))
POOLINGS = tuple(getattr(nn, f"{name}Pooling{n}D") for name in ("Max", "Average") for n in (1, 2, 3))
ADAPTIVE = tuple(getattr(nn, f"Adaptive{name}Pooling{n}D") for name in ("Max", "Average") for n in (1, 2, 3))
GLOBAL = tuple(getattr(nn, f"Global{name}Pooling{n}D") for name in ("Max", "Average") for n in (1, 2, 3))

RECURRENT = (nn.LSTM, nn.GRU, nn.SimpleRNN, nn.LSTMCell, nn.GRUCell, nn.SimpleRNNCell)

ARGUMENTS = [
    *(
        (lambda v=v: nn.Dense(v), "units", "positive integer")
        for v in (0, -1, "3", 2.5, True, None, np.int64(-3), np.float32(3))
    ),
    (lambda: nn.Dense(3, "rleu"), "activation", "did you mean 'relu'"),
    (lambda: nn.Dense(3, 7), "activation", "a name, a function or None"),
    (lambda: nn.Dense(3, use_bias="no"), "use_bias", "a bool"),
    (lambda: nn.Dense(3, use_bias=1), "use_bias", "a bool"),
    (lambda: nn.Dense(3, kernel_initializer="glorot"), "kernel_initializer", "did you mean"),
    (lambda: nn.Dense(3, kernel_initializer=0.5), "kernel_initializer", "a name, a function"),
    (lambda: nn.Dense(3, kernel_regularizer="l3"), "kernel_regularizer", "did you mean"),
    (lambda: nn.Dense(3, bias_regularizer=0.1), "bias_regularizer", "a name, a function"),
    (lambda: nn.Dense(3, kernel_constraint="max"), "kernel_constraint", "one of"),
    (lambda: nn.Dense(3, bias_constraint=[]), "bias_constraint", "a name, a function"),
    (lambda: nn.Dense(3, trainable=1), "trainable", "a bool"),
    (lambda: nn.Dense(3, activity_regularizer=0.1), "activity_regularizer", "a name, a function"),
    (lambda: nn.Dense(3, dtype="float12"), "dtype", "one of"),
    (lambda: nn.Dense(3, name="a/b"), "name", "letters"),
    *((lambda v=v: nn.EinsumDense(v, 3), "equation", "ab,bc->ac") for v in ("ab,bc", "a...,bc->ac", "a,b,c->d", 3)),
    (lambda: nn.EinsumDense("ab,bcd->ac", 3), "equation", "axes d"),
    (lambda: nn.EinsumDense("ab,bc->acd", 3), "equation", "axes d"),
    (lambda: nn.EinsumDense("ab,bc->ac", 3, bias_axes="b"), "bias_axes", "axes b"),
    (lambda: nn.EinsumDense("ab,bc->ac", 3, bias_axes=""), "bias_axes", "letters or None"),
    *((lambda v=v: nn.EinsumDense("ab,bc->ac", v), "output_shape", "positive") for v in (0, "3", 2.5, True, (2, -1))),
    *((lambda v=v: nn.Embedding(v, 3), "input_dim", "positive integer") for v in (0, "3", 2.5, True)),
    *((lambda v=v: nn.Embedding(3, v), "output_dim", "positive integer") for v in (0, "3", 2.5, True)),
    (lambda: nn.Embedding(3, 2, mask_zero=0), "mask_zero", "a bool"),
    (lambda: nn.Embedding(3, 2, weights=np.ones((2, 3), np.float32)), "weights", "shape (3, 2)"),
    (lambda: nn.Embedding(3, 2, "unform"), "embeddings_initializer", "did you mean"),
    (lambda: nn.ReversibleEmbedding(0, 3), "input_dim", "positive integer"),
    (lambda: nn.ReversibleEmbedding(3, "2"), "output_dim", "positive integer"),
    (lambda: nn.ReversibleEmbedding(3, 2, tie_weights=None), "tie_weights", "a bool"),
    (lambda: nn.ReversibleEmbedding(3, 2, reverse_dtype="int8"), "reverse_dtype", "'float32'"),
    (lambda: nn.ReversibleEmbedding(3, 2, logit_soft_cap=0), "logit_soft_cap", "above 0"),
    *((lambda v=v: nn.Masking(v), "mask_value", "a number") for v in ("0", None, True)),
    (lambda: nn.Lambda(3), "function", "a function"),
    (lambda: nn.Lambda("custom:unknown"), "function", "one of"),
    (lambda: nn.Lambda(abs, arguments=[3]), "arguments", "a dict"),
    (lambda: nn.Activation("softmx"), "activation", "did you mean 'softmax'"),
    *((lambda v=v: nn.ReLU(max_value=v), "max_value", "at least 0") for v in (-1.0, "6", float("nan"), True)),
    *((lambda v=v: nn.ReLU(negative_slope=v), "negative_slope", "at least 0") for v in (-1.0, None)),
    *((lambda v=v: nn.ReLU(threshold=v), "threshold", "at least 0") for v in (-1.0, None)),
    *((lambda v=v: nn.LeakyReLU(v), "negative_slope", "at least 0") for v in (-0.1, None, "1")),
    *((lambda v=v: nn.ELU(v), "alpha", "a finite number") for v in (None, "1", float("inf"))),
    *((lambda v=v: nn.Lambda(abs, output_shape=v), "output_shape", "a tuple") for v in (3, 2.5)),
    *((lambda v=v: nn.PReLU(shared_axes=v), "shared_axes", "positive integer") for v in (0, (1, -1), "1", (1.0,))),
    (lambda: nn.PReLU("ons"), "alpha_initializer", "did you mean"),
    *((lambda v=v: nn.Softmax(v), "axis", "integer") for v in ("1", None, 1.0, (0, "1"), ())),
    *((lambda c=c, v=v: c(v), "rate", "0 <= rate <") for c in RATED for v in (-0.1, 1.1, "0.5", None, True)),
    *((lambda c=c: c(1), "rate", "0 <= rate < 1") for c in (nn.AlphaDropout, nn.GaussianDropout)),
    (lambda: nn.Dropout(0.5, seed="1"), "seed", "an integer"),
    *((lambda v=v: nn.Dropout(0.5, v), "noise_shape", "None") for v in (3, "12", (0, 1), (1.0,))),
    (lambda: nn.AlphaDropout(0.5, "12"), "noise_shape", "None"),
    (lambda: nn.SpatialDropout2D(0.5, "first"), "data_format", "'channels_first'"),
    (lambda: nn.SpatialDropout3D(0.5, 1), "data_format", "'channels_first'"),
    *((lambda v=v: nn.GaussianNoise(v), "stddev", "at most 1") for v in (-0.1, 1.1, "1", None)),
    (lambda: nn.ActivityRegularization(l1=-1), "l1", "a finite number"),
    (lambda: nn.ActivityRegularization(l2="1"), "l2", "a finite number"),
    *((lambda v=v: nn.Conv2D(v, 3), "filters", "positive integer") for v in (0, -1, "3", 2.5, True, None)),
    *((lambda v=v: nn.Conv2D(4, v), "kernel_size", "at least 1") for v in (0, "3", 2.5, True, (3,), (3, 0), (3, "3"))),
    *((lambda v=v: nn.Conv1D(4, 3, v), "strides", "at least 1") for v in (0, "3", 2.5, True, (1, 1))),
    *((lambda v=v: nn.Conv3D(4, 3, dilation_rate=v), "dilation_rate", "at least 1") for v in (0, (1, 1), [1, 1, -1])),
    *((lambda c=c: c(4, 3, 2, dilation_rate=2), "dilation_rate", "strides=1 or") for c in CONVOLUTIONS[:6]),
    *((lambda c=c: c(4, 3, padding="full"), "padding", "'same'") for c in CONVOLUTIONS),
    *((lambda c=c: c(4, 3, padding="causal"), "padding", "'same'") for c in CONVOLUTIONS if c is not nn.Conv1D),
    *((lambda c=c: c(4, 3, data_format="NHWC"), "data_format", "'channels_first'") for c in CONVOLUTIONS),
    *((lambda v=v: nn.Conv2D(4, 3, groups=v), "groups", "positive integer") for v in (0, "2", 1.0)),
    (lambda: nn.Conv2D(4, 3, groups=3), "groups", "a divisor of 4"),
    (lambda: nn.Conv2D(4, 3, activation="rleu"), "activation", "did you mean 'relu'"),
    (lambda: nn.Conv2D(4, 3, use_bias=None), "use_bias", "a bool"),
    (lambda: nn.Conv2D(4, 3, kernel_regularizer="l3"), "kernel_regularizer", "did you mean"),
    *(
        (lambda v=v: nn.Conv2DTranspose(4, 3, 2, output_padding=v), "output_padding", "0")
        for v in (-1, "1", (0,), True)
    ),
    *((lambda v=v: nn.Conv2DTranspose(4, 3, 2, output_padding=v), "output_padding", "below") for v in (2, (1, 2))),
    *((lambda v=v: nn.DepthwiseConv2D(3, depth_multiplier=v), "depth_multiplier", "positive") for v in (0, "2", 1.5)),
    (lambda: nn.SeparableConv2D(4, 3, depth_multiplier=0), "depth_multiplier", "positive integer"),
    (lambda: nn.SeparableConv2D(4, 3, pointwise_initializer="he_norml"), "pointwise_initializer", "did you mean"),
    *((lambda v=v: nn.BatchNormalization(v), "axis", "an integer") for v in ("1", 1.0, None, True, (1, 2))),
    *((lambda v=v: nn.BatchNormalization(momentum=v), "momentum", "at most 1") for v in (-0.1, 1.1, "1", None)),
    *((lambda v=v: nn.BatchNormalization(renorm_momentum=v), "renorm_momentum", "at most 1") for v in (-0.1, 1.1)),
    *((lambda c=c: c(epsilon=-1e-3), "epsilon", "at least 0") for c in WITH_EPSILON),
    *((lambda c=c: c(epsilon="0"), "epsilon", "a finite number") for c in WITH_EPSILON),
    *(
        (lambda v=v: nn.BatchNormalization(renorm=True, renorm_clipping=v), "renorm_clipping", "")
        for v in ({"max": 3}, {"rmin": 2, "rmax": 1}, {"dmax": -1}, {"dmax": "1"}, 3)
    ),
    (lambda: nn.BatchNormalization(scale=1), "scale", "a bool"),
    (lambda: nn.BatchNormalization(beta_initializer="zero s"), "beta_initializer", "did you mean"),
    *(
        (lambda c=c, v=v: c(v), "axis", "an integer")
        for c in (nn.LayerNormalization, nn.RMSNormalization, nn.UnitNormalization)
        for v in ("1", None, 1.0, (), (1, "2"))
    ),
    *((lambda v=v: nn.GroupNormalization(v), "groups", "integer") for v in (0, -2, "4", 2.5, True, None)),
    *((lambda v=v: nn.SpectralNormalization(v), "layer", "a layer") for v in ("dense", None)),
    *((lambda v=v: nn.SpectralNormalization(nn.Dense(3), v), "power_iterations", "positive") for v in (0, "1", 1.5)),
    (lambda: nn.Concatenate("1"), "axis", "an integer"),
    *((lambda v=v: nn.Dot(v), "axes", "none 0") for v in (0, "1", 1.0, None, True, (1,), (1, 2, 1), (1, 0), (1, "2"))),
    (lambda: nn.Dot(1, normalize=1), "normalize", "a bool"),
    *((lambda c=c: c(data_format="last"), "data_format", "'channels_first'") for c in (nn.Flatten, *SPATIAL)),
    *((lambda v=v: nn.Reshape(v), "target_shape", "one that may be -1") for v in (3, "3", (-1, -1), (-2,), (2.0,))),
    *((lambda v=v: nn.Permute(v), "dims", "once") for v in (1, "12", (0, 1), (1, 1), (1, 3), ("1",), (1.0, 2))),
    *((lambda v=v: nn.RepeatVector(v), "n", "positive integer") for v in (0, "3", 2.5, True)),
    *((lambda v=v: nn.Cropping1D(v), "cropping", "(before, after)") for v in (-1, "1", 1.0, True, (1,), ((1, 1),))),
    *((lambda v=v: nn.Cropping2D(v), "cropping", "2 pairs") for v in (-1, (1, 2, 3), ((1, 2), (0, -1)), "12", None)),
    *((lambda v=v: nn.Cropping3D(v), "cropping", "3 pairs") for v in ((1, 2), ((1, 1), (1, 1), (1, 1.5)))),
    *((lambda v=v: nn.ZeroPadding1D(v), "padding", "(before, after)") for v in (-1, (1, 2, 3), "same")),
    *((lambda v=v: nn.ZeroPadding2D(v), "padding", "2 pairs") for v in (-1, True, (1,), ((1,), (1,)))),
    (lambda: nn.ZeroPadding3D((1, 2)), "padding", "3 pairs"),
    *((lambda v=v: nn.UpSampling1D(v), "size", "at least 1") for v in (0, "2", 1.5, True, (2, 2))),
    (lambda: nn.UpSampling2D((2, 0)), "size", "2 of them"),
    (lambda: nn.UpSampling2D(interpolation="cubic"), "interpolation", "'bicubic'"),
    (lambda: nn.UpSampling3D((2, 2)), "size", "3 of them"),
    *(
        (lambda c=c, v=v: c(v), "pool_size", "at least 1")
        for c in POOLINGS
        for v in (0, "2", 1.5, True, None, (1,) * 4)
    ),
    *((lambda c=c, v=v: c(2, v), "strides", "at least 1") for c in POOLINGS for v in (0, "2", (1,) * 4)),
    *((lambda c=c, v=v: c(2, padding=v), "padding", "'same'") for c in POOLINGS for v in ("full", 1, None)),
    *((lambda c=c: c(2, data_format="NHWC"), "data_format", "'channels_first'") for c in (*POOLINGS, *ADAPTIVE)),
    *((lambda c=c, v=v: c(v), "output_size", "at least 1") for c in ADAPTIVE for v in (0, "2", True, None, (1,) * 4)),
    *((lambda c=c: c(keepdims=1), "keepdims", "a bool") for c in GLOBAL),
    *((lambda v=v: nn.Attention(dropout=v), "dropout", "0 <= dropout <= 1") for v in (-0.1, 1.1, "0.5", None, True)),
    (lambda: nn.Attention(use_scale=1), "use_scale", "a bool"),
    (lambda: nn.Attention(score_mode="add"), "score_mode", "'concat'"),
    (lambda: nn.AdditiveAttention(seed="1"), "seed", "an integer"),
    *((lambda v=v: nn.MultiHeadAttention(v, 3), "num_heads", "positive integer") for v in (0, "2", 2.5, True, None)),
    *((lambda v=v: nn.MultiHeadAttention(2, v), "key_dim", "positive integer") for v in (0, "2", 2.5, True, None)),
    *((lambda v=v: nn.MultiHeadAttention(2, 3, v), "value_dim", "positive integer") for v in (0, "2", 2.5, True)),
    *(
        (lambda v=v: nn.MultiHeadAttention(2, 3, dropout=v), "dropout", "0 <= dropout <= 1")
        for v in (1.1, -1, "0", None)
    ),
    *((lambda v=v: nn.MultiHeadAttention(2, 3, output_shape=v), "output_shape", "") for v in (0, "3", 2.5, (2, 0), ())),
    *(
        (lambda v=v: nn.MultiHeadAttention(2, 3, attention_axes=v), "attention_axes", "")
        for v in ("1", 1.5, (), (1.0,))
    ),
    *((lambda v=v: nn.MultiHeadAttention(2, 3, sliding_window=v), "sliding_window", "positive") for v in (0, "1", 2.5)),
    (lambda: nn.MultiHeadAttention(2, 3, flash_attention="yes"), "flash_attention", "a bool"),
    (lambda: nn.MultiHeadAttention(2, 3, use_gate=None), "use_gate", "a bool"),
    (lambda: nn.MultiHeadAttention(2, 3, rotary=True), "rotary", "nn.RotaryEmbedding()"),
    (lambda: nn.MultiHeadAttention(2, 3, query_norm="rms"), "query_norm", "nn.RMSNormalization()"),
    (lambda: nn.GroupQueryAttention(3, 4, 2, key_norm="rms"), "key_norm", "nn.RMSNormalization()"),
    *((lambda v=v: nn.MultiHeadAttention(2, 3, scale=v), "scale", "a finite number") for v in ("1", float("inf"))),
    *((lambda v=v: nn.MultiHeadAttention(2, 3, attn_logits_soft_cap=v), "attn_logits_soft_cap", "") for v in (0, "1")),
    *((lambda v=v: nn.MultiHeadAttention(2, 3, use_bias=v), "use_bias", "query, key") for v in (1, "query", ["gate"])),
    *((lambda v=v: nn.RelativePositionBias(v), "num_heads", "positive integer") for v in (0, "2")),
    *((lambda v=v: nn.RelativePositionBias(2, v), "num_buckets", "at least 4") for v in (3, "8")),
    *((lambda v=v: nn.RelativePositionBias(2, 8, v), "max_distance", "at least 8") for v in (7, "8", 2**40)),
    (lambda: nn.RelativePositionBias(2, bidirectional=1), "bidirectional", "a bool"),
    *((lambda v=v: nn.AlibiBias(v), "num_heads", "positive integer") for v in (0, "2")),
    (lambda: nn.MultiHeadAttention(2, 3).init_cache(1, 2, rolling=True), "rolling", "sliding_window"),
    (lambda: nn.MultiHeadAttention(2, 3).init_cache(1, 2, within=nn.Dense(1)), "within", "this layer"),
    (lambda: nn.MultiHeadAttention(2, 3, kernel_regularizer="l3"), "kernel_regularizer", "did you mean"),
    *((lambda v=v: nn.GroupQueryAttention(v, 4, 2), "head_dim", "positive integer") for v in (0, "2", 2.5, True)),
    *((lambda v=v: nn.GroupQueryAttention(3, v, 2), "num_query_heads", "positive integer") for v in (0, "2", 2.5)),
    *((lambda v=v: nn.GroupQueryAttention(3, 4, v), "num_key_value_heads", "") for v in (0, "2", 2.5, 3, 8)),
    *((lambda v=v: nn.RotaryEmbedding(v), "max_wavelength", "above 0") for v in (0, -1, "1", None, True)),
    *((lambda v=v: nn.RotaryEmbedding(scaling_factor=v), "scaling_factor", "above 0") for v in (0, "1", float("nan"))),
    *((lambda v=v: nn.RotaryEmbedding(sequence_axis=v), "sequence_axis", "") for v in (0, -1, "1", 1.0)),
    *((lambda v=v: nn.RotaryEmbedding(partial_rotary_factor=v), "partial_rotary_factor", "") for v in (0, 1.5, "1")),
    (lambda: nn.RotaryEmbedding(interleaved=1), "interleaved", "a bool"),
    *(
        (lambda v=v: nn.RotaryEmbedding(scaling=v), argument, said)
        for v, argument, said in (
            ("linear", "scaling", "a dict"),
            ({"factor": 2.0}, "scaling", "rope_type"),
            ({"rope_type": "cubic"}, "scaling", "'cubic' is unknown"),
            ({"rope_type": "linear"}, "scaling", "lacks factor"),
            ({"rope_type": "yarn", "factor": 2.0}, "scaling", "original_max_position_embeddings"),
            ({"rope_type": "linear", "factor": 2.0, "alpha": 1}, "scaling", "no argument 'alpha'"),
            ({"rope_type": "linear", "factor": 0}, "factor", "above 0"),
            ({"rope_type": "llama3", "factor": 2.0, **_LLAMA3, "high_freq_factor": 1.0}, "high_freq_factor", "above"),
            ({"rope_type": "longrope", "factor": 2.0, **_LONG, "long_factor": 2.0}, "long_factor", "a list"),
        )
    ),
    *((lambda v=v: nn.RotaryEmbedding(feature_axis=v), "feature_axis", "integer") for v in ("1", 1.0, None)),
    *((lambda c=c: c("first"), "data_format", "'channels_first'") for c in GLOBAL),
    *((lambda c=c, v=v: c(v), "units", "positive integer") for c in RECURRENT for v in (0, -1, "3", 2.5, True)),
    *((lambda c=c: c(3, "tahn"), "activation", "did you mean 'tanh'") for c in RECURRENT),
    *((lambda c=c, v=v: c(3, dropout=v), "dropout", "0 <= dropout <= 1") for c in RECURRENT for v in (1.1, -0.1, "no")),
    *((lambda c=c: c(3, recurrent_dropout=2), "recurrent_dropout", "<= 1") for c in RECURRENT),
    *((lambda c=c: c(3, use_bias=1), "use_bias", "a bool") for c in RECURRENT),
    *((lambda c=c: c(3, seed=0.5), "seed", "an integer") for c in RECURRENT),
    *((lambda c=c: c(3, recurrent_constraint=1.0), "recurrent_constraint", "a name") for c in RECURRENT),
    *((lambda c=c: c(3, stateful=1), "stateful", "a bool") for c in RECURRENT[:3]),
    *((lambda c=c: c(3, unroll="yes"), "unroll", "a bool") for c in RECURRENT[:3]),
    *((lambda c=c: c(3, use_cudnn=1), "use_cudnn", "'auto'") for c in (nn.LSTM, nn.GRU)),
    *(
        (lambda c=c: c(3, recurrent_activation="sig"), "recurrent_activation", "did you mean")
        for c in (nn.LSTM, nn.GRUCell)
    ),
    (lambda: nn.GRUCell(3, reset_after=1), "reset_after", "a bool"),
    (lambda: nn.LSTM(3, unit_forget_bias=None), "unit_forget_bias", "a bool"),
    (lambda: nn.RNN(nn.Dense(3)), "cell", "a state_size"),
    (lambda: nn.RNN([]), "cells", "a list of cells"),
    (lambda: nn.RNN(nn.LSTMCell(3), return_sequences=1), "return_sequences", "a bool"),
    (lambda: nn.StackedRNNCells([nn.LSTMCell(3), nn.LSTM(3)]), "cells", "a state_size"),
    (lambda: nn.StackedRNNCells(nn.LSTMCell(3)), "cells", "a list of cells"),
    *((lambda v=v: nn.ConvLSTM2D(v, 3), "filters", "positive integer") for v in (0, "3", 2.5, True)),
    *((lambda v=v: nn.ConvLSTM2D(2, v), "kernel_size", "integer") for v in (0, "3", 2.5, (3, 3, 3))),
    (lambda: nn.ConvLSTM1D(2, 3, padding="causal"), "padding", "'same'"),
    (lambda: nn.ConvLSTM1D(2, 3, data_format="last"), "data_format", "channels_first"),
    (lambda: nn.ConvLSTM3D(2, 3, dropout=2), "dropout", "<= 1"),
    (lambda: nn.Bidirectional(nn.Dense(3)), "layer", "an LSTM"),
    (lambda: nn.Bidirectional(nn.LSTM(3), "max"), "merge_mode", "'concat'"),
    (lambda: nn.Bidirectional(nn.LSTM(3), "sum", [1.0]), "weights", "None"),
    (lambda: nn.Bidirectional(nn.LSTM(3), backward_layer=3), "backward_layer", "an LSTM"),
    (lambda: nn.Bidirectional(nn.LSTM(3), backward_layer=nn.LSTM(3)), "backward_layer", "go_backwards=True"),
    (
        lambda: nn.Bidirectional(nn.LSTM(3), backward_layer=nn.LSTM(3, return_state=True, go_backwards=True)),
        "backward_layer",
        "return_state=False",
    ),
    (lambda: nn.TimeDistributed(3), "layer", "a layer"),
]

SHAPES = [
    *((layer(2), [(3, 4)], "x", "3 axes") for layer in RECURRENT[:3]),
    *((layer(2), [(3, 4, 5), (3, 2)], "x", "2 axes") for layer in RECURRENT[4:]),
    (nn.RNN(nn.LSTMCell(2)), [(3, 4)], "x", "3 axes or more"),
    (nn.LSTM(2), [(3, 4, 5), (3, 2)], "initial_state", "2 arrays"),
    (nn.GRU(2), [(3, 4, 5), (3, 3)], "initial_state", "(3, 2)"),
    (nn.LSTM(2, unroll=True), [(3, None, 5)], "x", "known sizes"),
    (nn.GRU(2, stateful=True), [(None, 4, 5)], "x", "known batch"),
    (nn.ConvLSTM2D(2, 3), [(3, 4, 8, 8)], "x", "5 axes"),
    (nn.ConvLSTM1D(2, 3), [(3, 4, 8, None)], "x", "known sizes"),
    (nn.TimeDistributed(nn.Dense(2)), [(3, 4)], "x", "3 axes or more"),
    (nn.TimeDistributed(nn.Dense(2)), [(3, 4, 5), (3, 3)], "mask", "(3, 4)"),
    (nn.TimeDistributed(nn.Dense(2)), [(3, 4, None)], "x", "known sizes"),
    (nn.Conv2D(4, 3), [(2, 8, 8)], "x", "4 axes"),
    (nn.Conv2D(4, 3), [(2, 8, 8, None)], "x", "channels"),
    (nn.Conv2D(4, 3, groups=2), [(2, 8, 8, 3)], "x", "2 groups"),
    (nn.Conv2D(4, 3), [(2, 2, 8, 3)], "inputs", "at least 3"),
    (nn.Conv1D(4, 3, data_format="channels_first"), [(2, None, 8)], "x", "channels_first"),
    (nn.Conv3DTranspose(4, 3), [(2, 8, 8, 3)], "x", "5 axes"),
    *((c(4, 3), [(2, 8, 8, 8, 0)[5 - c.rank - 2 :]], "x", "channels") for c in CONVOLUTIONS),
    (nn.DepthwiseConv2D(3), [(2, 8, 3)], "x", "4 axes"),
    (nn.SeparableConv1D(4, 3), [(2, 8, 8, 3)], "x", "3 axes"),
    (nn.BatchNormalization(2), [(3, 4)], "axis", "(3, 4)"),
    (nn.BatchNormalization(), [(3, None)], "axis", "of known size"),
    (nn.LayerNormalization((1, 3)), [(3, 4, 5)], "axis", "(3, 4, 5)"),
    (nn.GroupNormalization(), [(3, 4)], "groups", "multiple of 32"),
    (nn.GroupNormalization(3), [(3, 4)], "groups", "multiple of 3"),
    (nn.GroupNormalization(-1), [(3, 0)], "groups", "(3, 0)"),
    (nn.GroupNormalization(2, axis=0), [(4, 4)], "groups", "axis 0"),
    (nn.RMSNormalization(-3), [(3, 4)], "axis", "(3, 4)"),
    (nn.UnitNormalization((0, 2)), [(3, 4)], "axis", "(3, 4)"),
    (nn.SpectralNormalization(nn.Flatten()), [(3, 4)], "layer", "'kernel' or 'embeddings'"),
    (nn.Dense(3), [()], "x", "1 axis or more"),
    (nn.Dense(3), [(2, None)], "kernel", "is not known"),
    (nn.EinsumDense("abc,cd->abd", (None, 5)), [(2, 3)], "x", "the axes abc"),
    (nn.EinsumDense("abc,cd->abd", 5), [(2, 3, 4)], "output_shape", "2 sizes"),
    (nn.EinsumDense("abc,cd->abd", (4, 5)), [(2, 3, 4)], "output_shape", "in the input, and 4"),
    (nn.EinsumDense("...bc,cd->...bd", (4, 5)), [(2, 3, 4)], "output_shape", "in the input, and 4"),
    (nn.Masking(), [(3,)], "x", "2 axes or more"),
    (nn.PReLU(), [(3,)], "x", "2 axes or more"),
    (nn.PReLU(shared_axes=2), [(3, 2)], "x", "3 axes or more"),
    (nn.SpatialDropout1D(0.5), [(2, 3)], "x", "3 axes"),
    (nn.SpatialDropout2D(0.5), [(2, 3, 4)], "x", "4 axes"),
    (nn.SpatialDropout3D(0.5), [(2, 3, 4)], "x", "5 axes"),
    (nn.Lambda(lambda x: x, (3,)), [(2, 4)], "output_shape", "(None, 3)"),
    (nn.Lambda(lambda x: x, lambda shape: (*shape, 1)), [(2, 4)], "output_shape", "(2, 4, 1)"),
    (nn.Flatten(), [()], "x", "1 axis or more"),
    (nn.Reshape((3, 5)), [(2, 4, 4)], "target_shape", "16 elements"),
    (nn.Reshape((3, -1)), [(2, 4, 4)], "target_shape", "16 elements"),
    (nn.Reshape((0, -1)), [(2, 4, 4)], "target_shape", "16 elements"),
    (nn.Permute((2, 1)), [(2, 3)], "x", "3 axes"),
    (nn.RepeatVector(3), [(2, 3, 4)], "x", "2 axes"),
    (nn.Cropping1D((1, 2)), [(None, 3, 4)], "x", "sizes above 3"),
    (nn.Cropping2D((1, 2), "channels_first"), [(None, 3, 3, 4)], "x", "sizes above 2 and 4"),
    *((c(), [(2, 3)], "x", "axes") for c in (*SPATIAL, *GLOBAL)),
    *((c(1), [(2, 3)], "x", "axes") for c in (*POOLINGS, *ADAPTIVE)),
    *((c(9), [(2, 3, 3, 3, 4)[5 - n :]], "inputs", "at least 9") for c, n in zip(POOLINGS, (3, 4, 5) * 2, strict=True)),
]


def named(x):
    return x if isinstance(x, str) else ""


@pytest.mark.parametrize(("make", "argument", "part"), ARGUMENTS, ids=named)
def test_constructors_refuse(make, argument, part):
    with pytest.raises(kf.errors.ArgumentError) as caught:
        make()
    assert caught.value.argument == argument and caught.value.got is not None
    assert part in str(caught.value)


@pytest.mark.parametrize(("layer", "shapes", "argument", "part"), SHAPES, ids=lambda x: type(x).__name__)
def test_calls_refuse(layer, shapes, argument, part):
    with pytest.raises((kf.errors.ShapeError, kf.errors.ArgumentError, kf.errors.ParamError)) as caught:
        layer.init(0, *(kf.Spec(shape) for shape in shapes))
    assert caught.value.argument == argument
    assert part in str(caught.value)


def test_numpy_numbers_are_kept_as_python_numbers():
    """Fractions, and integers in tuples, as Keras takes them; files hold no others."""
    layer = nn.Conv2D(4, (np.int64(3), 2), [np.int32(1), 1], padding="SAME")
    kept = (*layer.kernel_size, *layer.strides, nn.Dropout(np.float32(0.5)).rate)
    assert kept == (3, 2, 1, 1, 0.5) and {type(n) for n in kept} == {int, float}
    assert layer.padding == "same"


def test_softmax_refuses_masks_that_do_not_broadcast():
    for mask in ((3,), (2, 1, 4), (2, 1)):
        with pytest.raises(kf.errors.ShapeError, match="broadcasts"):
            nn.Softmax().apply({}, np.ones((1, 4), np.float32), mask=np.ones(mask, bool))


def test_noise_shapes_must_broadcast():
    x = np.ones((2, 4), np.float32)
    for layer in (nn.Dropout(0.5, (3, 4)), nn.Dropout(0.5, (4,)), nn.AlphaDropout(0.5, (2, 2))):
        with pytest.raises(kf.errors.ShapeError, match="noise_shape"):
            layer.apply({}, x, key=0, train=True)


def test_indices_of_half_precision_are_refused():
    layer = nn.Embedding(3, 2)
    params, _ = layer.init(0, np.ones(2, np.int32))
    want, _ = layer.apply(params, np.asarray([1, 2]))
    np.testing.assert_array_equal(layer.apply(params, np.asarray([1.0, 2.0], np.float32))[0], want)
    with pytest.raises(kf.errors.ArgumentError, match="integers"):
        layer.apply(params, np.ones(2, np.float16))


# -- what they accept beside Python's numbers ------------------------------------------------------------------------

ACCEPTED = [
    (lambda: nn.Dense(np.int64(3)), "Dense(units=3)"),
    (
        lambda: nn.Conv2D(np.int32(3), (np.int64(2), 1), strides=np.uint8(2)),
        "Conv2D(filters=3, kernel_size=(2, 1), strides=2)",
    ),
    (lambda: nn.Embedding(np.uint8(3), np.int64(4)), "Embedding(input_dim=3, output_dim=4)"),
    (lambda: nn.LSTM(np.int64(3), seed=np.int64(1), dropout=np.float32(0.5)), "LSTM(units=3, dropout=0.5, seed=1)"),
    (lambda: nn.BatchNormalization(axis=np.int64(1)), "BatchNormalization(axis=1)"),
    (lambda: nn.Dot(np.int64(1)), "Dot(axes=1)"),
    (lambda: nn.ZeroPadding2D([np.int64(1), np.int64(2)]), "ZeroPadding2D(padding=(1, 2))"),
    (lambda: kf.metrics.TopKCategoricalAccuracy(np.int64(2)), "TopKCategoricalAccuracy(k=2)"),
    (lambda: kf.metrics.Precision(np.float64(0.25)), "Precision(thresholds=0.25, name='precision')"),
    (lambda: kf.losses.Huber(np.float32(0.5)), "Huber(delta=0.5)"),
    (lambda: nn.initializers.GlorotUniform(np.int64(3)), "GlorotUniform(seed=3)"),
    (lambda: kf.optim.adam(np.float32(0.5)), "Adam(learning_rate=0.5)"),
    (lambda: nn.regularizers.get("l1l2"), "L1L2()"),
    (lambda: nn.Dropout(1), "Dropout(rate=1)"),
    (lambda: kf.metrics.AUC(num_thresholds=None, thresholds=[0.5]).num_thresholds, "3"),
    (lambda: nn.Input(batch_shape=(2, None, 3)).shape, "(2, None, 3)"),
    (lambda: nn.Input((np.int64(3),), batch_size=np.int64(2)).shape, "(2, 3)"),
]


@pytest.mark.parametrize(("make", "text"), ACCEPTED, ids=[text for _, text in ACCEPTED])
def test_constructors_accept(make, text):
    """NumPy's numbers become Python's, so that files can hold them."""
    made = make()
    assert repr(made) == text
    category = {"nn": "layer", "losses": "loss", "metrics": "metric", "optim": "optimizer"}
    theme = type(made).__module__.split(".")[1:2]
    if theme and theme[0] in category and hasattr(made, "get_config"):
        json.dumps(to_config(category[theme[0]], made))


@pytest.mark.parametrize(
    "given", [{}, {"shape": (3,), "batch_shape": (2, 3)}, {"batch_shape": (2, 3), "batch_size": 2}]
)
def test_inputs_have_one_shape(given):
    with pytest.raises(kf.errors.ArgumentError, match="either `shape`, or `batch_shape` alone"):
        nn.Input(**given)


@pytest.mark.parametrize("name", TRAINING)
def test_a_rate_of_1_drops_everything(name):
    x = kf.asarray(np.ones((2, 3, 4), np.float32), backend=name)
    for layer in (nn.Dropout(1.0), nn.Dropout(1, (None, 1, None)), nn.SpatialDropout1D(1.0)):
        out, slope = kf.value_and_grad(lambda x: kf.ops.sum(layer.apply({}, x, train=True, key=0)[0]))(x)  # noqa: B023
        assert float(kf.to_numpy(out)) == 0 and not np.any(kf.to_numpy(slope))


@pytest.mark.parametrize("name", EAGER)
def test_one_hot_labels_may_be_booleans(name):
    labels = np.eye(3, dtype=bool)[[0, 2, 1, 1]]
    scores = np.random.default_rng(0).random((4, 3)).astype(np.float32)
    for metric in (
        *(kf.metrics.CategoricalAccuracy(), kf.metrics.TopKCategoricalAccuracy(2), kf.metrics.F1Score()),
        *(kf.metrics.OneHotIoU(3, [0, 1]), kf.metrics.OneHotMeanIoU(3)),
    ):
        wanted = metric.result(metric.update(metric.init(), labels.astype(np.float32), scores))
        t, p = kf.to_backend((labels, scores), name)
        np.testing.assert_allclose(kf.to_numpy(metric.result(metric.update(metric.init(p), t, p))), wanted, rtol=1e-6)
