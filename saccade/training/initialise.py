"""What a new run's weights begin with: fresh ones, an encoder's own, or those of an earlier run.

The cheap way to fine-tune goes through here: a model that was trained on stored features is put
behind the very network that made them, and goes on where it was.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from saccade.core.errors import BadConfig, BadRun
from saccade.core.weights import find_given
from saccade.data.examples import Examples, images_of
from saccade.features.settings import Preprocessing
from saccade.models.encoder import Pixels, behind
from saccade.run_folder import Experiment, OpenedRun, build, fill, open_run
from saccade.training.word_vectors import initialise_embedding

IMAGES = 256
"""So many images tell the statistics of batch norm."""
TOGETHER = 16


def fresh_model(
    experiment: Experiment, *, start: Path | None = None, resume: bool = False
) -> nn.Module:
    """Build a material's model. An encoder's weights are read where no run has better ones."""
    reads = not resume and (start is None or open_run(start).header.recipe.encoder is None)
    header = experiment.store.header
    torch.manual_seed(experiment.recipe.train.seed)
    return build(experiment.recipe, experiment.sizes, header.preprocessing, read_weights=reads)


def initialise(
    model: nn.Module,
    experiment: Experiment,
    examples: Examples,
    start: Path | None = None,
    say: Callable[[str], object] = str,
) -> None:
    """Fill the model of a new run with what it begins with; `say` hears what a person should know.

    Raises BadRun as `start_from` does, BadData for a broken file of word vectors, BadConfig where
    the recipe cannot begin so.
    """
    text = experiment.recipe.text
    if start is not None:
        if text.vectors is not None:
            raise BadConfig(
                "text.vectors and an earlier run both say what words begin with",
                hint="Set text.vectors=none, or leave out --from.",
            )
        start_from(start, model, experiment)
    elif experiment.recipe.train.self_critical is not None:
        raise BadConfig(
            "self-critical training goes on from a captioner that speaks already",
            hint="Train one on human words (train.self_critical=none), then begin --from its run.",
        )
    else:
        initialise = getattr(behind(model), "initialise", None)
        if initialise is not None:
            initialise()
        if text.vectors is not None:
            file, missing = find_given(text.vectors, "word vectors"), text.vectors_missing
            say(initialise_embedding(behind(model), file, experiment.words.vocabulary, missing))
    if isinstance(model, Pixels) and model.config.batch_norm == "trained":
        _tell_statistics(model, experiment, examples)


def start_from(path: Path, model: nn.Module, experiment: Experiment) -> None:
    """Fill a new model with the best weights of an earlier run.

    A run without an encoder fills what stands behind the new one. Raises BadRun where ids mean
    other words there, the model is another one, or what it saw was.
    """
    run = open_run(path)
    if run.words != experiment.words:
        raise BadRun(
            "that run has other words or answers, so its weights mean something else",
            location=path,
            hint="Begin with a run on the same data folder and with the same text and answers "
            "settings.",
        )
    if isinstance(model, Pixels) and run.header.recipe.encoder is None:
        _refuse_other_eyes(run, model.encoder, experiment.store.header.preprocessing)
        model = model.model
    fill(model, path / "model.safetensors", "Begin with a run of the same model settings.")


def _refuse_other_eyes(run: OpenedRun, encoder: Any, shown: Preprocessing) -> None:
    """A model behind an encoder must see what it saw when it learnt from stored features."""
    told, spec = run.header.store, encoder.spec
    there = told.backbone
    ours = spec.name, spec.options, spec.weights_sha256
    if (there.name, there.options, there.weights_sha256) != ours:
        options = ",".join(f"{name}={value}" for name, value in there.options.items())
        raise BadRun(
            "that run looked through another network than this encoder, or through other weights",
            location=run.path,
            hint=f"Give the encoder that run's: backbone={there.name}, options={options or 'none'}"
            f", and the weights it had ({there.weights}).",
        )
    if told.reduction is not None:
        raise BadRun(
            "that run looked at regions that were made smaller, and no encoder makes such",
            location=run.path,
            hint="Begin with a run on the features as they were extracted.",
        )
    if told.preprocessing != shown:
        raise BadRun(
            "that run looked at images that were prepared otherwise than these pixels",
            location=run.path,
            hint=f"Extract pixels as it saw them: {_command(told.preprocessing)}",
        )


def _command(seen: Preprocessing) -> str:
    """What makes pixels that are prepared so."""
    colours = [",".join(f"{share:g}" for share in colour) for colour in (seen.mean, seen.std)]
    cut = f" --resize-to {seen.resize_to}" if seen.resize_to else ""
    return (
        f"saccade extract DATA --backbone pixels --size {seen.height} --resize {seen.resize}{cut} "
        f"--mean {colours[0]} --std {colours[1]} --interpolation {seen.interpolation}"
    )


def _tell_statistics(model: Pixels, experiment: Experiment, examples: Examples) -> None:
    """Give batch norm that was folded away its statistics back, before it learns from batches."""
    # Seconds that only an encoder has to wait for.
    from saccade.features.finetuning import is_folded, unfold_batch_norm  # noqa: PLC0415

    if not is_folded(model.encoder):
        return
    rows = images_of(examples)
    rows = rows[:: max(len(rows) // IMAGES, 1)][:IMAGES]

    def images() -> Iterator[Tensor]:
        for begin in range(0, len(rows), TOGETHER):
            pixels, _ = experiment.store.read(rows[begin : begin + TOGETHER])
            yield model.images(torch.from_numpy(pixels).to(model.mean.device))

    unfold_batch_norm(model.encoder, images())
