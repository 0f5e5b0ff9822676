"""Errors about gradients and values that do not exist, the same on every backend."""

from __future__ import annotations

from ..errors import ArgumentError, UnsupportedError

__all__ = ["cut_off", "independent", "not_floating", "not_known"]


def cut_off(how: str) -> UnsupportedError:
    """The error where a gradient would be zero only because `how` happened to an array on the way to the result."""
    return UnsupportedError(
        f"The result has no gradient: {how}.",
        argument="fun",
        expected="a result that is computed from the arguments by functions that have gradients",
        got="a result that PyTorch, TensorFlow or the tape takes for a constant",
        fix="compute with the functions of kf.namespace(x); where no gradient is wanted, say so by kf.stop_gradient(x)",
    )


def not_known(error: Exception) -> UnsupportedError:
    """The error in place of a library's own `error`, which says that a value was read that is not known."""
    return UnsupportedError(
        "The values of an array were read where they are not known: the function is being compiled, differentiated or "
        "mapped.",
        argument="fun",
        expected="code that does not depend on values",
        got=f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}",
        fix="compute with the functions of kf.namespace(x), and not with NumPy, float or bool; choose by kf.ops.where "
        "or kf.cond; return the array from the function, and read it outside",
    )


def not_floating(got: str) -> ArgumentError:
    """The error where a gradient is asked for with respect to an array of integers or booleans."""
    return ArgumentError(
        "`argnums` names an array that is not of a floating-point dtype.",
        argument="argnums",
        expected="arguments that are trees of floating-point arrays",
        got=got,
        fix="convert it with kf.asarray(x), or leave its position out of argnums",
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
