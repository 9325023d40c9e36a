"""Redis: one server, a TLS server, and a cluster whose nodes all agree before anyone uses it."""

import secrets
import shutil
import subprocess

from . import tools
from .processes import free_port, run
from .steps import Problem

SLOTS = 16384


def _command(directory, port, durable):
    directory.mkdir(parents=True, exist_ok=True)
    # As the deployed store: nothing is evicted. Snapshots are off; durability is the append-only file alone.
    return [
        tools.redis_server(),
        *("--bind", "127.0.0.1", "--port", port, "--dir", directory),
        *("--daemonize", "no", "--save", "", "--maxmemory-policy", "noeviction"),
        *("--zset-max-listpack-entries", "512"),
        *("--appendonly", "yes" if durable else "no", "--appendfsync", "everysec"),
    ]


def ask(port, *words):
    """One command over redis-cli; None while the server does not answer."""
    done = subprocess.run(
        [tools.redis_cli(), "-h", "127.0.0.1", "-p", str(port), *[str(word) for word in words]],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip() if done.returncode == 0 else None


class Single:
    """One server, plain TCP."""

    def __init__(self, services, directory, durable):
        self.services = services
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self.service = services.start("redis", _command(directory, self.port, durable))

    def wait(self):
        self.services.wait_until(self.service, lambda: ask(self.port, "ping") == "PONG")


class Tls:
    """One server that speaks nothing but TLS and wants a user name and a password."""

    def __init__(self, services, directory, certificates):
        self.services = services
        self.port = free_port()
        self.ca = certificates / "ca.pem"
        password = secrets.token_hex(16)
        self.url = f"rediss://tester:{password}@127.0.0.1:{self.port}"
        self.login = ["--tls", "--cacert", self.ca, "--user", "tester", "--pass", password, "--no-auth-warning"]
        command = _command(directory, 0, durable=False)
        command += ["--tls-port", self.port, "--tls-auth-clients", "no", "--tls-ca-cert-file", self.ca]
        command += ["--tls-cert-file", certificates / "server.pem", "--tls-key-file", certificates / "server.key"]
        # A file, since the command line of a process is public.
        users = directory / "users.acl"
        users.touch(mode=0o600)
        users.write_text(f"user default off\nuser tester on >{password} ~* &* +@all\n")
        command += ["--aclfile", users]
        self.service = services.start("redis-tls", command)

    def wait(self):
        self.services.wait_until(self.service, lambda: ask(self.port, *self.login, "ping") == "PONG")


class Cluster:
    """Three primaries, and as many replicas of each as asked for."""

    PRIMARIES = 3

    def __init__(self, services, directory, replicas):
        self.services = services
        self.nodes = []
        # Nodes that remember an earlier cluster would look for its ports.
        shutil.rmtree(directory, ignore_errors=True)
        for number in range(self.PRIMARIES * (1 + replicas)):
            port, bus = free_port(), free_port()
            command = _command(directory / str(number), port, durable=False)
            command += ["--cluster-enabled", "yes", "--cluster-port", bus, "--cluster-node-timeout", "2000"]
            command += ["--cluster-config-file", "nodes.conf"]
            self.nodes.append((port, bus, services.start(f"redis-cluster-{number}", command)))
        self.urls = ",".join(f"redis://127.0.0.1:{port}" for port, _, _ in self.nodes)

    def wait(self):
        for port, _, service in self.nodes:
            self.services.wait_until(service, lambda port=port: ask(port, "ping") == "PONG")
        self._form()
        for port, _, service in self.nodes:
            self.services.wait_until(service, lambda port=port: self._agrees(port))
        # A replica that never synchronised is not promoted when its primary dies.
        for port, _, service in self.nodes[self.PRIMARIES :]:
            self.services.wait_until(service, lambda port=port: "master_link_status:up" in (ask(port, "info") or ""))

    def _form(self):
        primaries = self.nodes[: self.PRIMARIES]
        for index, (port, _, _) in enumerate(primaries):
            first = SLOTS * index // self.PRIMARIES
            last = SLOTS * (index + 1) // self.PRIMARIES - 1
            self._tell(port, "cluster", "addslotsrange", first, last)
            self._tell(port, "cluster", "set-config-epoch", index + 1)
        first_port = self.nodes[0][0]
        for port, bus, _ in self.nodes[1:]:
            self._tell(first_port, "cluster", "meet", "127.0.0.1", port, bus)
        for index, (port, _, service) in enumerate(self.nodes[self.PRIMARIES :]):
            primary = ask(primaries[index % self.PRIMARIES][0], "cluster", "myid")
            self.services.wait_until(service, lambda p=port, i=primary: i in (ask(p, "cluster", "nodes") or ""))
            self._tell(port, "cluster", "replicate", primary)

    def _tell(self, port, *words):
        answer = ask(port, *words)
        if answer != "OK":
            raise Problem(f"redis cluster: {' '.join(map(str, words))} on port {port} answered {answer!r}")

    def _agrees(self, port):
        info = ask(port, "cluster", "info") or ""
        return "cluster_state:ok" in info and f"cluster_known_nodes:{len(self.nodes)}" in info


def version():
    return run([tools.redis_server(), "--version"], "redis-server --version").split("v=")[1].split()[0]
