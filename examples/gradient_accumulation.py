"""Train on batches that would not fit in memory: the gradients of their parts, one after another, and one update.

python examples/gradient_accumulation.py [--backend jax] [--epochs 15]
"""

from __future__ import annotations

import argparse
import sys

from digits import digits

import kfunc as kf
from kfunc import nn, optim

BATCH, PARTS = 128, 4
crossentropy = kf.losses.SparseCategoricalCrossentropy(from_logits=True)
optimizer = optim.adam(3e-3, global_clipnorm=1.0)  # clips the mean of the gradients, and not each of them
net = nn.Sequential(
    [
        nn.Flatten(),
        nn.Dense(64, use_bias=False),
        nn.BatchNormalization(momentum=0.9),
        nn.Activation("relu"),
        nn.Dropout(0.2),
        nn.Dense(10),
    ]
)


def step(ts: kf.TrainState, batch):
    """One update by the mean gradient of `PARTS` parts of the batch."""
    key = kf.random.fold_in(ts.key, ts.step)  # the step's own, of which each part has one, for dropout
    parts = kf.tree.map(lambda a: kf.ops.reshape(a, (PARTS, -1, *a.shape[1:])), (batch.x, batch.y))
    keys = kf.random.split(key, PARTS)

    def add(carry, part):
        """The sums of gradients and losses, with those of one more part; the state goes from part to part."""
        grads, state, loss, right = carry
        (x, y), key = part

        def objective(params):
            logits, after = net.apply(params, x, state=state, key=key, train=True)
            return crossentropy(y, logits), (after, logits)

        (value, (state, logits)), new = kf.value_and_grad(objective, has_aux=True)(ts.params)
        hits = kf.ops.mean(kf.ops.cast(kf.ops.equal(kf.ops.argmax(logits, axis=-1), y), "float32"))
        return (kf.tree.map(lambda a, b: a + b, grads, new), state, loss + value, right + hits), None

    zeros = kf.tree.map(kf.ops.zeros_like, ts.params)
    zero = kf.ops.zeros_like(batch.x[0, 0, 0, 0])
    (grads, state, loss, right), _ = kf.scan(add, (zeros, ts.state, zero, zero), (parts, keys))
    updates, opt_state = optimizer.update(kf.tree.map(lambda g: g / PARTS, grads), ts.opt_state, ts.params)
    params = optim.apply_updates(ts.params, updates)
    return ts._replace(params=params, state=state, opt_state=opt_state), {
        "loss": loss / PARTS,
        "accuracy": right / PARTS,
    }


def main(backend="numpy", epochs=15, n=1408, verbose="auto"):
    (x, y), test = digits()
    n -= n % BATCH  # whole batches only: a part has a quarter of one
    model = kf.Model(net, step=step)
    model.compile(optimizer, crossentropy, metrics=["accuracy"])  # the loss and the metrics evaluate
    history = model.fit(x[:n], y[:n], BATCH, epochs=epochs, backend=backend, validation_data=test, verbose=verbose)
    last = {name: values[-1] for name, values in history.history.items()}
    print(f"\n{epochs} epochs of {n // BATCH} updates by {PARTS} gradients each, on {model.backend}:")
    print(f"training accuracy {last['accuracy']:.2%}, held-out accuracy {last['val_accuracy']:.2%}")
    return history.history


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", default="numpy", help="where to train")
    parser.add_argument("--epochs", type=int, default=15)
    try:
        main(**vars(parser.parse_args()))
    except kf.errors.BackendError as error:  # not installed, unknown, or cannot train: it says so, and what to do
        sys.exit(str(error))
