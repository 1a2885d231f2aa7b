"""Fetching one file from a server on this machine that cuts, lies, crawls and changes."""

import hashlib
import json
import random
import socket
import ssl
import time

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from saccade.core import files as room
from saccade.core.errors import BadConfig, BadDownload
from saccade.transfer.http import (
    NotHere,
    Patience,
    Wanted,
    _follow,
    checked_mirror,
    fetch,
    why_refused,
)
from tests.web_site import serve

BODY = random.Random(0).randbytes(300_000)
SUM = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def site(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with serve() as made:
        made.files["/a.bin"] = BODY
        yield made


@pytest.fixture
def pauses():
    return []


@pytest.fixture
def quick(pauses):
    return Patience(attempts=3, timeout=5.0, wait=pauses.append)


def get(site, path, patience, sha256=SUM, size=None, mirrors=()):
    urls = (*mirrors, f"{site.url}/a.bin")
    return fetch(Wanted(urls, sha256, size), path, patience)


def test_a_file_comes_whole_and_nothing_is_left_beside_it(site, quick, tmp_path):
    came = get(site, tmp_path / "a.bin", quick)
    assert came == (f"{site.url}/a.bin", len(BODY), SUM)
    assert (tmp_path / "a.bin").read_bytes() == BODY
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


@pytest.mark.parametrize("known", [True, False])
def test_a_cut_line_is_taken_up_where_it_broke(site, quick, tmp_path, pauses, known):
    site.cuts = [100_000, 70_000]
    came = get(site, tmp_path / "a.bin", quick, sha256=SUM if known else None)
    assert came.sha256 == SUM
    assert [span for _, span in site.asked] == [None, "bytes=100000-", "bytes=170000-"]
    assert pauses == [1.0, 1.0]  # each came on, so patience is whole again


def test_a_killed_program_goes_on_the_next_time(site, tmp_path):
    site.cuts = [100_000]

    class Killed(BaseException):
        pass

    def kill(_):
        raise Killed

    with pytest.raises(Killed):
        get(site, tmp_path / "a.bin", Patience(wait=kill))
    assert (tmp_path / "a.bin.part").read_bytes() == BODY[:100_000]
    assert not (tmp_path / "a.bin").exists()
    get(site, tmp_path / "a.bin", Patience(wait=kill))
    assert (tmp_path / "a.bin").read_bytes() == BODY
    assert site.asked[-1][1] == "bytes=100000-"


def test_what_was_whole_but_had_no_name_yet_is_not_asked_for_again(site, quick, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(BODY)
    begun = {"url": f"{site.url}/a.bin", "validator": '"one"', "total": len(BODY)}
    (tmp_path / "a.bin.part.json").write_text(json.dumps(begun))
    get(site, tmp_path / "a.bin", quick)
    assert site.asked == []
    assert (tmp_path / "a.bin").read_bytes() == BODY


@pytest.mark.parametrize("heeds", [True, False])
def test_two_versions_are_never_spliced(site, quick, tmp_path, heeds):
    other = random.Random(1).randbytes(len(BODY))
    site.heeds_if_range = heeds
    site.cuts = [100_000]
    waited = []

    def change(seconds):
        waited.append(seconds)
        site.files["/a.bin"], site.tag = other, '"two"'

    came = get(site, tmp_path / "a.bin", Patience(attempts=3, wait=change), sha256=None)
    assert (tmp_path / "a.bin").read_bytes() == other
    assert came.sha256 == hashlib.sha256(other).hexdigest()
    assert len(site.asked) == (2 if heeds else 3)  # who heeds If-Range sends it all at once


def test_without_tag_date_or_known_sum_it_begins_anew(site, quick, tmp_path):
    site.tag = ""
    site.cuts = [100_000]
    assert get(site, tmp_path / "a.bin", quick, sha256=None).sha256 == SUM
    assert [span for _, span in site.asked] == [None, None]


def test_a_weak_tag_is_no_proof_but_a_date_is(site, quick, tmp_path):
    site.tag = 'W/"x"'
    site.headers = {"Last-Modified": "Mon, 01 Jan 2024 00:00:00 GMT"}
    site.heeds_if_range = False
    site.cuts = [100_000]
    assert get(site, tmp_path / "a.bin", quick, sha256=None).sha256 == SUM
    assert [span for _, span in site.asked] == [None, "bytes=100000-"]


def test_a_server_without_ranges_sends_it_all_again(site, quick, tmp_path):
    site.ranges = False
    site.cuts = [200_000]
    assert get(site, tmp_path / "a.bin", quick).sha256 == SUM
    assert (tmp_path / "a.bin").read_bytes() == BODY


def test_a_file_that_became_shorter_is_begun_anew(site, quick, tmp_path):
    short = BODY[:50_000]
    site.cuts = [100_000]

    def change(_):
        site.files["/a.bin"], site.heeds_if_range = short, False

    get(site, tmp_path / "a.bin", Patience(attempts=3, wait=change), sha256=None)
    assert (tmp_path / "a.bin").read_bytes() == short


def test_a_bad_beginning_costs_one_more_try_from_the_start(site, quick, tmp_path):
    (tmp_path / "a.bin.part").write_bytes(b"x" * 1000)
    begun = {"url": f"{site.url}/a.bin", "validator": '"one"', "total": len(BODY)}
    (tmp_path / "a.bin.part.json").write_text(json.dumps(begun))
    get(site, tmp_path / "a.bin", quick)
    assert (tmp_path / "a.bin").read_bytes() == BODY
    assert [span for _, span in site.asked] == ["bytes=1000-", None]


@pytest.mark.parametrize("note", ["", "[]", '{"url": 1, "x": 2}', "\x00"])
def test_a_broken_note_is_no_reason_to_stop(site, quick, tmp_path, note):
    (tmp_path / "a.bin.part").write_bytes(BODY[:10])
    (tmp_path / "a.bin.part.json").write_text(note)
    assert get(site, tmp_path / "a.bin", quick).sha256 == SUM


def test_another_file_than_the_known_one_is_refused_and_dropped(site, quick, tmp_path):
    with pytest.raises(BadDownload, match="has another file: its SHA-256"):
        get(site, tmp_path / "a.bin", quick, sha256="0" * 64)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(BadDownload, match="300,000 bytes, 299,999 are known"):
        get(site, tmp_path / "a.bin", quick, size=299_999)
    assert len(site.asked) == 2  # no second try: it would be the same


def test_the_next_address_is_tried_and_goes_on_with_the_beginning(site, quick, tmp_path):
    with serve() as mirror:
        mirror.files["/m/a.bin"] = BODY
        mirror.tag = '"other"'
        mirror.cuts = [120_000]
        mirror.answers = [None, 404]
        came = get(site, tmp_path / "a.bin", quick, mirrors=[f"{mirror.url}/m/a.bin"])
    assert came.url == f"{site.url}/a.bin"
    assert site.asked == [("/a.bin", "bytes=120000-")]  # the sum will tell if they are the same


def test_of_unknown_files_two_servers_are_not_mixed(site, quick, tmp_path):
    with serve() as mirror:
        mirror.files["/a.bin"] = random.Random(2).randbytes(len(BODY))
        mirror.cuts = [120_000]
        mirror.answers = [None, 404]
        get(site, tmp_path / "a.bin", quick, sha256=None, mirrors=[f"{mirror.url}/a.bin"])
    assert (tmp_path / "a.bin").read_bytes() == BODY


def test_a_server_that_is_busy_is_waited_for(site, quick, tmp_path, pauses):
    site.answers = [503, 429]
    site.headers = {"Retry-After": "7"}
    get(site, tmp_path / "a.bin", quick)
    assert pauses == [7.0, 7.0]
    site.answers, site.headers, pauses[:] = [500, 502, 503], {}, []
    with pytest.raises(BadDownload, match=r"answers 503 .* 3 times in a row"):
        get(site, tmp_path / "b.bin", quick)
    assert pauses == [2.0, 4.0]


def test_nobody_waits_for_a_page_that_is_gone(site, quick, tmp_path, pauses):
    site.answers = [404]
    with pytest.raises(BadDownload, match="answers 404") as error:
        get(site, tmp_path / "a.bin", quick)
    assert pauses == []
    assert "--mirror" in error.value.hint


def test_nobody_there(quick, tmp_path, site):
    with pytest.raises(BadDownload, match="cannot be reached"):
        fetch(Wanted(("http://127.0.0.1:9/a",)), tmp_path / "a", quick)


@pytest.fixture
def nobody_knows(monkeypatch):
    """Names that no name server knows, for so long as there are entries in the list."""
    tried = []

    def fail(address, *_, **__):
        tried.append(address[0])
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr("socket.create_connection", fail)
    return tried


def test_a_machine_that_nobody_knows_is_tried_twice(tmp_path, nobody_knows, site):
    waited, said = [], []
    urls = ("http://one.invalid/a", "http://two.invalid/a")
    with pytest.raises(BadDownload, match=r"looked up: is there a network\?\), 2 times in a row"):
        fetch(Wanted(urls), tmp_path / "a", Patience(wait=waited.append), say=said.append)
    assert nobody_knows == ["one.invalid"] * 2 + ["two.invalid"] * 2
    assert waited == [2.0, 2.0]
    assert said[0].startswith("a: http://one.invalid/a cannot be reached")
    assert said[0].endswith("; again in 2 s")


def test_a_machine_that_has_answered_is_waited_for_though_nobody_knows_it_now(
    site, tmp_path, monkeypatch
):
    """A line that was lost takes the name server with it."""
    site.cuts = [100_000]
    pauses = []

    def wait(seconds):
        pauses.append(seconds)
        if len(pauses) == 1:
            monkeypatch.setattr("socket.create_connection", lost)
        if len(pauses) == 5:
            monkeypatch.setattr("socket.create_connection", connect)

    def lost(*_, **__):
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    connect = socket.create_connection
    get(site, tmp_path / "a.bin", Patience(wait=wait))
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0]


def test_why_and_how_long_it_is_waited_is_said(site, quick, tmp_path, pauses):
    said = []
    site.answers = [503, 503]
    fetch(Wanted((f"{site.url}/a.bin",)), tmp_path / "a.bin", quick, say=said.append)
    busy = f"a.bin: {site.url}/a.bin answers 503 Service Unavailable; again in"
    assert said == [f"{busy} 2 s", f"{busy} 4 s"]


def test_a_line_that_crawls_is_given_up_and_made_anew(site, tmp_path):
    site.pause = 0.1
    patience = Patience(attempts=2, window=0.3, slowest=1e6, wait=lambda _: None)
    begun = time.monotonic()
    with pytest.raises(BadDownload, match="too slow"):
        get(site, tmp_path / "a.bin", patience)
    assert time.monotonic() - begun < 10
    assert len(site.asked) == 2


def test_a_line_that_says_nothing_times_out(site, tmp_path):
    site.pause = 1.5
    patience = Patience(attempts=1, timeout=0.2, wait=lambda _: None)
    with pytest.raises(BadDownload, match="timed out"):
        get(site, tmp_path / "a.bin", patience)


def test_a_page_instead_of_a_file_is_told(site, quick, tmp_path):
    site.headers = {"Content-Type": "text/html; charset=utf-8"}
    with pytest.raises(BadDownload, match="web page"):
        get(site, tmp_path / "a.bin", quick, sha256=None)


def test_coded_endless_and_unmeasured_bodies_are_refused(site, quick, tmp_path):
    site.headers = {"Content-Encoding": "gzip"}
    with pytest.raises(BadDownload, match="another coding"):
        get(site, tmp_path / "a.bin", quick, sha256=None)
    site.headers = {}
    site.files["/a.bin"] = bytes(11_000_000)
    with pytest.raises(BadDownload, match="about 1 kB are expected"):
        get(site, tmp_path / "a.bin", quick, sha256=None, size=1000)
    site.says_length = False
    with pytest.raises(BadDownload, match="how long the file is"):
        get(site, tmp_path / "a.bin", quick, sha256=None)
    with pytest.raises(BadDownload, match="more than it announced"):
        get(site, tmp_path / "a.bin", quick, sha256=SUM, size=100_000)


def test_a_disk_that_is_too_small_is_told_before(site, quick, tmp_path, monkeypatch):
    usage = room.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(room.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(BadDownload, match="needs 300 kB, 1 kB are free"):
        get(site, tmp_path / "a.bin", quick)
    assert list(tmp_path.iterdir()) == []


def test_redirects_are_followed_but_not_in_circles_nor_to_files(site, quick, tmp_path):
    with serve() as front:
        front.redirect = f"{site.url}/a.bin"
        came = fetch(Wanted((f"{front.url}/x",), SUM), tmp_path / "a.bin", quick)
        assert came.sha256 == SUM
        front.redirect = f"{front.url}/x"
        with pytest.raises(BadDownload, match="redirects more than"):
            fetch(Wanted((f"{front.url}/x",), SUM), tmp_path / "b.bin", quick)
        for target in ("file:///etc/passwd", "ftp://127.0.0.1/x", "http://me:secret@127.0.0.1/x"):
            front.redirect = target
            with pytest.raises(BadDownload):
                fetch(Wanted((f"{front.url}/x",), SUM), tmp_path / "b.bin", quick)


@pytest.mark.parametrize(("target", "fault"), [("http", NotHere), ("https", None)])
def test_a_redirect_from_https_to_http_is_refused(target, fault):
    def answer(asked):
        if asked.url.host == "b.org":
            return httpx2.Response(200, content=b"x")
        return httpx2.Response(302, headers={"Location": f"{target}://b.org/a"})

    with httpx2.Client(transport=httpx2.MockTransport(answer)) as client:
        asked = client.build_request("GET", "https://example.org/a")
        if fault:
            with pytest.raises(fault, match="from https to http"):
                _follow(client, asked)
        else:
            assert str(_follow(client, asked).url) == "https://b.org/a"


def test_a_certificate_nobody_knows_is_told_and_not_tried_again(
    quick, tmp_path, monkeypatch, pauses
):
    def fail(*_, **__):
        try:
            error = ssl.SSLCertVerificationError(1, "certificate verify failed")
            error.verify_message = "self-signed certificate"
            raise error
        except ssl.SSLError as error:
            raise httpx2.ConnectError(str(error)) from error

    monkeypatch.setattr(httpx2.HTTPTransport, "handle_request", fail)
    with pytest.raises(BadDownload, match=r"self-signed certificate.*SSL_CERT_FILE"):
        fetch(Wanted(("https://example.org/a",)), tmp_path / "a", quick)
    assert pauses == []


def test_the_proxy_of_the_environment_is_used(site, quick, tmp_path, monkeypatch):
    site.files["http://example.invalid/a.bin"] = BODY  # so a proxy is asked: by the whole address
    monkeypatch.setenv("http_proxy", site.url)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    fetch(Wanted(("http://example.invalid/a.bin",), SUM), tmp_path / "a.bin", quick)
    assert (tmp_path / "a.bin").read_bytes() == BODY


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.org/a",
        "example.org/a",
        "http://",
        "http://user:word@example.org/a",
        "http://example.org/a b",
        "http://example.org/\r\nHost: other",
        "http://example.org:99999/",
        "http://[::1/",
    ],
)
def test_addresses_that_are_not_opened(url, quick, tmp_path):
    assert why_refused(url)
    with pytest.raises(BadConfig):
        checked_mirror(url)
    with pytest.raises(BadDownload):
        fetch(Wanted((url,)), tmp_path / "a", quick)


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.integers(0, 100_000), max_size=6), known=st.booleans())
def test_however_often_it_is_cut_the_bytes_are_right(site, tmp_path, cuts, known):
    path = tmp_path / "cut.bin"
    path.unlink(missing_ok=True)
    site.cuts = list(cuts)
    patience = Patience(attempts=10, wait=lambda _: None)
    assert get(site, path, patience, sha256=SUM if known else None).sha256 == SUM
    assert path.read_bytes() == BODY
