"""Control flow and function transformations: the functions they are given call `ops` themselves."""

from __future__ import annotations

from . import integers, normal, positive, row

X, Y = normal(5, 3), normal(3, salt=1)
NO_VMAP = "OpenVINO has no vmap, and PyTorch's compiler traces it with the layers' tests"


def square_of(ops):
    """`x * x`, with a gradient of its own: 3 * x."""

    @ops.custom_gradient
    def fun(x):
        return x * x, lambda upstream: upstream * x * 3.0

    return fun


ROWS = [
    row("associative_scan", X, call=lambda ops, x: ops.associative_scan(ops.add, x), n=5),
    row("associative_scan", X, call=lambda ops, x: ops.associative_scan(ops.multiply, x, reverse=True, axis=1), n=3),
    row("cond", X, call=lambda ops, x: ops.cond(ops.sum(x) > 100.0, lambda: x * 2.0, lambda: x - 1.0)),
    row("cond", X, call=lambda ops, x: ops.cond(True, lambda: ops.sin(x), lambda: x)),
    row("custom_gradient", X, call=lambda ops, x: square_of(ops)(x)),
    row("fori_loop", Y, call=lambda ops, y: ops.fori_loop(0, 4, lambda i, c: c * 1.5 + 1.0, y), n=4, condition=4),
    row("jvp", Y, call=lambda ops, y: ops.jvp(ops.sin, (y,), (y * 2.0,)), grad="a gradient of a derivative"),
    row("map", X, call=lambda ops, x: ops.map(lambda r: ops.sum(r) * r, x), n=3),
    row("scan", X, Y, call=lambda ops, x, y: ops.scan(lambda c, r: (c + r, c * r), y, x), n=5, condition=4),
    row("scan", X, Y, call=lambda ops, x, y: ops.scan(lambda c, r: (c + r, c), y, x, reverse=True), n=5),
    row("stop_gradient", X, Y, call=lambda ops, x, y: ops.stop_gradient(x) * y),
    *(row("switch", X, call=lambda ops, x, i=i: ops.switch(i, [ops.sin, ops.cos, lambda a: a], x)) for i in (1, 7)),
    row("vectorized_map", X, call=lambda ops, x: ops.vectorized_map(lambda r: r * ops.sum(r), x), n=3),
    row("vectorize", X, Y, call=lambda ops, x, y: ops.vectorize(lambda a, b: a * b + 1.0)(x, y)),
    row(
        "vectorize",
        *(normal(2, 3, 4), normal(4, salt=2)),
        call=lambda ops, a, b: ops.vectorize(ops.matmul, signature="(m,n),(n)->(m)")(a, b),
        n=4,
    ),
    row("vectorize", X, call=lambda ops, x: ops.vectorize(lambda a, k: a * k, excluded={1})(x, 3.0)),
    row(
        "while_loop",
        positive(3),
        call=lambda ops, x: ops.while_loop(lambda x: ops.sum(x) < 20.0, lambda x: x * 2.0, x),
        grad="JAX has none for a loop of unknown length",
    ),
    row(
        "while_loop",
        positive(3),
        call=lambda ops, x: ops.while_loop(lambda x, i: i < 9, lambda x, i: [x * 2.0, i + 1], [x, 0], 3),
        grad="JAX has none for a loop of unknown length",
    ),
    row(
        "while_loop",
        positive(3),
        integers(0, 1),
        call=lambda ops, x, i: ops.while_loop(lambda x, i: i < 9, lambda x, i: (x + 1.0, i + 1), (x, i), 4),
        grad="JAX has none for a loop of unknown length",
    ),
]
