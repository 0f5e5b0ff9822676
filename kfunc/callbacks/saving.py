"""Callbacks that write the model, or its train state, to files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .. import checks, files, tree
from ..arrays import to_numpy
from ..errors import ArgumentError
from ..training.checkpoints import Checkpoints, single, whole
from ..training.model_file import format_of
from .base import Callback, frequency
from .monitors import MonitorCallback

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["BackupAndRestore", "ModelCheckpoint", "OrbaxCheckpoint"]


class _Saver(MonitorCallback):
    """Base: saves at the ends of epochs or after so many steps, always or only if a quantity is better than before."""

    def __init__(
        self,
        monitor: str,
        verbose: int,
        save_best_only: bool,
        mode: str,
        save_freq: str | int,
        threshold: float | None,
        save_weights_only: bool,
    ):
        super().__init__(monitor, mode, threshold)
        self.verbose: int = verbose
        self.threshold: float | None = threshold
        self.save_best_only: bool = checks.boolean("save_best_only", save_best_only)
        self.save_weights_only: bool = checks.boolean("save_weights_only", save_weights_only)
        self.save_freq: Any = frequency("save_freq", save_freq)
        self._epoch = self._steps = 0
        if self.save_freq != "epoch":  # a hook of batches would make `fit` dispatch each step by itself
            self.on_train_batch_end = self._on_step  # type: ignore[method-assign, assignment]

    def on_train_begin(self, logs: Any = None) -> None:
        if self.save_best_only:
            super().on_train_begin(logs)
        self._steps = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch

    def _on_step(self, batch: int, logs: Any = None) -> None:
        self._steps += 1
        if self._steps >= self.save_freq:
            self._steps = 0
            self._save(self._epoch, batch, logs or {})

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if self.save_freq == "epoch":
            self._save(epoch, None, logs or {})

    def _save(self, epoch: int, batch: int | None, logs: Mapping[str, Any]) -> None:
        value = self.value(logs, batch is not None) if self.save_best_only else None
        if self.save_best_only and (value is None or not self.better(value, self.best)):
            if self.verbose:
                best = "" if self.best is None else f" than {self.best:.5f}"
                print(f"Epoch {epoch + 1}: {self.monitor} is not {'there' if value is None else 'better' + best}")
            return
        path = self.write(epoch, batch, logs)
        if value is not None:
            self.best = value
        if self.verbose:
            print(f"Epoch {epoch + 1}: saved {path}")

    def write(self, epoch: int, batch: int | None, logs: Mapping[str, Any]) -> str:
        """Save; return where."""
        raise NotImplementedError

    def get_state(self) -> Any:
        return {"best": self.best, "epoch": self._epoch, "steps": self._steps}

    def set_state(self, state: Any) -> None:
        self.best, self._epoch, self._steps = single(state["best"]), whole(state["epoch"]), whole(state["steps"])


class ModelCheckpoint(_Saver):
    """Save the model, or its parameters and state alone, as training goes on.

    Args:
        filepath: Path of a `.safetensors` file; or of a file for Keras, which ends in `.keras`, and in `.weights.h5`
            with `save_weights_only`. "{epoch}", from 1, and the names in the logs are replaced by their values, as in
            "{epoch:02d}-{val_loss:.2f}.keras"; with a `save_freq` in steps also "{batch}". Directories are made.
        monitor, mode: As for `MonitorCallback`, with `save_best_only`.
        verbose: 1 to print what it does.
        save_best_only: Whether only values that are better than all before are saved. In epochs without a value, as
            those that are not validated, and where the value is NaN, nothing is saved, so that the best file stays.
            (Keras's callback overwrites it there.)
        save_weights_only: Whether to write what `Model.load_weights` reads, instead of what `Model.load` does.
        save_freq: "epoch", or after how many steps.
        initial_value_threshold: What the first value must be better than.

    Raises:
        ArgumentError: `filepath` has another suffix, or a name in braces that is not in the logs; or Keras lacks a
            layer of the network, and the file is for Keras, which is said before training starts.
        FileError: It could not be written; an older file is as it was.
        MissingPackageError: The file is for Keras, and h5py is not installed.
    """

    def __init__(
        self,
        filepath: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
    ):
        super().__init__(monitor, verbose, save_best_only, mode, save_freq, initial_value_threshold, save_weights_only)
        self.filepath: str = os.fsdecode(filepath)
        endings = (".safetensors", ".weights.h5" if self.save_weights_only else ".keras")
        if not self.filepath.endswith(endings):
            stem = os.path.splitext(self.filepath)[0].removesuffix(".weights")
            raise ArgumentError.must_be(
                "filepath",
                f"a path that ends in {' or '.join(endings)}",
                self.filepath,
                fix=f"write {' or '.join(stem + ending for ending in endings)}",
            )

    def on_train_begin(self, logs: Any = None) -> None:
        super().on_train_begin(logs)
        if (other := format_of(self.filepath)) is not None:
            other.check(self.model, self.save_weights_only)

    def write(self, epoch: int, batch: int | None, logs: Mapping[str, Any]) -> str:
        path = self._path(epoch, batch, logs)
        if directory := os.path.dirname(path):
            files.make_directory(directory)
        (self.model.save_weights if self.save_weights_only else self.model.save)(path)
        return path

    def _path(self, epoch: int, batch: int | None, logs: Mapping[str, Any]) -> str:
        values = {**logs, "epoch": epoch + 1} | ({} if batch is None else {"batch": batch + 1})
        try:
            return self.filepath.format(**values)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ArgumentError(
                f"`filepath` cannot be filled in: {self.filepath!r}.",
                argument="filepath",
                expected=f"names among {', '.join(values)}, with formats that fit their values",
                got=self.filepath,
                fix=f"{type(error).__name__}: {error}",
            ) from error


class OrbaxCheckpoint(_Saver):
    """Save states to a directory as training goes on, by steps, and keep the newest, as Keras does with Orbax.

    `kf.Checkpoints(directory).restore()` returns the newest good one: a dict of "params", "state", "opt_state", "key"
    and "step". The files are kfunc's own, and Orbax is not needed.

    Args:
        directory: Made if there is none.
        monitor, mode, verbose, save_best_only, save_freq, initial_value_threshold: As for `ModelCheckpoint`.
        max_to_keep: How many of the newest stay; None for all.
        save_on_background: Whether training goes on while a file is written; its arrays are copied before. An error in
            writing is raised when the next file is saved, or at the end.
        save_weights_only: Whether to save "params" and "state" alone.

    Raises:
        FileError: A file could not be written.
    """

    def __init__(
        self,
        directory: str | os.PathLike[str],
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        mode: str = "auto",
        save_freq: str | int = "epoch",
        initial_value_threshold: float | None = None,
        max_to_keep: int | None = 1,
        save_on_background: bool = True,
        save_weights_only: bool = False,
    ):
        super().__init__(monitor, verbose, save_best_only, mode, save_freq, initial_value_threshold, save_weights_only)
        checks.positive("max_to_keep", max_to_keep, none=True)
        self.directory: str = os.fspath(directory)
        self.max_to_keep: int | None = max_to_keep
        self.save_on_background: bool = checks.boolean("save_on_background", save_on_background)
        self.checkpointer: Checkpoints = Checkpoints(self.directory, keep_last=max_to_keep)
        self._under_way: Future | None = None

    def write(self, epoch: int, batch: int | None, logs: Mapping[str, Any]) -> str:
        ts: Any = self.model.train_state
        parts = {"params": ts.params, "state": ts.state} if self.save_weights_only else ts._asdict()
        step, parts = int(to_numpy(ts.step)), tree.map(to_numpy, parts)
        self.wait_until_finished()
        if self.save_on_background:
            from concurrent.futures import ThreadPoolExecutor

            with_one = ThreadPoolExecutor(1, "kfunc-checkpoint")
            self._under_way = with_one.submit(self.checkpointer.save, step, parts)
            with_one.shutdown(wait=False)
        else:
            self.checkpointer.save(step, parts)
        return f"step {step} to {self.directory}"

    def wait_until_finished(self) -> None:
        """Wait until everything is on the disk."""
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            under_way.result()

    def on_train_end(self, logs: Any = None) -> None:
        self.wait_until_finished()


class BackupAndRestore(Callback):
    """Let `fit` go on where it was if it was interrupted, as with `fit(resume=backup_dir)`: to the bit.

    Unlike with Keras's, the model need not have been built, and the position in the data, the random state, the history
    and the memory of other callbacks come back, too. A process that is killed as it writes leaves no half-written
    state.

    Args:
        backup_dir: The directory, for this run alone.
        save_freq: "epoch", or after how many steps.
        double_checkpoint: Whether the state before the newest is kept, too, for the case that the newest is damaged.
        delete_checkpoint: Whether the states go when training has come to its end.

    Raises:
        ArgumentError: `fit` was given `resume`, too.
        FileError: As `fit` with `resume` does.
    """

    def __init__(
        self,
        backup_dir: str | os.PathLike[str],
        save_freq: str | int = "epoch",
        double_checkpoint: bool = False,
        delete_checkpoint: bool = True,
    ):
        if not isinstance(backup_dir, str | os.PathLike) or not os.fspath(backup_dir):
            raise ArgumentError(
                f"`backup_dir` must be a path, got {backup_dir!r}.",
                argument="backup_dir",
                expected="a path",
                got=repr(backup_dir),
            )
        self.backup_dir: str = os.fspath(backup_dir)
        self.save_freq: str | int = frequency("save_freq", save_freq)
        self.double_checkpoint: bool = checks.boolean("double_checkpoint", double_checkpoint)
        self.delete_checkpoint: bool = checks.boolean("delete_checkpoint", delete_checkpoint)
        every: Any = None if save_freq == "epoch" else self.save_freq
        self.backup: Checkpoints = Checkpoints(self.backup_dir, every=every, keep_last=2 if double_checkpoint else 1)

    def finished(self) -> None:
        if self.delete_checkpoint:
            self.backup.clear()
