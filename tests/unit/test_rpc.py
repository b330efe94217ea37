"""Errors survive the wire."""

from __future__ import annotations

import grpc
import pytest

from rigmesh import errors
from rigmesh.rpc import error_of, failure_of, status_of

CLASSES = [
    value
    for value in vars(errors).values()
    if isinstance(value, type) and issubclass(value, errors.RigmeshError)
]


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_keeps_its_class_and_message(kind: type[errors.RigmeshError]) -> None:
    arrived = error_of(failure_of(kind("what happened")))

    assert type(arrived) is kind
    assert str(arrived) == "what happened"
    assert grpc.StatusCode[status_of(arrived)]


def test_a_node_error_keeps_where_it_happened() -> None:
    error = errors.NodeError("m", host="h", node="n", hook="process", traceback="Traceback: x")

    arrived = error_of(failure_of(error))

    assert isinstance(arrived, errors.NodeError)
    assert (arrived.host, arrived.node, arrived.hook) == ("h", "n", "process")
    assert "Traceback: x" in str(arrived)


def test_an_error_that_is_not_ours_arrives_as_the_daemons_with_its_traceback() -> None:
    try:
        raise ZeroDivisionError("by nought")
    except ZeroDivisionError as error:
        arrived = error_of(failure_of(error, host="amp-pc"))

    assert type(arrived) is errors.DaemonError
    assert "by nought (on amp-pc)" in str(arrived)
    assert "Traceback" in str(arrived)


def test_the_tree_in_the_docstring_names_every_class() -> None:
    assert all(kind.__name__ in (errors.__doc__ or "") for kind in CLASSES)
