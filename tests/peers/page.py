"""Write docs/differences.md, the page of deliberate differences from Keras, from `keras.toml`.

python tests/peers/page.py
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # see `run`

from peers import run

PAGE = Path(__file__).resolve().parents[2] / "docs" / "differences.md"
HEAD = """# Differences from Keras

The names, arguments and numbers of kfunc are those of Keras 3.15, and tests hold every function and class against it.
Here is each difference that is on purpose, with its reason. The page is made by `python tests/peers/page.py` from what
the tests leave out: Keras's own tests that do not pass (`tests/peers/keras.toml`), and calls on which Keras's answer is
no oracle (`tests/keras_rows`, `tests/catalogue`).

What is in Keras and not here: `FeatureSpace`, layers of sound, sparse and ragged tensors, and methods of layers for
quantization and LoRA. Layers of your own are written another way: one `forward(scope, x)`; see README.
"""


def page() -> str:
    """The text of the page."""
    topics: dict[str, list[str]] = {}
    for entry in run.read_list():
        if entry.kind == "deliberate":
            topics.setdefault(entry.topic, []).append(entry.why.strip())
    parts = [f"## {topic}\n" + "".join(f"\n- {why}" for why in whys) + "\n" for topic, whys in topics.items()]
    return "\n".join([HEAD, *parts])


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
