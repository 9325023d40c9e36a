#!/usr/bin/env python3
"""A benchmark against real services: `make bench-audit`.

    .dev/venv/bin/python scripts/run_bench.py PROGRAM FUNCTION

Builds the function as it is deployed, starts the services of the tests, and runs the program, a binary of the
integration-tests package, which prints its table.
"""

import os
import subprocess
import sys
import tempfile

from stack import tools
from stack.stack import TESTS, Stack
from stack.steps import Problem, run_main, section


def build(*arguments):
    if subprocess.run(["cargo", "build", "--locked", *arguments], cwd=tools.ROOT).returncode != 0:
        raise Problem("the benchmark did not build")


def main():
    program, function = sys.argv[1:]
    with section("cargo build"):
        build("--workspace", "--bins")
        build("--release", "--package", function)
    functions = tools.functions_directory()
    with tempfile.TemporaryDirectory(prefix="session-bench-") as directory, Stack(directory, TESTS) as stack:
        binary = {"BENCH_BINARY": str(functions.parent / "release" / function)}
        code = subprocess.run([functions / program], env=dict(os.environ) | stack.environment | binary).returncode
    if code != 0:
        raise Problem("the benchmark failed")
    return 0


if __name__ == "__main__":
    run_main(main)
