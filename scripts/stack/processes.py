"""Child processes that are found again by pid, and never mistaken for another process with the same number."""

import ctypes
import json
import os
import random
import signal
import socket
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from .steps import Problem

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
STOP_SECONDS = 15
# Below the range from which the kernel takes the ports of outgoing connections.
FIRST_PORT, LAST_PORT = 12000, 30000

_libc = ctypes.CDLL(None, use_errno=True)
_handed_out = set()


@dataclass
class Service:
    name: str
    pid: int
    started: str
    stop_signal: int
    log: str


class Services:
    """The running services of one folder, recorded in `services.json` so that another process can stop them."""

    def __init__(self, directory, die_with_parent):
        self.directory = Path(directory)
        self.record = self.directory / "services.json"
        self.die_with_parent = die_with_parent
        self.children = {}

    def read(self):
        if not self.record.exists():
            return []
        return [Service(**entry) for entry in json.loads(self.record.read_text())]

    def _write(self, services):
        fresh = self.record.with_suffix(".new")
        fresh.write_text(json.dumps([asdict(service) for service in services], indent=1) + "\n")
        fresh.replace(self.record)

    def running(self):
        return [service for service in self.read() if is_running(service)]

    def start(self, name, argv, stop_signal=signal.SIGTERM, **options):
        """Starts one service in a session of its own: Ctrl-C reaches the supervisor, which then stops it in order."""
        logs = self.directory / "services"
        logs.mkdir(parents=True, exist_ok=True)
        log = logs / f"{name}.log"
        # The signal of a dying parent follows the thread that started the child, so this runs on the main thread.
        before_exec = _end_with_parent(stop_signal) if self.die_with_parent else None
        with open(log, "wb") as output:
            child = subprocess.Popen(
                [str(word) for word in argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=before_exec,
                **options,
            )
        self.children[child.pid] = child
        service = Service(name, child.pid, start_time(child.pid) or "", int(stop_signal), str(log))
        self._write([*self.read(), service])
        return service

    def wait_until(self, service, ready, seconds=30):
        """Polls `ready` until it answers true; a service that ends or stays silent is a problem with its last words."""
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.alive(service):
                raise Problem(f"{service.name} ended while it started:\n{tail(service.log)}")
            if time.monotonic() > deadline:
                raise Problem(f"{service.name} did not answer within {seconds} s:\n{tail(service.log)}")
            time.sleep(0.05)

    def stop_all(self):
        """Stops every service of this folder, the last started first, and returns how many were running."""
        count = self.stop(reversed(self.read()))
        self.record.unlink(missing_ok=True)
        return count

    def stop(self, services):
        """Asks each service to end, waits for all of them, and kills what did not end in time."""
        services = [service for service in services if self.alive(service)]
        for service in services:
            _signal(service, service.stop_signal)
        deadline = time.monotonic() + STOP_SECONDS
        for service in services:
            while self.alive(service) and time.monotonic() < deadline:
                time.sleep(0.02)
            if self.alive(service):
                _signal(service, signal.SIGKILL)
                while self.alive(service):
                    time.sleep(0.02)
        return len(services)

    def alive(self, service):
        child = self.children.get(service.pid)
        if child is not None and child.poll() is not None:
            return False
        return is_running(service)


def _end_with_parent(number):
    parent = os.getpid()

    def before_exec():
        _libc.prctl(PR_SET_PDEATHSIG, int(number))
        if os.getppid() != parent:
            os._exit(1)

    return before_exec


def adopt_orphans():
    """Makes this process the parent of every descendant whose own parent ends, so that none is lost sight of."""
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1)


def kill_orphans(services):
    """Kills the children of this process that are none of `services`, and theirs as they are adopted in turn."""
    known = set(services.children)
    while True:
        orphans = [pid for pid in _children(os.getpid()) if pid not in known]
        if not orphans:
            return
        for pid in orphans:
            try:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)
            except (ProcessLookupError, ChildProcessError):
                pass


def _children(parent):
    pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    return [pid for pid in pids if (fields := _stat(pid)) and int(fields[1]) == parent]


def start_time(pid):
    """The kernel's start time of a process: together with the pid it names one process for good."""
    fields = _stat(pid)
    return fields[19] if fields else None


def _stat(pid):
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command in parentheses may hold blanks, so fields are counted after it: state, ppid, ...
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields


def is_running(service):
    return bool(service.started) and start_time(service.pid) == service.started


def _signal(service, number):
    if not is_running(service):
        return
    try:
        os.kill(service.pid, number)
    except ProcessLookupError:
        pass


def free_port():
    """A loopback port nobody listens on, never the same one twice in a process."""
    for _ in range(1000):
        port = random.randint(FIRST_PORT, LAST_PORT)
        if port in _handed_out or not port_is_free(port):
            continue
        _handed_out.add(port)
        return port
    raise Problem("no free loopback port was found")


def port_is_free(port):
    with socket.socket() as probe:
        # As servers do: a port whose last connections still linger counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def tail(path, lines=15):
    try:
        text = Path(path).read_text(errors="replace")
    except FileNotFoundError:
        return f"({path} was not written)"
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:]) or f"    ({path} is empty)"


def run(argv, what, **options):
    """Runs a command to its end and returns its output; a failure becomes a problem with its last lines."""
    done = subprocess.run(
        [str(word) for word in argv],
        stdin=options.pop("stdin", subprocess.DEVNULL),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )
    if done.returncode != 0:
        last = "\n".join(f"    {line}" for line in done.stdout.splitlines()[-15:])
        raise Problem(f"{what} failed (exit {done.returncode}):\n{last}")
    return done.stdout
