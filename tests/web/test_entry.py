"""Who is let in, and what the page says to everybody else."""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest
from starlette.responses import Response
from tests.web.served import Served, Visitor, tokens_in
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from rigmesh.errors import NotPermitted
from rigmesh.web.sessions import Login, Sessions
from rigmesh.web.settings import Address, Settings
from rigmesh_daemon.security.rules import Role


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A page of a host with tokens, and without a daemon."""
    folder = tmp_path_factory.mktemp("host")
    with Served(folder, tokens=tokens_in(folder)) as served:
        yield served


@pytest.fixture
def somebody(host: Served) -> Iterator[Visitor]:
    """An operator who has logged in there."""
    assert host.tokens is not None
    with host.visitor(host.tokens.add(Role.OPERATOR)[1]) as visitor:
        yield visitor


def test_a_link_is_good_once(tmp_path: Path) -> None:
    with Served(tmp_path) as served:
        with served.visitor() as first, Visitor(served.base) as second:
            again = second.log_in(served.token)
            who = first.get("/api/session").json()

        assert who["role"] == "operator"
        assert (again.status_code, again.json()["error"]) == (401, "NotPermitted")


def test_a_link_can_be_for_looking_only(tmp_path: Path) -> None:
    with Served(tmp_path, "--role", "viewer") as served, served.visitor() as visitor:
        assert visitor.get("/api/session").json()["role"] == "viewer"


@pytest.mark.parametrize("role", Role)
def test_a_token_of_the_host_lets_in_with_its_role(host: Served, role: Role) -> None:
    assert host.tokens is not None
    made, token = host.tokens.add(role)

    with host.visitor(token) as visitor:
        who = visitor.get("/api/session").json()

    assert (who["name"], who["role"]) == (made.id, role.label)
    assert host.token == ""


def test_a_wrong_token_is_refused_and_noted(tmp_path: Path) -> None:
    wrong = ["", "nothing", "12345678." + "A" * 43, "ü" * 60, "x" * 5000]

    with Served(tmp_path, tokens=tokens_in(tmp_path)) as served, Visitor(served.base) as visitor:
        answers = [visitor.log_in(token) for token in wrong]
        looked = visitor.get("/api/rigs")

        assert [answer.status_code for answer in answers] == [401] * len(wrong)
        assert looked.status_code == 401
        assert served.audit.count("refused: wrong token") == len(wrong)
        assert not any("set-cookie" in answer.headers for answer in answers)


def test_who_guesses_has_to_wait(tmp_path: Path) -> None:
    tokens = tokens_in(tmp_path)
    good = tokens.add(Role.VIEWER)[1]

    with Served(tmp_path, tokens=tokens) as served, Visitor(served.base) as visitor:
        codes = [visitor.log_in("wrong").status_code for _ in range(6)]
        right = visitor.log_in(good)

    assert codes == [401] * 5 + [429]
    assert right.status_code == 429
    assert 0 < int(right.headers["retry-after"]) <= 60


def test_an_expired_token_is_refused(host: Served) -> None:
    assert host.tokens is not None
    token = host.tokens.add(Role.ADMIN, expires=1e-3)[1]

    with Visitor(host.base) as visitor:
        assert visitor.log_in(token).status_code == 401


def test_a_revoked_token_ends_its_sessions(host: Served) -> None:
    assert host.tokens is not None
    made, token = host.tokens.add(Role.VIEWER)

    with host.visitor(token) as visitor:
        before = visitor.get("/api/rigs").status_code
        host.tokens.revoke(made.id)
        after = visitor.get("/api/rigs").status_code

    assert (before, after) == (200, 401)


def test_a_session_is_over_after_the_logout(somebody: Visitor) -> None:
    kept = dict(somebody.client.cookies)
    somebody.post("/api/logout")

    forgotten = somebody.get("/api/rigs").status_code
    somebody.client.cookies.update(kept)
    stolen = somebody.get("/api/rigs").status_code

    assert (forgotten, stolen) == (401, 401)


def test_a_session_ends_by_itself() -> None:
    login = Login(Settings())
    sessions = Sessions(login, 0.0, "c", is_secure=False)
    response = Response()

    made = sessions.begin("web", Role.OPERATOR, None, response)

    assert not sessions.is_good(made)


def test_a_session_cookie_is_out_of_reach_for_scripts_and_other_sites(host: Served) -> None:
    assert host.tokens is not None

    with Visitor(host.base) as visitor:
        answer = visitor.log_in(host.tokens.add(Role.VIEWER)[1])

    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


@pytest.mark.parametrize("path", ["/login", "/static/common.js", "/api/rigs", "/nowhere"])
def test_every_answer_has_strict_headers(host: Served, path: str) -> None:
    with Visitor(host.base) as visitor:
        headers = visitor.get(path).headers

    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'self';")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", ["evil.example", "evil.example:8765", "127.0.0.1.evil.example"])
def test_a_page_of_another_name_is_refused(somebody: Visitor, name: str) -> None:
    answer = somebody.get("/api/rigs", Host=name)

    assert answer.status_code == 403


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:1"])
def test_a_request_of_another_site_is_refused(somebody: Visitor, origin: str) -> None:
    asked = somebody.get("/api/rigs", Origin=origin)
    changed = somebody.post("/api/start", Origin=origin)

    assert (asked.status_code, changed.status_code) == (403, 403)


def test_a_change_needs_an_origin_and_the_page_s_own_header(somebody: Visitor) -> None:
    without_origin = somebody.client.post("/api/start", json={})
    without_header = somebody.post("/api/start", **{"X-Rigmesh-Csrf": ""})

    assert (without_origin.status_code, without_header.status_code) == (403, 403)


def _websocket(host: Served, origin: str, **headers: str) -> ClientConnection:
    url = host.base.replace("http", "ws") + "/api/live"
    return connect(url, origin=Origin(origin), additional_headers=headers)


def test_a_websocket_without_a_session_is_told_why(host: Served) -> None:
    with _websocket(host, host.base) as ws, pytest.raises(ConnectionClosed) as closed:
        ws.recv(timeout=20)

    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4401, "log in with a token")


def test_a_websocket_of_another_site_is_refused(host: Served, somebody: Visitor) -> None:
    cookie = "; ".join(f"{k}={v}" for k, v in somebody.client.cookies.items())

    with pytest.raises(InvalidStatus) as refused:
        _websocket(host, "https://evil.example", Cookie=cookie)

    assert refused.value.response.status_code == 403


def test_a_websocket_ends_with_its_session(host: Served, somebody: Visitor) -> None:
    cookie = "; ".join(f"{k}={v}" for k, v in somebody.client.cookies.items())

    with _websocket(host, host.base, Cookie=cookie) as ws:
        somebody.post("/api/logout")
        with pytest.raises(ConnectionClosed) as closed:
            ws.recv(timeout=20)

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4401


def test_a_page_that_needs_a_session_leads_to_the_log_in_and_back(host: Served) -> None:
    with Visitor(host.base) as visitor:
        answer = visitor.get("/live?stream=a.b")

    assert answer.status_code == 303
    assert answer.headers["location"] == "/login?next=/live%3Fstream%3Da.b"


@pytest.mark.parametrize("listen", ["0.0.0.0:8765", "192.168.1.5:80", "rig-1:8765", "[::]:1"])
def test_other_machines_are_not_served_without_tls(listen: str) -> None:
    with pytest.raises(NotPermitted, match="rigmeshd init"):
        Settings(listen=Address.parse(listen))


def test_other_machines_are_served_by_https(tmp_path: Path) -> None:
    tls = tmp_path / "config/rigmesh/tls"
    made = subprocess.run(
        [sys.executable, "-m", "rigmesh_daemon", "init", "--tls-dir", str(tls)],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    token = next(line.split()[1] for line in made.stdout.splitlines() if "viewer" in line)

    with (
        Served(tmp_path, "--listen", "0.0.0.0:0") as served,
        Visitor(
            f"https://localhost:{httpx.URL(served.base).port}",
            verify=ssl.create_default_context(cafile=str(tls / "ca.pem")),
        ) as v,
    ):
        cookie = v.log_in(token).headers["set-cookie"].lower()
        answer = v.get("/api/rigs")

    assert "secure" in cookie
    assert answer.status_code == 200
    assert "strict-transport-security" in answer.headers


def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AssertionError, match="cannot listen on"):
            Served(tmp_path, "--listen", f"127.0.0.1:{port}")


def test_a_page_names_all_the_modules_it_needs(host: Served, somebody: Visitor) -> None:
    found = re.findall(r'rel="modulepreload" href="([^"]+)"', somebody.get("/browse").text)

    imports = [
        urljoin(module, other)
        for module in found
        for other in re.findall(r'^import [^"]*"(.*)";$', somebody.get(module).text, re.MULTILINE)
    ]
    assert "/static/vendor/uplot/uPlot.esm.js" in found
    assert len(imports) > len(found)
    assert set(imports) <= set(found)


def test_a_file_that_a_browser_has_is_not_sent_again(host: Served, somebody: Visitor) -> None:
    first = somebody.get("/static/common.js")

    again = somebody.get("/static/common.js", **{"If-None-Match": first.headers["ETag"]})
    other = somebody.get("/static/common.js", **{"If-None-Match": '"another"'})

    assert first.headers["Content-Type"].startswith("text/javascript")
    assert (again.status_code, again.content) == (304, b"")
    assert (other.status_code, other.content) == (200, first.content)
    assert somebody.get("/static/../app.py").status_code == 404
    assert somebody.get("/static/%2e%2e/app.py").status_code == 404
