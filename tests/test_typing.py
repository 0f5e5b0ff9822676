"""What a type checker sees: the types of the public API are known, right calls pass, and wrong ones do not."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec

import pytest
from test_readme import ROOT, blocks
from typing_report import TESTS, exported, is_known, pyright

pytestmark = pytest.mark.skipif(find_spec("pyright") is None, reason="pyright is not installed")
KNOWN = 0.95


def errors_of(folder, mode):
    """By file and line, what pyright says of the Python files in `folder`."""
    # `Model.train_state` is None until the first data, which these texts have; and other libraries are not our matter.
    ignored = (
        ("OptionalMemberAccess", "MissingImports", "MissingModuleSource", "OperatorIssue") if mode != "strict" else ()
    )
    config = {"include": ["."], "typeCheckingMode": mode} | {f"report{rule}": False for rule in ignored}
    (folder / "pyrightconfig.json").write_text(json.dumps(config), encoding="utf-8")
    found = {}
    for at in pyright(within=folder)["generalDiagnostics"]:
        if at["severity"] == "error":
            place = at["file"].rpartition("/")[2], at["range"]["start"]["line"] + 1
            found.setdefault(place, []).append(f"{at['message'].replace(chr(160), ' ')} ({at.get('rule')})")
    return found


def listed(found):
    """The same as text, for a failure."""
    return "\n".join(f"{name}:{line}: {text}" for (name, line), texts in sorted(found.items()) for text in texts)


def test_exported_symbols_have_known_types(tmp_path):
    symbols = exported(tmp_path)
    assert len(symbols) > 5000
    known = sum(map(is_known, symbols)) / len(symbols)
    assert known >= KNOWN, f"{known:.1%} are known; `python tests/typing_report.py nn.pooling` prints those of a module"


def test_wrong_calls_are_refused_and_right_ones_are_not(tmp_path):
    for name in ("wrong.py", "right.py"):
        shutil.copy(TESTS / "typed" / name, tmp_path)
    found = errors_of(tmp_path, "strict")
    right = {place: texts for place, texts in found.items() if place[0] == "right.py"}
    assert not right, f"right calls have errors:\n{listed(right)}"
    lines = enumerate((tmp_path / "wrong.py").read_text(encoding="utf-8").splitlines(), 1)
    wanted = {("wrong.py", number) for number, line in lines if line.endswith("# error")}
    other = {place: texts for place, texts in found.items() if place not in wanted}
    assert not other, f"lines without a mark have errors:\n{listed(other)}"
    assert not wanted - found.keys(), f"lines with a mark have no error: {sorted(wanted - found.keys())}"


def test_the_texts_pass(tmp_path):
    """The examples, and the Python blocks of README.md and CONTRIBUTING.md."""
    for path in (ROOT / "examples").glob("*.py"):
        shutil.copy(path, tmp_path)
    for name in ("README.md", "CONTRIBUTING.md"):
        for number, (_, before, code) in enumerate(blocks(name)):
            (tmp_path / f"{name[:-3].lower()}_{number}.py").write_text(before + code, encoding="utf-8")
    found = errors_of(tmp_path, "basic")
    assert not found, listed(found)
