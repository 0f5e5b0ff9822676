"""Normalization of features over a batch, of features within a sample, and of the weights of another layer."""

from __future__ import annotations

from typing import Any, ClassVar

from .. import checks, ops, tree
from ..arrays import namespace
from ..errors import ArgumentError, ShapeError, shown
from ..ops._axes import normal_axes
from ..ops._promotion import cast, dtype_of
from ..ops.normalization import EPSILON, along, wide
from ..registry import resolve
from ..transforms import stop_gradient
from ..typing import Array, ConstraintLike, InitializerLike, RegularizerLike
from .combinators import Wrapper
from .initializers import TruncatedNormal
from .layer import Layer, layer
from .masks import hidden
from .scope import Scope

__all__ = [
    "BatchNormalization",
    "GroupNormalization",
    "LayerNormalization",
    "RMSNormalization",
    "SpectralNormalization",
    "UnitNormalization",
]


def _sizes(x, axes: tuple[int, ...]) -> tuple[int, ...]:
    if any(not -x.ndim <= axis < x.ndim or x.shape[axis] is None for axis in axes):
        raise ShapeError(
            f"`axis` must have a known size in the input {tuple(x.shape)}, got {axes[0] if len(axes) == 1 else axes}.",
            argument="axis",
            expected=f"an axis of the input, of known size; the input has shape {tuple(x.shape)}",
            got=axes[0] if len(axes) == 1 else axes,
        )
    return tuple(x.shape[axis] for axis in axes)


def _sorted_axes(x, axis: int | tuple[int, ...]) -> tuple[int, ...]:
    """The axes in the order of the input, which is also the order of the sizes of parameters."""
    axes = (axis,) if isinstance(axis, int) else axis
    _sizes(x, axes)
    return tuple(sorted(normal_axes(axes, x.ndim)))


def _check_axes(axis: Any) -> None:
    several = isinstance(axis, tuple) and len(axis) > 0
    for a in axis if several else (axis,):
        checks.integer("axis", a)


def _affine(s: Scope, shape: tuple[int, ...], center: bool, scale: bool) -> tuple[Any, Any]:
    """`gamma` and `beta` of a layer; each may be None. With a mixed policy they are float32."""
    gamma = s.weight("gamma", shape, cast=False) if scale else None
    beta = s.weight("beta", shape, cast=False) if center else None
    return gamma, beta


# -- over the batch ----------------------------------------------------------------------------------------------------


@layer
class BatchNormalization(Layer):
    """Mean 0 and variance 1 of each feature over the batch, then `* gamma + beta`. Any shape to the same shape.

    Training uses the mean and variance of the batch, and moves `moving_mean` and `moving_variance` towards them.
    Inference uses these moving moments (Ioffe and Szegedy, arXiv:1502.03167). A mask, of the shape of the input without
    its last axis, says which positions count for the moments. Half precision is computed in float32.

    Args:
        axis: The axis of the features.
        momentum: The share of the moving moments that stays at each step.
        epsilon: A number that is added to the variance.
        center, scale: Whether there is a `beta`, and a `gamma`.
        renorm: Whether training, too, normalises by the moving moments. It uses the moments of the batch, and corrects
            them by factors `r` and `d` without gradient (batch renormalization: Ioffe, arXiv:1702.03275).
        renorm_clipping: A dict with the bounds "rmin" and "rmax" of `r`, and "dmax" of `|d|`. Each may be missing.
        renorm_momentum: The share of the moving moments for `r` and `d` that stays at each step.
        synchronized: Whether the moments are those of the batches on all devices. It has no effect, since a step runs
            on one device.
    """

    float_inputs: ClassVar[tuple[str, ...]] = ("x",)
    rounds_late: ClassVar[bool] = True

    axis: int = -1
    momentum: float = 0.99
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True
    beta_initializer: InitializerLike = "zeros"
    gamma_initializer: InitializerLike = "ones"
    moving_mean_initializer: InitializerLike = "zeros"
    moving_variance_initializer: InitializerLike = "ones"
    beta_regularizer: RegularizerLike = None
    gamma_regularizer: RegularizerLike = None
    beta_constraint: ConstraintLike = None
    gamma_constraint: ConstraintLike = None
    renorm: bool = False
    renorm_clipping: dict[str, float] | None = None
    renorm_momentum: float = 0.99
    synchronized: bool = False

    supports_masking: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.integer("axis", self.axis)
        checks.number("epsilon", self.epsilon, least=0)
        for argument in ("momentum", "renorm_momentum"):
            checks.number(argument, getattr(self, argument), least=0, most=1)
        bounds = self.renorm_clipping or {}
        good = isinstance(bounds, dict) and set(bounds) <= {"rmin", "rmax", "dmax"}
        for value in bounds.values() if good else ():
            checks.number("renorm_clipping", value, least=0)
        if not good or ("rmin" in bounds and "rmax" in bounds and bounds["rmin"] > bounds["rmax"]):
            raise ArgumentError(
                f"`renorm_clipping` must be a dict with some of 'rmin' <= 'rmax' and 'dmax', got {shown(bounds)}.",
                argument="renorm_clipping",
                expected="a dict with some of 'rmin' <= 'rmax', and 'dmax'",
                got=bounds,
            )

    def forward(self, s: Scope, x: Array, mask: Array | None = None) -> Array:
        shape = _sizes(x, (self.axis,))
        x, own = wide(hidden(x, mask))
        gamma, beta = _affine(s, shape, self.center, self.scale)
        moving_mean = s.state("moving_mean", shape, self.moving_mean_initializer)
        moving_variance = s.state("moving_variance", shape, self.moving_variance_initializer)
        past = self._past(s, shape) if self.renorm else None
        if any(v is not None and v.dtype != x.dtype for v in (gamma, beta, moving_mean)):
            gamma, beta, moving_mean, moving_variance, past = tree.map(
                lambda v: cast(v, dtype_of(x)), (gamma, beta, moving_mean, moving_variance, past)
            )
        if not s.train or 0 in x.shape:  # no samples have no moments
            moments = moving_mean, moving_variance
            return cast(ops.batch_normalization(x, *moments, self.axis, beta, gamma, self.epsilon), own)
        counted = mask is not None or s.samples is not None
        offset, scale = (beta, gamma) if past is None else (None, None)
        if not counted:
            out, mean, variance = ops.normalize_batch(x, offset, scale, self.axis, self.epsilon)
        else:
            mean, variance = self._counted_moments(x, mask, s.samples)
            out = ops.batch_normalization(x, mean, variance, self.axis, offset, scale, self.epsilon)
            mean, variance = stop_gradient(mean), stop_gradient(variance)
        if past is not None:
            out = self._corrected(out, mean, variance, past)
            out = out if gamma is None else out * along(x, (self.axis,), gamma)
            out = out if beta is None else out + along(x, (self.axis,), beta)
        s.set("moving_mean", _moved(moving_mean, mean, self.momentum))
        if past is not None:
            variance = self._renormalized(s, mean, variance, past)
        else:
            variance = _moved(moving_variance, variance, self.momentum)
        s.set("moving_variance", variance)
        return cast(out, own)

    def _counted_moments(self, x: Any, mask: Any, samples: Any) -> tuple[Any, Any]:
        """Mean and variance, (features,), of the positions and samples that count; None means that all count."""
        if mask is not None and mask.ndim != x.ndim - 1:
            raise ShapeError(
                f"`mask` must have shape {tuple(x.shape[:-1])}, got {tuple(mask.shape)}.",
                argument="mask",
                expected=f"the input's shape {tuple(x.shape)} without its last axis",
                got=tuple(mask.shape),
            )
        xp = namespace(x)
        axes = tuple(i for i in range(x.ndim) if i != self.axis % x.ndim)

        def kept(values):
            if mask is None:
                return values
            return xp.where(xp.expand_dims(xp.astype(mask, xp.bool), axis=-1), values, xp.zeros_like(values))

        def total(values):
            if samples is not None:
                # First the sum of each sample: to choose among these sums costs almost nothing.
                own = tuple(i for i in axes if i > 0)
                values = xp.sum(values, axis=own, keepdims=True) if own else values
                which = xp.reshape(samples, (-1, *[1] * (x.ndim - 1)))
                values = xp.where(which, values, xp.zeros_like(values))
            return xp.sum(values, axis=axes)

        number = total(kept(xp.ones_like(x))) + EPSILON
        mean = total(kept(x)) / number
        away = kept(x - along(x, (self.axis,), mean))
        return mean, total(away * away) / number

    def _past(self, s: Scope, shape: tuple[int, ...]) -> tuple[Any, Any, Any]:
        """The state of renormalization: the moving mean and deviation for the correction, and those for inference."""

        def root(key, shape, dtype):
            return ops.sqrt(resolve("initializer", self.moving_variance_initializer)(key, shape, dtype))

        moving = s.state("moving_stddev", shape, root)
        mean = s.state("renorm_mean", shape, self.moving_mean_initializer)
        return mean, s.state("renorm_stddev", shape, root), moving

    def _corrected(self, normal: Any, mean: Any, variance: Any, past: Any) -> Any:
        """`normal`, which is normalised by the batch, corrected towards the moving moments within the bounds."""
        xp, bounds = namespace(normal), self.renorm_clipping or {}
        past_mean, past_deviation, _ = past
        divisor = xp.maximum(past_deviation, xp.full_like(past_deviation, self.epsilon**0.5))
        r = xp.sqrt(variance + self.epsilon) / divisor
        d = (mean - past_mean) / divisor
        r = xp.clip(r, bounds.get("rmin"), bounds.get("rmax"))
        if "dmax" in bounds:
            d = xp.clip(d, -bounds["dmax"], bounds["dmax"])
        return normal * along(normal, (self.axis,), r) + along(normal, (self.axis,), d)

    def _renormalized(self, s: Scope, mean: Any, variance: Any, past: Any) -> Any:
        """Move the state of renormalization. Returns the new `moving_variance`."""
        past_mean, past_deviation, moving = past
        deviation = namespace(mean).sqrt(variance + self.epsilon)
        s.set("renorm_mean", _moved(past_mean, mean, self.renorm_momentum))
        s.set("renorm_stddev", _moved(past_deviation, deviation, self.renorm_momentum))
        moving = _moved(moving, deviation, self.momentum)
        s.set("moving_stddev", moving)
        return ops.relu(moving * moving - self.epsilon)


def _moved(old, new, momentum):
    # The traced array stands on the left: the operators of some libraries refuse other types on the right.
    return new * (1 - momentum) + old * momentum


# -- within a sample ---------------------------------------------------------------------------------------------------


@layer
class LayerNormalization(Layer):
    """Mean 0 and variance 1 along `axis`, then `* gamma + beta`. Any shape to the same shape (arXiv:1607.06450).

    Half precision is computed in float32.

    Args:
        axis: An integer, or a tuple of integers.
        epsilon: A number that is added to the variance.
        center, scale: Whether there is a `beta`, and a `gamma`, of the sizes of the input along `axis`.
        rms_scaling: Whether to divide by the standard deviation only, without subtracting the mean, and without `beta`.
            It is here for old models; see `RMSNormalization`.
    """

    float_inputs: ClassVar[tuple[str, ...]] = ("x",)
    rounds_late: ClassVar[bool] = True

    axis: int | tuple[int, ...] = -1
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True
    beta_initializer: InitializerLike = "zeros"
    gamma_initializer: InitializerLike = "ones"
    beta_regularizer: RegularizerLike = None
    gamma_regularizer: RegularizerLike = None
    beta_constraint: ConstraintLike = None
    gamma_constraint: ConstraintLike = None
    rms_scaling: bool = False

    supports_masking: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_axes(self.axis)
        checks.number("epsilon", self.epsilon, least=0)

    def forward(self, s: Scope, x: Array) -> Array:
        axes = _sorted_axes(x, self.axis)
        center, scale = self.center and not self.rms_scaling, self.scale or self.rms_scaling
        gamma, beta = _affine(s, _sizes(x, axes), center, scale)
        if not self.rms_scaling:
            return ops.layer_normalization(x, gamma, beta, axes, self.epsilon)
        x, own = wide(x)
        _, variance = ops.moments(x, axes, keepdims=True)
        return cast(x / namespace(x).sqrt(variance + self.epsilon) * along(x, axes, gamma), own)


@layer
class GroupNormalization(Layer):
    """Mean 0 and variance 1 of each group of features of a sample, then `* gamma + beta`.

    (batch, ..., features) to the same shape (Wu and He, arXiv:1803.08494). Half precision is computed in float32.

    Args:
        groups: The number of groups, which must divide the number of features; -1 for one group for each feature
            (instance normalization).
        axis: The axis of the features, which is not the first axis.
        epsilon: A number that is added to the variance.
        center, scale: Whether there is a `beta`, and a `gamma`, (features,).
    """

    float_inputs: ClassVar[tuple[str, ...]] = ("x",)
    rounds_late: ClassVar[bool] = True

    groups: int = 32
    axis: int = -1
    epsilon: float = 1e-3
    center: bool = True
    scale: bool = True
    beta_initializer: InitializerLike = "zeros"
    gamma_initializer: InitializerLike = "ones"
    beta_regularizer: RegularizerLike = None
    gamma_regularizer: RegularizerLike = None
    beta_constraint: ConstraintLike = None
    gamma_constraint: ConstraintLike = None

    supports_masking: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if checks.integer("groups", self.groups, least=-1) != -1:
            checks.positive("groups", self.groups)
        checks.integer("axis", self.axis)
        checks.number("epsilon", self.epsilon, least=0)

    def forward(self, s: Scope, x: Array) -> Array:
        (features,) = _sizes(x, (self.axis,))
        gamma, beta = _affine(s, (features,), self.center, self.scale)
        groups = features if self.groups == -1 else self.groups
        return ops.group_normalization(x, groups, gamma, beta, self.axis, self.epsilon)


@layer
class RMSNormalization(Layer):
    """`x / sqrt(mean(x**2) + epsilon) * scale` along `axis`. Any shape to the same shape (arXiv:1910.07467).

    Half precision is computed in float32.

    Args:
        axis: An integer, or a tuple of integers.
        epsilon: A number that is added to the mean square.
    """

    float_inputs: ClassVar[tuple[str, ...]] = ("x",)
    rounds_late: ClassVar[bool] = True

    axis: int | tuple[int, ...] = -1
    epsilon: float = 1e-6

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_axes(self.axis)
        checks.number("epsilon", self.epsilon, least=0)

    def forward(self, s: Scope, x: Array) -> Array:
        axes = _sorted_axes(x, self.axis)
        return ops.rms_normalization(x, s.param("scale", _sizes(x, axes), "ones", cast=False), axes, self.epsilon)


@layer
class UnitNormalization(Layer):
    """`x` divided by its Euclidean norm along `axis`. Any shape to the same shape.

    Args:
        axis: An integer, or a tuple of integers.
    """

    float_inputs: ClassVar[tuple[str, ...]] = ("x",)
    rounds_late: ClassVar[bool] = True

    axis: int | tuple[int, ...] = -1

    supports_masking: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_axes(self.axis)

    def forward(self, s: Scope, x: Array) -> Array:
        axes = (self.axis,) if isinstance(self.axis, int) else self.axis
        if any(not -x.ndim <= axis < x.ndim for axis in axes):
            _sizes(x, axes)
        return ops.normalize(x, axis=tuple(sorted(normal_axes(axes, x.ndim))), epsilon=1e-12)


# -- of weights --------------------------------------------------------------------------------------------------------

_FIRST_VECTOR = TruncatedNormal(stddev=0.02)


@layer
class SpectralNormalization(Wrapper):
    """`layer`, with its `kernel` or its `embeddings` divided by their largest singular value.

    The shapes are those of `layer`. The singular value is estimated by power iteration, which training continues in the
    state `vector_u`, (1, outputs) (Miyato et al., arXiv:1802.05957). The stored parameter is not changed; inference
    divides it, too.

    Args:
        layer: A layer with a parameter `kernel` or `embeddings`, (..., outputs).
        power_iterations: The number of iterations in each call.

    Raises:
        ArgumentError: The layer has no such parameter.
    """

    power_iterations: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.positive("power_iterations", self.power_iterations)

    def forward(self, s: Scope, *inputs: Any, mask: Array = None, **options: Any) -> Array:
        found = []

        def normalized(kernel):
            found.append(True)
            xp, outputs = namespace(kernel), kernel.shape[-1]
            u = s.state("vector_u", (1, outputs), _FIRST_VECTOR)
            weights = stop_gradient(xp.reshape(kernel, (-1, outputs)))
            across = v = cast(u, dtype_of(weights))
            for _ in range(1 if s.initializing else self.power_iterations):  # shapes stay the same
                v = ops.normalize(xp.matmul(across, xp.matrix_transpose(weights)), axis=None)
                across = ops.normalize(xp.matmul(v, weights), axis=None)
            # Only this product depends on the weights for the gradient.
            largest = xp.sum(xp.matmul(v, xp.reshape(kernel, (-1, outputs))) * across)
            nothing = largest == 0
            if s.train:
                s.set("vector_u", xp.where(nothing, u, across))
            return kernel / xp.where(nothing, xp.ones_like(largest), largest)

        s.reparametrize(self.layer, {"kernel": normalized, "embeddings": normalized})
        out = super().forward(s, *inputs, mask=mask, **options)
        if not found:
            raise ArgumentError(
                f"`layer` must have a parameter 'kernel' or 'embeddings', got {shown(self.layer)}.",
                argument="layer",
                expected="a layer with a parameter 'kernel' or 'embeddings'",
                got=repr(self.layer),
            )
        return out
