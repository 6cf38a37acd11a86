"""What all sections of the configuration are made of."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Id = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Mode = Literal["enforce", "shadow"]
EndpointName = Literal[
    "chat", "messages", "generate_content", "responses", "completions", "embeddings", "moderations",
    "images", "rerank", "transcriptions", "translations", "speech", "count_tokens", "models",
]  # fmt: skip
ModelName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Positive = Annotated[int, Field(gt=0)]
Nanos = Annotated[int, Field(ge=0)]


class Section(BaseModel):
    """Base of all sections."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True
    )
