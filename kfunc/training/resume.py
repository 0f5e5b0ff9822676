"""The work of `fit(resume=...)`: it saves where training stands as it goes, and goes on from there."""

from __future__ import annotations

import contextlib
import json
import signal
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .. import files, tree
from ..arrays import to_numpy
from ..data.protocol import Source
from ..data.states import unpacked_state
from ..errors import ArgumentError, FileError, shown
from ..metrics import Mean
from ..registry import described
from .checkpoints import Checkpoints, by_path, matched, on_host, text, whole
from .signals import Deferral
from .state import Progress

if TYPE_CHECKING:
    from ..model import Model
    from .fit import Run

__all__ = ["Saver", "saving"]

_MANY = 2**31  # more epochs and steps than any training has
_PLACES = ("epoch", "batch", "first", "initial", "done", "skipped")  # of a `Run`


class Saver:
    """Is told by `fit` what it does. This one saves nothing."""

    def begun(self) -> None:
        """`on_train_begin` was called."""

    def steps_left(self) -> int:
        """How many steps may be taken before the next checkpoint is due."""
        return 2**31

    def steps_done(self) -> None:
        """Steps were taken: save, if it is time."""

    def validates(self) -> None:
        """A validation begins: until `epoch_done`, the state of now stays the one to save."""

    def epoch_done(self, logs: Mapping[str, Any]) -> None:
        """An epoch is at its end: save."""


@contextlib.contextmanager
def saving(
    model: Model, run: Run, resume: Any, fresh: Progress, check: Callable[[], Any], signals: Deferral
) -> Iterator[Saver]:
    """The `Saver` of a `fit`, which has put `model` and `run` where the newest checkpoint was.

    Args:
        model, run: Those of the `fit`.
        resume: A directory or `Checkpoints`; None for none.
        fresh: The progress before the first step.
        check: Raises if a step was refused, whose state is not worth saving.
        signals: Before SIGTERM ends the process, a checkpoint is written.

    Raises:
        FileError: There are checkpoints, and none can be gone on from; or one cannot be written.
        ArgumentError: They are of other data.
    """
    if resume is None:
        yield Saver()
        return
    checkpoints = resume if isinstance(resume, Checkpoints) else Checkpoints(resume)
    checkpoints.prepare()
    saver = _Saver(model, run, checkpoints, check, signals)
    saver.find(fresh)
    try:
        signals.precede(signal.SIGTERM, saver.save_before_the_end)
        yield saver
        saver.wait()
    finally:
        saver.close()


class _Saver(Saver):
    """Saves to `checkpoints`, in a thread: `fit` waits for no disk, but for that of the checkpoint before."""

    def __init__(self, model: Model, run: Run, checkpoints: Checkpoints, check: Callable[[], Any], signals: Deferral):
        from concurrent.futures import Future, ThreadPoolExecutor

        self._model, self._run, self._checkpoints, self._check, self._signals = model, run, checkpoints, check, signals
        self._text = json.dumps(_setting(model, run))
        self._setting = json.loads(self._text)
        self._found: tuple[Any, bool, dict[str, Any], Any] | None = None
        self._thread = ThreadPoolExecutor(1, "kfunc-checkpoints")
        self._writing: Future | None = None
        self._owed = False
        self._validated: dict[str, Any] | None = None

    def close(self) -> None:
        """Wait for the thread; SIGTERM does what it did before."""
        try:
            self._thread.shutdown()
        finally:  # Ctrl-C may come while it waits
            self._signals.precede(signal.SIGTERM, None)

    # -- going on --

    def find(self, fresh: Progress) -> None:
        """Look for the newest checkpoint, and put `fit` where it was.

        Raises:
            FileError: All are bad, or it is of something else.
            ArgumentError: It is of other data.
        """
        run, newest = self._run, self._checkpoints.newest()
        if newest is None:
            self._follow(((), ()), (None, None))
            return
        path, found, ts = self._checkpoints.path(newest[0]), newest[1], self._model.train_state
        assert ts is not None
        state, progress, places, stop, callbacks, setting, read, kept, epochs, history = _content(found, ts, path)
        if self._model.step is not None and not fresh.metrics:  # only a step tells the names of its logs
            paths = [path.removeprefix("metrics/") for path in progress if path.startswith("metrics/")]
            names = {path.rpartition("/")[0] for path in paths}
            fresh = fresh._replace(metrics={name: Mean().init(fresh.loss[0]) for name in names})
        if (steps := self._setting["steps_per_epoch"]) is not None and places["batch"] > steps:
            raise _no_checkpoint(path, f"batch {places['batch']} of {steps}")
        others = [] if json.dumps(setting) == self._text else list(_differences(setting, self._setting))
        try:
            places["progress"] = type(fresh)(**matched(progress, fresh._asdict(), path))
            self._found = type(ts)(**matched(state, ts._asdict(), path)), stop, places, callbacks
        except FileError as error:
            error.fix = f"{error.fix}\n  differences: {_listed(others)}" if others else error.fix
            raise
        if others:
            raise _another(path, others)
        if any(fault >= 0 for fault in to_numpy(places["progress"].fault)):
            raise _no_checkpoint(path, "a step that was refused")
        run.history.epoch[:] = epochs
        for name, (numbers, values) in history.items():
            run.history.epochs[name], run.history.history[name] = numbers, values
        self._restore()
        if run.epoch < run.schedule.epochs:  # otherwise nothing is left to be done
            self._bring_data_to(read, kept)

    def _follow(self, read: Sequence[Sequence[int]], kept: Sequence[Any]) -> None:
        """Have the data note what is read of them."""
        data, held_out = self._run.source, self._run.validation
        shared = held_out is not None and getattr(data, "batches", data) is getattr(held_out, "batches", held_out)
        data.follow("x", read[0], kept[0], shared)
        if held_out is not None:
            held_out.follow("validation_data", read[1], kept[1], shared)

    def _bring_data_to(self, read: list[list[int]], kept: list[Any]) -> None:
        """Leave the data as the epochs did that came before.

        They are read in the same order as then, since two of them may draw from one generator of random numbers.
        """
        run = self._run
        self._follow(read, kept)
        for epoch in range(run.initial, run.epoch):
            run.source.skip(epoch - run.initial)
            if run.validation is not None and run.schedule.validates(epoch):
                run.validation.skip()

    def _restore(self) -> None:
        assert self._found is not None
        self._model.train_state, self._model.stop_training, places, states = self._found
        for name in _PLACES:
            setattr(self._run, name, places[name])
        self._run.carry.progress = places["progress"]
        self._run.callbacks.set_state(states)

    def begun(self) -> None:
        if self._found is None:
            return
        if self._run.batch:  # callbacks may make ready there for what comes
            self._run.callbacks("on_epoch_begin", self._run.epoch, {})
        self._restore()  # what the callbacks did to the state just now, they had done before it was saved
        self._run.callbacks.restore()
        self._found = None

    # -- saving --

    def steps_left(self) -> int:
        every = self._checkpoints.every
        return super().steps_left() if every is None else every - self._run.done % every

    def steps_done(self) -> None:
        if self._writing is not None and self._writing.done():
            self.wait()
        every = self._checkpoints.every
        due = every is not None and self._run.done % every == 0
        if self._run.batch == self._setting["steps_per_epoch"]:
            self._owed = due  # the end of the epoch is saved soon, unless there is a validation before
        elif due:
            self._save_now()

    def validates(self) -> None:
        self._validated = self._content()
        if self._owed:
            self._save(self._validated)

    def epoch_done(self, logs: Mapping[str, Any]) -> None:
        content, self._validated = self._content(), None
        content["run"]["epoch"] += 1
        self._save(content, logs)
        with self._signals.resting:  # SIGTERM may have come meanwhile
            pass

    def save_before_the_end(self) -> None:
        """Save the newest state, and wait until it is on the disk: SIGTERM is about to end the process.

        Raises:
            NonFiniteError, IndexingError: A step was refused.
        """
        if self._validated is not None:
            self._save(self._validated)
        elif self._run.batch:  # otherwise the end of the epoch before has been saved
            self._save_now()
        try:
            self.wait()
        except FileError as error:  # does not keep the process from ending as it should
            print(f"kfunc: the last checkpoint is missing. {error}", file=sys.stderr, flush=True)

    def _save_now(self) -> None:
        self._check()
        self._save(self._content())

    def _content(self) -> dict[str, Any]:
        run, history = self._run, self._run.history
        assert run.carry.progress is not None
        progress = run.carry.progress._asdict()
        quantities = [
            [name, _packed(history.epochs[name]), _packed(values)] for name, values in history.history.items()
        ]
        held_out = [] if run.validation is None else run.validation.mark()
        read = [run.source.mark(run.batch or None), held_out]
        kept = [run.source.kept(run.batch or None), None if run.validation is None else run.validation.kept()]
        places = {name: getattr(run, name) for name in _PLACES}
        return {
            "train_state": self._model.train_state,
            # Keys must not have dots, which names of the user's may have.
            "progress": {"names": tree.paths(progress), "values": tree.leaves(progress)},
            "run": {**places, "setting": self._text, "read": read, "kept": kept},
            "stop_training": self._model.stop_training,
            "history": [_packed(history.epoch), quantities],
            "callbacks": run.callbacks.get_state(),
        }

    def _save(self, content: dict[str, Any], logs: Mapping[str, Any] | None = None) -> None:
        self.wait()
        step = content["run"]["done"]
        self._owed, content = False, tree.map(on_host, content)
        self._writing = self._thread.submit(self._checkpoints.save, step, content, logs)

    def wait(self) -> None:
        """Wait until the last checkpoint is on the disk.

        Raises:
            FileError: It could not be written.
        """
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()


def _setting(model: Model, run: Run) -> dict[str, Any]:
    """What a training is, beside its state, in JSON's types: a resumed one must be given the same."""
    freq = run.schedule.validation_freq
    return {
        "net": described(model.net),
        "optimizer": described(model.optimizer),
        "loss": described(model.loss),
        "loss_weights": described(model.loss_weights),
        "metrics": described(model.metrics),
        "weighted_metrics": described(model.weighted_metrics),
        "step": described(model.step),
        "objective": described(model.objective),
        **_form(run.source),
        "shuffle": run.schedule.shuffle,
        "validation_data": None if run.validation is None else _form(run.validation),
        "validation_freq": described(sorted(freq) if isinstance(freq, Collection) else freq),
    }


def _form(source: Source) -> dict[str, Any]:
    """The form of data; not their values, of which some may have been mended on purpose."""
    arrays = {name: f"{x.dtype} {x.shape[1:]}" for name, x in by_path(source.first._asdict()).items()}
    sizes: dict[str, Any] = {"batch_size": source.batch_size, "steps_per_epoch": source.steps}
    if source.class_weight is not None:
        sizes["class_weight"] = {str(name): float(weight) for name, weight in source.class_weight.items()}
    return {"x": {"samples": getattr(source, "size", None), "arrays": arrays}, **sizes}


def _differences(then: Any, now: Any, path: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The places where two descriptions differ, with both values there."""
    if type(then) is type(now) and isinstance(then, dict | list):
        for key in dict.fromkeys([*then, *now]) if isinstance(then, dict) else range(max(len(then), len(now))):
            inside = isinstance(then, dict) and key == "config"  # a level that only descriptions have
            below = path if inside else f"{path}/{key}".lstrip("/")
            yield from _differences(_part(then, key), _part(now, key), below)
    elif json.dumps(then) != json.dumps(now):  # NaN is like NaN
        yield path, then, now


def _part(x: Any, key: Any) -> Any:
    return x.get(key) if isinstance(x, dict) else x[key] if key < len(x) else None


def _listed(others: list[tuple[str, Any, Any]]) -> str:
    each = [f"{path} was {shown(then)}, and now is {shown(now)}" for path, then, now in others]
    return "; ".join(each[:20]) + (f"; and {len(each) - 20} more" if len(each) > 20 else "")


_OF_DATA = ("x", "class_weight", "batch_size", "steps_per_epoch", "shuffle", "validation_data", "validation_freq")


def _another(path: str, others: list[tuple[str, Any, Any]]) -> ArgumentError | FileError:
    """The error for a checkpoint of a training that was given other arguments."""
    names = list(dict.fromkeys(place.partition("/")[0] for place, _, _ in others))
    error, whose = (ArgumentError, "on other data") if {*names} <= {*_OF_DATA} else (FileError, "of another kind")
    return error(
        f"{path} was saved from a training {whose}: {_listed(others)}.",
        argument=names[0],
        expected="; ".join(f"{place}: {shown(then)}" for place, then, _ in others[:20]),
        got="; ".join(f"{place}: {shown(now)}" for place, _, now in others[:20]),
        fix="give compile and fit what they were given then; to go on with other things on "
        'purpose, take another directory, and put params, state = kf.Checkpoints(...).restore()["train_state"][:2] '
        "into model.train_state",
    )


_Content = tuple[dict, dict, dict, bool, dict, dict, list, list, list, dict]


def _content(found: Any, ts: Any, path: str) -> _Content:
    """What `_Saver._content` put together, with each part checked to be of its kind; the arrays are checked later.

    Raises:
        FileError: It is something else.
    """
    try:
        match found:
            case {
                "train_state": tuple(parts),
                "progress": {"names": [*names], "values": [*values]},
                "run": dict(run),
                "stop_training": bool(stop),
                "history": [epochs, [*quantities]],
                "callbacks": dict(callbacks),
            }:
                places: dict[str, Any] = {name: whole(run[name], name == "skipped", _MANY) for name in _PLACES}
                history = {text(name): (_counts(numbers), _unpacked(of)) for name, numbers, of in quantities}
                if any(len(numbers) != len(of) for numbers, of in history.values()):
                    raise ValueError("numbers of other epochs")
                setting, read = files.decoded(text(run["setting"])), [_marks(marks) for marks in run["read"]]
                if not isinstance(setting, dict) or len(read) != 2 or any(len(marks) not in (0, 5) for marks in read):
                    raise ValueError("a setting or data of another form")
                kept = [_kept(of) for of in run.get("kept", [None, None])]  # older ones have none
                if len(kept) != 2:
                    raise ValueError("the states of other data")
                progress = dict(zip(map(text, names), values, strict=True))
                state = by_path(dict(zip(ts._fields, parts, strict=True)))
                return state, progress, places, stop, callbacks, setting, read, kept, _counts(epochs), history
        raise ValueError("another tree")
    except (KeyError, TypeError, ValueError, AttributeError, FileError) as error:
        raise _no_checkpoint(path, str(error)) from error


def _no_checkpoint(path: str, got: str) -> FileError:
    return FileError(
        f"{path} is not a checkpoint of `fit`.",
        expected="what fit(resume=...) saved",
        got=got,
        fix="take another directory",
    )


def _counts(values: Any) -> list[int]:
    return [whole(value, below=_MANY) for value in _unpacked(values)]


def _marks(values: Any) -> list[int]:
    found = _unpacked(values)
    if not all(type(value) is int and -1 <= value < 2**32 for value in found):
        raise TypeError(f"{shown(found)} are not the marks of data")
    return found


def _kept(found: Any) -> Any:
    """The state of data, as `Source.kept` returned it."""
    match found:
        case None:
            return None
        case {"number": int(number), "digest": int(before), "text": str(), "arrays": [*arrays], **rest} if not rest:
            whole(number), whole(before, below=2**32)
            unpacked_state({"text": found["text"], "arrays": arrays})
            return found
    raise TypeError(f"{shown(found)} is not the state of data")


def _packed(values: list) -> Any:
    """Numbers as one array; anything else as it is."""
    import numpy as np

    try:
        array = np.asarray(values)
    except ValueError:  # of several lengths
        return values
    return array if array.dtype.kind in "iuf" else values


def _unpacked(values: Any) -> list:
    return values if isinstance(values, list) else values.tolist()
