"""What a recording becomes: a function of straight lines, each a call of a kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["Again", "CannotRecord", "Named", "Otherwise", "Recording", "written"]

_LINES = 20_000


class CannotRecord(BaseException):
    """A function does what no program can do again; not an Exception, which functions may catch."""


class Again(BaseException):
    """What was recorded does not suffice for what comes now, which the recorder has made a note of."""


class Otherwise(Exception):
    """A value that the function had asked for is another one now."""


class _Line(NamedTuple):
    """A line of the program: the variable that it sets, if any; those that it reads; that to whose memory it writes."""

    name: str
    source: str
    reads: tuple[str, ...]
    writes: str = ""


class Recording:
    """One run of a function, as far as it depends on its arguments.

    Attributes:
        differentiates: Whether the framework itself is keeping what it needs for a gradient.
    """

    def __init__(self) -> None:
        self._lines: list[_Line] = []
        self._constants: dict[str, Any] = {"otherwise": Otherwise}
        self._names: dict[int, str] = {}
        self._owners: dict[str, str] = {}
        self._count = 0
        self.differentiates = False

    def _name(self, letter: str) -> str:
        self._count += 1
        if self._count > _LINES:
            raise CannotRecord
        return f"{letter}{self._count}"

    def add(self, call: tuple[str, tuple[str, ...]]) -> str:
        """The variable that holds what a call returns."""
        name = self._name("v")
        self._lines.append(_Line(name, f"{name} = {call[0]}", call[1]))
        return name

    def write(self, call: tuple[str, tuple[str, ...]], name: str) -> None:
        """A call that writes to the memory of the variable `name`."""
        self._lines.append(_Line("", call[0], call[1], self._owner(name)))

    def shares(self, name: str, other: str) -> None:
        """The variable `name` may be in the memory of `other`."""
        self._owners[name] = self._owner(other)

    def _owner(self, name: str) -> str:
        return self._owners.get(name, name)

    @property
    def length(self) -> int:
        """The number of lines so far; `cut` takes back what comes after so many."""
        return len(self._lines)

    def cut(self, length: int) -> None:
        del self._lines[length:]

    def part(self, of: str, i: int) -> str:
        """The variable that holds the entry `i` of `of`."""
        return self.add((f"{of}[{i}]", (of,)))

    def expect(self, question: str, name: str, answer: Any) -> None:
        """What is asked of the variable, `"bool({})"`, shall have this answer, or this program is not the one."""
        source = f"if {question.format(name)} != {self.constant(answer)}: raise otherwise"
        self._lines.append(_Line("", source, (name,)))

    def constant(self, x: Any) -> str:
        """What stands for `x`, which is the same in all runs."""
        if x is None or x is True or x is False or type(x) is int:
            return repr(x)
        name = self._names.get(id(x))
        if name is None:
            name = self._names[id(x)] = self._name("c")
            self._constants[name] = x  # which also keeps its id
        return name

    def program(self, inputs: int, outs: list[str]) -> Callable[..., list]:
        """The function from the leaves of the arguments to the leaves of the result, in the variables `outs`."""
        return self._function([f"a{i}" for i in range(inputs)], self._needed(outs), outs)

    def split(self, inputs: int, outs: list[str], fixed: int) -> tuple[Callable[..., list], Callable[..., list]] | None:
        """The same in two, if there is something that only depends on the first arguments, so many of them.

        The first function computes it from these; the second one takes what that returns behind all arguments.
        """
        arguments, lines = [f"a{i}" for i in range(inputs)], self._needed(outs)
        steady, changing = set(arguments[:fixed]), {line.writes for line in lines} | set(map(self._owner, outs))
        early, late = [], []
        for line in lines:
            if line.name and steady.issuperset(line.reads) and self._owner(line.name) not in changing:
                steady.add(line.name)
                early.append(line)
            else:
                late.append(line)
        if not early:
            return None
        made = sorted({name for line in late for name in line.reads} & {line.name for line in early})
        return self._function(arguments[:fixed], early, made), self._function([*arguments, *made], late, outs)

    def _needed(self, outs: list[str]) -> list[_Line]:
        """The lines without those that nothing uses."""
        needed, lines = set(outs), []
        memory = set(map(self._owner, outs))
        for line in reversed(self._lines):
            if line.writes in memory if line.writes else not line.name or line.name in needed:
                needed.update(line.reads)
                memory.update(map(self._owner, line.reads))
                lines.append(line)
        return lines[::-1]

    def _function(self, arguments: list[str], lines: list[_Line], outs: list[str]) -> Callable[..., list]:
        body, used = [], set(outs)
        for line in reversed(lines):
            over = sorted({name for name in line.reads if name[0] == "v" and name not in used})
            used.update(line.reads)
            if over:  # after its last use, a variable's memory is free again
                body.append(f"del {', '.join(over)}")
            body.append(line.source)
        given = [name if name in used else f"_{i}" for i, name in enumerate(arguments)]
        source = [f"def program({', '.join(given)}):", *reversed(body), f"return [{', '.join(outs)}]"]
        scope = self._constants
        exec(compile("\n    ".join(source), "<recorded by kfunc>", "exec"), scope)
        return scope.pop("program")


class Named:
    """A value with its place in a recording.

    Attributes:
        value: What it is in the run that is recorded.
        recording: To what it belongs; None if it is a constant.
        name: Its variable in the program.
    """

    __slots__ = ("name", "recording", "value")

    def __init__(self, value: Any, recording: Recording | None = None, name: str = ""):
        self.value, self.recording, self.name = value, recording, name


def written(fun: Callable, args: tuple, kwargs: dict, recording: Recording) -> tuple[str, tuple[str, ...]]:
    """The call of `fun` as an expression, and the variables in it."""
    reads: list[str] = []

    def text(x):
        if isinstance(x, Named):
            if x.recording is None:
                return recording.constant(x.value)
            reads.append(x.name)
            return x.name
        cls = x.__class__
        if (cls is tuple or cls is list) and _holds(x, Named):
            inside = ", ".join(map(text, x))
            return f"[{inside}]" if cls is list else f"({inside},)"
        if cls is dict and _holds(list(x.values()), Named):
            return "{" + ", ".join(f"{recording.constant(k)}: {text(v)}" for k, v in x.items()) + "}"
        return recording.constant(x)

    parts = [text(a) for a in args] + [f"{k}={text(v)}" for k, v in kwargs.items()]
    return f"{text(fun)}({', '.join(parts)})", tuple(reads)


def _holds(parts: Any, cls: type) -> bool:
    return any(
        isinstance(x, cls)
        or (x.__class__ in (tuple, list) and _holds(x, cls))
        or (x.__class__ is dict and _holds(list(x.values()), cls))
        for x in parts
    )
