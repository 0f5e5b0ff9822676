"""What a type checker must accept, in its strictest mode: the calls of every day. test_typing.py checks this file.

Strict means here that the types of all that the library returns are known, too; arrays are `Any`.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

import kfunc as kf
from kfunc import nn, ops, optim
from kfunc.typing import Array

X: NDArray[np.float32] = np.ones((8, 4), np.float32)
Y: NDArray[np.int64] = np.zeros(8, np.int64)

# -- networks ----------------------------------------------------------------------------------------------------------

net = nn.Sequential(
    [
        nn.Conv2D(32, 3, activation="relu", padding="same", kernel_initializer="he_normal"),
        nn.Conv2D(32, (3, 3), strides=(2, 2), kernel_regularizer=nn.regularizers.L2(1e-4)),
        nn.MaxPooling2D(2),
        nn.BatchNormalization(momentum=0.9),
        nn.Flatten(),
        nn.Dropout(0.5, seed=3),
        nn.Dense(10, ops.relu, use_bias=False, name="head", dtype="mixed_bfloat16"),
    ]
)
recurrent = nn.Sequential([nn.Embedding(100, 8), nn.Bidirectional(nn.LSTM(8, return_sequences=True)), nn.GRU(4)])
attention: nn.Layer = nn.MultiHeadAttention(num_heads=2, key_dim=4)
tree = nn.Branch({"a": nn.Dense(2), "b": nn.Dense(3)})

inputs = nn.Input((4,))
graph = nn.Graph(inputs, nn.Dense(3)(nn.Dense(5, "relu")(inputs)))


@nn.layer
class Scale(nn.Layer):
    by: float = 1.0
    initializer: str = "ones"

    def forward(self, s: nn.Scope, x: Array) -> Array:
        return x * s.param("scale", (x.shape[-1],), self.initializer) * self.by


@nn.layer
class Block(nn.Layer):
    body: nn.Layer
    scale: Scale = Scale(2.0)

    def forward(self, s: nn.Scope, x: Array) -> Array:
        return self.scale(s, x) + self.body(s, x)


block = Block(nn.Dense(4), name="block")
units: int = nn.Dense(3).units
params, state = net.init(0, kf.Spec((None, 28, 28, 1)))
kernel = params["dense"]["kernel"]
out, state = net.apply(params, X, state=state, key=kf.random.key(0), train=True)

# -- models ------------------------------------------------------------------------------------------------------------

model = kf.Model(net, seed=3)
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.compile(optim.adam(1e-3, clipnorm=1.0), kf.losses.Huber(delta=2.0), metrics=[kf.metrics.AUC(num_thresholds=50)])
history = model.fit(X, Y, epochs=2, batch_size=4, validation_split=0.1, callbacks=[kf.callbacks.EarlyStopping()])
losses: list[float] = history.history["loss"]
logs: dict[str, float] = model.evaluate(X, Y)
predicted = model.predict(X, backend="numpy")
model.stop_training = True
model.save("model.safetensors")
model = kf.Model.load("model.safetensors", backend="torch")
model.to("jax").summary()


def batches() -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    yield X, Y


model.fit(batches(), steps_per_epoch=1, verbose=0)


class Stop(kf.callbacks.Callback):
    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.model.stop_training = epoch > 3


# -- functions ---------------------------------------------------------------------------------------------------------


def loss(w: Array, x: Array) -> Array:
    return ops.mean(ops.square(ops.matmul(x, w)))


gradient = kf.grad(loss)(X, X)
value, gradient = kf.value_and_grad(loss)(X, X)
fast = kf.jit(loss)(X, X)
key = kf.random.key(0)
first, second = kf.random.split(key, 2)
noise = kf.random.normal(first, (2, 3), mean=1.0)
total, steps = kf.scan(lambda carry, x: (carry + x, carry), X, X)
small = kf.cond(True, lambda: X, lambda: X)
kf.save({"a": X}, "arrays.safetensors", metadata={"licence": "CC0"})
arrays = kf.load("arrays.safetensors", "jax")
doubled = kf.tree.map(ops.square, params)
xp = kf.namespace(X)
moved = kf.to_numpy(kf.to_backend(X, "torch"))
update = optim.sgd(1e-2, momentum=0.9)
opt_state = update.init(params)
updates, opt_state = update.update(params, opt_state, params)
params = optim.apply_updates(params, updates)
checkpoints = kf.Checkpoints("here", keep_last=3)
restored = checkpoints.restore()
