from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score

from neurodyn.errors import DataError
from neurodyn.models import as_sklearn
from neurodyn.models.baselines import SmoothingGLM
from neurodyn.models.checks import example_counts

COUNT = example_counts(40)["count"].values
X, Y = COUNT[..., :4], COUNT[..., 4:]


def test_scores_are_those_of_the_estimator():
    adapted = as_sklearn(SmoothingGLM(n_components=2), bin_size=0.02).fit(X, Y)
    assert adapted.predict(X).shape == COUNT.shape
    assert adapted.transform(X).shape == (40, 15, 2)
    assert isinstance(adapted.score(X, Y), float)
    assert len(cross_val_score(adapted, X, Y, cv=3)) == 3


def test_a_grid_search_reaches_the_settings():
    search = GridSearchCV(
        as_sklearn(SmoothingGLM(n_components=2), bin_size=0.02),
        {"estimator__penalty": [0.01, 10.0]},
        cv=2,
    ).fit(X, Y)
    assert search.best_params_ == {"estimator__penalty": 0.01}
    assert search.best_estimator_.estimator.config.penalty == 0.01


def test_clones_are_unfitted_and_equal():
    adapted = as_sklearn(SmoothingGLM(width=0.05), "held_in_bps", bin_size=0.02).fit(X)
    twin = clone(adapted)
    assert twin.get_params()["estimator__width"] == 0.05
    assert not twin.estimator.is_fitted
    assert np.isfinite(adapted.score(X))


def test_arrays_that_do_not_fit_are_refused():
    adapted = as_sklearn(SmoothingGLM(), bin_size=0.02)
    with pytest.raises(DataError, match="do not fit each other"):
        adapted.fit(X, Y[:3])
    with pytest.raises(DataError, match="do not fit each other"):
        adapted.fit(X[0])
