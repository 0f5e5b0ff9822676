"""A callback that writes event files for TensorBoard."""

from __future__ import annotations

import functools
import math
import os
import socket
import struct
import time
from collections.abc import Iterable, Mapping
from typing import Any

from .. import checks, tree
from ..arrays import to_numpy
from ..errors import UnsupportedError
from ..training.checkpoints import whole
from .base import Callback, frequency
from .rates import current_rates

__all__ = ["TensorBoard"]


class TensorBoard(Callback):
    """Write the numbers of training for TensorBoard: `tensorboard --logdir logs`. Writing needs no other package.

    Scalars of training are in `log_dir/train`, those of evaluations in `log_dir/validation`, with Keras's names:
    `epoch_loss` by epochs, `batch_loss` and `evaluation_loss_vs_iterations` by steps.

    Args:
        log_dir: The directory.
        histogram_freq: After how many epochs histograms of the parameters and the state are written; 0 for never.
        write_steps_per_second: Whether to write how fast training is.
        update_freq: "epoch", "batch", or after how many steps the numbers of a batch are written.
        write_graph, write_images, profile_batch, embeddings_freq, embeddings_metadata: Not supported; see Raises.

    Raises:
        UnsupportedError: An argument asks for something that only other tools can write.
        OSError: The files could not be written.
    """

    _keeps_state = False

    def __init__(
        self,
        log_dir: str | os.PathLike[str] = "logs",
        histogram_freq: int = 0,
        write_graph: bool = False,
        write_images: bool = False,
        write_steps_per_second: bool = False,
        update_freq: str | int = "epoch",
        profile_batch: int = 0,
        embeddings_freq: int = 0,
        embeddings_metadata: Any = None,
    ):
        for name, value, fix in (
            (
                "write_graph",
                write_graph,
                "leave it out: a network is a function, and model.summary() prints its layers",
            ),
            ("write_images", write_images, "leave it out, or draw model.train_state.params with matplotlib"),
            ("profile_batch", profile_batch, "use the framework's own profiler around fit, such as jax.profiler.trace"),
            (
                "embeddings_freq",
                embeddings_freq,
                "leave it out, or save the table with kf.save and project it yourself",
            ),
            ("embeddings_metadata", embeddings_metadata, "leave it out"),
        ):
            if value:
                raise UnsupportedError(
                    f"`{name}` of kfunc's TensorBoard must be left as it is, got {value!r}.",
                    argument=name,
                    got=value,
                    fix=fix,
                )
        self.log_dir: str = os.fspath(log_dir)
        self.histogram_freq: int = checks.natural("histogram_freq", histogram_freq)
        self.write_steps_per_second: bool = checks.boolean("write_steps_per_second", write_steps_per_second)
        self.update_freq: Any = frequency("update_freq", 1 if update_freq == "batch" else update_freq)
        self._files: dict[str, EventFile] = {}
        self._steps, self._begun, self._first = 0, 0.0, 0
        if self.update_freq != "epoch":  # a hook of batches would make `fit` dispatch each step by itself
            self.on_train_batch_begin = self._on_step_begin  # type: ignore[method-assign, assignment]
            self.on_train_batch_end = self._on_step  # type: ignore[method-assign, assignment]

    def _write(self, where: str, step: int, values: Mapping[str, Any], histograms: Mapping[str, Any] | None = None):
        if where not in self._files:
            self._files[where] = EventFile(os.path.join(self.log_dir, where))
        self._files[where].write(step, values, histograms or {})

    def on_train_begin(self, logs: Any = None) -> None:
        self._steps = 0

    def on_epoch_begin(self, epoch: int, logs: Any = None, train_state: Any = None) -> Any:
        if self.write_steps_per_second:
            self._first, self._begun = _step(train_state), time.perf_counter()

    def _on_step_begin(self, batch: int, logs: Any = None) -> None:
        self._step_begun = time.perf_counter()

    def _on_step(self, batch: int, logs: Any = None) -> None:
        self._steps += 1
        if self._steps % self.update_freq == 0:
            values = {f"batch_{name}": value for name, value in (logs or {}).items()}
            if self.write_steps_per_second:
                values["batch_steps_per_second"] = 1 / max(time.perf_counter() - self._step_begun, 1e-9)
            self._write("train", self._steps, values)

    def on_epoch_end(self, epoch: int, logs: Any = None, train_state: Any = None) -> Any:
        own = {name: value for name, value in (logs or {}).items() if not name.startswith("val_")}
        own |= current_rates(getattr(self.model, "optimizer", None), train_state)
        if self.write_steps_per_second:
            own["steps_per_second"] = (_step(train_state) - self._first) / (time.perf_counter() - self._begun)
        histograms: dict[str, Any] = {}
        if self.histogram_freq and epoch % self.histogram_freq == 0 and train_state is not None:
            for part in (train_state.params, train_state.state):
                leaves = zip(tree.paths(part), tree.leaves(part), strict=True)
                histograms |= {f"{path}/histogram": x for path, x in leaves}
        self._write("train", epoch, {f"epoch_{name}": value for name, value in own.items()}, histograms)
        against = {name.removeprefix("val_"): v for name, v in (logs or {}).items() if name.startswith("val_")}
        if against:
            self._write("validation", epoch, {f"epoch_{name}": value for name, value in against.items()})

    def on_test_end(self, logs: Any = None, train_state: Any = None) -> Any:
        values = {f"evaluation_{name}_vs_iterations": value for name, value in (logs or {}).items()}
        self._write("validation", _step(train_state), values)

    def on_train_end(self, logs: Any = None) -> None:
        self._files.clear()

    def get_state(self) -> Any:
        return {"steps": self._steps}

    def set_state(self, state: Any) -> None:
        self._steps = whole(state["steps"])


def _step(train_state: Any) -> int:
    return 0 if train_state is None else int(to_numpy(train_state.step))


# -- event files -------------------------------------------------------------------------------------------------------


class EventFile:
    """A file of TensorBoard's: records of the protocol buffer `tensorflow.Event`, each with its length and checksums.

    The numbers of the fields are those of tensorflow/core/util/event.proto and tensorflow/core/framework/summary.proto.
    """

    def __init__(self, directory: str):
        os.makedirs(directory, exist_ok=True)
        name = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}.{time.time_ns()}.v2"
        self._path = os.path.join(directory, name)
        self._record(_text(3, b"brain.Event:2"))

    def write(self, step: int, values: Mapping[str, Any], histograms: Mapping[str, Any]) -> None:
        """Write scalars, and histograms of arrays, of one step. Lists of numbers become a scalar each."""
        parts = [
            _text(1, _text(1, tag.encode()) + _float(2, number))
            for name, value in values.items()
            for tag, number in _scalars(name, value)
        ]
        parts += [
            _text(1, _text(1, name.encode()) + _text(5, _histogram(to_numpy(x)))) for name, x in histograms.items()
        ]
        if parts:
            self._record(_int(2, step) + _text(5, b"".join(parts)))

    def _record(self, event: bytes) -> None:
        event = _double(1, time.time()) + event
        length = struct.pack("<Q", len(event))
        # Opened for each record, so that the file is closed and complete in whatever way training ends.
        with open(self._path, "ab") as file:
            file.write(length + _checksum(length) + event + _checksum(event))


def _scalars(name: str, value: Any) -> Iterable[tuple[str, float]]:
    if isinstance(value, list | tuple):
        return [pair for i, part in enumerate(value) for pair in _scalars(f"{name}_{i}", part)]
    return [(name, float(value))]


def _varint(value: int) -> bytes:
    out = bytearray()
    value &= 2**64 - 1
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes((*out, value))


def _int(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _double(field: int, value: float) -> bytes:
    return _varint(field << 3 | 1) + struct.pack("<d", value)


def _text(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(value)) + value


def _float(field: int, value: float) -> bytes:
    try:
        return _varint(field << 3 | 5) + struct.pack("<f", value)
    except OverflowError:
        return _float(field, math.copysign(math.inf, value))


def _histogram(x: Any) -> bytes:
    """A `HistogramProto` in 30 buckets; values that are not finite are left out."""
    import numpy as np

    x = x.astype(np.float64).reshape(-1)
    x = x[np.isfinite(x)]
    counts, edges = np.histogram(x, bins=30)
    low, high = (float(x.min()), float(x.max())) if x.size else (0.0, 0.0)
    sums = (low, high, float(x.size), float(x.sum()), float(np.square(x).sum()))
    # The first limit closes a bucket for what is below all.
    limits, buckets = edges.astype("<f8"), np.concatenate([[0.0], counts]).astype("<f8")
    numbers = b"".join(_double(i + 1, value) for i, value in enumerate(sums))
    return numbers + _text(6, limits.tobytes()) + _text(7, buckets.tobytes())


@functools.cache
def _table() -> list[int]:
    table = list(range(256))
    for _ in range(8):
        table = [x >> 1 ^ (0x82F63B78 if x & 1 else 0) for x in table]
    return table


def _checksum(data: bytes) -> bytes:
    """CRC-32C, masked as in TFRecord files."""
    table, crc = _table(), 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 255]
    crc ^= 0xFFFFFFFF
    return struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF)
