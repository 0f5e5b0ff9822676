"""Train a GAN on handwritten digits: two networks, two optimizers, one step of one's own, on any backend.

python examples/gan.py [--backend jax] [--epochs 40]
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
from digits import digits

import kfunc as kf
from kfunc import nn, optim

LATENT, BATCH = 16, 64
bce = kf.losses.BinaryCrossentropy(from_logits=True)


@nn.layer
class GAN(nn.Layer):
    """Both networks, whose parameters are `params["generator"]` and `params["discriminator"]`."""

    generator: nn.Layer
    discriminator: nn.Layer

    def forward(self, s, noise):
        return self.discriminator(s, self.generator(s, noise))


net = GAN(
    nn.Sequential([nn.Dense(128, activation="leaky_relu"), nn.Dense(64, activation="sigmoid")]),
    nn.Sequential([nn.Dense(128, activation="leaky_relu"), nn.Dropout(0.3), nn.Dense(1)]),
)
optimizers = {
    "generator": optim.adam(1e-3, beta_1=0.5),
    "discriminator": optim.adam(1e-3, beta_1=0.5),
}


def step(ts: kf.TrainState, batch):
    """One step of the discriminator, and one of the generator against it."""
    real, params = batch.x, ts.params
    # A key for this step: the same step draws the same numbers wherever it runs, and after a resume.
    keys = kf.random.split(kf.random.fold_in(ts.key, ts.step), 3)
    noise = kf.random.normal(keys[0], (real.shape[0], LATENT))
    fake, _ = net.generator.apply(params["generator"], noise)

    def judged(p, images, key):
        return net.discriminator.apply(p, images, key=key, train=True)[0]

    def mistakes(p):
        logits = judged(p, kf.ops.concatenate([real, fake]), keys[1])
        n = real.shape[0]
        return bce(kf.ops.ones_like(logits[:n]), logits[:n]) + bce(kf.ops.zeros_like(logits[n:]), logits[n:])

    def not_fooled(p):
        logits = judged(discriminator, net.generator.apply(p, noise)[0], keys[2])
        return bce(kf.ops.ones_like(logits), logits)

    discriminator, d_state, d_loss = updated("discriminator", mistakes, ts)
    generator, g_state, g_loss = updated("generator", not_fooled, ts)
    ts = ts._replace(
        params={"generator": generator, "discriminator": discriminator},
        opt_state={"generator": g_state, "discriminator": d_state},
    )
    return ts, {"d_loss": d_loss, "g_loss": g_loss}


def updated(name, loss, ts):
    """The network `name` after a step down its loss: parameters, optimizer state, and the loss before."""
    value, grads = kf.value_and_grad(loss)(ts.params[name])
    updates, opt_state = optimizers[name].update(grads, ts.opt_state[name], ts.params[name])
    return optim.apply_updates(ts.params[name], updates), opt_state, value


def samples(model, n, seed=1):
    """`n` images that the generator makes, (n, 64)."""
    noise = kf.random.normal(kf.random.key(seed), (n, LATENT))
    return net.generator.apply(kf.to_backend(model.train_state.params["generator"], "numpy"), noise)[0]


def distance(images, real):
    """How far images are from the nearest real one, on average."""
    return float(np.mean([np.min(np.linalg.norm(real - image, axis=-1)) for image in images]))


def main(backend="numpy", epochs=40, n=1437, verbose="auto"):
    real = digits()[0][0].reshape(-1, 64)[:n]
    model = kf.Model(net, step=step).build(kf.Spec((None, LATENT)))
    model.compile(optimizers)
    before = distance(samples(model, 100), real)
    history = model.fit(real, batch_size=BATCH, epochs=epochs, backend=backend, verbose=verbose)
    made = samples(model, 100)
    print(f"distance from the nearest digit: {before:.2f} before, {distance(made, real):.2f} after {epochs} epochs\n")
    for row in made[:6].reshape(6, 8, 8).transpose(1, 0, 2):
        print("  ".join("".join(" .:-=+*#%@"[int(v * 9.99)] * 2 for v in line) for line in row))
    return history.history


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", default="numpy", help="where to train")
    parser.add_argument("--epochs", type=int, default=40)
    try:
        main(**vars(parser.parse_args()))
    except kf.errors.BackendError as error:  # not installed, unknown, or cannot train: it says so, and what to do
        sys.exit(str(error))
