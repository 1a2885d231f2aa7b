"""Download of one file: resumed where it was cut, checked before it gets its name.

What has come lies in `NAME.part`; `NAME.part.json` beside it says from where, and by which ETag or
date that version of the file is known. An interrupted download is resumed only if the server still
has that very version, or the whole can be checked in the end: two versions of a file are never
joined.
"""

import hashlib
import json
import os
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import urlsplit

import httpx2

from saccade.core.errors import BadConfig, BadDownload
from saccade.core.files import refuse_small_disk, to_disk, write_json
from saccade.core.formatting import size_in_words
from saccade.transfer.pieces import Show, chunks_of

TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}
"""Status codes of faults that may pass."""
MAX_RETRY_AFTER = 300.0
MAX_REDIRECTS = 5
certificates = cache(httpx2.create_ssl_context)
"""Those of the environment, read once: that takes longer than many a download."""


class NotNow(Exception):
    """A fault that may pass: the same address is tried again, after `seconds` if it said so.

    `unknown` means that the host's name could not be looked up.
    """

    def __init__(self, message: str, seconds: float | None = None, unknown: bool = False) -> None:
        self.seconds, self.unknown = seconds, unknown
        super().__init__(message)


class NotHere(Exception):
    """A fault that will not pass: another address is tried."""

    def __init__(self, message: str, status: int | None = None) -> None:
        self.status = status
        super().__init__(message)


def why_refused(url: str) -> str | None:
    """The fault of an address, None if it may be opened."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "is no web address"
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        return "is neither http:// nor https://"
    if parts.username is not None or parts.password is not None:
        return "holds a user name or a password, which would be shown and stored"
    if not url.isascii() or any(letter.isspace() or not letter.isprintable() for letter in url):
        return "holds blanks or letters that an address writes as %XX"
    return None


def checked_mirror(url: str) -> str:
    """A mirror's address as it is to be used. Raises BadConfig for one that may not be opened."""
    why = why_refused(url)
    if why is None and urlsplit(url).query:
        why = "has a query; a mirror is a folder of files"
    if why:
        raise BadConfig(f"--mirror {url!r} {why}", hint="Write https://HOST/FOLDER.")
    return url.rstrip("/")


@contextmanager
def request(url: str, headers: dict[str, str], timeout: float) -> Iterator[httpx2.Response]:
    """The open answer to a request for a file, of status 200 or 206.

    Proxies and certificates are those of the environment. Raises NotNow or NotHere, whose text says
    what the server, or the way to it, did.
    """
    if why := why_refused(url):
        raise NotHere(why)
    headers = {"User-Agent": f"saccade/{version('saccade')}", **headers}
    try:
        client = httpx2.Client(headers=headers, timeout=timeout, verify=certificates())
    except (ImportError, ValueError) as error:
        raise NotHere(f"cannot be asked for through the environment's proxy ({error})") from None
    with client:
        try:
            answer = _follow(client, client.build_request("GET", url))
        except httpx2.ConnectError as error:
            raise _unreachable(error) from None
        except httpx2.TransportError as error:
            raise NotNow(f"gave no answer ({error or type(error).__name__})") from None
        except httpx2.InvalidURL as error:
            raise NotHere(f"redirects to no web address ({error})") from None
        with closing(answer):
            if answer.status_code in (200, 206):
                yield answer
                return
            text = f"answers {answer.status_code} {answer.reason_phrase}"
            if answer.status_code not in TRY_AGAIN:
                raise NotHere(text, answer.status_code)
            pause: float | None = None
            with suppress(ValueError):  # none was named, or a date
                pause = min(max(float(answer.headers.get("Retry-After", "")), 0.0), MAX_RETRY_AFTER)
            raise NotNow(text, pause)


def _follow(client: httpx2.Client, asked: httpx2.Request) -> httpx2.Response:
    """The answer behind a few redirects, none of them from https to http or to a file."""
    for _ in range(MAX_REDIRECTS + 1):
        answer = client.send(asked, stream=True)
        if not answer.has_redirect_location:
            return answer
        answer.close()
        target = answer.url.join(answer.headers["Location"])
        if answer.url.scheme == "https" and target.scheme != "https":
            raise NotHere(f"redirects from https to {target.scheme}, which is refused")
        if why := why_refused(str(target)):
            raise NotHere(f"redirects to an address that {why}")
        asked = client.build_request("GET", target)
    raise NotHere(f"redirects more than {MAX_REDIRECTS} times")


def _unreachable(error: httpx2.ConnectError) -> Exception:
    causes: list[BaseException] = [error]  # the errors from which it came
    while cause := causes[-1].__cause__ or causes[-1].__context__:
        causes.append(cause)
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            hint = "where the network has its own, name it in SSL_CERT_FILE"
            return NotHere(f"its certificate is not trusted ({cause.verify_message}); {hint}")
    unknown = any(isinstance(cause, socket.gaierror) for cause in causes)
    reason = "its name cannot be looked up: is there a network?" if unknown else error
    return NotNow(f"cannot be reached ({reason})", unknown=unknown)


PROGRESS = 64 * 1024
"""Bytes that make an attempt count as a success, so that a bad line is tried again and again."""
UNKNOWN_TRIES = 2
"""Tries of a host whose name cannot be looked up, before it has answered once."""
LEEWAY = 10_000_000
"""How much more than twice an approximate size may come."""


@dataclass(frozen=True)
class Patience:
    """Timeouts of a download, in seconds, and how often a server is tried."""

    attempts: int = 6
    """In a row, without progress."""
    timeout: float = 30.0
    slowest: float = 500.0
    """Bytes a second, over `window`; below, the connection is given up and made anew."""
    window: float = 60.0
    max_pause: float = 60.0
    wait: Callable[[float], None] = time.sleep


class Wanted(NamedTuple):
    """A file to fetch, and what is known of it."""

    urls: tuple[str, ...]
    """Tried in turn."""
    sha256: str | None = None
    bytes: int | None = None
    """Exact where the SHA-256 is known, otherwise about."""


class Fetched(NamedTuple):
    """A file that was fetched."""

    url: str
    bytes: int
    sha256: str


class _Begun(NamedTuple):
    """The file of which `NAME.part` is the beginning."""

    url: str = ""
    validator: str = ""
    """An ETag or a date by which the server knows the version; empty if it gave none."""
    total: int | None = None


def fetch(
    wanted: Wanted,
    path: Path,
    patience: Patience | None = None,
    show: Show = lambda done, total: None,
    say: Callable[[str], object] = str,
) -> Fetched:
    """Fetch a file to `path`, from the first address that has it.

    `say` is told the reason and the length of each pause. Raises BadDownload where no address has
    it, where what comes is not the published file, and where the disk is too small.
    """
    faults = []
    for url in wanted.urls:
        try:
            return _Download(url, wanted, path, patience or Patience(), show, say).run()
        except NotHere as fault:
            faults.append(f"{url} {fault}")
    hint = "Run the same command later, it goes on where it stopped; or give --mirror URL."
    raise BadDownload(f"cannot be fetched: {'; '.join(faults)}", location=path.name, hint=hint)


@dataclass
class _Download:
    """The attempts to fetch one file from one address."""

    url: str
    wanted: Wanted
    path: Path
    patience: Patience
    show: Show
    say: Callable[[str], object]
    answered: bool = False

    def __post_init__(self) -> None:
        self.part = self.path.with_name(self.path.name + ".part")
        self.note = self.path.with_name(self.path.name + ".part.json")

    def run(self) -> Fetched:
        """Try until the file is whole. Raises NotHere when this address is of no use."""
        left, again = self.patience.attempts, True
        while True:
            before = self._size()
            try:
                digest, resumed = self._attempt()
            except NotNow as fault:
                left = self.patience.attempts if self._size() - before >= PROGRESS else left - 1
                tried = self.patience.attempts - left
                hopeless = fault.unknown and not self.answered and tried >= UNKNOWN_TRIES
                if left <= 0 or hopeless:
                    raise NotHere(f"{fault}, {tried} times in a row") from None
                pause = min(2.0**tried, self.patience.max_pause)
                pause = pause if fault.seconds is None else fault.seconds
                self.say(f"{self.path.name}: {self.url} {fault}; again in {pause:.0f} s")
                self.patience.wait(pause)
                continue
            if digest == (self.wanted.sha256 or digest):
                break
            self._drop()
            if not (resumed and again):
                known = f"{self.wanted.sha256} is the one that is known"
                raise NotHere(f"has another file: its SHA-256 is {digest}, {known}")
            again = False  # perhaps the beginning was bad: once more, from the start
        size = self._size()
        os.replace(self.part, self.path)
        self.note.unlink(missing_ok=True)
        return Fetched(self.url, size, digest)

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.is_file() else 0

    def _drop(self) -> None:
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)

    def _attempt(self) -> tuple[str, bool]:
        """Ask once for what is missing; returns the whole's SHA-256 and if it was resumed."""
        begun = None  # or what was begun, if it may be gone on with from this address
        with suppress(OSError, ValueError, TypeError, RecursionError):
            before = _Begun(**json.loads(self.note.read_text(encoding="utf-8")))
            same = before.url == self.url and bool(before.validator)
            if (same or self.wanted.sha256 is not None) and self._size():
                begun = before
        digest, have = hashlib.sha256(), 0
        if begun is not None:
            for some in chunks_of(self.part):
                digest.update(some)
                have += len(some)
            if have == begun.total:
                return digest.hexdigest(), True  # it was killed before it could be renamed
        headers = {"Accept-Encoding": "identity", "Accept": "*/*"}
        if begun is not None:
            headers["Range"] = f"bytes={have}-"
            if begun.url == self.url and begun.validator:
                headers["If-Range"] = begun.validator
        try:
            with request(self.url, headers, self.patience.timeout) as answer:
                self.answered = True
                total = self._total(answer, begun, have)
                resumed = answer.status_code == 206
                if not resumed:
                    digest, have = hashlib.sha256(), 0
                needed = (total or self.wanted.bytes or 0) - have
                hint = "give another disk: --to DIR"
                refuse_small_disk(BadDownload, self.path.parent, self.path.name, needed, hint)
                with self.part.open("ab" if resumed else "wb") as stream:
                    note = _Begun(self.url, _validator(answer.headers), total)
                    write_json(self.note, note._asdict())
                    self._copy(answer, stream, digest, (have, total))
        except NotHere as fault:
            if begun is not None and fault.status == 416:
                self._drop()
                raise NotNow("has a file of another length now") from None
            raise
        return digest.hexdigest(), resumed

    def _total(self, answer: httpx2.Response, begun: _Begun | None, have: int) -> int | None:
        """How long the whole file is, by the answer; None if it does not say.

        Raises NotHere for what cannot be the file, NotNow where the beginning does not fit.
        """
        headers = answer.headers
        if headers.get("Content-Encoding", "identity") != "identity":
            raise NotHere("sends the file in another coding than was asked for")
        is_page = headers.get("Content-Type", "").lower().startswith("text/html")
        if is_page and self.path.suffix != ".html":
            raise NotHere("answers with a web page: perhaps the network asks to log in first")
        length = headers.get("Content-Length")
        total = int(length) if length is not None and length.isdecimal() else None
        if answer.status_code == 206:
            span = re.fullmatch(r"bytes (\d+)-\d+/(\d+)", headers.get("Content-Range", ""))
            total = int(span[2]) if span else None
            same = begun is not None and begun.total in (None, total)
            if begun is not None and begun.url == self.url and begun.validator:
                same = same and _validator(headers) in ("", begun.validator)
            if span is None or int(span[1]) != have or not same:
                self._drop()
                raise NotNow("has another version of the file now")
        elif total is None and "Transfer-Encoding" not in headers and self.wanted.sha256 is None:
            raise NotHere("does not say how long the file is, so nobody can tell if all came")
        known = self.wanted.bytes
        if self.wanted.sha256 and known and total not in (None, known):
            raise NotHere(f"has another file: {total:,} bytes, {known:,} are known")
        if known and (total or 0) > 2 * known + LEEWAY:
            raise NotHere(f"has {size_in_words(total)}, about {size_in_words(known)} are expected")
        return total

    def _copy(
        self, answer: httpx2.Response, stream: IO[bytes], digest: Any, at: tuple[int, int | None]
    ) -> None:
        """Write all that comes. Raises NotNow if it is cut or crawls, NotHere if it is too long."""
        have, total = at
        known = self.wanted.bytes
        limit = total if total is not None else known and 2 * known + LEEWAY
        since, before = time.monotonic(), have
        try:
            for some in answer.iter_raw():
                have += len(some)
                if limit is not None and have > limit:
                    raise NotHere("sends more than it announced")
                stream.write(some)
                digest.update(some)
                self.show(have, total)
                if (passed := time.monotonic() - since) >= self.patience.window:
                    if have - before < self.patience.slowest * passed:
                        raise NotNow(f"is too slow ({(have - before) / passed:.0f} bytes a second)")
                    since, before = time.monotonic(), have
        except httpx2.TransportError as error:
            raise NotNow(f"broke off ({error or type(error).__name__})") from None
        if total is not None and have < total:
            raise NotNow(f"was cut off after {have:,} of {total:,} bytes")
        to_disk(stream)


def _validator(headers: httpx2.Headers) -> str:
    """The mark of a file's version: a strong ETag, else its date."""
    tag = headers.get("ETag", "")
    return str(tag if tag.startswith('"') else headers.get("Last-Modified", ""))
