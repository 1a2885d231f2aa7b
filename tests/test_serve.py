"""The server: its answers are those of `Run`, in batches, and it loses none that it accepted."""

import asyncio
import base64
import json
import subprocess
import sys
import threading
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path

import httpx2
import pytest

pytest.importorskip("fastapi", reason="saccade[serve] is not installed")
pytest.importorskip("uvicorn", reason="saccade[serve] is not installed")

from saccade.inference.predictor import load
from saccade.server import schemas
from saccade.server.batcher import Batcher, Kind, came
from saccade.server.security import Token
from tests.servers import (
    CAPTION,
    QUESTION,
    VQA,
    client_of,
    make_app,
    make_service,
    png,
    running,
    soon,
    until,
    write_runs,
)

ROOT = Path(__file__).parent.parent
SECRET = "a-token-of-thirty-letters-0123"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return write_runs(tmp_path_factory.mktemp("served"))


@pytest.fixture
def service(runs):
    made = make_service(runs)
    yield made
    made.close()


class Blocker:
    """A piece of work that keeps the thread of the models busy."""

    def __init__(self):
        self.begun, self.free = threading.Event(), threading.Event()

    async def work(self, service):
        return await service.batcher.submit(Kind("blocker", ()), self._wait, 1, None)

    def _wait(self, items):
        self.begun.set()
        assert self.free.wait(20)
        return items


@asynccontextmanager
async def busy(service):
    """The thread of the models is busy inside, until the event is set."""
    blocker = Blocker()
    work = asyncio.create_task(blocker.work(service))
    await asyncio.to_thread(blocker.begun.wait, 20)
    try:
        yield blocker.free
    finally:
        blocker.free.set()
        await work


def batches_of(service):
    """The work of each batch from here on, and its size."""
    sizes = []

    def observe(name, size):
        if name != "blocker":
            sizes.append((name, size))

    service.batcher._observe = observe
    return sizes


def asking(client, image=None, questions=(QUESTION,), path="/v1/ask", **fields):
    files = [("image", ("a.png", image or png(), "image/png"))]
    files += [("question", (None, question)) for question in questions]
    files += [(name, (None, str(value))) for name, value in fields.items()]
    return client.post(path, files=files)


def close(found, wanted):
    """Equal values of JSON, but for the last digits of numbers."""
    if isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(close(found[k], wanted[k]) for k in wanted)
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(close, found, wanted))
    return found == (pytest.approx(wanted, abs=1e-4) if isinstance(wanted, float) else wanted)


def test_answers_are_those_of_the_run_in_either_form(service, runs):
    run, image = load(runs[VQA], "cpu"), png()
    questions = [QUESTION, "Is it a cat?"]
    wanted = [run.ask(image, one, top=2).to_dict() for one in questions]
    wanted = [
        {"question": q, **json.loads(json.dumps(a))} for q, a in zip(questions, wanted, strict=True)
    ]

    async def ask():
        async with client_of(make_app(service)) as client:
            as_json = {"image": base64.b64encode(image).decode(), "questions": questions, "top": 2}
            return await asking(client, image, questions, top=2), await client.post(
                "/v1/ask", json=as_json
            )

    for response in asyncio.run(ask()):
        assert response.status_code == HTTPStatus.OK, response.text
        found = schemas.Answers.model_validate_json(response.content)
        assert (found.run, found.image.width, found.image.height) == (VQA, 24, 16)
        assert close(response.json()["answers"], wanted)


def test_captions_and_explanations_are_those_of_the_run(service, runs):
    image = png()
    writer, asked = load(runs[CAPTION], "cpu"), load(runs[VQA], "cpu")

    async def explain():
        async with client_of(make_app(service)) as client:
            return (
                await asking(client, image, (), "/v1/caption", beam_size=2),
                await asking(client, image, (), "/v1/explain", run=CAPTION, beam_size=2),
                await asking(client, image, path="/v1/explain", run=VQA),
            )

    caption, words, answer = asyncio.run(explain())
    kinds = schemas.Caption, schemas.ExplainedCaptions, schemas.ExplainedAnswers
    for response, kind in zip((caption, words, answer), kinds, strict=True):
        assert response.status_code == HTTPStatus.OK, response.text
        kind.model_validate_json(response.content)
    written = writer.explain(image, beam_size=2).to_dict(maps=True)
    assert close(words.json()["caption"], json.loads(json.dumps(written)))
    assert caption.json()["caption"]["text"] == written["text"]
    (found,) = answer.json()["answers"]
    assert found.pop("question") == QUESTION
    wanted = asked.explain(image, QUESTION).to_dict(maps=True)
    assert close(found, json.loads(json.dumps(wanted)))


def test_what_is_served_is_told(service, runs):
    async def look():
        async with client_of(make_app(service)) as client:
            for path in ("/v1/runs", "/healthz", "/readyz", "/metrics", "/", "/openapi.json"):
                yield path, await client.get(path)

    async def all_of_them():
        return {path: response async for path, response in look()}

    found = asyncio.run(all_of_them())
    assert {one.status_code for one in found.values()} == {200}
    told = schemas.Runs.model_validate_json(found["/v1/runs"].content).runs
    assert [one.name for one in told] == [VQA, CAPTION]
    assert [one.task for one in told] == ["vqa", "caption"]
    assert told[0].attends
    assert told[0].grid == load(runs[VQA], "cpu").grid
    for response in found.values():
        assert "default-src 'none'" in response.headers["content-security-policy"]
        assert response.headers["x-content-type-options"] == "nosniff"
    described = found["/openapi.json"].json()["paths"]
    assert set(described) == {
        *("/v1/ask", "/v1/caption", "/v1/explain", "/v1/runs"),
        *("/healthz", "/readyz", "/metrics"),
    }


def test_requests_of_several_clients_meet_in_one_batch_and_an_image_is_encoded_once(service):
    sizes = batches_of(service)

    async def ask():
        async with client_of(make_app(service)) as first, client_of(make_app(service)) as second:  # noqa: SIM117
            async with busy(service) as free:
                image = png(7)
                asked = [
                    asyncio.create_task(asking(client, image, [question]))
                    for client in (first, second)
                    for question in (QUESTION, "Is it a cat?", "Is it a cat on it?")
                ]
                await soon(lambda: len(service.batcher) and service.queue.taken == 6)
                free.set()
                return await asyncio.gather(*asked), await asking(first, image)

    responses, again = asyncio.run(ask())
    assert {one.status_code for one in (*responses, again)} == {200}
    assert sizes == [("encode", 1), ("answer", 6), ("answer", 1)]


def test_distinct_images_are_encoded_in_one_batch(service):
    sizes = batches_of(service)

    async def ask():
        async with client_of(make_app(service)) as client, busy(service) as free:
            asked = [asyncio.create_task(asking(client, png(n))) for n in range(5)]
            await soon(lambda: len(service.batcher) == 5)
            free.set()
            return await asyncio.gather(*asked)

    assert {one.status_code for one in asyncio.run(ask())} == {200}
    assert sizes[0] == ("encode", 5)


def test_the_cache_keeps_what_was_used_last_and_no_more_than_its_limit(runs):
    service = make_service({VQA: runs[VQA]})

    async def ask():
        async with client_of(make_app(service)) as client:
            await asking(client, png(0))
            one = service.images.bytes
            service.images._limit = 2 * one
            for n in (1, 0, 2):
                await asking(client, png(n))
            assert service.images.bytes == 2 * one
            sizes = batches_of(service)
            await asking(client, png(0))
            await asking(client, png(1))
            return [name for name, _ in sizes]

    try:
        assert asyncio.run(ask()) == ["answer", "encode", "answer"]
    finally:
        service.close()


def test_a_full_queue_refuses_and_says_when_to_come_again(runs):
    service = make_service({VQA: runs[VQA]}, queue=3)

    async def ask():
        async with client_of(make_app(service)) as client:
            async with busy(service):
                waiting = asyncio.create_task(asking(client, questions=[QUESTION] * 2))
                await soon(lambda: service.queue.taken)
                refused = await asking(client, questions=[QUESTION] * 2)
            answered = await waiting
            return refused, answered, await asking(client, questions=[QUESTION] * 5)

    refused, answered, large = asyncio.run(ask())
    service.close()
    assert refused.status_code == HTTPStatus.TOO_MANY_REQUESTS
    assert int(refused.headers["retry-after"]) >= 1
    assert (answered.status_code, large.status_code) == (200, 200)
    assert service.queue.taken == 0


def test_what_takes_too_long_is_given_up_and_not_begun(service):
    sizes = batches_of(service)

    async def ask():
        async with client_of(make_app(service, timeout=0.3)) as client, busy(service):
            late = await asking(client, png(3))
            await soon(lambda: not service.queue.taken)
        async with client_of(make_app(service)) as client:
            return late, await asking(client, png(4))

    late, next_one = asyncio.run(ask())
    assert late.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert late.headers["retry-after"]
    assert next_one.status_code == HTTPStatus.OK
    assert sizes == [("encode", 1), ("answer", 1)], "only the work of the second one"
    assert (service.queue.taken, len(service.batcher)) == (0, 0)


def test_the_error_of_one_fails_no_other_of_its_batch():
    async def work():
        batcher = Batcher()

        def halve(numbers):
            return [10 // number for number in numbers]

        asked = [batcher.submit(Kind("halve", 0), halve, 8, number) for number in (1, 0, 5)]
        found = await asyncio.gather(*asked, return_exceptions=True)
        batcher.close()
        return found

    one, error, two = asyncio.run(work())
    assert (one, two) == (10, 2)
    assert isinstance(error, ZeroDivisionError)


def test_the_oldest_request_goes_on_before_later_ones_begin():
    async def work():
        batcher, done = Batcher(), []

        async def request(number):
            came.set(float(number))
            for stage in ("encode", "answer"):
                kind = Kind(stage, ())
                await batcher.submit(
                    kind, lambda items: done.extend(items) or items, 2, (stage, number)
                )

        await asyncio.gather(*map(request, range(6)))
        batcher.close()
        return done

    done = asyncio.run(work())
    assert done[:2] == [("encode", 0), ("encode", 1)]
    assert max(done.index(("answer", n)) for n in range(4)) < done.index(("encode", 4))


def test_fifty_clients_that_hang_up_leave_nothing_behind(service):
    blocker, sizes = Blocker(), batches_of(service)
    with running(service) as server:
        work = asyncio.run_coroutine_threadsafe(blocker.work(service), server.loop)
        assert blocker.begun.wait(20)
        body = base64.b64encode(png(9)).decode()
        sent = json.dumps({"image": body, "questions": [QUESTION]}).encode()
        head = "POST /v1/ask HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        head += f"Content-Length: {len(sent)}\r\n\r\n"
        address = server.address.removeprefix("http://").removesuffix("/").split(":")

        async def hang_up(n):
            _, writer = await asyncio.open_connection(address[0], int(address[1]))
            whole = head.encode() + sent
            writer.write(whole[: len(whole) if n % 2 else 40 + 5 * n])
            await writer.drain()
            await asyncio.sleep(0.2)
            writer.transport.abort()

        async def all_of_them():
            await asyncio.gather(*map(hang_up, range(50)))

        asyncio.run(all_of_them())
        until(lambda: service.answered == service.accepted >= 25)
        blocker.free.set()
        work.result(20)
        until(lambda: not server.server_state.connections)
        assert (service.queue.taken, len(service.batcher), service.images._coming) == (0, 0, {})
        assert httpx2.get(f"{server.address}readyz").status_code == HTTPStatus.OK
    assert sizes == [], "work that nobody waits for is not done"


def test_stopping_under_load_loses_nothing_that_was_accepted(service):
    image = png(11)
    found, stop = [], threading.Event()

    def ask(address):
        with httpx2.Client(base_url=address) as client:
            while not stop.is_set():
                try:
                    found.append(asking(client, image).status_code)
                # It listens no more, or closed while a request was on its way: not accepted.
                except (httpx2.ConnectError, httpx2.RemoteProtocolError):
                    return

    with running(service) as server:
        threads = [threading.Thread(target=ask, args=[server.address]) for _ in range(8)]
        for thread in threads:
            thread.start()
        until(lambda: service.answered > 20)
        server.stop()
        for thread in threads:
            thread.join(20)
        stop.set()
    assert set(found) == {200}
    assert service.accepted == service.answered == len(found)


def test_who_may_ask(service, tmp_path):
    file = tmp_path / "token"
    file.write_text(SECRET)
    app = make_app(service, token=Token(file), hosts=["vqa.example"], origins=["https://a.example"])
    right = {"Authorization": f"Bearer {SECRET}"}

    async def statuses(*headers, path="/v1/runs"):
        async with client_of(app) as client:
            return [(await client.get(path, headers=one)).status_code for one in headers]

    assert asyncio.run(statuses({}, {"Authorization": "Bearer x"}, right)) == [401, 401, 200]
    for path in ("/", "/healthz", "/readyz"):
        assert asyncio.run(statuses({}, path=path)) == [200]
    hosts = ("vqa.example:8000", "10.0.0.7", "[::1]:8000", "evil.example", "a b", "localhost.evil")
    found = asyncio.run(statuses(*({**right, "Host": host} for host in hosts)))
    assert found == [200, 200, 200, 421, 421, 421]
    origins = ("http://localhost", "https://a.example", "http://evil.example", "null")
    found = asyncio.run(statuses(*({**right, "Origin": one} for one in origins)))
    assert found == [200, 200, 403, 403]

    file.write_text("another-" + SECRET)
    new = {"Authorization": f"Bearer another-{SECRET}"}
    assert asyncio.run(statuses(right, new)) == [401, 200], "it is read again"
    file.unlink()
    assert asyncio.run(statuses(new)) == [401], "without a token nobody may ask"


def test_pages_elsewhere_may_ask_only_where_they_are_named(service):
    wanted = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}

    async def allowed(origins):
        async with client_of(make_app(service, origins=origins)) as client:
            found = await client.options("/v1/ask", headers=wanted)
            return found.headers.get("access-control-allow-origin")

    assert asyncio.run(allowed([])) is None
    assert asyncio.run(allowed(["https://b.example"])) is None
    assert asyncio.run(allowed(["https://a.example"])) == "https://a.example"


def test_it_keeps_to_its_own_description(service):
    """Requests that schemathesis makes of the OpenAPI document, good ones and bad ones."""
    tool = Path(sys.executable).with_name("schemathesis")
    if not tool.exists():
        pytest.skip("schemathesis is not installed")
    with running(service) as server:
        words = ["--phases", "fuzzing", "--max-examples", "20", "--generation-deterministic"]
        command = [tool, "--config-file", ROOT / "schemathesis.toml", "run", *words, "--no-color"]
        done = subprocess.run(
            [*command, f"{server.address}openapi.json"], capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stdout + done.stderr
