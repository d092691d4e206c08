"""What a report says of a dynamic connectome: a sentence for each component, and its sections."""

from __future__ import annotations

import numpy as np
import pytest

from neurodyn import recording as rec
from neurodyn.models.connectome import block_activity
from neurodyn.report.connectome import connectome_sections, sentence
from neurodyn.report.run import Run

CELLS = [f"c{number:02d}" for number in range(12)]


def components(community=(0, 1), n_animals=3, n_nodes=4, **more):
    """Two components; the first peaks at 20 s, the second at 5 s; weights grow with the label."""
    label = np.asarray(community)[np.arange(n_nodes) % len(community)]
    alive = label >= 0
    pair = (label[:, None] == label) * (1.0 + label) * ~np.eye(n_nodes, dtype=bool) + 0.1
    pair = np.where(alive[:, None] & alive, pair, np.nan)
    np.fill_diagonal(pair, 0.0)
    time = np.arange(0.0, 40.0, 5.0)
    animal = np.ones((2, n_animals))
    n_communities = int(label.max()) + 1
    results = rec.results(
        {
            "strength": ("component", [3.0, 1.0]),
            "pair_factor": (("component", "roi", "roi_to"), np.stack([pair, pair])),
            "time_factor": (("component", "time"), np.eye(8)[[4, 1]]),
            "animal_factor": (("component", "animal"), animal),
            "participation": ("component", [2.25, 1.0]),
            "community": (("component", "roi"), np.stack([label, label])),
            "n_communities": ("component", [n_communities] * 2),
            "description_length": ("component", [10.0, np.nan]),
            "description_length_one": ("component", [22.5, np.nan]),
            "family": ("component", ["lognormal", "exponential"]),
        },
        {
            "component": ["1", "2"],
            "roi": CELLS[:n_nodes],
            "roi_to": CELLS[:n_nodes],
            "time": time,
            "animal": [f"worm{number}" for number in range(n_animals)],
        },
    )
    results["block_activity"] = block_activity(results)
    return results.assign(more)


def attribution(index=((4.0, 1.1), (0.5, 1.0)), q_value=((0.003, 0.6), (0.4, 0.8))):
    dims = ("component", "stimulus")
    return {"stimulus_index": (dims, np.array(index)), "q_value": (dims, np.array(q_value))}


def with_stimuli(results, **changes):
    return results.assign(attribution(**changes)).assign_coords(stimulus=["salt", "odor"])


def test_several_communities_without_stimuli_in_one_animal():
    assert sentence(components(n_animals=1), "1") == (
        "Component 1 (75% of the strengths) falls into 2 communities; the most tightly bound is"
        " c01, c03; it peaks at 20 s; no stimulus was tested."
    )


def test_one_community_in_several_animals():
    assert sentence(components(community=(0,)), "2") == (
        "Component 2 (25% of the strengths) has no communities: its graph is explained best as"
        " one whole; it peaks at 5 s; no stimulus was tested; it spreads over 1.0 of 3 animals."
    )


def test_stimuli_that_it_follows_and_those_that_it_does_not():
    results = with_stimuli(components(), q_value=((0.003, 0.6), (0.4, 0.05)))
    assert sentence(results, "1").endswith(
        "; it follows salt (4.0 times as strong, q = 0.003); it spreads over 2.2 of 3 animals."
    )
    assert "; no stimulus accounts for it; it spreads" in sentence(results, "2")
    both = with_stimuli(components(), q_value=((0.003, 0.04), (0.4, 0.8)))
    assert "it follows salt (4.0 times as strong, q = 0.003) and odor (1.1" in sentence(both, "1")


def test_a_component_that_is_silent_elsewhere():
    results = with_stimuli(components(), index=((np.inf, 1.0), (1.0, 1.0)))
    assert "it follows salt (at no other time, q = 0.003)" in sentence(results, "1")


def test_the_part_of_the_experiment_is_said():
    results = components().assign_coords(segment=("time", ["before"] * 4 + ["salt"] * 4))
    assert "it peaks at 20 s, in the part 'salt';" in sentence(results, "1")
    assert "it peaks at 5 s, in the part 'before';" in sentence(results, "2")


def test_many_members_are_shortened():
    found = sentence(components(community=(0, 0, 0, 0, 0, 1), n_nodes=12), "1")
    assert "the most tightly bound is c05, c11;" in found
    found = sentence(components(community=(1, 1, 1, 1, 1, 0), n_nodes=12), "1")
    assert "c00, c01, c02, c03, c04, c06, c07, c08 and 2 more;" in found


def test_cells_of_no_community_are_not_named():
    found = sentence(components(community=(0, 1, -1, 1)), "1")
    assert "falls into 2 communities; the most tightly bound is c01, c03;" in found


def test_communities_of_one_node_bind_nothing():
    found = sentence(components(community=(0, 1, 2, 3)), "1")
    assert "falls into 4 communities, each of one node; it peaks" in found


def test_an_empty_component():
    results = components().assign(strength=("component", [3.0, 0.0]))
    assert sentence(results, "2") == "Component 2 is empty: fewer components explain as much."


def run(results, **others):
    return Run("run", results, {}, [], {}, "", others)


def test_sections_follow_what_there_is():
    titles = [section.title for section in connectome_sections(run(components()))]
    assert titles == ["What was found", "Components of 4 nodes"]
    scan = rec.results({"error": (("rank", "restart"), [[0.5]])}, {"rank": [1]})
    stages = rec.results({}, {"stage": ["a"]})
    whole = run(with_stimuli(components()), rank_scan=scan, stages=stages)
    titles = [section.title for section in connectome_sections(whole)]
    assert titles[2:] == ["How many components", "Stages of the experiment", "Stimuli"]
    assert connectome_sections(run(rec.results({"rate": ("time", [0.0])}))) == []


def test_the_table_of_components():
    (table,) = connectome_sections(run(components()))[0].tables
    assert table.rows == [
        ("1", "3", 2, "lognormal", "12.5", "2.25"),
        ("2", "1", 2, "exponential", "–", "1.00"),
    ]


def test_components_that_follow_a_stimulus_are_marked():
    section = connectome_sections(run(with_stimuli(components())))[-1]
    (table,) = section.tables
    assert table.head == ("component", "salt", "odor")
    assert table.rows[0] == ("1", "4.00 (q = 0.003)", "1.10 (q = 0.6)")
    assert table.marked == [0]


@pytest.mark.parametrize(("n_stages", "n_drawings"), [(1, 1), (2, 2)])
def test_one_stage_has_no_flow(n_stages, n_drawings):
    stages = rec.results({}, {"stage": [str(number) for number in range(n_stages)]})
    section = connectome_sections(run(components(), stages=stages))[-1]
    assert len(section.drawings) == n_drawings
