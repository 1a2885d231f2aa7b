"""Recipes: everything that can be chosen about an experiment, typed and checked.

All settings are immutable; `change(recipe, "train.epochs=3")` returns a new recipe, as `--set`
does. Only the commands see a whole recipe: other functions take the part that they need.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from difflib import get_close_matches
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, SerializeAsAny, ValidationError, field_validator, model_validator

from saccade.core.errors import BadConfig
from saccade.core.settings import Settings, first_problem
from saccade.core.tasks import TASK_INFO, TaskName
from saccade.features.settings import PIXELS, Colour, Interpolation, Option, Resize
from saccade.metrics.catalogue import METRICS, metrics_of
from saccade.models.catalogue import MODELS, EncoderConfig, ModelConfig
from saccade.text.answers import NORMALISERS
from saccade.text.tokenizers import FILE, TOKENIZERS


class OptimiserConfig(Settings):
    """Base of the optimisers' settings."""

    kind: str
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.0, ge=0)
    """Coupled (L2 regularisation): the gradient, before clipping, gets weight_decay times the
    weight added. Decoupled: each step also takes learning_rate times weight_decay of the weight
    away. The kind says which. Only weights that learn decay."""
    decoupled: ClassVar[bool] = False


class AdamConfig(OptimiserConfig):
    """What the variants of Adam share."""

    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of the running means of the gradient and of its square."""
    epsilon: float = Field(1e-8, gt=0)


class Adam(AdamConfig):
    """Kingma & Ba 2015, arXiv:1412.6980; weight decay is coupled."""

    kind: Literal["adam"] = "adam"


class AdamW(AdamConfig):
    """Adam with decoupled weight decay. Loshchilov & Hutter 2019, arXiv:1711.05101."""

    kind: Literal["adamw"] = "adamw"
    decoupled = True


class Adamax(AdamConfig):
    """Adam with the largest instead of the mean square; weight decay is coupled. Kingma & Ba 2015,
    section 7.1."""

    kind: Literal["adamax"] = "adamax"
    learning_rate: float = Field(2e-3, gt=0)


class RmsProp(OptimiserConfig):
    """Gradients divided by their running root mean square; weight decay is coupled. Tieleman &
    Hinton 2012."""

    kind: Literal["rmsprop"] = "rmsprop"
    learning_rate: float = Field(3e-4, gt=0)
    alpha: float = Field(0.99, ge=0, lt=1)
    """Decay of the running mean of the squared gradient."""
    momentum: float = Field(0.0, ge=0, lt=1)
    epsilon: float = Field(1e-8, gt=0)


class SgdConfig(OptimiserConfig):
    """What the variants of gradient descent share."""

    learning_rate: float = Field(0.1, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)


class Sgd(SgdConfig):
    """Gradient descent with momentum; weight decay is coupled."""

    kind: Literal["sgd"] = "sgd"


class SgdW(SgdConfig):
    """Gradient descent with momentum and decoupled weight decay. Loshchilov & Hutter 2019."""

    kind: Literal["sgdw"] = "sgdw"
    decoupled = True


Optimiser = Annotated[Adam | AdamW | Adamax | RmsProp | Sgd | SgdW, Field(discriminator="kind")]


class Constant(Settings):
    """The learning rate does not change."""

    kind: Literal["constant"] = "constant"


class Exponential(Settings):
    """Exponential decay of the learning rate, in every step."""

    kind: Literal["exponential"] = "exponential"
    half_life: int = Field(50_000, ge=1)
    """Steps in which the learning rate halves."""


class ReduceOnPlateau(Settings):
    """The learning rate is multiplied by `factor` after every `patience` epochs in a row without a
    new best validation score."""

    kind: Literal["reduce_on_plateau"] = "reduce_on_plateau"
    factor: float = Field(0.8, gt=0, lt=1)
    patience: int = Field(8, ge=1)


class InverseSqrt(Settings):
    """Linear warm-up for `warmup_steps` steps, then decay with the inverse square root of the step.
    Vaswani et al. 2017, section 5.3. The optimiser's learning rate is the highest."""

    kind: Literal["inverse_sqrt"] = "inverse_sqrt"
    warmup_steps: int = Field(20_000, ge=1)


class MultiStep(Settings):
    """Linear warm-up, then the learning rate is multiplied by `factor` at each milestone."""

    kind: Literal["multistep"] = "multistep"
    unit: Literal["step", "epoch"] = "epoch"
    """What `warmup_steps` and `milestones` count."""
    warmup_steps: int = Field(0, ge=0)
    """Units until the full learning rate; 0 has no warm-up."""
    warmup_factor: float = Field(1.0, gt=0)
    """Share of the full learning rate at the start of the warm-up."""
    milestones: tuple[int, ...] = ()
    """Numbers of units, counted from the start, after which the learning rate is multiplied."""
    factor: float = Field(0.1, gt=0)


class Cosine(Settings):
    """Linear warm-up, then half a cosine down to `final_factor` at the end of the run's steps.
    Loshchilov & Hutter 2017, arXiv:1608.03983, without restarts."""

    kind: Literal["cosine"] = "cosine"
    warmup_steps: int = Field(0, ge=0)
    """Steps before the full learning rate; 0 has no warm-up."""
    final_factor: float = Field(0.0, ge=0, le=1)
    """Share of the full learning rate that is left at the end."""


Schedule = Annotated[
    Constant | Exponential | ReduceOnPlateau | InverseSqrt | MultiStep | Cosine,
    Field(discriminator="kind"),
]


class WeightRule(Settings):
    """What is special about some weights."""

    rate: float = Field(1.0, gt=0)
    """Their learning rate, as a multiple of the optimiser's."""
    weight_decay: bool = True
    """Whether the optimiser's weight decay applies to them."""
    max_norm: float | None = Field(None, gt=0)
    """After each step a weight tensor of a larger L2 norm is scaled down to this one."""


class Switched(Settings):
    """Settings that are none unless they are switched on; the word `on` means their defaults."""

    @model_validator(mode="before")
    @classmethod
    def _from_a_word(cls, given: Any) -> Any:
        if isinstance(given, str) and given != "on":
            raise ValueError("write on or none; then set its fields")
        return {} if given == "on" else given


class ScheduledSampling(Switched):
    """Captioners read more and more words of their own while they train. Bengio et al. 2015,
    arXiv:1506.03099; the defaults are those of ruotianluo's self-critical.pytorch."""

    increase_prob: float = Field(0.05, gt=0, le=1)
    """How much the probability of an own word increases each time."""
    increase_every: int = Field(5, ge=1)
    """Epochs between two increases."""
    max_prob: float = Field(0.25, gt=0, le=1)
    first_epoch: int = Field(0, ge=0)
    """Epochs are counted from here; before it all words are from the human captions."""


class SelfCritical(Switched):
    """Training on the CIDEr-D of sampled captions instead of on human words. Rennie et al., CVPR
    2017, arXiv:1612.00563; the defaults are those of ruotianluo's self-critical.pytorch."""

    samples: int = Field(5, ge=1)
    """Captions sampled of each image."""
    baseline: Literal["greedy", "others"] = "greedy"
    """What is subtracted from a caption's score: the score of the image's greedy caption, or the
    mean score of its other samples ("new self-critical"), which needs no greedy decoding."""

    @model_validator(mode="after")
    def _has_others(self) -> Self:
        if self.baseline == "others" and self.samples < 2:
            raise ValueError("baseline=others compares samples: set samples to 2 or more")
        return self


class TrainConfig(Settings):
    """Training: batches, optimiser, schedule, clipping, and when to stop."""

    epochs: int = Field(50, ge=1)
    steps: int | None = Field(None, ge=1)
    """Training ends after this many steps where the epochs are not done before; an epoch that is
    cut short so is validated as well. None goes by epochs alone."""
    batch_size: int = Field(128, ge=1)
    """Questions or captions, not images; images where training is self-critical."""
    accumulate: int = Field(1, ge=1)
    """Batches whose gradients make one step, as those of a batch of them all would; the last step
    of an epoch may have fewer. Schedules, `steps` and the log count steps."""
    samples_per_image: int | None = Field(None, ge=1)
    """At most this many questions or captions of one image are together in a batch and share its
    features; none takes all of them, 1 mixes images freely and is slower."""
    optimiser: Optimiser = Adam()
    schedule: Schedule = Constant()
    clip_value: float | None = Field(None, gt=0)
    """Every element of the gradient is clamped to plus and minus this; none does not clip."""
    clip_norm: float | None = Field(None, gt=0)
    """The gradient of all weights together is scaled down to this L2 norm."""
    clip_norm_per_tensor: float | None = Field(None, gt=0)
    """The gradient of every weight tensor by itself is scaled down to this L2 norm."""
    ema: float | None = Field(None, gt=0, lt=1)
    """Decay of an exponential moving average of the weights; the average is what is validated,
    kept and used. In the first steps the decay is less: n / (n + 9) after n steps. None has none.
    """
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    """Share of the target that all answers, or all words of the vocabulary, get in equal parts.
    Szegedy et al. 2016, arXiv:1512.00567, section 7."""
    rules: dict[str, WeightRule] = Field({})
    """Rules for weights, by the beginning of their names; the longest that fits applies."""
    scheduled_sampling: ScheduledSampling | None = None
    """Captions: none always reads the human words; `on` takes the published settings."""
    self_critical: SelfCritical | None = None
    """Captions: none learns from human words; `on` takes the published settings. Such a run starts
    from one that was trained on human words (`saccade train RECIPE --from RUN`)."""
    select_by: str | None = None
    """The validation score that chooses the best epoch; none is the task's default."""
    select_smoothing: float = Field(0.0, ge=0, lt=1)
    """The best epoch is chosen by a moving mean of that score, in which each epoch weighs so much
    less than the one after it: for validation splits whose score goes up and down by chance. 0
    takes each epoch's own score."""
    patience: int | None = Field(None, ge=1)
    """Stop after this many epochs in a row without a better validation score; none never does."""
    min_steps: int = Field(0, ge=0)
    """Steps before which `patience` never stops."""
    views: Literal["plain", "unmirrored", "all"] = "plain"
    """Which stored views of its images training shows (`saccade extract --views`), one of each in
    an epoch, at random. `all` has mirrored ones too, and exchanges left and right in their texts:
    not for images whose sides are a convention, as in a radiograph. Nothing else is changed: each
    epoch is scored on the plain images."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    """On a CPU, which has no 16-mixed, bf16-mixed takes its place, also in run.json."""
    workers: int = Field(0, ge=0)
    """Processes that read features; 0 reads in the training process, which is best on a CPU and
    where the features are in the page cache."""
    seed: int = Field(0, ge=0, lt=2**64)

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        clips = (self.clip_value, self.clip_norm, self.clip_norm_per_tensor)
        if sum(clip is not None for clip in clips) > 1:
            raise ValueError("clip_value, clip_norm, clip_norm_per_tensor: set all but one to none")
        if self.scheduled_sampling and self.self_critical:
            raise ValueError("self_critical reads no human words: set scheduled_sampling=none")
        if self.label_smoothing and self.self_critical:
            raise ValueError("self_critical has no targets to smooth: set label_smoothing=0")
        return self


class FeaturesConfig(Settings):
    """The image features that a recipe was published with; any feature store can replace them."""

    backbone: str = "timm:resnet152"
    size: int = Field(448, ge=8)
    """Height and width of the backbone's input, in pixels."""
    resize: Resize = "shorter_side"
    resize_to: int | None = Field(None, ge=8)
    """The shorter side in pixels before the centre crop; none for squash and crop, optional for
    inside."""
    mean: Colour | None = None
    """Red, green, blue, 0..1; for this and the next two, none takes the backbone's own."""
    std: Colour | None = None
    interpolation: Interpolation | None = None
    options: dict[str, Option] = Field(default_factory=dict)
    """Options of the backbone, as `saccade extract --option`."""

    def flags(self) -> str:
        """The options of `saccade extract` that make these features."""
        flags = f"--backbone {self.backbone} --size {self.size} --resize {self.resize}"
        flags += f" --resize-to {self.resize_to}" if self.resize_to else ""
        for name, colour in (("mean", self.mean), ("std", self.std)):
            flags += f" --{name} {','.join(f'{share:g}' for share in colour)}" if colour else ""
        flags += f" --interpolation {self.interpolation}" if self.interpolation else ""
        return flags + "".join(f" --option {name}={value}" for name, value in self.options.items())


class TextConfig(Settings):
    """Tokenizer and vocabulary. Words are counted in the training split alone."""

    tokenizer: str = "karpathy"
    """A name in `TOKENIZERS`; for questions also `file:` and the path of a pretrained language
    model's tokenizer (`tokenizer.json`, or a folder with it or with vocab.json and merges.txt),
    whose vocabulary is taken whole."""
    min_count: int = Field(1, ge=1)
    """Words that occur less often are unknown words."""
    unk_token: bool = False
    """Questions: unknown words have an id of their own instead of the padding's."""
    max_length: int | None = Field(None, ge=1)
    """Words; longer questions are cut off, longer training captions are left out."""
    word_dropout: float = Field(0.0, ge=0, lt=1)
    """Questions: probability that a word is replaced by the unknown word, anew in each step of
    training. Bowman et al. 2016, arXiv:1511.06349, section 3.1."""
    vectors: str | None = None
    """A file of word vectors that initialise the word embedding: GloVe, fastText or word2vec text,
    or word2vec's binary form, also with gzip. They are trained like other weights."""
    vectors_missing: Literal["random", "zero"] = "random"
    """Initial embedding of words without a vector: the model's own, or zeros."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        if not self.tokenizer.startswith(FILE):
            TOKENIZERS.look_up(self.tokenizer)
        elif self.min_count > 1 or self.unk_token:
            raise ValueError("a file's words are all known: set min_count=1, unk_token=false")
        elif self.vectors is not None:
            raise ValueError("word vectors are of whole words, not of a file's subwords")
        return self


class AnswersConfig(Settings):
    """The answer list of a VQA model, and the loss over it."""

    size: int | None = Field(3000, ge=2)
    """This many of the most frequent training answers; none takes all."""
    normaliser: str = "show_ask_attend_answer"
    """How an answer is rewritten before it is counted: a name in `NORMALISERS`."""
    count: Literal["answers", "best_answers"] = "answers"
    """Count the answer of every person, or each question's most frequent answer."""
    min_count: int = Field(1, ge=1)
    """Answers that occur less often are left out."""
    only_words: bool = False
    """Leave out answers with a blank or any other character that is not of a word."""
    target: Literal["shares", "scores", "best"] = "shares"
    """Target of a listed answer: the share of people who gave it, the accuracy that it would earn,
    or 1 for the most frequent answer alone."""
    loss: Literal["softmax", "sampled", "logistic"] = "softmax"
    """Cross-entropy with all targets, or with one drawn in each step; or binary cross-entropy of
    each answer by itself."""
    summed: bool = False
    """Sum the loss over a batch instead of taking its mean."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        NORMALISERS.look_up(self.normaliser)
        if self.loss == "sampled" and self.target == "scores":
            raise ValueError("scores are no shares to draw by: set target=shares or best")
        return self


class DecodeConfig(Settings):
    """How captions are generated."""

    beam_size: int = Field(3, ge=1)
    validation_beam_size: int = Field(1, ge=1)
    """Beam size while training, when each epoch is scored on the validation images."""
    max_length: int = Field(50, ge=1)
    """Words at most, the end word included."""
    min_length: int = Field(0, ge=0)
    """Words at least, the end word not included."""
    length_penalty: float = Field(0.0, ge=0)
    """Candidates are ranked by log-probability divided by length to this power; 0 is none."""
    no_repeat_ngram_size: int = Field(0, ge=0)
    """No n-gram of this many words occurs twice in a caption; 0 allows it."""
    unfinished: Literal["drop", "keep"] = "drop"
    """Captions without an end at `max_length`: dropped where another one has ended, as sgrvinod's
    program does, or kept to compete with those, as ruotianluo's does."""
    refill_beam: bool = False
    """Whether a caption that ends makes room in its beam for another one, as in ruotianluo's
    program; in sgrvinod's there is a beam less from then on."""
    suppress_unk: bool = False
    """Never generate the unknown word, as ruotianluo's evaluations; other published codes do."""


class Recipe(Settings):
    """A whole experiment: equal recipes on equal data give equal runs."""

    about: str
    """What this reproduces: paper, data set, published score, expected time."""
    model: SerializeAsAny[ModelConfig]
    """Of the class that `MODELS` has for its `kind`."""
    features: FeaturesConfig
    text: TextConfig
    answers: AnswersConfig | None = None
    encoder: EncoderConfig | None = None
    """A network that encodes images in every step and may be trained; none reads the regions of a
    feature store."""
    train: TrainConfig
    decode: DecodeConfig | None = None

    @property
    def task(self) -> TaskName:
        """The task of the recipe's model."""
        return MODELS[self.model.kind].task

    @property
    def input_features(self) -> FeaturesConfig:
        """What is to be extracted for it: pixels where it has an encoder, else `features`."""
        if self.encoder is None:
            return self.features
        return self.features.model_copy(update={"backbone": PIXELS, "options": {}})

    @field_validator("model", mode="before")
    @classmethod
    def _of_its_kind(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        if "kind" not in given:
            raise ValueError(f"kind is missing, one of {', '.join(MODELS)}")
        return MODELS.look_up(str(given["kind"])).config.model_validate(given)

    @model_validator(mode="after")
    def _fits_its_task(self) -> Self:
        for task, info in TASK_INFO.items():
            part = info.section
            if (getattr(self, part) is None) == (task == self.task):
                verb = "needs" if task == self.task else "has no"
                raise ValueError(f"a recipe of {self.model.kind} ({self.task}) {verb} `{part}`")
        if self.decode and self.text.word_dropout:
            raise ValueError("text.word_dropout is for questions: set it to 0")
        if self.decode and self.text.tokenizer.startswith(FILE):
            raise ValueError("captions are counted in the data: set text.tokenizer=karpathy")
        train = self.train
        if train.select_by is not None:
            metric = METRICS.get(train.select_by)
            if metric is None or metric.task != self.task or not metric.selectable:
                known = [name for name in metrics_of(self.task) if METRICS[name].selectable]
                raise ValueError(f"train.select_by must be none or one of {', '.join(known)}")
        if train.scheduled_sampling or train.self_critical:
            what = "scheduled_sampling" if train.scheduled_sampling else "self_critical"
            if not self.decode:
                raise ValueError(f"train.{what} is for captions: set it to none")
            for field in self.model.whole_sentence_losses:
                if getattr(self.model, field):
                    raise ValueError(
                        f"train.{what} generates captions word by word, without the attention over "
                        f"a whole sentence that this loss needs: set model.{field}=0"
                    )
        return self


def change(recipe: Recipe, *assignments: str) -> Recipe:
    """A copy of a recipe with fields set: `change(recipe, "train.epochs=3", "decode.beam_size=5")`.

    Values are written as `saccade show` prints them: lists as JSON, `none` for null where the field
    can be null. A new `kind` keeps the fields that both kinds share, where their values are valid,
    and takes the new kind's defaults for the rest. Assignments are applied in order; the recipe
    must be valid after the last.

    Raises:
        BadConfig: A field that does not exist, or a value that is not allowed.
    """
    changes = []
    for assignment in assignments:
        path, equals, text = assignment.partition("=")
        if not equals:
            raise BadConfig(f"--set {assignment!r} has no '='", hint="Write --set FIELD=VALUE.")
        changes.append((path.strip(), text.strip()))
    return apply_changes(recipe, changes)


FieldPath = str | Sequence[str]
"""Names with dots between them, such as "train.epochs", or the names themselves."""


def apply_changes(recipe: Recipe, changes: Iterable[tuple[FieldPath, Any]]) -> Recipe:
    """A copy of a recipe with fields set; strings are read as `--set` does. Raises BadConfig."""
    values, problem = recipe.model_dump(), None
    for path, value in changes:
        names = _split(path, values)
        values = _with_value(values, names, value)
        try:
            recipe, problem = Recipe.model_validate(values), None
            values = recipe.model_dump()
        except ValidationError as error:  # a later change may resolve a contradiction
            problem = problem or _refusal(names, value, first_problem(error, "recipe"))
    if problem:
        raise problem
    return recipe


def fields_of(values: Mapping[str, Any], parents: tuple[str, ...] = ()) -> Iterator[Any]:
    """Every field of nested settings as (names, value); an empty group is a field itself."""
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from fields_of(value, (*parents, name))
        else:
            yield (*parents, name), value


def _split(path: FieldPath, values: Any) -> list[str]:
    """The names in a path; a name that exists may have dots itself, as those of weights do."""
    if not isinstance(path, str):
        return [*path]
    names = list[str]()
    while path or not names:
        known = values if isinstance(values, Mapping) else {}
        fitting = [name for name in known if f"{path}.".startswith(f"{name}.")]
        names.append(max(fitting, key=len) if fitting else path.partition(".")[0])
        path, values = path[len(names[-1]) + 1 :], known.get(names[-1])
    return names


def _with_value(values: dict[str, Any], names: list[str], value: Any) -> dict[str, Any]:
    """Copy `values` with one field set to the first reading of `value` that it takes."""
    if len(names) > 1 and names[-1] == "kind":
        return _with_kind(values, names[:-1], value)
    readings, problems = [value], []
    if isinstance(value, str):  # `none` is null, or a word; all else is JSON, or a string
        with suppress(ValueError, RecursionError):
            readings.insert(0, None if value.lower() == "none" else json.loads(value))
    for reading in readings:
        changed = put(values, names, reading)
        found = _problems(changed, names)
        if not found:
            return changed
        problems += found
    if problems[0]["type"] != "extra_forbidden":
        raise _refusal(names, value, problems[0]["msg"])
    path, known = ".".join(names), [".".join(found) for found, _ in fields_of(values)]
    near = get_close_matches(path, known, n=3) or sorted({name.split(".")[0] for name in known})
    hint = f"Near it: {', '.join(near)}. See `saccade show RECIPE`."
    raise BadConfig(f"a recipe has no field {path!r}", hint=hint)


def _with_kind(values: dict[str, Any], parents: list[str], kind: Any) -> dict[str, Any]:
    """Copy `values` with another kind of optimiser, schedule or model in one place."""
    old = values
    for name in parents:
        old = old.get(name) or {}
    changed = put(values, parents, {"kind": kind})
    if problems := _problems(changed, parents):
        raise _refusal([*parents, "kind"], kind, problems[0]["msg"])
    for name, value in [*old.items()] * 2:  # a width may only fit once the heads that share it do
        more = put(changed, [*parents, name], value)
        if name != "kind" and not _problems(more, parents):
            changed = more
    word_by_word = values["train"]["scheduled_sampling"] or values["train"]["self_critical"]
    if parents == ["model"] and word_by_word:
        for name in MODELS[kind].config.whole_sentence_losses:
            changed = put(changed, ["model", name], 0)
    return changed


def put(values: Any, names: Sequence[str], value: Any) -> dict[str, Any]:
    """Copy nested settings with one field set; groups that are missing or null are made."""
    first, *rest = names
    values = values if isinstance(values, Mapping) else {}
    return {**values, first: put(values.get(first), rest, value) if rest else value}


def _problems(values: dict[str, Any], names: Sequence[str]) -> list[Any]:
    """What pydantic finds wrong with the field of that name, not with the recipe around it."""
    try:
        Recipe.model_validate(values)
    except ValidationError as error:
        return [
            problem
            for problem in error.errors(include_url=False)
            if set(names) <= set(problem["loc"])
            or (problem["type"] == "extra_forbidden" and problem["loc"][-1] in names)
        ]
    return []


def _refusal(names: Sequence[str], value: Any, why: str) -> BadConfig:
    why = why.removeprefix("Value error, ").removeprefix("recipe: ")
    hint = "See `saccade show RECIPE` for the fields and their values."
    return BadConfig(f"{'.'.join(names)}={value}: {why}", hint=hint)
