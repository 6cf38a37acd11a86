"""Shell commands in answers that would harm who runs them as they stand.

Seen where a line begins with the command (as in every code block), after a prompt sign, a
backtick, ``sudo`` or another command.  A fence is not asked for: in a stream it may have left long ago.
"""  # noqa: E501

from __future__ import annotations

import re
from typing import Final

from gateway_extproc.guards.numbers import Spans, merged
from gateway_extproc.guards.scanner import Scanner

LINE_MAX = 400
COMMANDS_MAX = 500
"""Of one text; what stands behind so many is found as a whole."""
_HEAD = r"(?:^|\n|`|;|\||&&|\()[ \t]{0,16}(?:[$#>] {0,2})?(?:sudo (?:-[A-Za-z] )?)?"
_SHELL = r"(?:/(?:usr/)?bin/(?:env )?)?(?:ba|z|da|k|a)?sh"
_ARGS = r"[^\n|;&]*"
_PIPE_TO_SHELL = rf"\|[ \t]*(?:sudo )?(?:{_SHELL}|python[0-9.]*|perl|node)\b"

_COMMANDS: Final = (
    # Everything is deleted or overwritten.
    rf"{_HEAD}rm (?:-[A-Za-z-]+ ){{1,4}}[\"']?(?:/|/\*|~|~/|~/\*|\$HOME|/(?:etc|usr|var|home|boot|bin|lib))/?[\"']?"  # noqa: E501
    r"(?:[ \t]|\n|$|;|&|`)",
    rf"{_HEAD}dd {_ARGS}\bof=/dev/(?:sd|hd|nvme|vd|disk|mapper)",
    rf"{_HEAD}mkfs(?:\.[a-z0-9]+)? {_ARGS}/dev/",
    rf"{_HEAD}(?:chmod|chown) (?:-[A-Za-z]+ )?-R {_ARGS} /(?:[ \t]|\n|$|;|&|`)",
    rf"{_HEAD}(?:cat|echo|printf) {_ARGS}> ?/dev/(?:sd|hd|nvme|vd)[a-z0-9]+",
    r":\(\)[ ]?\{[ ]?:[ ]?\|[ ]?:[ ]?&[ ]?\}[ ]?;[ ]?:",
    # What somebody else put on the net is run unseen.
    rf"{_HEAD}(?:curl|wget|fetch) {_ARGS}{_PIPE_TO_SHELL}",
    rf"{_HEAD}(?:{_SHELL}|eval|source|\.)[^\n|;&]*[<$(]\([ ]?(?:curl|wget) ",
    rf"{_HEAD}(?:{_SHELL}) -c [\"']?\$\((?:curl|wget) ",
    # What is run is hidden from who reads it.
    rf"{_HEAD}(?:echo|printf|cat) {_ARGS}\|[ \t]*(?:base64|openssl base64|xxd) {_ARGS}{_PIPE_TO_SHELL}",  # noqa: E501
    rf"{_HEAD}base64 (?:-d|-D|--decode){_ARGS}{_PIPE_TO_SHELL}",
    r"(?i)powershell(?:\.exe)? [^\n]*-e(?:nc|ncodedcommand)? [A-Za-z0-9+/]{16}",
    r"(?i)(?:iex|invoke-expression)[ (]{1,3}[^\n]*(?:downloadstring|invoke-webrequest|iwr|irm) ?\(?",  # noqa: E501
    # A shell for somebody else.
    rf"{_SHELL} -i [^\n]*(?:>&|&>|<>) ?/dev/(?:tcp|udp)/",
    r"/dev/tcp/[0-9A-Za-z.-]{4,64}/[0-9]{2,5}",
    rf"{_HEAD}(?:nc|ncat|netcat) [^\n]*(?:-e|-c|--exec) ?{_SHELL}",
    r"mkfifo [^\n]*\|[^\n]*(?:nc|ncat|netcat|telnet) ",
    r"socket\.socket[^\n]*(?:dup2|subprocess|pty\.spawn)",
    r"(?:perl|ruby|php) -[a-z]{0,5}e? ?['\"][^\n]*(?:socket|fsockopen)[^\n]*(?:exec|sh -i)",
    rf"socat [^\n]*exec:[^\n]*{_SHELL}",
)
_SCANNER: Final = Scanner(_COMMANDS)
GATE: Final = _COMMANDS
_LEAD = re.compile(r"[\s`;|&(]*")
_STARTERS = [
    "rm",
    "dd",
    "mkfs",
    "chmod",
    "chown",
    "cat",
    "echo",
    "printf",
    "curl",
    "wget",
    "fetch",
    "sh",
    "bash",
    "zsh",
    "dash",
    "ksh",
    "ash",
    "eval",
    "source",
    "base64",
    "powershell",
    "iex",
    "invoke-expression",
    "nc",
    "ncat",
    "netcat",
    "mkfifo",
    "perl",
    "ruby",
    "php",
    "socat",
    "sudo",
    "socket",
    ":()",
    "/dev",
    "/bin",
    "/usr",
]
_BEGINNINGS = sorted({word[:n] for word in _STARTERS for n in range(1, len(word))}, key=len)
_STARTER = re.compile(
    rf"(?<![A-Za-z0-9])({'|'.join(map(re.escape, _STARTERS))}|(?:{'|'.join(map(re.escape, _BEGINNINGS))})\Z)",  # noqa: E501
    re.IGNORECASE,
)


def find_dangerous_shell(text: str) -> Spans:
    """The commands, from their first word to the end of what makes them dangerous."""
    spans: Spans = []
    for start, end in _SCANNER.spans(text, LINE_MAX, COMMANDS_MAX):
        lead = _LEAD.match(text, start, end)
        spans.append((lead.end() if lead and lead.end() < end else start, end))
    return merged(spans)


def live_dangerous_shell(text: str) -> int:
    """The last line, if it begins as one of the commands does."""
    line = max(text.rfind("\n", max(0, len(text) - LINE_MAX)) + 1, len(text) - LINE_MAX, 0)
    found = _STARTER.search(text, line)
    return found.start(1) if found else len(text)
