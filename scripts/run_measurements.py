#!/usr/bin/env python3
"""The benchmark: `make bench` and `make bench-quick`.

    .dev/venv/bin/python scripts/run_measurements.py [--quick] [--only SECTION,...] [--out FOLDER]

Builds what is measured as it is deployed, the program that measures (tools/bench) and the session servers beside it,
starts the services of the tests, and runs the program, which writes the report.

Each build is a cargo of its own: packages that are built together share their features, and the floor must not carry
those of others.
"""

import argparse
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from stack import tools
from stack.stack import TESTS, Stack
from stack.steps import Problem, run_main, section, step

MEASURED = [
    "get-session",
    "create-session",
    "update-session",
    "refresh-session",
    "delete-session",
    "introspect",
    "cleanup-sessions",
    "write-audit",
]
# Run as they are for tests: nothing of them is measured.
SUPPORT = ["manage-applications", "migrate-database", "rotate-keys"]
HELLO = "bench-hello"
PROFILE = "measured"
RIVAL = "bench-tower-sessions"


def cargo(*arguments):
    if subprocess.run(["cargo", "build", "--locked", *map(str, arguments)], cwd=tools.ROOT).returncode != 0:
        raise Problem("the benchmark did not build")


def packages(names):
    return [word for name in names for word in ("--package", name)]


def build(target):
    profile = ["--profile", PROFILE]
    with section("cargo build: the functions, as deployed"):
        cargo(*profile, *packages(MEASURED))
    with section("cargo build: the floor"):
        cargo(*profile, *packages([HELLO]))
    with section("cargo build: functions that only prepare"):
        cargo(*packages(SUPPORT))
    with section("cargo build: the programs that measure"):
        cargo(*profile, *packages(["bench", "integration-tests"]), "--bin", "bench", "--bin", "audit-bench")
    with section("cargo build: tower-sessions"):
        manifest = tools.ROOT / "tools" / "bench" / "rivals" / "tower-sessions" / "Cargo.toml"
        cargo("--release", "--manifest-path", manifest, "--target-dir", target / "rivals")


def lay_out(target):
    """One folder with every function: stripped as deployed where it is measured."""
    functions = target / "bench" / "functions"
    shutil.rmtree(functions, ignore_errors=True)
    functions.mkdir(parents=True)
    with step("strip the functions"):
        for name in [*MEASURED, HELLO]:
            command = ["strip", "--strip-all", "-o", functions / name, target / PROFILE / name]
            if subprocess.run(command).returncode != 0:
                raise Problem(f"{name} was not stripped; is binutils installed?")
        for name in SUPPORT:
            shutil.copy(target / "debug" / name, functions / name)
    shutil.copy(tools.ROOT / "tools" / "bench" / "rivals" / "express" / "server.mjs", tools.EXPRESS)
    return functions


def command_line(arguments):
    chosen = f" ONLY={arguments.only}" if arguments.only else ""
    return f"make bench{'-quick' if arguments.quick else ''}{chosen}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--out", default="docs/performance")
    arguments = parser.parse_args()
    target = tools.target_directory()
    build(target)
    functions = lay_out(target)
    words = [target / PROFILE / "bench", "run", "--out", Path(arguments.out).absolute()]
    words += ["--command", command_line(arguments)]
    # The figures of the document are those of the report beside it, and of no other.
    published = Path(arguments.out).absolute() == tools.ROOT / "docs" / "performance" and not arguments.quick
    words += ["--quick"] if arguments.quick else []
    words += ["--document", tools.ROOT / "docs" / "PERFORMANCE.md"] if published else []
    words += ["--only", arguments.only] if arguments.only else []
    with tempfile.TemporaryDirectory(prefix="session-bench-") as directory, Stack(directory, TESTS) as stack:
        environment = os.environ | stack.environment
        environment |= {
            "TEST_FUNCTIONS_DIR": str(functions),
            "BENCH_SYMBOLS": str(target / PROFILE),
            "BENCH_TOWER_SESSIONS": str(target / "rivals" / "release" / RIVAL),
            "BENCH_EXPRESS": str(tools.EXPRESS),
            "BENCH_AUDIT": str(target / PROFILE / "audit-bench"),
        }
        code = subprocess.run([str(word) for word in words], env=environment, cwd=tools.ROOT).returncode
    if code != 0:
        raise Problem(f"a section failed: see {Path(arguments.out) / 'report.md'}")
    return 0


if __name__ == "__main__":
    run_main(main)
