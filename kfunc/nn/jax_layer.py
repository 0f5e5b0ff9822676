"""Functions of JAX and modules of flax as layers: `JaxLayer` and `FlaxLayer`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..backends import get
from ..backends.foreign import Foreign
from ..typing import Tree
from .foreign import ForeignLayer
from .layer import layer
from .scope import Scope

__all__ = ["FlaxLayer", "JaxLayer"]


@layer
class JaxLayer(ForeignLayer):
    """A function of JAX: arrays of JAX of any shapes, to what `call_fn` returns.

    The parameters stand in the tree below "params", the state below "state": with the keys of dicts, the indices in
    lists, and the names of attributes. So a module of equinox may be `params`. Random numbers come from the key of the
    call, and the gradient is JAX's.

    A file holds no code. A layer is saved if its functions are registered, by `@kf.register("layer")`.

    Args:
        call_fn: A function with the argument `inputs`, and any of `params`, `state`, `rng` and `training`, by these
            names. It returns its output; or, if it takes `state`, (output, new state). `rng` is a key, uint32 (2,), in
            training, and None else; `training` is a bool.
        init_fn: A function with the argument `inputs`, an example of them, and any of `rng` and `training`. It returns
            the parameters; or, if `call_fn` takes `state`, (parameters, state).
        params, state: The first parameters and state themselves, in place of `init_fn`: pytrees of arrays. What is not
            an array, such as a function, belongs to the network and stays as it is.
        seed: A number that is mixed into the key that `call_fn` gets.

    Raises:
        ArgumentError: A function has other arguments, or parameters are needed and not given.
        UnsupportedError: The arrays are not JAX's.

    Source: Keras's layer of this name.
    """

    call_fn: str | Callable[..., Any]
    init_fn: str | Callable[..., Any] | None = None
    params: Any = None
    state: Any = None
    seed: int | None = None

    def _made(self) -> Foreign:
        given = {name: self._registered(name) for name in ("call_fn", "init_fn")}
        return get("jax").foreign["JaxLayer"](**given, params=self.params, state=self.state)

    def _plain_fields(self) -> Any:
        return [(name, value) for name, value in super()._plain_fields() if name not in ("params", "state")]

    def forward(self, s: Scope, inputs: Tree) -> Tree:
        return super().forward(s, inputs)


@layer
class FlaxLayer(ForeignLayer):
    """A module of flax, of linen or of nnx: arrays of JAX of any shapes, to what the module returns.

    Of a module of linen, the tree has its variables as they are: the parameters below "params", and the state in its
    other collections, such as "batch_stats". Of a module of nnx, parameters and state stand where the module has them,
    and the values that it has are the first ones; the module itself never changes. Random numbers come from the key of
    the call: in linen by the streams "dropout" and "params", the second for any other. The gradient is JAX's.

    In training, and only then, a method of the module is called with `training=True`, or `train=True`, or
    `deterministic=False`, or `use_running_average=False`, where it has such an argument. A module of nnx is in its mode
    `train()` then, and else in `eval()`.

    A file holds no code. A layer is saved if `module` is a function that makes it, registered by
    `@kf.register("layer")`; or if the class of a module of linen is registered.

    Args:
        module: The module; or a function without arguments that makes it, or the name of one that is registered.
        method: The method that is called: its name, or a function that takes the module first. By default `__call__`.
            Besides, it takes one argument: an array, or a tree of several.
        variables: The first variables of a module of linen: a dict with "params", and with the collections of its
            state. By default, the module makes them itself, from the key of the network.

    Raises:
        ArgumentError: `module` is no module of flax.
        MissingKeyError: The module draws random numbers, and there is no key.
        UnsupportedError: The arrays are not JAX's.

    Source: Keras's layer of this name, for linen.
    """

    module: Any
    method: str | Callable[..., Any] | None = None
    variables: Any = None

    def _made(self) -> Foreign:
        given = {"module": self._given("module"), "method": self.method, "variables": self.variables}
        return get("jax").foreign["FlaxLayer"](**given)

    def _plain_fields(self) -> Any:
        return [(name, value) for name, value in super()._plain_fields() if name != "variables"]

    def forward(self, s: Scope, inputs: Tree) -> Tree:
        return super().forward(s, inputs)
