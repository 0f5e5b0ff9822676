"""Ops for which OpenVINO has operations. These take channels first, so arrays are transposed before and after them.

The compiler removes two transposes that follow each other.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

from ... import ops, tree
from ...ops._op import lowering
from ...ops.attention import check_attention
from ...ops.bits import fold_bits, random_bits, random_integers, random_mask
from ...ops.conv import conv_geometry, transposed_geometry
from ...ops.manipulation import pad_pairs
from ...ops.normal import normal_quantile
from ...ops.normalization import EPSILON
from ...ops.pool import adaptive_sizes, pool_geometry
from ...ops.rejection import binomial_variates, gamma_variates
from . import namespace
from .array import Array, build, ints, opset
from .backend import backend

FLOAT32 = np.dtype("float32")


def _is_float(*xs: Any) -> bool:
    """Whether the arrays among `xs` have one floating-point dtype."""
    dtypes = {x.dtype for x in xs if isinstance(x, Array)}
    return len(dtypes) == 1 and dtypes.pop().kind == "f"


def _last_to_second(x: Array) -> Array:
    """`x` with channels first; where `x` was made of such an array by a transpose, that array."""
    inner = _channels_second(x)
    return namespace.moveaxis(x, -1, 1) if inner is None else inner


def _second_to_last(x: Array) -> Array:
    return namespace.moveaxis(x, 1, -1)


def _channels_second(x: Array) -> Array | None:
    """The array that `_second_to_last` transposed to `x`; None if `x` comes from elsewhere.

    The compiler removes two transposes only if nothing stands between them. So elementwise operations are put before
    the first transpose, and the two cancel here.
    """
    node = x.node.get_node() if x.traced and x.ndim > 2 else None
    if node is None or node.get_type_name() != "Transpose":
        return None
    order = node.input_value(1).get_node()
    if order.get_type_name() != "Constant" or order.data.tolist() != [0, *range(2, x.ndim), 1]:
        return None
    return Array.of_node(node.input_value(0), x.dtype, x.traced)


def _unary(operation: Any, x: Array, *more: Any, **attributes: Any) -> Array:
    inner = _channels_second(x)
    if inner is None:
        return build(operation, x.dtype, x, *more, **attributes)
    return _second_to_last(build(operation, x.dtype, inner, *more, **attributes))


def _elementwise(op: ops.Op, operation: Any) -> None:
    @lowering(backend, op)
    def lowered(x):
        return _unary(operation, x) if _is_float(x) else NotImplemented


_elementwise(ops.relu, opset.relu)
_elementwise(ops.sigmoid, opset.sigmoid)
_elementwise(ops.silu, opset.swish)
_elementwise(ops.hard_silu, opset.hswish)
_elementwise(ops.hard_sigmoid, opset.hsigmoid)
_elementwise(ops.softplus, opset.softplus)
_elementwise(ops.erf, opset.erf)


@lowering(backend, ops.elu)
def elu(x: Any, alpha: Any = 1.0) -> Any:
    return _unary(opset.elu, x, alpha=alpha) if _is_float(x) else NotImplemented


@lowering(backend, ops.gelu)
def gelu(x: Any, approximate: bool = True) -> Any:
    mode = "tanh" if approximate else "erf"
    return _unary(opset.gelu, x, approximation_mode=mode) if _is_float(x) else NotImplemented


@lowering(backend, ops.leaky_relu)
def leaky_relu(x: Any, negative_slope: Any = 0.2) -> Any:
    if not _is_float(x) or isinstance(negative_slope, Array):
        return NotImplemented
    return _unary(opset.prelu, x, Array.concrete(np.asarray([negative_slope], x.dtype)))


@lowering(backend, ops.softmax)
def softmax(x: Any, axis: Any = -1) -> Any:
    return (
        build(opset.softmax, x.dtype, x, axis=axis % x.ndim)
        if _is_float(x) and isinstance(axis, int) and -x.ndim <= axis < x.ndim
        else NotImplemented
    )


@lowering(backend, ops.log_softmax)
def log_softmax(x: Any, axis: Any = -1) -> Any:
    return (
        build(opset.log_softmax, x.dtype, x, axis=axis % x.ndim)
        if _is_float(x) and isinstance(axis, int) and -x.ndim <= axis < x.ndim
        else NotImplemented
    )


@lowering(backend, ops.embedding)
def embedding(indices: Any, table: Any) -> Any:
    return namespace.take(table, indices, axis=0)


@lowering(backend, ops.one_hot)
def one_hot(x: Any, num_classes: Any, axis: Any = -1, dtype: Any = None) -> Any:
    if not isinstance(x, Array):
        return NotImplemented
    dtype = np.dtype(dtype or np.float32)
    on, off = (Array.concrete(np.asarray(n, dtype)) for n in (1, 0))
    depth = opset.constant(np.int64(num_classes))
    x = x if x.dtype in (namespace.int32, namespace.int64) else namespace.astype(x, namespace.int32)
    return build(opset.one_hot, dtype, x, depth, on, off, axis=axis)


@lowering(backend, ops.pad)
def pad(x: Any, pad_width: Any, mode: str = "constant", constant_values: Any = None) -> Any:
    if mode not in ("constant", "edge", "reflect", "symmetric"):
        return NotImplemented
    pad_width = pad_pairs(pad_width, x.ndim)
    if not any(map(any, pad_width)):
        return x
    before, after = zip(*pad_width, strict=True)
    value = Array.concrete(np.asarray(0 if constant_values is None else constant_values, x.dtype))
    return build(opset.pad, x.dtype, x, ints(*before), ints(*after), mode, value)


@lowering(backend, ops.split_last)
def split_last(x: Any, sizes: Any) -> Any:
    return _reshape(x, (0,) * (x.ndim - 1) + tuple(sizes))


@lowering(backend, ops.join_last)
def join_last(x: Any) -> Any:
    a, b = x.shape[-2:]
    return _reshape(x, (0,) * (x.ndim - 2) + (-1 if None in (a, b) else a * b,))


@lowering(backend, ops.split_first)
def split_first(x: Any, like: Any) -> Any:
    if None in x.shape[1:] or 0 in x.shape:
        return NotImplemented
    first = opset.gather(opset.shape_of(like.node), ints(0, 1), ints(0))
    sizes = first if x.ndim == 1 else opset.concat([first, ints(*x.shape[1:])], 0)
    return build(lambda x, _: opset.reshape(x, sizes, special_zero=False), x.dtype, x, like)


def _reshape(x, sizes):
    """`x` reshaped, where 0 stands for the size that this axis has."""
    if 0 in x.shape:
        return NotImplemented
    return build(opset.reshape, x.dtype, x, ints(*sizes), special_zero=True)


# -- convolution and pooling -------------------------------------------------------------------------------------------


def _channels_first(x, data_format):
    return x if data_format == "channels_first" else _last_to_second(x)


def _back(x, data_format):
    return x if data_format == "channels_first" else _second_to_last(x)


# OpenVINO is told "same" and no amounts, so that it works for unknown sizes.
_PADDING = {"valid": "valid", "same": "same_upper", "causal": "explicit"}


@lowering(backend, ops.conv)
def conv(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    data_format: Any = None,
    dilation_rate: Any = 1,
    bias: Any = None,
) -> Any:
    strides, dilation, groups = conv_geometry(inputs, kernel, strides, padding, data_format, dilation_rate)
    rank = len(strides)
    if rank > 3 or not _is_float(inputs, kernel) or None in kernel.shape:
        return NotImplemented
    before = [(k - 1) * d if padding == "causal" else 0 for k, d in zip(kernel.shape, dilation, strict=False)]
    kernel = namespace.permute_dims(kernel, (rank + 1, rank, *range(rank)))
    if groups > 1:
        kernel = namespace.reshape(kernel, (groups, kernel.shape[0] // groups, *kernel.shape[1:]))
    operation = opset.convolution if groups == 1 else opset.group_convolution
    operation = functools.partial(
        operation,
        strides=strides,
        pads_begin=before,
        pads_end=(0,) * rank,
        dilations=dilation,
        auto_pad=_PADDING[padding],
    )
    out = build(operation, inputs.dtype, _channels_first(inputs, data_format), kernel)
    if bias is not None:
        out = out + namespace.reshape(bias, (-1,) + (1,) * rank)
    return _back(out, data_format)


@lowering(backend, ops.conv_transpose)
def conv_transpose(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: str = "valid",
    output_padding: Any = None,
    data_format: Any = None,
    dilation_rate: Any = 1,
    bias: Any = None,
) -> Any:
    if bias is not None:
        return NotImplemented
    strides, dilation, crops = transposed_geometry(
        inputs, kernel, strides, padding, output_padding, data_format, dilation_rate
    )
    rank = len(strides)
    if rank > 3 or not _is_float(inputs, kernel):
        return NotImplemented
    operation = functools.partial(
        opset.convolution_backprop_data,
        strides=list(strides),
        pads_begin=[a for a, _ in crops],
        pads_end=[max(b, 0) for _, b in crops],
        dilations=list(dilation),
        auto_pad="explicit",
        output_padding=[max(-b, 0) for _, b in crops],
    )
    kernel = namespace.permute_dims(kernel, (rank + 1, rank, *range(rank)))
    x = _channels_first(inputs, data_format)
    return _back(build(operation, inputs.dtype, x, kernel), data_format)


def _pooling(x, pool_size, strides, padding, data_format, operation, **attributes):
    window, strides = pool_geometry(x, pool_size, strides, padding, data_format)
    rank = len(window)
    if rank > 3 or not _is_float(x):
        return NotImplemented
    operation = functools.partial(
        operation,
        strides=strides,
        pads_begin=(0,) * rank,
        pads_end=(0,) * rank,
        kernel_shape=window,
        auto_pad=_PADDING[padding],
        **attributes,
    )
    return _back(build(operation, x.dtype, _channels_first(x, data_format)), data_format)


@lowering(backend, ops.max_pool)
def max_pool(inputs: Any, pool_size: Any, strides: Any = None, padding: str = "valid", data_format: Any = None) -> Any:
    rank = inputs.ndim - 2
    return _pooling(inputs, pool_size, strides, padding, data_format, opset.max_pool, dilations=(1,) * rank)


@lowering(backend, ops.average_pool)
def average_pool(
    inputs: Any, pool_size: Any, strides: Any = None, padding: str = "valid", data_format: Any = None
) -> Any:
    return _pooling(inputs, pool_size, strides, padding, data_format, opset.avg_pool, exclude_pad=True)


def _adaptive(op, operation):
    @lowering(backend, op)
    def pool(inputs, output_size, data_format=None):
        sizes = adaptive_sizes(inputs, output_size, data_format)
        if len(sizes) > 3 or not _is_float(inputs):
            return NotImplemented
        x = _channels_first(inputs, data_format)
        return _back(build(lambda x: operation(x, ints(*sizes)), x.dtype, x), data_format)


_adaptive(ops.adaptive_average_pool, opset.adaptive_avg_pool)
_adaptive(ops.adaptive_max_pool, lambda x, sizes: opset.adaptive_max_pool(x, sizes, "i32").output(0))


# -- normalisation and attention ---------------------------------------------------------------------------------------


@lowering(backend, ops.batch_normalization)
def batch_normalization(
    x: Any, mean: Any, variance: Any, axis: Any, offset: Any = None, scale: Any = None, epsilon: Any = 1e-3
) -> Any:
    inner = _channels_second(x) if axis % x.ndim == x.ndim - 1 else None
    if inner is None:
        return NotImplemented
    return _second_to_last(ops.batch_normalization(inner, mean, variance, 1, offset, scale, epsilon))


@lowering(backend, ops.group_normalization)
def group_normalization(
    x: Any, groups: Any, gamma: Any = None, beta: Any = None, axis: Any = -1, epsilon: Any = None
) -> Any:
    axis = axis % x.ndim
    features = x.shape[axis]
    if axis not in (1, x.ndim - 1) or features is None or features % groups or not _is_float(x, gamma, beta):
        return NotImplemented
    data_format = "channels_first" if axis == 1 else "channels_last"
    gamma = Array.concrete(np.ones(features, x.dtype)) if gamma is None else gamma
    beta = Array.concrete(np.zeros(features, x.dtype)) if beta is None else beta
    operation = functools.partial(
        opset.group_normalization, num_groups=groups, epsilon=EPSILON if epsilon is None else epsilon
    )
    return _back(build(operation, x.dtype, _channels_first(x, data_format), gamma, beta), data_format)


@lowering(backend, ops.layer_normalization)
def layer_normalization(x: Any, gamma: Any = None, beta: Any = None, axis: Any = -1, epsilon: Any = None) -> Any:
    epsilon = EPSILON if epsilon is None else epsilon
    axes = sorted(a % x.ndim for a in ((axis,) if isinstance(axis, int) else axis))
    if not _is_float(x, gamma, beta) or axes != list(range(x.ndim - len(axes), x.ndim)):
        return NotImplemented
    out = build(
        lambda node: opset.mvn(node, ints(*axes), normalize_variance=True, eps=epsilon, eps_mode="inside_sqrt"),
        x.dtype,
        x,
    )
    out = out if gamma is None else out * gamma
    return out if beta is None else out + beta


@lowering(backend, ops.dot_product_attention)
def dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    bias: Any = None,
    mask: Any = None,
    scale: Any = None,
    is_causal: bool = False,
    flash_attention: Any = None,
    attn_logits_soft_cap: Any = None,
) -> Any:
    check_attention(query, key, value)
    if not _is_float(query, key, value) or query.shape[-1] != value.shape[-1] or query.shape[2] != key.shape[2]:
        return NotImplemented
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    if isinstance(scale, Array) or attn_logits_soft_cap is not None:
        return NotImplemented
    q, k, v = (namespace.permute_dims(x, (0, 2, 1, 3)) for x in (query, key, value))
    if is_causal and (mask is not None or bias is not None):
        target, source = query.shape[1], key.shape[1]
        if target is None or source is None:
            return NotImplemented
        causal = Array.concrete(np.tri(target, source, dtype=bool))
        mask, is_causal = causal if mask is None else mask & causal, False
    if mask is not None:
        # The lowest finite number, and not infinity, so that a query that sees no key gets a mean and not NaN.
        low = float(namespace.finfo(query.dtype).min)
        bias = namespace.where(mask, 0.0 if bias is None else bias, low)
    if bias is not None:
        if bias.ndim > 4 or bias.dtype != query.dtype:
            return NotImplemented
        bias = bias[(None,) * (4 - bias.ndim) + (...,)]
    number = Array.concrete(np.asarray(scale, query.dtype))
    out = build(_attention, query.dtype, *(q, k, v, number), *([] if bias is None else [bias]), causal=is_causal)
    return namespace.permute_dims(out, (0, 2, 1, 3))


def _attention(q, k, v, scale, mask=None, *, causal):
    mask = opset.constant(np.zeros((), np.float32)) if mask is None else mask
    return opset.scaled_dot_product_attention(q, k, v, mask, scale, causal=causal)


# -- recurrence --------------------------------------------------------------------------------------------------------


def _is_plain(x, kernel, recurrent_kernel, activation, mask, keep):
    """Whether the fused kernels can do it: no mask, the usual activation, and weights that are constants."""
    return (
        activation is ops.tanh
        and mask is None
        and keep is None
        and x.ndim == 3
        and x.dtype == kernel.dtype == recurrent_kernel.dtype == FLOAT32
        and not (kernel.traced or recurrent_kernel.traced)
    )


def _weights(kernel, order=None):
    """The kernel (inputs, gates * units) as (1, gates * units, inputs), with the gates in this order."""
    rows = namespace.matrix_transpose(kernel)
    return namespace.expand_dims(_gates(rows, order), axis=0)


def _gates(rows, order):
    if order is None:
        return rows
    units = rows.shape[0] // len(order)
    return namespace.concat([rows[n * units : (n + 1) * units, ...] for n in order], axis=0)


def _first_state(x, state, units):
    """(batch, 1, units): `state`, or zeros."""
    if state is None:
        batch = opset.gather(opset.shape_of(x.node), ints(0), ints(0))
        shape = opset.concat([batch, ints(1, units)], 0)
        return build(lambda _: opset.broadcast(opset.constant(np.float32(0)), shape), FLOAT32, x)
    return namespace.expand_dims(state, axis=1)


def _lengths(x):
    """The lengths of the sequences, (batch,)."""
    return build(_all_of_it, namespace.int32, x)


def _all_of_it(node):
    shape = opset.shape_of(node, "i32")
    return opset.broadcast(opset.gather(shape, ints(1), ints(0)), opset.gather(shape, ints(0), ints(0)))


@lowering(backend, ops.lstm)
def lstm(
    x: Any,
    kernel: Any,
    recurrent_kernel: Any,
    bias: Any = None,
    h: Any = None,
    c: Any = None,
    reverse: bool = False,
    activation: Any = ops.tanh,
    recurrent_activation: Any = ops.sigmoid,
    mask: Any = None,
    keep: Any = None,
    zero_output_for_mask: bool = False,
    unroll: bool = False,
) -> Any:
    if not _is_plain(x, kernel, recurrent_kernel, activation, mask, keep) or recurrent_activation is not ops.sigmoid:
        return NotImplemented
    units, order = recurrent_kernel.shape[0], (1, 0, 2, 3)  # OpenVINO's order is forget, input, cell, output
    bias = Array.concrete(np.zeros(4 * units, np.float32)) if bias is None else bias
    outs = _sequence(
        lambda *nodes: opset.lstm_sequence(*nodes, units, "reverse" if reverse else "forward"),
        x,
        _first_state(x, h, units),
        _first_state(x, c, units),
        _lengths(x),
        _weights(kernel, order),
        _weights(recurrent_kernel, order),
        namespace.expand_dims(_gates(bias, order), axis=0),
    )
    return outs[0], outs[1], outs[2]


@lowering(backend, ops.gru)
def gru(
    x: Any,
    kernel: Any,
    recurrent_kernel: Any,
    bias: Any = None,
    h: Any = None,
    reverse: bool = False,
    reset_after: bool = True,
    activation: Any = ops.tanh,
    recurrent_activation: Any = ops.sigmoid,
    mask: Any = None,
    keep: Any = None,
    zero_output_for_mask: bool = False,
    unroll: bool = False,
) -> Any:
    if not _is_plain(x, kernel, recurrent_kernel, activation, mask, keep) or recurrent_activation is not ops.sigmoid:
        return NotImplemented
    units = recurrent_kernel.shape[0]
    if bias is None:
        bias = Array.concrete(np.zeros((2, 3 * units) if reset_after else 3 * units, np.float32))
    if reset_after:  # update and reset have one bias each, the candidate has two
        own, recurrent = bias[0, :], bias[1, :]
        both = own + recurrent
        bias = namespace.concat([both[: 2 * units], own[2 * units :], recurrent[2 * units :]])
    outs = _sequence(
        lambda *nodes: opset.gru_sequence(
            *nodes, units, "reverse" if reverse else "forward", linear_before_reset=reset_after
        ),
        x,
        _first_state(x, h, units),
        _lengths(x),
        _weights(kernel),
        _weights(recurrent_kernel),
        namespace.expand_dims(bias, axis=0),
    )
    return outs[0], outs[1]


@lowering(backend, ops.simple_rnn)
def simple_rnn(
    x: Any,
    kernel: Any,
    recurrent_kernel: Any,
    bias: Any = None,
    h: Any = None,
    reverse: bool = False,
    activation: Any = ops.tanh,
    mask: Any = None,
    keep: Any = None,
    zero_output_for_mask: bool = False,
    unroll: bool = False,
) -> Any:
    if not _is_plain(x, kernel, recurrent_kernel, activation, mask, keep):
        return NotImplemented
    units = recurrent_kernel.shape[0]
    bias = Array.concrete(np.zeros(units, np.float32)) if bias is None else bias
    outs = _sequence(
        lambda *nodes: opset.rnn_sequence(*nodes, units, "reverse" if reverse else "forward"),
        x,
        _first_state(x, h, units),
        _lengths(x),
        _weights(kernel),
        _weights(recurrent_kernel),
        namespace.expand_dims(bias, axis=0),
    )
    return outs[0], outs[1]


def _sequence(operation, *inputs):
    """The outputs of a recurrent operation without the axis of directions, which is the second one."""
    traced = any(a.traced for a in inputs)
    node = operation(*(a.node for a in inputs))
    outs = [Array.of_node(node.output(i), FLOAT32, traced) for i in range(node.get_output_size())]
    return [namespace.squeeze(out, axis=1) for out in outs]


# -- random numbers ----------------------------------------------------------------------------------------------------


def _by_numpy(op: ops.Op) -> None:
    """Where the key is known, NumPy draws at once: the same bits, without a program of 100 operations."""

    @lowering(backend, op)
    def lowered(*args, **kwargs):
        arrays = [x for x in (*args, *kwargs.values()) if isinstance(x, Array)]
        if any(x.traced for x in arrays):
            return NotImplemented
        args, kwargs = tree.map(lambda x: x.numpy() if isinstance(x, Array) else x, (args, kwargs))
        return tree.map(Array.concrete, op(*args, **kwargs))


for _op in (
    *(fold_bits, normal_quantile, random_bits, random_integers, random_mask),
    *(binomial_variates, gamma_variates),
):
    _by_numpy(_op)
