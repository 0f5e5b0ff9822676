"""Layers: frozen dataclasses with pure `init` and `apply`."""

from . import activations, constraints, dtype_policies, initializers, regularizers
from .attention import MultiHeadAttention
from .combinators import Residual, Sequential
from .conv import Conv2D
from .core import Activation, Dense, Dropout, Embedding, Flatten, Reshape
from .graph import Graph, Input
from .layer import Aux, Layer, layer
from .normalization import BatchNormalization, LayerNormalization
from .pooling import AveragePooling2D, GlobalAveragePooling2D, MaxPooling2D
from .recurrent import GRU, LSTM
from .scope import Scope

__all__ = [
    "GRU",
    "LSTM",
    "Activation",
    "Aux",
    "AveragePooling2D",
    "BatchNormalization",
    "Conv2D",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "GlobalAveragePooling2D",
    "Graph",
    "Input",
    "Layer",
    "LayerNormalization",
    "MaxPooling2D",
    "MultiHeadAttention",
    "Reshape",
    "Residual",
    "Scope",
    "Sequential",
    "activations",
    "constraints",
    "dtype_policies",
    "initializers",
    "layer",
    "regularizers",
]
