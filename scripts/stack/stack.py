"""All services of one folder, started together and stopped together."""

import os
from dataclasses import dataclass
from pathlib import Path

from . import certificates, tools
from .aws import CREDENTIALS, REGION, Aws
from .postgres_server import Postgres
from .processes import Services
from .redis_servers import Cluster, Single, Tls
from .steps import Problem, ignore_signals, step


@dataclass(frozen=True)
class Shape:
    """What to start. `durable` keeps data over a restart, at the price of syncing it to disk."""

    for_tests: bool
    durable: bool
    tls: bool
    cluster: bool
    replicas: int
    stack_name: str


DEVELOPMENT = Shape(for_tests=False, durable=True, tls=False, cluster=False, replicas=0, stack_name="local")
TESTS = Shape(for_tests=True, durable=False, tls=True, cluster=True, replicas=0, stack_name="test")


class Stack:
    """Use as a context manager to stop everything on the way out, whatever the way is."""

    def __init__(self, directory, shape, template=tools.ROOT / "template.yaml", public_url=None, bound=True):
        self.directory = Path(directory).absolute()
        self.shape = shape
        self.template = Path(template)
        self.public_url = public_url or "http://127.0.0.1:9000"
        self.services = Services(self.directory, die_with_parent=bound)
        self.aws = None
        self.environment = {}

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_exception):
        ignore_signals()
        with step("stop the local services"):
            self.services.stop_all()

    def start(self):
        _require_programs()
        self.directory.mkdir(parents=True, exist_ok=True)
        running = self.services.running()
        if running:
            names = ", ".join(f"{service.name} (pid {service.pid})" for service in running)
            raise Problem(f"already running in {self.directory}: {names}; stop them with local_stack.py stop")
        self.services.record.unlink(missing_ok=True)
        try:
            self._start()
        except BaseException:
            ignore_signals()
            self.services.stop_all()
            raise

    def _start(self):
        data, durable = self.directory, self.shape.durable
        authority = None
        if self.shape.tls:
            with step("certificates"):
                authority = certificates.make(data / "tls")
        # Every process starts before the first is waited for: they get ready side by side.
        aws = Aws(self.services, data / "aws", self.shape.stack_name, self.template, durable)
        redis = Single(self.services, data / "redis", durable)
        tls = Tls(self.services, data / "redis-tls", authority) if self.shape.tls else None
        cluster = None
        if self.shape.cluster:
            cluster = Cluster(self.services, data / "redis-cluster", self.shape.replicas)
        with step("PostgreSQL: data folder"):
            postgres = Postgres(self.services, data / "postgres", durable, authority)
        with step(f"PostgreSQL on port {postgres.port}"):
            postgres.wait()
        with step(f"Redis on port {redis.port}"):
            redis.wait()
        if tls:
            with step(f"Redis with TLS on port {tls.port}"):
                tls.wait()
        if cluster:
            with step(f"Redis Cluster on ports {', '.join(str(port) for port, _, _ in cluster.nodes)}"):
                cluster.wait()
        with step(f"KMS, DynamoDB and SNS on port {aws.port}"):
            names = aws.wait()
        self.aws = aws
        self.environment = self._environment(names, redis, postgres)
        if self.shape.for_tests:
            self.environment |= self._test_environment(aws, tls, cluster, postgres, authority)
        # What an auditor is given: the anchors and the key that signed them.
        anchors = self.directory / "anchors"
        anchors.mkdir(exist_ok=True)
        (anchors / "key.pem").write_text(aws.public_key(names["AUDIT_ANCHOR_KEY_ID"]))
        self._write_environment()

    def _environment(self, names, redis, postgres):
        return {
            "STACK_NAME": self.shape.stack_name,
            "STACK_STAGE": "dev",
            "MIMALLOC_ALLOW_THP": "0",
            "PUBLIC_URL": self.public_url,
            "REDIS_URL": redis.url,
            "REDIS_CLUSTER": "false",
            **names,
            "DATABASE_URL": postgres.url(),
            "AUDIT_RETENTION_MONTHS": "13",
            "AUDIT_ANCHORS": f"file://{self.directory / 'anchors'}",
            # Receivers of webhooks may be on this machine.
            "WEBHOOK_ALLOW_LOOPBACK": "true",
            "AWS_REGION": REGION,
            **CREDENTIALS,
            "AWS_ENDPOINT_URL": self.aws.url,
            "AWS_LAMBDA_LOG_LEVEL": "INFO",
        }

    def _test_environment(self, aws, tls, cluster, postgres, authority):
        logs = self.directory / "logs"
        logs.mkdir(exist_ok=True)
        variables = {
            "TEST_REDIS_SERVER": tools.redis_server(),
            "TEST_DATABASE_ADMIN_URL": postgres.admin_url(),
            "TEST_DATABASE_PASSWORD": postgres.password(),
            "TEST_POSTGRES_BIN": str(tools.postgres_bin()),
            "TEST_MOTO_URL": aws.url,
            "TEST_FAKETIME_LIBRARY": tools.faketime_library(),
            "TEST_FUNCTIONS_DIR": str(tools.functions_directory()),
            "TEST_LOG_DIR": str(logs),
        }
        if tls:
            variables |= {"TEST_REDIS_TLS_URL": tls.url, "TEST_REDIS_TLS_CA_FILE": str(tls.ca)}
            variables |= {"TEST_DATABASE_CA_FILE": str(authority / "ca.pem")}
        if cluster:
            variables["TEST_REDIS_CLUSTER_URLS"] = cluster.urls
        return variables

    def _write_environment(self):
        write_environment(self.directory / "env", self.environment)


def write_environment(path, variables):
    """Writes KEY=VALUE lines that need no quotes in a shell or elsewhere. For the owner's eyes only."""
    fresh = Path(path).with_suffix(".new")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        for name, value in variables.items():
            if any(character in value for character in "\n'\"$`\\ &;"):
                raise Problem(f"{name} holds a character that an environment file cannot: {value!r}")
            file.write(f"{name}={value}\n")
    fresh.replace(path)


def read_environment(path):
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _require_programs():
    missing = {
        "redis-server": tools.redis_server(),
        "redis-cli": tools.redis_cli(),
        "PostgreSQL server": tools.postgres_bin(),
        "libfaketime": tools.faketime_library(),
    }
    names = [name for name, path in missing.items() if path is None]
    if names:
        raise Problem(f"missing: {', '.join(names)}; run `python3 scripts/install.py services`")
