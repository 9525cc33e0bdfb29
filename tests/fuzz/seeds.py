"""Writes the first inputs: the examples of the schemas and the payloads of the hostile cases."""

import sys
from pathlib import Path

from security.hostile.corpus import load

ROOT = Path(__file__).resolve().parents[2]
LARGEST = 4_096
PLAIN_TARGETS = 16
"""The targets that take bytes as they are come first: so many of them get seeds, by turns."""


def main() -> None:
    """One file for each payload, into the folder that is the argument."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    payloads = [path.read_bytes() for path in sorted((ROOT / "schemas" / "examples").glob("**/*.json"))]
    payloads += [case.payload for case in load()]
    small = sorted({one for one in payloads if one and len(one) < LARGEST})
    for number, payload in enumerate(small):
        (folder / f"seed-{number}").write_bytes(bytes([number % PLAIN_TARGETS]) + payload)


if __name__ == "__main__":
    main()
