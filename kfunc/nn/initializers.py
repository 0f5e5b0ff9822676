"""Initializers: functions `(key, shape, dtype) -> array` that make the first values of parameters.

They have Keras's names, and the array is on the backend of the key. Any such function is an initializer. The field
`seed` is mixed into the key if it is not None. Two parameters get different values in any case, since their keys
differ.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
import typing
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

from .. import checks, random
from ..arrays import asarray, backend_of, device, namespace, native, to_numpy
from ..dataclasses import dataclass
from ..errors import ArgumentError, MissingPackageError, ShapeError
from ..registry import configs, register, resolve
from ..typing import Array, InitializerLike

__all__ = [
    "STFT",
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "IdentityInitializer",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "OrthogonalInitializer",
    "RandomNormal",
    "RandomUniform",
    "STFTInitializer",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "constant",
    "deserialize",
    "get",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "identity",
    "lecun_normal",
    "lecun_uniform",
    "ones",
    "orthogonal",
    "random_normal",
    "random_uniform",
    "serialize",
    "stft",
    "truncated_normal",
    "variance_scaling",
    "zeros",
]


C = TypeVar("C", bound=type)
Shape = tuple[int, ...]


@typing.dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def _initializer(*names: str) -> Callable[[C], C]:
    def decorate(cls: C) -> C:
        draw = cls.__call__  # type: ignore[misc]

        @functools.wraps(draw)
        def seeded(self: Any, key: Any, shape: Shape, dtype: str = "float32") -> Any:
            seed = getattr(self, "seed", None)
            return draw(self, key if seed is None else random.fold_in(key, seed), shape, dtype)

        cls.__call__ = native(seeded)  # type: ignore[method-assign]
        return register("initializer", cls.__name__, *names)(dataclass(cls))

    return decorate


# -- that draw nothing ------------------------------------------------------------------------------------------------


IN_CONFIG = 1000
"""The most numbers of an array that the config of a `Constant` holds."""


@dataclass(eq=False)
class _Values:
    """An array as the field of an initializer: equal to itself only, since arrays compare element by element."""

    array: Array

    def __repr__(self) -> str:
        return f"<array {tuple(self.array.shape)}>"


@_initializer("constant")
class Constant:
    """Every element is `value`; or the values are those of an array.

    Args:
        value: A number; or an array of any backend, or nested lists of numbers, that broadcasts to the shape of the
            parameter, such as a pretrained table. A config, and so a file, holds at most 1,000 numbers of it. Of a
            larger array it holds None: a model that is loaded has its parameters, but drawing new ones is an error.
    """

    value: float | Sequence[Any] | Array | None = 0.0

    def __post_init__(self) -> None:
        value = self.value
        if value is None or isinstance(value, _Values):
            return
        if not isinstance(value, list | tuple) and not hasattr(value, "shape"):
            checks.number("value", value)
            return
        try:
            array = to_numpy(value)
        except (TypeError, ValueError) as error:
            raise ArgumentError.must_be("value", "a number or an array of numbers", value) from error
        if array.dtype.kind in "OSUMmc":
            raise ArgumentError.must_be("value", "a number or an array of numbers", value)
        if array.size > IN_CONFIG:
            held: Any = _Values(array if isinstance(value, list | tuple) else value)
        else:  # Python's floats stay as they are: as arrays they would be rounded to float32
            held = _nested(value if isinstance(value, list | tuple) else array.tolist())
        object.__setattr__(self, "value", held)

    def get_config(self) -> dict[str, Any]:
        return {"value": None if isinstance(self.value, _Values) else self.value}

    def __call__(self, key: Any, shape: Shape, dtype: str = "float32") -> Any:
        xp, value = namespace(key), self.value
        if value is None:
            raise ArgumentError(
                f"The values of Constant are not known: a config holds no array of more than {IN_CONFIG:,} numbers.",
                argument="value",
                expected="a number or an array",
                got=None,
                fix="take the parameters from the file, or give the layer a new Constant(array)",
            )
        if not isinstance(value, _Values | tuple):
            return xp.full(shape, value, dtype=getattr(xp, dtype), device=device(key))
        if isinstance(value, tuple):
            array = xp.asarray(value, dtype=getattr(xp, dtype), device=device(key))
        else:
            backend = backend_of(key)
            array = backend.lift(asarray(value.array, dtype, backend=backend, device=device(key)))
        if len(array.shape) > len(shape) or any(
            n not in (1, m) for n, m in zip(array.shape[::-1], shape[::-1], strict=False)
        ):
            raise ShapeError(
                f"`value` has shape {tuple(array.shape)}, and the parameter has shape {tuple(shape)}.",
                argument="value",
                expected=f"an array that broadcasts to {tuple(shape)}",
                got=tuple(array.shape),
            )
        return xp.broadcast_to(array, shape) if tuple(array.shape) != tuple(shape) else array


def _nested(value: Any) -> Any:
    return tuple(map(_nested, value)) if isinstance(value, list | tuple) else value


@_initializer("zeros", "zero")
class Zeros:
    """Every element is 0."""

    def __call__(self, key: Any, shape: Shape, dtype: str = "float32") -> Any:
        return Constant(0.0)(key, shape, dtype)


@_initializer("ones", "one")
class Ones:
    """Every element is 1."""

    def __call__(self, key: Any, shape: Shape, dtype: str = "float32") -> Any:
        return Constant(1.0)(key, shape, dtype)


@_initializer("identity", "IdentityInitializer")
class Identity:
    """A matrix (rows, columns) with `gain` on the diagonal and 0 elsewhere.

    Args:
        gain: A number.
    """

    gain: float = 1.0

    def __post_init__(self) -> None:
        checks.number("gain", self.gain)

    def __call__(self, key: Any, shape: Shape, dtype: str = "float32") -> Any:
        if len(shape) != 2:
            raise ShapeError(
                f"Identity makes a matrix (rows, columns), and the parameter has shape {tuple(shape)}.",
                argument="shape",
                expected="two axes",
                got=tuple(shape),
            )
        xp = namespace(key)
        return xp.eye(*shape, dtype=getattr(xp, dtype), device=device(key)) * self.gain


_COSINES = {
    "boxcar": (1.0,),
    "hann": (0.5, 0.5),
    "hamming": (0.54, 0.46),
    "blackman": (0.42, 0.5, 0.08),
    "nuttall": (0.3635819, 0.4891775, 0.1365995, 0.0106411),
    "blackmanharris": (0.35875, 0.48829, 0.14128, 0.01168),
    "flattop": (0.21557895, 0.41663158, 0.277263158, 0.083578947, 0.006947368),
}
"""Windows that are sums of cosines: the factors of cos(0), -cos(t), cos(2 t), ... with t from 0 to 2 pi."""


def _window(name: str, length: int, periodic: bool) -> list[float]:
    """The window of this name. A periodic window is one number longer, without its last number.

    Raises:
        ArgumentError: There is no window of this name, or it has a parameter.
        MissingPackageError: The window is none of kfunc's own, and SciPy is missing.
    """
    if name != "bartlett" and name not in _COSINES:
        try:
            from scipy.signal import get_window  # type: ignore[import-untyped, unused-ignore]
        except ModuleNotFoundError as error:
            raise MissingPackageError(
                f"`window` is {name!r}, which needs SciPy.",
                argument="window",
                expected=f"one of {', '.join([*_COSINES, 'bartlett'])}; or SciPy",
                fix='pip install "kfunc[scipy]"',
            ) from error
        try:
            return [float(w) for w in get_window(name, length, fftbins=periodic)]
        except ValueError as error:
            raise ArgumentError.must_be(
                "window", "None, numbers, or the name of a window without parameters in scipy.signal.windows", name
            ) from error
    steps = max(length - (not periodic), 1)
    if name == "bartlett":
        return [1 - abs(2 * i / steps - 1) if length > 1 else 1.0 for i in range(length)]
    factors = [a * (-1) ** n for n, a in enumerate(_COSINES[name])]
    if length == 1:
        return [1.0]
    return [sum(a * math.cos(2 * math.pi * n * i / steps) for n, a in enumerate(factors)) for i in range(length)]


@_initializer("stft", "STFTInitializer")
class STFT:
    """The kernel of a convolution that is a short-time Fourier transform: (frame, 1, frequencies).

    Args:
        side: The part of the transform, "real" or "imag".
        window: The name of a window; or its numbers, one for each sample of a frame; or None for no window. The names
            are those of `scipy.signal.get_window`; the windows that are no sums of cosines, but for "bartlett", need
            SciPy (`pip install "kfunc[scipy]"`).
        scaling: If there is a window, the kernel is divided by the root of the sum of its squares ("density"), by its
            sum ("spectrum"), or not at all (None).
        periodic: Whether a window given by its name is periodic, and not symmetric.
    """

    side: str = "real"
    window: str | Sequence[float] | None = "hann"
    scaling: str | None = "density"
    periodic: bool = False

    def __post_init__(self) -> None:
        checks.one_of("side", self.side, ("real", "imag"))
        checks.one_of("scaling", self.scaling, ("density", "spectrum", None))
        checks.boolean("periodic", self.periodic)
        if isinstance(self.window, str):
            _window(self.window, 1, self.periodic)  # raises an error if there is no such window
        elif self.window is not None:
            object.__setattr__(self, "window", tuple(checks.number("window", float(w)) for w in self.window))

    def __call__(self, key: Any, shape: Shape, dtype: str = "float32") -> Any:
        if len(shape) != 3 or shape[1] != 1 or shape[2] < 2:
            raise ShapeError(
                f"STFT makes a kernel (frame, 1, frequencies), and the parameter has shape {tuple(shape)}.",
                argument="shape",
                expected="(frame, 1, frequencies), with two or more frequencies",
                got=tuple(shape),
            )
        frame, _, frequencies = shape
        xp = namespace(key)
        where: dict[str, Any] = {"device": device(key)}
        # The angle is reduced to one period with integers, which are exact.
        n = 2 * (frequencies - 1)
        samples = xp.reshape(xp.arange(frame, dtype=xp.int32, **where) % n, (frame, 1, 1))
        turns = samples * xp.reshape(xp.arange(frequencies, dtype=xp.int32, **where), (1, 1, frequencies)) % n
        angle = xp.astype(turns, getattr(xp, dtype)) * (-2 * math.pi / n)
        kernel = xp.cos(angle) if self.side == "real" else xp.sin(angle)
        if self.window is None:
            return kernel
        window = _window(self.window, frame, self.periodic) if isinstance(self.window, str) else self.window
        if len(window) != frame:
            raise ShapeError(
                f"`window` has {len(window)} numbers, and a frame has {frame} samples.",
                argument="window",
                expected=frame,
                got=len(window),
            )
        size = {"density": math.hypot(*window), "spectrum": sum(map(abs, window)), None: 1.0}[self.scaling]
        window = xp.asarray([w / size for w in window], dtype=getattr(xp, dtype), **where)
        return kernel * xp.reshape(window, (frame, 1, 1))


# -- that draw --------------------------------------------------------------------------------------------------------


@_initializer("random_uniform", "uniform")
class RandomUniform:
    """Uniform numbers in [minval, maxval).

    Args:
        minval, maxval: The bounds.
    """

    minval: float = -0.05
    maxval: float = 0.05
    seed: int | None = None

    def __post_init__(self) -> None:
        checks.number("maxval", self.maxval, least=checks.number("minval", self.minval))
        checks.integer("seed", self.seed, none=True)

    def __call__(self, key: Any, shape: Shape, dtype: str = "float32") -> Any:
        if self.minval == -self.maxval:
            # Written so that only the product is rounded. Some compilers fuse a product and a sum, which changes the
            # last bit.
            return random.uniform(key, shape, dtype, -1.0, 1.0) * self.maxval
        return random.uniform(key, shape, dtype, self.minval, self.maxval)


@_initializer("random_normal", "normal")
class RandomNormal:
    """Normal numbers.

    Args:
        mean, stddev: The mean and the standard deviation.
    """

    mean: float = 0.0
    stddev: float = 0.05
    seed: int | None = None

    def __post_init__(self) -> None:
        checks.number("mean", self.mean)
        checks.number("stddev", self.stddev, least=0)
        checks.integer("seed", self.seed, none=True)

    def __call__(self, key: Any, shape: Shape, dtype: str = "float32") -> Any:
        return random.normal(key, shape, dtype) * self.stddev + self.mean


@_initializer("truncated_normal")
class TruncatedNormal:
    """Normal numbers within two standard deviations of the mean; others are drawn anew.

    Args:
        mean, stddev: The mean and the standard deviation of the distribution before it is cut off.
    """

    mean: float = 0.0
    stddev: float = 0.05
    seed: int | None = None

    def __post_init__(self) -> None:
        checks.number("mean", self.mean)
        checks.number("stddev", self.stddev, least=0)
        checks.integer("seed", self.seed, none=True)

    def __call__(self, key: Any, shape: Shape, dtype: str = "float32") -> Any:
        return random.truncated_normal(key, -2.0, 2.0, shape, dtype) * self.stddev + self.mean


def fans(shape: Shape, input_axes: Shape | None = None, output_axes: Shape | None = None) -> tuple[float, float]:
    """Fan-in and fan-out of a kernel (*window, inputs, outputs), as in Keras; or those of the given axes."""
    if input_axes is not None and output_axes is not None:
        try:
            return math.prod(shape[a] for a in input_axes), math.prod(shape[a] for a in output_axes)
        except IndexError:
            raise ShapeError(
                f"The parameter has shape {tuple(shape)}, without the axes {input_axes} and {output_axes} of the fans.",
                argument="shape",
                expected=f"one with the axes {input_axes} and {output_axes}",
                got=tuple(shape),
            ) from None
    if len(shape) < 2:
        n = math.prod(shape)
        return n, n
    window = math.prod(shape[:-2])
    return window * shape[-2], window * shape[-1]


# The standard deviation of the standard normal distribution cut off at 2.
_TRUNCATED_STDDEV = 0.87962566103423978


@_initializer("variance_scaling")
class VarianceScaling:
    """Numbers of mean 0 and variance `scale / fan` (He et al., arXiv:1502.01852).

    Args:
        scale: A positive factor.
        mode: The fan: "fan_in" is the number of inputs of each output, "fan_out" the number of outputs of each input,
            "fan_avg" their mean.
        distribution: "truncated_normal" or "normal" (cut off at two standard deviations), "untruncated_normal", or
            "uniform".
        input_axes, output_axes: The axes of inputs and of outputs. By default inputs are the last but one and outputs
            the last axis, and all axes before belong to the window.
    """

    scale: float = 1.0
    mode: str = "fan_in"
    distribution: str = "truncated_normal"
    seed: int | None = None
    input_axes: Shape | None = None
    output_axes: Shape | None = None

    def __post_init__(self) -> None:
        checks.number("scale", self.scale, above=0)
        checks.one_of("mode", self.mode, ("fan_in", "fan_out", "fan_avg"))
        if self.distribution == "normal":
            object.__setattr__(self, "distribution", "truncated_normal")
        checks.one_of("distribution", self.distribution, ("truncated_normal", "untruncated_normal", "uniform"))
        checks.integer("seed", self.seed, none=True)
        _fan_axes(self)

    def __call__(self, key: Any, shape: Shape, dtype: str = "float32") -> Any:
        fan_in, fan_out = fans(shape, self.input_axes, self.output_axes)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        stddev = math.sqrt(self.scale / max(1.0, fan))
        if self.distribution == "uniform":
            limit = math.sqrt(3.0) * stddev
            return RandomUniform(-limit, limit)(key, shape, dtype)
        if self.distribution == "untruncated_normal":
            return RandomNormal(0.0, stddev)(key, shape, dtype)
        return TruncatedNormal(0.0, stddev / _TRUNCATED_STDDEV)(key, shape, dtype)


def _fan_axes(self: Any) -> None:
    """Check `input_axes` and `output_axes`, and keep them as tuples."""
    for argument in ("input_axes", "output_axes"):
        axes = getattr(self, argument)
        if axes is not None:
            if not isinstance(axes, list | tuple):
                axes = (axes,)
            object.__setattr__(self, argument, tuple(checks.integer(argument, a) for a in axes))
    if (self.input_axes is None) != (self.output_axes is None):
        missing = "input_axes" if self.input_axes is None else "output_axes"
        raise ArgumentError(
            "`input_axes` and `output_axes` must be given together, got one of them.",
            argument=missing,
            expected="both or neither",
            got="None",
        )


@dataclass
class _Scaled:
    """A `VarianceScaling` with its own name.

    Args:
        input_axes, output_axes: As for `VarianceScaling`.
    """

    seed: int | None = None
    input_axes: Shape | None = None
    output_axes: Shape | None = None

    scaling: ClassVar[VarianceScaling]

    def __post_init__(self) -> None:
        checks.integer("seed", self.seed, none=True)
        _fan_axes(self)

    def __call__(self, key: Any, shape: Shape, dtype: str = "float32") -> Any:
        scaling = dataclasses.replace(self.scaling, input_axes=self.input_axes, output_axes=self.output_axes)
        return scaling(key, shape, dtype)


@_initializer("glorot_uniform")
class GlorotUniform(_Scaled):
    """Uniform numbers of variance `2 / (inputs + outputs)` (Glorot and Bengio, 2010)."""

    scaling: ClassVar[VarianceScaling] = VarianceScaling(1.0, "fan_avg", "uniform")


@_initializer("glorot_normal")
class GlorotNormal(_Scaled):
    """Truncated normal numbers of variance `2 / (inputs + outputs)` (Glorot and Bengio, 2010)."""

    scaling: ClassVar[VarianceScaling] = VarianceScaling(1.0, "fan_avg")


@_initializer("lecun_uniform")
class LecunUniform(_Scaled):
    """Uniform numbers of variance `1 / inputs` (LeCun et al., Efficient BackProp, 1998)."""

    scaling: ClassVar[VarianceScaling] = VarianceScaling(1.0, "fan_in", "uniform")


@_initializer("lecun_normal")
class LecunNormal(_Scaled):
    """Truncated normal numbers of variance `1 / inputs` (LeCun et al., Efficient BackProp, 1998)."""

    scaling: ClassVar[VarianceScaling] = VarianceScaling(1.0, "fan_in")


@_initializer("he_uniform")
class HeUniform(_Scaled):
    """Uniform numbers of variance `2 / inputs` (He et al., arXiv:1502.01852)."""

    scaling: ClassVar[VarianceScaling] = VarianceScaling(2.0, "fan_in", "uniform")


@_initializer("he_normal")
class HeNormal(_Scaled):
    """Truncated normal numbers of variance `2 / inputs` (He et al., arXiv:1502.01852)."""

    scaling: ClassVar[VarianceScaling] = VarianceScaling(2.0, "fan_in")


@_initializer("orthogonal", "OrthogonalInitializer")
class Orthogonal:
    """A matrix (rows, columns) with orthonormal rows or columns, times `gain` (Saxe et al., arXiv:1312.6120).

    If there are more axes, all axes except the last are rows.

    Args:
        gain: A number.
    """

    gain: float = 1.0
    seed: int | None = None

    def __post_init__(self) -> None:
        checks.number("gain", self.gain)
        checks.integer("seed", self.seed, none=True)

    def __call__(self, key: Any, shape: Shape, dtype: str = "float32") -> Any:
        if len(shape) < 2:
            raise ArgumentError(
                f"Orthogonal makes a matrix with two or more axes, and the parameter has shape {tuple(shape)}.",
                argument="shape",
                expected="two or more axes",
                got=shape,
            )
        rows, columns = math.prod(shape[:-1]), shape[-1]
        xp = namespace(key)
        drawn = "float64" if dtype == "float64" else "float32"  # since libraries do not factorise shorter matrices
        q, r = xp.linalg.qr(random.normal(key, (max(rows, columns), min(rows, columns)), drawn))
        # If the diagonal of R is made positive, the factorisation is unique, and Q is uniformly distributed.
        diagonal = xp.linalg.diagonal(r)
        q = q * xp.where(diagonal < 0, -xp.ones_like(diagonal), xp.ones_like(diagonal))
        # The reshape to one axis and back stores the numbers by rows. Stored by columns, later products would round
        # differently.
        q = self.gain * xp.reshape(xp.reshape(q if rows >= columns else xp.matrix_transpose(q), (-1,)), shape)
        return q if drawn == dtype else xp.astype(q, getattr(xp, dtype))


constant = Constant
zeros = Zeros
ones = Ones
identity = Identity
stft = STFT
orthogonal = Orthogonal
IdentityInitializer = Identity
STFTInitializer = STFT
OrthogonalInitializer = Orthogonal
random_uniform = RandomUniform
random_normal = RandomNormal
truncated_normal = TruncatedNormal
variance_scaling = VarianceScaling
glorot_uniform = GlorotUniform
glorot_normal = GlorotNormal
lecun_uniform = LecunUniform
lecun_normal = LecunNormal
he_uniform = HeUniform
he_normal = HeNormal


def get(initializer: InitializerLike) -> Callable[..., Array] | None:
    """The initializer that `initializer` stands for: a name, a config, a class, a function, or None."""
    return None if initializer is None else resolve("initializer", initializer)


class Initializer:
    """Base of initializers of your own, as Keras has it. Any function `(key, shape, dtype) -> array` is one, too.

    Register the class, `@kf.register("initializer")`, so that files can name it. A `__call__(self, shape, dtype=None)`
    as in Keras is taken, too: it gets no key.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        own = vars(cls).get("__call__")
        if own is not None and list(inspect.signature(own).parameters)[1:2] == ["shape"]:

            @functools.wraps(own)
            def __call__(self: Any, *args: Any, dtype: str = "float32") -> Array:
                shape, *rest = args[1:] if len(args) > 1 and hasattr(args[0], "dtype") else args
                return own(self, shape, dtype=rest[0] if rest else dtype)

            cls.__call__ = __call__  # type: ignore[assignment, method-assign]

    def __call__(self, key: Array, shape: Shape, dtype: str = "float32") -> Array:
        """The first values, which depend on nothing but the arguments: `key` is where random numbers come from."""
        raise NotImplementedError(f"{type(self).__name__} defines no __call__(self, key, shape, dtype).")

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an object like this one."""
        return {}


serialize, deserialize = configs("initializer")
