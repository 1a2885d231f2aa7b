"""The start of a server: cheap refusals first, then the runs, then requests.

The socket is there before the runs are loaded: a port that is taken is told at once, and clients
that come early wait.
"""

import gc
from collections.abc import Callable, Mapping
from pathlib import Path

from saccade.server.security import Doorkeeper, check_origins, find_token
from saccade.server.server import Server, listen
from saccade.server.settings import ServeSettings

CPU_BATCH, GPU_BATCH = 8, 32


def serve(
    runs: Mapping[str, Path], settings: ServeSettings, ready: Callable[[Server], None]
) -> Server:
    """Serve runs until the server is stopped: see `saccade.serve`."""
    token = find_token(settings.host, settings.token_file)
    origins = check_origins(settings.allow_origins)
    doorkeeper = Doorkeeper([settings.host, *settings.allow_hosts], origins, token)
    with listen(settings.host, settings.port) as socket:
        # Imported here: the refusals above need none of it.
        from saccade.inference.predictor import load  # noqa: PLC0415
        from saccade.server.app import create_app  # noqa: PLC0415
        from saccade.server.runs import ServedRun  # noqa: PLC0415
        from saccade.server.service import Service  # noqa: PLC0415

        loaded = []
        for name, path in runs.items():
            run = load(path, settings.device)
            batch_size = GPU_BATCH if run.device.type == "cuda" else CPU_BATCH
            loaded.append(ServedRun(name, run, settings.batch_size or batch_size))
        service = Service(loaded, queue=settings.queue, cache=settings.cache)
        app = create_app(service, doorkeeper, origins, settings.timeout)
        server = Server(app, service, socket, settings.timeout)
        # What is there now stays: without this, the garbage collector looks through the network
        # and all libraries again and again, a fifth of the time of a request.
        gc.collect()
        gc.freeze()
        try:
            server.serve_until_stopped(ready)
        finally:
            gc.unfreeze()
            service.close()
    return server
