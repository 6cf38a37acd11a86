"""In which language a text is, and rules that ask for one."""

from __future__ import annotations

from typing import Any

import pytest

from gateway_extproc.core.ports import Guarded
from gateway_extproc.guards import RuleGuard
from gateway_extproc.guards.languages import (
    KNOWN_LANGUAGES,
    NO_LANGUAGE,
    RELATIVES,
    Languages,
    identifier,
    is_installed,
    letters_in,
    prose_of,
    unwanted_share,
)
from guards.cases import at, delta, rule, said

pytestmark = pytest.mark.skipif(not is_installed(), reason="the extra 'language' is not installed")

WHO = Guarded("acme")
ENGLISH = "Could you help me to plan a week in the mountains with four people and a dog?"
GERMAN = "Kannst du mir helfen, eine Woche in den Bergen für vier Leute und einen Hund zu planen?"
TEXTS = {
    "en": ENGLISH,
    "de": GERMAN,
    "fr": "Peux-tu m'aider à préparer une semaine à la montagne pour quatre personnes ?",
    "es": "¿Puedes ayudarme a planear una semana en la montaña para cuatro personas y un perro?",
    "it": "Puoi aiutarmi a organizzare una settimana in montagna per quattro persone e un cane?",
    "pt": "Você pode me ajudar a planejar uma semana na montanha para quatro pessoas?",
    "nl": "Kun je me helpen om een week in de bergen te plannen voor vier mensen en een hond?",
    "sv": "Kan du hjälpa mig att planera en vecka i fjällen för fyra personer och en hund?",
    "pl": "Czy możesz mi pomóc zaplanować tydzień w górach dla czterech osób i jednego psa?",
    "cs": "Můžeš mi pomoct naplánovat týden na horách pro čtyři lidi a jednoho psa?",
    "tr": "Dört kişi ve bir köpek için dağlarda bir hafta planlamama yardım eder misin?",
    "vi": "Bạn có thể giúp tôi lên kế hoạch cho một tuần trên núi với bốn người không?",
    "ru": "Поможешь мне спланировать неделю в горах для четырёх человек и одной собаки?",
    "uk": "Чи можеш ти допомогти мені спланувати тиждень у горах для чотирьох людей і собаки?",
    "el": "Μπορείς να με βοηθήσεις να οργανώσω μια εβδομάδα στα βουνά για τέσσερα άτομα;",
    "ar": "هل يمكنك مساعدتي في التخطيط لأسبوع في الجبال لأربعة أشخاص وكلب واحد؟",
    "he": "האם תוכל לעזור לי לתכנן שבוע בהרים לארבעה אנשים וכלב אחד?",
    "hi": "क्या आप चार लोगों और एक कुत्ते के लिए पहाड़ों में एक सप्ताह की योजना बनाने में मेरी मदद कर सकते हैं?",
    "th": "ช่วยฉันวางแผนหนึ่งสัปดาห์บนภูเขาสำหรับสี่คนและสุนัขหนึ่งตัวได้ไหม",
    "ja": "四人と犬一匹で山に一週間出かける計画を立てるのを手伝ってもらえますか。",
    "ko": "네 사람과 개 한 마리가 산에서 보낼 일주일 계획을 세우는 것을 도와주시겠어요?",
    "zh": "你能帮我为四个人和一只狗安排一周的山区旅行吗？我们想每天走三个小时。",
}
CODE = "```python\nfor zahl in werte:\n    ergebnis.append(zahl)\n```"
UNJUDGED = {
    "a few words": "Hola, ¿qué tal?",
    "code": CODE * 4,
    "addresses": "https://www.beispiel.example/eine/lange/adresse/ohne/jeden/satz/und/mehr " * 3,
    "numbers": "12 34 56 78 90 " * 20,
    "mark-up": '<div class="ein-langer-name-und-mehr">' * 5,
    "placeholders": "[EMAIL-1] [PHONE-2] [CREDIT_CARD] " * 4,
}


def guard_of(**fields: Any) -> RuleGuard:
    known: dict[str, Any] = {"kind": "language", "action": "block", **fields}
    return RuleGuard([rule("speak", **known)])


def test_the_languages_that_a_configuration_may_name_are_those_of_the_model() -> None:
    assert {*KNOWN_LANGUAGES, *RELATIVES, NO_LANGUAGE} == set(identifier().labels)
    assert not KNOWN_LANGUAGES & RELATIVES.keys()
    assert KNOWN_LANGUAGES.issuperset(RELATIVES.values())


@pytest.mark.parametrize("language", TEXTS)
def test_a_sentence_is_in_its_language_and_in_no_other(language: str) -> None:
    letters, shares = Languages().of(TEXTS[language])
    assert letters >= 30
    assert max(shares, key=lambda code: shares[code]) == language
    assert unwanted_share(shares, frozenset([language]), frozenset()) < 0.5
    other = "de" if language == "en" else "en"
    assert unwanted_share(shares, frozenset([other]), frozenset()) > 0.9


def test_only_allowed_languages_pass() -> None:
    guard = guard_of(allowed=("en", "de"))
    assert guard.scan_request([at(ENGLISH), at(GERMAN)], WHO).blocked_by is None
    scan = guard.scan_request([at(ENGLISH), at(TEXTS["ru"])], WHO)
    assert scan.blocked_by == "speak"
    (finding,) = scan.findings
    assert (finding.kind, finding.start, finding.end) == ("language", 0, len(TEXTS["ru"]))
    assert 0.9 < finding.score <= 1


def test_denied_languages_are_stopped_and_all_others_pass() -> None:
    guard = guard_of(denied=("fr",))
    assert guard.scan_request([at(TEXTS["fr"])], WHO).blocked_by == "speak"
    for language in ("en", "es", "zh"):
        assert guard.scan_request([at(TEXTS[language])], WHO).blocked_by is None


@pytest.mark.parametrize("kind", UNJUDGED)
def test_what_has_no_language_is_not_judged(kind: str) -> None:
    assert guard_of(allowed=("ko",)).scan_request([at(UNJUDGED[kind])], WHO).findings == ()


def test_the_prose_beside_code_is_judged() -> None:
    text = f"{TEXTS['fr']}\n{CODE}\nhttps://example.org/path/of/english/words/that/are/long"
    assert prose_of(text) == prose_of(TEXTS["fr"])
    assert guard_of(allowed=("en",)).scan_request([at(text)], WHO).blocked_by == "speak"


def test_a_rule_says_how_many_letters_it_needs() -> None:
    text = "Wo ist der Bahnhof?"
    assert guard_of(allowed=("en",)).scan_request([at(text)], WHO).findings == ()
    assert guard_of(allowed=("en",), min_letters=12).scan_request([at(text)], WHO).findings
    assert letters_in("山路 ab") == 8


def test_roles_and_directions_count_as_for_other_rules() -> None:
    guard = guard_of(allowed=("en",), roles=("user",), direction="request")
    assert guard.scan_request([at(GERMAN, "system")], WHO).findings == ()
    assert guard.scan_answer([at(GERMAN, "assistant", ("content",))], WHO).findings == ()
    answers = guard_of(allowed=("en",), direction="response")
    assert answers.scan_answer([at(GERMAN, "assistant", ("content",))], WHO).blocked_by == "speak"


def test_a_long_text_is_judged_by_stretches_of_all_of_it() -> None:
    text = f"{ENGLISH} " * 3 + f"{GERMAN} " * 3_000
    assert len(prose_of(text)) < 1_000
    assert guard_of(allowed=("en",)).scan_request([at(text)], WHO).blocked_by == "speak"


@pytest.mark.parametrize("size", [1, 7, 500])
def test_a_stream_in_another_language_ends_when_that_is_known(size: int) -> None:
    window = guard_of(allowed=("en",), direction="response").window(WHO)
    assert window is not None
    text = f"{GERMAN} " * 40
    out, blocked = "", None
    for start in range(0, len(text), size):
        result = window.push([delta(text[start : start + size])], last=False)
        out += said(result.chunks)
        if result.blocked_by:
            blocked = result.blocked_by
            break
    assert blocked == "speak"
    assert len(out) <= 900
    assert text.startswith(out)


def test_a_short_answer_in_a_stream_is_judged_at_its_end() -> None:
    guard = guard_of(allowed=("en",), direction="response", action="log")
    window = guard.window(WHO)
    assert window is not None
    first = window.push([delta(GERMAN)], last=False)
    last = window.push([], last=True)
    assert first.findings == ()
    assert [finding.kind for finding in last.findings] == ["language"]
    assert said([*first.chunks, *last.chunks]) == GERMAN
