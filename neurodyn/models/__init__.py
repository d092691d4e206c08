"""Models behind one contract: fit, transform, predict, score, save, load.

The names below are loaded on first use, so that nothing here imports torch by itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader

if TYPE_CHECKING:
    from neurodyn.models.base import Estimator as Estimator
    from neurodyn.models.baselines import FactorGLM as FactorGLM
    from neurodyn.models.baselines import GRUAutoencoder as GRUAutoencoder
    from neurodyn.models.baselines import SmoothingGLM as SmoothingGLM
    from neurodyn.models.brainmae.estimator import BrainMAE as BrainMAE
    from neurodyn.models.connectome.estimator import DynamicConnectome as DynamicConnectome
    from neurodyn.models.context import DataContext as DataContext
    from neurodyn.models.cross_validation import cross_validate as cross_validate
    from neurodyn.models.langevinflow.estimator import (
        LangevinFlowEstimator as LangevinFlowEstimator,
    )
    from neurodyn.models.neuroformer.estimator import Neuroformer as Neuroformer
    from neurodyn.models.registry import available as available
    from neurodyn.models.registry import create as create
    from neurodyn.models.registry import load as load
    from neurodyn.models.sklearn_adapter import as_sklearn as as_sklearn
    from neurodyn.models.tuning import tune as tune

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["baselines", "brainmae", "connectome", "langevinflow", "neuroformer"],
    submod_attrs={
        "base": ["Estimator"],
        "baselines": ["FactorGLM", "GRUAutoencoder", "SmoothingGLM"],
        "brainmae.estimator": ["BrainMAE"],
        "connectome.estimator": ["DynamicConnectome"],
        "context": ["DataContext"],
        "cross_validation": ["cross_validate"],
        "langevinflow.estimator": ["LangevinFlowEstimator"],
        "neuroformer.estimator": ["Neuroformer"],
        "registry": ["available", "create", "load"],
        "sklearn_adapter": ["as_sklearn"],
        "tuning": ["tune"],
    },
)
