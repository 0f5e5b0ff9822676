"""In what a network here and one that came from Keras's config differ."""

from __future__ import annotations

from kfunc.interop.keras import weights
from kfunc.nn import Operation
from kfunc.registry import snake_case, to_config

__all__ = ["differences"]

_CALLED = {"hard_swish": "hard_silu", "constant": "zeros", "linear": None, "swish": "silu"}


def plain(x, key=""):
    """A config in which two ways to write one thing are equal."""
    if key.endswith("initializer") and isinstance(x, dict):
        given = {k: v for k, v in x["config"].items() if v is not None}
        return (
            [snake_case(x["class"]), given]
            if any(given.values())
            else _CALLED.get(name := snake_case(x["class"]), name)
        )
    if key.endswith("activation") and isinstance(x, str):
        return _CALLED.get(x, x)
    if key == "axis":
        return -1 if x == 3 else x  # images have four axes
    if isinstance(x, dict):
        return {k: plain(v, k) for k, v in x.items() if k != "inputs"}  # those of a Sequential in the graph
    if isinstance(x, list | tuple):
        values = [plain(v) for v in x]
        return values[0] if len(values) == 2 and values[0] == values[1] and type(values[0]) is int else values
    return x


def first_difference(a, b, path=""):
    """Where two configs differ first, in words; None if they do not."""
    if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
        pairs = [(a[k], b[k], f"{path}/{k}") for k in a]
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        pairs = [(v, w, f"{path}/{i}") for i, (v, w) in enumerate(zip(a, b, strict=True))]
    else:
        return None if a == b else f"the graph has {str(a)[:200]} at {path}, and Keras {str(b)[:200]}"
    return next((found for pair in pairs if (found := first_difference(*pair))), None)


def graph(net):
    """The layers, what each is called with, and the outputs. Operations have no arrays, and so need no names."""
    config = net.get_config()
    nodes = []
    for layer, args, kwargs in config["nodes"]:
        described = plain(to_config("layer", layer))
        if isinstance(layer, Operation):
            del described["config"]["name"]
        nodes.append([described, plain(args), plain(kwargs)])
    return {"inputs": config["inputs"][:2], "nodes": nodes, "outputs": config["outputs"]}


def differences(ours, theirs):
    """What is different, in words; without differences, the two compute the same from the same arrays.

    Args:
        ours: A graph.
        theirs: A `Built`.
    """
    nets = (ours, theirs.net)
    calls = [net.trace(*net.input_specs()).declared for net in nets]
    forms = [{p: (tuple(d.spec.shape), str(d.spec.dtype), d.kind) for p, d in each.items()} for each in calls]
    found = [
        f"{'/'.join(p)} is {forms[0].get(p)}, and in Keras {forms[1].get(p)}"
        for p in sorted(forms[0].keys() | forms[1].keys())
        if forms[0].get(p) != forms[1].get(p)
    ]
    orders = (None, theirs.order)
    places = [
        [(place.file, place.paths) for place in weights.places(net, call, order)]
        for net, call, order in zip(nets, calls, orders, strict=True)
    ]
    found += [f"a file has {b} in the place of {a}" for a, b in zip(*places, strict=False) if a != b]
    named = [[name for name, _ in net.children()] for net in nets]
    found += [f"a layer is called {a}, and in Keras {b}" for a, b in zip(*named, strict=False) if a != b]
    different = first_difference(*map(graph, nets))
    return found[:5] + ([different] if different else [])
