"""A certificate authority of our own, for a deployment that brings none: made with the `openssl` command.

The command, and not a library, because every machine that has `make` has it, because the environments then need no
package more, and because whoever runs the deployment later renews the certificates with the same tool.
"""

import ipaddress
import secrets
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from closed_nats.secret_files import write_secret

_CA_DAYS: Final = 3650
_DAYS: Final = 398
"""Longer ones are not accepted everywhere."""
_CA_NAME: Final = "Precedent CA"
_CA_EXTENSIONS: Final = "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\n"
_LEAF: Final = "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n"


class CertificatesError(Exception):
    """No certificate could be made; the message says why."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its private key, as PEM files."""

    cert: Path
    key: Path

    @property
    def exists(self) -> bool:
        """Whether both are there."""
        return self.cert.exists() and self.key.exists()


def make_authority(pair: Pair) -> None:
    """An authority that signs itself.

    Raises:
        CertificatesError: openssl is missing or fails.
    """
    _make_key(pair.key)
    _sign(pair, _CA_NAME, _CA_EXTENSIONS, _CA_DAYS, ["-signkey", str(pair.key)])


def make_server(pair: Pair, authority: Pair, hosts: Sequence[str], days: int = _DAYS) -> None:
    """A server's certificate for these names and addresses.

    Raises:
        CertificatesError: openssl is missing or fails.
    """
    names = ",".join(f"{'IP' if _is_address(host) else 'DNS'}:{host}" for host in hosts)
    extensions = f"{_LEAF}extendedKeyUsage=serverAuth\nsubjectAltName={names}\n"
    _make_key(pair.key)
    _sign(pair, hosts[0], extensions, days, _signed_by(authority))


def make_client(pair: Pair, authority: Pair, name: str, days: int = _DAYS) -> None:
    """A client's certificate, for mutual TLS.

    Raises:
        CertificatesError: openssl is missing or fails.
    """
    _make_key(pair.key)
    _sign(pair, name, f"{_LEAF}extendedKeyUsage=clientAuth\n", days, _signed_by(authority))


def _signed_by(authority: Pair) -> list[str]:
    return ["-CA", str(authority.cert), "-CAkey", str(authority.key)]


def _make_key(path: Path) -> None:
    write_secret(path, _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"))


def _sign(pair: Pair, name: str, extensions: str, days: int, signer: list[str]) -> None:
    request = _openssl("req", "-new", "-key", str(pair.key), "-subj", f"/CN={name}", "-batch")
    extension_file = pair.cert.with_suffix(".ext")
    extension_file.write_text(extensions, encoding="utf-8")
    # 159 bits: a serial number must be positive in 20 bytes.
    serial = f"0x{int.from_bytes(secrets.token_bytes(20)) >> 1:x}"
    try:
        certificate = _openssl(
            *("x509", "-req", "-sha256", "-days", str(days), "-set_serial", serial),
            *("-extfile", str(extension_file), *signer),
            given=request,
        )
    finally:
        extension_file.unlink()
    pair.cert.write_bytes(certificate)


def _openssl(*arguments: str, given: bytes = b"") -> bytes:
    program = shutil.which("openssl")
    if program is None:
        raise CertificatesError("no openssl on this machine: install it, or put certificates of your own into DIR/tls")
    done = subprocess.run([program, *arguments], input=given, capture_output=True, check=False)  # noqa: S603 -- no shell
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise CertificatesError(f"openssl {arguments[0]} failed: {said}")
    return done.stdout


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
