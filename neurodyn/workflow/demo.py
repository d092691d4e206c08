"""The demo: a Lorenz population written as NWB, read back, modelled, judged by its truth."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

from neurodyn import datasets
from neurodyn import recording as rec
from neurodyn.workflow.compare import compare
from neurodyn.workflow.data import open_data
from neurodyn.workflow.plans import BASELINES, matched_gru, plan

__all__ = ["demo"]

# The linear baselines have no settings known for Lorenz, so they are given a search.
GLM_DRAWS = 12
QUICK = datasets.LorenzConfig(n_conditions=6, n_repeats=5, n_units=12)


def demo(folder: str | Path, *, n_steps: int | None = None, quick: bool = False) -> Path:
    """Simulate, write NWB, open it, fit LangevinFlow beside its baselines, report.

    Parameters
    ----------
    folder
        Run folder; the recording and its truth go there too.
    n_steps
        Training steps instead of the preset's.
    quick
        A small recording, to see whether all of it runs; its scores mean nothing.

    Returns
    -------
    Path
        ``report.html``.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    simulation = datasets.simulate_lorenz(QUICK if quick else None)
    path = datasets.write(simulation, folder / "lorenz.nwb")
    data = open_data(path, bin_size=simulation.truth.attrs["bin_size"])
    truth = rec.load(datasets.truth_path(path)).sel(trial=data.evaluation["trial"].values)
    data = replace(
        data,
        # the same bins, whose edges were computed in another way
        truth=truth.assign_coords(time=data.evaluation["time"]),
        notes=(*data.notes, *(["Quick demo: too few data and steps for a score."] * quick)),
    )
    training = {} if n_steps is None else {"n_steps": n_steps, "warmup_steps": 0}
    plans = plan(["langevinflow", *BASELINES], preset="lorenz", training=training)
    for name in ("smoothing_glm", "factor_glm"):
        plans[name] = replace(plans[name], n_draws=1 if quick else GLM_DRAWS)
    plans["gru"] = matched_gru(plans["langevinflow"], data.train)
    arguments = ["neurodyn", "demo", "--folder", str(folder.name)]
    if n_steps is not None:
        arguments += ["--steps", str(n_steps)]
    return compare(
        plans,
        data,
        folder,
        title="The Lorenz demo",
        command=shlex.join([*arguments, *(["--quick"] * quick)]),
    )
