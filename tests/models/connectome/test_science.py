"""What the connectome finds where the truth is known: simulated motifs, a real worm, noise."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy.optimize import linear_sum_assignment

from neurodyn import datasets
from neurodyn import recording as rec
from neurodyn.metrics import best_match_f1
from neurodyn.models.connectome import DynamicConnectome, attribute
from neurodyn.transforms import align_stimuli
from neurodyn.transforms.connectivity import pair_vector
from neurodyn.workflow import open_traces

COMMAND_CELLS = ["AVAL", "AVAR", "AVEL", "AVER", "AIBL", "AIBR"]
SEEDS = (0, 1)


def aligned(simulation):
    both = align_stimuli(simulation.recording)
    return rec.pick(both, "signal"), rec.pick(both, "trials")


def recovered(simulation, bandwidth=2.0):
    """Fit; return components by motif, the best F1 of members and correlation of animals."""
    traces, stimuli = aligned(simulation)
    model = DynamicConnectome(
        rank=5, affinity__bandwidth=bandwidth, factorisation__n_restarts=4
    ).fit(traces)
    components, truth = model.components_, simulation.truth
    found = np.nan_to_num(pair_vector(components["pair_factor"].values))
    wanted = pair_vector(truth["pair"].values)
    n_motifs = len(wanted)
    alike = np.corrcoef(found, wanted)[: len(found), len(found) :]
    rows, motifs = linear_sum_assignment(-alike)
    members = truth["member"].values
    f1 = [
        float(np.mean(best_match_f1(components["community"].values[row], members[[motif]])))
        for row, motif in zip(rows, motifs)
    ]
    animals = [
        np.corrcoef(components["animal_factor"].values[row], strength)[0, 1]
        for row, strength in zip(rows, truth["animal_strength"].values[motifs])
    ]
    assert len(rows) == n_motifs
    names = dict(zip(truth["motif"].values[motifs].tolist(), rows.tolist()))
    return components, stimuli, names, np.mean(f1), np.mean(animals)


def simulated(seed, **settings):
    return datasets.simulate_calcium_motifs(seed=seed, spontaneous_times="shared", **settings)


@pytest.fixture(scope="module")
def complete():
    return [recovered(simulated(seed)) for seed in SEEDS]


def test_motifs_are_found_with_their_members_and_animals(complete):
    assert np.mean([f1 for *_, f1, _ in complete]) >= 0.9
    assert np.mean([animal for *_, animal in complete]) >= 0.85


def test_cells_that_animals_lack_cost_little(complete):
    missing = [recovered(simulated(seed, missing_fraction=0.3)) for seed in SEEDS]
    for index in (-2, -1):
        whole, part = (np.mean([run[index] for run in runs]) for runs in (complete, missing))
        assert part >= whole - 0.05


def test_a_bandwidth_below_the_indicator_is_worse(complete):
    *_, animal = recovered(simulated(SEEDS[0]), bandwidth=0.5)
    assert animal < complete[0][-1] - 0.1


def test_each_stimulus_is_attributed_to_its_motif(complete):
    for components, stimuli, names, _, _ in complete:
        found = attribute(components, stimuli)
        for stimulus in found["stimulus"].values.tolist():
            own = found.isel(component=names[stimulus])
            significant = own["stimulus"].values[(own["q_value"] < 0.05).values]
            assert significant.tolist() == [stimulus]


def randomised(traces, seed):
    """Return surrogates: the same spectra, a phase shift of its own at every frequency."""
    rng = np.random.default_rng(seed)
    values = traces["signal"].values
    spectrum = np.fft.rfft(values, axis=1)
    phase = rng.uniform(0, 2 * np.pi, spectrum.shape)
    phase[:, 0] = 0.0
    shuffled = np.fft.irfft(spectrum * np.exp(1j * phase), n=values.shape[1], axis=1)
    return traces.assign(signal=(traces["signal"].dims, shuffled))


def false_attributions(n_runs, n_animals):
    traces, stimuli = aligned(simulated(0, n_animals=n_animals))
    model = DynamicConnectome(rank=4, factorisation__n_restarts=1, factorisation__n_sweeps=60)
    found = []
    for seed in range(n_runs):
        components = model.clone().fit(randomised(traces, seed)).components_
        found.append(bool((attribute(components, stimuli)["q_value"] < 0.05).any()))
    return np.mean(found)


def test_randomised_traces_follow_no_stimulus():
    assert false_attributions(20, n_animals=3) <= 0.15


@pytest.mark.slow
def test_randomised_traces_follow_no_stimulus_in_a_hundred_runs():
    assert false_attributions(100, n_animals=3) <= 0.05


@pytest.fixture(scope="module")
def worm(shared_data):
    path = shared_data / "celegans_wormwideweb_1worm" / "traces_z.csv.gz"
    data = open_traces(path)
    assert any("jitters" in note for note in data.notes)
    return DynamicConnectome(rank=4, factorisation__n_restarts=4).fit(data.traces).components_


@pytest.mark.shared_data
def test_command_cells_of_a_worm_share_a_community(worm):
    together = worm["community"].sel(roi=COMMAND_CELLS)
    assert any(len({*row.tolist()}) == 1 for row in together.values)
    assert float(worm["restart_similarity"].min()) >= 0.95


@pytest.mark.shared_data
def test_weights_of_a_worm_are_log_normal(worm):
    from neurodyn.models.connectome.communities.block_model import find_communities

    assert (worm["family"] == "lognormal").all()
    graph: xr.DataArray = worm["pair_factor"].isel(component=0, drop=True)
    evidence = find_communities(graph)["evidence"]
    lead = evidence.sel(candidate="lognormal") - evidence.sel(candidate="exponential")
    assert float(lead) > 100
