"""What pytest loads to run Keras's test files on kfunc: their imports are answered by `adapter`, and outcomes are kept.

A test file is no module of the checkout's package: it is compiled here, with an `__import__` of its own. So Keras
itself, which is installed and helps with what is not under test, stays as it is.
"""

from __future__ import annotations

import json
import os
import types
import zlib
from pathlib import Path

import pytest
from peers import adapter

CHECKOUT = Path(os.environ["KFUNC_PEERS_CHECKOUT"]).resolve()
RESULTS = os.environ["KFUNC_PEERS_RESULTS"]


# How kfunc says that a backend has no such dtype; Keras skips such tests by hand.
LACKING = ("does not have the `dtype`", "does not support the policy 'bfloat16'", "float64, got 'bfloat16'")


def load(path: Path) -> types.ModuleType:
    """The test file as a module whose imports are the adapter's."""
    name = "keras_tests." + ".".join(path.relative_to(CHECKOUT / "keras" / "src").with_suffix("").parts)
    module = types.ModuleType(name)
    module.__file__ = str(path)
    module.__dict__["__builtins__"] = adapter.builtins(load, CHECKOUT)
    exec(compile(path.read_text(), str(path), "exec"), module.__dict__)
    return module


class File(pytest.Module):
    def _getobj(self):
        return load(self.path)


def pytest_pycollect_makemodule(module_path, parent):
    return File.from_parent(parent, path=module_path)


def pytest_configure(config):
    for marker in ("requires_trainable_backend", "multi_device"):
        config.addinivalue_line("markers", f"{marker}: of Keras's own run")


def pytest_collection_modifyitems(config, items):
    if not os.environ.get("KFUNC_PEERS_ALL"):
        # Thousands of pairs of dtypes: a fixed sample of them, as they take hours.
        left = [item for item in items if "DtypeTest" in item.nodeid and zlib.crc32(item.name.encode()) % 20]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in set(left)]
    for item in items:
        if "multi_device" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="needs several devices"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.failed and any(text in str(call.excinfo.value) for text in LACKING):
        report.outcome = "skipped"
        report.longrepr = (str(item.path), 0, "Skipped: no such dtype on this backend")
    return report


def _write(test: str, outcome: str, message: str) -> None:
    with open(RESULTS, "a") as file:
        file.write(json.dumps({"test": test, "outcome": outcome, "message": message}) + "\n")


def _message(report) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash else str(report.longrepr)
    return " ".join(text.split())[:300]


def pytest_runtest_logreport(report):
    if report.when == "call" or report.failed or report.skipped:
        _write(adapter.short(report.nodeid), report.outcome, "" if report.passed else _message(report))


def pytest_collectreport(report):
    if report.failed:
        _write(adapter.short(report.nodeid), "failed", _message(report))
