import pytest
import torch

from neurodyn.errors import ConfigError
from neurodyn.kernels import dispatch
from neurodyn.kernels.dispatch import choose, forced, recorded

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def test_device_decides_and_what_triton_cannot_serve_goes_to_torch():
    assert choose("scan", CPU) == "torch"
    assert choose("scan", CUDA) == "triton"
    assert choose("scan", CUDA, obstacle="hidden size 280") == "torch"


@pytest.mark.parametrize("route", ["torch", "reference"])
def test_a_forced_route_is_taken_everywhere_and_ends_with_the_block(route):
    with forced(route):
        assert choose("scan", CUDA) == choose("scan", CPU) == route
    assert choose("scan", CPU) == "torch"


def test_triton_can_be_forced_where_its_interpreter_runs(monkeypatch):
    with forced("triton"):
        assert choose("scan", CPU) == "triton"
        monkeypatch.delenv("TRITON_INTERPRET")
        with pytest.raises(ConfigError, match=r"scan cannot run in Triton.*\n.*needs cuda"):
            choose("scan", CPU)


def test_forcing_triton_names_the_obstacle():
    with forced("triton"), pytest.raises(ConfigError, match="hidden size 280"):
        choose("scan", CUDA, obstacle="hidden size 280")


def test_unknown_routes_are_refused():
    with pytest.raises(ConfigError, match="cudnn"), forced("cudnn"):
        pass


def test_routes_are_recorded_by_operation():
    with recorded() as outer:
        choose("scan", CPU)
        with recorded() as inner, forced("reference"):
            choose("attention", CPU)
    assert outer == {"scan": "torch"}
    assert inner == {"attention": "reference"}


def test_without_the_package_everything_runs_in_torch(monkeypatch):
    monkeypatch.setattr(dispatch, "_has_triton", lambda: False)
    assert choose("scan", CUDA) == "torch"
    with forced("triton"), pytest.raises(ConfigError, match=r"neurodyn\[gpu\]"):
        choose("scan", CUDA)
