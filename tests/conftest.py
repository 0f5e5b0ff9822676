"""Which tests run: all of installed backends, those of `--backend NAME`, and no skip passes for a success with
`--no-skips`."""

from __future__ import annotations

import gc
import os
import signal
import sys

import pytest
import sampling
from backends import BACKENDS, NAMES, missing

# Four frameworks make millions of objects, and Python looks at all of them again and again: an eighth of the time.
gc.set_threshold(100_000, 20, 100)

# Read when a library is first imported, which importing kfunc does not. The arrays here are tiny: threads would only
# wait for each other.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "jax")

# A shell takes Ctrl-C away from what it runs in the background; tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

try:
    import hypothesis
except ModuleNotFoundError:
    pass
else:
    # The same examples in every run, and no time limits: the machine may be busy.
    hypothesis.settings.register_profile("kfunc", deadline=None, derandomize=True, database=None, max_examples=25)
    hypothesis.settings.load_profile("kfunc")


def pytest_addoption(parser):
    group = parser.getgroup("kfunc")
    group.addoption(
        "--backend",
        action="append",
        choices=NAMES,
        help="Leave out the tests of all other backends; may be given several times.",
    )
    group.addoption("--all", action="store_true", help="Run all rows of long tables, not a sample: takes hours.")
    group.addoption("--no-skips", action="store_true", help="Fail if any test was skipped.")


def pytest_configure(config):
    sampling.everything = config.getoption("--all")


def pytest_collection_modifyitems(config, items):
    wanted = config.getoption("--backend")
    absent = {name: reason for name in NAMES if (reason := missing(name))}
    kept, dropped = [], []
    for item in items:
        marks = {mark.name for mark in item.iter_markers()} & set(NAMES)
        (dropped if wanted and not marks <= set(wanted) else kept).append(item)
        for name in sorted(marks & set(absent)):
            item.add_marker(pytest.mark.skip(reason=absent[name]))
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept


def pytest_collection_finish(session):
    """Tens of thousands of tests are millions of objects that live on: tests that call `gc.collect` need not wait."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module", autouse=True)
def forget_programs():
    """What JAX compiled for a module is of no use to the next, and takes gigabytes in the end."""
    yield
    if "jax" in sys.modules:
        sys.modules["jax"].clear_caches()


@pytest.fixture
def quickly_compiled(request):
    """JAX's programs as LLVM first makes them, for long tables; every eighth of rows `i` has users' own.

    XLA's passes stay as they are: the optimised HLO is the same, and a quarter of the time is saved.
    """
    jax, parameters = sys.modules.get("jax"), request.node.callspec.params if hasattr(request.node, "callspec") else {}
    if jax is None or parameters.get("i", 1) % 8 == 0:
        yield
        return
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(params=BACKENDS)
def backend(request):
    """The name of each backend in turn."""
    return request.param


def skips(config) -> list:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return reporter.stats.get("skipped", []) if reporter else []


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session, exitstatus):
    if session.config.getoption("--no-skips") and skips(session.config) and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter, config):
    if config.getoption("--no-skips") and skips(config):
        terminalreporter.write_line(f"--no-skips: {len(skips(config))} skipped, which counts as failure.", red=True)
