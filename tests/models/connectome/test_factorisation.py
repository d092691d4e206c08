"""Components with labels: recovery, restarts, rank scan, missing pairs, and tensorly's route."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from neurodyn import recording as rec
from neurodyn.errors import ConfigError, DataError, DegenerateInputError
from neurodyn.io.limits import limited
from neurodyn.metrics import matched_similarity
from neurodyn.models.connectome import FactorisationConfig, decompose, factorise, rank_scan
from neurodyn.models.connectome.factorisation import model_of
from neurodyn.models.connectome.rank import held_out_fibres
from neurodyn.transforms.connectivity import (
    DenseAffinity,
    FeatureAffinity,
    as_affinity,
    differential_affinity,
    pair_matrix,
)

from .tensors import affinity, low_rank


def test_known_components_are_found_again():
    stored, truth = low_rank(noise=0.01)
    found = factorise(stored, 3, n_restarts=4, tolerance=1e-8)
    matrices = pair_matrix(truth.node[0], 8)
    wanted = [matrices.reshape(3, -1), truth.time, truth.animal]
    given = [
        found[name].values.reshape(3, -1)
        for name in ("pair_factor", "time_factor", "animal_factor")
    ]
    assert matched_similarity(given, wanted) > 0.98
    assert (np.diff(found["strength"]) <= 0).all()
    for name in ("time_factor", "animal_factor"):
        np.testing.assert_allclose(np.linalg.norm(found[name], axis=1), 1.0)
    model = np.einsum(
        "r,rij,rt,rw->wtij",
        *(found[n].values for n in ("strength", "pair_factor", "time_factor", "animal_factor")),
    )
    tensor = pair_matrix(stored.values, 8)
    error = np.linalg.norm(tensor - model) / np.linalg.norm(tensor)
    assert found.attrs["error"] == pytest.approx(error, rel=1e-6)


def test_restarts_are_reported_and_repeatable():
    form = affinity(smoothing=1.0)
    found, again = (factorise(form, 2, n_restarts=3, seed=4) for _ in range(2))
    assert found.identical(again)
    assert found["restart_error"].values.argmin() == found.attrs["best_restart"]
    assert found["restart_similarity"][found.attrs["best_restart"]] == pytest.approx(1.0)
    more = factorise(form, 2, n_restarts=4, seed=4)
    np.testing.assert_array_equal(more["restart_error"][:3], found["restart_error"])


def test_labels_stay_with_their_nodes():
    form = affinity(missing=False, smoothing=1.0)
    found = factorise(form, 2, n_restarts=1)
    assert found["pair_factor"].dims == ("component", "roi", "roi_to")
    np.testing.assert_array_equal(found["roi"], form.coords["roi"])
    np.testing.assert_array_equal(found["roi_to"], form.coords["roi"])
    assert found.sizes["time"] == form.n_time
    matrix = found["pair_factor"].values
    np.testing.assert_array_equal(matrix, matrix.transpose(0, 2, 1))
    assert (matrix[:, range(6), range(6)] == 0).all()


def test_a_pair_that_no_animal_has_is_missing_not_zero(tmp_path):
    values = np.random.default_rng(0).normal(size=(2, 60, 5)).cumsum(axis=1)
    values[0, :, 1] = values[1, :, 3] = np.nan
    data = rec.signal(values, sampling_rate=4.0, dim="roi", channel=list("abcde"))
    found = factorise(differential_affinity(data), 2, n_restarts=2)
    pair = found["pair_factor"]
    assert pair.sel(roi="b", roi_to="d").isnull().all()
    assert int(pair.isnull().sum()) == 2 * 2
    again = rec.load(rec.save(found, tmp_path / "a.nc"))
    xr.testing.assert_identical(again, found)


def test_neuron_mode_gives_node_factors():
    found = factorise(affinity(smoothing=1.0), 2, mode="neurons", n_restarts=2)
    assert found["node_factor"].dims == ("component", "roi")
    assert "pair_factor" not in found
    with pytest.raises(ConfigError, match="neuron mode takes an affinity made of features"):
        factorise(low_rank()[0], 2, mode="neurons")


def test_memory_decides_how_the_tensor_is_held():
    form = affinity(missing=False, smoothing=1.0)
    assert isinstance(model_of(form, FactorisationConfig()).affinity, DenseAffinity)
    with limited(memory=4000):
        assert isinstance(model_of(form, FactorisationConfig()).affinity, FeatureAffinity)
    assert isinstance(model_of(form, FactorisationConfig(storage="lazy")).affinity, FeatureAffinity)


def test_impossible_requests_are_refused():
    form = affinity(missing=False, smoothing=1.0)
    with pytest.raises(ConfigError, match="rank must be a whole number from 1"):
        factorise(form, 0)
    with pytest.raises(ConfigError, match="n_restarts must be 1 or more"):
        factorise(form, 1, n_restarts=0)
    with pytest.raises(ConfigError, match=r"invalid value .*mode"):
        factorise(form, 1, mode="edges")
    with pytest.raises(DegenerateInputError, match="zero everywhere"):
        factorise(as_affinity(form.dense() - 1e6), 1)
    with pytest.raises(ConfigError, match="ranks must increase"):
        rank_scan(form, [3, 2])


def test_a_scan_tells_the_true_rank():
    stored, _ = low_rank(noise=0.05, n_animals=8)
    scan = rank_scan(stored, [1, 2, 3, 5], n_restarts=4)
    assert (np.diff(scan["error"].min("restart")) < 0).all()
    assert scan["restart_similarity"].sel(rank=3) > 0.95
    assert scan["restart_similarity"].sel(rank=5) < scan["restart_similarity"].sel(rank=3)
    gain = -np.diff(scan["held_out_error"])
    assert gain[1] > 5 * abs(gain[2])
    assert (np.diff(scan["nuclear"].values[:3]) > 0).all()


def test_one_animal_has_nothing_to_hold_out():
    scan = rank_scan(affinity(n_animals=1, missing=False, smoothing=1.0), [1, 2], n_restarts=2)
    assert scan["held_out_error"].isnull().all()


def test_held_out_fibres_leave_every_pair_somewhere(rng):
    mask = rng.random((200, 5)) < 0.7
    hidden = held_out_fibres(mask, 0.5, seed=0)
    assert not (hidden & ~mask).any()
    assert ((mask & ~hidden).any(axis=1) == mask.any(axis=1)).all()
    assert 0.2 < hidden[mask].mean() < 0.5


def test_the_general_route_takes_any_tensor(rng):
    factors = [rng.random((2, size)) for size in (4, 5, 6)]
    tensor = xr.DataArray(
        np.einsum("ra,rb,rc->abc", *factors),
        dims=("roi", "time", "trial"),
        coords={"roi": list("abcd")},
    )
    found = decompose(tensor, 2, random_state=1, n_iter_max=500, tol=1e-10)
    assert found.attrs["error"] < 1e-3
    np.testing.assert_array_equal(found["roi"], list("abcd"))
    np.testing.assert_allclose(np.linalg.norm(found["factor_trial"], axis=1), 1.0)
    torch = decompose(
        tensor, 2, "non_negative_parafac", backend="pytorch", random_state=1, n_iter_max=500
    )
    assert torch.attrs["error"] < 0.05
    tucker = decompose(tensor, [2, 2, 2], "tucker")
    assert tucker["core"].dims == ("component_roi", "component_time", "component_trial")
    assert tucker.attrs["error"] < 1e-8


def test_the_general_route_refuses_what_it_cannot_take():
    tensor = xr.DataArray(np.ones((3, 4, 2)), dims=("roi", "time", "trial"))
    with pytest.raises(ConfigError, match="tensorly has no decomposition 'parafacs'"):
        decompose(tensor, 1, "parafacs")
    with pytest.raises(ConfigError, match="result is no CP and no Tucker"):
        decompose(tensor, [1, 1, 1, 1], "tensor_train")
    with pytest.raises(DataError, match="takes no missing numbers"):
        decompose(tensor * np.nan, 1)
