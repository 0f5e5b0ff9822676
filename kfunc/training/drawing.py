"""A picture of a network: boxes and arrows, in Graphviz's language or as SVG."""

from __future__ import annotations

import html
from collections.abc import Iterator
from typing import Any, NamedTuple

from .. import tree
from ..arrays import dtype_name
from ..nn.combinators import Sequential
from ..nn.graph import Graph
from ..nn.layer import Layer
from .summary import connections

__all__ = ["Box", "boxes_of", "dot_of", "svg_of"]


class Box(NamedTuple):
    """A layer, or an input, in the picture.

    Attributes:
        path: Its path in the network.
        lines: The lines of text in it.
        sources: The paths of the boxes from which arrows lead to it.
        group: The path of the network that it is in, "" for the whole one.
    """

    path: str
    lines: list[str]
    sources: list[str]
    group: str


def boxes_of(
    call: Any,
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = True,
    expand_nested: bool = False,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
) -> list[Box]:
    """The boxes of a network, from `net.trace(...)`. `expand_nested` shows the layers of networks that are layers."""
    outputs: dict[str, tuple[Layer, Any]] = {path: (layer, out) for path, layer, out in call.outputs}
    inputs, sources = connections(outputs)
    inner: dict[str, list[str]] = {}
    for path in dict.fromkeys([*inputs, *filter(None, outputs)]):
        inner.setdefault(path.rpartition("/")[0], []).append(path)

    def is_group(path: str) -> bool:
        return expand_nested and path in inner and isinstance(outputs[path][0], Graph | Sequential)

    def taken(path: str, before: str | None) -> list[str]:
        """The paths beside `path` that it takes; for a layer in a row of layers, the one before."""
        group = path.rpartition("/")[0]
        if isinstance(outputs.get(group, (None,))[0], Graph):
            found = dict.fromkeys(name.partition("[")[0] for name in sources.get(path, []))
            return [f"{group}/{name}" if group else name for name in found]
        return [] if before is None else [before]

    def ends(path: str) -> list[str]:
        """The boxes from which the output of `path` comes."""
        if not is_group(path):
            return [path]
        used = {s for i, p in enumerate(inner[path]) for s in taken(p, inner[path][i - 1] if i else None)}
        return [end for p in inner[path] if p not in used for end in ends(p)]

    def walk(group: str, given: list[str]) -> Iterator[Box]:
        """The boxes of a group, whose first layers get arrows from the boxes `given`."""
        before = None
        for path in inner.get(group, []):
            found = [end for source in taken(path, before) for end in ends(source)] or given
            before = path
            if is_group(path):
                yield from walk(path, found)
                continue
            layer, out = outputs[path] if path in outputs else (None, inputs[path])
            kind = "Input" if layer is None else type(layer).__name__
            activation = getattr(layer, "activation", None)
            if show_layer_activations and activation is not None:
                kind += f" ({activation if isinstance(activation, str) else type(activation).__name__})"
            lines = [f"{path}: {kind}" if show_layer_names else kind]
            for x in tree.leaves(out) if show_shapes or show_dtype else []:
                lines.append(" ".join([str(tuple(x.shape))] * show_shapes + [dtype_name(x.dtype)] * show_dtype))
            if show_trainable and layer is not None:
                lines.append("trainable" if layer.trainable else "frozen")
            yield Box(path, lines, found, group)

    return list(walk("", []))


def dot_of(boxes: list[Box], rankdir: str = "TB", dpi: int | None = None, splines: str | None = None) -> str:
    """The boxes in Graphviz's language."""
    options = [f"rankdir={rankdir}"] + ([] if dpi is None else [f"dpi={dpi}"])
    options += [] if splines is None else [f"splines={splines}"]
    lines, group = ["digraph {", f"  {'; '.join(options)}; node [shape=box];"], ""
    for box in boxes:
        if box.group != group:
            lines += ["  }"] * bool(group)
            lines += [f'  subgraph "cluster_{box.group}" {{ label="{box.group}";'] * bool(box.group)
            group = box.group
        label = "\\n".join(line.replace("\\", "\\\\").replace('"', '\\"') for line in box.lines)
        lines.append(f'  "{box.path}" [label="{label}"];')
        if not box.group:
            lines += [f'  "{source}" -> "{box.path}";' for source in box.sources]
    lines += ["  }"] * bool(group)
    lines += [f'  "{source}" -> "{box.path}";' for box in boxes if box.group for source in box.sources]
    return "\n".join([*lines, "}"])


_LETTER, _LINE, _GAP = 7.2, 16, 36  # pixels of SVG: a letter's width, the height of a line, and between the boxes


def svg_of(boxes: list[Box], rankdir: str = "TB") -> str:
    """The boxes as a picture in SVG: in rows by their distance from the inputs, each near to those that it takes."""
    rows: dict[str, int] = {}
    for box in boxes:
        rows[box.path] = 1 + max((rows[s] for s in box.sources if s in rows), default=-1)
    across = rankdir in ("LR", "RL")
    sizes = {b.path: (_LETTER * max(map(len, b.lines)) + 16, _LINE * len(b.lines) + 12.0) for b in boxes}
    places: dict[str, tuple[float, float]] = {}  # the centres: along the rows, and from row to row
    below = 0.0
    for row in range(1 + max(rows.values(), default=-1)):
        inside = [b for b in boxes if rows[b.path] == row]
        wanted = {b.path: [places[s][0] for s in b.sources if s in places] for b in inside}
        middle = {path: sum(xs) / len(xs) if xs else 0.0 for path, xs in wanted.items()}
        inside.sort(key=lambda b: middle[b.path])
        wide = [sizes[b.path][across] for b in inside]
        high = max(sizes[b.path][not across] for b in inside)
        at = sum(middle.values()) / len(inside) - (sum(wide) + _GAP * (len(inside) - 1)) / 2
        for box, w in zip(inside, wide, strict=True):
            at = max(at, middle[box.path] - w / 2) if len(inside) > 1 else at
            places[box.path] = at + w / 2, below + high / 2
            at += w + _GAP
        below += high + _GAP
    points = {p: (y, x) if across else (x, y) for p, (x, y) in places.items()}
    if rankdir in ("BT", "RL"):
        points = {p: (-x, y) if across else (x, -y) for p, (x, y) in points.items()}
    left, top = (min((c[i] - sizes[p][i] / 2 for p, c in points.items()), default=0) - 10 for i in (0, 1))
    right, bottom = (max((c[i] + sizes[p][i] / 2 for p, c in points.items()), default=0) + 10 for i in (0, 1))
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{left:.0f} {top:.0f} {right - left:.0f} {bottom - top:.0f}" '
        f'width="{right - left:.0f}" height="{bottom - top:.0f}" font-family="monospace" font-size="12">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        '<path d="M0 0L8 4L0 8z"/></marker></defs>',
    ]
    for box in boxes:
        for source in box.sources:
            (x0, y0), (x1, y1) = points[source], points[box.path]
            axis = 0 if across else 1
            sign = 1 if (x1 - x0, y1 - y0)[axis] >= 0 else -1
            start, end = [x0, y0], [x1, y1]
            start[axis] += sign * sizes[source][axis] / 2
            end[axis] -= sign * sizes[box.path][axis] / 2
            half = (start[axis] + end[axis]) / 2
            a, b = list(start), list(end)
            a[axis] = b[axis] = half
            path = " ".join(f"{x:.0f},{y:.0f}" for x, y in (a, b, end))
            out.append(
                f'<path d="M{start[0]:.0f},{start[1]:.0f} C{path}" fill="none" stroke="#555" marker-end="url(#tip)"/>'
            )
    for box in boxes:
        (x, y), (w, h) = points[box.path], sizes[box.path]
        out.append(
            f'<rect x="{x - w / 2:.0f}" y="{y - h / 2:.0f}" width="{w:.0f}" height="{h:.0f}" rx="4" fill="#fff" '
            'stroke="#333"/>'
        )
        for i, line in enumerate(box.lines):
            at = y - h / 2 + 6 + _LINE * (i + 0.75)
            out.append(f'<text x="{x:.0f}" y="{at:.0f}" text-anchor="middle">{html.escape(line)}</text>')
    return "\n".join([*out, "</svg>"])
