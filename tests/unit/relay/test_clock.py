"""The mapping of one clock onto another, and of that onto a third."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rigmesh.relay.clock import composed
from rigmesh.streams import IDENTITY, ClockModel

models = st.builds(
    ClockModel,
    st.floats(-1e6, 1e6),
    st.floats(-1e-3, 1e-3),
    st.floats(-1e6, 1e6),
    st.floats(0, 1),
)


@settings(deadline=None)
@given(models, models, st.floats(-1e6, 1e6))
def test_a_composed_model_maps_as_one_after_the_other(
    first: ClockModel, second: ClockModel, raw: float
) -> None:
    both = composed(first, second)

    assert both.to_local(raw) == pytest.approx(second.to_local(first.to_local(raw)), abs=1e-7)
    assert both.uncertainty == pytest.approx(first.uncertainty + second.uncertainty)


@settings(deadline=None)
@given(models)
def test_nothing_is_added_by_the_clock_of_the_same_machine(model: ClockModel) -> None:
    raw = np.array([0.0, 123.456, 1e6])

    mapped = composed(model, IDENTITY)

    np.testing.assert_allclose(mapped.to_local(raw), model.to_local(raw), atol=1e-7)
    assert composed(IDENTITY, model) is model
