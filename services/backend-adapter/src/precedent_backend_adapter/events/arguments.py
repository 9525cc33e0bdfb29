"""What else a backend builds: outcomes and filters, whose construction raises `Refused`.

To type checkers these are the classes of the wire, which replies hold. At run time each is a subclass of one, so that a
wrong field is refused where the object is built; instances of both are equal, and `isinstance` takes both.
"""

from typing import TYPE_CHECKING

import precedent_schemas as wire
from precedent_backend_adapter.events.refusing import Refusing

if TYPE_CHECKING:
    from precedent_schemas import Filter, Outcome, SeverityRange, TimeRange
else:
    # ruff: noqa: D101 -- their documentation is that of the class on the wire

    class Outcome(Refusing, wire.Outcome):
        __doc__ = wire.Outcome.__doc__
        __wire__ = wire.Outcome

    class SeverityRange(Refusing, wire.SeverityRange):
        __doc__ = wire.SeverityRange.__doc__
        __wire__ = wire.SeverityRange

    class TimeRange(Refusing, wire.TimeRange):
        __doc__ = wire.TimeRange.__doc__
        __wire__ = wire.TimeRange

    class Filter(Refusing, wire.Filter):
        __doc__ = wire.Filter.__doc__
        __wire__ = wire.Filter


__all__ = ["Filter", "Outcome", "SeverityRange", "TimeRange"]
