"""Parity: every function of the Array API 2024.12, on every backend, is the float64 oracle's to 8 units in the last
place, on numbers of all magnitudes and in the special cases that the standard defines.

The tables are in standard_*.py; standard_deviations.py says where a backend is known to do otherwise. Not tested is
what the standard leaves open: subnormals (which runtimes flush), integer overflow, where NaN is in an order and which
place argmax gives then. Infinite and NaN complex numbers are left to the public suite, see tests/conformance.
"""

from __future__ import annotations

import math
import operator
import re

import numpy as np
import pytest
import standard_arrays as of_arrays
import standard_elementwise as elementwise
import standard_linalg as algebra
from backends import BACKENDS
from standard_deviations import LOOSE, NOMINAL, WRONG, find, is_gap
from standard_reductions import REDUCTIONS
from standard_run import compute_together, dtypes, examples, measure, outcome
from standard_special import SPECIAL
from standard_table import Case, Misfit, exact, misfit, relative

import kfunc as kf
from kfunc.errors import UnsupportedError

SECTIONS = {
    "float": elementwise.FLOATS,
    "complex": elementwise.COMPLEX,
    "bool": elementwise.BOOLEANS,
    "special": SPECIAL,
    "manipulation": of_arrays.MANIPULATION,
    "creation": of_arrays.CREATION,
    "indexing": of_arrays.INDEXING,
    "searching": of_arrays.SEARCHING,
    "reductions": REDUCTIONS,
    "linalg": algebra.LINALG,
    "fft": algebra.FFT,
}
CASES = [case for section in SECTIONS.values() for case in section]


def number(backend: str) -> int:
    """How many of a case's examples are run, from the last. Each has up to 512 values; JAX compiles anew for most."""
    return 1 if backend == "jax" else 2


def failure(case: Case, backend: str) -> str | None:
    """What is wrong with the case on the backend, beyond the table of deviations; None if nothing is."""
    factor = (find(LOOSE, backend, case.id) or (1,))[0]
    wrong = find(WRONG, backend, case.id)
    worst, text = 0.0, ""
    for example in examples(case)[-number(backend) :]:
        if is_gap(case, backend):
            with pytest.raises(UnsupportedError, match=case.name.rpartition(".")[2]):
                outcome(case, backend, example)
            continue
        try:
            off = measure(case, backend, example)
        except Exception as error:
            if not wrong:
                raise
            off = Misfit(math.inf, repr(error))
        if off.ratio > worst:
            worst, text = off.ratio, off.text
    if wrong:
        return None if worst > factor else f"{case.id} is right, and off the list with it: {wrong}"
    return None if worst <= factor else f"{case.id}: {worst:.3g} times what is allowed, {text}"


def check(cases: list[Case], backend: str) -> None:
    if backend == "jax":
        compute_together(cases, backend, number(backend))
    failures = [text for text in (failure(case, backend) for case in cases) if text]
    if failures:
        pytest.fail(f"on {backend}:\n" + "\n".join(failures))


def by_name(section: str) -> list[str]:
    return [f"{section}-{name}" for name in dict.fromkeys(case.name for case in SECTIONS[section])]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("row", [row for section in SECTIONS for row in by_name(section)])
def test_function(row, backend):
    section, _, name = row.partition("-")
    cases = [c for c in SECTIONS[section] if c.name == name and set(c.dtypes) <= dtypes(backend)]
    check(cases, backend)


def integer_cases(name: str, backend: str) -> list[Case]:
    return [
        elementwise.integer_case(name, dtype, NOMINAL.get((backend, dtype)))
        for dtype in elementwise.INTEGER_DTYPES
        if dtype in dtypes(backend)
    ]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", elementwise.INTEGERS)
def test_integers(name, backend):
    check(integer_cases(name, backend), backend)


@pytest.mark.array_api_strict
def test_every_function_of_the_standard_has_a_row():
    import array_api_strict as strict

    own = {
        "ArrayAPIStrictFlags",
        "Device",
        "__version__",
        *(f"{verb}_array_api_strict_flags" for verb in ("get", "set", "reset")),
    }
    later = {"isin", "broadcast_shapes"}  # of 2025.12
    no_functions = {
        "__array_api_version__",
        "e",
        "inf",
        "nan",
        "newaxis",
        "pi",
        "fft",
        "linalg",
        *elementwise.INTEGER_DTYPES,
    }
    dtype_functions = {"can_cast", "finfo", "iinfo", "isdtype", "result_type", "__array_namespace_info__"}
    names = {
        *(
            set(strict.__all__)
            - own
            - later
            - no_functions
            - dtype_functions
            - {"bool", "float32", "float64", "complex64", "complex128"}
        ),
        *(f"linalg.{name}" for name in strict.linalg.__all__),
        *(f"fft.{name}" for name in strict.fft.__all__),
    }
    assert {"sin", "linalg.qr", "fft.fft"} <= names
    rows = {case.name for case in CASES} | set(elementwise.INTEGERS)
    assert names - rows == set()
    assert rows - names <= {"__getitem__"}


# -- what is no function of arrays -------------------------------------------------------------------------------------


def namespace(backend: str):
    return kf.backends.get(backend).xp


def run_on(backend: str, fun, *arrays):
    """`fun` of conforming arrays, from and to NumPy; in one program where each step would be compiled for itself."""
    b = kf.backends.get(backend)
    lifted = kf.tree.map(lambda x: b.lift(kf.asarray(x, backend=backend)), arrays)
    with np.errstate(all="ignore"):
        out = (b.jit(fun) if backend in ("jax", "openvino") else fun)(*lifted)
    return kf.tree.map(lambda x: kf.to_numpy(b.lower(x)), out)


@pytest.mark.parametrize("shape", [(), (0, 3)], ids=["0-d", "empty"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_elementwise_functions_of_no_axes_and_of_no_elements(backend, shape):
    cases = [case for case in elementwise.FLOATS + elementwise.BOOLEANS if not is_gap(case, backend)]
    arrays = [tuple(np.ones(shape, x.dtype) for x in examples(case)[0][0]) for case in cases]
    expected = [case.expected(xs, examples(case)[0][1])[0] for case, xs in zip(cases, arrays, strict=True)]

    def all_of_them(*lists):
        options = [examples(case)[0][1] for case in cases]
        return [case.run(namespace(backend), *xs, **o)[0] for case, xs, o in zip(cases, lists, options, strict=True)]

    outs = run_on(backend, all_of_them, *arrays)
    for case, got, e in zip(cases, outs, expected, strict=True):
        off = misfit(got, np.asarray(e), relative(e) if e.dtype.kind == "f" else exact(e))
        assert off.ratio <= 1, f"{case.id}: {off.text}"


@pytest.mark.parametrize("backend", BACKENDS)
def test_constants(backend):
    xp = namespace(backend)
    assert (xp.e, xp.pi, xp.inf, xp.newaxis) == (math.e, math.pi, math.inf, None)
    assert math.isnan(xp.nan)
    assert xp.__array_api_version__ >= "2024.12"


@pytest.mark.parametrize("backend", BACKENDS)
def test_limits_and_kinds_of_dtypes(backend):
    xp = namespace(backend)
    kinds = {"bool": "bool", "int": "signed integer", "uint": "unsigned integer", "float": "real floating"}
    kinds["complex"] = "complex floating"
    for name in dtypes(backend):
        dtype, stem = getattr(xp, name), name.rstrip("0123456789")
        held = {kinds[stem]}
        held |= {"integral"} & ({"integral"} if "int" in stem else set())
        held |= {"numeric"} - ({"numeric"} if stem == "bool" else set())
        for kind in (
            "bool",
            "signed integer",
            "unsigned integer",
            "integral",
            "real floating",
            "complex floating",
            "numeric",
        ):
            assert xp.isdtype(dtype, kind) == (kind in held), (name, kind)
        assert xp.isdtype(dtype, ("bool", "integral")) == bool(held & {"bool", "integral"})
        assert xp.isdtype(dtype, dtype)
        if "int" in stem:
            info, signed, bits = xp.iinfo(dtype), stem == "int", int(name.removeprefix(stem))
            assert (info.bits, int(info.max), int(info.min)) == (
                bits,
                2 ** (bits - signed) - 1,
                -(2 ** (bits - 1)) if signed else 0,
            )
        elif stem != "bool":
            info, double = xp.finfo(dtype), name in ("float64", "complex128")
            top = (2 - 2.0 ** -(52 if double else 23)) * 2.0 ** (1023 if double else 127)
            assert info.bits == (64 if double else 32)
            assert (float(info.eps), float(info.max), float(info.min), float(info.smallest_normal)) == (
                2.0 ** -(52 if double else 23),
                top,
                -top,
                2.0 ** -(1022 if double else 126),
            )


def promoted(a: str, b: str) -> str | None:
    """The standard's tables of promotion: the wider of a kind; what holds both of signed and unsigned, or of parts."""
    if a == b:
        return a
    (stem, bits), (other, more) = (re.fullmatch("([a-z]+)([0-9]+)?", x).groups("0") for x in (a, b))
    sizes = {stem: int(bits), other: int(more)}
    if len(sizes) == 1:
        return f"{stem}{max(int(bits), int(more))}"
    if sizes.keys() == {"int", "uint"}:
        wide = max(sizes["int"], 2 * sizes["uint"])
        return f"int{wide}" if wide <= 64 else None
    if sizes.keys() == {"float", "complex"}:
        return f"complex{max(sizes['complex'], 2 * sizes['float'])}"
    return None


@pytest.mark.parametrize("backend", BACKENDS)
def test_promotion(backend):
    xp, names = namespace(backend), sorted(dtypes(backend))
    for a in names:
        for b in names:
            common = promoted(a, b)
            if common in names:
                assert xp.result_type(getattr(xp, a), getattr(xp, b)) == getattr(xp, common), (a, b)
                if common == b:
                    assert xp.can_cast(getattr(xp, a), getattr(xp, b)), (a, b)
    # Python numbers take on the dtype of arrays of their kind.
    x = xp.asarray([1.0], dtype=xp.float32)
    assert xp.result_type(x, 1) == xp.result_type(x, 2.5) == xp.float32


@pytest.mark.parametrize("backend", BACKENDS)
def test_inspection(backend):
    xp = namespace(backend)
    info = xp.__array_namespace_info__()
    assert {"boolean indexing", "data-dependent shapes", "max dimensions"} <= set(info.capabilities())
    assert info.default_device() in [*info.devices(), None]
    default = info.default_dtypes()
    assert {"real floating", "complex floating", "integral", "indexing"} <= set(default)
    assert xp.asarray(1.5).dtype == default["real floating"]
    assert xp.asarray(1).dtype == default["integral"]
    assert xp.argmax(xp.asarray([1, 2])).dtype == default["indexing"]
    for name, dtype in info.dtypes().items():
        assert xp.zeros((), dtype=dtype).dtype == dtype == getattr(xp, name)
    assert {"float32"} <= set(info.dtypes(kind="real floating")) <= {"float32", "float64"}
    assert "int32" in info.dtypes(kind=("signed integer", "bool"))


_OPERATORS = {
    **{"add": "add", "sub": "subtract", "mul": "multiply", "truediv": "divide", "floordiv": "floor_divide"},
    **{"mod": "remainder", "pow": "pow", "lt": "less", "le": "less_equal", "gt": "greater", "ge": "greater_equal"},
    **{"eq": "equal", "ne": "not_equal"},
}
_BITS = {"and_": "bitwise_and", "or_": "bitwise_or", "xor": "bitwise_xor", "lshift": "bitwise_left_shift"}
_BITS["rshift"] = "bitwise_right_shift"
_SIGNS = {"neg": "negative", "pos": "positive", "abs": "abs"}


@pytest.mark.parametrize("backend", BACKENDS)
def test_operators_are_the_functions(backend):
    """Of two arrays, of an array and a number, and of a number and an array."""
    xp = namespace(backend)

    def pairs(x, y, m, n, square):
        f, g = getattr, operator
        two, twos = xp.full_like(x, 2.0), xp.full_like(m, 2)
        return [
            *((f(g, o)(x, y), f(xp, name)(x, y)) for o, name in _OPERATORS.items()),
            *((f(g, o)(x, 2.0), f(xp, name)(x, two)) for o, name in _OPERATORS.items()),
            *((f(g, o)(2.0, x), f(xp, name)(two, x)) for o, name in _OPERATORS.items()),
            *((f(g, o)(m, n), f(xp, name)(m, n)) for o, name in _BITS.items()),
            *((f(g, o)(m, 2), f(xp, name)(m, twos)) for o, name in _BITS.items()),
            *((f(g, o)(x), f(xp, name)(x)) for o, name in _SIGNS.items()),
            (~m, xp.bitwise_invert(m)),
            (square @ square, xp.matmul(square, square)),
            (square.T, xp.matrix_transpose(square)),
            (square.mT, xp.matrix_transpose(square)),
        ]

    values = ([1.5, 2.0, 7.25], [2.0, 3.0, 0.5], [1, 6, 12], [3, 2, 1], [[1.0, 2.0], [3.0, 5.0]])
    arrays = [np.array(v, np.int32 if isinstance(v[0], int) else np.float32) for v in values]
    for i, (got, expected) in enumerate(run_on(backend, pairs, *arrays)):
        assert got.dtype == expected.dtype, i
        assert np.array_equal(got, expected), i


@pytest.mark.parametrize("backend", BACKENDS)
def test_attributes_and_conversions_of_arrays(backend):
    xp = namespace(backend)
    x = xp.asarray([[1.5, 2.5, 3.5], [4.5, 5.5, 6.5]])
    assert (tuple(x.shape), x.ndim) == ((2, 3), 2)
    assert x.size == 6 or callable(x.size)  # a method of PyTorch's tensors, which are used as they are
    if not callable(x.size):
        assert x.to_device(x.device).device == x.device
    assert kf.namespace(x) is xp
    scalar = xp.asarray(3)
    assert (int(scalar), float(scalar), bool(scalar), operator.index(scalar), complex(x[0, 0])) == (
        3,
        3.0,
        True,
        3,
        1.5,
    )
    assert not bool(xp.asarray(False))
    with pytest.raises(Exception, match=r"."):
        bool(x)
