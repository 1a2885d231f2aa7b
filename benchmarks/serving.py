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
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count, cycle, repeat
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
from PIL import Image

QUESTION = "is there a fracture?"
ROUNDS = 3


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


def one_by_one(model: Any, given: Iterator[Any], seconds: float) -> float:
    """Questions a second of one program, each about the next image."""
    model.ask(next(given), QUESTION)
    began, n = time.perf_counter(), 0
    while (taken := time.perf_counter() - began) < seconds:
        model.ask(next(given), QUESTION)
        n += 1
    return n / taken


async def load(
    address: str,
    clients: int,
    requests: Iterator[bytes],
    seconds: float = math.inf,
    limit: float = math.inf,
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
    parser.add_argument("--seconds", type=float, default=60, help="of load, for each kind of it")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--requests", type=int, default=20_000, help="over which memory is watched")
    given = parser.parse_args()
    import saccade  # noqa: PLC0415 - the help needs none of it

    model, source = saccade.load(given.run, "cpu"), photos(given.images)
    pool = [next(source) for _ in range(64)]
    known, kept = repeat(asking(pool[0])), repeat(model.encode(pool[0]))
    part = given.seconds / ROUNDS
    # Made before the clock runs: on few cores the clients' work is the server's loss.
    most = 3 * round(one_by_one(model, cycle(pool), 3) * given.seconds) + 2 * given.clients
    fresh = map(asking, [next(source) for _ in range(most)])
    rounds: list[dict[str, Any]] = []
    with server(given.run, given.clients) as (address, process):

        def measure(clients: int, requests: Iterator[bytes], **limits: Any) -> dict[str, Any]:
            return asyncio.run(load(address, clients, requests, **limits))

        for _ in range(ROUNDS):  # sides in turn: machines are not as fast in every minute
            rounds.append(
                {
                    "distinct_one_by_one": one_by_one(model, cycle(pool), part / 4),
                    "distinct": measure(given.clients, fresh, seconds=part),
                    "cached_one_by_one": one_by_one(model, kept, part / 4),
                    "cached": measure(given.clients, known, seconds=part),
                    "cached_one_client": measure(1, known, seconds=part / 4),
                }
            )
            print(json.dumps(rounds[-1]), file=sys.stderr)
        megabytes = [round(memory(process), 1)]
        for _ in range(4):
            measure(given.clients, known, limit=given.requests // 4)
            megabytes.append(round(memory(process), 1))
    print(
        json.dumps({"rounds": rounds, "ratios": ratios(rounds), "memory_mb": megabytes}, indent=2)
    )


def ratios(rounds: list[dict[str, Any]]) -> dict[str, float]:
    """Medians over rounds of what the load of many clients is to each yardstick."""

    def median(many: str, few: str) -> float:
        def rate(found: Any) -> float:
            return float(found["a_second"] if isinstance(found, dict) else found)

        return round(float(np.median([rate(one[many]) / rate(one[few]) for one in rounds])), 2)

    return {
        "distinct / one by one in one program": median("distinct", "distinct_one_by_one"),
        "cached / one by one in one program": median("cached", "cached_one_by_one"),
        "cached / one client of the server": median("cached", "cached_one_client"),
        "cached / distinct": median("cached", "distinct"),
    }


if __name__ == "__main__":
    main()
