"""`saccade import-checkpoint`: a run folder made of another program's checkpoint.

Nothing of the checkpoint is executed. A run that was imported is asked, explained and evaluated as
one that was trained here.
"""

import re
import shlex
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ValidationError

from saccade.config import FeaturesConfig, Recipe, change
from saccade.core.errors import BadCheckpoint, BadData, BadRun
from saccade.core.files import held
from saccade.core.settings import Settings
from saccade.core.tables import Table
from saccade.core.tensors import save_tensors
from saccade.data.batch import Sizes
from saccade.features.backbones import Backbone, choose_backbone, preprocessing_for
from saccade.features.settings import BackboneSpec
from saccade.features.store import StoreHeader, read_header
from saccade.interop.checkpoint_mapping import Bundle, Reading, fill, skeleton
from saccade.interop.pitvqa import pitvqa
from saccade.interop.self_critical import self_critical
from saccade.interop.sgrvinod import sgrvinod
from saccade.interop.torch_files import read_checkpoint, tensors_of
from saccade.interop.vqa_codes import hengyuan_hu, openvqa, pytorch_vqa
from saccade.recipes.catalogue import RECIPES
from saccade.run_folder import BACKBONE, OpenedRun, Origin, write_run


class Kind(NamedTuple):
    """A program whose checkpoints can be brought over."""

    read: Callable[[Bundle], Reading]
    sign: str
    """A pattern that the name of one of its tensors fits, and of no other program's."""
    classes: frozenset[str] = frozenset()
    """Its own classes, which its checkpoints may hold whole."""


KINDS: Mapping[str, Kind] = {
    "pytorch-vqa": Kind(pytorch_vqa, r"attention\.[vx]_conv\..+"),
    "hengyuan-hu": Kind(hengyuan_hu, r"(w_emb\.emb|v_att)\..+"),
    "openvqa": Kind(openvqa, r"(attflat_(img|lang)|backbone\.(v_att|q_net|v_net))\..+"),
    "sgrvinod": Kind(
        sgrvinod,
        r"(decoder\.)?(decode_step|init_h|resnet)\..+",
        frozenset({"Encoder", "Attention", "DecoderWithAttention", "DecoderWithRNN"}),
    ),
    "self-critical": Kind(
        self_critical, r"(core|_core|img_embed|fc_embed|model\.(encoder|decoder|generator))\..+"
    ),
    "pitvqa": Kind(
        pitvqa, r"(visual_encoder|text_encoder|gpt_decoder)\..+", frozenset({"PitVQANet"})
    ),
}
PREPROCESSING = ("resize", "resize_to", "interpolation", "mean", "std")
"""Settings of it, besides the size, that a recipe and a published program name."""
SAY = "Say with --set model.FIELD=VALUE what the file does not say."


class ImportSettings(Settings):
    """Settings of an import that the checkpoint does not hold."""

    words: Path | None = None
    """The file of its words, where it is not in the checkpoint nor alone beside it."""
    answers: Path | None = None
    backbone: str | None = None
    """Another image encoder, `timm:NAME`."""
    weights: str = "hub"
    """That network's: hub, random, or a file. Those of the hub are fetched when first used."""
    size: int | None = None
    """Side of that network's images, in pixels."""
    store: Path | None = None
    """A feature store to take network and preprocessing from."""
    changes: tuple[str, ...] = ()
    """Fields of the recipe that the file does not decide, as FIELD=VALUE."""


class Imported(NamedTuple):
    """A run folder made from a checkpoint."""

    run: OpenedRun
    layout: str
    notes: tuple[str, ...]
    extract: str
    """The command that extracts features of a data folder as this run wants them."""


def import_checkpoint(kind: str, file: Path, out: Path, **settings: Any) -> Imported:
    """Read a checkpoint of a kind in `KINDS` and write a run folder; `settings` are the fields of
    `ImportSettings`.

    Raises BadCheckpoint for a file that is not such a checkpoint, with what is missing, unknown or
    of another shape; BadRun where `out` holds a run already; BadConfig for a change of no field.
    """
    chosen, program = ImportSettings(**settings), Table("kind of checkpoint", KINDS).look_up(kind)
    if (out / "run.json").exists():
        raise BadRun("there is a run already", location=out, hint="Choose another --out.")
    classes = {name for one in KINDS.values() for name in one.classes}
    bundle = Bundle(file, read_checkpoint(file, classes), chosen.words, chosen.answers)
    _refuse_other_kind(bundle, kind)
    try:
        reading: Reading = program.read(bundle)
        recipe = _recipe(reading, file, chosen.changes)
        dim = reading.region_dim(recipe.model)
    except (BadCheckpoint, BadData) as error:
        hint = error.hint
        raise BadCheckpoint(error.message, location=error.location or file, hint=hint) from None
    with tempfile.TemporaryDirectory() as folder:
        header, kept, given = _encoder(reading, chosen, dim, Path(folder) / BACKBONE)
        sizes = Sizes(
            words=len(reading.words.vocabulary),
            region_dim=dim,
            answers=len(reading.words.answers) if reading.words.answers else 0,
            grid=header.grid,
            regions=header.regions,
            pad=reading.words.vocabulary.pad,
        )
        into = header.preprocessing
        own = into.model_dump(include=set(PREPROCESSING))
        features = FeaturesConfig(backbone=header.backbone.name, size=into.height, **own)
        recipe = recipe.model_copy(update={"features": features})
        try:
            model = skeleton(recipe.model, sizes)
            weights = fill(model, reading.tensors, reading.sources(model), reading.layout)
        except BadCheckpoint as error:
            hint = error.hint
            raise BadCheckpoint(error.message, location=error.location or file, hint=hint) from None
        except ValueError as error:  # of a library's own model
            why = str(error).splitlines()[0][:200]
            raise BadCheckpoint(f"{reading.layout}: {why}", location=file, hint=SAY) from None
        about = {"imported": f"{reading.layout}: {file.name}"}
        with held(BadRun, out, "import-checkpoint", "--out"):
            save_tensors(out / "model.safetensors", weights, about)
            # `run.json` comes last: without it the folder is no run.
            made = recipe, sizes, reading.words
            run = write_run(out, kind, made, Origin(header), backbone=kept)
    return Imported(run, reading.layout, reading.notes, _command(run, given))


def _refuse_other_kind(bundle: Bundle, kind: str) -> None:
    """Say which kind it is when its tensors are another's. Raises BadCheckpoint."""
    parts = [bundle.value, *bundle.part.values()]
    names = {name for part in parts for name in (tensors_of(part) or {})}
    kinds = [k for k, one in KINDS.items() if any(re.fullmatch(one.sign, n) for n in names)]
    if kinds and kind not in kinds:
        message = f"its tensors are not those of {kind}, but of {' or '.join(kinds)}"
        hint = f"Write: saccade import-checkpoint {kinds[0]} ..."
        raise BadCheckpoint(message, location=bundle.path, hint=hint)


def _recipe(reading: Reading, file: Path, changes: tuple[str, ...]) -> Recipe:
    """The recipe of the checkpoint's system with what the file decides, and then the user."""
    values = RECIPES[reading.recipe].model_dump()
    values["about"] = f"Imported: {file.name}, a checkpoint of {reading.layout}."
    values["encoder"] = None  # its own one, if it has any, is kept beside the run, as it is
    values["model"] |= reading.model
    for path, value in reading.recipe_fields.items():
        part, _, field = path.partition(".")
        values[part][field] = value
    for assignment in changes:  # before the model is checked: they may be what it lacks
        path, _, value = assignment.partition("=")
        part, _, field = path.strip().partition(".")
        if part == "model" and field in values["model"]:
            values["model"][field] = None if value.strip().lower() == "none" else value.strip()
    try:
        recipe = Recipe.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"] if part != reading.model.get("kind"))
        message = f"{reading.layout}: {place}: {problem['msg']}"
        raise BadCheckpoint(message, location=file, hint=SAY) from None
    for assignment in changes:
        recipe = change(recipe, assignment)
    return recipe


def _encoder(
    reading: Reading, chosen: ImportSettings, dim: int, file: Path
) -> tuple[StoreHeader, Path | None, str | None]:
    """The image encoder: of a store, of the checkpoint, or another network.

    Returns its header; the network's weights, to be kept beside the run; and those of `saccade
    extract --weights`, None where a store was given. Raises BadCheckpoint where its regions are not
    as wide as the checkpoint's.
    """
    kept: Path | None = file
    given: str | None = chosen.weights
    if chosen.store is not None:
        beside = chosen.store / BACKBONE
        header, kept, given = read_header(chosen.store), beside if beside.exists() else None, None
    elif reading.backbone and chosen.backbone is None:
        tensors = {name: saved.read() for name, saved in reading.backbone.items()}
        for name in [name for name in tensors if name.endswith(".running_mean")]:
            key = name.replace("running_mean", "num_batches_tracked")  # early torch had none
            tensors.setdefault(key, tensors[name].new_zeros(()).long())
        save_tensors(file, tensors, {})
        header, given = _build(reading, chosen, str(file))[1], BACKBONE
    else:
        network, header = _build(reading, chosen, chosen.weights)
        if chosen.weights in ("hub", "random"):
            kept = None
        else:
            network.save(file)
    if header.dim != dim:
        other = f"those of {header.backbone.name} have {header.dim}"
        hint = "Give its network with --backbone timm:NAME, or features with --store FOLDER."
        raise BadCheckpoint(f"its regions have {dim} numbers, {other}", hint=hint)
    return header, kept, given


def _build(reading: Reading, chosen: ImportSettings, weights: str) -> tuple[Backbone, StoreHeader]:
    """The network, and the header of a store that is made with it."""
    images, options = reading.images, {}
    name = chosen.backbone or images.backbone
    wishes: dict[str, Any] = {"size": chosen.size or images.size}
    if chosen.backbone is None:
        options = dict(images.options)
        wishes |= {field: getattr(images, field) for field in PREPROCESSING}
    # The hub's weights are not needed yet: random ones tell as well how wide regions are.
    known = "random" if weights == "hub" else weights
    network = choose_backbone(name, known, options, size=wishes["size"])
    if weights == "hub":
        network.spec = BackboneSpec(name=name, options=network.spec.options)
    preprocessing = preprocessing_for(network.spec, **wishes)
    grid, dim = network.measure(preprocessing)
    header = StoreHeader(
        backbone=network.spec,
        preprocessing=preprocessing,
        grid=None if network.kept_tokens else grid,
        regions=len(network.boxes(grid)),
        dim=dim,
        dtype="float32",
        ids_count=1,
        dataset_fingerprint="",
        complete=True,
        command="saccade import-checkpoint",
    )
    return network, header


def _command(run: OpenedRun, weights: str | None) -> str:
    """How to extract a data folder's features so that the run can be evaluated on it."""
    if weights is None:
        return run.header.store.command
    words = ["saccade", "extract", "DATA", *shlex.split(run.header.recipe.features.flags())]
    if weights != "hub":
        words += ["--weights", str(run.path / BACKBONE) if weights == BACKBONE else weights]
    for name, value in run.header.store.backbone.options.items():
        words += ["--option", f"{name}={value}"]
    return shlex.join(words)
