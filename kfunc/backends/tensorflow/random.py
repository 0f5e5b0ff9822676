"""Random bits for eager tensors; in graphs the references run, in TensorFlow's uint32."""

from __future__ import annotations

import tensorflow as tf

from ...ops._op import lowering
from ...ops.bits import fold_bits, random_bits, random_mask
from ...ops.normal import normal_quantile
from .. import _threefry
from .backend import backend

__all__: list[str] = []


@lowering(backend, random_bits)
def _(key, shape, dtype="uint32"):
    if not tf.executing_eagerly():
        return NotImplemented
    with tf.device(key.device):
        return tf.convert_to_tensor(_threefry.random_bits(key.numpy(), shape, dtype))


@lowering(backend, fold_bits)
def _(key, data, dtype="uint32"):
    if not tf.executing_eagerly():
        return NotImplemented
    with tf.device(key.device):
        return tf.convert_to_tensor(_threefry.fold_bits(key.numpy(), data.numpy(), dtype))


@lowering(backend, random_mask)
def _(key, shape, probability):
    if not tf.executing_eagerly():
        return NotImplemented
    with tf.device(key.device):
        return tf.convert_to_tensor(_threefry.random_mask(key.numpy(), shape, probability))


@lowering(backend, normal_quantile)
def _(u):
    if not tf.executing_eagerly():
        return NotImplemented
    with tf.device(u.device):
        return tf.convert_to_tensor(_threefry.normal_quantile(u.numpy()))
