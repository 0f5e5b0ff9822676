"""What kfunc asks of PyTorch."""

from __future__ import annotations

import functools
import threading
import types
import warnings
from typing import Any

import numpy as np
import torch
import torch.utils.checkpoint

from ... import tree
from ...tracing import loops
from ..base import Backend, Kind
from ..gradients import independent, not_floating, not_known
from ..standard import plain
from . import dynamo, namespace
from .cuts import is_tracked, refuse_cut
from .levels import differentiated_twice, differentiating, in_functorch, in_vmap, unwrapped, watches

__all__ = ["TorchBackend", "backend", "shared"]


_BITS = {"bfloat16": "int16", "float8_e4m3fn": "uint8", "float8_e5m2": "uint8"}
"""Dtypes that torch does not take from NumPy, nor give to it, and those with their bits."""


class TorchBackend(Backend):
    name = "torch"
    large: int | None = 1 << 21  # from this size on it is faster, too
    stages_in_place = True
    xp = namespace

    @property
    def version(self) -> Any:
        return torch.__version__

    def kind(self, cls: Any) -> Any:
        return Kind(self) if issubclass(cls, torch.Tensor) else None

    def asarray(self, x: Any, dtype: Any = None, device: Any = None) -> Any:
        dtype = None if dtype is None else getattr(torch, dtype)
        if isinstance(x, torch.Tensor):
            return x.to(device=device, dtype=dtype)
        if torch.compiler.is_compiling():
            return torch.as_tensor(x).to(device=device, dtype=dtype)
        # A copy, so that in-place optimizers never write into the memory of a NumPy model.
        return shared(np.array(x, order="C")).to(device=device, dtype=dtype)

    shares = True

    def adopted(self, x: Any) -> Any:
        return shared(x) if x.flags.writeable and min(x.strides, default=0) >= 0 else self.asarray(x)

    def staged(self, x: Any, device: Any = None) -> Any:
        if not (x.flags.c_contiguous and x.flags.writeable):
            return self.asarray(x, device=device)
        tensor = shared(x)
        return tensor if device is None else tensor.to(device)

    def to_numpy(self, x: Any) -> Any:
        # Conjugates and signs may be put off, as after an FFT, and zeros as those of second derivatives may be unmade.
        x = x.detach().cpu().resolve_conj().resolve_neg()
        name = str(x.dtype)[6:]
        if name not in _BITS:
            return x.numpy(force=True)
        try:
            import ml_dtypes
        except ModuleNotFoundError:
            raise self.unsupported(f"NumPy's {name} without ml_dtypes", "pip install ml-dtypes") from None
        return x.contiguous().view(getattr(torch, _BITS[name])).numpy().view(getattr(ml_dtypes, name))

    def generators(self, batches: Any) -> Any:
        if not isinstance(batches, torch.utils.data.DataLoader):
            return ()
        owners = batches, batches.sampler, getattr(batches.batch_sampler, "sampler", None)
        found = {id(g): g for owner in owners if isinstance(g := getattr(owner, "generator", None), torch.Generator)}
        return (*found.values(), *([torch.default_generator] if batches.generator is None else []))

    def is_traced(self, x: Any) -> Any:
        return torch.compiler.is_compiling()

    def jit(self, fun: Any, *, static_argnames: Any = (), constant_argnums: Any = (), donate_argnums: Any = ()) -> Any:
        options = {"guard_filter_fn": _needed_guards}
        compiled = torch.compile(_own_code(fun), fullgraph=True, dynamic=False, options=options)

        def called(args, kwargs):
            try:
                return compiled(*args, **kwargs)
            except torch._dynamo.exc.FailOnRecompileLimitHit:
                # It is an error after 8 programs, but each new size needs one.
                with torch._dynamo.config.patch(recompile_limit=_MANY, accumulated_recompile_limit=_MANY):
                    return compiled(*args, **kwargs)

        @functools.wraps(fun)
        def run(*args, **kwargs):
            # Dynamo does not trace inside `torch.func`, and its programs have no second derivative.
            if torch.compiler.is_compiling() or differentiated_twice() or in_functorch():
                return fun(*args, **kwargs)
            try:
                return called(args, kwargs)
            except torch._dynamo.exc.TorchDynamoException as error:
                # Dynamo cannot raise our errors, nor does it say which one the function would raise.
                fun(*tree.map(_copy, args), **tree.map(_copy, kwargs))
                reason, fix = dynamo.reason(error)
                raise self.unsupported(f"kf.jit of this function: {reason}", fix) from error

        return run

    def jit_at_once(self, fun: Any, **options: Any) -> Any:
        from .recorded import Jitted  # here, so that importing kfunc takes no longer

        return Jitted(self, fun)

    def explain(self, error: Exception) -> None:
        if type(error) is RuntimeError and any(words in str(error) for words in _READS):
            raise not_known(error) from error
        if type(error) is RuntimeError and str(error).startswith("only Tensors of floating point"):
            raise not_floating(str(error)) from error
        if type(error) is RuntimeError and "double backward" in str(error):
            raise _no_second_derivative() from error

    def extent(self, x: Any) -> Any:
        if x.is_contiguous():
            return x.data_ptr(), x.data_ptr() + x.nbytes
        memory = x.untyped_storage()
        return memory.data_ptr(), memory.data_ptr() + memory.nbytes()

    def released(self, x: Any) -> Any:
        return x.detach().clone(memory_format=torch.contiguous_format) if isinstance(x, torch.Tensor) else x

    def value_and_grad(self, fun: Any, argnums: Any = 0, has_aux: bool = False, strict: bool = False) -> Any:
        watched = _seen(fun, lambda out: out[:1] if has_aux else out, strict)
        compiled = torch.func.grad_and_value(watched, argnums, has_aux)

        def value_and_gradient(*args, **kwargs):
            self._must_keep_operations()
            # torch.func is needed in Dynamo, which does not trace torch.autograd.grad, and in torch.vmap, whose batches
            # that does not know. Otherwise torch.autograd.grad takes less than half the time.
            if torch.compiler.is_compiling() or in_functorch():
                gradient, value = compiled(*args, **kwargs)
                return value, gradient
            return _eager_value_and_grad(watched, argnums, has_aux, args, kwargs)

        return value_and_gradient

    def _must_keep_operations(self) -> None:
        if not torch.compiler.is_compiling() and torch.is_inference_mode_enabled():
            raise self.unsupported(
                "gradients under torch.inference_mode", "leave torch.inference_mode where a gradient is needed"
            )

    def vjp(self, fun: Any, *primals: Any, has_aux: bool = False) -> Any:
        self._must_keep_operations()
        run, restore = _split_results(fun, has_aux)
        out, pull, aux = torch.func.vjp(_seen(run, lambda out: out[0]), *primals, has_aux=True)
        return (out, pull, restore(aux)) if has_aux else (out, pull)

    def jvp(self, fun: Any, primals: Any, tangents: Any, has_aux: bool = False) -> Any:
        self._must_keep_operations()
        run, restore = _split_results(fun, has_aux)
        run = _seen(run, lambda out: out[0])
        try:
            if torch.compiler.is_compiling():
                raise NotImplementedError  # Dynamo does not trace forward mode
            _load_forward_mode()
            out, tangent, aux = torch.func.jvp(run, primals, tangents, has_aux=True)
        except NotImplementedError:
            # Dynamo, and some fused kernels, have no forward mode. Two reverse modes make one: the result of the first
            # is linear in the cotangent, and the second differentiates for that.
            with differentiating():
                out, pull, aux = torch.func.vjp(run, *primals, has_aux=True)
            tangent = torch.func.vjp(pull, tree.map(torch.zeros_like, out))[1](tangents)[0]
        return (out, tangent, restore(aux)) if has_aux else (out, tangent)

    def checkpoint(self, fun: Any) -> Any:
        def run(*args, **kwargs):
            if torch.compiler.is_compiling() or in_functorch():
                return fun(*args, **kwargs)
            return torch.utils.checkpoint.checkpoint(
                fun, *args, use_reentrant=False, preserve_rng_state=False, determinism_check="none", **kwargs
            )

        return run

    def custom_gradient(self, fun: Any) -> Any:
        def run(*args):
            out, gradient = fun(*args)
            leaves = tree.leaves(args)
            if torch.compiler.is_compiling():
                if torch._C._are_functorch_transforms_active() or any([x.requires_grad for x in leaves]):
                    dynamo.refuse_custom_gradient()
                return out

            def shares(*upstream):
                return loops.gradient_leaves(gradient, upstream, args)

            outs = iter(_Attached.apply(shares, len(leaves), *leaves, *[x.detach() for x in tree.leaves(out)]))
            return tree.map(lambda _: next(outs), out)

        return run

    def stop_gradient(self, x: Any) -> Any:
        return torch.detach(x)  # and not `x.detach()`: see `cuts`

    def vmap(self, fun: Any, in_axes: Any = 0, out_axes: Any = 0) -> Any:
        mapped = torch.vmap(fun, in_axes, out_axes)

        def run(*args):
            axes = () if torch.compiler.is_compiling() else loops.mapped_axes(args, in_axes)
            over = [x.shape[a] for arg, a in zip(args, axes, strict=False) if a is not None for x in tree.leaves(arg)]
            # Where nothing is there to map over, some of torch's rules fail.
            return loops.vmap(fun, in_axes, out_axes)(*args) if 0 in over else mapped(*args)

        return run

    def while_loop(self, cond_fun: Any, body_fun: Any, init: Any) -> Any:
        if not torch.compiler.is_compiling():
            return _while_in_vmap(cond_fun, body_fun, init) if in_vmap() else NotImplemented
        if differentiated_twice() or in_vmap():
            dynamo.refuse_while_loop()

        def refill(flat):
            flat = iter(flat)
            return tree.map(lambda _: next(flat), init)

        # Copies, since neither inputs nor results may share memory.
        out = torch.while_loop(
            lambda *flat: cond_fun(refill(flat)),
            lambda *flat: tuple([x.clone() for x in tree.leaves(body_fun(refill(flat)))]),
            tuple([x.clone() for x in tree.leaves(init)]),
        )
        return refill(out)

    def is_symbol(self, size: Any) -> Any:
        return isinstance(size, torch.SymInt)

    def waits(self, x: Any) -> Any:
        return torch.compiler.is_compiling() or x.device.type != "cpu" or in_vmap()

    def form(self, leaves: Any) -> Any:
        if (
            torch.compiler.is_compiling()
            or in_functorch()
            or any([x.requires_grad for x in leaves if isinstance(x, torch.Tensor)])
        ):
            return None
        array = torch.Tensor
        forms = [(x.__class__, x.shape, x.dtype, x.device) if isinstance(x, array) else plain(x) for x in leaves]
        return torch.is_grad_enabled(), torch.is_autocast_enabled("cpu"), *forms

    def inferring(self) -> Any:
        return torch.no_grad()  # `torch.lstm` is faster with it, even where no argument needs a gradient

    def watched(self, x: Any) -> Any:
        """`x` as an input for which `gradients` can be taken."""
        if not torch.is_grad_enabled():
            raise RuntimeError("PyTorch keeps no operations for gradients here (torch.no_grad).")
        return _input(x)

    def gradients(self, value: Any, inputs: Any) -> Any:
        """The gradients of `value`, of shape (), for the inputs. It frees the graph, so it can be called only once."""
        if not value.requires_grad:
            raise RuntimeError("The value has no gradient. Outside of a recording it is looked up why.")
        # The function that `torch.autograd.grad` calls: the checks before that take a twentieth of a small step.
        run = torch.autograd.Variable._execution_engine.run_backward
        options = {"allow_unreachable": True, "accumulate_grad": False}
        gradients = run((value,), (torch.ones_like(value),), False, False, tuple(inputs), **options)
        return [torch.zeros_like(x) if g is None else g for x, g in zip(inputs, gradients, strict=True)]


@functools.cache
def _load_forward_mode():
    """Use forward mode once: the first use loads parts of torch that warn about other parts of torch."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.func.jvp(torch.sin, (torch.zeros(()),), (torch.zeros(()),))


def _seen(fun, results, strict=False):
    """`fun`, and an error where none of the `results` of what it returns has a gradient, though one is asked for.

    It is one if something cut the gradient off, or, with `strict`, in any case.
    """

    @functools.wraps(fun)
    def run(*args, **kwargs):
        out = fun(*args, **kwargs)
        if torch.compiler.is_compiling():
            if strict and not any([x.requires_grad for x in tree.leaves(results(out))]):
                dynamo.refuse_independent()
        elif not any(map(is_tracked, tree.leaves(results(out)))):
            if strict:
                raise independent()
            refuse_cut(fun, args, kwargs)
        return out

    return run


def _input(x):
    """`x` as an input for which gradients can be taken; a tensor made in inference mode must be copied for that."""
    return (x.clone() if x.is_inference() else x.detach()).requires_grad_()


def _split_results(fun, has_aux):
    """`fun` returning `(out, tensors of aux)`, and the function that puts such tensors back into the tree of aux."""
    plain = None

    def run(*args):
        nonlocal plain
        out = fun(*args)
        out, plain = out if has_aux else (out, None)
        return out, [x for x in tree.leaves(plain) if isinstance(x, torch.Tensor)]

    def restore(tensors):
        tensors = iter(tensors)
        return tree.map(lambda x: next(tensors) if isinstance(x, torch.Tensor) else x, plain)

    return run, restore


class _Attached(torch.autograd.Function):
    """The values of the tensors after the first `n`, from which `shares` carries cotangents back to these."""

    generate_vmap_rule = True

    @staticmethod
    def forward(shares: Any, n: Any, *tensors: Any) -> Any:
        return tuple(x.clone() for x in tensors[n:])

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.shares = inputs[0]

    @staticmethod
    def backward(ctx: Any, *upstream: Any) -> Any:
        return None, None, *ctx.shares(*upstream), *(None for _ in upstream)


class _Last(torch.autograd.Function):
    """A gradient that cannot be differentiated: that of a program of torch.compile, which would seem to be constant."""

    @staticmethod
    def forward(ctx: Any, gradient: Any, *inputs: Any) -> Any:
        return gradient.view_as(gradient)

    @staticmethod
    def backward(ctx: Any, *upstream: Any) -> Any:
        raise _no_second_derivative()


def _no_second_derivative():
    return backend.unsupported(
        "a second derivative of a compiled function", "put kf.jit around the function that takes the derivatives"
    )


def _needed_guards(guards):
    """Which guards Dynamo keeps: not those on our tables, which may grow without any change to this function.

    A NumPy array that a function closes over is read in each call, and has a guard of its shape and dtype. Where guards
    are filtered, torch (2.13) builds them twice, and fails as it compares the two by the arrays' values: so it must
    forget the first one. Under `torch.func`, the guard that it builds never holds.
    """
    keep = []
    for guard in guards:
        drop = "_kinds" in guard.name or "_implementations" in guard.name
        if "from_numpy" in guard.name:
            guard.orig_guard.obj_weakref = None
            drop = any("_functorch" in frame.filename for frame in guard.orig_guard.user_stack or ())
        keep.append(not drop)
    return keep


def _while_in_vmap(cond_fun, body_fun, carry):
    """Goes on as long as one of the batch goes on; the others stay as they are."""
    while unwrapped(go_on := cond_fun(carry)).any():
        carry = tree.map(lambda new, old, go_on=go_on: torch.where(go_on, new, old), body_fun(carry), carry)
    return carry


def _own_code(fun):
    """`fun` with a code object of its own: Dynamo limits compilations for each code object, and closures share one."""
    if not isinstance(fun, types.FunctionType):
        return fun
    own = types.FunctionType(fun.__code__.replace(), fun.__globals__, fun.__name__, fun.__defaults__, fun.__closure__)
    own.__kwdefaults__ = fun.__kwdefaults__
    return own


def _eager_value_and_grad(fun, argnums, has_aux, args, kwargs):
    positions = (argnums,) if isinstance(argnums, int) else argnums
    leaves, structure = tree.flatten(tuple(args[i] for i in positions))
    # A leaf that requires a gradient belongs to the graph of somebody who differentiates around us: it stays in it.
    inputs = [x if x.requires_grad else _input(x) for x in leaves]
    inner = list(args)
    for i, x in zip(positions, tree.unflatten(structure, inputs), strict=True):
        inner[i] = x
    differentiable = torch.is_grad_enabled()
    with torch.enable_grad():
        with differentiating():
            out = fun(*inner, **kwargs)
        value, aux = out if has_aux else (out, None)
        nested = differentiable and _reaches_beyond(value, leaves, inputs)
        if value.requires_grad:
            gradients = torch.autograd.grad(value, inputs, create_graph=nested, materialize_grads=True)
            if nested and any(node.name() == "CompiledFunctionBackward" for node in _nodes(value)):
                gradients = [_Last.apply(g, *inputs) for g in gradients]
        else:
            gradients = [torch.zeros_like(x) for x in inputs]
    if not nested:
        value, aux = tree.map(_detach, (value, aux))
    gradient = tree.unflatten(structure, gradients)
    gradient = gradient[0] if isinstance(argnums, int) else gradient
    return ((value, aux) if has_aux else value), gradient


_MANY = 1 << 20  # programs
_READS = (
    "Can't call numpy() on Tensor that requires grad",
    "Cannot access data pointer of Tensor that doesn't have storage",
    "vmap: It looks like you're calling .item()",
    "vmap: It looks like you're attempting to use a Tensor in some data-dependent control flow",
)
"""How PyTorch says that a value is not known."""


def _copy(x):
    return x.clone() if isinstance(x, torch.Tensor) else x


def _detach(x):
    return x.detach() if isinstance(x, torch.Tensor) else x


def _reaches_beyond(value, leaves, inputs):
    """Whether the graph of `value` has leaves that are not ours: then somebody differentiates around us."""
    if any(x.requires_grad for x in leaves):
        return True
    own = {id(x) for x in inputs}
    for node in _nodes(value):
        variable = None if node.next_functions else getattr(node, "variable", None)  # only nodes of leaves have one
        if variable is not None and id(variable) not in own:
            return True
    return False


def _nodes(value):
    """All nodes of the graph of `value`."""
    seen, stack = set(), [value.grad_fn]
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        stack.extend(parent for parent, _ in node.next_functions)


backend: TorchBackend = TorchBackend()


def shared(x: Any) -> Any:
    """The NumPy array `x` as a tensor with the same memory."""
    bits = _BITS.get(x.dtype.name)
    if x.dtype.char == "Q":  # one of NumPy's two names of uint64, which it gives to large numbers of Python
        x = x.view("L")
    out = torch.from_numpy(x) if bits is None else torch.from_numpy(x.view(bits)).view(getattr(torch, x.dtype.name))
    if watches and (watch := watches.get(threading.get_ident())) is not None:
        watch.note(out)
    return out
