"""Random bits on PyTorch: in int32, since its uint32 has neither sums nor shifts.

The generator is a custom operator, because Inductor takes minutes to compile its rounds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from ...ops._op import lowering
from ...ops.bits import (
    PARITY,
    ROTATIONS,
    ROUNDS,
    WORD,
    fold_bits,
    random_bits,
    random_integers,
    random_mask,
    wrapped_square,
)
from ...ops.normal import normal_quantile
from ...ops.rejection import binomial_variates, gamma_variates
from .. import _threefry
from .backend import backend, shared
from .lowerings import on_host

__all__: list[str] = []


def _mix(key, x0, x1):
    """Turn the counters (x0, x1), int32, into random words, in place."""
    words = [key[0], key[1], key[0] ^ key[1] ^ PARITY]
    x0 += words[0]
    x1 += words[1]
    for i in range(ROUNDS):
        r = ROTATIONS[i % 8]
        x0 += x1
        # The shift fills with the sign bit; the mask removes these bits.
        low = (x1 >> (32 - r)).bitwise_and_(2**r - 1)
        x1.bitwise_left_shift_(r).bitwise_or_(low).bitwise_xor_(x0)
        if i % 4 == 3:
            n = i // 4 + 1
            x0 += words[n % 3]
            x1 += words[(n + 1) % 3] + n
    return x0, x1


@torch.library.custom_op("kfunc::random_bits", mutates_args=())
def _random_bits(key: torch.Tensor, shape: Sequence[int]) -> torch.Tensor:
    if key.device.type == "cpu":
        return torch.from_numpy(_threefry.random_bits(key.numpy(), tuple(shape), "int32"))
    return bits_on_device(key, tuple(shape))


def bits_on_device(key: Any, shape: Any) -> Any:
    key, size = key.view(torch.int32), math.prod(shape)
    position = torch.arange(size, dtype=torch.int64 if size > 2**31 else torch.int32, device=key.device)
    hi = (position >> 32).to(torch.int32) if size > WORD else torch.zeros_like(position, dtype=torch.int32)
    x0, x1 = _mix(key, hi, position.to(torch.int32))
    return (x0 ^ x1).reshape(shape)


@_random_bits.register_fake
def _(key, shape):
    return key.new_empty(tuple(shape), dtype=torch.int32)


@_random_bits.register_vmap
def _(info, in_dims, key, shape):
    keys = key.movedim(in_dims[0], 0)
    return torch.stack([_random_bits(k.contiguous(), shape) for k in keys]), 0


@torch.library.custom_op("kfunc::fold_bits", mutates_args=())
def _fold_bits(key: torch.Tensor, data: torch.Tensor) -> torch.Tensor:
    if key.device.type == "cpu" and data.device.type == "cpu":
        return torch.from_numpy(_threefry.fold_bits(key.numpy(), data.numpy())).view(torch.int32)
    return words_on_device(key, data)


def words_on_device(key: Any, data: Any) -> Any:
    x1 = data.to(torch.int64).bitwise_and(WORD - 1).to(torch.int32).to(key.device)
    return torch.stack(_mix(key.view(torch.int32), torch.zeros_like(x1), x1), dim=-1)


@_fold_bits.register_fake
def _(key, data):
    return key.new_empty((*data.shape, 2), dtype=torch.int32)


@_fold_bits.register_vmap
def _(info, in_dims, key, data):
    return torch.stack(_by_row(_fold_bits, info, in_dims, (key, data))), 0


@lowering(backend, random_bits)
def _(key, shape, dtype="uint32"):
    if on_host(key):
        # By NumPy: a call of the operator takes as long as the numbers of a small layer.
        return shared(_threefry.random_bits(key.numpy(), shape, dtype))
    out = _random_bits(key, shape)
    return out if dtype == "int32" else out.view(torch.uint32)


@lowering(backend, fold_bits)
def _(key, data, dtype="uint32"):
    if on_host(key, data):
        return shared(_threefry.fold_bits(key.numpy(), data.numpy(), dtype))
    out = _fold_bits(key, data)
    return out if dtype == "int32" else out.view(torch.uint32)


@lowering(backend, random_mask)
def _(key, shape, probability):
    # The reference elsewhere: it has ten operations, which Inductor fuses with the use of the mask.
    return shared(_threefry.random_mask(key.numpy(), shape, probability)) if on_host(key) else NotImplemented


@lowering(backend, random_integers)
def _(key, other, shape, minval, span):
    a, b = (_random_bits(k, shape).to(torch.int64) & (WORD - 1) for k in (key, other))
    # int64 wraps at 2**64, which does not change the residue modulo 2**32.
    offset = (((a % span) * wrapped_square(span) + b % span) & (WORD - 1)) % span
    return (offset + minval).to(torch.int32)


@torch.library.custom_op("kfunc::normal_quantile", mutates_args=())
def _normal_quantile(u: torch.Tensor) -> torch.Tensor:
    if u.device.type == "cpu":
        return shared(_threefry.normal_quantile(u.detach().numpy()))
    return normal_quantile.reference(u)


@_normal_quantile.register_fake
def _(u):
    return torch.empty_like(u)


@_normal_quantile.register_vmap
def _(info, in_dims, u):
    return _normal_quantile(u), in_dims[0]


lowering(backend, normal_quantile)(_normal_quantile)


# Custom operators too, since Inductor would take minutes to compile their many steps.


@torch.library.custom_op("kfunc::gamma_variates", mutates_args=())
def _gamma_variates(
    alpha: torch.Tensor, x: torch.Tensor, u: torch.Tensor, w: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    return gamma_variates.reference(alpha, x, u, w)


@_gamma_variates.register_fake
def _(alpha, x, u, w):
    return torch.empty_like(w), torch.empty_like(w)


@_gamma_variates.register_vmap
def _(info, in_dims, *args):
    return tuple(map(torch.stack, zip(*_by_row(_gamma_variates, info, in_dims, args), strict=True))), (0, 0)


@torch.library.custom_op("kfunc::binomial_variates", mutates_args=())
def _binomial_variates(
    counts: torch.Tensor, probabilities: torch.Tensor, u: torch.Tensor, v: torch.Tensor
) -> torch.Tensor:
    return binomial_variates.reference(counts, probabilities, u, v)


@_binomial_variates.register_fake
def _(counts, probabilities, u, v):
    return torch.empty_like(u[0])


@_binomial_variates.register_vmap
def _(info, in_dims, *args):
    return torch.stack(_by_row(_binomial_variates, info, in_dims, args)), 0


def _by_row(op, info, in_dims, args):
    rows = [
        [x] * info.batch_size if axis is None else x.movedim(axis, 0).contiguous()
        for x, axis in zip(args, in_dims, strict=True)
    ]
    return [op(*row) for row in zip(*rows, strict=True)]


lowering(backend, gamma_variates)(_gamma_variates)
lowering(backend, binomial_variates)(_binomial_variates)
