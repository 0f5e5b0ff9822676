"""What becomes of a train state when other layers train: arrays move between parameters and state."""

from __future__ import annotations

from typing import Any

from .. import tree
from ..arrays import backend_of, to_backend
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
        ArgumentError: The optimizer cannot take these parameters, as `by_part` cannot if a whole part is missing.
    """
    arrays = _by_path(ts.params) | _by_path(ts.state)
    params, state = call.trees(lambda path, declaration: arrays["/".join(path)])
    ts = ts._replace(params=params, state=state)
    if ts.opt_state is None:
        return ts
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
