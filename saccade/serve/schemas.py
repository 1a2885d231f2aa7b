"""What clients send and get: requests with their limits, and answers, as OpenAPI describes them."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_QUESTIONS = 32
"""To one image in one request."""
MAX_CHARACTERS = 1000
MAX_WORDS = 200
"""Of a question: a network takes a step for each."""
MAX_TOP = 100
MAX_BEAMS = 20

RunName = Annotated[str, Field(max_length=200, description="One of /v1/runs.")]
Question = Annotated[str, Field(min_length=1, max_length=MAX_CHARACTERS)]
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


def body_schema(fields: type[BaseModel], runs: list[str]) -> dict[str, Any]:
    """The request body of OpenAPI: as JSON, and as a form with a file."""
    schema = fields.model_json_schema()
    properties: dict[str, Any] = dict(schema["properties"])
    if "run" in properties:
        properties["run"] = {"type": "string", "enum": runs, "description": "One of /v1/runs."}
    as_text = {"type": "string", "contentEncoding": "base64", "minLength": 4}
    required = ["image", *schema.get("required", ())]
    shared = {"type": "object", "additionalProperties": False}
    as_json = {
        **shared,
        "properties": {"image": as_text | {"description": "The file in base64."}, **properties},
        "required": required,
    }
    named = {"question" if name == "questions" else name: one for name, one in properties.items()}
    form = {
        **shared,
        "properties": {"image": {"type": "string", "format": "binary"}, **named},
        "required": ["question" if name == "questions" else name for name in required],
    }
    content = {"application/json": {"schema": as_json}, "multipart/form-data": {"schema": form}}
    return {"required": True, "content": content}
