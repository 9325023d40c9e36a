"""Where the programs are that the local services run from. Shared by the installer and the services."""

import glob
import json
import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DEV = ROOT / ".dev"
SERVICES_VENV = DEV / "venv"
TEMPLATE_VENV = DEV / "venv-template"
CLIENTS = DEV / "clients"
BROWSER = DEV / "browser"
EXPRESS = DEV / "express"


def redis_server():
    """The path of a Redis server binary, or None."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found:
        return found
    # Debian's redis-tools holds the whole server: its binary looks at the name it was started under. So the package
    # that brings a system service is never needed.
    checker = shutil.which("redis-check-rdb")
    if checker is None:
        return None
    link = DEV / "bin" / "redis-server"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.exists():
        link.unlink(missing_ok=True)
        link.symlink_to(checker)
    return str(link)


def redis_cli():
    return shutil.which("redis-cli") or shutil.which("valkey-cli")


def postgres_bin():
    """The folder with initdb, postgres, pg_isready and psql, or None. Debian keeps it off the PATH."""
    for folder in sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=_version, reverse=True):
        if os.path.exists(os.path.join(folder, "initdb")):
            return Path(folder)
    found = shutil.which("initdb")
    return Path(os.path.realpath(found)).parent if found else None


def _version(folder):
    name = Path(folder).parent.name
    return int(name) if name.isdigit() else 0


def faketime_library():
    """The path of libfaketime, which tests load into a function to move its clock, or None."""
    for pattern in ("/usr/lib/*/faketime/libfaketime.so.1", "/usr/lib/faketime/libfaketime.so.1"):
        for path in sorted(glob.glob(pattern)):
            return path
    return None


def cargo_lambda():
    """The cargo-lambda of the private environment, or None."""
    path = SERVICES_VENV / "bin" / "cargo-lambda"
    return str(path) if path.exists() else None


def target_directory():
    """Where cargo builds to: a variable or a configuration file may have moved it."""
    command = ["cargo", "metadata", "--format-version", "1", "--no-deps", "--offline"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return Path(json.loads(done.stdout)["target_directory"])


def functions_directory():
    """Where a development build puts the function binaries."""
    return target_directory() / "debug"
