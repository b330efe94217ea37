"""Which unit a spike is of: templates learned from examples, and the nearest one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.spatial.distance import cdist

__all__ = ["REJECTED", "Templates", "learn_templates"]

Array = npt.NDArray[Any]

REJECTED = -1

_TO_DEVIATION = 1.4826
"""Median absolute deviation to standard deviation, of a Gaussian."""
_ROUNDS = 50


@dataclass(frozen=True, slots=True, eq=False)
class Templates:
    """Units as places in the space of a few principal components.

    Parameters
    ----------
    mean : ndarray, shape (n_values,)
        Mean of all examples.
    components : ndarray, shape (n_components, n_values)
        Orthonormal.
    centres : ndarray, shape (n_units, n_components)
        Where the units are.
    limits : ndarray, shape (n_units,)
        How far from its centre a spike of a unit may be.
    """

    mean: Array
    components: Array
    centres: Array
    limits: Array

    def __len__(self) -> int:
        """Return the number of units."""
        return len(self.centres)

    def nearest(self, waveform: Array) -> int:
        """Return the number of the unit of a waveform, or `REJECTED`.

        Parameters
        ----------
        waveform : ndarray, shape (n_values,)
            As the examples were; what is not finite is rejected.
        """
        if not len(self.centres):
            return REJECTED
        away = self.centres - self.components @ (waveform - self.mean)
        distances = np.sqrt(np.einsum("ij,ij->i", away, away))
        unit = int(np.argmin(distances))
        return unit if distances[unit] <= self.limits[unit] else REJECTED


def learn_templates(
    examples: Array,
    *,
    n_components: int = 5,
    max_units: int = 8,
    separation: float = 4.0,
    min_spikes: int = 20,
    min_height: float = 0.0,
    accepted: float = 0.99,
) -> Templates:
    """Learn units from the waveforms of spikes.

    The waveforms are divided by k-means into more clusters than there are units. Then the two
    clusters least apart are made one, as long as they are less than `separation` apart along the
    line between their medians. Fragments of one unit are about 2.7 apart: two halves of a Gaussian.

    Parameters
    ----------
    examples : ndarray, shape (n_spikes, n_values)
        In standard deviations of the noise. Those that are not finite do not count.
    n_components : int
        Principal components in which the waveforms are compared.
    max_units : int
        The largest ones are kept.
    separation : float
        In standard deviations.
    min_spikes : int
        Least size of a unit.
    min_height : float
        Least median of the largest magnitude in a unit's waveforms: what is below is noise.
    accepted : float
        Share of the examples of a unit that it would accept as its own.
    """
    examples = examples[np.isfinite(examples).all(axis=1)].astype(float)
    n_spikes, n_values = examples.shape
    if n_spikes < min_spikes:
        nothing = np.empty((0, 0))
        return Templates(np.zeros(n_values), np.empty((0, n_values)), nothing, np.empty(0))
    mean = examples.mean(axis=0)
    components = np.linalg.svd(examples - mean, full_matrices=False)[2][:n_components]
    places = (examples - mean) @ components.T
    labels = _cluster(places, min(2 * max_units, n_spikes // min_spikes + 1))
    labels = _merge(places, labels, separation)
    names, sizes = np.unique(labels, return_counts=True)
    heights = np.abs(examples).max(axis=1)
    chosen = [
        names[i]
        for i in np.argsort(-sizes, kind="stable")
        if sizes[i] >= min_spikes and np.median(heights[labels == names[i]]) >= min_height
    ]
    centres, limits = [], []
    for name in chosen[:max_units]:
        members = places[labels == name]
        centre = np.median(members, axis=0)
        centres.append(centre)
        limits.append(np.quantile(np.linalg.norm(members - centre, axis=1), accepted))
    return Templates(mean, components, np.reshape(centres, (-1, len(components))), np.array(limits))


def _cluster(places: Array, n_clusters: int) -> Array:
    """Return the cluster of each place: k-means, begun by k-means++."""
    random = np.random.default_rng(0)
    centres = places[[random.integers(len(places))]]
    while len(centres) < n_clusters:
        squares = cdist(places, centres, "sqeuclidean").min(axis=1)
        if not squares.any():
            break  # all examples are alike
        chosen = random.choice(len(places), p=squares / squares.sum())
        centres = np.vstack((centres, places[chosen]))
    labels = np.zeros(len(places), dtype=np.int64)
    for _ in range(_ROUNDS):
        before, labels = labels, cdist(places, centres).argmin(axis=1)
        if (before == labels).all():
            break
        for name in np.unique(labels):
            centres[name] = places[labels == name].mean(axis=0)
    return labels


def _merge(places: Array, labels: Array, separation: float) -> Array:
    """Make one of clusters that are too near to each other."""
    members = {int(name): np.flatnonzero(labels == name) for name in np.unique(labels)}
    names = sorted(members)
    gaps = {
        (a, b): _distance(places[members[a]], places[members[b]])
        for a in names for b in names if a < b
    }  # fmt: skip
    while gaps:
        a, b = min(gaps, key=lambda pair: (gaps[pair], pair))
        if gaps[a, b] >= separation:
            break
        members[a] = np.concatenate((members[a], members.pop(b)))
        gaps = {pair: gap for pair, gap in gaps.items() if b not in pair}
        for other in members:
            if other != a:
                pair = (min(a, other), max(a, other))
                gaps[pair] = _distance(places[members[a]], places[members[other]])
    merged = np.empty_like(labels)
    for name, which in members.items():
        merged[which] = name
    return merged


def _distance(one: Array, other: Array) -> float:
    """Return how far two clusters are apart along the line between their medians.

    Medians, and deviations by medians: a few overlapping spikes do not bridge two units.
    """
    centre, far = np.median(one, axis=0), np.median(other, axis=0)
    line = far - centre
    length = float(np.linalg.norm(line))
    if not length:
        return 0.0
    spread = 0.0
    for cluster, middle in ((one, centre), (other, far)):
        along = (cluster - middle) @ (line / length)
        spread += float(np.median(np.abs(along - np.median(along))) * _TO_DEVIATION) ** 2
    return length / float(np.sqrt(spread / 2)) if spread else np.inf
