"""The networks of keras.applications, live and from files: arrays bit for bit, and outputs against float64.

    python tests/keras_applications.py                             # all 40, on all backends
    python tests/keras_applications.py --backend numpy torch -- ResNet50 VGG16
    python tests/keras_applications.py --whole                     # at their own image sizes, and not at 96 x 96

A network passes if `convert(model)` and `load(file)` give equal trees, and if on each backend the outputs are at most
twice as far from those of Keras in float64 as the outputs of Keras in float32 are. Keras computes on TensorFlow. The
weights are random, and the statistics of BatchNormalization and all biases are perturbed, since a layer whose numbers
are still 0 and 1 would hide that it got those of another. If Keras's own error is above 1e-4, the network fails, too:
then so much rounding is allowed that the comparison would say nothing.

Each network has a process of its own, since TensorFlow keeps memory of all that it has computed.
"""

from __future__ import annotations

import argparse
import gc
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import kfunc as kf
from kfunc.interop.keras import convert, load

BACKENDS = ("numpy", "torch", "jax", "tensorflow", "openvino")
SIZE = 96  # Xception and Inception need 75
TIMES = 2.0
MOST = 1e-4  # Keras's own error, relative to the outputs
GAINS = {"EfficientNetV2M": 0.9, "EfficientNetV2L": 0.85}
"""What the gammas of BatchNormalization are multiplied by. Untrained statistics normalize nothing: through these many
blocks numbers would grow until the last bits decide, and Keras's own error would be 0.5."""

NAMES = (
    *(f"ConvNeXt{size}" for size in ("Tiny", "Small", "Base", "Large", "XLarge")),
    *(f"DenseNet{n}" for n in (121, 169, 201)),
    *(f"EfficientNetB{n}" for n in range(8)),
    *(f"EfficientNetV2{size}" for size in ("B0", "B1", "B2", "B3", "S", "M", "L")),
    *("InceptionResNetV2", "InceptionV3", "MobileNet", "MobileNetV2", "MobileNetV3Large", "MobileNetV3Small"),
    *("NASNetLarge", "NASNetMobile", "ResNet50", "ResNet101", "ResNet152", "ResNet50V2", "ResNet101V2", "ResNet152V2"),
    *("VGG16", "VGG19", "Xception"),
)


def perturb(model, gain=1.0):
    """Give the variables of a model other values than they have at first, positive ones where they are variances.

    Gammas are multiplied by `gain`, too.
    """
    rng = np.random.default_rng(0)
    for v in model.variables:
        old = keras.ops.convert_to_numpy(v)
        if old.dtype.kind != "f":
            continue
        if "variance" in v.path:
            v.assign(old * rng.uniform(0.7, 1.4, old.shape).astype(old.dtype))
        else:
            new = old * rng.uniform(0.8, 1.2, old.shape) + 0.05 * rng.normal(size=old.shape) * (old.ndim < 2)
            v.assign(new * (gain if "gamma" in v.path else 1))
    for layer in model._flatten_layers():
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()


def made(name, size, dtype):
    """The network with logits, so that no softmax evens out what differs."""
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)
    try:
        shape = {} if size is None else {"input_shape": (size, size, 3)}
        return getattr(keras.applications, name)(weights=None, classifier_activation=None, **shape)
    finally:
        keras.config.set_floatx("float32")
        keras.config.set_dtype_policy("float32")


def equal(a, b):
    """Whether two trees have the same paths, and bits at each."""
    pairs = zip(kf.tree.leaves(a), kf.tree.leaves(b), strict=True)
    return kf.tree.paths(a) == kf.tree.paths(b) and all(
        x.dtype == y.dtype and np.array_equal(x.view("u1"), y.view("u1")) for x, y in pairs if x.ndim
    )


def distance(a, b):
    """The root of the mean of the squared differences."""
    return float(np.sqrt(np.mean(np.square(np.asarray(a, np.float64) - b))))


def check(name, backends, size, folder):
    """The lines that tell of one network, and whether it passes."""
    keras.utils.set_random_seed(1)
    model = made(name, size, "float32")
    perturb(model, GAINS.get(name, 1.0))
    size = model.input_shape[1]
    x = np.random.default_rng(1).uniform(0, 255, (2, size, size, 3)).astype(np.float32)
    theirs = keras.ops.convert_to_numpy(model(x, training=False))

    path = Path(folder) / "model.keras"
    model.save(path)
    start = time.perf_counter()
    ours = load(path)
    seconds = time.perf_counter() - start
    path.unlink()
    live = convert(model)
    same = equal([live.train_state.params, live.train_state.state], [ours.train_state.params, ours.train_state.state])
    del live

    wide = made(name, size, "float64")
    for v, w in zip(wide.variables, model.variables, strict=True):
        v.assign(keras.ops.convert_to_numpy(w))
    for layer in wide._flatten_layers():
        if hasattr(layer, "finalize_state"):
            layer.finalize_state()
    exact = keras.ops.convert_to_numpy(wide(x.astype(np.float64), training=False))
    del wide, model
    keras.backend.clear_session()
    gc.collect()

    bound = distance(theirs, exact)
    found = {b: distance(ours.predict(x, backend=b, verbose=0), exact) / bound for b in backends}
    relative = bound / float(np.sqrt(np.mean(np.square(exact))))
    good = same and relative <= MOST and all(times <= TIMES for times in found.values())
    line = " ".join([f"{name:18}", "ok" if good else "FAILED", *(f"{b} {times:.2f}" for b, times in found.items())])
    trees = "equal" if same else "DIFFER"
    return f"{line}; trees {trees}; Keras's relative error {relative:.1e}; loaded in {seconds:.2f} s", good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="the networks; all by default")
    parser.add_argument("--backend", nargs="+", default=BACKENDS, choices=BACKENDS)
    parser.add_argument("--whole", action="store_true", help="at their own image sizes")
    given = parser.parse_args()
    names = given.names or NAMES
    if len(names) == 1:
        with tempfile.TemporaryDirectory() as folder:
            line, good = check(names[0], given.backend, None if given.whole else SIZE, folder)
        print(line, flush=True)
        sys.exit(not good)
    options = ["--backend", *given.backend, *(["--whole"] if given.whole else [])]
    done = [subprocess.run([sys.executable, __file__, name, *options], check=False).returncode for name in names]
    print(f"{done.count(0)} of {len(names)} passed", flush=True)
    sys.exit(any(done))


if __name__ == "__main__":
    main()
