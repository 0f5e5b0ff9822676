"""Linear algebra and Einstein sums."""

from __future__ import annotations

import numpy as np

from . import integers, normal, row

X, STACK, V = normal(4, 4), normal(2, 3, 3), normal(4)
TALL, WIDE = normal(5, 3), normal(2, 3, 5)
INTS = np.int32([[2, 1], [1, 3]])


def condition(*matrices):
    """The condition number: by how much an inverse magnifies the relative rounding of its argument."""
    return max(float(np.linalg.cond(m).max()) for m in matrices)


def definite(ops, x):
    """A positive definite matrix of any `x`, whose gradient is that of all of its elements."""
    return ops.matmul(x, ops.swapaxes(x, -1, -2))


def symmetric(ops, x):
    return x + ops.swapaxes(x, -1, -2)


def through(name, prepare, only=None):
    """`name` of the matrix that `prepare` makes."""

    def call(ops, x, **kwargs):
        out = getattr(ops, name)(prepare(ops, x), **kwargs)
        return out if only is None else only(ops, out)

    return call


def signless(ops, factors):
    """What the signs of vectors leave alone: the squares of all factors."""
    return [ops.square(f) for f in factors]


def determined(ops, factors):
    """The same, without the columns that only fill up a basis of the 5 dimensions of `TALL`."""
    return [ops.square(f[:, :3] if tuple(f.shape) == (5, 5) else f) for f in factors]


def root(ops, x):
    """The square root of a positive definite matrix, by its eigenvectors, whatever their signs are."""
    values, vectors = ops.eigh(definite(ops, x))
    return ops.matmul(vectors * ops.expand_dims(ops.sqrt(values), -2), ops.swapaxes(vectors, -1, -2))


def polar(ops, x):
    """The orthogonal factor of a matrix, by its singular vectors, whatever their signs are."""
    u, _, vh = ops.svd(x, full_matrices=False)
    return ops.matmul(u, vh)


def values_of(ops, x):
    """The eigenvalues' real and imaginary parts, each in order."""
    values, _ = ops.eig(x)
    return ops.sort(ops.real(values)), ops.sort(ops.imag(values))


def restored(ops, x):
    """A real matrix again, from its eigenvalues and eigenvectors."""
    values, vectors = ops.eig(x)
    return ops.real(ops.matmul(vectors * values, ops.inv(vectors)))


GRAM = condition(X @ X.T)  # that of the matrices that `definite` makes
STACKED = condition(*(m @ m.T for m in STACK))

INVERSES = [
    *(row("det", x, n=16, condition=condition(x)) for x in (X, STACK, INTS)),
    *(row(name, x, n=16, condition=condition(x)) for name in ("inv", "slogdet") for x in (X, STACK, INTS)),
    # The gradient has the inverse in it once more.
    *(row("pinv", x, n=25, condition=condition(*np.atleast_3d(x)) ** 2) for x in (TALL, WIDE, X)),
    row("pinv", X, rcond=0.1, n=16, condition=condition(X) ** 2, grad=False),
    row("logdet", X, call=through("logdet", definite), n=16, condition=GRAM),
    *(row("solve", X, b, n=16, condition=condition(X) ** 2) for b in (V, normal(4, 3))),
    row("solve", STACK, normal(2, 3, 2), n=9, condition=condition(STACK) ** 2),
    *(
        row("solve_triangular", X + 3 * np.eye(4, dtype=np.float32), b, lower=lower, n=16, condition=9)
        for b in (V, normal(4, 3))
        for lower in (False, True)
    ),
    row("lstsq", TALL, normal(5), n=25, condition=condition(TALL) ** 2),
    row("lstsq", TALL, normal(5, 2), n=25, condition=condition(TALL) ** 2),
    row("lstsq", normal(3, 5), normal(3), n=25, condition=condition(normal(3, 5)) ** 2),
]
FACTORS = [
    row("cholesky", X, call=through("cholesky", definite), n=16, condition=GRAM),
    row("cholesky", X, call=through("cholesky", definite), upper=True, n=16, condition=GRAM),
    row("cholesky", STACK, call=through("cholesky", definite), n=9, condition=STACKED),
    *(
        row("cholesky_inverse", X + 3 * np.eye(4, dtype=np.float32), upper=upper, n=16, condition=9)
        for upper in (False, True)
    ),
    *(row("qr", x, call=through("qr", lambda ops, x: x, signless), n=25, condition=9) for x in (TALL, X)),
    row("qr", TALL, mode="complete", call=through("qr", lambda ops, x: x, determined), n=25, grad="jax has none"),
    row("qr", WIDE, call=through("qr", lambda ops, x: x, signless), n=25, grad="jax has none"),
    *(row("svd", x, call=lambda ops, x: ops.svd(x)[1], n=25, grad=False) for x in (TALL, WIDE)),
    *(row("svd", x, compute_uv=False, n=25, condition=9) for x in (TALL, WIDE, X)),
    row("svd", TALL, call=polar, n=25, condition=condition(TALL) ** 2),
    row(
        "svd",
        TALL,
        call=through("svd", lambda ops, x: x, determined),
        full_matrices=True,
        n=25,
        condition=9,
        grad=False,
    ),
    row("eigh", X, call=lambda ops, x: ops.eigh(symmetric(ops, x))[0], n=16, condition=9),
    row("eigh", STACK, call=root, n=16, condition=STACKED),
    row("eig", X, call=values_of, n=16, condition=9, grad="jax has none of eigenvectors"),
    row("eig", X, call=restored, n=16, condition=9, grad="jax has none of eigenvectors"),
    *(row("lu_factor", x, n=16, condition=condition(x)) for x in (X, STACK)),
    *(row("lu_factor", x, n=16, condition=9, grad=False) for x in (TALL, normal(3, 5))),
]
DESCRIPTIONS = [
    *(row("matrix_rank", x, grad=False) for x in (X, TALL, WIDE, np.ones((3, 3), np.float32), np.zeros((2, 2)))),
    row("matrix_rank", X, tol=100.0, grad=False),
    *(row("norm", x, n=24) for x in (V, X, normal(2, 3, 4), np.int32([3, 4]))),
    *(row("norm", V, ord=o, n=9) for o in (1, 2, 3, np.inf, -np.inf)),
    row("norm", V, ord=0, grad=False),
    *(row("norm", X, ord=o, n=16, condition=4) for o in ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf)),
    *(row("norm", WIDE, n=25, **k) for k in ({"axis": 1}, {"axis": -1, "keepdims": True}, {"axis": (0, 2)})),
    row("norm", WIDE, ord=1, axis=(2, 0), keepdims=True, n=9),
    row("norm", WIDE, ord=2, axis=(1, 2), n=25, condition=4),
    row("norm", WIDE, ord=3, axis=2, n=9),
]
A, B, C = normal(2, 3, 4), normal(2, 4, 5), normal(5, 3)
SUMS = [
    *(row("einsum", s, X, V, n=16) for s in ("ij,j->i", "ij,i->ij", "ij,k->kji", "ij,j->")),
    *(row("einsum", s, X, n=16) for s in ("ii->i", "ii", "ij->j", "...->...", "ji")),
    *(row("einsum", s, A, B, n=24) for s in ("bij,bjk->k", "...ij,...jk->...ik", "bij,bjk->ikb")),
    *(row("einsum", s, A, normal(4, 5), n=24) for s in ("...j,jk->...k", "abc,cd->da")),
    row("einsum", "bij,bjk,kl->bil", A, B, C, n=60),
    row("einsum", "bqhd,bkhd->bhqk", normal(2, 3, 2, 4), normal(2, 5, 2, 4), n=8),
    row("einsum", "...i,...i->...", normal(3, 1, 4), normal(2, 4), n=12),
    row("einsum", "ij, jk -> ik", integers(0, 5, 2, 3), normal(3, 2), n=3),
    row("einsum", "ij,jk", integers(0, 5, 2, 3), integers(0, 5, 3, 2)),
    row("einsum", "ij,jk", *(integers(0, 100, 3, 3, dtype=np.int8) for _ in "ab")),
    row("einsum", "ij,jk->ik", np.zeros((2, 0), np.float32), np.zeros((0, 3), np.float32)),
]

ROWS = [*INVERSES, *FACTORS, *DESCRIPTIONS, *SUMS]
