"""`Node`, a value in a graph that is being built: ops and layers that are called with nodes make further nodes."""

from __future__ import annotations

import functools
import numbers
import operator
from collections.abc import Callable
from typing import Any, NoReturn

from .. import ops, tree
from ..arrays import dtype_name
from ..backends import Backend, Kind, kind_of
from ..backends.registry import add_kind
from ..elsewhere import tell
from ..errors import GraphError
from ..tracing.spec import Spec
from ..typing import Tree
from .initializers import IN_CONFIG
from .layer import Layer, NodeRef
from .operations import ConstantArray, Operation, constant

__all__ = ["Node", "Part", "called", "remember", "taken"]


def _operators(function: Callable[..., Any]) -> tuple[Any, Any]:
    """The operator of a node on the left, and of one on the right."""
    return (
        lambda x, y: NotImplemented if y is None else function(x, y),
        lambda x, y: NotImplemented if y is None else function(y, x),
    )


def _logical(name: str) -> Callable[..., Any]:
    """Of booleans, the logical function; of integers, that of their bits."""
    of_bools, of_bits = getattr(ops, f"logical_{name}"), getattr(ops, f"bitwise_{name}")

    def function(*xs: Any) -> Any:
        bools = all(dtype_name(x.dtype) == "bool" for x in xs if isinstance(x, Node))
        return (of_bools if bools else of_bits)(*xs)

    return function


class Node:
    """A value in a graph that is being built: an `Input`, or what a layer or a function of `kf.ops` makes of others.

    It computes as arrays do: `x + y`, `x[:, 0]`, `x > 0` and all of `kf.ops` give further nodes. Arrays and numbers may
    stand between them. It has no value yet, so Python can neither branch on it nor iterate over it.

    Attributes:
        spec: Its shape and dtype; a tree of them if the layer returns several values.
        name: Of an `Input`, the name that it was given, or None.
    """

    name: str | None = None
    entry: Layer | None = None
    """The `InputLayer` that stands for the node where it is an input."""
    __array_ufunc__ = None  # or NumPy would apply its own operators to each element of an array beside the node
    __array_priority__ = 1000  # the same for TensorFlow's operators

    def __init__(
        self, layer: Layer | None, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None, spec: Tree = None
    ):
        self.layer: Layer | None = layer
        self.args: tuple[Any, ...] = args
        self.kwargs: dict[str, Any] = kwargs or {}
        self.spec: Tree = spec

    def __repr__(self) -> str:
        return f"<input {self.spec}>" if self.layer is None else f"<output of {self.layer!r}: {self.spec}>"

    @property
    def parents(self) -> list[Node]:
        return [x for x in tree.leaves((self.args, self.kwargs)) if isinstance(x, Node)]

    @property
    def shape(self) -> tuple[int | None, ...]:
        return self.spec.shape

    @property
    def dtype(self) -> Any:
        return self.spec.dtype

    @property
    def ndim(self) -> int:
        return len(self.spec.shape)

    def __getitem__(self, key: Any) -> Any:
        return ops.get_item(self, key)

    __add__, __radd__ = _operators(ops.add)
    __sub__, __rsub__ = _operators(ops.subtract)
    __mul__, __rmul__ = _operators(ops.multiply)
    __truediv__, __rtruediv__ = _operators(ops.true_divide)
    __floordiv__, __rfloordiv__ = _operators(ops.floor_divide)
    __mod__, __rmod__ = _operators(ops.mod)
    __pow__, __rpow__ = _operators(ops.power)
    __matmul__, __rmatmul__ = _operators(ops.matmul)
    __and__, __rand__ = _operators(_logical("and"))
    __or__, __ror__ = _operators(_logical("or"))
    __xor__, __rxor__ = _operators(_logical("xor"))
    __lshift__, __rlshift__ = _operators(ops.bitwise_left_shift)
    __rshift__, __rrshift__ = _operators(ops.bitwise_right_shift)
    __lt__, __gt__ = _operators(ops.less)[0], _operators(ops.greater)[0]
    __le__, __ge__ = _operators(ops.less_equal)[0], _operators(ops.greater_equal)[0]
    __eq__, __ne__ = _operators(ops.equal)[0], _operators(ops.not_equal)[0]

    def __neg__(self) -> Any:
        return ops.negative(self)

    def __pos__(self) -> Any:
        return self

    def __abs__(self) -> Any:
        return ops.absolute(self)

    def __invert__(self) -> Any:
        return _logical("not")(self)

    def __round__(self, ndigits: int | None = None) -> Any:
        return ops.round(self, ndigits or 0)

    def __hash__(self) -> int:
        return id(self)

    def reshape(self, *newshape: Any) -> Any:
        return ops.reshape(self, newshape[0] if len(newshape) == 1 else newshape)

    def squeeze(self, axis: Any = None) -> Any:
        return ops.squeeze(self, axis)

    def _no_value(self, what: str, fix: str) -> NoReturn:
        raise GraphError(
            f"A node of a graph has no value yet, so {what}.",
            expected="functions of kf.ops, operators and layers, which make nodes of nodes",
            got=repr(self)[:200],
            fix=f"{fix}; or write a layer, whose forward gets arrays",
        )

    def __bool__(self) -> bool:
        self._no_value("`if`, `while`, `and`, `or` and `not` cannot ask for one", "choose by kf.ops.where")

    def __iter__(self) -> Any:
        self._no_value("Python cannot iterate over it", "take parts by kf.ops.unstack, kf.ops.split or x[:, i]")

    def __len__(self) -> int:
        self._no_value("it has no length", "read x.shape, where None is a size that is not known")

    def __float__(self) -> float:
        self._no_value("it is no number", "compute with the node")

    __int__ = __index__ = __complex__ = __float__  # type: ignore[assignment]

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        self._no_value("NumPy and other libraries cannot compute with it", "use the function of kf.ops")


tell(Node, "Node")


class Part(Node):
    """The value number `index` of those that the layer of `whole` returns."""

    def __init__(self, whole: Node, index: int, spec: Spec):
        super().__init__(whole.layer, spec=spec)
        self.whole: Node = whole
        self.index: int = index

    @property
    def parents(self) -> list[Node]:
        return [self.whole]


def called(layer: Layer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tree:
    """The output of `layer` for nodes: a node, or a tree of nodes if it returns several values.

    Raises:
        KfuncError: The nodes' shapes do not fit the layer.
    """
    args, kwargs = _with_nodes_for_arrays(args, kwargs)
    inputs, options = tree.map(lambda x: x.spec if isinstance(x, Node) else x, (args, kwargs))
    spec = layer.trace(*inputs, **options).outputs[-1][2]
    node: Any = Node(layer, args, kwargs, spec)
    if not isinstance(spec, Spec):
        leaves, structure = tree.flatten(spec)
        if isinstance(layer, Operation) and not any(isinstance(leaf, Spec) for leaf in leaves):
            return spec  # of `kf.ops.shape` and the like
        node = tree.unflatten(structure, [Part(node, i, leaf) for i, leaf in enumerate(leaves)])
    remember(layer, taken(args, kwargs), node)
    return node


def alone(layer: ConstantArray) -> Node:
    """The node of an array that no node is beside, such as the positions in `nn.Embedding(9, 4)(kf.ops.arange(9))`.

    When the graph runs, its first input is beside it.
    """
    node = Node(layer, (), {}, Spec(layer.shape, layer.kept_in))
    remember(layer, [], node)
    return node


def taken(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a layer was given, as its `input` shows it: the argument if there is one, or else a list of all."""
    return args[0] if len(args) == 1 and not kwargs else [*args, *kwargs.values()]


def remember(layer: Layer, given: Any, made: Any) -> None:
    """Let `layer` know the nodes of a call. The references are weak, or layers and nodes would hold each other."""
    weak = tuple(tree.map(lambda x: _reference_to(x) if isinstance(x, Node) else x, end) for end in (given, made))
    # Now and then, calls are forgotten whose nodes are gone: otherwise each call would make the layer larger.
    known = layer._calls if len(layer._calls) % _FORGETS else filter(_is_alive, layer._calls)
    object.__setattr__(layer, "_calls", (*known, weak))


_FORGETS = 32


def _is_alive(call: tuple[Any, Any]) -> bool:
    return any(isinstance(x, NodeRef) and x() is not None for x in tree.leaves(call[1]))


def _reference_to(node: Node) -> NodeRef:
    if not isinstance(node, Part):
        return NodeRef(node)
    index, spec = node.index, node.spec
    return NodeRef(node, node.whole, lambda whole: Part(whole, index, spec))


def _with_nodes_for_arrays(*trees: Any) -> Any:
    """Arguments of a layer in which nodes stand for the arrays among them."""
    nodes = [x for x in tree.leaves(trees) if isinstance(x, Node)]
    dtypes = tuple([dtype_name(x.dtype) for x in nodes])
    beside = [x for x, dtype in zip(nodes, dtypes, strict=True) if "float" in dtype] or nodes

    def is_long(x: Any) -> bool:
        if not isinstance(x, list | tuple) or len(leaves := tree.leaves(x)) <= IN_CONFIG:
            return False
        return all(isinstance(leaf, int | float) for leaf in leaves)

    def plain(x: Any) -> Any:
        if isinstance(x, slice):
            return slice(*[None if n is None else operator.index(n) for n in (x.start, x.stop, x.step)])
        if is_long(x) or isinstance(x, complex):
            x = ops.convert_to_tensor(x)
        kind = kind_of(type(x))
        if kind is None:
            return dtype_name(x) if isinstance(x, type) or type(x).__name__ == "dtype" else x
        if isinstance(x, Node | Spec):
            return x
        number: Any = x
        return number.item() if isinstance(x, numbers.Real) else array(x)

    def array(x: Any) -> Any:
        if "complex" in dtype_name(x.dtype):  # which JSON, and so a file's config, cannot hold
            return ops.view_as_complex(array(ops.view_as_real(x)))
        layer = constant(x, dtypes)
        return called(layer, tuple(beside[:1]), {}) if beside else alone(layer)

    leaves, structure = tree.flatten(trees, until=is_long)
    return tree.unflatten(structure, [plain(x) for x in leaves])


class _GraphBackend(Backend):
    """The backend of nodes: an op makes an `Operation` of them, and all else needs arrays."""

    name = "graph"
    trains = False

    @property
    def xp(self) -> Any:
        raise GraphError(
            "A node of a graph has no value yet, and this function computes with arrays.",
            expected="functions of kf.ops, operators and layers, which make nodes of nodes",
            got="a node",
            fix="use a function of kf.ops; or call it in the forward of a layer, or in an nn.Lambda",
        )

    def kind(self, cls: type[Any]) -> Kind | None:
        return _KIND if issubclass(cls, Node) else None

    def asarray(self, x: Any, dtype: str | None = None, device: Any = None) -> Any:
        return self.xp

    def to_numpy(self, x: Any) -> Any:
        return self.xp

    def device(self, x: Any) -> Any:
        return None

    def joined(self, x: Any, dtype: str | None, like: Any) -> Any:
        return x if dtype is None else x.astype(dtype)

    def is_traced(self, x: Any) -> bool:
        return True

    def implement(self, op: Any, native: bool) -> Callable[..., Any]:
        return functools.partial(_applied, op.name)

    def stop_gradient(self, x: Any) -> Any:
        return _applied("stop_gradient", x)

    def _refuse(self, *args: Any, **kwargs: Any) -> Any:
        return self.xp

    value_and_grad = vjp = jvp = checkpoint = custom_gradient = vmap = _refuse
    scan = associative_scan = while_loop = cond = switch = _refuse


def _applied(function: str, *args: Any, **kwargs: Any) -> Any:
    return called(Operation(function), args, kwargs)


_KIND = Kind(_GraphBackend(), rank=2)

for _class in (Node, Part):
    add_kind(_class, _KIND)
