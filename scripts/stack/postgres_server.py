"""PostgreSQL in a data folder of its own, with passwords and TLS, run by a user that may run it."""

import json
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from . import tools
from .processes import free_port, run

DATABASE = "sessions"
OWNER = "sessions_owner"
# The other users that functions sign in as. Migrations give them their rights; here they get a password, which on AWS
# they do not have.
USERS = ("sessions_reader", "sessions_eraser")
# Root may not run the server; Debian's packages make this user.
SERVER_USER = "postgres"


class Postgres:
    def __init__(self, services, directory, durable, certificates=None):
        self.services = services
        self.bin = tools.postgres_bin()
        self.identity = _identity()
        self.home = self._home(directory)
        self.data = self.home / "data"
        self.port = free_port()
        self.passwords = self._initialise(durable)
        options = {"listen_addresses": "127.0.0.1", "port": self.port, "max_connections": 200}
        # No socket file: a path in a deep checkout would be longer than one may be.
        options["unix_socket_directories"] = ""
        if not durable:
            options |= {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
        if certificates:
            options |= {"ssl": "on"} | self._own_certificate(certificates)
        command = [self.bin / "postgres", "-D", self.data]
        for name, value in options.items():
            command += ["-c", f"{name}={value}"]
        # SIGINT ends the server at once and in order; SIGTERM would wait for every client to leave.
        self.service = services.start("postgres", command, signal.SIGINT, cwd=self.home, **self.identity)

    def wait(self):
        asks = [str(self.bin / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        self.services.wait_until(self.service, lambda: subprocess.run(asks).returncode == 0)
        if self._sql(f"SELECT 1 FROM pg_roles WHERE rolname = '{OWNER}'") != "1":
            # As the master user of a managed database: it may create roles but is no superuser.
            self._sql(f"CREATE ROLE {OWNER} LOGIN CREATEROLE PASSWORD '{self.passwords['owner']}'")
        for user in USERS:
            if self._sql(f"SELECT 1 FROM pg_roles WHERE rolname = '{user}'") != "1":
                # Made by the owner, as the migration would.
                make = f"SET ROLE {OWNER}; CREATE ROLE {user} LOGIN PASSWORD '{self.password()}'"
                self._sql(make)
        if self._sql(f"SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'") != "1":
            self._sql(f"CREATE DATABASE {DATABASE} OWNER {OWNER}")

    def password(self):
        """Of the users that functions sign in as."""
        return self.passwords["owner"]

    def url(self):
        return f"postgres://{OWNER}:{self.password()}@127.0.0.1:{self.port}/{DATABASE}?sslmode=disable"

    def admin_url(self):
        return f"postgres://postgres:{self.passwords['superuser']}@127.0.0.1:{self.port}/postgres?sslmode=disable"

    def _home(self, directory):
        """The folder that holds the data: below `directory`, or elsewhere when the server's user cannot reach that."""
        directory.mkdir(parents=True, exist_ok=True)
        pointer = directory / "elsewhere"
        if pointer.exists() and Path(pointer.read_text()).is_dir():
            return Path(pointer.read_text())
        if self.identity and not self._reaches(directory):
            directory_elsewhere = Path(tempfile.mkdtemp(prefix="session-postgres-", dir="/tmp"))
            pointer.write_text(str(directory_elsewhere))
            directory = directory_elsewhere
        if self.identity:
            shutil.chown(directory, SERVER_USER, SERVER_USER)
            directory.chmod(0o700)
        return directory

    def _reaches(self, directory):
        shutil.chown(directory, SERVER_USER, SERVER_USER)
        return subprocess.run(["test", "-w", str(directory)], cwd="/", **self.identity).returncode == 0

    def _initialise(self, durable):
        kept = self.home / "passwords.json"
        if (self.data / "PG_VERSION").exists() and kept.exists():
            return json.loads(kept.read_text())
        # What a broken off initialisation left behind would be refused.
        shutil.rmtree(self.data, ignore_errors=True)
        passwords = {"superuser": secrets.token_hex(16), "owner": secrets.token_hex(16)}
        password_file = self.home / "superuser.password"
        self._write(password_file, passwords["superuser"])
        command = [self.bin / "initdb", "-D", self.data, "--username=postgres", "--auth=scram-sha-256"]
        command += [f"--pwfile={password_file}", "--encoding=UTF8", "--locale=C"]
        command += [] if durable else ["--no-sync"]
        run(command, "initdb", cwd=self.home, **self.identity)
        password_file.unlink()
        self._write(kept, json.dumps(passwords))
        return passwords

    def _own_certificate(self, certificates):
        certificate, key = self.home / "server.pem", self.home / "server.key"
        self._write(certificate, (certificates / "server.pem").read_text())
        self._write(key, (certificates / "server.key").read_text())
        return {"ssl_cert_file": certificate, "ssl_key_file": key}

    def _write(self, path, text):
        path.touch(mode=0o600)
        path.write_text(text)
        if self.identity:
            shutil.chown(path, SERVER_USER, SERVER_USER)

    def _sql(self, statement):
        command = [self.bin / "psql", "--no-psqlrc", "-h", "127.0.0.1", "-p", self.port, "-U", "postgres", "-tA"]
        environment = os.environ | {"PGPASSWORD": self.passwords["superuser"]}
        return run([*command, "-c", statement], "psql", env=environment).strip()


def _identity():
    """How to start a process as the server's user: empty when we are not root."""
    if os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam(SERVER_USER)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def remove(directory):
    """Removes the data, also where it lies elsewhere."""
    pointer = directory / "elsewhere"
    if pointer.exists():
        shutil.rmtree(pointer.read_text(), ignore_errors=True)
    shutil.rmtree(directory, ignore_errors=True)
