"""The layers of the library, read off its source: who may import whom, and who may know which backend it is on."""

from __future__ import annotations

import ast
import re
import textwrap
from pathlib import Path

import pytest
from backends import NAMES

import kfunc

ROOT = Path(kfunc.__file__).parent
MODULES = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.rglob("*.py"))
FREE = ("backends/", "interop/")
"""Where a framework may be named."""

FRAMEWORKS = {"jax", "jaxlib", "flax", "torch", "tensorflow", "openvino", "array_api_strict", "keras", "optax"}
UNSAFE = {"pickle", "cloudpickle", "dill", "marshal", "shelve"}

RANKS = (
    ("dataclasses", "docstrings", "elsewhere", "errors", "tree", "typing"),
    ("backends", "tracing"),
    ("arrays",),
    ("checks", "ops", "random", "registry", "transforms"),
    ("data", "files", "losses", "metrics", "nn", "optim"),
    ("callbacks", "training"),
    ("generation", "interop", "model", "utils"),
    ("datasets", "models"),
    ("keras",),
)
"""Who may import whom: one's own row, and those above it. Backends and tracing may import everything up to the ops."""
TYPED = [m for m in MODULES if not m.startswith(("backends/", "ops/", "tracing/"))]

RANK = {name: rank for rank, names in enumerate(RANKS) for name in names}

CIRCLES = {
    ("backends/openvino/array.py", "backends/openvino/namespace.py"): "arrays name their namespace, which makes arrays",
    ("backends/tensorflow/array.py", "backends/tensorflow/namespace.py"): "the same",
    ("tracing/spec/array.py", "tracing/spec/namespace.py"): "the same",
    ("callbacks/base.py", "callbacks/logs.py"): "a `CallbackList` adds the callbacks that Keras's does",
    ("nn/layer.py", "nn/nodes.py"): "a layer that is called with a node makes a node, which knows its layer",
}
"""Imports that may close a circle, each with its reason. All stand inside functions."""

WRITES = "tracing/record/recording.py"
"""Runs what it writes itself: names that it counts, and nothing that it was given."""


def imports(node):
    """Top-level names of what the statement or call `node` imports from outside kfunc."""
    if isinstance(node, ast.Import):
        return {alias.name.partition(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom):
        return {node.module.partition(".")[0]} if not node.level else set()
    if isinstance(node, ast.Call) and ast.unparse(node.func).rpartition(".")[2] in ("import_module", "__import__"):
        return {arg.value.partition(".")[0] for arg in node.args if isinstance(arg, ast.Constant)}
    return set()


def names_a_backend(node):
    """Whether the expression holds the name of a backend as a text of its own."""
    return any(isinstance(n, ast.Constant) and n.value in NAMES for n in ast.walk(node))


def compares(node):
    """Whether `node` decides something by a backend's name."""
    match node:
        case ast.Compare():
            return names_a_backend(node)
        case ast.MatchValue():
            return names_a_backend(node.value)
        case ast.Dict():
            return any(key is not None and names_a_backend(key) for key in node.keys)
        case ast.Call(func=ast.Attribute(attr="startswith" | "endswith")):
            return any(map(names_a_backend, node.args))
    return False


def problems(source, module):
    """What `source`, as the text of `module`, has that it must not have."""
    found = []
    tree = ast.parse(source)
    for node in ast.walk(tree):
        where = f"{module}:{getattr(node, 'lineno', '?')}"
        called = node.func.id if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) else ""
        if imports(node) & UNSAFE or (called in ("eval", "exec") and module != WRITES):
            found.append(f"{where} can execute what a file says")
        if module.startswith(FREE):
            continue
        if imports(node) & FRAMEWORKS:
            found.append(f"{where} imports a framework")
        if compares(node):
            found.append(f"{where} asks which backend it is on")
    return found + arrows(tree, module)


def arrows(tree, module):
    """Imports that go against the order of the layers."""
    parts = module.removesuffix(".py").split("/")
    if len(parts) == 1 and parts[0] == "__init__":
        return []
    own = RANK["ops"] if parts[0] in ("backends", "tracing") else RANK.get(parts[0])
    if own is None:
        return [f"{module} has no place in the layers: give it one in RANKS"]
    return [
        f"{module}:{line} imports {path[0]}, which lies above it"
        for line, path in inside_imports(tree, module)
        if RANK.get(path[0], -1) > own
    ]


def inside_imports(tree, module):
    """What `tree`, the text of `module`, imports from kfunc when it runs: lines, and paths below kfunc."""
    typing_only = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for inner in ast.walk(node)
    }
    package = module.split("/")[:-1]
    for node in ast.walk(tree):
        if node in typing_only or not isinstance(node, ast.ImportFrom | ast.Import):
            continue
        if isinstance(node, ast.Import):
            paths = [alias.name.split(".") for alias in node.names]
        elif node.level:
            above = ["kfunc", *package[: len(package) - node.level + 1], *(node.module or "").split(".")]
            paths = [[*filter(None, above), alias.name] for alias in node.names]
        else:
            paths = [[*node.module.split("."), alias.name] for alias in node.names]
        yield from ((node.lineno, path[1:]) for path in paths if path[0] == "kfunc" and path[1:])


def circles(sources, allowed=()):
    """The shortest circle of imports through each module of `sources`, texts by module; `allowed` ones do not count."""

    def file(path):
        candidates = ("/".join(path[:n]) + end for n in (len(path), len(path) - 1) for end in (".py", "/__init__.py"))
        return next((c for c in candidates if c in sources), None)

    graph = {}
    for module, source in sources.items():
        found = {file(path) for _, path in inside_imports(ast.parse(source), module)}
        graph[module] = sorted(m for m in found - {None, module} if (module, m) not in allowed)

    def circle(start):
        paths, seen = [[start]], {start}
        for path in paths:  # which grows
            for module in graph[path[-1]]:
                if module == start:
                    return " -> ".join((*path, start))
                if module not in seen:
                    seen.add(module)
                    paths.append([*path, module])
        return None

    return [c for c in map(circle, graph) if c]


def undocumented(source, module):
    """Functions and classes in `__all__` of `source`, and methods, that lack a docstring or a type.

    Methods of a class with bases are passed over: they may say no more than the base does.
    """
    tree = ast.parse(source)
    lists = [n.value for n in tree.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "__all__"]
    public = {name for names in lists for name in ast.literal_eval(names)}
    found = []

    def visit(body, inside=""):
        for node in body:
            if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
                continue
            if not inside and node.name not in public:
                continue
            if any(ast.unparse(d) in ("overload", "typing.overload") for d in node.decorator_list):
                continue  # the implementation has the docstring
            where = f"{module}:{node.lineno} {inside}{node.name}"
            if not ast.get_docstring(node) and not inside:
                found.append(f"{where} has no docstring")
            if isinstance(node, ast.ClassDef):
                visit([] if node.bases else node.body, f"{node.name}.")
                continue
            args = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            untyped = [arg.arg for arg in args if arg.annotation is None and arg.arg not in ("self", "cls")]
            # A decorator may say what comes back.
            if untyped or (node.returns is None and not node.decorator_list):
                found.append(f"{where} has untyped {', '.join(untyped) or 'result'}")

    visit(tree.body)
    return found


@pytest.mark.parametrize("module", MODULES)
def test_layers(module):
    assert problems((ROOT / module).read_text(encoding="utf-8"), module) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("nn/core.py", "import torch.nn"),
        ("nn/core.py", "def f():\n    from jax import numpy"),
        ("model.py", "import importlib; importlib.import_module('tensorflow')"),
        ("nn/core.py", "if backend.name == 'torch': pass"),
        ("nn/core.py", "x = name in ('jax', 'torch')"),
        ("nn/core.py", "match name:\n    case 'jax': pass"),
        ("nn/core.py", "steps = {'jax': 1, 'other': 2}[name]"),
        ("nn/core.py", "type(x).__module__.startswith('torch')"),
        ("files.py", "import pickle"),
        ("backends/jax.py", "import marshal"),
        ("backends/jax.py", "eval('1')"),
        ("backends/jax.py", "from .. import model"),
        ("backends/jax.py", "from ..nn import Dense"),
        ("ops/linear.py", "from ..nn.core import Dense"),
        ("ops/linear.py", "from kfunc.model import Model"),
        ("arrays.py", "from . import ops"),
        ("arrays.py", "from .ops import relu"),
        ("nn/core.py", "from ..model import Model"),
        ("helpers.py", ""),
    ],
)
def test_the_check_finds(module, source):
    assert problems(source, module)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("backends/torch/__init__.py", "import torch\nfrom ...ops import relu\nfrom .. import Backend"),
        ("interop/keras.py", "import keras"),
        ("model.py", "from .nn import Layer\nfrom .backends import get\nget('numpy')\nx == 'other'"),
        ("files.py", "import numpy, ml_dtypes"),
        ("ops/linear.py", "from ..arrays import namespace\nfrom ._op import op"),
        ("ops/linear.py", "if typing.TYPE_CHECKING:\n    from ..nn import Layer"),
    ],
)
def test_the_check_lets_pass(module, source):
    assert not problems(source, module)


def test_no_imports_go_in_circles():
    """Those inside functions count. The registry of backends names modules by strings, and so imports none."""
    sources = {module: (ROOT / module).read_text(encoding="utf-8") for module in MODULES}
    assert circles(sources, CIRCLES) == []
    for exception in CIRCLES:
        assert circles(sources, set(CIRCLES) - {exception}), f"{exception} closes no circle any more"


@pytest.mark.parametrize(
    "sources",
    [
        {"a.py": "from . import b", "b.py": "from . import a"},
        {"a.py": "def f():\n    from .b import c", "b/__init__.py": "", "b/c.py": "from ..a import x"},
        {"a.py": "from .b import x", "b.py": "from .c import x", "c.py": "import kfunc.a"},
        {"a/__init__.py": "from .b import x", "a/b.py": "from kfunc.a import y"},
    ],
)
def test_the_check_finds_circles(sources):
    assert circles(sources)
    (first, *_) = sources
    assert not circles(sources | {first: ""})
    assert not circles(sources | {first: "if TYPE_CHECKING:\n" + textwrap.indent(sources[first], "    ")})


def test_the_map_of_the_contributors_is_right():
    """The folders and files under "The map" are all that there are, and each station has its class or function."""
    text = (ROOT.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    text = text.partition("## The map")[2].partition("\n## ")[0]
    listed = set(re.findall(r"(?<=[ (])(\w+(?:\.py|/))(?=[ \n])", text.partition("```")[2].partition("```")[0]))
    present = {f"{path.name}/" if path.is_dir() else path.name for path in ROOT.iterdir()} - {
        "__pycache__/",
        "py.typed",
    }
    assert present <= listed
    places = re.findall(r"`(\w+/?\w*\.py)`: `([\w.]+)`", text)
    assert len(places) > 10
    for path, name in places:
        node = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        for part in name.split("."):
            found = [n for n in node.body if getattr(n, "name", None) == part]
            assert found, f"{path} has no {name}"
            node = found[-1]


@pytest.mark.parametrize("module", TYPED)
def test_public_names_have_types_and_docstrings(module):
    assert undocumented((ROOT / module).read_text(encoding="utf-8"), module) == []


@pytest.mark.parametrize(
    "source",
    [
        "def f() -> int: return 1",
        "def f(x) -> int:\n    'doc'",
        "def f(x: int):\n    'doc'",
        "def f(*, x) -> int:\n    'doc'",
        "class C: pass",
        "class C:\n    'doc'\n    def f(self, x: int):\n        'doc'",
    ],
)
def test_the_check_finds_what_is_undocumented(source):
    assert undocumented(f"__all__ = ['f', 'C']\n{source}", "x.py")
    assert not undocumented(f"__all__ = []\n{source}", "x.py")
