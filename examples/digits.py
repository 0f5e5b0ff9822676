"""Train a small convolutional network on handwritten digits, on plain NumPy, and switch it to every backend there is.

python examples/digits.py [--backend jax] [--epochs 12]
"""

from __future__ import annotations

import argparse
import os
import pathlib
import sys
import tempfile
import time

import numpy as np

import kfunc as kf
from kfunc import backends, nn

DATA = pathlib.Path(__file__).parent / "data" / "digits.safetensors"
BATCH = 32
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's log would drown the table
SERVING = ("numpy", "jax", "torch", "tensorflow", "openvino")


def digits():
    """Images (n, 8, 8, 1) in [0, 1] and labels (n,): four fifths to train on, and a fifth held out."""
    data = kf.load(DATA)
    x = data["images"].astype(np.float32)[..., None] / 16
    y = data["labels"].astype(np.int32)
    order = kf.random.permutation(kf.random.key(0), len(x))
    x, y = x[order], y[order]
    n = len(x) * 4 // 5
    return (x[:n], y[:n]), (x[n:], y[n:])


def network():
    return nn.Sequential(
        [
            nn.Conv2D(16, 3, padding="same", activation="relu"),
            nn.BatchNormalization(momentum=0.9),  # 540 steps are few for the default, 0.99
            nn.MaxPooling2D(),
            nn.Conv2D(32, 3, padding="same", activation="relu"),
            nn.MaxPooling2D(),
            nn.Flatten(),
            nn.Dropout(0.25),
            nn.Dense(10),
        ]
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", default="numpy", help="where to train")
    parser.add_argument("--epochs", type=int, default=12)
    arguments = parser.parse_args()

    (x, y), (x_test, y_test) = digits()
    model = kf.Model(network())
    loss = kf.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(kf.optim.adam(2e-3), loss, metrics=["accuracy"])
    begun = time.perf_counter()
    model.fit(x, y, BATCH, epochs=arguments.epochs, validation_data=(x_test, y_test), backend=arguments.backend)
    logs = model.evaluate(x_test, y_test, verbose=0, return_dict=True)
    seconds = time.perf_counter() - begun
    print(f"\ntrained on {model.backend} in {seconds:.1f} s: {logs['accuracy']:.2%} of {len(y_test)} held-out digits\n")

    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "digits.safetensors"
        model.save(path)
        model = kf.Model.load(path)

    reference = model.predict(x_test)
    print(f"{'backend':<12}{'version':<14}{'accuracy':>9}{'deviation':>11}{'ms a batch':>12}")
    for name in SERVING:
        if name not in backends.available():
            print(f"{name:<12}not installed: {backends.install_command(name)}")
            continue
        logits = model.to(name).predict(x_test)
        begun = time.perf_counter()
        model.predict(x_test, BATCH)
        milliseconds = (time.perf_counter() - begun) * 1e3 / -(-len(x_test) // BATCH)
        accuracy = np.mean(logits.argmax(axis=-1) == y_test)
        deviation = np.abs(logits - reference).max()
        print(f"{name:<12}{backends.get(name).version:<14}{accuracy:>9.2%}{deviation:>11.1e}{milliseconds:>12.2f}")


if __name__ == "__main__":
    try:
        main()
    except kf.errors.BackendError as error:  # not installed, unknown, or cannot train: it says so, and what to do
        sys.exit(str(error))
