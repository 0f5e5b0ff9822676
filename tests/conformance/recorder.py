"""A plugin of pytest for `run.py`, which runs it in the suite's process: writes down what comes of each test."""

from __future__ import annotations

import json
import math
import os

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.internal.conjecture import providers
from hypothesis.strategies import SearchStrategy


@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    # After the suite's own profile. Neither time limits nor a data base of earlier failures: the same result each time.
    phases = [Phase.explicit, Phase.reuse, Phase.generate]
    if os.environ["KFUNC_CONFORMANCE_SHRINK"] == "1":
        phases.append(Phase.shrink)
    settings.register_profile(
        "conformance", settings.default, phases=phases, database=None, suppress_health_check=list(HealthCheck)
    )
    settings.load_profile("conformance")
    # Hypothesis tries the numbers that it finds in the source of what it tests; then every edit would change the draws.
    providers.is_local_module_file = lambda path: False
    draw = SearchStrategy.example
    SearchStrategy.example = lambda self: min((draw(self) for _ in range(10)), key=_complexity)


def _complexity(value):
    """What to order values by: the number of minus signs, then the sizes of the parts.

    Tests of special values that draw by `strategy.example()` draw at random in spite of derandomisation, also the signs
    that their case leaves open: "-0 or +0 gives 0". The plainest of a batch makes it one and the same test each time.
    """
    parts = complex(value).real, complex(value).imag
    return sum(math.copysign(1, x) < 0 for x in parts), *(math.inf if math.isnan(x) else abs(x) for x in parts)


def _write(**record):
    # Line by line: a crash of the interpreter must not lose what came before.
    with open(os.environ["KFUNC_CONFORMANCE_RESULTS"], "a") as file:
        file.write(json.dumps(record) + "\n")


def pytest_runtest_logstart(nodeid, location):
    _write(test=nodeid, outcome="crashed", message="the interpreter did not survive the test")


def pytest_runtest_logreport(report):
    if report.when == "call" or report.outcome != "passed":
        _write(test=report.nodeid, outcome=report.outcome, message=_message(report))


def _message(report):
    """The error in one line."""
    if report.outcome != "failed":
        return ""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash else str(report.longrepr)
    # Less the suite's repetition of the call, and what pytest explains of the assertion.
    return " ".join(text.partition("==========")[0].split())[:160]
