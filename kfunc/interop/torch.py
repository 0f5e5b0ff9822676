"""Networks as modules of PyTorch, and back: `to_module` and `from_module`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch

from .. import tree
from ..arrays import to_backend
from ..errors import ArgumentError, MissingKeyError, shown
from ..nn.layer import Layer
from ..nn.torch_module_wrapper import TorchModuleWrapper
from ..typing import Array, Tree
from .checks import checked_net

__all__ = ["Module", "Part", "from_module", "to_module"]


class Part(torch.nn.Module):
    """A layer's place in a `Module`: its parameters, its state as buffers, and the parts below it.

    It cannot be called, and it is in training whenever the whole network is.
    """

    _changing: frozenset[str] | None = None
    """The names of the buffers that a step of training has changed; None before the first step."""

    def _fill(self, values: Mapping[str, Any], buffers: bool, path: str = "") -> None:
        """Take the leaves of `values` as buffers or parameters, and its dicts as parts."""
        for name, value in values.items():
            where = f"{path}{name}"
            if "." in name:
                raise ArgumentError(
                    f"A part of a module of PyTorch cannot have the name {shown(name)}, since it has a dot.",
                    path=where,
                    expected="names without dots, which separate the names in a path there",
                    got=repr(name),
                )
            # Not by `add_module` and its like, which refuse the names of a module's methods, as "train".
            if isinstance(value, Mapping):
                part: Any = self._modules.setdefault(name, Part())
                part._fill(value, buffers, f"{where}/")
            elif not isinstance(value, torch.Tensor):
                argument = "state" if buffers else "params"
                raise ArgumentError.must_be(argument, "nested dicts of arrays", value, said=f"an array at {where}")
            elif buffers:
                self._buffers[name] = value.detach()
            else:
                trains = value.is_floating_point() or value.is_complex()
                self._parameters[name] = torch.nn.Parameter(value.detach(), requires_grad=trains)

    def _trees(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """The parameters and the state, as they are now."""
        params: dict[str, Any] = dict(self._parameters)
        state: dict[str, Any] = dict(self._buffers)
        for name, part in self._modules.items():
            if isinstance(part, Part):
                inside = part._trees()
                for values, inner in zip((params, state), inside, strict=True):
                    if inner:
                        values[name] = inner
        return params, state

    def _guarded(self, state: dict[str, Any]) -> dict[str, Any]:
        """`state` with copies of what training will overwrite, since the gradient may need the values of now."""
        known = self._changing
        out = {}
        for name, value in state.items():
            part = self._modules.get(name)
            if isinstance(part, Part):
                out[name] = part._guarded(value)
            else:
                out[name] = value.clone() if known is None or name in known else value
        return out

    def _take(self, old: dict[str, Any], new: dict[str, Any]) -> None:
        """Write the new state into the buffers; `old` is what `_guarded` returned."""
        changed = []
        for name, value in new.items():
            part = self._modules.get(name)
            if isinstance(part, Part):
                part._take(old[name], value)
            elif value is not old[name]:
                changed.append(name)
                self._buffers[name].copy_(value)  # type: ignore[union-attr]
        if not torch.compiler.is_compiling():
            self._changing = frozenset(changed) | (self._changing or frozenset())

    def extra_repr(self) -> str:
        """The shapes of the arrays of this part."""
        own = {**self._parameters, **self._buffers}
        return ", ".join(f"{name}: {tuple(x.shape)}" for name, x in own.items() if x is not None)


class Module(Part):
    """A network with its parameters and state as a `torch.nn.Module`; see `to_module`."""

    def __init__(self, net: Layer, params: Tree, state: Tree = None):
        super().__init__()
        self._net = net
        self._draws = False
        """Whether the network has asked for a random key in evaluation."""
        self._asked = False
        """Whether it is known if the network has losses of its own."""
        self._fill(params or {}, buffers=False)
        self._fill(state or {}, buffers=True)

    def forward(self, *inputs: Any, key: Array | int | None = None, aux: bool = False, **options: Any) -> Any:
        """The output of the network. In training, the buffers take its new state.

        Args:
            inputs, options: The arguments of the network's `forward`.
            key: A random key or a seed. By default, a key is drawn from PyTorch's generator where one is needed.
            aux: Whether to return (output, `nn.Aux`), which has the losses of regularizers and the mask of the output.
        """
        _check_modes(self, self.training)
        params, state = self._trees()
        if self.training:
            state = self._guarded(state)
        if key is None and (self.training or self._draws):
            key = _drawn_key(params, state, inputs)
        looks = self.training and not aux and not self._asked and not torch.compiler.is_compiling()
        given: Any = {"state": state, "train": self.training, "aux": aux or looks, **options}
        try:
            out, new, *more = self._net.apply(params, *inputs, key=key, **given)
        except MissingKeyError:
            self._draws = True
            out, new, *more = self._net.apply(params, *inputs, key=_drawn_key(params, state, inputs), **given)
        if looks:
            self._asked = True
            _warn_of_losses(more[0].losses)
        if self.training:
            with torch.no_grad():
                self._take(state, new)
        return (out, *more) if aux else out


def _drawn_key(*values: Any) -> Any:
    """A random key from the generator that `torch.manual_seed` sets, on the device of the first tensor in `values`."""
    device = next((x.device for x in tree.leaves(values) if isinstance(x, torch.Tensor)), None)
    words = torch.randint(-(2**31), 2**31, (2,), dtype=torch.int64, device=device)
    return words.to(torch.int32).view(torch.uint32)


def _warn_of_losses(losses: dict[str, Any]) -> None:
    if losses:
        warnings.warn(
            f"The network adds losses of its own, as a regularizer does ({', '.join(losses)}), and they are not in the "
            "output of the module: y, aux = module(x, aux=True), and add sum(aux.losses.values()) to the loss.",
            stacklevel=5,
        )


def _check_modes(part: Part, training: bool, path: str = "") -> None:
    for name, inner in part._modules.items():
        where = f"{path}{name}"
        if inner is not None and inner.training is not training:
            modes = ("in evaluation", "in training") if training else ("in training", "in evaluation")
            raise ArgumentError(
                f"The part {where!r} is {modes[0]}, and the module around it is {modes[1]}.",
                path=where,
                expected="train() and eval() of the whole module alone",
                fix=f"to keep a layer in evaluation, freeze it before: nn.freeze(net, {where!r}), or trainable=False",
            )
        if isinstance(inner, Part):
            _check_modes(inner, training, f"{where}/")


def to_module(net: Layer, params: Tree, state: Tree = None) -> Module:
    """A network as a `torch.nn.Module`, for all that PyTorch's users do with one.

    The names in its `state_dict` are the paths of the arrays, with dots: `encoder.dense.kernel`, as in a file of
    `kf.save(params)`. What is frozen in the network is a part of its state, and so it is a buffer. Tensors are shared,
    not copied: an optimizer of PyTorch changes `params`, and training changes `state`.

    In training, random keys are drawn from PyTorch's generator, so that `torch.manual_seed` repeats them. Losses of
    regularizers, and masks, are in what `module(x, aux=True)` returns. Constraints are those of kfunc's own training.

    Args:
        net: The network.
        params, state: Its parameters and state, as `init` or training returned them, of any backend. Arrays of other
            backends are copied.

    Raises:
        ArgumentError: `net` is no layer; or `params` or `state` has other leaves than arrays, or a name with a dot.
    """
    return Module(checked_net(net), to_backend(params, "torch"), to_backend(state, "torch"))


def from_module(module: torch.nn.Module) -> tuple[Layer, Tree, Tree]:
    """(net, params, state) of any `torch.nn.Module`: `to_module` backwards, without copies.

    A module that `to_module` made gives its network. Any other gives an `nn.TorchModuleWrapper`.

    Raises:
        ArgumentError: `module` is no module of PyTorch, or its parameters have no shapes yet.
    """
    if isinstance(module, Module):
        params, state = tree.map(lambda x: x.detach(), module._trees())
        return module._net, params, state
    if not isinstance(module, torch.nn.Module):
        raise ArgumentError.must_be("module", "a torch.nn.Module", module)
    net = TorchModuleWrapper(module)
    found: Any = net._module
    params, state = {}, {}
    for variable, tensor in zip(found.variables((), {}), found.tensors.values(), strict=True):
        branch: dict[str, Any] = params if variable.trainable else state
        for part in variable.path[:-1]:
            branch = branch.setdefault(part, {})
        branch[variable.path[-1]] = tensor.detach()
    return net, params, state
