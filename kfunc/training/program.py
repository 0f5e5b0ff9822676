"""How the steps of a loop run: one small class for each way, and one place that chooses among them.

Each has a method `advance(carry, batch, steps)`, which takes `steps` steps on the samples of `batch` and leaves the
result in `carry`. If a step fails, or a signal breaks in, the carry is as after the steps before it.
"""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from .. import tree
from ..data.batches import Batch, room, rows
from ..data.prefetch import STAGED
from ..data.protocol import Source
from ..optim.base import foreign_part
from .carry import Carry, TrainCarry
from .custom_objective import OwnObjective
from .custom_steps import custom_evaluations, custom_steps
from .feed import Feed
from .forms import check_first
from .functions import flat, halves, mapped, repeated_steps
from .in_place import InPlace
from .outputs import Outputs
from .setup import Setup
from .signals import Deferral
from .state import Progress, TrainState
from .step import evaluations, predictions, train_steps
from .traced import Traced

__all__ = [
    "EachStep",
    "InPlaceSteps",
    "ManySteps",
    "Program",
    "RecordedLoop",
    "for_evaluation",
    "for_prediction",
    "for_prediction_of_one",
    "for_training",
]

_AT_ONCE = 32
_PATIENCE = 0.1  # seconds that one dispatch may keep callers, Ctrl-C and the progress bar waiting


class Program(Protocol):
    """A step for batches from the host.

    Attributes:
        feed: What brings the batches to the device.
        at_once: How many steps one dispatch can take.
        pace: How many the next one should take: fewer where they take long. That changes no bit.
    """

    feed: Feed
    at_once: int
    pace: int

    def advance(self, carry: Any, batch: Batch, steps: int = 1, before: int = 0) -> None:
        """Take `steps` steps: all but the last have as many samples as the feed says, and the last has no more.

        If `steps` is 1, the batch may have any number of samples. `before` is the number of steps that the epoch has
        taken before; see `Feed.program_size`.
        """


class EachStep:
    """Runs each step by itself.

    Args:
        run: `(carry, steps, *batch)`, which replaces the carry.
        feed: See `Program`.
    """

    at_once: int = 1
    pace: int = 1

    def __init__(self, run: Callable[..., None], feed: Feed):
        self.run: Callable[..., None] = run
        self.feed: Feed = feed

    def advance(self, carry: Any, batch: Batch, steps: int = 1, before: int = 0) -> None:
        self.run(carry, 1, self.feed.one(batch, before))


class InPlaceSteps:
    """Puts the new state where the old one lies, for states so large that two would be too many."""

    at_once: int = 1
    pace: int = 1

    def __init__(self, step: InPlace, feed: Feed, signals: Deferral):
        self.feed: Feed = feed
        self._step, self._signals = step, signals

    def advance(self, carry: Any, batch: Batch, steps: int = 1, before: int = 0) -> None:
        self._step(carry, self.feed.one(batch, before), self._signals.closed)


class _Paced:
    """Base of those that take several steps in a dispatch: as many as `_PATIENCE` allows.

    Args:
        feed: See `Program`.
        at_once: How many steps one dispatch takes at most.
        paces: What `pace` came to by the form of the batches, for the loops that come after this one.
        like: That form.
    """

    def __init__(self, feed: Feed, at_once: int, paces: dict[Any, int], like: Any):
        self.feed: Feed = feed
        self.at_once: int = at_once
        self._paces, self._like = paces, like
        self.pace: int = min(at_once, paces.get(like, 1))

    def _timed(self, steps: int, fun: Callable[..., Any], *args: Any) -> None:
        """`fun(*args)`, a dispatch of so many steps, and the pace that follows from the time that it took."""
        begun = time.perf_counter()
        fun(*args)
        if self._like in self._paces:
            took = (time.perf_counter() - begun) / steps
            self.pace = max(1, min(self.at_once, int(_PATIENCE / took)))
        self._paces[self._like] = self.pace  # after the first call it still is 1, since that may have compiled


class ManySteps(_Paced):
    """Runs several steps in one call of a compiled program.

    Args:
        one, many: `(carry, steps, *batch)`, which replace the carry, of one step and of several.
    """

    def __init__(self, one: Callable[..., None], many: Callable[..., None], *paced: Any):
        super().__init__(*paced)
        self._one, self._many = one, many

    def advance(self, carry: Any, batch: Batch, steps: int = 1, before: int = 0) -> None:
        feed, size = self.feed, self.feed.size
        whole, rest = divmod(batch.size, size)
        alone = bool(rest) and feed.program_size(rest, before + whole) != size  # in a program of its own
        if (steps == 1 and batch.size > size) or (alone and not whole):
            self._one(carry, 1, feed.one(batch, before))
        elif alone:
            self.advance(carry, rows(batch, slice(None, whole * size)), whole, before)
            self.advance(carry, rows(batch, slice(whole * size, None)), 1, before + whole)
        else:
            steps = whole + (rest > 0)
            self._timed(steps, self._many, carry, steps, feed.several(batch, self.at_once), feed.number(steps))


class RecordedLoop(_Paced):
    """Runs recorded steps one after the other, without a look around between them.

    Args:
        loop: See `RecordedFunction.loop`.
    """

    def __init__(self, loop: Any, *paced: Any):
        super().__init__(*paced)
        self._loop = loop

    def advance(self, carry: Any, batch: Batch, steps: int = 1, before: int = 0) -> None:
        size = batch.size if steps == 1 else self.feed.size
        self._timed(steps, self._loop.run, carry, self.feed.whole(batch), size)


# -- which one, and why ------------------------------------------------------------------------------------------------


def for_training(
    setup: Setup, data: Source, carry: Carry, progress: Progress, signals: Deferral, each: bool = False
) -> Program:
    """The program of a training step, whose carry is `(train_state, progress)`.

    Args:
        carry: That of the model.
        progress: That before the first step.
        signals: They wait while a step has the memory of its carry.
        each: Whether somebody looks at each step.
    """
    ts = carry.value[0]
    given: dict[str, Any] = {"data": data, "carry": lambda: Carry((ts, progress)), "signals": signals, "each": each}
    if setup.step is not None:
        return _program(setup, custom_steps, setup.step, **given)
    objective, traced = setup.objective, setup.traced
    assert traced is not None
    parts = setup.net, setup.optimizer, objective.loss, objective.metrics
    fills, tables = functools.partial(_fillable, setup, data), _tables(setup)
    if _in_place(setup, traced, carry):
        feed = _feed(setup, data.batch_size, fills)
        return InPlaceSteps(setup.functions.get(setup.backend, halves, *parts, tables), feed, signals)
    return _program(setup, train_steps, *parts, traced.constraints, tables, fills=fills, **given)


def for_evaluation(setup: Setup, data: Source, ts: TrainState, key: Any, carry: Carry, alone: bool) -> Program:
    """The program of an evaluation step, whose carry is the progress.

    Args:
        ts: What to evaluate.
        key: For networks that draw random numbers outside training; None for others.
        alone: Whether each step has to run by itself, as somebody looks at each.
    """
    given: dict[str, Any] = {"data": data, "carry": lambda: carry, "alone": alone}
    if setup.eval_step is not None:
        return _program(setup, custom_evaluations, setup.eval_step, fixed=ts, **given)
    objective, fixed = setup.objective, (ts.params, ts.state) if key is None else (ts.params, ts.state, key)
    assert setup.traced is not None
    parts = setup.net, objective.loss, objective.metrics, _tables(setup)
    fills = functools.partial(_fillable, setup, data)
    return _program(setup, evaluations, *parts, fixed=fixed, fills=fills, **given)


def _tables(setup: Setup) -> Mapping[str, int]:
    """The tables whose indices are checked; none for an objective of the user's own, which runs the network itself."""
    assert setup.traced is not None
    return {} if isinstance(setup.objective.loss, OwnObjective) else setup.traced.tables


def for_prediction(setup: Setup, data: Source, ts: TrainState, outputs: Outputs, alone: bool) -> Program:
    """The program of a prediction, whose results go to `outputs`; `alone` as for `for_evaluation`."""
    traced = setup.traced
    assert traced is not None
    program = _program(
        setup, predictions, setup.net, traced.tables, data=data, carry=lambda: outputs, fixed=(ts.params, ts.state),
        fills=lambda: traced.separates, alone=alone,
        constant_argnums=(0,),  # not for other programs: training changes the parameters at each step
    )  # fmt: skip
    outputs.step = data.batch_size if isinstance(program, ManySteps) else None
    return program


def for_prediction_of_one(setup: Setup, batch: Batch) -> tuple[Callable[..., Any], Feed]:
    """The function `(fixed, key, batch) -> results` of a prediction of one batch, and what brings it to the device."""
    traced = setup.traced
    assert traced is not None
    step = _step(setup, batch, predictions, setup.net, traced.tables, constant_argnums=(0,))
    return step, _feed(setup, room(batch.size), lambda: traced.separates, still=True)


def _program(
    setup: Setup,
    make: Callable[..., Any],
    *parts: Any,
    data: Source,
    carry: Callable[[], Any],
    fixed: Any = (),
    fills: Callable[[], bool] = lambda: False,
    signals: Deferral | None = None,
    alone: bool = False,
    each: bool = False,
    **options: Any,
) -> Program:
    """How `make(*parts)`, a function `(fixed, carry, batch) -> carry`, runs on the batches of `data`.

    - Recorded functions run as a `RecordedLoop`, if the arrays are where NumPy's are: what lies between two steps of a
      small network, dispatch and trees, takes longer than its arithmetic.
    - Compiled functions run as `ManySteps`, for the same reason, where the backend says that a loop in one program is
      no slower than as many calls: on the CPU, XLA runs convolutions in loops ten times slower.
    - All others run as `EachStep`: where there is one step, or somebody looks at each; where the batches of two steps
      are too large to wait on the device; and predictions of networks that may mix the samples of a batch.

    Args:
        data: Where the batches come from.
        carry, fixed: What the function is given. The carry is made only where a loop may pay: a step of a small network
            would take a tenth longer.
        fills: Says whether samples that do not count may fill up a batch. Only asked where that matters.
        signals: If it trains: they wait while a step has the memory of its carry.
        alone: Whether each step has to run by itself.
        each: Whether it is asked for one step at a time. It then has the program of several steps all the same, since
            a program of one may round differently, and hooks would change the numbers; but with memory for two steps,
            not for 32, most of which would be made and moved to the device for nothing.
        options: For `Backend.jit`.
    """
    functions, backend, predicts = setup.functions, setup.backend, make is predictions
    # Hooks of batches may write to the memory that batches come in.
    feed = _feed(setup, data.batch_size, fills, still=signals is None and not alone)
    compiled = functions.compiles(backend)
    takes = signals is not None and compiled and backend.donates
    if takes:
        options = {"donate_argnums": (1,), "static_argnames": ("structure",)}
    step = _step(setup, data.first, *((flat, make) if takes else (make,)), *parts, **options)
    run = functools.partial(_pure, fixed=fixed)
    if signals is not None and takes:
        run = functools.partial(_taking, fixed=fixed, closed=signals.closed, copy=backend.released)
    one = EachStep(functools.partial(run, step), feed)

    if alone or data.steps == 1 or data.first.size < data.batch_size:
        return one
    first = rows(data.first, slice(None, data.batch_size))
    first = Batch(first.x) if predicts else first
    recorded = setup.host and hasattr(step, "loop")
    fits = STAGED // max(1, sum(a.nbytes for a in tree.leaves(first)))
    wanted = functions.steps_per_execution
    most = min(_AT_ONCE if wanted == "auto" else int(wanted), 2 ** max(0, fits.bit_length() - 1))
    if most < 2:
        return one
    most = 2 if each else most
    if predicts and not (feed.fills or recorded):
        return one
    paced = feed, most, functions.paces, (step, most, *((a.shape, a.dtype) for a in tree.leaves(first)))
    if recorded:
        return RecordedLoop(step.loop(fixed), *paced)
    if not (compiled and _repeats(backend, step, fixed, carry(), feed.one(first), takes)):
        return one
    several = (mapped, backend, make, *parts) if predicts else (repeated_steps, make, *parts)
    many = functions.get(backend, *((flat, *several) if takes else several), **(options if takes else {}))
    return ManySteps(one.run, functools.partial(run, many), *paced)


def _step(setup: Setup, first: Batch, make: Callable[..., Any], *parts: Any, **options: Any) -> Any:
    """`make(*parts)`, compiled or recorded, for batches like `first`."""
    backend = setup.backend
    if backend.leaves_open and make in (train_steps, evaluations, predictions) and setup.functions.compiles(backend):
        options |= {"open_axes": _open_axes(setup, first, make is predictions)}
    return setup.functions.get(backend, make, *parts, **options)


def _feed(setup: Setup, size: int, fills: Callable[[], bool], still: bool = False) -> Feed:
    compiled = setup.functions.compiles(setup.backend)
    filled = compiled and setup.backend.one_size and fills()
    return Feed(setup.backend, setup.where, size, filled, compiled, still)


def _open_axes(setup: Setup, first: Batch, predicts: bool) -> tuple[tuple[int, ...], ...]:
    """The axes of the inputs whose sizes one program leaves open, so that it serves sequences of all lengths.

    These are the axes that `Model.build` was given no sizes for, and so follow from the model alone: the bits of a step
    do not depend on the batches before it. Where the sizes of outputs would be open, too, the loss could not check that
    the targets fit: then there is a program for each length.

    Raises:
        ShapeError: The network does not take the inputs.
    """
    traced, functions = setup.traced, setup.functions
    assert traced is not None
    if not (any(traced.open_axes) and (predicts or traced.closed)):
        return ()
    form = traced, *(a.shape[1:] for a in tree.leaves(first.x))
    if form not in functions.forms:
        check_first(traced, first)
        functions.forms.add(form)
    return traced.open_axes


def _fillable(setup: Setup, data: Source) -> bool:
    """`Objective.fills`, once for each form of the targets: it runs the loss on shapes, as slow as a small step."""
    assert setup.traced is not None
    leaves, structure = tree.flatten(data.first.y)
    like = setup.traced, structure, *((a.shape[1:], a.dtype) for a in leaves)
    known = setup.functions.fills
    if like not in known:
        known[like] = setup.objective.fills(data.first.y, setup.traced)
    return known[like]


def _pure(function: Callable[..., Any], carry: Any, steps: int, *batch: Any, fixed: Any) -> None:
    """Replace the carry by `function(fixed, carry, *batch)`."""
    carry.replace(function(fixed, carry.value, *batch), steps)


def _taking(
    function: Callable[..., Any], carry: TrainCarry, steps: int, *batch: Any, fixed: Any, closed: Any, copy: Any
) -> None:
    """The same by a function of leaves, which takes their memory.

    Signals and threads that read wait until the carry has the new leaves.
    """
    structure = carry.structure
    with closed, carry.taking:
        carry.own(copy)
        carry.put(function(fixed, carry.leaves, *batch, structure=structure), structure, steps)


def _repeats(backend: Any, step: Callable[..., Any], fixed: Any, carry: Any, batch: Batch, takes: bool) -> bool:
    if takes:
        return backend.repeats(functools.partial(step, structure=carry.structure), fixed, carry.leaves, batch)
    return backend.repeats(step, fixed, carry.value, batch)


def _in_place(setup: Setup, traced: Traced, carry: Carry) -> bool:
    """Whether the state is so large that a training step changes it where it lies, and whether that can be done."""
    backend, ts = setup.backend, carry.value[0]
    return (
        backend.large is not None
        and setup.functions.compiles(backend) == backend.compiles
        and setup.host
        and getattr(setup.optimizer, "elementwise", None) is not None
        and foreign_part(setup.optimizer) is None  # parameters that it makes NaN could not be put back
        and not traced.constraints
        and len({p.dtype for p in tree.leaves(ts.params)}) == 1  # from which optimizers take that of scalars
        and _size(setup, traced, carry) >= backend.large
    )


def _size(setup: Setup, traced: Traced, carry: Carry) -> int:
    """How many numbers parameters and optimizer hold: once, since to ask takes TensorFlow a tenth of a small step."""
    known, key = setup.functions.sizes, (traced, carry.structure)
    if key not in known:
        ts = carry.value[0]
        known[key] = sum(math.prod(x.shape) for x in tree.leaves((ts.params, ts.opt_state)))
    return known[key]
