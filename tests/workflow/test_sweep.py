"""Sweeps over sessions and settings: on a cluster as here, interrupted and gone on with."""

from __future__ import annotations

import json
import multiprocessing
import sys

import numpy as np
import pytest
import xarray as xr
from roi_files import named
from typer.testing import CliRunner

from neurodyn import recording as rec
from neurodyn import workflow
from neurodyn.cli.app import app
from neurodyn.errors import (
    CheckpointCorruptError,
    ConfigError,
    DataError,
    MissingDependencyError,
)
from neurodyn.models.connectome import DynamicConnectome

CELLS = list("abcdefgh")
TINY = DynamicConnectome(
    factorisation__n_restarts=2,
    factorisation__n_sweeps=5,
    communities__family="exponential",
    communities__n_restarts=1,
    communities__n_splits=0,
    communities__max_rounds=1,
).config
GRID = {"rank": [1, 2]}
SETTINGS = [
    part
    for text in (
        "factorisation.n_restarts=2",
        "factorisation.n_sweeps=5",
        "communities.family=exponential",
        "communities.n_restarts=1",
        "communities.n_splits=0",
        "communities.max_rounds=1",
    )
    for part in ("--set", text)
]


def run(*arguments):
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def write(path, seed):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(100, 8)).cumsum(axis=0)
    values[40:60, : 3 + seed % 4] += 8.0
    return rec.save(rec.recording([named(values, CELLS)]), path)


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sessions")
    return [write(folder / f"session{seed:02d}.nc", seed) for seed in range(50)]


@pytest.fixture(scope="module")
def serial(sessions, tmp_path_factory):
    """A sweep over the first sessions, here, one after another, and its folder."""
    folder = tmp_path_factory.mktemp("serial")
    return workflow.sweep(sessions[:4], GRID, folder, config=TINY), folder


@pytest.fixture
def fits(monkeypatch):
    """Count what is fitted."""
    fit, seen = DynamicConnectome.fit, []

    def counted(self, *arguments, **keywords):
        seen.append(self.config.rank)
        return fit(self, *arguments, **keywords)

    monkeypatch.setattr(DynamicConnectome, "fit", counted)
    return seen


def test_the_table_of_a_sweep(serial, sessions):
    table, folder = serial
    assert dict(table.sizes) == {"session": 4, "setting": 2}
    assert table["session"].values.tolist() == [path.stem for path in sessions[:4]]
    assert table["rank"].values.tolist() == [1, 2]
    assert (table["error"][:, 1] < table["error"][:, 0]).all()
    assert ((table["variance_explained"] > 0.2) & (table["variance_explained"] <= 1)).all()
    last = table.isel(session=-1, setting=-1)
    model = DynamicConnectome.load(folder / str(last["session"].item()) / last["setting"].item())
    assert model.config.rank == 2
    assert model.arrays_digest_ == last["checkpoint"].item()
    similarity = model.components_["restart_similarity"].values
    assert float(last["restart_similarity"]) == pytest.approx(similarity.min())
    again = rec.load(rec.save(table, folder / "table.nc"))
    xr.testing.assert_identical(again, table)


def alone(path):
    """Return what a session comes to by itself under each setting: no sweep, no run folder."""
    traces = workflow.open_traces(path).traces
    for rank in GRID["rank"]:
        model = DynamicConnectome(TINY, rank=rank).fit(traces)
        components = model.components_
        is_best = components["restart"].values == components.attrs["best_restart"]
        yield {
            "session": path.stem,
            "rank": rank,
            "checkpoint": model.arrays_digest_,
            "error": components.attrs["error"],
            "restart_similarity": components["restart_similarity"].values[~is_best].item(),
            "n_communities": components["n_communities"].values.mean(),
            "variance_explained": float(model.score(traces)["variance_explained"]),
        }


def test_fifty_sessions_on_two_workers_are_as_here(serial, sessions, tmp_path, monkeypatch, capfd):
    """Through the command line, whose numbers as JSON are exact, on a real cluster of processes."""
    pytest.importorskip("dask.distributed")
    monkeypatch.chdir(tmp_path)
    options = ["--folder", "sweep", "--vary", "rank=1,2", *SETTINGS, "--workers", 2, "--json"]
    rows = json.loads(run("sweep", *sessions, *options))
    expected = [row for path in sessions for row in alone(path)]
    assert [{name: row[name] for name in one} for row, one in zip(rows, expected)] == expected
    assert len(rows) == 100
    here = serial[0].to_dataframe().reset_index().to_dict("records")
    assert rows[: len(here)] == here
    assert multiprocessing.active_children() == []
    assert [path.name for path in tmp_path.iterdir()] == ["sweep"]
    assert len([*(tmp_path / "sweep").glob("*/*/manifest.json")]) == 100
    assert capfd.readouterr().err == ""


class Inline:
    """What a sweep needs of a client."""

    def map(self, function, jobs, pure):
        assert not pure
        return [function(job) for job in jobs]

    def gather(self, rows):
        return rows


def test_any_client_will_do(serial, sessions, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "dask.distributed", None)
    found = workflow.sweep(sessions[:1], GRID, tmp_path, config=TINY, client=Inline())
    xr.testing.assert_identical(found, serial[0].isel(session=slice(1)))


def test_an_interrupted_sweep_goes_on(serial, sessions, tmp_path, monkeypatch, fits):
    save, saved = DynamicConnectome.save, []

    def killed(self, folder):
        if len(saved) == 3:
            # half of a run: no manifest yet
            (folder / "model.safetensors").parent.mkdir(parents=True)
            (folder / "model.safetensors").write_bytes(b"half")
            raise KeyboardInterrupt
        saved.append(folder)
        return save(self, folder)

    monkeypatch.setattr(DynamicConnectome, "save", killed)
    with pytest.raises(KeyboardInterrupt):
        workflow.sweep(sessions[:3], GRID, tmp_path, config=TINY)
    monkeypatch.setattr(DynamicConnectome, "save", save)
    assert fits == [1, 2, 1, 2]
    fits.clear()
    found = workflow.sweep(sessions[:3], GRID, tmp_path, config=TINY)
    # the one that was killed, and the two after it
    assert fits == [2, 1, 2]
    xr.testing.assert_identical(found, serial[0].isel(session=slice(3)))
    fits.clear()
    more = workflow.sweep(sessions[:4], {"rank": [2, 1, 3]}, tmp_path, config=TINY)
    # the fourth session, and the third setting of all
    assert sorted(fits) == [1, 2, 3, 3, 3, 3]
    np.testing.assert_array_equal(
        more["checkpoint"].sel(setting=found["setting"], session=found["session"]),
        found["checkpoint"],
    )


def test_changed_data_are_fitted_again(tmp_path, fits):
    paths = [write(tmp_path / f"s{seed}.nc", seed) for seed in (0, 1)]
    first = workflow.sweep(paths, {}, tmp_path / "sweep", config=TINY)
    write(paths[1], 7)
    fits.clear()
    second = workflow.sweep(paths, {}, tmp_path / "sweep", config=TINY)
    assert len(fits) == 1
    same = first["checkpoint"].values == second["checkpoint"].values
    assert same.tolist() == [[True], [False]]


def test_a_damaged_run_is_not_taken(tmp_path):
    path = write(tmp_path / "s.nc", 0)
    workflow.sweep([path], {}, tmp_path / "sweep", config=TINY)
    (weights,) = (tmp_path / "sweep").glob("*/*/model.safetensors")
    weights.write_bytes(b"other")
    with pytest.raises(
        CheckpointCorruptError,
        match=r"changed since they were written \(at session s, [\s\S]*model.safetensors",
    ):
        workflow.sweep([path], {}, tmp_path / "sweep", config=TINY)


def test_impossible_sweeps_are_refused(sessions, tmp_path):
    first = sessions[0]
    for paths, grid, message in (
        ([], GRID, "different names and values"),
        ([first], {"rank": []}, "different names and values"),
        ([first, tmp_path / "session00.csv"], GRID, r"found: 2 sessions, 1 names"),
        ([first], {"rank": [2, 2]}, "has the same settings twice"),
        ([first], {"rnk": [2]}, "did you mean 'rank'"),
        ([first], {"affinity.bandwith": [2]}, "did you mean 'bandwidth'"),
        ([first], {"rank": [0]}, "a connectome needs a rank from 1"),
    ):
        with pytest.raises(ConfigError, match=message):
            workflow.sweep(paths, grid, tmp_path / "sweep", config=TINY)
    assert not (tmp_path / "sweep").exists()


def test_a_faulty_session_is_named(sessions, tmp_path):
    values = np.random.default_rng(0).normal(size=(100, 8)).cumsum(axis=0)
    values[3, 2] = np.nan
    path = rec.save(rec.recording([named(values, CELLS)]), tmp_path / "holed.nc")
    with pytest.raises(DataError, match=r"\(at session holed, animal 0, roi c\)"):
        workflow.sweep([path], {}, tmp_path / "sweep", config=TINY)
    with pytest.raises(FileNotFoundError, match="no such file"):
        workflow.sweep([tmp_path / "none.nc"], {}, tmp_path / "sweep", config=TINY)


def test_workers_need_dask(sessions, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "dask.distributed", None)
    with pytest.raises(MissingDependencyError, match=r"dask.distributed[\s\S]*neurodyn\[dask\]"):
        workflow.sweep(sessions[:1], {}, tmp_path, config=TINY, n_workers=2)


def test_values_none_among_numbers_are_text(sessions, tmp_path):
    grid = workflow.grid_of(["affinity.smoothing=none,1"])
    found = workflow.sweep(sessions[:1], grid, tmp_path, config=TINY)
    assert found["affinity_smoothing"].values.tolist() == ["None", "1.0"]
    rec.save(found, tmp_path / "table.nc")


def test_the_command_line(serial, sessions, tmp_path):
    arguments = ["sweep", *sessions[:2], "--folder", tmp_path, *SETTINGS, "--vary", "rank=1,2"]
    lines = run(*arguments).splitlines()
    assert lines[0].split()[:3] == ["session", "setting", "variance_explained"]
    assert lines[0].split()[-1] == "rank"
    assert [line.split()[0] for line in lines[1:]] == ["session00"] * 2 + ["session01"] * 2
    rows = json.loads(run(*arguments, "--json"))
    expected = serial[0].isel(session=slice(2))
    assert [row["checkpoint"] for row in rows] == expected["checkpoint"].values.ravel().tolist()
    assert [row["rank"] for row in rows] == [1, 2, 1, 2]
    with pytest.raises(ConfigError, match="a setting is key=value"):
        run("sweep", sessions[0], "--vary", "rank")
