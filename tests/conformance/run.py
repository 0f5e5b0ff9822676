"""Run the public array-api-tests suite on a namespace of ours, and compare what fails with the committed list.

    python tests/conformance/run.py BACKEND CHECKOUT [-k linalg] [other arguments of pytest]

CHECKOUT is a clone of github.com/data-apis/array-api-tests with its submodule. `xfails/<backend>.txt` holds a line
`test id  # reason` for each test that is known to fail, or `-r other.txt` for the lines of another list. The exit code
is 1 if any other test fails, and also if a listed one passes: the lists only shrink.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
VERSION = "2024.12"
EXAMPLES = 10


def targets() -> list[str]:
    """Names of what can be tested: whatever has a list."""
    return sorted(path.stem for path in (HERE / "xfails").glob("*.txt"))


def read_list(name: str) -> dict[str, str]:
    """Test id to reason, of the tests that are known to fail.

    Raises:
        ValueError: A line is not `test id  # reason`, or an id comes twice.
    """
    known: dict[str, str] = {}
    for number, line in enumerate((HERE / "xfails" / f"{name}.txt").read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        if line.startswith("-r "):
            known.update(read_list(line[3:].strip().removesuffix(".txt")))
            continue
        test, _, reason = (part.strip() for part in line.partition("  # "))
        if not test.startswith("array_api_tests/") or "::" not in test or not reason or test in known:
            raise ValueError(f"{name}.txt, line {number}: expected `array_api_tests/...::test  # reason`, got {line!r}")
        known[test] = reason
    return known


def run_suite(name: str, checkout: Path, arguments: list[str], shrink: bool) -> tuple[dict[str, dict], int]:
    """What came of each test, by its id, and pytest's exit code."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results.jsonl"
        environment = {
            **os.environ,
            "ARRAY_API_TESTS_MODULE": f"exec('from targets import load; xp = load(\"{name}\")')",
            "ARRAY_API_TESTS_VERSION": VERSION,
            "KFUNC_CONFORMANCE_RESULTS": str(results),
            "KFUNC_CONFORMANCE_SHRINK": str(int(shrink)),
            "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")]),
            # The checkout stays as it is, and each run draws the same examples.
            "PYTHONDONTWRITEBYTECODE": "1",
            "HYPOTHESIS_STORAGE_DIRECTORY": folder,
            "PYTHONHASHSEED": "0",
        }
        options = ["-p", "recorder", "-p", "no:cacheprovider", "-q", "--no-header", "--tb=short", "--disable-warnings"]
        options += [f"--max-examples={EXAMPLES}", "--hypothesis-derandomize", "--hypothesis-disable-deadline"]
        options += [f"--xfails-file={os.devnull}", f"--skips-file={os.devnull}"]
        command = [sys.executable, "-m", "pytest", *options, *arguments, "array_api_tests/"]
        code = subprocess.run(command, cwd=checkout, env=environment).returncode
        return read_outcomes(results), code


def read_outcomes(results: Path) -> dict[str, dict]:
    """What came of each test, by its id, from a file with a JSON object in each line."""
    outcomes: dict[str, dict] = {}
    for line in results.read_text().splitlines() if results.exists() else []:
        record = json.loads(line)
        before = outcomes.get(record["test"])
        if before is None or before["outcome"] != "failed":  # an error after the test counts as well
            outcomes[record["test"]] = record
    return outcomes


def compare(outcomes: dict[str, dict], known: dict[str, str], whole: bool) -> tuple[list[str], bool]:
    """The lines of the report, and whether all is as listed.

    Args:
        outcomes: What came of each test that ran.
        known: The list.
        whole: Whether all tests ran, so that listed ones that did not turn up exist no more.
    """
    failed = {test for test, record in outcomes.items() if record["outcome"] in ("failed", "crashed")}
    passed = {test for test, record in outcomes.items() if record["outcome"] == "passed"}
    unexpected, stale = failed - set(known), passed & set(known)
    unknown = set(known) - set(outcomes) if whole else set()
    lines = []
    for title, tests in (
        ("UNEXPECTED failures", unexpected),
        ("listed, but PASS (take them off the list)", stale),
        ("listed, but not in the suite", unknown),
    ):
        if tests:
            lines += [f"{title}: {len(tests)}"]
            lines += [f"{test}  # {outcomes.get(test, {}).get('message') or known.get(test)}" for test in sorted(tests)]
            lines += [""]
    skipped = len(outcomes) - len(failed) - len(passed)
    lines += [
        f"{len(passed)} passed, {len(failed & set(known))} failed as listed, {len(unexpected)} failed unexpectedly, "
        f"{len(stale)} listed but pass, {skipped} skipped"
    ]
    return lines, not (unexpected or stale or unknown)


def main() -> int:
    parser = argparse.ArgumentParser(description="Run array-api-tests on a namespace of kfunc's.")
    parser.add_argument("backend", choices=targets())
    parser.add_argument("checkout", type=Path, help="a clone of array-api-tests, with its submodule")
    parser.add_argument("--shrink", action="store_true", help="let Hypothesis simplify failures; may take minutes")
    arguments, rest = parser.parse_known_args()
    if not (arguments.checkout / "array_api_tests").is_dir():
        parser.error(f"{arguments.checkout} is no checkout of array-api-tests")
    start = time.monotonic()
    known = read_list(arguments.backend)
    outcomes, code = run_suite(arguments.backend, arguments.checkout, rest, arguments.shrink)
    lines, good = compare(outcomes, known, whole=not rest)
    return report(lines, good and bool(outcomes), code, start)


def report(lines: list[str], good: bool, code: int, start: float) -> int:
    """Print the lines; return the exit code of a run that began at `start`, where pytest's own one was `code`."""
    print("\n".join(["", *lines]), f"({time.monotonic() - start:.0f} s)")
    if code not in (0, 1):
        print(f"pytest ended with exit code {code}; not every test may have run.")
        return code if 0 < code < 128 else 1
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
