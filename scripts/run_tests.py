#!/usr/bin/env python3
"""The whole suite against services of its own: `make test`.

    .dev/venv/bin/python scripts/run_tests.py [arguments of cargo nextest run ...]

Builds, checks and tests; ends with the exit code of the first step that failed. Everything it starts lives in a
temporary folder and ends with it; the folder is kept when something failed.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from stack import disk, postgres_server, tools
from stack.stack import TESTS, Stack
from stack.steps import run_main, section, step


# The packages that hold tests.
TESTED = ["shared", "integration-tests", "bench"]


class Failed(Exception):
    """A step ended with this exit code."""

    def __init__(self, code):
        super().__init__(code)
        self.code = code


def command(name, argv, **options):
    with section(name):
        code = subprocess.run([str(word) for word in argv], cwd=tools.ROOT, **options).returncode
    if code != 0:
        raise Failed(code if code > 0 else 128 - code)


class Background:
    """A command that runs beside the build; its output is shown when it is waited for."""

    def __init__(self, name, argv, log, environment):
        self.name = name
        self.log = log
        self.code = None
        self.child = None
        self.thread = threading.Thread(target=self._run, args=(argv, environment))
        self.thread.start()

    def _run(self, argv, environment):
        with open(self.log, "wb") as output:
            words = [str(word) for word in argv]
            streams = {"stdin": subprocess.DEVNULL, "stdout": output, "stderr": output}
            self.child = subprocess.Popen(words, cwd=tools.ROOT, env=environment, **streams)
            self.code = self.child.wait()

    def finish(self):
        with step(self.name):
            self.thread.join()
        if self.code != 0:
            print(self.log.read_text(errors="replace"), file=sys.stderr)
            raise Failed(self.code)

    def cancel(self):
        if self.child is not None and self.child.poll() is None:
            self.child.terminate()
        self.thread.join()


def template_checks(logs):
    """cfn-lint and SAM's own validation. Neither needs an account; both want to know a region."""
    programs = tools.TEMPLATE_VENV / "bin"
    environment = os.environ | {"SAM_CLI_TELEMETRY": "0", "AWS_DEFAULT_REGION": "eu-west-1"}
    lint = [programs / "cfn-lint", "template.yaml"]
    validate = [programs / "sam", "validate", "--lint", "--template", "template.yaml"]
    return [
        Background("cfn-lint template.yaml", lint, logs / "cfn-lint.out", environment),
        Background("sam validate --lint", validate, logs / "sam-validate.out", environment),
    ]


def suite(folder, arguments):
    checks = template_checks(folder)
    try:
        with Stack(folder / "stack", TESTS) as stack:
            environment = os.environ | stack.environment
            command("cargo fmt", ["cargo", "fmt", "--all", "--check"])
            command("cargo build", ["cargo", "build", "--workspace", "--locked"])
            clippy = ["cargo", "clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]
            command("cargo clippy", clippy)
            for check in checks:
                check.finish()
            # The stand-ins of AWS, Redis and PostgreSQL go first: a starved one is an outage, which tests then report.
            # Functions have no tests of their own (a test holds them to that), and each would be linked twice to run none.
            packages = [word for package in TESTED for word in ("--package", package)]
            nextest = ["cargo", "nextest", "run", *packages, "--locked", "--no-fail-fast", *arguments]
            tests = ["nice", "-n", "10", *nextest]
            first = None
            try:
                command("cargo nextest", tests, env=environment)
            except Failed as failure:
                # The logs of a failed run are searched as well: they may show why.
                first = failure
            logs = Path(environment["TEST_LOG_DIR"])
            scan = [sys.executable, tools.ROOT / "scripts" / "scan_logs.py", logs, logs / "secrets.txt"]
            try:
                command("secrets in logs", scan)
            except Failed as failure:
                first = first or failure
            if first:
                raise first
    finally:
        for check in checks:
            check.cancel()


def main():
    disk.check_for_temporary_files()
    disk.check_for_build()
    folder = Path(tempfile.mkdtemp(prefix="session-tests-"))
    # The user of the PostgreSQL server has to reach its data below; the names inside stay unreadable.
    folder.chmod(0o711)
    kept = True
    try:
        suite(folder, sys.argv[1:])
        kept = False
    except Failed as failure:
        return failure.code
    finally:
        postgres_server.remove(folder / "stack" / "postgres")
        if kept:
            print(f"logs of the services and the functions: {folder}", file=sys.stderr)
        else:
            shutil.rmtree(folder)
    print("all tests and checks passed")
    return 0


if __name__ == "__main__":
    run_main(main)
