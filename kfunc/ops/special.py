"""Special functions that the standard lacks."""

from __future__ import annotations

import math

from ..arrays import dtype_name, namespace
from ..typing import Array
from ._op import op
from ._promotion import floating

__all__ = ["erf", "erfc", "erfinv", "i0"]

# Rational approximations of W. J. Cody, "Rational Chebyshev approximations for the error function", Math. Comp. 23
# (1969), (numerator, denominator), highest power first: of erf(x)/x in x² up to 0.46875, of exp(x²) erfc(x) in x up to
# 4, and of (1/√π - x exp(x²) erfc(x)) x² in 1/x² beyond.
_ERF_SMALL = (
    (1.85777706184603153e-1, 3.16112374387056560, 1.13864154151050156e2, 3.77485237685302021e2, 3.20937758913846947e3),
    (1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3),
)
_ERFC_MIDDLE = (
    (
        *(2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594, 6.61191906371416295e1),
        *(2.98635138197400131e2, 8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3),
        1.23033935479799725e3,
    ),
    (
        *(1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3),
        *(3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3),
    ),
)
_ERFC_LARGE = (
    (
        *(1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1, 1.25781726111229246e-1),
        *(1.60837851487422766e-2, 6.58749161529837803e-4),
    ),
    (
        *(1.0, 2.56852019228982242, 1.87295284992346725, 5.27905102951428412e-1),
        *(6.05183413124413191e-2, 2.33520497626869185e-3),
    ),
)

# Polynomials of M. Giles, "Approximating the erfinv function", GPU Computing Gems (2011), highest power first, each
# with the w = -log(1 - x²) up to which it holds, whether it is in √w, and what is subtracted.
_ERF_INV_SINGLE = (
    (
        *(5.0, False, 2.5),
        (
            *(2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503),
            *(-0.00417768164, 0.246640727, 1.50140941),
        ),
    ),
    (
        *(math.inf, True, 3.0),
        (
            *(-0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613),
            *(0.00943887047, 1.00167406, 2.83297682),
        ),
    ),
)
_ERF_INV_DOUBLE = (
    (
        *(6.25, False, 3.125),
        (
            *(-3.6444120640178196996e-21, -1.685059138182016589e-19, 1.2858480715256400167e-18),
            *(1.115787767802518096e-17, -1.333171662854620906e-16, 2.0972767875968561637e-17),
            *(6.6376381343583238325e-15, -4.0545662729752068639e-14, -8.1519341976054721522e-14),
            *(2.6335093153082322977e-12, -1.2975133253453532498e-11, -5.4154120542946279317e-11),
            *(1.051212273321532285e-09, -4.1126339803469836976e-09, -2.9070369957882005086e-08),
            *(4.2347877827932403518e-07, -1.3654692000834678645e-06, -1.3882523362786468719e-05),
            *(0.0001867342080340571352, -0.00074070253416626697512, -0.0060336708714301490533),
            *(0.24015818242558961693, 1.6536545626831027356),
        ),
    ),
    (
        *(16.0, True, 3.25),
        (
            *(2.2137376921775787049e-09, 9.0756561938885390979e-08, -2.7517406297064545428e-07),
            *(1.8239629214389227755e-08, 1.5027403968909827627e-06, -4.013867526981545969e-06),
            *(2.9234449089955446044e-06, 1.2475304481671778723e-05, -4.7318229009055733981e-05),
            *(6.8284851459573175448e-05, 2.4031110387097893999e-05, -0.0003550375203628474796),
            *(0.00095328937973738049703, -0.0016882755560235047313, 0.0024914420961078508066),
            *(-0.0037512085075692412107, 0.005370914553590063617, 1.0052589676941592334, 3.0838856104922207635),
        ),
    ),
    (
        *(math.inf, True, 5.0),
        (
            *(-2.7109920616438573243e-11, -2.5556418169965252055e-10, 1.5076572693500548083e-09),
            *(-3.7894654401267369937e-09, 7.6157012080783393804e-09, -1.4960026627149240478e-08),
            *(2.9147953450901080826e-08, -6.7711997758452339498e-08, 2.2900482228026654717e-07),
            *(-9.9298272942317002539e-07, 4.5260625972231537039e-06, -1.9681778105531670567e-05),
            *(7.5995277030017761139e-05, -0.00021503011930044477347, -0.00013871931833623122026),
            *(1.0103004648645343977, 4.8499064014085844221),
        ),
    ),
)

# Chebyshev coefficients, lowest degree first, computed from the Bessel function at their nodes: of exp(-x) I₀(x) in
# x/4 - 1 up to 8, and of exp(-x) √x I₀(x) in 16/x - 1 beyond.
_I0_SMALL = (
    *(0.33839763720473803, -0.30468267234319835, 0.1716209015222087, -0.09490109704804758),
    *(0.04930528423967062, -0.023737414805899415, 0.010546460394594951, -0.004324309995050506),
    *(0.0016394756169412633, -0.0005763755745387539, 0.0001885028850956913, -5.75419501005342e-05),
    *(1.644844807076329e-05, -4.416738358700711e-06, 1.117387539037451e-06, -2.6707938505232676e-07),
    *(6.046994996400379e-08, -1.3000250209671549e-08, 2.6598238472841373e-09, -5.18979414998455e-10),
    *(9.675810153098041e-11, -1.7268075858112297e-11, 2.9547649049721514e-12, -4.853964452600223e-13),
    *(7.662967482779948e-14, -1.1879386363489175e-14, 2.0469737016526324e-15),
)
_I0_LARGE = (
    *(0.4022452055070544, 0.003369116478255711, 6.889758346915673e-05, 2.8913705208723217e-06),
    *(2.0489185890699806e-07, 2.2666689882683277e-08, 3.3962320122003786e-09, 4.940602510439263e-10),
    *(1.1889134642062427e-11, -3.149930316581617e-11, -1.3215860263787738e-11, -1.7940718355369256e-12),
    *(7.180484505597828e-13, 3.851363672424668e-13, 1.535100171978776e-14, -4.143907439413397e-14),
    *(-9.686695889854491e-15, 3.802513859341161e-15, 1.848347863653288e-15),
)


def _polynomial(x, coefficients):
    """Horner's rule, highest power first."""
    value = coefficients[0] * x + coefficients[1]
    for c in coefficients[2:]:
        value = value * x + c
    return value


def _ratio(x, coefficients):
    numerator, denominator = coefficients
    return _polynomial(x, numerator) / _polynomial(x, denominator)


def _erf_and_erfc(x):
    """erf(x) where |x| is at most 0.46875, erfc(|x|) where it is more, and where that is."""
    xp = namespace(x)
    one = xp.ones_like(x)
    magnitude = xp.abs(x)
    # Each formula sees only numbers from its own interval, so that none overflows where it is not taken.
    small = xp.where(magnitude <= 0.46875, x, 0 * one)
    middle = xp.where(magnitude > 4, 4 * one, magnitude)
    # Beyond 30 the result is 0 in double precision.
    large = xp.where(magnitude > 30, 30 * one, xp.where(magnitude > 4, magnitude, 4 * one))
    inverse = 1 / (large * large)
    tail = (1 / math.sqrt(math.pi) - inverse * _ratio(inverse, _ERFC_LARGE)) / large
    # exp would magnify the rounding of x². So the square of a short number, which is exact, goes apart from the rest.
    either = xp.where(magnitude > 4, large, middle)
    short = xp.trunc(either * 16) / 16
    decay = xp.exp(-short * short) * xp.exp(-(either - short) * (either + short))
    erfc = decay * xp.where(magnitude > 4, tail, _ratio(middle, _ERFC_MIDDLE))
    return small * _ratio(small * small, _ERF_SMALL), erfc, magnitude > 0.46875


@op(single=True, elementwise=True)
def erf(x: Array) -> Array:
    """The error function, elementwise, to about one rounding error (Cody, Math. Comp. 23, 1969)."""
    x = floating(x)
    xp = namespace(x)
    inner, outer, beyond = _erf_and_erfc(x)
    out = xp.where(beyond, xp.where(x < 0, outer - 1, 1 - outer), inner)
    return xp.where(x != x, x, out)


@erf.tape_rule
def _erf_share(xp, g, out, x):
    return g * (xp.exp(-x * x) * (2 / math.sqrt(math.pi)))


@op(single=True, elementwise=True)
def erfc(x: Array) -> Array:
    """`1 - erf(x)`, elementwise, to a few rounding errors where it is small too (Cody, Math. Comp. 23, 1969)."""
    x = floating(x)
    xp = namespace(x)
    inner, outer, beyond = _erf_and_erfc(x)
    out = xp.where(beyond, xp.where(x < 0, 2 - outer, outer), 1 - inner)
    return xp.where(x != x, x, out)


@erfc.tape_rule
def _erfc_share(xp, g, out, x):
    return g * (xp.exp(-x * x) * (-2 / math.sqrt(math.pi)))


@op(single=True, elementwise=True)
def erfinv(x: Array) -> Array:
    """The inverse of the error function on (-1, 1), elementwise; infinite at -1 and 1, NaN outside.

    Float32 by the polynomial that XLA evaluates, float64 by its long form (Giles, GPU Computing Gems, 2011).
    """
    x = floating(x)
    xp = namespace(x)
    table = _ERF_INV_DOUBLE if dtype_name(x.dtype) == "float64" else _ERF_INV_SINGLE
    magnitude = xp.abs(x)
    inside = xp.where(magnitude < 1, x, xp.zeros_like(x))
    w = -xp.log1p(-inside * inside)
    value, lowest = None, 0.0
    for limit, root, shift, coefficients in table:
        # The derivative of the root is infinite at 0, where another formula is taken.
        p = _polynomial((xp.sqrt(xp.where(w < lowest, lowest + 0 * w, w)) if root else w) - shift, coefficients)
        value, lowest = p if value is None else xp.where(w < lowest, value, p), limit
    # A product with x, as the slope is infinite at the ends, too. Inside, it must not see x: 0 * inf is NaN.
    beyond = xp.where(magnitude < 1, xp.ones_like(x), x)
    factor = xp.where(magnitude == 1, xp.full_like(x, float("inf")), xp.full_like(x, float("nan")))
    return xp.where(magnitude < 1, value * inside, beyond * factor)


@erfinv.tape_rule
def _erfinv_share(xp, g, out, x):
    return g * (xp.exp(out * out) * (math.sqrt(math.pi) / 2))


def _chebyshev(x, coefficients):
    """The sum of Chebyshev polynomials, by Clenshaw's recurrence."""
    last = namespace(x).zeros_like(x)
    value = last + coefficients[-1]
    for c in coefficients[-2:0:-1]:
        value, last = 2 * x * value - last + c, value
    return x * value - last + coefficients[0]


@op(single=True, elementwise=True)
def i0(x: Array) -> Array:
    """The modified Bessel function of the first kind of order 0, elementwise; integers are taken as float32."""
    x = floating(x)
    xp = namespace(x)
    # Not `abs`, whose slope of 0 at 0 would make the second derivative 0 there.
    magnitude, one = xp.where(x < 0, -x, x), xp.ones_like(x)
    most = math.log(float(xp.finfo(x.dtype).max))
    late, beyond = magnitude > most - 1, magnitude > most + 4.5
    m = xp.where(late, one, magnitude)
    bound = xp.full_like(x, 8.0)
    small, large = xp.where(m <= 8, m, bound), xp.where(m > 8, m, bound)
    scaled = xp.where(
        m <= 8, _chebyshev(small / 4 - 1, _I0_SMALL), _chebyshev(16 / large - 1, _I0_LARGE) / xp.sqrt(large)
    )
    # The exponential overflows a little earlier than the result, and the slope of the result in `scaled`, too.
    m = xp.where(late & ~beyond, magnitude, 10 * one)
    factor = _chebyshev(16 / m - 1, tuple([4 * c for c in _I0_LARGE]))
    near = xp.exp(m - 5) * xp.exp(5 - math.log(4) + xp.log(factor) - xp.log(m) / 2)
    far = xp.exp(xp.where(beyond, magnitude, one))
    return xp.where(beyond, far, xp.where(late, near, xp.exp(xp.where(late, one, magnitude)) * scaled))
