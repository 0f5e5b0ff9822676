"""PyTorch: modules, `loss.backward()` and `torch.optim.Adam`, eager; images are channels-first."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from . import BETA_1, BETA_2, EPSILON, HEADS, LEARNING_RATE, MOMENTUM, NORM_EPSILON, Trainer


def fill(module, **values):
    with torch.no_grad():
        for name, value in values.items():
            getattr(module, name).copy_(torch.as_tensor(value))
    return module


def dense(p):
    return fill(nn.Linear(*p["kernel"].shape), weight=p["kernel"].T, bias=p["bias"])


def mlp(params, state, rate):
    return nn.Sequential(
        dense(params["dense"]), nn.ReLU(), dense(params["dense_1"]), nn.ReLU(), dense(params["dense_2"])
    )


def conv(p):
    kernel = p["kernel"].transpose(3, 2, 0, 1)
    return fill(nn.Conv2d(kernel.shape[1], kernel.shape[0], 3, padding="same"), weight=kernel, bias=p["bias"])


def cnn(params, state, rate):
    p = params["batch_normalization"]
    norm = nn.BatchNorm2d(len(p["gamma"]), NORM_EPSILON, 1 - MOMENTUM)
    last = params["dense"]["kernel"].reshape(2, 2, -1, 10).transpose(2, 0, 1, 3).reshape(-1, 10)
    return nn.Sequential(
        conv(params["conv2d"]),
        nn.ReLU(),
        fill(norm, weight=p["gamma"], bias=p["beta"]),
        nn.MaxPool2d(2),
        conv(params["conv2d_1"]),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(rate),
        dense({"kernel": last, "bias": params["dense"]["bias"]}),
    )


class Lstm(nn.Module):
    def __init__(self, params, state, rate):
        super().__init__()
        p = params["lstm"]
        inputs, units = p["kernel"].shape[0], p["recurrent_kernel"].shape[0]
        self.lstm = fill(
            nn.LSTM(inputs, units, batch_first=True),
            weight_ih_l0=p["kernel"].T,
            weight_hh_l0=p["recurrent_kernel"].T,
            bias_ih_l0=p["bias"],
            bias_hh_l0=0 * p["bias"],
        )
        # Torch has two biases that are added; the network has one.
        self.lstm.bias_hh_l0.requires_grad_(False)
        self.dense = dense(params["dense"])

    def forward(self, x):
        _, (h, _) = self.lstm(x)
        return self.dense(h[0])


def layer_norm(p):
    return fill(nn.LayerNorm(len(p["gamma"]), NORM_EPSILON), weight=p["gamma"], bias=p["beta"])


class Block(nn.Module):
    def __init__(self, p):
        super().__init__()
        q = p["attention"]
        width = q["query"]["kernel"].shape[0]
        self.norm_1, self.norm_2 = layer_norm(p["norm_1"]), layer_norm(p["norm_2"])
        parts = [q[name] for name in ("query", "key", "value")]
        self.attention = fill(
            nn.MultiheadAttention(width, HEADS, batch_first=True),
            in_proj_weight=torch.cat([torch.as_tensor(part["kernel"].reshape(width, -1).T) for part in parts]),
            in_proj_bias=torch.cat([torch.as_tensor(part["bias"].reshape(-1)) for part in parts]),
        )
        out = q["attention_output"]
        fill(self.attention.out_proj, weight=out["kernel"].reshape(-1, width).T, bias=out["bias"])
        self.up, self.down = dense(p["up"]), dense(p["down"])

    def forward(self, x):
        y = self.norm_1(x)
        x = x + self.attention(y, y, y, need_weights=False)[0]
        return x + self.down(F.gelu(self.up(self.norm_2(x)), approximate="tanh"))


class Transformer(nn.Module):
    def __init__(self, params, state, rate):
        super().__init__()
        table = params["embedding"]["embeddings"]
        self.embedding = fill(nn.Embedding(*table.shape), weight=table)
        self.blocks = nn.Sequential(Block(params["block_0"]), Block(params["block_1"]))
        self.norm, self.dense = layer_norm(params["norm"]), dense(params["dense"])

    def forward(self, x):
        return self.dense(self.norm(self.blocks(self.embedding(x))).mean(1))


NETWORKS = {"mlp": mlp, "cnn": cnn, "lstm": Lstm, "transformer": Transformer}


def trainer(network, params, state, rate):
    module = NETWORKS[network](params, state, rate)
    optimizer = torch.optim.Adam(module.parameters(), LEARNING_RATE, (BETA_1, BETA_2), EPSILON)

    def train(x, y):
        if not module.training:
            module.train()
        optimizer.zero_grad()
        loss = F.cross_entropy(module(x), y)
        loss.backward()
        optimizer.step()
        return loss.detach()

    def apply(x):
        if module.training:
            module.eval()
        with torch.inference_mode():
            return module(x)

    def prepare(x, y):
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if network == "cnn" else x, y.astype(np.int64)

    return Trainer(prepare, torch.from_numpy, train, apply, lambda outputs: [x.numpy() for x in outputs])


def build(network, params, state, rate, x, y):
    t = trainer(network, params, state, rate)
    x, y = (t.put(a) for a in t.prepare(x, y))
    return lambda: t.step(x, y), lambda: t.apply(x)
