"""Words that ask, refuse, point and count, and those that say the same; English."""

from __future__ import annotations

from typing import Final


def _table(text: str) -> dict[str, str]:
    """Every word of a line by the line's first word."""
    lines = [line.split() for line in text.strip().splitlines()]
    return {word: line[0] for line in lines for word in line}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


PHRASES: Final = (
    (r"\b(what|who|where|when|why|how|it|that|there)'s\b", r"\1 is"),
    # What is only polite, from the front of a text.
    (r"^(?:hi|hello|hey)\b[ ,!.]*", ""),
    (r"\b(?:please|kindly)\b ?", ""),
    (r"^(?:can|could|would|will) you (?!say\b)", ""),
    (r"^would you say ", " whether "),
    (r"^(?:i want|i'd like|i would like|i need|i have) to ", ""),
    (r"^(?:i want|i'd like|i would like|i need) ", ""),
    (r"^do you know ", ""),
    (r"^help me (?:to )?", ""),
    (r"^(?:tell|show|explain|describe)(?: to)?(?: me)? (?=(?:how|why|when|where|who|what|which|if|"
     r"whether)\b)", ""),
    (r"^tell me ", ""),
    (r"^(give|show|send|share|find|get|fetch) me ", r" \1 "),
    (r"^(?:list|calculate|compute) ", " "),
    (r"^how much is (?=[\d(])", " "),
    (r"^give (?:a |the )?summary of ", " summarise "),
    # Ways to ask how.
    (r"^(?:how )?(?:what is|is there) (?:the|a|an) "
     r"(?:(?:best|right|easiest|simplest|usual) )?(?:way|method) (?:to|of) ", " how "),
    (r"^what are the steps to ", " how "),
    (r"^how (?:do|can|could|would|should|might) (?:i|we|one) ", " how "),
    (r"^how to ", " how "),
    (r"^what can (?:i|we|one) do to ", " how "),
    # Other questions, and what is said in several words.
    (r"^(?:at )?what time ", " when "),
    (r"^(?:in )?(?:what|which) year ", " when "),
    (r"\bwhat is the number of ", " how many "),
    (r"\bhow (tall|high) (?:is|are) ", r" what is the height of "),
    (r"\b(?:is|are|be) (?:able|allowed|permitted) to\b", " can "),
    (r"\bam i (?:able|allowed|permitted) to\b", " can i "),
    (r"\bis it (?:possible|allowed|permitted) to\b", " can i "),
    (r"\bis it (?:possible|allowed|permitted) for (.+?) to\b", r" can \1 "),
    (r"\b(?:in|with) (?:simple|easy|plain) (?:terms|words|language)\b", " simply "),
    (r"\b(?:turn|switch) on\b", " enable "),
    (r"\b(?:turn|switch) off\b", " disable "),
    (r"\b(?:ahead of|prior to)\b", " before "),
    (r"\b(?:each|every|a|per) day\b", " daily "),
    (r"\bset up\b", " schedule "),
    (r"\bmore than\b", " above "),
    (r"\bless than\b", " below "),
    (r"\bno longer\b", " not "),
    (r"\bmake sure\b", " ensure "),
    (r"\b(?:has|have|had) to\b", " must "),
)  # fmt: skip
"""Rewritten in this order, in lower case."""

NEGATIONS: Final = _words("""
not no never without nobody nothing none neither nor cannot nowhere except unless hardly barely
rarely seldom avoid lack lacking exclude excluding refuse refused fail fails
""")

_UP_TO_20: Final = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
sixteen seventeen eighteen nineteen twenty
"""

NUMBERS: Final = {
    word: str(number)
    for number, word in enumerate(_UP_TO_20.split())
} | {
    "thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "seventy": "70", "eighty": "80",
    "ninety": "90", "hundred": "100", "thousand": "1000", "million": "1000000",
    "billion": "1000000000", "dozen": "12", "half": "1/2", "quarter": "1/4", "twice": "x2",
    "double": "x2", "triple": "x3", "once": "x1", "first": "#1", "second": "#2", "third": "#3",
    "fourth": "#4", "fifth": "#5", "sixth": "#6", "seventh": "#7", "eighth": "#8", "ninth": "#9",
    "tenth": "#10", "both": "2",
}  # fmt: skip

ASKING: Final = _table("""
how
why
when
where
who whom
whether if
whose
""")

AUXILIARIES: Final = _words("""
does did is are was were am be been being 's 're 've 'd 'm
""")
PAST: Final = _words("""
did was were had
""")

MODALS: Final = _table("""
can could may might able possible allowed permitted
should ought
must need
will shall would 'll
""")

POINTING: Final = _table("""
from
to into onto toward towards
in inside within
on
at
for
with
by
of
about regarding concerning
than
before
after
above over
below under beneath
between
during
since
until till
against
through via
near
behind
as
like alike
versus vs
per
instead
unlike
across
around
off
out
up
down
""")
"""Prepositions: what follows one belongs to it."""

PERSONS: Final = _table("""
my i me mine we us our ours myself ourselves
your you yours yourself
his he him
her she hers
their they them theirs
""")

EMPTY: Final = _words("""
a an the that it its there what which some any also just really then so please give happening
""")
"""Words that tell no two questions apart once the others are the same."""

SAME: Final = _table("""
big large huge
bigger larger
biggest largest
small little
smaller littler
start begin commence
starts begins
end finish
buy purchase
fix repair correct
delete remove erase
create make build
increase raise
reduce decrease lower cut
enable activate
disable deactivate
summary summarise summarize
advantage benefit pro
disadvantage drawback con downside
leave depart
allow permit support
book reserve
combine merge
beat defeat
recommend suggest
quick fast rapid
quickest fastest
explain describe clarify
simple easy
simply easily
person human people
child kid children
picture photo image photograph
movie film
car automobile
calculate compute
difference differ
schedule arrange plan
convert turn transform
transfer move
daily everyday
way method
import load
illness disease sickness
doctor physician
error mistake
job occupation
home house
salary pay wage
happen occur
get obtain receive
answer reply respond
this these
give show share display
choose pick select
shop store
trip journey
""")
