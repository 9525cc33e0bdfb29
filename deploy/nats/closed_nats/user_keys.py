"""Keys of users: a secret seed in a file of the user's, a public key in the server's configuration."""

import secrets

import nkeys  # type: ignore[import-untyped] # it has no stubs

_SEED_BYTES = 32


def new_seed() -> bytes:
    """A seed of a user, as text in ASCII."""
    return bytes(nkeys.encode_seed(secrets.token_bytes(_SEED_BYTES), nkeys.PREFIX_BYTE_USER))


def public_key(seed: bytes) -> str:
    """The public key that belongs to a seed."""
    pair = nkeys.from_seed(bytearray(seed.strip()))
    public = bytes(pair.public_key).decode()
    pair.wipe()
    return public
