"""What `help` shows for a class: its own docstring, and what else is known about its arguments.

An argument that the docstring does not describe is described in the words of the nearest base that does; or else in
those of `COMMON`, since some arguments mean the same in all classes that have them.
"""

from __future__ import annotations

import inspect
import itertools
import re

__all__ = ["COMMON", "Documentation"]

COMMON = {
    "units": "The number of features of the output.",
    "filters": "The number of channels of the output.",
    "kernel_size": "The size of the window along each axis: an integer, or one for each axis.",
    "strides": "How far the window moves along each axis: an integer, or one for each axis.",
    "padding": '"valid": the window stays inside the input; "same": with strides of 1, the output has its sizes.',
    "dilation_rate": "The distance between neighbours in the window: an integer, or one for each axis.",
    "data_format": '"channels_last", for which None stands, or "channels_first".',
    "depth_multiplier": "How many channels each channel of the input becomes.",
    "input_dim": "The number of rows of the table; indices are less.",
    "output_dim": "The number of features of each row.",
    "use_bias": "Whether a bias is added.",
    "activation": "A function of an array, or its name, which is applied to the output; None applies nothing.",
    "recurrent_activation": "A function of an array, or its name, which is applied to the gates.",
    "dropout": "The share of the inputs that training drops, in [0, 1).",
    "recurrent_dropout": "The share of the states that training drops, in [0, 1).",
    "rate": "The probability of being dropped in training, in [0, 1).",
    "seed": "An integer that is mixed into the layer's random keys. Without it, they depend on the layer's path alone.",
    "layer": "The layer inside.",
    "initializer": "The first values of the parameter of that name: a name, a function `(key, shape, dtype) -> array`, "
    "or an object of `nn.initializers`.",
    "regularizer": "An auxiliary loss of the parameter of that name: a name, a function `(value) -> scalar`, or an "
    "object of `nn.regularizers`. None adds none.",
    "constraint": "Training applies it to the parameter of that name after each update: a name, a function `(value) -> "
    "value`, or an object of `nn.constraints`. None changes nothing.",
}
"""Descriptions by the name of the argument, or by the word at its end: `kernel_initializer`."""

_ARGS = re.compile(r"^Args:\n((?: .*\n|\n(?= ))*)", re.MULTILINE)
_ENTRY = re.compile(r"^ {4}(\w[\w, ]*):", re.MULTILINE)
_WIDTH = 116


class Documentation:
    """The `__doc__` of a class, put together when somebody asks for it.

    Args:
        own: The docstring that the class has in its source.
    """

    def __init__(self, own: str | None):
        self.own = own

    def __get__(self, instance: object, owner: type) -> str:
        text = inspect.cleandoc(self.own or f"{owner.__name__}{inspect.signature(owner)}") + "\n"
        own, inherited = _entries(text), _inherited(owner)
        added: dict[str, list[str]] = {}  # description to the names of the arguments
        for name in inspect.signature(owner).parameters:
            if name not in own:
                common = COMMON.get(name, COMMON.get(name.rpartition("_")[2], ""))
                added.setdefault(inherited.get(name, common), []).append(name)
        lines = "".join(_entry(names, entry) for entry, names in added.items() if entry)
        if not lines:
            return text.rstrip()
        section = _ARGS.search(text)
        if section is None:
            return f"{text}\nArgs:\n{lines}".rstrip()
        end = section.start() + len(section.group().rstrip()) + 1
        return (text[:end] + lines + text[end:]).rstrip()


def _inherited(cls: type) -> dict[str, str]:
    """For each argument that a base describes, the lines of the nearest one that does."""
    docs = [vars(base).get("__doc__") for base in reversed(cls.__mro__[1:])]
    found: dict[str, str] = {}
    for doc in docs:
        found |= _entries((doc.own if isinstance(doc, Documentation) else doc) or "")
    return found


def _entry(names: list[str], text: str) -> str:
    """The lines of a docstring that describe the arguments `names`; those of a base are that already."""
    if text.startswith(" "):
        return text
    import textwrap  # when somebody reads it

    lines = textwrap.wrap(f"{', '.join(names)}: {text}", _WIDTH - 4, subsequent_indent="    ", break_on_hyphens=False)
    return textwrap.indent("\n".join(lines), "    ") + "\n"


def _entries(doc: str) -> dict[str, str]:
    """For each argument that a docstring describes, the lines that do."""
    section = _ARGS.search(inspect.cleandoc(doc) + "\n")
    if section is None:
        return {}
    body = section.group(1).rstrip() + "\n"
    starts = [*(m.start() for m in _ENTRY.finditer(body)), len(body)]
    found: dict[str, str] = {}
    for begin, end in itertools.pairwise(starts):
        text = body[begin:end].rstrip() + "\n"
        found |= dict.fromkeys(re.split(r", *", text.partition(":")[0].strip()), text)
    return found
