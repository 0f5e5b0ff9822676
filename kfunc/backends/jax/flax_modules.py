"""Modules of flax, of linen and of nnx, as functions of JAX's arrays."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from ...errors import ArgumentError, ParamError, shown
from ..foreign import Foreign, lacks_key
from .backend import backend
from .modules import JaxModule

_NAME = "FlaxLayer"
_MODES = {"training": True, "train": True, "deterministic": False, "use_running_average": False}
"""Names of arguments by which modules are told the mode, and their values in training."""
_NO_STATE = ("params", "intermediates")


def flax_module(module: Any, method: Any, variables: Any) -> Foreign:
    """What `nn.FlaxLayer` runs; the arguments are those of the layer."""
    from flax import linen, nnx

    if isinstance(module, linen.Module):
        return _linen(module, method, variables)
    if isinstance(module, nnx.Module):
        if variables is not None:
            raise ArgumentError.must_be("variables", "None for a module of nnx, which has its variables", variables)
        return _nnx(module, method)
    raise ArgumentError.must_be("module", "a module of flax.linen or of flax.nnx", module)


backend.foreign[_NAME] = flax_module


def _modes(fun: Any) -> tuple[str, ...]:
    return tuple([name for name in inspect.signature(fun).parameters if name in _MODES])


def _told(modes: tuple[str, ...], training: bool) -> dict[str, bool]:
    return {name: _MODES[name] is training for name in modes}


def _linen(module: Any, method: Any, variables: Any) -> Foreign:
    from flax import errors, linen

    modes = _modes(module.__call__ if method is None else getattr(module, method) if _is_name(method) else method)

    def call(params: Any, state: Any, rng: Any, inputs: Any, training: bool) -> Any:
        # A stream that has no key of its own takes that of "params".
        rngs = None if rng is None else {"dropout": rng, "params": jax.random.fold_in(rng, 1)}
        told = _told(modes, training)
        try:
            return module.apply({**params, **state}, inputs, rngs=rngs, method=method, mutable=[*state], **told)
        except errors.InvalidRngError:
            if rng is None:
                raise lacks_key(_NAME) from None
            raise
        except (
            errors.ApplyScopeInvalidVariablesTypeError,
            errors.ScopeCollectionNotFound,
            errors.ScopeParamNotFoundError,
            errors.ScopeParamShapeError,
        ) as error:
            raise ParamError(
                "The variables are not those of the module of flax.",
                expected="variables as module.init returns them, of inputs like these",
                got=shown(str(error).partition(" (https://")[0]),
            ) from error

    def init(rng: Any, inputs: Any) -> Any:
        return parts(module.init(rng, inputs, method=method, **_told(modes, True)))

    def parts(variables: Any) -> Any:
        if not isinstance(variables, Mapping) or not all(isinstance(part, Mapping) for part in variables.values()):
            raise ArgumentError.must_be("variables", "collections of variables, as module.init returns them", variables)
        variables = linen.FrozenDict(variables).unfreeze()
        return (
            {name: variables[name] for name in variables if name == "params"},
            {name: variables[name] for name in variables if name not in _NO_STATE},
        )

    params, state = (None, None) if variables is None else parts(variables)
    return JaxModule(_NAME, call, init, params, state, ((), ()), flax=True)


def _nnx(module: Any, method: Any) -> Foreign:
    from flax import nnx

    kinds = nnx.Param, nnx.RngState, nnx.Intermediate, ...
    call = type(module).__call__ if method is None else getattr(type(module), method) if _is_name(method) else method
    call = getattr(call, "__func__", call)
    modes = _modes(call)
    forms = {}
    for training in (True, False):
        copy = nnx.clone(module)
        (copy.train if training else copy.eval)()
        forms[training] = nnx.split(copy, *kinds)
    _, params, _, _, state = forms[False]

    def run(params: Any, state: Any, rng: Any, inputs: Any, training: bool) -> Any:
        graph, _, random, sown, _ = forms[training]
        keyed, sown = jax.tree.map(lambda x: x, (random if rng is None else _keyed(random, rng), sown))
        copy = nnx.merge(graph, params, keyed, sown, state)  # which takes the variables, and will write to them
        out = call(copy, inputs, **_told(modes, training))
        _, _, after, _, state = nnx.split(copy, *kinds)
        # A module that draws counts its draws.
        if rng is None and any(a is not b for a, b in zip(*map(jax.tree.leaves, (random, after)), strict=True)):
            raise lacks_key(_NAME)
        return out, state

    return JaxModule(_NAME, run, None, params, state, ((), ()), flax=True)


def _keyed(random: Any, key: Any) -> Any:
    """The random streams of a module, made anew from `key`, each with a key of its own."""
    leaves, structure = jax.tree.flatten(random)
    for i, leaf in enumerate(leaves):
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            words = jax.random.bits(jax.random.fold_in(key, i), jax.random.key_data(leaf).shape, jnp.uint32)
            leaves[i] = jax.random.wrap_key_data(words, impl=jax.random.key_impl(leaf))
        else:
            leaves[i] = jnp.zeros_like(leaf)
    return jax.tree.unflatten(structure, leaves)


def _is_name(method: Any) -> bool:
    return isinstance(method, str)
