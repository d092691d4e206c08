"""Neuroformer on the simulated visual population: free running, trial averages and running speed.

    python -m benchmarks.neuroformer_visual [--steps 1000] [--repeats 20] [--units 32]

Every fifth repeat is held out. The network reads the four frames before a window (features, one
for each pixel), the speed before it and 100 ms of spikes; it never sees held-out trials. The
ceiling compares held-out trials with training trials. One thread; CPU seconds are those of the
process.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import xarray as xr

from benchmarks._measure import write_table
from neurodyn import recording as rec
from neurodyn.datasets.visual_population import simulate_visual_population
from neurodyn.metrics.decoding import decoding_scores
from neurodyn.metrics.generated_counts import psth_correlation
from neurodyn.metrics.generation import compare_generated
from neurodyn.models.baselines.behavior_decoding import fit_behavior_decoder, predict_behavior
from neurodyn.models.baselines.behavior_decoding_config import BehaviorDecodingConfig
from neurodyn.models.neuroformer.config import (
    BehaviorInput,
    BehaviorTarget,
    NeuroformerConfig,
    Stage,
    StimulusInput,
)
from neurodyn.models.neuroformer.estimator import Neuroformer
from neurodyn.transforms.alignment import align
from neurodyn.workflow.spike_generation import generate, generation_rows
from neurodyn.workflow.spike_likelihood import likelihood_rows
from neurodyn.workflow.spike_recordings import held_out_part

SEEN, SPEED, BIN = 0.2, "speed", 0.05
LAGS = (-0.1, 0.05)


def config(*, sees: bool = True, decodes: bool = False) -> NeuroformerConfig:
    """Return settings: with the movie and running speed, or to decode speed."""
    stages = [Stage(source="self"), Stage(source="past")]
    more: dict[str, Any] = {}
    if sees:
        stages.append(Stage(source="stimulus"))
        more["stimulus"] = StimulusInput(kind="features", window=SEEN, n_layers=0)
    if decodes:
        more["targets"] = (BehaviorTarget(name=SPEED),)
    else:
        stages.append(Stage(source="behavior"))
        more["behavior"] = (BehaviorInput(name=SPEED, window=0.1),)
    stages.append(Stage(source="self"))
    return NeuroformerConfig(
        bin_size=0.01,
        window=0.05,
        past=0.1,
        stretches="trials",
        stages=tuple(stages),
        size=64,
        n_heads=4,
        mlp_ratio=2,
        dropout=0.1,
        **more,
    )


def generation(train: xr.DataTree, held: xr.DataTree, n_steps: int) -> list[dict[str, Any]]:
    """Return likelihood, free-run statistics and trial averages of held-out trials."""
    model, seconds = fitted(config(), train, n_steps)
    rows = [{"what": "likelihood", **row} for row in likelihood_rows(model, train, held)]
    rows[0]["cpu_s"] = seconds
    begin = time.process_time()
    found = generate(model, held, burn_in=0.1, n_samples=4)
    seconds = time.process_time() - begin
    rows += [{"what": "free running", **row} for row in generation_rows(found, held)]
    rows[-1]["cpu_s"] = seconds
    samples = rec.pick_all(found.generated, "spikes")
    for name, sample in samples.items():
        ratio = float(compare_generated(rec.pick(found.recorded, "spikes"), sample)["rate_ratio"])
        rows.append({"what": "rate ratio", "model": name, "generated": ratio})
    return [*rows, *trial_averages(train, held, samples)]


def trial_averages(
    train: xr.DataTree, held: xr.DataTree, samples: dict[str, xr.Dataset]
) -> list[dict[str, Any]]:
    """Return correlations of trial averages with training trials: generated and held-out ones."""
    trials = {"train": rec.pick(train, "trials"), "held": rec.pick(held, "trials")}
    window = (0.25, float((trials["held"]["stop"] - trials["held"]["start"]).min()))

    def counted(spikes: xr.Dataset, part: str) -> tuple[Any, Any]:
        found = align(spikes, trials[part], window=window, bin_size=BIN)
        return found["count"].values, trials[part]["stimulus"].values

    real, condition = counted(rec.pick(train, "spikes"), "train")
    recorded, own = counted(rec.pick(held, "spikes"), "held")
    made = [counted(sample, "held")[0] for sample in samples.values()]
    rows = []
    others = {"held-out trials": ([recorded], 1), "generated": (made, len(made))}
    for name, (parts, n_parts) in others.items():
        label = np.tile(own, n_parts)
        found = psth_correlation(real, np.concatenate(parts), condition, label)
        rows.append(
            {
                "what": "trial averages with training trials",
                "model": name,
                **{key: float(found[key].mean()) for key in ("correlation", "noise_corrected")},
            }
        )
    return rows


def decoding(train: xr.DataTree, held: xr.DataTree, n_steps: int) -> list[dict[str, Any]]:
    """Return r and R2 of running speed from spikes, from the movie, and from both."""
    rows = []
    for name, sees in (("spikes", False), ("spikes, movie", True)):
        model, _ = fitted(config(sees=sees, decodes=True), train, n_steps)
        found = model.decode(held)
        rows.append({"what": "decoding speed", "model": f"neuroformer: {name}", **_scores(found)})
    for inputs in (("spikes",), ("stimulus",), ("spikes", "stimulus")):
        settings = BehaviorDecodingConfig(bin_size=BIN, lags=LAGS, inputs=inputs)
        decoder = fit_behavior_decoder(train, SPEED, settings)
        other = predict_behavior(decoder, held, found["time"].values)
        label = f"ridge: {', '.join(inputs)}"
        rows.append({"what": "decoding speed", "model": label, **_scores(other)})
    return rows


def fitted(
    settings: NeuroformerConfig, train: xr.DataTree, n_steps: int
) -> tuple[Neuroformer, float]:
    """Return a network that was trained for a fixed number of steps, and its CPU seconds."""
    begin = time.process_time()
    training = replace(Neuroformer.default_training, n_steps=n_steps, device="cpu", progress=False)
    return Neuroformer(settings).fit(train, training=training), time.process_time() - begin


def _scores(decoded: xr.Dataset) -> dict[str, float]:
    found = decoding_scores(decoded)
    return {name: float(found[name][0]) for name in ("r", "r_low", "r_high", "r2")}


def main() -> None:
    """Measure, print and record."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--units", type=int, default=32)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    simulated = simulate_visual_population(n_units=chosen.units, n_repeats=chosen.repeats)
    train, held, _ = held_out_part(simulated.recording, config(decodes=True))
    rows = decoding(train, held, chosen.steps)
    train, held, _ = held_out_part(simulated.recording, config())
    rows = [*generation(train, held, chosen.steps), *rows]
    settings = {"n_steps": chosen.steps, "n_repeats": chosen.repeats, "n_units": chosen.units}
    write_table("neuroformer_visual", rows, **settings)


if __name__ == "__main__":
    main()
