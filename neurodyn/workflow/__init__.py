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
from neurodyn.workflow.neuroformer import Finetuning, finetune_neuroformer, fit_neuroformer
from neurodyn.workflow.neuroformer_plan import NeuroformerPlan, neuroformer_plan
from neurodyn.workflow.plans import BASELINES, load_model, matched_gru, plan
from neurodyn.workflow.preprocess import preprocess
from neurodyn.workflow.search import open_named_data, search
from neurodyn.workflow.spike_connectivity import connectivity_run
from neurodyn.workflow.spike_decoding import decode_run
from neurodyn.workflow.spike_generation import simulate_run
from neurodyn.workflow.spike_recordings import SpikeData, held_out_part, open_spikes
from neurodyn.workflow.sweep import grid_of, sweep
from neurodyn.workflow.traces import TraceData, open_traces

__all__ = [
    "BASELINES",
    "BoldData",
    "BrainMAEPlan",
    "Data",
    "Decoding",
    "Finetuning",
    "NeuroformerPlan",
    "Opened",
    "Plan",
    "SpikeData",
    "TraceData",
    "brainmae_plan",
    "compare",
    "connectivity_run",
    "connectome",
    "connectome_model",
    "decode",
    "decode_run",
    "demo",
    "finetune_neuroformer",
    "fit_neuroformer",
    "grid_of",
    "held_out_part",
    "hold_out_units",
    "inputs_for",
    "load_model",
    "matched_gru",
    "neuroformer_plan",
    "only_file",
    "open_bold",
    "open_counts",
    "open_data",
    "open_named_data",
    "open_spikes",
    "open_traces",
    "part_of_runs",
    "plan",
    "preprocess",
    "pretrain",
    "search",
    "simulate_run",
    "split_trials",
    "sweep",
    "with_events",
    "with_held_out",
    "with_labels",
]
