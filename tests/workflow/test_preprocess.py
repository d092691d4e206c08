"""Many sessions through the same steps: finished ones are kept, faulty ones listed."""

from __future__ import annotations

import json

import numpy as np
import pytest
import xarray as xr
from typer.testing import CliRunner

from neurodyn import recording as rec
from neurodyn import workflow
from neurodyn.cli.app import app
from neurodyn.errors import ConfigError
from neurodyn.transforms import align, bin_spikes, select_units
from neurodyn.workflow.preprocess import step_of

BIN = "bin_spikes bin_size=0.02"


def write(folder, name, seed=0):
    """Simulate a session with spikes, trials and a behavior."""
    rng = np.random.default_rng(seed)
    units = {f"unit {i}": np.sort(rng.uniform(0, 4, 40)) for i in range(3)}
    start = np.arange(4.0)
    children = [
        rec.spikes_from_units(
            units, observed=[[0.0, 4.0]], unit_columns={"area": ["M1", "PMd", "M1"]}
        ),
        rec.trials(start, start + 0.9),
        rec.behavior(rng.normal(size=(40, 2)), time=np.arange(40) / 10, feature=["x", "y"]),
    ]
    return rec.save(rec.recording(children, subject=f"animal {seed}"), folder / f"{name}.nc")


@pytest.fixture
def sessions(tmp_path):
    return [write(tmp_path, f"session{seed}", seed) for seed in range(2)]


def test_each_session_is_what_the_steps_by_hand_make_of_it(sessions, tmp_path):
    steps = ["select_units query=\"area == 'M1'\"", BIN]
    found = workflow.preprocess(sessions, steps, tmp_path / "made")
    assert found["session"].values.tolist() == ["session0", "session1"]
    assert found["status"].values.tolist() == ["done", "done"]
    for source, path in zip(sessions, found["file"].values):
        made, whole = rec.load(path), rec.load(source)
        expected = bin_spikes(select_units(whole, "area == 'M1'"), 0.02)
        xr.testing.assert_identical(rec.pick(made, "counts"), expected)
        assert sorted(made.children) == ["behavior", "counts", "trials"]
        assert made.attrs["subject"] == whole.attrs["subject"]
        xr.testing.assert_identical(rec.pick(made, "behavior"), rec.pick(whole, "behavior"))


def test_alignment_takes_the_trials_of_the_session(sessions, tmp_path):
    step = "align event=start window=[0,0.5] bin_size=0.05"
    found = workflow.preprocess(sessions[:1], [step], tmp_path / "made")
    made = rec.load(found["file"].item())
    expected = align(rec.load(sessions[0]), window=(0, 0.5), bin_size=0.05)
    np.testing.assert_array_equal(rec.pick(made, "counts")["count"], expected["count"])


def test_on_a_cluster_the_files_and_the_table_are_the_same(sessions, tmp_path):
    distributed = pytest.importorskip("dask.distributed")
    here = workflow.preprocess(sessions, [BIN], tmp_path / "here")
    # in this process: workers of their own load the whole package, which test_sweep tries
    local = {"n_workers": 2, "threads_per_worker": 1, "processes": False}
    with (
        distributed.LocalCluster(**local, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        there = workflow.preprocess(sessions, [BIN], tmp_path / "there", client=client)
    assert there["status"].values.tolist() == ["done", "done"]
    for one, two in zip(here["file"].values, there["file"].values):
        xr.testing.assert_identical(rec.load(one), rec.load(two))


def test_a_finished_session_is_kept_until_the_file_or_the_steps_change(sessions, tmp_path):
    def status(step=BIN, **how):
        found = workflow.preprocess(sessions, [step], tmp_path / "made", **how)
        return found["status"].values.tolist()

    assert status() == ["done", "done"]
    assert status() == ["kept", "kept"]
    write(tmp_path, "session1", seed=7)
    assert status() == ["kept", "done"]
    assert status("bin_spikes bin_size=0.05") == ["done", "done"]
    assert status("bin_spikes bin_size=0.05", on_bad="fix") == ["done", "done"]
    (tmp_path / "made" / "session0.nc").write_bytes(b"half a file")
    assert status("bin_spikes bin_size=0.05", on_bad="fix") == ["done", "kept"]


def test_a_faulty_session_is_listed_and_ends_nothing(sessions, tmp_path):
    bad = tmp_path / "bad.nc"
    bad.write_bytes(b"no recording")
    no_spikes = rec.save(rec.recording([rec.trials([0.0], [1.0])]), tmp_path / "trials.nc")
    missing = tmp_path / "missing.nc"
    files = [bad, sessions[0], no_spikes, missing]
    found = workflow.preprocess(files, [BIN], tmp_path / "made")
    assert found["status"].values.tolist() == ["faulty", "done", "faulty", "faulty"]
    faults = found["fault"].values.tolist()
    assert "bad.nc" in faults[0]
    assert faults[1] == ""
    assert "the recording has no spikes" in faults[2]
    assert "missing.nc" in faults[3]
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["session0.nc"]


def test_counts_are_not_overwritten_by_counts(tmp_path):
    spikes = rec.spikes_from_units({"a": [0.1]}, observed=[[0.0, 1.0]])
    counts = rec.counts(np.ones((5, 1)), bin_size=0.02)
    path = rec.save(rec.recording([spikes, counts]), tmp_path / "both.nc")
    found = workflow.preprocess([path], [BIN], tmp_path / "made")
    assert "the recording has counts already" in found["fault"].item()


@pytest.mark.parametrize(
    ("step", "text"),
    [
        ("bin_spike", "did you mean 'bin_spikes'"),
        ("bin_spikes bin_sise=0.02", "did you mean 'bin_size'"),
        ("bin_spikes data=x", "takes no 'data'"),
        ("bin_spikes 0.02", "a setting is key=value"),
        ("", "invalid value for step"),
    ],
)
def test_a_step_that_makes_no_sense_is_refused_before_any_work(step, text, sessions, tmp_path):
    with pytest.raises(ConfigError) as caught:
        workflow.preprocess(sessions, [step], tmp_path / "made")
    assert text in str(caught.value)
    assert not (tmp_path / "made").exists()


def test_sessions_that_would_hide_each_other_are_refused(sessions, tmp_path):
    with pytest.raises(ConfigError, match="sessions need different names"):
        workflow.preprocess([sessions[0], sessions[0]], [BIN], tmp_path / "made")
    with pytest.raises(ConfigError, match="sessions need different names"):
        workflow.preprocess([], [BIN], tmp_path / "made")
    with pytest.raises(ConfigError, match="sessions would be overwritten"):
        workflow.preprocess(sessions, [BIN], tmp_path)


def test_steps_of_text():
    step = step_of("align event=go window=[-0.2,0.5]")
    assert step == ("align", {"event": "go", "window": [-0.2, 0.5]})


def test_the_command_lists_sessions_and_ends_with_3_if_one_is_faulty(sessions, tmp_path):
    arguments = ["preprocess", *sessions, "--step", BIN, "--folder", tmp_path / "made"]
    done = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert done.exit_code == 0
    assert done.output.splitlines()[1].split() == ["session0", "done"]
    (tmp_path / "bad.nc").write_bytes(b"no recording")
    arguments = [*arguments, tmp_path / "bad.nc", "--json"]
    done = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert done.exit_code == 3
    rows = json.loads(done.output)
    assert [row["status"] for row in rows] == ["kept", "kept", "faulty"]
