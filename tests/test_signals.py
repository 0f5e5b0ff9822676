"""`Deferral`: when the handlers of signals run while `fit` does."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading

import pytest

from kfunc.training.signals import Deferral

TERM, USR1, USR2 = signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2


@pytest.fixture
def came():
    """The numbers of the signals whose handlers have run, in their order."""
    found = []
    before = {
        number: signal.signal(number, lambda number, frame: found.append(number)) for number in (TERM, USR1, USR2)
    }
    yield found
    for number, handler in before.items():
        signal.signal(number, handler)


def test_elsewhere_handlers_run_at_once(came):
    with Deferral():
        signal.raise_signal(USR1)
        assert came == [USR1]


def test_closed_means_after_the_block(came):
    with Deferral() as signals:
        with signals.closed:
            signal.raise_signal(USR2)
            signal.raise_signal(USR1)
            assert came == []
        assert came == [USR2, USR1]


def test_a_preceded_signal_waits_for_a_rest(came):
    with Deferral() as signals:
        signals.precede(TERM, lambda: came.append("saved"))
        signal.raise_signal(TERM)
        with signals.closed:
            signal.raise_signal(USR1)
        assert came == [USR1]
        with signals.resting:
            assert came == [USR1, "saved", TERM]
            signal.raise_signal(TERM)
            assert came == [USR1, "saved", TERM, "saved", TERM]
        signals.precede(TERM, None)
        signal.raise_signal(TERM)
        assert came[-2:] == [TERM, TERM]


def test_what_still_waits_runs_at_the_end(came):
    with Deferral() as signals:
        signals.precede(TERM, lambda: came.append("saved"))
        signal.raise_signal(TERM)
    assert came == [TERM]  # there is nothing left to save


def test_an_action_that_fails_keeps_the_signal(came):
    def fail():
        raise OSError("no space")

    with Deferral() as signals:
        signals.precede(TERM, fail)
        signal.raise_signal(TERM)
        with pytest.raises(OSError, match="no space"), signals.resting:
            pass
        assert came == []
    assert came == [TERM]


def test_a_handler_that_raises_lets_the_next_one_run(came):
    signal.signal(USR1, lambda *_: 1 / 0)
    with Deferral() as signals, pytest.raises(ZeroDivisionError), signals.closed:
        signal.raise_signal(USR1)
        signal.raise_signal(USR2)
    assert came == [USR2]


def test_one_inside_another(came):
    """As a callback that trains another model has it."""
    with Deferral() as outer:
        outer.precede(TERM, lambda: came.append("outer"))
        with Deferral() as inner:
            with inner.closed:
                signal.raise_signal(USR1)
                assert came == []
            signal.raise_signal(TERM)
            assert came == [USR1]  # the outer one's checkpoint comes first, and waits for its rest
        assert signal.getsignal(USR1) is outer
        with outer.resting:
            assert came == [USR1, "outer", TERM]


def test_handlers_are_given_back(came):
    before = [signal.getsignal(number) for number in (signal.SIGINT, TERM, USR1, signal.SIGHUP)]
    with Deferral() as signals:
        signals.precede(signal.SIGHUP, lambda: None)
        assert signal.getsignal(USR1) is signals and signal.getsignal(signal.SIGHUP) is signals
    assert [signal.getsignal(number) for number in (signal.SIGINT, TERM, USR1, signal.SIGHUP)] == before


def test_a_handler_that_was_set_meanwhile_stays(came):
    def other(number, frame):
        came.append("other")

    with Deferral():
        signal.signal(USR1, other)
    assert signal.getsignal(USR1) is other


def test_in_a_thread_nothing_changes(came):
    seen = []

    def run():
        with Deferral() as signals:
            signals.precede(TERM, lambda: None)
            with signals.closed:
                seen.append(signal.getsignal(USR1))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(USR1)]


def test_the_systems_own_handling():
    """SIGTERM that Python does not handle ends the process, after what precedes it; so does an ignored one not."""
    program = """
import signal, sys
from kfunc.training.signals import Deferral
signal.signal(signal.SIGTERM, getattr(signal, sys.argv[1]))
with Deferral() as signals:
    signals.precede(signal.SIGTERM, lambda: print("saved", flush=True))
    signal.raise_signal(signal.SIGTERM)
    with signals.resting:
        print("goes on")
print(signal.getsignal(signal.SIGTERM).name)
"""
    ends = {}
    for handler in ("SIG_DFL", "SIG_IGN"):
        done = subprocess.run([sys.executable, "-c", program, handler], capture_output=True, text=True, check=False)
        ends[handler] = done.returncode, done.stdout.split("\n")[:-1]
    assert ends == {"SIG_DFL": (-TERM, ["saved"]), "SIG_IGN": (0, ["saved", "goes on", "SIG_IGN"])}
