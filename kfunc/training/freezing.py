"""What becomes of a train state when other layers train: arrays move between parameters and state."""

from __future__ import annotations

from typing import Any

from .. import tree
from ..arrays import backend_of, to_backend
from ..errors import ArgumentError
from ..nn.scope import Call
from .state import TrainState

__all__ = ["rearranged"]


def rearranged(ts: TrainState, call: Call, optimizer: Any) -> TrainState:
    """The train state for a network in which other layers are frozen than before.

    No number changes: parameters that do not train any more become a part of the state, and the other way round. The
    optimizer's state stays for the parameters that train before and after; for the others it begins anew.

    Args:
        ts: The train state.
        call: What `trace` of the network found as it is now.
        optimizer: That of `ts.opt_state`.

    Raises:
        ArgumentError: There is a state of an optimizer, and no optimizer; or the optimizer cannot take these
            parameters, as `by_part` cannot if a whole part is missing.
    """
    arrays = _by_path(ts.params) | _by_path(ts.state)
    params, state = call.trees(lambda path, declaration: arrays["/".join(path)])
    ts = ts._replace(params=params, state=state)
    if ts.opt_state is None:
        return ts
    if optimizer is None:
        raise ArgumentError(
            "`opt_state` is not that of an optimizer of `compile`: what belongs to which parameter is not known.",
            argument="opt_state",
            expected="a state that the optimizer of `compile` has made, or None",
            got=f"arrays called {', '.join(tree.paths(ts.opt_state))}"[:200],
            fix="set model.train_state = model.train_state._replace(opt_state=None), freeze, and set a new one",
        )
    fresh = to_backend(optimizer.init(params), backend_of(ts.key))  # where there are no parameters, it is NumPy's
    kept, trained = _by_path(ts.opt_state), frozenset(tree.paths(params))

    def stays(path: str, x: Any) -> bool:
        """Whether what stood at a path still belongs there: places in a list may belong to other parameters now."""
        parts = path.split("/")
        known = x.ndim == 0 or any("/".join(parts[i:]) in trained for i in range(len(parts)))
        return known and path in kept and (kept[path].shape, kept[path].dtype) == (x.shape, x.dtype)

    leaves = [kept[path] if stays(path, x) else x for path, x in _by_path(fresh).items()]
    return ts._replace(opt_state=tree.unflatten(tree.structure(fresh), leaves))


def _by_path(x: Any) -> dict[str, Any]:
    return dict(zip(tree.paths(x), tree.leaves(x), strict=True))
