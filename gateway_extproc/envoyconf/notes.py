"""What each provider's cluster notes of an attempt, for the stream that sees only the last one.

The status, always.  Of an answer with an error status also the headers that say when to come
again and what is left of a quota; of a later attempt when it began, so that its own latency is
known.  A script in the cluster's own filter chain, because nothing else sees a failed attempt.
"""

from __future__ import annotations

from typing import Final

from gateway_extproc.config.model import Config, Provider
from gateway_extproc.config.quotaheaders import RETRY_AFTER, headers_of
from gateway_extproc.core.names import ATTEMPT_TOLD, ATTEMPTS_NAMESPACE

_ON_RESPONSE: Final = """\
local told = {{{names}}}
function envoy_on_response(handle)
  local headers = handle:headers()
  local status = headers:get(":status")
  local notes = handle:streamInfo():dynamicMetadata()
  notes:set("{namespace}", "{cluster}", status)
  if status >= "400" then
    local lines = {{}}
    for _, name in ipairs(told) do
      local value = headers:get(name)
      if value ~= nil and #value <= 64 then
        lines[#lines + 1] = name .. ": " .. value
      end
    end
    if #lines > 0 then
      notes:set("{namespace}", "{cluster}{mark}", table.concat(lines, "\\n"))
    end
  end
end
"""

_ON_REQUEST: Final = """\
function envoy_on_request(handle)
  handle:streamInfo():dynamicMetadata():set(
    "{namespace}", "{cluster}{mark}", "at: " .. handle:timestampString())
end
"""


def note_script(config: Config, provider: Provider, cluster: str, *, fallback: bool) -> str:
    """The Lua of one cluster; ``fallback`` for a cluster of later attempts."""
    names = [*RETRY_AFTER]
    for told in headers_of(provider.dialect, config.health.quota_headers):
        names += [told.remaining, told.limit, told.reset]
    quoted = ", ".join(f'"{name}"' for name in dict.fromkeys(names))
    script = _ON_RESPONSE + (_ON_REQUEST if fallback else "")
    return script.format(
        namespace=ATTEMPTS_NAMESPACE, cluster=cluster, mark=ATTEMPT_TOLD, names=quoted
    )
