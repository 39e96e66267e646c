"""Max-norm, dropout's companion (D27)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from numpynet.optimizers import project_max_norm
from tests.checks import assert_close
from tests.strategies import binary, seeds

limits = st.sampled_from([0.1, 1.0, 2.5])


@pytest.mark.equation("D27")
@given(limit=limits, seed=seeds)
def test_max_norm_shortens_and_keeps_the_direction(limit: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    M = binary(rng, (6, 4), 0.6)
    W = M * rng.normal(size=(6, 4))
    W[:, 2] = 0.0
    kept = W.copy()
    projected = project_max_norm(W, limit)
    assert np.array_equal(W, kept)
    norms, after = np.linalg.norm(W, axis=0), np.linalg.norm(projected, axis=0)
    assert (after <= limit * (1 + 1e-15)).all()
    assert_close(after, np.minimum(norms, limit))
    assert_close(projected * np.where(norms > 0, norms, 1), W * after)  # parallel, and not turned around
    assert np.array_equal(projected[:, norms <= limit], W[:, norms <= limit])  # short ones keep every bit
    assert not projected[M == 0].any() and not projected[:, 2].any()  # zeros stay zeros
    assert_close(project_max_norm(projected, limit), projected)
