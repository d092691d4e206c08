"""HALS against explicit tensors: residuals, optimality, masks, and tensorly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

from neurodyn.models.connectome.hals import NeuronModel, PairModel, descend, update
from neurodyn.recording import signal
from neurodyn.transforms.connectivity import (
    DenseAffinity,
    differential_affinity,
    pair_matrix,
)

from .tensors import affinity, low_rank


def random_factors(model, rank=3, seed=1):
    return model.start(rank, np.random.default_rng(seed))


def explicit_residual(tensor, mask, factors):
    (pair,), time, animal = factors
    model = np.einsum("rp,rt,rw->wtp", pair, time, animal)
    return float((((tensor - model) ** 2) * mask.T[:, None]).sum())


@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("smoothing", [None, 1.0])
def test_the_residual_of_pairs_is_that_of_the_stored_tensor(missing, smoothing):
    form = affinity(missing=missing, smoothing=smoothing)
    tensor = np.nan_to_num(form.dense().values)
    model = PairModel(form)
    factors = random_factors(model)
    assert model.residual(factors) == pytest.approx(explicit_residual(tensor, form.mask, factors))
    factors, residual = model.sweep(factors)
    assert residual == pytest.approx(explicit_residual(tensor, form.mask, factors))


def test_with_one_component_each_pair_is_its_weighted_least_squares_answer():
    form = affinity()
    tensor = np.nan_to_num(form.dense().values)
    model = PairModel(form)
    factors = random_factors(model, rank=1)
    (_,), time, animal = factors
    ((found,), _, _), _ = model.sweep(factors)
    for pair in range(tensor.shape[2]):
        seen = form.mask[pair]
        design = np.outer(animal[0][seen], time[0]).reshape(-1, 1)
        answer, _ = nnls(design, tensor[seen, :, pair].ravel())
        assert found[0, pair] == pytest.approx(answer[0], abs=1e-9)


def test_many_updates_reach_the_masked_non_negative_least_squares_answer():
    """All pairs, several components: against scipy's active-set method, pair by pair."""
    form = affinity()
    tensor = np.nan_to_num(form.dense().values)
    model = PairModel(form)
    (pair,), time, animal = random_factors(model)
    target = form.pairs(animal[:, :, None] * time[:, None, :])
    for _ in range(300):
        pair = model._update_pairs(pair, time, animal, target)
    for index in range(tensor.shape[2]):
        seen = form.mask[index]
        design = np.einsum("rw,rt->wtr", animal[:, seen], time).reshape(-1, 3)
        answer, _ = nnls(design, tensor[seen, :, index].ravel())
        np.testing.assert_allclose(pair[:, index], answer, atol=1e-7)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.booleans(), st.integers(1, 5), st.sampled_from([None, 0.5, 2.0]))
def test_the_error_never_rises(seed, missing, rank, smoothing):
    form = affinity(seed=seed, missing=missing, smoothing=smoothing)
    for model in (PairModel(form), NeuronModel(form)):
        rng = np.random.default_rng(seed)
        _, errors = descend(model, rank, rng, n_sweeps=15, tolerance=-1.0)
        assert (np.diff(errors) <= 1e-12).all()


@pytest.mark.parametrize("missing", [False, True])
def test_lazy_and_stored_tensors_give_the_same_descent(missing):
    form = affinity(missing=missing, smoothing=1.0)
    runs = [
        descend(PairModel(one), 3, np.random.default_rng(5), n_sweeps=30, tolerance=0.0)[1]
        for one in (form, DenseAffinity.of(form))
    ]
    np.testing.assert_allclose(*runs, rtol=1e-9)


@pytest.mark.parametrize("missing", [False, True])
def test_the_residual_of_neurons_is_that_of_the_stored_tensor(missing):
    form = affinity(missing=missing, smoothing=1.0)
    seen = np.ones((3, 6), dtype=bool)
    if missing:
        seen[0, 1] = seen[2, 4] = False
    matrices = pair_matrix(np.nan_to_num(form.dense().values), 6)
    weight = (seen[:, :, None] & seen[:, None, :])[:, None]
    model = NeuronModel(form)
    factors, residual = model.sweep(random_factors(model))
    (first, second), time, animal = factors
    fitted = np.einsum("ri,rj,rt,rw->wtij", first, second, time, animal)
    assert residual == pytest.approx(float((((matrices - fitted) ** 2) * weight).sum()))


def test_it_reaches_the_error_of_tensorly():
    from tensorly.decomposition import non_negative_parafac_hals

    stored, _ = low_rank(noise=0.05)
    ours = min(
        descend(PairModel(stored), 3, np.random.default_rng(s), n_sweeps=300, tolerance=1e-9)[1][-1]
        for s in range(3)
    )
    theirs = []
    for state in range(3):
        found = non_negative_parafac_hals(
            stored.values, 3, n_iter_max=300, tol=1e-9, init="random", random_state=state
        )
        model = np.einsum("r,wr,tr,pr->wtp", found.weights, *found.factors)
        theirs.append(np.linalg.norm(stored.values - model) / np.linalg.norm(stored.values))
    assert ours == pytest.approx(min(theirs), abs=1e-4)


def test_a_row_without_weight_stays():
    factor = np.array([[1.0, 2.0], [3.0, 4.0]])
    gram = np.array([[0.0, 0.0], [0.0, 2.0]])
    found = update(factor, np.array([[5.0, 5.0], [4.0, -4.0]]), gram)
    np.testing.assert_array_equal(found, [[1.0, 2.0], [2.0, 0.0]])


@pytest.mark.parametrize("kind", [PairModel, NeuronModel])
def test_an_animal_without_pairs_has_no_share(kind):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(3, 60, 5)).cumsum(axis=1)
    values[1, :, 1:] = np.nan
    form = differential_affinity(signal(values, sampling_rate=4.0, dim="roi"), smoothing=None)
    factors, _ = descend(kind(form), 2, rng, n_sweeps=5, tolerance=0.0)
    assert (factors.animal[:, 1] == 0).all()
    assert (factors.animal[:, [0, 2]] > 0).all()
