"""The constructors of `kf.models` beside those of keras.applications: the same graph, and so the same outputs.

    python tests/keras_constructors.py                       # all 40, and further arguments of some
    python tests/keras_constructors.py ResNet50 MobileNetV2

A network passes if it is what `convert` makes of Keras's, down to each argument of each layer and the names of all; if
its parameters and state have the same paths, shapes and dtypes; and if Keras keeps them at the same places in files.
Nothing is computed: `keras_applications.py` compares the outputs of what `convert` makes with Keras.
"""

from __future__ import annotations

import argparse
import inspect
import json
import os
import sys

os.environ.setdefault("KERAS_BACKEND", "numpy")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
from keras_graphs import differences

import kfunc as kf
from kfunc.interop.keras import built

FEATURES = {"include_top": False}
FURTHER = (
    ("ConvNeXtTiny", {**FEATURES, "pooling": "avg"}),
    ("ConvNeXtTiny", {"include_preprocessing": False, "classifier_activation": None}),
    ("DenseNet121", {**FEATURES, "pooling": "max"}),
    ("EfficientNetB0", {**FEATURES, "input_shape": (65, 64, 1)}),
    ("EfficientNetV2B0", {"include_preprocessing": False}),
    ("EfficientNetV2B0", {"input_shape": (64, 64, 1)}),
    ("EfficientNetV2S", {**FEATURES, "pooling": "avg"}),
    ("InceptionResNetV2", {**FEATURES, "pooling": "avg"}),
    ("InceptionV3", {**FEATURES, "pooling": "max"}),
    ("MobileNet", {"alpha": 0.25, "depth_multiplier": 2, "dropout": 0.5, "classes": 3, "input_shape": (96, 96, 3)}),
    ("MobileNet", {**FEATURES, "pooling": "avg"}),
    ("MobileNetV2", {"alpha": 1.4, "input_shape": (97, 64, 3)}),
    ("MobileNetV2", {**FEATURES, "alpha": 0.35, "pooling": "max"}),
    ("MobileNetV3Large", {"minimalistic": True, "dropout_rate": 0.0, "include_preprocessing": False}),
    ("MobileNetV3Small", {"alpha": 1.25, "input_shape": (64, 64, 3), "name": "small"}),
    ("MobileNetV3Small", {**FEATURES, "pooling": "avg"}),
    ("NASNetMobile", {**FEATURES, "pooling": "max", "input_shape": (65, 65, 3)}),
    ("ResNet50", {**FEATURES, "pooling": "max", "input_shape": (64, None, 3)}),
    ("ResNet50V2", {**FEATURES}),
    ("VGG16", {"classes": 7, "classifier_activation": "sigmoid", "input_shape": (64, 32, 3)}),
    ("VGG19", {**FEATURES, "pooling": "avg"}),
    ("Xception", {**FEATURES, "pooling": "avg"}),
)


def names():
    """All constructors of Keras."""
    return [name for name, value in vars(keras.applications).items() if inspect.isfunction(value)]


def check(name, options):
    """Whether a network passes; its lines are printed."""
    keras.backend.clear_session()  # or layers without names would have other numbers
    model = getattr(keras.applications, name)(weights=None, **options)
    theirs = built(json.loads(model.to_json()))
    del model
    found = differences(getattr(kf.models, name)(**options).net, theirs)
    shown = ", ".join(f"{k}={v!r}" for k, v in options.items())
    print(f"{name}({shown})", "FAILED: " + "; ".join(found) if found else "ok", flush=True)
    return not found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="the networks; all by default")
    given = parser.parse_args().names or names()
    rows = [(name, {}) for name in given] + [row for row in FURTHER if row[0] in given]
    passed = sum(check(*row) for row in rows)
    print(f"{passed} of {len(rows)} passed", flush=True)
    sys.exit(passed < len(rows))


if __name__ == "__main__":
    main()
