"""Networks of kfunc as modules of TensorFlow, with which training loops written for TensorFlow run.

The way back is the layer `nn.TFSMLayer`.
"""

from __future__ import annotations

import functools
import warnings
from typing import Any

from .. import tree
from ..arrays import asarray, dtype_name, to_backend
from ..backends import get
from ..backends.foreign import plain
from ..nn import Layer
from ..typing import Tree
from .checks import checked_net

__all__ = ["to_module"]


def to_module(net: Layer, params: Tree, state: Tree = None) -> Any:
    """`net` as a `tf.Module` that holds parameters and state, and changes its state where it is called.

    `module(x, training=True)` returns the output; `training` is False by default. With `aux=True`, auxiliary losses are
    returned, too; see `Layer.apply`. Random numbers come from TensorFlow: `tf.random.set_seed`.

    The variables are in the attributes `params` and `state`, dicts like the network's trees, and are called by their
    paths in these. Those of the state, and integers, are not trainable. So `module.trainable_variables`, tapes,
    `tf.function` and `tf.train.Checkpoint` work as for any module. `tf.saved_model.save` writes the functions that are
    attributes: `module.serve = tf.function(module, input_signature=[tf.TensorSpec((None, 3))])`.

    Args:
        net: The network.
        params, state: As `net.init` returns them, of any backend. The variables are copies.

    Raises:
        ArgumentError: `net` is no layer.
        BackendNotInstalledError: TensorFlow is not installed.
    """
    get("tensorflow")
    return _module()(checked_net(net), params, state)


@functools.cache
def _module() -> Any:
    import tensorflow as tf

    def variables(values: Tree, trainable: bool) -> Tree:
        def variable(path: str, x: Any) -> Any:
            trains = trainable and any(kind in dtype_name(x.dtype) for kind in ("float", "complex"))
            return tf.Variable(asarray(x, backend="tensorflow"), trainable=trains, name=path)

        leaves, structure = tree.flatten(values)
        named = zip(tree.paths(values), leaves, strict=True)
        return tree.unflatten(structure, [variable(path, x) for path, x in named])

    class KfuncModule(tf.Module):
        """A network of kfunc; see `kfunc.interop.tensorflow.to_module`."""

        def __init__(self, net: Any, params: Any, state: Any):
            super().__init__()
            self.net = net
            self.params = variables(params, True)
            self.state = variables(state or {}, False)
            self._looked_for_losses = False

        @tf.autograph.experimental.do_not_convert
        def __call__(self, *inputs: Any, training: bool = False, **options: Any) -> Any:
            inputs, options = to_backend((inputs, options), "tensorflow")
            params = tree.map(tf.convert_to_tensor, plain(self.params))
            kept, structure = tree.flatten(plain(self.state))
            state = [tf.convert_to_tensor(variable) for variable in kept]
            key = None
            if training:
                key = tf.bitcast(tf.random.uniform([2], -(2**31), 2**31 - 1, tf.int32), tf.uint32)
            looks = training and not self._looked_for_losses and "aux" not in options
            if looks:
                options["aux"] = self._looked_for_losses = True
            given = tree.unflatten(structure, state)
            out, new, *aux = self.net.apply(params, *inputs, state=given, key=key, train=training, **options)
            for variable, old, value in zip(kept, state, tree.leaves(new), strict=True):
                if value is not old:
                    variable.assign(value)
            if looks and aux.pop().losses:
                warnings.warn(
                    "The network has auxiliary losses, such as those of regularizers: add them to the loss of your "
                    "loop, by out, aux = module(x, training=True, aux=True), or say aux=False.",
                    stacklevel=2,
                )
            return (out, *aux) if aux else out

    return KfuncModule
