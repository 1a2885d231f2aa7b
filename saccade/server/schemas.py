"""What clients send and get: requests with their limits, and answers, as OpenAPI describes them."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

MAX_QUESTIONS = 32
"""To one image in one request."""
MAX_CHARACTERS = 1000
MAX_WORDS = 200
"""Of a question: a network takes a step for each."""
MAX_TOP = 100
MAX_BEAMS = 20


def _few_words(question: str) -> str:
    if (count := len(question.split())) > MAX_WORDS:
        raise ValueError(f"{count} words are more than {MAX_WORDS}")
    return question


RunName = Annotated[str, Field(max_length=200, description="One of /v1/runs.")]
Question = Annotated[
    str, Field(min_length=1, max_length=MAX_CHARACTERS), AfterValidator(_few_words)
]
Questions = Annotated[list[Question], Field(min_length=1, max_length=MAX_QUESTIONS)]
Top = Annotated[int, Field(ge=1, le=MAX_TOP, description="Answers to give, the likeliest first.")]
Beams = Annotated[
    int | None, Field(ge=1, le=MAX_BEAMS, description="Of beam search; by default the recipe's.")
]


class _Given(BaseModel):
    """What every request may have beside its image."""

    model_config = ConfigDict(extra="forbid")
    run: RunName | None = None


class AskFields(_Given):
    """Questions about an image."""

    questions: Questions
    top: Top = 5


class CaptionFields(_Given):
    """How a caption is written."""

    beam_size: Beams = None


class ExplainFields(_Given):
    """Questions about an image, where the run answers questions."""

    questions: Annotated[list[Question], Field(max_length=MAX_QUESTIONS)] = []
    top: Top = 5
    beam_size: Beams = None


class _Answered(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)


class ImageFacts(_Answered):
    """The image that was sent."""

    sha256: str
    """Of the file's content."""
    width: int
    height: int


class RankedAnswer(_Answered):
    """An answer that the model knows, with its probability."""

    answer: str
    probability: float


class AnswerFacts(_Answered):
    """An answer to one question."""

    question: str
    text: str
    top: list[RankedAnswer]
    unknown: list[str]
    """Words of the question that the model never learnt."""
    prior: list[RankedAnswer] | None
    """What the model answers without the image, where it has such an answer."""


class CaptionFacts(_Answered):
    """A caption, and its words."""

    text: str
    words: list[str]
    log_probability: float


class RegionMap(_Answered):
    """Weights of the image's regions."""

    label: str
    """A glimpse of an answer, or a word of a caption."""
    kind: Literal["attention", "occlusion"]
    weights: list[float]
    """Of each of `boxes`; they sum to 1."""
    sentinel: float | None
    """Share of attention that was given to the sentence so far instead of the image."""


class _Explained(_Answered):
    boxes: list[tuple[float, float, float, float]]
    """Regions: x0, y0, x1, y1 as shares of the image's width and height."""
    maps: list[RegionMap]


class ExplainedAnswer(AnswerFacts, _Explained):
    """An answer with its maps."""


class ExplainedCaption(CaptionFacts, _Explained):
    """A caption with a map for each word."""


class _Result(_Answered):
    run: str
    image: ImageFacts


class Answers(_Result):
    """An answer to each question, in their order."""

    answers: list[AnswerFacts]


class Caption(_Result):
    """The caption of the image."""

    caption: CaptionFacts


class ExplainedAnswers(_Result):
    """Answers with their maps."""

    grid: tuple[int, int] | None
    """Rows and columns of the regions; none where they are boxes."""
    answers: list[ExplainedAnswer]


class ExplainedCaptions(_Result):
    """A caption with its maps."""

    grid: tuple[int, int] | None
    caption: ExplainedCaption


class RunFacts(_Answered):
    """A run that is served."""

    name: str
    task: Literal["vqa", "caption"]
    recipe: str
    model: str
    grid: tuple[int, int] | None
    """Rows and columns of an image's regions; none where they are boxes."""
    attends: bool
    """Whether the model has attention: else maps are made by hiding regions (occlusion)."""
    faithfulness: str | None
    """What its maps are worth, where `saccade faithfulness` measured it."""
    seed: int
    epoch: int | None
    """Of the weights."""
    scores: dict[str, dict[str, float]] | None
    """Of each split that it was scored on, by metric."""
    findings: list[str]
    """What was wrong with it while it trained."""


class Runs(_Answered):
    """The runs that are served."""

    runs: list[RunFacts]


class Health(_Answered):
    """The server's state."""

    status: Literal["ok", "stopping"]


class ErrorFacts(_Answered):
    """What is wrong, what to do, and the field that it is about."""

    message: str
    hint: str | None
    location: str | None


class Error(_Answered):
    """A refusal."""

    error: ErrorFacts


def body_schema(variants: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The request body of OpenAPI, as JSON and as a form with a file; `variants` are of `variant`,
    and a request is one of them.
    """
    as_json = [_with_image(one, as_form=False) for one in variants]
    forms = [_with_image(one, as_form=True) for one in variants]
    content = {
        kind: {"schema": schemas[0] if len(schemas) == 1 else {"oneOf": schemas}}
        for kind, schemas in (("application/json", as_json), ("multipart/form-data", forms))
    }
    return {"required": True, "content": content}


def variant(fields: type[BaseModel], runs: Sequence[str], *, by_default: bool) -> dict[str, Any]:
    """The schema of a request to one of some runs; it names the run, unless one is the default."""
    schema = fields.model_json_schema()
    run = {"type": "string", "enum": [*runs], "description": "One of /v1/runs."}
    properties = schema["properties"] | ({"run": run} if runs else {})
    required = [*schema.get("required", ()), *(() if by_default else ("run",))]
    closed = {"type": "object", "additionalProperties": False}
    return {**closed, "properties": properties, "required": required}


def _with_image(schema: Mapping[str, Any], *, as_form: bool) -> dict[str, Any]:
    """The schema with the image; in a form `questions` are parts called `question`, and nothing
    is null.
    """
    image = {"type": "string", "contentEncoding": "base64", "minLength": 4}
    properties, required = schema["properties"], ["image", *schema["required"]]
    if as_form:
        image = {"type": "string", "format": "binary"}
        names = {"questions": "question"}
        required = [names.get(name, name) for name in required]
        properties = {
            names.get(name, name): {**one, **one["anyOf"][0]} if "anyOf" in one else one
            for name, one in properties.items()
        }
        properties = {
            name: {key: value for key, value in one.items() if key not in ("anyOf", "default")}
            for name, one in properties.items()
        }
    properties = {"image": image | {"description": "The image file."}, **properties}
    return {**schema, "properties": properties, "required": required}
