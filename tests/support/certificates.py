"""Certificates of a private authority, as files: a server's and a client's."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import trustme

SERVER_NAME = "workers.test"


@dataclass(frozen=True)
class Certificates:
    """Files in a folder of the test."""

    ca_file: Path
    server_cert: Path
    server_key: Path
    client_cert: Path
    client_key: Path


def make_certificates(folder: Path, server_name: str = SERVER_NAME) -> Certificates:
    """One authority that vouches for a server by its name and for a client."""
    authority = trustme.CA()
    files = Certificates(*(folder / f"{name}.pem" for name in ("ca", "sc", "sk", "cc", "ck")))
    authority.cert_pem.write_to_path(str(files.ca_file))
    for issued, cert, key in (
        (authority.issue_cert(server_name), files.server_cert, files.server_key),
        (authority.issue_cert("envoy.test"), files.client_cert, files.client_key),
    ):
        issued.cert_chain_pems[0].write_to_path(str(cert))
        issued.private_key_pem.write_to_path(str(key))
    return files
