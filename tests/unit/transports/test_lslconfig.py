import configparser

import pytest

from rigmesh.errors import ParameterError
from rigmesh.transports.lslconfig import lsl_config


def parsed(text: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text)
    return parser


def test_session_and_peers_are_written_down() -> None:
    config = parsed(lsl_config("rig 2", ["10.0.0.7", "amp.lab", "fe80::1%eth0"]))

    assert config["lab"]["SessionID"] == "rig 2"
    assert config["lab"]["KnownPeers"] == "{10.0.0.7, amp.lab, fe80::1%eth0}"


def test_without_settings_lsl_keeps_its_own() -> None:
    config = parsed(lsl_config())

    assert config.sections() == ["log"]


def test_loopback_only_names_no_other_address() -> None:
    config = parsed(lsl_config("test", loopback_only=True))

    assert config["multicast"]["AddressesOverride"] == "{127.0.0.1}"
    assert config["multicast"]["Interfaces"] == "{127.0.0.1}"
    assert config["lab"]["KnownPeers"] == "{127.0.0.1}"
    assert config["ports"]["IPv6"] == "disable"


@pytest.mark.parametrize("session", ["a\n[multicast]", "{a}", "a=b", "a;b"])
def test_a_session_that_would_change_the_file_is_refused(session: str) -> None:
    with pytest.raises(ParameterError, match="an LSL session is named by"):
        lsl_config(session)


@pytest.mark.parametrize("peer", ["", "a, b", "a}", "a\nb"])
def test_a_peer_that_would_change_the_file_is_refused(peer: str) -> None:
    with pytest.raises(ParameterError, match="an LSL peer is a host name or an address"):
        lsl_config(peers=[peer])
