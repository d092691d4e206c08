"""One resting fMRI run, averaged over the 100 parcels of Schaefer, before temporal cleaning."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import xarray as xr

from neurodyn import recording as rec

__all__ = ["read_rest_schaefer100"]

UNSETTLED_FRAMES = 5


def read_rest_schaefer100(folder: str | Path) -> xr.DataTree:
    """Read the tables of ``datasets/rest_schaefer100``.

    Parameters
    ----------
    folder
        Holds ``timeseries.tsv`` and ``.json``, ``confounds.tsv`` and ``rois.tsv``.

    Returns
    -------
    xr.DataTree
        Kind ``bold``: 150 frames x 100 parcels, TR 2 s; ``roi`` are the Schaefer names with
        ``network`` and MNI centroids ``x, y, z`` [mm]; ``confounds``; ``keep`` leaves out the
        first five frames, before the magnetisation has settled.

    Examples
    --------
    >>> from neurodyn.datasets.shipped import shipped
    >>> tree = read_rest_schaefer100(shipped("datasets") / "rest_schaefer100")
    >>> dict(tree["bold"].sizes)
    {'time': 150, 'roi': 100, 'confound': 15}
    """
    folder = Path(folder)
    series = pd.read_csv(folder / "timeseries.tsv", sep="\t")
    rois = pd.read_csv(folder / "rois.tsv", sep="\t", index_col="roi_id").loc[
        series.columns.astype(int)
    ]
    confounds = pd.read_csv(folder / "confounds.tsv", sep="\t", na_values="n/a")
    about = json.loads((folder / "timeseries.json").read_text(encoding="utf-8"))
    frame = range(len(series))
    bold = rec.bold(
        series.to_numpy(),
        repetition_time=float(about["RepetitionTime"]),
        roi=rois["name"].tolist(),
        keep=[index >= UNSETTLED_FRAMES for index in frame],
        confounds={str(name): column.to_numpy() for name, column in confounds.items()},
        roi_columns={name: rois[name].to_numpy() for name in ("network", "x", "y", "z")},
        atlas="Schaefer 2018, 100 parcels, 7 networks",
        space="MNI152NLin6Asym",
    )
    return rec.recording(
        [bold], source="brainfc 0.5.1, brainfc/data/rest01", subject="rest01", species="human"
    )
