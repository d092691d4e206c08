"""What every model has to beat: linear models of spikes and fMRI, a network without dynamics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from neurodyn.models.baselines.behavior_decoding import decoding_instants as decoding_instants
    from neurodyn.models.baselines.behavior_decoding import (
        fit_behavior_decoder as fit_behavior_decoder,
    )
    from neurodyn.models.baselines.behavior_decoding import predict_behavior as predict_behavior
    from neurodyn.models.baselines.behavior_decoding_config import (
        BehaviorDecodingConfig as BehaviorDecodingConfig,
    )
    from neurodyn.models.baselines.conditional_gaussian import conditional_mean as conditional_mean
    from neurodyn.models.baselines.conditional_gaussian import (
        gaussian_masked_r2 as gaussian_masked_r2,
    )
    from neurodyn.models.baselines.conditional_gaussian import group_covariance as group_covariance
    from neurodyn.models.baselines.connectivity_linear import (
        connectivity_scores as connectivity_scores,
    )
    from neurodyn.models.baselines.connectivity_linear import (
        fisher_z_connectivity as fisher_z_connectivity,
    )
    from neurodyn.models.baselines.factor_glm import FactorGLM as FactorGLM
    from neurodyn.models.baselines.factor_glm import FactorGLMConfig as FactorGLMConfig
    from neurodyn.models.baselines.gru import GRUAutoencoder as GRUAutoencoder
    from neurodyn.models.baselines.gru import GRUConfig as GRUConfig
    from neurodyn.models.baselines.history_glm import HistoryGLMConfig as HistoryGLMConfig
    from neurodyn.models.baselines.history_glm import fit_history_glm as fit_history_glm
    from neurodyn.models.baselines.history_glm import predict_history_glm as predict_history_glm
    from neurodyn.models.baselines.history_glm import score_history_glm as score_history_glm
    from neurodyn.models.baselines.roi_means import roi_mean_scores as roi_mean_scores
    from neurodyn.models.baselines.roi_means import roi_mean_windows as roi_mean_windows
    from neurodyn.models.baselines.smoothing_glm import SmoothingGLM as SmoothingGLM
    from neurodyn.models.baselines.smoothing_glm import SmoothingGLMConfig as SmoothingGLMConfig

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "behavior_decoding": ["decoding_instants", "fit_behavior_decoder", "predict_behavior"],
        "behavior_decoding_config": ["BehaviorDecodingConfig"],
        "conditional_gaussian": ["conditional_mean", "gaussian_masked_r2", "group_covariance"],
        "connectivity_linear": ["connectivity_scores", "fisher_z_connectivity"],
        "history_glm": [
            "HistoryGLMConfig",
            "fit_history_glm",
            "predict_history_glm",
            "score_history_glm",
        ],
        "roi_means": ["roi_mean_scores", "roi_mean_windows"],
        "factor_glm": ["FactorGLM", "FactorGLMConfig"],
        "gru": ["GRUAutoencoder", "GRUConfig"],
        "smoothing_glm": ["SmoothingGLM", "SmoothingGLMConfig"],
    },
)
