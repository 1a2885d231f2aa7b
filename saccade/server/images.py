"""Images that clients send: decoded and encoded once by content, and kept in a bounded cache.

Requests that bring the same image at the same time share one encoding. An image that nobody waits
for any longer is dropped where its work has not begun.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from io import BytesIO
from typing import NamedTuple

from PIL import Image

from saccade.core.errors import BadImage
from saccade.data.image_files import decoding
from saccade.inference.predictor import EncodedImage
from saccade.server.batcher import Batcher, Kind
from saccade.server.runs import Pixels, ServedRun

MAX_SCANNED = 10**9
"""Pixels times scans of a JPEG: each scan of a progressive one goes over all pixels again, so a
small file of thousands of scans would keep a decoder busy for minutes."""


class KnownImage(NamedTuple):
    """An image as a run's model takes it."""

    sha256: str
    """Of the file's content."""
    width: int
    height: int
    encoded: EncodedImage

    @property
    def size(self) -> int:
        """Bytes that it takes in the cache."""
        parts = self.encoded.regions, self.encoded.mask, self.encoded.boxes
        return sum(part.nbytes for part in parts)


class _Encoding(NamedTuple):
    """An image that is being encoded, and how many requests wait for it."""

    task: "asyncio.Task[KnownImage]"
    waiting: list[None]


class ImageCache:
    """Encoded images by run and content, those used last; to be used from one event loop."""

    def __init__(
        self, batcher: Batcher, limit: int, count: Callable[[str], None] = lambda _event: None
    ) -> None:
        """`limit` is in bytes; `count` is told of each "hit", "miss" and "eviction"."""
        self._batcher, self._limit, self._count = batcher, limit, count
        self._known: OrderedDict[tuple[str, str], KnownImage] = OrderedDict()
        self._coming: dict[tuple[str, str], _Encoding] = {}
        self.bytes = 0
        # One thread: decoders of images change Python's list of warnings, which all threads share.
        self._decoder = ThreadPoolExecutor(1, thread_name_prefix="decoder")

    def close(self) -> None:
        """End the thread that decodes."""
        self._decoder.shutdown()

    async def encoded(self, run: ServedRun, data: bytes) -> KnownImage:
        """An image file encoded by a run's network. Raises BadImage."""
        key = (run.name, sha256(data).hexdigest())
        if (known := self._known.get(key)) is not None:
            self._known.move_to_end(key)
            self._count("hit")
            return known
        if (coming := self._coming.get(key)) is None:
            self._count("miss")
            coming = _Encoding(asyncio.create_task(self._encode(run, key[1], data)), [])
            self._coming[key] = coming
        else:
            self._count("hit")
        coming.waiting.append(None)
        try:
            return await asyncio.shield(coming.task)
        finally:
            coming.waiting.pop()
            if not coming.waiting:
                coming.task.cancel()
                if self._coming.get(key) is coming:
                    del self._coming[key]

    async def _encode(self, run: ServedRun, digest: str, data: bytes) -> KnownImage:
        loop = asyncio.get_running_loop()
        pixels = await loop.run_in_executor(self._decoder, _decode, run, data)
        kind = Kind("encode", run.name)
        encoded = await self._batcher.submit(kind, run.encode, run.batch_size, pixels)
        image = KnownImage(digest, pixels.width, pixels.height, encoded)
        self._keep((run.name, digest), image)
        return image

    def _keep(self, key: tuple[str, str], image: KnownImage) -> None:
        self._known[key] = image
        self.bytes += image.size
        while self.bytes > self._limit:
            _, oldest = self._known.popitem(last=False)
            self.bytes -= oldest.size
            self._count("eviction")


def _decode(run: ServedRun, data: bytes) -> Pixels:
    refuse_scans(data)
    return run.prepare(data)


def refuse_scans(data: bytes) -> None:
    """Raise BadImage for a JPEG that has more scans than its size allows."""
    scans = data.count(b"\xff\xda") if data.startswith(b"\xff\xd8") else 0
    if scans < 2:
        return
    with decoding("image"), Image.open(BytesIO(data), formats=["JPEG", "MPO"]) as image:
        width, height = image.size
    if scans * width * height > MAX_SCANNED:
        message = f"{width} x {height} pixels in {scans} scans are too much work"
        raise BadImage(message, location="image", hint="Save it as a plain JPEG.")
