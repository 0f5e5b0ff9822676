"""What one run of a function writes down: lines of calls, and the program that is made of them."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

from ...backends.registry import kind_of

__all__ = ["Again", "CannotRecord", "Named", "Otherwise", "Recording", "written"]

_MOST_LINES = 20_000
_SMALL = 256  # numbers


class CannotRecord(BaseException):
    """The function does something that no program can repeat. No Exception, since the function may catch those."""


class Again(BaseException):
    """The recorder has learned that a kernel must stay closed: record the function once more."""


class Otherwise(Exception):
    """A question has another answer than in the recorded run."""


class Named:
    """A value, and its variable in the program.

    Attributes:
        value: The value in the run that is recorded.
        recording: The recording that has the variable; None if the value is a constant.
        name: The variable.
    """

    __slots__ = ("name", "recording", "value")

    def __init__(self, value: Any, recording: Recording | None = None, name: str = "") -> None:
        self.value: Any = value
        self.recording: Recording | None = recording
        self.name: str = name


class _Line(NamedTuple):
    """A line of the program.

    Attributes:
        name: The variable that it sets; "" if it sets none.
        source: Its text.
        reads: The variables in it.
        writes: The variable to whose memory it writes; "" if it writes to none.
        in_place: What does the same in the memory of its first argument, if nothing else needs that: the variable of
            this argument, and the text; or None.
    """

    name: str
    source: str
    reads: tuple[str, ...]
    writes: str = ""
    in_place: tuple[str, str] | None = None


class Recording:
    """The lines that one run of a function has written.

    Attributes:
        differentiates: Whether the framework itself is keeping what it needs for a gradient.
        merges: Whether equal calls may become one. The framework's own gradients need each call.
        merges_constants: Whether small constants of equal values may become one. Somebody may write to them, if not.
        inside: A context for each call of a kernel by the recorder.
    """

    def __init__(self) -> None:
        self._lines: list[_Line] = []
        self._constants: dict[str, Any] = {"otherwise": Otherwise}
        self._names: dict[Any, str] = {}  # of the constants, by what tells them apart
        self._owners: dict[str, str] = {}  # of variables that are views, the one whose memory they are in
        self._count = 0
        self.differentiates = False
        self.merges = self.merges_constants = True
        self.inside: Callable[[], AbstractContextManager[Any]] = nullcontext

    def _new_name(self, letter: str) -> str:
        self._count += 1
        if self._count > _MOST_LINES:
            raise CannotRecord
        return f"{letter}{self._count}"

    def add(self, call: tuple[str, tuple[str, ...]], in_place: str | None = None) -> str:
        """Add a call, as `written` returns it; the variable that holds its result.

        `in_place` is the text of a call that does the same in the memory of the first variable.
        """
        name = self._new_name("v")
        twin = None if in_place is None else (call[1][0], f"{name} = {in_place}")
        self._lines.append(_Line(name, f"{name} = {call[0]}", call[1], in_place=twin))
        return name

    def write(self, call: tuple[str, tuple[str, ...]], name: str) -> None:
        """Add a call that writes to the memory of the variable `name`."""
        self._lines.append(_Line("", call[0], call[1], self._owner(name)))

    def shares(self, name: str, other: str) -> None:
        """Note that the variable `name` may be in the memory of `other`."""
        self._owners[name] = self._owner(other)

    def _owner(self, name: str) -> str:
        return self._owners.get(name, name)

    @property
    def length(self) -> int:
        """The number of lines so far."""
        return len(self._lines)

    def cut(self, length: int) -> None:
        """Take back all lines but the first `length` ones."""
        del self._lines[length:]

    def seen_elsewhere(self, name: str) -> bool:
        """Whether other arrays may be in the memory of the variable `name`: an argument's is the caller's."""
        return name[0] == "a" or name in self._owners or name in self._owners.values()

    def part(self, of: str, i: int) -> str:
        """The variable that holds the entry `i` of the variable `of`."""
        return self.add((f"{of}[{i}]", (of,)))

    def expect(self, question: str, name: str, answer: Any) -> None:
        """Add a question about the variable `name`, such as `"bool({})"`, with the answer of this run."""
        source = f"if {question.format(name)} != {self.constant(answer)}: raise otherwise"
        self._lines.append(_Line("", source, (name,)))

    def constant(self, x: Any) -> str:
        """The text that stands for the constant `x`."""
        if x is None or x is True or x is False or type(x) is int:
            return repr(x)
        known = _told_apart(x) if self.merges_constants or not hasattr(x, "shape") else id(x)
        name = self._names.get(known)
        if name is None:
            name = self._names[known] = self._new_name("c")
            self._constants[name] = x  # so that no other object gets its id
        return name

    def program(self, inputs: int, outs: list[str]) -> Callable[..., list[Any]]:
        """The program: from `inputs` leaves of the arguments to the leaves of the result, the variables `outs`."""
        return self._function([f"a{i}" for i in range(inputs)], self._needed(outs), outs)

    def taken(self, outs: list[str], donated: Collection[str]) -> set[str]:
        """Those arguments in `donated` to whose memory the program may write, since nothing else reads them.

        It asks no question after that: where the answer is another one, another program takes the same arguments.
        """
        lines, found = self._needed(outs), set()
        reads = Counter(name for line in lines for name in line.reads) + Counter(outs)
        for line in reversed(lines):
            if not line.name and not line.writes:
                break
            if line.in_place is not None and line.in_place[0] in donated and reads[line.in_place[0]] == 1:
                found.add(line.in_place[0])
        return found

    def split(
        self, inputs: int, outs: list[str], taken: Collection[str], fixed: int
    ) -> tuple[Callable[..., list[Any]], Callable[..., list[Any]]] | None:
        """The program in two parts, where the first `fixed` arguments stay the same; None if no line is early.

        The first part has the early lines, and takes these arguments. The second part takes all arguments, and then
        what the first one returned; it writes to the memory of the arguments in `taken`.
        """
        arguments = [f"a{i}" for i in range(inputs)]
        lines = [
            line if line.in_place is None or line.in_place[0] not in taken else line._replace(source=line.in_place[1])
            for line in self._needed(outs)
        ]
        steady, changing = set(arguments[:fixed]), {line.writes for line in lines} | set(map(self._owner, outs))
        early, late = [], []
        for line in lines:
            if line.name and steady.issuperset(line.reads) and self._owner(line.name) not in changing:
                steady.add(line.name)
                early.append(line)
            else:
                late.append(line)
        if not early and not taken:
            return None
        made = sorted({name for line in late for name in line.reads} & {line.name for line in early})
        return self._function(arguments[:fixed], early, made), self._function([*arguments, *made], late, outs)

    def _needed(self, outs: list[str]) -> list[_Line]:
        """The lines without those whose results nothing uses."""
        needed, lines = set(outs), []
        memory = set(map(self._owner, outs))
        for line in reversed(self._merged(outs)):
            if line.writes in memory if line.writes else not line.name or line.name in needed:
                needed.update(line.reads)
                memory.update(map(self._owner, line.reads))
                lines.append(line)
        return lines[::-1]

    def _merged(self, outs: list[str]) -> list[_Line]:
        """The lines without calls that a line before makes, too: layers compute masks and angles alike.

        A line stays where its result, or an array that it reads, is written to, or where its result is returned.
        """
        if not self.merges:
            return self._lines
        fixed = {line.writes for line in self._lines if line.writes}
        kept, first, same = [], {}, {}
        returned = set(map(self._owner, outs))
        for line in self._lines:
            if not same.keys().isdisjoint(line.reads):
                line = _renamed(line, same)
            owner = self._owner(line.name)
            if line.name and owner not in returned and fixed.isdisjoint([owner, *map(self._owner, line.reads)]):
                call = line.source.partition(" = ")[2]
                if call in first:
                    same[line.name] = first[call]
                    continue
                first[call] = line.name
            kept.append(line)
        return kept

    def _function(self, arguments: list[str], lines: list[_Line], outs: list[str]) -> Callable[..., list]:
        body, used = [], set(outs)
        for line in reversed(lines):
            over = sorted({name for name in line.reads if name[0] == "v" and name not in used})
            used.update(line.reads)
            if over:  # so that the memory of a variable is free after its last use
                body.append(f"del {', '.join(over)}")
            body.append(line.source)
        given = [name if name in used else f"_{i}" for i, name in enumerate(arguments)]
        source = [f"def program({', '.join(given)}):", *reversed(body), f"return [{', '.join(outs)}]"]
        made: dict[str, Any] = {}  # its own, as another thread may write a part of the same recording
        exec(compile("\n    ".join(source), "<recorded by kfunc>", "exec"), self._constants, made)
        return made["program"]


def _renamed(line: _Line, same: dict[str, str]) -> _Line:
    """`line` with other variables in place of those that `same` has."""

    def swapped(text: str) -> str:
        return re.sub(r"\bv\d+\b", lambda found: same.get(found[0], found[0]), text)

    twin = None if line.in_place is None else (same.get(line.in_place[0], line.in_place[0]), swapped(line.in_place[1]))
    reads = tuple([same.get(name, name) for name in line.reads])
    return line._replace(source=swapped(line.source), reads=reads, in_place=twin)


def _told_apart(x: Any) -> Any:
    """What tells a constant from others: its value if it is small and plain, otherwise which object it is."""
    cls = x.__class__
    if cls in (int, bool, float, complex, str, type(None), type(Ellipsis)):
        return cls, repr(x)
    if cls is tuple:
        return cls, tuple(map(_told_apart, x))
    if cls is slice:
        return cls, tuple(map(_told_apart, (x.start, x.stop, x.step)))
    # Asked of arrays alone: Dynamo cannot read a registry that knows classes of all kinds of objects.
    kind = kind_of(cls) if hasattr(x, "dtype") and hasattr(x, "shape") else None
    if kind is None or getattr(x, "requires_grad", False) or not 0 < math.prod(x.shape) <= _SMALL:
        return id(x)
    values = kind.backend.to_numpy(x)
    if not values.flags.c_contiguous:  # products of arrays that lie otherwise are rounded otherwise
        return id(x)
    return cls, str(x.dtype), str(kind.backend.device(x)), values.shape, values.tobytes()


def written(
    fun: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[Any, Any], recording: Recording
) -> tuple[str, tuple[str, ...]]:
    """The text of a call of `fun`, and the variables in it."""
    reads: list[str] = []

    def text(x):
        if isinstance(x, Named):
            if x.recording is None:
                return recording.constant(x.value)
            reads.append(x.name)
            return x.name
        cls = x.__class__
        if (cls is tuple or cls is list) and _holds_names(x):
            inside = ", ".join(map(text, x))
            return f"[{inside}]" if cls is list else f"({inside},)"
        if cls is dict and _holds_names(x.values()):
            return "{" + ", ".join(f"{recording.constant(k)}: {text(v)}" for k, v in x.items()) + "}"
        return recording.constant(x)

    parts = [text(a) for a in args] + [f"{k}={text(v)}" for k, v in kwargs.items()]
    return f"{text(fun)}({', '.join(parts)})", tuple(reads)


def _holds_names(parts: Any) -> bool:
    return any(
        isinstance(x, Named)
        or (x.__class__ in (tuple, list) and _holds_names(x))
        or (x.__class__ is dict and _holds_names(x.values()))
        for x in parts
    )
