"""Run an example on any backend, run the program that Keras has in its place, or count the lines that differ.

python examples/keras_io/run.py mnist_convnet --backend torch
python examples/keras_io/run.py mnist_convnet --backend jax --keras     # the same file, as it reads for Keras
python examples/keras_io/run.py --table                                 # writes README.md's table anew

An example is a program for Keras whose imports were changed. Where more had to change, it has both sides:

    # Keras:
    # the lines that Keras has here
    # kfunc: why they differ
    the lines that run here
    # end
"""

from __future__ import annotations

import argparse
import importlib
import os
import pathlib
import re
import statistics
import sys
from collections.abc import Iterator
from typing import NamedTuple

HERE = pathlib.Path(__file__).parent
EXAMPLES = sorted(p.stem for p in HERE.glob("*.py") if p.stem not in ("data", "run"))
README = HERE / "README.md"
START, END = "<!-- table -->\n", "<!-- end -->\n"


class Block(NamedTuple):
    """Lines that are the same in Keras, for which both sides are one, or that differ, for which there is a reason."""

    keras: list[str]
    kfunc: list[str]
    reason: str | None


def blocks(text: str) -> Iterator[Block]:
    """The parts of an example, from its first line to its last."""
    same: list[str] = []
    lines = iter(text.splitlines())
    for line in lines:
        if line.strip() != "# Keras:":
            same.append(line)
            continue
        yield Block(same, same, None)
        same = []
        indent = line[: line.index("#")]
        theirs, ours, reason = [], [], ""
        for line in lines:
            if match := re.fullmatch(r"\s*# kfunc: (.+)", line):
                reason = match[1]
                break
            theirs.append(indent + re.sub(r"^\s*# ?", "", line))
        for line in lines:
            if line.strip() == "# end":
                break
            ours.append(line)
        else:
            raise ValueError(f"the lines that differ have no end: {theirs}")
        yield Block(theirs, ours, reason)
    yield Block(same, same, None)


def for_keras(text: str) -> str:
    """The program that Keras runs: with its imports, and its side of the lines that differ."""
    lines = [line for block in blocks(text) for line in block.keras]
    program = "\n".join(lines) + "\n"
    program = program.replace("from kfunc import keras\n", "import keras\n").replace("from kfunc.keras ", "from keras ")
    return re.sub(r"^(from|import) kfunc\b.*\n", "", program, flags=re.MULTILINE)


def is_code(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith(("#", "import ", "from "))


def differing(text: str) -> tuple[int, int, list[str]]:
    """How many lines of code the program for Keras has, how many differ, and why. Imports do not count.

    A block counts for the longer of its sides.
    """
    lines, differ, reasons = 0, 0, []
    for block in blocks(text):
        theirs, ours = (sum(map(is_code, side)) for side in (block.keras, block.kfunc))
        lines += theirs
        if block.reason is not None:
            differ += max(theirs, ours)
            reasons.append(block.reason)
    return lines, differ, reasons


def table() -> str:
    """The table of README.md."""
    rows = ["| Example | Lines | Differ | Why |", "|---|---:|---:|---|"]
    counts = []
    for name in EXAMPLES:
        text = (HERE / f"{name}.py").read_text(encoding="utf-8")
        lines, differ, reasons = differing(text)
        counts.append(differ)
        address = re.search(r"https://keras\.io/[\w/]+", text)
        assert address is not None, f"{name} names no published example"
        rows.append(f"| [{name}]({address[0]}) | {lines} | {differ} | {'; '.join(dict.fromkeys(reasons))} |")
    rows.append(f"| median | | {statistics.median(counts):g} | |")
    return "\n".join(rows) + "\n"


def write_table() -> None:
    before, _, rest = README.read_text(encoding="utf-8").partition(START)
    README.write_text(before + START + table() + END + rest.partition(END)[2], encoding="utf-8")


def run(name: str, backend: str = "numpy", keras: bool = False) -> dict:
    """Run an example; return its variables, among which is the `history` of its last `fit`."""
    path = HERE / f"{name}.py"
    text = path.read_text(encoding="utf-8")
    sys.path.insert(0, str(HERE))
    try:
        import data

        data.where.clear()
        data.where.update({} if keras else {"backend": backend})
        if keras:  # it draws other weights in every run otherwise
            importlib.import_module("keras").utils.set_random_seed(1)
        variables: dict = {"__name__": "__main__", "__file__": str(path)}
        exec(compile(for_keras(text) if keras else text, str(path), "exec"), variables)
        return variables
    finally:
        sys.path.remove(str(HERE))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("example", nargs="?", choices=EXAMPLES)
    parser.add_argument("--backend", default="numpy", help="where to train: numpy, jax, torch or tensorflow")
    parser.add_argument("--keras", action="store_true", help="run the program for Keras, on its backend of that name")
    parser.add_argument("--table", action="store_true", help="count the lines that differ, and write the table")
    arguments = parser.parse_args()
    if arguments.table:
        write_table()
    elif arguments.example is None:
        parser.error("name an example, or --table")
    else:
        if arguments.keras:
            os.environ["KERAS_BACKEND"] = arguments.backend  # Keras reads it once, when it is imported
        print(run(arguments.example, arguments.backend, arguments.keras)["history"].history)
