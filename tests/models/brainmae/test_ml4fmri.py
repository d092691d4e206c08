"""The model for ml4fmri: its methods here, and in the published package where it is."""

from __future__ import annotations

import importlib.metadata
import sys

import numpy as np
import pytest
import torch

from neurodyn.errors import ConfigError, DataError, MissingDependencyError
from neurodyn.models.brainmae.config import BrainMAEConfig
from neurodyn.models.brainmae.estimator import BrainMAE
from neurodyn.models.brainmae.ml4fmri import ml4fmri_model
from neurodyn.training import TrainingConfig

from .runs import TINY, make_run

NETWORK = BrainMAEConfig(**TINY)


def make_data(rng, n_samples=12, n_time=60):
    """Return series of two classes that differ in how their regions go together."""
    labels = np.arange(n_samples) % 2
    runs = [make_run(rng, n_time=n_time, coupling=0.95 * label) for label in labels]
    return np.stack([run["bold"].values for run in runs]), labels


def test_batches_hold_the_windows_of_samples(rng):
    data, labels = make_data(rng, n_samples=5, n_time=60)
    model = ml4fmri_model(2.0, network=NETWORK)
    assert model.__name__ == "BrainMAE"
    bold, observed, time, target = next(iter(model.prepare_dataloader(data, labels, shuffle=False)))
    # windows of 24 frames: two, and one that ends with the run
    assert bold.shape == observed.shape == (5, 3, 4, 9, 6)
    assert time.shape == (5, 3, 4)
    assert target.tolist() == labels.tolist()
    score = (data[3] - data[3].mean(axis=0)) / data[3].std(axis=0)
    window = bold[3, 1].permute(0, 2, 1).reshape(24, 9).numpy()
    np.testing.assert_allclose(window, np.clip(score[24:48], -5, 5), atol=1e-4)


def test_logits_are_means_over_windows(rng):
    data, labels = make_data(rng, n_samples=4)
    chosen = ml4fmri_model(2.0, network=NETWORK, dropout=0.0)
    model = chosen(input_size=9, output_size=3).eval()
    *batch, target = next(iter(chosen.prepare_dataloader(data, labels, shuffle=False)))
    logits, load = model(*batch)
    assert logits.shape == (4, 3)
    names = ("bold", "observed", "time")
    each = [model.network({n: v[2] for n, v in zip(names, batch)})]
    torch.testing.assert_close(logits[2], each[0].mean(dim=0))
    loss, log = model.handle_batch((*batch, target))
    expected = -logits.log_softmax(1)[torch.arange(4), target].mean()
    torch.testing.assert_close(loss, expected)
    assert log["CE_loss"] == pytest.approx(expected.item())
    np.testing.assert_allclose(log["y_prob"].sum(axis=1), 1, atol=1e-6)
    assert log["y_true"].tolist() == target.tolist()
    assert load["logits"] is logits


def test_pretrained_weights_are_where_training_begins(rng, tmp_path):
    pretrained = BrainMAE(NETWORK).fit(make_run(rng), training=TrainingConfig(n_steps=2))
    pretrained.save(tmp_path / "run")
    chosen = ml4fmri_model(2.0, pretrained=str(tmp_path / "run"))
    model = chosen(input_size=9, output_size=2)
    found = model.network.encoder.state_dict()
    for name, value in pretrained.network_.state_dict().items():
        if not name.startswith("decoder."):
            assert torch.equal(found[name], value)
    optimizer = model.get_optimizer(lr=0.01)
    rates = sorted({group["lr"] for group in optimizer.param_groups})
    assert rates[-1] == 0.01
    assert rates[-2] == pytest.approx(0.001)
    with pytest.raises(ConfigError, match=r"(?s)other regions.*9 regions.*8, in the order"):
        chosen(input_size=8, output_size=2)


def test_what_cannot_be_done_is_said(rng, monkeypatch):
    with pytest.raises(ConfigError, match="ml4fmri compares classifiers"):
        ml4fmri_model(2.0, task="regression")
    chosen = ml4fmri_model(2.0, network=NETWORK)
    data, labels = make_data(rng, n_samples=3)
    data[1, :20] = np.nan
    with pytest.raises(DataError, match=r"(?s)different numbers of windows.*2 to 3"):
        chosen.prepare_dataloader(data, labels)
    monkeypatch.setitem(sys.modules, "ml4fmri", None)
    monkeypatch.setitem(sys.modules, "ml4fmri.models", None)
    loader = chosen.prepare_dataloader(data[[0, 2]], [0, 1])
    with pytest.raises(MissingDependencyError, match="ml4fmri is not installed"):
        chosen(9, 2).train_model(loader, loader, loader, epochs=1)


# matplotlib and scikit-learn of later versions warn in ml4fmri, which is not ours to mend
@pytest.mark.filterwarnings("ignore")
def test_ml4fmri_trains_and_tests_it(rng):
    try:
        importlib.metadata.version("ml4fmri")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("ml4fmri is not installed (pip install --no-deps ml4fmri==1.1.0)")
    from ml4fmri import cvbench

    data, labels = make_data(rng, n_samples=24, n_time=48)
    model = ml4fmri_model(2.0, network=NETWORK, encoder_scale=1.0, layer_decay=1.0)
    options = {"n_folds": 2, "epochs": 8, "lr": 3e-3, "device": "cpu", "save_dir": False}
    report = cvbench(data, labels, models=["meanMLP"], custom_models=model, **options)
    tested = report.get_test_dataframe()
    assert tested["model"].tolist() == 2 * ["BrainMAE"] + 2 * ["meanMLP"]
    assert tested["test_auc"].between(0, 1).all()
    predicted = report.get_predictions_dataframe()
    own = predicted[predicted["model"] == "BrainMAE"]
    assert sorted(own["sample_id"]) == list(range(24))
    np.testing.assert_allclose(own["p_0"] + own["p_1"], 1, atol=1e-6)
    history = report.get_train_dataframe()
    loss = history[history["model"] == "BrainMAE"].groupby("epoch")["train_loss"].mean()
    assert loss.iloc[-1] < loss.iloc[0]
