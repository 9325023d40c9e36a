"""What a person reads while a script works: one line per step, and a remedy for what fails."""

import signal
import sys
import time
from contextlib import contextmanager


class Problem(Exception):
    """Something the reader can act on; the text names the remedy."""


class Interrupted(BaseException):
    """The script was asked to end. Not an `Exception`, so that no handler on the way swallows it."""

    def __init__(self, number):
        super().__init__(number)
        self.number = number


@contextmanager
def step(name):
    """Prints `name` and the seconds it took. Steps that print much themselves use `section`."""
    started = time.monotonic()
    print(f"  {name} ... ", end="", flush=True)
    try:
        yield
    except BaseException:
        print("failed", flush=True)
        raise
    print(f"{time.monotonic() - started:.1f} s", flush=True)


@contextmanager
def section(name):
    """As `step`, for work whose own output stands between the two lines."""
    started = time.monotonic()
    print(f"== {name}", flush=True)
    outcome = "failed after"
    try:
        yield
        outcome = "took"
    finally:
        print(f"== {name}: {outcome} {time.monotonic() - started:.1f} s", flush=True)


def raise_on_signals():
    """Turns the signals that end a script into an exception, so that `finally` blocks stop the services."""

    def interrupt(number, _frame):
        raise Interrupted(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)


def ignore_signals():
    """While services stop: a second Ctrl-C must not leave the rest running."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)


def run_main(main):
    """Runs `main` and ends the process with its exit code."""
    raise_on_signals()
    try:
        code = main()
    except Problem as problem:
        print(f"error: {problem}", file=sys.stderr, flush=True)
        code = 1
    except Interrupted as interruption:
        code = 128 + interruption.number
    sys.exit(code)
