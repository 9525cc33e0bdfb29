"""A similarity that needs no model: how many words two texts share, as the cosine of their word counts.

Words are runs of letters, digits and underscores, in lower case. The same words give 1 and no common word
gives 0; never less. It knows nothing of meaning: `login` and `sign-in` have nothing in common here.
"""

import math
import re
from collections import Counter
from typing import Final

_WORD: Final = re.compile(r"\w+")


def similarity(one: str, other: str) -> float:
    """0 to 1; equal texts have 1 even without a word in them."""
    if one == other:
        return 1.0
    first, second = _counts(one), _counts(other)
    if not first or not second:
        return 0.0
    shared = sum(count * second[word] for word, count in first.items())
    return min(1.0, shared / math.sqrt(_square(first) * _square(second)))


def _counts(text: str) -> Counter[str]:
    return Counter(_WORD.findall(text.lower()))


def _square(counts: Counter[str]) -> int:
    return sum(count * count for count in counts.values())
