"""Settings that cannot be changed or misspelt, and one sentence for what is wrong with some."""

from pydantic import BaseModel, ConfigDict, ValidationError


class Frozen(BaseModel):
    """Settings: no field may be changed, and none may be misspelt."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def first_problem(error: ValidationError, whole: str) -> str:
    """The field that is wrong and why, such as "train.epochs: Input should be ...".

    `whole` is said in place of a field where all of them together are wrong.
    """
    problem = error.errors()[0]
    return f"{'.'.join(map(str, problem['loc'])) or whole}: {problem['msg']}"
