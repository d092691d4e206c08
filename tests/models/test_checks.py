"""Every estimator of the package passes every check; the suite itself finds what is broken."""

from __future__ import annotations

import numpy as np
import pytest

from neurodyn.models import registry
from neurodyn.models.baselines import SmoothingGLM
from neurodyn.models.checks import (
    Case,
    CheckFailedError,
    checks_for,
    example_counts,
    example_for,
    is_trained,
)
from neurodyn.models.neuroformer.config import BehaviorTarget, Stage
from neurodyn.training import TrainingConfig

TINY_MAE = {
    "node_size": 8,
    "node_heads": 2,
    "n_blocks": 1,
    "state_size": 16,
    "state_heads": 2,
    "n_encoder_layers": 1,
    "n_decoder_layers": 1,
    "n_segments": 6,
    "dropout": 0.1,
}
# Sizes that make a check fast; an estimator that is not named here runs with its defaults.
SMALL = {
    "smoothing_glm": {"n_components": 3},
    "factor_glm": {"n_factors": 2},
    "gru": {"hidden_size": 4},
    "brainmae": TINY_MAE,
    "brainmae_decoder": {f"network__{name}": value for name, value in TINY_MAE.items()},
    "connectome": {"rank": 2, "factorisation__n_restarts": 2},
    "neuroformer": {
        "bin_size": 0.025,
        "window": 0.1,
        "past": 0.1,
        "size": 16,
        "n_heads": 2,
        "mlp_ratio": 1,
        "stages": (Stage(source="self"), Stage(source="past")),
        "targets": (BehaviorTarget(name="wave"),),
    },
    "langevinflow": {"n_groups": 1, "n_sites": 4, "encoder_size": 4, "n_samples": 2},
}
PUBLISHED = {"mode": "ccn2025", "potential": "ccn2025", "encoder_size": 4, "n_samples": 2}


def case_of(name: str) -> Case:
    name, _, variant = name.partition(" ")
    estimator = registry.create(name, **(PUBLISHED if variant else SMALL.get(name, {})))
    options = {}
    if is_trained(estimator):
        options["training"] = TrainingConfig(n_steps=4, batch_size=3, device="cpu", progress=True)
    return Case(estimator, example_for(estimator), options)


@pytest.mark.parametrize(
    ("name", "check"),
    [
        (name, check)
        for name in [*registry.available(), "langevinflow ccn2025"]
        for check in checks_for(registry.create(name.partition(" ")[0]))
    ],
)
def test_estimator_keeps_its_contract(name, check, capfd):
    case = case_of(name)
    checks_for(case.estimator)[check](case)
    out, err = capfd.readouterr()
    assert out == err == ""


class PeeksAtTargets(SmoothingGLM):
    def predict(self, data):
        return super().predict(data) * float(data["count"].sum())


class Forgets(SmoothingGLM):
    def _learn(self, inputs, targets):
        super()._learn(inputs, targets)
        self.readout_ = self.readout_._replace(
            intercept=self.readout_.intercept + np.random.default_rng().normal()
        )


class ReadsUnobserved(SmoothingGLM):
    def _trials(self, data):
        return super()._trials(data).drop_vars("observed", errors="ignore")


@pytest.mark.parametrize(
    ("estimator", "check"),
    [
        (PeeksAtTargets(), "targets_unread"),
        (Forgets(), "determinism"),
        (ReadsUnobserved(), "unobserved"),
    ],
)
def test_checks_find_a_broken_contract(estimator, check):
    with pytest.raises(CheckFailedError):
        checks_for(estimator)[check](Case(estimator, example_counts()))


def test_a_missing_refusal_is_found():
    class TakesAll(SmoothingGLM):
        def predict(self, data):
            return super().predict(data.assign_attrs(bin_size=0.02))

    with pytest.raises(CheckFailedError, match="another bin size is not refused"):
        checks_for(TakesAll())["clock"](Case(TakesAll(), example_counts()))
