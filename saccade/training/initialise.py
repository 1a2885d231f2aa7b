"""Initial weights of a new run: fresh ones, an encoder's own, or those of an earlier run.

Also the cheap way to fine-tune: a model that was trained on stored features is put behind the
network that made them, and training goes on from there.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from saccade.config import FeaturesConfig
from saccade.core.errors import BadConfig, BadRun
from saccade.core.tensors import load_weights
from saccade.core.weights import find_given
from saccade.data.examples import Examples
from saccade.experiment import Experiment
from saccade.features.settings import PIXELS
from saccade.inference.model import build
from saccade.models.encoder import EncodedModel, without_encoder
from saccade.run_folder import open_run
from saccade.training.word_vectors import initialise_embedding

STATISTICS_IMAGES = 256
"""Images from which the statistics of batch norm are measured, `STATISTICS_BATCH` at a time."""
STATISTICS_BATCH = 16


def fresh_model(
    experiment: Experiment, *, start: Path | None = None, resume: bool = False
) -> nn.Module:
    """Build an experiment's model. An encoder's weights are read where no run has better ones."""
    read_weights = not resume and (start is None or open_run(start).header.recipe.encoder is None)
    recipe, preprocessing = experiment.recipe, experiment.store.header.preprocessing
    torch.manual_seed(recipe.train.seed)
    return build(recipe, experiment.sizes, preprocessing, read_weights=read_weights)


def initialise(
    model: nn.Module,
    experiment: Experiment,
    examples: Examples,
    start: Path | None = None,
    say: Callable[[str], object] = str,
) -> None:
    """Fill the model of a new run with its initial weights; `say` takes notes for a person.

    Raises BadRun as `start_from` does, BadData for a broken file of word vectors, BadConfig where
    the recipe cannot start so.
    """
    text = experiment.recipe.text
    if start is not None:
        if text.vectors is not None:
            message = "text.vectors and an earlier run both give initial word embeddings"
            raise BadConfig(message, hint="Set text.vectors=none, or leave out --from.")
        start_from(start, model, experiment)
    elif experiment.recipe.train.self_critical is not None:
        hint = "Train one on human captions (train.self_critical=none); then --from its run."
        message = "self-critical training needs a captioner that was trained before"
        raise BadConfig(message, hint=hint)
    else:
        inner, vocabulary = without_encoder(model), experiment.words.vocabulary
        getattr(inner, "initialise", lambda: None)()
        if text.vectors is not None:
            file = find_given(text.vectors, "word vectors")
            say(initialise_embedding(inner, file, vocabulary, text.vectors_missing))
    if isinstance(model, EncodedModel) and model.config.batch_norm == "trained":
        _restore_batch_norm(model, experiment, examples)


def start_from(path: Path, model: nn.Module, experiment: Experiment) -> None:
    """Fill a new model with the best weights of an earlier run.

    A run without an encoder fills the model behind the new encoder. Raises BadRun where its
    vocabulary, its model or its features differ.
    """
    run = open_run(path)
    if run.words != experiment.words:
        hint = "Start from a run on the same data folder, with the same text and answers settings."
        message = "that run has other words or answers, so its weights mean something else"
        raise BadRun(message, location=path, hint=hint)
    if isinstance(model, EncodedModel) and run.header.recipe.encoder is None:
        encoder: Any = model.encoder  # must give the model the features that it was trained on
        store, spec = run.header.store, encoder.spec
        given, ours = store.backbone, (spec.name, spec.options, spec.weights_sha256)
        if (given.name, given.options, given.weights_sha256) != ours:
            options = ",".join(f"{name}={value}" for name, value in given.options.items())
            network = f"backbone={given.name}, options={options or 'none'}"
            hint = f"Give the encoder that run's: {network}, with its weights ({given.weights})."
            message = "that run's features come from another network or weights than this encoder"
            raise BadRun(message, location=path, hint=hint)
        if store.reduction is not None:
            hint = "Start from a run on the features as they were extracted."
            message = "that run's features were reduced by `store convert`, which no encoder does"
            raise BadRun(message, location=path, hint=hint)
        theirs, here = store.preprocessing, experiment.store.header.preprocessing
        if theirs.model_copy(update={"window": here.window}) != here:  # the window is the data's
            fields = theirs.model_dump(exclude={"height", "width", "window"})
            wanted = FeaturesConfig(backbone=PIXELS, size=theirs.height, **fields)
            hint = f"Extract pixels as that run did: saccade extract DATA {wanted.flags()}"
            message = "that run's images were preprocessed otherwise than these pixels"
            raise BadRun(message, location=path, hint=hint)
        model = model.model
    load_weights(model, path / "model.safetensors", "Start from a run of the same model settings.")


def _restore_batch_norm(model: EncodedModel, experiment: Experiment, examples: Examples) -> None:
    """Measure the statistics of batch norm that was folded away, before it is trained."""
    # Imported here: a model without an encoder need not wait for it.
    from saccade.features.finetuning import is_folded, unfold_batch_norm  # noqa: PLC0415

    if not is_folded(model.encoder):
        return
    rows = np.unique(examples.image)
    rows = rows[:: max(len(rows) // STATISTICS_IMAGES, 1)][:STATISTICS_IMAGES]

    def images() -> Iterator[Tensor]:
        for start in range(0, len(rows), STATISTICS_BATCH):
            pixels, _ = experiment.store.read(rows[start : start + STATISTICS_BATCH])
            yield model.images(torch.from_numpy(pixels).to(model.mean.device))

    unfold_batch_norm(model.encoder, images())
