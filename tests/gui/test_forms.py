"""Forms of parameters: every kind of field, what is refused, and what is sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import pytest
from PyQt5 import QtCore, QtTest, QtWidgets

from rigmesh.node import Hz, Node, Seconds, command, param, state
from rigmesh.node.registry import describe
from rigmesh.viewers.forms import CommandForm, ParameterForm, parameter_form, schema_of_states

Key = QtCore.Qt.Key
QTest: Any = QtTest.QTest  # its stubs take the static methods for those of an instance


class Everything(Node):
    """A node with a parameter of each kind."""

    low: Hz = param(default=8.0, gt=0, le=500, doc="Lower cut-off <frequency>.", live=True)
    order: int = param(default=4, ge=1, le=12, doc="Order of the slopes.")
    gain: float = param(default=0.5, doc="Factor.", live=True)
    shape: Literal["fir", "iir"] = param(default="iir", doc="Kind of filter.")
    inverted: bool = param(default=False, doc="Whether it is turned around.", live=True)
    label: str = param(default="", doc="A text.", live=True)
    path: str = param(doc="A file.", min_length=1)
    channels: list[int | str] = param(default=[], doc="Which.", live=True, examples=[[1, "Fp1"]])
    names: dict[str, str] = param(default={}, doc="Names.", live=True)
    require: Literal["all"] | list[str] = param(default=[], doc="What has to be there.", live=True)
    silence: Seconds | None = param(default=None, doc="How long it may be silent.", live=True)

    n_seen: int = state(default=0, doc="Samples.")
    is_armed: bool = state(default=False, doc="Whether it fires.", write="clients")

    @command
    def reset(self) -> None:
        """Forget everything."""

    @command
    def fire(self, n: int, message: str = "go") -> None:
        """Send a pulse.

        More of it.
        """


TYPE = describe(Everything, "test.Everything").to_dict()


class Sent:
    """Keeps what a form sends."""

    def __init__(self, form: ParameterForm) -> None:
        self.values: list[tuple[str, Any]] = []
        form.changed.connect(lambda name, value: self.values.append((name, value)))


@pytest.fixture
def form(application: object) -> Iterator[ParameterForm]:
    made = ParameterForm(TYPE["schema"], {"path": "a.h5"})
    made.show()
    yield made
    made.close()


@pytest.fixture
def sent(form: ParameterForm) -> Sent:
    return Sent(form)


def write(form: ParameterForm, name: str, text: str) -> None:
    line = form.fields[name].editor
    assert isinstance(line, QtWidgets.QLineEdit)
    line.setFocus()
    line.selectAll()
    if text:
        QTest.keyClicks(line, text)
    else:
        QTest.keyClick(line, Key.Key_Delete)
    QTest.keyClick(line, Key.Key_Return)


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("low", "10 Hz", 10.0),
        ("low", "10", 10.0),
        ("low", " 1e1Hz ", 10.0),
        ("order", "3", 3),
        ("gain", "-.25", -0.25),
        ("label", "a <b>", "a <b>"),
        ("path", "b.h5", "b.h5"),
        ("channels", '[1, "Fp1"]', [1, "Fp1"]),
        ("names", '{"a.b": "c"}', {"a.b": "c"}),
        ("require", "all", "all"),
        ("require", '["a.b"]', ["a.b"]),
        ("silence", "2 s", 2.0),
    ],
)
def test_what_is_written_is_sent_as_a_value_of_its_type(
    form: ParameterForm, sent: Sent, name: str, text: str, value: Any
) -> None:
    write(form, name, text)

    assert sent.values == [(name, value)]
    assert type(sent.values[0][1]) is type(value)
    assert form.values[name] == value
    assert not form.problems


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("low", "10 kHz", "expected a number in Hz, such as '8 Hz'"),
        ("low", "fast", "expected a number in Hz"),
        ("low", "0", "has to be more than 0 Hz"),
        ("low", "501 Hz", "has to be at most 500 Hz"),
        ("low", "", "something has to be here"),
        ("order", "3.5", "expected a whole number"),
        ("order", "13", "has to be at most 12"),
        ("gain", "nan", "finite"),
        ("gain", "much", "expected a number, found 'much'"),
        ("path", "", "at least 1 characters"),
        ("channels", "[1,", "not JSON"),
        ("channels", "[1.5]", "expected a whole number or a text"),
        ("names", "[1]", "expected an object"),
        ("require", "some", "not JSON"),
    ],
)
def test_a_wrong_value_is_marked_with_the_reason_and_never_sent(
    form: ParameterForm, sent: Sent, name: str, text: str, reason: str
) -> None:
    before = form.values[name]

    write(form, name, text)

    assert sent.values == []
    assert reason in form.problems[name]
    assert "border" in form.fields[name].editor.styleSheet()
    labels = form.fields[name].findChildren(QtWidgets.QLabel)
    assert any(reason in label.text() and label.isVisible() for label in labels)
    assert form.values[name] == before

    QTest.keyClick(form.fields[name].editor, Key.Key_Escape)

    assert not form.problems
    assert form.fields[name].editor.styleSheet() == ""


def test_a_choice_and_a_switch_are_sent(form: ParameterForm, sent: Sent) -> None:
    box, switch = form.fields["shape"].editor, form.fields["inverted"].editor
    assert isinstance(box, QtWidgets.QComboBox)
    assert [box.itemText(i) for i in range(box.count())] == ["fir", "iir"]
    assert box.currentText() == "iir"

    QTest.keyClick(box, Key.Key_Up)
    QTest.keyClick(switch, Key.Key_Space)

    assert sent.values == [("shape", "fir"), ("inverted", True)]


@pytest.mark.parametrize(
    ("name", "text", "keys", "values"),
    [
        ("low", "8 Hz", [Key.Key_Up, Key.Key_Up, Key.Key_Down], [9.0, 10.0, 9.0]),
        ("low", "8.0 Hz", [Key.Key_Up], [8.1]),
        ("low", "8 Hz", [Key.Key_PageUp], [18.0]),
        ("order", "11", [Key.Key_Up, Key.Key_Up], [12]),
        ("low", "1", [Key.Key_Down], []),
    ],
)
def test_arrow_keys_change_a_number_by_its_last_digit_and_stop_at_its_bounds(
    form: ParameterForm, sent: Sent, name: str, text: str, keys: list[Any], values: list[float]
) -> None:
    write(form, name, text)
    del sent.values[:]

    for key in keys:
        QTest.keyClick(form.fields[name].editor, key)

    assert [value for _, value in sent.values] == pytest.approx(values)
    assert not form.problems


def test_the_same_value_again_is_not_sent(form: ParameterForm, sent: Sent) -> None:
    write(form, "low", "8 Hz")
    write(form, "order", "4")

    assert sent.values == []


def test_a_value_that_others_set_is_shown_but_not_over_what_is_being_written(
    form: ParameterForm, sent: Sent
) -> None:
    form.activateWindow()
    line = form.fields["low"].editor
    assert isinstance(line, QtWidgets.QLineEdit)
    line.setFocus()
    QTest.keyClicks(line, "7")
    typed = line.text()

    form.set_values({"low": 20.0, "gain": 2.0, "label": "x", "path": "a.h5"})

    other = form.fields["gain"].editor
    assert isinstance(other, QtWidgets.QLineEdit)
    assert other.text() == "2"
    assert line.text() == typed or not line.hasFocus()
    assert sent.values == []


def test_a_value_that_the_node_refused_stays_marked_until_it_is_changed(
    form: ParameterForm, sent: Sent
) -> None:
    write(form, "low", "400 Hz")

    form.refuse(["low"], "not below half of the sampling rate")
    assert form.problems == {"low": "not below half of the sampling rate"}
    write(form, "low", "40 Hz")

    assert not form.problems
    assert sent.values == [("low", 400.0), ("low", 40.0)]


def test_what_is_not_live_is_told_and_can_be_locked(form: ParameterForm) -> None:
    def words() -> list[str]:
        return [label.text() for label in form.findChildren(QtWidgets.QLabel)]

    assert words().count("on start") == 3
    assert form.fields["order"].isEnabled()

    form.set_live_only(True)

    assert words().count("stop first") == 3
    assert not form.fields["order"].isEnabled()
    assert form.fields["low"].isEnabled()


def test_tips_are_descriptions_with_bounds_and_keep_markup_as_text(form: ParameterForm) -> None:
    tip = form.fields["low"].editor.toolTip()

    assert "Lower cut-off &lt;frequency&gt;." in tip
    assert "&gt; 0 Hz, ≤ 500 Hz" in tip
    assert "default: 8 Hz" in tip
    assert all(field.editor.toolTip() for field in form.fields.values())
    assert all(field.editor.accessibleName() for field in form.fields.values())


def test_the_wheel_does_not_choose_by_accident(form: ParameterForm, sent: Sent) -> None:
    box = form.fields["shape"].editor
    event = QtCore.QEvent(QtCore.QEvent.Type.Wheel)
    QtWidgets.QApplication.sendEvent(box, event)

    assert sent.values == []


def test_states_are_read_and_only_some_are_written(application: object) -> None:
    form = ParameterForm(schema_of_states(TYPE["states"]), {"n_seen": 3, "is_armed": False})
    sent = Sent(form)
    seen, armed = form.fields["n_seen"].editor, form.fields["is_armed"].editor
    assert isinstance(seen, QtWidgets.QLabel)
    assert isinstance(armed, QtWidgets.QCheckBox)
    assert (seen.text(), armed.text()) == ("3", "no")

    QTest.keyClick(armed, Key.Key_Space)
    form.set_values({"n_seen": 4, "is_armed": True})

    assert sent.values == [("is_armed", True)]
    assert (seen.text(), armed.text()) == ("4", "yes")


def test_a_command_is_called_with_its_arguments_once_they_are_right(application: object) -> None:
    reset, fire = (
        CommandForm(each["name"], each["doc"], each["schema"])
        for each in sorted(TYPE["commands"], key=lambda c: str(c["name"]), reverse=True)
    )
    called: list[tuple[str, dict[str, Any]]] = []
    for each in (reset, fire):
        each.called.connect(lambda name, given: called.append((name, given)))

    reset.button.click()
    fire.button.click()
    assert fire.arguments.problems == {"n": "required"}
    write(fire.arguments, "n", "5")
    fire.button.click()

    assert called == [("reset", {}), ("fire", {"n": 5, "message": "go"})]


def test_every_parameter_of_the_library_has_a_field_that_shows_its_default(
    application: object,
) -> None:
    from rigmesh.node.registry import NodeType, describe_all

    for item in describe_all():
        if isinstance(item, NodeType):
            form = parameter_form(item.schema, {})
            defaults = {
                name: prop.get("default")
                for name, prop in item.schema.get("properties", {}).items()
            }
            assert form.values == defaults, item.name
            for name, field in form.fields.items():
                if isinstance(field.editor, QtWidgets.QLineEdit) and defaults[name] is not None:
                    assert field.reading.read(field.editor.text()) == defaults[name], item.name
