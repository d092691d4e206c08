"""The main jobs from end to end: counts from a file, models side by side, one run folder."""

from neurodyn.workflow.bold import BoldData, open_bold, part_of_runs, with_events, with_labels
from neurodyn.workflow.brainmae import BrainMAEPlan, brainmae_plan, pretrain
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
from neurodyn.workflow.decoding import Decoding, decode
from neurodyn.workflow.demo import demo
from neurodyn.workflow.inputs import inputs_for, only_file
from neurodyn.workflow.plans import BASELINES, load_model, matched_gru, plan
from neurodyn.workflow.sweep import grid_of, sweep
from neurodyn.workflow.traces import TraceData, open_traces

__all__ = [
    "BASELINES",
    "BoldData",
    "BrainMAEPlan",
    "Data",
    "Decoding",
    "Opened",
    "Plan",
    "TraceData",
    "brainmae_plan",
    "compare",
    "connectome",
    "connectome_model",
    "decode",
    "demo",
    "grid_of",
    "hold_out_units",
    "inputs_for",
    "load_model",
    "matched_gru",
    "only_file",
    "open_bold",
    "open_counts",
    "open_data",
    "open_traces",
    "part_of_runs",
    "plan",
    "pretrain",
    "split_trials",
    "sweep",
    "with_events",
    "with_held_out",
    "with_labels",
]
