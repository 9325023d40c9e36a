#!/usr/bin/env python3
"""The fault table against real services: `make chaos`.

    .dev/venv/bin/python scripts/run_chaos.py

The report is docs/CHAOS.md, and docs/CHAOS.json for programs. `ONLY=F-01,F-05` tries these faults alone and replaces
their rows. `CHAOS_SEED` chooses what the clients do, `CHAOS_LOAD` how much. Everything it starts lives in a temporary
folder and ends with it; the folder is kept when a promise was broken.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from stack import disk, postgres_server, tools
from stack.stack import TESTS, Stack
from stack.steps import Problem, run_main, section


def build():
    # The tests as well: some rows of the table are tests of the suite.
    for what in (["--workspace"], ["--package", "integration-tests", "--test", "it"]):
        if subprocess.run(["cargo", "build", "--locked", *what], cwd=tools.ROOT).returncode != 0:
            raise Problem("it did not build")


def try_out(folder):
    report = tools.ROOT / "docs" / "CHAOS.md"
    with Stack(folder / "stack", TESTS) as stack:
        environment = os.environ | stack.environment | {"CHAOS_REPORT": str(report)}
        program = [tools.functions_directory() / "chaos"]
        code = subprocess.run(program, cwd=tools.ROOT, env=environment).returncode
    print(f"report: {report}")
    return code


def main():
    disk.check_for_temporary_files()
    disk.check_for_build()
    with section("cargo build"):
        build()
    folder = Path(tempfile.mkdtemp(prefix="session-chaos-"))
    # The user of the PostgreSQL server has to reach its data below; the names inside stay unreadable.
    folder.chmod(0o711)
    code = 1
    try:
        code = try_out(folder)
    finally:
        postgres_server.remove(folder / "stack" / "postgres")
        if code == 0:
            shutil.rmtree(folder)
        else:
            print(f"logs of the services and the functions: {folder}", file=sys.stderr)
    return code


if __name__ == "__main__":
    run_main(main)
