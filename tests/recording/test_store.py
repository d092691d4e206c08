"""Storage: every kind survives a round trip unchanged, and damage is noticed."""

from __future__ import annotations

import math

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurodyn import recording as nr
from neurodyn.errors import CorruptFileError, UnsupportedFormatError
from neurodyn.recording.store import decode_attr, encode_attr

relaxed = settings(
    deadline=None,
    max_examples=15,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

names = st.text(st.characters(codec="utf-8", exclude_characters="\x00/"), min_size=1, max_size=8)
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False),
    st.text(st.characters(codec="utf-8"), max_size=12),
    hnp.arrays(
        st.sampled_from([np.int16, np.float64, np.bool_, np.uint8]),
        hnp.array_shapes(min_dims=0, max_dims=2, max_side=3),
        elements={"allow_nan": False},
    ),
)
attr_values = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(names, inner, max_size=3),
    ),
    max_leaves=5,
)


def same(left: object, right: object) -> bool:
    if isinstance(left, np.ndarray | np.generic):
        return (
            isinstance(right, np.ndarray | np.generic)
            and left.dtype == right.dtype
            and left.shape == right.shape
            and bool(np.array_equal(left, right))
        )
    if isinstance(left, list | tuple):
        return type(left) is type(right) and len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    return type(left) is type(right) and left == right


@relaxed
@given(attr_values)
def test_attr_codec_is_lossless(value):
    assert same(decode_attr(encode_attr(value)), value)


def test_attr_codec_keeps_what_is_not_finite_and_complex():
    assert math.isnan(decode_attr(encode_attr([float("nan")]))[0])
    assert decode_attr(encode_attr(3 + 4j)) == 3 + 4j
    assert decode_attr(encode_attr(np.float32(2.5))) == np.float32(2.5)


def a_spikes(rng):
    times = {name: np.sort(rng.uniform(0, 9, n)) for name, n in (("ü/1", 5), ("b", 0), ("c", 3))}
    return nr.spikes_from_units(
        times,
        observed=[[0.0, 4.0], [5.0, 9.0]],
        unit_columns={"area": ["M1", "", "PMd"], "depth": [1.0, np.nan, 2.0]},
        tick_hz=30_000,
    )


def a_counts(rng):
    return nr.counts(
        rng.poisson(0.5, (3, 4, 2)),
        bin_size=0.02,
        trial=[3, 1, 2],
        observed=rng.random((3, 4, 2)) > 0.2,
        held_out=[False, True],
        forward=[False, False, False, True],
        trial_columns={"condition": ["left", "right", "left"]},
    )


def a_signal(rng):
    return nr.signal(
        rng.integers(-9, 9, (20, 2)).astype("i2"),
        sampling_rate=1250.0,
        start=3.5,
        channel=["a", "b"],
        units="V",
        scale_factor=1e-6,
        add_offset=0.5,
        channel_columns={"channel_conversion": [1.0, 2.0], "bad": [False, True]},
    )


def worms(rng):
    values = rng.normal(size=(3, 8, 2))
    values[1, :, 0] = np.nan
    return nr.signal(
        values,
        sampling_rate=4.0,
        animal=["w 1", "w 2", "µ"],
        channel=["AVAL", "AVAR"],
        dim="roi",
        units="dF/F0",
        channel_columns={"side": ["L", "R"]},
    ).assign_coords(n_frames=("animal", [8, 8, 7]))


def a_bold(rng):
    return nr.bold(
        rng.normal(size=(6, 3)),
        repetition_time=0.72,
        roi=["V1", "V2", "M1"],
        keep=[True] * 5 + [False],
        confounds={"csf": rng.normal(size=6)},
        roi_columns={"mni": rng.normal(size=(3, 3))},
        atlas="Schaefer",
    )


def a_behavior(rng):
    return nr.behavior(
        rng.normal(size=(5, 2)), time=np.cumsum(rng.random(5)), feature=["x", "y"], units="mm"
    )


def some_trials(rng):
    return nr.trials(
        [0.0, 1.0],
        [0.5, 1.5],
        trial=["one", "two"],
        columns={"go_time": [0.1, np.nan], "success": [True, False], "n": np.array([1, 2], "i2")},
        settings={"a": [1, None], "b": {"c": True}},
        note=None,
    )


def a_result(rng):
    return nr.results(
        {"rate": (("trial", "time"), rng.random((2, 3), dtype=np.float32)), "co_bps": 0.25},
        {"trial": [0, 1]},
        seeds=[1, 2],
    )


KINDS = [a_spikes, a_counts, a_signal, worms, a_bold, a_behavior, some_trials, a_result]


@pytest.mark.parametrize("make", KINDS)
def test_every_kind_survives_alone(make, rng, tmp_path):
    ds = make(rng)
    back = nr.load(nr.save(ds, tmp_path / "one.nc"))
    xr.testing.assert_identical(back, ds)
    for name in ds.variables:
        assert back[name].dtype == ds[name].dtype
    if ds.attrs["kind"] != "results":
        nr.validate(back)


@relaxed
@given(
    makers=st.lists(st.sampled_from(KINDS), max_size=8, unique=True),
    value=attr_values,
    seed=st.integers(0, 99),
)
def test_recordings_survive_with_any_attrs(makers, value, seed, tmp_path):
    rng = np.random.default_rng(seed)
    children = list({ds.attrs["kind"]: ds for ds in (make(rng) for make in makers)}.values())
    tree = nr.recording(children, subject="J", free=value)
    back = nr.load(nr.save(tree, tmp_path / "tree.nc"))
    assert same(back.attrs["free"], value)
    assert set(back.children) == {ds.attrs["kind"] for ds in children}
    for ds in children:
        xr.testing.assert_identical(nr.pick(back, ds.attrs["kind"]), ds)


def test_several_of_one_kind_survive(rng, tmp_path):
    tree = nr.recording({"behavior": {"hand": a_behavior(rng), "eye": a_behavior(rng)}})
    back = nr.load(nr.save(tree, tmp_path / "tree.nc"))
    assert nr.names(back) == {"behavior": ["hand", "eye"]}


def test_lazy_load_reads_later(rng, tmp_path):
    ds = a_counts(rng)
    lazy = nr.load(nr.save(ds, tmp_path / "counts.nc"), lazy=True)
    assert not lazy["count"].variable._in_memory
    xr.testing.assert_equal(lazy.load(), ds)
    lazy.close()


def test_save_replaces_only_when_complete(rng, tmp_path, monkeypatch):
    path = nr.save(some_trials(rng), tmp_path / "trials.nc")
    before = path.read_bytes()

    def fail(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(xr.DataTree, "to_netcdf", fail)
    with pytest.raises(OSError, match="disk full"):
        nr.save(a_bold(rng), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["trials.nc"]


def test_damage_is_noticed(rng, tmp_path):
    path = nr.save(nr.counts(rng.poisson(3, (500, 40)), bin_size=0.1), tmp_path / "counts.nc")
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(64)
    path.write_bytes(content)
    with pytest.raises(CorruptFileError, match=r"(?s)counts\.nc.*found"):
        nr.load(path)


def test_no_file_text_file_and_later_version(tmp_path, rng):
    with pytest.raises(FileNotFoundError, match="no such file"):
        nr.load(tmp_path / "none.nc")
    (tmp_path / "text.nc").write_text("not a file of ours")
    with pytest.raises(CorruptFileError, match="cannot read a netCDF4 file"):
        nr.load(tmp_path / "text.nc")
    tree = nr.recording([some_trials(rng)])
    tree.attrs["neurodyn_schema"] = 99
    path = nr.save(tree, tmp_path / "later.nc")
    with pytest.raises(UnsupportedFormatError, match=r"schema 99[\s\S]*upgrade"):
        nr.load(path)
