"""What importing kfunc brings in, and how long it takes: each in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from backends import BACKENDS

FRAMEWORKS = {"jax", "jaxlib", "torch", "tensorflow", "openvino", "array_api_strict", "keras", "optax"}
ROOTS = {"jax": {"jax", "jaxlib"}, "tensorflow": {"tensorflow", "keras", "jax", "jaxlib"}}
"""What a framework brings in besides itself: TensorFlow looks for Keras, and that for JAX."""


def run(code):
    """Run `code` in a new Python, and return its `out`, a value of JSON's types."""
    # As for a user: with compiled modules from the second run on.
    env = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    env["CI"] = "true"  # OpenVINO then reports nothing to its maker
    program = f"{code}\nimport json; print(json.dumps(out))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, env=env)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_no_framework_is_imported():
    loaded = set(run("import kfunc, sys; out = sorted(sys.modules)"))
    assert not loaded & FRAMEWORKS


def test_families_are_imported_when_they_are_used():
    code = "import kfunc as kf, sys; out = [sorted(m for m in sys.modules if m.startswith('kfunc.models'))]\n"
    code += "for use in ('models', 'models.GPT2'): eval(f'kf.{use}'); out.append('kfunc.models.gpt2' in sys.modules)"
    assert run(code) == [[], False, True]


def test_it_takes_under_a_fifth_of_a_second():
    """Of the processor's time, so that a busy machine does not count; the first runs may compile modules."""
    seconds = []
    while len(seconds) < 10 and min(seconds, default=1.0) >= 0.2:
        seconds.append(run("import time; t = time.process_time(); import kfunc; out = time.process_time() - t"))
    print(f"import kfunc: {min(seconds):.3f} s")
    assert min(seconds) < 0.2, f"best of {len(seconds)}: see python -X importtime -c 'import kfunc'"


@pytest.mark.parametrize("name", BACKENDS)
def test_a_backend_imports_its_own_framework_only(name):
    code = f"import kfunc as kf, sys; kf.namespace(kf.asarray([1.0], backend={name!r})); out = sorted(sys.modules)"
    assert set(run(code)) & FRAMEWORKS <= ROOTS.get(name, {name})
