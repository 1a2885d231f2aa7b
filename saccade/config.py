"""What a person may choose, typed and checked: the parts of a recipe.

All of it is frozen; a change makes a new recipe. `change(recipe, "train.epochs=3")` is what
`--set` does. Nothing below the verbs ever sees a whole recipe: parts take what they need.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from saccade.answers import NORMALISERS
from saccade.errors import BadConfig
from saccade.models.catalogue import MODELS
from saccade.models.show_ask_attend_answer import ShowAskAttendAnswerConfig
from saccade.models.show_attend_tell import ShowAttendTellConfig
from saccade.text import TOKENIZERS


class Frozen(BaseModel):
    """Settings: no field may be changed, and none may be misspelt."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FeaturesConfig(Frozen):
    """The image features that a recipe was published with. Any store can be used instead."""

    backbone: str = "timm:resnet152"
    size: int = Field(448, ge=8)
    """Height and width of the picture that the backbone sees, in pixels."""
    resize: Literal["squash", "shorter_side"] = "shorter_side"
    resize_to: int | None = Field(None, ge=8)
    """The shorter side before the middle is cut out; none for squash."""

    def flags(self) -> str:
        """The options of `saccade extract` that make these features."""
        flags = f"--backbone {self.backbone} --size {self.size} --resize {self.resize}"
        return f"{flags} --resize-to {self.resize_to}" if self.resize_to else flags


class TextConfig(Frozen):
    """From text to word ids. The vocabulary comes from the training split alone."""

    tokenizer: str = "karpathy"
    at_least: int = Field(1, ge=1)
    """Rarer words are unknown words."""
    longest: int | None = Field(None, ge=1)
    """Questions are cut behind so many words; longer training captions are left out."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.tokenizer not in TOKENIZERS:
            raise ValueError(f"tokenizer must be one of {', '.join(TOKENIZERS)}")
        return self


class AnswersConfig(Frozen):
    """The answers that a VQA model can give."""

    size: int = Field(3000, ge=2)
    """So many of the most frequent training answers."""
    normaliser: str = "show_ask_attend_answer"
    """How an answer is written before it is counted."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.normaliser not in NORMALISERS:
            raise ValueError(f"normaliser must be one of {', '.join(NORMALISERS)}")
        return self


class Adam(Frozen):
    """Kingma & Ba 2015."""

    kind: Literal["adam"] = "adam"
    learning_rate: float = Field(1e-3, gt=0)
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = Field(1e-8, gt=0)


class Constant(Frozen):
    """The learning rate stays as it is."""

    kind: Literal["constant"] = "constant"


class HalfLife(Frozen):
    """The learning rate falls smoothly, by half every so many steps."""

    kind: Literal["half_life"] = "half_life"
    steps: int = Field(50_000, ge=1)


class OnPlateau(Frozen):
    """The learning rate is multiplied by `factor` after every `patience` epochs without a best."""

    kind: Literal["on_plateau"] = "on_plateau"
    factor: float = Field(0.8, gt=0, lt=1)
    patience: int = Field(8, ge=1)


Schedule = Annotated[Constant | HalfLife | OnPlateau, Field(discriminator="kind")]


class TrainConfig(Frozen):
    """How to train, whatever the model."""

    epochs: int = Field(50, ge=1)
    batch_size: int = Field(128, ge=1)
    """Questions or captions, not pictures."""
    per_picture: int | None = Field(None, ge=1)
    """At most so many questions or captions of one picture stand side by side in a batch and
    share its features; none takes all of them, 1 mixes pictures freely and is slower."""
    optimiser: Adam = Adam()
    schedule: Schedule = Constant()
    clip_value: float | None = Field(None, gt=0)
    """Every element of the gradient is kept within plus and minus this; none leaves it alone."""
    clip_norm: float | None = Field(None, gt=0)
    """The gradient is scaled down to this norm; none leaves it alone."""
    patience: int | None = Field(None, ge=1)
    """Stop after so many epochs without a better validation score; none runs them all."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    workers: int = Field(0, ge=0)
    """Processes that read features; 0 reads in the training process, which a warm page cache and a
    CPU run want."""
    seed: int = Field(0, ge=0)

    @model_validator(mode="after")
    def _one_way_to_clip(self) -> Self:
        if self.clip_value is not None and self.clip_norm is not None:
            raise ValueError("clip_value and clip_norm exclude each other: set one to none")
        return self


class DecodeConfig(Frozen):
    """How captions are said. Questions have one answer each and need none of this."""

    beams: int = Field(3, ge=1)
    validation_beams: int = Field(1, ge=1)
    """Beams while training, where each epoch's model is judged on the validation pictures."""
    longest: int = Field(50, ge=1)
    """Words at most, the end word included."""
    shortest: int = Field(0, ge=0)
    length_power: float = Field(0.0, ge=0)
    no_repeat: int = Field(0, ge=0)
    ban_unknown: bool = False
    """Never say the unknown word. The published evaluations let it stand."""


ModelConfig = Annotated[
    ShowAskAttendAnswerConfig | ShowAttendTellConfig, Field(discriminator="kind")
]


class Recipe(Frozen):
    """A whole experiment: equal recipes on equal data give equal runs."""

    about: str
    """What this reproduces: paper, data set, published score, expected time."""
    model: ModelConfig
    features: FeaturesConfig
    text: TextConfig
    answers: AnswersConfig | None = None
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
        return self


def change(recipe: Recipe, assignment: str) -> Recipe:
    """Copy a recipe with one field set: `change(recipe, "train.optimiser.learning_rate=3e-4")`.

    `none` means no value. Raises BadConfig for a field that does not exist or a value out of range.
    """
    path, equals, text = assignment.partition("=")
    if not equals:
        raise BadConfig(f"--set {assignment!r} has no '='", cure="Write --set FIELD=VALUE.")
    values = recipe.model_dump()
    *parents, leaf = path.strip().split(".")
    level: Any = values
    for name in parents:
        level = level.get(name) if isinstance(level, dict) else None
    if not isinstance(level, dict) or leaf not in level:
        known = sorted(level) if isinstance(level, dict) else sorted(values)
        raise BadConfig(
            f"--set {path!r}: a recipe has no such field",
            cure=f"At that place there are: {', '.join(known)}. See `saccade show RECIPE`.",
        )
    level[leaf] = None if text.strip().lower() == "none" else text.strip()
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"]) or path
        raise BadConfig(
            f"--set {assignment!r}: {place}: {problem['msg']}",
            cure="See `saccade show RECIPE` for the fields and their values.",
        ) from None
