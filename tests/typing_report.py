"""What a type checker sees of the library: `python tests/typing_report.py [MODULE ...]`, such as `nn.pooling data`.

Prints how many of the exported symbols have types that are known, and of the rest, those in the modules that are named.
It needs pyright (`pip install -e .[test]`), which brings Node.js along and downloads nothing.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent


def pyright(*arguments: str, within: Path) -> dict[str, Any]:
    """What pyright reports, of the library as it is imported here, in the directory `within`."""
    root = str(TESTS.parent)
    path = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    env = {**os.environ, "PYTHONPATH": path, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--outputjson", *arguments]
    done = subprocess.run(command, cwd=within, env=env, capture_output=True, text=True)
    if not done.stdout.startswith("{"):
        raise RuntimeError(f"pyright did not run: {done.stdout[-1000:]} {done.stderr[-1000:]}")
    return json.loads(done.stdout)


def exported(within: Path) -> list[dict[str, Any]]:
    """The symbols that the library exports, as `pyright --verifytypes` sees them."""
    report = pyright("--verifytypes", "kfunc", "--ignoreexternal", within=within)["typeCompleteness"]
    if report.get("pyTypedPath") is None:
        raise RuntimeError("kfunc is not found as a package with py.typed.")
    return [symbol for symbol in report["symbols"] if symbol["isExported"]]


def is_known(symbol: dict[str, Any]) -> bool:
    return symbol["isTypeKnown"] and not symbol["isTypeAmbiguous"]


def main(modules: list[str]) -> None:
    symbols = exported(TESTS)
    bad = [symbol for symbol in symbols if not is_known(symbol)]
    for symbol in bad:
        if symbol["name"].startswith(tuple(f"kfunc.{module}" for module in modules)):
            why = [
                line.replace("\xa0", " ").strip() for d in symbol["diagnostics"] for line in d["message"].splitlines()
            ]
            print(f"{symbol['name']}: {'; '.join(w for w in why if 'docstring' not in w) or 'a part of it'}")
    print(f"{1 - len(bad) / len(symbols):.1%} of {len(symbols)} exported symbols have known types.")


if __name__ == "__main__":
    main(sys.argv[1:])
