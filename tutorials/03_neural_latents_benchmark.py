"""
Score a model as the Neural Latents Benchmark does
==================================================

The Neural Latents Benchmark (NLB) fixes how models of neural populations are compared: which
trials, which bins, which units are held out, which scores. This lesson goes the whole way, from
an NWB file to the scores. The recording is simulated, with the columns and the layout of the
benchmark's ``mc_maze_small``, so that nothing has to be downloaded and the best possible scores
are known. With ``neurodyn datasets fetch mc_maze_small`` the same steps run on the real file.

The lesson writes into a temporary folder only.
"""

# %%
# A session with the columns of a benchmark file
# ----------------------------------------------
# A hand reaches in one of eight directions, slowly or fast, and comes back. Units are tuned to the
# velocity 120 ms ahead, each with its own preference, and each trial has its own vigour. Held-out
# units are marked in the unit table; the trial table has a split and a movement onset.

import shutil
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

import neurodyn as nd

N_TRIALS, N_UNITS, N_HELD_OUT = 200, 40, 10
LEAD, LENGTH, PAUSE, ONSET = 0.12, 1.4, 0.2, 0.5
rng = np.random.default_rng(1)

start = np.arange(N_TRIALS) * (LENGTH + PAUSE)
onset = start + ONSET + rng.integers(0, 50, N_TRIALS) / 1000
direction = rng.integers(0, 8, N_TRIALS)
variant = rng.integers(0, 2, N_TRIALS)
speed = (0.6 + 0.4 * variant) * rng.lognormal(0.0, 0.25, N_TRIALS)


def hand_velocity(trial: int, time: np.ndarray) -> np.ndarray:
    """Return the velocity (time, 2) [m/s] of a trial at session times [s]."""
    since = time - onset[trial]
    out, back = (np.exp(-0.5 * ((since - peak) / 0.1) ** 2) for peak in (0.2, 0.65))
    angle = direction[trial] * np.pi / 4
    return speed[trial] * (out - back)[:, None] * np.array([np.cos(angle), np.sin(angle)])


def population_rate(trial: int, time: np.ndarray) -> np.ndarray:
    """Return the true rates (time, unit) [spikes/s]."""
    return baseline * np.exp(hand_velocity(trial, time + LEAD) @ tuning)


baseline = rng.uniform(8.0, 20.0, N_UNITS)
tuning = rng.normal(0.0, 1.0, (2, N_UNITS))

# %%
# The clock of the benchmark ticks in milliseconds. In each there is a spike or there is none.

spike_times: list[list[float]] = [[] for _ in range(N_UNITS)]
hand_time, hand = [], []
for trial in range(N_TRIALS):
    time = start[trial] + np.arange(round(1000 * LENGTH)) / 1000
    spiked = rng.random((time.size, N_UNITS)) < 0.001 * population_rate(trial, time)
    for row, unit in np.argwhere(spiked):
        spike_times[unit].append(time[row] + 0.0005)
    hand_time.append(time)
    hand.append(hand_velocity(trial, time))

simulated = nd.recording.recording(
    {
        "spikes": nd.recording.spikes_from_units(
            spike_times,
            observed=np.column_stack([start, start + LENGTH]),
            unit_columns={"held_out": np.arange(N_UNITS) >= N_UNITS - N_HELD_OUT},
        ),
        "trials": nd.recording.trials(
            start,
            start + LENGTH,
            columns={
                "split": np.where(np.arange(N_TRIALS) % 4 == 3, "val", "train"),
                "move_onset_time": onset,
                "trial_type": direction,
                "trial_version": variant,
            },
        ),
        "behavior": {
            "hand_vel": nd.recording.behavior(
                np.concatenate(hand),
                time=np.concatenate(hand_time),
                feature=["x", "y"],
                units="m/s",
            )
        },
    },
    session_start="2026-01-01T00:00:00+00:00",
)

folder = Path(tempfile.mkdtemp())
path = nd.write_nwb(simulated, folder / "sub-X_desc-train_behavior+ecephys.nwb")
recording = nd.load(path)
print(nd.describe(recording))

# %%
# Tensors of the task
# -------------------
# A task says how a recording is cut. ``prepare`` makes three sets of tensors, each with a role:
# models are fitted to the training tensors, predict from the evaluation tensors, and only the
# scores see the targets.

task = nd.nlb.task("mc_maze_small", bin_size=0.02)
prepared = nd.nlb.prepare(recording, task, phase="val")
for tensors in prepared:
    print(f"{tensors.role} tensors, {len(tensors.trial)} trials")
    for name, array in tensors.arrays.items():
        print(f"    {name:28s} {array.shape}")

# %%
# Fit on the training tensors only
# --------------------------------
# ``counts_for_fit`` turns training tensors into counts for a model. The bins after the window
# (``forward``) and the held-out units are targets of the fit and never inputs.

train = nd.nlb.counts_for_fit(prepared.training)
smoothing = nd.models.SmoothingGLM(width=0.05, penalty=0.5).fit(train)

training = nd.training.TrainingConfig(
    n_steps=200,
    batch_size=64,
    optimizer="adam",
    learning_rate=0.02,
    schedule="cosine",
    warmup_steps=20,
    gradient_clip=5.0,
    progress=False,
)
settings = {"encoder_size": 48, "keep_prob": 0.7, "dropout": 0.05, "beta": 0.05}
langevin = nd.models.create("langevinflow", **settings).fit(train, training=training)

# %%
# A guard stands before the fit. Evaluation tensors carry their role with them, and no estimator
# takes them.

evaluation = nd.nlb.to_counts(prepared.evaluation)
refused = []
for attempt in (
    lambda: nd.nlb.counts_for_fit(prepared.evaluation),
    lambda: smoothing.clone().fit(evaluation),
    lambda: nd.nlb.to_counts(prepared.target),
):
    try:
        attempt()
    except nd.nlb.LeakageError as error:
        refused.append(error)
        print(f"{error}\n")

# %%
# Should trials lose their role on the way, their spikes still tell. Here nothing is wrong.

nd.nlb.refuse_overlap(train, evaluation)

# %%
# A submission and its scores
# ---------------------------
# A submission holds expected counts per bin of all units, for training and evaluation trials.
# ``write_submission`` checks shapes, values and units, and names all faults at once. The file
# can be kept and scored with other tools; the benchmark's own board is closed.

targets = folder / "targets.h5"
nd.nlb.write_groups(targets, prepared.target.groups())


def submit(name: str, train_rates, evaluation_rates) -> dict[str, float]:
    """Write a submission file, check it, score it."""
    parts = prepared.training, prepared.evaluation
    arrays = {
        **nd.nlb.submission_from(train_rates, parts[0]),
        **nd.nlb.submission_from(evaluation_rates, parts[1]),
    }
    file = nd.nlb.write_submission(folder / f"{name}.h5", {task.name: arrays}, parts)
    (found,) = nd.nlb.evaluate(targets, file, exact=False)
    return {key.removeprefix("[100] "): value for key, value in next(iter(found.values())).items()}


scores = {
    "smoothing + GLM": submit("glm", smoothing.predict(train), smoothing.predict(evaluation)),
    "LangevinFlow": submit("langevinflow", langevin.predict(train), langevin.predict(evaluation)),
}

# %%
# How good could a model be? We know the true rates, so we submit them as well. No model can be
# expected to get more bits per spike.


def true_rates(tensors: nd.nlb.Tensors, like):
    """Return the true mean rates of the bins, labelled like a prediction."""
    edges = like["time"].values
    within = (np.arange(20) + 0.5) / 1000
    rate = [
        population_rate(trial, (onset[trial] + edges[:, None] + within).ravel())
        .reshape(edges.size, 20, N_UNITS)
        .mean(axis=1)
        for trial in tensors.trial
    ]
    return like[["rate"]].copy(data={"rate": np.stack(rate)})


scores["the truth"] = submit(
    "truth",
    true_rates(prepared.training, smoothing.predict(train)),
    true_rates(prepared.evaluation, smoothing.predict(evaluation)),
)
metrics = list(scores["the truth"])
values = [[own[metric] for metric in metrics] for own in scores.values()]
table = nd.recording.results(
    {"score": (("model", "metric"), values)}, {"model": list(scores), "metric": metrics}
)
print(table["score"].to_pandas().round(3))

# %%
# ``co-bps``: bits per spike of held-out units. ``vel R2``: how well hand velocity is decoded from
# the rates. ``psth R2``: how well averages over trials of a condition agree; the average is over
# all trials, whose vigour differs from that of the few evaluated ones, so even the truth stays
# below 1. ``fp-bps``: bits per spike in the 200 ms after the window.

figure, axes = plt.subplots(2, 2, figsize=(8, 3.6), layout="constrained")
for ax, metric in zip(axes.flat, metrics):
    nd.plots.scores(table, metric, ax=ax)

shutil.rmtree(folder)

# %%
# What we have seen
# -----------------
# Scores are those of ``nlb_tools``; the tests of neurodyn hold them equal to 1e-10. Their order is
# as it should be: the truth, latent dynamics, smoothing.

assert len(refused) == 3
for metric in ("co-bps", "fp-bps", "vel R2"):
    ranked = [scores[name][metric] for name in ("smoothing + GLM", "LangevinFlow", "the truth")]
    assert 0 < ranked[0] < ranked[1] < ranked[2]
assert scores["LangevinFlow"]["co-bps"] > 0.8 * scores["the truth"]["co-bps"]
assert scores["LangevinFlow"]["vel R2"] > 0.8
