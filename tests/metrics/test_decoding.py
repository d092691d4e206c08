"""R² and ridge decoding against scikit-learn and nlb_tools."""

import json
import warnings

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV

from neurodyn.errors import ConfigError, DataError, DegenerateInputError, EmptySelectionError
from neurodyn.metrics import decode, fit_ridge, r2, r2_per_output
from neurodyn.metrics.decoding import decoding_scores
from neurodyn.recording import results

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from nlb_tools import evaluation as oracle


def samples(seed, n, n_inputs, scale=1.0, noise=1.0):
    rng = np.random.default_rng(seed)
    x = scale * rng.gamma(2.0, 0.1, (n, n_inputs))
    y = x @ rng.normal(size=(n_inputs, 2)) / scale + noise * rng.normal(size=(n, 2)) + 3.0
    return x, y


@settings(deadline=None, max_examples=20, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(10, 120),
    n_inputs=st.integers(1, 40),
    scale=st.sampled_from([0.01, 1.0, 100.0]),
)
def test_fit_equals_scikit_learn(seed, n, n_inputs, scale):
    x, y = samples(seed, n, n_inputs, scale)
    search = GridSearchCV(Ridge(), {"alpha": np.logspace(-4, 0, 9)}).fit(x, y)
    ours = fit_ridge(x, y)
    assert ours.alpha == pytest.approx(search.best_params_["alpha"])
    np.testing.assert_allclose(ours.predict(x), search.predict(x), atol=1e-8)


@pytest.mark.parametrize("n_inputs", [3, 30, 142])
@pytest.mark.parametrize("scale", [0.05, 1.0])
def test_decode_equals_nlb_tools(n_inputs, scale):
    x, y = samples(n_inputs, 900, n_inputs, scale)
    y[::7] = np.nan
    train, evaluated = slice(0, 600), slice(600, 900)
    arguments = x[train], y[train], x[evaluated], y[evaluated]
    assert decode(*arguments) == pytest.approx(oracle.fit_and_eval_decoder(*arguments), abs=1e-10)
    fixed = oracle.fit_and_eval_decoder(*arguments, grid_search=False)
    assert decode(*arguments, alphas=(1e-2,)) == pytest.approx(fixed, abs=1e-10)


def test_real_recording_has_its_golden_value(shared_data):
    folder = shared_data / "nlb_mc_maze_small_test"
    golden = json.loads((folder / "golden_nlb_tools_0.0.4.json").read_text())
    with h5py.File(folder / "mc_maze_small_test_cosmoothing.h5") as file:
        rates = file["mc_maze_small_20/eval_spikes_heldin"][:80].astype(float).mean(axis=1)
    # the golden value was made from these float64 velocities, even trials and odd trials
    with np.load(folder / "neurodrift_nlb_mc_maze_small_20.npz") as file:
        velocity = np.stack([file["source_intent"], file["target_intent"]], axis=1).reshape(80, 2)
    name = "ridge_gridsearch_r2_trial_mean_velocity_from_heldin_mean_rates_train0_59_eval60_79"
    ours = decode(rates[:60], velocity[:60], rates[60:], velocity[60:])
    assert ours == pytest.approx(golden[name], abs=1e-10)


def test_r2_equals_scikit_learn_also_for_constant_outputs():
    rng = np.random.default_rng(3)
    true, predicted = rng.normal(size=(2, 50, 4))
    true[:, 1] = predicted[:, 1] = 2.0
    true[:, 2] = 5.0
    expected = r2_score(true, predicted, multioutput="raw_values")
    np.testing.assert_allclose(r2_per_output(true, predicted), expected, atol=1e-12)
    assert r2(true, predicted) == pytest.approx(r2_score(true, predicted), abs=1e-12)


def test_variance_floor_leaves_constant_outputs_out():
    rng = np.random.default_rng(4)
    true = rng.normal(size=(50, 3))
    true[:, 1] = 1.0 + 1e-16 * rng.normal(size=50)
    true[0, 1] += 2e-16
    predicted = true + 0.1
    assert r2(true, predicted) < -1e20
    kept = [0, 2]
    guarded = r2(true, predicted, variance_floor=1e-12)
    assert guarded == pytest.approx(r2_score(true[:, kept], predicted[:, kept]))
    with pytest.raises(DegenerateInputError, match="no output varies"):
        r2(np.ones((5, 2)), np.ones((5, 2)), variance_floor=0.0)


def test_arguments_stay_as_they_are():
    x, y = samples(0, 40, 5)
    y[3] = np.nan
    x.flags.writeable = y.flags.writeable = False
    decode(x, y, x, y)


def test_faults_are_named():
    x, y = samples(0, 40, 5)
    with pytest.raises(DataError, match=r"do not fit[\s\S]*\(39, 5\)"):
        decode(x[:-1], y, x, y)
    with pytest.raises(DataError, match="differ in samples"):
        fit_ridge(x[:-1], y)
    with pytest.raises(DegenerateInputError, match="too few samples to choose"):
        fit_ridge(x[:9], y[:9])
    with pytest.raises(DegenerateInputError, match="two samples"):
        r2(y[:1], y[:1])
    with pytest.raises(DataError, match="differ in shape"):
        r2(y, y[:, :1])
    with pytest.raises(DataError, match="need two dims"):
        r2(y[:, 0], y[:, 0])
    with pytest.raises(DataError, match="not finite"):
        r2(y, np.where(y > 0, np.inf, y))
    part = y.copy()
    part[5, 1] = np.nan
    with pytest.raises(DataError, match=r"NaN in part[\s\S]*1 rows"):
        decode(x, part, x, y)
    gap = x.copy()
    gap[5, 1] = np.nan
    with pytest.raises(DataError, match=r"evaluation inputs are NaN[\s\S]*1 of 40"):
        decode(x, y, gap, y)


def result_of(true, predicted, step=0.5):
    time = step * np.arange(len(true))
    features = [f"f{number}" for number in range(true.shape[1])]
    variables = {"true": (("time", "feature"), true), "predicted": (("time", "feature"), predicted)}
    return results(variables, {"time": time, "feature": features})


def test_decoding_scores_equal_numpy_and_scikit_learn():
    rng = np.random.default_rng(6)
    true = rng.normal(size=(400, 3)) + 1e4
    predicted = 0.5 * (true - 1e4) + 1e4 + rng.normal(size=true.shape)
    true[::7, 0] = predicted[5::11, 1] = np.nan
    found = decoding_scores(result_of(true, predicted))
    for number in range(3):
        known = np.isfinite(true[:, number]) & np.isfinite(predicted[:, number])
        y, p = true[known, number], predicted[known, number]
        assert found["r"].values[number] == pytest.approx(np.corrcoef(y, p)[0, 1], abs=1e-9)
        assert found["r2"].values[number] == pytest.approx(r2_score(y, p), abs=1e-9)
        assert found["n_instants"].values[number] == known.sum()
    assert (found["r_low"] < found["r"]).all()
    assert (found["r2"] < found["r2_high"]).all()
    xr.testing.assert_identical(found, decoding_scores(result_of(true, predicted)))


def test_longer_blocks_give_wider_intervals_of_slow_behavior():
    rng = np.random.default_rng(7)
    slow = np.repeat(rng.normal(size=(2, 100)), 40, axis=1)
    result = result_of(slow[:1].T, (slow[0] + slow[1])[:, None], step=0.1)
    width = {
        block: float((scores["r_high"] - scores["r_low"]).item())
        for block in (0.1, 4.0)
        for scores in [decoding_scores(result, block=block)]
    }
    # 100 values, each for 40 instants
    assert width[4.0] > 4 * width[0.1]


def test_intervals_of_decoding_cover_the_truth():
    rng = np.random.default_rng(8)
    covered = 0
    for seed in range(60):
        true = rng.normal(size=(200, 1))
        found = decoding_scores(
            result_of(true, 0.6 * true + 0.8 * rng.normal(size=true.shape), step=1.0),
            block=4.0,
            n_resamples=200,
            seed=seed,
        )
        covered += bool(found["r_low"].item() <= 0.6 <= found["r_high"].item())
    assert 50 <= covered <= 60


def test_constant_predictions_have_no_correlation():
    true = np.arange(40.0)[:, None]
    found = decoding_scores(result_of(true, np.full(true.shape, 19.5)))
    assert np.isnan(found["r"].item())
    assert np.isnan(found["r_low"].item())
    assert found["r2"].item() == pytest.approx(0.0)


def test_decoding_that_cannot_be_scored_is_named():
    true = np.arange(40.0)[:, None]
    with pytest.raises(DataError, match=r"cannot be scored[\s\S]*variables true"):
        decoding_scores(result_of(true, true).drop_vars("predicted"))
    with pytest.raises(ConfigError, match=r"longer than 0 s[\s\S]*block=0.0"):
        decoding_scores(result_of(true, true), block=0.0)
    with pytest.raises(EmptySelectionError, match=r"known at no instant \(at feature f0\)"):
        decoding_scores(result_of(true, true * np.nan))
    with pytest.raises(DegenerateInputError, match=r"true feature is constant \(at feature f0\)"):
        decoding_scores(result_of(0 * true, true))
    with pytest.raises(DegenerateInputError, match="two trials"):
        decoding_scores(result_of(true, true), block=100.0)
