"""The networks for images with weights of torchvision and timm, against these: logits, and loading without the top.

    python tests/torch_images.py                  # all rows; torchvision and timm must be installed
    python tests/torch_images.py VGG16 DenseNet121 vit_tiny_patch16_224

Weights are random, and written by safetensors. A row passes if our logits are at most 3 times as far from those of
PyTorch in float64 as its own in float32 are, and if that error is below 1e-4 of the logits: with more, the comparison
would say nothing. It needs the features to load from the same file, too. Folders of timm, as it writes them for
Hugging Face's Hub, pass by the same measure.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import timm
import torch
import torchvision
from safetensors.torch import save_file
from timm.models._hub import save_for_hf

import kfunc as kf

TIMES, MOST = 3.0, 1e-4
TORCHVISION, TIMM = torchvision.models.get_model, timm.create_model
INSIDE, OUTSIDE = "imagenet, inside", "imagenet, outside"
"""Pixels that the network here scales itself, and such that `preprocess_input` scales."""

ROWS = (
    ("DenseNet121", TORCHVISION, "densenet121", 64, OUTSIDE, {}),
    ("DenseNet169", TIMM, "densenet169", 65, OUTSIDE, {}),
    ("DenseNet201", TORCHVISION, "densenet201", 64, OUTSIDE, {}),
    ("ResNet18", TORCHVISION, "resnet18", 64, OUTSIDE, {}),
    ("ResNet34", TIMM, "resnet34", 65, OUTSIDE, {}),
    ("ResNet50", TORCHVISION, "resnet50", 64, OUTSIDE, {}),
    ("ResNet50", TIMM, "resnet50", 97, OUTSIDE, {"version": "1.5", "data_format": "channels_first"}),
    ("ResNet50", TORCHVISION, "resnext50_32x4d", 64, OUTSIDE, {"groups": 32, "width_per_group": 4}),
    ("ResNet50", TIMM, "wide_resnet50_2", 64, OUTSIDE, {"width_per_group": 128}),
    ("ResNet101", TIMM, "resnet101", 64, OUTSIDE, {}),
    ("ResNet152", TORCHVISION, "resnet152", 64, OUTSIDE, {}),
    ("VGG16", TORCHVISION, "vgg16", 224, OUTSIDE, {}),
    ("VGG19", TIMM, "vgg19", 224, OUTSIDE, {}),
    ("ConvNeXtTiny", TORCHVISION, "convnext_tiny", 64, INSIDE, {}),
    ("ConvNeXtSmall", TIMM, "convnext_small", 64, INSIDE, {}),
    *((f"EfficientNetB{n}", TIMM, f"tf_efficientnet_b{n}", 64 + n, INSIDE, {}) for n in range(4)),
    *((f"EfficientNetV2B{n}", TIMM, f"tf_efficientnetv2_b{n}", 64 + n, INSIDE, {}) for n in range(4)),
    ("EfficientNetV2S", TIMM, "tf_efficientnetv2_s", 64, "128", {}),
    ("MobileNetV3Large", TIMM, "tf_mobilenetv3_large_100", 64, "127.5", {}),
    ("MobileNetV3Small", TIMM, "tf_mobilenetv3_small_075", 65, "127.5", {"alpha": 0.75}),
    ("MobileNetV3Small", TIMM, "tf_mobilenetv3_small_minimal_100", 64, "127.5", {"minimalistic": True}),
)

FOLDERS = (
    *("resnet18", "resnext50_32x4d", "densenet121", "vgg16", "convnext_tiny", "efficientnet_b0", "efficientnet_b3"),
    *("efficientnetv2_s", "mobilenetv2_050", "mobilenetv2_140", "mobilenetv3_large_100", "mobilenetv3_small_075"),
    *("tf_efficientnet_b0", "tf_efficientnetv2_b3", "tf_mobilenetv3_large_075", "tf_mobilenetv3_small_minimal_100"),
    *("vit_tiny_patch16_224", "vit_small_patch32_224", "deit_tiny_patch16_224", "deit_tiny_distilled_patch16_224"),
)


def perturbed(net):
    """The network with other weights than it has at first. Each block adds little, so that numbers do not grow."""
    torch.manual_seed(0)
    net.eval()
    with torch.no_grad():
        for name, x in [*net.named_parameters(), *net.named_buffers()]:
            if not x.is_floating_point():
                continue
            if "running_var" in name:
                x.uniform_(0.8, 1.6)
            elif "running_mean" in name or name.endswith("bias"):
                x.normal_(0, 0.05)
            elif name.endswith(("gamma", "layer_scale")):
                x.uniform_(0.1, 0.3)
            elif x.ndim > 1:
                x.normal_(0, (1.6 / x[0].numel()) ** 0.5)
            else:
                x.uniform_(0.7, 1.0)
    return net


def scaled(x, pixels):
    """The images (batch, 3, height, width) as the network of PyTorch takes them."""
    if pixels in (INSIDE, OUTSIDE):
        return kf.models.preprocess_input(x / 1.0, "channels_first", "torch")
    return x / float(pixels) - 1.0


def check(row, folder):
    name, make, theirs, size, pixels, options = row
    net = perturbed(make(theirs))
    x = np.random.default_rng(0).uniform(0, 255, (2, size, size, 3)).astype("float32")
    given = torch.tensor(scaled(x.transpose(0, 3, 1, 2).astype("float64"), pixels))
    with torch.no_grad():
        exact = net.double()(given).numpy()
        rounded = net.float()(given.float()).numpy()
    path = Path(folder) / "model.safetensors"
    save_file({k: v.contiguous() for k, v in net.state_dict().items()}, path)
    first = options.get("data_format") == "channels_first"
    shape = (3, size, size) if first else (size, size, 3)
    constructor, options = getattr(kf.models, name), {"weights": path, "input_shape": shape, **options}
    model = constructor(classifier_activation=None, **options)
    features = constructor(include_top=False, **options)
    ours = kf.models.preprocess_input(x, mode="torch") if pixels == OUTSIDE else x
    ours = ours.transpose(0, 3, 1, 2) if first else ours
    got = model.predict(ours, verbose=0)
    assert features.predict(ours, verbose=0).ndim == 4
    own, found = (float(np.abs(y - exact).max() / np.abs(exact).max()) for y in (rounded, got))
    good = own <= MOST and found <= TIMES * own
    print(f"{name:17} {theirs:32} {found:.1e}, PyTorch {own:.1e} {'ok' if good else 'FAILED'}", flush=True)
    return good


def check_folder(architecture, folder):
    net = perturbed(timm.create_model(architecture, num_classes=7))
    size = 224 if architecture.startswith(("vit", "deit", "vgg")) else 65
    save_for_hf(net, folder, safe_serialization=True, model_config={"pretrained_cfg": {"input_size": (3, size, size)}})
    x = np.random.default_rng(0).standard_normal((2, size, size, 3), "float32")
    given = torch.tensor(x.transpose(0, 3, 1, 2))
    with torch.no_grad():
        rounded, exact = net(given).numpy(), net.double()(given.double()).numpy()
    net, params, state = kf.models.load(folder)
    got = net.apply(params, x, state=state)[0]
    got = got["logits"] if isinstance(got, dict) else got
    own, found = (float(np.abs(y - exact).max() / np.abs(exact).max()) for y in (rounded, got))
    good = own <= MOST and found <= TIMES * own
    print(
        f"folder            {architecture:32} {found:.1e}, PyTorch {own:.1e} {'ok' if good else 'FAILED'}", flush=True
    )
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="the networks; all by default")
    names = parser.parse_args().names
    rows = [row for row in ROWS if not names or row[0] in names]
    with tempfile.TemporaryDirectory() as folder:
        done = [check(row, folder) for row in rows]
        done += [check_folder(name, folder) for name in FOLDERS if not names or name in names]
    print(f"{sum(done)} of {len(done)} passed", flush=True)
    sys.exit(not all(done))


if __name__ == "__main__":
    main()
