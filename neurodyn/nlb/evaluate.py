"""Score submissions exactly as nlb_tools 0.0.4, whose numbers the public board shows."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neurodyn.errors import DataQualityWarning, SchemaError, one_of, suggest
from neurodyn.metrics.spikes import bits_per_spike, check_scale
from neurodyn.nlb.arrays import Array
from neurodyn.nlb.files import read_groups
from neurodyn.nlb.scores import psth_r2, speed_correlation, velocity_r2
from neurodyn.nlb.submit import submission_faults
from neurodyn.nlb.tasks import BIN_SIZES, DATASETS, SCALING, TASKS, Task, task

__all__ = ["evaluate"]

Groups = Mapping[str, Mapping[str, Array]]
FloatArray = NDArray[np.float64]
Scores = dict[str, float]


def evaluate(
    targets: str | Path | Groups,
    submission: str | Path | Groups,
    *,
    exact: bool = True,
    on_bad: str = "raise",
) -> list[dict[str, Scores]]:
    """Score every group of a submission.

    Parameters
    ----------
    targets
        A target file or its content: ``{group: {name: array}}``.
    submission
        A submission file or its content: expected counts per bin.
    exact
        ``True``: psth R² of nlb_tools, a mean over all units, in which one unit of constant
        true PSTH can outweigh the rest (a warning says so). ``False``: such units are left out.
    on_bad
        ``"raise"``, or ``"drop"`` (``"warn"`` also says so) groups that the targets lack.

    Returns
    -------
    list of dict
        One for each dataset, such as ``{"mc_maze_20_split": {"co-bps": …, "vel R2": …,
        "psth R2": …, "fp-bps": …}}``; dmfc_rsg has ``"tp corr"`` for ``"vel R2"``. The three
        smaller mc_maze sets share ``mc_maze_scaling_split``. All values are Python floats.

    Raises
    ------
    SchemaError
        Naming all missing, unknown and misshapen arrays.
    UnitScaleError
        If the submission looks like rates in spikes/s.
    DataError, DegenerateInputError
        As the single scores.
    """
    one_of("on_bad", on_bad, ("raise", "warn", "drop"))
    truth = read_groups(targets) if isinstance(targets, str | Path) else targets
    rates = read_groups(submission) if isinstance(submission, str | Path) else submission
    scored = _scorable(truth, rates, on_bad)
    results: list[dict[str, Scores]] = []
    scaling: dict[str, Scores] = {}
    for dataset in DATASETS:
        for bin_size in BIN_SIZES:
            declared = task(dataset, bin_size)
            if declared.name not in scored:
                continue
            scores = _score(declared, truth[declared.name], rates[declared.name], exact)
            if dataset in SCALING:
                group = scaling.setdefault(declared.name.replace(dataset, "mc_maze_scaling"), {})
                group |= {f"{SCALING[dataset]} {name}": value for name, value in scores.items()}
            else:
                results.append({f"{declared.name}_split": scores})
    merged = sorted(scaling, key=len)
    return results + [{f"{name}_split": scaling[name]} for name in merged]


def _scorable(truth: Groups, rates: Groups, on_bad: str) -> list[str]:
    """Return the groups that can be scored; all faults of the submission are named at once."""
    faults, scorable = [], []
    for name, arrays in rates.items():
        if name not in TASKS:
            faults.append(f"{name}: no such task ({suggest(name, TASKS)})")
        elif "eval_spikes_heldout" in truth.get(name, {}):
            scorable.append(name)
            faults += [f"{name}: {fault}" for fault in _group_faults(name, truth[name], arrays)]
        elif on_bad == "raise":
            faults.append(f"{name}: the targets have no such group")
        elif on_bad == "warn":
            warnings.warn(f"no targets for {name}", DataQualityWarning, stacklevel=3)
    if not scorable and not faults:
        faults.append("there is nothing to score")
    if faults:
        raise SchemaError("submission and targets do not fit", found="\n    - ".join(["", *faults]))
    return scorable


def _group_faults(name: str, truth: Mapping[str, Array], rates: Mapping[str, Array]) -> list[str]:
    needed = ["eval_behavior"] + (["train_behavior"] if TASKS[name].behavior else [])
    faults = [f"targets lack {key}" for key in needed if key not in truth]
    shape = truth["eval_spikes_heldout"].shape
    if len(shape) != 3:
        return [*faults, f"eval_spikes_heldout of the targets has shape {shape}"]
    n_trials = {"eval": shape[0]}
    if "train_behavior" in truth:
        n_trials["train"] = truth["train_behavior"].shape[0]
    ahead = truth.get("eval_spikes_heldin_forward")
    expected = _like(TASKS[name], shape, ahead)
    return faults + submission_faults(expected, rates, n_trials, held_in_known=ahead is not None)


def _like(declared: Task, shape: tuple[int, ...], ahead: Array | None) -> Task:
    """Return the task with the numbers of units and bins that the targets have."""
    n_held_in = declared.n_held_in if ahead is None else ahead.shape[2]
    start = declared.window[1] - shape[1] * declared.bin_size
    forward = declared.forward if ahead is None else ahead.shape[1] * declared.bin_size
    return replace(
        declared,
        n_held_in=n_held_in,
        n_held_out=shape[2],
        window=(start, declared.window[1]),
        forward=forward,
    )


def _score(
    declared: Task, truth: Mapping[str, Array], rates: Mapping[str, Array], exact: bool
) -> Scores:
    known = {
        name: array if array.dtype == object else _floats(array) for name, array in truth.items()
    }
    own = {name: _floats(array) for name, array in rates.items()}
    spikes, held_out = known["eval_spikes_heldout"], own["eval_rates_heldout"]
    check_scale(held_out, spikes, declared.bin_size, where=declared.name)
    scores = {"co-bps": bits_per_spike(held_out, spikes)}
    every = np.concatenate([own["eval_rates_heldin"], held_out], axis=-1)
    if declared.behavior is None:
        scores["tp corr"] = speed_correlation(spikes, every, known["eval_behavior"])
    else:
        scores["vel R2"] = velocity_r2(
            np.concatenate([own["train_rates_heldin"], own["train_rates_heldout"]], axis=-1),
            known["train_behavior"],
            every,
            known["eval_behavior"],
            train_mask=known.get("train_decode_mask"),
            eval_mask=known.get("eval_decode_mask"),
        )
    if "psth" in known:
        scores["psth R2"] = psth_r2(
            every,
            known["psth"],
            truth["eval_cond_idx"],
            jitter=truth.get("eval_jitter"),
            exact=exact,
        )
    forward = ("heldin_forward", "heldout_forward")
    if "eval_rates_heldin_forward" in own and "eval_spikes_heldin_forward" in known:
        scores["fp-bps"] = bits_per_spike(
            np.concatenate([own[f"eval_rates_{part}"] for part in forward], axis=-1),
            np.concatenate([known[f"eval_spikes_{part}"] for part in forward], axis=-1),
        )
    return scores


def _floats(values: Array) -> FloatArray:
    return np.asarray(values, dtype=np.float64)
