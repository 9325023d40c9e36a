#!/usr/bin/env python3
"""The service on this machine, until Ctrl-C: `make dev`.

    .dev/venv/bin/python scripts/run_dev.py [PORT]

Starts Redis, PostgreSQL, KMS and DynamoDB below .dev/local, builds the functions, serves them on 127.0.0.1:PORT (9000),
prepares the database, the keys and an application, and then does what EventBridge does on AWS: it invokes the
scheduled functions. Data stays over a restart; `make clean-dev` removes it.
"""

import datetime
import fcntl
import subprocess
import sys
import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

from stack import demo, disk, tools
from stack.gateway import Gateway, require_port
from stack.processes import adopt_orphans, kill_orphans, tail
from stack.stack import DEVELOPMENT, Stack
from stack.steps import Interrupted, Problem, ignore_signals, run_main, section, step

HOME = tools.DEV / "local"
MINUTE = 60
DAY = 24 * 60 * MINUTE
# What runs when, as template.yaml has it.
SCHEDULE = (
    ("write-audit", MINUTE),
    ("cleanup-sessions", MINUTE),
    ("evaluate-alerts", MINUTE),
    ("deliver-events", MINUTE),
    ("rotate-keys", DAY),
)

# One harmless request per function: each is refused for want of a credential, but then the function runs.
WARM_UP = (
    ("POST", "/sessions"),
    ("GET", "/sessions/none"),
    ("PUT", "/sessions/none"),
    ("DELETE", "/sessions/none"),
    ("POST", "/sessions/none/refresh"),
    ("GET", "/sessions/user/none"),
    ("DELETE", "/sessions/user/none"),
    ("POST", "/sessions/none/lock"),
    ("DELETE", "/sessions/none/lock"),
    ("POST", "/sessions/none/share"),
    ("POST", "/sessions/redeem"),
    ("POST", "/sessions/none/step-up"),
    ("GET", "/users/none/devices"),
    ("GET", "/users/none/devices/none"),
    ("GET", "/users/none/devices/none/data"),
    ("GET", "/users/none/state"),
    ("POST", "/dbsc/refresh"),
    ("POST", "/introspect"),
    ("POST", "/revoke"),
    ("GET", "/.well-known/jwks.json"),
    ("GET", "/audit/events"),
    ("GET", "/audit/verify"),
    ("GET", "/analytics/activity"),
    ("POST", "/sessions/none/activity"),
    ("GET", "/users/none/privacy"),
    ("GET", "/users/none/export"),
    ("DELETE", "/users/none"),
    ("GET", "/health"),
    ("GET", "/openapi.json"),
    ("GET", "/console"),
)


def scheduled_event():
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "detail-type": "Scheduled Event",
        "source": "aws.events",
        "account": "123456789012",
        "time": now,
        "region": "eu-west-1",
        "resources": ["arn:aws:events:eu-west-1:123456789012:rule/local"],
        "detail": {},
    }


def build():
    # The default members, because `cargo lambda watch` builds with the same set: another would compile twice.
    with section("cargo build"):
        if subprocess.run(["cargo", "build"], cwd=tools.ROOT).returncode != 0:
            raise Problem("the functions did not build")


def prepare(gateway, aws):
    with step("database (migrate-database)"):
        gateway.invoke("migrate-database", {})
    with step("key rings (rotate-keys)"):
        gateway.invoke("rotate-keys", scheduled_event())
    with step(f"application {demo.APPLICATION} (manage-applications)"):
        outcome = demo.prepare(gateway)
    print(f"  application {demo.APPLICATION}: {outcome}; .dev/env holds its key")
    with step("start every function once"):
        for function in ("write-audit", "cleanup-sessions", "evaluate-alerts", "deliver-events"):
            gateway.invoke(function, scheduled_event())
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda line: gateway.request(*line), WARM_UP))
    aws.save()


def run_schedule(gateway, aws):
    """Invokes what is due, for ever. One failed run is reported and comes again, as on AWS."""
    last = {name: time.monotonic() for name, _ in SCHEDULE}
    while gateway.services.alive(gateway.service):
        for name, period in SCHEDULE:
            if time.monotonic() - last[name] < period:
                continue
            last[name] = time.monotonic()
            with demo.between_days() as free:
                if not free:
                    continue
                try:
                    gateway.invoke(name, scheduled_event(), timeout=MINUTE)
                except (Problem, OSError) as error:
                    print(f"schedule: {name}: {error}; the next run is in {period} s", flush=True)
            aws.save()
        time.sleep(1)
    raise Problem(f"cargo lambda watch ended:\n{tail(gateway.service.log)}")


def follow(path):
    """Prints what the functions log from now on."""
    with open(path, "rb") as log:
        log.seek(0, 2)
        while True:
            chunk = log.read(1 << 16)
            if chunk:
                sys.stdout.buffer.write(chunk)
                sys.stdout.buffer.flush()
            else:
                time.sleep(0.2)


def serve(stack, port):
    gateway = Gateway(stack.services, port, stack.environment)
    try:
        with step(f"cargo lambda watch on {gateway.url}"):
            gateway.wait()
        prepare(gateway, stack.aws)
        print(f"\nReady: {gateway.url} (Ctrl-C stops everything)\n{demo.LINES}", flush=True)
        threading.Thread(target=follow, args=(gateway.service.log,), daemon=True).start()
        run_schedule(gateway, stack.aws)
    finally:
        ignore_signals()
        print(flush=True)
        # The functions first: they are in the middle of requests to the stores.
        with step("stop the functions"):
            stack.services.stop([gateway.service])
            kill_orphans(stack.services)
        if stack.services.alive(stack.aws.service):
            stack.aws.save()


def port_of(arguments):
    text = arguments[0] if arguments else "9000"
    # Below 1024 a port needs root.
    if not text.isdecimal() or not 1024 <= int(text) <= 65535:
        raise Problem(f"PORT={text} is no port: choose a number from 1024 to 65535")
    return int(text)


def main():
    port = port_of(sys.argv[1:])
    disk.check_for_build()
    HOME.mkdir(parents=True, exist_ok=True)
    with open(HOME / "lock", "w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Problem("make dev already runs in this checkout") from None
        adopt_orphans()
        stack = Stack(HOME, DEVELOPMENT, public_url=f"http://127.0.0.1:{port}")
        # With the lock in hand, whatever still runs here was left behind.
        stack.services.stop_all()
        require_port(port)
        try:
            with stack:
                build()
                serve(stack, port)
        except Interrupted:
            print("stopped")
    return 0


if __name__ == "__main__":
    run_main(main)
