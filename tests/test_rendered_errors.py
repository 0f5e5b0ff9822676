"""The errors that the suite provokes read as they did when somebody last read them."""

from __future__ import annotations

import difflib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import rendered_errors
from backends import NAMES, missing


@pytest.mark.skipif(any(map(missing, NAMES)), reason="the tables of errors need every backend")
def test_the_text_of_every_error(tmp_path):
    """In a process of its own, where no other test has registered anything."""
    text = tmp_path / "rendered.txt"
    code = f"import rendered_errors; open({os.fspath(text)!r}, 'w', encoding='utf-8').write(rendered_errors.render())"
    tests = Path(__file__).parent
    path = os.pathsep.join(map(str, (tests.parent, tests)))
    env = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    new, old = text.read_text(encoding="utf-8"), rendered_errors.TEXT.read_text(encoding="utf-8")
    lines = [*difflib.unified_diff(old.splitlines(), new.splitlines(), "as it was read", "as it is", lineterm="", n=1)]
    if lines:
        pytest.fail(
            "\n".join(
                [
                    "Errors have other texts than tests/rendered_errors.txt. If that is meant, run",
                    "    python tests/rendered_errors.py",
                    "read the difference as somebody who meets these errors, and commit the file:",
                    *lines[:200],
                ]
            ),
            pytrace=False,
        )


def test_first_lines_stand_alone():
    """Those of rendered errors and in the source: `rendered_errors.py --rules` prints the others."""
    lines = [*rendered_errors.source_lines(), *rendered_errors.rendered_lines()]
    assert len(lines) > 1000
    assert not rendered_errors.faults(), "\n".join(rendered_errors.faults())


@pytest.mark.parametrize(
    ("problem", "argument", "got"),
    [
        ("units counts something.", "units", "-1"),
        ("`units` must be positive", "units", "-1"),
        ("Along which axis?", None, None),
        ("There is no such reduction.", None, None),
        ("This is no cell.", "cell", "3"),
        ("The table has another shape.", "weights", "(3, 2)"),
        ("One line.\nAnother.", None, None),
        ("Which classes are meant is not said.", None, None),
    ],
)
def test_bad_first_lines_are_found(problem, argument, got):
    assert rendered_errors.broken(rendered_errors.Line("here", "ArgumentError", problem, argument, got))


def test_good_first_lines_are_taken():
    good = ("`units` must be a positive integer, got -1.", "add: shapes do not fit together.", "numpy has no bfloat16.")
    for problem in good:
        assert not rendered_errors.broken(rendered_errors.Line("here", "ArgumentError", problem))
