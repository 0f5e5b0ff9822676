"""Layers in programs for any size: compilers give symbols for sizes, which code must not read as numbers."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import numpy as np
import pytest
from catalogue_oracle import IDS, ROWS, is_array, made, weights
from sampling import chosen

import kfunc as kf
from kfunc import nn


def one_batch(row):
    """Whether all arrays of a row are for one batch: then it can be made longer."""
    arrays = [a for a in kf.tree.leaves((row.args, row.options)) if is_array(a)]
    return all(a.ndim for a in arrays) and len({len(a) for a in arrays}) == 1


LAYERS = [i for i, row in enumerate(ROWS) if row.kind == "layer" and one_batch(row)]


class Case:
    """A row's layer as a function of arrays, with its weights, on batches of one and of three times its own."""

    def __init__(self, i: int, name: str):
        row = ROWS[i]
        self.layer, self.name = made(row), name
        self.params, self.state = kf.to_backend(weights(row), name)
        self.given = row.args, row.options
        self._leaves, self._structure = kf.tree.flatten(self.given)
        self._at = [j for j, a in enumerate(self._leaves) if is_array(a)]
        self.arrays = [self._leaves[j] for j in self._at]

    def __call__(self, *arrays):
        args, options = self.filled(arrays)
        return kf.tree.leaves(self.layer.apply(self.params, *args, state=self.state, **options)[0])

    def filled(self, arrays):
        found = dict(zip(self._at, arrays, strict=True))
        return kf.tree.unflatten(self._structure, [found.get(j, leaf) for j, leaf in enumerate(self._leaves)])

    def batch(self, n):
        return [kf.to_backend(np.concatenate([a] * n), self.name) for a in self.arrays]

    def check(self, run):
        for n in (1, 3):
            arrays = self.batch(n)
            for got, want in zip(run(*arrays), self(*arrays), strict=True):
                # Sums of a few numbers near 1, in two orders.
                np.testing.assert_allclose(kf.to_numpy(got), kf.to_numpy(want), rtol=1e-4, atol=1e-5)


def sampled(kind: str, share: int, *always: str):
    """A sample of the rows, the same in each run, and those that once failed."""
    rows = [i for i in LAYERS if IDS[i] in always or chosen(share, kind, IDS[i])]
    assert set(always) <= {IDS[i] for i in rows}
    return pytest.mark.parametrize("i", rows, ids=[IDS[i] for i in rows])


@pytest.mark.torch
@sampled(
    "dynamic",
    60,
    "normalization-LayerNormalization-axes",
    "normalization-LayerNormalization-plain",
    "normalization-RMSNormalization",
    "normalization-SpectralNormalization",
    "normalization-UnitNormalization-axes",
    "reshaping-Reshape--1",
    "activations-PReLU-shared",
    "attention-MultiHeadAttention-rows",
)
def test_torch_compile_of_any_number(i):
    """The numbers of a layer are symbols, too, where `apply` itself is compiled."""
    torch = importlib.import_module("torch")
    torch._dynamo.reset()
    case = Case(i, "torch")
    program = torch.compile(case.layer.apply, dynamic=True, fullgraph=True, backend="eager")

    def run(*arrays):
        args, options = case.filled(arrays)
        return kf.tree.leaves(program(case.params, *args, state=case.state, **options)[0])

    case.check(run)


def exported(fun, arrays):
    torch = importlib.import_module("torch")

    class Module(torch.nn.Module):
        def forward(self, *xs):
            return fun(*xs)

    sizes = {"xs": tuple({0: torch.export.Dim.DYNAMIC} if x.ndim and len(x) > 2 else None for x in arrays)}
    program = torch.export.export(Module(), tuple(arrays), dynamic_shapes=sizes)
    # No size was compared with a number: it may be anything.
    assert all(str(c.upper) == "int_oo" for c in program.range_constraints.values()), program.range_constraints
    return program.module()


@pytest.mark.torch
@sampled("export", 40, "core-Dense", "merging-Add", "recurrent-LSTM")
def test_torch_export(i):
    case = Case(i, "torch")
    case.check(exported(case, case.batch(3)))


@pytest.mark.tensorflow
@sampled(
    "function",
    40,
    "attention-GroupQueryAttention",
    "attention-MultiHeadAttention-window",
    "conv-Conv1DTranspose-dilated",
    "conv-Conv2DTranspose-more",
    "conv-DepthwiseConv2D-both",
    "recurrent-ConvLSTM2D",
    "recurrent-LSTM-mask",
)
def test_function_of_tensorflow(i):
    """All sizes are unknown but that of the channels, unless the layer says that it needs one."""
    tf = importlib.import_module("tensorflow")
    case = Case(i, "tensorflow")
    channels = 1 if getattr(case.layer, "data_format", None) == "channels_first" else -1
    signature = [
        tf.TensorSpec([n if 0 < j == channels % a.ndim else None for j, n in enumerate(a.shape)], a.dtype)
        for a in case.arrays
    ]
    program = tf.function(lambda *xs: case(*xs), signature, autograph=False)
    try:
        case.check(program)
    except (kf.errors.ShapeError, kf.errors.ParamError) as error:
        assert "None" in str(error)


@pytest.mark.jax
@sampled("symbolic", 60)
def test_jax_export(i):
    jax = importlib.import_module("jax")
    export = importlib.import_module("jax.export")
    case, (batch,) = Case(i, "jax"), export.symbolic_shape("batch")
    specs = [jax.ShapeDtypeStruct((batch, *a.shape[1:]), a.dtype) for a in case.batch(1)]
    case.check(export.export(jax.jit(lambda *xs: case(*xs)))(*specs).call)


# -- random numbers ----------------------------------------------------------------------------------------------------

X = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
NET = nn.Sequential([nn.Dense(3), nn.Dropout(0.5), nn.AlphaDropout(0.2), nn.GaussianNoise(0.1)])


def dropped(params, x, key):
    return NET.apply(params, x, key=key, train=True)[0]


@pytest.mark.torch
def test_attributes_that_a_layer_may_lack():
    class Lacking(nn.Layer):
        def forward(self, s, x):
            return x * getattr(self, "share", 0.5)

    torch = importlib.import_module("torch")
    torch._dynamo.reset()
    program = torch.compile(nn.layer(Lacking)().apply, fullgraph=True, backend="eager")
    np.testing.assert_array_equal(program({}, kf.to_backend(np.ones(2, np.float32), "torch"))[0], [0.5, 0.5])


@pytest.mark.torch
@pytest.mark.parametrize("seed", [0, -(2**40)])
def test_seeds_under_jit(seed):
    x = kf.to_backend(X, "torch")
    params, _ = NET.init(0, x)
    # Inductor may round the noise in another way.
    np.testing.assert_allclose(
        kf.jit(dropped, compile=True)(params, x, seed), dropped(params, x, seed), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("torch", "jax", "tensorflow")]
)
def test_dropout_for_any_batch(name):
    x, key = kf.to_backend(X, name), kf.random.key(3, backend=name)
    params, _ = NET.init(0, x)
    if name == "torch":
        program = exported(lambda x, key: dropped(params, x, key), [x, key])
    elif name == "tensorflow":
        tf = importlib.import_module("tensorflow")
        signature = [tf.TensorSpec((None, 6), x.dtype), tf.TensorSpec((2,), key.dtype)]
        program = tf.function(lambda x, key: dropped(params, x, key), signature, autograph=False)
    else:
        jax, export = importlib.import_module("jax"), importlib.import_module("jax.export")
        spec = jax.ShapeDtypeStruct((export.symbolic_shape("batch")[0], 6), x.dtype)
        program = export.export(jax.jit(lambda x, key: dropped(params, x, key)))(spec, key).call
    for n in (1, 3):
        x = kf.to_backend(np.concatenate([X] * n), name)
        np.testing.assert_allclose(kf.to_numpy(program(x, key)), kf.to_numpy(dropped(params, x, key)), rtol=1e-5)


@pytest.mark.jax
def test_jax_export_of_training():
    """A whole step, of layers with loops, random numbers and running means, for a batch of any size."""
    jax, export = importlib.import_module("jax"), importlib.import_module("jax.export")
    layers = [nn.LSTM(4, return_sequences=True, dropout=0.2), nn.BatchNormalization(), nn.GRU(3), nn.Dense(1)]
    net, optimizer, mse = nn.Sequential(layers), kf.optim.Adam(0.01), kf.losses.MeanSquaredError()
    params, state = net.init(0, kf.Spec((None, 5, 3)), backend="jax")

    @jax.jit
    def step(params, state, opt_state, x, y, key):
        def loss(params):
            out, new = net.apply(params, x, state=state, train=True, key=key)
            return mse(y, out), new

        (value, new), grads = kf.value_and_grad(loss, has_aux=True)(params)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return kf.optim.apply_updates(params, updates), new, opt_state, value

    x, y = np.random.default_rng(0).normal(size=(2, 6, 5, 3)).astype(np.float32)
    given = params, state, optimizer.init(params), x, y[:, 0, :1], kf.random.key(3, backend="jax")
    (batch,) = export.symbolic_shape("batch")
    specs = [jax.tree.map(lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype), part) for part in given]
    specs[3], specs[4] = (jax.ShapeDtypeStruct((batch, *a.shape[1:]), a.dtype) for a in given[3:5])
    # The states of the optimizer are NamedTuples, which must be known to be written.
    program = export.deserialize(export.export(step)(*specs).serialize()).call
    got, wanted = program(*given), step(*given)
    assert kf.tree.structure(got) == kf.tree.structure(wanted)
    for a, b in zip(kf.tree.leaves(got), kf.tree.leaves(wanted), strict=True):
        # Another program: Adam's first update is the sign of a gradient, and changes fast where that is near 0.
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.jax
def test_typed_keys_of_jax():
    jax = importlib.import_module("jax")
    typed, words, x = jax.random.key(7), kf.random.key(7, backend="jax"), kf.to_backend(X, "jax")
    params, _ = NET.init(words, x)
    rows = [
        lambda key: kf.random.split(key),
        lambda key: kf.random.fold_in(key, 3),
        lambda key: kf.random.normal(key, (5,)),
        lambda key: NET.init(key, x)[0],
        lambda key: jax.jit(dropped)(params, x, key),
        lambda key: jax.vmap(lambda k: kf.random.uniform(k, (2,)))(
            jax.random.split(key, 3) if key is typed else jax.random.key_data(jax.random.split(typed, 3))
        ),
    ]
    for row in rows:
        for got, want in zip(*(kf.tree.leaves(row(key)) for key in (typed, words)), strict=True):
            np.testing.assert_array_equal(got, want)
    for other in (jax.random.key(0, impl="rbg"), jax.random.split(typed)):
        with pytest.raises(kf.errors.ArgumentError, match="random key"):
            kf.random.normal(other, (2,))


# -- other things that look like arrays --------------------------------------------------------------------------------


@pytest.mark.torch
def test_subclasses_of_tensors():
    """A fake tensor has no values to read, however large it is and wherever it lies."""
    torch = importlib.import_module("torch")
    mode = importlib.import_module("torch._subclasses.fake_tensor").FakeTensorMode()
    for layer, x in [
        (nn.Dense(300), torch.zeros(64, 600)),
        (nn.Embedding(7, 3), torch.zeros((4, 5), dtype=torch.int64)),
        (NET, torch.zeros(4, 6)),
    ]:
        params, state = layer.init(0, x)
        want = layer.apply(params, x, state=state)[0]
        with mode:
            fake = kf.tree.map(mode.from_tensor, (params, x, state))
            got = layer.apply(*fake[:2], state=fake[2])[0]
        assert type(got) is type(fake[1]) and got.shape == want.shape
    from kfunc.backends.torch.lowerings import on_host

    assert on_host(torch.zeros(2), torch.nn.Parameter(torch.zeros(2))) and not on_host(torch.zeros(2), fake[1])


@pytest.mark.tensorflow
def test_gradients_of_lookups_are_arrays():
    tf = importlib.import_module("tensorflow")
    layer, indices = nn.Embedding(7, 3), tf.constant([[1, 2, 2]])
    params, _ = layer.init(0, indices)
    take = kf.arrays.native(lambda table, at: kf.namespace(table).take(table, at[0, :], axis=0))
    index = kf.arrays.native(lambda table, at: table[at[0, :], ...])
    want = np.zeros((7, 3), np.float32)
    want[1], want[2] = 1, 2

    def gradient_of(fun, table):
        def gradient():
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(fun(table, indices))
            return tape.gradient(loss, table)

        return gradient

    for fun in (lambda table, at: layer.apply({"embeddings": table}, at)[0], take, index):
        gradient = gradient_of(fun, tf.Variable(params["embeddings"]))
        for run in (gradient, tf.function(gradient, autograph=False)):
            np.testing.assert_array_equal(0.5 * run(), 0.5 * want)


@pytest.mark.jax
def test_nothing_is_nan_on_the_way():
    """`jax_debug_nans` looks at every intermediate result."""
    jax = importlib.import_module("jax")
    x, y = kf.to_backend((X[:, :3], np.array([0, 1, 2, 1])), "jax")
    rows = [
        lambda x: kf.losses.SparseCategoricalCrossentropy(from_logits=True)(y, x),
        lambda x: kf.losses.SparseCategoricalCrossentropy()(y, kf.ops.softmax(x)),
        lambda x: kf.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=1)(y, x),
        lambda x: kf.ops.nanmean(x),
    ]
    jax.config.update("jax_debug_nans", True)
    try:
        for row in rows:
            row(x)
            kf.grad(row)(x)
    finally:
        jax.config.update("jax_debug_nans", False)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [
        pytest.param(name, dtype, marks=getattr(pytest.mark, name))
        for name, dtype in [
            ("array_api_strict", "float16"),
            ("array_api_strict", "bfloat16"),
            ("openvino", "bfloat16"),
        ]
    ],
)
def test_dtypes_that_a_backend_lacks(name, dtype):
    x = kf.to_backend(X, name)
    with pytest.raises(kf.errors.UnsupportedError, match=f"{name}.*{dtype}"):
        kf.asarray(x, dtype)
    with pytest.raises(kf.errors.UnsupportedError, match=f"{name}.*{dtype}"):
        nn.Dense(3, dtype=dtype).init(0, x)
    for policy in (dtype, f"mixed_{dtype}"):
        model = kf.Model(nn.Sequential([nn.Dense(6, dtype=policy)]))
        model.compile("sgd", "mse")
        with pytest.raises(kf.errors.UnsupportedError):
            model.predict(X, backend=name)
        with pytest.raises(kf.errors.UnsupportedError):
            model.fit(X, X, backend=name, verbose=0)


class Frozen(Mapping):
    """As flax's FrozenDict, which JAX takes apart, too."""

    def __init__(self, given):
        self._given = dict(given)

    def __getitem__(self, name):
        return self._given[name]

    def __iter__(self):
        return iter(self._given)

    def __len__(self):
        return len(self._given)

    def parts(self):
        return tuple(self.values()), tuple(self), tuple(self)

    @classmethod
    def made(cls, names, values):
        return cls(zip(names, values, strict=True))


kf.tree.register(Frozen, Frozen.parts, Frozen.made)


@pytest.mark.parametrize("name", [pytest.param(name, marks=getattr(pytest.mark, name)) for name in ("numpy", "jax")])
def test_nodes_of_other_libraries(name):
    if name == "jax":
        tree_util = importlib.import_module("jax.tree_util")
        tree_util.register_pytree_node(Frozen, lambda node: node.parts()[:2], Frozen.made)
    x = kf.to_backend(X, name)
    plain, _ = nn.Dense(3).init(0, x)
    params = {"net": Frozen(plain)}
    assert sorted(kf.tree.paths(params)) == kf.tree.paths({"net": plain})

    def loss(params):
        return kf.ops.sum(nn.Dense(3).apply(params["net"], x)[0])

    optimizer = kf.optim.Adam(0.1)
    for run in (loss, kf.jit(loss)):
        grads = kf.grad(run)(params)
        updates, _ = optimizer.update(grads, optimizer.init(params), params)
        new = kf.optim.apply_updates(params, updates)
        assert type(new["net"]) is Frozen and new["net"]["kernel"].shape == (6, 3)
        wanted = kf.grad(lambda plain: loss({"net": plain}))(plain)
        np.testing.assert_allclose(grads["net"]["kernel"], wanted["kernel"], rtol=1e-6)


def test_libraries_without_the_standard():
    """As dask: their arrays are made NumPy's where data go in, and refused elsewhere."""

    class Lazy:
        shape, dtype, ndim = X.shape, X.dtype, 2

        def __array__(self, dtype=None, copy=None):
            return X

        def __len__(self):
            return len(X)

    np.testing.assert_array_equal(kf.asarray(Lazy()), X)
    for call in (lambda: kf.namespace(Lazy()), lambda: kf.losses.MeanSquaredError()(Lazy(), Lazy())):
        with pytest.raises(kf.errors.UnknownBackendError, match="Lazy") as caught:
            call()
        assert "kf.asarray" in caught.value.fix
    with pytest.raises(kf.errors.ArgumentError, match="floating-point"):
        kf.grad(lambda x: x)(Lazy())
