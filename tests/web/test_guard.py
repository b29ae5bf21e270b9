"""Who may ask, and what every answer and refusal carries."""

from __future__ import annotations

import pytest

from clawvm_es.web.guard import HEADERS
from tests.web.conftest import PORT, TOKEN

API = "/api/sessions"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        (f"127.0.0.1:{PORT}", 200),
        (f"localhost:{PORT}", 200),
        (f"LOCALHOST:{PORT}", 200),
        (f"[::1]:{PORT}", 200),
        ("evil.example:8740", 421),
        (f"127.0.0.1.evil.example:{PORT}", 421),
        ("127.0.0.1:81", 421),
        ("127.0.0.1", 421),
        ("[::1]", 421),
        ("", 421),
        (None, 421),
    ],
)
def test_only_our_own_names_and_port_are_served(client, host, status):
    """A name that was made to point here, or another port, is no way in, even with the token."""
    assert client.get(API, host=host).status == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"authorization": None}, 401),
        ({"authorization": f"Bearer {TOKEN}x"}, 401),
        ({"authorization": f"Basic {TOKEN}"}, 401),
        ({"authorization": None, "cookie": f"clawvm_{PORT}={TOKEN}"}, 200),
        ({"authorization": None, "cookie": f"other=1; clawvm_{PORT}={TOKEN}; more=2"}, 200),
        ({"authorization": None, "cookie": f"clawvm_1={TOKEN}"}, 401),
        ({"authorization": None, "cookie": f"clawvm_{PORT}=\xff\xfe"}, 401),
        ({"authorization": f"bearer {TOKEN}"}, 200),
    ],
)
def test_nobody_sees_anything_without_the_token(client, headers, status):
    """The cookie of this port or a bearer header lets in; what is near to them does not."""
    got = client.get(API, **headers)
    assert got.status == status
    assert status == 200 or got.json["error"] == "the token is missing"


@pytest.mark.parametrize("address", ["/", API, "/static/main.js", "/nowhere", "/api/s/s/t/1", "/api/s/s/tail"])
def test_every_address_wants_the_token(client, address):
    """Page and files too: whoever can read them knows that we are here."""
    assert client.get(address, authorization=None).status == 401


@pytest.mark.parametrize(
    ("address", "location"),
    [
        ("/", "/"),
        ("/s/s/t/3", "/s/s/t/3"),
        ("/s/a%20b", "/s/a%20b"),
        ("//evil.example/", "/evil.example/"),
        ("/%5Cevil.example/", "/evil.example/"),
        ("/%0D%0Ax:y", "/%0D%0Ax%3Ay"),
    ],
)
def test_the_token_leaves_the_address_at_once(client, address, location):
    """It becomes a cookie that no script reads and no other site sends; the way leads nowhere else."""
    got = client.get(f"{address}?token={TOKEN}", authorization=None)
    assert (got.status, got.headers["location"]) == (303, location)
    cookie = got.headers["set-cookie"]
    assert cookie.startswith(f"clawvm_{PORT}={TOKEN};")
    assert {"httponly", "samesite=strict", "path=/"} <= {part.strip().lower() for part in cookie.split(";")}


def test_the_rest_of_the_query_stays(client):
    """A deep link keeps what it asks for."""
    got = client.get(f"/s/s?rows=born&token={TOKEN}&q=a%26b", authorization=None)
    assert got.headers["location"] == "/s/s?rows=born&q=a%26b"


def test_a_wrong_token_in_the_address_lets_nobody_in(client):
    """It is refused like none."""
    assert client.get("/?token=guessed", authorization=None).status == 401


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_nothing_can_be_changed(client, method):
    """Other methods are refused before anything looks at them."""
    got = client.get(API, method=method)
    assert (got.status, got.headers["allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    ("site", "status"), [("none", 200), ("same-origin", 200), ("same-site", 403), ("cross-site", 403)]
)
def test_other_sites_cannot_fetch_through_the_browser(client, site, status):
    """A browser tells who asks; only the page itself and the user may."""
    assert client.get(API, sec_fetch_site=site).status == status


@pytest.mark.parametrize(
    "name",
    [
        "../app.py",
        "..%2fapp.py",
        "%2e%2e/app.py",
        "..%5capp.py",
        "/etc/passwd",
        "%00",
        "a/../../guard.py",
        "index.html",
        "nope.js",
    ],
)
def test_only_the_package_s_files_are_files(client, name):
    """No name leads out of the folder."""
    got = client.get(f"/static/{name}")
    assert got.status == 404
    assert got.json["kind"] == "NotFound"


@pytest.mark.parametrize(
    ("address", "headers"),
    [
        (API, {}),
        ("/nowhere", {}),
        (API, {"authorization": None}),
        (API, {"host": "evil.example"}),
        (API, {"sec_fetch_site": "cross-site"}),
        (f"/?token={TOKEN}", {}),
        ("/api/s/none/map", {}),
    ],
)
def test_answers_and_refusals_have_the_same_headers(client, address, headers):
    """No answer is stored, framed, sniffed, or told to others, and none runs a foreign script."""
    got = client.get(address, **headers)
    assert {name: got.headers.get(name) for name in HEADERS} == HEADERS
    policy = got.headers["content-security-policy"]
    for part in ("default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "trusted-types 'none'"):
        assert part in policy
    assert "unsafe" not in policy


def test_other_names_are_served_where_they_were_allowed(journal):
    """`--allow-host` adds a name, and the port still counts."""
    from clawvm_es.web.app import app
    from tests.web.conftest import Client

    other = Client(app(journal, TOKEN, PORT, ("127.0.0.1", "box.lan")))
    assert other.get(API, host=f"box.lan:{PORT}").status == 200
    assert other.get(API, host="box.lan:1").status == 421
    assert other.get(API, host=f"localhost:{PORT}").status == 421


def test_a_person_without_a_token_reads_words(client):
    """A browser that opens an address gets a sentence in place of JSON, which also tells a wrong token from none."""
    for address, told in (("/", "missing"), ("/s/s/t/1?token=guessed", "wrong, or of a run that has ended")):
        got = client.get(address, authorization=None, accept="text/html,*/*;q=0.8")
        assert got.status == 401 and got.headers["content-type"].startswith("text/plain")
        assert got.body.decode().startswith(f"clawvm ui: the token is {told}.") and b"Open the address" in got.body
        assert client.get(address, authorization=None).json["error"] == f"the token is {told}"
    wrong = client.get("/t/1", accept="text/html")
    assert (wrong.status, wrong.body) == (404, b"clawvm ui: there is nothing at /t/1.\n/ shows the sessions.\n")
    assert client.get("/", host="evil.example", accept="text/html").body.startswith(b"clawvm ui: this address is not")
