"""The public functions of saccade, one behind each command: prepare, extract, check, train ...

Wrong paths, runs, recipes and settings are refused before anything slow is imported. Every error
is a `saccade.core.errors.SaccadeError`, whose `message`, `location` and `hint` make one sentence.
`device` is "auto" (the GPU where there is one), "cpu" or "cuda".
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from saccade.core.devices import check_device
from saccade.core.errors import BadConfig, BadData, BadRun
from saccade.core.files import held, refuse_missing_data
from saccade.core.processes import Processes, find_processes, refuse_ensemble, refuse_small_batches
from saccade.core.run_files import (
    MEMBERS,
    begun_members,
    check_scored,
    checkpoint_interval,
    disk_errors_of,
    named,
    read_faithfulness,
    read_run_json,
    read_scores,
    refuse_other_files,
    refuse_other_processes,
    refuse_other_scores,
    refuse_other_task,
    refuse_replacing,
    refuse_run,
    refuse_unsaved,
    scores_folder,
)
from saccade.core.tables import require_package

if TYPE_CHECKING:
    from saccade.config import Recipe
    from saccade.core.tasks import TaskName
    from saccade.data.checks import Finding
    from saccade.data.records import Split
    from saccade.features.settings import ExtractSettings
    from saccade.inference.predictor import Run
    from saccade.interop.export import Exported
    from saccade.interop.prediction_ids import OnExtra, OnMissing
    from saccade.recipes.advice import Advice
    from saccade.server.server import Server
    from saccade.training.loggers import MakeLogger

OnFault = Literal["refuse", "drop", "keep"]
OnBad = Literal["refuse", "drop"]


class ExtractOptions(TypedDict, total=False):
    """Options of `extract`, described at `saccade.features.settings.ExtractSettings`."""

    weights: str | Path
    options: Mapping[str, str | int | float | bool]
    name: str | None
    size: int | None
    resize: Literal["squash", "shorter_side", "inside", "crop"] | None
    resize_to: int | None
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
    interpolation: Literal["bilinear", "bicubic"] | None
    views: int
    augment: Mapping[str, str | int | float | bool]
    shard: str | None
    dtype: Literal["float16", "float32"] | None
    batch_size: int | None
    workers: int
    image_root: Path | None
    device: str
    progress: bool | None


class CheckOptions(TypedDict, total=False):
    """How the findings of `check` are taken."""

    allow: Sequence[str]
    """Names of findings that are known: they are warnings at most."""
    strict: bool
    """Warnings become errors."""


class TrainOptions(CheckOptions, total=False):
    """Options of `train`, and those of `check`, which comes first."""

    watchdog: bool
    """Try the model first, warn of a run that goes wrong, stop one that is lost; on by default."""
    keep: str
    """"best", or "all" or "every N": checkpoints of other epochs in the run folder."""
    seeds: int
    """Train so many runs, in `members/`, with `train.seed` and the seeds that follow, and join them
    into an ensemble; 1 by default. With `resume` there may be more than before."""
    folds: int | None
    """Cut the images of training and validation into so many parts, train a run for each, which is
    validated on that part and learns from the others, and join them into an ensemble."""
    minutes: float | None
    """After so many of training and validation the run ends, as after its last epoch; the members
    of an ensemble have equal parts of them."""
    devices: int | None
    """Processes of one machine that train together, each on a device of its own: GPUs, or parts of
    the CPU. 1 by default, or those that torchrun or srun started."""
    nodes: int | None
    """Machines that do; 1 by default. The same command runs on each of them."""
    loggers: "Sequence[str | MakeLogger]"
    """Who is given settings and numbers, by default nobody. A logger is "tensorboard", the name of
    a plugin, `module:NAME`, or a function of a `saccade.training.loggers.LoggedRun`."""


class ServeOptions(TypedDict, total=False):
    """Options of `serve`, described at `saccade.server.settings.ServeSettings`."""

    host: str
    port: int
    device: str
    batch_size: int | None
    queue: int
    timeout: float
    cache: str | int
    token_file: str | Path | None
    allow_hosts: Sequence[str]
    allow_origins: Sequence[str]


class PredictOptions(TypedDict, total=False):
    """Options of `predict`."""

    name: str | None
    """Of the results, in a server's file name; the run's by default."""
    features: str | None
    """Name of the feature store, where the data folder has several."""
    beam_size: int | None
    """Beams of a captioner; by default the recipe's."""
    batch_size: int
    """Images at once; by default 32."""
    workers: int
    """Processes that decode images; 0, the default, decodes in this one."""
    device: str
    progress: bool | None
    """Show a bar; by default on a terminal, and in a notebook with ipywidgets."""


def prepare(
    source: str | None,
    root: str | Path,
    out: str | Path,
    *,
    missing: OnFault = "refuse",
    overlap: OnFault = "refuse",
    hold_out: float | None = None,
    bad: OnBad = "refuse",
    replace: bool = False,
    **options: str,
) -> Path:
    """Read a data set, verify it, and write it as a data folder.

    Args:
        source: A name of `saccade list sources`, or two joined by a plus that describe the same
            images ("vqa-v2+karpathy"); None recognises the layout of the files.
        root: The folder with the data set's files.
        out: The data folder to make; one of the same data is replaced, its features are kept.
        missing: What to do with images whose file is not there.
        overlap: What to do with images that are in two splits; those that published splits share
            are kept, with a warning, unless told "drop".
        hold_out: Share of the training images, 0..1, to make a validation split where none is.
        bad: What to do with single records that cannot be used, where a source reads rows.
        replace: Write over a data folder of other data.
        options: The source's own, such as `images="FOLDER"`; and `window`, how images of more than
            8 bits become 8: "auto", "full", or the values for black and white, such as "0,4095".

    Returns:
        The data folder.

    Raises:
        BadConfig: There is no such source or option, or `out` holds other data.
        BadData: The files are missing, damaged or contradict each other.

    Example:
        >>> from saccade.datasets.shapes import make_shapes
        >>> _ = make_shapes(Path("shapes"), images={"train": 24, "val": 6, "test": 6}, size=64)
        >>> saccade.prepare("vqa-v2", "shapes", "data")
        PosixPath('data')
    """
    from saccade.datasets.prepare import prepare as make

    with held(BadData, Path(out), "prepare", "--out"):
        return make(
            source,
            Path(root),
            Path(out),
            missing=missing,
            overlap=overlap,
            hold_out=hold_out,
            bad=bad,
            replace_other=replace,
            **options,
        )


def extract(
    data: str | Path,
    backbone: str | None = None,
    *,
    recipe: "str | Path | Recipe | None" = None,
    engine: Literal["none", "ray"] = "none",
    address: str | None = None,
    processes: int | None = None,
    **options: Unpack[ExtractOptions],
) -> Path:
    """Encode every image once with a frozen backbone, into a feature store of the data folder.

    Args:
        data: The data folder.
        backbone: timm:NAME, transformers:NAME of a ViT, torchvision:NAME of a detector, or pixels.
        recipe: In its place: a recipe, whose backbone, size and preprocessing are taken, where
            `options` have no others.
        engine: `ray` spreads the work over `processes` of the Ray cluster at `address`, which is
            by default one that is started here for it.
        address: Of a running cluster, such as HOST:6379.
        processes: How many of them, each with a network of its own; by default 2.
        options: See `ExtractOptions`. A store made with equal options is completed.

    Returns:
        The feature store. Images that cannot be read are left out, named in its `skipped.json`.

    Raises:
        BadConfig: There is no such backbone, recipe or option.
        BadData: There is no such data folder, or no image can be read.
        BadStore: A store of that name was made with other options.
        MissingWeights: The backbone's weights cannot be had.

    Example:
        >>> saccade.extract("data", "timm:test_resnet", weights="random", size=64, name="tiny")
        PosixPath('data/features/tiny')
    """
    if engine != "ray" and (address or processes):
        message = "address and processes are those of a Ray cluster"
        raise BadConfig(message, hint="Give the engine ray, too, or leave them out.")
    _check_data(data)
    settings = _extract_settings(backbone, recipe, options)
    check_device(settings.device)
    from saccade.data.checks import refuse_wrong_root
    from saccade.data.folder import DataFolder

    folder = DataFolder(Path(data), image_root=settings.image_root)
    refuse_wrong_root(folder.image_root, folder.images())
    if engine == "ray":
        from saccade.features.on_ray import extract_on_ray

        return extract_on_ray(data, address, processes or 2, **dict(settings))
    from saccade.features.extract import extract as make

    return make(data, **dict(settings))


def check(
    data: str | Path,
    recipe: "str | Path | Recipe | None" = None,
    *,
    changes: Iterable[str] = (),
    features: str | None = None,
    probe: bool = False,
    **checks: Unpack[CheckOptions],
) -> "list[Finding]":
    """Find what would spoil a training: labels, splits, features, images, memory and disk.

    `train` does the same before its first step.

    Args:
        data: The data folder.
        recipe: The recipe to be trained on it: its words, answer list and memory are checked too.
        changes: Settings to change, as for `train`.
        features: The feature store to check; by default the recipe's, or all.
        probe: Try the recipe's model, too: whether it learns 64 examples by heart, every weight
            gets a gradient, and the output depends on image and question but not on padding.
        checks: See `CheckOptions`.

    Returns:
        The findings, errors first. The table of all is in docs/check.md.

    Raises:
        BadConfig: There is no such recipe, setting or finding, or no recipe to `probe`.
        BadData: There is no such data folder.
        BadStore: There is no such feature store, or it is damaged.

    Example:
        >>> findings = saccade.check("data", features="tiny")
        >>> [one.name for one in findings if one.level == "error"]
        []
    """
    if probe and recipe is None:
        hint = "Name the recipe, too: saccade check DATA --recipe RECIPE --probe."
        raise BadConfig("a model is tried, and no recipe says which", location="probe", hint=hint)
    _check_data(data)
    chosen = _recipe_for(recipe, Path(data), changes) if recipe is not None else None
    from saccade.checks.check import check as find
    from saccade.data.folder import DataFolder

    if not probe:
        return find(DataFolder(Path(data)), chosen, features, **checks)
    from saccade.training.trial import try_model

    return find(DataFolder(Path(data)), chosen, features, probe=try_model, **checks)


def train(
    recipe: "str | Path | Recipe",
    data: str | Path,
    out: str | Path,
    *,
    changes: Iterable[str] = (),
    features: str | None = None,
    start: str | Path | None = None,
    resume: bool = False,
    device: str = "auto",
    **options: Unpack[TrainOptions],
) -> dict[str, Any]:
    """Train a recipe on a data folder; the run folder keeps the weights of the best epoch.

    Args:
        recipe: A name of `saccade list recipes`, a recipe's file, or a `saccade.config.Recipe`.
        data: The data folder.
        out: The run folder to make, or with `resume` to go on with.
        changes: Settings to change, such as "train.epochs=3"; see `saccade show RECIPE`.
        features: Name of the feature store, where the data folder has several.
        start: An earlier run of the same model and words, whose best weights this one starts from.
        resume: Go on exactly where the run in `out` was saved last, as if it had never stopped.
        device: Where to train.
        options: See `TrainOptions`.

    Returns:
        The validation scores of the best epoch, or of the ensemble.

    Raises:
        BadConfig: There is no such recipe or setting, or no time to train.
        BadData: The data folder is missing or `check` finds an error.
        BadRun: `out` holds a run, or with `resume` another one than this; or a run is lost.
        BadStore: The features are missing or damaged, or hold NaN.

    Example:
        >>> recipe, epochs = "show-ask-attend-answer-small", ["train.epochs=1"]
        >>> saccade.train(recipe, "data", "run", changes=epochs, device="cpu")["accuracy"] >= 0
        True
    """
    _check_data(data)
    _check_options(start, device, options)
    processes = find_processes(options.pop("devices", None), options.pop("nodes", None))
    refuse_ensemble(processes, options.get("seeds", 1) > 1 or options.get("folds") is not None)
    resumed = _runs_to_resume(Path(out), options) if resume else []
    if resume:
        for run in resumed:
            refuse_other_processes(run, processes.size)
    else:
        refuse_run(Path(out))
    from saccade.config import Recipe

    chosen = _recipe_for(recipe, Path(data), changes, *resumed[:1])
    _check_training(chosen, Path(data), resumed, features)
    given: dict[str, Any] = {
        "name": "custom" if isinstance(recipe, Recipe) else str(recipe),
        "features": features,
        "start": Path(start) if start else None,
        "resume": resume,
        "device": device,
        **options,
    }
    return _train_by(processes, chosen, Path(data), Path(out), **given)


def advise(data: str | Path, task: "TaskName | None" = None) -> "Advice":
    """Choose the settings of `auto-vqa` or `auto-caption` for a data folder, with the reasons.

    Args:
        data: The data folder.
        task: "vqa" or "caption"; none takes what the folder has, questions first.

    Returns:
        The recipe, its name, and each choice that the data decided with its reason.

    Raises:
        BadData: There is no such folder, or it has no training records of the task.

    Example:
        >>> saccade.advise("data", "vqa").name
        'auto-vqa'
    """
    from saccade.data.folder import DataFolder
    from saccade.recipes.advice import advise as choose

    return choose(DataFolder(Path(data)), task)


def average(run: str | Path, out: str | Path, *, last: int = 5) -> list[int]:
    """Make a run whose weights are the mean of another run's last checkpoints.

    Batch norm's statistics are averaged too. The new run is used like any other, but has no
    training to resume.

    Args:
        run: The run folder; its training was told to `keep` checkpoints.
        out: The run folder to make.
        last: How many checkpoints, those of the last epochs that were kept; at least 2.

    Returns:
        The epochs whose weights were averaged.

    Raises:
        BadRun: `run` is no run or has fewer checkpoints, or `out` holds a run already.
        BadConfig: `last` is under 2.

    Example:
        >>> recipe, epochs = "show-ask-attend-answer-small", ["train.epochs=3"]
        >>> scores = saccade.train(recipe, "data", "kept", changes=epochs, keep="all", device="cpu")
        >>> saccade.average("kept", "averaged", last=2)
        [2, 3]
    """
    read_run_json(Path(run))
    refuse_run(Path(out))
    if last < 2:
        raise BadConfig(f"the mean of {last} checkpoints is none", hint="Give --last 2 or more.")
    from saccade.training.averaging import average_checkpoints

    return average_checkpoints(Path(run), Path(out), last)


def ensemble(runs: Sequence[str | Path], out: str | Path) -> Path:
    """Make one run of several of one recipe, which predicts the mean of their probabilities.

    The members have one vocabulary, answer list, model, data and features; their training may
    differ, in its seed for example. Captions are searched for once, by the mean before each word.
    The new run is used like any other, but has no training to resume.

    Args:
        runs: The run folders, two or more.
        out: The run folder to make.

    Returns:
        The new run folder.

    Raises:
        BadRun: A run cannot be a member, or `out` holds a run already.
        BadConfig: There are fewer than two runs.

    Example:
        >>> recipe, changes = "show-ask-attend-answer-small", ["train.epochs=1", "train.seed=1"]
        >>> scores = saccade.train(recipe, "data", "second", changes=changes, device="cpu")
        >>> saccade.ensemble(["run", "second"], "both")
        PosixPath('both')
    """
    paths = [Path(run) for run in runs]
    if len(paths) < 2:
        raise BadConfig(f"{len(paths)} run makes no ensemble", hint="Give two runs or more.")
    for path in paths:
        read_run_json(path)
    refuse_run(Path(out))
    from saccade.training.ensembles import join_runs

    with disk_errors_of(Path(out)), held(BadRun, Path(out), "ensemble", "--out"):
        return join_runs(paths, Path(out)).path


def evaluate(  # noqa: PLR0913  the options of `saccade evaluate`
    run: str | Path,
    *,
    split: "Split | None" = None,
    data: str | Path | None = None,
    features: str | None = None,
    beam_size: int | None = None,
    revision: str | None = None,
    wordnet: str | Path | None = None,
    java: bool = False,
    device: str = "auto",
) -> dict[str, Any]:
    """Score a run's best weights on a split, beside baselines that need no image.

    Writes `scores.json`, `predictions.json` (the official upload form) and `scored-SPLIT.parquet`
    (the scores of each example) into the run folder.

    Args:
        run: The run folder.
        split: "train", "val" or "test"; by default test where it has answers or captions, else val.
        data: The data folder, where it has moved since training.
        features: Name of the feature store, where the data folder has several.
        beam_size: Beams of a captioner; by default the recipe's.
        revision: Of the VQA scorer: "2021-03" or "2016", both official, or "always", which also
            normalises what all people agreed on; by default "2021-03" for VQA v1 and v2, "always"
            for other data.
        wordnet: WordNet's folder or zip file, for WUPS.
        java: Also compute METEOR and SPICE, which takes minutes.
        device: Where to run the model.

    Returns:
        The scores of the split as they stand in `scores.json`.

    Raises:
        BadRun: There is no such run, or it has no weights yet.
        BadData: There is no such data folder, or the split has nothing to score against.
        BadStore: The features were made otherwise than the run's.

    Example:
        >>> scores = saccade.evaluate("run", split="val", device="cpu")
        >>> scores["split"], scores["task"]
        ('val', 'vqa')
    """
    about = read_run_json(Path(run))
    read_scores(Path(run))  # broken ones are told before all the work
    check_device(device)
    if folder := data or about.get("data"):
        _check_data(folder)
        _check_scoring(Path(run), Path(folder), features)
    from saccade.evaluation.evaluate import evaluate as score

    with held(BadRun, Path(run), "evaluate", "run"):
        return score(
            Path(run),
            split=split,
            data=Path(data) if data else None,
            features=features,
            beam_size=beam_size,
            revision=revision,
            wordnet=Path(wordnet) if wordnet else None,
            java=java,
            device=device,
        )


def faithfulness(  # noqa: PLR0913  the options of `saccade faithfulness`
    run: str | Path,
    *,
    split: "Split | None" = None,
    limit: int | None = 200,
    boxes: str | Path | None = None,
    data: str | Path | None = None,
    features: str | None = None,
    batch_size: int = 64,
    seed: int = 0,
    device: str = "auto",
) -> dict[str, Any]:
    """Measure whether a run's maps mark the regions that its predictions rest on.

    Writes `faithfulness.json` into the run folder, by split: see docs/faithfulness.md.

    Args:
        run: The run folder.
        split: "train", "val" or "test"; by default the last one that has questions, or images.
        limit: So many questions, or images that are captioned, drawn by lot; None for all.
        boxes: A file of true places for the pointing game: `boxes.json` or `scenes.json` of Shapes,
            or COCO's `instances_*.json`.
        data: The data folder, where it has moved since training.
        features: Name of the feature store, where the data folder has several.
        batch_size: Copies of images, each with other regions hidden, in one forward pass.
        seed: Of all that is drawn by lot.
        device: Where to run the model.

    Returns:
        The entry of the split in `faithfulness.json`.

    Raises:
        BadRun: There is no such run, or it has no weights yet.
        BadConfig: The run's images are a single region; or `limit` or `batch_size` is below 1.
        BadData: The split has fewer than two images with a map, or `boxes` is no file of boxes.
        BadStore: The features were made otherwise than the run's.

    Example:
        >>> found = saccade.faithfulness("run", split="val", device="cpu")
        >>> found["map"], sorted(found["checks"])
        ('attention', ['other_image', 'other_weights', 'random'])
    """
    about = read_run_json(Path(run))
    read_faithfulness(Path(run))  # a broken one is told before all the work
    check_device(device)
    _check_measuring(limit, batch_size, boxes)
    if folder := data or about.get("data"):
        _check_data(folder)
        _check_scoring(Path(run), Path(folder), features)
    from saccade.evaluation.faithfulness import faithfulness as measure

    with held(BadRun, Path(run), "faithfulness", "run"):
        return measure(
            Path(run),
            split=split,
            limit=limit,
            boxes=Path(boxes) if boxes else None,
            data=Path(data) if data else None,
            features=features,
            batch_size=batch_size,
            seed=seed,
            device=device,
        )


def _check_measuring(limit: int | None, batch_size: int, boxes: str | Path | None) -> None:
    """Raise BadConfig for a number below 1, BadData where there is no file of boxes."""
    for name, value in (("limit", limit), ("batch_size", batch_size)):
        if value is not None and value < 1:
            raise BadConfig(f"is {value}", location=name, hint="Give 1 or more.")
    if boxes and not Path(boxes).is_file():
        hint = "Give boxes.json or scenes.json of Shapes, or instances_*.json of COCO."
        raise BadData("there is no such file of boxes", location=boxes, hint=hint)


def score(  # noqa: PLR0913  the options of `saccade score`
    predictions: str | Path,
    data: str | Path,
    out: str | Path | None = None,
    *,
    split: "Split | None" = None,
    missing: "OnMissing" = "refuse",
    extra: "OnExtra" = "refuse",
    revision: str | None = None,
    wordnet: str | Path | None = None,
    java: bool = False,
    scorers: "Sequence[str]" = (),
) -> dict[str, Any]:
    """Score a file of predictions that any program wrote, beside baselines; no model is needed.

    Writes what `evaluate` writes, into a folder of its own that `compare` takes beside runs.

    Args:
        predictions: JSON, JSON lines, CSV, TSV, Parquet, a spreadsheet or a `.pth`, with ids: the
            forms of evaluation servers and programs that docs/score.md lists.
        data: The data folder that holds the human answers or captions.
        out: The folder to write; by default the file's name with "-scored" for its ending.
        split: By default the one that the ids are of.
        missing: What to do where examples have no prediction: "refuse", or count them as "wrong".
        extra: What to do with predictions for other examples: "refuse" or "ignore".
        revision: Of the VQA scorer, as for `evaluate`.
        wordnet: WordNet's folder or zip file, for WUPS.
        java: Also compute METEOR and SPICE, which takes minutes.
        scorers: Also other programs' scores, as `scored_as`; names of `saccade list scorers`.

    Returns:
        The scores of the split as they stand in `scores.json`.

    Raises:
        BadData: The file is of no known form, or its ids are not those of the data; each error says
            how many, which and what to do.
        BadConfig: An option is unknown, or a spreadsheet needs a package that is not installed.
        BadRun: `out` holds other scores.

    Example:
        >>> scores = saccade.score("run/predictions.json", "data", "other", split="val")
        >>> scores["accuracy"] == saccade.evaluate("run", split="val", device="cpu")["accuracy"]
        True
    """
    path = Path(predictions)
    folder = Path(out) if out else scores_folder(path)
    _check_data(data)
    refuse_other_scores(folder, path)
    from saccade.data.folder import DataFolder
    from saccade.interop.prediction_files import read_predictions
    from saccade.interop.prediction_ids import match_predictions
    from saccade.metrics.scorers import scorer_of

    opened, file = DataFolder(Path(data)), read_predictions(path)
    matched = match_predictions(file, opened, split, missing=missing, extra=extra)
    others = {name: scorer_of(name, matched.task) for name in scorers}
    from saccade.evaluation.score_file import score_predictions
    from saccade.evaluation.scoring import ScoreOptions

    names = Path(wordnet) if wordnet else None
    options = ScoreOptions(None, None, revision or opened.revision, names, java)
    with held(BadRun, folder, "score", "--out"):
        return score_predictions(file, matched, opened, folder, options, others)


def load(run: str | Path, device: str = "auto") -> "Run":
    """Open a run folder for predictions on any image.

    Args:
        run: The run folder.
        device: Where to run the model.

    Returns:
        A `Run` with `ask(image, question)`, `caption(image)`, `sample(image)` and `explain(image)`.
        An image is a path, bytes, a binary file, a Pillow image, a numpy array, or a list of them.

    Raises:
        BadRun: The folder is missing, incomplete or of another format.

    Example:
        >>> run = saccade.load("run", device="cpu")
        >>> answer = run.ask(next(Path("shapes/images").iterdir()), "what colour is it?")
        >>> answer.text == answer.top[0][0]
        True
        >>> len(run.ask(sorted(Path("shapes/images").iterdir())[:3], "what colour is it?"))
        3
    """
    read_run_json(Path(run))
    check_device(device)
    from saccade.inference.predictor import load as load_weights

    return load_weights(run, device)


def export(run: str | Path, out: str | Path, to: Literal["onnx"] = "onnx") -> "Exported":
    """Write a run as graphs for programs without saccade and torch.

    Each graph is run in onnxruntime at several sizes; a folder is left only where all of them gave
    the numbers of the model.

    Args:
        run: The run folder.
        out: The folder to make: ONNX files, and `export.json` with all else that a program needs.
        to: The format.

    Returns:
        The folder, the greatest difference of each graph from the model, and why there is no
        encoder where there is none.

    Raises:
        BadRun: There is no such run.
        BadConfig: There is something at `out`, the packages of `saccade[onnx]` are not installed,
            or a graph cannot be written or gives other numbers than the model.
        MissingWeights: The backbone's weights are not at hand.

    Example:
        >>> exported = saccade.export("run", "exported")
        >>> sorted(file.name for file in exported.folder.iterdir())
        ['encoder.onnx', 'export.json', 'model.onnx']
    """
    read_run_json(Path(run))
    if to != "onnx":
        raise BadConfig(f"no format {to!r} to export to", hint="There is: onnx.")
    if Path(out).exists():
        hint = "Give another --out: a new folder is made."
        raise BadConfig("there is something already", location=out, hint=hint)
    from saccade.core.tables import optional_package

    for package in ("onnx", "onnxscript", "onnxruntime"):
        optional_package(package, "onnx", f"exporting needs the package {package}")
    from dataclasses import asdict

    from saccade.inference.decoding import rules_of
    from saccade.inference.model import load_model
    from saccade.interop.export import export_onnx
    from saccade.run_folder import open_run

    opened = open_run(Path(run))
    decode, rules = opened.header.recipe.decode, dict[str, Any]()
    if decode is not None:
        rules = asdict(rules_of(opened.words.vocabulary, decode)) | {"beam_size": decode.beam_size}
    return export_onnx(opened, load_model(opened), rules, Path(out))


def from_pretrained(
    source: str | Path,
    *,
    revision: str | None = None,
    max_bytes: int = 10_000_000_000,
    device: str = "auto",
) -> "Run":
    """Open a model that `Run.save_pretrained` wrote: a folder, or a repository of the Hugging Face
    hub.

    A repository is fetched into the hub's cache, with bars on a terminal; what is there is not
    fetched again, and is used without a network too. Only safetensors and JSON are ever fetched.

    Args:
        source: A folder, or "org/name", where there is no such folder.
        revision: A branch, tag or commit of the repository; by default the newest.
        max_bytes: The most that a repository may have.
        device: Where to run the model.

    Returns:
        The run, whose answers are those of the run that was saved.

    Raises:
        BadBundle: Files are missing, damaged, unsafe or too large, or of another program.
        BadConfig: `source` names neither a folder nor a repository.
        BadDownload: The repository cannot be had.

    Example:
        >>> folder = saccade.load("run", device="cpu").save_pretrained("model")
        >>> again = saccade.from_pretrained("model", device="cpu")
        >>> again.task
        'vqa'
    """
    folder = Path(source)
    check_device(device)
    if folder.is_dir():
        from saccade.transfer.hub_folder import check_folder

        if revision is not None:
            hint = "Leave it out, or give the repository."
            raise BadConfig("a folder has no revisions", location=folder, hint=hint)
        check_folder(folder)
    else:
        from saccade.transfer.hub import fetch_model

        folder = fetch_model(str(source), revision, max_bytes)
    return load(folder, device)


def push_to_hub(
    run: str | Path,
    repository: str,
    *,
    public: bool = False,
    licence: str | None = None,
    dry_run: bool = False,
) -> dict[str, Any]:
    """Send a run to the Hugging Face hub, with a model card, as one commit.

    Nothing else of this package sends anything. The token is the hub's own: `hf auth login`, or
    `HF_TOKEN`.

    Args:
        run: The run folder; or a folder that `Run.save_pretrained` wrote, which goes as it is, with
            what was written into its card.
        repository: "org/name"; made where there is none.
        public: Whether everybody may see it; else the repository is private.
        licence: Of the weights, by the hub's names: "apache-2.0", "cc-by-4.0", "other".
        dry_run: Send nothing; tell what would go.

    Returns:
        `repository`, `private`, `files` (name to bytes), and the `commit`'s address, None with
        `dry_run`.

    Raises:
        BadRun: There is no such run.
        BadBundle: The folder is damaged.
        BadConfig: The names are none, there is no token, or the repository is public and `public`
            was not given.
        BadDownload: The hub does not answer, or refuses.
        MissingWeights: The backbone's weights are not at hand.

    Example:
        >>> told = saccade.push_to_hub("run", "me/first", dry_run=True)
        >>> told["private"], told["commit"], "model.safetensors" in told["files"]
        (True, None, True)
    """
    read_run_json(Path(run))
    from saccade.interop.pretrained import check_licence, pretrained_folder
    from saccade.transfer.hub import check_push, check_repository, push_model
    from saccade.transfer.hub_folder import files_of

    check_repository(repository)
    check_licence(licence)
    if not dry_run:
        check_push()
    with pretrained_folder(Path(run), repository, licence) as folder:
        files = files_of(folder)
        commit = None if dry_run else push_model(folder, repository, files, public=public)
    return {"repository": repository, "private": not public, "files": files, "commit": commit}


def predict(
    run: str | Path,
    *inputs: str | Path,
    out: str | Path,
    split: "Split | None" = None,
    questions: Iterable[str] = (),
    server: str | None = None,
    image_root: str | Path | None = None,
    **options: Unpack[PredictOptions],
) -> Path:
    """Write a run's answers or captions for many images into a file.

    Killed and given again, it goes on where it stopped. An image that cannot be read has an empty
    text, and is named in `FILE.skipped.json` beside the file.

    Args:
        run: The run folder.
        inputs: A data folder (by default the one of the training), a table (CSV, JSON, JSON lines,
            Parquet) with columns image and question, or image files and folders of them.
        out: The file: `.json`, `.jsonl`, `.csv` or `.parquet`. With `server` also a folder, which
            gets a file of the name that the server asks for.
        split: Of the data folder; by default test, else val. It needs no answers or captions.
        questions: Asked about each image, where images are given to a run that answers questions.
        server: The evaluation server whose form is written: "vqa", "gqa", "vizwiz-vqa", "textvqa",
            "coco-captions", "nocaps", "vizwiz-captions" or "textcaps".
        image_root: What paths of images begin from: by default the table's folder, or where the
            data folder says that its images are.
        options: See `PredictOptions`.

    Returns:
        The file that was written.

    Raises:
        BadRun: There is no such run.
        BadConfig: Inputs, server and run do not belong together, or `out` has another ending.
        BadData: There is no such input, it has nothing to predict, or the unfinished file beside
            `out` was begun with another run or other inputs.
        BadStore: The features were made otherwise than the run's.
        MissingWeights: The backbone's weights are not at hand.

    Example:
        >>> saccade.predict("run", "data", out="answers.csv", split="test", device="cpu")
        PosixPath('answers.csv')
    """
    from saccade.inference.prediction_files import check_name

    about = read_run_json(Path(run))
    check_name(Path(out), server)
    given = _given_inputs(inputs or filter(None, [about.get("data")]), run)
    from saccade.inference.predict import predict as make

    return make(
        Path(run),
        given,
        Path(out),
        split=split,
        questions=tuple(questions),
        image_root=Path(image_root) if image_root else None,
        server=server,
        **options,
    )


def _given_inputs(inputs: Iterable[str | Path], run: str | Path) -> list[Path]:
    """The inputs of `predict`, which must be there."""
    from saccade.data.find_files import refuse_addresses

    given = [Path(one) for one in inputs]
    refuse_addresses(given)
    hint = "Give a data folder, a table, or image files and folders of them."
    if not given:
        raise BadConfig("an imported run has no data folder", location=run, hint=hint)
    for path in given:
        if not path.exists():
            raise BadData("there is no such file or folder", location=path, hint=hint)
    return given


def explain(  # noqa: PLR0913  the options of `saccade explain`
    run: str | Path,
    images: str | Path | Iterable[str | Path] = (),
    question: str | None = None,
    *,
    out: str | Path | None = None,
    split: "Split | None" = None,
    limit: int | None = 200,
    only: Literal["right", "wrong"] | None = None,
    data: str | Path | None = None,
    features: str | None = None,
    beam_size: int | None = None,
    device: str = "auto",
) -> Path:
    """Draw what predictions rest on as maps over images: of a split, or of any image files.

    The folder gets a page, its drawings, and the same as data: docs/explain.md.

    Args:
        run: The run folder.
        images: Image files, and folders of them.
        question: About all of these, where the run answers questions.
        out: The folder, by default "explained"; or, of one image, a PNG file: "attention.png".
        split: "train", "val" or "test": its questions, or its images for captions.
        limit: So many at most, the first ones; None for all.
        only: Of a split's answers the "right" ones (that any person gave) or the "wrong" ones.
        data: The data folder, where it has moved since training.
        features: Name of the feature store, where the data folder has several.
        beam_size: Beams of a captioner; by default the recipe's.
        device: Where to run the model.

    Returns:
        The page, or the PNG file.

    Raises:
        BadConfig: It is not clear what to explain.
        BadData: `out` holds other things, or the split has no records.
        BadImage: An image is not there, or none can be read; single ones are left out with a
            warning.
        BadRun: There is no such run.

    Example:
        >>> saccade.explain("run", split="val", limit=2, device="cpu")
        PosixPath('explained/index.html')
    """
    from saccade.data.find_files import images_in

    files = images_in(map(Path, [images] if isinstance(images, str | Path) else images))
    about = read_run_json(Path(run))
    place = _place_of_explanations(files, out, split, only)
    refuse_replacing(place, files)
    if files:
        needs = "Give it a question." if question is None else "Leave the question out."
        refuse_other_task(Path(run), asks_question=question is not None, needs=needs)
    if split and (folder := data or about.get("data")):
        _check_data(folder)
    from saccade.evaluation import explanations

    chosen = explanations.Chosen(split, only, limit, Path(data) if data else None, features)
    opened = load(run, device)
    return explanations.explain(opened, files, question, place, chosen, beam_size)


def _place_of_explanations(
    files: Sequence[Path], out: str | Path | None, split: str | None, only: str | None
) -> Path:
    """Where explanations are written. Raises BadConfig where it is not clear what to explain."""
    single = len(files) == 1 and (out is None or Path(out).suffix.lower() == ".png")
    place = Path(out or ("attention.png" if single else "explained"))
    if bool(files) == (split is not None):
        message = f"{'both images and a' if files else 'neither images nor a'} split to explain"
        raise BadConfig(message, hint="Give images, or --split test.")
    if only and not split:
        hint = "Leave --only out, or give --split."
        raise BadConfig("only a split's answers are right or wrong", hint=hint)
    if not single and place.suffix.lower() == ".png":
        hint = "Give a folder as --out."
        raise BadConfig("a PNG file is drawn of one image alone", location=place, hint=hint)
    if not single:
        refuse_other_files(place)
    return place


def compare(
    runs: Iterable[str | Path],
    out: str | Path = "report.html",
    *,
    split: "Split | None" = None,
    data: str | Path | None = None,
    features: str | None = None,
    watts: float = 100.0,
    examples: int = 3,
    device: str = "auto",
) -> list[Path]:
    """Write one HTML page that compares scored runs, with its numbers in a folder beside it.

    Args:
        runs: Run folders that `evaluate` has scored, and folders that `score` has written;
            "NAME=RUN" gives one a name.
        out: The page to write.
        split: The split to compare on; by default the last on which all runs were scored.
        data: The data folder, where it has moved since training.
        features: Name of the feature store, where the data folder has several.
        watts: Power of the machine in watts, from which energy is estimated.
        examples: Good, bad and disputed examples to show, of each kind.
        device: Where to run the models, for the examples' attention maps.

    Returns:
        The page, then the files with its numbers.

    Raises:
        BadConfig: `out` is no HTML file, or a run is named twice.
        BadData: The folder beside the page holds other things.
        BadRun: A run is missing or was not scored on the split.

    Example:
        >>> saccade.compare(["run"], "report.html", device="cpu")[0]
        PosixPath('report.html')
    """
    folders = named([str(run) for run in runs])
    for folder in folders.values():
        check_scored(folder)
    from saccade.comparison.page import compare as write

    return write(
        folders,
        Path(out),
        split=split,
        data=Path(data) if data else None,
        features=features,
        watts=watts,
        examples=examples,
        device=device,
    )


def sweep(
    file: str | Path,
    *,
    dry_run: bool = False,
    retry: bool = False,
    report: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Train and score recipes x settings x seeds x data folders, and compare them in one table.

    Given again it goes on where it was stopped; a run that is finished is not run again.

    Args:
        file: A TOML file: docs/sweep.md describes its fields.
        dry_run: Train nothing; tell what would run.
        retry: Also run again what failed.
        report: Called with a line before and after each run.

    Returns:
        The table as in `table.json`: `rows`, `differences`, `failed`, `notes`, and the `files` that
        were written; with `dry_run` the `runs`, each with its name, state and expected minutes.

    Raises:
        BadConfig: The file has mistakes; all of them are told, before anything is trained.
        BadRun: Another sweep is at work in its folder, or a run there was damaged.

    Example:
        >>> lines = ['data = ["data"]', 'recipes = ["ibowimg-small"]', 'out = "sweep"']
        >>> _ = Path("sweep.toml").write_text("\\n".join(lines))
        >>> [run["name"] for run in saccade.sweep("sweep.toml", dry_run=True)["runs"]]
        ['data_ibowimg-small_seed-0']
    """
    from saccade.sweeps.plan import read_sweep
    from saccade.sweeps.run import planned_runs, run_all

    plan = read_sweep(Path(file))
    if dry_run:
        return {"out": str(plan.out), "runs": planned_runs(plan)}
    records = run_all(plan, retry=retry, report=report)
    from saccade.sweeps.table import write_table

    return {"out": str(plan.out), **write_table(plan, records)}


def serve(
    *runs: str | Path,
    ready: "Callable[[Server], None]" = lambda _server: None,
    **options: Unpack[ServeOptions],
) -> "Server":
    """Answer requests over HTTP, and show a page, until Ctrl-C or a termination: docs/serve.md.

    It then takes no more requests, and answers those that it has.

    Args:
        runs: Run folders; "NAME=RUN" gives one the name that clients call it by.
        ready: Called with the server when it takes requests: it has an `address`, and `stop()`.
        options: See `ServeOptions`.

    Returns:
        The server, which has stopped: it has counted the requests `accepted` and `answered`.

    Raises:
        BadConfig: The port is taken, there is no such host, a token is needed, a run is named
            twice, an option is wrong, or the packages of `saccade[serve]` are not installed.
        BadRun: There is no such run.
        MissingWeights: The weights of a run's backbone are not at hand.

    Example:
        >>> server = saccade.serve("run", port=0, device="cpu", ready=lambda one: one.stop())
        >>> server.accepted
        0
    """
    folders = named([str(run) for run in runs])
    for folder in folders.values():
        read_run_json(folder)
    if not folders:
        hint = "Give the folders that `saccade train ... --out RUN` made."
        raise BadConfig("there is no run to serve", location="RUN", hint=hint)
    check_device(options.get("device", "auto"))
    for package in ("uvicorn", "fastapi", "prometheus_client", "python_multipart"):
        require_package(package, "serve", "a server needs packages that are not installed")
    from saccade.core.settings import checked_settings
    from saccade.server.settings import ServeSettings

    settings = checked_settings(ServeSettings, "serve", **options)
    from saccade.server.start import serve as start

    return start(folders, settings, ready)


def _extract_settings(
    backbone: str | None, recipe: "str | Path | Recipe | None", options: ExtractOptions
) -> "ExtractSettings":
    """The settings of an extraction by a backbone, or by what a recipe was made for."""
    given = {name: value for name, value in options.items() if value is not None}
    if recipe is not None:
        from saccade.recipes.load import load_recipe

        wanted = load_recipe(recipe).input_features.model_dump(exclude_none=True)
        given["options"] = {**wanted.pop("options"), **options.get("options", {})}
        given = {**wanted, **given}
    if (backbone is None) == (recipe is None):
        hint = "Give one of them, such as backbone='timm:resnet50'."
        raise BadConfig("extract takes either a backbone or a recipe", hint=hint)
    from saccade.core.settings import checked_settings
    from saccade.features.settings import ExtractSettings, check_backbone

    settings = checked_settings(ExtractSettings, "extract", **{"backbone": backbone, **given})
    check_backbone(settings.backbone)
    return settings


def _check_data(data: str | Path) -> None:
    """Raise BadData where there is no data folder, before anything slower is imported."""
    path = Path(data)
    refuse_missing_data(path)
    if not (path / "dataset.json").exists():
        from saccade.data.folder import DataFolder

        DataFolder(path)  # raises, and says what is wrong with the folder


def _check_options(start: str | Path | None, device: str, options: TrainOptions) -> None:
    """Raise what `train` would for the run to start from, the device and its options."""
    if start and read_run_json(Path(start)).get("members"):
        hint = "Start from one of its members."
        raise BadRun("is an ensemble, whose weights are several", location=start, hint=hint)
    check_device(device)
    checkpoint_interval(options.get("keep", "best"))
    if (seeds := options.get("seeds", 1)) < 1:
        raise BadConfig(f"{seeds} seeds are no run", location="--seeds", hint="Give 1 or more.")
    if (folds := options.get("folds")) is not None and (folds < 2 or seeds > 1):
        hint = "Give 2 folds or more, and one seed."
        raise BadConfig(f"{folds} folds and {seeds} seeds", location="--folds", hint=hint)
    if (minutes := options.get("minutes")) is not None and not minutes > 0:
        hint = "Give a number of minutes above 0, or none."
        raise BadConfig(f"{minutes} minutes are no time to train", location="--minutes", hint=hint)
    if loggers := options.get("loggers"):
        from saccade.training.loggers import find_loggers

        find_loggers(loggers)


def _train_by(
    processes: Processes, recipe: "Recipe", data: Path, out: Path, **given: Any
) -> dict[str, Any]:
    """Train in this process, or in several. The first one has the lock on `out` for all."""
    refuse_small_batches(recipe.train.batch_size, processes)
    lock = held(BadRun, out, "train", "--out") if processes.is_first else nullcontext()
    with disk_errors_of(out), lock:
        from saccade.training.members import train_members

        if processes.size == 1 or processes.running:
            return train_members(recipe, data, out, **given)
        from saccade.training.launch import launch

        return launch(processes, out, train_members, recipe, data, out, **given)


def _runs_to_resume(out: Path, options: TrainOptions) -> list[Path]:
    """The runs that `train` goes on with: `out`, or the members that were begun."""
    ensemble = options.get("seeds", 1) > 1 or options.get("folds") is not None
    refuse_unsaved(out, ensemble=ensemble)
    return begun_members(out) if ensemble else [out]


def _recipe_for(
    recipe: "str | Path | Recipe", data: Path, changes: Iterable[str], resumed: Path | None = None
) -> "Recipe":
    """A recipe with its changes; an automatic one as the data, or the run that goes on, has it."""
    from saccade.recipes.advice import load_recipe_for, task_of
    from saccade.recipes.load import load_recipe

    if task_of(recipe) is None:
        return load_recipe(recipe, changes)
    from saccade.data.folder import DataFolder
    from saccade.run_folder import open_run

    if resumed is not None and (header := open_run(resumed).header).recipe_name == recipe:
        recipe = header.recipe
    return load_recipe_for(DataFolder(data), recipe, changes)


def _check_training(
    recipe: "Recipe", data: Path, resumed: Iterable[Path], features: str | None
) -> None:
    """Raise what `train` would, before anything slower is imported; `resumed` are runs that go
    on."""
    from saccade.data.folder import DataFolder
    from saccade.experiment import choose_store
    from saccade.run_folder import open_run, refuse_other_settings, with_sizes_of

    choose_store(recipe, DataFolder(data), features)
    # Those follow from the data and the device: `train` compares them when both are known.
    ignored = ["text.tokenizer", "train.precision"]
    for run in map(open_run, resumed):
        if run.path.parent.name == MEMBERS:
            ignored.append("train.seed")
        refuse_other_settings(run, with_sizes_of(recipe, run), ignored)
    if not resumed and recipe.text.vectors is not None:
        from saccade.core.weights import find_given

        find_given(recipe.text.vectors, "word vectors")


def _check_scoring(run: Path, data: Path, features: str | None) -> None:
    """Raise what `evaluate` would, before anything slower is imported."""
    from saccade.data.folder import DataFolder
    from saccade.experiment import choose_store_for_run
    from saccade.run_folder import open_run

    choose_store_for_run(open_run(run), DataFolder(data), features)
