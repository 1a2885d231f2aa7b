"""A run is a folder: alone it re-creates the model, its words and its preprocessing anywhere.

`run.json` (recipe, sizes, versions, fingerprints) and `words.json` are to be read; weights are
safetensors; `last/` holds what an exact resume needs. Nothing is ever unpickled, and every file
is written beside its place and then moved there, so a crash leaves the old one whole.
"""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import ValidationError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from saccade.config import Recipe, TrainConfig, WeightRule
from saccade.core.errors import BadConfig, BadRun
from saccade.core.files import in_one_go, link_or_copy, sha256_of, write_text
from saccade.core.settings import Settings, first_problem
from saccade.data.batch import Sizes
from saccade.data.folder import DataFolder
from saccade.features.reduction import FILE as REDUCTION
from saccade.features.settings import Option, Preprocessing
from saccade.features.store import FeatureStore, StoreHeader
from saccade.models.catalogue import EncoderConfig, build_model
from saccade.models.encoder import Pixels, Sight
from saccade.text.answers import AnswerList
from saccade.text.vocabulary import Vocabulary, Words

# From a recipe to a model: alone, or behind an encoder that looks at pixels.


def build(
    recipe: Recipe, sizes: Sizes, preprocessing: Preprocessing, *, read_weights: bool = False
) -> nn.Module:
    """Make a recipe's model with fresh weights; `sizes` and `preprocessing` are the store's.

    An encoder's own weights are read only with `read_weights`, when a run begins; else they are
    random, to be filled with a run's. Raises BadConfig for an encoder that does not fit the
    recipe, MissingWeights.
    """
    config = recipe.encoder
    if config is None:
        return build_model(recipe.model, sizes)
    # Seconds that only an encoder has to wait for.
    from saccade.features.backbones import choose_backbone  # noqa: PLC0415
    from saccade.features.finetuning import forget_activations, weights_from  # noqa: PLC0415

    weights = config.weights if read_weights else "random"
    with torch.random.fork_rng(devices=[]):  # the model begins as it would without an encoder
        eye = choose_backbone(config.backbone, weights, config.options, size=preprocessing.height)
    _refuse_untold(config, eye.spec.options)
    (rows, columns), dim = eye.measure(preprocessing)
    boxes = eye.boxes((rows, columns))
    grid = None if eye.kept_tokens else (rows, columns)
    model = build_model(recipe.model, sizes._replace(region_dim=dim, grid=grid, regions=len(boxes)))
    learns = weights_from(eye.model, config.trains_from) if config.trains_from else frozenset()
    if config.checkpointing:
        forget_activations(eye.model)
    return Pixels(
        eye,
        model,
        config,
        Sight(
            (preprocessing.height, preprocessing.width),
            preprocessing.mean,
            preprocessing.std,
            grid,
            boxes,
        ),
        frozenset(f"model.{name}" for name in learns),
    )


def _refuse_untold(config: EncoderConfig, options: Mapping[str, Option]) -> None:
    """A folder of weights may bring sizes along; loading the run must know them without it."""
    size = {"img_size"}  # follows from the store
    told = config.options.items()
    if untold := {k: v for k, v in options.items() if (k, v) not in told and k not in size}:
        words = ",".join(f"{name}={value}" for name, value in (config.options | untold).items())
        raise BadConfig(
            "the encoder's weights are of a network of other sizes than the recipe says",
            location=config.weights,
            hint=f"Say them: --set encoder.options={words}",
        )


def training_of(recipe: Recipe) -> TrainConfig:
    """How to train what `build` makes: rules for weights by the names that they have there."""
    config, encoder = recipe.train, recipe.encoder
    if encoder is None:
        return config
    rules = {f"model.{begin}": rule for begin, rule in config.rules.items()}
    if encoder.learning_rate is not None:
        rate = encoder.learning_rate / config.optimiser.learning_rate
        rules["encoder."] = WeightRule(rate=rate)
    return config.model_copy(update={"rules": rules})


FORMAT = 1
BACKBONE = "backbone.safetensors"
VERSIONS = ("saccade", "torch", "timm", "numpy")


class Earlier(Settings):
    """The run whose best weights another one began with (`train --from`)."""

    run: str
    """Where it was."""
    recipe_name: str
    fingerprint: str | None
    """Of the records that it learnt from."""
    sha256: str
    """Of its `model.safetensors`."""
    initialised_from: "Earlier | None" = None


class RunHeader(Settings):
    """What `run.json` says of a run."""

    format: int
    recipe_name: str
    recipe: Recipe
    sizes: Sizes
    store: StoreHeader
    """Backbone, its weights' hash and the preprocessing: what any new image goes through."""
    store_name: str | None
    data: str | None
    """Where the data folder was when the run began; none for a run that was imported."""
    fingerprint: str | None
    """Of the data folder's records."""
    versions: dict[str, str]
    commit: str | None
    began: str
    initialised_from: Earlier | None = None

    @property
    def earlier(self) -> list[Earlier]:
        """All runs that this one's weights went through before, the last one first."""
        found, one = list[Earlier](), self.initialised_from
        while one is not None:
            found.append(one)
            one = one.initialised_from
        return found


class OpenedRun(NamedTuple):
    """A run folder, read and checked, without its weights."""

    path: Path
    header: RunHeader
    words: Words


@dataclass(frozen=True)
class Experiment:
    """A recipe with the data it is applied to."""

    recipe: Recipe
    folder: DataFolder
    store: FeatureStore
    words: Words

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


def write_json(path: Path, value: Any) -> None:
    """Write JSON that a person can read."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def save_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, str]) -> None:
    """Write tensors and a few words about them into one safetensors file, in one go."""
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with in_one_go(path) as part:
        save_file(whole, part, metadata=dict(about))


class Origin(NamedTuple):
    """What a run is made from; an imported one knows its images' preprocessing alone."""

    store: StoreHeader
    store_name: str | None = None
    data: str | None = None
    fingerprint: str | None = None
    initialised_from: Earlier | None = None


def create_run(
    out: Path, name: str, experiment: Experiment, start: Path | None = None
) -> OpenedRun:
    """Make a run folder for training and write all but the weights; `start` is an earlier run."""
    store, folder = experiment.store, experiment.folder
    data = str(folder.path.resolve())
    earlier = _earlier(start) if start else None
    origin = Origin(store.header, store.path.name, data, folder.fingerprint, earlier)
    weights = store.path / BACKBONE
    return write_run(
        out, name, (experiment.recipe, experiment.sizes, experiment.words), origin, weights
    )


def _earlier(path: Path) -> Earlier:
    header = open_run(path).header
    return Earlier(
        run=str(path.resolve()),
        recipe_name=header.recipe_name,
        fingerprint=header.fingerprint,
        sha256=sha256_of(path / "model.safetensors"),
        initialised_from=header.initialised_from,
    )


def write_run(
    out: Path, name: str, made: tuple[Recipe, Sizes, Words], origin: Origin, backbone: Path | None
) -> OpenedRun:
    """Make a run folder and write all but the weights; `backbone` is linked where it exists."""
    out.mkdir(parents=True, exist_ok=True)
    recipe, sizes, words = made
    header = RunHeader(
        format=FORMAT,
        recipe_name=name,
        recipe=recipe,
        sizes=sizes,
        **origin._asdict(),
        versions={package: version(package) for package in VERSIONS},
        commit=_commit(),
        began=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    if backbone is not None:
        _bring(backbone, out)
        _bring(backbone.with_name(REDUCTION), out)
    answers = words.answers.to_json() if words.answers else None
    write_json(out / "words.json", {"vocabulary": words.vocabulary.to_json(), "answers": answers})
    write_text(out / "run.json", header.model_dump_json(indent=2) + "\n")
    return OpenedRun(out, header, words)


def _bring(file: Path, out: Path) -> None:
    """Link a store's file into a run, if it is there: no second copy on the same disk."""
    if file.exists() and not (out / file.name).exists():
        link_or_copy(file, out / file.name)


def open_run(path: Path) -> OpenedRun:
    """Read and check a run folder. Raises BadRun where it is missing, broken or too new."""
    about = _read_json(path / "run.json")
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        found = about.get("format") if isinstance(about, dict) else None
        raise BadRun(
            f"run format {found!r}, this version reads {FORMAT}",
            location=path / "run.json",
            hint="Use the version of saccade that wrote it; `versions` in the file names it.",
        )
    try:
        header = RunHeader.model_validate(about)
    except BadConfig as error:  # a model or tokenizer of a package that is not installed
        hint = f"Install the package that this run was trained with. {error.hint}"
        raise BadRun(error.message, location=path / "run.json", hint=hint) from None
    except ValidationError as error:
        raise BadRun(
            first_problem(error, "the whole"),
            location=path / "run.json",
            hint="The file was changed by hand or by another version; train again.",
        ) from None
    words = _read_json(path / "words.json")
    answers = words["answers"] and AnswerList.from_json(words["answers"])
    return OpenedRun(path, header, Words(Vocabulary.from_json(words["vocabulary"]), answers))


def load_model(run: OpenedRun) -> nn.Module:
    """Build a run's model and fill it with its best weights, in eval mode."""
    header = run.header
    model = build(header.recipe, header.sizes, header.store.preprocessing)
    fill(
        model,
        run.path / "model.safetensors",
        "The file belongs to another run; put the right one back or train again.",
    )
    return model.eval()


def fill(model: nn.Module, path: Path, hint: str) -> None:
    """Load weights, every one of the model's and no other. Raises BadRun."""
    weights, _ = load_tensors(path)
    wanted = model.state_dict()
    wrong = sorted(
        name
        for name in wanted.keys() | weights.keys()
        if name not in wanted or name not in weights or wanted[name].shape != weights[name].shape
    )
    if wrong:
        raise BadRun(
            f"{len(wrong)} weights do not fit the model, the first is {wrong[0]!r}",
            location=path,
            hint=hint,
        )
    model.load_state_dict(weights)


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read a safetensors file and what was said about it. Raises BadRun."""
    if not path.exists():
        raise BadRun(
            "there are no weights yet",
            location=path,
            hint="Train first: saccade train RECIPE --data DATA --out RUN",
        )
    try:
        with safe_open(path, framework="pt") as stream:
            about = stream.metadata() or {}
        return load_file(path), about
    except SafetensorError as error:
        raise BadRun(
            f"not a whole safetensors file ({error})",
            location=path,
            hint="Copy it again from where it came, or train again.",
        ) from None


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise BadRun(
            "no such file: this is not a run folder",
            location=path,
            hint="Give the folder that `saccade train ... --out RUN` made.",
        ) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadRun(
            f"not JSON ({error})", location=path, hint="Train again, or restore it."
        ) from None


def _commit() -> str | None:
    """The commit of the working directory, when it is a git repository."""
    try:
        asked = subprocess.run(
            ["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return asked.stdout.strip() or None
