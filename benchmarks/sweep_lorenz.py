"""Does a search find better settings than the default? LangevinFlow on Lorenz, 16 trials.

    python -m benchmarks.sweep_lorenz [--search asha] [--trials 16] [--steps 1000] [--folder F]

A search of the settings of LangevinFlow from its default, judged by the validation negative
log-likelihood on a fifth of the training trials. A folder lets a search go on that was broken
off. The evaluation trials are touched once, at the end: co-bps of the default and of the best.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from benchmarks._measure import write_table
from neurodyn.models import registry
from neurodyn.report.sweep import ranked
from neurodyn.workflow import plan
from neurodyn.workflow.search import open_named_data, search


def main() -> None:
    """Search, judge and record."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--search", choices=("random", "asha", "pbt"), default="asha")
    parser.add_argument("--trials", type=int, default=16)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--folder", type=Path)
    chosen = parser.parse_args()
    folder = chosen.folder or Path(tempfile.mkdtemp())
    start = plan(["langevinflow"], settings=[f"training.n_steps={chosen.steps}"])["langevinflow"]
    data = open_named_data("lorenz")
    begun, spent = time.perf_counter(), time.process_time()
    found = search(
        start.model,
        data.train,
        folder,
        method=chosen.search,
        n_trials=chosen.trials,
        n_workers=chosen.workers,
        **start.fit_options,
    )
    rows = ranked(found)
    seconds = {"wall": time.perf_counter() - begun, "cpu": time.process_time() - spent}
    judged = {
        name: float(registry.load(folder / "trials" / run).score(data.evaluation)["co_bps"])
        for name, run in {"default": found["run"].values[0], "best": rows[0]["run"]}.items()
    }
    scores = {"default": float(found["score"][0]), "best": rows[0]["score"]}
    print(f"validation nll: {scores}; co-bps of evaluation trials: {judged}")
    write_table(
        "sweep_lorenz",
        rows,
        search=chosen.search,
        validation_nll=scores,
        evaluation_co_bps=judged,
        seconds=seconds,
        n_updates=int(found["step"].sum()),
    )


if __name__ == "__main__":
    main()
