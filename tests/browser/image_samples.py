"""Image files as a person gives them to the page."""

import io

from PIL import Image, ImageDraw


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
