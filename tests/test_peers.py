"""Keras's own tests, as far as no checkout of Keras is needed: the form of the list, how a run is judged, the page."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from peers import page, run

TESTS = Path(__file__).resolve().parent
ENTRIES = run.read_list()


def fields():
    return [(kind, row) for kind, rows in tomllib.loads(run.LIST.read_text()).items() for row in rows]


def test_every_entry_says_why():
    for kind, row in fields():
        assert len(row["why"].split()) > 5, row["why"]
        for test in row["tests"]:
            assert re.match(rf"\*|({'|'.join(run.AREAS)})/", test), test
        if kind == "deliberate":
            assert row["why"].startswith("**"), row["why"]  # what differs, before the reason


def test_no_test_has_two_reasons():
    known = [test for entry in ENTRIES for test in entry.tests if not entry.error]
    assert len(known) == len(set(known))


@pytest.mark.parametrize(
    "text",
    [
        '[[deliberate]]\nwhy = "so"\ntests = ["ops/a"]',  # no topic
        '[[unmapped]]\ntests = ["ops/a"]',
        '[[unmapped]]\nwhy = "so"\ntests = []',
        '[[unmapped]]\nwhy = "so"\ntests = ["*"]\nerror = "x"',  # no number
        '[[wrong]]\nwhy = "so"\ntests = ["ops/a"]',
        '[[open]]\nwhy = "so"\ntests = ["ops/a"]\ntopic = "Numbers"',
    ],
)
def test_entries_that_say_too_little(tmp_path, text):
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(ValueError, match=r"mine\.toml"):
        run.read_list(tmp_path / "mine.toml")


PASSED, FAILED = {"outcome": "passed", "message": ""}, {"outcome": "failed", "message": "no such thing"}
SKIPPED = {"outcome": "skipped", "message": ""}
LISTED = run.Entry("deliberate", "because", ("ops/a.py::test_*",), topic="Numbers")
BY_ERROR = run.Entry("unmapped", "because", ("*",), error="no such", most=1)


@pytest.mark.parametrize(
    ("outcomes", "entries", "whole", "good"),
    [
        ({"ops/a.py::test_b": PASSED}, [], True, True),
        ({"ops/a.py::test_b": FAILED}, [], True, False),
        ({"ops/a.py::test_b": FAILED}, [LISTED], True, True),
        ({"ops/a.py::test_b": SKIPPED}, [LISTED], True, True),
        ({"ops/a.py::test_b": PASSED}, [LISTED], True, False),  # the list only shrinks
        ({"ops/a.py::test_b": FAILED, "ops/a.py::test_c": PASSED}, [LISTED], True, False),
        ({"ops/b.py::test_b": FAILED}, [LISTED], True, False),
        ({}, [LISTED], True, False),
        ({"ops/a.py::test_b": FAILED}, [LISTED._replace(tests=("ops/a.py::*", "ops/c.py::*"))], True, False),
        ({}, [LISTED], False, True),
        ({}, [LISTED._replace(backends=("torch",))], True, True),
        ({"ops/a.py::test_b": FAILED}, [LISTED._replace(backends=("torch",))], True, False),
        ({"ops/a.py::test_b": FAILED, "ops/a.py::test_c": PASSED}, [BY_ERROR], True, True),
        ({"ops/a.py::test_b": FAILED, "ops/a.py::test_c": FAILED}, [BY_ERROR], True, False),  # more than before
        ({"ops/a.py::test_b": {"outcome": "failed", "message": "other"}}, [BY_ERROR], False, False),
    ],
)
def test_how_a_run_is_judged(outcomes, entries, whole, good):
    assert run.compare(outcomes, entries, "numpy", whole)[1] is good


# -- the page of differences -----------------------------------------------------------------------------------------

TABLES = [*TESTS.glob("keras_rows/*.py"), *TESTS.glob("catalogue/*.py")]
COMMENT = re.compile(r"#.*Keras")


def test_the_page_is_up_to_date():
    """`python tests/peers/page.py` brings it there."""
    assert page.PAGE.read_text(encoding="utf-8") == page.page()


def test_rows_that_leave_keras_out_are_on_the_page():
    """Each comment in our tables about what Keras does is the reason of an entry, and each entry's comment is there."""
    named = [row.partition(": ")[::2] for entry in ENTRIES for row in entry.rows]
    for file, words in named:
        assert words in (TESTS / file).read_text(), words
    for path in TABLES:
        for line in path.read_text().splitlines():
            if COMMENT.search(line) and line not in HARMLESS:
                mine = [words for file, words in named if path == TESTS / file]
                assert any(words in line for words in mine), f"{path.name}: {line.strip()} is in no entry of keras.toml"


HARMLESS = {
    "        # Keras computes the way back in float32, as it is told to, and so has an error of its own.",
}
"""Comments on the oracle's rounding, and not on what it does."""
