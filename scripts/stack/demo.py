"""The application that `make dev` prepares, and the lines that show it at work."""

import contextlib
import fcntl

from . import tools
from .gateway import FunctionFailed
from .stack import read_environment, write_environment

APPLICATION = "demo"
SCOPES = [
    "sessions:create",
    "sessions:read",
    "sessions:write",
    "users:manage",
    "devices:manage",
    "analytics:read",
    "audit:read",
    "privacy:manage",
]
FILE = tools.DEV / "env"
LOCK = tools.DEV / "demo.lock"

LINES = """
In another terminal, in this folder (README.md has a longer tour):
  . .dev/env
  SESSION=$(curl -sS "$SESSION_API_URL/sessions" -H "Authorization: Bearer $SESSION_APPLICATION_KEY" \\
      -H 'Content-Type: application/json' -d '{"userId":"alice","data":{"cart":["book"]}}'); echo "$SESSION"
  curl -sS "$SESSION_API_URL/sessions/user/alice" -H "Authorization: Bearer $SESSION_APPLICATION_KEY"; echo
  curl -sS "$SESSION_API_URL/sessions/$(echo "$SESSION" | grep -o 'ses_[A-Za-z0-9_-]*' | head -n 1)" \\
      -H "Authorization: Bearer $SESSION_APPLICATION_KEY"; echo
"""


@contextlib.contextmanager
def _locked(mode):
    FILE.parent.mkdir(parents=True, exist_ok=True)
    with open(LOCK, "w", encoding="ascii") as lock:
        try:
            fcntl.flock(lock, mode | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def between_days():
    """For a scheduled run: whether no day of `make demo` goes by. It has clocks of its own, and a sweep by the true time
    would end sessions of its morning."""
    return _locked(fcntl.LOCK_SH)


def day():
    """For `make demo`: whether the day may begin."""
    return _locked(fcntl.LOCK_EX)


def prepare(gateway):
    """Makes sure that .dev/env holds a key that works: the one of before, or a new one."""
    if _kept_key_works(gateway):
        _update_scopes(gateway)
        return "its key of before still works"
    try:
        application = {"applicationId": APPLICATION, "name": "Local demonstration", "scopes": SCOPES}
        answer = gateway.invoke("manage-applications", {"action": "create", "application": application})
        outcome = "new"
    except FunctionFailed:
        # It is there, but its key is not: only a digest of a key is ever stored.
        answer = gateway.invoke("manage-applications", {"action": "rotate", "applicationId": APPLICATION})
        _update_scopes(gateway)
        outcome = "has a new key"
    key = answer["applicationKey"]
    variables = {
        "SESSION_API_URL": gateway.url,
        "SESSION_APPLICATION_ID": APPLICATION,
        "SESSION_APPLICATION_KEY": key,
    }
    write_environment(FILE, variables)
    return outcome


def _update_scopes(gateway):
    """An application of an earlier checkout lacks what has been built since."""
    gateway.invoke(
        "manage-applications", {"action": "update", "applicationId": APPLICATION, "changes": {"scopes": SCOPES}}
    )


def _kept_key_works(gateway):
    if not FILE.exists():
        return False
    kept = read_environment(FILE)
    key = kept.get("SESSION_APPLICATION_KEY")
    if not key or kept.get("SESSION_API_URL") != gateway.url:
        return False
    status, _ = gateway.request("GET", "/sessions/user/alice", key)
    return status == 200
