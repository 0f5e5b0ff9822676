"""NumPy: forward and backward passes written out, and Adam in place. Layers return the output and the way back."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from . import BETA_1, BETA_2, EPSILON, HEADS, LEARNING_RATE, MOMENTUM, NORM_EPSILON, Trainer


def dense(p, x):
    flat = x.reshape(-1, x.shape[-1])

    def back(g):
        g = g.reshape(-1, g.shape[-1])
        return {"kernel": flat.T @ g, "bias": g.sum(0)}, (g @ p["kernel"].T).reshape(x.shape)

    return (flat @ p["kernel"] + p["bias"]).reshape(*x.shape[:-1], -1), back


def relu(x):
    y = np.maximum(x, 0)
    return y, lambda g: g * (y > 0)


def mlp(p, state, x, rate, rng):
    y, back_0 = dense(p["dense"], x)
    y, back_1 = relu(y)
    y, back_2 = dense(p["dense_1"], y)
    y, back_3 = relu(y)
    y, back_4 = dense(p["dense_2"], y)

    def back(g):
        last, g = back_4(g)
        middle, g = back_2(back_3(g))
        return {"dense": back_0(back_1(g))[0], "dense_1": middle, "dense_2": last}

    return y, back


def conv(p, x, first=False):
    n, height, width, channels = x.shape
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    columns = np.ascontiguousarray(sliding_window_view(padded, (3, 3), (1, 2)).transpose(0, 1, 2, 4, 5, 3))
    columns = columns.reshape(-1, 9 * channels)
    kernel = p["kernel"].reshape(9 * channels, -1)

    def back(g):
        flat = g.reshape(-1, g.shape[-1])
        grads = {"kernel": (columns.T @ flat).reshape(p["kernel"].shape), "bias": flat.sum(0)}
        if first:
            return grads, None
        parts = (flat @ kernel.T).reshape(n, height, width, 3, 3, channels)
        out = np.zeros_like(padded)
        for i in range(3):
            for j in range(3):
                out[:, i : i + height, j : j + width] += parts[:, :, :, i, j]
        return grads, out[:, 1:-1, 1:-1]

    return (columns @ kernel + p["bias"]).reshape(n, height, width, -1), back


def max_pool(x):
    n, height, width, channels = x.shape
    windows = x.reshape(n, height // 2, 2, width // 2, 2, channels).transpose(0, 1, 3, 5, 2, 4)
    windows = windows.reshape(n, height // 2, width // 2, channels, 4)
    first = windows.argmax(-1)[..., None]

    def back(g):
        out = np.zeros_like(windows)
        np.put_along_axis(out, first, g[..., None], -1)
        out = out.reshape(n, height // 2, width // 2, channels, 2, 2).transpose(0, 1, 4, 2, 5, 3)
        return out.reshape(x.shape)

    return np.take_along_axis(windows, first, -1)[..., 0], back


def batch_norm(p, moving, x, train):
    if not train:
        factor = p["gamma"] / np.sqrt(moving["moving_variance"] + NORM_EPSILON)
        return (x - moving["moving_mean"]) * factor + p["beta"], None
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    for name, value in (("moving_mean", mean), ("moving_variance", variance)):
        moving[name] += (1 - MOMENTUM) * (value - moving[name])
    deviation = 1 / np.sqrt(variance + NORM_EPSILON)
    normal = (x - mean) * deviation

    def back(g):
        g_beta, g_gamma = g.sum((0, 1, 2)), (g * normal).sum((0, 1, 2))
        count = x.size // x.shape[-1]
        out = (p["gamma"] * deviation) * (g - g_beta / count - normal * (g_gamma / count))
        return {"gamma": g_gamma, "beta": g_beta}, out

    return normal * p["gamma"] + p["beta"], back


def cnn(p, state, x, rate, rng):
    train = rng is not None
    y, back_0 = conv(p["conv2d"], x, first=True)
    y, back_1 = relu(y)
    y, back_2 = batch_norm(p["batch_normalization"], state["batch_normalization"], y, train)
    y, back_3 = max_pool(y)
    y, back_4 = conv(p["conv2d_1"], y)
    y, back_5 = relu(y)
    y, back_6 = max_pool(y)
    shape, y = y.shape, y.reshape(len(y), -1)
    mask = None
    if train and rate:
        mask = (rng.random(y.shape, np.float32) < 1 - rate) * np.float32(1 / (1 - rate))
        y = y * mask
    y, back_7 = dense(p["dense"], y)

    def back(g):
        last, g = back_7(g)
        g = g if mask is None else g * mask
        second, g = back_4(back_5(back_6(g.reshape(shape))))
        norm, g = back_2(back_3(g))
        first, _ = back_0(back_1(g))
        return {"conv2d": first, "batch_normalization": norm, "conv2d_1": second, "dense": last}

    return y, back


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(p, state, x, rate, rng):
    q = p["lstm"]
    time, batch, units = x.shape[1], x.shape[0], q["recurrent_kernel"].shape[0]
    inputs = np.ascontiguousarray(x.transpose(1, 0, 2))
    z = inputs @ q["kernel"] + q["bias"]
    h, c = np.zeros((2, time + 1, batch, units), np.float32)
    for t in range(time):
        z[t] += h[t] @ q["recurrent_kernel"]
        z[t, :, : 2 * units] = sigmoid(z[t, :, : 2 * units])
        z[t, :, 2 * units : 3 * units] = np.tanh(z[t, :, 2 * units : 3 * units])
        z[t, :, 3 * units :] = sigmoid(z[t, :, 3 * units :])
        i, f, g, o = np.split(z[t], 4, axis=-1)
        c[t + 1] = f * c[t] + i * g
        h[t + 1] = o * np.tanh(c[t + 1])
    y, back_dense = dense(p["dense"], h[-1])

    def back(grad):
        last, dh = back_dense(grad)
        dc = np.zeros_like(dh)
        dz = np.empty_like(z)
        for t in reversed(range(time)):
            i, f, g, o = np.split(z[t], 4, axis=-1)
            tanh_c = np.tanh(c[t + 1])
            dc = dc + dh * o * (1 - tanh_c * tanh_c)
            np.concatenate(
                [dc * g * i * (1 - i), dc * c[t] * f * (1 - f), dc * i * (1 - g * g), dh * tanh_c * o * (1 - o)],
                axis=-1,
                out=dz[t],
            )
            dh, dc = dz[t] @ q["recurrent_kernel"].T, dc * f
        flat = dz.reshape(-1, 4 * units)
        grads = {
            "kernel": inputs.reshape(time * batch, -1).T @ flat,
            "recurrent_kernel": h[:-1].reshape(-1, units).T @ flat,
            "bias": flat.sum(0),
        }
        return {"lstm": grads, "dense": last}

    return y, back


def layer_norm(p, x):
    centred = x - x.mean(-1, keepdims=True)
    deviation = 1 / np.sqrt((centred * centred).mean(-1, keepdims=True) + NORM_EPSILON)
    normal = centred * deviation

    def back(g):
        grads = {"gamma": (g * normal).sum((0, 1)), "beta": g.sum((0, 1))}
        g = g * p["gamma"]
        out = deviation * (g - g.mean(-1, keepdims=True) - normal * (g * normal).mean(-1, keepdims=True))
        return grads, out

    return normal * p["gamma"] + p["beta"], back


def gelu(x):
    a = np.float32(np.sqrt(2 / np.pi))
    t = np.tanh(a * (x + 0.044715 * x * x * x))
    return 0.5 * x * (1 + t), lambda g: g * (0.5 * (1 + t) + 0.5 * x * (1 - t * t) * a * (1 + 3 * 0.044715 * x * x))


def attention(p, x):
    batch, time, width = x.shape
    scale = np.float32((width // HEADS) ** -0.5)

    def flat(q):
        return {"kernel": q["kernel"].reshape(width, -1), "bias": q["bias"].reshape(-1)}

    def split(y):
        return y.reshape(batch, time, HEADS, -1).transpose(0, 2, 1, 3)

    def join(y):
        return y.transpose(0, 2, 1, 3).reshape(batch, time, -1)

    names = ("query", "key", "value")
    projected = [dense(flat(p[name]), x) for name in names]
    q, k, v = (split(y) for y, _ in projected)
    weights = (q * scale) @ k.transpose(0, 1, 3, 2)
    weights -= weights.max(-1, keepdims=True)
    np.exp(weights, out=weights)
    weights /= weights.sum(-1, keepdims=True)
    out = p["attention_output"]
    y, back_out = dense({"kernel": out["kernel"].reshape(-1, width), "bias": out["bias"]}, join(weights @ v))

    def back(g):
        grads = {}
        found, g = back_out(g)
        grads["attention_output"] = {"kernel": found["kernel"].reshape(out["kernel"].shape), "bias": found["bias"]}
        g = split(g)
        d_weights = g @ v.transpose(0, 1, 3, 2)
        d_scores = weights * (d_weights - (d_weights * weights).sum(-1, keepdims=True)) * scale
        shares = (d_scores @ k, d_scores.transpose(0, 1, 3, 2) @ q, weights.transpose(0, 1, 3, 2) @ g)
        total = np.float32(0)
        for name, share, (_, back_dense) in zip(names, shares, projected, strict=True):
            found, dx = back_dense(join(share))
            grads[name] = {part: found[part].reshape(p[name][part].shape) for part in found}
            total = total + dx
        return grads, total

    return y, back


def block(p, x):
    y, back_0 = layer_norm(p["norm_1"], x)
    y, back_1 = attention(p["attention"], y)
    x = x + y
    y, back_2 = layer_norm(p["norm_2"], x)
    y, back_3 = dense(p["up"], y)
    y, back_4 = gelu(y)
    y, back_5 = dense(p["down"], y)

    def back(g):
        grads = {}
        grads["down"], d = back_5(g)
        grads["up"], d = back_3(back_4(d))
        grads["norm_2"], d = back_2(d)
        g = g + d
        grads["attention"], d = back_1(g)
        grads["norm_1"], d = back_0(d)
        return grads, g + d

    return x + y, back


def transformer(p, state, x, rate, rng):
    tokens, table = x, p["embedding"]["embeddings"]
    x, back_0 = block(p["block_0"], table[tokens])
    x, back_1 = block(p["block_1"], x)
    x, back_2 = layer_norm(p["norm"], x)
    shape = x.shape
    y, back_3 = dense(p["dense"], x.mean(1))

    def back(g):
        grads = {}
        grads["dense"], g = back_3(g)
        grads["norm"], g = back_2(np.broadcast_to(g[:, None] / shape[1], shape))
        grads["block_1"], g = back_1(g)
        grads["block_0"], g = back_0(g)
        d_table = np.zeros_like(table)
        np.add.at(d_table, tokens, g)
        return grads | {"embedding": {"embeddings": d_table}}

    return y, back


NETWORKS = {"mlp": mlp, "cnn": cnn, "lstm": lstm, "transformer": transformer}


def leaves(tree, like):
    for name in like:
        yield from leaves(tree[name], like[name]) if isinstance(like[name], dict) else (tree[name],)


def copied(tree):
    return {k: copied(v) if isinstance(v, dict) else v.copy() for k, v in tree.items()}


def trainer(network, params, state, rate):
    params, state = copied(params), copied(state)
    forward, rng = NETWORKS[network], np.random.default_rng(0)
    moments = [(np.zeros_like(p), np.zeros_like(p)) for p in leaves(params, params)]
    count = 0

    def train(x, y):
        nonlocal count
        rows = np.arange(len(y))
        logits, back = forward(params, state, x, rate, rng)
        shifted = logits - logits.max(-1, keepdims=True)
        log_p = shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))
        loss = -log_p[rows, y].mean()
        g = np.exp(log_p)
        g[rows, y] -= 1
        grads = back(g / len(y))
        count += 1
        root = (1 - BETA_2**count) ** 0.5
        factor, small = LEARNING_RATE * root / (1 - BETA_1**count), EPSILON * root
        for p, g, (m, v) in zip(leaves(params, params), leaves(grads, params), moments, strict=True):
            m += (1 - BETA_1) * (g - m)
            v += (1 - BETA_2) * (g * g - v)
            p -= factor * m / (np.sqrt(v) + small)
        return loss

    def apply(x):
        return forward(params, state, x, rate, None)[0]

    return Trainer(lambda *xy: xy, lambda x: x, train, apply, list)


def build(network, params, state, rate, x, y):
    t = trainer(network, params, state, rate)
    return lambda: t.step(x, y), lambda: t.apply(x)
