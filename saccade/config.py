"""What a person may choose, typed and checked: the parts of a recipe.

All of it is frozen; a change makes a new recipe. `change(recipe, "train.epochs=3")` is what
`--set` does. Nothing below the verbs ever sees a whole recipe: parts take what they need.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from saccade.core.errors import BadConfig
from saccade.core.settings import Frozen, first_problem
from saccade.features.preprocessing import Colour, Interpolation, Option, Resize
from saccade.models.adaptive_attention import AdaptiveAttentionConfig
from saccade.models.catalogue import MODELS
from saccade.models.encoder import EncoderConfig
from saccade.models.ibowimg import IBowImgConfig
from saccade.models.joint_embedding import JointEmbeddingConfig
from saccade.models.lstm_cnn import LstmCnnConfig
from saccade.models.mcan import McanConfig
from saccade.models.pitvqa import PitVqaConfig
from saccade.models.san import SanConfig
from saccade.models.show_ask_attend_answer import ShowAskAttendAnswerConfig
from saccade.models.show_attend_tell import ShowAttendTellConfig
from saccade.models.show_tell import ShowTellConfig
from saccade.models.transformer import TransformerConfig
from saccade.models.up_down import UpDownConfig
from saccade.text.answers import NORMALISERS
from saccade.text.vocabulary import FILE, TOKENIZERS
from saccade.train_config import TrainConfig


class FeaturesConfig(Frozen):
    """The image features that a recipe was published with. Any store can be used instead."""

    backbone: str = "timm:resnet152"
    size: int = Field(448, ge=8)
    """Height and width of the picture that the backbone sees, in pixels."""
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


class TextConfig(Frozen):
    """From text to word ids. The vocabulary comes from the training split alone."""

    tokenizer: str = "karpathy"
    """Or, for questions, `file:` and the path of a pretrained language model's tokenizer: a
    `tokenizer.json`, or a folder with it or with vocab.json and merges.txt. Its words come along.
    """
    at_least: int = Field(1, ge=1)
    """Rarer words are unknown words."""
    unknown_word: bool = False
    """Questions: unknown words are a word of their own, not the padding's."""
    longest: int | None = Field(None, ge=1)
    """Questions are cut behind so many words; longer training captions are left out."""
    vectors: str | None = None
    """A file of word vectors that the word embedding of a new run begins with: GloVe, fastText or
    word2vec text, or word2vec's binary form, perhaps with gzip. They learn like any weight."""
    vectors_missing: Literal["random", "zero"] = "random"
    """What words without one begin with: what the model gives them, or zeros."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.tokenizer.startswith(FILE):
            if self.at_least > 1 or self.unknown_word:
                raise ValueError("a file's words are all known: set at_least=1, unknown_word=false")
            if self.vectors is not None:
                raise ValueError("word vectors are of whole words, not of a file's pieces")
        elif self.tokenizer not in TOKENIZERS:
            raise ValueError(f"tokenizer must be one of {', '.join(TOKENIZERS)}, or {FILE}PATH")
        return self


class AnswersConfig(Frozen):
    """The answers that a VQA model can give."""

    size: int | None = Field(3000, ge=2)
    """So many of the most frequent training answers; none takes all."""
    normaliser: str = "show_ask_attend_answer"
    """How an answer is written before it is counted."""
    count: Literal["answers", "best_answers"] = "answers"
    """Count what every person answered, or each question's most frequent answer."""
    at_least: int = Field(1, ge=1)
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


class Recipe(Frozen):
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
        saying = "scheduled_sampling" if train.scheduled_sampling else "self_critical"
        if train.scheduled_sampling or train.self_critical:
            if self.task != "caption":
                raise ValueError(f"train.{saying} is for captions: set it to none")
            if isinstance(self.model, ShowAttendTellConfig) and self.model.doubly_stochastic:
                raise ValueError(
                    f"train.{saying} says captions word by word, where the penalty on a whole "
                    "sentence's attention cannot be had: set model.doubly_stochastic=0"
                )
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
        raise BadConfig(
            f"--set {assignment!r}: {first_problem(error, path)}",
            cure="See `saccade show RECIPE` for the fields and their values.",
        ) from None
