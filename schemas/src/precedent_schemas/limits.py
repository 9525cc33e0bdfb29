"""Every number that both sides of the bus must agree on, with its unit."""

from typing import Final

# -- an event ---------------------------------------------------------------------------------------------
MAX_TEXT_CHARS: Final = 32_768
"""Characters of an event's text after trimming; a longer text is refused, never cut."""
MAX_ID_CHARS: Final = 128
"""Characters of an event's id."""
MAX_LABEL_CHARS: Final = 256
"""Characters of `source` and `user`, and of an outcome's `mitigation` and `by`."""
MAX_ATTRIBUTES: Final = 64
"""Keys of `attributes`."""
MAX_ATTRIBUTE_KEY_CHARS: Final = 64
"""Characters of one attribute key."""
MAX_KIND_TOKENS: Final = 4
"""Tokens of a kind, general to particular."""
MIN_SEVERITY: Final = 1
"""Informational; also what an event without a severity has."""
MAX_SEVERITY: Final = 5
"""Critical."""
INT64_MIN: Final = -(2**63)
"""Smallest integer of an attribute."""
INT64_MAX: Final = 2**63 - 1
"""Largest integer of an attribute."""

# -- the log ----------------------------------------------------------------------------------------------
MAX_LOG_MESSAGE_BYTES: Final = 256 * 1024
"""Headers and payload of one message of the log; the server refuses a larger one at the publisher."""
MAX_DEAD_LETTER_BYTES: Final = 512 * 1024
"""Headers and payload of one dead letter: a message of the log with its headers in base64 always fits."""
DUPLICATE_WINDOW_S: Final = 600
"""Seconds in which the log drops a second message with the same `Nats-Msg-Id`."""
ACK_WAIT_S: Final = 60
"""Seconds after which an unacknowledged message is delivered again."""
MAX_ACK_PENDING: Final = 1_024
"""Messages delivered and not yet acknowledged; beyond it the server delivers no more (back-pressure)."""
MAX_COLLECTIONS: Final = 64
"""Collections that one index accepts before the first event of another becomes a dead letter."""
MAX_DETAIL_CHARS: Final = 256
"""Printable ASCII characters of the `Precedent-Detail` header."""
MAX_JSON_DEPTH: Final = 32
"""Nesting of arrays and objects in any message; deeper ones are malformed."""

# -- questions --------------------------------------------------------------------------------------------
DEFAULT_K: Final = 5
"""Hits of a search that names no `k`."""
MAX_K: Final = 1_000
"""Hits of one search, ids of one request, entries of one page, entries of one list of a filter."""
DEFAULT_LIMIT: Final = 100
"""Entries of a page that names no `limit`."""
DEFAULT_WAIT_MS: Final = 2_000
"""Milliseconds that an answer waits for `min_seq` when the request names no `wait_ms`."""
MAX_WAIT_MS: Final = 30_000
"""The longest `wait_ms`."""
DEFAULT_RECURRENCE_SIMILARITY: Final = 0.6
"""`min_similarity` of a recurrence that names none."""
REPLY_SHARE_OF_MAX_PAYLOAD: Final = 0.9
"""A reply stays below this share of the server's max_payload: above it, the server cuts the connection."""
MAX_CURSOR_CHARS: Final = 512
"""Characters of a page cursor."""
MAX_JOB_EXAMPLES: Final = 20
"""Examples of each sort in the report of a job: the service's `stats` carries them all."""
LEASES_BYTES: Final = 64 * 1024
"""Bound of the bucket with the lease to write an index that replicas share: one entry of some hundred bytes."""
