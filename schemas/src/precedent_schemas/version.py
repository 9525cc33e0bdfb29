"""The version of Precedent: every distribution of this repository takes it from here."""

from typing import Final

VERSION: Final = "0.1.0"
