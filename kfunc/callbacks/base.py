"""What a callback is, and how `fit`, `evaluate` and `predict` call them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import ArgumentError

if TYPE_CHECKING:
    from ..model import Model
    from ..step import TrainState

__all__ = ["Callback", "CallbackList", "Logs"]


class Callback:
    """Base of the callbacks: define the hooks that you need, with Keras's names and one more argument, the train state.

    A hook may return another `TrainState`, with which training goes on; None keeps the one it was given. A hook that
    takes no third argument, as those of Keras do not, is called without the train state. `logs` of batches is read from
    the device when it is looked at, and not before.

    Attributes:
        model: The model; `model.stop_training = True` ends training after the epoch.
        params: "epochs", "steps" (batches an epoch, or None) and "verbose".
    """

    model: Model
    params: Mapping[str, Any]

    def set_model(self, model: Model) -> None:
        self.model = model

    def set_params(self, params: Mapping[str, Any]) -> None:
        self.params = params

    # fmt: off
    def on_train_begin(self, logs: Any = None, train_state: TrainState | None = None) -> TrainState | None: ...
    def on_train_end(self, logs: Any = None, train_state: TrainState | None = None) -> TrainState | None: ...
    def on_epoch_begin(self, epoch: int, logs: Any = None, train_state: Any = None) -> TrainState | None: ...
    def on_epoch_end(self, epoch: int, logs: Any = None, train_state: Any = None) -> TrainState | None: ...
    def on_train_batch_begin(self, batch: int, logs: Any = None, train_state: Any = None) -> TrainState | None: ...
    def on_train_batch_end(self, batch: int, logs: Any = None, train_state: Any = None) -> TrainState | None: ...
    def on_test_begin(self, logs: Any = None, train_state: Any = None) -> TrainState | None: ...
    def on_test_end(self, logs: Any = None, train_state: Any = None) -> TrainState | None: ...
    def on_test_batch_begin(self, batch: int, logs: Any = None, train_state: Any = None) -> None: ...
    def on_test_batch_end(self, batch: int, logs: Any = None, train_state: Any = None) -> None: ...
    def on_predict_begin(self, logs: Any = None, train_state: Any = None) -> TrainState | None: ...
    def on_predict_end(self, logs: Any = None, train_state: Any = None) -> TrainState | None: ...
    def on_predict_batch_begin(self, batch: int, logs: Any = None, train_state: Any = None) -> None: ...
    def on_predict_batch_end(self, batch: int, logs: Any = None, train_state: Any = None) -> None: ...
    # fmt: on

    def get_state(self) -> Any:
        """What the callback remembers, for checkpoints: a tree of arrays, numbers and strings, or None."""

    def set_state(self, state: Any) -> None:
        """Remember what `get_state` returned."""


HOOKS = tuple(name for name in vars(Callback) if name.startswith("on_"))
_COUNTED = tuple(name for name in HOOKS if "batch" in name or "epoch" in name)


class Logs(Mapping[str, float]):
    """The numbers of a batch, read from the device when the first is looked at."""

    def __init__(self, read: Callable[[], dict[str, float]]):
        self._read, self._values = read, None

    def _all(self) -> dict[str, float]:
        if self._values is None:
            self._values = self._read()
        return self._values

    def __getitem__(self, name: str) -> float:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __repr__(self) -> str:
        return repr(self._all())


class CallbackList:
    """Several callbacks as one: `callbacks("on_epoch_end", epoch, logs)` calls each that defines the hook."""

    def __init__(self, callbacks: Iterable[Any], model: Model, **params: Any):
        self.callbacks = list(callbacks) if isinstance(callbacks, Iterable) else [callbacks]
        self._model = model
        self._hooks: dict[str, list[tuple[Callable, bool]]] = {name: [] for name in HOOKS}
        for callback in self.callbacks:
            if isinstance(callback, type) or not hasattr(callback, "on_epoch_end"):
                raise ArgumentError(
                    "That is no callback.",
                    argument="callbacks",
                    expected="objects of subclasses of kf.callbacks.Callback",
                    got=repr(callback),
                )
            for name in HOOKS:
                hook = getattr(callback, name, None)
                if hook is not None and getattr(hook, "__func__", None) is not getattr(Callback, name):
                    self._hooks[name].append((hook, _takes(hook, 3 if name in _COUNTED else 2)))
            callback.set_params(params)
            callback.set_model(model)

    def has(self, *names: str) -> bool:
        """Whether a callback defines one of these hooks."""
        return any(self._hooks[name] for name in names)

    def __call__(self, name: str, *args: Any) -> None:
        """Call the hook of each; a train state that one returns becomes the model's."""
        for hook, stateful in self._hooks[name]:
            new = hook(*args, self._model.train_state) if stateful else hook(*args)
            if new is not None:
                self._model.train_state = _checked(new, hook)

    def get_state(self) -> dict[str, Any]:
        """What all remember, by number and class."""
        states = {
            f"{i}_{type(c).__name__}": c.get_state() for i, c in enumerate(self.callbacks) if hasattr(c, "get_state")
        }
        return {name: state for name, state in states.items() if state is not None}

    def set_state(self, states: Mapping[str, Any]) -> None:
        """Let each remember what it did."""
        for i, callback in enumerate(self.callbacks):
            name = f"{i}_{type(callback).__name__}"
            if name in states:
                callback.set_state(states[name])


def _takes(hook: Callable, n: int) -> bool:
    """Whether a hook takes `n` positional arguments."""
    try:
        parameters = inspect.signature(hook).parameters.values()
    except (TypeError, ValueError):
        return True
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return True
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters) >= n


def _checked(new: Any, hook: Callable) -> TrainState:
    from ..step import TrainState

    if not isinstance(new, TrainState):
        raise ArgumentError(
            "A callback returned something else than a train state.",
            argument=getattr(hook, "__qualname__", "callbacks"),
            expected="a TrainState, or None",
            got=type(new).__name__,
        )
    return new
