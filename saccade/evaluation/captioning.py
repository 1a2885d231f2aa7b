"""Captioning, evaluated: a model's captions of a split, scored, and how varied they are."""

from collections.abc import Mapping
from itertools import chain, islice

import numpy as np
import torch
from torch import Tensor, nn

from saccade.core.progress import track
from saccade.data.examples import captioned_images
from saccade.data.folder import DataFolder
from saccade.data.records import Split
from saccade.evaluation import scoring
from saccade.evaluation.teacher_forcing import read_captions
from saccade.experiment import Experiment, captions_to_read
from saccade.features.store import FeatureStore
from saccade.inference.batched import caption_batches, image_batch
from saccade.inference.decoding import rules_of
from saccade.metrics.diversity import diversity
from saccade.text.tokenizers import caption_words


def score_model(
    model: nn.Module,
    experiment: Experiment,
    split: Split,
    device: torch.device,
    options: scoring.ScoreOptions = scoring.ALL,
) -> scoring.ScoredExamples:
    """Score one free-running caption per image against all its human captions.

    A model's confidence in its caption is the geometric mean of the probabilities of its words.
    Beside that stands, as `teacher_forced`, how well it reads human captions.
    """
    decode = experiment.recipe.decode
    assert decode is not None  # a captioning recipe cannot be built without
    beam_size = options.beam_size or decode.beam_size
    vocabulary, store, folder = experiment.words.vocabulary, experiment.store, experiment.folder
    people, rules = captioned_images(folder, split), rules_of(vocabulary, decode)
    references = scoring.human_words(people)
    ids = np.fromiter(people, np.int64, len(people))
    rows = store.rows(ids)
    extracted = store.counts[rows] > 0
    captions: dict[int, list[str]] = {int(id_): [] for id_ in ids}
    confidence = dict.fromkeys(captions, 0.0)
    model.eval()
    found = np.flatnonzero(extracted)
    chunks = np.array_split(found, max(1, -(-len(found) // 32)))
    given = (image_batch(*_finite_regions(store, rows[chunk])).to(device) for chunk in chunks)
    predicted = caption_batches(model, given, vocabulary, rules, beam_size)
    written = chain.from_iterable(track(predicted, "captioning", len(chunks)))
    for id_, caption in zip(ids[found].tolist(), written, strict=True):
        captions[id_], confidence[id_] = caption.words, caption.confidence
    # Only all metrics together need the training captions, which take seconds to read.
    training = folder.captions("train") if options.metrics is None else ()
    words = [caption.words for caption in training]
    raw = {id_: [caption.text for caption in some] for id_, some in people.items()}
    beside = options.beside("caption", folder)
    scored = scoring.score_captions(
        captions, references, options, confidence, words, raw, beside=beside
    )
    read = captions_to_read(experiment, split)
    about = {
        "beam_size": beam_size,
        "without_features": int((~extracted).sum()),
        "teacher_forced": read_captions(model, read, device, experiment.recipe.train.batch_size),
    }
    return scored._replace(scores=scored.scores | about)


def _finite_regions(store: FeatureStore, rows: np.ndarray) -> tuple[Tensor, Tensor]:
    """Regions and mask of some images. Raises BadStore for NaN, of which no caption is a sign."""
    regions, mask = store.read(rows)
    if not np.isfinite(regions.sum(dtype=np.float32)):
        store.largest_number(rows)
    return torch.from_numpy(regions), torch.from_numpy(mask)


def score_texts(
    texts: Mapping[int, str],
    folder: DataFolder,
    split: Split,
    options: scoring.ScoreOptions = scoring.ALL,
) -> scoring.ScoredExamples:
    """Score captions that came without their model: in the data's own words as a model's are, and
    in the official tokenizer's, which reads them as they are written.
    """
    people = captioned_images(folder, split)
    words = {id_: caption_words(texts[id_]) for id_ in people}
    raw = {id_: [caption.text for caption in some] for id_, some in people.items()}
    training = [caption.words for caption in folder.captions("train")]
    references, beside = scoring.human_words(people), options.beside("caption", folder)
    return scoring.score_captions(
        words, references, options, training=training, raw=raw, written=texts, beside=beside
    )


def check_validation(folder: DataFolder, metric: str | None, _revision: str) -> str:
    """Nothing that is to be known of how the captions of the validation split will be judged.

    Raises BadData where it has no captions, or cannot be scored by a metric.
    """
    people = captioned_images(folder, "val")
    if metric is not None:
        few = scoring.human_words(dict(islice(people.items(), 100)))  # enough to try a metric
        none, confidence = dict.fromkeys(few, ()), dict.fromkeys(few, 0.0)
        options = scoring.ScoreOptions((metric,))
        scored = scoring.score_captions(none, few, options, confidence)
        scoring.selected_score(scored, metric)
    return ""


def details(scored: scoring.ScoredExamples, folder: DataFolder, split: Split) -> scoring.Scores:
    """The diversity of the first human caption of each image, to compare the model's with."""
    del scored
    first = [some[0].words for some in folder.captions_by_image(split).values()]
    found = diversity(first, training=(caption.words for caption in folder.captions("train")))
    return {
        "diversity_of_people": {name: result.value for name, result in found.items()},
        "scorer": "coco-caption BLEU, ROUGE-L and CIDEr-D, over the data set's own words",
    }
