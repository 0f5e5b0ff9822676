"""What one run of a function writes down: lines of calls, and the program that is made of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["Again", "CannotRecord", "Named", "Otherwise", "Recording", "written"]

_MOST_LINES = 20_000


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
    """

    name: str
    source: str
    reads: tuple[str, ...]
    writes: str = ""


class Recording:
    """The lines that one run of a function has written.

    Attributes:
        differentiates: Whether the framework itself is keeping what it needs for a gradient.
    """

    def __init__(self) -> None:
        self._lines: list[_Line] = []
        self._constants: dict[str, Any] = {"otherwise": Otherwise}
        self._names: dict[int, str] = {}  # of the constants, by id
        self._owners: dict[str, str] = {}  # of variables that are views, the one whose memory they are in
        self._count = 0
        self.differentiates = False

    def _new_name(self, letter: str) -> str:
        self._count += 1
        if self._count > _MOST_LINES:
            raise CannotRecord
        return f"{letter}{self._count}"

    def add(self, call: tuple[str, tuple[str, ...]]) -> str:
        """Add a call, as `written` returns it; the variable that holds its result."""
        name = self._new_name("v")
        self._lines.append(_Line(name, f"{name} = {call[0]}", call[1]))
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
        name = self._names.get(id(x))
        if name is None:
            name = self._names[id(x)] = self._new_name("c")
            self._constants[name] = x  # so that no other object gets its id
        return name

    def program(self, inputs: int, outs: list[str]) -> Callable[..., list[Any]]:
        """The program: from `inputs` leaves of the arguments to the leaves of the result, the variables `outs`."""
        return self._function([f"a{i}" for i in range(inputs)], self._needed(outs), outs)

    def split(
        self, inputs: int, outs: list[str], fixed: int
    ) -> tuple[Callable[..., list[Any]], Callable[..., list[Any]]] | None:
        """The program in two parts, where the first `fixed` arguments stay the same; None if no line is early.

        The first part has the early lines, and takes these arguments. The second part takes all arguments, and then
        what the first one returned.
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
        """The lines without those whose results nothing uses."""
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
            if over:  # so that the memory of a variable is free after its last use
                body.append(f"del {', '.join(over)}")
            body.append(line.source)
        given = [name if name in used else f"_{i}" for i, name in enumerate(arguments)]
        source = [f"def program({', '.join(given)}):", *reversed(body), f"return [{', '.join(outs)}]"]
        made: dict[str, Any] = {}  # its own, as another thread may write a part of the same recording
        exec(compile("\n    ".join(source), "<recorded by kfunc>", "exec"), self._constants, made)
        return made["program"]


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
