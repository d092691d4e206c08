"""Animals stacked by the names of their cells, never by position."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

from neurodyn.errors import DataError, EmptySelectionError, TimebaseError, UnitScaleError
from neurodyn.provenance import history
from neurodyn.recording import recording, signal, trials, validate
from neurodyn.transforms import stack_animals

CELLS = ["AVAL", "AVAR", "RIS", "RID", "ALA"]


def worm(names, number=0, n_time=6, **kwargs):
    """Values say where they are from: 1000 animal + 100 cell + sample."""
    cell = np.array([CELLS.index(name) for name in names])
    values = 1000.0 * number + 100.0 * cell + np.arange(n_time)[:, None]
    kwargs = {"sampling_rate": 4.0, "units": "dF/F0", **kwargs}
    return signal(values, dim="roi", channel=names, **kwargs)


@settings(max_examples=15, deadline=None, derandomize=True)
@given(data=st.data())
def test_labels_never_shift(data):
    n_animals = data.draw(st.integers(1, 4))
    subsets = st.lists(st.sampled_from(CELLS), min_size=1, unique=True)
    names = [data.draw(subsets) for _ in range(n_animals)]
    order = data.draw(st.permutations(range(n_animals)))
    found = stack_animals({f"w{number}": worm(names[number], number) for number in order})
    validate(found)
    assert found["signal"].dims == ("animal", "time", "roi")
    assert found["animal"].values.tolist() == [f"w{number}" for number in order]
    first_seen = dict.fromkeys(name for number in order for name in names[number])
    assert found["roi"].values.tolist() == list(first_seen)
    for number in range(n_animals):
        for name in first_seen:
            values = found["signal"].sel(animal=f"w{number}", roi=name).values
            expected = 1000.0 * number + 100.0 * CELLS.index(name) + np.arange(6.0)
            seen = name in names[number]
            np.testing.assert_array_equal(values, expected if seen else np.full(6, np.nan))


def test_recordings_and_datasets_may_be_mixed():
    tree = recording([worm(CELLS[:2]), trials([0.0], [1.0])])
    found = stack_animals({"a": tree, "b": worm(CELLS[1:3], 1)})
    assert found.attrs["sampling_rate"] == 4.0
    assert found["signal"].attrs["units"] == "dF/F0"
    assert "quality" not in found.attrs
    assert history(found)[-1]["parameters"] == {"animals": ["a", "b"]}


def test_missing_frames_and_precision_stay():
    single = worm(CELLS[:2])
    single["signal"] = single["signal"].astype("f4")
    single["signal"][2, 0] = np.nan
    assert stack_animals({"a": single, "b": single})["signal"].dtype == np.float32
    found = stack_animals({"a": single, "b": worm(CELLS[:2], 1)})["signal"]
    assert found.dtype == np.float64
    assert np.isnan(found.values).sum() == 1
    assert np.isnan(found.values[0, 2, 0])


def test_raw_numbers_come_out_in_physical_units():
    raw = signal(
        np.array([[1], [2]], "i2"),
        sampling_rate=4.0,
        dim="roi",
        channel=["AVAL"],
        scale_factor=0.1,
        add_offset=1.0,
    )
    plain = signal(np.array([[3], [4]], "i2"), sampling_rate=4.0, dim="roi", channel=["AVAL"])
    found = stack_animals({"a": raw, "b": plain})["signal"]
    np.testing.assert_array_equal(found.values[:, :, 0], [[1.0 + 0.1, 1.0 + 0.2], [3.0, 4.0]])
    assert found.attrs["scale_factor"] == 1.0


def test_columns_are_kept_where_all_agree():
    first = worm(CELLS[:2], channel_columns={"side": ["L", "R"], "x": [1.0, np.nan], "own": [1, 2]})
    second = worm(CELLS[1:3], 1, channel_columns={"side": ["R", ""], "x": [np.nan, 3.0]})
    found = stack_animals({"a": first, "b": second})
    assert found["side"].values.tolist() == ["L", "R", ""]
    np.testing.assert_array_equal(found["x"], [1.0, np.nan, 3.0])
    assert "own" not in found
    assert found.attrs["quality"] == {"columns_left_out": 1}
    moved = worm(CELLS[1:3], 1, channel_columns={"side": ["R", ""], "x": [2.0, 3.0]})
    found = stack_animals({"a": first, "b": moved})
    assert "x" not in found
    assert found.attrs["quality"] == {"columns_left_out": 2}


def test_clocks_must_agree_to_the_last_digit():
    first = worm(CELLS[:2])
    late = first.assign_coords(time=first["time"] + [0, 0, 1e-9, 0, 0, 0])
    message = r"clocks differ \(at animal b(.|\n)*up to 1e-09 s(.|\n)*resample(.|\n)*match"
    with pytest.raises(TimebaseError, match=message):
        stack_animals({"a": first, "b": late})
    with pytest.raises(TimebaseError, match=r"different length \(at animal b(.|\n)*5 samples"):
        stack_animals({"a": first, "b": worm(CELLS[:2], n_time=5)})
    with pytest.raises(TimebaseError, match=r"sampling rates differ(.|\n)*5.0 Hz(.|\n)*resample"):
        stack_animals({"a": first, "b": worm(CELLS[:2], sampling_rate=5.0)})
    irregular = {"time": [0.0, 1.0, 5.0, 6.0, 7.0, 9.0], "sampling_rate": None}
    found = stack_animals({"a": worm(CELLS, **irregular), "b": worm(CELLS, 1, **irregular)})
    assert found["time"].values.tolist() == irregular["time"]
    assert "sampling_rate" not in found.attrs


def test_what_cannot_be_matched_is_refused():
    first = worm(CELLS[:2])
    with pytest.raises(EmptySelectionError, match="no animal to stack"):
        stack_animals({})
    with pytest.raises(EmptySelectionError, match="no signal"):
        stack_animals({"a": recording([trials([0.0], [1.0])])})
    with pytest.raises(DataError, match="two animals have the same name"):
        stack_animals({1: first, "1": first})
    with pytest.raises(DataError, match=r"labels of roi repeat \(at animal b(.|\n)*AVAL"):
        stack_animals({"a": first, "b": first.isel(roi=[0, 0, 1])})
    with pytest.raises(DataError, match="stacked by label, and 'roi' has none"):
        stack_animals({"a": first, "b": first.drop_vars("roi")})
    with pytest.raises(DataError, match=r"different dims(.|\n)*found: channel"):
        stack_animals({"a": first, "b": first.rename(roi="channel")})
    with pytest.raises(DataError, match=r"several animals already(.|\n)*isel"):
        stack_animals({"a": stack_animals({"b": first})})
    with pytest.raises(UnitScaleError, match=r"units differ \(at animal b(.|\n)*'V'"):
        stack_animals({"a": first, "b": worm(CELLS[:2], units="V")})


def test_input_is_left_alone():
    parts = {"a": worm(CELLS[:2]), "b": worm(CELLS[2:], 1)}
    before = {name: part.copy(deep=True) for name, part in parts.items()}
    found = stack_animals(parts)
    found["signal"][:] = 0.0
    for name, part in parts.items():
        xr.testing.assert_identical(part, before[name])


def test_a_stack_comes_apart_again():
    parts = {"a": worm(CELLS[:3]), "b": worm(CELLS[1:], 1)}
    found = stack_animals(parts)
    for name, part in parts.items():
        back = found["signal"].sel(animal=name).dropna("roi", how="all")
        np.testing.assert_array_equal(back, part["signal"])
        assert back["roi"].values.tolist() == part["roi"].values.tolist()
