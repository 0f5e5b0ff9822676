"""The standard's products of matrices, and its extensions `linalg` and `fft`, one row a function and variant."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import strategies as st
from standard_arrays import rows
from standard_table import EPS, Case, calls, complexes, reals, relative

__all__ = ["FFT", "LINALG"]

_COMPLEX = ("complex64",)


@st.composite
def matrices(draw, *shape: int, kind: str = "general", dtype=np.float32, rank: int | None = None):
    """Matrices with singular values from 0.5 to 2 (of which `rank` are not 0), so that no condition exceeds `COND`.

    Args:
        kind: "general", "symmetric" (or Hermitian), or "positive" (definite).
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    *batch, m, n = shape
    k = min(m, n)

    def orthogonal(size):
        x = rng.standard_normal((*batch, size, size))
        if dtype == np.complex64:
            x = x + 1j * rng.standard_normal(x.shape)
        return np.linalg.qr(x)[0]

    values = rng.uniform(0.5, 2, (*batch, k)) * (np.arange(k) < (k if rank is None else rank))
    if kind == "symmetric":
        values = values * rng.choice((-1, 1), values.shape)
    left = orthogonal(m)
    right = orthogonal(n) if kind == "general" else left
    out = (left[..., :k] * values[..., None, :]) @ np.conj(np.moveaxis(right[..., :k], -1, -2))
    if kind != "general":
        out = (out + np.conj(np.moveaxis(out, -1, -2))) / 2
    return out.astype(dtype)


COND = 4
"""Largest over smallest singular value of `matrices`."""


def norm(x):
    """The largest Frobenius norm among matrices."""
    return np.max(np.sqrt(np.sum(np.abs(x) ** 2, axis=(-2, -1))), initial=0)


def conditioned(e, a, *rest, **options):
    """8 eps n cond, of the result's norm: what a backward stable method is off by."""
    return np.full(
        e.shape, 8 * EPS * max(a.shape[-2:]) * COND * (norm(e) if e.ndim > 1 else np.max(np.abs(e), initial=1))
    )


def stable(e, a, *rest, **options):
    """8 eps n of the argument's norm: what orthogonal transformations are off by."""
    return np.full(e.shape, 8 * EPS * max(a.shape[-2:]) * max(norm(a), 1))


def _product_error(e, a, b, **_):
    """8 eps sqrt(n) of the product of absolute values; see the sums' error."""
    return 8 * EPS * math.sqrt(a.shape[-1]) * np.matmul(np.abs(a), np.abs(b))


def _loop_matmul(a, b):
    """Row by column, by sums of products."""
    x, y = (a[None] if a.ndim == 1 else a), (b[:, None] if b.ndim == 1 else b)
    out = np.sum(x[..., :, :, None] * y[..., None, :, :], axis=-2)
    out = out[..., 0] if b.ndim == 1 else out
    return (out[..., 0] if b.ndim == 1 else out[..., 0, :]) if a.ndim == 1 else out


def _small(*shape, **kwargs):
    return reals(-100, 100, shape)


_MATMUL = [
    ((_small(3, 4), _small(4, 5)), {}),
    ((_small(2, 3, 4), _small(4, 5)), {}),
    ((_small(2, 1, 3, 4), _small(3, 4, 2)), {}),
    ((_small(4), _small(4)), {}),
    ((_small(3, 4), _small(4)), {}),
    ((_small(4), _small(2, 4, 3)), {}),
    ((_small(3, 64), _small(64, 3)), {}),
    ((_small(0, 4), _small(4, 5)), {}),
]
_VECDOT = [
    ((_small(3, 4), _small(3, 4)), {"axis": -1}),
    ((_small(3, 4), _small(3, 1)), {"axis": -2}),
    ((_small(2, 3, 4), _small(4)), {"axis": -1}),
]


def _vecdot(a, b, axis):
    a, b = np.broadcast_arrays(a, b)
    return np.add.reduce(a.real * b + (-1j * a.imag * b if a.dtype.kind == "c" else 0), axis=axis)


def _tensordot(a, b, axes):
    if isinstance(axes, int):
        axes = (tuple(range(a.ndim - axes, a.ndim)), tuple(range(axes)))
    left = list(range(a.ndim))
    right = list(range(a.ndim, a.ndim + b.ndim))
    for i, j in zip(*axes, strict=True):
        right[j] = left[i]
    return np.einsum(a, left, b, right, [i for i in left if i not in right] + [i for i in right if i not in left])


def _tensordot_error(e, a, b, axes):
    return 8 * EPS * math.sqrt(max(a.size / max(e.size, 1) * b.size, 1)) * _tensordot(np.abs(a), np.abs(b), axes)


def _products(prefix: str) -> list[Case]:
    """What stands both in the main namespace and in `linalg`."""
    return [
        *rows(f"{prefix}matmul", *_MATMUL, oracle=_loop_matmul, error=_product_error),
        *rows(
            f"{prefix}matmul",
            ((complexes(shape=(3, 4)), complexes(shape=(4, 2))), {}),
            oracle=_loop_matmul,
            error=_product_error,
            label="complex",
            dtypes=_COMPLEX,
        ),
        *rows(
            f"{prefix}vecdot",
            *_VECDOT,
            oracle=_vecdot,
            error=lambda e, a, b, axis: 8 * EPS * 2 * np.sum(np.abs(a * b), axis=axis),
        ),
        *rows(
            f"{prefix}vecdot",
            ((complexes(shape=(3, 4)), complexes(shape=(3, 4))), {"axis": -1}),
            oracle=_vecdot,
            error=lambda e, a, b, axis: 8 * EPS * 2 * np.sum(np.abs(a * b), axis=axis),
            label="complex",
            dtypes=_COMPLEX,
        ),
        *rows(
            f"{prefix}tensordot",
            ((_small(2, 3, 4), _small(3, 4, 5)), {"axes": 2}),
            ((_small(2, 3), _small(4)), {"axes": 0}),
            ((_small(2, 3, 4), _small(4, 2)), {"axes": ((2, 0), (0, 1))}),
            oracle=_tensordot,
            error=_tensordot_error,
        ),
    ]


def _lower(a):
    """The Cholesky factor, column by column."""
    out = np.zeros_like(a)
    for j in range(a.shape[-1]):
        rest = a[..., j:, j] - np.sum(out[..., j:, :j] * np.conj(out[..., j : j + 1, :j]), -1)
        out[..., j:, j] = rest / np.sqrt(rest[..., :1].real)
    return out


def _determinant(a):
    """By cofactors."""
    if a.shape[-1] == 0:
        return np.ones(a.shape[:-2])
    columns = range(a.shape[-1])
    minors = (np.delete(a[..., 1:, :], j, axis=-1) for j in columns)
    return sum((-1) ** j * a[..., 0, j] * _determinant(m) for j, m in zip(columns, minors, strict=True))


def _adjoint(a):
    return np.conj(np.moveaxis(a, -1, -2))


def _identity(n, like):
    return np.broadcast_to(np.eye(n, dtype=like.dtype), (*like.shape[:-2], n, n))


def _factors_qr(got):
    q, r = got
    return q @ r, _adjoint(q) @ q, np.tril(r, -1)


def _expected_qr(a, mode):
    m, n = a.shape[-2:]
    k = min(m, n) if mode == "reduced" else m
    return a, _identity(k, a), np.zeros((*a.shape[:-2], k, n), a.dtype)


def _factors_svd(got):
    u, s, vh = got
    k = s.shape[-1]
    return (u[..., :k] * s[..., None, :]) @ vh[..., :k, :], _adjoint(u) @ u, vh @ _adjoint(vh), s


def _singular(a):
    return np.sqrt(
        np.maximum(np.linalg.eigvalsh(a @ _adjoint(a) if a.shape[-2] <= a.shape[-1] else _adjoint(a) @ a), 0)
    )[..., ::-1]


def _expected_svd(a, full_matrices):
    m, n = a.shape[-2:]
    k = min(m, n)
    return a, _identity(m if full_matrices else k, a), _identity(n if full_matrices else k, a), _singular(a)


def _factors_eigh(got):
    w, v = got
    return (v * w[..., None, :]) @ _adjoint(v), _adjoint(v) @ v, w


def _matrix_norm(x, ord="fro", keepdims=False):
    size = np.abs(x)
    out = {
        "fro": lambda: np.sqrt(np.sum(size**2, (-2, -1))),
        "nuc": lambda: np.sum(_singular(x), -1),
        1: lambda: np.max(np.sum(size, -2), -1),
        -1: lambda: np.min(np.sum(size, -2), -1),
        2: lambda: _singular(x)[..., 0],
        -2: lambda: _singular(x)[..., -1],
        math.inf: lambda: np.max(np.sum(size, -1), -1),
        -math.inf: lambda: np.min(np.sum(size, -1), -1),
    }[ord]()
    return out[..., None, None] if keepdims else out


def _vector_norm(x, ord=2, axis=None, keepdims=False):
    size = np.abs(x)
    axis = tuple(range(x.ndim)) if axis is None else axis
    if ord == math.inf:
        return np.max(size, axis, keepdims=keepdims)
    if ord == -math.inf:
        return np.min(size, axis, keepdims=keepdims)
    if ord == 0:
        return np.sum(size != 0, axis, keepdims=keepdims).astype(float)
    return np.sum(size**ord, axis, keepdims=keepdims) ** (1 / ord)


def _power(a, n):
    out = _identity(a.shape[-1], a)
    for _ in range(abs(n)):
        out = out @ (a if n > 0 else np.linalg.inv(a))
    return out


def _levi_civita(a, b, axis=-1):
    a, b = (np.moveaxis(v, axis, 0) for v in np.broadcast_arrays(a, b))
    return np.moveaxis(np.stack([a[i - 2] * b[i - 1] - a[i - 1] * b[i - 2] for i in range(3)]), 0, axis)


_SQUARE = matrices(4, 4)


def both(name, *variants, kind="general", **kwargs):
    """The variants of shapes, as real and as complex matrices."""
    return [
        case
        for label, dtype, needs in (("", np.float32, ()), ("complex", np.complex64, _COMPLEX))
        for i, (shapes, options) in enumerate(variants)
        for case in rows(
            f"linalg.{name}",
            (tuple(matrices(*s, kind=kind, dtype=dtype) for s in shapes), options),
            label=f"{label}{i}",
            dtypes=needs,
            **kwargs,
        )
    ]


LINALG = [
    *_products(""),
    *_products("linalg."),
    *rows("linalg.matrix_transpose", (((2, 3),), {}), (((2, 0, 3),), {}), oracle=lambda x: np.moveaxis(x, -1, -2)),
    *both(
        "cholesky",
        *(((s,), {"upper": u}) for s, u in (((4, 4), False), ((2, 3, 3), True))),
        kind="positive",
        oracle=lambda a, upper: _adjoint(_lower(a)) if upper else _lower(a),
        error=conditioned,
    ),
    *rows(
        "linalg.cross",
        ((_small(4, 3), _small(4, 3)), {}),
        ((_small(3, 4), _small(3, 4)), {"axis": -2}),
        oracle=_levi_civita,
        error=lambda e, a, b, axis=-1: 8 * EPS * np.full(e.shape, np.max(np.abs(a)) * np.max(np.abs(b))),
    ),
    *both("det", (((4, 4),), {}), (((2, 3, 3),), {}), oracle=_determinant, error=conditioned),
    *rows(
        "linalg.diagonal",
        *((((2, 3, 4),), {"offset": k}) for k in (0, 1, -1)),
        oracle=lambda x, offset: np.stack([x[:, i, i + offset] for i in range(3) if 0 <= i + offset < 4], -1),
    ),
    *both(
        "eigh",
        (((4, 4),), {}),
        (((2, 3, 3),), {}),
        kind="symmetric",
        after=_factors_eigh,
        oracle=lambda a: (a, _identity(a.shape[-1], a), np.linalg.eigvalsh(a)),
        error=stable,
    ),
    *both("eigvalsh", (((4, 4),), {}), (((2, 3, 3),), {}), kind="symmetric", oracle=np.linalg.eigvalsh, error=stable),
    *both("inv", (((4, 4),), {}), (((2, 3, 3),), {}), oracle=np.linalg.inv, error=conditioned),
    *rows(
        "linalg.matrix_norm",
        *(((matrices(2, 3, 4),), {"ord": o}) for o in ("fro", 1, -1, math.inf, -math.inf)),
        ((matrices(3, 4),), {"keepdims": True}),
        oracle=_matrix_norm,
        error=stable,
    ),
    *(
        case
        for o in ("nuc", 2, -2)
        for case in rows(
            "linalg.matrix_norm",
            ((matrices(2, 3, 4),), {"ord": o}),
            oracle=_matrix_norm,
            error=stable,
            label=f"singular values {o}",
        )
    ),
    *both(
        "matrix_power",
        *((((3, 3),), {"n": n}) for n in (0, 1, 3, -2)),
        oracle=_power,
        error=lambda e, a, n: 8 * EPS * 3 * max(abs(n), 1) * COND * np.full(e.shape, 2.0 ** abs(n)),
        call=lambda xp, a, n: xp.linalg.matrix_power(a, n),
    ),
    *rows(
        "linalg.matrix_rank",
        *(((matrices(2, 4, 5, rank=r),), {}) for r in (0, 1, 3, 4)),
        oracle=lambda a: np.sum(_singular(a) > 1e-5 * _singular(a)[..., :1], -1),
    ),
    *rows(
        "linalg.matrix_rank",
        ((matrices(4, 4),), {"rtol": 0.9}),
        oracle=lambda a, rtol: np.sum(_singular(a) > rtol * _singular(a)[..., :1], -1),
        label="rtol",
    ),
    *rows(
        "linalg.outer",
        ((reals(-1e9, 1e9, (3,)), reals(-1e9, 1e9, (4,))), {}),
        oracle=lambda a, b: np.array([[x * y for y in b] for x in a]),
        error=relative,
    ),
    *both(
        "pinv",
        (((4, 3),), {}),
        (((2, 3, 4),), {}),
        error=conditioned,
        oracle=lambda a: (
            np.linalg.inv(_adjoint(a) @ a) @ _adjoint(a)
            if a.shape[-2] >= a.shape[-1]
            else _adjoint(a) @ np.linalg.inv(a @ _adjoint(a))
        ),
    ),
    *both(
        "qr",
        *(((s,), {"mode": m}) for s in ((4, 3), (3, 4), (2, 3, 3)) for m in ("reduced", "complete")),
        oracle=_expected_qr,
        after=_factors_qr,
        error=stable,
    ),
    *both(
        "slogdet",
        (((4, 4),), {}),
        (((2, 3, 3),), {}),
        error=conditioned,
        oracle=lambda a: (_determinant(a) / np.abs(_determinant(a)), np.log(np.abs(_determinant(a)))),
    ),
    *both("solve", (((4, 4), (4, 2)), {}), (((2, 3, 3), (2, 3, 1)), {}), oracle=np.linalg.solve, error=conditioned),
    *rows(
        "linalg.solve",
        ((_SQUARE, _small(4)), {}),
        oracle=lambda a, b: np.linalg.inv(a) @ b,
        error=conditioned,
        label="vector",
    ),
    *both(
        "svd",
        *(((s,), {"full_matrices": f}) for s in ((4, 3), (2, 3, 4)) for f in (True, False)),
        oracle=_expected_svd,
        after=_factors_svd,
        error=stable,
    ),
    *both("svdvals", (((4, 3),), {}), (((2, 3, 4),), {}), oracle=_singular, error=stable),
    *rows(
        "linalg.trace",
        *(((_small(2, 3, 4),), {"offset": k}) for k in (0, 1, -2)),
        oracle=lambda x, offset: np.array(
            [sum(float(m[i][i + offset]) for i in range(3) if 0 <= i + offset < 4) for m in x]
        ),
        error=lambda e, x, offset: 8 * EPS * np.sum(np.abs(x), (-2, -1)),
    ),
    *rows(
        "linalg.vector_norm",
        *(
            ((_small(3, 4, 2),), o)
            for o in (
                {},
                {"ord": 1, "axis": 1},
                {"ord": 3, "axis": (0, 1)},
                {"ord": math.inf, "axis": 0, "keepdims": True},
                {"ord": -math.inf, "axis": -1},
                {"ord": 0, "axis": 1},
                {"ord": 2, "keepdims": True},
                {"ord": 0.5, "axis": 2},
            )
        ),
        oracle=_vector_norm,
        error=lambda e, x, **_: 8 * EPS * 2 * np.abs(e),
    ),
    *rows(
        "linalg.vector_norm",
        ((complexes(shape=(3, 4)),), {"axis": 1}),
        oracle=_vector_norm,
        error=relative,
        label="complex",
        dtypes=_COMPLEX,
    ),
]


# -- fft ---------------------------------------------------------------------------------------------------------------


def _resized(x, n, axis):
    x = np.moveaxis(x, axis, -1)[..., :n]
    x = np.concatenate([x, np.zeros((*x.shape[:-1], n - x.shape[-1]))], -1)
    return np.moveaxis(x, -1, axis)


def _dft(x, axis, sign, norm):
    """The sums themselves, as a product with the matrix of roots of unity."""
    n = x.shape[axis]
    k = np.arange(n)
    roots = np.exp(sign * 2j * np.pi * ((k[:, None] * k) % n) / n)
    scale = {"backward": 1 if sign < 0 else 1 / n, "ortho": 1 / math.sqrt(n), "forward": 1 / n if sign < 0 else 1}[norm]
    return np.moveaxis(np.moveaxis(x, axis, -1) @ roots, -1, axis) * scale


def _full(x, n, axis):
    """The Hermitian-symmetric signal of length `n` whose first half is `x`; what must be real is taken as real."""
    x = np.moveaxis(_resized(x, n // 2 + 1, axis), axis, -1)
    first = x[..., :1].real
    middle = x[..., 1 : (n + 1) // 2]
    last = x[..., n // 2 : n // 2 + 1].real if n % 2 == 0 else x[..., :0].real
    return np.moveaxis(np.concatenate([first, middle, last, np.conj(middle[..., ::-1])], -1), -1, axis)


def _half(x, axis):
    return np.moveaxis(np.moveaxis(x, axis, -1)[..., : x.shape[axis] // 2 + 1], -1, axis)


def _forward(x, n=None, axis=-1, norm="backward"):
    return _dft(x if n is None else _resized(x, n, axis), axis, -1, norm)


def _inverse(x, n=None, axis=-1, norm="backward"):
    return _dft(x if n is None else _resized(x, n, axis), axis, 1, norm)


def _irfft(x, n=None, axis=-1, norm="backward"):
    n = 2 * (x.shape[axis] - 1) if n is None else n
    return _dft(_full(x, n, axis), axis, 1, norm).real


def _hfft(x, n=None, axis=-1, norm="backward"):
    n = 2 * (x.shape[axis] - 1) if n is None else n
    return _dft(_full(x, n, axis), axis, -1, norm).real


_ONE = {
    "fft": ("c", _forward),
    "ifft": ("c", _inverse),
    "rfft": ("f", lambda x, n=None, axis=-1, norm="backward": _half(_forward(x, n, axis, norm), axis)),
    "irfft": ("c", _irfft),
    "hfft": ("c", _hfft),
    "ihfft": ("f", lambda x, n=None, axis=-1, norm="backward": _half(_inverse(x, n, axis, norm), axis)),
}


def _many(x, s, axes, norm, last):
    axes = tuple(range(x.ndim))[-len(s) if s is not None else -x.ndim :] if axes is None else axes
    sizes = [None] * len(axes) if s is None else s
    *others, final = zip(sizes, axes, strict=True)
    if last is _irfft:  # the real axis comes last of all
        for n, a in others:
            x = _inverse(x, n, a, norm)
        return _irfft(x, *final, norm)
    x = last(x, *final, norm)
    for n, a in others:
        x = (_inverse if last is _inverse else _forward)(x, n, a, norm)
    return x


_MANY = {
    "fftn": ("c", _forward),
    "ifftn": ("c", _inverse),
    "rfftn": ("f", _ONE["rfft"][1]),
    "irfftn": ("c", _irfft),
}


def _fft_error(e, *x, **_):
    """8 eps log2(2 n) of the root mean square: rounding errors of log2(n) steps, each of which keeps the norm."""
    n = max(e.size, x[0].size if x else 1)
    return np.full(e.shape, 8 * EPS * math.log2(2 * n) * math.sqrt(np.mean(np.abs(e) ** 2)))


def _signal(kind, *shape):
    return complexes(shape=shape) if kind == "c" else reals(-100, 100, shape)


FFT = [
    *(
        case
        for name, (kind, oracle) in _ONE.items()
        for case in rows(
            f"fft.{name}",
            *(((_signal(kind, 3, n),), {}) for n in (2, 7, 16)),
            ((_signal(kind, 8),), {"n": 5, "norm": "ortho"}),
            ((_signal(kind, 5),), {"n": 8, "norm": "forward"}),
            ((_signal(kind, 6, 3),), {"axis": 0}),
            oracle=oracle,
            error=_fft_error,
            dtypes=_COMPLEX,
        )
    ),
    *(
        case
        for name, (kind, last) in _MANY.items()
        for case in rows(
            f"fft.{name}",
            ((_signal(kind, 4, 5),), {}),
            ((_signal(kind, 2, 4, 6),), {"axes": (1, 2), "norm": "ortho"}),
            ((_signal(kind, 4, 6),), {"s": (5, 4), "axes": (0, 1), "norm": "forward"}),
            oracle=lambda x, s=None, axes=None, norm="backward", last=last: _many(x, s, axes, norm, last),
            error=_fft_error,
            dtypes=_COMPLEX,
        )
    ),
    *(
        Case(
            f"fft.{name}",
            calls(n=n, d=d),
            lambda n, d, low=low: np.array(
                [(i if i < (n + 1) // 2 or low else i - n) / (n * d) for i in range(n // 2 + 1 if low else n)]
            ),
            call=lambda xp, n, d, name=name: getattr(xp.fft, name)(n, d=d),
            label=f"{n}",
        )
        for name, low in (("fftfreq", False), ("rfftfreq", True))
        for n, d in ((1, 1.0), (8, 0.5), (7, 0.1))
    ),
    *(
        case
        for name, sign in (("fftshift", 1), ("ifftshift", -1))
        for case in rows(
            f"fft.{name}",
            ((reals(shape=(7,)),), {}),
            ((reals(shape=(4, 5)),), {}),
            ((reals(shape=(4, 5)),), {"axes": (1,)}),
            oracle=lambda x, axes=None, sign=sign: x[
                np.ix_(
                    *(
                        [(i - sign * (n // 2)) % n for i in range(n)] if axes is None or a in axes else range(n)
                        for a, n in enumerate(x.shape)
                    )
                )
            ],
        )
    ),
]
