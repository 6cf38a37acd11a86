"""What all sections of the configuration are made of."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
)

Id = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Mode = Literal["enforce", "shadow"]
PASSTHROUGH: Final = "passthrough:"
_PASSED: Final = re.compile(PASSTHROUGH + r"[a-z0-9][a-z0-9._-]{0,62}")
SERVED: Final = (
    "chat", "messages", "generate_content", "responses", "completions", "embeddings", "moderations",
    "images", "rerank", "transcriptions", "translations", "speech", "files", "batches",
    "count_tokens", "cohere_chat", "embed", "converse", "models",
)  # fmt: skip


def _is_endpoint(name: str) -> str:
    """An interface of the gateway, or what a section ``passthrough`` names."""
    if name not in SERVED and not _PASSED.fullmatch(name):
        listed = ", ".join(f"'{served}'" for served in SERVED)
        raise ValueError(f"input should be {listed} or '{PASSTHROUGH}' and an id")
    return name


EndpointName = Annotated[
    str,
    AfterValidator(_is_endpoint),
    WithJsonSchema({"type": "string", "enum": [*SERVED, f"{PASSTHROUGH}ID"]}),
]
ModelName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Positive = Annotated[int, Field(gt=0)]
Nanos = Annotated[int, Field(ge=0)]


class Section(BaseModel):
    """Base of all sections."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True
    )
