"""Decoded behavior beside the measured one, and scores by the share of the training data."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure

from neurodyn import plots
from neurodyn import recording as rec
from neurodyn.errors import DataError, EmptySelectionError
from neurodyn.metrics import r2

from .examples import drawn


def decoded(units: bool = True) -> xr.Dataset:
    """Speed and place on two stretches of time; some places are not known."""
    rng = np.random.default_rng(0)
    time = np.concatenate([np.arange(40), np.arange(80, 120)]) * 0.25
    true = np.stack([np.sin(time), np.cos(time / 3)], axis=1)
    predicted = true + 0.3 * rng.normal(size=true.shape)
    true[5, 1] = np.nan
    coords = {"time": time, "feature": ["speed", "x"]}
    if units:
        coords["feature_units"] = ("feature", ["cm/s", ""])
    dims = ("time", "feature")
    return rec.results({"predicted": (dims, predicted), "true": (dims, true)}, coords)


def test_traces_are_the_data_with_breaks() -> None:
    found = decoded()
    axes = plots.decoded_traces(found)
    assert len(axes) == 2
    for panel, feature in zip(axes, ["speed", "x"]):
        true, predicted = panel.get_lines()
        for line, name in ((true, "true"), (predicted, "predicted")):
            gap = np.isnan(line.get_xdata())
            assert gap.nonzero()[0].tolist() == [40]
            np.testing.assert_array_equal(line.get_xdata()[~gap], found["time"])
            np.testing.assert_array_equal(line.get_ydata()[~gap], found[name].sel(feature=feature))
        assert true.get_zorder() > predicted.get_zorder()
    speed = found.sel(feature=["speed"])
    correlation = np.corrcoef(speed["true"][:, 0], speed["predicted"][:, 0])[0, 1]
    score = r2(speed["true"], speed["predicted"])
    assert axes[0].get_title(loc="left") == f"speed: r {correlation:.2f}, R² {score:.2f}"
    assert [panel.get_ylabel() for panel in axes] == ["speed [cm/s]", "x"]
    assert [panel.get_xlabel() for panel in axes] == ["", "time [s]"]
    drawn(axes[0])


def test_scores_are_of_all_instants_that_are_known() -> None:
    found = decoded(units=False)
    whole = plots.decoded_traces(found, features=["x"])
    part = plots.decoded_traces(found, features=["x"], start=1.0, stop=3.0, figure=Figure())
    assert part[0].get_title(loc="left") == whole[0].get_title(loc="left")
    assert part[0].get_lines()[0].get_xdata().tolist() == np.arange(1.0, 3.1, 0.25).tolist()
    known = found.sel(feature="x").dropna("time")
    score = r2(known["true"].values[:, None], known["predicted"].values[:, None])
    assert part[0].get_title(loc="left").endswith(f"R² {score:.2f}")


def test_scores_that_are_not_defined() -> None:
    found = decoded()
    (panel,) = plots.decoded_traces(found.assign(predicted=0 * found["predicted"]), features=["x"])
    assert panel.get_title(loc="left").startswith("x: r –, R² −0.")
    unknown = found.assign(true=found["true"] * np.nan).isel(time=[0])
    assert plots.decoded_traces(unknown)[0].get_title(loc="left") == "speed: no score"


def test_what_is_missing_is_named() -> None:
    found = decoded()
    with pytest.raises(EmptySelectionError, match="no variable 'predicted'"):
        plots.decoded_traces(found.drop_vars("predicted"))
    with pytest.raises(EmptySelectionError, match=r"(?s)no feature 'spee'.*did you mean 'speed'"):
        plots.decoded_traces(found, features=["spee"])
    with pytest.raises(EmptySelectionError, match=r"(?s)no instant to draw.*from 99"):
        plots.decoded_traces(found, start=99.0)


def rows() -> list[dict[str, object]]:
    found = [
        {"model": model, "share": share, "r": share + shift, "r_low": share, "r_high": share + 0.3}
        for model, shift in (("pre-trained", 0.2), ("from scratch", 0.1))
        for share in (1.0, 0.01, 0.1)
    ]
    return [*found, {"model": "ridge", "share": 0.1, "r": 0.5}]


def test_scores_by_share() -> None:
    axes = plots.few_shot_curve(rows())
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert list(lines) == ["pre-trained", "from scratch", "ridge"]
    assert lines["pre-trained"].get_xdata().tolist() == [0.01, 0.1, 1.0]
    np.testing.assert_allclose(lines["pre-trained"].get_ydata(), [0.21, 0.3, 1.2])
    spans = [path[:, 1].tolist() for path in axes.collections[0].get_segments()]
    np.testing.assert_allclose(spans, [[0.01, 0.31], [0.1, 0.4], [1.0, 1.3]])
    assert len({line.get_marker() for line in lines.values()}) == 3
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1 %", "10 %", "100 %"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("share of the training data", "r")
    drawn(axes)


def test_shares_and_quantities_are_checked() -> None:
    with pytest.raises(EmptySelectionError, match=r"(?s)no 'r2' in the rows.*known: r, r_high"):
        plots.few_shot_curve(rows(), quantity="r2")
    with pytest.raises(DataError, match=r"(?s)a share is out of range.*10.*0 < share <= 1"):
        plots.few_shot_curve([{"model": "ridge", "share": 10, "r": 0.5}])
