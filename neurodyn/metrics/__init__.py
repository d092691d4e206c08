"""Scores: spikes, decoding, known dynamics, intervals around them, partitions and components."""

from neurodyn.metrics.classification import (
    classification_table,
    paired_classification_difference,
    regression_table,
)
from neurodyn.metrics.components import matched_similarity, participation_ratio
from neurodyn.metrics.decoding import Decoder, decode, fit_ridge, r2, r2_per_output
from neurodyn.metrics.dynamics import rate_r2, rate_r2_per_unit
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
    "condition_means",
    "decode",
    "fit_ridge",
    "matched_similarity",
    "normalised_mutual_information",
    "null_expected_count",
    "paired_bits_per_spike",
    "paired_classification_difference",
    "participation_ratio",
    "poisson_nll",
    "r2",
    "r2_per_output",
    "rate_r2",
    "rate_r2_per_unit",
    "regression_table",
    "trial_interval",
    "variation_of_information",
]
