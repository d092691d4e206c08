from __future__ import annotations

import json

import numpy as np
import pytest

from neurodyn import recording
from neurodyn.errors import ConfigError, EmptySelectionError, TimebaseError
from neurodyn.metrics.spikes import bits_per_spike
from neurodyn.models.baselines import SmoothingGLM
from neurodyn.models.checks import example_counts
from neurodyn.models.context import DataContext
from neurodyn.models.counts_estimator import counts_digest, spike_scores

COUNTS = example_counts()
FITTED = SmoothingGLM(n_components=3).fit(COUNTS)


def test_scores_are_bits_per_spike_of_their_units_and_bins():
    expected = FITTED.predict(COUNTS)["rate"].values.astype(float) * 0.02
    count = COUNTS["count"].values.astype(float)
    parts = {
        "co_bps": np.s_[:, :12, 4:],
        "held_in_bps": np.s_[:, :12, :4],
        "fp_bps": np.s_[:, 12:, :],
    }
    for metric, part in parts.items():
        found = float(FITTED.score(COUNTS, metric)[metric])
        assert found == pytest.approx(bits_per_spike(expected[part], count[part]), abs=1e-12)


def test_a_metric_without_its_targets_is_refused():
    plain = recording.counts(COUNTS["count"].values, bin_size=0.02)
    fitted = SmoothingGLM(n_components=3).fit(plain)
    for metric in ("co_bps", "fp_bps"):
        with pytest.raises(EmptySelectionError, match=f"nothing to compute {metric}"):
            fitted.score(plain, metric)
    with pytest.raises(ConfigError, match="invalid value for metric"):
        fitted.score(plain, "r2")


def test_held_out_scores_need_no_forward_bins():
    seen = COUNTS.isel(time=~COUNTS["forward"].values)
    assert FITTED.score(seen)["co_bps"] == FITTED.score(COUNTS)["co_bps"]
    with pytest.raises(TimebaseError, match="forward bins"):
        FITTED.score(seen, "fp_bps")


def test_forward_bins_are_labelled_even_when_the_data_lack_them():
    seen = COUNTS.isel(time=~COUNTS["forward"].values)
    found = FITTED.predict(seen)
    np.testing.assert_allclose(found["time"], COUNTS["time"], atol=1e-12)
    assert found["forward"].values.tolist() == COUNTS["forward"].values.tolist()


def test_recordings_are_taken_as_a_whole():
    tree = recording.recording({"counts": COUNTS})
    assert FITTED.predict(tree).identical(FITTED.predict(COUNTS))


def test_recordings_without_trials_are_cut_into_blocks_and_say_so(rng, tmp_path):
    long = recording.counts(
        rng.poisson(0.5, (330, 3)), bin_size=0.02, held_out=[False, False, True]
    )
    fitted = SmoothingGLM(n_components=2).fit(long, validation=long)
    assert fitted.context_.n_time == 100
    found = fitted.predict(long)
    assert found.sizes["trial"] == 3
    assert found["block_start"].values.tolist() == [0.0, 2.0, 4.0]
    assert found.attrs["quality"]["bins_left_out"] == 30
    fitted.save(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["inputs"]["counts"]["quality"]["bins_left_out"] == 30
    again = SmoothingGLM.load(tmp_path)
    assert again.predict(long).identical(found)


def test_validation_must_have_the_same_units_and_bins():
    with pytest.raises(TimebaseError, match="bin size"):
        SmoothingGLM().fit(COUNTS, validation=COUNTS.assign_attrs(bin_size=0.01))


def test_a_second_fit_forgets_the_first():
    model = SmoothingGLM(n_components=2).fit(COUNTS)
    other = COUNTS.isel(unit=[0, 1, 4])
    assert model.fit(other).context_.unit == ("a", "b", "e")


def test_digest_sees_counts_labels_and_masks():
    variants = [
        COUNTS,
        COUNTS.assign(count=COUNTS["count"] * 2),
        COUNTS.isel(trial=slice(4)),
        COUNTS.assign_coords(unit=list("uvwxyz")),
        COUNTS.assign(observed=("time", np.arange(15) > 0)),
    ]
    assert len({counts_digest(ds) for ds in variants}) == len(variants)


def test_perfect_rates_score_higher_than_the_null():
    rate = np.full((2, 4, 2), 50.0)
    rate[:, ::2] = 5.0
    count = np.broadcast_to([[[0], [1], [0], [1]]], (2, 4, 2))
    counts = recording.counts(count, bin_size=0.02, held_out=[False, True])
    predicted = recording.results(
        {"rate": (("trial", "time", "unit"), rate)},
        {"trial": counts["trial"]},
        estimator="truth",
        config_uid="",
        checkpoint="",
    )
    found = spike_scores(predicted, counts, DataContext.of(counts))
    assert float(found["co_bps"]) == pytest.approx(
        bits_per_spike(rate[..., 1:] * 0.02, count[..., 1:])
    )
    assert float(found["co_bps"]) > 0.5
    assert found["n_spikes"].values.tolist() == [2.0, 2.0]
