"""Bringing a recipe, or a run, together with a data folder and its features."""

from collections.abc import Callable, Mapping
from pathlib import Path

from saccade.config import FeaturesConfig, Recipe, TextConfig
from saccade.core.errors import BadData, BadStore
from saccade.data.examples import CaptionExamples, ImageExamples, VqaExamples
from saccade.data.folder import DataFolder
from saccade.data.records import Split
from saccade.features.settings import PIXELS
from saccade.features.store import FeatureStore, StoreHeader, read_header
from saccade.run_folder import Experiment, OpenedRun
from saccade.text.answers import answer_list
from saccade.text.tokenizers import FILE
from saccade.text.vocabulary import (
    Vocabulary,
    Words,
    caption_vocabulary,
    file_vocabulary,
    question_vocabulary,
)


def assemble(recipe: Recipe, folder: DataFolder, features: str | None = None) -> Experiment:
    """Bring a recipe and a data folder together; words come from its training split.

    `features` names a store where the folder has several. Raises BadData for a recipe of a task
    that the folder has no records for, BadStore where features are missing or are not what the
    recipe looks at: pixels where it has an encoder, regions where it has none.
    """
    if recipe.task not in folder.tasks:
        raise BadData(
            f"the recipe needs {recipe.task} records, the folder has {', '.join(folder.tasks)}",
            location=folder.path,
            hint="Choose a recipe for what the folder holds: saccade list recipes",
        )
    store = FeatureStore.open(choose_store(recipe, folder, features), images=folder.images())
    return Experiment(recipe, folder, store, WORDS[recipe.task](recipe, folder))


def assemble_for_run(run: OpenedRun, folder: DataFolder, features: str | None = None) -> Experiment:
    """Bring a trained run and a data folder together; words are the run's own.

    Raises BadStore where the features were not made as those the run was trained on.
    """
    path = choose_store(run.header.recipe, folder, features or run.header.store_name)
    store = FeatureStore.open(path, images=folder.images())
    if not _alike(run.header.store, store.header):
        raise BadStore(
            "these features come from another backbone or preprocessing than the run's",
            location=path,
            hint="Choose the store with --features, or extract with the run's own settings "
            "(`store` in run.json).",
        )
    return Experiment(run.header.recipe, folder, store, run.words)


def _alike(wanted: StoreHeader, found: StoreHeader) -> bool:
    """Do images go through the same? An imported run may not know its backbone's weights."""
    if wanted.backbone.weights_sha256 is None:
        backbone = found.backbone.model_copy(update={"weights_sha256": None})
        found = found.model_copy(update={"backbone": backbone})
    return made_with(wanted) == made_with(found)


def made_with(header: StoreHeader) -> tuple[object, ...]:
    """What decides an image's features: network, options, weights, preprocessing, and what was
    done afterwards. How many bytes a number takes is rounding, and makes no other features.
    """
    spec = header.backbone
    return spec.name, spec.options, spec.weights_sha256, header.preprocessing, header.reduction


def choose_store(recipe: Recipe, folder: DataFolder, name: str | None) -> Path:
    """The folder's store of that name, or the only one that fits the recipe. Raises BadStore."""
    stores = folder.stores()
    if name in stores:
        return _refuse_other_kind(recipe, folder, name)
    fitting = [one for one in stores if _fits(recipe, folder.store_path(one))]
    if name is None and len(fitting) == 1:
        return folder.store_path(fitting[0])
    if name is None and len(stores) == 1:
        return _refuse_other_kind(recipe, folder, stores[0])
    kind = "stores of pixels" if recipe.encoder else "feature stores"
    hint = (
        f"Choose one with --features: {', '.join(fitting)}."
        if fitting
        else f"Extract them once: saccade extract {folder.path} {wanted(recipe).flags()}"
    )
    message = f"there are no features {name!r}" if name else f"there are {len(fitting)} {kind}"
    raise BadStore(message, location=folder.path / "features", hint=hint)


def wanted(recipe: Recipe) -> FeaturesConfig:
    """What a recipe was published with, as pixels where it has an encoder."""
    return recipe.features.model_copy(update={"backbone": PIXELS} if recipe.encoder else {})


def _fits(recipe: Recipe, path: Path) -> bool:
    """Has a store what the recipe looks at? One that cannot be read says so when it is opened."""
    try:
        pixels = read_header(path).backbone.name == PIXELS
    except BadStore:
        return True
    return pixels == (recipe.encoder is not None)


def _refuse_other_kind(recipe: Recipe, folder: DataFolder, name: str) -> Path:
    path = folder.store_path(name)
    if _fits(recipe, path):
        return path
    there, hint = "pixels", "Or give the recipe an encoder: --set encoder=timm:NAME"
    if recipe.encoder:
        there, hint = "features of a frozen network", "Or take its encoder away: --set encoder=none"
    raise BadStore(
        f"the recipe {'has an' if recipe.encoder else 'has no'} encoder, and these are {there}",
        location=path,
        hint=f"Extract what it looks at: saccade extract {folder.path} {wanted(recipe).flags()}. "
        f"{hint}.",
    )


def _vqa_words(recipe: Recipe, folder: DataFolder) -> Words:
    assert recipe.answers is not None  # a recipe cannot be built without
    answers = recipe.answers
    return Words(
        _question_vocabulary(recipe.text, folder),
        answer_list(
            folder.answer_counts(answers.count),
            size=answers.size,
            normaliser=answers.normaliser,
            min_count=answers.min_count,
            only_words=answers.only_words,
        ),
    )


def _question_vocabulary(text: TextConfig, folder: DataFolder) -> Vocabulary:
    if text.tokenizer.startswith(FILE):
        return file_vocabulary(text.tokenizer)
    return question_vocabulary(
        folder.word_counts(text.tokenizer, "questions"),
        tokenizer=text.tokenizer,
        min_count=text.min_count,
        unk_token=text.unk_token,
    )


def _caption_words(recipe: Recipe, folder: DataFolder) -> Words:
    text = recipe.text
    return Words(
        caption_vocabulary(
            folder.word_counts(text.tokenizer, "captions"),
            tokenizer=text.tokenizer,
            min_count=text.min_count,
        )
    )


WORDS: Mapping[str, Callable[[Recipe, DataFolder], Words]] = {
    "vqa": _vqa_words,
    "caption": _caption_words,
}


def question_examples(
    experiment: Experiment, split: Split, *, only_answerable: bool = True
) -> VqaExamples:
    """The questions of a split; those whose answer is not in the list teach nothing."""
    assert experiment.words.answers is not None
    assert experiment.recipe.answers is not None
    return VqaExamples(
        experiment.folder,
        split,
        experiment.store,
        experiment.words.vocabulary,
        experiment.words.answers,
        max_length=experiment.recipe.text.max_length,
        target=experiment.recipe.answers.target,
        only_answerable=only_answerable,
    )


def caption_examples(experiment: Experiment, split: Split) -> CaptionExamples | ImageExamples:
    """The captions of a split that are not longer than the recipe allows, or its images with
    their captions where training is self-critical.
    """
    captions = captions_to_read(experiment, split)
    return ImageExamples(captions) if experiment.recipe.train.self_critical else captions


def captions_to_read(experiment: Experiment, split: Split) -> CaptionExamples:
    """The captions of a split that are not longer than the recipe allows."""
    return CaptionExamples(
        experiment.folder,
        split,
        experiment.store,
        experiment.words.vocabulary,
        max_length=experiment.recipe.text.max_length,
    )
