"""The moto server, with items that change atomically, and KMS keys that survive a restart when a key file is given.

moto serves each request in a thread of its own and locks nothing, so of two updates of one item one can get lost. In
DynamoDB a write with its condition is one step, and the service builds on that: requests to DynamoDB take turns here.

moto keeps everything in memory. What is sealed under its KMS key (the key rings, and through them every session and
credential) would be lost with each restart, although Redis and PostgreSQL keep theirs, and no anchor of the audit could be
verified any more. So the two keys of the local stack, the one that wraps and the one that signs, come from a file. Usage: python -m stack.aws_server PORT [KEY_FILE]
"""

import base64
import json
import os
import secrets
import sys
import threading
import uuid
from pathlib import Path


def _fix_keys(path):
    import moto.kms.models as kms
    from cryptography.hazmat.primitives import serialization

    keys = json.loads(path.read_text()) if path.exists() else {}
    keys.setdefault("id", str(uuid.uuid4()))
    keys.setdefault("material", base64.b64encode(secrets.token_bytes(32)).decode())
    keys.setdefault("signing id", str(uuid.uuid4()))
    # `kms` imported these functions by name, so they are replaced where it looks them up.
    for name in ("generate_key_id", "generate_master_key", "generate_private_key"):
        if not hasattr(kms, name):
            sys.exit(f"this version of moto has no {name}: the KMS keys cannot be kept")
    make_private_key = kms.generate_private_key
    if "signing key" not in keys:
        made = make_private_key("ECC_NIST_P256").private_key
        plain = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        keys["signing key"] = made.private_bytes(*plain).decode()
    fresh = path.with_suffix(".new")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="ascii") as file:
        json.dump(keys, file)
    fresh.replace(path)
    # The key that wraps is made first, the one that signs second.
    identifiers = iter((keys["id"], keys["signing id"]))

    def kept_private_key(key_spec):
        key = make_private_key(key_spec)
        if key_spec == "ECC_NIST_P256":
            key.private_key = serialization.load_pem_private_key(keys["signing key"].encode(), None)
        return key

    kms.generate_key_id = lambda *_arguments, **_options: next(identifiers)
    kms.generate_master_key = lambda: base64.b64decode(keys["material"])
    kms.generate_private_key = kept_private_key


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
        _fix_keys(Path(sys.argv[2]))
    serve(["-H", "127.0.0.1", "-p", sys.argv[1]])


if __name__ == "__main__":
    main()
