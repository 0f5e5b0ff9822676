"""Recording: a pure function becomes the list of its kernel calls, for libraries without a compiler.

The function runs once, on arrays that write down what is done to them. The program that comes out has no Python in
between: no dispatch, no tape, no trees, and no call whose result is not used. It makes the same calls, so its results
have the same bits. A recording never changes what is computed, or which error is raised: where no program fits the
arguments, or none can be made, the function itself runs.

The words of this package:

- kernel: a function of the library that computes, such as `np.matmul`; or a lowering, which is made of such functions.
- recorder: the `RecordBackend` over the arrays of another backend. To layers and ops it is a backend like any other.
- recorded array: a `Recorded`. It holds the value of this run, and the variable that holds its value in the program.
- constant: a value that does not depend on the arguments, so that it is the same in all runs.
- recording: a `Recording`, the lines that one run has written.
- variable: `a0`, `a1` … for the arguments, `v1`, `v2` … for results, `c1`, `c2` … for constants.
- line: one statement of the program. It calls a kernel, writes to the memory of a variable, or asks a question.
- question: Python asked an array for its value, in an `if` for example, or for a shape that depends on values. The
  program asks again; where the answer is another one, it raises `Otherwise`, and another program is tried.
- path: a program, and the structure of its result. A function has a path for each set of answers to its questions.
- form: what the kernel calls depend on beside values: types, shapes, dtypes and devices. See `Backend.form`.
- opened kernel: a kernel that is a Python function itself. It runs on stand-ins for arrays (`Backend.stand_in`), which
  write down the calls that it makes. Any other kernel is closed: its call is one line. Opening NumPy's kernels makes a
  step of small networks two to six times faster.
- early and late lines: in a loop some arguments stay the same, such as the parameters in `predict`. The lines that
  depend on these alone are early, and run once for the whole loop. The late lines run in each step.
"""

from __future__ import annotations

from .array import Recorded
from .backend import RecordBackend, record_of
from .function import RecordedFunction, recorded

__all__ = ["RecordBackend", "Recorded", "RecordedFunction", "record_of", "recorded"]
