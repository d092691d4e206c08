"""Named data: simulators with known truth, embedded recordings and downloadable ones."""

from neurodyn.datasets.abide_cc200 import read_abide_cc200
from neurodyn.datasets.atlases import atlas_info, fetch_atlas, list_atlases
from neurodyn.datasets.calcium_events import CalciumEventsConfig, simulate_calcium_events
from neurodyn.datasets.calcium_motifs import simulate_calcium_motifs, write_calcium_motifs
from neurodyn.datasets.calcium_motifs_config import CalciumMotifsConfig
from neurodyn.datasets.chaotic_rnn import ChaoticRNNConfig, simulate_chaotic_rnn
from neurodyn.datasets.fmri_phantom import FmriPhantomConfig, simulate_fmri
from neurodyn.datasets.fmri_phantom_files import write_fmri_study
from neurodyn.datasets.heat_pain import read_heat_pain
from neurodyn.datasets.hub_network import HubNetworkConfig, simulate_hub_network
from neurodyn.datasets.lorenz import LorenzConfig, simulate_lorenz
from neurodyn.datasets.oscillating_network import (
    OscillatingNetworkConfig,
    simulate_oscillating_network,
    write_oscillating_network,
)
from neurodyn.datasets.place_cells import PlaceCellsConfig, simulate_place_cells
from neurodyn.datasets.registry import (
    DatasetInfo,
    dataset_info,
    fetch,
    list_datasets,
    load_dataset,
    path,
    simulate,
)
from neurodyn.datasets.shipped import shipped
from neurodyn.datasets.simulation import Simulation, read, truth_path, write
from neurodyn.datasets.visual_population import VisualPopulationConfig, simulate_visual_population

__all__ = [
    "CalciumEventsConfig",
    "CalciumMotifsConfig",
    "ChaoticRNNConfig",
    "DatasetInfo",
    "FmriPhantomConfig",
    "HubNetworkConfig",
    "LorenzConfig",
    "OscillatingNetworkConfig",
    "PlaceCellsConfig",
    "Simulation",
    "VisualPopulationConfig",
    "atlas_info",
    "dataset_info",
    "fetch",
    "fetch_atlas",
    "list_atlases",
    "list_datasets",
    "load_dataset",
    "path",
    "read",
    "read_abide_cc200",
    "read_heat_pain",
    "shipped",
    "simulate",
    "simulate_calcium_events",
    "simulate_calcium_motifs",
    "simulate_chaotic_rnn",
    "simulate_fmri",
    "simulate_hub_network",
    "simulate_lorenz",
    "simulate_oscillating_network",
    "simulate_place_cells",
    "simulate_visual_population",
    "truth_path",
    "write",
    "write_calcium_motifs",
    "write_fmri_study",
    "write_oscillating_network",
]
