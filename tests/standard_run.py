"""Running a case of the tables on a backend."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from standard_table import Case, Misfit, misfit, wide

import kfunc as kf

__all__ = ["compute_together", "defaults", "dtypes", "examples", "measure", "outcome"]


@functools.cache
def dtypes(backend: str) -> frozenset[str]:
    """Names of the dtypes that the backend says it has."""
    return frozenset(kf.backends.get(backend).xp.__array_namespace_info__().dtypes())


@functools.cache
def defaults(backend: str) -> tuple[str, ...]:
    """Names of the floating dtypes that the backend gives what nobody gave a dtype."""
    info = kf.backends.get(backend).xp.__array_namespace_info__().default_dtypes()
    return tuple(kf.arrays.dtype_name(info[kind]) for kind in ("real floating", "complex floating") if info[kind])


@functools.cache
def _runner(case: Case, backend: str, options: str) -> Callable:
    b = kf.backends.get(backend)

    def run(arrays, kwargs):
        return case.run(b.xp, *arrays, **kwargs)

    if b.trains or case.eager:
        return run
    # Its graphs of constants are folded by reference kernels, which nobody's networks run on: arguments it is. One
    # program serves all calls with the same options.
    programs: dict = {}

    def compiled(arrays, kwargs):
        if not programs:
            programs[0] = b.jit(lambda *arrays: case.run(b.xp, *arrays, **kwargs))
        return programs[0](*arrays)

    return compiled


@functools.cache
def examples(case: Case) -> list[tuple[tuple[np.ndarray, ...], dict, tuple, tuple]]:
    """Calls of the case (arrays, options), what the oracle makes of them, and by how much that may be missed.

    Drawn once for all backends. Hypothesis need not see the failures: an example is an array of many values already,
    of which the worst is reported, so that there is nothing to shrink. The first is its simplest, often all zeros.
    """
    drawn: list = []

    @settings(max_examples=3, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
    @given(case.args)
    def draw(call):
        arrays, options = call
        expected = case.expected(arrays, options)
        drawn.append((arrays, options, expected, tuple(case.allowed(e, arrays, options) for e in expected)))

    draw()
    return drawn


def _lifted(backend: str, arrays: tuple) -> list:
    b = kf.backends.get(backend)
    return [b.lift(kf.asarray(x, backend=backend)) for x in arrays]


def _read(backend: str, out: tuple) -> tuple[np.ndarray, ...]:
    b = kf.backends.get(backend)
    return tuple(kf.to_numpy(b.lower(x)) for x in out)


_computed: dict[tuple[str, int], tuple[np.ndarray, ...]] = {}


def compute_together(cases: list[Case], backend: str, n: int) -> None:
    """Compute first what `outcome` will be asked for, in one program for all cases.

    For JAX, which compiles 30 to 100 ms for each function and shape. What cannot be compiled is left to `outcome`.
    """
    b = kf.backends.get(backend)
    cases = [case for case in cases if not case.eager and not case.dynamic]
    programs: dict = {}
    for batch in zip(*(examples(case)[-n:] for case in cases), strict=False):
        options = [example[1] for example in batch]
        if repr(options) not in programs:
            programs[repr(options)] = b.jit(
                lambda lists, options=options: [
                    case.run(b.xp, *arrays, **o) for case, arrays, o in zip(cases, lists, options, strict=True)
                ]
            )
        try:
            outs = programs[repr(options)]([_lifted(backend, example[0]) for example in batch])
        except Exception:
            return
        _computed.update({(backend, id(e)): _read(backend, out) for e, out in zip(batch, outs, strict=True)})


def outcome(case: Case, backend: str, example: tuple) -> tuple[np.ndarray, ...]:
    """What the backend makes of the example, as NumPy arrays."""
    arrays, options, *_ = example
    if (backend, id(example)) in _computed:
        return _computed[backend, id(example)]
    with np.errstate(all="ignore"):  # overflow is among the inputs
        return _read(backend, _runner(case, backend, repr(options))(_lifted(backend, arrays), options))


def measure(case: Case, backend: str, example: tuple) -> Misfit:
    """How far the backend's result is off, in multiples of what the case allows."""
    arrays, _, expected, allowed = example
    got = outcome(case, backend, example)
    floating: tuple[str, ...] = ("float32", "complex64")
    if case.after:
        if any(g.dtype.name not in floating for g in got):
            return Misfit(np.inf, f"dtypes {[g.dtype.name for g in got]}, expected {floating}")
        got, floating = tuple(map(np.asarray, case.after(tuple(map(wide, got))))), ("float64", "complex128")
    if len(got) != len(expected):
        return Misfit(np.inf, f"{len(got)} results, expected {len(expected)}")
    if not arrays:
        floating = (*floating, *defaults(backend))
    return max(
        (misfit(g, e, a, case.signs, floating) for g, e, a in zip(got, expected, allowed, strict=True)),
        key=lambda off: off.ratio,
    )
