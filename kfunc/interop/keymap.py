"""`KeyMap`: which tensor of a checkpoint is which array of a network, as data that loads and saves."""

from __future__ import annotations

import functools
import math
import operator
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from .. import checks, tree
from ..arrays import asarray, backend_of, dtype_name, namespace, native, to_numpy
from ..backends import Backend, kind_of
from ..errors import ArgumentError, ParamError
from ..nn.layer import Layer
from ..typing import Array, Tree
from .checkpoints import Checkpoint
from .placing import placed

__all__ = ["KeyMap", "stack_arrays"]

_HOLE = re.compile(r"\{(\w+)\}")
_TERM = re.compile(r"\([^()]*\)|[^\s()]+")
_Index = dict[str, list[tuple[int, int, re.Pattern[str]]]]
"""Numbers of rules, and which of their names, with the names' patterns."""
_LISTED = 20
"""How many tensors an error lists."""


class KeyMap:
    """Which tensor of a checkpoint is which array of a network, and how its axes lie.

    A rule is `(theirs, ours)` or `(theirs, ours, form)`:

    - `theirs` is the name of a tensor, such as `"encoder.layer.{i}.attention.query.weight"`. A hole `{i}` stands for a
      number. Several names in a tuple are copies of one tensor (tied weights): one of them is enough to load, copies
      must be equal, and the first is saved. `"bias_ih + bias_hh"` is the sum of tensors; the first of them is saved as
      the sum, and the others as zeros, with which a network computes the same. None stands for an array that the
      checkpoint does not have: it is zeros, and cannot be saved if it is not.
    - `ours` is the path of a parameter or state variable, with slashes: `"encoder/{i}/attention/query/kernel"`. Several
      paths in a tuple are parts of one tensor. If they are equal, the first axis on the right of the form counts them.
      If they have different sizes, they lie one after the other along the axis on the left that is marked by a plus:
      `"(h+ d) i -> i h d"`, where queries have more heads than keys.
    - `form` says how their axes become ours, in the notation of einops: `"o i -> i o"` for a matrix that is stored the
      other way round, `"(h d) i -> i h d"` where heads have an axis of their own here, `"i (s h d) -> s i h d"` for a
      fused tensor, whose parts are several paths. Without a form, the axes are the same. A hole that `ours` does not
      have is an axis on the right: `("block.{n}.weight", "blocks/kernel", "o i -> n i o")` stacks those of all blocks.

    Sizes follow from shapes, so a rule holds for all sizes of a family. Those that no shape tells are given by name,
    such as `r=2` for pairs that are rotated.

    Args:
        rules: The rules. Each tensor, and each array, belongs to one.
        ignore: Regular expressions; tensors whose whole names they match are not loaded.
        sizes: Sizes of axes that do not follow from shapes.

    Raises:
        ArgumentError: A rule or a regular expression cannot be read; a rule would lose something on the way back; or a
            size is not a positive integer, or that of an axis that no form has.
    """

    def __init__(self, rules: Iterable[tuple[Any, ...]], ignore: Iterable[str] = (), **sizes: int):
        self._rules = [_rule(rule) for rule in rules]
        self.ignore: tuple[str, ...] = () if isinstance(ignore, str) else tuple(ignore)
        try:
            self._ignored = [re.compile(pattern) for pattern in self.ignore]
        except (re.error, TypeError):
            self._ignored = []
        if isinstance(ignore, str) or len(self._ignored) < len(self.ignore):
            raise ArgumentError.must_be("ignore", "a list of regular expressions", ignore)
        axes = {name for rule in self._rules for side in rule.form or () for term in side for name in term} - {"1"}
        self.sizes: dict[str, int] = {name: checks.count(name, size) for name, size in sizes.items()}
        for name in sizes.keys() - axes:
            raise ArgumentError(
                f"A size is given for `{name}`, and no form has that axis.",
                argument=name,
                expected=", ".join(sorted(axes)) or "no sizes",
                got=repr(sizes[name]),
            )
        self._theirs = _index([rule.theirs for rule in self._rules])
        self._ours = _index([rule.ours for rule in self._rules])

    def __repr__(self) -> str:
        return f"KeyMap({len(self._rules)} rules)"

    def load(
        self,
        tensors: Mapping[str, Array],
        net: Layer,
        *inputs: Any,
        backend: str | Backend | None = None,
        **options: Any,
    ) -> tuple[Tree, Tree]:
        """The parameters and the state of a network, from the tensors of a checkpoint.

        Args:
            tensors: Arrays of any backend by name. They are read one after the other, so a mapping that reads them from
                files needs memory for one at a time.
            net: The network. Nothing is drawn for it.
            inputs, options: The arguments of its `forward`, samples or `Spec`s with a batch axis.
            backend: The backend of the result; by default that of the first tensor.

        Returns:
            (params, state): as of `net.init`, in the dtypes that the network declares. Arrays share memory with
            those of `tensors` where nothing about them changes; those of a `Checkpoint` share it with nobody.

        Raises:
            ArgumentError: `tensors` is no mapping from names.
            ParamError: A tensor has no rule, or two, or its shape does not fit; or an array gets no tensor, or two. The
                error lists all of them.
        """
        if not isinstance(tensors, Mapping) or not all(isinstance(name, str) for name in tensors):
            raise ArgumentError.must_be("tensors", "a mapping from names to arrays", tensors)
        call = net.trace(*inputs, **options)
        declared = {"/".join(path): d.spec for path, d in (call.declared or {}).items()}
        problems: list[str] = []
        found: dict[str, Any] = {}
        if backend is None and isinstance(tensors, Checkpoint):
            backend = tensors.backend
        place: Any = placed if isinstance(tensors, Checkpoint) else asarray
        loaded = (name for name in tensors if not any(pattern.fullmatch(name) for pattern in self._ignored))
        matches = self._by_rule(self._theirs, loaded, problems)
        for path in declared:
            for i, match in _matches(self._ours, path):
                if not self._rules[i].theirs:
                    matches[i].append(match)
        rules = zip(self._rules, matches, strict=True)
        for rule, each in sorted(rules, key=lambda pair: not pair[0].theirs):  # zeros last, beside the others
            for ours, group in rule.groups(each):
                problems += [f"{path}: two rules have a tensor for it" for path in ours if path in found]
                try:
                    values = rule.loaded(group, ours, tensors, declared, self.sizes, backend)
                except ValueError as error:
                    problems.append(f"{', '.join(m.name for m in group)}: {error}")
                    values = []
                if backend is None and values:
                    backend = backend_of(values)
                dtypes = [dtype_name(declared[path].dtype) for path in ours[: len(values)]]
                found.update(dict.fromkeys(ours))
                for path, dtype, value in zip(ours, dtypes, values, strict=False):
                    found[path] = place(value, dtype, backend=backend)
        problems += [f"{path}: no tensor is for it" for path in declared if path not in found]
        if problems:
            raise _unfit("The tensors do not fit the network", problems)
        return call.trees(lambda path, declaration: found["/".join(path)])

    def save(self, params: Tree, state: Tree = None, copies: bool = False) -> dict[str, Array]:
        """The tensors of a checkpoint, from the parameters and the state of a network: `load` backwards, bit for bit.

        Args:
            params, state: Arrays of one backend, as `load` or training left them.
            copies: Whether a tensor with several names (tied weights) is saved under all of them.

        Returns:
            Arrays of the same backend by name.

        Raises:
            ParamError: An array has no rule, or two; a tensor would be written twice; or an array is not zero, and the
                checkpoint does not have it. The error lists all of them.
        """
        arrays: dict[str, Any] = {}
        for part in (params, state):
            arrays.update(zip(tree.paths(part), tree.leaves(part), strict=True))
        problems: list[str] = []
        out: dict[str, Any] = {}
        for rule, matches in zip(self._rules, self._by_rule(self._ours, arrays, problems), strict=True):
            for ours, group in rule.groups(matches):
                try:
                    saved = rule.saved(ours, group[0].holes, arrays, self.sizes, copies)
                except ValueError as error:
                    problems.append(f"{', '.join(ours)}: {error}")
                    continue
                problems += [f"{name}: two rules have it" for name in saved if name in out]
                out.update(saved)
        if problems:
            raise _unfit("The arrays do not fit the checkpoint", problems)
        return out

    def _by_rule(self, index: _Index, names: Iterable[str], problems: list[str]) -> list[list[_Match]]:
        """The names that belong to each rule."""
        matches: list[list[_Match]] = [[] for _ in self._rules]
        for name in names:
            found = _matches(index, name)
            if len(found) != 1:
                problems.append(f"{name}: {'two rules have' if found else 'no rule has'} it")
            for i, match in found[:1]:
                matches[i].append(match)
        return matches


class _Match(NamedTuple):
    """A name, which of the names in the rule describes it, and the numbers in it."""

    name: str
    copy: int
    holes: dict[str, str]


class _Rule(NamedTuple):
    """A rule of a `KeyMap`.

    Attributes:
        stacked: The hole that is an axis here, or None.
        along: The axis on the left along which parts of different sizes lie, or None.
        summed: Whether the array is the sum of the tensors, which are copies of each other otherwise.
    """

    theirs: tuple[str, ...]
    ours: tuple[str, ...]
    form: _Form | None
    stacked: str | None
    along: str | None
    summed: bool

    def groups(self, matches: list[_Match]) -> Iterable[tuple[tuple[str, ...], list[_Match]]]:
        """The paths that belong together, and the matches that are for them. Copies stand one after the other."""
        groups: dict[tuple[str, ...], list[_Match]] = {}
        for match in matches:
            groups.setdefault(tuple(_filled(path, match.holes) for path in self.ours), []).append(match)
        for group in groups.values():
            group.sort(key=lambda match: (match.copy, int(match.holes.get(self.stacked or "", 0))))
        return groups.items()

    def loaded(
        self,
        theirs: list[_Match],
        ours: tuple[str, ...],
        tensors: Mapping[str, Any],
        declared: Mapping[str, Any],
        sizes: Mapping[str, int],
        backend: str | Backend | None,
    ) -> list[Any]:
        """The arrays for the paths `ours`. A ValueError says what does not fit."""
        lacking = [path for path in ours if path not in declared]
        if lacking:
            raise ValueError(f"the network has no {', '.join(lacking)}")
        shape = tuple(declared[ours[0]].shape)
        if not self.theirs:
            import numpy as np

            return [np.zeros(shape, "float32")]
        shapes = [tuple(declared[path].shape) for path in ours]
        if len(ours) > 1 and self.along is None:
            others = set(shapes)
            if len(others) > 1:
                raise ValueError(f"its parts have different shapes, {', '.join(map(str, sorted(others)))}")
            shape = (len(ours), *shape)
        dtype = dtype_name(declared[ours[0]].dtype)
        xs = [_read(tensors, match.name, dtype, backend) for match in theirs]
        for x in xs:
            _check_dtype(x, dtype)
        if self.stacked is not None:
            numbers = [int(match.holes[self.stacked]) for match in theirs]
            if numbers != list(range(len(xs))):
                raise ValueError(f"their numbers are not 0 to {len(xs) - 1}")
            x = stack_arrays(xs)
        elif self.summed:
            if len(xs) < len(self.theirs):
                raise ValueError(f"it is one of {len(self.theirs)} tensors that are added, and others are missing")
            x = _sum([asarray(x, dtype) for x in xs])
        else:
            x = xs[0]
            if any(not _equal(x, other) for other in xs[1:]):
                raise ValueError("they are copies, and have different values")
        if self.form is not None and self.along is not None:
            return self.form.split(x, shapes, self.along, sizes)
        if self.form is not None:
            x = self.form.turned(x, shape, sizes)
        elif tuple(x.shape) != shape:
            raise ValueError(f"its shape is {tuple(x.shape)}, and {shape} is needed")
        return _parts(x) if len(ours) > 1 else [x]

    def saved(
        self,
        ours: tuple[str, ...],
        holes: dict[str, str],
        arrays: Mapping[str, Any],
        sizes: Mapping[str, int],
        copies: bool,
    ) -> dict[str, Any]:
        """The tensors that the arrays at the paths `ours` become. A ValueError says what does not fit."""
        lacking = [path for path in ours if path not in arrays]
        if lacking:
            raise ValueError(f"there is no {', '.join(lacking)} beside it")
        xs = [_array(arrays[path]) for path in ours]
        if not self.theirs:
            if to_numpy(xs[0]).any():
                raise ValueError("the checkpoint has no place for it, and it is not zero")
            return {}
        if self.form is not None and self.along is not None:
            return {_filled(self.theirs[0], holes): self.form.joined(xs, self.along, sizes)}
        x = stack_arrays(xs) if len(xs) > 1 else xs[0]
        if self.form is not None:
            x = self.form.reversed().turned(x, None, sizes)
        if self.stacked is None:
            first, *others = [_filled(name, holes) for name in self.theirs]
            beside = _zeros(x) if self.summed else x
            return {first: x, **(dict.fromkeys(others, beside) if self.summed or copies else {})}
        numbered = [{**holes, self.stacked: str(i)} for i in range(x.shape[0])]
        return {_filled(self.theirs[0], h): part for h, part in zip(numbered, _parts(x), strict=True)}


class _Form(NamedTuple):
    """How axes become others: each side is a list of axes, each the names of those that are folded into it."""

    left: tuple[tuple[str, ...], ...]
    right: tuple[tuple[str, ...], ...]

    def reversed(self) -> _Form:
        return _Form(self.right, self.left)

    def turned(self, x: Any, shape: tuple[int, ...] | None, given: Mapping[str, int]) -> Any:
        """`x` with the axes of the right side, to `shape` where that is known. A ValueError says what does not fit."""
        known = [(self.left, tuple(x.shape)), *([(self.right, shape)] if shape is not None else [])]
        sizes = _solved(known, given)
        names, turned = self._names()
        out = [math.prod(sizes[name] for name in term) for term in self.right]
        return _moved(x, [sizes[n] for n in names], [names.index(n) for n in turned], out)

    def split(self, x: Any, shapes: list[tuple[int, ...]], along: str, given: Mapping[str, int]) -> list[Any]:
        """The parts of `x`, of these shapes, that lie one after the other along an axis of the left side."""
        each = self._each(shapes, along, given, tuple(x.shape))
        total = {**each[0], along: sum(sizes[along] for sizes in each)}
        if tuple(x.shape) != (whole := tuple(math.prod(total[name] for name in term) for term in self.left)):
            raise ValueError(f"its shape is {tuple(x.shape)}, and the parts make {whole}")
        names, turned = self._names()
        out, begin = [], 0
        x = _moved(x, [total[n] for n in names], [*range(len(names))], [total[n] for n in names])
        for sizes, shape in zip(each, shapes, strict=True):
            part = _part(x, names.index(along), begin, begin + sizes[along])
            out.append(_moved(part, [sizes[n] for n in names], [names.index(n) for n in turned], list(shape)))
            begin += sizes[along]
        return out

    def joined(self, xs: list[Any], along: str, given: Mapping[str, int]) -> Any:
        """`split` backwards."""
        each = self._each([tuple(x.shape) for x in xs], along, given)
        names, turned = self._names()
        parts = [
            _moved(x, [sizes[n] for n in turned], [turned.index(n) for n in names], [sizes[n] for n in names])
            for x, sizes in zip(xs, each, strict=True)
        ]
        total = {**each[0], along: sum(sizes[along] for sizes in each)}
        whole = _concatenated(parts, names.index(along))
        return _moved(
            whole,
            [total[n] for n in names],
            [*range(len(names))],
            [math.prod(total[n] for n in term) for term in self.left],
        )

    def _each(
        self, shapes: list[tuple[int, ...]], along: str, given: Mapping[str, int], whole: tuple[int, ...] | None = None
    ) -> list[dict[str, int]]:
        """The sizes of all axes in each of the parts."""
        known: list[Any] = []
        if whole is not None:
            if len(whole) != len(self.left):
                raise ValueError(f"its shape is {whole}, and the form has {len(self.left)} axes")
            pairs = [pair for pair in zip(self.left, whole, strict=True) if along not in pair[0]]
            known = [(tuple(term for term, _ in pairs), tuple(size for _, size in pairs))]
        each = [_solved([*known, (self.right, shape)], given) for shape in shapes]
        if any({**sizes, along: 0} != {**each[0], along: 0} for sizes in each):
            raise ValueError(
                f"its parts have shapes that differ along more than {along}, {', '.join(map(str, shapes))}"
            )
        return each

    def _names(self) -> tuple[list[str], list[str]]:
        """The axes on the left, and on the right."""
        left, right = ([name for term in side for name in term if name != "1"] for side in (self.left, self.right))
        return left, right


def _solved(
    known: list[tuple[tuple[tuple[str, ...], ...], tuple[int, ...]]], given: Mapping[str, int]
) -> dict[str, int]:
    """The sizes of all axes, from shapes whose axes are known. A ValueError says what does not fit."""
    sizes = {"1": 1, **given}
    for terms, shape in known:
        if len(terms) != len(shape):
            raise ValueError(f"its shape is {shape}, and the form has {len(terms)} axes")
    pairs = [pair for terms, shape in known for pair in zip(terms, shape, strict=True)]
    while True:
        before = len(sizes)
        for term, size in pairs:
            unknown = [name for name in term if name not in sizes]
            product = math.prod(sizes[name] for name in term if name in sizes)
            if len(unknown) == 1 and product and size % product == 0:
                sizes[unknown[0]] = size // product
            elif len(unknown) < 2 and product != size:
                shapes = " and ".join(str(shape) for _, shape in known)
                raise ValueError(f"({' '.join(term)}) cannot have the size {size}, from shapes {shapes}")
        if len(sizes) == before:
            break
    unknown = sorted({name for term, _ in pairs for name in term} - sizes.keys())
    if unknown:
        raise ValueError(f"the size of {unknown[0]} is unknown: give it, as in KeyMap(rules, {unknown[0]}=...)")
    return sizes


def _rule(rule: Any) -> _Rule:
    """A rule as it was written, checked."""

    def wrong(why: str) -> ArgumentError:
        return ArgumentError(
            f"The rule {rule!r} of a KeyMap {why}.",
            argument="rules",
            expected='("their.{i}.weight", "ours/{i}/kernel", "o i -> i o")',
            got=repr(rule),
        )

    if not isinstance(rule, tuple | list) or len(rule) not in (2, 3):
        raise wrong("is not (theirs, ours) or (theirs, ours, form)")
    text = rule[2] if len(rule) == 3 else None
    theirs, ours = (
        tuple(part) if isinstance(part, tuple | list) else () if part is None else (part,) for part in rule[:2]
    )
    if not all(isinstance(part, str) for part in (*theirs, *ours, text or "")):
        raise wrong("has a name or a form that is not a string")
    summed = isinstance(rule[0], str) and " + " in rule[0]
    if summed:
        theirs = tuple(rule[0].split(" + "))
    if not ours:
        raise wrong("has no path of the network")
    if not theirs and rule[0] is not None:
        raise wrong("has no name of a tensor")
    marked = re.findall(r"(\w+)\+", (text or "").partition("->")[0])
    along = marked[0] if marked else None
    if along is not None and (len(marked) > 1 or len(ours) < 2):
        raise wrong("marks an axis by a plus, and does not have several paths that lie along that one axis")
    form = None if not text else _form(text.replace(f"{along}+", f"{along}", 1), wrong)
    found = [_HOLE.findall(name) for name in (*theirs, *ours)]
    if any(len(set(names)) < len(names) or not all(map(str.isidentifier, names)) for names in found):
        raise wrong("has a name with one hole twice, or a hole that is no name")
    holes = list(map(frozenset, found))
    if (theirs and len(set(holes[: len(theirs)])) > 1) or len(set(holes[len(theirs) :])) > 1:
        raise wrong("has names with different holes")
    own = holes[-1]
    stacked = sorted(holes[0] - own) if theirs else []
    if theirs and own - holes[0]:
        raise wrong(f"has a hole {{{min(own - holes[0])}}} that stands in `ours` alone")
    if len(stacked) > 1 or (stacked and (form is None or (stacked[0],) not in form.right)):
        raise wrong(f"has a hole {{{stacked[0]}}} that is neither in `ours` nor an axis on the right of the form")
    if stacked and (len(ours) > 1 or len(theirs) > 1):
        raise wrong("stacks tensors, and has several names for each")
    if len(ours) > 1 and along is None and (form is None or len(form.right[0]) != 1):
        raise wrong("has several paths, and no axis that counts them comes first on the right of the form")
    if not theirs and (form is not None or len(ours) > 1):
        raise wrong("is for an array that the checkpoint does not have, which is one path without a form")
    if stacked and form is not None:
        form = _Form(((stacked[0],), *form.left), form.right)
        if not _same_names(form):
            raise wrong(f"has the axis {stacked[0]} of its stack on the left, too")
    elif form is not None and not _same_names(form):
        raise wrong("does not have the same axes on both sides, each once")
    return _Rule(theirs, ours, form, stacked[0] if stacked else None, along, summed)


def _form(text: str, wrong: Any) -> _Form:
    sides = [side.strip() for side in text.split("->")]
    if len(sides) != 2:
        raise wrong("has a form without one arrow")
    terms = [[_TERM.findall(side), re.sub(_TERM, "", side).strip()] for side in sides]
    if any(rest for _, rest in terms):
        raise wrong("has a form with brackets that do not match")
    left, right = (tuple(tuple(re.findall(r"\S+", term.strip("()"))) for term in found) for found, _ in terms)
    names = [name for term in (*left, *right) for name in term]
    if not all(name == "1" or name.isidentifier() for name in names) or not left or not right:
        raise wrong("has a form with axes that are no names")
    return _Form(left, right)


def _same_names(form: _Form) -> bool:
    left, right = ([name for term in side for name in term if name != "1"] for side in form)
    return sorted(left) == sorted(right) and len(set(left)) == len(left)


def _numberless(name: str) -> str:
    """What names that differ in their numbers have in common with the template that describes them."""
    return re.sub(r"(?:\{\w+\}|[0-9])+", "#", name)


def _index(templates: Iterable[tuple[str, ...]]) -> _Index:
    """The names in rules, those with holes by what they are without numbers: a name is compared with few of them."""
    index: _Index = {}
    for i, names in enumerate(templates):
        for copy, name in enumerate(names):
            index.setdefault(_numberless(name) if _HOLE.search(name) else name, []).append((i, copy, _pattern(name)))
    return index


def _matches(index: _Index, name: str) -> list[tuple[int, _Match]]:
    """The numbers of the rules that a name belongs to, and how."""
    return [
        (i, _Match(name, copy, held.groupdict()))
        for key in dict.fromkeys((name, _numberless(name)))
        for i, copy, pattern in index.get(key, ())
        if (held := pattern.fullmatch(name))
    ]


def _pattern(template: str) -> re.Pattern[str]:
    """What describes the names of a template, whose holes are numbers; longer ones would be no numbers of layers."""
    parts = _HOLE.split(template)
    return re.compile("".join(re.escape(p) if i % 2 == 0 else f"(?P<{p}>[0-9]{{1,9}})" for i, p in enumerate(parts)))


def _read(tensors: Mapping[str, Any], name: str, dtype: str, backend: str | Backend | None) -> Any:
    """A tensor that becomes an array of this dtype on this backend."""
    if isinstance(tensors, Checkpoint) and backend is not None:
        return tensors.stored(name, dtype, backend)
    return _array(tensors[name])


def _array(x: Any) -> Any:
    if kind_of(type(x)) is None:
        raise ValueError(f"it is of the type {type(x).__name__}, and an array is needed")
    return x


def _check_dtype(x: Any, wanted: str) -> None:
    """A ValueError says what is lost if `x` becomes an array of the dtype `wanted`. That of floats is just rounding."""
    given = dtype_name(x.dtype)
    if _kind(given) != _kind(wanted):
        raise ValueError(f"its dtype is {given}, and {wanted} is needed")
    if given != wanted and _kind(given) in ("int", "uint"):
        numbers = to_numpy(x)
        if (numbers.astype(wanted) != numbers).any():
            raise ValueError(f"its dtype is {given}, and its numbers are too large for {wanted}")


def _kind(dtype: str) -> str:
    """All floats are one kind of dtype, and so are all signed integers."""
    return "float" if "float" in dtype else dtype.rstrip("0123456789")


def _filled(template: str, holes: Mapping[str, str]) -> str:
    return _HOLE.sub(lambda match: holes.get(match[1], match[0]), template)


def _unfit(problem: str, each: list[str]) -> ParamError:
    more = len(each) - _LISTED
    listed = [*each[:_LISTED], *([f"and {more} more"] if more > 0 else [])]
    return ParamError(f"{problem}: {each[0]}.", expected="one rule for each", got="\n    ".join(["", *listed]))


@native
def _moved(x: Any, sizes: list[int], order: list[int], shape: list[int]) -> Any:
    xp = namespace(x)
    return xp.reshape(xp.permute_dims(xp.reshape(x, tuple(sizes)), tuple(order)), tuple(shape))


@native
def stack_arrays(xs: list[Any]) -> Any:
    """Arrays of one shape along a new first axis."""
    return namespace(*xs).stack(xs)


@native
def _sum(xs: list[Any]) -> Any:
    return functools.reduce(operator.add, xs)


@native
def _zeros(x: Any) -> Any:
    return namespace(x).zeros_like(x)


@native
def _concatenated(xs: list[Any], axis: int) -> Any:
    return namespace(*xs).concat(xs, axis=axis)


@native
def _part(x: Any, axis: int, begin: int, end: int) -> Any:
    return x[(*[slice(None)] * axis, slice(begin, end), ...)]


@native
def _parts(x: Any) -> list[Any]:
    return [x[i, ...] for i in range(x.shape[0])]


@native
def _equal(a: Any, b: Any) -> bool:
    return a.shape == b.shape and bool(namespace(a, b).all(a == b))
