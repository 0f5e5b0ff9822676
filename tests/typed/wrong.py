"""What a type checker must refuse: each line with `# error` has an error, and no other line has one.

To add a case, add a line. test_typing.py checks this file, and nobody runs it.
"""

import numpy as np

import kfunc as kf
from kfunc import nn, ops
from kfunc.typing import Array

# -- layers ------------------------------------------------------------------------------------------------------------

nn.Dense("x")  # error
nn.Dense(3, unit=1)  # error
nn.Dense()  # error
nn.Dense(3, use_bias=1)  # error
nn.Dense(3, kernel_initializer=0.5)  # error
nn.Conv2D(3)  # error
nn.Conv2D(3, 3, padding=1)  # error
nn.Conv2D(3, "3")  # error
nn.MaxPooling2D("2")  # error
nn.LSTM("3")  # error
nn.LSTM(3, return_sequence=True)  # error
nn.GRU(3, reset_afte=True)  # error
nn.Dropout("0.5")  # error
nn.Dropout()  # error
nn.Sequential(nn.Dense(3), nn.Dense(4))  # error
nn.Sequential(["dense"])  # error
nn.Embedding(3)  # error
nn.MultiHeadAttention(2)  # error
nn.BatchNormalization(momentum="0.9")  # error
nn.LayerNormalization(epsilo=1e-5)  # error
nn.Bidirectional("lstm")  # error
print(nn.Dense(3).unit)  # error
nn.Dense(3).init()  # error


@nn.layer
class Scale(nn.Layer):
    """A layer of a user's own: its fields are the arguments of its constructor."""

    by: float
    offset: float = 0.0

    def forward(self, s: nn.Scope, x: Array) -> Array:
        return x * self.by + self.offset


Scale(2.0, name="twice")
Scale()  # error
Scale("2")  # error
Scale(2.0, ofset=1.0)  # error

# -- losses, metrics, optimizers ---------------------------------------------------------------------------------------

kf.optim.adam(learnin_rate=1)  # error
kf.optim.adam(1e-3, clipnrm=1.0)  # error
kf.optim.sgd(1e-2, nestrov=True)  # error
kf.optim.sgd(1e-2, nesterov="yes")  # error
kf.losses.Huber(delta="1")  # error
kf.losses.MeanSquaredError(reduce="sum")  # error
kf.losses.SparseCategoricalCrossentropy(from_logit=True)  # error
kf.metrics.AUC(num_threshold=3)  # error
kf.metrics.MeanIoU()  # error
kf.metrics.Precision(top_k="3")  # error

# -- models ------------------------------------------------------------------------------------------------------------

x = np.ones((2, 3), np.float32)
model = kf.Model(nn.Dense(3))
kf.Model("net")  # error
model.compile("adam", los="mse")  # error
model.fit(x, epoch=3)  # error
model.fit(x, epochs="3")  # error
model.predict(x, batch=3)  # error
model.evaluate(x, step=3)  # error
model.stop_trainin = True  # error
model.save()  # error
model.to(3)  # error
len(model.summary())  # error
print(model.fit(x).histori)  # error
model.fit(x).history["loss"].mean()  # error
kf.Checkpoints()  # error
kf.callbacks.EarlyStopping(patience="3")  # error
kf.callbacks.EarlyStopping(patient=3)  # error

# -- functions ---------------------------------------------------------------------------------------------------------

(y,) = nn.Dense(3).apply({}, x)  # error
params, state, more = nn.Dense(3).init(0, x)  # error
print(nn.Dense(3).apply({}, x).shape)  # error
ops.softmax()  # error
ops.softmax(x, axes=1)  # error
ops.relu(x, 1)  # error
ops.matmul(x)  # error
ops.conv(x, x, stride=2)  # error
ops.image.resize(x)  # error
ops.segment_sum(x)  # error
kf.Spec(3.5)  # error
kf.asarray(x, backends="jax")  # error
kf.load()  # error
kf.load("x", backend=5)  # error
kf.save({}, "x", metadata={"a": 1})  # error
kf.random.normal(kf.random.key(0), shapes=(2, 3))  # error
kf.random.split(kf.random.key(0), nums=3)  # error
kf.grad(3)  # error
kf.jit(kf.grad, statics=1)  # error
kf.errors.ArgumentError()  # error
