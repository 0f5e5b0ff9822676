"""Arrays that were read from files, brought to the backend of a network in one pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import files
from ..arrays import asarray
from ..backends import Backend, get
from ..typing import Array

if TYPE_CHECKING:
    import numpy as np

__all__ = ["placed"]

_BLOCK = 1 << 19  # bytes; what a processor keeps near while it writes axes in another order


def placed(x: Array, dtype: str, backend: str | Backend) -> Array:
    """`kf.asarray(x, dtype, backend=backend)` for a NumPy array to which nobody else will write.

    It is not copied where its dtype is right and the backend takes memory as it is. Otherwise it is cast, and its axes
    are brought into order, by one copy into the memory that the backend then keeps. That takes less time than to do one
    after the other by the operations of the backend, of which JAX also compiles one for each shape.

    Args:
        x: The array, a view in any order of axes. An array of another backend goes through `kf.asarray`.
        dtype: The name of the dtype.
        backend: The backend of the result.
    """
    import numpy as np

    target = get(backend)
    if not isinstance(x, np.ndarray) or not hasattr(target.xp, dtype):
        return asarray(x, dtype, backend=target)
    wanted = files.numpy_dtype(dtype)
    if wanted is None:  # bfloat16, which PyTorch has
        return asarray(target.adopted(x), dtype, backend=target)
    if x.dtype == wanted and target.shares:
        return target.adopted(x)
    # Memory in the order of `x` takes the least time to write, but JAX and TensorFlow want the order of the axes.
    order = sorted(range(x.ndim), key=lambda i: -x.strides[i])
    turned = x.transpose(order)
    shape = turned.shape if target.shares else x.shape
    out = np.frombuffer(files.memory(x.size * wanted.itemsize), wanted).reshape(shape)
    if target.shares:
        inverse = sorted(range(x.ndim), key=order.__getitem__)
        _write(turned, out)
        return target.adopted(out.transpose(inverse))
    _write(turned, out.transpose(order))
    return target.adopted(out)


def _write(x: np.ndarray, out: np.ndarray) -> None:
    """Write `x` into `out`, in the order in which `x` lies in memory, in blocks that the processor keeps near."""
    import numpy as np

    if not x.ndim:
        out[...] = x
        return
    rows = max(1, _BLOCK * len(x) // max(1, x.nbytes))
    with np.errstate(all="ignore"):  # a number too large for float16 becomes infinite, as in other libraries
        for i in range(0, len(x), rows):
            # NumPy casts between axes of different orders number by number, so the cast comes first.
            out[i : i + rows] = x[i : i + rows].astype(out.dtype, copy=False)
