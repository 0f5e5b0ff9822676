"""Initializers that draw nothing; of the others, `test_initializers` has the distributions."""

from __future__ import annotations

from typing import Any

from catalogue import New, Row, initializer


def row(cls: str, *arguments: Any, shape: tuple[int, ...] = (3, 4), note: str = "", n: int = 1, **options: Any) -> Row:
    return initializer(New(f"initializers.{cls}", *arguments, **options), shape, note=note, n=n)


ROWS = [
    row("Constant", -1.5),
    row("Constant", shape=(), note="default"),
    row("Zeros"),
    row("Ones", shape=(2, 3, 1)),
    row("Identity"),
    row("Identity", gain=0.3, shape=(4, 2), note="gain"),
    # Windows are sums of up to 5 cosines, and are divided by the sum of as many numbers as they have.
    row("STFT", shape=(6, 1, 5), n=6),
    row("STFT", "imag", "blackman", "spectrum", True, shape=(6, 1, 5), n=6, note="imag"),
    row("STFT", window=None, shape=(9, 1, 3), note="no-window"),
    row("STFT", window=[1.0, 2.0, 0.5], shape=(3, 1, 3), n=3, note="given"),
    *(
        row("STFT", window=window, scaling=None, periodic=i % 2 > 0, shape=(7, 1, 3), n=5, note=window)
        for i, window in enumerate(("boxcar", "hamming", "nuttall", "blackmanharris", "flattop", "bartlett"))
    ),
    row("STFT", scaling="spectrum", shape=(1, 1, 2), note="one-sample"),
]
