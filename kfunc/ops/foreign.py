"""Modules of other libraries, which run on the arrays of their library alone."""

from __future__ import annotations

from typing import Any

from ..arrays import backend_of
from ..backends.foreign import Foreign
from ..errors import ArgumentError, UnsupportedError
from ._op import op

__all__ = ["foreign"]


@op(nested=True)
def foreign(
    module: Foreign, values: list[Any], args: tuple[Any, ...], kwargs: dict[str, Any] | None, key: Any, train: bool
) -> tuple[Any, list[Any] | None]:
    """Run a module of another library; see `kfunc.backends.foreign.Foreign.run`. Its library has the lowering.

    On `Spec`s, the second result is whether the module draws random numbers.
    """
    if not isinstance(module, Foreign):
        raise ArgumentError.must_be("module", "a module of another library", module)
    got = backend_of(values, args, kwargs).name
    raise UnsupportedError(
        f"{module.name} computes with arrays of {module.library} only, and got arrays of {got}.",
        argument="inputs",
        expected=f"arrays of {module.library}",
        got=f"arrays of {got}",
        fix=f"give the model's calls backend={module.library!r}, as in model.fit(x, y, backend={module.library!r}); or "
        f"move the arrays: kf.to_backend(x, {module.library!r})",
    )


@foreign.shape_rule
def _foreign(module: Any, values: Any, args: Any, kwargs: Any, key: Any, train: Any) -> Any:
    if not isinstance(module, Foreign):
        return NotImplemented
    return module.shapes(values, args, kwargs, train)
