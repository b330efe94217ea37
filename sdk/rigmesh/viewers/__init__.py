"""Windows: oscilloscopes, spectra, rasters, images, and a panel of the whole rig."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from rigmesh.errors import UnknownName
from rigmesh.node.registry import load

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from rigmesh.viewers.window import ViewerWindow

__all__ = ["make_window"]

_CLASSES = {
    "viewers.Oscilloscope": "rigmesh.viewers.oscilloscope:Oscilloscope",
    "viewers.DigitalOscilloscope": "rigmesh.viewers.digital:DigitalOscilloscope",
    "viewers.TriggeredOscilloscope": "rigmesh.viewers.triggered:TriggeredOscilloscope",
    "viewers.TimeFreq": "rigmesh.viewers.timefreq:TimeFreq",
    "viewers.Spectrum": "rigmesh.viewers.spectrum:Spectrum",
    "viewers.Raster": "rigmesh.viewers.raster:Raster",
    "viewers.ImageViewer": "rigmesh.viewers.images:ImageViewer",
    "viewers.Panel": "rigmesh.viewers.panel_window:PanelWindow",
}


def make_window(type_: str, name: str, parameters: Mapping[str, Any]) -> ViewerWindow:
    """Make a window of a type; Qt's application has to be there.

    Parameters
    ----------
    type_ : str
        The full name of its type, ``viewers.Oscilloscope``.
    name : str
        What it is called.
    parameters : mapping
        Its parameters.

    Raises
    ------
    UnknownName
        If there is no such window.
    ParameterError
        If a parameter is wrong.
    """
    if type_ not in _CLASSES:
        raise UnknownName.among("window", type_, _CLASSES)
    module, _, cls = _CLASSES[type_].partition(":")
    declared = load(type_)(**parameters)
    declared.name = name
    window: ViewerWindow = getattr(importlib.import_module(module), cls)(declared)
    return window
