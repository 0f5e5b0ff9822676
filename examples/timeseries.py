"""Forecast next year's sunspots from the 22 years before, by a recurrent network on any backend.

The forecast is compared with two that need no network: that next year is as this one, and a linear formula of the last
nine years (Yule's of 1927 took two).

python examples/timeseries.py [--backend jax]
"""

from __future__ import annotations

import argparse
import os

import numpy as np

import kfunc as kf
from kfunc import nn, optim

PAST, TEST = 22, 60  # years: two cycles of the sun, and those that are kept for the test
FACTOR = 100.0


def sunspots():
    """The sunspots of each year from 1700 to 2008, float32 (309,)."""
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "data", "sunspots.csv")
    return np.loadtxt(path, delimiter=",", skiprows=1, dtype="float32")[:, 1]


def windows(series, **options):
    """Batches of `PAST` years, and the year after them."""
    return kf.utils.timeseries_dataset_from_array(
        series[:-1, None] / FACTOR, series[PAST:, None] / FACTOR, PAST, batch_size=16, **options
    )


def error(forecast, series):
    """The root of the mean squared error in the years of the test."""
    return float(np.sqrt(np.mean((np.ravel(forecast) - series[-TEST:]) ** 2)))


def linear(series, past=9):
    """The forecast by a linear formula of the last nine years, fitted by least squares to the years before the test."""
    rows = np.stack([series[i : i + past] for i in range(len(series) - past)])
    rows = np.concatenate([rows, np.ones((len(rows), 1))], axis=1)
    formula = np.linalg.lstsq(rows[:-TEST], series[past:-TEST], rcond=None)[0]
    return rows[-TEST:] @ formula


def main(backend="numpy", epochs=80, verbose=2):
    """Train, and return the errors of the three forecasts."""
    series = sunspots()
    model = kf.Model(nn.Sequential([nn.GRU(16), nn.Dense(1)]), seed=0)
    model.compile(optim.adam(optim.schedules.CosineDecay(1e-2, epochs * 15)), "mse")
    model.fit(windows(series[:-TEST], shuffle=True), epochs=epochs, backend=backend, verbose=verbose)
    tested = windows(series[-TEST - PAST :])
    errors = {
        "as this year": error(series[-TEST - 1 : -1], series),
        "linear": error(linear(series), series),
        "network": error(model.predict(tested, verbose=0) * FACTOR, series),
    }
    for name, found in errors.items():
        print(f"{name}: {found:.1f} sunspots")
    return errors


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--backend", default="numpy")
    parser.add_argument("--epochs", type=int, default=80)
    options = parser.parse_args()
    main(options.backend, options.epochs)
