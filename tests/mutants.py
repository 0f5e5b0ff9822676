"""Would the tests notice? This tool changes kfunc a little, at random, and runs the tests that reach the changed line.

    python tests/mutants.py ../map --count 20                   # twenty changes anywhere below the folders of FOLDERS
    python tests/mutants.py ../map --count 5 kfunc/nn/dense.py  # in these files or folders only
    python tests/mutants.py ../map --seed 3 --list              # which changes they are, without running anything

A change is an operator, a comparison, a condition, a number, a truth value or a dropped statement. Each is made in a
copy of the tree, one at a time, and only the rows of NumPy run. Changes that no test notices are printed as diffs: if
one changes what kfunc does, a row is missing. The same seed gives the same changes, as long as the source is the same.

`../map` is a folder outside the repository that says which tests execute which lines. If it is missing, all tests run
once to make it, under `coverage` (pip install coverage), in some ten minutes. It is true for the source of that time:
make a new one after larger changes.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import difflib
import functools
import gc
import inspect
import itertools
import json
import multiprocessing
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from types import CodeType, FunctionType
from typing import NamedTuple

import coverage
import pytest

ROOT = pathlib.Path(__file__).parent.parent

FOLDERS = "callbacks losses metrics nn ops optim random training files.py model.py".split()
"""Where changes are made, below kfunc/."""

SILENT = (
    "activations compilers config_sizes conformance help hostile_files imports interop layout namespaces one_process "
    "openvino openvino_namespace peers readme rendered_errors signatures standard tensorflow threads "
    "torch_linear typing"
).split()
"""Tests that do not run here: they are slow, are about other frameworks, or read kfunc rather than run it."""

MEMORY, PATIENCE = 16 * 2**30, 10
"""Bytes that the tests of one change may ask for, and seconds that each may compute at least: loops may end no more."""

OTHER = {
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult},
    **{ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.And: ast.Or, ast.Or: ast.And, ast.BitAnd: ast.BitOr},
    **{ast.BitOr: ast.BitAnd, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq},
    **{ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In},
}


class Mutant(NamedTuple):
    """Another text for the node of a file that lies there; `lines` go from the start of its statement to its end."""

    path: pathlib.Path
    lines: range
    start: tuple[int, int]
    end: tuple[int, int]
    text: str

    def line(self) -> str:
        return self.path.read_text().splitlines()[self.start[0] - 1]

    def apply(self, source: str) -> str:
        lines = source.splitlines(keepends=True)
        (first, left), (last, right) = self.start, self.end
        before, after = lines[first - 1].encode()[:left].decode(), lines[last - 1].encode()[right:].decode()
        return "".join([*lines[: first - 1], before, self.text, after, *lines[last:]])

    def difference(self) -> str:
        name, source = str(self.path), self.path.read_text()
        texts = (text.splitlines(keepends=True) for text in (source, self.apply(source)))
        return "".join(difflib.unified_diff(*texts, name, name, n=2))


def changed(node: ast.AST) -> Iterator[ast.AST]:
    """Nodes to stand in place of this one."""
    other = copy.copy(node)
    if isinstance(node, ast.BinOp | ast.BoolOp | ast.AugAssign) and type(node.op) in OTHER:
        other.op = OTHER[type(node.op)]()
        yield other
    elif isinstance(node, ast.Compare) and len(node.ops) == 1:
        other.ops = [OTHER[type(node.ops[0])]()]
        yield other
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Not):
        yield node.operand
    elif isinstance(node, ast.If | ast.IfExp | ast.While):
        pass  # `not` is put before the condition below, so that what it guards stays as it is
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float, bool):
        value = node.value
        yield ast.Constant(not value if type(value) is bool else value + 1 if type(value) is int else value * 2 or 0.5)
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        yield ast.Pass()


def skipped(node: ast.AST) -> Iterator[ast.AST]:
    """Parts of the node that are about types, texts, or how things are declared."""
    yield from getattr(node, "decorator_list", ())
    yield from filter(None, (getattr(node, "annotation", None), getattr(node, "returns", None)))
    if isinstance(node, ast.Raise | ast.JoinedStr | ast.Import | ast.ImportFrom):
        yield node
    if isinstance(node, ast.Assign) and all(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
        yield node
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        yield node


def mutants(path: pathlib.Path) -> list[Mutant]:
    """All changes of one file."""
    found: list[Mutant] = []

    def add(node: ast.AST, first: int, text: str) -> None:
        start, end = (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset)
        found.append(Mutant(path, range(first, node.end_lineno + 1), start, end, text))

    def visit(node: ast.AST, first: int = 1) -> None:
        first = node.lineno if isinstance(node, ast.stmt) else first
        without = {id(x) for x in skipped(node)}
        if id(node) in without:
            return
        if isinstance(node, ast.If | ast.IfExp | ast.While):
            add(node.test, first, f"not ({ast.unparse(node.test)})")
        for other in changed(node):
            text = ast.unparse(other)
            add(node, first, f"({text})" if isinstance(node, ast.expr) else text)
        for child in ast.iter_child_nodes(node):
            if id(child) not in without:
                visit(child, first)

    visit(ast.parse(path.read_text()))
    return found


# -- the map -----------------------------------------------------------------------------------------------------------

OPTIONS = ["-q", "-s", "-n", "0", "-p", "no:cacheprovider", "--backend", "numpy"]
TESTS = [*(f"--ignore=tests/test_{name}.py" for name in SILENT), "tests"]


class Recorder:
    """A plugin of pytest that tells coverage which test runs, and writes down how long each takes."""

    def __init__(self, folder: pathlib.Path):
        self.folder, self.seconds, self.failed = folder, Counter(), set()
        self.coverage = coverage.Coverage(data_file=folder / "lines", include=["kfunc/*"], config_file=False)
        self.coverage.set_option("run:relative_files", True)
        self.coverage.start()

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item):
        self.coverage.switch_context(item.nodeid)
        yield
        self.coverage.switch_context("")

    def pytest_runtest_logreport(self, report):
        self.seconds[report.nodeid] += report.duration
        if not report.passed:
            self.failed.add(report.nodeid)

    def pytest_sessionfinish(self):
        self.coverage.stop()
        self.coverage.save()
        sound = {test: round(s, 4) for test, s in self.seconds.items() if test not in self.failed}
        (self.folder / "seconds.json").write_text(json.dumps(sound, indent=0))


class Map:
    """Which tests execute which lines, and how long they take."""

    def __init__(self, folder: pathlib.Path):
        self.seconds = json.loads((folder / "seconds.json").read_text())
        self._data = coverage.CoverageData(str(folder / "lines"))
        self._data.read()

    def tests(self, mutant: Mutant, limit: float) -> dict[str, float]:
        """Tests of its line, or of its file where the line also runs outside of tests, and what they take, in seconds.

        All take `limit` together. The quickest of each function come first, then the others, module by module.
        """
        lines = self._data.contexts_by_lineno(str(mutant.path))
        found = {test for line in mutant.lines for test in lines.get(line, ())}
        if not found or "" in found:  # or while tests were collected, which make objects for their tables
            found = {test for tests in lines.values() for test in tests}
        found &= self.seconds.keys()
        quickest, whole = {}, Counter()
        for test in sorted(found, key=lambda test: (self.seconds[test], test)):
            quickest.setdefault(test.partition("[")[0], test)
            whole[module(test)] += self.seconds[test]
        rest = found - set(quickest.values())
        order = [*quickest.values(), *sorted(rest, key=lambda test: (whole[module(test)], module(test), test))]
        ends = itertools.accumulate(self.seconds[test] for test in order)
        return {test: self.seconds[test] for test, end in zip(order, ends, strict=True) if end <= limit}


def module(test: str) -> str:
    return test.partition("::")[0]


# -- a change, while kfunc is imported ---------------------------------------------------------------------------------


def functions_that_differ(old: CodeType, new: CodeType) -> Iterator[tuple[CodeType, CodeType]]:
    """The code of each function before and after a change of a module.

    Raises:
        ImportTime: What runs at import differs, too.
    """
    a, b = ([c for c in code.co_consts if not isinstance(c, CodeType)] for code in (old, new))
    if (old.co_code, old.co_names, repr(a)) != (new.co_code, new.co_names, repr(b)):
        raise ImportTime
    for a, b in inner(old, new):
        if a.co_name.startswith("<") and a.co_name != "<lambda>":  # a comprehension
            if a != b:
                raise ImportTime
        elif a.co_flags & inspect.CO_OPTIMIZED:
            yield from within(a, b)
        else:  # the body of a class
            yield from functions_that_differ(a, b)


def within(old: CodeType, new: CodeType) -> Iterator[tuple[CodeType, CodeType]]:
    """A function and those inside it: some were made while kfunc was imported."""
    if old != new:
        yield old, new
        for a, b in inner(old, new):
            yield from within(a, b)


def inner(old: CodeType, new: CodeType) -> Iterator[tuple[CodeType, CodeType]]:
    a, b = ([c for c in code.co_consts if isinstance(c, CodeType)] for code in (old, new))
    return zip(a, b, strict=False)


class ImportTime(Exception):
    """A change whose effect comes while kfunc is imported."""


Place = tuple[str, str, int]


def place(code: CodeType) -> Place:
    return code.co_filename, code.co_qualname, code.co_firstlineno


def changed_functions(path: pathlib.Path, text: str) -> Iterator[tuple[CodeType, CodeType]]:
    """`functions_that_differ` between the module at `path` and `text`."""
    codes = (compile(source, str(path), "exec", dont_inherit=True) for source in (path.read_text(), text))
    return functions_that_differ(*codes)


# -- the tests, over and over ------------------------------------------------------------------------------------------


class Runner:
    """A plugin of pytest that calls `work(self)` in place of the tests that it has collected."""

    def __init__(self, work: Callable[[Runner], None]):
        self.work, self.items, self.functions, self.failed, self.sound = work, {}, defaultdict(list), None, {}

    def pytest_runtestloop(self, session):
        self.items = {item.nodeid: item for item in session.items}
        gc.unfreeze()
        for found in gc.get_objects():
            kind = type(found)  # not `isinstance`: that also asks the object, and some of PyTorch's warn then
            if issubclass(kind, FunctionType):
                self.functions[place(found.__code__)].append(found)
            elif issubclass(kind, functools._lru_cache_wrapper) and not found.__module__.startswith("_"):
                found.cache_clear()  # what was made before a change
        gc.freeze()
        self.work(self)
        return True

    def pytest_runtest_logreport(self, report):
        if report.failed:
            self.failed = report.nodeid

    def first_failure(self, tests: Mapping[str, float], codes: Mapping[Place, CodeType]) -> str | None:
        """The first of these tests that fails where functions have other code; "..." if one takes too long, or None.

        They run in a fork of this process, where kfunc and the tests have been imported.
        """
        reading, writing = multiprocessing.Pipe(duplex=False)

        def child() -> None:
            os.setsid()  # so that what it starts can be ended with it
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            silent = os.open(os.devnull, os.O_WRONLY)
            os.dup2(silent, 1)
            os.dup2(silent, 2)
            for name, code in codes.items():
                for function in self.functions[name]:
                    function.__code__ = code
            items = [self.items[test] for test in tests if test in self.items]
            for item, following in zip(items, [*items[1:], None], strict=True):
                signal.setitimer(signal.ITIMER_PROF, PATIENCE + 5 * tests[item.nodeid])  # ends the process
                item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
                if self.failed:
                    break
            writing.send(self.failed)
            os._exit(0)

        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
        writing.close()
        try:
            return reading.recv() if reading.poll(60 + 20 * sum(tests.values())) else "..."
        except EOFError:
            return "..."
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.join()

    def noticed(self, tests: Mapping[str, float], path: pathlib.Path, text: str) -> str | None:
        """The same where the module at `path` says `text`. A test that also fails without this does not count."""
        try:
            codes = {place(a): b for a, b in changed_functions(path, text)}
        except ImportTime:
            codes = {}
        if not codes.keys() & self.functions.keys():  # or the module is imported when it is first used
            return in_new_process(tests, path, text)
        while True:
            found = self.first_failure(tests, codes)
            if found is None:  # or the tests use objects that were made before the change
                return in_new_process(tests, path, text)
            if found in self.items and found not in self.sound:
                self.sound[found] = self.first_failure({found: tests[found]}, {}) is None
            if self.sound.get(found, True):
                return found
            tests = {test: seconds for test, seconds in tests.items() if test != found}


def in_new_process(tests: Mapping[str, float], path: pathlib.Path, text: str) -> str | None:
    """The same, slowly, with the tests of those modules only that have the most of them."""
    modules = {name for name, _ in Counter(map(module, tests)).most_common(6)}
    times, source = path.stat(), path.read_text()
    with tempfile.NamedTemporaryFile("w") as arguments:
        arguments.write("\n".join(test for test in tests if module(test) in modules))
        arguments.flush()
        path.write_text(text)
        try:
            done = subprocess.run(
                [sys.executable, "-B", "-m", "pytest", "-x", *OPTIONS, f"@{arguments.name}"],
                stdout=subprocess.PIPE,
                timeout=60 + 20 * sum(tests.values()),
                text=True,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return "..."
        finally:
            path.write_text(source)
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # its bytecode holds again
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return (failed or ["an error"])[0] if done.returncode else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("map", type=pathlib.Path, help="a folder outside the repository")
    parser.add_argument("paths", nargs="*", help="files or folders; all of FOLDERS by default")
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, action="append", help="only the change that was printed with this number")
    parser.add_argument("--lines", default="", help="only changes of lines in which this regular expression is found")
    parser.add_argument("--seconds", type=float, default=60, help="how long the tests of one change may take")
    parser.add_argument("--list", action="store_true", help="only print the changes")
    options = parser.parse_args()

    with tempfile.TemporaryDirectory() as copied:
        tree, folder = pathlib.Path(copied) / "tree", options.map.resolve()
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".git"))
        os.chdir(tree)
        sys.path[:0] = map(str, (tree, tree / "tests"))
        os.environ["PYTHONPATH"] = os.pathsep.join(sys.path[:2])

        files = [pathlib.Path(path) for path in options.paths or (f"kfunc/{name}" for name in FOLDERS)]
        files = sorted({file for path in files for file in ([path] if path.suffix else path.rglob("*.py"))})
        everything = [m for file in files for m in mutants(file) if re.search(options.lines, m.line())]
        chosen = random.Random(options.seed).sample(everything, min(options.count, len(everything)))
        print(f"{len(chosen)} of {len(everything)} changes in {len(files)} files, seed {options.seed}", flush=True)
        if options.list:
            print(*(mutant.difference() for mutant in chosen), sep="\n")
            return
        if not folder.exists():
            folder.mkdir(parents=True)
            making = multiprocessing.get_context("fork").Process(target=recorded, args=(folder,))
            making.start()
            making.join()
        numbered = {i: mutant for i, mutant in enumerate(chosen) if i in (options.only or range(len(chosen)))}
        pytest.main([*OPTIONS, *TESTS], [Runner(lambda runner: judge(runner, numbered, Map(folder), options.seconds))])


def recorded(folder: pathlib.Path) -> None:
    pytest.main([*OPTIONS, *TESTS], [Recorder(folder)])


def judge(runner: Runner, numbered: Mapping[int, Mutant], executed: Map, limit: float) -> None:
    """Try each change, and print what became of it."""
    verdicts = Counter()
    for number, mutant in numbered.items():
        start, tests = time.monotonic(), executed.tests(mutant, limit)
        by = runner.noticed(tests, mutant.path.resolve(), mutant.apply(mutant.path.read_text()))
        verdict = "LIVED" if by is None else "too long" if by == "..." else "noticed"
        verdicts[verdict] += 1
        took = f"{time.monotonic() - start:.1f} s, {by or f'{len(tests)} tests'}"
        print(f"{number}: {verdict} {mutant.path}:{mutant.start[0]} ({took})", flush=True)
        if by is None:
            print(mutant.difference(), flush=True)
    print(", ".join(f"{count} {verdict}" for verdict, count in verdicts.items()), flush=True)


if __name__ == "__main__":
    main()
