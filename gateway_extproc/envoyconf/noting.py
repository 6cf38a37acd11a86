"""The script with which each provider cluster notes what it answered, and why it refused.

The router-level filter never sees a failed attempt: so its status is noted, and of an error the
headers that say when to come again and what is left of a quota; also when each attempt began,
so that its own latency is known.  And Envoy's router sees statuses and headers
alone: a prompt that is too long is told in the body of a 400, as is one that breaks a policy.
"""

from __future__ import annotations

from typing import Final

from gateway_extproc.config.families import family_of
from gateway_extproc.config.model import Config, Provider
from gateway_extproc.config.quotaheaders import RETRY_AFTER, headers_of
from gateway_extproc.core.names import (
    ATTEMPT_HEADER,
    ATTEMPT_TOLD,
    ATTEMPTS_NAMESPACE,
    CAUSE_HEADERS,
)
from gateway_extproc.envoyconf.parts import TYPE, Json, named

READ_BYTES: Final = 16 * 1024
"""So much of a refusal's body is looked at; providers say why in the first few hundred bytes."""

REFUSING: Final = ("400", "413", "422")

STREAM_TYPES: Final = (
    "text/event-stream", "application/vnd.amazon.eventstream", "audio/", "application/octet-stream",
)  # fmt: skip
"""How the types of answers begin that are not waited for: their first byte is enough."""

TOLD_BY: Final = {
    "context_window": (
        "context_length_exceeded",  # OpenAI, Azure
        "maximum context length",  # servers that speak OpenAI's dialect
        "prompt is too long",  # Anthropic
        "exceed context limit",  # Anthropic, of prompt and max_tokens together
        "exceeds the maximum number of tokens allowed",  # Gemini
        "input is too long for requested model",  # Bedrock
    ),
    "content_policy": (
        "content_policy_violation",  # OpenAI
        "content_filter",  # Azure
        "responsibleaipolicyviolation",  # Azure, the inner error
        "blocked by content filtering policy",  # Anthropic
    ),
}
"""Words, in lower case, by which providers tell these refusals."""

SCRIPT: Final = """\
local NOTES = "{namespace}"
local READ = {{ {statuses} }}
local TOLD = {{ {told} }}
local KINDS = {{
{kinds}
}}

function envoy_on_request(handle)
  local attempt = handle:headers():get("{attempt}") or ""
  local notes = handle:streamInfo():dynamicMetadata()
  notes:set(NOTES, "attempt", attempt)
  notes:set(NOTES, attempt .. "{mark}", "at: " .. handle:timestampString())
{asked}end

local function tell(handle, attempt)
  local lines = {{}}
  for _, name in ipairs(TOLD) do
    local value = handle:headers():get(name)
    if value ~= nil and #value <= 64 then
      lines[#lines + 1] = name .. ": " .. value
    end
  end
  if #lines > 0 then
    local notes = handle:streamInfo():dynamicMetadata()
    notes:set(NOTES, attempt .. "{mark}", table.concat(lines, "\\n"))
  end
end

function envoy_on_response(handle)
  local notes = handle:streamInfo():dynamicMetadata():get(NOTES) or {{}}
  local attempt = notes["attempt"] or ""
  local status = handle:headers():get(":status")
  handle:streamInfo():dynamicMetadata():set(NOTES, attempt, status)
  if status >= "400" then
    tell(handle, attempt)
  end
  for _, kind in ipairs(KINDS) do
    handle:headers():remove(kind.header)
  end
  local media = handle:headers():get("content-type") or ""
  for _, stream in ipairs({{ {streams} }}) do
    if string.find(media, stream, 1, true) == 1 then
      return
    end
  end
{flows}  -- Waits for the whole body: an answer that breaks off can still be asked elsewhere.
  local body = handle:body()
  if body == nil or not READ[status] then
    return
  end
  local text = string.lower(body:getBytes(0, math.min(body:length(), {bytes})))
  for _, kind in ipairs(KINDS) do
    for _, word in ipairs(kind.words) do
      if string.find(text, word, 1, true) then
        handle:headers():add(kind.header, "1")
        handle:streamInfo():dynamicMetadata():set(NOTES, attempt, status .. " " .. kind.name)
        return
      end
    end
  end
end
"""


GOOGLES: Final = frozenset({"gemini", "vertex"})

ASKED: Final = """\
  local path = handle:headers():get(":path") or ""
  if string.find(path, ":streamGenerateContent", 1, true) then
    notes:set(NOTES, "streams", "yes")
  end
"""
FLOWS: Final = """\
  -- One JSON array that grows is a stream, too.
  if status == "200" and notes["streams"] == "yes" then
    return
  end
"""


def note_filter(config: Config, provider: Provider) -> Json:
    """The filter, for a cluster's chain: first in it, so that it hears what all others let pass."""
    return named(
        "envoy.filters.http.lua",
        {
            "@type": TYPE + "extensions.filters.http.lua.v3.Lua",
            "default_source_code": {"inline_string": script(config, provider)},
        },
    )


def script(config: Config, provider: Provider) -> str:
    """The Lua text."""
    names = [*RETRY_AFTER]
    family = family_of(provider.base_url, provider.family, provider.differences).name
    for told in headers_of(provider.dialect, config.health.quota_headers, family):
        names += [told.remaining, told.limit, told.reset]
    return SCRIPT.format(
        mark=ATTEMPT_TOLD,
        told=", ".join(f'"{name}"' for name in dict.fromkeys(names)),
        namespace=ATTEMPTS_NAMESPACE,
        attempt=ATTEMPT_HEADER,
        statuses=", ".join(f'["{status}"] = true' for status in REFUSING),
        kinds="\n".join(_kind(name, words) for name, words in TOLD_BY.items()),
        bytes=READ_BYTES,
        streams=", ".join(f'"{kind}"' for kind in STREAM_TYPES),
        asked=ASKED if provider.dialect in GOOGLES else "",
        flows=FLOWS if provider.dialect in GOOGLES else "",
    )


def _kind(name: str, words: tuple[str, ...]) -> str:
    listed = ", ".join(f'"{word}"' for word in words)
    return f'  {{ name = "{name}", header = "{CAUSE_HEADERS[name]}", words = {{ {listed} }} }},'
