"""Models whose construction raises `Refused` where pydantic's own would raise `ValidationError`.

Only construction by hand is changed. If such a model is a field of a caller's own model, pydantic validates it as any
other, and the caller's model raises its own `ValidationError`.
"""

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from precedent_backend_adapter.errors import Refused, invalid
from precedent_schemas.codec import field_problems


def _refused(model: type[BaseModel], error: ValidationError) -> Refused:
    return invalid(field_problems(model, error))


if TYPE_CHECKING:
    # Type checkers would otherwise lose the fields of the constructor.

    class Refusing(BaseModel):
        """Base of a model that its user builds."""

else:

    class _RefusingMeta(type(BaseModel)):
        def __call__(cls, *args: object, **fields: object) -> object:
            """Construct one."""
            try:
                return super().__call__(*args, **fields)
            except ValidationError as error:
                raise _refused(cls, error) from error

        def __instancecheck__(cls, instance: object) -> bool:
            """Replies hold instances of the wire's class: they count as instances of the class that stands for it."""
            return super().__instancecheck__(instance) or type(instance) is cls.__dict__.get("__wire__")

    class Refusing(BaseModel, metaclass=_RefusingMeta):
        """Base of a model that its user builds."""

        @classmethod
        def model_validate(cls, *args: Any, **options: Any) -> Any:  # noqa: ANN401 -- as pydantic's
            """As pydantic's; raises `Refused`."""
            try:
                return super().model_validate(*args, **options)
            except ValidationError as error:
                raise _refused(cls, error) from error

        @classmethod
        def model_validate_json(cls, *args: Any, **options: Any) -> Any:  # noqa: ANN401 -- as pydantic's
            """As pydantic's; raises `Refused`."""
            try:
                return super().model_validate_json(*args, **options)
            except ValidationError as error:
                raise _refused(cls, error) from error

        def __eq__(self, other: object) -> bool:
            """Equal to an instance of the wire's class with the same values."""
            if isinstance(other, BaseModel) and isinstance(self, type(other)):
                return dict(self) == dict(other)
            return super().__eq__(other)

        __hash__ = BaseModel.__hash__
