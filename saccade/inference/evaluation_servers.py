"""The forms in which evaluation servers take predictions; `docs/predict.md` says whose rules."""

from __future__ import annotations  # so that the list of servers imports no NumPy

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from saccade.core.errors import BadConfig, BadData
from saccade.core.tasks import TASK_INFO, TaskName

if TYPE_CHECKING:
    from saccade.inference.prediction_inputs import Id, Inputs


class Server(NamedTuple):
    """What an evaluation server asks of a file: one JSON list, an object for each prediction."""

    title: str
    task: TaskName
    key: str
    """The field of the id."""
    text: str
    """The field of the answer or caption."""
    id: Literal["number", "text", "file"]
    """How it wants an id: as a number, as text, or the name of the image file."""
    file_name: str
    """The name that the file must have. `subset` is the released name of the split, `data` VQA's
    kind of images, `name` what the user calls the results."""


SERVERS: Mapping[str, Server] = {
    "vqa": Server(
        "VQA v1, v2 and abstract scenes, open-ended",
        "vqa",
        "question_id",
        "answer",
        "number",
        "vqa_OpenEnded_{data}_{subset}_{name}_results.json",
    ),
    "gqa": Server("GQA", "vqa", "questionId", "prediction", "text", "gqa_{subset}_{name}.json"),
    "vizwiz-vqa": Server(
        "VizWiz-VQA", "vqa", "image", "answer", "file", "vizwiz_vqa_{subset}_{name}.json"
    ),
    "textvqa": Server(
        "TextVQA on EvalAI",
        "vqa",
        "question_id",
        "answer",
        "number",
        "textvqa_{subset}_{name}.json",
    ),
    "coco-captions": Server(
        "COCO captions",
        "caption",
        "image_id",
        "caption",
        "number",
        "captions_{subset}_{name}_results.json",
    ),
    "nocaps": Server(
        "nocaps on EvalAI",
        "caption",
        "image_id",
        "caption",
        "number",
        "nocaps_{subset}_{name}.json",
    ),
    "vizwiz-captions": Server(
        "VizWiz-Captions on EvalAI",
        "caption",
        "image_id",
        "caption",
        "number",
        "vizwiz_captions_{subset}_{name}.json",
    ),
    "textcaps": Server(
        "TextCaps on EvalAI",
        "caption",
        "image_id",
        "caption",
        "text",
        "textcaps_{subset}_{name}.json",
    ),
}


def choose_server(name: str, task: TaskName) -> Server:
    """The server of that name. Raises BadConfig where there is none, or none for the task."""
    fitting = [one for one, server in SERVERS.items() if server.task == task]
    if name not in fitting:
        problem = "is not known" if name not in SERVERS else "takes what this run does not predict"
        hint = f"Servers that take {TASK_INFO[task].predictions}: {', '.join(fitting)}."
        raise BadConfig(f"the server {name!r} {problem}", hint=hint)
    return SERVERS[name]


def server_ids(server: Server, inputs: Inputs) -> list[Id]:
    """The ids as the server wants them, in the order of the inputs.

    Raises BadConfig for inputs that are no split, BadData for ids that the server cannot have.
    """
    if inputs.folder is None:
        hint = "Give a data folder, and --split."
        raise BadConfig(f"{server.title} judges a whole split, these are single images", hint=hint)
    location, ids = inputs.folder.path, inputs.ids
    if server.id == "file":
        ids = [Path(inputs.images[place].file).name for place in inputs.image.tolist()]
    found = [_in_form(server, id_) for id_ in ids]
    hint = f"Prepare the data set of {server.title}, or choose another --for."
    if (place := next((n for n, id_ in enumerate(found) if id_ is None), None)) is not None:
        message = f"the id {ids[place]!r} is no number, and {server.title} wants numbers"
        raise BadData(message, location=location, hint=hint)
    if len(set(found)) < len(found):
        message = f"{len(found) - len(set(found))} predictions share their {server.key} with others"
        raise BadData(message, location=location, hint=hint)
    return [id_ for id_ in found if id_ is not None]


def _in_form(server: Server, id_: Id) -> Id | None:
    if server.id != "number":
        return str(id_)
    return int(id_) if re.fullmatch(r"\d{1,18}", str(id_)) else None


def server_rows(
    server: Server, ids: Sequence[Id], texts: Iterator[str], location: Path
) -> Iterator[dict[str, Any]]:
    """The objects of the file. Raises BadData where a text is empty."""
    for id_, text in zip(ids, texts, strict=True):
        if not text.strip():
            message = f"the {server.text} of {server.key} {id_} is empty"
            hint = "The server refuses that; the model's answer list holds an empty answer."
            raise BadData(message, location=location, hint=hint)
        yield {server.key: id_, server.text: text}


def server_file_name(server: Server, inputs: Inputs, name: str) -> str:
    """The name that the server asks for; `name` is what the user calls the results."""
    assert inputs.folder is not None
    read = [Path(file).name for file in inputs.folder.about.get("files", {}).get("read", ())]
    names = [*read, *(image.file for image in inputs.images[:1])]
    split = inputs.split or "test"
    patterns = rf"(?<![a-z]){split}(?:-?dev)?\d{{4}}", rf"(?<![a-z]){split}-?dev(?![a-z])"
    found = (re.search(pattern, one) for pattern in patterns for one in names)
    subset = next((match[0] for match in found if match), split)
    kinds = (re.search(r"OpenEnded_([a-zA-Z0-9]+(?:_v\d+)?)_", one) for one in read)
    data = next((match[1] for match in kinds if match), "mscoco")
    plain = re.sub(r"[^A-Za-z0-9-]+", "-", name).strip("-") or "results"
    return server.file_name.format(data=data, subset=subset, name=plain)
