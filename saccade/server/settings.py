"""Settings of `saccade serve`."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from saccade.core.errors import BadConfig
from saccade.core.formatting import byte_size
from saccade.core.settings import Settings


def _bytes(size: Any) -> Any:
    """A number of bytes from what a person writes."""
    try:
        return byte_size(size) if isinstance(size, str) else size
    except BadConfig as error:
        raise ValueError(f"{error.message}. {error.hint}") from None


class ServeSettings(Settings):
    """Where a server is reached, and its limits."""

    host: str = "127.0.0.1"
    """To listen on; any but 127.0.0.1, localhost and ::1 needs a token."""
    port: int = Field(8000, ge=0, le=65535)
    """0 takes a free one."""
    device: str = "auto"
    """`auto` is the GPU where there is one."""
    batch_size: int | None = Field(None, ge=1, le=1024)
    """Images, questions or captions at once; by default 32 on a GPU, and 8 on a CPU."""
    queue: int = Field(256, ge=1)
    """Questions and captions that are accepted and not yet answered; more are refused with 429."""
    timeout: float = Field(30.0, gt=0, le=3600)
    """Seconds for a request to come, and again for its answer."""
    cache: Annotated[int, BeforeValidator(_bytes), Field(ge=0)] = 500_000_000
    """Bytes of encoded images that are kept; also as text, such as 500MB."""
    token_file: Path | None = None
    """A file with the token, read again when it changes; else it is the environment's
    SACCADE_TOKEN."""
    allow_hosts: tuple[str, ...] = ()
    """Names of this server in addresses, beside localhost and its IP addresses."""
    allow_origins: tuple[str, ...] = ()
    """Origins of pages elsewhere that may ask, such as https://example.org."""
