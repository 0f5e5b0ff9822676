"""Writes the text of every error that the suite provokes into one file, to be read as prose.

    python tests/rendered_errors.py          # writes tests/rendered_errors.txt
    python tests/rendered_errors.py --rules  # prints the first lines that break a rule of `broken`

The tests of `MODULES` are called here one by one, on NumPy, and each KfuncError that their `pytest.raises` catches is
written down. Errors that differ only in the value at fault, the layer's path or the function's name are written once.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import io
import itertools
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import conftest  # noqa: F401 - sets the environment of the tests
import pytest
from backends import NAMES

import kfunc
from kfunc import errors
from kfunc.errors import KfuncError

TEXT = Path(__file__).with_suffix(".txt")
COMMAND = "python tests/rendered_errors.py"
MODULES = (
    "layer_arguments refusals bad_input edges creation network_ops merging core_layers recurrent decoding "
    "initializers noise combinators layers precision losses metrics optim random transforms registry errors "
    "spec_errors tape recording namespaces data files hostile_files model faults checkpoints callbacks custom_steps "
    "in_place progress resume cut_gradients objective"
).split()
ARBITRARY = ("test_a_flipped_bit_anywhere", "test_cut_anywhere", "test_a_file_that_changes", "test_any_bytes")
"""Tests of files with all kinds of damage: which errors they meet says nothing about the texts."""
WIDTH = 160
"""Longer lines are cut: lists of all layers say nothing about a message."""


def _rows(test):
    """The arguments of each call of `test`; nothing where it needs other backends or fixtures than there are here."""
    marks = getattr(test, "pytestmark", [])
    if any(m.name in NAMES and m.name != "numpy" for m in marks):
        return
    tables = []
    for mark in (m for m in marks if m.name == "parametrize"):
        names = [n.strip() for n in mark.args[0].split(",")] if isinstance(mark.args[0], str) else list(mark.args[0])
        rows = []
        for row in mark.args[1]:
            if {m.name for m in getattr(row, "marks", ())} & (set(NAMES) - {"numpy"}):
                continue
            values = row.values if hasattr(row, "marks") else (row,) if len(names) == 1 else row
            rows.append(dict(zip(names, values, strict=True)))
        tables.append(rows)
    for parts in itertools.product(*tables):
        yield {name: value for part in parts for name, value in part.items()}


def _fill(fun, module, given, stack) -> bool:
    """Add the fixtures that `fun` takes to `given`; whether all of them could be made."""
    wanted = inspect.signature(fun).parameters.keys() - given.keys()
    for name in sorted(wanted, key=lambda n: (n == "monkeypatch", n)):  # it is undone before folders are removed
        own = getattr(getattr(module, name, None), "_fixture_function", None)
        if name == "backend":
            given[name] = "numpy"
        elif name == "tmp_path":
            given[name] = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        elif name == "monkeypatch":
            given[name] = stack.enter_context(pytest.MonkeyPatch.context())
        elif own is not None and not inspect.isgeneratorfunction(own):
            needed: dict = {}
            if not _fill(own, module, needed, stack):
                return False
            given[name] = own(**needed)
        else:
            return False
    return True


def _call(test, module, given) -> None:
    with contextlib.ExitStack() as stack:
        if not _fill(test, module, given, stack):
            return
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        with contextlib.suppress(Exception, pytest.fail.Exception, pytest.skip.Exception):
            test(**given)


def plain(error: KfuncError, line: str) -> str:
    """`line` without what differs from run to run, or comes from another library."""
    cause = str(error.__cause__ or "")
    if cause and cause[:999] in line:
        line = line.replace(cause[:999], "(what Python says)")
    line = re.sub(r"0x[0-9a-fA-F]{6,}", "0x…", line)
    line = re.sub(r"/[\w/.-]*/tmp\w+", "/tmp", line)
    line = re.sub(r"custom:\w+, ", "", line)
    return line if len(line) <= WIDTH else f"{line[:WIDTH]}…"


def render() -> str:
    """The file's text."""
    sections = []
    raises, caught = pytest.raises, []

    @contextlib.contextmanager
    def recording(*args, **kwargs):
        with raises(*args, **kwargs) as info:
            try:
                yield info
            except KfuncError as error:
                caught.append(error)
                raise

    pytest.raises = recording
    seen: set[str] = set()
    for name in MODULES:
        try:
            module = importlib.import_module(f"test_{name}")
        except ModuleNotFoundError as error:
            if error.name != f"test_{name}":
                raise
            continue
        for test in [t for n, t in vars(module).items() if n.startswith("test_") and n not in ARBITRARY]:
            if test.__module__ != module.__name__ or "raises" not in inspect.getsource(test):
                continue
            texts: dict[str, str] = {}
            for given in _rows(test):
                caught.clear()
                _call(test, module, given)
                for error in caught:
                    text = "\n".join(plain(error, line) for line in str(error).splitlines())
                    key = re.sub(r"^[\w.]+: |, got .*|  (got|layer|op): .*", "", text, flags=re.M)
                    key = re.sub(r"\d+", "0", key.replace(str(error.got), ""))
                    if isinstance(error, errors.FileError):
                        key = re.sub("'.*?'", "", key)
                    if key not in seen:
                        text = f"{type(error).__name__}: {text}"
                        texts[key] = min(text, texts.get(key, text))
            seen |= texts.keys()
            if texts:  # in an order of their own: some tests go through sets
                sections.append("\n".join([f"-- {module.__name__}.{test.__name__} --", *sorted(texts.values())]))
    pytest.raises = raises
    return "\n\n".join(sections) + "\n"


# -- rules for first lines ---------------------------------------------------------------------------------------------

_RIDDLES = re.compile(
    r"(is|are) no (such )?\w+\.|no such (?!file or directory)|(This|That) is no |counts something|is a probability"
    r"|is yes or no|are letters|have names|names one|\?$|^(?-i:Which|What|Whose|Where|Who)\b|heeds?\b|of which"
    r"|has none|have none|\bis none|takes layers|means nothing",
    re.IGNORECASE,
)
_BEGINS = re.compile(rf"[A-Z`{{/\d]|[\w.]+: |({'|'.join(NAMES)})\b")


_NAMES_OTHERS = re.compile(r"'.+'|[A-Z][a-z]*[A-Z]\w|^[\w.]+: ")


class Line(NamedTuple):
    """The first line of an error."""

    where: str
    error: str  # its class
    problem: str
    argument: str | None = None
    got: str | None = None  # what came


def broken(line: Line) -> str | None:
    """The rule that the first line of an error breaks, or None."""
    problem = line.problem
    if "\n" in problem or not problem.endswith((".", "…", ": {}")):
        return "is one line, with a full stop"
    if not _BEGINS.match(problem):
        return "begins with a capital letter, an argument in backquotes, or a function's name and a colon"
    if found := _RIDDLES.search(problem):
        return f"says what is wrong in plain words, and not {found[0]!r}"
    # A line may also name the value, a class such as LSTMCell, or the function; and errors about shapes any subject.
    if line.error != "ArgumentError" or line.got is None or line.got in problem or _NAMES_OTHERS.search(problem):
        return None
    names = re.findall(r"\w+", line.argument or "")
    if names and not any(name.removesuffix("s") in problem for name in names):
        return f"names the argument `{line.argument}`, or the value"
    return None


def rendered_lines() -> Iterator[Line]:
    """The first line of each error in the file."""
    section = ""
    for block in re.split(r"\n(?=\S|$)", TEXT.read_text(encoding="utf-8")):
        first, *lines = block.splitlines() or [""]
        if first.startswith("-- "):
            section = first.strip("- ")
        elif first:
            more = {name: text for name, _, text in (line.strip().partition(": ") for line in lines)}
            error, _, problem = first.partition(": ")
            yield Line(section, error, problem, more.get("argument"), more.get("got"))


def _literal(node: ast.expr | None) -> str | None:
    """The text of a string in the source, each hole of an f-string as "{}"; None for other expressions."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(p.value) if isinstance(p, ast.Constant) else "{}" for p in node.values)
    return None


def source_lines() -> Iterator[Line]:
    """The first line of each error that the library's source makes, with "{}" for what it fills in."""
    root = Path(kfunc.__file__).parent
    for path in sorted(root.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and node.args and (problem := _literal(node.args[0])) is not None:
                name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                if name in errors.__all__:
                    more = {k.arg: k.value for k in node.keywords}
                    argument = _literal(more.get("argument"))
                    holes = "{}" in problem  # which may be the argument's name
                    where = f"{path.relative_to(root)}:{node.lineno}"
                    yield Line(where, name, problem, argument, "{}" if "got" in more and not holes else None)


def faults() -> list[str]:
    """What is wrong with first lines, each a line for a person."""
    lines = (*source_lines(), *rendered_lines())
    return [f"{line.where}: {line.problem}   [a first line {rule}]" for line in lines if (rule := broken(line))]


if __name__ == "__main__":
    if sys.argv[1:] == ["--rules"]:
        print("\n".join(faults()))
    else:
        TEXT.write_text(render(), encoding="utf-8")
