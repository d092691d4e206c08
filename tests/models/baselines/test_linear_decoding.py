"""Linear readouts against scikit-learn, and what inner folds learn from."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Lasso, Ridge

from neurodyn.errors import EmptySelectionError
from neurodyn.models.baselines.linear_decoding import far_from, fit_linear_readout


@settings(deadline=None, max_examples=60, derandomize=True)
@given(
    time=st.lists(st.integers(0, 200), min_size=2, max_size=40, unique=True),
    reach=st.sampled_from([0.0, 1.0, 7.0]),
    seed=st.integers(0, 50),
)
def test_learned_instants_are_those_far_from_held_out_ones(time, reach, seed):
    instants = np.sort(np.array(time, dtype=np.float64))
    rng = np.random.default_rng(seed)
    held = np.sort(rng.choice(instants.size, rng.integers(1, instants.size), replace=False))
    near = np.abs(instants[:, None] - instants[held]).min(axis=1)
    wanted = [i for i in range(instants.size) if near[i] >= reach and i not in held]
    if wanted:
        assert far_from(instants, held, reach).tolist() == wanted
    else:
        with pytest.raises(EmptySelectionError, match=r"far enough[\s\S]*shorter lags"):
            far_from(instants, held, reach)


@pytest.mark.parametrize(("kind", "model"), [("ridge", Ridge), ("lasso", Lasso)])
def test_penalty_is_the_best_of_folds_with_a_gap(kind, model):
    rng = np.random.default_rng(3)
    x, time = rng.normal(size=(120, 2, 10)), np.arange(120) * 0.25
    y = np.column_stack([x[:, 0, 0] + 0.5 * rng.normal(size=120), rng.normal(size=120)])
    penalties, flat = (0.003, 0.03, 0.3, 3.0, 30.0, 300.0), x.reshape(120, -1)
    readout = fit_linear_readout(x, y, time, kind=kind, penalties=penalties, n_folds=4, reach=1.0)
    for feature in range(2):
        errors = np.zeros(len(penalties))
        for block in np.array_split(np.arange(120), 4):
            near = np.abs(time[:, None] - time[block]).min(axis=1)
            learned = np.flatnonzero(near >= 1.0)
            for number, penalty in enumerate(penalties):
                fitted = model(alpha=penalty).fit(flat[learned], y[learned, feature])
                errors[number] += ((fitted.predict(flat[block]) - y[block, feature]) ** 2).mean()
        assert readout.penalty[feature] == penalties[int(errors.argmin())]
        fitted = model(alpha=readout.penalty[feature]).fit(flat, y[:, feature])
        np.testing.assert_allclose(readout.predict(x)[:, feature], fitted.predict(flat), atol=1e-8)
    # noise gets the stronger one
    assert readout.penalty[1] > readout.penalty[0]
