"""Run Keras's own tests on kfunc, and compare what fails with the committed list.

    python tests/peers/run.py CHECKOUT [--backend torch] [--only ops losses] [-k softmax] [other arguments of pytest]

CHECKOUT is a clone of github.com/keras-team/keras at the tag v3.15.1, which must also be installed. `keras.toml` holds
what is known to fail, and why: differences that are deliberate, and what has no counterpart. The exit code is 1 if any
other test fails, and also if a listed one passes: the list only shrinks.
"""

from __future__ import annotations

import argparse
import functools
import os
import re
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))  # where this file is run by itself, Python knows its own folder alone

from conformance.run import read_outcomes, report  # noqa: E402

LIST = HERE / "keras.toml"
AREAS = (
    "ops losses metrics optimizers layers callbacks initializers regularizers constraints activations random".split()
)
CLASSES = ("deliberate", "unmapped", "open")


class Entry(NamedTuple):
    """One reason, and the tests that fail for it.

    Attributes:
        kind: "deliberate", "unmapped", or "open": a fault of ours that is not mended yet.
        why: The reason; of a deliberate difference, a Markdown paragraph.
        tests: Ids, such as `ops/numpy_test.py::NumpyDtypeTest::test_add*`; `*` stands for anything.
        error: A regular expression that the failure's message matches; then tests that pass are no concern of it.
        most: The most tests that may fail for this reason, where `error` says which.
        rows: Comments of our own tables that leave Keras's answer out for this reason: "file below tests: its words".
        topic: Where the page of differences has it; of deliberate ones only.
        backends: Where the tests fail; everywhere if empty.
    """

    kind: str
    why: str
    tests: tuple[str, ...]
    topic: str = ""
    error: str = ""
    most: int = 0
    rows: tuple[str, ...] = ()
    backends: tuple[str, ...] = ()

    def matches(self, test: str, record: dict, backend: str) -> bool:
        if self.error and (record["outcome"] != "failed" or not re.search(self.error, record["message"])):
            return False
        return (not self.backends or backend in self.backends) and _one_of(self.tests).fullmatch(test) is not None


@functools.cache
def _one_of(tests: tuple[str, ...]) -> re.Pattern[str]:
    """Ids in which `*` stands for anything, as one expression."""
    return re.compile("|".join(".*".join(map(re.escape, test.split("*"))) for test in tests))


def read_list(path: Path = LIST) -> list[Entry]:
    """The entries of the list.

    Raises:
        ValueError: An entry lacks a reason or tests, or has a field that does not exist.
    """
    entries = []
    for kind, rows in tomllib.loads(path.read_text()).items():
        for row in rows:
            shown = row.get("tests") or row.get("rows")
            if kind not in CLASSES or not row.get("why") or not shown or set(row) - set(Entry._fields):
                raise ValueError(f"{path.name}: [[{kind}]] needs `why`, and `tests` or `rows`, got {row!r}")
            if ("error" in row) != ("most" in row):
                raise ValueError(f"{path.name}: `error` and `most` belong together: {row!r}")
            if (kind == "deliberate") != ("topic" in row):
                raise ValueError(f"{path.name}: deliberate differences, and only these, need a `topic`: {row!r}")
            lists = {name: tuple(row[name]) for name in ("tests", "rows", "backends") if name in row}
            entries.append(Entry(kind, **{**row, **lists}))
    return entries


def run_suite(checkout: Path, backend: str, files: list[str], arguments: list[str], results: Path, every: bool) -> int:
    """Pytest's exit code; what came of each test is written to `results`."""
    environment = {
        **os.environ,
        "KERAS_BACKEND": "numpy",  # what helps with the tests; kfunc asks the arrays
        "KFUNC_PEERS_BACKEND": backend,
        "KFUNC_PEERS_ALL": "1" if every else "",
        "KFUNC_PEERS_CHECKOUT": str(checkout),
        "KFUNC_PEERS_RESULTS": str(results),
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # thousands of small programs, each of which runs once
        "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    options = ["-p", "peers.plugin", "-p", "no:cacheprovider", "-q", "--no-header", "--tb=short"]
    options += ["--disable-warnings", "--noconftest", "-c", os.devnull, f"--rootdir={checkout}"]
    command = [sys.executable, "-m", "pytest", *options, *arguments, *files]
    results.unlink(missing_ok=True)
    return subprocess.run(command, cwd=checkout, env=environment).returncode


def compare(
    outcomes: dict[str, dict], entries: list[Entry], backend: str, whole: bool, every: bool = False
) -> tuple[list[str], bool]:
    """The lines of the report, and whether all is as listed.

    Args:
        outcomes: What came of each test that ran.
        entries: The list.
        backend: Which backend ran.
        whole: Whether all tests ran, so that entries without a test are out of date.
        every: Whether all pairs of dtypes ran, twenty times as many as `Entry.most` is for.
    """
    lines, good = [], True
    counts = dict.fromkeys(["passed", *CLASSES, "failed", "skipped"], 0)
    unexpected, stale = [], []
    used = [0] * len(entries)
    for test, record in outcomes.items():
        found = [(i, entry) for i, entry in enumerate(entries) if entry.matches(test, record, backend)]
        for i, _ in found[:1]:
            used[i] += 1
        outcome = record["outcome"]
        if outcome == "failed" and found:
            outcome = found[0][1].kind
        elif outcome == "failed":
            unexpected.append(f"{test}  # {record['message']}")
        elif outcome == "passed" and found:
            stale.append(f"{test}  # {found[0][1].why[:100]}")
        counts[outcome] += 1
    idle, grown = [], []
    for entry, n in zip(entries, used, strict=True):
        if whole and (not entry.backends or backend in entry.backends):
            unused = [t for t in entry.tests if not n or not any(map(_one_of((t,)).fullmatch, outcomes))]
            idle += [f"{test}  # {entry.why[:100]}" for test in unused]
        if entry.error and n > (most := entry.most * (20 if every else 1)):
            grown.append(f"{entry.error}  # {n}, and {most} at most")
    for title, group in (
        ("FAILED, and not listed", unexpected),
        ("listed, but PASSED (take them off the list)", stale),
        ("listed, but no test has such an id, or fails so", idle),
        ("more tests fail for a reason than the list allows", grown),
    ):
        if group:
            good = False
            lines += [f"{title}: {len(group)}", *sorted(group), ""]
    lines.append(", ".join(f"{count} {name}" for name, count in counts.items()))
    return lines, good


def main() -> int:
    parser = argparse.ArgumentParser(description="Run Keras's own tests on kfunc.")
    parser.add_argument("checkout", type=Path, help="a clone of keras at v3.15.1")
    parser.add_argument("--backend", default="numpy", help="where kfunc computes: numpy, torch, jax or tensorflow")
    parser.add_argument("--only", nargs="+", default=list(AREAS), help="areas, or files such as ops/nn_test.py")
    parser.add_argument("--all", action="store_true", help="all pairs of dtypes, in place of one in twenty")
    parser.add_argument("--results", type=Path, help="keep what came of each test in this file")
    parser.add_argument("--judge", action="store_true", help="run nothing: compare the kept results with the list")
    arguments, rest = parser.parse_known_args()
    source = arguments.checkout.resolve() / "keras" / "src"
    if not (source / "ops" / "numpy_test.py").is_file():
        parser.error(f"{arguments.checkout} is no checkout of Keras")
    files = [str(source / part) for part in arguments.only]
    start = time.monotonic()
    code = 0
    with tempfile.TemporaryDirectory() as folder:
        results = (arguments.results or Path(folder) / "results.jsonl").resolve()
        if not arguments.judge:
            code = run_suite(arguments.checkout.resolve(), arguments.backend, files, rest, results, arguments.all)
        outcomes = read_outcomes(results)
    whole = not rest and arguments.only == list(AREAS)
    lines, good = compare(outcomes, read_list(), arguments.backend, whole, arguments.all)
    return report(lines, good and bool(outcomes), code, start)


if __name__ == "__main__":
    sys.exit(main())
