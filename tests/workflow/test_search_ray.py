"""Searches on a Ray cluster of two nodes: workers die, the head dies, the result is the same."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import search_cluster
import search_data
import xarray as xr

from neurodyn import recording as rec
from neurodyn.errors import NeurodynError
from neurodyn.workflow import search_ray

pytest.importorskip("ray.tune")
SCRIPT = Path(search_cluster.__file__)
QUIET = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}


def start(*arguments, **streams):
    command = [sys.executable, SCRIPT, *map(str, arguments)]
    return subprocess.Popen(command, env=QUIET, text=True, **streams)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """The address of a cluster of two nodes with one core each."""
    log = (tmp_path_factory.mktemp("cluster") / "log").open("w")
    with (
        log,
        start("cluster", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log) as process,
    ):
        yield process.stdout.readline().strip()
        process.stdin.close()


@contextlib.contextmanager
def searching(folder, address, method):
    """Have a search run in a process of its own; it ends with the block."""
    with (folder.parent / f"{folder.name}.log").open("a") as log:
        process = start("search", folder, address, method, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def wait_for(found, seconds=90):
    """Wait until something is there, and return it."""
    end = time.monotonic() + seconds
    while not (answer := found()):
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.01)
    return answer


def workers(folder):
    """Return the processes that train trials with a checkpoint behind them."""
    pids = []
    for lock in folder.glob("trials/*/run.lock"):
        if [*lock.parent.glob("state/step-*[1-9]*/manifest.json")]:
            with contextlib.suppress(OSError, ValueError):
                pids.append(json.loads(lock.read_text())["pid"])
    return pids


def n_rows(folder, kind):
    path = folder / "lineage.jsonl"
    return path.read_text().count(f'"kind": "{kind}"') if path.exists() else 0


def test_a_killed_worker_and_a_killed_head_change_nothing(cluster, tmp_path):
    expected = search_cluster.run(tmp_path / "here", "random")
    folder = tmp_path / "there"
    with searching(folder, cluster, "random") as head:
        os.kill(wait_for(lambda: workers(folder))[0], signal.SIGKILL)
        wait_for(lambda: n_rows(folder, "report"))
        # trials are half-way now
        wait_for(lambda: workers(folder))
        head.kill()
    n_ended = n_rows(folder, "end")
    assert n_ended < 4
    with searching(folder, cluster, "random") as head:
        code = head.wait(120)
    said = (tmp_path / "there.log").read_text()
    assert code == 0, said
    # of Ray, that a worker died; nothing else
    assert "A worker died" in said
    assert "Traceback" not in said
    xr.testing.assert_identical(rec.load(folder / "results.nc"), expected)
    here = tmp_path / "here" / "trials"
    last = [*here.glob("*/history.jsonl"), *here.glob("*/state/step-00000060/tensors.safetensors")]
    assert len(last) == 8
    for path in last:
        assert (folder / "trials" / path.relative_to(here)).read_bytes() == path.read_bytes()
    # nothing of Ray's is kept
    assert [*folder.rglob("*.pkl")] == []
    lines = (folder / "lineage.jsonl").read_text()
    assert lines.count('"kind": "report"') == expected["curve"].size
    assert lines.count('"kind": "end"') == 4


@pytest.mark.slow
@pytest.mark.parametrize("method", ["asha", "pbt"])
def test_other_searches_on_the_cluster(cluster, tmp_path, method):
    folder = tmp_path / "there"
    with searching(folder, cluster, method) as head:
        assert head.wait(300) == 0
    found = rec.load(folder / "results.nc")
    assert found["status"].values[0] == "finished"
    if method == "pbt":
        xr.testing.assert_identical(found, search_cluster.run(tmp_path / "here", method))


class Searcher:
    """What Ray Tune has for searchers, without Ray."""

    FINISHED = "FINISHED"


class Tune:
    """What the executor needs of Ray Tune: one thing after another, some of it going wrong."""

    def __init__(self, *, deaths=(), interrupted=99):
        self.deaths, self.interrupted = {*deaths}, interrupted
        self.search = SimpleNamespace(Searcher=Searcher)

    def with_resources(self, task, resources):
        self.task, self.resources = task, resources
        return task

    def TuneConfig(self, **options):
        return options

    RunConfig = FailureConfig = TuneConfig

    def Tuner(self, task, tune_config, run_config):
        return SimpleNamespace(fit=lambda: self.fit(task, tune_config["search_alg"]))

    def fit(self, task, jobs):
        for number in range(self.interrupted):
            config = jobs.suggest(str(number))
            if config == "FINISHED":
                return
            waiting = jobs.suggest("another")
            assert waiting is None
            if number in self.deaths:
                jobs.on_trial_complete(str(number), error=True)
            else:
                jobs.on_trial_complete(str(number), json.loads(json.dumps(task(config))))


@pytest.fixture
def stubbed(monkeypatch):
    def use(**changes):
        tune = Tune(**changes)

        @contextlib.contextmanager
        def cluster(n_workers, address):
            yield SimpleNamespace(tune=tune)

        monkeypatch.setattr(search_ray, "_cluster", cluster)
        return tune

    return use


def searched(folder):
    return search_data.run(folder, n_trials=2, cluster="somewhere", gpus_per_trial=0.25)


def test_several_trials_on_one_gpu(stubbed, tmp_path):
    tune = stubbed()
    assert set(searched(tmp_path)["status"].values) == {"finished"}
    assert tune.resources == {"cpu": 1, "gpu": 0.25}


def test_a_worker_that_dies_again_and_again(stubbed, tmp_path):
    stubbed(deaths=[1])
    expected = r"a trial cannot go on \(at trial 1\)[\s\S]*died more than 3 times[\s\S]*goes on"
    with pytest.raises(NeurodynError, match=expected):
        searched(tmp_path)
    stubbed()
    assert set(searched(tmp_path)["status"].values) == {"finished"}


def test_an_error_in_a_worker_is_not_tried_again(stubbed, tmp_path, monkeypatch):
    stubbed()
    with monkeypatch.context() as patched:
        patched.setattr(search_ray, "run_job", lambda job: 1 / 0)
        with pytest.raises(NeurodynError, match=r"at trial 0\)[\s\S]*found: ZeroDivisionError"):
            searched(tmp_path)
    assert n_rows(tmp_path, "end") == 0


def test_ctrl_c_stops_no_trial_for_good(stubbed, tmp_path):
    stubbed(interrupted=1)
    with pytest.raises(KeyboardInterrupt):
        searched(tmp_path)
    assert (n_rows(tmp_path, "end"), n_rows(tmp_path, "start")) == (1, 1)
    stubbed()
    assert set(searched(tmp_path)["status"].values) == {"finished"}
