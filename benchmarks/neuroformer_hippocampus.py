"""Neuroformer on the hippocampal sessions: likelihood, decoding, few labels, and free running.

    python -m benchmarks.neuroformer_hippocampus likelihood [--folds 5] [--steps 2000]
    python -m benchmarks.neuroformer_hippocampus decoding
    python -m benchmarks.neuroformer_hippocampus few_shot
    python -m benchmarks.neuroformer_hippocampus generation

Five blocks of time per session, each the test part once; training time is further from it than
what a window reads. Nothing is chosen on a test part: networks train for a fixed number of steps.
One thread; CPU seconds are those of the process. ``--models FOLDER`` keeps trained networks there
and takes them from there.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from benchmarks._hippocampus import SESSIONS, hippocampus
from benchmarks._measure import write_table
from neurodyn.metrics.decoding import decoding_scores
from neurodyn.metrics.generation import compare_generated
from neurodyn.models.baselines.behavior_decoding import fit_behavior_decoder, predict_behavior
from neurodyn.models.baselines.behavior_decoding_config import BehaviorDecodingConfig
from neurodyn.models.baselines.history_glm import fit_history_glm, predict_history_glm
from neurodyn.models.baselines.history_glm_dynamics import sample_history_glm
from neurodyn.models.neuroformer.config import BehaviorTarget, NeuroformerConfig
from neurodyn.models.neuroformer.context import spikes_digest
from neurodyn.models.neuroformer.estimator import Neuroformer
from neurodyn.models.neuroformer.presets import preset
from neurodyn.recording import masked_counts
from neurodyn.transforms.binning import bin_spikes
from neurodyn.windows.time_folds import blocked_folds

MODELS: list[Path] = []
"""Where trained networks are kept, if anywhere."""
HISTORIES = (0.25, 1.0)
GAP = 2.0
LEAST = 1e-9
"""Count that is expected at least, of units without a spike in training, as in every score."""
BASELINES = (
    ("ridge", (-0.625, 0.625)),
    ("ridge", (-1.5, 0.5)),
    ("lasso", (-0.625, 0.625)),
    ("gru", (-0.625, 0.625)),
    ("gru", (-1.5, 0.5)),
)
SPEED_SMOOTHING = 0.2
Fold = tuple[xr.DataTree, xr.DataTree]


def likelihood(n_folds: int, n_steps: int) -> Iterator[dict[str, Any]]:
    """Give bits per spike of each fold: Neuroformer and history GLMs, on the same bins."""
    config = preset("small")
    for session, number, (train, test) in _folds(n_folds):
        model, seconds = _fitted(config, train, n_steps)
        scores = model.scores(test)
        windows = model.windows(test)
        scored = windows.store.time((windows.starts[:, None] + np.arange(windows.length)).ravel())
        row = {"session": session, "fold": number, "test_bins": scored.size}
        yield {
            **row,
            "model": "neuroformer",
            "bits_per_spike_given_past": scores["bits_per_spike_given_past"],
            "bits_per_spike": scores["bits_per_spike"],
            "cpu_s": seconds,
        }
        null = np.maximum(model.context_.expected_counts, LEAST)
        counts = {
            part: bin_spikes(data, config.bin_size)
            for part, data in (("train", train), ("test", test))
        }
        for history in HISTORIES:
            begin = time.process_time()
            glm = fit_history_glm(
                counts["train"], history=history, n_bases=4 if history < 0.5 else 6
            )
            found = predict_history_glm(glm, counts["test"])["rate"]
            bits = _bits(found, counts["test"], scored, null)
            seconds = time.process_time() - begin
            yield {
                **row,
                "model": f"history GLM {history:g} s",
                "bits_per_spike_given_past": bits,
                "cpu_s": seconds,
            }


def decoding(n_folds: int, n_steps: int) -> Iterator[dict[str, Any]]:
    """Give r of speed and x, 250 ms apart: Neuroformer, ridge, lasso and GRU."""
    config = _decoding_config()
    for session, number, (train, test) in _folds(n_folds):
        model, seconds = _fitted(config, train, n_steps)
        for name in ("speed", "x"):
            found = model.decode(test, name, step=0.25)
            row = {"session": session, "fold": number, "behavior": name}
            yield {**row, "model": "neuroformer", **_agreement(found), "cpu_s": seconds}
            for kind, lags in BASELINES:
                baseline = BehaviorDecodingConfig(kind=kind, lags=lags)
                begin = time.process_time()
                decoder = fit_behavior_decoder(train, name, baseline)
                other = predict_behavior(decoder, test, found["time"].values)
                label = f"{kind} {lags[0]:g} to {lags[1]:g} s"
                seconds = time.process_time() - begin
                yield {**row, "model": label, **_agreement(other), "cpu_s": seconds}


def few_shot(n_folds: int, n_steps: int) -> Iterator[dict[str, Any]]:
    """Give r of few labelled windows: pre-trained on spikes alone, and from scratch."""
    config = _decoding_config()
    for session, number, (train, test) in _folds(n_folds):
        pretrained, _ = _fitted(replace(config, targets=()), train, n_steps)
        untrained, _ = _fitted(replace(config, targets=()), train, 1)
        for share in (0.01, 0.1, 1.0):
            training = replace(
                Neuroformer.default_training, n_steps=max(200, int(n_steps * share)), progress=False
            )
            for start, model in (("pretrained", pretrained), ("scratch", untrained)):
                tuned = model.finetune(
                    train, targets=config.targets, share=share, training=training
                )
                for name in ("speed", "x"):
                    row = {"session": session, "fold": number, "share": share, "start": start}
                    found = tuned.decode(test, name, step=0.25)
                    yield {
                        **row,
                        "behavior": name,
                        "n_windows": tuned.data_["n_windows"],
                        **_agreement(found),
                    }


def generation(n_folds: int, n_steps: int) -> Iterator[dict[str, Any]]:
    """Give free-run statistics against held-out spikes, beside training spikes and the GLM's."""
    config = preset("small")
    for session, number, (train, test) in _folds(n_folds):
        model, _ = _fitted(config, train, n_steps)
        begin = time.process_time()
        free = model.simulate(test, burn_in=2.0, segment=20.0, seed=number)
        seconds = time.process_time() - begin
        glm = fit_history_glm(bin_spikes(train, config.bin_size), history=1.0, n_bases=6)
        n_bins = bin_spikes(test, config.bin_size).sizes["time"]
        sampled = sample_history_glm(glm, n_bins, seed=number)
        real = {"free": test, "train": train, "glm": bin_spikes(test, config.bin_size)}
        made = {"free": free, "train": train, "glm": sampled}
        names = {"free": "neuroformer", "train": "training spikes (ceiling)", "glm": "history GLM"}
        for key, label in names.items():
            compared = compare_generated(test if key != "glm" else real["glm"], made[key])
            row = {"session": session, "fold": number, "model": label}
            yield {
                **row,
                **{name: float(compared[name]) for name in STATISTICS},
                "cpu_s": seconds if key == "free" else "",
            }


STATISTICS = (
    "rate_ratio",
    "rate_error",
    "correlation_rmse",
    "isi_mean_error",
    "isi_sd_error",
    "population_kl",
    "autocorrelation_rmse",
)
PARTS: Mapping[str, Callable[[int, int], Iterator[dict[str, Any]]]] = {
    "likelihood": likelihood,
    "decoding": decoding,
    "few_shot": few_shot,
    "generation": generation,
}


def _decoding_config() -> NeuroformerConfig:
    targets = tuple(BehaviorTarget(name=name, at=0.5) for name in ("speed", "x"))
    return preset("small", window=1.0, stride=0.1, targets=targets)


def _folds(n_folds: int) -> Iterator[tuple[str, int, Fold]]:
    for session in SESSIONS:
        recording = hippocampus(session, speed_smoothing=SPEED_SMOOTHING)
        folds = blocked_folds(recording, 5, gap=GAP)
        for number, fold in enumerate(folds[:n_folds]):
            yield session, number, fold


def _fitted(
    config: NeuroformerConfig, train: xr.DataTree, n_steps: int
) -> tuple[Neuroformer, float]:
    name = "-".join([Neuroformer(config).config_uid, spikes_digest(train)[7:19], str(n_steps)])
    if MODELS and (MODELS[0] / name / "manifest.json").is_file():
        return Neuroformer.load(MODELS[0] / name), float("nan")
    begin = time.process_time()
    warmup = min(Neuroformer.default_training.warmup_steps, n_steps // 4)
    training = replace(
        Neuroformer.default_training,
        n_steps=n_steps,
        warmup_steps=warmup,
        device="cpu",
        progress=False,
    )
    model = Neuroformer(config).fit(train, training=training)
    seconds = time.process_time() - begin
    if MODELS:
        model.save(MODELS[0] / name)
    return model, seconds


def _bits(
    rate: xr.DataArray, counts: xr.Dataset, chosen: NDArray[np.float64], null: NDArray[np.float64]
) -> float:
    """Return bits per spike over a null of training rates, in the bins at ``chosen`` [s]."""
    at = np.searchsorted(rate["time"].values, chosen - 1e-6)
    if not np.allclose(rate["time"].values[at], chosen, atol=1e-6):
        raise ValueError("the bins of the GLM are not those of the network")
    expected = np.maximum(rate.values[at] * float(counts.attrs["bin_size"]), LEAST)
    count = masked_counts(counts).values[at].astype(np.float64)
    gain = (count * np.log(expected / null) - (expected - null)).sum()
    return float(gain / count.sum() / np.log(2))


def _agreement(decoded: xr.Dataset) -> dict[str, float]:
    found = decoding_scores(decoded)
    return {name: float(found[name][0]) for name in ("r", "r_low", "r_high", "r2")}


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("part", choices=list(PARTS))
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--models", type=Path)
    chosen = parser.parse_args()
    MODELS.extend([chosen.models] if chosen.models else [])
    torch.set_num_threads(1)
    rows = []
    for row in PARTS[chosen.part](chosen.folds, chosen.steps):
        print(row, flush=True)
        rows.append(row)
    write_table(f"neuroformer_hippocampus_{chosen.part}", rows, n_steps=chosen.steps)


if __name__ == "__main__":
    main()
