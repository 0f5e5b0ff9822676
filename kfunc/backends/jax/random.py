"""Random bits by JAX's own generator, which gives the same bits as ours; and draws that take many steps."""

from __future__ import annotations

import jax
import jax.extend.random
import jax.numpy as jnp

from ...ops._op import lowering
from ...ops.bits import fold_bits, random_bits
from ...ops.normal import normal_quantile
from ...ops.rejection import binomial_variates, gamma_variates
from .backend import backend

__all__: list[str] = []


@lowering(backend, random_bits)
def _random_bits(key, shape, dtype="uint32"):
    with jax.threefry_partitionable(True):
        out = jax.random.bits(jax.random.wrap_key_data(key, impl="threefry2x32"), shape, jnp.uint32)
    return out if dtype == "uint32" else jax.lax.bitcast_convert_type(out, jnp.int32)


@lowering(backend, fold_bits)
def _fold_bits(key, data, dtype="uint32"):
    lo = data.astype(jnp.uint32).reshape(-1)
    words = jax.extend.random.threefry_2x32(key, jnp.concatenate([jnp.zeros_like(lo), lo]))
    words = words.reshape(2, *data.shape).transpose((*range(1, data.ndim + 1), 0))
    return words if dtype == "uint32" else jax.lax.bitcast_convert_type(words, jnp.int32)


for _op in (binomial_variates, gamma_variates):
    # Compiled as a whole: outside of `jit`, each of their many operations would be compiled by itself.
    lowering(backend, _op)(jax.jit(_op.reference))


@lowering(backend, normal_quantile)
def _normal_quantile(u):
    return jax.lax.erf_inv(u) * jnp.sqrt(jnp.asarray(2, u.dtype))
