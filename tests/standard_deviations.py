"""Where a backend is known not to give what the standard says, or not within 8 units in the last place.

An entry is a fact about a framework's kernels, measured with the version beside it. `WRONG` entries must fail, so that
what a new version mends is taken off the list.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

from standard_table import Case

__all__ = ["LOOSE", "NOMINAL", "WRONG", "find", "is_gap"]

_JAX = "jax 0.10.2 (XLA CPU)"
_OPENVINO = "OpenVINO 2026.4.1 (CPU)"
_TORCH = "PyTorch 2.13.0"

# (backend, pattern of cases' ids): (factor on what is allowed, reason)
LOOSE = {
    ("jax", "cosh*"): (2, f"{_JAX}: 12.5 ulp at 53.5, by exp(x - log 2)"),
    ("jax", "sinh*"): (2, f"{_JAX}: 12.5 ulp at 53.5, by exp(x - log 2)"),
    ("jax", "tan[[]complex]"): (2, f"{_JAX}: 11.4 ulp near the pole at pi/2"),
}

_ZERO = "the sign of a zero, and of no other number"
_SCALE = f"{_OPENVINO}: -x and a - b are computed as a scale and a shift by +0, which loses {_ZERO}"

# (backend, pattern): reason. The case must fail.
WRONG = {
    ("torch", "cosh[[]large]"): f"{_TORCH}: overflows from 88.73 on, where exp(x) does, instead of 89.42",
    ("torch", "sinh[[]large]"): f"{_TORCH}: overflows from 88.73 on, where exp(x) does, instead of 89.42",
    ("torch", "__getitem__[[]backward]"): f"{_TORCH}: no negative steps (pytorch/pytorch#59786)",
    ("jax", "floor_divide[[]special]"): f"{_JAX}: of -0 / inf, {_ZERO}",
    ("jax", "remainder[[]special]"): f"{_JAX}: of 0 % -inf, {_ZERO}",
    ("jax", "linalg.matrix_rank[[]rtol]"): f"{_JAX}: takes rtol for an absolute tolerance",
    ("openvino", "negative[[]special]"): _SCALE,
    ("openvino", "subtract[[]special]"): _SCALE,
    ("openvino", "signbit[[]special]"): f"{_OPENVINO}: no operation sees the sign of NaN",
    ("openvino", "remainder"): f"{_OPENVINO}: a - b floor(a / b), off by ulps of a and not of the result",
}

# (backend, pattern): reason. The call must raise UnsupportedError, as must that of every function which the backend's
# own table of gaps names.
GAPS = {
    ("openvino", "linalg.matrix_norm[[]singular*]"): "it has no singular values",
}

# (backend, dtype): the dtype whose range is all that may be counted on.
NOMINAL = {("openvino", "int64"): "int32"}


def is_gap(case: Case, backend: str) -> bool:
    """Whether the backend says that it cannot do the case."""
    if backend != "openvino":
        return False
    from kfunc.backends.openvino import gaps

    return case.name.rpartition(".")[2] in gaps.GAPS or find(GAPS, backend, case.id) is not None


def find(table: dict, backend: str, case: str):
    """The entry of `table` for the case, or None."""
    return next((v for (b, pattern), v in table.items() if b == backend and fnmatchcase(case, pattern)), None)
