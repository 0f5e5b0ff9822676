"""What the standard lacks, written once in the standard; backends lower what they do better."""

from ._op import Op
from .activation import (
    elu,
    gelu,
    leaky_relu,
    log_softmax,
    logsumexp,
    relu,
    sigmoid,
    silu,
    softmax,
    softplus,
    tanh,
)
from .attention import attention_scores, dot_product_attention
from .conv import conv
from .crossentropy import label_crossentropy
from .dropout import dropout
from .linear import embedding, linear
from .manipulation import all_finite, join_last, one_hot, pad, split, split_last
from .norm import batch_normalization, layer_normalization, moments, normalize_batch
from .optimize import adam
from .pool import average_pool, max_pool
from .recurrent import gru, lstm
from .scatter import scatter_add
from .special import erf, erf_inv

__all__ = [
    "Op",
    "adam",
    "all_finite",
    "attention_scores",
    "average_pool",
    "batch_normalization",
    "conv",
    "dot_product_attention",
    "dropout",
    "elu",
    "embedding",
    "erf",
    "erf_inv",
    "gelu",
    "gru",
    "join_last",
    "label_crossentropy",
    "layer_normalization",
    "leaky_relu",
    "linear",
    "log_softmax",
    "logsumexp",
    "lstm",
    "max_pool",
    "moments",
    "normalize_batch",
    "one_hot",
    "pad",
    "relu",
    "scatter_add",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "split",
    "split_last",
    "tanh",
]
