"""Random targets and submissions of every task, small in trials and true in all other sizes."""

from __future__ import annotations

import numpy as np

from neurodyn.nlb import Task

N_TRAIN, N_EVAL = 30, 24


def targets_and_submission(task: Task, seed: int = 0, *, forward: bool = True):
    rng = np.random.default_rng(seed)
    shape = (N_EVAL, task.n_time)
    truth = {"eval_spikes_heldout": rng.poisson(0.3, (*shape, task.n_held_out)).astype(float)}
    rates = {
        f"{prefix}_rates_{group}": rng.gamma(2.0, 0.15, (n, task.n_time, n_units))
        for prefix, n in (("train", N_TRAIN), ("eval", N_EVAL))
        for group, n_units in (("heldin", task.n_held_in), ("heldout", task.n_held_out))
    }
    if task.behavior is not None:
        for prefix in ("train", "eval"):
            hidden = rates[f"{prefix}_rates_heldin"] @ _readout(task)
            values = hidden + 0.1 * rng.normal(size=hidden.shape)
            values[0, :5] = np.nan
            truth[f"{prefix}_behavior"] = values
    else:
        truth |= _intervals(task, rng)
        outside = np.arange(task.n_time) < rng.integers(5, task.n_time // 2, (N_EVAL, 1))
        truth["eval_spikes_heldout"][outside] = np.nan
    if task.decode_column is not None:
        for prefix, n in (("train", N_TRAIN), ("eval", N_EVAL)):
            truth[f"{prefix}_decode_mask"] = np.arange(n)[:, None] % 2 == [0, 1]
    if task.condition_columns:
        truth |= _conditions(task, rng)
    if forward:
        for group, n_units in (("heldin", task.n_held_in), ("heldout", task.n_held_out)):
            size = (N_EVAL, task.n_forward, n_units)
            truth[f"eval_spikes_{group}_forward"] = rng.poisson(0.3, size).astype(float)
            rates[f"eval_rates_{group}_forward"] = rng.gamma(2.0, 0.15, size)
    return truth, rates


def _readout(task):
    return np.random.default_rng(9).normal(size=(task.n_held_in, 2))


def _intervals(task, rng):
    found = {}
    for prefix, n in (("train", N_TRAIN), ("eval", N_EVAL)):
        group = np.arange(n) % 4
        table = np.stack(
            [group % 2, 180.0 * (group // 2), np.ones(n), rng.choice([480, 560], n)], axis=1
        )
        values = np.column_stack([table, rng.uniform(600, 900, n)])
        values[0] = np.nan
        found[f"{prefix}_behavior"] = values
    return found


def _conditions(task, rng):
    order = rng.permutation(N_EVAL)
    parts = [np.sort(order[:5]), np.sort(order[5:9]), np.sort(order[9:20]), order[:0]]
    chosen = np.empty(len(parts), dtype=object)
    chosen[:] = parts
    psth = rng.gamma(2.0, 0.15, (len(parts), task.n_time, task.n_units))
    psth[1, -3:] = np.nan
    found = {"psth": psth, "eval_cond_idx": chosen, "train_cond_idx": chosen}
    if task.jitter:
        psth[:, :4] = np.nan
        psth[:, -4:] = np.nan
        found["eval_jitter"] = rng.integers(-4, 5, N_EVAL)
    return found
