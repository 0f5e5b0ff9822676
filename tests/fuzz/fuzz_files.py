"""Atheris throws files at the loaders: `python tests/fuzz/fuzz_files.py -max_total_time=180`; see CONTRIBUTING.

Any exception but a `FileError`, and any other model than the good one, ends it with the input that did it.
"""

from __future__ import annotations

import itertools
import os
import sys

import atheris

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

READERS = ["kfunc.files", "kfunc.training.model_file", "kfunc.registry", "kfunc.nn", "kfunc.checks"]
with atheris.instrument_imports(include=READERS):
    from fuzz import corpus


def one(data: bytes) -> None:
    """The first byte says what to do, the others how: an input without end, in which zeros follow."""
    numbers = itertools.chain(data[1:], itertools.repeat(0))

    def choose(n: int) -> int:
        return sum(next(numbers) << 8 * i for i in range((n.bit_length() + 7) // 8)) % n if n > 1 else 0

    corpus.attack(data[0] % 4 if data else 0, choose, data[1:])


if __name__ == "__main__":
    atheris.Setup(sys.argv, one)
    atheris.Fuzz()
