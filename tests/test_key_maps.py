"""Key maps: networks of PyTorch, loaded into networks of kfunc, give the same outputs, and their tensors back."""

from __future__ import annotations

import numpy as np
import pytest

import kfunc as kf
from kfunc import nn
from kfunc.interop import KeyMap, keymap

torch = pytest.importorskip("torch")

LINEAR, CONV = "o i -> i o", "o i h w -> h w i o"


def both(weight, bias, form=LINEAR):
    """Rules of a layer with a kernel and a bias: names there and the path here."""
    return [(f"{weight}.weight", f"{bias}/kernel", form), (f"{weight}.bias", f"{bias}/bias")]


def norm(theirs, ours):
    return [
        (f"{theirs}.weight", f"{ours}/gamma"),
        (f"{theirs}.bias", f"{ours}/beta"),
        (f"{theirs}.running_mean", f"{ours}/moving_mean"),
        (f"{theirs}.running_var", f"{ours}/moving_variance"),
    ]


class Attention(torch.nn.Module):
    """Torch's own attention over one input, which is batch first."""

    def __init__(self):
        super().__init__()
        self.attention = torch.nn.MultiheadAttention(12, 3, batch_first=True)

    def forward(self, x):
        return self.attention(x, x, x, need_weights=False)[0]


class Grouped(torch.nn.Module):
    """Attention in which two heads share a key and a value, and one matrix makes queries, keys and values."""

    def __init__(self):
        super().__init__()
        self.qkv = torch.nn.Linear(12, (4 + 2 + 2) * 3)
        self.out = torch.nn.Linear(12, 12)

    def forward(self, x):
        q, k, v = self.qkv(x).unflatten(-1, (8, 3)).transpose(1, 2).split([4, 2, 2], 1)
        k, v = (y.repeat_interleave(2, 1) for y in (k, v))
        y = torch.nn.functional.scaled_dot_product_attention(q, k, v)
        return self.out(y.transpose(1, 2).flatten(2))


class Tied(torch.nn.Module):
    """A table that also is the last layer, as in language models; its checkpoint has both names."""

    def __init__(self):
        super().__init__()
        self.table = torch.nn.Embedding(11, 4)
        self.head = torch.nn.Linear(4, 11, bias=False)
        self.head.weight = self.table.weight

    def forward(self, x):
        return self.head(self.table(x))


@nn.layer
class TiedHere(nn.Layer):
    table: nn.Layer = nn.ReversibleEmbedding(11, 4)

    def forward(self, s, x):
        return self.table(s, self.table(s, x), reverse=True)


@nn.layer
class AttentionHere(nn.Layer):
    attention: nn.Layer = nn.MultiHeadAttention(3, 4)

    def forward(self, s, x):
        return self.attention(s, x, x)


def convolutions():
    theirs = torch.nn.Sequential(
        torch.nn.Conv2d(3, 6, 3),
        torch.nn.BatchNorm2d(6, eps=1e-3),
        torch.nn.Conv2d(6, 12, 3, groups=6),
        torch.nn.Flatten(),
        torch.nn.Linear(12 * 4 * 4, 5),
    )
    ours = nn.Sequential(
        [
            nn.Conv2D(6, 3, name="first"),
            nn.BatchNormalization(name="norm"),
            nn.DepthwiseConv2D(3, depth_multiplier=2, name="depth"),
            nn.Flatten(),
            nn.Dense(5, name="head"),
        ]
    )
    rules = [*both("0", "first", CONV), *norm("1", "norm"), *both("2", "depth", "(c m) 1 h w -> h w c m")]
    rules += both("4", "head", "o (f y x) -> (y x f) o")
    return theirs, ours, KeyMap(rules, [r".*\.num_batches_tracked"], y=4, x=4), "nchw"


def attention():
    parts = ("query", "key", "value")
    rules = [
        ("attention.in_proj_weight", tuple(f"attention/{p}/kernel" for p in parts), "(s h d) i -> s i h d"),
        ("attention.in_proj_bias", tuple(f"attention/{p}/bias" for p in parts), "(s h d) -> s h d"),
        ("attention.out_proj.weight", "attention/attention_output/kernel", "o (h d) -> h d o"),
        ("attention.out_proj.bias", "attention/attention_output/bias"),
    ]
    return Attention(), AttentionHere(), KeyMap(rules), "floats"


def grouped():
    """Parts of a fused tensor that have different sizes."""
    parts = ("query", "key", "value")
    rules = [
        ("qkv.weight", tuple(f"attention/{p}/kernel" for p in parts), "(h+ d) i -> i h d"),
        ("qkv.bias", tuple(f"attention/{p}/bias" for p in parts), "(h+ d) -> h d"),
        ("out.weight", "attention/attention_output/kernel", "o (h d) -> h d o"),
        ("out.bias", "attention/attention_output/bias"),
    ]
    return Grouped(), AttentionHere(nn.GroupQueryAttention(3, 4, 2)), KeyMap(rules), "floats"


def stacked():
    theirs = torch.nn.Sequential(
        *[torch.nn.Sequential(torch.nn.Linear(12, 12), torch.nn.LayerNorm(12, eps=1e-3)) for _ in range(11)]
    )
    ours = nn.Stack(nn.Sequential([nn.Dense(12, name="dense"), nn.LayerNormalization(name="norm")]), 11)
    rules = [
        ("{n}.0.weight", "layer/dense/kernel", "o i -> n i o"),
        ("{n}.0.bias", "layer/dense/bias", "o -> n o"),
        ("{n}.1.weight", "layer/norm/gamma", "o -> n o"),
        ("{n}.1.bias", "layer/norm/beta", "o -> n o"),
    ]
    return theirs, ours, KeyMap(rules), "floats"


def lacking():
    """Torch's layers without biases, and ours with: zeros, for many paths."""
    theirs = torch.nn.Sequential(*[torch.nn.Linear(12, 12, bias=False) for _ in range(2)])
    ours = nn.Sequential([nn.Dense(12, name=str(i)) for i in range(2)])
    return theirs, ours, KeyMap([("{i}.weight", "{i}/kernel", LINEAR), (None, "{i}/bias")]), "floats"


def recurrent():
    theirs = torch.nn.LSTM(12, 5, bias=False, batch_first=True)
    rules = [("weight_ih_l0", "kernel", LINEAR), ("weight_hh_l0", "recurrent_kernel", LINEAR)]
    return theirs, nn.LSTM(5, use_bias=False, return_sequences=True), KeyMap(rules), "floats"


def biases():
    """An LSTM of PyTorch has two biases, which it adds."""
    theirs = torch.nn.LSTM(12, 5, num_layers=2, batch_first=True)
    ours = nn.Sequential([nn.LSTM(5, return_sequences=True, name=f"l{i}") for i in range(2)])
    rules = [
        ("weight_ih_l{i}", "l{i}/kernel", LINEAR),
        ("weight_hh_l{i}", "l{i}/recurrent_kernel", LINEAR),
        ("bias_ih_l{i} + bias_hh_l{i}", "l{i}/bias"),
    ]
    return theirs, ours, KeyMap(rules), "floats"


def tied():
    rules = [(("table.weight", "head.weight"), "table/embeddings")]
    return Tied(), TiedHere(), KeyMap(rules), "integers"


ROWS = {f.__name__: f for f in (convolutions, attention, grouped, stacked, lacking, recurrent, biases, tied)}


def inputs(kind):
    r = np.random.default_rng(0)
    if kind == "nchw":
        x = r.normal(size=(2, 3, 8, 8)).astype("float32")
        return x, x.transpose(0, 2, 3, 1)
    x = r.integers(0, 11, (2, 7)) if kind == "integers" else r.normal(size=(2, 7, 12)).astype("float32")
    return x, x.astype("int32") if kind == "integers" else x


def row(name):
    """A network of torch with weights that nothing shares, ours, the map, and the inputs of both."""
    torch.manual_seed(0)
    theirs, ours, keys, kind = ROWS[name]()
    theirs.eval()
    with torch.no_grad():
        for x in theirs.state_dict().values():
            if x.is_floating_point():
                x.copy_(0.1 + torch.rand(x.shape))
    return theirs, ours, keys, *inputs(kind)


@pytest.mark.parametrize("name", ROWS)
def test_outputs_are_torch_s_and_tensors_come_back(name, backend):
    theirs, ours, keys, x, x_ours = row(name)
    with torch.no_grad():
        want = theirs(torch.asarray(x))
    want = np.asarray(want[0] if isinstance(want, tuple) else want)
    tensors = {key: value.numpy() for key, value in theirs.state_dict().items()}
    if backend in ("openvino", "array_api_strict"):
        pytest.importorskip(backend)
    params, state = keys.load(tensors, ours, kf.Spec((None, *x_ours.shape[1:]), str(x_ours.dtype)), backend=backend)
    out, _ = ours.apply(params, kf.asarray(x_ours, backend=backend), state=state)
    np.testing.assert_allclose(kf.to_numpy(out), want, rtol=2e-5, atol=2e-5)
    back = keys.save(params, state)
    missing = {key for key in tensors if key not in back}
    assert missing == {key for key in tensors if "num_batches" in key or (name == "tied" and key == "head.weight")}
    if name == "biases":  # the first one is the sum, and the other one zeros
        for i in range(2):
            both = [f"bias_{n}_l{i}" for n in ("ih", "hh")]
            tensors |= {both[0]: tensors[both[0]] + tensors[both[1]], both[1]: np.zeros_like(tensors[both[1]])}
    for key, value in back.items():
        assert kf.backend_of(value).name == backend
        np.testing.assert_array_equal(kf.to_numpy(value), tensors[key])


def test_pairs_that_are_rotated():
    """Interleaved pairs become halves: a size that no shape tells."""
    x = np.arange(24, dtype="float32").reshape(12, 2)
    net = nn.EinsumDense("bi,ihd->bhd", (3, 4))
    keys = KeyMap([("w", "kernel", "(h d r) i -> i h (r d)")], r=2)
    params, _ = keys.load({"w": x}, net, kf.Spec((None, 2)))
    want = np.zeros((2, 3, 4), "float32")
    for head in range(3):
        for pair in range(2):
            for half in range(2):
                want[:, head, half * 2 + pair] = x[head * 4 + pair * 2 + half]
    np.testing.assert_array_equal(params["kernel"], want)
    np.testing.assert_array_equal(keys.save(params)["w"], x)


def test_parts_within_groups():
    """For each group two queries, a key and a value: the axis of the parts lies within others."""
    x = np.arange(3 * 4 * 2 * 5, dtype="float32").reshape(24, 5)
    net = nn.Parallel([nn.EinsumDense("bi,ihd->bhd", (n, 2)) for n in (6, 3, 3)])
    keys = KeyMap([("w", tuple(f"einsum_dense{n}/kernel" for n in ("", "_1", "_2")), "(g h+ d) i -> i (g h) d")], g=3)
    params, _ = keys.load({"w": x}, net, [kf.Spec((None, 5))] * 3)
    groups = x.reshape(3, 4, 2, 5).transpose(3, 0, 1, 2)
    np.testing.assert_array_equal(params["einsum_dense"]["kernel"], groups[:, :, :2].reshape(5, 6, 2))
    np.testing.assert_array_equal(params["einsum_dense_2"]["kernel"], groups[:, :, 3])
    np.testing.assert_array_equal(keys.save(params)["w"], x)


DENSE = nn.Sequential([nn.Dense(3, name="a"), nn.Dense(3, name="b")])
GOOD = {f"{n}.{k}": np.zeros((3, 3) if k == "weight" else 3, "float32") for n in "ab" for k in ("weight", "bias")}
RULES = [*both("a", "a"), *both("b", "b")]

UNFIT = {  # the tensors, the rules, and what the error says
    "unused": (GOOD | {"c.weight": GOOD["a.bias"]}, RULES, "c.weight: no rule has it"),
    "missing": ({k: v for k, v in GOOD.items() if k != "b.bias"}, RULES, "b/bias: no tensor is for it"),
    "shape": (GOOD | {"a.bias": np.zeros(4, "float32")}, RULES, r"a.bias: its shape is \(4,\), and \(3,\) is needed"),
    "form": (GOOD | {"a.weight": np.zeros((3, 4), "float32")}, RULES, r"a.weight: \(i\) cannot have the size"),
    "rank": (GOOD | {"a.weight": np.zeros(9, "float32")}, RULES, "a.weight: its shape is .* the form has 2 axes"),
    "kind": (
        GOOD | {"a.bias": np.zeros(3, "int64")},
        RULES,
        "a.bias: its dtype is int64, and float32 is needed",
    ),
    "complex": (
        GOOD | {"a.bias": np.zeros(3, "complex64")},
        RULES,
        "a.bias: its dtype is complex64, and float32 is needed",
    ),
    "packed": (
        GOOD | {"a.weight": np.zeros((3, 3), "uint8")},  # four bits a number, as in quantized checkpoints
        RULES,
        "a.weight: its dtype is uint8, and float32 is needed",
    ),
    "no array": (GOOD | {"a.bias": [0.0] * 3}, RULES, "a.bias: it is of the type list, and an array is needed"),
    "long number": (GOOD | {"l" + "9" * 5000: GOOD["a.bias"]}, [*RULES, ("l{i}", "l/{i}")], "9: no rule has it"),
    "two rules": (GOOD, [*RULES, ("{i}.bias", "{i}/bias"), ("a.bias", "a/bias")], "a.bias: two rules have it"),
    "two tensors": (GOOD | {"c": GOOD["a.bias"]}, [*RULES, ("c", "a/bias")], "a/bias: two rules have a tensor for it"),
    "no path": (GOOD | {"c": GOOD["a.bias"]}, [*RULES, ("c", "c/bias")], "c: the network has no c/bias"),
    "copies": (
        GOOD | {"c": np.ones(3, "float32")},
        [*RULES[:3], (("b.bias", "c"), "b/bias")],
        "b.bias, c: they are copies, and have different values",
    ),
    "parts": (
        GOOD | {"c": np.zeros(6, "float32")},
        [("c", ("a/kernel", "a/bias"), "(s o) -> s o"), *RULES[2:]],
        r"c: its parts have different shapes, \(3,\), \(3, 3\)",
    ),
    "too few parts": (
        GOOD | {"c": np.zeros((5, 3), "float32")},
        [("c", ("a/kernel", "b/kernel"), "o+ i -> i o"), *RULES[1::2]],
        r"c: its shape is \(5, 3\), and the parts make \(6, 3\)",
    ),
    "parts of other widths": (
        GOOD | {"c": np.zeros((6, 3), "float32")},
        [("c", ("a/kernel", "a/bias"), "o+ i -> i o"), *RULES[2:]],
        r"c: its shape is \(3,\), and the form has 2 axes",
    ),
    "half of a sum": (
        GOOD,
        [RULES[0], ("a.bias + c.bias", "a/bias"), *RULES[2:]],
        "a.bias: it is one of 2 tensors that are added, and others are missing",
    ),
    "size": (
        GOOD,
        [("a.weight", "a/kernel", "(o p) i -> i (o p)"), *RULES[1:]],
        r"the size of o is unknown: .* o=\.\.\.",
    ),
}


@pytest.mark.parametrize("name", UNFIT)
def test_tensors_that_do_not_fit(name):
    tensors, rules, words = UNFIT[name]
    with pytest.raises(kf.errors.ParamError, match=words):
        KeyMap(rules).load(tensors, DENSE, kf.Spec((None, 3)))


def test_all_faults_are_listed():
    tensors = {"x": np.zeros(3, "float32"), "a.bias": np.zeros(4, "float32")}
    with pytest.raises(kf.errors.ParamError) as error:
        KeyMap(RULES).load(tensors, DENSE, kf.Spec((None, 3)))
    for text in ("x: no rule has it", "a.bias: its shape", "a/kernel: no", "b/kernel: no", "b/bias: no"):
        assert text in str(error.value)


def test_a_stack_needs_all_of_its_numbers():
    theirs, ours, keys, _, x = row("stacked")
    tensors = {k.replace("10.", "12.", 1): v.numpy() for k, v in theirs.state_dict().items()}
    with pytest.raises(kf.errors.ParamError, match="their numbers are not 0 to 10"):
        keys.load(tensors, ours, kf.Spec((None, *x.shape[1:])))


UNSAVED = {
    "no rule": ({"a": {"kernel": 0, "other": 0}}, [("w", "a/kernel")], "a/other: no rule has it"),
    "not zero": ({"a": {"bias": 1}}, [(None, "a/bias")], "the checkpoint has no place for it, and it is not zero"),
    "two rules": ({"a": 0}, [("v", "a"), ("w", "a")], "a: two rules have it"),
    "one tensor twice": ({"a": 0, "b": 1}, [("w", "a"), ("w", "b")], "w: two rules have it"),
    "half": ({"a": {"q": 0}}, [("w", ("a/q", "a/k"), "(s i) -> s i")], "a/q, a/k: there is no a/k beside it"),
}


@pytest.mark.parametrize("name", UNSAVED)
def test_arrays_that_do_not_fit(name):
    params, rules, words = UNSAVED[name]
    with pytest.raises(kf.errors.ParamError, match=words):
        KeyMap(rules).save(kf.tree.map(lambda fill: np.full(3, fill, "float32"), params))


WRONG = {
    "parts": (("w",), "is not"),
    "text": ("wk", "is not"),
    "number": ((("w", 1), "k"), "is not a string"),
    "form": (("w", "k", ("o", "i")), "is not a string"),
    "no tensor": (((), "k"), "no name of a tensor"),
    "no path": (("w", None), "has no path"),
    "arrow": (("w", "k", "o i"), "without one arrow"),
    "brackets": (("w", "k", "(o i -> i o"), "brackets"),
    "names": (("w", "k", "o * -> * o"), "axes that are no names"),
    "sides": (("w", "k", "o i -> o"), "same axes on both sides"),
    "twice": (("w", "k", "o o -> o o"), "same axes on both sides"),
    "hole here": (("w", "k.{i}"), "stands in `ours` alone"),
    "hole there": (("w.{i}", "k"), "neither in `ours` nor an axis"),
    "holes": ((("w.{i}", "v.{j}"), "k.{i}"), "different holes"),
    "holes here": (("w.{i}", ("q.{i}", "k"), "(s o) -> s o"), "different holes"),
    "hole twice": (("w.{i}.{i}", "k.{i}"), "one hole twice"),
    "uncounted": (("w", ("q", "k"), "(s i) -> (s i)"), "no axis that counts them"),
    "zeros": ((None, "k", "o i -> i o"), "without a form"),
    "plus for one": (("w", "k", "o+ i -> i o"), "marks an axis by a plus"),
    "two plusses": (("w", ("q", "k"), "o+ i+ -> i o"), "marks an axis by a plus"),
    "plus on the right": (("w", ("q", "k"), "s o i -> s i+ o"), "axes that are no names"),
    "sum of a stack": (("a.{n} + b.{n}", "k", "o -> n o"), "stacks tensors, and has several names"),
}


@pytest.mark.parametrize("name", WRONG)
def test_rules_that_cannot_be_read(name):
    rule, words = WRONG[name]
    with pytest.raises(kf.errors.ArgumentError, match=words):
        KeyMap([rule])


SIZED = [("w", "k", "(h d) i -> i h d")]
ARGUMENTS = {  # further arguments of a KeyMap, and what the error says
    "zero": ({"h": 0}, "`h` must be a positive integer, got 0"),
    "negative": ({"h": -1}, "`h` must be a positive integer, got -1"),
    "float": ({"h": 2.0}, "`h` must be a positive integer, got 2.0"),
    "text": ({"h": "2"}, "`h` must be a positive integer, got '2'"),
    "not in a form": ({"x": 2}, "A size is given for `x`, and no form has that axis"),
    "one text": ({"ignore": "w.*"}, "`ignore` must be a list of regular expressions"),
    "no expression": ({"ignore": ["("]}, "`ignore` must be a list of regular expressions"),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_arguments_that_cannot_be_used(name):
    arguments, words = ARGUMENTS[name]
    with pytest.raises(kf.errors.ArgumentError, match=words):
        KeyMap(SIZED, **arguments)


@pytest.mark.parametrize("tensors", [[1], {1: np.zeros(3)}, None])
def test_tensors_without_names(tensors):
    with pytest.raises(kf.errors.ArgumentError, match="`tensors` must be a mapping from names to arrays"):
        KeyMap(RULES).load(tensors, DENSE, kf.Spec((None, 3)))


@nn.layer
class Counters(nn.Layer):
    """Integers, as `number` of them."""

    number: int = 1

    def forward(self, s, x):
        for i in range(self.number):
            s.state(f"count{i}", (2,), "zeros", dtype="int32")
        return x


@pytest.mark.parametrize("largest", [2**31 - 1, 2**31])
def test_integers_do_not_wrap(largest):
    keys, tensors = KeyMap([("n1{i}", "count{i}")]), {"n10": np.array([-(2**31), largest])}
    if largest < 2**31:
        _, state = keys.load(tensors, Counters(), kf.Spec((None, 2)))
        np.testing.assert_array_equal(state["count0"], tensors["n10"])
        return
    with pytest.raises(kf.errors.ParamError, match="n10: its dtype is int64, and its numbers are too large for int32"):
        keys.load(tensors, Counters(), kf.Spec((None, 2)))


@pytest.mark.parametrize("kind", ["tensors", "zeros"])
def test_a_name_is_compared_with_few_rules(kind, monkeypatch):
    """20000 rules of 20000 tensors must not mean 400 million comparisons."""
    compared, n = [], 200

    class Counted:
        def __init__(self, pattern):
            self.pattern = pattern

        def fullmatch(self, name):
            compared.append(name)
            return self.pattern.fullmatch(name)

    plain = keymap._pattern
    monkeypatch.setattr(keymap, "_pattern", lambda template: Counted(plain(template)))
    rules = [(f"n{i}" if kind == "tensors" else None, f"count{i}") for i in range(n)]
    keys = KeyMap(rules)
    tensors = {f"n{i}": np.full(2, i, "int32") for i in range(n if kind == "tensors" else 0)}
    params, state = keys.load(tensors, Counters(n), kf.Spec((None, 2)))
    assert keys.save(params, state).keys() == tensors.keys()
    assert 2 * n <= len(compared) <= 3 * n
