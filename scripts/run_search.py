#!/usr/bin/env python3
"""One long search for faults, against a Redis of its own: `make simulate` and `make fuzz`.

    .dev/venv/bin/python scripts/run_search.py TEST...

Builds the test binary alone and runs the named tests in it, with their output; what they read stands in the environment
(SIMULATION_SEED, SIMULATION_SCHEDULES, FUZZ_TARGET, FUZZ_SECONDS). They start what they need by themselves.
"""

import os
import subprocess
import sys

from stack import tools
from stack.steps import Problem, run_main


def main():
    command = ["cargo", "test", "--locked", "--package", "integration-tests", "--test", "it", "--", "--exact"]
    environment = os.environ | {"TEST_REDIS_SERVER": str(tools.redis_server())}
    if subprocess.run([*command, "--nocapture", *sys.argv[1:]], cwd=tools.ROOT, env=environment).returncode != 0:
        raise Problem("the search has found something")
    return 0


if __name__ == "__main__":
    run_main(main)
