"""Networks as modules of PyTorch, and modules of PyTorch as layers. PyTorch is the oracle, in float64."""

from __future__ import annotations

import copy
import functools
import io
import threading
import warnings

import numpy as np
import pytest
from backends import BACKENDS

import kfunc as kf
from kfunc import nn
from kfunc.errors import ArgumentError, MissingKeyError, ShapeError, UnsupportedError

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch
TOLERANCE = {"rtol": 1e-12, "atol": 1e-12}  # float64: 4,000 eps, for sums of some hundred numbers in another order


def double(tree):
    return kf.tree.map(lambda x: x.double() if x.is_floating_point() else x, tree)


def close(a, b):
    assert kf.tree.structure(a) == kf.tree.structure(b)
    for x, y in zip(kf.tree.leaves(a), kf.tree.leaves(b), strict=True):
        torch.testing.assert_close(x.detach(), y.detach(), **TOLERANCE)


def normal(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape))


# -- modules of PyTorch as layers --------------------------------------------------------------------------------------


class Tied(torch.nn.Module):
    """Shared weights, a buffer that is replaced, a plain tensor, outputs in a dict."""

    def __init__(self):
        super().__init__()
        self.a, self.b = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)
        self.b.weight = self.a.weight
        self.register_buffer("calls", torch.zeros(()))
        self.shift = torch.ones(4)

    def forward(self, x, y=None, *, scale=1.0):
        self.calls = self.calls + 1
        return {"a": self.a(x) * scale + self.shift, "rest": [self.b(x if y is None else y), None]}


class Frozen(torch.nn.Module):
    """A part that requires no gradient."""

    def __init__(self):
        super().__init__()
        self.base, self.head = torch.nn.Linear(4, 5), torch.nn.Linear(5, 2)
        self.base.requires_grad_(False)

    def forward(self, x):
        return self.head(torch.tanh(self.base(x)))


def torch_net():
    return torch.nn.Sequential(torch.nn.Conv1d(4, 6, 3), torch.nn.BatchNorm1d(6), torch.nn.GELU(), torch.nn.Flatten())


def called(norm):
    """A module with a norm of PyTorch's old kind, after a call, which leaves tensors with a gradient in attributes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        module = norm(torch.nn.Linear(4, 3))
    module(torch.ones(5, 4))
    return module


class Keeping(torch.nn.Module):
    """An attribute that depends on a parameter."""

    def __init__(self):
        super().__init__()
        self.w = torch.nn.Parameter(torch.ones(4))
        self.twice = 2 * self.w


MODULES = {
    "linear": (lambda: torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Tanh(), torch.nn.Linear(3, 2)), (5, 4)),
    "convolution": (torch_net, (5, 4, 8)),
    "lstm": (lambda: torch.nn.LSTM(4, 3, num_layers=2, batch_first=True), (5, 6, 4)),
    "attention": (lambda: torch.nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0, batch_first=True), (5, 6, 4)),
    "weight norm": (lambda: torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(4, 3)), (5, 4)),
    "spectral norm": (lambda: torch.nn.utils.parametrizations.spectral_norm(torch.nn.Linear(4, 3)), (5, 4)),
    "weight norm by hooks": (lambda: called(torch.nn.utils.weight_norm), (5, 4)),
    "spectral norm by hooks": (lambda: called(torch.nn.utils.spectral_norm), (5, 4)),
    "tied": (Tied, (5, 4)),
    "frozen": (Frozen, (5, 4)),
}


def wrapped(name):
    """A module in float64, the layer, and its trees; its values are no constants, as those of norms are at first."""
    make, shape = MODULES[name]
    torch.manual_seed(1)
    module = make().double()
    if hasattr(module, "shift"):
        module.shift = module.shift.double()
    layer = nn.TorchModuleWrapper(module)
    params, state = layer.init(0, kf.Spec((None, *shape[1:]), "float64"), backend="torch")
    return module, layer, params, state, normal(*shape)


def total(out):
    return sum((x.square() * w).sum() for w, x in enumerate(kf.tree.leaves(out), 1))


def named(module, tensors):
    """A tree like that of the layer, from a function of the module's tensors by name."""
    found = {}
    for name, x in tensors.items():
        *path, last = name.split(".")
        inner = found
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = x
    return found


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", MODULES)
def test_a_module_as_a_layer(name, train):
    """Outputs, new buffers and gradients are those of the module, whose own tensors stay as they are."""
    module, layer, params, state, x = wrapped(name)
    before, given = copy.deepcopy(module.state_dict()), kf.tree.map(torch.clone, (params, state))
    out, new = layer.apply(params, x, state=state, train=train)
    gradients = kf.grad(lambda p: total(layer.apply(p, x, state=state, train=train)[0]))(params)
    assert all(torch.equal(module.state_dict()[k], v) for k, v in before.items())
    assert all(map(torch.equal, kf.tree.leaves((params, state)), kf.tree.leaves(given)))

    module.train(train)
    wanted = module(x)
    trained = {n: p for n, p in module.named_parameters() if p.requires_grad}
    slopes = dict(zip(trained, torch.autograd.grad(total(wanted), trained.values()), strict=True))
    close(out, wanted)
    close(gradients, named(module, slopes))
    fixed = {n: p for n, p in module.named_parameters() if not p.requires_grad}
    close(new, named(module, fixed | dict(module.named_buffers())))


@pytest.mark.parametrize("name", MODULES)
def test_shapes_of_a_module(name):
    """The trace knows the shapes with an unknown batch, and computes nothing."""
    _, layer, params, state, x = wrapped(name)
    out, _ = layer.apply(params, x, state=state)
    found = layer.trace(kf.Spec((None, *x.shape[1:]), "float64")).outputs[-1][2]
    sizes = kf.tree.map(lambda s: tuple(len(x) if n is None else n for n in s.shape), found)
    assert sizes == kf.tree.map(lambda y: tuple(y.shape), out)
    assert all(None in s.shape for s in kf.tree.leaves(found))


def test_sizes_that_a_module_refuses():
    """Where sizes are not known, several are tried: a table of 16 positions does not fit to 96 steps."""

    class Positions(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.table = torch.nn.Parameter(torch.zeros(16, 4))

        def forward(self, x):
            return x + self.table[: x.shape[1]]

    layer = nn.TorchModuleWrapper(Positions())
    assert layer.trace(kf.Spec((None, None, 4))).outputs[-1][2].shape == (None, None, 4)
    with pytest.raises(ShapeError, match="Positions cannot be run on inputs of shape"):
        layer.trace(kf.Spec((None, 17, 4)))
    given = nn.TorchModuleWrapper(Positions(), "positions", (None, 17, 4))
    assert given.name == "positions"
    assert given.trace(kf.Spec((None, 17, 4))).outputs[-1][2].shape == (None, 17, 4)


DRAWING = {
    "dropout": lambda: torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Dropout(0.5)),
    "attention": lambda: torch.nn.TransformerEncoderLayer(4, 2, 8, dropout=0.3, batch_first=True),
    "function": lambda: Function(lambda x: torch.nn.functional.dropout(x, 0.5)),
    "noise": lambda: Function(lambda x: x + torch.randn_like(x)),
}


class Function(torch.nn.Module):
    def __init__(self, fun, times=1):
        super().__init__()
        self.fun, self.times = fun, times

    def forward(self, x):
        return self.fun(x) if self.times == 1 else [self.fun(x) for _ in range(self.times)]


def draws_from_its_key(apply):
    """Check that random numbers depend on the key alone, and that PyTorch's own generator stays where it is."""
    torch.manual_seed(7)
    a, b, c = (apply(key=key)[0] for key in (1, 1, 2))
    drawn = torch.rand(3)
    assert torch.equal(a, b) and not torch.equal(a, c)
    torch.manual_seed(7)
    assert torch.equal(drawn, torch.rand(3))
    with pytest.raises(MissingKeyError, match="module in TorchModuleWrapper draws random numbers"):
        apply()


@pytest.mark.parametrize("traced", [True, False])
@pytest.mark.parametrize("name", DRAWING)
def test_random_numbers_of_a_module(name, traced):
    """They depend on the key alone. PyTorch's own generator stays where it is."""
    net = nn.Sequential([nn.TorchModuleWrapper(DRAWING[name]())])
    params, state = net.init(0, kf.Spec((None, 7, 4)), backend="torch")
    net = net if traced else copy.deepcopy(net)  # a copy has not seen any shapes
    x = normal(5, 7, 4).float()
    draws_from_its_key(functools.partial(net.apply, params, x, state=state, train=True))
    assert net.trace(kf.Spec((None, 7, 4))).draws is (name in ("function", "noise"))  # these draw in inference, too


class Writing(torch.nn.Module):
    """Writes into a parameter that requires no gradient, as MoCo does, or into one that does."""

    def __init__(self, write):
        super().__init__()
        self.q, self.k, self.write = torch.nn.Linear(4, 3), torch.nn.Linear(4, 3), write
        self.k.requires_grad_(False)

    def forward(self, x, noisy=False, writes=True):
        if writes:
            with torch.no_grad():
                self.write(self.q.weight, self.k.weight)
        y = self.q(x) + self.k(x)
        return y + torch.randn_like(y) if noisy else y


def _assign(q, k):
    k.data = 0.9 * k.data + 0.1 * q.data


WRITING = {
    "an average": lambda q, k: k.mul_(0.9).add_(q, alpha=0.1),
    "by data": lambda q, k: k.data.mul_(0.9).add_(q.data, alpha=0.1),
    "new data": _assign,
    "a list": lambda q, k: torch._foreach_mul_([k], 0.9),
    "out": lambda q, k: torch.add(k, q, out=k),
    "a part": lambda q, k: k[0].zero_(),
    "a parameter": lambda q, k: q.div_(q.norm()),
    "as values say": lambda q, k: k.zero_() if q.sum() < 1000 else None,  # no shapes tell
}


@pytest.mark.parametrize("traced", [True, False])
@pytest.mark.parametrize("name", WRITING)
def test_a_module_that_writes_into_its_parameters(name, traced):
    """The arrays that it was given stay as they are, also if the trace saw a call that does not write."""
    module = Writing(WRITING[name]).double()
    layer = nn.TorchModuleWrapper(module, output_shape=(None, 3) if name == "as values say" else None)
    x = normal(5, 4)
    params, state = layer.init(0, x, writes=False) if traced else kf.interop.torch.from_module(module)[1:]
    params, state = kf.tree.map(torch.clone, (params, state))
    before = kf.tree.map(torch.clone, (params, state))
    out, new = layer.apply(params, x, state=state)
    close((params, state), before)
    close(out, module(x))
    close(new["k"], named(module.k, dict(module.k.named_parameters())))


@pytest.mark.parametrize("traced", [True, False])
def test_random_numbers_that_an_option_asks_for(traced):
    """Where the trace saw a call that draws nothing, another call draws from its key, too."""
    layer = nn.TorchModuleWrapper(Writing(lambda q, k: None).double())
    x = normal(5, 4)
    params, state = layer.init(0, x) if traced else kf.interop.torch.from_module(layer.module)[1:]
    draws_from_its_key(functools.partial(layer.apply, params, x, state=state, noisy=True))
    close(layer.apply(params, x, state=state)[0], layer.module(x))


def test_the_same_key_draws_again_in_the_gradient():
    """`kf.checkpoint` runs the module a second time."""
    layer = nn.TorchModuleWrapper(DRAWING["dropout"]())
    params, state = layer.init(0, kf.Spec((None, 4)), backend="torch")
    x = normal(5, 4).float()

    def loss(p):
        return layer.apply(p, x, state=state, key=3, train=True)[0].square().sum()

    once, again = kf.grad(loss)(params), kf.grad(kf.checkpoint(loss))(params)
    assert all(map(torch.equal, kf.tree.leaves(once), kf.tree.leaves(again)))


@pytest.mark.parametrize("backend", [p for p in BACKENDS if p.values != ("torch",)])
def test_arrays_of_another_backend(backend):
    net = nn.Sequential([nn.Dense(4), nn.TorchModuleWrapper(torch.nn.Linear(4, 2), name="theirs")])
    params, state = net.init(0, kf.Spec((None, 3)), backend=backend)
    with pytest.raises(UnsupportedError, match=f"arrays of torch only, and got arrays of {backend}") as error:
        net.apply(params, kf.asarray(np.ones((2, 3), "float32"), backend=backend), state=state)
    assert error.value.path == "theirs"


def test_transforms_of_a_module():
    module, layer, params, state, x = wrapped("linear")

    def run(x):
        return layer.apply(params, x, state=state)[0]

    close(kf.vmap(run)(x), module(x))
    close(kf.jvp(run, (x,), (x,))[1], torch.func.jvp(module, (x,), (x,))[1])
    close(kf.vjp(run, x)[1](module(x))[0], torch.autograd.grad(module(x2 := x.clone().requires_grad_()), x2, run(x))[0])
    stacked = kf.tree.map(lambda p: torch.stack([p, 2 * p]), params)
    each = [layer.apply(kf.tree.map(lambda p, i=i: p[i], stacked), x, state=state)[0] for i in range(2)]
    close(kf.vmap(lambda p: layer.apply(p, x, state=state)[0])(stacked), torch.stack(each))


@pytest.mark.parametrize("train", [False, True])
def test_a_module_in_a_compiled_function(train):
    _, layer, params, state, x = wrapped("convolution")

    def run(params, state, x):
        return layer.apply(params, x, state=state, train=train)

    close(torch.compile(run, fullgraph=True, backend="eager")(params, state, x), run(params, state, x))


def test_dropout_in_transforms():
    """`torch.nn.Dropout` draws from the key by itself, in compiled and mapped functions, too."""
    module = DRAWING["dropout"]()
    layer = nn.TorchModuleWrapper(module)
    params, state = layer.init(0, kf.Spec((None, 4)), backend="torch")
    x, key = normal(5, 60, 4).float(), kf.random.key(3, backend="torch")

    def run(x, key):
        return layer.apply(params, x, state=state, key=key, train=True)[0]

    out, wanted = run(x, key), module[0](x)
    assert torch.equal(out[out != 0], 2 * wanted[out != 0])
    # 1,800 numbers, each kept with probability 1/2: a standard deviation of the mean is 0.012.
    assert abs((out != 0).double().mean() - 0.5) < 6 * 0.012
    assert torch.equal(torch.compile(run, fullgraph=True, backend="eager")(x, key), out)
    twice = nn.TorchModuleWrapper(Function(torch.nn.Dropout(0.5), times=2))
    a, b = twice.apply({}, x, key=key, train=True)[0]
    assert not torch.equal(a, b)
    keys = kf.random.split(key, 5)
    assert torch.equal(kf.vmap(run)(x, keys), torch.stack([run(*row) for row in zip(x, keys, strict=True)]))


def test_random_numbers_in_a_compiled_function():
    """Where they are PyTorch's own, a graph that may break is broken there, and one that may not is refused."""
    layer = nn.TorchModuleWrapper(DRAWING["function"]())
    params, state = layer.init(0, kf.Spec((None, 4)), backend="torch")
    x, key = normal(5, 4).float(), kf.random.key(3, backend="torch")

    def run(params, x, key):
        return 2 * layer.apply(params, 2 * x, state=state, key=key, train=True)[0]

    torch.testing.assert_close(torch.compile(run, backend="eager")(params, x, key), run(params, x, key))
    with pytest.raises(UnsupportedError, match="random numbers of a TorchModuleWrapper, but"):
        kf.jit(run, compile=True)(params, x, key)
    jitted = kf.jit(run)  # which runs what it cannot record
    for _ in range(3):
        torch.testing.assert_close(jitted(params, x, key), run(params, x, key))


def test_fit_trains_a_module_as_pytorch_does():
    """The same losses and weights as a loop by hand, in a Sequential and in a graph."""
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.BatchNorm1d(8), torch.nn.ReLU(), torch.nn.Linear(8, 1))
    x, y = normal(32, 4).float(), normal(32, 1, seed=1).float()
    inputs = nn.Input((4,))
    nets = nn.Sequential([nn.TorchModuleWrapper(module)]), nn.Graph(inputs, nn.TorchModuleWrapper(module)(inputs))
    models = [kf.Model(net) for net in nets]
    found = []
    for model in models:
        model.compile(kf.optim.SGD(0.1, momentum=0.9), "mse")
        found.append(model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0, backend="torch").history["loss"])
    optimizer, losses = torch.optim.SGD(module.parameters(), 0.1, momentum=0.9), []
    for _ in range(2):
        for i in range(0, 32, 8):
            optimizer.zero_grad()
            loss = (module(x[i : i + 8]) - y[i : i + 8]).square().mean()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    wanted = np.mean(np.reshape(losses, (2, 4)), axis=1)
    for history, model in zip(found, models, strict=True):
        # Float32: each of 8 steps adds some eps, and the steps after it amplify them.
        np.testing.assert_allclose(history, wanted, rtol=1e-5)
        np.testing.assert_allclose(model.predict(x, verbose=0), module.eval()(x).detach(), atol=1e-5)


def test_a_module_under_a_policy():
    """Its parameters and statistics stay in float32, and PyTorch's autocast decides what is computed in which dtype."""
    torch.manual_seed(0)
    module = torch_net()
    layer = nn.TorchModuleWrapper(module, dtype="mixed_bfloat16")
    params, state = layer.init(0, kf.Spec((None, 4, 8)), backend="torch")
    x = normal(5, 4, 8).float()
    out, new = layer.apply(params, x, state=state, train=True)
    with torch.autocast("cpu", torch.bfloat16):
        wanted = module(x.bfloat16())
    assert out.dtype is wanted.dtype is torch.bfloat16
    assert torch.equal(out, wanted) and torch.equal(new["1"]["running_mean"], module[1].running_mean)


MEETING = threading.Barrier(2, timeout=60)


class Meeting(torch.nn.Module):
    """Waits in training, until two threads are in it."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def forward(self, x):
        if self.training and type(x) is torch.Tensor:
            MEETING.wait()
        return x * self.scale


def test_threads_share_a_layer():
    layer = nn.TorchModuleWrapper(Meeting())
    layer.trace(kf.Spec((None, 4)))
    x, found = normal(5, 4), {}

    def run(scale):
        found[scale] = layer.apply({"scale": torch.tensor(scale)}, x, train=True)[0]

    threads = [threading.Thread(target=run, args=(scale,)) for scale in (2.0, 3.0)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for scale in (2.0, 3.0):
        close(found[scale], x * scale)


@kf.register("layer", "a module of test_torch_modules")
def made():
    return torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))


def test_files_of_modules(tmp_path):
    """A file holds the arrays. It can name what makes the module, and holds no module."""
    x = normal(5, 4).float()
    model = kf.Model(nn.TorchModuleWrapper(made)).build(kf.Spec((None, 4)), backend="torch")
    model.save(tmp_path / "model.kf")
    again = kf.Model.load(tmp_path / "model.kf")
    assert torch.equal(model.to("torch")(x), again.to("torch")(x))
    own = kf.Model(nn.TorchModuleWrapper(made())).build(kf.Spec((None, 4)), backend="torch")
    with pytest.raises(ArgumentError, match="Sequential"):
        own.save(tmp_path / "own.kf")
    own.save_weights(tmp_path / "own.safetensors")
    other = kf.Model(nn.TorchModuleWrapper(made())).build(kf.Spec((None, 4)), backend="torch")
    other.load_weights(tmp_path / "own.safetensors")
    assert torch.equal(own(x), other(x))


class Strange(torch.nn.Module):
    def forward(self, x):
        return torch.distributions.Normal(x, 1.0, validate_args=False)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: nn.TorchModuleWrapper(3), "`module` must be a torch.nn.Module"),
        (lambda: nn.TorchModuleWrapper(Keeping()), "The module Keeping cannot be copied: Only Tensors created"),
        (lambda: nn.TorchModuleWrapper(torch.jit.ScriptModule()), "`module` must be a module without parts"),
        (lambda: nn.TorchModuleWrapper(lambda: 3), "`module` must be a torch.nn.Module"),
        (lambda: nn.TorchModuleWrapper(torch.nn.Linear(4, 2), output_shape="a"), "`output_shape` must be a tuple"),
        (lambda: nn.TorchModuleWrapper(torch.nn.LazyLinear(3)), "'weight' of the module LazyLinear has no shape yet"),
        (lambda: nn.TorchModuleWrapper(torch.nn.ModuleDict({"a/b": torch.nn.Linear(4, 2)})), "without '/'"),
        (
            lambda: nn.TorchModuleWrapper(Strange()).trace(kf.Spec((None, 4))),
            "in TorchModuleWrapper returned a value of type Normal",
        ),
        (
            lambda: nn.TorchModuleWrapper(Function(lambda x: (x, 1))).trace(kf.Spec((None, 4))),
            "returned a value of type int, and no array",
        ),
        (lambda: nn.TorchModuleWrapper(torch.nn.Linear(3, 2)).trace(kf.Spec((None, 4))), "Linear cannot be run on"),
    ],
)
def test_refused_modules(make, words):
    with pytest.raises((ArgumentError, ShapeError), match=words) as error:
        make()
    assert error.value.fix or "must be" in words or "without" in words


# -- networks as modules of PyTorch ------------------------------------------------------------------------------------


def network(**options):
    layers = [nn.Conv2D(4, 3, name="conv"), nn.BatchNormalization(name="norm"), nn.ReLU(), nn.Flatten()]
    return nn.Sequential([*layers, nn.Dropout(0.5), nn.Dense(2, name="head", **options)])


@nn.layer
class Memory(nn.Layer):
    """Its gradient needs the state that the step overwrites."""

    def forward(self, s, x):
        scale, last = s.param("scale", x.shape[1:], "ones"), s.state("last", x.shape[1:], "ones")
        out = x + scale * last
        s.set("last", kf.stop_gradient(kf.namespace(x).mean(out, axis=0)))
        return out


NETWORKS = {
    "memory": (lambda: nn.Sequential([nn.Dense(4), Memory()]), (5, 3)),
    "convolution": (network, (5, 6, 6, 3)),
    "stateful": (lambda: nn.Sequential([nn.Dense(3), nn.LSTM(4, stateful=True)]), (5, 6, 3)),
    "attention": (
        lambda: nn.Sequential([nn.Masking(), nn.LSTM(4, return_sequences=True), nn.GlobalAveragePooling1D()]),
        (5, 6, 3),
    ),
    "frozen": (lambda: nn.Sequential([nn.Dense(4, trainable=False), nn.SpectralNormalization(nn.Dense(2))]), (5, 3)),
    "theirs": (lambda: nn.Sequential([nn.Dense(4), nn.TorchModuleWrapper(made)]), (5, 3)),
}


def as_module(name="convolution", **options):
    """(net, params, state, module, x) in float64; the module has tensors of its own."""
    make, shape = NETWORKS[name]
    net, x = make(**options), normal(*shape)
    params, state = double(net.init(0, x.float()))
    return net, params, state, kf.interop.torch.to_module(net, *kf.tree.map(torch.clone, (params, state))), x


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_as_a_module(name):
    """Outputs, gradients and new buffers are those of `apply`, over several steps of one of PyTorch's optimizers."""
    net, params, state, module, x = as_module(name)
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    for step in range(3):

        def loss(p, step=step, state=state):
            out, new = net.apply(p, x, state=state, key=step, train=True)
            return total(out), (out, new)

        (_, (wanted, state)), gradients = kf.value_and_grad(loss, has_aux=True)(params)
        params = kf.tree.map(lambda p, g: p - 0.1 * g, params, gradients)
        optimizer.zero_grad()
        out = module(x, key=step)
        total(out).backward()
        optimizer.step()
        close(out, wanted)
        close(kf.interop.torch.from_module(module)[1:], (params, state))
    module.eval()
    close(module(x), net.apply(params, x, state=state)[0])


def test_names_and_memory(tmp_path):
    """The names are those of a file of kfunc's, and tensors are shared with the trees."""
    net = network()
    params, state = net.init(0, kf.Spec((None, 6, 6, 3)), backend="torch")
    module = kf.interop.torch.to_module(net, params, state)
    kf.save(kf.to_backend(params, "numpy"), tmp_path / "params.safetensors")
    kf.save(kf.to_backend(state, "numpy"), tmp_path / "state.safetensors")
    for name, tensors in (("params", dict(module.named_parameters())), ("state", dict(module.named_buffers()))):
        assert tensors.keys() == kf.interop.Checkpoint(tmp_path / f"{name}.safetensors").keys()
    with torch.no_grad():
        module.head.kernel.add_(1)
    assert torch.equal(params["head"]["kernel"], module.head.kernel)
    found, trees = kf.interop.torch.from_module(module)[0], kf.interop.torch.from_module(module)[1:]
    assert found is net
    assert [x.data_ptr() for x in kf.tree.leaves(trees)] == [x.data_ptr() for x in kf.tree.leaves((params, state))]


def habit_seed(net, module, x):
    torch.manual_seed(0)
    a = module(x)
    torch.manual_seed(0)
    b, c = module(x), module(x)
    assert torch.equal(a, b) and not torch.equal(b, c)


def habit_deepcopy(net, module, x):
    other = copy.deepcopy(module).eval()
    assert torch.equal(other(x), module.eval()(x))
    other.head.bias.data.add_(1)
    assert not torch.equal(other(x), module(x))


def habit_pickle(net, module, x):
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    assert torch.equal(torch.load(file, weights_only=False).eval()(x), module.eval()(x))


def habit_state_dict(net, module, x):
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    other = kf.interop.torch.to_module(net, *double(net.init(1, x.float())))
    assert other.load_state_dict(torch.load(file, weights_only=True)).missing_keys == []
    assert torch.equal(other.eval()(x), module.eval()(x))
    with pytest.raises(RuntimeError, match="Missing key"):
        other.load_state_dict({})


def habit_to(net, module, x):
    module.to(torch.float32)
    assert module.eval()(x.float()).dtype is torch.float32
    assert {p.device.type for p in module.to("meta").parameters()} == {"meta"}


def habit_requires_grad(net, module, x):
    module.conv.requires_grad_(False)
    module(x).sum().backward()
    assert module.conv.kernel.grad is None and module.head.kernel.grad is not None


def habit_clip(net, module, x):
    module(x).sum().backward()
    torch.nn.utils.clip_grad_norm_(module.parameters(), 0.1)
    assert torch.stack([p.grad.norm() for p in module.parameters()]).norm() < 0.1001


def habit_functional_call(net, module, x):
    doubled = {name: 2 * p.detach() for name, p in module.named_parameters()}
    other = copy.deepcopy(module).eval()
    other.load_state_dict(doubled, strict=False)
    assert torch.equal(torch.func.functional_call(module.eval(), doubled, (x,)), other(x))


def habit_nested(net, module, x):
    outer = torch.nn.Sequential(module, torch.nn.Linear(2, 1).double()).eval()
    assert not module.training and "0.head.kernel" in outer.state_dict()
    assert outer(x).shape == (5, 1)


def habit_compile(net, module, x):
    plain = copy.deepcopy(module)
    compiled = torch.compile(module, fullgraph=True, backend="eager")
    for _ in range(2):
        torch.manual_seed(0)
        wanted = plain(x)
        torch.manual_seed(0)
        out = compiled(x)
        close(out, wanted)
    for each in (out, wanted):
        each.sum().backward()
    close([p.grad for p in module.parameters()], [p.grad for p in plain.parameters()])
    close(list(module.buffers()), list(plain.buffers()))
    close(compiled.eval()(x), plain.eval()(x))


def habit_data_parallel(net, module, x):
    import torch.distributed as dist

    store = dist.HashStore()
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        parallel = torch.nn.parallel.DistributedDataParallel(copy.deepcopy(module))
        torch.manual_seed(0)
        parallel(x).sum().backward()
    finally:
        dist.destroy_process_group()
    torch.manual_seed(0)
    module(x).sum().backward()
    close([p.grad for p in parallel.parameters()], [p.grad for p in module.parameters()])
    close(list(parallel.buffers()), list(module.buffers()))


def habit_part(net, module, x):
    assert "kernel: (64, 2)" in repr(module)
    module.norm.eval()
    with pytest.raises(ArgumentError, match="'norm' is in evaluation, and the module around it is in training"):
        module(x)


HABITS = {name[6:]: fun for name, fun in list(globals().items()) if name.startswith("habit_")}


@pytest.mark.parametrize("habit", HABITS)
def test_habits_of_pytorch(habit):
    net, _, _, module, x = as_module()
    HABITS[habit](net, module, x)


def test_losses_and_masks_of_a_module():
    net, params, state, module, x = as_module(kernel_regularizer="l2")
    with pytest.warns(UserWarning, match=r"losses of its own.*head/kernel"):
        module(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        module(x)
    _, aux = module(x, aux=True)
    close(aux.losses, net.apply(params, x, state=state, key=0, train=True, aux=True)[2].losses)
    mask = torch.ones(5, 6, dtype=torch.bool)
    masked = kf.interop.torch.to_module(nn.LSTM(2, return_sequences=True), *nn.LSTM(2).init(0, kf.Spec((5, 6, 3))))
    assert torch.equal(masked(normal(5, 6, 3).float(), mask=mask, aux=True)[1].mask, mask)


def test_keys_in_evaluation():
    """A network that draws in inference gets keys from PyTorch's generator, and others leave it alone."""

    @nn.layer
    class NoiseInEvaluation(nn.Layer):
        def forward(self, s, x):
            return x + kf.random.normal(s.key(), tuple(x.shape))

    x = normal(3).float()
    module = kf.interop.torch.to_module(NoiseInEvaluation(), {}).eval()
    torch.manual_seed(0)
    a, b = module(x), module(x)
    torch.manual_seed(0)
    assert torch.equal(a, module(x)) and torch.equal(b, module(x)) and not torch.equal(a, b)
    assert torch.equal(module(x, key=1), module(x, key=1))
    _, _, _, quiet, images = as_module()
    torch.manual_seed(0)
    quiet.eval()(images)
    drawn = torch.rand(2)
    torch.manual_seed(0)
    assert torch.equal(drawn, torch.rand(2))


def test_names_that_modules_have():
    net = nn.Sequential([nn.Dense(2, name=name) for name in ("train", "forward", "type", "_net")])
    params, _ = net.init(0, kf.Spec((None, 2)), backend="torch")
    module = kf.interop.torch.to_module(net, params)
    x = normal(3, 2).float()
    assert torch.equal(module.train().eval()(x), net.apply(params, x)[0])
    assert module.load_state_dict(module.state_dict()).unexpected_keys == []


def test_theirs_and_back():
    """A module goes through the layer, its trees and `to_module` back to its own names."""
    module, layer, params, state, x = wrapped("convolution")
    _, *trees = kf.interop.torch.from_module(module)
    assert trees[0]["0"]["weight"].data_ptr() == module[0].weight.data_ptr()
    close(trees, [params, state])
    tripled = kf.interop.torch.to_module(layer, kf.tree.map(lambda p: 3 * p, params), state)
    assert tripled.state_dict().keys() == module.state_dict().keys()
    module.load_state_dict(tripled.state_dict())
    close(module.eval()(x), tripled.eval()(x))


@pytest.mark.parametrize(
    ("run", "words"),
    [
        (lambda: kf.interop.torch.to_module(torch.nn.Linear(2, 2), {}), "`net` must be a layer"),
        (lambda: kf.interop.torch.to_module(nn.Dense(2), {"kernel": 3}), "`params` must be nested dicts of arrays"),
        (lambda: kf.interop.torch.to_module(nn.Dense(2), {"a.b": torch.ones(2)}), "cannot have the name 'a.b'"),
        (lambda: kf.interop.torch.from_module(nn.Dense(2)), "`module` must be a torch.nn.Module"),
    ],
)
def test_refused_networks(run, words):
    with pytest.raises(ArgumentError, match=words):
        run()
