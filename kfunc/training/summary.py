"""The table of a network's layers."""

from __future__ import annotations

import math
from typing import Any

from .. import tree

__all__ = ["lines_of"]


def lines_of(call: Any) -> list[str]:
    """Path and class, output shape and number of parameters of each layer, from `net.trace(...)`; then the sums."""
    outputs = {path: (layer, out) for path, layer, out in call.outputs}
    counts = dict.fromkeys(outputs, 0)
    total = {"params": 0, "state": 0}
    for parts, declaration in (call.declared or {}).items():
        n = math.prod(d or 0 for d in declaration.spec.shape)
        total[declaration.kind] += n
        # Parameters that a layer groups in scopes of its own (`Scope.sub`) count as the layer's.
        above = ("/".join(parts[:i]) for i in range(len(parts) - 1, -1, -1))
        counts[next(path for path in above if path in counts)] += n
    rows = [("Layer", "Output shape", "Parameters")]
    for path, (layer, out) in outputs.items():
        if path:
            shapes = ", ".join(str(x.shape) for x in tree.leaves(out))
            rows.append((f"{path} ({type(layer).__name__})", shapes, f"{counts[path]:,}"))
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows]
    lines.insert(1, "-" * len(lines[0]))
    return [*lines, f"Parameters: {total['params']:,}, state: {total['state']:,}"]
