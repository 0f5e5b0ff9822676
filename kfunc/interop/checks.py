"""The check of a network that becomes a module of another library."""

from __future__ import annotations

from typing import Any

from ..errors import ArgumentError
from ..nn.call import as_layer
from ..nn.layer import Layer

__all__ = ["checked_net"]


def checked_net(net: Any) -> Layer:
    """`net`; of a `kf.Model`, its network.

    Raises:
        ArgumentError: It is no layer.
    """
    net = as_layer(net)
    if not isinstance(net, Layer):
        raise ArgumentError.must_be("net", "a layer", net)
    return net
