"""Predictions for many images: `saccade predict`, batched, resumable, in constant memory.

Regions come from the data folder's store where it has one, else from image files, which are encoded
as `extract` does. Images go through in batches, each with all that is asked about them.

Shapes: I images of a batch, R regions, D numbers per region, N predictions in all.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from pydantic import Field

from saccade.core.devices import choose_device
from saccade.core.files import sha256_of, write_json
from saccade.core.run_files import refuse_replacing
from saccade.core.settings import Settings, checked_settings
from saccade.data.batch import Batch
from saccade.data.checks import refuse_wrong_root
from saccade.data.records import Split
from saccade.experiment import assemble_for_run
from saccade.features.images import ImageBatches
from saccade.features.store import FeatureStore
from saccade.features.store_format import Skipped
from saccade.inference.batched import image_batch, question_batches
from saccade.inference.decoding import rules_of
from saccade.inference.evaluation_servers import (
    Server,
    choose_server,
    server_file_name,
    server_ids,
    server_rows,
)
from saccade.inference.prediction_files import (
    JOURNAL,
    SKIPPED,
    Journal,
    Row,
    beside,
    write_predictions,
)
from saccade.inference.prediction_inputs import Id, Inputs, read_inputs
from saccade.inference.predictor import Run
from saccade.inference.progress import prediction_bar, say_end, say_start, say_unknown
from saccade.metrics.vqa import cost_of_form, warn_of_form
from saccade.run_folder import OpenedRun, open_run
from saccade.text.answers import OFFICIAL, is_official_form
from saccade.text.segmentation import as_sentence


class PredictSettings(Settings):
    """How predictions are made, beside run and inputs; described at `saccade.predict`."""

    server: str | None = None
    name: str | None = None
    features: str | None = None
    beam_size: int | None = Field(None, ge=1)
    batch_size: int = Field(32, ge=1)
    workers: int = Field(0, ge=0)
    device: str = "auto"
    progress: bool | None = None


class EncodedBatch(NamedTuple):
    """Consecutive images as a model takes them; one that cannot be read shows nothing."""

    batch: Batch
    skipped: dict[int, str]
    """Why an image cannot be read, by its place among all."""


def predict(
    run: Path,
    given: Sequence[Path],
    out: Path,
    *,
    split: Split | None = None,
    questions: Sequence[str] = (),
    image_root: Path | None = None,
    **options: Any,
) -> Path:
    """Predict for inputs, see `saccade.predict`; returns the file that was written."""
    settings = checked_settings(PredictSettings, "predict", **options)
    opened = open_run(run)
    task = opened.header.recipe.task
    server = choose_server(settings.server, task) if settings.server else None
    asks = task == "vqa"
    inputs = read_inputs(
        given, asks_question=asks, split=split, questions=questions, image_root=image_root
    )
    ids = server_ids(server, inputs) if server else inputs.ids
    if server and out.suffix.lower() != ".json":
        out = out / server_file_name(server, inputs, settings.name or run.resolve().name)
    refuse_replacing(out, [run, *given])
    store = _store(opened, inputs, settings.features)
    if store is None:
        refuse_wrong_root(inputs.root, inputs.images)
    loaded = Run(opened, choose_device(settings.device))
    out.parent.mkdir(parents=True, exist_ok=True)
    about = _fingerprints(loaded, inputs, store, settings)
    with closing(Journal(beside(out, JOURNAL), about)) as journal:
        order = _predict_all(loaded, inputs, store, journal, settings)
        journal.sync()
        skipped = _write(out, server, inputs, ids, journal, order)
        journal.remove()
    say_end(out, len(inputs.ids), skipped, beside(out, SKIPPED))
    return out


def _store(opened: OpenedRun, inputs: Inputs, features: str | None) -> FeatureStore | None:
    """The data folder's features for the run; None where it has none, or there is no folder."""
    if inputs.folder is None or not (features or inputs.folder.stores()):
        return None
    return assemble_for_run(opened, inputs.folder, features).store


def _fingerprints(
    run: Run, inputs: Inputs, store: FeatureStore | None, settings: PredictSettings
) -> dict[str, Any]:
    """What predictions depend on, by what a message calls it."""
    files = ("model.safetensors", "words.json", "run.json")
    if store is not None:
        images = hashlib.sha256(store.header.model_dump_json().encode()).hexdigest()
    else:
        digest = hashlib.sha256()
        for image in inputs.images:
            about = None
            with suppress(OSError, ValueError):  # it is named when it is read
                about = (inputs.root / image.file).stat()
            digest.update(f"{about and (about.st_size, about.st_mtime_ns)}".encode())
        images = digest.hexdigest()
    return {
        "weights": [sha256_of(run.opened.path / file) for file in files],
        "inputs": inputs.fingerprint(),
        "features or images": images,
        "options": [settings.server, settings.beam_size],
    }


def _predict_all(
    run: Run,
    inputs: Inputs,
    store: FeatureStore | None,
    journal: Journal,
    settings: PredictSettings,
) -> np.ndarray:
    """Complete the journal; returns the order of its lines, (N,) places in the inputs."""
    order = np.argsort(inputs.image, kind="stable")
    size, count = settings.batch_size, len(inputs.images)
    begins = np.searchsorted(inputs.image[order], [*range(0, count, size), count])
    # A batch is made anew unless all of it is there, so that each is what it would have been.
    done = int(np.searchsorted(begins, len(journal), side="right")) - 1
    journal.keep(int(begins[done]))
    source = "image files" if store is None else str(store.path)
    say_start(len(order), len(journal), source, str(run.device))
    batches = _from_files if store is None else _from_store
    filled, predictions = settings.server is not None, begins[done:]
    with prediction_bar(len(order), len(journal), settings.progress) as bar:
        encoded = batches(run, inputs, store, done, settings)
        for begin, end, some in zip(predictions[:-1], predictions[1:], encoded, strict=True):
            places = order[begin:end]
            journal.add(_entries(run, inputs, places, some, settings.beam_size, filled))
            bar.advance(bar.task_ids[0], len(places))
    return order


def _from_store(
    run: Run, inputs: Inputs, store: FeatureStore | None, done: int, settings: PredictSettings
) -> Iterator[EncodedBatch]:
    """The batches of images behind the first `done`, from a store."""
    assert store is not None
    rows = store.rows([image.id for image in inputs.images])
    reasons = {one.id: one.reason for one in store.skipped()}
    for begin in range(done * settings.batch_size, len(rows), settings.batch_size):
        some = rows[begin : begin + settings.batch_size]
        regions, mask = store.read(some)
        most = max(int(store.counts[some].max()), 1)
        regions, mask = regions[:, :most], mask[:, :most]
        lacking = np.flatnonzero(~mask.any(axis=1))
        regions[lacking], mask[lacking, 0] = 0, True
        images = image_batch(torch.from_numpy(regions), torch.from_numpy(mask)).to(run.device)
        with torch.inference_mode():
            batch = run.encode_batch(images)
        ids = {begin + n: inputs.images[begin + n].id for n in lacking.tolist()}
        why = {place: reasons.get(id_, "it has no features") for place, id_ in ids.items()}
        yield EncodedBatch(batch, why)


def _from_files(
    run: Run, inputs: Inputs, _store: FeatureStore | None, done: int, settings: PredictSettings
) -> Iterator[EncodedBatch]:
    """The batches of images behind the first `done`, read from their files and encoded."""
    resizing, size = run.opened.header.store.preprocessing, settings.batch_size
    numbered = [image._replace(id=n) for n, image in enumerate(inputs.images)]
    left = ImageBatches(inputs.root, numbered[done * size :], resizing, size)
    for read in left.loader(settings.workers, pin=run.device.type == "cuda"):
        shape = (len(read.readable), 3, resizing.height, resizing.width)
        pixels, readable = torch.zeros(shape, dtype=torch.uint8), torch.from_numpy(read.readable)
        pixels[readable] = read.pixels
        sizes = np.where(read.readable[:, None], read.sizes, (resizing.width, resizing.height))
        encoded = run.encode_pixels(pixels, sizes)
        why = {one.id: one.reason for one in read.skipped}
        yield EncodedBatch(image_batch(encoded.regions, encoded.mask), why)


def _entries(
    run: Run,
    inputs: Inputs,
    places: np.ndarray,
    encoded: EncodedBatch,
    beam_size: int | None,
    filled: bool,
) -> Iterator[Row]:
    """The lines of the journal for some predictions; `filled` leaves none without a text."""
    images = inputs.image[places]
    if inputs.questions is None:
        found = _captions(run, encoded.batch, beam_size, filled)
    else:
        asked = [inputs.questions[place] for place in places.tolist()]
        found = _answers(run, encoded.batch, images - images[0], asked, filled)
    for image, entry in zip(images.tolist(), found, strict=True):
        if (reason := encoded.skipped.get(image)) is not None:
            entry["skipped"] = reason
            if not filled:
                entry |= {"text": "", "confidence": 0.0}
        yield entry


def _captions(
    run: Run, batch: Batch, beam_size: int | None, filled: bool
) -> Iterator[dict[str, Any]]:
    decode = run.opened.header.recipe.decode
    assert decode is not None
    rules = rules_of(run.opened.words.vocabulary, decode)
    if filled:  # a server refuses a caption without a word
        rules = replace(rules, min_length=max(rules.min_length, 1))
    for captions in run.write([batch], rules, beam_size):
        for one in captions:
            yield {"text": as_sentence(one.words), "confidence": round(one.confidence, 6)}


def _answers(
    run: Run, batch: Batch, image: np.ndarray, questions: Sequence[str], filled: bool
) -> Iterator[dict[str, Any]]:
    read = [run.read_question(question) for question in questions]
    pad, regions, mask = run.opened.words.vocabulary.pad, batch.regions, batch.region_mask
    batches = question_batches(regions, mask, image.tolist(), [one.ids for one in read], pad)
    answers = (one for answered in run.answer(batches) for one in answered.top)
    for words, ((text, confidence),) in zip(read, answers, strict=True):
        entry = {"text": text, "confidence": round(confidence, 6), "unknown": words.unknown}
        if not words.is_known:
            entry |= {"no_known_word": True, **({} if filled else {"text": "", "confidence": 0.0})}
        yield entry


def _write(
    out: Path,
    server: Server | None,
    inputs: Inputs,
    ids: Sequence[Id],
    journal: Journal,
    order: np.ndarray,
) -> list[Skipped]:
    """Write all predictions in the order of the inputs; returns the images without a reading."""
    skipped: dict[int, str] = {}
    unknown = {"some": 0, "none": 0}
    unofficial: dict[int, str] = {}

    def entries() -> Iterator[dict[str, Any]]:
        lines = journal.read(np.argsort(order, kind="stable").tolist())
        for n, (image, entry) in enumerate(zip(inputs.image.tolist(), lines, strict=True)):
            if not is_official_form(entry["text"]):
                unofficial[n] = entry["text"]
            if "skipped" in entry:
                skipped[image] = entry["skipped"]
            unknown["some"] += bool(entry.get("unknown"))
            unknown["none"] += entry.get("no_known_word", False)
            yield entry

    if server:
        texts = (entry["text"] for entry in entries())
        rows = server_rows(server, ids, texts, journal.path)
    else:
        rows = _rows(inputs, entries())
    write_predictions(out, rows)
    say_unknown(unknown["some"], unknown["none"], filled=server is not None)
    _warn_of_form(inputs, unofficial)
    named = [Skipped(n, inputs.images[n].file, why) for n, why in sorted(skipped.items())]
    file = beside(out, SKIPPED)
    if named:
        write_json(file, [{"image": one.file, "reason": one.reason} for one in named])
    else:
        file.unlink(missing_ok=True)
    return named


def _warn_of_form(inputs: Inputs, unofficial: Mapping[int, str]) -> None:
    """Tell what answers in another form cost, where official scores are those of revision 2021."""
    folder, split = inputs.folder, inputs.split
    if folder is None or split is None or inputs.questions is None or not unofficial:
        return
    if folder.revision == OFFICIAL:
        questions = folder.questions(split)
        asked = [questions[n] for n in unofficial]
        warn_of_form(cost_of_form([*unofficial.values()], asked, OFFICIAL, len(questions)))


def _rows(inputs: Inputs, entries: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The rows of a file in saccade's own form, see `docs/predict.md`."""
    texts = any(isinstance(id_, str) for id_ in inputs.ids)  # a column is of one type
    names = any(isinstance(id_, str) for id_ in inputs.image_ids)
    for n, (image, entry) in enumerate(zip(inputs.image.tolist(), entries, strict=True)):
        image_id, file = inputs.image_ids[image], inputs.images[image].file
        about = {"image_id": str(image_id) if names else image_id, "image": file}
        if inputs.questions is None:
            yield about | {"caption": entry["text"], "confidence": entry["confidence"]}
            continue
        yield {
            "question_id": str(inputs.ids[n]) if texts else inputs.ids[n],
            **about,
            "question": inputs.questions[n],
            "answer": entry["text"],
            "confidence": entry["confidence"],
            "unknown": entry["unknown"],
        }
