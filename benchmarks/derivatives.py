"""Index of a folder of fMRIPrep-like derivatives, as a ratio to a walk that reads names only.

    python -m benchmarks.derivatives

100 subjects with 2 runs each, 2,400 files. Bar: at most 1 s. Where pybids is installed it indexes
the same folder, once.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import re
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks._measure import interleaved, write_table
from neurodyn.io.derivatives import find_derivatives, select_runs

N_SUBJECTS, N_RUNS = 100, 2
BAR, REPEATS = 1.0, 5
ENTITY = re.compile(r"([a-z]+)-([A-Za-z0-9]+)")
VOLUME = "space-MNI152NLin2009cAsym"
ENDINGS = (
    f"{VOLUME}_desc-preproc_bold.nii.gz",
    f"{VOLUME}_desc-preproc_bold.json",
    f"{VOLUME}_desc-brain_mask.nii.gz",
    f"{VOLUME}_desc-brain_mask.json",
    f"{VOLUME}_boldref.nii.gz",
    "space-fsLR_den-91k_bold.dtseries.nii",
    "space-fsLR_den-91k_bold.json",
    "desc-confounds_timeseries.tsv",
    "desc-confounds_timeseries.json",
    "hemi-L_space-fsaverage5_bold.func.gii",
    "hemi-R_space-fsaverage5_bold.func.gii",
    "from-boldref_to-T1w_mode-image_desc-coreg_xfm.txt",
)


def write_tree(root: Path) -> int:
    """Write the folder, its images empty, and return the number of files."""
    about = {"Name": "made up", "BIDSVersion": "1.8.0", "DatasetType": "derivative",
             "GeneratedBy": [{"Name": "fMRIPrep"}]}  # fmt: skip
    (root / "dataset_description.json").write_text(json.dumps(about))
    sidecar = json.dumps({"RepetitionTime": 2.0, "TaskName": "rest"})
    n_files = 0
    for subject in range(N_SUBJECTS):
        func = root / f"sub-{subject:03d}" / "func"
        func.mkdir(parents=True)
        for run in range(N_RUNS):
            for ending in ENDINGS:
                path = func / f"sub-{subject:03d}_task-rest_run-{run + 1}_{ending}"
                path.write_text(sidecar if ending.endswith(".json") else "")
                n_files += 1
    return n_files


def names_only(root: Path) -> list[dict[str, str]]:
    """Read the entities of all names, and nothing more: the floor."""
    return [dict(ENTITY.findall(path.name)) for path in root.rglob("*") if path.suffix]


def pybids_seconds(root: Path) -> dict[str, float]:
    """Return how long pybids takes for the index and one query [s]; nothing without pybids."""
    if importlib.util.find_spec("bids") is None:
        return {}
    from bids import BIDSLayout

    start = time.perf_counter()
    layout = BIDSLayout(root, validate=False, is_derivative=True)
    indexed = time.perf_counter()
    layout.get(task="rest", run=1, suffix="bold")
    return {"pybids_s": indexed - start, "pybids_query_s": time.perf_counter() - indexed}


def measure(root: Path) -> Sequence[dict[str, object]]:
    """Return one row: index, sidecars and query, beside the floor and pybids."""
    runs = find_derivatives(root)
    best = interleaved(
        {
            "floor": lambda: names_only(root),
            "index": lambda: find_derivatives(root),
            "query": lambda: select_runs(runs, task="rest", run="1"),
            "index_and_sidecars": lambda: [run.sidecar for run in find_derivatives(root)],
        },
        REPEATS,
    )
    peer = pybids_seconds(root)
    row: dict[str, object] = {
        "runs": len(runs),
        "index_s": best["index"],
        "floor_s": best["floor"],
        "floors": best["index"] / best["floor"],
        "with_sidecars_s": best["index_and_sidecars"],
        "query_s": best["query"],
        **peer,
    }
    if peer:
        row["faster_than_pybids"] = peer["pybids_s"] / best["index"]
    return [{**row, "bar": BAR, "passed": best["index"] <= BAR}]


def main() -> None:
    """Measure, print and record."""
    argparse.ArgumentParser(description=__doc__.split("\n")[0]).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        n_files = write_tree(Path(folder))
        write_table("derivatives", measure(Path(folder)), files=n_files)


if __name__ == "__main__":
    main()
