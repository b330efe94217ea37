"""Colours of traces and of what is around them."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from rigmesh.viewers.colours import Colours

__all__ = ["Theme"]

_DARK = (
    0x7AA2F7, 0x9ECE6A, 0xE0AF68, 0xF7768E, 0xBB9AF7, 0x5CC8E8, 0xFF9E64, 0x6FD6BE,
)  # fmt: skip
_LIGHT = (
    0x2B5DAE, 0x3D7A24, 0x9A6500, 0xB3304B, 0x7547B8, 0x127C98, 0xB4561A, 0x157A6C,
)  # fmt: skip

_MANY, _NEIGHBOURS = 64, 16
"""Lines of a pixel or two in all colours are one grey: of so many, so many have the same."""


@dataclass(frozen=True, slots=True)
class Theme:
    """Colours as 0xRRGGBB; equal themes look the same."""

    background: int
    title: int
    edge: int
    text: int
    soft: int
    faint: int
    gap: int
    accent: int
    traces: tuple[int, ...]

    @classmethod
    def now(cls) -> Theme:
        """Return what suits the application's palette, light or dark."""
        found = Colours.now()
        background = found.sheet if found.is_dark else found.card
        return cls(
            background=rgb(background),
            title=rgb(found.card if found.is_dark else found.sheet),
            edge=rgb(found.edge),
            text=rgb(found.ink),
            soft=rgb(found.soft),
            faint=mixed(rgb(background), rgb(found.ink), 0.09),
            gap=rgb(found.bad),
            accent=rgb(found.accent),
            traces=_DARK if found.is_dark else _LIGHT,
        )

    def trace(self, number: int, of: int = 1) -> int:
        """Return the colour of a channel by its number; of many, neighbours have the same."""
        if of > _MANY:
            number //= _NEIGHBOURS
        return self.traces[number % len(self.traces)]

    def word(self, text: str) -> int:
        """Return the colour of a text, the same wherever it comes."""
        return self.traces[zlib.crc32(text.encode()) % len(self.traces)]


def rgb(name: str) -> int:
    """Return a colour of the form ``#rrggbb`` as a number."""
    return int(name.removeprefix("#"), 16)


def mixed(one: int, other: int, share: float) -> int:
    """Return `one` with a share of `other` in it."""
    parts = [
        round(((one >> bits) & 255) * (1 - share) + ((other >> bits) & 255) * share) << bits
        for bits in (16, 8, 0)
    ]
    return parts[0] | parts[1] | parts[2]
