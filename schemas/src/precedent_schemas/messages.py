"""What every request and every reply have in common."""

from pydantic import BaseModel, ConfigDict


class Question(BaseModel):
    """Base of every request; a field that is not known is refused: a misspelled one must never widen an answer."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Answer(BaseModel):
    """Base of every reply; a field that this version does not know is ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")
