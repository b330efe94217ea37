"""Another clock is known as well as is said, whatever the network and the clock do."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.clocks.simulated import (
    Clock,
    Delays,
    Simulation,
    drifting,
    lopsided,
    queues,
    stepping,
    warming,
)

from rigmesh.clocks.estimate import ClockEstimate, ClockEstimator, ClockState
from rigmesh.clocks.probe import Probe

LAN = queues(80e-6, 80e-6, mean_there=20e-6, mean_back=20e-6)
EVEN = queues(80e-6, 80e-6, mean_there=0.0, mean_back=0.0)

micros = st.floats(0.0, 1000.0).map(lambda value: value * 1e-6)
networks = st.builds(
    lambda there, back, mean_there, mean_back: queues(
        there, back, mean_there=mean_there, mean_back=mean_back
    ),
    micros,
    micros,
    st.sampled_from([0.0, 20e-6, 300e-6]),
    st.sampled_from([0.0, 20e-6, 300e-6]),
) | st.builds(lopsided, micros)
steady = st.builds(drifting, st.sampled_from([0.0, 1000.0, -1e6]), st.floats(-200, 200))
warmed = st.builds(warming, st.just(-500.0), st.floats(-100, 100), st.floats(-1, 1))


def coverage(simulation: Simulation, seconds: float) -> float:
    """The share of moments at which the truth lies within the uncertainty."""
    held = []
    for estimate in simulation.run(seconds):
        for after in (0.0, 1.0, 1.9):
            now = estimate.time + estimate.age + after
            told = estimate.at(now)
            held.append(abs(simulation.error(told, now)) <= told.uncertainty)
    return sum(held) / len(held)


@settings(max_examples=60, deadline=None)
@given(networks, steady | warmed, st.sampled_from([0.0, 0.3]), st.integers(0, 2**32))
def test_the_truth_lies_within_the_uncertainty(
    delays: Delays, clock: Clock, loss: float, seed: int
) -> None:
    assert coverage(Simulation(clock, delays, loss, seed), 120) >= 0.99


@pytest.mark.parametrize("mean_back", [0.0, 5e-3])
def test_a_crowded_network_is_admitted(mean_back: float) -> None:
    delays = queues(50e-6, 50e-6, mean_there=5e-3, mean_back=mean_back)

    shares = [
        coverage(Simulation(drifting(1000, 10.0 * seed), delays, 0.3, seed), 120)
        for seed in range(-10, 11)
    ]

    assert sum(shares) / len(shares) >= 0.99


@settings(max_examples=30, deadline=None)
@given(networks, st.sampled_from([5e-3, -5e-3, 0.02, 1.0, -1000.0]), st.integers(0, 2**32))
def test_a_step_is_within_the_uncertainty_from_the_first_wave_that_can_show_it(
    delays: Delays, by: float, seed: int
) -> None:
    simulation = Simulation(stepping(drifting(1000, 30), 150.0, by), delays, 0.3, seed)
    held = []
    for estimate in simulation.run(120):
        error = abs(simulation.error(estimate, estimate.time + estimate.age))
        held.append(error <= estimate.uncertainty)

    # One wave may be on its way while the clock steps.
    assert held.count(False) <= max(1, len(held) // 100)


def test_nothing_is_known_before_the_first_answer() -> None:
    estimate = ClockEstimator().estimate(12.0)

    assert estimate.state is ClockState.UNSYNCED
    assert math.isinf(estimate.model().uncertainty)
    assert not estimate.is_synced


def test_a_wave_without_answers_changes_nothing() -> None:
    simulation = Simulation(drifting(), LAN)
    estimator = simulation.estimator
    estimator.add(simulation.wave())
    before = estimator.estimate(101.0)

    estimator.add([])

    assert estimator.estimate(101.0) == before


def test_one_wave_gives_the_offset() -> None:
    simulation = Simulation(drifting(1000.0), LAN)

    estimate = simulation.step()

    assert estimate.state is ClockState.COARSE
    assert estimate.is_synced
    assert estimate.offset == pytest.approx(-1000, abs=1e-4)
    assert 80e-6 < estimate.uncertainty < 300e-6
    assert estimate.n_waves == 1


def test_after_ten_seconds_it_is_locked() -> None:
    simulation = Simulation(drifting(), LAN)

    found = [(simulation.time, estimate.state) for estimate in simulation.run(20)]

    locked = [time - 100 for time, state in found if state is ClockState.LOCKED]
    assert 10 < locked[0] < 14


@pytest.mark.parametrize("ppm", [200.0, -50.0])
def test_drift_is_known_to_2_ppm_after_a_minute(ppm: float) -> None:
    simulation = Simulation(drifting(1000, ppm), LAN, loss=0.3)

    *_, last = simulation.run(60)

    assert last.drift * 1e6 == pytest.approx(-ppm, abs=2)
    assert abs(simulation.error(last.at(simulation.time + 60), simulation.time + 60)) < 0.5e-3


def test_slow_waves_are_left_out() -> None:
    simulation = Simulation(drifting(), EVEN)
    list(simulation.run(30))
    before = simulation.estimator.estimate(simulation.time)

    simulation.delays = queues(5e-3, 80e-6, mean_there=0.0, mean_back=0.0)
    *_, after = simulation.run(10)

    assert after.n_waves == before.n_waves
    assert abs(simulation.error(after, simulation.time)) < 10e-6


def test_a_longer_way_is_accepted_after_a_minute() -> None:
    simulation = Simulation(drifting(), EVEN)
    list(simulation.run(30))

    simulation.delays = queues(1e-3, 1e-3, mean_there=0.0, mean_back=0.0)
    *_, after = simulation.run(80)

    assert after.state is ClockState.LOCKED
    assert after.min_rtt == pytest.approx(2e-3, rel=0.01)


def test_without_answers_the_line_goes_on_and_the_uncertainty_grows_by_50_ppm() -> None:
    simulation = Simulation(drifting(1000, 100), LAN)
    *_, last = simulation.run(70)

    soon, later = last.at(last.time + 10), last.at(last.time + 110)

    assert soon.state is later.state is ClockState.HOLDOVER
    assert soon.is_synced
    assert not later.is_synced
    assert 100 * 50e-6 < later.uncertainty - soon.uncertainty < 100 * 60e-6
    assert abs(simulation.error(later, last.time + 110)) < 0.1e-3


def test_after_a_long_silence_the_same_epoch_goes_on() -> None:
    simulation = Simulation(drifting(1000, 100), LAN)
    list(simulation.run(70))

    simulation.time += 600
    found = list(simulation.run(20))

    assert {estimate.epoch for estimate in found} == {0}
    assert found[-1].state is ClockState.LOCKED
    assert all(estimate.time > simulation.time - 30 for estimate in found)


def test_a_clock_that_jumps_is_reset_by_the_third_wave() -> None:
    simulation = Simulation(stepping(drifting(), 130.0, -900.0), LAN)

    found = list(simulation.run(60))

    states = [estimate.state for estimate in found]
    at = states.index(ClockState.RESET)
    assert states.count(ClockState.RESET) == 1
    assert [estimate.epoch for estimate in found] == [0] * at + [1] * (len(found) - at)
    assert [estimate.uncertainty > 899 for estimate in found[at - 3 : at + 1]] == [
        False,
        True,
        True,
        False,
    ]
    assert found[at].n_waves <= 3
    assert abs(simulation.error(found[at], simulation.time)) < 1e-3


def test_one_wave_that_jumps_is_not_believed() -> None:
    simulation = Simulation(drifting(), LAN)
    list(simulation.run(30))
    before = simulation.estimator.estimate(simulation.time)
    lies = [Probe(p.t0, p.t1 + 10**9, p.t2 + 10**9, p.t3) for p in simulation.wave()]

    told = simulation.estimator.add(lies)
    doubted = simulation.estimator.is_in_doubt
    *_, after = simulation.run(6)

    assert told.offset == before.offset
    assert told.uncertainty > 0.99
    assert doubted
    assert not simulation.estimator.is_in_doubt
    assert after.uncertainty < 200e-6
    assert after.epoch == 0


def test_waves_that_contradict_each_other_are_not_believed() -> None:
    simulation = Simulation(drifting(), LAN)
    list(simulation.run(30))

    for number in range(1, 8):
        by = number * 10**9
        lies = [Probe(p.t0, p.t1 + by, p.t2 + by, p.t3) for p in simulation.wave()]
        told = simulation.estimator.add(lies)
        simulation.time += 2

    assert told.epoch == 0
    assert told.offset == pytest.approx(-1000, abs=1e-3)


def test_a_small_step_is_followed_in_the_same_epoch() -> None:
    simulation = Simulation(stepping(drifting(), 130.0, 2e-3), LAN)

    *_, last = simulation.run(50)

    assert last.epoch == 0
    assert abs(simulation.error(last, simulation.time)) < 0.1e-3


def test_probes_that_cannot_be_are_left_out() -> None:
    estimator = ClockEstimator()

    estimator.add([Probe(10, 0, 0, 5), Probe(0, 0, 10**12, 1)])

    assert estimator.estimate(0.0).state is ClockState.UNSYNCED


def test_times_of_a_clock_that_counts_from_1970_are_precise() -> None:
    simulation = Simulation(drifting(1.8e9), EVEN)

    *_, last = simulation.run(30)

    assert last.uncertainty < 200e-6
    assert abs(simulation.error(last, simulation.time)) < 2e-6


def test_an_estimate_survives_json() -> None:
    simulation = Simulation(drifting(), LAN)

    for estimate in (ClockEstimate(), simulation.step()):
        text = json.dumps(estimate.to_json(), allow_nan=False)
        assert ClockEstimate.from_json(json.loads(text)) == estimate
