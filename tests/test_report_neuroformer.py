"""What a report says of a Neuroformer, and what it misses aloud."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from neurodyn import recording as rec
from neurodyn.errors import DataError
from neurodyn.report import Run
from neurodyn.report.neuroformer import neuroformer_sections
from neurodyn.report.sections import sections_of

LIKELIHOOD = [
    {"model": "Poisson null", "baseline": "poisson", "bits_per_spike_given_past": 0.0},
    {
        "model": "history GLM",
        "baseline": "history_glm",
        "bits_per_spike_given_past": 0.42,
        "bits_per_spike_given_past_low": 0.4,
        "bits_per_spike_given_past_high": 0.44,
    },
    {"model": "neuroformer", "bits_per_spike_given_past": 0.5, "bits_per_spike": 0.625},
]
GENERATION = [
    {"statistic": "rate_error", "generated": 0.12, "ceiling": 0.08},
    {"statistic": "correlation_rmse", "generated": 0.02, "ceiling": 0.01},
]
DECODING = [
    {"behavior": "speed", "model": "neuroformer", "inputs": "spikes", "r": 0.8, "r2": 0.6},
    {"behavior": "speed", "model": "ridge", "baseline": "ridge", "r": 0.81, "r2": 0.65},
    {"behavior": "x", "model": "neuroformer", "r": 0.7},
]
FEW_SHOT = [
    {"behavior": "speed", "model": model, "share": share, "r": 0.5 * share}
    for model in ("pre-trained", "from scratch")
    for share in (0.1, 1.0)
]
CONNECTIVITY = [
    {"measure": "deletion", "auc": 0.97, "direction_accuracy": 0.9},
    {"measure": "lagged correlation", "baseline": "lagged", "auc": 0.95},
]
METRICS = {
    "headline": "neuroformer",
    "likelihood": LIKELIHOOD,
    "generation": GENERATION,
    "decoding": DECODING,
    "few_shot": FEW_SHOT,
    "connectivity": CONNECTIVITY,
}
TITLES = [
    "Spikes told by the past",
    "Spikes that it generates",
    "Behavior decoded",
    "Who drives whom",
    "Limits",
]


def spikes(seed: int, rates: tuple[float, ...] = (20.0, 10.0, 30.0)) -> xr.Dataset:
    rng = np.random.default_rng(seed)
    times = [np.sort(rng.uniform(0.0, 12.0, rng.poisson(12.0 * rate))) for rate in rates]
    return rec.spikes_from_units(times, observed=[[0.0, 12.0]])


def session(seed: int, stimulus: tuple[str, ...] = ("left", "right"), **options) -> xr.DataTree:
    """Six trials of 2 s, one after another."""
    start = 2.0 * np.arange(6)
    columns = {"stimulus": np.resize(stimulus, 6)}
    return rec.recording([spikes(seed, **options), rec.trials(start, start + 2, columns=columns)])


@pytest.fixture(scope="module")
def results() -> dict[str, xr.Dataset | xr.DataTree]:
    rng = np.random.default_rng(0)
    true = rng.normal(size=(30, 2))
    dims, pairs = ("time", "feature"), ("unit", "unit_to")
    decoded = rec.results(
        {"true": (dims, true), "predicted": (dims, true + 0.5)},
        {"time": 0.25 * np.arange(30), "feature": ["speed", "x"]},
    )
    couplings = rec.results(
        {
            "score": (("measure", *pairs), rng.normal(size=(2, 3, 3))),
            "weight": (pairs, np.eye(3)[[1, 0, 2]]),
        },
        {
            "measure": ["deletion", "lagged correlation"],
            "unit": list("012"),
            "unit_to": list("012"),
        },
    )
    both = {"recorded": session(0), "generated": session(1)}
    return {**both, "decoded": decoded, "connectivity": couplings}


def test_every_part_has_its_section(results):
    sections = neuroformer_sections(results, METRICS)
    assert [section.title for section in sections] == TITLES
    assert [len(section.drawings) for section in sections] == [1, 3, 2, 2, 0]
    assert not any(section.notes for section in sections)


def test_every_drawing_is_drawn(results):
    for section in neuroformer_sections(results, METRICS):
        for drawing in section.drawings:
            figure = Figure(figsize=drawing.size, dpi=30, layout="constrained")
            drawing.draw(figure)
            FigureCanvasAgg(figure).draw()
            assert figure.axes


def test_nothing_is_said_of_nothing():
    assert neuroformer_sections({}, {}) == []
    # rows of another method
    assert neuroformer_sections({}, {"decoding": [{"target": "age", "model": "m"}]}) == []


def test_likelihood_stands_beside_the_baselines():
    section, limits = neuroformer_sections({}, {"likelihood": LIKELIHOOD, "limits": ["One rat."]})
    (table,) = section.tables
    assert table.head == ("model", "bits per spike given the past", "bits per spike, same bin too")
    assert table.rows == [
        ("Poisson null", "0.000", "–"),
        ("history GLM", "0.420 [0.400, 0.440]", "–"),
        ("neuroformer", "0.500", "0.625"),
    ]
    assert table.marked == [2]
    assert section.text == [
        "neuroformer (0.500) is above history GLM (0.420) in bits per spike given the past."
    ]
    figure = Figure(layout="constrained")
    section.drawings[0].draw(figure)
    (axes,) = figure.axes
    np.testing.assert_allclose(axes.collections[-1].get_offsets()[:, 0], [0.0, 0.42, 0.5])
    assert limits.text[-1] == "One rat."


def test_a_baseline_that_wins_is_said_to_win():
    behavior = neuroformer_sections({}, {"decoding": DECODING})[0]
    assert behavior.text == ["speed: neuroformer (0.800) is not above ridge (0.810) in r."]
    first, second = behavior.tables
    assert first.head == ("model", "inputs", "r", "R²")
    assert first.rows[0] == ("neuroformer", "spikes", "0.800", "0.600")
    assert (second.head, second.rows, second.marked) == (
        ("model", "r"),
        [("neuroformer", "0.700")],
        [],
    )
    drives = neuroformer_sections({}, {"connectivity": CONNECTIVITY})[0]
    assert drives.text == ["deletion (0.970) is above lagged correlation (0.950) in AUC."]
    assert drives.tables[0].rows[1] == ("lagged correlation", "0.950", "–")


def test_what_is_missing_is_said():
    metrics = {
        "likelihood": LIKELIHOOD[2:],
        "generation": [{"statistic": "own", "generated": 0.1}],
        "decoding": DECODING[:1],
    }
    notes = [section.notes for section in neuroformer_sections({}, metrics)]
    assert "model of spike history and couplings" in notes[0][0]
    assert "two halves of the recording" in notes[1][0]
    assert "No ridge regression" in notes[2][0]
    table = neuroformer_sections({}, metrics)[1].tables[0]
    assert (table.head, table.rows) == (("statistic", "generated"), [("own", "0.100")])


def test_generated_spikes_begin_where_they_were_generated(results):
    late = rec.spikes_from_units([[5.0], [6.0], [7.0]], observed=[[4.0, 12.0]])
    section = neuroformer_sections({**results, "generated": late}, {})[0]
    figure = Figure(layout="constrained")
    section.drawings[0].draw(figure)
    assert figure.axes[0].get_xlim() == (4.0, 14.0)
    # no trials in one of them: no means over trials
    assert len(section.drawings) == 2
    unobserved = rec.spikes_from_units([[5.0], [6.0], [7.0]])
    drawing = neuroformer_sections({**results, "generated": unobserved}, {})[0].drawings[0]
    figure = Figure(layout="constrained")
    drawing.draw(figure)
    assert figure.axes[0].get_xlim() == (5.0, 15.0)


@pytest.mark.parametrize(
    "generated",
    [
        session(1, stimulus=("up", "down")),
        session(1, stimulus=("left", "1", "2", "3", "4", "5")),
        rec.recording([spikes(1), rec.trials([50.0], [52.0], columns={"stimulus": ["left"]})]),
    ],
    ids=["other stimuli", "one trial each", "none generated"],
)
def test_trials_that_were_not_repeated_are_not_averaged(results, generated):
    section = neuroformer_sections({**results, "generated": generated}, {})[0]
    assert "No stimulus has two whole trials" in section.notes[0]
    assert len(section.drawings) == 2


def test_only_repeated_stimuli_are_averaged(results):
    generated = session(1, stimulus=("left", "left", "left", "left", "left", "right"))
    drawing = neuroformer_sections({**results, "generated": generated}, {})[0].drawings[1]
    figure = Figure(layout="constrained")
    drawing.draw(figure)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["left", "", ""]


def test_silence_is_said(results):
    silent = session(1, rates=(0.0, 0.0, 0.0))
    section = neuroformer_sections({**results, "generated": silent}, {})[0]
    assert "has no spikes" in section.notes[0]


def test_other_units_are_refused(results):
    section = neuroformer_sections({**results, "generated": spikes(1, rates=(9.0,))}, {})[0]
    with pytest.raises(DataError, match="generated and real units differ"):
        section.drawings[0].draw(Figure())


def test_couplings_without_truth(results):
    found = results["connectivity"].drop_vars("weight")
    (section, _) = neuroformer_sections({"connectivity": found}, {})
    (drawing,) = section.drawings
    assert "true" not in drawing.caption


def test_sections_of_a_run(results):
    history = [{"kind": "validation", "step": step, "bits_per_spike": 0.1} for step in (1, 2)]
    rates = rec.results(
        {"rate": (("time", "unit"), np.ones((2, 1))), "latent": (("window", "latent"), [[0.0]])}
    )
    run = Run("run", rates, METRICS, history, {}, "", results)
    sections = sections_of(run, question=None, notes=())
    titles = [section.title for section in sections]
    assert titles == ["What was asked", "Data", *TITLES, "Training"]
    assert "spikes that the model generates" in sections[0].text[0]
