"""Servers for tests: runs of random weights, the application alone, and a real server."""

import asyncio
import io
import threading
from contextlib import contextmanager

import httpx2
import numpy as np
from PIL import Image

from saccade.api import extract
from saccade.features.images import decode_image  # noqa: F401 - imported before threads start
from saccade.inference.predictor import load
from saccade.server.app import create_app
from saccade.server.runs import ServedRun
from saccade.server.security import Doorkeeper
from saccade.server.server import Server, listen
from saccade.server.service import Service
from tests.worlds import make_world, write_untrained_run

VQA, CAPTION = "show-ask-attend-answer-small", "show-attend-tell-small"
QUESTION = "What is it?"


def write_images(folder, count):
    """PNG files of noise, named as the world's images are."""
    folder.mkdir()
    for i in range(count):
        (folder / f"{i}.png").write_bytes(png(i))


def png(seed=0, size=(24, 16)):
    """The bytes of an image of noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write_runs(root):
    """A run of each task, whose weights are random, and whose backbone can encode any image."""
    folder = make_world(root / "data", train=4, val=2)
    write_images(root / "images", 6)
    options = {"weights": "random", "size": 64, "name": "tiny", "image_root": root / "images"}
    extract(folder.path, "timm:test_resnet", **options, device="cpu", progress=False)
    for file in (root / "data/features/cells").iterdir():
        file.unlink()
    (root / "data/features/cells").rmdir()
    return {name: write_untrained_run(folder, name, root / name) for name in (VQA, CAPTION)}


def make_service(runs, *, batch_size=8, queue=64, cache=10**7):
    """A service of runs, by name."""
    served = [ServedRun(name, load(run, "cpu"), batch_size) for name, run in runs.items()]
    return Service(served, queue=queue, cache=cache)


def make_app(service, *, token=None, hosts=(), origins=(), timeout=20.0):
    """The application of a service behind its gate."""
    return create_app(service, Doorkeeper(hosts, origins, token), list(origins), timeout)


def client_of(app, **options):
    """A client that calls an application without a socket."""
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    return httpx2.AsyncClient(transport=transport, base_url="http://localhost", **options)


@contextmanager
def running(service, **options):
    """A server on a free port, in a thread; it is stopped at the end."""
    timeout = options.get("timeout", 20.0)
    with listen("127.0.0.1", 0) as socket:
        server = Server(make_app(service, **options), service, socket, timeout)
        begun = threading.Event()

        def ready(server):
            server.loop = asyncio.get_running_loop()
            begun.set()

        thread = threading.Thread(target=server.serve_until_stopped, args=[ready])
        thread.start()
        assert begun.wait(20)
        try:
            yield server
        finally:
            server.stop()
            thread.join(20)
            assert not thread.is_alive()


async def soon(condition):
    """Wait until something is so; the test fails where it never is."""
    for _ in range(400):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it never came to be")


def until(condition):
    """The same without an event loop."""
    asyncio.run(soon(condition))
