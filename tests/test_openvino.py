"""OpenVINO's lowerings against the references on NumPy, and its compiler."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest
from openvino_helpers import assert_close, compiled, floats, integers, on_openvino, wide

import kfunc as kf
from kfunc import ops
from kfunc.errors import ArgumentError, MixedBackendsError, ShapeError, UnsupportedError

pytestmark = pytest.mark.openvino

x23, x34 = floats(4, 3), floats(4, 3, 5)
ids = integers(4, 3, low=0, high=3)


def conv_rows():
    for rank in (1, 2, 3):
        space = (9, 10, 8)[:rank]
        for data_format in ("channels_last", "channels_first"):
            x = floats(3, *space, 6) if data_format == "channels_last" else floats(3, 6, *space)
            for padding, strides, dilation, inputs in (("valid", 1, 1, 6), ("same", 2, 1, 2), ("same", 1, 2, 3)):
                window = (3, 2, 3)[:rank]

                def conv(kernel, x, options=(strides, padding, data_format, dilation)):
                    return ops.conv(x, kernel, *options)

                name = f"conv {rank} {data_format} {padding} {strides} {dilation} {6 // inputs}"
                yield name, conv, (floats(*window, inputs, 6), x), (0,)
            for padding, strides in (("valid", None), ("same", 2), ("valid", 1)):
                for pool in (ops.max_pool, ops.average_pool):

                    def pooled(x, pool=pool, options=(3, strides, padding, data_format)):
                        return pool(x, *options)

                    yield f"{pool.name} {rank} {data_format} {padding} {strides}", pooled, (x,), ()


def lowering_rows():
    x = floats(5, 7) * 3
    for f in (ops.relu, ops.leaky_relu, ops.elu, ops.sigmoid, ops.tanh, ops.silu, ops.gelu, ops.softplus):
        yield f.name, f, (x,), ()
    for f in (ops.softmax, ops.log_softmax, ops.logsumexp):
        yield f.name, f, (x,), ()
        yield f"{f.name} axis", lambda x, f=f: f(x, axis=1), (floats(4, 3, 2),), ()
    yield "erf", ops.erf, (x,), ()
    yield "erfinv", ops.erfinv, (np.tanh(x / 3),), ()
    yield "gelu by erf", lambda x: ops.gelu(x, approximate=False), (x,), ()
    yield "elu alpha", lambda x: ops.elu(x, 0.5), (x,), ()
    yield "linear", lambda p, x: ops.linear(x, *p), ([floats(7, 4), floats(4)], x), (0,)
    yield "embedding", lambda t, i: ops.embedding(i, t), (floats(9, 4), integers(5, 3, low=0, high=9)), (0,)
    yield "one_hot", lambda i: ops.one_hot(i, 4), (np.array([[0, 3], [-1, 4], [1, -5]], np.int32),), ()
    yield "one_hot int8", lambda i: ops.one_hot(i, 4, dtype="int32"), (np.array([0, 3, 2], np.int8),), ()
    yield "pad", lambda x: ops.pad(x, ((1, 0), (0, 2)), constant_values=-1.5), (x,), ()
    yield "split and join", lambda x: ops.join_last(ops.split_last(x, (3, 2)) * 2), (floats(4, 5, 6),), ()
    yield "layer_normalization", lambda p, x: ops.layer_normalization(x, *p), ([floats(7), floats(7)], x), (0,)
    yield "layer_normalization axes", lambda x: ops.layer_normalization(x, axis=(1, 2)), (floats(3, 4, 5),), ()
    yield "layer_normalization first", lambda x: ops.layer_normalization(x, axis=1), (floats(3, 4, 5),), ()
    yield (
        "batch_normalization",
        lambda p, x: ops.batch_normalization(x, *p[:2], -1, *p[2:]),
        ([floats(7), np.abs(floats(7)), floats(7), floats(7)], x),
        (0,),
    )
    q, k, v = floats(3, 6, 2, 4), floats(3, 5, 2, 4), floats(3, 5, 2, 4)
    seen = floats(3, 1, 6, 5) > 0
    seen[0, 0, 0] = False
    attention = ops.dot_product_attention
    yield "attention", attention, (q, k, v), ()
    yield "attention causal", lambda q, k, v: attention(q, k, v, is_causal=True), (q, k, v), ()
    yield "attention causal, long source", lambda q, k, v: attention(q, k, v, is_causal=True), (k, q, q), ()
    yield "attention masked", attention, (q, k, v, seen), ()
    yield "attention masked causal", lambda *a: attention(*a, is_causal=True), (q, k, v, seen), ()
    yield "attention constant mask", lambda m, *a: attention(*a, m), (seen[1, 0], q, k, v), (0,)
    yield "attention scale", lambda q, k, v: attention(q, k, v, scale=0.3), (q, k, v), ()
    yield "attention other width", attention, (q, k, floats(3, 5, 2, 3)), ()
    x, h, c = floats(5, 6, 4), floats(5, 3), floats(5, 3)
    lstm, gru = [floats(4, 12), floats(3, 12), floats(12)], [floats(4, 9), floats(3, 9)]
    for reverse in (False, True):
        yield f"lstm {reverse}", lambda p, x, r=reverse: ops.lstm(x, *p, reverse=r), (lstm, x), (0,)
        yield (
            f"lstm from state {reverse}",
            lambda p, x, h, c, r=reverse: ops.lstm(x, *p, None, h, c, reverse=r),
            (lstm[:2], x, h, c),
            (0,),
        )
        for after, bias in ((True, floats(2, 9)), (False, floats(9))):
            yield (
                f"gru {reverse} {after}",
                lambda p, x, h, r=reverse, a=after: ops.gru(x, *p, h, reverse=r, reset_after=a),
                ([*gru, bias], x, h),
                (0,),
            )
            yield (
                f"gru without bias {reverse} {after}",
                lambda p, x, r=reverse, a=after: ops.gru(x, *p, reverse=r, reset_after=a),
                (gru, x),
                (0,),
            )
    relu = {"activation": ops.relu}
    yield "lstm relu", lambda p, x: ops.lstm(x, *p, **relu), (lstm, x), (0,)
    yield "gru relu", lambda p, x: ops.gru(x, *p, **relu), (gru, x), (0,)


LOWERINGS = {name: row for rows in (lowering_rows(), conv_rows()) for name, *row in rows}


@pytest.mark.parametrize("name", LOWERINGS)
def test_lowering_matches_reference_and_serves_any_batch(name):
    fun, args, constants = LOWERINGS[name]
    program = compiled(fun, constant_argnums=constants)
    fixed = on_openvino([args[i] for i in constants])
    for batch in (slice(None), slice(0, 2)):
        part = [a if i in constants else a[batch] for i, a in enumerate(args)]
        want = kf.tree.leaves(fun(*kf.tree.map(wide, part)))
        given = [fixed[constants.index(i)] if i in constants else on_openvino(a) for i, a in enumerate(part)]
        got = kf.tree.leaves(program(*given))
        assert len(got) == len(want)
        for g, w in zip(got, want, strict=True):
            # The longest sum has 162 terms, and errors grow with the root of it.
            assert_close(g, w, ulps=8 * np.sqrt(162))
    assert program.compilations == 1


def test_fused_recurrence_is_used():
    """A lowering that always declined would pass every comparison."""
    _, args, _ = LOWERINGS["lstm False"]
    program = compiled(lambda p, x: ops.lstm(x, *p), constant_argnums=(0,))
    program(*on_openvino(args))
    ((_, programs),) = program._sets.values()
    (built,) = programs.values()
    nodes = built.compiled.get_runtime_model().get_ops()
    assert "RNNSeq" in {str(node.get_rt_info()["layerType"].get()) for node in nodes}


@pytest.mark.parametrize("traced", [False, True])
def test_random_bits_are_those_of_numpy(traced):
    def draw(key):
        return kf.random.split(key, 3), kf.random.uniform(key, (5, 3)), kf.random.bernoulli(key, 0.3, (7,))

    key = kf.random.key(3, backend="numpy")
    got = (kf.jit(draw) if traced else draw)(on_openvino(key))
    for g, w in zip(got, draw(key), strict=True):
        np.testing.assert_array_equal(kf.to_numpy(g), w)


def test_conv_with_traced_kernel():
    kernel, x = floats(3, 3, 2, 4), floats(3, 6, 6, 2)
    got = kf.jit(lambda k, x: ops.conv(x, k))(*on_openvino((kernel, x)))
    assert_close(got, ops.conv(x.astype(np.float64), kernel.astype(np.float64)), ulps=8 * np.sqrt(18))


def network(params, x):
    h = ops.relu(ops.linear(x, params["w"], params["b"]))
    return {"scores": ops.softmax(h), "params": params["b"], "batch": x.shape[0], "nothing": None}


def weights():
    return {"w": floats(3, 5), "b": floats(5)}


def test_constants_are_built_in_and_replaced():
    program = compiled(network, constant_argnums=(0,))
    first, second, x = weights(), weights(), floats(4, 3)
    ov_first, ov_second = on_openvino((first, second))
    for params, ov_params in ((first, ov_first), (second, ov_second), (first, ov_first)):
        out = program(ov_params, on_openvino(x))
        assert_close(out["scores"], network(kf.tree.map(wide, params), wide(x))["scores"], ulps=16)
        assert_close(out["params"], params["b"])
        assert out["batch"] is None and out["nothing"] is None
    assert program.compilations == 2


def test_constant_sets_are_forgotten():
    program = compiled(network, constant_argnums=(0,))
    for _ in range(7):
        params = weights()
        out = program(on_openvino(params), on_openvino(x23))
        gc.collect()
        assert_close(out["scores"], network(kf.tree.map(wide, params), wide(x23))["scores"], ulps=16)
    assert len(program._sets) == 4


def test_jit_counts_programs(monkeypatch):
    from kfunc.backends.openvino import program as programs

    calls = []
    compile_graph = programs.compile_graph
    monkeypatch.setattr(programs, "compile_graph", lambda *args: calls.append(1) or compile_graph(*args))

    def run(x, factor=1, *, mode="up"):
        return x * factor if mode == "up" else x / factor

    jitted = kf.jit(run, static_argnames=("mode",))
    for n in (4, 2, 1, 4):
        assert_close(jitted(on_openvino(x23[:n])), x23[:n])
    assert len(calls) == 1
    assert_close(jitted(on_openvino(x23), 2), x23 * 2)
    assert_close(jitted(on_openvino(x23), on_openvino(np.float32(3))), x23 * 3)
    assert_close(jitted(on_openvino(x23), 2, mode="down"), x23 / 2)
    assert_close(jitted(on_openvino(x34)), x34)
    assert_close(jitted(on_openvino(ids)), ids)
    assert len(calls) == 6


def test_batch_size_in_code_falls_back_to_one_program_a_shape():
    program = compiled(lambda x: kf.namespace(x).sum(x, axis=0) / x.shape[0])
    for n in (4, 2, 4):
        assert_close(program(on_openvino(x23[:n])), x23[:n].astype(np.float64).mean(axis=0), ulps=16)
    assert program.compilations == 2


def test_results_own_their_data():
    program = compiled(lambda x: x + 1)
    first = program(on_openvino(x23))
    program(on_openvino(x23 * 5))
    assert_close(first, x23 + np.float32(1))


def test_jit_inside_jit_and_lazy_arguments():
    inner = kf.jit(lambda x: x * 2)
    x = on_openvino(x23) + 1
    assert_close(kf.jit(lambda x: inner(x) + 1)(x), (x23.astype(np.float64) + 1) * 2 + 1)


def test_threads():
    program = compiled(lambda w, x: ops.tanh(x @ w), constant_argnums=(0,))
    w = floats(64, 64)
    ov_w = on_openvino(w)
    inputs = [floats(n, 64) for n in (1, 2, 3, 4)]
    program(ov_w, on_openvino(inputs[0]))
    bad = []

    def work(x):
        want = np.tanh(x.astype(np.float64) @ w)
        for _ in range(20):
            got = kf.to_numpy(program(ov_w, on_openvino(x)))
            if not np.allclose(got, want, atol=1e-4):
                bad.append(x.shape)

    threads = [threading.Thread(target=work, args=(x,)) for x in inputs]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not bad and program.compilations == 1


def test_precision_is_an_option():
    backend = kf.backends.get("openvino")
    program = compiled(lambda w, x: x @ w, constant_argnums=(0,))
    w, x = on_openvino((floats(64, 64), floats(8, 64)))
    exact = kf.to_numpy(program(w, x))
    try:
        backend.precision = "bf16"
        rough = kf.to_numpy(program(w, x))
    finally:
        del backend.precision
    assert backend.precision == "f32" and program.compilations == 2
    # bfloat16 keeps 8 bits, where the processor has it.
    np.testing.assert_allclose(rough, exact, atol=2.0**-8 * 64)


def test_scan_and_cond():
    def run(x, flag):
        carry, ys = kf.scan(lambda c, row: (c + row, c * row), kf.namespace(x).zeros_like(x[:, 0]), x.mT)
        return kf.cond(flag, lambda c: c, lambda c: -c, carry), ys

    x = floats(3, 4)
    for flag in (True, False):
        program = kf.jit(lambda x, flag: run(x, flag))
        got, ys = program(on_openvino(x), on_openvino(np.asarray(flag)))
        assert_close(got, x.astype(np.float64).sum(axis=1) * (1 if flag else -1))
        before = np.cumsum(x.astype(np.float64), axis=1) - x
        assert_close(ys, (before * x).T)
    with pytest.raises(ShapeError, match="length"):
        kf.backends.get("openvino").scan(lambda c, _: (c, c), on_openvino(x), None)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: kf.grad(lambda x: kf.namespace(x).sum(x))(x), UnsupportedError, r'model\.to\("openvino"\)'),
        (lambda x: kf.value_and_grad(lambda x: kf.namespace(x).sum(x))(x), UnsupportedError, "differentiation"),
        (lambda x: kf.vmap(lambda x: x)(x), UnsupportedError, "vmap"),
        (lambda x: kf.jit(lambda x: x if x[0, 0] > 0 else -x)(x), UnsupportedError, "branch"),
        (lambda x: kf.jit(lambda x: kf.to_numpy(x))(x), UnsupportedError, "not known yet"),
        (lambda x: kf.asarray(x23, backend="openvino", device="GPU"), ArgumentError, "target"),
        (lambda x: kf.asarray(np.zeros(2, np.complex64), backend="openvino"), UnsupportedError, "complex64"),
        (lambda x: ops.linear(x, kf.asarray(x23.T, backend="array_api_strict")), MixedBackendsError, "openvino and "),
        (lambda x: ops.conv(x[None, ...], on_openvino(floats(9, 3, 3))), ShapeError, "window covers 9"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call(on_openvino(x23))


def test_stop_gradient_is_the_identity():
    x = on_openvino(x23)
    assert kf.stop_gradient(x) is x
