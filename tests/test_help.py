"""What `help` and editors show of a class: each argument with its type and a description; for layers, the shapes."""

from __future__ import annotations

import inspect
import re

import pytest

import kfunc as kf
from kfunc import docstrings, nn

LAYERS = [getattr(nn, name) for name in kf.registry.names("layer") if hasattr(nn, name)]
layers = pytest.mark.parametrize("cls", LAYERS, ids=lambda cls: cls.__name__)


@layers
def test_every_argument_is_described(cls):
    names = [name for line in re.findall(r"^    (\w[\w, ]*):", cls.__doc__, re.MULTILINE) for name in line.split(", ")]
    assert set(inspect.signature(cls).parameters) <= set(names)
    assert len(names) == len(set(names))
    assert max(map(len, cls.__doc__.splitlines())) <= 116


@layers
def test_every_argument_has_a_type(cls):
    for parameter in inspect.signature(cls).parameters.values():
        assert parameter.annotation is not parameter.empty


@layers
def test_shapes_are_said(cls):
    text = " ".join(cls.__doc__.partition("\nArgs:")[0].split())
    assert re.search(
        r"\([^()]*\)[^.]* to |([Aa]ny|common) shape|its shapes|shapes? .*(those of|that (the|a) .*layer)", text
    )


def test_the_order_is_that_of_the_signature():
    entries = docstrings._entries(nn.GRU.__doc__)
    inherited = [name for name in inspect.signature(nn.GRU).parameters if name != "use_cudnn"]
    grouped = ("kernel", "recurrent", "bias")  # one description for all
    plain = [name for name in inherited if not name.startswith(grouped) or name == "recurrent_activation"]
    assert [name for name in entries if name in plain] == plain


@kf.dataclass
class Base:
    """A base.

    Args:
        first: What the base says
            in two lines.
        second, third: Both.

    More about it.
    """

    first: int = 1
    second: int = 2
    third: int = 3


@kf.dataclass
class Plain(Base):
    """No section of its own."""


@kf.dataclass
class Own(Base):
    """A section of its own.

    Args:
        first: Its own words.
        seed: Its own words, too.

    Raises:
        ValueError: Never.
    """

    seed: int | None = None
    bias_initializer: str = "zeros"


@kf.dataclass
class Silent(Base):
    more: int = 4


def test_sections():
    base = "    first: What the base says\n        in two lines.\n    second, third: Both."
    assert Base.__doc__.startswith("A base.\n\nArgs:\n" + base + "\n\nMore")
    assert Plain.__doc__ == "No section of its own.\n\nArgs:\n" + base
    assert Own.__doc__ == (
        "A section of its own.\n\nArgs:\n    first: Its own words.\n    seed: Its own words, too.\n"
        "    second, third: Both.\n"
        + docstrings._entry(["bias_initializer"], docstrings.COMMON["initializer"])
        + "\nRaises:\n    ValueError: Never."
    )
    assert Silent.__doc__.startswith("Silent(first: 'int' = 1") and Silent.__doc__.endswith(base)
    assert inspect.getdoc(Own()) == Own.__doc__
