"""Writes what a closed deployment needs: keys, certificates, the server's configuration and each user's settings.

What is there is kept: made again with another plan, only new users get new keys, and the configuration is written
anew. To use certificates of your own, put `ca.pem`, `server.pem` and `server.key` into `DIR/tls` first.
"""

import argparse
import shlex
import sys
from pathlib import Path
from typing import Final

from closed_nats.certificates import CertificatesError, Pair, make_authority, make_client, make_server
from closed_nats.plan import Plan, PlanError, User, read_plan
from closed_nats.roles import Role, inbox_prefix
from closed_nats.secret_files import make_secret_directory, write_secret
from closed_nats.server_conf import Files, render
from closed_nats.user_keys import new_seed, public_key

HERE: Final = Path(__file__).resolve().parent


class Deployment:
    """The directory of one deployment."""

    def __init__(self, directory: Path, plan: Plan) -> None:
        self.directory = directory.resolve()
        self.plan = plan
        self.ca = Pair(self.directory / "tls" / "ca.pem", self.directory / "tls" / "ca.key")
        self.server = Pair(self.directory / "tls" / "server.pem", self.directory / "tls" / "server.key")
        self.configuration = self.directory / "server.conf"
        self.pid = self.directory / "nats-server.pid"

    def seed(self, account: str, user: str) -> Path:
        """File with the secret key of a user."""
        return self.directory / account / f"{user}.nk"

    def client(self, account: str, user: str) -> Pair:
        """Certificate of a user, under mutual TLS."""
        return Pair(self.directory / account / f"{user}.pem", self.directory / account / f"{user}.key")

    def environment(self, account: str, user: str) -> Path:
        """File with the settings of a user, to be sourced by a shell or given to a supervisor."""
        return self.directory / account / f"{user}.env"

    def make(self, store: Path) -> None:
        """Write everything that is missing, and the configuration anew; `store` is where the server keeps its log.

        Raises:
            CertificatesError: a certificate could not be made.
        """
        make_secret_directory(self.directory / "tls")
        if not self.ca.cert.exists():
            make_authority(self.ca)
        if not self.server.exists:
            self._require_authority("server.pem and server.key")
            make_server(self.server, self.ca, self.plan.hosts)
        public_keys = {}
        for account, tenant in self.plan.accounts.items():
            make_secret_directory(self.directory / account)
            for name, user in tenant.users.items():
                public_keys[account, name] = self._key(account, name)
                if self.plan.mutual_tls and not self.client(account, name).exists:
                    self._require_authority(f"{name}.pem and {name}.key")
                    make_client(self.client(account, name), self.ca, f"{account}.{name}")
                self.environment(account, name).write_text(self._settings(account, name, user), encoding="utf-8")
        files = Files(self.ca.cert, self.server.cert, self.server.key, store, self.pid)
        self.configuration.write_text(render(self.plan, public_keys, files), encoding="utf-8")

    def _require_authority(self, missing: str) -> None:
        if not self.ca.key.exists():
            raise CertificatesError(
                f"{missing} are missing, and {self.ca.cert} is an authority whose key is not here: "
                "have them signed by it and put them there, or take its certificate away to have a new one made"
            )

    def _key(self, account: str, user: str) -> str:
        path = self.seed(account, user)
        if not path.exists():
            write_secret(path, new_seed() + b"\n")
        return public_key(path.read_bytes())

    def _settings(self, account: str, name: str, user: User) -> str:
        tenant = self.plan.accounts[account]
        settings = {
            "NATS_URL": f"tls://{self.plan.hosts[0]}:{self.plan.port}",
            "NATS_NKEY": str(self.seed(account, name)),
            "NATS_CA": str(self.ca.cert),
            "NATS_INBOX_PREFIX": inbox_prefix(name),
        }
        if self.plan.mutual_tls:
            pair = self.client(account, name)
            settings |= {"NATS_CERT": str(pair.cert), "NATS_KEY": str(pair.key)}
        if Role.OPERATOR in user.role:
            # `init` bounds the streams by these when it creates them.
            settings["PRECEDENT_LOG_MAX_BYTES"] = str(int(tenant.log_bytes))
            settings["PRECEDENT_DEAD_LETTERS_MAX_BYTES"] = str(int(tenant.dead_letters_bytes))
        return "".join(f"export {variable}={shlex.quote(value)}\n" for variable, value in settings.items())


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description="Keys, certificates and configuration for a closed deployment")
    parser.add_argument("--dir", type=Path, default=HERE / "keys", help="where to write; nobody else may read it")
    parser.add_argument("--plan", type=Path, default=HERE / "plans" / "one-team.toml", help="who is to have what")
    parser.add_argument("--store", type=Path, default=None, help="where the server keeps its log; unset: DIR/jetstream")
    chosen = parser.parse_args()
    try:
        deployment = Deployment(chosen.dir, read_plan(chosen.plan))
        deployment.make((chosen.store or deployment.directory / "jetstream").resolve())
    except (PlanError, CertificatesError, OSError) as error:
        sys.stderr.write(f"make keys: {error}\n")
        return 1
    users = sum(len(account.users) for account in deployment.plan.accounts.values())
    sys.stdout.write(
        f"{users} users in {len(deployment.plan.accounts)} accounts: keys and settings in {deployment.directory}\n"
        f"start the server with: nats-server --config {shlex.quote(str(deployment.configuration))}\n"
        f"or tell one that runs: nats-server --signal reload={shlex.quote(str(deployment.pid))}\n"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
