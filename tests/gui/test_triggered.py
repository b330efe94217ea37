"""The triggered oscilloscope: known signals in, what is drawn looked at."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.gui.triggered_rig import INFO, RATE, TRIGGERS, Rig, responses, sweeps, values

from rigmesh.errors import ParameterError
from rigmesh.streams import Cause, Gap, Signal, StreamInfo
from rigmesh.viewers import make_window
from rigmesh.viewers.triggered import TriggeredOscilloscope

# --- what is drawn ------------------------------------------------------------------------------


@pytest.mark.parametrize("view", ["panels", "stacked"])
@pytest.mark.parametrize("negative_up", [False, True])
def test_sweeps_their_average_and_its_band_are_drawn(view: str, negative_up: bool) -> None:
    rig = Rig(view=view, negative_up=negative_up, show_band=True)
    rig.signal.describe(INFO)
    rig.trigger(*TRIGGERS[:2])
    data = rig.feed()
    rig.trigger(*TRIGGERS[2:])

    slots = rig.slots()

    cut = sweeps(data, TRIGGERS)
    mean, deviation = cut.mean(axis=0), cut.std(axis=0, ddof=1)
    assert [slot.name for slot in slots] == ["Cz", "Pz", "<b>Oz</b>"]
    for k, slot in enumerate(slots):
        assert (slot.scale < 0) == negative_up
        np.testing.assert_allclose(values(slot, slot.sweeps), cut[:, :, k], atol=1e-3)
        np.testing.assert_allclose(values(slot, slot.average), mean[:, k], atol=1e-9)
        np.testing.assert_allclose(values(slot, slot.upper), (mean + deviation)[:, k], atol=1e-9)
        np.testing.assert_allclose(values(slot, slot.lower), (mean - deviation)[:, k], atol=1e-9)
        np.testing.assert_allclose(slot.x[[0, -1]], [slot.area.left(), slot.area.right()])
    assert rig.window.count.text() == "4 sweeps"


def test_the_average_is_on_the_screen_where_it_should_be() -> None:
    rig = Rig(show_sweeps=False, channels=["Cz"])
    rig.feed()
    rig.trigger(*TRIGGERS)

    (slot,) = rig.slots()
    picture = rig.window.canvas.grab().toImage()

    background = picture.pixelColor(int(slot.x[20]), int(slot.zero) - 60)
    for k in range(0, 151, 10):
        x, y = int(slot.x[k] - 0.5 * (k > 0)), int(slot.average[k])
        near = [picture.pixelColor(x, y + step) for step in (-1, 0, 1)]
        assert any(colour.saturation() > background.saturation() + 80 for colour in near)


def test_without_a_baseline_values_are_raw_and_panels_centred() -> None:
    rig = Rig(baseline=False)
    data = rig.feed()
    rig.trigger(*TRIGGERS)

    slots = rig.slots()

    cut = sweeps(data, TRIGGERS, baseline=False)
    np.testing.assert_allclose(values(slots[1], slots[1].sweeps), cut[:, :, 1], rtol=1e-6)
    assert slots[1].centre == pytest.approx(np.median(cut.mean(axis=0)[:, 1]))


def test_only_the_last_sweeps_are_kept_and_all_are_counted() -> None:
    rig = Rig(n_sweeps=2)
    data = rig.feed()
    rig.trigger(*TRIGGERS)

    slot = rig.slots()[0]

    np.testing.assert_allclose(
        values(slot, slot.sweeps), sweeps(data, TRIGGERS[2:])[:, :, 0], atol=1e-3
    )
    assert rig.window.count.text() == "2 of 4 sweeps"


def test_long_sweeps_keep_their_extremes() -> None:
    rig = Rig(before=0.5, after=5.0, channels=["Cz"], baseline=False)
    data = np.zeros((4000, 3))
    data[1111, 0], data[1903, 0] = 50.0, -70.0
    rig.signal.describe(INFO)
    rig.trigger(2.0)
    rig.feed(data)

    (slot,) = rig.slots()

    drawn = values(slot, slot.sweeps[0])
    assert len(drawn) < 2 * rig.window.canvas.width()
    assert (drawn.min(), drawn.max()) == pytest.approx((-70, 50))
    peak = slot.x[int(drawn.argmax())]
    expected = slot.area.left() + (1111 - 750) / 2750 * slot.area.width()
    assert peak == pytest.approx(expected, abs=1.5)


def test_panels_reach_as_far_as_the_sweeps_do() -> None:
    rig = Rig()
    rig.feed(responses() / 1e6)
    rig.trigger(*TRIGGERS)

    slots = rig.slots()

    largest = np.abs(values(slots[2], slots[2].sweeps)).max()
    assert 0.7 * largest < rig.window.canvas.half_range < 2 * largest
    assert rig.window.scale.text() == f"± {rig.window.canvas.half_range:.4g} uV (fits)"


# --- triggers -----------------------------------------------------------------------------------


def test_only_selected_events_are_triggers() -> None:
    rig = Rig(select="S +1")
    rig.feed()

    rig.trigger(3.0, text="S  1")
    rig.trigger(3.0, text="S 12")

    rig.slots()
    assert rig.window.count.text() == "1 sweep"


@pytest.mark.parametrize(
    ("direction", "expected"),
    [("rising", [2.0, 4.0]), ("falling", [2.1, 4.1]), ("both", [2.0, 2.1, 4.0, 4.1])],
)
def test_a_channel_triggers(direction: str, expected: list[float]) -> None:
    rig = Rig(trigger="channel", channel="Pz", level=0.5, direction=direction)
    data = np.tile(np.arange(3000.0)[:, None], 3)
    t = np.arange(3000) / RATE
    data[:, 1] = ((t >= 2.0) & (t < 2.1)) | ((t >= 4.0) & (t < 4.1))
    rig.feed(data)
    rig.trigger(3.0)

    slot = rig.slots()[0]

    steps = values(slot, slot.sweeps) - values(slot, slot.sweeps)[:, :1]
    assert len(slot.sweeps) == len(expected)
    np.testing.assert_allclose(steps, np.tile(np.arange(151.0), (len(expected), 1)), atol=1e-3)


def test_the_refractory_time_holds_triggers_back() -> None:
    rig = Rig(trigger="channel", channel=0, level=0.5, refractory=0.25)
    t = np.arange(3000) / RATE
    square = np.tile((np.sin(2 * np.pi * 10 * t) > 0)[:, None], 3)

    rig.feed(square)

    rig.slots()
    assert rig.window.count.text() == "19 sweeps, 1 missed"  # every 0.3 s; the first has no past


def test_triggers_with_missing_samples_are_counted() -> None:
    rig = Rig()
    rig.feed(responses()[:1000])
    gap = Gap(Cause.OVERRUN, 0, 1100, 100)
    chunk = Signal(
        responses()[1100:2000].astype(np.float32), np.arange(1100, 2000) / RATE, index=1100,
        gaps=(gap,), info=INFO,
    )  # fmt: skip
    rig.signal.take(chunk)

    rig.trigger(1.0, 1.95, 2.5)

    rig.slots()
    assert rig.window.count.text() == "2 sweeps, 1 missed"


# --- what it waits for --------------------------------------------------------------------------


def test_an_empty_window_says_what_it_waits_for() -> None:
    rig = Rig(trigger="channel", channel=1, level=3.0, direction="falling")

    before = rig.window._message()
    rig.feed(np.zeros((10, 3)))
    after = rig.window._message()
    rig.act("T")

    assert before == "Waiting for a signal"
    assert after == "Waiting until Pz falls below 3"
    assert rig.window._message().startswith("Waiting for events")


@pytest.mark.parametrize("parameters", [{"channels": ["Fz"]}, {"channel": 7}])
def test_a_channel_that_is_not_there_is_told(parameters: dict[str, Any]) -> None:
    rig = Rig(**parameters)

    rig.feed()

    assert "channel" in rig.window._message()
    assert rig.slots() == []


def test_an_irregular_signal_is_told() -> None:
    rig = Rig()

    rig.signal.describe(StreamInfo.signal("x", channels=1, sampling_rate=0))

    assert "no regular rate" in rig.window._message()


def test_values_that_are_not_finite_break_nothing() -> None:
    rig = Rig(show_band=True)
    data = responses()
    data[510, 0], data[:, 1], data[520, 2] = np.nan, np.nan, np.inf
    rig.feed(data)
    rig.trigger(*TRIGGERS)

    slots = rig.slots()

    assert np.isfinite(slots[0].average[:60]).all()
    assert np.isnan(slots[1].average).all()


def test_a_signal_that_is_linked_no_more_is_forgotten() -> None:
    rig = Rig()
    rig.feed()
    rig.trigger(3.0)

    rig.window.drop("signal", "eeg.signal")

    assert rig.slots() == []


def test_it_is_made_by_its_type() -> None:
    window = make_window("viewers.TriggeredOscilloscope", "erp", {"n_sweeps": 5})

    assert isinstance(window, TriggeredOscilloscope)
    with pytest.raises(ParameterError, match="n_sweeps"):
        make_window("viewers.TriggeredOscilloscope", "erp", {"n_sweeps": 0})
