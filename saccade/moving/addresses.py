"""Opening web addresses: http and https alone, through the environment's proxy.

`HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY` say which proxy; `SSL_CERT_FILE` and `SSL_CERT_DIR` name
certificates of a network's own. Nothing is ever sent but the request for a file.
"""

import socket
import ssl
from http.client import HTTPException, HTTPResponse
from importlib.metadata import version
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)

from saccade.core.errors import BadConfig

TRY_AGAIN = {408, 425, 429, 500, 502, 503, 504}
"""Answers that mean: not now."""
LONGEST_WAIT = 300.0


class NotNow(Exception):
    """A fault that may pass: the same address is tried again, after `seconds` if it said so.

    `unknown` means that nobody could say which machine that is.
    """

    def __init__(self, what: str, seconds: float | None = None, *, unknown: bool = False) -> None:
        self.seconds, self.unknown = seconds, unknown
        super().__init__(what)


class NotHere(Exception):
    """A fault that will not pass: another address is tried."""

    def __init__(self, what: str, status: int | None = None) -> None:
        self.status = status
        super().__init__(what)


class _Redirects(HTTPRedirectHandler):
    """Followed a few times, and never from https to http."""

    max_redirections = 5

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> Request | None:
        if urlsplit(req.full_url).scheme == "https" and urlsplit(newurl).scheme != "https":
            raise NotHere(f"redirects from https to {newurl.partition(':')[0]}, which is refused")
        if why := why_refused(newurl):
            raise NotHere(f"redirects to an address that {why}")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def why_refused(url: str) -> str | None:
    """What is wrong with an address, None if it may be opened."""
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
        raise BadConfig(f"--mirror {url!r} {why}", cure="Write https://HOST/FOLDER.")
    return url.rstrip("/")


def request(url: str, headers: dict[str, str], timeout: float) -> HTTPResponse:
    """Ask for a file and return the open answer, of status 200 or 206.

    Raises NotNow or NotHere, whose text says what the server, or the way to it, did.
    """
    if why := why_refused(url):
        raise NotHere(why)
    try:
        answer = _opener().open(Request(url, headers=headers), timeout=timeout)
    except HTTPError as error:
        with error:
            raise _said(error) from None
    except URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise NotHere(
                f"its certificate is not trusted ({error.reason.verify_message}); "
                "where the network has its own, name it in SSL_CERT_FILE"
            ) from None
        unknown = isinstance(error.reason, socket.gaierror)
        reason = "its name cannot be looked up: is there a network?" if unknown else error.reason
        raise NotNow(f"cannot be reached ({reason})", unknown=unknown) from None
    except (OSError, HTTPException) as error:
        raise NotNow(f"gave no answer ({error or type(error).__name__})") from None
    if not isinstance(answer, HTTPResponse) or answer.status not in (200, 206):
        raise NotHere(f"answers with status {answer.status}")
    return answer


def _opener() -> OpenerDirector:
    """Only what is named here can be opened: no file, no FTP."""
    opener = OpenerDirector()
    handlers = (ProxyHandler, HTTPHandler, HTTPSHandler, _Redirects)
    for kind in (*handlers, HTTPDefaultErrorHandler, HTTPErrorProcessor):
        opener.add_handler(kind())
    opener.addheaders = [("User-Agent", f"saccade/{version('saccade')}")]
    return opener


def _said(error: HTTPError) -> Exception:
    text = f"answers {error.code} {error.reason}"
    if error.code not in TRY_AGAIN:
        return NotHere(text, error.code)
    try:
        seconds = float(error.headers.get("Retry-After", ""))
    except ValueError:
        return NotNow(text)  # none was named, or a date
    return NotNow(text, min(max(seconds, 0.0), LONGEST_WAIT))
