"""The image viewer: known frames in, pixels on the screen looked at."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PyQt5 import QtCore, QtGui, QtWidgets

from rigmesh.display import Sink
from rigmesh.streams import Frames, StreamInfo
from rigmesh.viewers import make_window
from rigmesh.viewers.image_pixels import colour_table, levels_of, pixels
from rigmesh.viewers.images import Camera, ImageViewer
from rigmesh_nodes import viewers as declared

Array = npt.NDArray[Any]


class Rig:
    """A viewer of cameras, at a known time."""

    def __init__(self, *streams: str, **parameters: Any) -> None:
        self.now = 10.0
        self.window = ImageViewer(declared.ImageViewer(**parameters))
        self.window.clock = lambda: self.now
        self.changes: list[dict[str, Any]] = []
        self.window.changed.connect(self.changes.append)
        self.sinks: dict[str, Sink] = {}
        for name in streams or ("cam.frames",):
            self.sinks[name] = self.window.sink("frames", name)
        self.window.resize(800, 700)
        self.window.show()
        QtWidgets.QApplication.processEvents()

    def feed(self, frame: Array, time: float = 10.0, stream: str = "cam.frames") -> Camera:
        info = StreamInfo.frames(
            stream, shape=frame.shape, sampling_rate=30, dtype=frame.dtype.name
        )
        sink = self.sinks[stream]
        if self.window.cameras[stream].buffer.info != info:
            sink.describe(info)
        sink.take(Frames(frame[None], np.array([time]), info=info))
        self.draw()
        return self.window.cameras[stream]

    def draw(self) -> None:
        self.window.refresh()
        QtWidgets.QApplication.processEvents()

    def act(self, key: str) -> None:
        """Do what a key does."""
        keys = QtGui.QKeySequence(key)
        (action,) = (a for a in self.window.actions() if a.shortcut() == keys)
        action.trigger()


def seen(camera: Camera, shape: tuple[int, ...]) -> Array:
    """Read the middle of each pixel of a frame off the screen, shape (height, width, 3)."""
    picture = camera.grab().toImage()
    height, width = shape[:2]
    found = np.empty((height, width, 3), int)
    for row in range(height):
        for column in range(width):
            x = camera.place.left() + (column + 0.5) / width * camera.place.width()
            y = camera.place.top() + (row + 0.5) / height * camera.place.height()
            colour = picture.pixelColor(int(x), int(y))
            found[row, column] = colour.red(), colour.green(), colour.blue()
    return found


def gray(values: Any) -> Array:
    return np.repeat(np.asarray(values)[:, :, None], 3, axis=2)


# --- what is drawn ------------------------------------------------------------------------------


def test_a_gray_frame_is_shown_pixel_by_pixel() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (7, 11), np.uint8)

    camera = Rig().feed(frame)

    np.testing.assert_array_equal(seen(camera, frame.shape), gray(frame))


def test_a_frame_of_colours_is_shown_as_it_is() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (6, 5, 3), np.uint8)

    camera = Rig().feed(frame)

    np.testing.assert_array_equal(seen(camera, frame.shape), frame)


@pytest.mark.parametrize("dtype", ["uint16", "int16", "int32", "float32", "float64"])
def test_more_than_8_bits_are_shown_from_least_to_greatest(dtype: str) -> None:
    frame = np.array([[100, 200], [300, 400]], dtype)

    camera = Rig().feed(frame)

    np.testing.assert_allclose(seen(camera, frame.shape)[..., 0], [[0, 85], [170, 255]], atol=1)


def test_the_newest_frame_only_is_shown() -> None:
    rig = Rig()
    info = StreamInfo.frames("cam.frames", shape=(4, 4), sampling_rate=30)
    frames = np.stack([np.full((4, 4), value, np.uint8) for value in (10, 20, 30)])
    rig.sinks["cam.frames"].describe(info)

    rig.sinks["cam.frames"].take(Frames(frames, np.array([9.8, 9.9, 10.0]), info=info))
    rig.draw()

    assert seen(rig.window.cameras["cam.frames"], (4, 4)).max() == 30


@pytest.mark.parametrize("shape", [(20, 200), (200, 20), (64, 48)])
def test_the_aspect_is_kept(shape: tuple[int, int]) -> None:
    camera = Rig().feed(np.zeros(shape, np.uint8))

    place = camera.place
    assert place.width() / place.height() == pytest.approx(shape[1] / shape[0])
    assert camera.width() == pytest.approx(place.width()) or place.height() > 500


def test_large_frames_are_thinned_before_they_are_drawn() -> None:
    frame = np.zeros((3000, 4000), np.uint16)
    frame[1500:] = 1000

    camera = Rig().feed(frame)

    assert camera.image is not None
    assert camera.image.width() < 2000
    halves = seen(camera, (2, 2))
    np.testing.assert_array_equal(halves[..., 0], [[0, 0], [255, 255]])


def test_frames_of_another_format_follow() -> None:
    rig = Rig()
    rig.feed(np.zeros((4, 4), np.uint8))

    camera = rig.feed(np.full((2, 8, 3), 99, np.uint8))

    assert seen(camera, (2, 8)).min() == 99


def test_frames_that_are_no_pictures_are_told() -> None:
    camera = Rig().feed(np.zeros((4, 4, 2), np.uint8))

    assert camera.image is None
    camera.grab()


# --- several cameras ----------------------------------------------------------------------------


def test_cameras_lie_in_a_grid() -> None:
    rig = Rig(*[f"cam{k}.frames" for k in range(5)], n_columns=3)

    cameras = list(rig.window.cameras.values())

    lefts = sorted({camera.x() for camera in cameras})
    tops = sorted({camera.y() for camera in cameras})
    assert (len(lefts), len(tops)) == (3, 2)
    assert [camera.x() for camera in cameras[:3]] == lefts
    assert cameras[3].x() == lefts[0]


def test_a_camera_that_is_linked_no_more_is_gone() -> None:
    rig = Rig("a.frames", "b.frames")

    rig.window.drop("frames", "a.frames")
    QtWidgets.QApplication.processEvents()

    assert list(rig.window.cameras) == ["b.frames"]
    assert rig.window.cameras["b.frames"].width() > 700


def test_without_cameras_the_window_says_what_it_waits_for() -> None:
    window = ImageViewer(declared.ImageViewer())
    window.show()

    assert window._empty.isVisible()
    assert "Waiting" in window._empty.text()


# --- rate and age -------------------------------------------------------------------------------


def test_rate_and_age_are_told() -> None:
    rig = Rig()
    for k in range(31):
        camera = rig.feed(np.zeros((4, 4), np.uint8), time=9.0 + k / 30)
    rig.now = 10.0 + 0.025

    rig.draw()

    assert camera.rate == pytest.approx(30)
    assert camera.age == pytest.approx(0.025)
    assert camera.line.split("  ") == ["cam.frames", "4 × 4", "30.0 Hz", "25 ms"]


def test_a_camera_that_gives_nothing_any_more_is_told() -> None:
    rig = Rig()
    camera = rig.feed(np.zeros((4, 4), np.uint8))
    waiting = Rig("other.frames").window.cameras["other.frames"]

    rig.now = 17.0
    rig.draw()

    assert "nothing for 7 s" in camera.line
    assert waiting.line == "other.frames  waiting for frames"


def test_the_value_under_the_mouse_is_told() -> None:
    frame = np.arange(12, dtype=np.uint16).reshape(3, 4) * 1000
    camera = Rig().feed(frame)
    at = camera.place.topLeft() + QtCore.QPointF(
        2.5 / 4 * camera.place.width(), 1.5 / 3 * camera.place.height()
    )

    move = QtGui.QMouseEvent(
        QtCore.QEvent.Type.MouseMove, at, QtCore.Qt.MouseButton.NoButton,
        QtCore.Qt.MouseButtons(QtCore.Qt.MouseButton.NoButton),
        QtCore.Qt.KeyboardModifiers(QtCore.Qt.KeyboardModifier.NoModifier),
    )  # fmt: skip
    QtWidgets.QApplication.sendEvent(camera, move)
    there = camera.line
    QtWidgets.QApplication.sendEvent(camera, QtCore.QEvent(QtCore.QEvent.Type.Leave))

    assert "(2, 1): 6000" in there
    assert "(2, 1)" not in camera.line


# --- controls -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"levels": "full"}, [[0, 4], [64, 255]]),
        ({"levels": "fixed", "low": 1000, "high": 17384}, [[0, 0], [239, 255]]),
        ({"levels": "fixed", "low": 17384, "high": 1000}, [[255, 255], [16, 0]]),
        ({"levels": "auto"}, [[0, 4], [64, 255]]),
    ],
)
def test_levels_say_what_is_black_and_white(
    parameters: dict[str, Any], expected: list[list[int]]
) -> None:
    frame = np.array([[0, 1000], [16384, 65535]], np.uint16)

    camera = Rig(**parameters).feed(frame)

    np.testing.assert_allclose(seen(camera, (2, 2))[..., 0], expected, atol=1)


@pytest.mark.parametrize("name", ["viridis", "inferno", "diverging"])
def test_gray_frames_can_have_colours(name: str) -> None:
    table = colour_table(name)
    assert table is not None

    camera = Rig(colours=name).feed(np.array([[0, 128, 255]], np.uint8))

    np.testing.assert_array_equal(seen(camera, (1, 3))[0], table[[0, 128, 255]])


def test_keys_change_parameters() -> None:
    rig = Rig()

    for key in ("L", "L", "C", "M", "Left", "Right"):
        rig.act(key)

    assert rig.changes == [
        {"levels": "full"}, {"levels": "fixed"}, {"colours": "viridis"}, {"smooth": True},
        {"n_columns": 3}, {"n_columns": 4},
    ]  # fmt: skip


def test_fields_change_parameters() -> None:
    rig = Rig()
    window = rig.window

    window.columns.setValue(2)
    window.columns.editingFinished.emit()
    window.levels.setCurrentIndex(2)
    window.levels.activated.emit(2)
    for field, value in ((window.low, -5.0), (window.high, 70.0)):
        assert field.isEnabled()
        field.setValue(value)
        field.editingFinished.emit()
    window.colours.setCurrentIndex(2)
    window.colours.activated.emit(2)

    assert rig.changes == [
        {"n_columns": 2}, {"levels": "fixed"}, {"low": -5.0}, {"high": 70.0},
        {"colours": "inferno"},
    ]  # fmt: skip


def test_one_camera_after_the_other_is_shown_alone() -> None:
    rig = Rig("a.frames", "b.frames")
    shown = []

    for _ in range(3):
        rig.act("Return")
        shown.append([name for name, camera in rig.window.cameras.items() if camera.isVisible()])

    assert shown == [["a.frames"], ["b.frames"], ["a.frames", "b.frames"]]


def test_a_double_click_shows_a_camera_alone_and_all_again() -> None:
    rig = Rig("a.frames", "b.frames")
    first, second = rig.window.cameras.values()

    shown = []
    for _ in range(2):
        at = QtCore.QPointF(second.geometry().center())
        event = QtGui.QMouseEvent(
            QtCore.QEvent.Type.MouseButtonDblClick, at, QtCore.Qt.MouseButton.LeftButton,
            QtCore.Qt.MouseButtons(QtCore.Qt.MouseButton.LeftButton),
            QtCore.Qt.KeyboardModifiers(QtCore.Qt.KeyboardModifier.NoModifier),
        )  # fmt: skip
        QtWidgets.QApplication.sendEvent(rig.window, event)
        QtWidgets.QApplication.processEvents()
        shown.append((first.isVisible(), second.isVisible()))

    assert shown == [(False, True), (True, True)]


def test_every_control_has_a_tip_and_a_key_of_its_own() -> None:
    window = make_window("viewers.ImageViewer", "cameras", {})

    keys = [action.shortcut().toString() for action in window.actions()]

    assert all(keys)
    assert len(set(keys)) == len(keys)
    assert all(action.toolTip() for action in window.actions())


# --- pixels -------------------------------------------------------------------------------------


def test_values_that_are_no_numbers_are_black() -> None:
    frame = np.array([[np.nan, 1.0, np.inf, 3.0, -np.inf]])

    levels = levels_of(frame, "auto")
    drawn = pixels(frame, *levels)

    assert levels == (1, 3)
    assert drawn is not None
    assert drawn.tolist() == [[0, 0, 255, 255, 0]]


def test_frames_without_any_number_or_range_can_be_shown() -> None:
    for frame in (np.full((2, 2), np.nan), np.full((2, 2), 7.0), np.zeros((2, 2), np.uint16)):
        drawn = pixels(frame, *levels_of(frame, "auto"))
        assert drawn is not None
        assert drawn.max() == 0


def test_how_opaque_a_frame_is_is_left_out() -> None:
    frame = np.arange(16, dtype=np.uint8).reshape(2, 2, 4)

    drawn = pixels(frame, 0, 255)

    assert drawn is not None
    np.testing.assert_array_equal(drawn, frame[..., :3])
