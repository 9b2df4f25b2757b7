"""Answers to the qualification questions, from the words to the value that a slot holds.

Each reader takes what was said (or a value it has returned before) and gives the value, or none if it cannot be one.
"""

import re
from collections.abc import Callable, Mapping
from datetime import date, datetime, timedelta
from typing import Any

from bot.listed import listed
from bot.numbers import numbers, vague

DECLINED = "declined"
OPTIONAL = frozenset(("job_title", "industry", "timeline", "budget"))
BANDS = ((10, "1-10"), (50, "11-50"), (200, "51-200"), (500, "201-500"), (1000, "501-1000"), (5000, "1001-5000"))
TOP_BAND = "5001+"
SLOTS = ("full_name", "email", "company", "company_size", "job_title", "industry", "use_case", "timeline", "budget")

_BAND_NAMES = frozenset((*(name for _, name in BANDS), TOP_BAND))
_EMAIL = re.compile(
    r"(?<![\w.+-])[a-z0-9](?:[\w+-]|"
    r"\.(?!\.)){0,62}(?<!\.)@(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,24}(?![\w-])",
    re.IGNORECASE,
)
_DECLINES = re.compile(
    r"\b(?:rather not|prefer not|skip|pass|no comment|confidential|private|none of your business|"
    r"(?:do(?:n't| not|nt)|can(?:'t|not|t)|won't|wont) (?:want|wish|like|need)? ?(?:to )?(?:say|tell|share|disclose|"
    r"answer|give|know|have)|"
    r"no idea|no clue|not sure|unsure|unknown|undecided|not decided|haven'?t decided|nothing (?:fixed|planned)|tbd|"
    r"n/a|idk|dunno|"
    r"no (?:budget|timeline|deadline|date|plan)|not (?:applicable|saying|telling))\b|^\W*(?:no|nope|none|na|nothing|"
    r"-)\W*$",
    re.IGNORECASE,
)
_HELLO = (
    r"^(?:(?:hi|hello|hey|ok|okay|sure|yes|yeah|well|um|uh|oh|so|sorry|actually|no|it is|it's|its|that's|that is)"
    r"[,.!\s]+)*"
)
_NAME_INTRO = re.compile(
    _HELLO
    + r"(?:(?:my|the) (?:full |first )?name(?:'s| is|:)?(?: actually)?|name(?: is|:)?|i am|i'm|im|this is|call me|"
    r"you can call me|"
    r"everyone calls me|i go by|it is|it's|speaking with|you're talking to)?[:\s]+",
    re.IGNORECASE,
)
_COMPANY_INTRO = re.compile(
    _HELLO
    + r"(?:(?:i work|working|i'm|i am|im|we're|we are)?\s?(?:at|for|with|from)|i'm with|we are called|we're called|"
    r"we are|we're|"
    r"(?:our|my|the) (?:company|firm|startup|business|agency|organi[sz]ation|employer)(?:'s name)?(?: name)? (?:is "
    r"called|is named|is|:)|"
    r"(?:our|my|the) (?:company|firm|startup|business|agency)(?:'s)? (?:is )?(?:called|named)|company(?: name)?(?: "
    r"is|:)?|"
    r"it's called|it is called|called|named|on behalf of|i represent|i run|it is|it's)?[:\s]+",
    re.IGNORECASE,
)
_ROLE_INTRO = re.compile(
    _HELLO
    + r"(?:(?:i'm|i am|im|we're)(?: currently)?(?: working as)?(?: an?| the| their| our)?|i work as(?: an?| the)?|"
    r"(?:my|the) (?:role|job|title|job title|position|function)(?: here)?(?: is|:)?(?: an?| the)?|(?:role|title|"
    r"position|job)(?: is|:)|"
    r"as(?: an?| the)?|an?|the|it is|it's)?[:\s]+",
    re.IGNORECASE,
)
_INDUSTRY_INTRO = re.compile(
    _HELLO + r"(?:(?:we're|we are|i'm|i am|im|we work|i work|we operate|working|active|mostly|mainly|we do|we make|we "
    r"build|we sell)"
    r"(?: mostly| mainly)?(?: in)?(?: an?| the)?|(?:our|the|my) industry(?: is|:)?|industry(?: is|:)?|in(?: the)?|"
    r"the|an?|"
    r"i'd say|it is|it's|mostly|mainly)?[:\s]+",
    re.IGNORECASE,
)
_INDUSTRY_TAIL = re.compile(
    r"[\s,]+(?:industry|sector|space|business|field|company|companies|startup|firm|agency|mainly|mostly|i think)\W*$",
    re.IGNORECASE,
)
_NOT_NAMES = frozenset(
    listed(
        "what why how when where who which is are do does did can could would should the a an and or not you your "
        "we they it "
        "this that people employees dollars euros company price pricing cost demo want need have has please help "
        "question "
        "yes no sure ok okay skip thanks hello hi hey stop cancel nothing none later maybe test asdf"
    )
)


def declines(said: Any) -> bool:
    """Whether somebody would rather not answer, or does not know."""
    return said == DECLINED or (isinstance(said, str) and len(said) < 120 and bool(_DECLINES.search(said)))


def read(slot: str, said: Any, now: datetime) -> Any:
    """Return the value of `slot` for what was said, none if it is not an answer to that question.

    Args: now: aware; dates are counted from its day.
    """
    if slot in OPTIONAL and said == DECLINED:
        return DECLINED
    if isinstance(said, list):
        said = said[-1] if said else None
    if said is None or isinstance(said, bool):
        return None
    if slot == "timeline":
        return timeline(said, now.date())
    reader = READERS.get(slot)
    return reader(said) if reader else said


def full_name(said: Any) -> str | None:
    """Return a person's name: one to five words without digits, capitalised if it was all lower case."""
    words = _without(_NAME_INTRO, said)
    words = re.split(
        r"[,;(]|\s(?:from|at|and i|here|speaking|with a|by the way|but|i'm|i am)\b|\.\s",
        words,
        maxsplit=1,
        flags=re.IGNORECASE,
    )[0]
    words = words.strip(" .!?\"'-")
    parts = words.split()
    if not 1 <= len(parts) <= 5 or len(words) > 60 or not re.fullmatch(r"[^\W\d_][^\d_@/:?!<>{}]*", words):
        return None
    if any(part.lower().strip(".'") in _NOT_NAMES for part in parts):
        return None
    return _capitalised(words)


def email(said: Any) -> str | None:
    """Return the first complete address, in lower case."""
    match = _EMAIL.search(str(said))
    return match[0].lower() if match and len(match[0]) <= 254 else None


def company(said: Any) -> str | None:
    """Return a company's name: up to eight words, not only digits."""
    words = _without(_COMPANY_INTRO, said)
    words = re.split(r",\s|;|\.\s|\s(?:and (?:we|i)|which|where|with about)\b", words, maxsplit=1, flags=re.IGNORECASE)[
        0
    ].strip(" .!\"'")
    if not 1 <= len(words.split()) <= 8 or len(words) > 80 or "@" in words or "?" in words:
        return None
    lowered = {part.lower() for part in words.split()}
    if not re.search(r"[^\W\d_]", words) or lowered <= _NOT_NAMES:
        return None
    return words


def company_size(said: Any) -> str | None:
    """Return the band that a number of people is in; of a range, the band of its middle."""
    if said in _BAND_NAMES:
        return str(said)
    text = str(said).lower()
    if re.search(r"\b(?:just|only) (?:me|myself|the two of us)\b|\bsolo\b|\bfreelanc|\bone[- ]man\b|\balone\b", text):
        return BANDS[0][1]
    found = [number for number in numbers(text) if 0 < number < 10_000_000]
    if found:
        people = sum(found[:2]) / 2 if len(found) > 1 and re.search(r"\d\s*(?:-|–|to|and|or)\s*\d", text) else found[0]
    else:
        people = vague(text) or 0.0
    if people < 1 or (re.search(r"-\s*\d", text) and re.match(r"^\s*-", text)):
        return None
    if re.search(r"\b(?:over|more than|above)\b|\d\s?\+", text):
        people += 1
    return next((name for most, name in BANDS if people <= most), TOP_BAND)


def job_title(said: Any) -> str | None:
    """Return a role of up to eight words."""
    words = _without(_ROLE_INTRO, said)
    words = re.split(r"\s(?:at|@|here|in charge|for)\s|\s(?:here)$|[;.]\s", words, maxsplit=1, flags=re.IGNORECASE)[
        0
    ].strip(" .!\"'")
    return words if _is_phrase(words, 8) else None


def industry(said: Any) -> str | None:
    """Return a line of business of up to six words."""
    words = _without(_INDUSTRY_INTRO, said).strip(" .!\"'")
    words = _INDUSTRY_TAIL.sub("", words).strip(" .,!")
    return words if _is_phrase(words, 6) else None


def use_case(said: Any) -> str | None:
    """Return what somebody wants to achieve: anything with a word in it, 500 characters at most."""
    words = _line(said)
    if len(words) < 3 or not re.search(r"[^\W\d_]{3}", words) or ("@" in words and " " not in words):
        return None
    return words[:500]


_CURRENCIES = (
    ("EUR", r"€|\beur(?:os?)?\b"),
    ("GBP", r"£|\bgbp\b|\bpounds?\b|\bquid\b"),
    ("CHF", r"\bchf\b|\b(?:swiss )?francs?\b"),
    ("CAD", r"\bcad\b|\bcanadian\b"),
    ("AUD", r"\baud\b|\baustralian\b"),
    ("INR", r"₹|\binr\b|\brupees?\b"),
    ("SEK", r"\bsek\b|\bkron(?:or|a)\b"),
    ("PLN", r"\bpln\b|\bz[lł]oty\b"),
    ("JPY", r"¥|\byen\b|\bjpy\b"),
)


def budget(said: Any) -> dict[str, Any] | None:
    """Return `{amount, currency}`; of a range its upper end, in US dollars unless another currency is named."""
    if isinstance(said, Mapping):
        return dict(said) if {"amount", "currency"} <= set(said) else None
    text = str(said).lower().replace("$", " $").replace("€", " €").replace("£", " £")
    found = [number for number in numbers(text) if number >= 1]
    amount = (
        max(found[:2], default=0.0)
        if re.search(r"\d\s?[km]?\s*(?:-|–|to|and)\s*[$€£]?\s*\d", text)
        else next(iter(found), 0.0)
    )
    if not found and re.search(r"\b(?:thousand|grand|million)\b", text):
        amount = vague(text) or 0.0
    if not 1 <= amount < 1e12:
        return None
    currency = next((code for code, pattern in _CURRENCIES if re.search(pattern, text)), "USD")
    return {"amount": int(amount) if amount == int(amount) else round(amount, 2), "currency": currency}


_NOW = re.compile(
    r"\b(?:asap|as soon as possible|immediately|right (?:away|now)|straight ?away|now|today|urgent(?:ly)?|yesterday|"
    r"at once)\b|a\.s\.a\.p"
)
_SPANS = {
    "day": 1,
    "week": 7,
    "wk": 7,
    "fortnight": 14,
    "month": 30,
    "mth": 30,
    "mo": 30,
    "quarter": 90,
    "year": 365,
    "yr": 365,
}
_SPAN = re.compile(r"\b(day|week|wk|fortnight|month|mth|mo|quarter|year|yr)s?\b")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = re.compile(
    r"\b(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)(?:uary|ruary|ch|il|e|y|ust|t(?:ember)?|ober|"
    r"ember)?\b(?:\s+(\d{1,2})(?!\d))?(?:.{0,12}?(20\d\d))?"
)
_SEASONS = {
    "spring": (3, 20),
    "easter": (4, 5),
    "summer": (6, 21),
    "autumn": (9, 22),
    "fall": (9, 22),
    "winter": (12, 21),
    "christmas": (12, 25),
}


def timeline(said: Any, today: date) -> int | None:
    """Return in how many days, 0 for now; a month counts 30 days, and a named date is counted from `today`."""
    if isinstance(said, int | float) and not isinstance(said, bool):
        return int(said) if said >= 0 else None
    text = str(said).lower()
    if text.isdigit():
        return None
    named = _named_date(text, today)
    if named is not None:
        return max((named - today).days, 0)
    span = _SPAN.search(text)
    if span:
        return _span_days(text, span)
    if _NOW.search(text):
        return 0
    if "tomorrow" in text:
        return 1
    if re.search(
        r"\b(?:no (?:rush|hurry)|some ?day|eventually|long[- ]term|just (?:exploring|looking|browsing))\b", text
    ):
        return 365
    return 30 if re.search(r"\bsoon(?:ish)?\b", text) else None


def _span_days(text: str, span: re.Match[str]) -> int | None:
    days, before = _SPANS[span[1]], text[: span.start()]
    if re.search(r"\bhalf an? $", before):
        return days // 2
    if re.search(r"\b(?:this|next|coming|current|following|another|per|within|the|an?) $", before):
        return days
    found = numbers(before)
    count = found[-1] if found else vague(before)
    if count is None:
        return days if re.search(r"\b(?:in|within) ", before) else None
    return int(count * days) if 0 < count * days < 36500 else None


def _named_date(text: str, today: date) -> date | None:
    """Return the day that a quarter, month, season or "end of the year" means, the next such day from `today` on."""
    year = next((int(found) for found in re.findall(r"\b(20\d\d)\b", text)), None)
    later = 1 if "next year" in text else 0
    quarter = re.search(r"\bq([1-4])\b", text)
    if quarter:
        return _next(today, lambda y: _month_end(y, int(quarter[1]) * 3), year, later)
    half = re.search(r"\bh([12])\b", text)
    if half:
        return _next(today, lambda y: _month_end(y, int(half[1]) * 6), year, later)
    if re.search(r"\b(?:end of (?:the |this )?year|year[- ]?end|eoy|this year)\b", text):
        return date(year or today.year, 12, 31)
    if re.search(r"\b(?:end of (?:the |this )?quarter|eoq|this quarter)\b", text):
        return _month_end(today.year, (today.month + 2) // 3 * 3)
    if re.search(r"\b(?:end of (?:the |this )?month|eom|this month)\b", text):
        return _month_end(today.year, today.month)
    if "end of next year" in text:
        return date(today.year + 1, 12, 31)
    month = _MONTH.search(text)
    if month and (
        month[1] != "may"
        or re.search(r"\b(?:in|by|before|until|of|from|next|this|mid|end of|early|late) may\b|^\W*may\W*$", text)
    ):
        number = _MONTHS.index(month[1]) + 1
        at_end = re.search(rf"\bend of (?:next )?{month[1]}", text)
        day = int(month[2]) if month[2] and 1 <= int(month[2]) <= 28 else 1
        return _next(today, lambda y: _month_end(y, number) if at_end else date(y, number, day), year, later)
    season = next((name for name in _SEASONS if re.search(rf"\b{name}\b", text)), None)
    if season:
        return _next(today, lambda y: date(y, *_SEASONS[season]), year, later)
    return date(year, 1, 1) if year and year > today.year else None


def _next(today: date, day: Callable[[int], date], year: int | None, later: int) -> date:
    if year is not None:
        return day(year)
    found = day(today.year + later)
    return found if found >= today else day(today.year + 1)


def _month_end(year: int, month: int) -> date:
    return date(year + month // 12, month % 12 + 1, 1) - timedelta(days=1)


def _line(said: Any) -> str:
    return " ".join(str(said).split())


def _without(intro: re.Pattern[str], said: Any) -> str:
    """Return what was said without the words that lead up to the answer; all of it if nothing would be left."""
    words = _line(said)
    rest = intro.sub("", f"{words}", count=1) if intro.match(words) else words
    return rest or words


def _is_phrase(words: str, most: int) -> bool:
    """Whether it could be a role or a line of business: a few words, with letters, and not a question."""
    parts = words.split()
    plausible = 1 <= len(parts) <= most and 2 <= len(words) <= 80 and "?" not in words and "@" not in words
    return plausible and bool(re.search(r"[^\W\d_]{2}", words)) and not {part.lower() for part in parts} <= _NOT_NAMES


def _capitalised(words: str) -> str:
    if words != words.lower():
        return words
    return re.sub(r"(?<![^\W\d_])[^\W\d_](?=[^\W\d_]|$)", lambda match: match[0].upper(), words)


READERS: dict[str, Callable[[Any], Any]] = {
    "full_name": full_name,
    "email": email,
    "company": company,
    "company_size": company_size,
    "job_title": job_title,
    "industry": industry,
    "use_case": use_case,
    "budget": budget,
}
