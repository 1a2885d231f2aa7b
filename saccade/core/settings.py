"""Base class of settings, and one sentence for what is wrong with some."""

from typing import Any, Self, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from saccade.core.errors import BadConfig


class Settings(BaseModel):
    """Base of all settings: no field can be changed, none misspelt, and no number is infinite."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True, allow_inf_nan=False)

    def replace(self, **fields: Any) -> Self:
        """The same settings with other values in some fields, checked (`model_copy` does not)."""
        return self.model_validate({**dict(self), **fields})


Some = TypeVar("Some", bound=Settings)


def checked_settings(kind: type[Some], command: str, **given: object) -> Some:
    """Settings of a command. Raises BadConfig for a wrong value, with the help page to read."""
    try:
        return kind(**given)
    except ValidationError as error:
        hint = f"See: saccade {command} --help"
        raise BadConfig(first_problem(error, "settings"), hint=hint) from None


def all_problems(error: ValidationError, whole: str) -> list[str]:
    """The fields that are wrong and why, such as "train.epochs: Input should be ...".

    `whole` stands in place of the field where all of them together are wrong.
    """
    return [
        f"{'.'.join(map(str, problem['loc'])) or whole}: "
        f"{problem['msg'].removeprefix('Value error, ')}"
        for problem in error.errors(include_url=False)
    ]


def first_problem(error: ValidationError, whole: str) -> str:
    """The first one of `all_problems`."""
    return all_problems(error, whole)[0]
