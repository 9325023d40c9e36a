#!/usr/bin/env python3
"""Starts, stops and shows the local services of one folder.

    .dev/venv/bin/python scripts/local_stack.py start DIR [--for tests|development] [--replicas N] [--template FILE]
    .dev/venv/bin/python scripts/local_stack.py status DIR
    .dev/venv/bin/python scripts/local_stack.py stop DIR

`start` leaves the services running and writes DIR/env: `set -a; . DIR/env` gives a shell what the functions read.
"""

import argparse
import dataclasses
from pathlib import Path

from stack import tools
from stack.processes import Services
from stack.stack import DEVELOPMENT, TESTS, Stack
from stack.steps import run_main, step

SHAPES = {"tests": TESTS, "development": DEVELOPMENT}


def main():
    arguments = _parse()
    directory = arguments.directory.absolute()
    services = Services(directory, die_with_parent=False)
    if arguments.command == "start":
        shape = SHAPES[arguments.shape]
        if arguments.replicas:
            shape = dataclasses.replace(shape, cluster=True, replicas=arguments.replicas)
        Stack(directory, shape, arguments.template, bound=False).start()
        print(f"environment: {directory / 'env'}")
        return 0
    if arguments.command == "stop":
        with step(f"stop the services of {directory}"):
            services.stop_all()
        return 0
    running = services.running()
    for service in running:
        print(f"{service.name}\tpid {service.pid}\t{service.log}")
    if not running:
        print(f"nothing runs in {directory}")
    return 0 if running else 3


def _parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("command", choices=("start", "stop", "status"))
    parser.add_argument("directory", type=Path)
    parser.add_argument("--for", dest="shape", choices=SHAPES, default="tests")
    parser.add_argument("--replicas", type=int, default=0, help="replicas per primary of the Redis Cluster")
    parser.add_argument("--template", type=Path, default=tools.ROOT / "template.yaml")
    return parser.parse_args()


if __name__ == "__main__":
    run_main(main)
