"""The model for Brainmarks against the estimator, and in the published package where it is."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from neurodyn.errors import CheckpointError, ConfigError
from neurodyn.models.brainmae import brainmarks
from neurodyn.models.brainmae.brainmarks import brainmarks_model
from neurodyn.models.brainmae.config import BrainMAEConfig
from neurodyn.models.brainmae.estimator import BrainMAE
from neurodyn.training import TrainingConfig

from .runs import TINY, make_run

HOWTO = Path(__file__).parents[3] / "docs" / "howto" / "benchmark_brainmae_elsewhere.rst"
INSIDE = """
import sys
import torch
from torch.utils.data import default_collate
from brainmarks.models.base import Embeddings
from brainmarks.models.registry import create_model, list_models

assert "neurodyn_brainmae" in list_models()
sizes = dict(node_size=8, node_heads=2, state_size=16, state_heads=2, n_blocks=1, n_segments=4)
transform, model = create_model("neurodyn_brainmae", **sizes)
for n_samples in (16, 160):
    sample = {"tr": 1.0, "mean": torch.randn(1, 400), "std": torch.randn(1, 400)}
    batch = default_collate(
        [transform({**sample, "bold": torch.randn(n_samples, 400)}) for _ in range(2)]
    )
    found = Embeddings(*model(batch))
    assert found.cls_embeds.shape == (2, 1, 16)
    assert found.reg_embeds is None
    assert found.patch_embeds.shape[0] == 2 and found.patch_embeds.ndim == 3
    assert torch.isfinite(found.patch_embeds).all()
"""


@pytest.fixture
def nine(monkeypatch):
    monkeypatch.setitem(brainmarks.SPACES, "nine", 9)


def sample_of(run):
    values = run["bold"].values
    mean, std = values.mean(axis=0, keepdims=True), values.std(axis=0, keepdims=True)
    score = torch.from_numpy((values - mean) / std)
    return {"bold": score, "mean": mean, "std": std, "tr": torch.tensor(2.0), "target": 1}


def collated(samples):
    return torch.utils.data.default_collate(samples)


def test_embeddings_are_those_of_the_estimator(rng, nine, tmp_path):
    runs = [make_run(rng, n_time=90) for _ in range(2)]
    model = BrainMAE(**TINY).fit(runs[0], training=TrainingConfig(n_steps=2))
    model.save(tmp_path / "run")
    transform, wrapper = brainmarks_model("nine", run=str(tmp_path / "run"))
    assert wrapper.__space__ == "nine"
    batch = collated([transform(sample_of(run)) for run in runs])
    assert batch["target"].tolist() == [1, 1]
    assert set(batch) == {"bold", "observed", "time", "target"}
    cls, register, patch = wrapper(batch)
    assert register is None
    for row, run in enumerate(runs):
        found = model.transform(run)
        states = found["state"].values.reshape(-1, TINY["state_size"])
        np.testing.assert_allclose(cls[row, 0].detach(), found["cls"].values.mean(0), atol=1e-5)
        np.testing.assert_allclose(patch[row].detach(), states, atol=1e-5)


def test_samples_of_any_length_and_repetition_time(nine):
    transform, wrapper = brainmarks_model("nine", n_windows=1, **TINY)
    samples = [
        {"bold": torch.randn(n_frames, 9), "tr": repetition_time}
        for n_frames, repetition_time in ((16, 1.0), (160, 0.72), (100, 3.0))
    ]
    batch = collated([transform(sample) for sample in samples])
    cls, _, patch = wrapper(batch)
    assert cls.shape == (3, 1, 32)
    assert patch.shape == (3, 4, 32)
    # 16 s are two segments of 12 s
    alone = wrapper(collated([transform(samples[0])]))[2]
    assert alone.shape == (1, 2, 32)
    torch.testing.assert_close(patch[:1, :2], alone)


def test_weights_can_be_tuned_and_come_from_the_seed(nine):
    transform, wrapper = brainmarks_model("nine", **TINY)
    cls, _, patch = wrapper(collated([transform({"bold": torch.randn(60, 9), "tr": 2.0})]))
    (cls.square().sum() + patch.square().sum()).backward()
    without = [name for name, own in wrapper.named_parameters() if own.grad is None]
    # stands for hidden regions, and nothing is hidden here
    assert without in ([], ["network.encoder.hidden"])
    same, other = (brainmarks_model("nine", seed=seed, **TINY)[1] for seed in (0, 1))
    key = "network.roi_embedding"
    assert torch.equal(same.state_dict()[key], wrapper.state_dict()[key])
    assert not torch.equal(other.state_dict()[key], wrapper.state_dict()[key])


def test_what_does_not_fit_is_refused(rng, nine, tmp_path):
    with pytest.raises(ConfigError, match=r"(?s)space.*flat.*schaefer400"):
        brainmarks_model("flat")
    with pytest.raises(CheckpointError):
        brainmarks_model("nine", run=str(tmp_path))
    model = BrainMAE(BrainMAEConfig(**TINY)).fit(make_run(rng), training=TrainingConfig(n_steps=1))
    run = str(model.save(tmp_path / "run") or tmp_path / "run")
    with pytest.raises(ConfigError, match=r"(?s)does not fit the space.*9 regions.*424 of a424"):
        brainmarks_model("a424", run=run)
    with pytest.raises(ConfigError, match=r"(?s)settings are fixed.*n_blocks"):
        brainmarks_model("nine", run=run, n_blocks=3)


def test_brainmarks_finds_and_runs_the_model(tmp_path):
    try:
        importlib.metadata.version("brainmarks")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("Brainmarks is not installed (pip install --no-deps brainmarks==0.1.1)")
    block = re.search(r"code-block:: python\n\n((?:(?:    .*)?\n)+)", HOWTO.read_text("utf-8"))
    plugin = tmp_path / "brainmarks" / "models" / "neurodyn_brainmae.py"
    plugin.parent.mkdir(parents=True)
    lines = block.group(1).splitlines()
    plugin.write_text("\n".join(line.removeprefix("    ") for line in lines), encoding="utf-8")
    paths = [str(tmp_path), os.environ.get("PYTHONPATH", "")]
    done = subprocess.run(
        [sys.executable, "-c", INSIDE],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "plugin neurodyn_brainmae failed" not in done.stderr
