import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rigmesh.errors import StreamFormatError
from rigmesh.streams import ChannelInfo, StreamInfo
from rigmesh.streams.lslxml import MAX_BYTES, flagged, from_xml, lsl_format, to_xml

CORE = (
    "<name>EEG</name><type>EEG</type><channel_count>2</channel_count>"
    "<channel_format>float32</channel_format><source_id>amp-1</source_id>"
    "<nominal_srate>250.0000000000000</nominal_srate>"
)
PLAIN = (
    "<channels>"
    "<channel><label>Cz</label><unit>microvolts</unit><type>EEG</type></channel>"
    "<channel><label>Pz</label><unit>microvolts</unit><type>EEG</type></channel>"
    "</channels>"
)
PLACED = (
    "<channels>"
    "<channel><label>Cz</label><location><X>1</X></location></channel>"
    "<channel><label>Pz</label><location><X>2</X></location></channel>"
    "</channels>"
)


def document(desc: str = "", core: str = CORE) -> str:
    return f'<?xml version="1.0"?>\n<info>{core}<desc>{desc}</desc></info>'


def located(info: StreamInfo) -> list[tuple[str | None, str | None]]:
    """Label and place of each channel in the XML of a stream."""
    channels = ET.fromstring(to_xml(info)).iterfind("desc/channels/channel")
    return [(c.findtext("label"), c.findtext("location/X")) for c in channels]


def test_an_lsl_description_gives_the_stream_and_its_channels() -> None:
    info = from_xml(document(PLAIN))

    assert info == StreamInfo(
        name="EEG",
        dtype="float32",
        sample_shape=(2,),
        sampling_rate=250.0,
        channels=(
            ChannelInfo("Cz", "microvolts", "EEG"),
            ChannelInfo("Pz", "microvolts", "EEG"),
        ),
        stype="EEG",
        source_id="amp-1",
    )


@pytest.mark.parametrize(
    ("lsl", "dtype", "kind"),
    [
        ("int8", "int8", "signal"),
        ("int16", "int16", "signal"),
        ("int32", "int32", "signal"),
        ("int64", "int64", "signal"),
        ("float32", "float32", "signal"),
        ("double64", "float64", "signal"),
        ("string", "text", "markers"),
    ],
)
def test_every_lsl_format_has_its_dtype(lsl: str, dtype: str, kind: str) -> None:
    info = from_xml(document(core=CORE.replace("float32", lsl)))

    assert (info.dtype, info.kind) == (dtype, kind)


@pytest.mark.parametrize(
    ("dtype", "lsl"), [("uint8", "int16"), ("uint16", "int32"), ("uint32", "int64")]
)
def test_unsigned_samples_travel_as_the_next_wider_format(dtype: str, lsl: str) -> None:
    xml = to_xml(StreamInfo.signal("s", channels=1, sampling_rate=10, dtype=dtype))

    assert f"<channel_format>{lsl}</channel_format>" in xml


def test_uint64_is_refused_because_no_lsl_format_holds_it() -> None:
    with pytest.raises(StreamFormatError, match="count has uint64 samples; LSL has int8"):
        lsl_format("uint64", "count")


def test_frames_are_refused() -> None:
    info = StreamInfo.frames("camera", shape=(4, 4), sampling_rate=30)

    with pytest.raises(StreamFormatError, match="camera gives frames"):
        to_xml(info)


def test_what_else_a_description_says_is_kept() -> None:
    desc = '<amplifier gain="24"><model>A &amp; B</model></amplifier>'

    info = from_xml(document(PLAIN + desc))

    assert info.description == f"<desc>{desc}</desc>"
    assert f"<desc>{PLAIN}{desc}</desc>" in to_xml(info)


def test_the_layout_of_the_xml_is_not_part_of_the_description() -> None:
    info = from_xml(document("\n\t<cap>\n\t\t<size>54</size>\n\t</cap>\n"))

    assert info.description == "<desc><cap><size>54</size></cap></desc>"


def test_what_else_is_said_about_a_channel_follows_its_label() -> None:
    info = from_xml(document(PLACED))
    swapped = StreamInfo.signal("s", channels=["Pz", "Cz"], sampling_rate=1)
    swapped = replace(swapped, description=info.description)

    found = located(swapped)

    assert found == [("Pz", "2"), ("Cz", "1")]


def test_renamed_channels_keep_what_is_said_about_them() -> None:
    info = from_xml(document(PLACED))
    renamed = StreamInfo.signal("s", channels=["left", "right"], sampling_rate=1)
    renamed = replace(renamed, description=info.description)

    found = located(renamed)

    assert found == [("left", "1"), ("right", "2")]


def test_channels_that_are_new_are_written_without_the_old_ones() -> None:
    info = from_xml(document(PLACED))
    other = StreamInfo.signal("s", channels=["power"], sampling_rate=1)
    other = replace(other, description=info.description)

    found = located(other)

    assert found == [("power", None)]


def test_labels_that_do_not_fit_the_channels_are_not_used_and_the_stream_is_flagged() -> None:
    info = from_xml(document(PLAIN, CORE.replace(">2<", ">3<")))

    assert info.channels == ()
    assert "<bad_metadata>3 channels, 2 labels</bad_metadata>" in info.description
    assert PLAIN in info.description


def test_a_channel_without_a_label_gets_its_number() -> None:
    labels = "<channels><channel><label>Cz</label></channel><channel/></channels>"

    info = from_xml(document(labels))

    assert info.channel_names == ("Cz", "ch1")


def test_a_flag_is_added_to_what_is_there() -> None:
    info = from_xml(document("<cap>54</cap>"))

    marked = flagged(info, "labels < channels")

    assert marked.description == (
        "<desc><cap>54</cap><bad_metadata>labels &lt; channels</bad_metadata></desc>"
    )


@pytest.mark.parametrize("raw", ["a\x01b", "a&#1;b", "a&#x1F;b", "a&#xFFFFFFFF;b", "a\ud800b"])
def test_control_characters_become_the_replacement_character(raw: str) -> None:
    info = from_xml(document(core=CORE.replace("<name>EEG", f"<name>{raw}")))

    assert info.name == "a\ufffdb"


def test_control_characters_of_our_own_are_not_written() -> None:
    info = StreamInfo.markers("a\x00b")

    assert from_xml(to_xml(info)).name == "a\ufffdb"


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        ("", "not well-formed"),
        ("<info><name>EEG</info>", "not well-formed"),
        ("<stream/>", "is <info>, not <stream>"),
        ('<!DOCTYPE x [<!ENTITY a "b">]><info/>', "document type or entities"),
        ("<info>&a;</info>", "not well-formed"),
        (document("x" * MAX_BYTES), "at most 1048576 are read"),
        (document("<a>" * 1000 + "</a>" * 1000), "more than 64 levels"),
        (document(core=CORE.replace("float32", "complex")), "no format 'complex'"),
        (document(core=CORE.replace(">2<", ">2147483648<")), "at most 65536"),
        (document(core=CORE.replace(">2<", ">inf<")), "channel_count is no number"),
        (document(core=CORE.replace(">2<", ">0<")), "is empty"),
        (document(core=CORE.replace("250.", "-250.")), "sampling_rate is ≥ 0"),
        (document(core=CORE.replace("250.0000000000000", "fast")), "nominal_srate is no number"),
    ],
)
def test_metadata_that_cannot_be_used_are_refused(xml: str, message: str) -> None:
    with pytest.raises(StreamFormatError, match=message):
        from_xml(xml)


names = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff"))
channels = st.builds(ChannelInfo, names.filter(bool), names, names)


@given(
    name=names,
    stype=names,
    source_id=names,
    rate=st.floats(0, 1e6),
    described=st.lists(channels, min_size=1, max_size=4),
)
def test_a_description_survives_the_way_to_xml_and_back(
    name: str, stype: str, source_id: str, rate: float, described: list[ChannelInfo]
) -> None:
    info = StreamInfo(
        name=name,
        sample_shape=(len(described),),
        sampling_rate=rate,
        channels=tuple(described),
        stype=stype,
        source_id=source_id,
    )

    assert from_xml(to_xml(info)) == info


@given(st.text())
def test_no_text_ends_in_another_error(text: str) -> None:
    try:
        info = from_xml(document(text))
    except StreamFormatError:
        return

    assert info.name == "EEG"
