"""Functions compiled by `kf.jit`, and their programs."""

from __future__ import annotations

import contextlib
import functools
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import openvino as ov

from ... import tree
from .array import UINT32, Array, compile_graph, read

if TYPE_CHECKING:
    from .backend import OpenvinoBackend

__all__ = ["CONSTANT_SETS", "Compiled", "Program"]

CONSTANT_SETS = 4
"""A compiled function keeps the programs for so many sets of built-in constants."""


class Compiled:
    """A function of trees of arrays, compiled when it is first called with arguments of a new structure.

    The first axis of every argument may have any size: one program serves them all. Only where the function computes
    with that size, so that it cannot be traced without it, a program is built for each shape. Leaves of the arguments
    `constant_argnums` are built in; numbers and other leaves that are no arrays are built in too.

    Attributes:
        compilations: How many programs were built.
    """

    def __init__(
        self,
        backend: OpenvinoBackend,
        fun: Callable[..., Any],
        static_argnames: tuple[str, ...],
        constant_argnums: tuple[Any, ...],
    ) -> None:
        functools.update_wrapper(self, fun)
        self.backend: OpenvinoBackend = backend
        self.fun: Callable[..., Any] = fun
        self.static_argnames: tuple[str, ...] = static_argnames
        self.constant_argnums: tuple[Any, ...] = constant_argnums
        self.compilations = 0
        # For each set of constants, by their ids: the constants, which are kept so that no other object gets their
        # ids, and the programs by all else that a program depends on.
        self._sets: OrderedDict[tuple, tuple[list, dict]] = OrderedDict()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        static = {name: kwargs.pop(name) for name in self.static_argnames if name in kwargs}
        constant = [args[i] if i < len(args) else None for i in self.constant_argnums]
        varying = [None if i in self.constant_argnums else a for i, a in enumerate(args)]
        leaves, structure = tree.flatten((varying, kwargs))
        leaves = [self.backend.lift(x) for x in leaves]
        constants, constant_structure = tree.flatten(constant)
        if any(isinstance(x, Array) and x.traced for x in (*leaves, *constants)):
            return self.fun(*args, **kwargs, **static)  # inside another compiled function

        options = (self.backend.precision, self.backend.target, tuple(sorted(static.items())))
        programs = self._programs(constants)
        key = (structure, constant_structure, options, tuple(map(_signature, leaves)))
        # The plugin fails for an unknown size that turns out to be 0.
        empty = any(isinstance(x, Array) and 0 in x.shape for x in leaves)
        program = _FOR_ONE_SHAPE if empty else programs.get(key)
        if program is None:
            program = programs[key] = self._build(leaves, structure, constant, static, dynamic=True)
        if program is _FOR_ONE_SHAPE:
            key = (*key, tuple(x.shape for x in leaves if isinstance(x, Array)))
            program = programs.get(key)
            if program is None:
                program = programs[key] = self._build(leaves, structure, constant, static, dynamic=False)
        return program([x for x in leaves if isinstance(x, Array)])

    def _programs(self, constants: list) -> dict:
        key = tuple(map(id, constants))
        found = self._sets.get(key) or self._sets.setdefault(key, (constants, {}))
        with contextlib.suppress(KeyError):  # another thread may have dropped the set meanwhile
            self._sets.move_to_end(key)
            if len(self._sets) > CONSTANT_SETS:
                self._sets.popitem(last=False)
        return found[1]

    def _build(self, leaves: list, structure: Any, constant: list, static: dict, dynamic: bool) -> Any:
        traced = [
            Array.parameter((None, *x.shape[1:]) if dynamic and x.ndim else x.shape, x.dtype)
            if isinstance(x, Array)
            else x
            for x in leaves
        ]
        args, kwargs = tree.unflatten(structure, traced)
        for i, value in zip(self.constant_argnums, constant, strict=True):
            if i < len(args):
                args[i] = tree.map(self.backend.lift, value)
        parameters = [x for x in traced if isinstance(x, Array)]
        try:
            outs, out_structure = tree.flatten(self.fun(*args, **kwargs, **static))
            program = Program(parameters, outs, out_structure, self.backend)
        except Exception:
            # If the call itself is wrong, the program for known sizes raises the error.
            if dynamic and any(x.ndim for x in parameters):
                return _FOR_ONE_SHAPE
            raise
        self.compilations += program.compiled is not None
        return program


_FOR_ONE_SHAPE = object()


def _signature(leaf: Any) -> tuple:
    return (leaf.dtype, leaf.shape[1:], leaf.ndim > 0) if isinstance(leaf, Array) else (type(leaf), leaf)


class Program:
    """One compiled graph, safe to call from several threads."""

    def __init__(self, parameters: list[Array], outs: list[Any], structure: Any, backend: OpenvinoBackend) -> None:
        self.structure = structure
        self.traced: list[bool] = [isinstance(x, Array) and x.traced for x in outs]
        # Outputs that do not depend on the arguments are computed here, once.
        self.outs: list[Array | Any | None] = [
            Array.concrete(x.numpy()) if isinstance(x, Array) and not t else None if t else x
            for x, t in zip(outs, self.traced, strict=True)
        ]
        self.dtypes: list[Any | None] = [x.dtype if t else None for x, t in zip(outs, self.traced, strict=True)]
        nodes = [x.node for x, t in zip(outs, self.traced, strict=True) if t]
        self.compiled: Any = (
            compile_graph(nodes, [x.node.get_node() for x in parameters], backend.precision, backend.target)
            if nodes
            else None
        )
        self.requests: list[ov.InferRequest] = []

    def __call__(self, arguments: list[Array]) -> Any:
        if self.compiled is None:
            return tree.unflatten(self.structure, self.outs)
        try:
            request = self.requests.pop()
        except IndexError:
            request = self.compiled.create_infer_request()
        for i, x in enumerate(arguments):
            value = x.numpy()
            value = value.view(np.int32) if x.dtype == UINT32 else value
            request.set_input_tensor(i, ov.Tensor(value, shared_memory=True))
        request.infer()
        outs, i = list(self.outs), 0
        for position, traced in enumerate(self.traced):
            if traced:
                outs[position] = Array.concrete(read(request.get_output_tensor(i), self.dtypes[position]))
                i += 1
        self.requests.append(request)
        return tree.unflatten(self.structure, outs)
