"""Scores: spikes, decoding, known dynamics, intervals around them, partitions and components."""

from neurodyn.metrics.classification import (
    classification_table,
    paired_classification_difference,
    regression_table,
)
from neurodyn.metrics.components import matched_similarity, participation_ratio
from neurodyn.metrics.connectivity import connectivity_table, direction_accuracy, hub_recall
from neurodyn.metrics.decoding import (
    Decoder,
    decode,
    decoding_scores,
    fit_ridge,
    r2,
    r2_per_output,
)
from neurodyn.metrics.dynamics import rate_r2, rate_r2_per_unit
from neurodyn.metrics.generated_counts import psth_correlation, window_f1
from neurodyn.metrics.generation import compare_generated, spike_statistics
from neurodyn.metrics.intervals import (
    Interval,
    bits_per_spike_interval,
    paired_bits_per_spike,
    trial_interval,
)
from neurodyn.metrics.partitions import (
    adjusted_mutual_information,
    adjusted_rand_index,
    best_match_f1,
    normalised_mutual_information,
    variation_of_information,
)
from neurodyn.metrics.spikes import (
    bits_per_spike,
    bits_per_spike_per_unit,
    condition_means,
    null_expected_count,
    poisson_nll,
)

__all__ = [
    "Decoder",
    "Interval",
    "adjusted_mutual_information",
    "adjusted_rand_index",
    "best_match_f1",
    "bits_per_spike",
    "bits_per_spike_interval",
    "bits_per_spike_per_unit",
    "classification_table",
    "compare_generated",
    "condition_means",
    "connectivity_table",
    "decode",
    "decoding_scores",
    "direction_accuracy",
    "fit_ridge",
    "hub_recall",
    "matched_similarity",
    "normalised_mutual_information",
    "null_expected_count",
    "paired_bits_per_spike",
    "paired_classification_difference",
    "participation_ratio",
    "poisson_nll",
    "psth_correlation",
    "r2",
    "r2_per_output",
    "rate_r2",
    "rate_r2_per_unit",
    "regression_table",
    "spike_statistics",
    "trial_interval",
    "variation_of_information",
    "window_f1",
]
