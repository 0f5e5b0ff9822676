"""Callbacks that watch one quantity: they end training, or slow it down, when it has stopped getting better."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from typing import Any

from .. import checks
from ..arrays import backend_of, to_backend
from ..errors import ArgumentError
from ..metrics.directions import direction
from ..training.checkpoints import by_path, matched, single, whole
from .base import Callback
from .rates import rates, with_rates

__all__ = ["EarlyStopping", "MonitorCallback", "ReduceLROnPlateau"]


class MonitorCallback(Callback):
    """Base of the callbacks that watch one quantity in the logs.

    Args:
        monitor: Its name; "val_" stands before those of the validation.
        mode: "min" if less of it is better, "max" if more is, "auto" if that follows from its name or its metric.
        baseline: What the first value is compared with.
        min_delta: By how much a value must differ to count as better.

    Raises:
        ArgumentError: An argument has a wrong value; or, when training begins, "auto" finds no direction.
    """

    def __init__(
        self, monitor: str = "val_loss", mode: str = "auto", baseline: float | None = None, min_delta: float = 0
    ):
        if not isinstance(monitor, str):
            raise ArgumentError(
                f"`monitor` must be a string, got {monitor!r}.",
                argument="monitor",
                expected="a string",
                got=repr(monitor),
            )
        self.monitor: str = monitor
        self.mode: str = checks.one_of("mode", mode, ("auto", "min", "max"))
        self.best: float | None = checks.number("baseline", baseline, none=True)
        self.min_delta: float = abs(checks.number("min_delta", min_delta))
        self._less: bool | None = None if mode == "auto" else mode == "min"
        self._warned = False

    def on_train_begin(self, logs: Any = None) -> None:
        self._warned = False
        self._choose()

    def _choose(self) -> None:
        if self.mode != "auto":
            return
        name = self.monitor.removeprefix("val_")
        found = "min" if name == "loss" else direction((self.params.get("metrics") or {}).get(name))
        if found is None:
            known = ["loss", *(self.params.get("metrics") or {})]
            raise ArgumentError(
                f"`mode` must be 'min' or 'max': {type(self).__name__} cannot tell which of {self.monitor} is better.",
                argument="mode",
                expected='"min" or "max", or for "auto" the name of a loss or of a metric of kfunc\'s',
                got=f'monitor="{self.monitor}", mode="auto"; there are {", ".join(known)}, and with validation data '
                "each with val_ before it",
                fix='give mode="min" if less of it is better, or mode="max"',
            )
        self._less = found == "min"

    def better(self, value: float, than: float | None) -> bool:
        """Whether a value is better than another by more than `min_delta`; NaN never is."""
        if self._less is None:  # a loop of the user's own may not have called on_train_begin
            self._choose()
        if math.isnan(value):
            return False
        if than is None or math.isnan(than):
            return True
        return value + self.min_delta < than if self._less else value - self.min_delta > than

    def value(self, logs: Mapping[str, Any], within: bool = False) -> float | None:
        """The quantity; None, with one warning, if it is not there or is not a single number.

        At the end of an epoch that is not validated, there is no warning if others are; `within` an epoch there is.
        """
        found = logs.get(self.monitor)
        if found is not None and not isinstance(found, list | tuple) and getattr(found, "ndim", 0) == 0:
            return float(found)
        later = self.monitor.startswith("val_") and self.params.get("validates") and not within
        if not self._warned and not (later and not any(name.startswith("val_") for name in logs)):
            self._warned = True
            problem = "is not among the logs" if found is None else "is not a single number"
            warnings.warn(
                f"{type(self).__name__} watches {self.monitor!r}, which {problem}: {', '.join(logs) or 'nothing is'}.",
                stacklevel=2,
            )
        return None


class EarlyStopping(MonitorCallback):
    """End training when a quantity has stopped getting better.

    Args:
        monitor, min_delta, mode: As for `MonitorCallback`.
        patience: How many epochs in a row may pass without a better value; the last of them is the last epoch.
        verbose: 1 to print what it does.
        baseline: Values that are not better than this do not start patience anew.
        restore_best_weights: Whether training ends with the parameters and the state of the best epoch.
        start_from_epoch: The first epoch that counts, from 0.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: int = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ):
        super().__init__(monitor, mode, None, min_delta)
        self.patience: int = checks.natural("patience", patience)
        self.verbose: int = verbose
        self.baseline: float | None = checks.number("baseline", baseline, none=True)
        self.restore_best_weights: bool = checks.boolean("restore_best_weights", restore_best_weights)
        self.start_from_epoch: int = checks.natural("start_from_epoch", start_from_epoch)
        self._forget()

    def _forget(self) -> None:
        self.wait: int = 0
        self.stopped_epoch: int = 0
        self.best_epoch: int = 0
        self.best = None
        self.best_weights: dict[str, Any] | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        super().on_train_begin(logs)
        self._forget()

    def on_epoch_end(self, epoch: int, logs: Any = None, train_state: Any = None) -> Any:
        value = self.value(logs or {})
        if value is None or epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self._keep(epoch, train_state)
        self.wait += 1
        if self.better(value, self.best):
            self.best = value
            self._keep(epoch, train_state)
            if self.baseline is None or self.better(value, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    @property
    def _keeps_state(self) -> bool:  # type: ignore[override]
        return self.restore_best_weights

    def _keep(self, epoch: int, train_state: Any) -> None:
        self.best_epoch = epoch
        if self.restore_best_weights and train_state is not None:
            # No copies: a step makes new arrays, and leaves these as they are.
            self.best_weights = {"params": train_state.params, "state": train_state.state}

    def on_train_end(self, logs: Any = None, train_state: Any = None) -> Any:
        if self.stopped_epoch > 0 and self.verbose:
            print(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.best_weights is None or train_state is None:
            return None
        if self.verbose:
            print(f"Parameters are those after epoch {self.best_epoch + 1}, the best one.")
        return train_state._replace(**moved(self.best_weights, train_state))

    def get_state(self) -> Any:
        names = ("wait", "stopped_epoch", "best_epoch", "best", "best_weights")
        return {name: getattr(self, name) for name in names}

    def set_state(self, state: Any) -> None:
        self.wait, self.stopped_epoch = whole(state["wait"]), whole(state["stopped_epoch"])
        self.best, self.best_epoch = single(state["best"]), whole(state["best_epoch"])
        weights = state["best_weights"]
        self.best_weights = None if weights is None else like_those_of(self.model, weights, ("params", "state"))


def like_those_of(model: Any, arrays: Any, parts: tuple[str, ...]) -> dict[str, Any]:
    """Arrays from a checkpoint, checked to be like these parts of the model's train state.

    Raises:
        FileError: They are others.
    """
    ts = model.train_state
    wanted = {name: getattr(ts, name) for name in parts}
    return matched(by_path(arrays), wanted, "The memory of a callback in the checkpoint")


def moved(arrays: Any, train_state: Any) -> Any:
    """`arrays` on the backend and the device of the train state: a checkpoint may have brought them as NumPy's."""
    backend = backend_of(train_state.key)
    if backend_of(arrays) is backend:
        return arrays
    return to_backend(arrays, backend, backend.device(backend.lift(train_state.key)))


class ReduceLROnPlateau(MonitorCallback):
    """Make the learning rate smaller when a quantity has stopped getting better. Adds "learning_rate" to the logs.

    Args:
        monitor, mode, min_delta: As for `MonitorCallback`.
        factor: What the learning rate is multiplied with, in (0, 1).
        patience: How many epochs in a row may pass without a better value.
        verbose: 1 to print what it does.
        cooldown: For how many epochs after a change nothing counts.
        min_lr: The least learning rate.

    Raises:
        ArgumentError: When training begins: the optimizer has a schedule.
    """

    _keeps_state = False

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: int = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ):
        super().__init__(monitor, mode, None, min_delta)
        checks.number("factor", factor, above=0)
        if factor >= 1:
            raise ArgumentError(
                f"`factor` must be a number between 0 and 1, got {factor}.",
                argument="factor",
                expected="a number in (0, 1), which makes the learning rate smaller",
                got=factor,
            )
        self.factor: float = factor
        self.patience: int = checks.natural("patience", patience)
        self.verbose: int = verbose
        self.cooldown: int = checks.natural("cooldown", cooldown)
        self.min_lr: float = checks.number("min_lr", min_lr, 0)
        self.wait: int = 0
        self.cooldown_counter: int = 0

    def on_train_begin(self, logs: Any = None, train_state: Any = None) -> Any:
        super().on_train_begin(logs)
        rates(train_state, type(self).__name__)
        self.best, self.wait, self.cooldown_counter = None, 0, 0

    def on_epoch_end(self, epoch: int, logs: Any = None, train_state: Any = None) -> Any:
        logs = {} if logs is None else logs
        logs |= rates(train_state, type(self).__name__)
        value = self.value(logs)
        if value is None:
            return None
        if self.in_cooldown():
            self.cooldown_counter -= 1
            self.wait = 0
        if self.better(value, self.best):
            self.best, self.wait = value, 0
        elif not self.in_cooldown():
            self.wait += 1
            if self.wait >= self.patience:
                return self._reduced(epoch, train_state)
        return None

    def _reduced(self, epoch: int, train_state: Any) -> Any:
        import numpy as np

        new: list[float] = []

        def change(old: float) -> float:
            # A learning rate that was set to the least one has become the nearest float32.
            least = float(np.float32(self.min_lr))
            new.append(max(old * self.factor, self.min_lr) if old > least else old)
            return new[-1]

        before = list(rates(train_state).values())
        after = with_rates(train_state, change)
        if new == before:
            return None
        self.cooldown_counter, self.wait = self.cooldown, 0
        if self.verbose:
            print(f"Epoch {epoch + 1}: the learning rate becomes {', '.join(f'{x:g}' for x in new)}.")
        return after

    def in_cooldown(self) -> bool:
        """Whether values do not count, because the learning rate has just changed."""
        return self.cooldown_counter > 0

    def get_state(self) -> Any:
        return {name: getattr(self, name) for name in ("best", "wait", "cooldown_counter")}

    def set_state(self, state: Any) -> None:
        self.best, self.wait = single(state["best"]), whole(state["wait"])
        self.cooldown_counter = whole(state["cooldown_counter"])
