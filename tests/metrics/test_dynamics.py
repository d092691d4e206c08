"""R² of rates against known truth."""

import numpy as np
import pytest
from sklearn.metrics import r2_score

from neurodyn.errors import DataError
from neurodyn.metrics import rate_r2, rate_r2_per_unit


def test_equals_scikit_learn_over_trials_and_bins():
    rng = np.random.default_rng(0)
    truth = rng.gamma(2.0, 0.1, (5, 7, 3))
    inferred = truth + 0.02 * rng.normal(size=truth.shape)
    flat = truth.reshape(-1, 3), inferred.reshape(-1, 3)
    np.testing.assert_allclose(
        rate_r2_per_unit(inferred, truth), r2_score(*flat, multioutput="raw_values")
    )
    assert rate_r2(inferred, truth) == pytest.approx(r2_score(*flat))
    assert rate_r2(truth, truth) == 1.0


def test_mean_rate_scores_zero():
    truth = np.random.default_rng(1).gamma(2.0, 0.1, (50, 2))
    assert rate_r2(np.broadcast_to(truth.mean(0), truth.shape), truth) == pytest.approx(0.0)


def test_shapes_must_agree():
    with pytest.raises(DataError, match="inferred and true rates differ in shape"):
        rate_r2(np.ones((2, 3)), np.ones((3, 2)))
