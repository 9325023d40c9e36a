#!/usr/bin/env python3
"""Removes the data and the credentials of `make dev`; what was installed below .dev stays."""

import fcntl
import shutil

from stack import postgres_server, tools
from stack.processes import Services
from stack.steps import Problem, run_main, step

HOME = tools.DEV / "local"


def main():
    if HOME.exists():
        with open(HOME / "lock", "w", encoding="ascii") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise Problem("make dev runs in this checkout: stop it first") from None
            with step("remove .dev/local"):
                Services(HOME, die_with_parent=False).stop_all()
                postgres_server.remove(HOME / "postgres")
                shutil.rmtree(HOME)
    (tools.DEV / "env").unlink(missing_ok=True)
    return 0


if __name__ == "__main__":
    run_main(main)
