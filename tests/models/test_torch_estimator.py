from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from neurodyn.errors import CheckpointError, ConfigError
from neurodyn.models.baselines import GRUAutoencoder
from neurodyn.models.checks import example_counts
from neurodyn.training import TrainingConfig, read_history

COUNTS, OTHER = example_counts(), example_counts(5, seed=1)
SHORT = TrainingConfig(n_steps=4, batch_size=99, validate_every=2, device="cpu")


def small() -> GRUAutoencoder:
    return GRUAutoencoder(hidden_size=3)


def test_a_batch_larger_than_the_data_means_all_trials():
    fitted = small().fit(COUNTS, training=SHORT)
    assert fitted.training_.batch_size == 8


def test_validation_chooses_the_weights_and_is_in_the_history():
    fitted = small().fit(COUNTS, validation=OTHER, training=SHORT)
    scored = [row for row in fitted.history_ if "co_bps" in row]
    assert [row["step"] for row in scored] == [2, 4]


def test_patience_needs_validation():
    with pytest.raises(ConfigError, match="watch a validation score"):
        small().fit(COUNTS, training=TrainingConfig(n_steps=4, patience=2))


def test_a_run_folder_holds_everything(tmp_path):
    fitted = small().fit(COUNTS, validation=OTHER, training=SHORT, folder=tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"config.toml", "model.safetensors", "history.jsonl", "state", "manifest.json"}
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["seed"] == 0
    assert manifest["device"] == "cpu"
    assert any(name.startswith("state/") for name in manifest["files"])
    assert read_history(tmp_path / "history.jsonl") == fitted.history_
    loaded = GRUAutoencoder.load(tmp_path)
    assert loaded.training_ == fitted.training_
    assert loaded.history_ == fitted.history_


def test_a_folder_with_a_run_is_not_overwritten_by_another(tmp_path):
    small().fit(COUNTS, training=SHORT, folder=tmp_path)
    with pytest.raises(CheckpointError, match="holds a run already"):
        small().fit(COUNTS, training=SHORT, folder=tmp_path)
    with pytest.raises(CheckpointError, match="another run"):
        small().fit(OTHER, training=SHORT, folder=tmp_path, resume=True)
    assert GRUAutoencoder.load(tmp_path).is_fitted


def test_the_seed_decides_and_torch_stays_untouched():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = small().fit(COUNTS, training=SHORT).predict(COUNTS)["rate"].values
    assert torch.equal(before, torch.get_rng_state())
    seeded = TrainingConfig(n_steps=4, batch_size=99, seed=1, device="cpu")
    assert not np.array_equal(first, small().fit(COUNTS, training=seeded).predict(COUNTS)["rate"])


def test_the_readout_starts_at_mean_counts():
    training = TrainingConfig(n_steps=1, learning_rate=1e-9, device="cpu")
    fitted = small().fit(COUNTS, training=training)
    bias = fitted.network_.readout.bias.detach().exp().numpy()
    np.testing.assert_allclose(bias, COUNTS["count"].mean(("trial", "time")), rtol=0.05)


def test_predictions_do_not_depend_on_the_batch(monkeypatch):
    fitted = small().fit(COUNTS, training=SHORT)
    whole = fitted.predict(COUNTS)["rate"].values
    monkeypatch.setattr("neurodyn.models.torch_estimator.PREDICTED_AT_ONCE", 3)
    np.testing.assert_allclose(fitted.predict(COUNTS)["rate"].values, whole, rtol=1e-5)
