"""Networks of kfunc as modules of flax and of equinox, with which training loops written for these libraries run.

The ways back are the layers `nn.JaxLayer` and `nn.FlaxLayer`.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any

from ..arrays import to_backend
from ..errors import MissingPackageError
from ..nn import Layer
from ..typing import Tree
from .checks import checked_net

__all__ = ["to_equinox", "to_flax", "to_nnx"]


@contextlib.contextmanager
def _needed(package: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise MissingPackageError(f"{package} is not installed.", fix=f"pip install {package}") from error


def to_flax(net: Layer) -> Any:
    """`net` as a `flax.linen.Module`: the same function, whose variables are in the form of linen.

    `module.init(rng, x)` returns `{"params": params, "state": state}`, trees like those of `net.init`; without the
    second, if the network has no state. Trained parameters of the network are used by writing this dict oneself.

    `module.apply(variables, x, training=True, rngs={"dropout": key}, mutable=["state"])` returns the output and the new
    state; `training` is False by default. Auxiliary losses, such as those of regularizers, are in the collection
    "losses", if it is mutable, too.

    Args:
        net: The network.

    Raises:
        ArgumentError: `net` is no layer.
        MissingPackageError: flax is not installed.
    """
    with _needed("flax"):
        return _linen()(net=checked_net(net))


@functools.cache
def _linen() -> Any:
    from flax import core, linen

    class KfuncModule(linen.Module):
        """A network of kfunc; see `kfunc.interop.jax.to_flax`."""

        net: Any

        @linen.compact
        def __call__(self, *inputs: Any, training: bool = False, **options: Any) -> Any:
            inputs, options = to_backend((inputs, options), "jax")
            initializing = self.is_initializing()
            if initializing:
                params, state = self.net.init(self.make_rng("params"), *inputs, **options)
                self._put("params", params)
                self._put("state", state)
            variables: Any = to_backend(core.unfreeze(dict(self.variables)), "jax")
            params, state = variables.get("params", {}), variables.get("state", {})
            key = self.make_rng("dropout") if self.has_rng("dropout") else None
            aux = self.is_mutable_collection("losses") and not initializing
            out, new, *more = self.net.apply(
                params, *inputs, state=state, key=key, train=training and not initializing, aux=aux, **options
            )
            # Where the state may not change, flax has an error for layers that change it in training.
            if not initializing and (training or self.is_mutable_collection("state")):
                self._put("state", new)
            for name, loss in more[0].losses.items() if more else ():
                self.sow("losses", name, loss)
            return out

        def _put(self, collection: str, tree: Any) -> None:
            for name, value in tree.items():
                self.put_variable(collection, name, value)

    return KfuncModule


def to_nnx(net: Layer, params: Tree, state: Tree = None, *, rngs: Any = None) -> Any:
    """`net` as a `flax.nnx.Module` that holds parameters and state, and changes its state where it is called.

    `module(x)` returns the output. The parameters are `nnx.Param` in the attribute `params`, the state `nnx.BatchStat`
    in `state`: dicts like those of the network. The module behaves as in training until `module.eval()`, and again
    after `module.train()`.

    Args:
        net: The network.
        params, state: As `net.init` returns them, of any backend.
        rngs: An `nnx.Rngs`, if the network draws random numbers; its stream "dropout" is used.

    Raises:
        ArgumentError: `net` is no layer.
        MissingPackageError: flax is not installed.
    """
    with _needed("flax"):
        return _nnx()(checked_net(net), *to_backend((params, state or {}), "jax"), rngs)


@functools.cache
def _nnx() -> Any:
    import jax
    from flax import nnx

    class KfuncModule(nnx.Module):
        """A network of kfunc; see `kfunc.interop.jax.to_nnx`."""

        def __init__(self, net: Any, params: Any, state: Any, rngs: Any):
            self.net = nnx.static(net)
            self.params = nnx.data(jax.tree.map(nnx.Param, params))
            self.state = nnx.data(jax.tree.map(nnx.BatchStat, state))
            self.rngs = None if rngs is None else rngs.dropout.fork()
            self.deterministic = False

        def __call__(self, *inputs: Any, **options: Any) -> Any:
            inputs, options = to_backend((inputs, options), "jax")
            train = not self.deterministic
            params, state = jax.tree.map(lambda v: v[...], (self.params, self.state), is_leaf=_is_variable)
            key = self.rngs() if train and self.rngs is not None else None
            out, new, *more = self.net.apply(params, *inputs, state=state, key=key, train=train, **options)
            for variable, value in zip(*map(_leaves, (self.state, new)), strict=True):
                variable[...] = value
            return (out, *more) if more else out

    def _is_variable(x: Any) -> bool:
        return isinstance(x, nnx.Variable)

    def _leaves(tree: Any) -> list[Any]:
        return jax.tree.leaves(tree, is_leaf=_is_variable)

    return KfuncModule


def to_equinox(net: Layer, params: Tree) -> Any:
    """`net` as an `equinox.Module`: the same function, a pytree whose leaves are the parameters.

    `module(x, key=key)` returns the output. With `state=`, as `net.init` returns it, it returns (output, new state). It
    behaves as in training, as the layers of equinox do; `equinox.nn.inference_mode(module)` is the same module for
    inference. With `aux=True`, auxiliary losses are returned, too; see `Layer.apply`.

    The network takes batches, so it is not mapped by `jax.vmap`, as modules of equinox are.

    Args:
        net: The network.
        params: As `net.init` returns them, of any backend.

    Raises:
        ArgumentError: `net` is no layer.
        MissingPackageError: equinox is not installed.
    """
    with _needed("equinox"):
        return _equinox()(net=checked_net(net), params=to_backend(params, "jax"))


@functools.cache
def _equinox() -> Any:
    import equinox

    class KfuncModule(equinox.Module):
        """A network of kfunc; see `kfunc.interop.jax.to_equinox`."""

        net: Any = equinox.field(static=True)
        params: Any
        inference: bool = False

        def __call__(self, *inputs: Any, state: Any = None, key: Any = None, **options: Any) -> Any:
            inputs, state, options = to_backend((inputs, state, options), "jax")
            train = not self.inference
            out, new, *more = self.net.apply(self.params, *inputs, state=state, key=key, train=train, **options)
            found = (out, *more) if state is None else (out, new, *more)
            return found if len(found) > 1 else out

    return KfuncModule
