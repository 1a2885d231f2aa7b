"""Hostile uploads, made on the spot and harmless in scale: each is refused, and nothing breaks."""

import asyncio
import base64
import io
import json
import socket
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

pytest.importorskip("fastapi", reason="saccade[serve] is not installed")
pytest.importorskip("uvicorn", reason="saccade[serve] is not installed")

from PIL import Image

from saccade.server import server as server_module
from saccade.server.requests import MAX_BODY, MAX_IMAGE
from tests.servers import (
    CAPTION,
    QUESTION,
    VQA,
    client_of,
    make_app,
    make_service,
    png,
    running,
    until,
    write_runs,
)

BOUNDARY = "b0undary"


def image_of(kind, size=(40, 30), **options):
    file = io.BytesIO()
    Image.linear_gradient("L").resize(size).convert("RGB").save(file, kind, **options)
    return file.getvalue()


def form(*parts, boundary=BOUNDARY, end=True):
    """The body of a form: parts are (headers, data)."""
    body = b""
    for headers, data in parts:
        body += f"--{boundary}\r\n".encode() + headers + b"\r\n\r\n" + data + b"\r\n"
    return body + (f"--{boundary}--\r\n".encode() if end else b"")


def image_part(data, content_type="image/png", name="image"):
    head = f'Content-Disposition: form-data; name="{name}"; filename="a"\r\n'
    return f"{head}Content-Type: {content_type}".encode(), data


def text_part(name, data):
    return f'Content-Disposition: form-data; name="{name}"'.encode(), data


ASKED = text_part("question", QUESTION.encode())


def cut_images():
    """Images of each format, cut at many places, or with a byte run changed."""
    for kind in ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "JPEG2000"):
        whole = image_of(kind)
        for share in (0.02, 0.1, 0.3, 0.5, 0.7, 0.85):
            yield f"{kind} cut at {share}", whole[: int(share * len(whole))]


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_of(width, height, bits=8, colours=2, data=b""):
    head = struct.pack(">IIBBBBB", width, height, bits, colours, 0, 0, 0)
    rest = chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + rest


def bombs():
    """Headers that promise far more pixels than there are bytes."""
    for width, height in ((60000, 60000), (2**31 - 1, 2**31 - 1), (1, 2**31 - 1), (2**31 - 1, 1)):
        yield f"PNG of {width} x {height}", png_of(width, height)
    yield "PNG without a row", png_of(100, 100)
    yield "PNG of no pixels", png_of(0, 0)
    gif = b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\xf0\x00\x00" + bytes(6)
    yield (
        "GIF of 65535 x 65535",
        gif + b"," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\x02\x00;",
    )
    bmp = bytearray(image_of("BMP"))
    bmp[18:26] = struct.pack("<ii", 2**30, 2**30)
    yield "BMP of 2^30 x 2^30", bytes(bmp)
    yield "PPM of 99999 x 99999", b"P6 99999 99999 255\n" + bytes(100)
    jpeg = bytearray(image_of("JPEG"))
    at = jpeg.index(b"\xff\xc0")
    jpeg[at + 5 : at + 9] = b"\xff\xff\xff\xff"
    yield "JPEG of 65535 x 65535", bytes(jpeg)
    progressive = bytearray(image_of("JPEG", (1200, 1000), progressive=True))
    scan = progressive.rindex(b"\xff\xda")
    many = bytes(progressive[scan:-2]) * 1000
    yield "JPEG of a thousand scans", bytes(progressive[:-2]) + many + b"\xff\xd9"


def other_files():
    """What is no image, or is one for some programs only."""
    whole = png()
    yield "HTML", b"<!doctype html><script>alert(1)</script>"
    yield "SVG", b'<svg xmlns="http://www.w3.org/2000/svg"><image href="file:///etc/passwd"/></svg>'
    yield "PDF", b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\n%%EOF"
    yield "PostScript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n"
    yield "ZIP", b"PK\x03\x04" + bytes(60)
    yield "ELF", b"\x7fELF" + bytes(60)
    yield "pickle", b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00cposix\nsystem\n."
    yield "shell", b"#!/bin/sh\necho\n"
    yield "zeros", bytes(5000)
    yield "PSD", b"8BPS\x00\x01" + bytes(40)
    yield "MPEG", b"\x00\x00\x01\xba" + bytes(40)
    yield "GIF head over PNG", b"GIF89a" + whole
    yield "JPEG head over PNG", b"\xff\xd8\xff\xe0" + whole
    yield "HTML before PNG", b"<html>" + whole
    yield "PNG head alone", whole[:8]
    yield "a name in place of a file", b"../../etc/passwd"
    yield "an address in place of a file", b"http://127.0.0.1:1/a.png"
    yield "DICOM head alone", bytes(128) + b"DICM"
    yield "text with an image in base64", base64.b64encode(whole)
    yield "gzip", b"\x1f\x8b\x08" + bytes(40)


def bad_images():
    yield from cut_images()
    yield from bombs()
    yield from other_files()


def bad_forms():
    """Forms that are broken, or not what is asked for; a content type where it is not theirs."""
    whole = png()
    good = image_part(whole)
    yield "no parts", form(), None
    yield "nothing", b"", None
    yield "no image", form(ASKED), None
    yield "no question", form(good), None
    yield "an empty image", form(image_part(b""), ASKED), None
    yield "an empty question", form(good, text_part("question", b"")), None
    yield "two images", form(good, good, ASKED), None
    yield "no end", form(good, ASKED, end=False), None
    yield "cut in its middle", form(good, ASKED)[:200], None
    yield "cut in a header", form(good, ASKED)[:30], None
    yield "another boundary", form(good, ASKED, boundary="other"), None
    yield "many parts", form(good, *[ASKED] * 500), None
    yield "many empty parts", form(good, *[(b"X: y", b"")] * 300), None
    yield "a huge header", form((b"X: " + b"y" * 100_000, b""), good, ASKED), None
    yield "many headers", form((b"\r\n".join([b"X: y"] * 500), b""), good, ASKED), None
    yield "a part without a name", form((b"Content-Disposition: form-data", b"x"), good), None
    yield "a part of another kind", form((b'Content-Disposition: file; name="image"', whole)), None
    yield "an unknown field", form(good, ASKED, text_part("url", b"http://127.0.0.1/")), None
    yield "a run that is not there", form(good, ASKED, text_part("run", b"../../etc")), None
    yield "a run of the other task", form(good, ASKED, text_part("run", CAPTION.encode())), None
    yield "two runs", form(good, ASKED, *[text_part("run", VQA.encode())] * 2), None
    yield "a question that is no UTF-8", form(good, text_part("question", b"caf\xe9 \xff?")), None
    yield "half a letter pair", form(good, text_part("question", b"a \xed\xa0\x80 cat?")), None
    yield "a question without a word", form(good, text_part("question", b"?!?")), None
    yield "unknown words", form(good, text_part("question", b"zyx wvu?")), None
    yield "a long question", form(good, text_part("question", b"cat " * 2000)), None
    yield "a very long question", form(good, text_part("question", b"c" * 20_000)), None
    yield "too many words", form(good, text_part("question", b"a " * 300)), None
    yield "a name that is long", form(good, ASKED, text_part("n" * 3000, b"x")), None
    yield "a type that is no image's", form(image_part(whole, "text/html"), ASKED), None
    for top in (b"0", b"-1", b"1e3", b"nan", b"99999999999999999999", b"1.5", b"", b"\xd9\xa3"):
        yield f"top {top!r}", form(good, ASKED, text_part("top", top)), None
    good_form = form(good, ASKED)
    for content_type in (
        *("text/plain", "multipart/form-data", "multipart/mixed; boundary=b0undary", ""),
        *("application/x-www-form-urlencoded", "image/png", "multipart/form-data; boundary="),
        *("multipart/form-data; boundary*=b0undary", f"multipart/form-data; boundary={'b' * 4000}"),
        *("application/json", "text/html; boundary=b0undary", "*/*"),
    ):
        yield f"the content type {content_type[:50]!r}", good_form, content_type


def bad_json():
    """Bodies of JSON that are none, or not what is asked for."""
    whole = base64.b64encode(png()).decode()

    def body(**fields):
        return json.dumps({"image": whole, "questions": [QUESTION], **fields}).encode()

    return [
        ("nothing", b""),
        ("no JSON", b"{"),
        ("a list", b"[]"),
        ("null", b"null"),
        ("a number", b"1" * 5000),
        ("deep lists", b"[" * 100_000),
        ("deep objects", b'{"a":' * 100_000),
        ("a deep question", b'{"questions":' + b"[" * 50_000 + b"]" * 50_000 + b"}"),
        ("no UTF-8", b'{"image": "\xff\xfe"}'),
        ("UTF-16", json.dumps({"image": whole, "questions": [QUESTION]}).encode("utf-16")),
        ("half a letter pair", body()[:-1] + b', "run": "\\ud800"}'),
        ("a question of half a pair", body(questions=["\ud800 cat?"])),
        ("NaN", body()[:-1] + b', "top": NaN}'),
        ("not a number", body(top="five")),
        ("a share", body(top=1.5)),
        ("true", body(top=True)),
        ("a huge number", body()[:-1] + b', "top": ' + b"9" * 5000 + b"}"),
        ("an image in a list", body(image=[whole])),
        ("an image of numbers", body(image=[137, 80, 78, 71])),
        ("an image that is null", body(image=None)),
        ("an object", body(image={"url": "http://127.0.0.1/"})),
        ("an empty image", body(image="")),
        ("an address", body(image="http://127.0.0.1/a.png")),
        ("a data address", body(image=f"data:image/png;base64,{whole}")),
        ("a path", body(image="/etc/passwd")),
        ("base64 with a line", body(image=whole[:20] + "\n" + whole[20:])),
        ("base64 for addresses", body(image="-_-_" + whole[4:])),
        ("base64 without its end", body(image=whole.rstrip("=")[:-1])),
        ("letters that are no ASCII", body(image="é" * 40)),
        ("too much base64", body(image="A" * (4 * (MAX_IMAGE // 3 + 10)))),
        ("a question that is no list", body(questions=QUESTION)),
        ("no questions", body(questions=[])),
        ("many questions", body(questions=[QUESTION] * 1000)),
        ("questions of numbers", body(questions=[1, 2])),
        ("an unknown field", body(url="http://127.0.0.1/")),
        ("a beam for answers", body(beam_size=3)),
        ("a run that is a list", body(run=[VQA])),
        ("a long run", body(run="r" * 5000)),
        ("a letter of no width", body(questions=["\u200b\u200b"])),
        ("text turned around", body(questions=["\u202e???"])),
        ("zeros", body(questions=["\x00\x00"])),
    ]


def requests():
    """Every hostile request: what it is, body, and headers."""
    typed = f"multipart/form-data; boundary={BOUNDARY}"
    for name, data in bad_images():
        yield f"form: {name}", form(image_part(data), ASKED), typed
        yield (
            f"JSON: {name}",
            json.dumps(
                {"image": base64.b64encode(data).decode(), "questions": [QUESTION]}
            ).encode(),
            "application/json",
        )
    for name, body, content_type in bad_forms():
        yield name, body, typed if content_type is None else content_type
    for name, body in bad_json():
        yield f"JSON: {name}", body, "application/json"


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    made = make_service(write_runs(tmp_path_factory.mktemp("hostile")))
    yield made
    made.close()


def test_hostile_uploads_are_refused_and_the_next_request_is_answered(service):
    async def send():
        found = []
        async with client_of(make_app(service)) as client:
            for name, body, content_type in requests():
                headers = {"Content-Type": content_type}
                response = await client.post("/v1/ask", content=body, headers=headers)
                found.append((name, response))
            whole = form(image_part(png()), ASKED)
            headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
            return found, await client.post("/v1/ask", content=whole, headers=headers)

    found, good = asyncio.run(send())
    assert len(found) > 200
    wrong = [
        (name, one.status_code, one.text[:200])
        for name, one in found
        if one.status_code // 100 != 4
    ]
    assert not wrong
    for name, one in found:
        error = one.json()["error"]
        assert error["message"], name
        assert "Traceback" not in one.text, name
        assert "/tmp" not in one.text, name
    assert good.status_code == 200
    assert service.queue.taken == 0
    assert not service.images._coming


def test_a_body_that_is_too_large_is_refused_before_it_is_read(service):
    sent = []

    async def parts():
        for _ in range(MAX_BODY // 2**20 + 4):
            sent.append(2**20)
            yield bytes(2**20)

    async def send():
        async with client_of(make_app(service)) as client:
            told = {"Content-Type": "application/json", "Content-Length": str(MAX_BODY + 1)}
            first = await client.post("/v1/ask", content=b"", headers=told)
            headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
            compressed = await client.post("/v1/ask", content=b"x", headers=headers)
            return first, compressed, await client.post("/v1/ask", content=parts())

    told, compressed, streamed = asyncio.run(send())
    assert (told.status_code, compressed.status_code, streamed.status_code) == (413, 415, 413)


def told(address, *pieces, pause=0.0):
    """What a server answers, until it closes, to bytes that come piece by piece."""
    host, port = address.removeprefix("http://").removesuffix("/").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        found = b""
        with suppress(ConnectionError):
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause)
            while more := connection.recv(65536):
                found += more
    return found.partition(b"\r\n")[0].decode()


ALIVE = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
CLOSE = b"Connection: close\r\n\r\n"
REFUSED = ("", "HTTP/1.1 400 Bad Request")  # closed: what was refused may still be on its way


@pytest.fixture
def server(service, monkeypatch):
    monkeypatch.setattr(server_module, "HEAD_SECONDS", 0.4)
    with running(service, timeout=1.0) as server:
        yield server


@pytest.mark.parametrize("cut", [False, True], ids=["whole", "without an end"])
@pytest.mark.parametrize(
    "head",
    [
        b"X-Long: " + b"a" * 40_000 + b"\r\n",
        b"X-Many: a\r\n" * 4000,
        b"Cookie: " + b"a=b; " * 8000 + b"\r\n",
    ],
    ids=["one", "many", "cookie"],
)
def test_a_head_of_many_bytes_is_refused(server, head, cut):
    assert told(server.address, ALIVE + head, b"" if cut else CLOSE) in REFUSED
    assert told(server.address, ALIVE + CLOSE) == "HTTP/1.1 200 OK"


def test_a_long_address_is_refused(server):
    assert told(server.address, b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\n" + CLOSE) in REFUSED


@pytest.mark.parametrize("before", [b"", ALIVE + b"\r\n"], ids=["first", "second"])
@pytest.mark.parametrize("slow", [ALIVE, b"\r\n" * 40], ids=["letters", "empty lines"])
def test_a_head_that_comes_slowly_holds_no_connection(server, before, slow):
    """A byte at a time: its connection is closed, and others are served meanwhile."""
    began = time.perf_counter()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(
            told, server.address, before, *(bytes([byte]) for byte in slow), pause=0.05
        )
        assert told(server.address, ALIVE + CLOSE) == "HTTP/1.1 200 OK"
        waiting.result()
    assert time.perf_counter() - began < 0.05 * len(slow) + 1
    until(lambda: not server.server_state.connections)


def test_a_body_that_comes_slowly_is_refused_in_time(server):
    head = b"POST /v1/ask HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    pieces = [b"{"] * 60
    found = told(server.address, head + b"Content-Length: 100\r\n\r\n", *pieces, pause=0.05)
    assert found in ("", "HTTP/1.1 408 Request Timeout")
    until(lambda: not server.server_state.connections)


def test_a_body_in_very_many_pieces_is_no_head(server):
    """Bytes of a body that came with the head, or before the next one, count for no head."""
    body = base64.b64encode(png(1, (300, 200))).decode()
    sent = json.dumps({"image": body, "questions": [QUESTION]}).encode()
    assert len(sent) > server_module.MAX_HEADERS
    head = b"POST /v1/ask HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(sent)}\r\n".encode()
    ask = head + b"\r\n" + sent
    assert told(server.address, ask, ask, head + CLOSE + sent) == "HTTP/1.1 200 OK"
