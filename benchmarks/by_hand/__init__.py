"""The benchmark's networks as a user of each framework writes them, without kfunc.

Each module has `build(network, params, state, rate, x, y)`, which returns two functions of nothing, `train() -> loss`
and `predict() -> outputs`; both wait until the device is done. Parameters come as nested dicts of NumPy arrays.
"""

LEARNING_RATE, BETA_1, BETA_2 = 1e-3, 0.9, 0.999
# So small that it does not show where Adam adds it, in which kfunc, like Keras, and PyTorch differ.
EPSILON = 1e-12
NORM_EPSILON, MOMENTUM = 1e-3, 0.99
HEADS = 4
