"""KMS, DynamoDB and SNS: starts the moto server, creates the key, the topic and the template's tables, and keeps items over a restart."""

import base64
import json
import os
import sys
import textwrap
import urllib.error
import urllib.request
from pathlib import Path

import boto3

from .processes import free_port
from .template import TABLES, read_tables

REGION = "eu-west-1"
# moto accepts any; what signs a request locally must not look like a real credential.
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_SESSION_TOKEN": "local"}
BATCH = 25


class Aws:
    def __init__(self, services, directory, stack_name, template, durable):
        self.services = services
        self.definitions = read_tables(template)
        self.stack_name = stack_name
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        directory.mkdir(parents=True, exist_ok=True)
        self.items = directory / "items.json" if durable else None
        command = [sys.executable, "-m", "stack.aws_server", self.port]
        command += [directory / "kms-key.json"] if durable else []
        # Whoever runs the scripts may have an account of their own configured; the server must not see it.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")} | CREDENTIALS
        environment |= {"AWS_DEFAULT_REGION": REGION}
        scripts = Path(__file__).resolve().parents[1]
        self.service = services.start("aws", command, cwd=scripts, env=environment)

    def _client(self, name):
        return boto3.client(
            name,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        )

    def _answers(self):
        try:
            with urllib.request.urlopen(f"{self.url}/moto-api/", timeout=2):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def wait(self):
        """Creates what the deployment creates, and returns the environment that names it."""
        self.services.wait_until(self.service, self._answers)
        description = "Wraps the key rings of the local stack"
        key = self._client("kms").create_key(Description=description)["KeyMetadata"]["Arn"]
        signs = {"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"}
        anchor_key = self._client("kms").create_key(Description="Signs the anchors of the audit", **signs)["KeyMetadata"]
        dynamodb = self._client("dynamodb")
        topic = self._client("sns").create_topic(Name=f"{self.stack_name}-alarms")["TopicArn"]
        environment = {
            "KMS_KEY_ID": key,
            "AUDIT_ANCHOR_KEY_ID": anchor_key["Arn"],
            "ALERT_TOPIC_ARN": topic,
        }
        for logical_name, (create, lifetime) in self.definitions.items():
            table = self.table(logical_name)
            dynamodb.create_table(TableName=table, **create)
            if lifetime:
                dynamodb.update_time_to_live(TableName=table, TimeToLiveSpecification=lifetime)
            environment[TABLES[logical_name]] = table
        self._restore(dynamodb)
        return environment

    def public_key(self, key):
        """The public half of a signing key in PEM."""
        der = self._client("kms").get_public_key(KeyId=key)["PublicKey"]
        lines = textwrap.wrap(base64.b64encode(der).decode(), 64)
        return "\n".join(["-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""])

    def table(self, logical_name):
        return f"{self.stack_name}-{logical_name.removesuffix('Table').lower()}"

    def save(self):
        """Writes every item of every table to disk; the file of before stays until the new one is whole."""
        dynamodb = self._client("dynamodb")
        saved = {}
        for logical_name in self.definitions:
            pages = dynamodb.get_paginator("scan").paginate(TableName=self.table(logical_name), ConsistentRead=True)
            saved[logical_name] = [item for page in pages for item in page["Items"]]
        fresh = self.items.with_suffix(".new")
        with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            json.dump(saved, file, default=_encode)
        fresh.replace(self.items)

    def _restore(self, dynamodb):
        if self.items is None or not self.items.exists():
            return
        saved = json.loads(self.items.read_text(), object_hook=_decode)
        for logical_name, items in saved.items():
            if logical_name not in self.definitions:
                continue
            table = self.table(logical_name)
            for start in range(0, len(items), BATCH):
                puts = [{"PutRequest": {"Item": item}} for item in items[start : start + BATCH]]
                dynamodb.batch_write_item(RequestItems={table: puts})


def _encode(value):
    return {"bytes of base64": base64.b64encode(value).decode()}


def _decode(value):
    if list(value) == ["bytes of base64"]:
        return base64.b64decode(value["bytes of base64"])
    return value
