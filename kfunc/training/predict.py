"""The loop of `Model.predict`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .. import random, tree
from ..arrays import to_numpy
from ..callbacks.base import CallbackList
from ..data.batches import Batch, sizes
from ..data.protocol import Source
from . import faults
from .carry import TrainCarry
from .evaluate import drawing_key
from .feed import read
from .outputs import Outputs
from .program import for_prediction, for_prediction_of_one
from .progress_bar import Bar
from .setup import Setup, placed
from .state import TrainState

__all__ = ["predict", "predict_batch"]


def predict(
    setup: Setup, state: TrainCarry, data: Source, hooks: CallbackList, verbose: int | str = 0, key: Any = None
) -> Any:
    """The network's outputs for `data`, NumPy arrays (samples, ...); see `Model.predict`.

    Args:
        setup: See `Setup`.
        state: What to predict with: its train state after `on_predict_begin`.
        data: Of its batches, the inputs are read only.
        hooks: The callbacks.
        verbose, key: As for `Model.predict`.

    Raises:
        IndexingError: An index lies outside the table of an `Embedding`. The train state is what it was.
        NonFiniteError: An output is NaN, and so is a parameter or a part of the network's state.
    """
    with state.unless_it_fails():
        hooks("on_predict_begin", {})
        with state.lent() as ts:
            made = _predicted(setup, placed(setup, ts, state), data, hooks, verbose, key)
        hooks("on_predict_end", {})
    return made


def predict_batch(setup: Setup, state: TrainCarry, batch: Batch) -> Any:
    """The outputs for one batch, as `predict` gives them. There is no loop, which would take longer than a small
    network."""
    n, tables = sizes(batch), _tables(setup)
    with state.lent() as ts:
        ts = placed(setup, ts, state)
        root = drawing_key(setup, ts)
        step, feed = for_prediction_of_one(setup, batch)
        with setup.backend.inferring():
            out = step((ts.params, ts.state), None if root is None else random.fold_in(root, 0), feed.one(batch))
        if tables:
            out, indices = out
            _check(indices, tables, setup.net)
        # A copy: the memory may be that of the framework's array.
        return _sound(tree.map(lambda x: to_numpy(x)[:n].copy(), out), ts)


def _predicted(setup: Setup, ts: TrainState, data: Source, hooks: CallbackList, verbose: int | str, key: Any) -> Any:
    """The outputs of one train state."""
    root = drawing_key(setup, ts, key)
    each = hooks.has("on_predict_batch_begin", "on_predict_batch_end")
    outputs = _outputs(setup, root)
    # Each batch of a network that draws has a key of its own, and so a call of its own.
    program = for_prediction(setup, data, ts, outputs, alone=each or root is not None)
    number = 0
    with Bar(data.steps, "Predict", verbose) as bar, data.epoch() as reader:
        while (batch := read(reader, program.pace, number, "the prediction")) is not None:
            if each:
                hooks("on_predict_batch_begin", number, {})
            with setup.backend.inferring():
                program.advance(outputs, Batch(batch.x), reader.steps, number)
                out = outputs.dispatched(batch, program.at_once // reader.steps)
            number += reader.steps
            if each:
                hooks("on_predict_batch_end", number - 1, {"outputs": out})
            if bar.advance(reader.steps):
                bar.show({})
        made = outputs.all()
        bar.show({})
    return _sound(made, ts)


def _outputs(setup: Setup, root: Any) -> Outputs:
    """Where the results go; `root` is the key of a network that draws, or None."""
    tables = _tables(setup)
    return Outputs(
        check=(lambda indices: _check(indices, tables, setup.net)) if tables else None,
        key=lambda samples: None if root is None else random.fold_in(root, samples),
    )


def _tables(setup: Setup) -> Mapping[str, int]:
    """The sizes of the tables in which layers look up rows, by path."""
    assert setup.traced is not None
    return setup.traced.tables


def _sound(made: Any, ts: TrainState) -> Any:
    """`made`, the outputs, unless one is NaN because a parameter or a part of the state is."""
    if any(map(faults.has_nan, tree.leaves(made))):
        faults.check_state(ts)
    return made


def _check(indices: Mapping[str, Any], tables: Mapping[str, int], net: Any) -> None:
    """Raise IndexingError if an index that a layer has looked up lies outside its table."""
    for i, (path, size) in enumerate(tables.items()):
        values = to_numpy(indices.get(path, 0))
        if (wrong := values[(values < 0) | (values >= size)]).size:
            raise faults.outside(tables, i, int(wrong[0]), net)
