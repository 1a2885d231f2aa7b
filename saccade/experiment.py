"""Experiment: a recipe, or a trained run, together with a data folder and its features.

Torch is imported with the first examples: what does not go together is refused without it.
"""

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from saccade.config import FeaturesConfig, Recipe
from saccade.core.errors import BadData, BadStore
from saccade.core.tasks import TASK_INFO
from saccade.data.batch import Sizes
from saccade.data.folder import DataFolder
from saccade.data.records import Split
from saccade.features.settings import IMPORTED, PIXELS
from saccade.features.store import FeatureStore, StoreHeader, read_header
from saccade.run_folder import OpenedRun
from saccade.text.answers import ALWAYS, OFFICIAL, answer_list
from saccade.text.tokenizers import FILE
from saccade.text.vocabulary import Words, caption_vocabulary, file_vocabulary, question_vocabulary

if TYPE_CHECKING:
    from saccade.data.examples import CaptionExamples, ImageExamples, ViewChoice, VqaExamples


@dataclass(frozen=True)
class Experiment:
    """A recipe with the data it is applied to."""

    recipe: Recipe
    folder: DataFolder
    store: FeatureStore
    words: Words
    revision: str
    """Of the VQA scorer that judges its answers while it trains."""

    @property
    def sizes(self) -> Sizes:
        """What the data dictates to the model."""
        header, answers = self.store.header, self.words.answers
        return Sizes(
            words=len(self.words.vocabulary),
            region_dim=header.dim,
            answers=len(answers) if answers else 0,
            grid=header.grid,
            regions=header.regions,
            pad=self.words.vocabulary.pad,
        )


def assemble(
    recipe: Recipe,
    folder: DataFolder,
    features: str | None = None,
    resumed: OpenedRun | None = None,
    words: Words | None = None,
) -> Experiment:
    """Bring a recipe and a data folder together; words come from its training split, unless given.

    The experiment's recipe has the tokenizer that fits the folder (`DataFolder.tokenizer_for`).
    Those of a `resumed` run are its own instead, as is the scorer: an earlier saccade may have made
    others of the same data. `features` names a store where the folder has several. Raises
    BadData for a recipe of a task that the folder has no records for, BadStore where features are
    missing or of the wrong kind: a recipe with an encoder needs pixels, one without needs regions.
    """
    store = FeatureStore.open(choose_store(recipe, folder, features), images=folder.images())
    text = recipe.text
    as_given = resumed is not None and resumed.header.recipe.text.tokenizer == text.tokenizer
    if recipe.answers is not None and not text.tokenizer.startswith(FILE) and not as_given:
        text = text.replace(tokenizer=folder.tokenizer_for(text.tokenizer))
    recipe = recipe.replace(text=text)
    if recipe.train.views != "plain" and store.views == 1:
        hint = f"Make them under another name: saccade extract {shlex.quote(str(folder.path))} "
        hint += f"{recipe.input_features.flags()} --views 4. Or set train.views=plain."
        message = f"train.views={recipe.train.views}, and the store has the plain images alone"
        raise BadStore(message, location=store.path, hint=hint)
    if resumed is not None:
        revision = resumed.header.revision or OFFICIAL  # of older runs, which note none
        return Experiment(recipe, folder, store, resumed.words, revision)
    return Experiment(recipe, folder, store, words or _words(recipe, folder), folder.revision)


def assemble_for_run(run: OpenedRun, folder: DataFolder, features: str | None = None) -> Experiment:
    """Bring a trained run and a data folder together; words are the run's own.

    Raises BadStore where the features were not made as those the run was trained on.
    """
    path = choose_store_for_run(run, folder, features)
    store = FeatureStore.open(path, images=folder.images())
    return Experiment(run.header.recipe, folder, store, run.words, folder.revision)


def choose_store_for_run(run: OpenedRun, folder: DataFolder, features: str | None) -> Path:
    """The store that a trained run can be applied to. Raises BadStore, as `assemble_for_run`."""
    ours, settings = run.header.store, run.header.store.preprocessing
    recipe = run.header.recipe
    if ours.backbone.library != IMPORTED:  # if there are none: as its own were made
        made = settings.model_dump(exclude={"height", "width", "window"})
        own = FeaturesConfig(
            backbone=ours.backbone.name, size=settings.height, options=ours.backbone.options, **made
        )
        recipe = recipe.model_copy(update={"features": own})
    path = choose_store(recipe, folder, features or run.header.store_name)
    if different_features(ours, read_header(path)):
        hint = "Choose the store with --features, or extract as `store` in the run's run.json says."
        message = "these features come from another backbone or preprocessing than the run's"
        raise BadStore(message, location=path, hint=hint)
    return path


def different_features(ours: StoreHeader, found: StoreHeader) -> str | None:
    """The part of a store's header by which its features are others than those a run was trained
    on; None where they are the same."""
    weights = ours.backbone.weights_sha256  # none: an imported run may not know them
    # The type of number (float16, int8 ...) may differ: it rounds the same features.
    same = {
        "backbone.name": ours.backbone.name == found.backbone.name,
        "backbone.options": ours.backbone.options == found.backbone.options,
        "backbone.weights_sha256": weights in (None, found.backbone.weights_sha256),
        "preprocessing": ours.preprocessing == found.preprocessing,
        "reduction": ours.reduction == found.reduction,
    }
    return next((field for field, is_same in same.items() if not is_same), None)


def choose_store(recipe: Recipe, folder: DataFolder, name: str | None) -> Path:
    """The folder's store of that name, or the only one that fits the recipe.

    Raises BadData for a recipe of a task that the folder has no records for, BadStore where the
    features are missing or of the wrong kind.
    """
    if recipe.task not in folder.tasks:
        found = ", ".join(folder.tasks) or "none of any task"
        some = "".join(f", such as {TASK_INFO[task].first_recipe}" for task in folder.tasks)
        hint = f"Choose a recipe for what the folder holds{some}: saccade list recipes"
        message = f"the recipe needs {recipe.task} records, the folder has {found}"
        raise BadData(message, location=folder.path, hint=hint)
    stores = folder.stores()
    fitting = [one for one in stores if _fits(recipe, folder.store_path(one))]
    chosen = name if name in stores else None
    if name is None:
        chosen = next((some[0] for some in (fitting, stores) if len(some) == 1), None)
    if chosen in fitting:
        return folder.store_path(chosen)
    command = f"saccade extract {shlex.quote(str(folder.path))} {recipe.input_features.flags()}"
    if chosen is not None:
        problem = "has no encoder, and these are pixels"
        other = "give the recipe an encoder: --set encoder=timm:NAME"
        if recipe.encoder:
            problem = "has an encoder, and these are features of a frozen network"
            other = "take its encoder away: --set encoder=none"
        hint = f"Extract what it needs: {command}. Or {other}."
        raise BadStore(f"the recipe {problem}", location=folder.store_path(chosen), hint=hint)
    kind = "stores of pixels" if recipe.encoder else "feature stores"
    hint = f"Extract them once: {command}"
    if fitting:
        hint = f"Choose one with --features: {', '.join(fitting)}."
    message = f"there are no features {name!r}" if name else f"there are {len(fitting)} {kind}"
    raise BadStore(message, location=folder.path / "features", hint=hint)


def _fits(recipe: Recipe, path: Path) -> bool:
    """If a store has the kind of regions a recipe needs; a broken one is refused when opened."""
    try:
        pixels = read_header(path).backbone.name == PIXELS
    except BadStore:
        return True
    return pixels == (recipe.encoder is not None)


def _words(recipe: Recipe, folder: DataFolder) -> Words:
    """The words of a model, counted in the folder's training split."""
    text, answers = recipe.text, recipe.answers
    tokenizer, min_count = text.tokenizer, text.min_count
    if answers is None:
        counts = folder.word_counts(tokenizer, "captions")
        return Words(caption_vocabulary(counts, tokenizer=tokenizer, min_count=min_count))
    if tokenizer.startswith(FILE):
        vocabulary = file_vocabulary(tokenizer)
    else:
        counts, unk_token = folder.word_counts(tokenizer, "questions"), text.unk_token
        vocabulary = question_vocabulary(
            counts, tokenizer=tokenizer, min_count=min_count, unk_token=unk_token
        )
    how = answers.model_dump(include={"size", "normaliser", "min_count", "only_words"})
    merged = folder.revision == ALWAYS  # what the scorer takes for one answer is learnt as one
    listed = answer_list(folder.answer_counts(answers.count), **how, merged=merged)
    return Words(vocabulary, listed)


def question_examples(
    experiment: Experiment, split: Split, *, only_answerable: bool = True
) -> "VqaExamples":
    """The questions of a split, by default only those with an answer in the recipe's list."""
    from saccade.data.examples import VqaExamples  # noqa: PLC0415  slow to import

    words, recipe = experiment.words, experiment.recipe
    assert words.answers is not None
    assert recipe.answers is not None
    given = experiment.folder, split, experiment.store, words.vocabulary, words.answers
    longest, target = recipe.text.max_length, recipe.answers.target
    return VqaExamples(
        *given,
        max_length=longest,
        target=target,
        only_answerable=only_answerable,
        views=_views(experiment, split),
    )


def caption_examples(experiment: Experiment, split: Split) -> "CaptionExamples | ImageExamples":
    """Training examples of a split: captions, or images where training is self-critical."""
    from saccade.data.examples import ImageExamples  # noqa: PLC0415  slow to import

    captions = captions_to_read(experiment, split)
    return ImageExamples(captions) if experiment.recipe.train.self_critical else captions


def captions_to_read(experiment: Experiment, split: Split) -> "CaptionExamples":
    """The captions of a split that are not longer than the recipe allows."""
    from saccade.data.examples import CaptionExamples  # noqa: PLC0415  slow to import

    vocabulary, max_length = experiment.words.vocabulary, experiment.recipe.text.max_length
    given = experiment.folder, split, experiment.store, vocabulary
    return CaptionExamples(*given, max_length=max_length, views=_views(experiment, split))


def _views(experiment: Experiment, split: Split) -> "ViewChoice":
    """The views that examples of a split may show once an epoch of training begins."""
    has_views = split == "train" and experiment.store.views > 1
    return experiment.recipe.train.views if has_views else "plain"
