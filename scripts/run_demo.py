#!/usr/bin/env python3
"""A day of traffic for a running `make dev`: `make demo`.

    .dev/venv/bin/python scripts/run_demo.py

`DEMO_SEED` and `DEMO_SESSIONS` choose another day and how much happens. The real functions serve it against the stores of `make dev`, under a clock that begins a day ago. The same seed is the
same day.
"""

import os
import subprocess
import time

from stack import demo, tools
from stack.stack import read_environment
from stack.steps import Problem, run_main, section

LOCAL = tools.DEV / "local" / "env"


def environment():
    if not LOCAL.exists() or not demo.FILE.exists():
        raise Problem("start `make dev` in another terminal first")
    variables = dict(os.environ) | read_environment(LOCAL) | read_environment(demo.FILE)
    for name in ("DEMO_SEED", "DEMO_SESSIONS"):
        text = variables.pop(name, "")
        if text and not text.isdecimal():
            raise Problem(f"{name}={text} is no number")
        if text:
            variables[name] = text
    variables["TEST_FAKETIME_LIBRARY"] = tools.faketime_library()
    variables["TEST_FUNCTIONS_DIR"] = str(tools.functions_directory())
    # The harness keeps the logs of the functions; what the day's functions say is of no interest afterwards.
    variables["TEST_LOG_DIR"] = str(tools.DEV / "demo-logs")
    return variables


def main():
    variables = environment()
    with section("cargo build"):
        build = ["cargo", "build", "--package", "integration-tests", "--bin", "demo"]
        if subprocess.run(build, cwd=tools.ROOT).returncode != 0:
            raise Problem("the demonstration did not build")
    for _ in range(120):
        with demo.day() as free:
            if free:
                code = subprocess.run([tools.functions_directory() / "demo"], env=variables).returncode
                if code != 0:
                    raise Problem("the day ended early; is `make dev` running?")
                print(f"open {variables['SESSION_API_URL']}/console; the key is in .dev/env")
                return 0
        # A scheduled run is under way.
        time.sleep(1)
    raise Problem("another `make demo` is running")


if __name__ == "__main__":
    run_main(main)
