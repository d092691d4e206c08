from __future__ import annotations

import numpy as np
import pytest

from neurodyn.errors import ConfigError
from neurodyn.models import LangevinFlowEstimator, load
from neurodyn.models.checks import example_counts
from neurodyn.models.population import fit_population
from neurodyn.training import TrainingConfig

COUNTS, OTHER = example_counts(), example_counts(5, seed=1)
SHORT = TrainingConfig(n_steps=6, batch_size=4, validate_every=3, learning_rate=0.01, device="cpu")
# Without dropout and sampling a member has no random numbers but its initial weights.
CERTAIN = {"dropout": 0.0, "keep_prob": 1.0, "n_samples": 0}


def small(**settings) -> LangevinFlowEstimator:
    return LangevinFlowEstimator(n_groups=1, n_sites=4, encoder_size=4, **CERTAIN, **settings)


@pytest.mark.parametrize("decoder", ["linear", "transformer"])
def test_members_differ_by_seed_and_rate_and_are_whole_estimators(tmp_path, decoder):
    members = [{"seed": 0}, {"seed": 1}, {"seed": 1, "learning_rate": 0.05}]
    start = small(decoder=decoder)
    fitted = fit_population(
        start, COUNTS, members, validation=OTHER, training=SHORT, folder=tmp_path
    )
    assert [(m.training_.seed, m.training_.learning_rate) for m in fitted] == [
        (0, 0.01),
        (1, 0.01),
        (1, 0.05),
    ]
    assert not hasattr(start, "network_")
    rates = [model.predict(OTHER)["rate"].values for model in fitted]
    assert not np.array_equal(rates[0], rates[1])
    assert not np.array_equal(rates[1], rates[2])
    for index, rate in enumerate(rates):
        again = load(tmp_path / f"member_{index}").predict(OTHER)["rate"].values
        np.testing.assert_array_equal(again, rate)


def test_a_member_has_its_own_curves_and_best_weights():
    fitted = fit_population(small(), COUNTS, [{"seed": 3}, {"seed": 4}], training=SHORT)
    losses = [[row["loss"] for row in model.history_] for model in fitted]
    assert len(losses[0]) == SHORT.n_steps
    assert losses[0] != losses[1]


def test_the_first_step_is_that_of_training_alone():
    one_step = TrainingConfig(n_steps=1, batch_size=99, learning_rate=0.01, device="cpu", seed=3)
    alone = small().fit(COUNTS, training=one_step)
    fitted = fit_population(small(), COUNTS, [{"seed": 3}, {"seed": 4}], training=one_step)
    ours, theirs = (m.network_.decoder.readout.bias.detach() for m in (fitted[0], alone))
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_results_say_what_they_were_computed_by():
    fitted = small().fit(COUNTS, training=SHORT)
    expected = "gru_scan by torch, langevin_scan by torch"
    assert fitted.predict(OTHER).attrs["backend"] == expected
    assert fitted.transform(OTHER).attrs["backend"] == expected


@pytest.mark.parametrize(
    ("members", "message"), [([], "needs members"), ([{"dropout": 0.1}], "seed and learning rate")]
)
def test_other_populations_are_refused(members, message):
    with pytest.raises(ConfigError, match=message):
        fit_population(small(), COUNTS, members, training=SHORT)
