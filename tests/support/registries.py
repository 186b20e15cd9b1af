# SPDX-License-Identifier: Apache-2.0
"""Real registries on loopback: Debian's docker-registry, with TLS by a CA of our own, or accounts.

Each is a process with a folder of its own; leaving the context ends both. Certificates are made by
openssl(1), account files by crypt(3)'s bcrypt as htpasswd(1) does.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_CONFIG = """\
version: 0.1
log: {{level: warn, accesslog: {{disabled: true}}}}
storage:
  filesystem: {{rootdirectory: {root}}}
  delete: {{enabled: true}}
http:
  addr: {host}:{port}
  secret: not-so-secret
{more}
"""


@dataclass(frozen=True, slots=True)
class Running:
    """A registry that answers. ``host`` is ``127.0.0.1:PORT``."""

    host: str
    root: Path
    authority: Path | None = None


def free_port() -> int:
    """A port that nobody listens at now."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
        assert isinstance(port, int)
        return port


@contextmanager
def registry(
    folder: Path,
    *,
    tls: Certificates | None = None,
    client_authority: bool = False,
    accounts: Mapping[str, str] | None = None,
    token_realm: tuple[str, Path] | None = None,
) -> Iterator[Running]:
    """A registry; with ``accounts`` (name: password) for them only, by basic authentication.

    ``token_realm``: the URL of a token server and its certificate, whose tokens count instead.
    ``client_authority``: only clients with a certificate of the CA are let in.
    """
    root = folder / "registry"
    root.mkdir(parents=True)
    port = free_port()
    more = []
    if tls is not None:
        more.append(f"  tls:\n    certificate: {tls.certificate}\n    key: {tls.key}")
        if client_authority:
            more.append(f"    clientcas: [{tls.authority}]")
    if accounts is not None:
        (folder / "accounts").write_text(
            "".join(f"{name}:{_bcrypt(password)}\n" for name, password in accounts.items())
        )
        more.append(f"auth:\n  htpasswd:\n    realm: tests\n    path: {folder}/accounts")
    if token_realm is not None:
        realm, certificate = token_realm
        more.append(
            f"auth:\n  token:\n    realm: {realm}\n    service: tests\n    issuer: tests\n"
            f"    rootcertbundle: {certificate}"
        )
    config = folder / "config.yml"
    config.write_text(_CONFIG.format(root=root, host="127.0.0.1", port=port, more="\n".join(more)))
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(
            ["docker-registry", "serve", str(config)],
            stdout=log,
            stderr=log,
            env={"PATH": os.environ["PATH"], "HOME": str(folder), "OTEL_TRACES_EXPORTER": "none"},
        )
    try:
        _wait(port, process, folder / "log")
        yield Running(f"127.0.0.1:{port}", root, tls.authority if tls is not None else None)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        shutil.rmtree(root, ignore_errors=True)


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < until:
        with socket.socket() as tried:
            if tried.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise RuntimeError(f"docker-registry does not start: {log.read_text()[-2000:]}")


def _bcrypt(password: str) -> str:
    """The registry takes bcrypt alone; crypt(3) of Debian's libcrypt has it."""
    library = ctypes.CDLL("libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    library.crypt.argtypes = (ctypes.c_char_p, ctypes.c_char_p)
    found = library.crypt(password.encode(), b"$2y$04$" + b"abcdefghijklmnopqrstuu")
    assert isinstance(found, bytes) and found.startswith(b"$2y$")
    return found.decode()


@dataclass(frozen=True, slots=True)
class Certificates:
    """PEM files: a CA, a server's certificate by it (127.0.0.1, images.invalid), and a client's."""

    authority: Path
    certificate: Path
    key: Path
    client_certificate: Path
    client_key: Path


def certificates(folder: Path) -> Certificates:
    """Make a CA and what it has signed, for a day."""
    folder.mkdir(parents=True, exist_ok=True)

    def openssl(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], check=True, capture_output=True, cwd=folder)

    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *new, "-days", "1", "-subj", "/CN=envgit tests CA",
            "-addext", "basicConstraints=critical,CA:TRUE",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign",
            "-keyout", "ca.key", "-out", "ca.crt")  # fmt: skip
    for name, extensions in (
        ("server", "subjectAltName=IP:127.0.0.1,DNS:images.invalid\nextendedKeyUsage=serverAuth\n"),
        ("client", "extendedKeyUsage=clientAuth\n"),
    ):
        (folder / f"{name}.ext").write_text(extensions)
        openssl("req", *new, "-subj", f"/CN={name}", "-keyout", f"{name}.key",
                "-out", f"{name}.csr")  # fmt: skip
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key",
                "-CAcreateserial", "-days", "1", "-extfile", f"{name}.ext",
                "-out", f"{name}.crt")  # fmt: skip
    return Certificates(
        folder / "ca.crt",
        folder / "server.crt",
        folder / "server.key",
        folder / "client.crt",
        folder / "client.key",
    )
