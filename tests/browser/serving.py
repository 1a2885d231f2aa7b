"""A server in this process, and image files to give to its page."""

import io
import queue
import warnings
from contextlib import contextmanager
from threading import Thread

from PIL import Image, ImageDraw

from saccade.api import serve
from saccade.core.errors import SaccadeWarning


@contextmanager
def serving(*runs):
    """The address of a server of runs, in a thread of this process."""
    told = queue.Queue()

    def run():
        try:
            serve(*runs, port=0, device="cpu", ready=told.put)
        except BaseException as error:
            told.put(error)
            raise

    thread = Thread(target=run)
    with warnings.catch_warnings():  # what a run was warned of in training is warned of again
        warnings.simplefilter("ignore", SaccadeWarning)
        thread.start()
        server = told.get(timeout=120)
    if isinstance(server, BaseException):
        raise server
    yield server.address
    server.stop()
    thread.join(60)
    assert not thread.is_alive()


def an_image(width=96, height=64, kind="PNG"):
    """A file's bytes: a red disc on the left."""
    image = Image.new("RGB", (width, height), "#dfe6ee")
    ImageDraw.Draw(image).ellipse((8, 12, 48, 52), fill="#d0342c")
    stream = io.BytesIO()
    image.save(stream, format=kind)
    return stream.getvalue()


def upload(name="disc.png", kind="image/png", content=None):
    """A file as playwright gives it to an input."""
    return {"name": name, "mimeType": kind, "buffer": an_image() if content is None else content}
