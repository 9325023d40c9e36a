#!/usr/bin/env python3
"""Fails when a secret stands in a log.

    python3 scripts/scan_logs.py LOG_DIRECTORY SECRETS_FILE

SECRETS_FILE holds one secret per line: every credential the tests were given and every value they stored as session
data. Every LOG_DIRECTORY/*.log is searched for each of them, as it is and as JSON or a URL would write it.
"""

import json
import sys
import urllib.parse
from pathlib import Path

SHORTEST = 8
SHOWN = 20


def forms(secret):
    """How a secret may be written: plain, inside a JSON string, inside a URL or a form."""
    written = {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    written |= {urllib.parse.quote(secret, safe=""), urllib.parse.quote_plus(secret)}
    return {form.encode() for form in written}


def index(secrets):
    """Maps the last bytes of each form to the forms that end so.

    One pass over a log then looks every position up once, however many secrets there are. The end is the key because
    tokens of one kind all begin alike.
    """
    by_end = {}
    for secret in secrets:
        for form in forms(secret):
            by_end.setdefault(form[-SHORTEST:], []).append(form)
    return by_end


def find(text, by_end):
    """Yields (position, form) for every secret in `text`."""
    for end in range(SHORTEST, len(text) + 1):
        candidates = by_end.get(text[end - SHORTEST : end])
        if candidates is None:
            continue
        for form in candidates:
            if text.endswith(form, 0, end):
                yield end - len(form), form


def scan(directory, secrets_file):
    """Returns (number of secrets, number of bytes, findings as text)."""
    lines = secrets_file.read_text(encoding="utf-8").splitlines()
    secrets = {line for line in lines if len(line) >= SHORTEST}
    by_end = index(secrets)
    size, findings = 0, []
    for log in sorted(directory.glob("*.log")):
        text = log.read_bytes()
        size += len(text)
        for position, form in find(text, by_end):
            line = text.count(b"\n", 0, position) + 1
            # The report goes to a build's output, which is a log too.
            findings.append(f"{log}:{line}: {form[:6].decode(errors='replace')}... ({len(form)} bytes)")
    return len(secrets), size, findings


def main():
    if len(sys.argv) != 3:
        print(__doc__, file=sys.stderr)
        return 2
    directory, secrets_file = Path(sys.argv[1]), Path(sys.argv[2])
    if not secrets_file.is_file():
        print(f"error: {secrets_file} is missing: no test recorded a secret, so nothing would be proved", file=sys.stderr)
        return 2
    count, size, findings = scan(directory, secrets_file)
    if count == 0 or size == 0:
        print(f"error: {count} secrets and {size} bytes of logs: nothing would be proved", file=sys.stderr)
        return 2
    for finding in findings[:SHOWN]:
        print(f"secret in a log: {finding}", file=sys.stderr)
    if len(findings) > SHOWN:
        print(f"... and {len(findings) - SHOWN} more", file=sys.stderr)
    print(f"searched {size} bytes of logs for {count} secrets: {len(findings)} found")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
