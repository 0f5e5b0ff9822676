"""Hostile files in processes of their own, which can be killed, and whose memory can be measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

__all__ = ["in_a_child", "peak", "watched"]

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def watched(script: str) -> dict[str, Any]:
    """What `script` prints: a row of JSON for each name."""
    pytest.importorskip("resource", reason="Windows has no fork")
    paths = [TESTS, os.path.dirname(TESTS), os.environ.get("PYTHONPATH", "")]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run([sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    return {row["name"]: row for row in map(json.loads, done.stdout.splitlines())}


def in_a_child(child: Callable[..., Any], name: str, *args: Any) -> None:
    """Print as JSON what `child(name, *args)` returns in a fork of this process, or that it died."""
    there, here = os.pipe()
    if (pid := os.fork()) == 0:
        with open(here, "w") as out:
            json.dump(child(name, *args), out)
        os._exit(0)
    os.close(here)
    with open(there) as answer:
        text = answer.read()
    status = os.waitpid(pid, 0)[1]
    print(text if text else json.dumps({"name": name, "died": status}), flush=True)


def peak() -> int:
    """The most bytes that this process has held."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
