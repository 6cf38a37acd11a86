"""The roles that every installation has; a role of the same id in the file replaces one.

Their separations: who develops changes no routes; who runs the platform reads no evidence
and sends no prompts; who guards it changes guards and revokes keys, issues none and
spends nothing; who counts money sees only money; who audits sees and changes nothing.
"""

from __future__ import annotations

from typing import Final

from gateway_extproc.config.model import Role

_ANSWERS: Final = (
    "chat", "messages", "generate_content", "responses", "completions", "embeddings", "moderations",
    "images", "rerank", "transcriptions", "translations", "speech", "count_tokens", "cohere_chat",
    "embed", "converse",
)  # fmt: skip

SHIPPED: Final[tuple[Role, ...]] = (
    Role(id="developer", endpoints=(*_ANSWERS, "models")),
    Role(id="application", endpoints=_ANSWERS),
    Role(
        id="platform-admin",
        endpoints=("models",),
        admin=(
            "view_status",
            "view_costs",
            "view_decisions",
            "explain",
            "change_routes",
            "reload",
            "view_keys",
            "manage_keys",
            "revoke_keys",
            "every_tenant",
        ),
    ),
    Role(
        id="security-operator",
        endpoints=(),
        admin=(
            "view_status",
            "view_decisions",
            "explain",
            "reveal_evidence",
            "change_guards",
            "reload",
            "view_keys",
            "revoke_keys",
            "every_tenant",
        ),
    ),
    Role(id="finops", endpoints=(), admin=("view_status", "view_costs", "every_tenant")),
    Role(
        id="auditor",
        endpoints=(),
        admin=(
            "view_status",
            "view_costs",
            "view_decisions",
            "explain",
            "view_keys",
            "every_tenant",
        ),
    ),
)


def all_roles(configured: tuple[Role, ...]) -> dict[str, Role]:
    """The shipped roles and those of a configuration, which win, by id."""
    return {role.id: role for role in (*SHIPPED, *configured)}
