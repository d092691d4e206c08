"""The main jobs from end to end: counts from a file, models side by side, one run folder."""

from neurodyn.workflow.compare import Plan, compare
from neurodyn.workflow.connectome import connectome, connectome_model
from neurodyn.workflow.data import (
    Data,
    Opened,
    hold_out_units,
    open_counts,
    open_data,
    split_trials,
    with_held_out,
)
from neurodyn.workflow.demo import demo
from neurodyn.workflow.plans import BASELINES, load_model, matched_gru, plan
from neurodyn.workflow.sweep import grid_of, sweep
from neurodyn.workflow.traces import TraceData, open_traces

__all__ = [
    "BASELINES",
    "Data",
    "Opened",
    "Plan",
    "TraceData",
    "compare",
    "connectome",
    "connectome_model",
    "demo",
    "grid_of",
    "hold_out_units",
    "load_model",
    "matched_gru",
    "open_counts",
    "open_data",
    "open_traces",
    "plan",
    "split_trials",
    "sweep",
    "with_held_out",
]
