"""OpenVINO, for inference: arrays are lazy graphs, and `kf.jit` compiles one program for every batch size.

What to know:
- It does not train. Train on NumPy, JAX, PyTorch or TensorFlow, and move the model here to serve it.
- float64 is computed as float32, and int64 and uint64 as int32: numbers beyond the range of int32 are wrong. uint32 is
  exact (as bits of int32) in addition, multiplication, comparison, bits, shifts and sorting. Numbers below 1.2e-38 may
  become 0. The remainder is not exact where the quotient is beyond 2**24.
- The sign of a zero may get lost in `-x` and `a - b`, and the sign of a NaN is not known.
- As in other inference engines, relu and max_pool may treat a NaN as a small number.
- Arithmetic is float32. `kf.backends.get("openvino").precision = "bf16"` (or "f16") is less exact and faster, where the
  processor has it; `.target = "GPU"` compiles for another device. Both hold for programs compiled after that.
"""

from __future__ import annotations

import sys

# OpenVINO reports each import to its makers, from a forked process. Without this package it does not.
_reporting = sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
import openvino  # noqa: E402, F401

if _reporting is None:
    del sys.modules["openvino_telemetry"]

from . import lowerings, spectra  # noqa: E402, F401  (they register themselves)
from .array import Array  # noqa: E402
from .backend import OpenvinoBackend, backend  # noqa: E402
from .program import Compiled, Program  # noqa: E402

__all__ = ["Array", "Compiled", "OpenvinoBackend", "Program", "backend"]
