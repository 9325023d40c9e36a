"""A private certificate authority and one server certificate for loopback, so that TLS is tested with real checks."""

from .processes import run

# Tests move the clock of a function by months; a certificate must not expire under them.
DAYS = "3650"
SUBJECT_NAMES = "subjectAltName=IP:127.0.0.1,DNS:localhost"


def make(directory):
    """Writes ca.pem, server.pem and server.key below `directory` and returns it."""
    directory.mkdir(parents=True, exist_ok=True)
    ca, ca_key = directory / "ca.pem", directory / "ca.key"
    request, key = directory / "server.csr", directory / "server.key"
    extensions = directory / "server.ext"
    extensions.write_text(f"basicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\n{SUBJECT_NAMES}\n")
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    run(
        ["openssl", "req", "-x509", *curve, "-keyout", ca_key, "-out", ca, "-days", DAYS]
        + ["-subj", "/CN=Local test authority", "-addext", "keyUsage=critical,keyCertSign,cRLSign"],
        "openssl (certificate authority)",
    )
    run(["openssl", "req", *curve, "-keyout", key, "-out", request, "-subj", "/CN=localhost"], "openssl (request)")
    run(
        ["openssl", "x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca_key, "-CAcreateserial"]
        + ["-days", DAYS, "-extfile", extensions, "-out", directory / "server.pem"],
        "openssl (server certificate)",
    )
    for secret in (ca_key, key):
        secret.chmod(0o600)
    return directory
