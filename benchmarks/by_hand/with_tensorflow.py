"""TensorFlow: `tf.function` over variables, with a tape and Adam written out."""

from __future__ import annotations

import math

import tensorflow as tf

from . import BETA_1, BETA_2, EPSILON, HEADS, LEARNING_RATE, MOMENTUM, NORM_EPSILON, Trainer


def dense(p, x):
    return tf.matmul(x, p["kernel"]) + p["bias"]


def mlp(p, state, x, rate, train):
    x = tf.nn.relu(dense(p["dense"], x))
    x = tf.nn.relu(dense(p["dense_1"], x))
    return dense(p["dense_2"], x)


def conv(p, x):
    return tf.nn.bias_add(tf.nn.conv2d(x, p["kernel"], 1, "SAME"), p["bias"])


def cnn(p, state, x, rate, train):
    x = tf.nn.relu(conv(p["conv2d"], x))
    norm, moving = p["batch_normalization"], state["batch_normalization"]
    mean, variance = moving["moving_mean"], moving["moving_variance"]
    if train:
        new_mean, new_variance = tf.nn.moments(x, [0, 1, 2])
        mean.assign_sub((1 - MOMENTUM) * (mean - new_mean))
        variance.assign_sub((1 - MOMENTUM) * (variance - new_variance))
        mean, variance = new_mean, new_variance
    x = tf.nn.batch_normalization(x, mean, variance, norm["beta"], norm["gamma"], NORM_EPSILON)
    x = tf.nn.max_pool2d(x, 2, 2, "VALID")
    x = tf.nn.max_pool2d(tf.nn.relu(conv(p["conv2d_1"], x)), 2, 2, "VALID")
    x = tf.reshape(x, [x.shape[0], -1])
    if train and rate:
        x = tf.nn.dropout(x, rate)
    return dense(p["dense"], x)


def lstm(p, state, x, rate, train):
    q = p["lstm"]
    z = tf.transpose(tf.matmul(x, q["kernel"]) + q["bias"], [1, 0, 2])
    recurrent = tf.convert_to_tensor(q["recurrent_kernel"])
    h = c = tf.zeros([x.shape[0], recurrent.shape[0]])
    inputs = tf.TensorArray(tf.float32, z.shape[0]).unstack(z)

    def step(t, h, c):
        i, f, g, o = tf.split(inputs.read(t) + tf.matmul(h, recurrent), 4, axis=-1)
        c = tf.sigmoid(f) * c + tf.sigmoid(i) * tf.tanh(g)
        return t + 1, tf.sigmoid(o) * tf.tanh(c), c

    _, h, _ = tf.while_loop(lambda t, *_: t < z.shape[0], step, (0, h, c), maximum_iterations=z.shape[0])
    return dense(p["dense"], h)


def layer_norm(p, x):
    mean, variance = tf.nn.moments(x, [-1], keepdims=True)
    return tf.nn.batch_normalization(x, mean, variance, p["beta"], p["gamma"], NORM_EPSILON)


def attention(p, x):
    width = x.shape[-1]

    def heads(q):
        y = tf.matmul(x, tf.reshape(q["kernel"], [width, -1])) + tf.reshape(q["bias"], [-1])
        return tf.transpose(tf.reshape(y, [*x.shape[:2], HEADS, -1]), [0, 2, 1, 3])

    q, k, v = (heads(p[name]) for name in ("query", "key", "value"))
    weights = tf.nn.softmax(tf.matmul(q * q.shape[-1] ** -0.5, k, transpose_b=True))
    y = tf.reshape(tf.transpose(tf.matmul(weights, v), [0, 2, 1, 3]), x.shape)
    out = p["attention_output"]
    return tf.matmul(y, tf.reshape(out["kernel"], [-1, width])) + out["bias"]


def transformer(p, state, x, rate, train):
    x = tf.gather(p["embedding"]["embeddings"], x)
    for name in ("block_0", "block_1"):
        q = p[name]
        x = x + attention(q["attention"], layer_norm(q["norm_1"], x))
        x = x + dense(q["down"], tf.nn.gelu(dense(q["up"], layer_norm(q["norm_2"], x)), approximate=True))
    return dense(p["dense"], tf.reduce_mean(layer_norm(p["norm"], x), 1))


NETWORKS = {"mlp": mlp, "cnn": cnn, "lstm": lstm, "transformer": transformer}


def trainer(network, params, state, rate):
    params, state = tf.nest.map_structure(tf.Variable, (params, state))
    forward, variables = NETWORKS[network], tf.nest.flatten(params)
    mu, nu = ([tf.Variable(tf.zeros_like(v)) for v in variables] for _ in range(2))
    count = tf.Variable(0.0)

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            logits = forward(params, state, x, rate, True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))
        count.assign_add(1.0)
        # 1 - beta**count without the cancellation, which shows in the losses after ten steps.
        unbias_1, unbias_2 = (-tf.math.expm1(count * math.log(beta)) for beta in (BETA_1, BETA_2))
        factor, small = LEARNING_RATE * tf.sqrt(unbias_2) / unbias_1, EPSILON * tf.sqrt(unbias_2)
        for v, m, n, g in zip(variables, mu, nu, tape.gradient(loss, variables), strict=True):
            g = tf.convert_to_tensor(g)
            m.assign_add((1 - BETA_1) * (g - m))
            n.assign_add((1 - BETA_2) * (g * g - n))
            v.assign_sub(factor * m / (tf.sqrt(n) + small))
        return loss

    @tf.function
    def apply(x):
        return forward(params, state, x, rate, False)

    return Trainer(lambda *xy: xy, tf.convert_to_tensor, step, apply, lambda outputs: [x.numpy() for x in outputs])


def build(network, params, state, rate, x, y):
    t, x, y = trainer(network, params, state, rate), tf.constant(x), tf.constant(y)
    return lambda: t.step(x, y), lambda: t.apply(x)
