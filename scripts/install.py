#!/usr/bin/env python3
"""Installs what is missing on a Debian 12 machine: nothing is touched that is already there.

    python3 scripts/install.py services | watch | template | clients | browser | bench | rust ...

services  Redis, PostgreSQL, libfaketime, OpenSSL, strace; moto and boto3 in .dev/venv
watch     cargo-lambda in .dev/venv
template  the SAM command line and cfn-lint in .dev/venv-template
clients   Node.js and npm; the OAuth clients of tests/clients in .dev/clients
browser   Chromium; what drives it for tests/browser in .dev/browser
bench     valgrind, strip and gzip; Node.js and npm; the session server that is measured beside ours, in .dev/express
rust      checks for cargo, rustfmt, clippy and a linker; installs Node.js with npm (the build embeds a library of the
          registry in the console) and cargo-nextest
"""

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys

from stack import tools
from stack.processes import run
from stack.steps import Problem, run_main, section, step

REQUIREMENTS = tools.ROOT / "scripts" / "requirements"

# While this file exists, packages do not start their services: ours are started by pid, on ports of their own.
GUARDED_INSTALL = """
guard=/usr/sbin/policy-rc.d
if [ ! -e "$guard" ]; then
    printf '#!/bin/sh\\nexit 101\\n' > "$guard" && chmod 755 "$guard"
    trap 'rm -f "$guard"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q && apt-get install -q -y --no-install-recommends "$@"
"""


def install_packages(packages):
    """Installs Debian packages, as root or through sudo."""
    if not packages:
        return
    names = " ".join(packages)
    remedy = f"install them by hand: apt-get update && apt-get install --no-install-recommends {names}"
    if shutil.which("apt-get") is None:
        raise Problem(f"missing: {names} (names of Debian packages), and there is no apt-get; install what they hold")
    command = ["sh", "-c", GUARDED_INSTALL, "install", *packages]
    if os.geteuid() != 0:
        if shutil.which("sudo") is None:
            raise Problem(f"missing: {names}; neither root nor sudo is at hand: {remedy}")
        command = ["sudo", *command]
    with step(f"install {names}"):
        try:
            run(command, "apt-get", stdin=None)
        except Problem as problem:
            raise Problem(f"{problem}\n{remedy}") from None


def missing_packages():
    packages = []
    if tools.redis_server() is None or tools.redis_cli() is None:
        # The server is in here too (see stack/tools.py), without the service that redis-server would start.
        packages.append("redis-tools")
    if tools.postgres_bin() is None:
        packages.append("postgresql-15")
    if tools.faketime_library() is None:
        packages.append("libfaketime")
    if shutil.which("openssl") is None:
        packages.append("openssl")
    if shutil.which("curl") is None:
        packages.append("curl")
    if shutil.which("strace") is None:
        packages.append("strace")
    return packages + missing_python()


def missing_python():
    found = all(importlib.util.find_spec(module) for module in ("venv", "ensurepip"))
    return [] if found else ["python3-venv"]


def install_requirements(venv, name, *options):
    """Installs a pinned list into a private environment, once per content of the list."""
    listed = REQUIREMENTS / f"{name}.txt"
    mark = venv / f".installed-{name}"
    digest = hashlib.sha256(listed.read_bytes() + sys.version.encode()).hexdigest()
    python = venv / "bin" / "python"
    if mark.exists() and mark.read_text() == digest and python.exists():
        return
    works = python.exists() and subprocess.run([python, "-c", "import pip"], capture_output=True).returncode == 0
    if not works:
        shutil.rmtree(venv, ignore_errors=True)
        with step(f"make {venv.relative_to(tools.ROOT)}"):
            run([sys.executable, "-m", "venv", venv], "python3 -m venv")
    with step(f"install {listed.relative_to(tools.ROOT)}"):
        pip = [python, "-m", "pip", "install", "--disable-pip-version-check", "--quiet", *options]
        try:
            run([*pip, "-r", listed], "pip")
        except Problem as problem:
            raise Problem(f"{problem}\nremedy: reach the Python package index (a proxy?) and start again") from None
    mark.write_text(digest)


def services():
    install_packages(missing_packages())
    install_requirements(tools.SERVICES_VENV, "services")


def watch():
    install_packages(missing_python())
    install_requirements(tools.SERVICES_VENV, "watch", "--no-deps")


def template():
    install_packages(missing_python())
    install_requirements(tools.TEMPLATE_VENV, "template")


def missing_node():
    return [name for program, name in (("node", "nodejs"), ("npm", "npm")) if shutil.which(program) is None]


def install_modules(source, folder):
    """Installs the pinned packages of a folder, once per content of its lists."""
    lists = [tools.ROOT / source / listed for listed in ("package.json", "package-lock.json")]
    mark = folder / ".installed"
    digest = hashlib.sha256(b"".join(listed.read_bytes() for listed in lists)).hexdigest()
    if mark.exists() and mark.read_text() == digest:
        return
    folder.mkdir(exist_ok=True)
    for listed in lists:
        shutil.copy(listed, folder)
    with step(f"install {source}/package-lock.json"):
        npm = ["npm", "ci", "--prefix", folder, "--ignore-scripts", "--no-audit", "--no-fund"]
        try:
            run(npm, "npm")
        except Problem as problem:
            raise Problem(f"{problem}\nremedy: reach the Node package registry (a proxy?) and start again") from None
    mark.write_text(digest)


def clients():
    install_packages(missing_node())
    install_modules("tests/clients", tools.CLIENTS)


def browser():
    install_packages(missing_node() + ([] if os.path.exists("/usr/bin/chromium") else ["chromium"]))
    install_modules("tests/browser", tools.BROWSER)


def bench():
    wanted = {"valgrind": "valgrind", "callgrind_annotate": "valgrind", "strip": "binutils", "gzip": "gzip"}
    missing = {package for program, package in wanted.items() if shutil.which(program) is None}
    install_packages(missing_node() + sorted(missing))
    install_modules("tools/bench/rivals/express", tools.EXPRESS)


def rust():
    if shutil.which("cargo") is None:
        raise Problem("missing: cargo; install Rust with rustup (the version is in Cargo.toml) and put cargo on the PATH")
    for program, component in (("rustfmt", "rustfmt"), ("cargo-clippy", "clippy")):
        if shutil.which(program) is None:
            raise Problem(f"missing: {program}; run `rustup component add {component}`")
    install_packages(missing_node() + ([] if shutil.which("cc") else ["gcc", "libc6-dev"]))
    if shutil.which("cargo-nextest") is None:
        with section("cargo install --locked cargo-nextest"):
            if subprocess.run(["cargo", "install", "--locked", "cargo-nextest"]).returncode != 0:
                raise Problem("cargo-nextest was not installed; see above, or install it by hand")


GROUPS = {
    "services": services,
    "watch": watch,
    "template": template,
    "clients": clients,
    "browser": browser,
    "bench": bench,
    "rust": rust,
}


def main():
    chosen = sys.argv[1:]
    if not chosen or not set(chosen) <= set(GROUPS):
        print(__doc__, file=sys.stderr)
        return 2
    if sys.version_info < (3, 11):
        raise Problem(f"Python {sys.version.split()[0]} is too old: 3.11 or later is needed")
    tools.DEV.mkdir(exist_ok=True)
    with open(tools.DEV / "install.lock", "w", encoding="ascii") as lock:
        # Two makes at once must not build the same environment.
        fcntl.flock(lock, fcntl.LOCK_EX)
        for group in chosen:
            GROUPS[group]()
    return 0


if __name__ == "__main__":
    run_main(main)
