"""Modules of PyTorch as pure functions of their parameters, buffers and a random key."""

from __future__ import annotations

import contextlib
import copy
import logging
import threading
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch.func import functional_call
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm
from torch.utils._python_dispatch import TorchDispatchMode

from ... import tree
from ...errors import ArgumentError, KfuncError, ShapeError, shown
from ...ops._op import lowering
from ...ops.dropout import dropout
from ...ops.foreign import foreign
from ...random import fold_in
from ...tracing.spec import Spec
from ..foreign import Foreign, Variable, arrays_of, by_sizes, lacks_key
from ..standard import dtype_name
from .backend import backend

__all__ = ["TorchModule"]

_HALF = (torch.float16, torch.bfloat16)
_REMEMBERED = 32
"""For how many forms of its arguments it is found out what a module does besides."""
_seeding = threading.RLock()
"""The generators are PyTorch's own, which all threads share."""


class TorchModule(Foreign):
    """A `torch.nn.Module`, of which only the structure is kept; its tensors are read where first values are asked for.

    Attributes:
        tensors: The names of its parameters and buffers, and the tensors. Tied ones are there once.
    """

    name = "TorchModuleWrapper"
    library = "torch"

    def __init__(self, module: torch.nn.Module, output_shape: tuple[int | None, ...] | None = None):
        if not isinstance(module, torch.nn.Module):
            raise ArgumentError.must_be("module", "a torch.nn.Module, or a function that makes one", module)
        if any(isinstance(part, torch.jit.ScriptModule) for part in module.modules()):
            raise ArgumentError.must_be("module", "a module without parts of torch.jit", module)
        self._module, self._output_shape = module, output_shape
        self.tensors: dict[str, torch.Tensor] = {**dict(module.named_parameters()), **dict(module.named_buffers())}
        for name, x in self.tensors.items():
            if torch.nn.parameter.is_lazy(x):
                raise ArgumentError(
                    f"The parameter {name!r} of the module {type(module).__name__} has no shape yet.",
                    argument="module",
                    expected="a module whose parameters have shapes",
                    got=shown(module),
                    fix="call it once before: module(x), since lazy modules find their shapes then",
                )
            if "/" in name:
                raise ArgumentError.must_be("module", "a module without '/' in the names of its parts", name)
        self._variables = tuple(self._variable(name, x) for name, x in self.tensors.items())
        self._kept = [name for name, v in zip(self.tensors, self._variables, strict=True) if not v.trainable]
        self._buffers = tuple(name for name, _ in module.named_buffers())
        self._effects: dict[Any, _Effects | None] = {}
        """What calls do besides, by the form of their arguments; None where that cannot be found out."""
        # Tensors are put into a structure while it runs, so each thread has its own. These are for programs.
        self._structures = {train: self._structure(train) for train in (False, True)}
        self._of_thread = threading.local()

    def _variable(self, name: str, x: torch.Tensor) -> Variable:
        trains = isinstance(x, torch.nn.Parameter) and x.requires_grad
        path = tuple(name.split("."))
        return Variable(path, tuple(x.shape), dtype_name(x.dtype), trains, lambda key: x.detach())

    def _structure(self, train: bool) -> _Structure:
        """A copy of the module, in training or not, whose tensors have no values."""
        memo: dict[int, Any] = {}
        for x in self.tensors.values():
            empty = x.detach().to("meta")
            memo[id(x)] = torch.nn.Parameter(empty, x.requires_grad) if isinstance(x, torch.nn.Parameter) else empty
        names = {id(memo[id(x)]): name for name, x in self.tensors.items()}
        for values, name in _computed(self._module):
            if isinstance(values.get(name), torch.Tensor):
                memo[id(values[name])] = None
        try:
            return _Structure(copy.deepcopy(self._module, memo), names, train)
        except RuntimeError as error:
            raise ArgumentError(
                f"The module {type(self._module).__name__} cannot be copied: {str(error).partition('.  ')[0]}.",
                argument="module",
                expected="a module that copy.deepcopy copies",
                got=shown(self._module),
                fix="let forward compute the tensors that depend on parameters, and keep none of them in attributes",
            ) from error

    def variables(self, args: Any, kwargs: Any) -> tuple[Variable, ...]:
        return self._variables

    def draws(self, args: Any, kwargs: Any, train: bool) -> bool | None:
        effects = self._effects_of(args, kwargs, train)
        return self._structures[train].drops or (None if effects is None else effects.draws)

    # -- shapes --------------------------------------------------------------------------------------------------------

    def shapes(self, values: list[Any], args: Any, kwargs: Any, train: bool) -> tuple[Any, bool]:
        def found(train: bool) -> Any:
            return by_sizes(lambda given: self._run_on_specs(values, *given, train), (args, kwargs))

        with contextlib.suppress(Exception):  # some modules refuse to train with such a batch
            found(not train)
        if self._output_shape is None:
            try:
                out = found(train)
            except KfuncError:
                raise
            except Exception as error:
                raise self._unfit(error, args, kwargs) from error
        else:
            with contextlib.suppress(Exception):
                found(train)
            dtypes = [x.dtype for x in tree.leaves((args, kwargs)) if isinstance(x, Spec) and "float" in str(x.dtype)]
            out = Spec(self._output_shape, dtypes[0] if dtypes else "float32")
        effects = self._effects.get(_form(args, kwargs, train))
        return out, self._structures[train].drops or (effects is not None and effects.draws)

    def _effects_of(self, args: Any, kwargs: Any, train: bool) -> _Effects | None:
        """What such a call does besides; None if that is not known. Arguments of a new form are tried on shapes."""
        form = _form(args, kwargs, train)
        if form not in self._effects and len(self._effects) < _REMEMBERED and not torch.compiler.is_compiling():
            self._effects[form] = None
            values = [Spec(v.shape, v.dtype) for v in self._variables]
            with contextlib.suppress(Exception):  # the values of arrays may decide what the module does
                by_sizes(lambda given: self._run_on_specs(values, *given, train), tree.map(_spec, (args, kwargs)))
        return self._effects.get(form)

    def _run_on_specs(self, values: list[Any], args: Any, kwargs: Any, train: bool) -> Any:
        """What the module returns for these shapes, as `Spec`s. `_effects` then has what it does besides."""
        from torch._subclasses.fake_tensor import FakeTensorMode

        def empty(x: Any) -> Any:
            return torch.empty(x.shape, dtype=getattr(torch, dtype_name(x.dtype))) if isinstance(x, Spec) else x

        form, structure = _form(args, kwargs, train), self._own_structure(train)
        with _silent(), FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
            given = dict(zip(self.tensors, map(empty, values), strict=True))
            args, kwargs = tree.map(empty, (args, kwargs))
            with _Watch(given) as watch:
                out = _called(structure, given, args, kwargs)
        self._effects[form] = watch.effects().joined(self._effects.get(form))
        return tree.map(_spec, out)

    def _unfit(self, error: Exception, args: Any, kwargs: Any) -> ShapeError:
        shapes = ", ".join(str(tuple(x.shape)) for x in tree.leaves((args, kwargs)) if isinstance(x, Spec))
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        return ShapeError(
            f"The module {type(self._module).__name__} cannot be run on inputs of shape {shapes}: {reason}",
            argument="x",
            expected="inputs that the module takes",
            got=shapes,
            fix="if sizes that are not known are the reason, give them in the input's Spec, or give output_shape=",
        )

    # -- running -------------------------------------------------------------------------------------------------------

    def run(self, values: list[Any], args: Any, kwargs: Any, key: Any, train: bool) -> tuple[Any, list[Any] | None]:
        given = dict(zip(self.tensors, values, strict=True))
        effects = self._effects_of(args, kwargs, train)
        # Modules write into their buffers, and not all of PyTorch's operations say so.
        for name in self.tensors if effects is None else (*self._buffers, *effects.writes.difference(self._buffers)):
            given[name] = given[name].clone()
        if key is None and self._structures[train].drops:
            raise lacks_key(self.name)
        if effects is None or effects.draws:
            out = self._run_drawing(given, args, kwargs, key, train)
        else:
            structure = self._structures[train] if torch.compiler.is_compiling() else self._own_structure(train)
            out = _called(structure, given, args, kwargs, key)
        return out, [given[name] for name in self._kept] if self._kept else None

    @torch.compiler.disable(
        reason="torch.compile cannot trace random numbers of a TorchModuleWrapper, but for those of torch.nn.Dropout"
    )
    def _run_drawing(self, given: dict[str, Any], args: Any, kwargs: Any, key: Any, train: bool) -> Any:
        with _drawing_from(key, list(given.values())) as drawn:
            out = _called(self._own_structure(train), given, args, kwargs, key)
        if key is None and drawn[0]:
            raise lacks_key(self.name)
        return out

    def _own_structure(self, train: bool) -> _Structure:
        """The structure that belongs to this thread."""
        name = f"train_{train}"
        found = getattr(self._of_thread, name, None)
        if found is None:
            found = self._structure(train)
            setattr(self._of_thread, name, found)
        return found


class _Structure:
    """A module without values, which runs with any.

    Attributes:
        drops: Whether it has `torch.nn.Dropout`, which draws from the key itself.

    Args:
        module: A module that is used here alone.
        names: For the id of each of its tensors, the name by which it is given.
        train: Whether it behaves as in training.
    """

    def __init__(self, module: torch.nn.Module, names: dict[int, str], train: bool):
        self._keys = _Keys()
        self._module = _with_keys(module, self._keys, {}).train(train)
        self.drops = train and any(isinstance(part, _Dropout) and part.p > 0 for part in self._module.modules())
        self._places: dict[str, list[tuple[dict[str, Any], str]]] = {}
        for part in self._module.modules():
            for owner in (part._parameters, part._buffers):
                for key, x in owner.items():
                    if id(x) in names:
                        self._places.setdefault(names[id(x)], []).append((owner, key))
        self._computed = _computed(self._module)

    def __call__(self, given: dict[str, Any], args: Any, kwargs: Any, key: Any) -> Any:
        """The output for these tensors. Afterwards, `given` has those that the module has put in their places."""
        self._keys.start(key)
        if torch.compiler.is_compiling():
            out = functional_call(self._module, given, args, kwargs)
            self._keys.start(None)
            return out
        # `functional_call` takes as long as a small module.
        for name, value in given.items():
            for owner, key in self._places[name]:
                owner[key] = value
        try:
            return self._module(*args, **(kwargs or {}))
        finally:
            self._keys.start(None)
            for name, places in self._places.items():
                owner, key = places[0]
                given[name] = owner[key]
                for owner, key in places:
                    owner[key] = None  # so that no memory is held
            for owner, key in self._computed:
                owner[key] = None


def _computed(module: torch.nn.Module) -> list[tuple[dict[str, Any], str]]:
    """The attributes that `torch.nn.utils.weight_norm` and `spectral_norm` compute from parameters in each call."""
    return [
        (vars(part), hook.name)
        for part in module.modules()
        for hook in part._forward_pre_hooks.values()
        if isinstance(hook, WeightNorm | SpectralNorm)
    ]


class _Keys:
    """The random keys of one call of a module."""

    def __init__(self) -> None:
        self.start(None)

    def start(self, key: Any) -> None:
        self._key, self._drawn = key, 0

    def next(self) -> Any:
        """The next key; None where shapes are found."""
        self._drawn += 1
        return None if self._key is None else fold_in(self._key, self._drawn)


class _Dropout(torch.nn.Dropout):
    """Dropout whose numbers depend on a key: compiled and mapped functions can have it, and no device is waited for."""

    def __init__(self, p: float, keys: _Keys):
        super().__init__(p)
        self._keys = keys

    def forward(self, x: Any) -> Any:
        if not self.training or self.p == 0:
            return x
        key = self._keys.next()
        return x.clone() if key is None else dropout(x, key, float(self.p))


def _with_keys(module: torch.nn.Module, keys: _Keys, known: dict[int, torch.nn.Module]) -> torch.nn.Module:
    """`module` with `_Dropout` in place of `torch.nn.Dropout`, but for those that have hooks."""
    if id(module) not in known:
        known[id(module)] = module
        if type(module) is torch.nn.Dropout and not (module._forward_hooks or module._forward_pre_hooks):
            known[id(module)] = _Dropout(module.p, keys)
        for name, part in module._modules.items():
            if part is not None:
                module._modules[name] = _with_keys(part, keys, known)
    return known[id(module)]


def _called(run: _Structure, given: dict[str, Any], args: Any, kwargs: Any, key: Any = None) -> Any:
    """The output of a module for these tensors; see `_Structure`.

    Half precision beside parameters in float32 is what a policy makes of the inputs: then PyTorch's autocast decides
    what is computed in which precision.
    """
    halves = [x for x in tree.leaves((args, kwargs)) if isinstance(x, torch.Tensor) and x.dtype in _HALF]
    if not halves or all(x.dtype in _HALF for x in given.values() if x.is_floating_point()):
        return arrays_of(run(given, args, kwargs, key), TorchModule.name, _is_tensor)
    with torch.autocast(halves[0].device.type, halves[0].dtype, cache_enabled=False):
        return arrays_of(run(given, args, kwargs, key), TorchModule.name, _is_tensor)


def _is_tensor(x: Any) -> bool:
    return isinstance(x, torch.Tensor)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Inside, PyTorch does not log that shapes do not fit, which may be found by trying."""
    log = logging.getLogger("torch._subclasses.fake_tensor")
    before, log.disabled = log.disabled, True
    try:
        yield
    finally:
        log.disabled = before


class _Effects(NamedTuple):
    """What a call of a module does besides.

    Attributes:
        draws: Whether it draws from PyTorch's generators.
        writes: The names of the tensors that it writes into.
    """

    draws: bool
    writes: frozenset[str]

    def joined(self, other: _Effects | None) -> _Effects:
        """What either of two calls does."""
        return self if other is None else _Effects(self.draws or other.draws, self.writes | other.writes)


class _Watch(TorchDispatchMode):
    """Notes what operations do besides.

    Args:
        tensors: Those of which it is noted that something was written into them, by name.
    """

    def __init__(self, tensors: dict[str, Any]):
        super().__init__()
        self._tensors = {name: (x, _memory(x)) for name, x in tensors.items()}
        self._draws, self._written = False, set[int]()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self._draws = self._draws or torch.Tag.nondeterministic_seeded in func.tags
        kwargs = kwargs or {}
        for i, declared in enumerate(func._schema.arguments):
            if declared.alias_info is not None and declared.alias_info.is_write:
                given = args[i] if i < len(args) else kwargs.get(declared.name)
                self._written.update(_memory(x) for x in tree.leaves(given) if isinstance(x, torch.Tensor))
        return func(*args, **kwargs)

    def effects(self) -> _Effects:
        # `x.data = y` is no operation: `x` then has the memory of `y`.
        changed = {name for name, (x, m) in self._tensors.items() if m in self._written or m != _memory(x)}
        return _Effects(self._draws, frozenset(changed))


def _memory(x: torch.Tensor) -> int:
    """A number that tensors have in common if they have the same memory."""
    return x.untyped_storage()._cdata


def _spec(x: Any) -> Any:
    """Shape and dtype of an array; anything else is itself."""
    return Spec(tuple(x.shape), dtype_name(x.dtype)) if hasattr(x, "dtype") else x


def _form(args: Any, kwargs: Any, train: bool) -> Any:
    """Something that is equal for calls that differ in their arrays alone. torch.compile understands it."""

    def form(x: Any) -> Any:
        if isinstance(x, Mapping):
            return tuple([(name, form(value)) for name, value in x.items()])
        if isinstance(x, list | tuple):
            return tuple([form(value) for value in x])
        if hasattr(x, "dtype"):
            return "array"
        return x if x is None or isinstance(x, bool | int | float | str) else repr(x)

    return train, form(args), form(kwargs or {})


@contextlib.contextmanager
def _drawing_from(key: Any, values: list[Any]) -> Iterator[list[bool]]:
    """Inside, PyTorch's generators start from `key`, if there is one; afterwards they are as they were before.

    The list has an entry when the context has ended: whether random numbers were drawn, if `key` is None.
    """
    drawn: list[bool] = []
    with _seeding:
        generators = _generators(values)
        before = [g.get_state() for g in generators]
        if key is not None:
            low, high = (int(word) for word in backend.to_numpy(key))
            for g in generators:
                g.manual_seed(high << 32 | low)
        try:
            yield drawn
        finally:
            if key is None:
                after = [g.get_state() for g in generators]
                drawn.append(
                    any(a.numpy().tobytes() != b.numpy().tobytes() for a, b in zip(after, before, strict=True))
                )
            for g, state in zip(generators, before, strict=True):
                g.set_state(state)


def _generators(values: list[Any]) -> list[torch.Generator]:
    """The generators that operations on tensors beside `values` draw from."""
    devices = {x.device for x in values if x.device.type not in ("cpu", "meta")}
    found = [torch.default_generator]
    for device in devices:
        of_device = getattr(torch.get_device_module(device), "default_generators", ())
        found += [of_device[device.index]] if of_device else []
    return found


@lowering(backend, foreign)
def _(module: Foreign, values: list[Any], args: tuple[Any, ...], kwargs: dict[str, Any], key: Any, train: bool) -> Any:
    return module.run(values, args, kwargs, key, train) if isinstance(module, TorchModule) else NotImplemented


backend.foreign["TorchModuleWrapper"] = TorchModule
