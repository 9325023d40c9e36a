"""The moto server, with items that change atomically, and a KMS key that survives a restart when a key file is given.

moto serves each request in a thread of its own and locks nothing, so of two updates of one item one can get lost. In
DynamoDB a write with its condition is one step, and the service builds on that: requests to DynamoDB take turns here.

moto keeps everything in memory. What is sealed under its KMS key (the key rings, and through them every session and
credential) would be lost with each restart, although Redis and PostgreSQL keep theirs. So the one key of the local
stack gets its id and its material from a file. Usage: python -m stack.aws_server PORT [KEY_FILE]
"""

import base64
import json
import os
import secrets
import sys
import threading
import uuid
from pathlib import Path


def _fix_key(path):
    import moto.kms.models as kms

    if not path.exists():
        key = {"id": str(uuid.uuid4()), "material": base64.b64encode(secrets.token_bytes(32)).decode()}
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            json.dump(key, file)
    key = json.loads(path.read_text())
    # `kms` imported both functions by name, so they are replaced where it looks them up.
    for name in ("generate_key_id", "generate_master_key"):
        if not hasattr(kms, name):
            sys.exit(f"this version of moto has no {name}: the KMS key cannot be kept")
    kms.generate_key_id = lambda *_arguments, **_options: key["id"]
    kms.generate_master_key = lambda: base64.b64decode(key["material"])


def _take_turns():
    from moto.dynamodb.responses import DynamoHandler

    if not hasattr(DynamoHandler, "call_action"):
        sys.exit("this version of moto has no DynamoHandler.call_action: writes cannot be made atomic")
    turn, call = threading.RLock(), DynamoHandler.call_action

    def call_in_turn(handler):
        with turn:
            return call(handler)

    DynamoHandler.call_action = call_in_turn


def main():
    from moto.server import main as serve

    _take_turns()
    if len(sys.argv) > 2:
        _fix_key(Path(sys.argv[2]))
    serve(["-H", "127.0.0.1", "-p", sys.argv[1]])


if __name__ == "__main__":
    main()
