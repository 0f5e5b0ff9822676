"""What can be said of conformance without array-api-tests: that the lists are well formed, and how a run is judged."""

from __future__ import annotations

import re

import pytest
from conformance import run

# The most tests of about 1,366 that may be known to fail, by backend.
LIMITS = {"numpy": 29, "array_api_strict": 27, "torch": 24, "jax": 73, "tensorflow": 5, "openvino": 136, "tape": 29}


@pytest.mark.parametrize("name", run.targets())
def test_every_line_names_a_test_and_a_reason(name):
    for test, reason in run.read_list(name).items():
        assert re.fullmatch(r"array_api_tests/test_\w+\.py::[\w:]+(\[.+\])?", test), test
        assert len(reason.split()) > 2, f"{test}: {reason!r} is no reason"


@pytest.mark.parametrize(("name", "limit"), LIMITS.items())
def test_lists_only_shrink(name, limit):
    assert len(run.read_list(name)) <= limit


@pytest.mark.parametrize(
    "line",
    [
        "array_api_tests/test_linalg.py::test_inv",
        "array_api_tests/test_linalg.py::test_inv  # ",
        "test_inv  # no file",
        "array_api_tests/test_linalg.py  # no test",
        "array_api_tests/test_linalg.py::test_inv  # once\narray_api_tests/test_linalg.py::test_inv  # twice",
    ],
)
def test_lines_that_say_too_little(tmp_path, monkeypatch, line):
    (tmp_path / "xfails").mkdir()
    (tmp_path / "xfails" / "mine.txt").write_text(line + "\n")
    monkeypatch.setattr(run, "HERE", tmp_path)
    with pytest.raises(ValueError, match=r"mine\.txt, line"):
        run.read_list("mine")


def test_a_list_may_refer_to_another(tmp_path, monkeypatch):
    (tmp_path / "xfails").mkdir()
    (tmp_path / "xfails" / "one.txt").write_text(
        "# a remark\n\narray_api_tests/a.py::test_a[x # y]  # as it is  # so\n"
    )
    (tmp_path / "xfails" / "two.txt").write_text("-r one.txt\narray_api_tests/b.py::test_b  # also\n")
    monkeypatch.setattr(run, "HERE", tmp_path)
    assert run.targets() == ["one", "two"]
    assert run.read_list("two") == {
        "array_api_tests/a.py::test_a[x # y]": "as it is  # so",
        "array_api_tests/b.py::test_b": "also",
    }


@pytest.mark.parametrize(
    ("outcome", "listed", "whole", "good"),
    [
        ("passed", False, True, True),
        ("failed", True, True, True),
        ("skipped", True, True, True),
        ("failed", False, True, False),
        ("crashed", False, True, False),
        ("passed", True, True, False),
        (None, True, True, False),
        (None, True, False, True),
    ],
)
def test_what_counts_as_listed(outcome, listed, whole, good):
    outcomes = {} if outcome is None else {"t": {"outcome": outcome, "message": "why"}}
    lines, verdict = run.compare(outcomes, {"t": "because"} if listed else {}, whole)
    assert verdict is good
    assert good or any(line.startswith("t  # ") for line in lines)
