"""AWS Signature Version 4 of a finished request.

The rules are those of "Create a signed AWS API request" in the IAM User Guide.  Signed are the
method, the path, the query, the body, and the headers that are set here and ``host`` and
``content-type``: whatever Envoy adds on the way stays unsigned.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NamedTuple
from urllib.parse import quote

import orjson

from gateway_extproc.core.ports import Sent
from gateway_extproc.core.verdict import Header

ALGORITHM: Final = "AWS4-HMAC-SHA256"
CONTENT_TYPE: Final = "application/json"

_INI: Final = re.compile(r"(aws_\w+)\s*=\s*(\S+)", re.ASCII)
_FIELDS: Final = (
    ("aws_access_key_id", "access_key_id", "AccessKeyId"),
    ("aws_secret_access_key", "secret_access_key", "SecretAccessKey"),
    ("aws_session_token", "session_token", "SessionToken", "Token"),
)


class AwsKey(NamedTuple):
    """An access key; ``token`` is empty for a key that does not expire."""

    id: str
    secret: str
    token: str = ""

    def __repr__(self) -> str:
        return f"AwsKey({self.id!r}, ***)"


@lru_cache(maxsize=16)
def read_key(text: str) -> AwsKey:
    """The key in a credential file, JSON or ini; raises LookupError.

    The names of the fields are those of AWS's ini files, of its APIs, or the same without ``aws_``.
    """
    try:
        fields = orjson.loads(text)
    except orjson.JSONDecodeError:
        # The first profile counts; orjson.loads would keep the last of a name.
        fields = dict(reversed(_INI.findall(text)))
    if type(fields) is not dict:
        raise LookupError("no AWS credential")
    key_id, secret, token = (
        next((fields[name] for name in names if name in fields), "") for names in _FIELDS
    )
    if not all(type(value) is str for value in (key_id, secret, token)):
        raise LookupError("no AWS credential")
    if not key_id or not secret:
        raise LookupError("an AWS credential without id or secret")
    return AwsKey(key_id, secret, token)


def sign(key: AwsKey, sent: Sent, service: str) -> tuple[Header, ...]:
    """The headers that sign the request."""
    moment = datetime.fromtimestamp(sent.now_s, UTC)
    stamp, day = moment.strftime("%Y%m%dT%H%M%SZ"), moment.strftime("%Y%m%d")
    signed = [("content-type", CONTENT_TYPE), ("host", sent.host), ("x-amz-date", stamp)]
    if key.token:
        signed.append(("x-amz-security-token", key.token))
    names = ";".join(name for name, _ in signed)
    scope = f"{day}/{sent.region}/{service}/aws4_request"
    digest = hashlib.sha256(canonical_request(sent, signed, names).encode()).hexdigest()
    to_sign = f"{ALGORITHM}\n{stamp}\n{scope}\n{digest}"
    signature = hmac.digest(
        day_key(key.secret, day, sent.region, service), to_sign.encode(), "sha256"
    )
    authorization = (
        f"{ALGORITHM} Credential={key.id}/{scope}, SignedHeaders={names}, "
        f"Signature={signature.hex()}"
    )
    return (
        ("authorization", authorization),
        *(header for header in signed if header[0].startswith("x-amz-")),
    )


def canonical_request(sent: Sent, signed: list[Header], names: str) -> str:
    """Everything that is signed, as one text.  The path is escaped once more than it is sent."""
    path, _, query = sent.path.partition("?")
    fields = sorted(field if "=" in field else f"{field}=" for field in query.split("&") if field)
    return "\n".join(
        (
            sent.method,
            quote(path, safe="/~"),
            "&".join(fields),
            *(f"{name}:{value}" for name, value in signed),
            "",
            names,
            hashlib.sha256(sent.body).hexdigest(),
        )
    )


@lru_cache(maxsize=64)
def day_key(secret: str, day: str, region: str, service: str) -> bytes:
    """The key that signs for one day, region and service: most of the work of a signature."""
    key = f"AWS4{secret}".encode()
    for part in (day, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
