"""Load of a server: many clients at once, against one question after another of the same model.

    python -m benchmarks.serving RUN IMAGES [--seconds 60] [--clients 64] [--requests 20000]

RUN answers questions; IMAGES is a folder of photos. The server runs in a process of its own with
as many threads as torch takes, the clients in this one. Printed as JSON: images a second, medians
and 99th percentiles in milliseconds, errors, and the server's memory.
"""

import argparse
import asyncio
import io
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, repeat
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from PIL import Image

QUESTION = "is there a fracture?"


@contextmanager
def server(run: Path, clients: int) -> Iterator[tuple[str, int]]:
    """A server's address and process id."""
    words = ["--port", "0", "--queue", str(4 * clients), "--timeout", "60", "--device", "cpu"]
    command = [sys.executable, "-m", "saccade", "serve", str(run), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("Serving at "):
                yield line.split()[2], process.pid
                break
        process.terminate()
        print(process.stdout.read(), file=sys.stderr)


def memory(process: int) -> float:
    """MB of physical memory that a process holds."""
    pages = int(Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGESIZE") / 1e6


def photos(folder: Path) -> Iterator[bytes]:
    """Photos of a folder, each time around with a changed pixel: no two have equal contents."""
    files = sorted(folder.rglob("*.jpg"))[:200]
    for n in count():
        with Image.open(files[n % len(files)]) as image:
            image.putpixel((0, 0), (n % 256, n // 256 % 256, n // 65536))
            changed = io.BytesIO()
            image.save(changed, "JPEG", quality=85)
        yield changed.getvalue() + n.to_bytes(4, "big")  # decoders stop at the end mark


def one_by_one(run: Path, images: list[bytes], seconds: float) -> dict[str, float]:
    """Questions of one program: each about another image, and all about one that is encoded."""
    import saccade  # noqa: PLC0415

    model = saccade.load(run, "cpu")
    cached = model.encode(images[0])
    found = {}
    for name, given in (
        ("distinct", lambda n: images[n % len(images)]),
        ("cached", lambda _: cached),
    ):
        model.ask(given(0), QUESTION)
        began, n = time.perf_counter(), 0
        while (taken := time.perf_counter() - began) < seconds:
            model.ask(given(n), QUESTION)
            n += 1
        found[name] = n / taken
    return found


async def load(
    address: str, clients: int, requests: Iterator[bytes], seconds: float, limit: int
) -> dict[str, Any]:
    """Clients that send one request after another, until the time or the number is reached.

    They speak HTTP/1.1 over plain sockets: a library's client takes as long as the server.
    """
    taken, statuses = list[float](), dict[int, int]()
    host, port = address.removeprefix("http://").rstrip("/").split(":")
    began = time.perf_counter()

    async def one() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        while time.perf_counter() - began < seconds and len(taken) < limit:
            sent = time.perf_counter()
            writer.write(next(requests))
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = re.search(rb"content-length: (\d+)", head)
            assert length is not None, head
            await reader.readexactly(int(length[1]))
            taken.append(time.perf_counter() - sent)
            status = int(head.split()[1])
            statuses[status] = statuses.get(status, 0) + 1
        writer.close()

    await asyncio.gather(*(one() for _ in range(clients)))
    p50, p99 = (np.quantile(taken, [0.5, 0.99]) * 1000).round(1).tolist()
    a_second = round(len(taken) / (time.perf_counter() - began), 1)
    return {"a_second": a_second, "p50_ms": p50, "p99_ms": p99, "statuses": statuses}


def asking(image: bytes) -> bytes:
    """A request about an image, as it goes over the wire."""
    files, data = {"image": ("a.jpg", image, "image/jpeg")}, {"question": QUESTION}
    request = httpx2.Request("POST", "http://localhost/v1/ask", files=files, data=data)
    body = request.read()
    headers = {"Host": "localhost", "Content-Length": str(len(body))}
    headers["Content-Type"] = request.headers["Content-Type"]
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST /v1/ask HTTP/1.1\r\n{head}\r\n".encode() + body


def main() -> None:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("run", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--requests", type=int, default=20_000, help="over which memory is watched")
    given = parser.parse_args()
    several, alone = given.clients, 1
    source = photos(given.images)
    pool = [next(source) for _ in range(64)]
    found: dict[str, Any] = {"one_by_one": one_by_one(given.run, pool, given.seconds / 4)}
    # Made before the clock runs: on few cores the clients' work is the server's loss.
    most = round(2 * found["one_by_one"]["distinct"] * given.seconds) + several
    fresh = iter([asking(next(source)) for _ in range(3 * most)])
    known = repeat(asking(pool[0]))
    with server(given.run, several) as (address, process):

        def measure(clients: int, requests: Iterator[bytes], limit: int = 10**9) -> dict[str, Any]:
            seconds = given.seconds if limit == 10**9 else 3600
            return asyncio.run(load(address, clients, requests, seconds, limit))

        for name, clients, requests in (
            ("distinct", several, fresh),
            ("distinct_one_client", alone, fresh),
            ("cached_one_client", alone, known),
            ("cached", several, known),
        ):
            found[name] = measure(clients, requests)
            print(name, found[name], file=sys.stderr)
        found["memory_mb"] = [round(memory(process), 1)]
        for _ in range(4):
            measure(several, known, given.requests // 4)
            found["memory_mb"].append(round(memory(process), 1))
            print(found["memory_mb"], file=sys.stderr)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
