"""The table of a network's layers."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from .. import tree
from ..arrays import dtype_name
from ..backends.standard import DTYPES
from ..errors import ArgumentError
from ..nn.graph import Graph
from ..nn.layer import Layer
from ..nn.nodes import Part

__all__ = ["connections", "lines_of"]

_LEAST = 8
"""The narrowest column."""


def lines_of(
    call: Any,
    line_length: int | None = None,
    positions: Sequence[float] | None = None,
    expand_nested: bool = False,
    show_trainable: bool = False,
    layer_range: Sequence[str] | None = None,
) -> list[str]:
    """Path and class, output shape and number of parameters of each layer, from `net.trace(...)`; then the sums.

    A graph also says what each layer is connected to, unless each layer just takes the output of the one before.
    """
    outputs = {path: (layer, out) for path, layer, out in call.outputs}
    counts, trainable = dict.fromkeys(outputs, 0), dict.fromkeys(outputs, 0)
    for parts, declaration in (call.declared or {}).items():
        n = math.prod(d or 0 for d in declaration.spec.shape)
        # Parameters that a layer groups in scopes of its own (`Scope.sub`) count as the layer's; and so do those of the
        # layers in it.
        for path in {"/".join(parts[:i]) for i in range(len(parts))} & counts.keys():
            counts[path] += n
            trainable[path] += n if declaration.kind == "params" else 0
    inputs, sources = connections(outputs)
    connected = not _is_chain(sources)
    head = ["Layer", "Output shape", "Parameters"] + ["Trainable"] * show_trainable + ["Connected to"] * connected
    rows = []
    for path in _in_order(list(outputs), inputs, expand_nested):
        layer, out = outputs[path] if path in outputs else (None, inputs[path])
        shapes = ", ".join(str(tuple(x.shape)) for x in tree.leaves(out))
        name = f"{path} ({'Input' if layer is None else type(layer).__name__})"
        row = [name, shapes, f"{counts.get(path, 0):,}"]
        if show_trainable:
            row.append("-" if not counts.get(path) else "yes" if trainable[path] else "no")
        rows.append(row + [", ".join(sources.get(path, []))] * connected)
    if layer_range is not None:
        rows = _between(rows, layer_range)
    total, size = counts[""], sum(_bytes(d.spec) for d in (call.declared or {}).values())
    last = (
        f"Total params: {total:,} ({_readable(size)}), trainable: {trainable['']:,}, state: {total - trainable['']:,}"
    )
    return [*_table([head, *rows], line_length, positions), last]


def connections(outputs: dict[str, tuple[Layer, Any]]) -> tuple[dict[str, Any], dict[str, list[str]]]:
    """The inputs of all graphs by their paths; and for each layer in a graph, the names of those it takes nodes of."""
    inputs: dict[str, Any] = {}
    sources: dict[str, list[str]] = {}
    for path, (graph, _) in outputs.items():
        if not isinstance(graph, Graph):
            continue
        prefix = f"{path}/" if path else ""
        names = dict(zip(map(id, tree.leaves(graph.inputs)), graph.input_names(), strict=True))
        inputs |= {prefix + names[id(node)]: node.spec for node in tree.leaves(graph.inputs)}
        known: Any = dict(graph._children)
        for node in graph._order:
            found = sources.setdefault(prefix + known[id(node.layer)][0], [])
            for parent in node.parents:
                part = f"[{parent.index}]" if isinstance(parent, Part) and id(parent) not in names else ""
                found.append(names.get(id(parent)) or known[id(parent.layer)][0] + part)
    return inputs, sources


def _is_chain(sources: dict[str, list[str]]) -> bool:
    """Whether each layer takes the output of the one before, and nothing else."""
    before: dict[str, str] = {}
    for path, taken in sources.items():
        above, _, name = path.rpartition("/")
        if len(taken) != 1 or taken[0] != before.get(above, taken[0]):
            return False
        before[above] = name
    return True


def _in_order(paths: list[str], inputs: dict[str, Any], nested: bool) -> list[str]:
    """The paths to show: inputs of a graph first, and a layer before those in it."""
    inner: dict[str, list[str]] = {}
    for path in dict.fromkeys([*inputs, *filter(None, paths)]):
        inner.setdefault(path.rpartition("/")[0], []).append(path)
    if not nested:
        return inner.get("", [])
    found, stack = [], [""]
    while stack:
        found.append(stack.pop())
        stack.extend(reversed(inner.get(found[-1], [])))
    return found[1:]


def _between(rows: list[list[str]], layer_range: Sequence[str]) -> list[list[str]]:
    """The rows from the first to the last layer that a pair of names, or of regular expressions, names."""
    try:
        first_name, last_name = map(re.compile, layer_range)
    except (TypeError, ValueError, re.error) as error:
        raise ArgumentError.must_be("layer_range", "two names of layers", layer_range) from error
    names = [row[0].partition(" ")[0] for row in rows]
    first, last = ([i for i, n in enumerate(names) if which.fullmatch(n)] for which in (first_name, last_name))
    if not first or not last:
        wrong = layer_range[0] if not first else layer_range[1]
        raise ArgumentError.must_be("layer_range", "two names of layers", wrong, said=f"two of {', '.join(names)}")
    return rows[min(first) : max(last) + 1]


def _table(rows: list[list[str]], line_length: int | None, positions: Sequence[float] | None) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    if line_length is not None:
        if positions is None:
            spare = sum(widths) + 2 * (len(widths) - 1) - line_length
            while spare > 0 and max(widths) > _LEAST:  # the widest column first
                widths[widths.index(max(widths))] -= 1
                spare -= 1
        else:
            ends = [int(p * line_length) if p <= 1 else int(p) for p in positions[: len(widths)]]
            widths = [max(end - start - 2, _LEAST) for start, end in zip([0, *ends], ends, strict=False)]
            rows = [row[: len(widths)] for row in rows]
    lines = ["  ".join(_cell(row[i], n, i == 2) for i, n in enumerate(widths)).rstrip() for row in rows]
    lines.insert(1, "-" * (sum(widths) + 2 * (len(widths) - 1)))
    return lines


def _cell(text: str, width: int, right: bool) -> str:
    text = text if len(text) <= width else f"{text[: width - 1]}…"
    return f"{text:>{width}}" if right else f"{text:<{width}}"


def _bytes(spec: Any) -> int:
    return math.prod(d or 0 for d in spec.shape) * DTYPES[dtype_name(spec.dtype)][1] // 8


def _readable(size: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024:
            return f"{size:.2f} {unit}"
        size /= 1024
    return f"{size:.2f} TB"
