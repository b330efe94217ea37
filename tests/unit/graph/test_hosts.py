"""A graph on several machines is one part for each, and one graph again."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rigmesh.errors import GraphError
from rigmesh.graph import GraphSpec
from rigmesh.graph.hosts import joined, split_by_host
from rigmesh.graph.loader import dump_graph, parse_graph
from rigmesh.names import RELAY

AMP, REC = "10.0.0.1:5678", "10.0.0.2:5678"
ADDRESSES = {"amp": AMP, "rec": REC, "": "10.0.0.9:5678"}
TEXT = f"""
rigmesh: 1
hosts: {{amp: "{AMP}", rec: "{REC}"}}
groups:
  work: {{host: rec, deadline: 5 ms}}
nodes:
  eeg: {{type: sim.EEG, host: amp}}
  alpha: {{type: filters.BandPass, host: amp, inputs: {{signal: eeg}}, params: {{low: 8}}}}
  spikes: {{type: spikes.SpikeDetector, group: work, inputs: {{signal: eeg.signal}}}}
  file:
    type: record.HDF5Recorder
    group: work
    inputs: {{streams: [eeg.signal, alpha.filtered, spikes.events]}}
    params: {{path: x.h5}}
  view: {{type: view.Scope, inputs: {{signal: eeg.signal}}}}
aliases:
  low: alpha.low
"""


def test_what_crosses_gets_one_relay_where_it_arrives() -> None:
    parts = split_by_host(parse_graph(TEXT), ADDRESSES)

    assert set(parts) == {"amp", "rec", ""}
    assert set(parts["amp"].nodes) == {"eeg", "alpha"}
    assert set(parts["rec"].nodes) == {"spikes", "file", "eeg-signal", "alpha-filtered"}
    assert set(parts[""].nodes) == {"view", "eeg-signal"}
    relay = parts["rec"].nodes["eeg-signal"]
    assert relay.type == RELAY
    assert (relay.params["address"], relay.params["stream"]) == (AMP, "eeg.signal")
    assert parts["rec"].nodes["file"].inputs["streams"] == (
        "eeg-signal.relayed", "alpha-filtered.relayed", "spikes.events"
    )  # fmt: skip


def test_groups_and_aliases_go_with_their_nodes() -> None:
    parts = split_by_host(parse_graph(TEXT), ADDRESSES)

    assert parts["rec"].groups["work"].deadline == 0.005
    assert "work" not in parts["amp"].groups
    assert set(parts["amp"].aliases) == {"low"}
    assert not parts["rec"].aliases
    assert all(node.host == "" for part in parts.values() for node in part.nodes.values())


def test_the_parts_make_the_whole_again() -> None:
    graph = parse_graph(TEXT)

    whole = joined(split_by_host(graph, ADDRESSES), ADDRESSES)

    assert whole.nodes["file"].inputs["streams"] == (
        "eeg.signal", "alpha.filtered", "spikes.events"
    )  # fmt: skip
    assert whole.hosts == graph.hosts
    assert dict(whole.nodes) == dict(graph.nodes)
    assert parse_graph(dump_graph(whole)) == whole


@given(st.lists(st.sampled_from(["", "amp", "rec"]), min_size=1, max_size=6))
def test_any_placement_of_a_chain_can_be_split_and_joined(places: list[str]) -> None:
    lines = ["rigmesh: 1", f'hosts: {{amp: "{AMP}", rec: "{REC}"}}', "nodes:"]
    for k, host in enumerate(places):
        inputs = f"inputs: {{signal: n{k - 1}.out}}" if k else "inputs: {}"
        lines.append(f'  n{k}: {{type: x.Y, host: "{host}", {inputs}}}')
    graph = parse_graph("\n".join(lines))

    parts = split_by_host(graph, ADDRESSES)

    assert dict(joined(parts, ADDRESSES).nodes) == dict(graph.nodes)
    crossings = sum(a != b for a, b in itertools.pairwise(places))
    relays = [n for part in parts.values() for n in part.nodes.values() if n.type == RELAY]
    assert len(relays) == crossings


def test_a_graph_of_one_machine_is_left_as_it_is() -> None:
    graph = parse_graph("rigmesh: 1\nnodes: {a: {type: sim.EEG}, b: {type: x.Y, inputs: {i: a}}}")

    (part,) = split_by_host(graph, {"": ""}).values()

    assert dict(part.nodes) == dict(graph.nodes)


def test_a_stream_of_a_machine_without_an_address_is_refused_in_words() -> None:
    graph = parse_graph(
        f'rigmesh: 1\nhosts: {{amp: "{AMP}"}}\n'
        "nodes: {a: {type: x.Y}, b: {type: x.Z, host: amp, inputs: {i: a.out}}}"
    )

    with pytest.raises(GraphError, match=r"nodes\.b\.inputs\.i: .* this machine, .*listen"):
        split_by_host(graph, {"": "", "amp": AMP})


def test_a_relay_does_not_take_the_name_of_a_node() -> None:
    graph = parse_graph(
        f'rigmesh: 1\nhosts: {{amp: "{AMP}"}}\n'
        "nodes: {a: {type: x.Y, host: amp}, a-out: {type: x.Y}, b: {type: x.Z, inputs: {i: a.out}}}"
    )

    with pytest.raises(GraphError, match="would be called a-out"):
        split_by_host(graph, ADDRESSES)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nodes: {a: {type: x.Y, host: amp}}", r"nodes\.a\.host: .*'amp'"),
        ("groups: {g: {host: amp}}\nnodes: {a: {type: x.Y}}", r"groups\.g\.host: .*'amp'"),
        (
            f'hosts: {{amp: "{AMP}", rec: "{REC}"}}\ngroups: {{g: {{host: amp}}}}\n'
            "nodes: {a: {type: x.Y, group: g, host: rec}}",
            r"nodes\.a\.host: rec, but its group g is on amp",
        ),
    ],
)
def test_a_mistake_about_hosts_is_named(text: str, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        parse_graph(f"rigmesh: 1\n{text}")


def test_an_empty_fleet_has_an_empty_graph() -> None:
    assert joined({"": GraphSpec()}, {"": ""}) == GraphSpec()
