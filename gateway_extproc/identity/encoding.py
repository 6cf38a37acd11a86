"""Base64 that has one spelling for each value.

Python's decoder skips foreign characters and ignores the bits behind the last byte, so one
signature would have many spellings, and a token that was tampered with would still verify.
"""

from __future__ import annotations

import base64


def from_base64url(text: str) -> bytes:
    """Unpadded base64url (RFC 7515, section 2); raises ValueError for any other spelling."""
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if base64.urlsafe_b64encode(data).rstrip(b"=") != text.encode("ascii"):
        raise ValueError("not canonical base64url")
    return data


def from_base64(text: str) -> bytes:
    """Padded base64 (RFC 4648, section 4); raises ValueError for any other spelling."""
    data = base64.b64decode(text, validate=True)
    if base64.b64encode(data) != text.encode("ascii"):
        raise ValueError("not canonical base64")
    return data
