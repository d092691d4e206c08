"""What a recording is: kinds, constructors, validation and storage."""

from neurodyn.recording.access import (
    describe,
    masked_counts,
    names,
    physical,
    pick,
    pick_all,
    pick_behavior,
    unit_spike_times,
)
from neurodyn.recording.build import (
    counts,
    recording,
    results,
    spikes,
    spikes_from_units,
    trials,
)
from neurodyn.recording.sampled import behavior, bold, regular_time, signal
from neurodyn.recording.store import load, save
from neurodyn.recording.validate import faults, validate

__all__ = [
    "behavior",
    "bold",
    "counts",
    "describe",
    "faults",
    "load",
    "masked_counts",
    "names",
    "physical",
    "pick",
    "pick_all",
    "pick_behavior",
    "recording",
    "regular_time",
    "results",
    "save",
    "signal",
    "spikes",
    "spikes_from_units",
    "trials",
    "unit_spike_times",
    "validate",
]
