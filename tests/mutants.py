"""Would the tests notice? This tool changes kfunc a little, at random, and runs the tests of the changed module.

    python tests/mutants.py --count 20                   # twenty changes anywhere below the folders of TESTS
    python tests/mutants.py --count 5 kfunc/nn/dense.py  # in these files or folders only
    python tests/mutants.py --seed 3 --list              # which changes they are, without running anything

A change is an operator, a comparison, a condition, a number, a truth value or a dropped statement. Each is made in a
copy of the tree, one at a time, and only the rows of NumPy run. Changes that no test notices are printed as diffs: if
one changes what kfunc does, a row is missing. The same seed gives the same changes, as long as the source is the same.
"""

from __future__ import annotations

import argparse
import ast
import copy
import difflib
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parent.parent

TESTS = {
    "kfunc/callbacks": "callbacks progress public_reports",
    "kfunc/losses": "losses catalogue public_reports metrics",
    "kfunc/metrics": "metrics catalogue public_reports",
    "kfunc/nn/attention.py": "layers catalogue decoding public_reports spec",
    "kfunc/nn/initializers.py": "initializers catalogue",
    "kfunc/nn": "catalogue layers core_layers layer_arguments own_layers dropout noise normalization recurrent "
    "combinators merging public_reports",
    "kfunc/ops": "keras_ops ops creation layers catalogue spec spec_errors",
    "kfunc/optim": "optim catalogue training public_reports",
    "kfunc/training": "training model custom_steps faults resume checkpoints in_place callbacks files public_reports",
}
"""A file or a folder to the names of its tests; the longest entry counts. What fails most often stands first."""

OTHER = {
    **{ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult},
    **{ast.Mod: ast.Mult, ast.Pow: ast.Mult, ast.And: ast.Or, ast.Or: ast.And, ast.BitAnd: ast.BitOr},
    **{ast.BitOr: ast.BitAnd, ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq},
    **{ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In},
}


class Mutant(NamedTuple):
    """Another text for the node of a file that lies there."""

    path: pathlib.Path
    start: tuple[int, int]
    end: tuple[int, int]
    text: str

    def apply(self, source: str) -> str:
        lines = source.splitlines(keepends=True)
        (first, left), (last, right) = self.start, self.end
        before, after = lines[first - 1].encode()[:left].decode(), lines[last - 1].encode()[right:].decode()
        return "".join([*lines[: first - 1], before, self.text, after, *lines[last:]])


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

    def add(node: ast.AST, text: str) -> None:
        found.append(Mutant(path, (node.lineno, node.col_offset), (node.end_lineno, node.end_col_offset), text))

    def visit(node: ast.AST) -> None:
        without = {id(x) for x in skipped(node)}
        if id(node) in without:
            return
        if isinstance(node, ast.If | ast.IfExp | ast.While):
            add(node.test, f"not ({ast.unparse(node.test)})")
        for other in changed(node):
            text = ast.unparse(other)
            add(node, f"({text})" if isinstance(node, ast.expr) else text)
        for child in ast.iter_child_nodes(node):
            if id(child) not in without:
                visit(child)

    visit(ast.parse(path.read_text()))
    return found


def tests_of(path: pathlib.Path) -> list[str]:
    name = path.relative_to(ROOT).as_posix()
    fitting = [key for key in TESTS if name == key or name.startswith(key + "/")]
    return [f"tests/test_{test}.py" for test in TESTS[max(fitting, key=len)].split()] if fitting else []


def noticed(tree: pathlib.Path, tests: list[str], seconds: float) -> bool:
    """Whether a test fails in `tree`, or takes too long, as where a loop does not end any more."""
    options = ["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--backend", "numpy"]
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        run = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *tests],
            cwd=tree,
            env=environment,
            timeout=seconds,
            capture_output=True,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return True
    return run.returncode != 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("paths", nargs="*", help="files or folders; all of TESTS by default")
    parser.add_argument("--count", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=600, help="how long the tests of one change may take")
    parser.add_argument("--list", action="store_true", help="only print the changes")
    options = parser.parse_args()

    below = [
        ROOT / path for path in options.paths or {key.rpartition(".py")[0] or key for key in TESTS if "." not in key}
    ]
    files = sorted({f for path in below for f in ([path] if path.suffix else path.rglob("*.py")) if tests_of(f)})
    everything = [mutant for path in files for mutant in mutants(path)]
    chosen = random.Random(options.seed).sample(everything, min(options.count, len(everything)))
    print(f"{len(chosen)} of {len(everything)} changes in {len(files)} files, seed {options.seed}")

    with tempfile.TemporaryDirectory() as folder:
        tree = pathlib.Path(folder) / "tree"
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns(".git", "__pycache__", "*.pyc"))
        lived = 0
        for number, mutant in enumerate(chosen):
            name = mutant.path.relative_to(ROOT)
            source = (tree / name).read_text()
            text = mutant.apply(source)
            diff = "".join(
                difflib.unified_diff(*(s.splitlines(keepends=True) for s in (source, text)), str(name), str(name), n=2)
            )
            if options.list:
                print(diff)
                continue
            (tree / name).write_text(text)
            start = time.monotonic()
            found = noticed(tree, tests_of(mutant.path), options.seconds)
            (tree / name).write_text(source)
            verdict = "noticed" if found else "LIVED"
            print(f"{number}: {verdict} {name}:{mutant.start[0]} ({time.monotonic() - start:.0f} s)", flush=True)
            if not found:
                lived += 1
                print(diff, flush=True)
    if not options.list:
        print(f"{lived} of {len(chosen)} lived")


if __name__ == "__main__":
    main()
