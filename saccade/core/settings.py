"""Settings that cannot be changed or misspelt, and one sentence for what is wrong with some."""

from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from saccade.core.errors import BadConfig


class Settings(BaseModel):
    """Settings: no field may be changed, and none may be misspelt."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Some = TypeVar("Some", bound=Settings)


def checked_settings(kind: type[Some], command: str, **given: object) -> Some:
    """Settings of a command. Raises BadConfig for what cannot be, with the command that helps."""
    try:
        return kind(**given)
    except ValidationError as error:
        hint = f"See: saccade {command} --help"
        raise BadConfig(first_problem(error, "settings"), hint=hint) from None


def first_problem(error: ValidationError, whole: str) -> str:
    """The field that is wrong and why, such as "train.epochs: Input should be ...".

    `whole` is said in place of a field where all of them together are wrong.
    """
    problem = error.errors()[0]
    return f"{'.'.join(map(str, problem['loc'])) or whole}: {problem['msg']}"
