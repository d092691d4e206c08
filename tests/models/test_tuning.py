from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from neurodyn.errors import ConfigError
from neurodyn.models import cross_validate, tune
from neurodyn.models.baselines import GRUAutoencoder, SmoothingGLM
from neurodyn.models.checks import example_counts
from neurodyn.models.registry import available, create
from neurodyn.models.tuning import draw_settings
from neurodyn.training import TrainingConfig
from neurodyn.windows.splits import Split

COUNTS = example_counts(9)
SPLITS = [Split(np.arange(6), test=np.arange(6, 9))]


def test_the_best_draw_is_kept():
    start = SmoothingGLM(n_components=3, penalty=5.0)
    found = tune(start, COUNTS, SPLITS, n_draws=6, seed=3)
    scores = found.table["score"].values
    assert scores.size == 6
    assert scores[0] == float(cross_validate(start, COUNTS, SPLITS)["pooled"])
    best = float(cross_validate(found.estimator, COUNTS, SPLITS)["pooled"])
    assert best == pytest.approx(scores.max())
    assert best > scores[0]
    again = tune(start, COUNTS, SPLITS, n_draws=6, seed=3)
    assert again.table.identical(found.table)


def test_training_settings_are_drawn_too():
    training = TrainingConfig(n_steps=2, batch_size=9, device="cpu")
    found = tune(GRUAutoencoder(hidden_size=2), COUNTS, SPLITS, 3, seed=0, training=training)
    rates = found.table["training__learning_rate"].values.tolist()
    assert rates[0] == ""
    assert set(rates[1:]) <= {"0.001", "0.002", "0.003"}
    assert found.fit_options["training"].n_steps == 2


def test_draws_differ_and_end_with_the_space():
    class Narrow(SmoothingGLM):
        search_space: ClassVar = {"penalty": (0.1, 0.2)}

    assert draw_settings(Narrow(), 10, seed=0) in (
        [{}, {"penalty": 0.1}, {"penalty": 0.2}],
        [{}, {"penalty": 0.2}, {"penalty": 0.1}],
    )


@pytest.mark.parametrize("name", available())
def test_every_draw_is_a_valid_setting(name):
    estimator = create(name)
    for settings in draw_settings(estimator, 20, seed=0):
        own = {k: v for k, v in settings.items() if not k.startswith("training__")}
        assert estimator.clone().set_params(**own).config is not None


def test_a_budget_is_needed():
    with pytest.raises(ConfigError, match="n_draws"):
        tune(SmoothingGLM(), COUNTS, SPLITS, n_draws=0)
