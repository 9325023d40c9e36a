"""`cargo lambda watch`: serves the functions over HTTP, builds them anew when a file changes."""

import json
import os
import signal
import urllib.error
import urllib.request

from . import tools
from .processes import port_is_free, tail
from .steps import Problem


class FunctionFailed(Problem):
    """The function answered with an error."""


def require_port(port):
    if not port_is_free(port):
        raise Problem(f"port {port} is taken: stop what listens there, or choose another: make dev PORT={port + 1}")


class Gateway:
    def __init__(self, services, port, environment):
        self.services = services
        self.url = f"http://127.0.0.1:{port}"
        # Whoever runs this may have an AWS account of their own configured; the functions must not see it.
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        command = [tools.cargo_lambda(), "lambda", "watch", "--invoke-address", "127.0.0.1", "--invoke-port", port]
        variables = inherited | environment
        self.service = services.start("functions", command, signal.SIGINT, cwd=tools.ROOT, env=variables)

    def wait(self):
        self.services.wait_until(self.service, self._answers)

    def _answers(self):
        try:
            self.request("GET", "/", timeout=2)
        except OSError:
            return False
        return True

    def request(self, method, path, key=None, body=None, content_type="application/json", timeout=600):
        """One HTTP request; the answer is (status, text). The first request of a function builds and starts it."""
        headers = {"Content-Type": content_type} if body is not None else {}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        data = body.encode() if body is not None else None
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(errors="replace")

    def invoke(self, function, event, timeout=600):
        """Invokes a function as an operator or a schedule does, and returns its answer."""
        path = f"/2015-03-31/functions/{function}/invocations"
        status, text = self.request("POST", path, body=json.dumps(event), timeout=timeout)
        if status != 200:
            raise FunctionFailed(f"{function} failed ({status}): {text}\n{tail(self.service.log)}")
        return json.loads(text) if text else None
