"""Callbacks that show the numbers of training, keep them, or hand them on."""

from __future__ import annotations

import csv
import json
import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..arrays import to_numpy
from ..errors import ArgumentError
from ..training import history
from ..training.checkpoints import text, texts, whole
from ..training.progress_bar import Bar
from .base import HOOKS, Callback

__all__ = ["CSVLogger", "History", "LambdaCallback", "ProgbarLogger", "RemoteMonitor"]


class History(history.History, Callback):
    """The `kf.History` that `fit` returns, as a callback: it is filled as training goes on, and is `model.history`."""

    epoch: list[int]
    history: dict[str, list[Any]]
    epochs: dict[str, list[int]]

    def on_train_begin(self, logs: Any = None) -> None:
        history.History.__init__(self)
        self.model.history = self

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.add(epoch, logs or {})

    def get_state(self) -> Any:
        # In a list, since names may hold characters that keys in a file may not.
        return {"epoch": self.epoch, "each": [[name, self.epochs[name], v] for name, v in self.history.items()]}

    def set_state(self, state: Any) -> None:
        self.epoch = [whole(epoch) for epoch in state["epoch"]]
        self.epochs = {text(name): [whole(epoch) for epoch in epochs] for name, epochs, _ in state["each"]}
        self.history = {name: list(values) for name, _, values in state["each"]}


class LambdaCallback(Callback):
    """Functions as a callback: each argument is a hook's name, and its value is called as that hook is.

    Names of hooks begin with "on_". Arguments of other names become attributes: `LambdaCallback(threshold=0.5)`.

    Raises:
        ArgumentError: There is no such hook, or it is no function.
    """

    def __init__(
        self,
        on_epoch_begin: Callable[..., Any] | None = None,
        on_epoch_end: Callable[..., Any] | None = None,
        on_train_begin: Callable[..., Any] | None = None,
        on_train_end: Callable[..., Any] | None = None,
        on_train_batch_begin: Callable[..., Any] | None = None,
        on_train_batch_end: Callable[..., Any] | None = None,
        **kwargs: Any,
    ):
        given = {name: value for name, value in locals().items() if name in HOOKS} | kwargs
        for name, value in given.items():
            if name not in HOOKS and not name.startswith("on_"):
                setattr(self, name, value)
                continue
            if name not in HOOKS:
                raise ArgumentError(f"There is no hook {name!r}.", argument=name, expected=", ".join(HOOKS), got=name)
            if value is not None:
                if not callable(value):
                    raise ArgumentError(
                        f"`{name}` must be a function, got {value!r}.",
                        argument=name,
                        expected="a function",
                        got=repr(value),
                    )
                setattr(self, name, value)


class RemoteMonitor(Callback):
    """Send the numbers of each epoch to a server, by HTTP POST: the epoch, from 0, and the logs.

    A server that cannot be reached is a warning, and training goes on.

    Args:
        root: The address of the server.
        path: The path there.
        field: The name of the form's field that holds the JSON text, without `send_as_json`.
        headers: HTTP headers to send, too.
        send_as_json: Whether the JSON text is the body itself.
    """

    def __init__(
        self,
        root: str = "http://localhost:9000",
        path: str = "/publish/epoch/end/",
        field: str = "data",
        headers: Mapping[str, str] | None = None,
        send_as_json: bool = False,
    ):
        self.root, self.path, self.field, self.headers = root, path, field, dict(headers or {})
        self.send_as_json: bool = send_as_json

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        from urllib import error, parse, request

        text = json.dumps({"epoch": epoch, **(logs or {})}, default=lambda x: to_numpy(x).tolist())
        kind = "application/json" if self.send_as_json else "application/x-www-form-urlencoded"
        body = text if self.send_as_json else parse.urlencode({self.field: text})
        headers = {"Content-Type": kind, **self.headers}
        try:
            with request.urlopen(request.Request(self.root + self.path, body.encode(), headers), timeout=10):
                pass
        except (error.URLError, OSError, ValueError) as problem:
            warnings.warn(
                f"Could not reach RemoteMonitor root server at {self.root}: epoch {epoch} was not sent. {problem}",
                stacklevel=2,
            )


class CSVLogger(Callback):
    """Write the numbers of the epochs to a table, a line each, which others can read meanwhile.

    The columns are the epoch, from 0, and the names in the logs of the first epoch, sorted; "NA" stands for a number
    that an epoch does not have. In a fit that is resumed, the table goes on where the checkpoint was.

    Args:
        filename: Path of the file.
        separator: The character between two columns.
        append: Whether to keep the lines that are in the file already.

    Raises:
        OSError: The file could not be written.
    """

    def __init__(self, filename: str | os.PathLike[str], separator: str = ",", append: bool = False):
        if not isinstance(separator, str) or len(separator) != 1:
            raise ArgumentError(
                f"`separator` must be one character, got {separator!r}.",
                argument="separator",
                expected="one character",
                got=repr(separator),
            )
        self.filename: str = os.fspath(filename)
        self.sep: str = separator
        self.append: bool = append
        self.keys: list[str] | None = None
        self._size: int | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        self.keys = self._size = None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs = logs or {}
        if self.keys is None:
            self.keys = sorted(logs)
            if not any(key.startswith("val_") for key in self.keys):
                self.keys += [f"val_{key}" for key in self.keys]
        # Opened for each line, so that the file is closed and complete in whatever way training ends.
        with open(self.filename, "a", newline="") as file:
            if self._size is not None or not self.append:
                # Cut off what was written after the checkpoint was made: these epochs are trained and written again.
                file.truncate(min(self._size or 0, os.fstat(file.fileno()).st_size))
            writer = csv.writer(file, delimiter=self.sep)
            if os.fstat(file.fileno()).st_size == 0:
                writer.writerow(["epoch", *self.keys])
            writer.writerow([epoch, *(_cell(logs.get(key, "NA")) for key in self.keys)])
            file.flush()
            self._size = os.fstat(file.fileno()).st_size

    def get_state(self) -> Any:
        return None if self.keys is None else {"keys": list(self.keys), "size": self._size}

    def set_state(self, state: Any) -> None:
        self.keys, self._size = texts(state["keys"]), whole(state["size"])


def _cell(value: Any) -> Any:
    several = isinstance(value, Iterable) and not isinstance(value, str) and getattr(value, "ndim", 1) > 0
    return f'"[{", ".join(map(str, value))}]"' if several else value


class ProgbarLogger(Callback):
    """A progress bar for loops of your own; `fit`, `evaluate` and `predict` show theirs by `verbose`, and only that."""

    def __init__(self) -> None:
        self._bar: Bar | None = None
        self._within: str | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        self._within = "train"

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._begin(f"Epoch {epoch + 1}/{self.params.get('epochs', '?')}")

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._advance(batch, logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._end(logs)

    def on_train_end(self, logs: Any = None) -> None:
        self._within = None

    def on_test_begin(self, logs: Any = None) -> None:
        if self._within is None:  # a validation is silent
            self._begin("Evaluate")
            self._within = "test"

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        if self._within == "test":
            self._advance(batch, logs)

    def on_test_end(self, logs: Any = None) -> None:
        if self._within == "test":
            self._end(logs)
            self._within = None

    def on_predict_begin(self, logs: Any = None) -> None:
        self._begin("Predict")

    def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
        self._advance(batch, {})

    def on_predict_end(self, logs: Any = None) -> None:
        self._end({})

    def _begin(self, description: str) -> None:
        self._bar = Bar(self.params.get("steps"), description, self.params.get("verbose", "auto"))

    def _advance(self, batch: int, logs: Mapping[str, Any] | None) -> None:
        if self._bar is not None and self._bar.advance(batch + 1 - self._bar.done):
            self._bar.show(logs or {})

    def _end(self, logs: Mapping[str, Any] | None) -> None:
        if self._bar is not None:
            self._bar.show(logs or {})
            self._bar.__exit__(None)
            self._bar = None
