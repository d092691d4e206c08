"""Small recordings of cells: imaging series as pynwb writes them, and named cells."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
from pynwb import NWBHDF5IO, NWBFile
from pynwb.ophys import ImageSegmentation, OpticalChannel, RoiResponseSeries

from neurodyn import recording as rec


def walks(seed, n_time=100, n_cells=3):
    return np.random.default_rng(seed).normal(size=(n_time, n_cells)).cumsum(axis=0)


def named(values, cells, **clock):
    """Traces of cells with names."""
    clock = clock or {"sampling_rate": 4.0}
    return rec.signal(values, channel=cells, dim="roi", units="dF/F0", **clock)


def stimuli(start, names, duration=2.0):
    start = np.asarray(start, dtype=float)
    return rec.trials(start, start + duration, columns={"stimulus": list(names)})


def imaging(path, *series, ids=(10, 11, 13)):
    """Write series of rois of one segmentation; each is ``(name, values, clock)``."""
    nwb = NWBFile("cells", path.stem, datetime(2026, 1, 2, tzinfo=UTC))
    device = nwb.create_device("microscope")
    plane = nwb.create_imaging_plane(
        name="plane",
        optical_channel=OpticalChannel(name="green", description="", emission_lambda=500.0),
        description="a plane",
        device=device,
        excitation_lambda=600.0,
        indicator="GCaMP",
        location="head",
        imaging_rate=4.0,
    )
    module = nwb.create_processing_module("ophys", "calcium")
    segmentation = ImageSegmentation(name="segmentation")
    module.add(segmentation)
    table = segmentation.create_plane_segmentation("cells", plane, "cells")
    for label in ids:
        table.add_roi(pixel_mask=[(label, label, 1.0)], id=label)
    for name, values, clock in series:
        rois = table.create_roi_table_region(description="all", region=list(range(len(ids))))
        module.add(RoiResponseSeries(name=name, data=values, rois=rois, unit="n.a.", **clock))
    with NWBHDF5IO(path, "w") as file:
        file.write(nwb)
    return path
