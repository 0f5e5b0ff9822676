"""The base of callbacks, and how `fit`, `evaluate` and `predict` call them."""

from __future__ import annotations

import contextlib
import functools
import inspect
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, MutableSequence, MutableSet
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from .. import checks
from ..errors import ArgumentError, FileError, ResumeWarning, shown
from ..registry import is_ours
from ..training.checkpoints import texts
from ..training.state import TrainState

if TYPE_CHECKING:
    from ..model import Model
    from ..training.checkpoints import Checkpoints

__all__ = ["Callback", "CallbackList", "Logs", "frequency", "listed", "takes"]


class Callback:
    """Base of the callbacks: define the hooks that you need, with Keras's names and one more argument, the train state.

    A hook that takes the train state may return another one, with which training goes on; None keeps it. A hook without
    that argument, such as those of Keras's callbacks, is called without it, and its result is ignored. `logs` of
    batches are read from the device only when somebody looks at them, since reading waits; `logs` of epochs is a dict,
    and all that a hook adds to it comes into the history. Hooks of training batches make `fit` dispatch each step by
    itself.

    Attributes:
        model: The model; `model.stop_training = True` ends training, after a batch or an epoch.
        params: "epochs", "steps" (batches an epoch, or None), "verbose", "metrics" (by their names in `logs`), and
            "validates": whether `fit` validates after some of the epochs.
    """

    model: Model
    params: Mapping[str, Any] = MappingProxyType({})
    backup: Checkpoints | None = None
    """As `resume` of `fit`: where it goes on from and saves its states. At the very end, `finished` is called."""
    _keeps_state: bool = True
    """Whether kfunc's own hooks of the class may keep arrays of the train state, or put arrays into it that they keep.
    Then the next step has to copy the whole state, where steps take the memory of the state before them."""

    def set_model(self, model: Model) -> None:
        """Called before anything else, with the model that is trained, evaluated or asked."""
        self.model = model

    def set_params(self, params: Mapping[str, Any]) -> None:
        """Called with `params`, see above."""
        self.params = params

    # A hook may have fewer arguments than it is offered, which no narrower signature would let a type checker accept.

    def on_train_begin(self, *args: Any, **kwargs: Any) -> Any:
        """`(logs=None, train_state=None)`: training begins."""

    def on_train_end(self, *args: Any, **kwargs: Any) -> Any:
        """`(logs=None, train_state=None)`: training ends."""

    def on_epoch_begin(self, *args: Any, **kwargs: Any) -> Any:
        """`(epoch, logs=None, train_state=None)`: an epoch begins; they are counted from 0."""

    def on_epoch_end(self, *args: Any, **kwargs: Any) -> Any:
        """`(epoch, logs=None, train_state=None)`: an epoch and its validation end; `logs` is a dict of the numbers."""

    def on_train_batch_begin(self, *args: Any, **kwargs: Any) -> Any:
        """`(batch, logs=None, train_state=None)`: a training step is about to be taken."""

    def on_train_batch_end(self, *args: Any, **kwargs: Any) -> Any:
        """`(batch, logs=None, train_state=None)`: a training step was taken."""

    def on_test_begin(self, *args: Any, **kwargs: Any) -> Any:
        """`(logs=None, train_state=None)`: an evaluation or validation begins."""

    def on_test_end(self, *args: Any, **kwargs: Any) -> Any:
        """`(logs=None, train_state=None)`: an evaluation or validation ends; `logs` is a dict of its numbers."""

    def on_test_batch_begin(self, *args: Any, **kwargs: Any) -> Any:
        """`(batch, logs=None, train_state=None)`: a batch is about to be evaluated."""

    def on_test_batch_end(self, *args: Any, **kwargs: Any) -> Any:
        """`(batch, logs=None, train_state=None)`: a batch was evaluated."""

    def on_predict_begin(self, *args: Any, **kwargs: Any) -> Any:
        """`(logs=None, train_state=None)`: a prediction begins."""

    def on_predict_end(self, *args: Any, **kwargs: Any) -> Any:
        """`(logs=None, train_state=None)`: a prediction ends."""

    def on_predict_batch_begin(self, *args: Any, **kwargs: Any) -> Any:
        """`(batch, logs=None, train_state=None)`: a batch is about to be predicted."""

    def on_predict_batch_end(self, *args: Any, **kwargs: Any) -> Any:
        """`(batch, logs=None, train_state=None)`: a batch was predicted; `logs` has its "outputs"."""

    def get_state(self) -> Any:
        """The memory of the callback, for checkpoints: a tree of arrays, numbers and strings, or None.

        `fit(resume=...)` restores nothing else of a callback: without this, its attributes are as `on_train_begin` left
        them, and a `ResumeWarning` names those that had changed.
        """

    def set_state(self, state: Any) -> None:
        """Remember what `get_state` returned, now with NumPy's arrays; called after `on_train_begin`."""

    def finished(self) -> None:
        """Called when `fit` has come to its end, and has saved its last state."""

    def absorbs(self, error: Exception) -> bool:
        """Whether training ends quietly, as if it were done, when a step was refused with `error`."""
        return False


HOOKS = tuple(name for name in vars(Callback) if name.startswith("on_"))
_COUNTED = tuple(name for name in HOOKS if "batch" in name or "epoch" in name)
_ALIASES = {"on_train_batch_begin": "on_batch_begin", "on_train_batch_end": "on_batch_end"}
"""Keras's other names."""


class Logs(Mapping[str, float]):
    """The numbers of a batch, read from the device when the first is looked at."""

    def __init__(self, read: Callable[[], dict[str, float]]):
        self._read = read
        self._values: dict[str, float] | None = None

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
    """Several callbacks as one, for loops of your own: each hook is a method, which calls those that define it.

    Args:
        callbacks: Objects of subclasses of `Callback`, or one.
        add_history, add_progbar: Whether to add a `History` or a `ProgbarLogger`, if there is none.
        model: The model, whose `train_state` the hooks are given, and may change.
        params: What `Callback.params` says.
    """

    def __init__(
        self,
        callbacks: Any = None,
        add_history: bool = False,
        add_progbar: bool = False,
        model: Any = None,
        **params: Any,
    ):
        from .logs import History, ProgbarLogger

        self.callbacks: list[Any] = listed(callbacks)
        for wanted, cls in ((add_history, History), (add_progbar, ProgbarLogger)):
            if wanted and not any(isinstance(c, cls) for c in self.callbacks):
                self.callbacks.append(cls())
        self._hooks: dict[str, list[tuple[Callable, bool, Any]]] = {name: [] for name in HOOKS}
        self._waiting: Mapping[str, Any] = {}
        self._begun: dict[str, dict[str, Any]] = {}  # attributes when training began, of callbacks without `get_state`
        self._told = False
        for callback in self.callbacks:
            if isinstance(callback, type) or not hasattr(callback, "on_epoch_end"):
                raise ArgumentError(
                    f"`callbacks` must hold callbacks, got {callback!r}.",
                    argument="callbacks",
                    expected="objects of subclasses of kf.callbacks.Callback",
                    got=repr(callback),
                )
            for name in HOOKS:
                hook = _own(callback, name) or (name in _ALIASES and _own(callback, _ALIASES[name]))
                if hook:
                    owner = callback if is_ours(hook) else None  # a hook of the user's own may keep arrays
                    self._hooks[name].append((hook, takes(hook, 3 if name in _COUNTED else 2), owner))
        self.set_params(params)
        self.set_model(model)

    def set_params(self, params: Mapping[str, Any]) -> None:
        for callback in self.callbacks:
            callback.set_params(params)

    def set_model(self, model: Any) -> None:
        self._model = model
        for callback in self.callbacks if model is not None else ():
            callback.set_model(model)

    def has(self, *names: str) -> bool:
        """Whether a callback defines one of these hooks."""
        return any(self._hooks[name] for name in names)

    def backup(self, resume: Any) -> Any:
        """The place that `fit` resumes from: `resume`, or the `backup` of a callback.

        Raises:
            ArgumentError: There are several.
        """
        found = [b for c in self.callbacks if (b := getattr(c, "backup", None)) is not None]
        if len(found) + (resume is not None) > 1:
            raise ArgumentError(
                "`fit` was told two places to resume from.",
                argument="resume",
                expected="resume=, or one BackupAndRestore",
                got=f"{len(found)} of the callbacks" + (" and resume=" if resume is not None else ""),
            )
        return found[0] if found else resume

    def finished(self) -> None:
        """Tell each that `fit` has come to its end."""
        for callback in self.callbacks:
            if hasattr(callback, "finished"):
                callback.finished()

    def absorbs(self, error: Exception) -> bool:
        """Whether one of them wants training to end quietly after `error`; each is asked."""
        return any([callback.absorbs(error) for callback in self.callbacks if hasattr(callback, "absorbs")])

    def __call__(self, name: str, *args: Any) -> None:
        """Call a hook of each callback; a train state that it returns becomes the model's."""
        for hook, stateful, owner in self._hooks[name]:
            if not stateful:
                hook(*args)
                continue
            carry = None if getattr(owner, "_keeps_state", True) else getattr(self._model, "_carry", None)
            if carry is None:
                if (new := hook(*args, getattr(self._model, "train_state", None))) is not None:
                    self._model.train_state = _checked(new, hook)
                continue
            with carry.lent() as ts:
                new = hook(*args, ts)
            if new is not None:
                carry.assign(new, seen=None)
        if name == "on_train_begin":
            named = self._named().items()
            self._begun = {n: _marks(c) for n, c in named if not (_own(c, "get_state") or is_ours(type(c)))}
            if self._waiting:
                self.restore()

    def _named(self) -> dict[str, Any]:
        """The callbacks by number and class, as checkpoints call them."""
        return {f"{i}_{type(c).__name__}": c for i, c in enumerate(self.callbacks)}

    def get_state(self) -> dict[str, Any]:
        """The memory of each callback, by number and class; and the names of attributes that are not remembered."""
        named = self._named()
        states = {name: c.get_state() for name, c in named.items() if _own(c, "get_state")}
        lost = {
            n: sorted(k for k, v in _marks(named[n]).items() if then.get(k, ...) != v)
            for n, then in self._begun.items()
        }
        states[_LOST] = {name: names for name, names in lost.items() if names} or None
        return {name: state for name, state in states.items() if state is not None}

    def set_state(self, states: Mapping[str, Any]) -> None:
        """Keep what each is to remember until training has begun: `on_train_begin` makes callbacks forget."""
        self._waiting = states

    def restore(self) -> None:
        """Let each remember now what `set_state` has kept for it."""
        states, self._waiting, named = dict(self._waiting), {}, self._named()
        found = {n: "what it remembered was saved, and is lost" for n in states if not _own(named.get(n), "set_state")}
        if found.pop(_LOST, None) is not None:
            with _readable("a callback"):
                found |= {
                    n: f"its attributes {', '.join(texts(names))} had changed"
                    for n, names in states.pop(_LOST).items()
                    if n in named
                }
        self._told, told = True, self._told  # `fit` restores twice: callbacks may have changed the state in between
        for name, what in () if told else found.items():
            number, _, cls = name.partition("_")
            warnings.warn(
                ResumeWarning(
                    f"The callback {cls} is not as it was before training was interrupted: {what}.",
                    argument="callbacks",
                    expected=f"{cls} as number {number} of the callbacks, with the methods get_state and set_state",
                    fix="give fit the same callbacks; define get_state and set_state in those of your own",
                ),
                stacklevel=2,
            )
        for name, callback in named.items():
            if name in states and name not in found:
                with _readable(type(callback).__name__):
                    callback.set_state(states[name])


_LOST = "lost"
"""The name of what callbacks do not remember, among what they do."""


@contextlib.contextmanager
def _readable(whose: str) -> Iterator[None]:
    """A block that reads what callbacks remember, in a checkpoint that may have been forged."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise FileError(
            f"The checkpoint does not hold what {whose} remembers: {type(error).__name__} {shown(str(error))}.",
            argument="callbacks",
            expected="what its get_state returned",
            fix="take another directory",
        ) from error


def _marks(callback: Any) -> dict[str, Any]:
    """The attributes, to see later whether they have changed: values, or identities of objects and lengths of lists."""
    plain, containers = (int, float, str, bool, type(None)), (MutableMapping, MutableSequence, MutableSet)
    return {
        name: value if isinstance(value, plain) else (id(value), len(value) if isinstance(value, containers) else 0)
        for name, value in getattr(callback, "__dict__", {}).items()
        if name.lstrip("_") not in ("model", "params")
    }


def listed(callbacks: Any) -> list[Any]:
    """The callbacks in one of them, in nested lists of them, or in None."""
    if callbacks is None:
        return []
    return [c for part in callbacks for c in listed(part)] if isinstance(callbacks, Iterable) else [callbacks]


for _name in HOOKS:
    setattr(CallbackList, _name, functools.partialmethod(CallbackList.__call__, _name))


def _own(callback: Any, name: str) -> Any:
    """The hook `name` if the callback defines it; None if it has that of the base class, ours or Keras's."""
    hook = getattr(callback, name, None)
    same = getattr(hook, "__func__", None) is getattr(Callback, name, hook)
    return None if same or getattr(hook, "_is_default", False) else hook


def takes(hook: Callable[..., Any], n: int) -> bool:
    """Whether a function takes `n` positional arguments."""
    try:
        parameters = inspect.signature(hook).parameters.values()
    except (TypeError, ValueError):
        return True
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return True
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters) >= n


def frequency(argument: str, value: Any) -> Any:
    """ "epoch", or a number of steps."""
    return value if value == "epoch" else checks.positive(argument, value)


def _checked(new: Any, hook: Callable[..., Any]) -> TrainState:
    if not isinstance(new, TrainState):
        raise ArgumentError(
            f"A callback returned neither a train state nor None, but {type(new).__name__}.",
            argument=getattr(hook, "__qualname__", "callbacks"),
            expected="a TrainState, or None",
            got=type(new).__name__,
        )
    return new
