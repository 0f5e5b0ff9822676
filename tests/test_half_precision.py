"""Layers of merging, reshaping and pooling in half precision: what they say in float32, to its rounding."""

from __future__ import annotations

import math

import numpy as np
import pytest
from catalogue import New, merging, pooling, reshaping
from catalogue_oracle import OURS

import kfunc as kf

pytestmark = pytest.mark.usefixtures("quickly_compiled")

ROWS = [*merging.ROWS, *reshaping.ROWS, *pooling.ROWS]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.new.name}-{row.note}")
def test_float16(row):
    half = New(row.new.name, *row.new.args, **row.new.kwargs, dtype="float16").build(OURS)
    want = row.new.build(OURS).apply({}, *row.args, **row.options)[0]
    got = half.apply({}, *row.args, **row.options)[0]
    floating = {x.dtype.kind for x in kf.tree.leaves(row.args)} == {"f"}
    assert got.dtype == (np.float16 if floating else want.dtype)
    scale = max(1.0, abs(want).max())
    eps = float(np.finfo(np.float16).eps)
    np.testing.assert_allclose(got.astype(np.float32), want, rtol=0, atol=4 * eps * math.sqrt(row.n) * scale)
