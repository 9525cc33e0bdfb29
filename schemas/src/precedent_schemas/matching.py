"""When two texts are the same to a filter: canonically equivalent ones are, however they were typed.

`é` may come as one character or as `e` with an accent behind it. What is stored stays as it came; what is compared is
compared in Unicode's normal form C. Nothing else is folded: case, width and look-alikes of other scripts differ.
"""

import itertools
import re
import unicodedata
from collections.abc import Callable
from functools import cache
from typing import Final

_TOWER: Final = 30
"""Accents on one letter that are put in order together, as in Unicode's stream-safe text: sorting more takes a time
that grows with the square of their number, and a text may consist of them."""
_PLANES: Final = 0x20000
"""The planes of Unicode that hold accents, and all else that stands on a character before it."""
_PERHAPS_TOWERS: Final = re.compile(
    f"[\u0300-\u2fff\u302a-\u302f\u3099\u309a\ua66f-\uabff\ufb1e-\uffff\U00010000-\U0001ffff]{{{_TOWER}}}"
)
"""A few ranges, quickly told from Latin, Chinese, Japanese and Korean letters; looked at closely where it is found."""


def canonical(text: str) -> str:
    """`text` in normal form C; accents beyond the thirtieth on one letter are put in order by themselves."""
    if _PERHAPS_TOWERS.search(text) is None:
        return unicodedata.normalize("NFC", text)
    cuts = [0, *(tower.end() for tower in _towers().finditer(text)), len(text)]
    return "".join(unicodedata.normalize("NFC", text[start:end]) for start, end in itertools.pairwise(cuts))


def holds(needle: str) -> Callable[[str], bool]:
    """Whether a text has `needle` as a substring, as they stand or in normal form C."""
    wanted = canonical(needle)
    return lambda text: needle in text or wanted in canonical(text)


@cache
def _towers() -> re.Pattern[str]:
    marks = "".join(char for char in map(chr, range(_PLANES)) if unicodedata.combining(char))
    return re.compile(f"[{marks}]{{{_TOWER}}}")
