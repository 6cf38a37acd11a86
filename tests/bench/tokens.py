"""The error of the token estimate, by family and kind of text, and what an estimate costs.

    python -m bench.tokens [DATA]

Without a folder of JSON lines it judges texts of its own; those that the weights were fitted to
are not among them.  Families without a public vocabulary cannot be judged here.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from typing import Final

from bench.calibrate import texts_of
from gateway_extproc.core.chat import LlmRequest, TextAt
from gateway_extproc.limits.estimate import calibrated, estimate, exact_encoding

TEXTS: Final = {
    "English": "The committee will meet again on Thursday to decide whether the bridge should be "
    "closed for repairs before winter; until then, heavy vehicles have to take the ferry.",
    "German": "Der Ausschuss entscheidet am Donnerstag, ob die Brücke noch vor dem Winter gesperrt "
    "werden muss; bis dahin fahren schwere Fahrzeuge über die Fähre.",
    "French": "Le comité décidera jeudi si le pont doit être fermé avant l'hiver ; d'ici là, les "
    "véhicules lourds devront emprunter le bac.",
    "Spanish": "El comité decidirá el jueves si el puente debe cerrarse antes del invierno; hasta "
    "entonces, los vehículos pesados tendrán que usar el transbordador.",
    "Polish": "Komisja zdecyduje w czwartek, czy most trzeba zamknąć przed zimą; do tego czasu "
    "ciężkie pojazdy muszą korzystać z promu.",
    "Russian": "Комиссия решит в четверг, нужно ли закрыть мост до зимы; до тех пор тяжёлые "
    "машины должны пользоваться паромом.",
    "Arabic": "ستقرر اللجنة يوم الخميس ما إذا كان يجب إغلاق الجسر قبل الشتاء، وحتى ذلك الحين "
    "يجب على المركبات الثقيلة استخدام العبّارة.",
    "Hindi": "समिति गुरुवार को तय करेगी कि सर्दियों से पहले पुल बंद किया जाए या नहीं।",
    "Chinese": "委员会将在星期四决定是否在冬天之前关闭这座桥进行维修；"
    "在此之前，重型车辆必须乘坐渡轮。",
    "Japanese": "委員会は木曜日に、冬の前に橋を閉鎖するかどうかを決めます。"
    "それまで大型車はフェリーを使ってください。",
    "Korean": "위원회는 목요일에 겨울이 오기 전에 다리를 폐쇄할지 결정합니다. "
    "그때까지 대형 차량은 나룻배를 이용해야 합니다.",
    "Python": "def settle(holds: dict[str, int], name: str, used: int) -> int:\n"
    "    held = holds.pop(name, 0)\n    if held < used:\n"
    "        raise ValueError(f'{name} used {used} of {held}')\n    return held - used\n",
    "JSON": '{"items": [{"id": 17, "name": "valve", "price": 12.5, "tags": ["steel", "dn50"]}, '
    '{"id": 18, "name": "gasket", "price": 0.75, "tags": []}], "total": 2, "next": null}',
    "SQL": "SELECT tenant, SUM(cost) AS spent FROM ledger WHERE day >= '2026-11-01' "
    "GROUP BY tenant HAVING SUM(cost) > 1000 ORDER BY spent DESC LIMIT 20;",
    "numbers": "2026-11-24 17:05:33.412 881.20 -0.0071 19,334,882 +49 30 1234567 10.0.0.254",
    "Markdown": "# Runbook\n\n1. Look at `gateway_degraded_total`.\n2. **Do not** restart it.\n"
    "\n| what | who |\n|---|---|\n| Redis | platform |\n",
}
"""One text a kind; written for this bench."""


def main() -> int:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    if folder is not None:
        held_out = texts_of(folder)
        held_out = held_out[len(held_out) * 3 // 4 :]
        print(f"{len(held_out)} held out texts")
    for family in ("o200k", "cl100k"):
        encoding = exact_encoding(family)
        if encoding is None:
            print("install the extra 'tokenizers' to judge the estimate")
            return 1
        if folder is not None:
            report(f"{family}, held out", held_out, family)
            long = [text for text in held_out if len(text) > 400]
            report(f"{family}, longer ones", long, family)
        report(f"{family}, own texts", list(TEXTS.values()), family)
        if folder is None:
            for kind, text in TEXTS.items():
                truth = len(encoding.encode_ordinary(text))
                error = 100 * (calibrated(text.encode(), family) - truth) / truth
                print(f"    {kind:10} {truth:4} tokens  {error:+6.1f} %")
    cost()
    return 0


def report(name: str, texts: list[str], family: str) -> None:
    """One line: how far estimates are from the truth."""
    encoding = exact_encoding(family)
    errors, guessed, real = [], 0, 0
    for text in texts:
        truth = len(encoding.encode_ordinary(text))
        guess = calibrated(text.encode(), family)
        errors.append(abs(guess - truth) / max(1, truth))
        guessed, real = guessed + guess, real + truth
    errors.sort()
    print(
        f"{name:22} median {100 * statistics.median(errors):5.1f} %   "
        f"p90 {100 * errors[len(errors) * 9 // 10]:5.1f} %   "
        f"sum {100 * (guessed - real) / real:+5.1f} %"
    )


def cost() -> None:
    """CPU of an estimate for a chat of about 1 KB, with and without a vocabulary."""
    text = (TEXTS["English"] * 7)[:1000]
    at = TextAt(("messages", 0, "content"), "user", text)
    request = LlmRequest("openai", "chat", "m", False, None, False, {}, (at,))
    for model in ("claude-sonnet-4-5", "gpt-4o"):
        rounds = 2000
        began = time.process_time()
        for _ in range(rounds):
            estimate(request, model)
        us = (time.process_time() - began) / rounds * 1e6
        print(f"an estimate for {model}, 1 KB: {us:.1f} us")


if __name__ == "__main__":
    sys.exit(main())
