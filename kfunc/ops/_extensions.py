"""The standard's extensions, which a namespace may lack."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..arrays import namespace
from ..errors import UnsupportedError

__all__ = ["extension"]


def extension(name: str, function: str, *arrays: Any) -> Callable:
    """`function` of the extension `name` ("linalg" or "fft") of the namespace that `arrays` live in.

    Raises:
        UnsupportedError: The namespace does not have this function.
    """
    xp = namespace(*arrays)
    found = getattr(getattr(xp, name, None), function, None)
    if found is None:
        raise UnsupportedError(
            f"This backend does not have the function {name}.{function}.",
            expected=f"a namespace with the standard's extension {name}",
            got=getattr(xp, "__name__", repr(xp)),
            fix='compute this part elsewhere: kf.asarray(x, backend="numpy")',
        )
    return found
