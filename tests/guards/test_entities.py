"""Which values are found, and what only looks like them."""

from __future__ import annotations

import pytest

from gateway_extproc.core.ports import Guarded
from gateway_extproc.guards import RuleGuard
from gateway_extproc.guards.entities import ENTITIES
from guards.cases import NOT_VALUES, PLACEHOLDERS, SPOKEN_OF, VALUES, at, rule

FOUND = [(name, value) for name, values in VALUES.items() for value in values]
LEFT = [(name, value) for name, values in NOT_VALUES.items() for value in values]


@pytest.mark.parametrize(("name", "value"), FOUND)
@pytest.mark.parametrize("frame", ["{}", "it is {}, you see", "({})", "密码：{}🎉", "x\n{}\ny"])
def test_a_value_is_found_whole(name: str, value: str, frame: str) -> None:
    guard = RuleGuard([rule(entities=(name,))])
    text = frame.format(value)
    scan = guard.scan_request([at(text)], Guarded("acme"))
    start = frame.index("{")
    assert [(f.kind, f.start, f.end) for f in scan.findings] == [(name, start, start + len(value))]
    assert scan.changed[0][1] == frame.format(PLACEHOLDERS[name])


@pytest.mark.parametrize(
    ("name", "before", "value"), [(n, b, v) for n, pairs in SPOKEN_OF.items() for b, v in pairs]
)
@pytest.mark.parametrize("after", ["", ", you see", "\nand"])
def test_a_value_is_found_by_what_stands_before_it(
    name: str, before: str, value: str, after: str
) -> None:
    after = "@db.example.org" + after if name == "url_password" else after
    scan = RuleGuard([rule(entities=(name,))]).scan_request(
        [at(f"{before}{value}{after}")], Guarded("acme")
    )
    start = len(before)
    assert [(f.kind, f.start, f.end) for f in scan.findings] == [(name, start, start + len(value))]


@pytest.mark.parametrize(("name", "value"), LEFT)
def test_what_only_looks_like_a_value_stays(name: str, value: str) -> None:
    guard = RuleGuard([rule(entities=(name,))])
    assert guard.scan_request([at(f"see {value} there")], Guarded("acme")).findings == ()


@pytest.mark.parametrize(("name", "value"), FOUND)
def test_every_beginning_of_a_value_is_live(name: str, value: str) -> None:
    entity = ENTITIES[name]
    for length in range(1, len(value)):
        assert entity.live("see " + value[:length]) <= 4, value[:length]


@pytest.mark.parametrize("name", sorted(PLACEHOLDERS))
def test_a_finished_sentence_is_not_live(name: str) -> None:
    text = "The quick brown fox, at 12 o'clock, jumps over (say) 3 dogs! "
    assert ENTITIES[name].live(text) == len(text)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("hi\U000e0049\U000e0047there", "hithere"),
        ("ig\u200bnore", "ignore"),
        ("a\u202eb", "ab"),
        ("ab\u200c\u200d\u200bcd", "abcd"),
        ("ab \u200b cd", None),
        ("می\u200cخواهم", None),  # Persian writes so
        ("co\u00adoperate", None),
        ("\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", None),  # flag
        ("👩\u200d👩\u200d👧", None),  # one family, three people
    ],
)
def test_hidden_characters_are_taken_out(text: str, masked: str | None) -> None:
    scan = RuleGuard([rule(kind="hidden")]).scan_request([at(text)], Guarded("acme"))
    assert (scan.changed[0][1] if scan.changed else None) == masked


def test_an_address_in_json_text_leaves_the_escape_before_it_alone() -> None:
    guard = RuleGuard([rule()])
    text = r'{"to":"\njane@example.org","n":4111111111111111,"u":"\u00e9a@b.org\\"}'
    path = ("choices", 0, "message", "tool_calls", 0, "function", "arguments")
    scan = guard.scan_answer([at(text, "assistant", path)], Guarded("acme"))
    assert scan.changed[0][1] == r'{"to":"\n[EMAIL]","n":"[CARD]","u":"\u00e9[EMAIL]\\"}'
