"""OpenVINO: a model built with the opset, compiled for float32, one synchronous request; images are channels-first."""

from __future__ import annotations

import numpy as np
import openvino as ov
import openvino.opset15 as op

from . import HEADS, NORM_EPSILON


def dense(p, x):
    return op.add(op.matmul(x, p["kernel"], False, False), p["bias"])


def mlp(p, state, x):
    x = op.relu(dense(p["dense"], x))
    x = op.relu(dense(p["dense_1"], x))
    return dense(p["dense_2"], x)


def conv(p, x):
    kernel = np.ascontiguousarray(p["kernel"].transpose(3, 2, 0, 1))
    y = op.convolution(x, kernel, [1, 1], [0, 0], [0, 0], [1, 1], auto_pad="same_upper")
    return op.add(y, p["bias"].reshape(1, -1, 1, 1))


def max_pool(x):
    return op.max_pool(x, [2, 2], [1, 1], [0, 0], [0, 0], [2, 2]).output(0)


def cnn(p, state, x):
    x = op.relu(conv(p["conv2d"], x))
    norm, moving = p["batch_normalization"], state["batch_normalization"]
    x = op.batch_norm_inference(
        x, norm["gamma"], norm["beta"], moving["moving_mean"], moving["moving_variance"], NORM_EPSILON
    )
    x = max_pool(op.relu(conv(p["conv2d_1"], max_pool(x))))
    last = p["dense"]["kernel"].reshape(2, 2, -1, 10).transpose(2, 0, 1, 3).reshape(-1, 10)
    flat = op.reshape(x, op.constant([0, -1], np.int64), special_zero=True)
    return dense({"kernel": np.ascontiguousarray(last), "bias": p["dense"]["bias"]}, flat)


def lstm(p, state, x):
    q = p["lstm"]
    units = q["recurrent_kernel"].shape[0]

    def forget_first(w):
        i, f, g, o = np.split(w, 4, axis=-1)
        return np.ascontiguousarray(np.concatenate([f, i, g, o], axis=-1).T)[None]

    batch, time = x.shape[0], x.shape[1]
    start = np.zeros((batch, 1, units), np.float32)
    out = op.lstm_sequence(
        x,
        start,
        start,
        np.full((batch,), time, np.int32),
        forget_first(q["kernel"]),
        forget_first(q["recurrent_kernel"]),
        forget_first(q["bias"]),
        units,
        "forward",
    )
    return dense(p["dense"], op.squeeze(out.output(1), op.constant([1])))


def layer_norm(p, x):
    normal = op.mvn(x, op.constant([-1]), True, NORM_EPSILON, "inside_sqrt")
    return op.add(op.multiply(normal, p["gamma"]), p["beta"])


def attention(p, x):
    width = x.shape[2]

    def heads(q):
        flat = {"kernel": q["kernel"].reshape(width, -1), "bias": q["bias"].reshape(-1)}
        y = op.reshape(dense(flat, x), op.constant([0, 0, HEADS, width // HEADS], np.int64), special_zero=True)
        return op.transpose(y, op.constant([0, 2, 1, 3]))

    y = op.scaled_dot_product_attention(heads(p["query"]), heads(p["key"]), heads(p["value"]))
    y = op.reshape(op.transpose(y, op.constant([0, 2, 1, 3])), op.constant([0, 0, width], np.int64), special_zero=True)
    out = p["attention_output"]
    return dense({"kernel": out["kernel"].reshape(-1, width), "bias": out["bias"]}, y)


def transformer(p, state, x):
    x = op.gather(p["embedding"]["embeddings"], x, op.constant(0))
    for name in ("block_0", "block_1"):
        q = p[name]
        x = op.add(x, attention(q["attention"], layer_norm(q["norm_1"], x)))
        x = op.add(x, dense(q["down"], op.gelu(dense(q["up"], layer_norm(q["norm_2"], x)), "tanh")))
    return dense(p["dense"], op.reduce_mean(layer_norm(p["norm"], x), op.constant([1])))


NETWORKS = {"mlp": mlp, "cnn": cnn, "lstm": lstm, "transformer": transformer}


def build(network, params, state, rate, x, y):
    x = np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if network == "cnn" else x
    parameter = op.parameter(x.shape, x.dtype.type)
    model = ov.Model([NETWORKS[network](params, state, parameter)], [parameter])
    config = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    request = ov.Core().compile_model(model, "CPU", config).create_infer_request()
    return None, lambda: request.infer([x], share_inputs=True)[0]
