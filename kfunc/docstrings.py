"""What `help` shows for a class: its own docstring, and what its bases say about the arguments that it inherits."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import re

__all__ = ["Documentation"]

_ARGS = re.compile(r"^Args:\n((?: .*\n|\n(?= ))*)", re.MULTILINE)
_ENTRY = re.compile(r"^ {4}(\w[\w, ]*):", re.MULTILINE)


class Documentation:
    """The `__doc__` of a class, put together when somebody asks for it.

    Args:
        own: The docstring that the class has in its source.
    """

    def __init__(self, own: str | None):
        self.own = own

    def __get__(self, instance: object, owner: type) -> str:
        text = inspect.cleandoc(self.own or f"{owner.__name__}{inspect.signature(owner)}") + "\n"
        known = set(_entries(text))
        arguments = [f.name for f in dataclasses.fields(owner) if f.init]  # type: ignore[arg-type]
        inherited: dict[str, None] = {}
        for base in owner.__mro__[1:]:
            doc = vars(base).get("__doc__")
            entries = _entries(doc.own) if isinstance(doc, Documentation) and doc.own else {}
            for name in arguments:
                if name in entries and name not in known:
                    inherited[entries[name]] = None
            known |= set(entries)
        if not inherited:
            return text.rstrip()
        added, section = "".join(inherited), _ARGS.search(text)
        if section is None:
            return f"{text}\nArgs:\n{added}".rstrip()
        end = section.start() + len(section.group().rstrip()) + 1
        return (text[:end] + added + text[end:]).rstrip()


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
