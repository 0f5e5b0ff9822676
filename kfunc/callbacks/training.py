"""Callbacks that change how training goes on."""

from __future__ import annotations

from typing import Any

from .. import checks, tree
from ..arrays import to_numpy
from ..errors import ArgumentError, NonFiniteError
from .base import Callback
from .monitors import like_those_of, moved

__all__ = ["SwapEMAWeights", "TerminateOnNaN"]


class TerminateOnNaN(Callback):
    """End training as if it were done when a loss or a gradient is not finite, instead of raising.

    kfunc refuses such a step in any case, so parameters stay as they were before it. Without this callback `fit` raises
    a `NonFiniteError`; with it, `fit` prints the error, ends the epoch with a `loss` of NaN and no other number, which
    callbacks and the history get, calls `on_train_end` and returns. No step waits for the device, so the batches of up
    to a second may be read, and not applied, before training ends.

    Args:
        raise_error: Whether to raise nevertheless.
    """

    def __init__(self, raise_error: bool = False):
        self.raise_error: bool = checks.boolean("raise_error", raise_error)

    def absorbs(self, error: Exception) -> bool:
        if self.raise_error or not isinstance(error, NonFiniteError):
            return False
        print(error.problem)
        self.model.stop_training = True
        return True


class SwapEMAWeights(Callback):
    """Evaluate and predict with the averaged parameters of an optimizer that keeps them, and train with its own.

    The optimizer's `finalize` gives them: averages with `use_ema=True` and `optim.ema`, and the point to evaluate with
    `optim.schedule_free_adamw`. Callbacks that should see the averages have to come after this one.

    Args:
        swap_on_epoch: Whether the averages are also in place from the end of each epoch to the beginning of the next,
            for callbacks that save parameters.

    Raises:
        ArgumentError: When training or evaluation begins: the optimizer keeps no averages.
    """

    def __init__(self, swap_on_epoch: bool = False):
        self.swap_on_epoch: bool = checks.boolean("swap_on_epoch", swap_on_epoch)
        self._own: Any = None  # what the optimizer trains, while the averages are in place
        self._put: Any = None  # these averages; None where a checkpoint brought them

    def on_train_begin(self, logs: Any = None, train_state: Any = None) -> Any:
        self._averages()
        return self._back(train_state)

    def on_epoch_begin(self, epoch: int, logs: Any = None, train_state: Any = None) -> Any:
        return self._back(train_state)

    def on_epoch_end(self, epoch: int, logs: Any = None, train_state: Any = None) -> Any:
        return self._averaged(train_state) if self.swap_on_epoch else None

    def on_train_end(self, logs: Any = None, train_state: Any = None) -> Any:
        if self._own is None:
            return None
        own, self._own, self._put = moved(self._own, train_state), None, None
        finalize, opt_state = self._averages(), train_state.opt_state
        # `fit` has finalized the averages, and should have finalized the optimizer's own parameters. But if a callback
        # before this one has put other parameters in their place, these stay.
        right = finalize(own, opt_state)
        pairs = zip(tree.leaves(finalize(right, opt_state)), tree.leaves(train_state.params), strict=True)
        if all((to_numpy(a) == to_numpy(b)).all() for a, b in pairs):
            return train_state._replace(params=right)
        return None

    def on_test_begin(self, logs: Any = None, train_state: Any = None) -> Any:
        return self._averaged(train_state)

    def on_test_end(self, logs: Any = None, train_state: Any = None) -> Any:
        return self._back(train_state)

    def on_predict_begin(self, logs: Any = None, train_state: Any = None) -> Any:
        return self._averaged(train_state)

    def on_predict_end(self, logs: Any = None, train_state: Any = None) -> Any:
        return self._back(train_state)

    def _averages(self) -> Any:
        finalize = getattr(self.model.optimizer, "finalize", None)
        if finalize is None:
            raise ArgumentError(
                "The optimizer keeps no averages of the parameters, which SwapEMAWeights needs.",
                argument="callbacks",
                expected="an optimizer with use_ema=True, or inside optim.ema, for SwapEMAWeights",
                got=type(self.model.optimizer).__name__,
                fix="compile with such an optimizer: optim.adam(1e-3, use_ema=True)",
            )
        return finalize

    def _in_place(self, ts: Any) -> bool:
        """Whether the parameters are the averages; not after a failed evaluation, which puts the state back."""
        return self._own is not None and (self._put is None or self._put is ts.params)

    def _averaged(self, ts: Any) -> Any:
        if self._in_place(ts):
            return ts
        self._own, self._put = ts.params, self._averages()(ts.params, ts.opt_state)
        return ts._replace(params=self._put)

    def _back(self, ts: Any) -> Any:
        if self._in_place(ts):
            ts = ts._replace(params=moved(self._own, ts))
        self._own = self._put = None
        return ts

    def get_state(self) -> Any:
        return None if self._own is None else {"params": self._own}

    def set_state(self, state: Any) -> None:
        self._own, self._put = like_those_of(self.model, {"params": state["params"]}, ("params",))["params"], None
