"""What a person may choose, typed and checked: the parts of a recipe.

All of it is frozen; a change makes a new recipe. `change(recipe, "train.epochs=3")` is what
`--set` does. Nothing below the verbs ever sees a whole recipe: parts take what they need.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from saccade.core.errors import BadConfig
from saccade.core.settings import Settings, first_problem
from saccade.features.settings import Colour, Interpolation, Option, Resize
from saccade.models.catalogue import (
    MODELS,
    AdaptiveAttentionConfig,
    EncoderConfig,
    IBowImgConfig,
    JointEmbeddingConfig,
    LstmCnnConfig,
    McanConfig,
    PitVqaConfig,
    SanConfig,
    ShowAskAttendAnswerConfig,
    ShowAttendTellConfig,
    ShowTellConfig,
    TransformerConfig,
    UpDownConfig,
)
from saccade.text.answers import NORMALISERS
from saccade.text.vocabulary import FILE, TOKENIZERS

# How to train, whatever the model: optimiser, learning rate over time, clipping, stopping.


class Adam(Settings):
    """Kingma & Ba 2015."""

    kind: Literal["adam"] = "adam"
    learning_rate: float = Field(1e-3, gt=0)
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = Field(1e-8, gt=0)


class Adamax(Settings):
    """Adam with the largest instead of the mean square. Kingma & Ba 2015, section 7.1."""

    kind: Literal["adamax"] = "adamax"
    learning_rate: float = Field(2e-3, gt=0)
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = Field(1e-8, gt=0)


class RmsProp(Settings):
    """Gradients by their recent root mean square. Tieleman & Hinton 2012."""

    kind: Literal["rmsprop"] = "rmsprop"
    learning_rate: float = Field(3e-4, gt=0)
    alpha: float = Field(0.99, ge=0, lt=1)
    momentum: float = Field(0.0, ge=0, lt=1)
    epsilon: float = Field(1e-8, gt=0)


class Sgd(Settings):
    """Gradient descent with momentum."""

    kind: Literal["sgd"] = "sgd"
    learning_rate: float = Field(0.1, gt=0)
    momentum: float = Field(0.9, ge=0, lt=1)


Optimiser = Annotated[Adam | Adamax | RmsProp | Sgd, Field(discriminator="kind")]


class Constant(Settings):
    """The learning rate stays as it is."""

    kind: Literal["constant"] = "constant"


class Exponential(Settings):
    """The learning rate falls smoothly, by half every so many steps."""

    kind: Literal["exponential"] = "exponential"
    half_life: int = Field(50_000, ge=1)


class ReduceOnPlateau(Settings):
    """The learning rate is multiplied by `factor` after every `patience` epochs without a best."""

    kind: Literal["reduce_on_plateau"] = "reduce_on_plateau"
    factor: float = Field(0.8, gt=0, lt=1)
    patience: int = Field(8, ge=1)


class InverseSqrt(Settings):
    """Linear warm-up for `warmup_steps`, then the learning rate falls with the inverse square root
    of the step (Vaswani et al. 2017, section 5.3); the optimiser's own rate is the highest."""

    kind: Literal["inverse_sqrt"] = "inverse_sqrt"
    warmup_steps: int = Field(20_000, ge=1)


class MultiStep(Settings):
    """The learning rate rises in a line at first and is multiplied by `factor` at each fall."""

    kind: Literal["multistep"] = "multistep"
    unit: Literal["step", "epoch"] = "epoch"
    warmup_steps: int = Field(0, ge=0)
    """So many units until the full learning rate."""
    warmup_factor: float = Field(1.0, gt=0)
    """What the rise begins with, as a share of the full rate."""
    milestones: tuple[int, ...] = ()
    """After so many units each."""
    factor: float = Field(0.1, gt=0)


Schedule = Annotated[
    Constant | Exponential | ReduceOnPlateau | InverseSqrt | MultiStep, Field(discriminator="kind")
]


class WeightRule(Settings):
    """What is special about some weights."""

    rate: float = Field(1.0, gt=0)
    """Their learning rate, as a multiple of everybody's."""
    l2: bool = True
    """Whether `train.l2` holds for them."""
    max_norm: float | None = Field(None, gt=0)
    """After each step a longer weight tensor is scaled down to this norm."""


class Switched(Settings):
    """Settings that are none unless they are wanted; the word `on` means their defaults."""

    @model_validator(mode="before")
    @classmethod
    def _from_a_word(cls, given: Any) -> Any:
        if isinstance(given, str) and given != "on":
            raise ValueError("write on or none; then set its fields")
        return {} if given == "on" else given


class ScheduledSampling(Switched):
    """A captioner hears more and more of its own words while it learns. Bengio et al. 2015,
    arXiv:1506.03099; the defaults are those of ruotianluo's self-critical.pytorch."""

    step: float = Field(0.05, gt=0, le=1)
    """So much the probability of a word of its own rises,"""
    every: int = Field(5, ge=1)
    """every so many epochs,"""
    most: float = Field(0.25, gt=0, le=1)
    """up to this."""
    first_epoch: int = Field(0, ge=0)
    """Epochs are counted from here; before it all words are human."""


class SelfCritical(Switched):
    """Learn from the CIDEr-D of drawn captions instead of from human words. Rennie et al., CVPR
    2017, arXiv:1612.00563; the defaults are those of ruotianluo's self-critical.pytorch."""

    samples: int = Field(5, ge=1)
    """Captions drawn of each image."""
    baseline: Literal["greedy", "others"] = "greedy"
    """What a caption must be better than: the image's greedy caption, or the mean of the other
    samples ("new self-critical"), which needs no greedy decoding."""

    @model_validator(mode="after")
    def _has_others(self) -> Self:
        if self.baseline == "others" and self.samples < 2:
            raise ValueError("baseline=others compares samples: set samples to 2 or more")
        return self


class TrainConfig(Settings):
    """How to train, whatever the model."""

    epochs: int = Field(50, ge=1)
    batch_size: int = Field(128, ge=1)
    """Questions or captions, not images; images where training is self-critical."""
    samples_per_image: int | None = Field(None, ge=1)
    """At most so many questions or captions of one image stand side by side in a batch and
    share its features; none takes all of them, 1 mixes images freely and is slower."""
    optimiser: Optimiser = Adam()
    schedule: Schedule = Constant()
    clip_value: float | None = Field(None, gt=0)
    """Every element of the gradient is kept within plus and minus this; none leaves it alone."""
    clip_norm: float | None = Field(None, gt=0)
    """The gradient is scaled down to this norm; none leaves it alone."""
    clip_norm_per_tensor: float | None = Field(None, gt=0)
    """The gradient of every weight tensor by itself is scaled down to this norm."""
    l2: float = Field(0.0, ge=0)
    """So many times a weight is added to its gradient, before clipping."""
    shrink: float = Field(0.0, ge=0)
    """After each step a weight loses so many times the learning rate of itself."""
    rules: dict[str, WeightRule] = Field({})
    """Rules for the weights whose names begin so."""
    scheduled_sampling: ScheduledSampling | None = None
    """Captions: none always hears the human words; `on` takes the published settings."""
    self_critical: SelfCritical | None = None
    """Captions: none learns from human words; `on` takes the published settings. Such a run goes
    on from one that has learnt to speak (`saccade train RECIPE --from RUN`)."""
    select_by: str | None = None
    """The validation score that chooses the best epoch; none is the task's own."""
    patience: int | None = Field(None, ge=1)
    """Stop after so many epochs without a better validation score; none runs them all."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    workers: int = Field(0, ge=0)
    """Processes that read features; 0 reads in the training process, which a warm page cache and a
    CPU run want."""
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _one_way_to_clip(self) -> Self:
        if (
            sum(x is not None for x in (self.clip_value, self.clip_norm, self.clip_norm_per_tensor))
            > 1
        ):
            raise ValueError(
                "of clip_value, clip_norm and clip_norm_per_tensor set all but one to none"
            )
        return self

    @model_validator(mode="after")
    def _one_teacher(self) -> Self:
        if self.scheduled_sampling and self.self_critical:
            raise ValueError(
                "self-critical training hears no human words: set scheduled_sampling=none"
            )
        return self


class FeaturesConfig(Settings):
    """The image features that a recipe was published with. Any store can be used instead."""

    backbone: str = "timm:resnet152"
    size: int = Field(448, ge=8)
    """Height and width of the image that the backbone sees, in pixels."""
    resize: Resize = "shorter_side"
    resize_to: int | None = Field(None, ge=8)
    """The shorter side before the middle is cut out; none for squash, optional for inside."""
    mean: Colour | None = None
    """Red, green, blue on a scale of 0..1; this and the next two are the backbone's own by default.
    """
    std: Colour | None = None
    interpolation: Interpolation | None = None
    options: dict[str, Option] = Field(default_factory=dict)
    """Of the backbone, as `--option`."""

    def flags(self) -> str:
        """The options of `saccade extract` that make these features."""
        flags = f"--backbone {self.backbone} --size {self.size} --resize {self.resize}"
        flags += f" --resize-to {self.resize_to}" if self.resize_to else ""
        for name, colour in (("mean", self.mean), ("std", self.std)):
            flags += f" --{name} {','.join(f'{share:g}' for share in colour)}" if colour else ""
        flags += f" --interpolation {self.interpolation}" if self.interpolation else ""
        return flags + "".join(f" --option {name}={value}" for name, value in self.options.items())


class TextConfig(Settings):
    """From text to word ids. The vocabulary comes from the training split alone."""

    tokenizer: str = "karpathy"
    """Or, for questions, `file:` and the path of a pretrained language model's tokenizer: a
    `tokenizer.json`, or a folder with it or with vocab.json and merges.txt. Its words come along.
    """
    min_count: int = Field(1, ge=1)
    """Rarer words are unknown words."""
    unk_token: bool = False
    """Questions: unknown words are a word of their own, not the padding's."""
    max_length: int | None = Field(None, ge=1)
    """Questions are cut behind so many words; longer training captions are left out."""
    vectors: str | None = None
    """A file of word vectors that the word embedding of a new run begins with: GloVe, fastText or
    word2vec text, or word2vec's binary form, perhaps with gzip. They learn like any weight."""
    vectors_missing: Literal["random", "zero"] = "random"
    """What words without one begin with: what the model gives them, or zeros."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.tokenizer.startswith(FILE):
            if self.min_count > 1 or self.unk_token:
                raise ValueError("a file's words are all known: set min_count=1, unk_token=false")
            if self.vectors is not None:
                raise ValueError("word vectors are of whole words, not of a file's pieces")
        elif self.tokenizer not in TOKENIZERS:
            raise ValueError(f"tokenizer must be one of {', '.join(TOKENIZERS)}, or {FILE}PATH")
        return self


class AnswersConfig(Settings):
    """The answers that a VQA model can give."""

    size: int | None = Field(3000, ge=2)
    """So many of the most frequent training answers; none takes all."""
    normaliser: str = "show_ask_attend_answer"
    """How an answer is written before it is counted."""
    count: Literal["answers", "best_answers"] = "answers"
    """Count what every person answered, or each question's most frequent answer."""
    min_count: int = Field(1, ge=1)
    """Rarer answers are left out."""
    only_words: bool = False
    """Leave out answers with a blank or any other character that is not of a word."""
    target: Literal["shares", "scores", "best"] = "shares"
    """What is right: each listed answer by its share of people, by the accuracy that it would
    earn, or the best answer alone."""
    loss: Literal["softmax", "sampled", "logistic"] = "softmax"
    """Answers compete, all at once or one drawn each time; or each is judged by itself."""
    summed: bool = False
    """Add up the losses of a batch instead of taking their mean."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.normaliser not in NORMALISERS:
            raise ValueError(f"normaliser must be one of {', '.join(NORMALISERS)}")
        if self.loss == "sampled" and self.target == "scores":
            raise ValueError("scores are no shares to draw by: set target=shares or best")
        return self


class DecodeConfig(Settings):
    """How captions are said. Questions have one answer each and need none of this."""

    beam_size: int = Field(3, ge=1)
    validation_beam_size: int = Field(1, ge=1)
    """Beams while training, where each epoch's model is judged on the validation images."""
    max_length: int = Field(50, ge=1)
    """Words at most, the end word included."""
    min_length: int = Field(0, ge=0)
    length_penalty: float = Field(0.0, ge=0)
    no_repeat_ngram_size: int = Field(0, ge=0)
    suppress_unk: bool = False
    """Never say the unknown word, as ruotianluo's evaluations; the other published ones let it
    stand."""


ModelConfig = Annotated[
    IBowImgConfig
    | LstmCnnConfig
    | SanConfig
    | ShowAskAttendAnswerConfig
    | JointEmbeddingConfig
    | McanConfig
    | PitVqaConfig
    | ShowTellConfig
    | ShowAttendTellConfig
    | AdaptiveAttentionConfig
    | UpDownConfig
    | TransformerConfig,
    Field(discriminator="kind"),
]


SCORES = {
    "vqa": ("accuracy",),
    "caption": ("bleu_4", "bleu_1", "bleu_2", "bleu_3", "rouge_l", "cider"),
}
"""What can choose the best epoch (`train.select_by`); higher is better."""


class Recipe(Settings):
    """A whole experiment: equal recipes on equal data give equal runs."""

    about: str
    """What this reproduces: paper, data set, published score, expected time."""
    model: ModelConfig
    features: FeaturesConfig
    text: TextConfig
    answers: AnswersConfig | None = None
    encoder: EncoderConfig | None = None
    """The network that looks at pixels and may learn; without one, a store has the regions."""
    train: TrainConfig
    decode: DecodeConfig | None = None

    @property
    def task(self) -> Literal["vqa", "caption"]:
        return MODELS[self.model.kind].task

    @model_validator(mode="after")
    def _fits_its_task(self) -> Self:
        if self.task == "vqa" and self.answers is None:
            raise ValueError("a VQA recipe needs `answers`")
        if self.task == "caption" and self.decode is None:
            raise ValueError("a captioning recipe needs `decode`")
        if self.task == "caption" and self.text.tokenizer.startswith(FILE):
            raise ValueError(
                "captions are counted in the data's words: set text.tokenizer=karpathy"
            )
        return self

    @model_validator(mode="after")
    def _can_be_learnt_so(self) -> Self:
        train, known = self.train, SCORES[self.task]
        if train.select_by not in (None, *known):
            raise ValueError(f"train.select_by must be none or one of {', '.join(known)}")
        hypothesis = "scheduled_sampling" if train.scheduled_sampling else "self_critical"
        if train.scheduled_sampling or train.self_critical:
            if self.task != "caption":
                raise ValueError(f"train.{hypothesis} is for captions: set it to none")
            if isinstance(self.model, ShowAttendTellConfig) and self.model.doubly_stochastic:
                raise ValueError(
                    f"train.{hypothesis} says captions word by word, where the penalty on a whole "
                    "sentence's attention cannot be had: set model.doubly_stochastic=0"
                )
        return self


def change(recipe: Recipe, assignment: str) -> Recipe:
    """Copy a recipe with one field set: `change(recipe, "train.optimiser.learning_rate=3e-4")`.

    `none` means no value. Raises BadConfig for a field that does not exist or a value out of range.
    """
    path, equals, text = assignment.partition("=")
    if not equals:
        raise BadConfig(f"--set {assignment!r} has no '='", hint="Write --set FIELD=VALUE.")
    values = recipe.model_dump()
    *parents, leaf = path.strip().split(".")
    level: Any = values
    for name in parents:
        level = level.get(name) if isinstance(level, dict) else None
    if not isinstance(level, dict) or leaf not in level:
        known = sorted(level) if isinstance(level, dict) else sorted(values)
        raise BadConfig(
            f"--set {path!r}: a recipe has no such field",
            hint=f"At that place there are: {', '.join(known)}. See `saccade show RECIPE`.",
        )
    level[leaf] = None if text.strip().lower() == "none" else text.strip()
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise BadConfig(
            f"--set {assignment!r}: {first_problem(error, path)}",
            hint="See `saccade show RECIPE` for the fields and their values.",
        ) from None
