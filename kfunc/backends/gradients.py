"""Errors about gradients that do not exist, the same on every backend."""

from __future__ import annotations

from ..errors import ArgumentError, UnsupportedError

__all__ = ["cut_off", "independent"]


def cut_off(how: str) -> UnsupportedError:
    """The error where a gradient would be zero only because `how` happened to an array on the way to the result."""
    return UnsupportedError(
        f"The result has no gradient: {how}.",
        argument="fun",
        expected="a result that is computed from the arguments by functions that have gradients",
        got="a result that PyTorch, TensorFlow or the tape takes for a constant",
        fix="compute with the functions of kf.namespace(x); where no gradient is wanted, say so by kf.stop_gradient(x)",
    )


def independent() -> ArgumentError:
    """The error where a loss to be minimised depends on none of the parameters."""
    return ArgumentError(
        "The loss does not depend on the parameters, so training would change nothing.",
        argument="loss",
        expected="a loss that is computed from the network's outputs by functions that have gradients",
        got="a loss that is a constant for the parameters",
        fix="look for what cuts off the gradient between the parameters and the loss: stop_gradient, detach, "
        "torch.no_grad, np.asarray, float, argmax, rounding",
    )
