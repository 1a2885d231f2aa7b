"""Who may ask: the names of this server, the origins of pages, and the token.

A page of another site that a browser has open can send requests to 127.0.0.1. So the name in Host
must be one of this server's (else a foreign name was pointed here), and an Origin must be this
server's or a named one.
"""

import hmac
import os
import re
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from saccade.core.errors import BadConfig
from saccade.server.refusals import Refusal, plain

LOCAL = ("127.0.0.1", "localhost", "::1")
"""Hosts to listen on that need no token: only this machine reaches them."""
VARIABLE = "SACCADE_TOKEN"
MIN_TOKEN = 16
MAKE_ONE = 'Make one: python -c "import secrets; print(secrets.token_urlsafe())"'
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), geolocation=(), microphone=()",
}
"""Of every response."""


class Token:
    """The secret of a server, from a file that is read again when it changes, or as it is."""

    def __init__(self, file: Path | None, given: str | None = None) -> None:
        """Raises BadConfig where the token is missing, short, or no printable ASCII."""
        self._file, self._given = file, given
        self._read: tuple[object, bytes] | None = None
        self._current()

    def _current(self) -> bytes:
        """The token now. Raises BadConfig."""
        if self._file is None:
            return _checked(self._given or "", VARIABLE)
        try:
            state = self._file.stat()
            version = (state.st_mtime_ns, state.st_size, state.st_ino)
            if self._read is None or self._read[0] != version:
                text = self._file.read_text(encoding="utf-8")
                self._read = version, _checked(text.strip(), str(self._file))
        except (OSError, ValueError) as error:
            self._read = None
            message = f"the file of the token cannot be read ({type(error).__name__})"
            raise BadConfig(message, location=self._file, hint=MAKE_ONE) from None
        return self._read[1]

    def accepts(self, given: bytes) -> bool:
        """Whether a client gave it. While there is none, none is right."""
        try:
            return hmac.compare_digest(given, self._current())
        except BadConfig:
            return False


def _checked(token: str, location: str) -> bytes:
    if not re.fullmatch(f"[!-~]{{{MIN_TOKEN},}}", token):
        message = f"a token has at least {MIN_TOKEN} letters and digits, and no blanks"
        raise BadConfig(message, location=location, hint=MAKE_ONE)
    return token.encode()


def find_token(host: str, file: Path | None) -> Token | None:
    """The token of a server that listens on `host`; none is needed where only this machine is.

    Raises BadConfig where one is needed and there is none.
    """
    given = os.environ.get(VARIABLE)
    if file is None and not given:
        if host in LOCAL:
            return None
        message = f"{host} can be reached from other machines, and there is no token"
        hint = f"Put one into the environment as {VARIABLE}, or give --token-file. {MAKE_ONE}"
        raise BadConfig(message, location="--host", hint=hint)
    return Token(file, given)


def check_origins(origins: Iterable[str]) -> list[str]:
    """Origins of pages elsewhere, as browsers write them. Raises BadConfig for anything else."""
    for origin in origins:
        if not re.fullmatch(r"https?://[a-z0-9.-]+(:\d+)?|https?://\[[0-9a-f:]+\](:\d+)?", origin):
            hint = "Write scheme, name and port, such as https://example.org:8443"
            raise BadConfig(f"{origin!r} is no origin", location="--allow-origin", hint=hint)
    return [*origins]


class Doorkeeper:
    """Checks of a request's headers, before its body is read."""

    def __init__(self, hosts: Iterable[str], origins: Iterable[str], token: Token | None) -> None:
        """`hosts` are names of this server beside localhost and addresses."""
        self._hosts = {"localhost", *map(str.lower, hosts)}
        self._origins, self._token = frozenset(origins), token

    def check(self, headers: Mapping[str, str], *, needs_token: bool) -> None:
        """Raise Refusal for a request that this server should not answer."""
        self._check_host(headers.get("host", ""))
        self._check_origin(headers.get("origin"), headers.get("host", ""))
        if needs_token and self._token is not None:
            scheme, _, given = headers.get("authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not self._token.accepts(given.strip().encode()):
                hint = "Send the header: Authorization: Bearer TOKEN"
                why = {"WWW-Authenticate": "Bearer"}
                raise Refusal(401, "the token is missing or wrong", hint, "Authorization", why)

    def _check_host(self, host: str) -> None:
        name = _name_of(host)
        if name is None or not (name in self._hosts or _is_address(name)):
            hint = "Use its address, or start it with --allow-host and that name."
            message = f"{plain(host)!r} is not the name of this server"
            raise Refusal(421, message, hint, "Host")

    def _check_origin(self, origin: str | None, host: str) -> None:
        if origin is None or origin in self._origins:
            return
        if origin.partition("://")[2].lower() != host.lower() or "://" not in origin:
            hint = "Open this server's own page, or start it with --allow-origin."
            raise Refusal(403, f"pages of {plain(origin)} may not ask", hint, "Origin")


def _name_of(host: str) -> str | None:
    """The name in a Host header, without the port."""
    if not re.fullmatch(r"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?", host):
        return None
    return urlsplit(f"//{host}").hostname


def _is_address(name: str) -> bool:
    """Whether a name is an IP address: nobody can point that elsewhere."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
