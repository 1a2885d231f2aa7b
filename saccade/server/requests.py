"""Requests read from their bodies: JSON with base64, or a form with a file. Both have limits.

Nothing is guessed and nothing is repaired: another content type, a field that is not known, a part
too many, or text that is not UTF-8 is refused.
"""

import binascii
import re
from base64 import b64decode
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError, create_model
from python_multipart.multipart import MultipartParser, parse_options_header

from saccade.server.refusals import Refusal, plain

MAX_IMAGE = 20_000_000
"""Bytes of an image file."""
MAX_BODY = 28_000_000
"""Bytes of a request: such an image in base64, and the rest."""
MAX_PARTS = 64
"""Of a form."""
MAX_TEXT = 8000
"""Bytes of a part that is no file."""
IMAGE_TYPES = re.compile(r"image/[\w.+-]+|application/(octet-stream|dicom)")
"""Content types of the part with the image."""
CONTENT_TYPES = "multipart/form-data, or application/json with the image in base64"

Fields = TypeVar("Fields", bound=BaseModel)


def read_request(content_type: str, body: bytes, fields: type[Fields]) -> tuple[bytes, Fields]:
    """The image file and the other fields of a request. Raises Refusal."""
    kind, options = parse_options_header(content_type)
    if kind == b"application/json" and options.get(b"charset", b"utf-8").lower() == b"utf-8":
        image, found = _read_json(body, fields)
    elif (
        kind == b"multipart/form-data" and 0 < len(boundary := options.get(b"boundary", b"")) <= 70
    ):
        image, found = _read_form(_parts(body, boundary), fields)
    else:
        message = f"the content type {plain(content_type) or 'is missing'!r} is not read"
        raise Refusal(415, message, f"Send {CONTENT_TYPES}.", "Content-Type")
    if not image:
        raise Refusal(422, "the image is empty", "Send the bytes of an image file.", "image")
    if len(image) > MAX_IMAGE:
        message = f"the image has {len(image):,} bytes, more than {MAX_IMAGE:,}"
        raise Refusal(413, message, "Send a smaller copy of it.", "image")
    return image, found


def _read_json(body: bytes, fields: type[Fields]) -> tuple[bytes, Fields]:
    with_image = create_model(fields.__name__, __base__=fields, image=(str, ...))
    try:
        found = with_image.model_validate_json(body, strict=True)
    except ValidationError as error:
        raise _wrong(error) from None
    values = dict(found)
    text = values.pop("image")
    try:
        image = b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:  # ValueError: letters that are not ASCII
        hint = "Encode the file's bytes in base64, without an address in front."
        raise Refusal(422, f"the image is no base64 ({error})", hint, "image") from None
    return image, fields.model_validate(values)


def _read_form(parts: list[tuple[str, str, bytes]], fields: type[Fields]) -> tuple[bytes, Fields]:
    images, given = list[bytes](), dict[str, Any]()
    for name, content_type, data in parts:
        if name == "image":
            if content_type and not IMAGE_TYPES.fullmatch(content_type):
                message = f"the image's content type is {plain(content_type)}"
                raise Refusal(415, message, "Send it as image/jpeg, image/png or such.", "image")
            images.append(data)
            continue
        text = _text(name, data)
        if name == "question":
            given.setdefault("questions", []).append(text)
        elif name in given or name == "questions":
            hint = "Repeat only `question`, once for each question."
            raise Refusal(422, "the field is not to be repeated", hint, plain(name))
        else:
            given[name] = _number(text) if name in ("top", "beam_size") else text
    if len(images) != 1:
        message = f"the form has {len(images) or 'no'} parts called image"
        raise Refusal(422, message, "Send one image file in one request.", "image")
    try:
        return images[0], fields.model_validate(given, strict=True)
    except ValidationError as error:
        raise _wrong(error, form=True) from None


def _text(name: str, data: bytes) -> str:
    if len(data) > MAX_TEXT:
        message = f"the field has {len(data):,} bytes, more than {MAX_TEXT:,}"
        raise Refusal(413, message, "Send less text.", plain(name))
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise Refusal(422, "the text is not UTF-8", "Send UTF-8.", plain(name)) from None


def _number(text: str) -> int | str:
    """The whole number that a text is, else the text, which is refused later."""
    return int(text) if re.fullmatch(r"-?[0-9]{1,9}", text) else text


def _parts(body: bytes, boundary: bytes) -> list[tuple[str, str, bytes]]:
    """The parts of a form: name, content type and data of each. Raises Refusal."""
    parts: list[tuple[dict[str, str], bytearray]] = []
    header, value, ended = bytearray(), bytearray(), list[bool]()

    def add_part() -> None:
        if len(parts) == MAX_PARTS:
            hint = "Send the image, and each question once."
            raise Refusal(413, f"the form has more than {MAX_PARTS} parts", hint)
        parts.append(({}, bytearray()))

    def end_header() -> None:
        parts[-1][0][header.decode("latin-1").lower()] = value.decode("latin-1")
        header.clear()
        value.clear()

    parser = MultipartParser(
        boundary,
        {
            "on_part_begin": add_part,
            "on_part_data": lambda data, start, end: parts[-1][1].extend(data[start:end]),
            "on_header_field": lambda data, start, end: header.extend(data[start:end]),
            "on_header_value": lambda data, start, end: value.extend(data[start:end]),
            "on_header_end": end_header,
            "on_end": lambda: ended.append(True),
        },
    )
    try:
        parser.write(body)
        parser.finalize()
    except ValueError as error:  # MultipartParseError is one
        raise Refusal(400, f"the form is broken ({plain(error)})", "Send it again.") from None
    if not ended:
        raise Refusal(400, "the form ends before its last boundary", "Send it again.")
    return [(*_name_and_type(headers), bytes(data)) for headers, data in parts]


def _name_and_type(headers: dict[str, str]) -> tuple[str, str]:
    kind, options = parse_options_header(headers.get("content-disposition", ""))
    if kind != b"form-data" or b"name" not in options:
        hint = 'Begin each part with: Content-Disposition: form-data; name="..."'
        raise Refusal(400, "a part of the form has no name", hint)
    content_type, _ = parse_options_header(headers.get("content-type", ""))
    return options[b"name"].decode("latin-1"), content_type.decode("latin-1")


def _wrong(error: ValidationError, *, form: bool = False) -> Refusal:
    """The refusal for fields that are not as they should be: the first problem."""
    problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
    location = ".".join(map(str, problem["loc"])) or None
    if form and location is not None:
        location = location.replace("questions", "question")
    if problem["type"] == "json_invalid":
        return Refusal(
            400, f"the body is no JSON ({plain(problem['msg'], 150)})", "Send UTF-8 JSON."
        )
    hint = "See /openapi.json."
    return Refusal(422, plain(problem["msg"], 150), hint, location and plain(location))
