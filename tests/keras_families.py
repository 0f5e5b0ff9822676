"""A member of each family of keras.applications: its config, and what Keras says to an image, kept in a file.

After a change of rows, run

    python tests/keras_families.py [ROW ...]

The weights follow from their numbers and shapes by `weight`, so that the file need not hold them. The file,
`keras_families.npz`, is the output of Keras (Apache-2.0) on images of our own. `keras_applications.py` has all 40,
from their own files.
"""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

import numpy as np
from oracle_file import OracleFile, digest

__all__ = ["FILE", "ROWS", "image", "weight"]

ROWS: dict[str, tuple[int, dict[str, float]]] = {
    "ConvNeXtTiny": (32, {}),
    "DenseNet121": (32, {}),
    "EfficientNetB0": (32, {}),
    "EfficientNetV2B0": (32, {}),
    "InceptionResNetV2": (75, {}),
    "InceptionV3": (75, {}),
    "MobileNet": (32, {"alpha": 0.25}),
    "MobileNetV2": (32, {"alpha": 0.35}),
    "MobileNetV3Small": (32, {}),
    "NASNetMobile": (32, {}),
    "ResNet50": (32, {}),
    "ResNet50V2": (32, {}),
    "VGG16": (32, {}),
    "Xception": (71, {}),
}
"""The smallest image that each takes, and further arguments."""

NAMES = list(ROWS)


def image(name):
    size = ROWS[name][0]
    return np.random.default_rng(size).uniform(0, 255, (1, size, size, 3)).astype(np.float32)


def weight(i, name, shape):
    """The value of variable `i`, in Keras's order, which has this name. Outputs stay as large as inputs are."""
    x = np.random.default_rng(i).random(shape, dtype=np.float32)
    if len(shape) < 2:
        return 0.1 * (x - 0.5) if name in ("bias", "beta", "mean", "moving_mean") else 0.8 + 0.4 * x
    fan_in = math.prod(shape[:2] if name == "depthwise_kernel" else shape[:-1])
    return (x - 0.5) * np.float32(math.sqrt(18 / fan_in))


def compute(i):
    """The config of row `i`, and what Keras says to the image in float64."""
    import keras

    name = NAMES[i]
    size, options = ROWS[name]
    outs, config = [], ""
    for dtype in ("float64", "float32"):
        keras.backend.clear_session()
        keras.config.set_floatx(dtype)
        keras.config.set_dtype_policy(dtype)
        model = getattr(keras.applications, name)(
            weights=None, classes=10, classifier_activation=None, input_shape=(size, size, 3), **options
        )
        for number, v in enumerate(model.weights):
            if v.name != "count":
                v.assign(weight(number, v.name, tuple(v.shape)))
        for layer in model.layers:
            if hasattr(layer, "finalize_state"):
                layer.finalize_state()
        outs.append(np.asarray(keras.ops.convert_to_numpy(model(image(name).astype(dtype), training=False))))
        config = model.to_json()
    keras.config.set_floatx("float32")
    keras.config.set_dtype_policy("float32")
    error = np.abs(outs[1] - outs[0]).max() / np.abs(outs[0]).max()
    print(f"{name}: {len(model.weights)} variables, relative error of Keras {error:.1e}", flush=True)
    assert error < 1e-4, "weights that make the network chaotic would let every result pass"
    return {"config": [np.frombuffer(config.encode(), np.uint8)], "exact": outs[:1]}


FILE = OracleFile(
    Path(__file__).with_name("keras_families.npz"), NAMES, NAMES, lambda i: digest(NAMES[i], ROWS[NAMES[i]]), compute
)

if __name__ == "__main__":
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    FILE.record(set(sys.argv[1:]))
