"""The Python blocks of README.md, CONTRIBUTING.md and the pages in docs/ run, and print what they say that they print.

A block goes on from the blocks before it under its own heading, and from those directly under the headings above; those
of a heading are run in one new process. Every line that a block prints stands in it: as the comment after that line of
code, or as comment lines below it.
"""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys
import textwrap

import pytest
from backends import NAMES

ROOT = pathlib.Path(__file__).parents[1]
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/from_keras.md",
    "docs/checkpoints.md",
    "docs/data.md",
    "docs/keras_files.md",
    "docs/models.md",
    "docs/modules.md",
    "docs/preprocessing.md",
    "docs/preprocessing_images.md",
)
_PART = re.compile(r"^(#+) ([^\n]*)$|^( *)```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def blocks(name):
    """(heading, code of what the block goes on from, its own code) for each Python block of a file."""
    headings: list[tuple[int, str, str]] = []  # depth, words, code so far
    found = []
    for depth, words, _, language, code in _PART.findall((ROOT / name).read_text(encoding="utf-8")):
        if depth:
            headings = [h for h in headings if h[0] < len(depth)] + [(len(depth), words, "")]
        elif language == "python":
            code = textwrap.dedent(code)
            found.append((headings[-1][1], "".join(h[2] for h in headings), code))
            headings[-1] = (*headings[-1][:2], headings[-1][2] + code)
    return found


def printed(code):
    """The lines that `code` says that it prints."""
    lines, printing = [], False
    for line in code.splitlines():
        comment = re.fullmatch(r"\s*# ?(.*)", line)
        if comment and printing:
            lines.append(comment[1])
        elif not comment:
            statement = re.match(r"\s*(print\(|\w+\.summary\()", line)
            after = statement and re.search(r"\)  # (.*)$", line)
            lines += [after[1]] if after else []
            printing = bool(statement) and not after
    return lines


def rows():
    for name in PAGES:
        groups: list[tuple[str, str, list[str]]] = []  # heading, what its first block goes on from, its blocks
        for heading, before, code in blocks(name):
            if groups and before == groups[-1][1] + "".join(groups[-1][2]) and heading == groups[-1][0]:
                groups[-1][2].append(code)
            else:
                groups.append((heading, before, [code]))
        for heading, before, codes in groups:
            # A block needs the backends that it imports or names in quotes, optax's and TensorFlow's own among them.
            code = "".join([before, *codes])
            words = set(re.findall(r'^\s*(?:import|from) (\w+)|"(\w+)"', code, re.MULTILINE))
            needs = {word for pair in words for word in pair} & set(NAMES)
            marks = [getattr(pytest.mark, n) for n in sorted(needs)] or [pytest.mark.numpy]
            yield pytest.param(before, codes, "optax" in code, marks=marks, id=f"{name}: {heading}")


@pytest.mark.parametrize(("before", "codes", "optional"), list(rows()))
def test_blocks(before, codes, optional, tmp_path):
    if optional:
        pytest.importorskip("optax")
    (tmp_path / "examples").symlink_to(ROOT / "examples", target_is_directory=True)
    marker = "-- the next block --"
    (tmp_path / "block.py").write_text(f"\nprint({marker!r})\n".join([before, *codes]), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONDONTWRITEBYTECODE": "1"}
    run = subprocess.run(
        [sys.executable, "-X", "utf8", "block.py"], cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8"
    )
    assert run.returncode == 0, run.stderr
    outs = run.stdout.split(f"{marker}\n")[1:]
    assert [[line.rstrip() for line in out.splitlines()] for out in outs] == [printed(code) for code in codes]


@pytest.mark.parametrize("name", PAGES)
def test_no_block_escapes(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    fences = re.findall(r"^ *(?:`{3,}|~{3,}) *([^\n]*)$", text, re.MULTILINE)
    languages = fences[::2]
    assert set(fences[1::2]) == {""} and set(languages) <= {"python", ""}
    assert len(blocks(name)) == languages.count("python") > 0
    assert not any("import " in part[4] for part in _PART.findall(text) if part[3] != "python")
