"""A certificate authority that nobody has heard of, and TLS for loopback servers in its name."""

from __future__ import annotations

import ssl
from functools import cache
from pathlib import Path

import trustme


class Authority:
    """An authority, made for one test run."""

    def __init__(self) -> None:
        self._ca = trustme.CA()

    def write(self, path: Path) -> Path:
        """Write the certificate of the authority itself to `path`, which is returned."""
        self._ca.cert_pem.write_to_path(str(path))
        return path

    def write_folder(self, folder: Path) -> Path:
        """Write it into a folder of certificates, under the name by which OpenSSL looks it up."""
        import subprocess

        folder.mkdir(parents=True, exist_ok=True)
        path = self.write(folder / "authority.pem")
        asked = ["openssl", "x509", "-noout", "-subject_hash", "-in", str(path)]
        name = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
        path.rename(folder / f"{name}.0")
        return folder

    @cache  # noqa: B019  # as many as there are hosts in the tests
    def context(self, host: str) -> ssl.SSLContext:
        """TLS for a server that is reached as `host`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert(host).configure_cert(context)
        return context
