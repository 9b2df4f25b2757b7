"""Entities that have a form of their own: addresses, phones, sizes, money, times, numbers. Regular expressions only."""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from bot.listed import listed


class Found(NamedTuple):
    """Characters `start` to `end` of the text are an `entity`."""

    start: int
    end: int
    entity: str


_DIGITS = r"\d{1,3}(?:[,.’' ]\d{3})+(?![\d])|\d+(?:[.,]\d+)?"
_UNITS = (
    "one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|"
    "eighteen|nineteen|twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety"
)
_WORD = rf"(?:{_UNITS}|hundred|thousand|dozen)"
_WORDS = rf"(?:(?:a|{_UNITS})[- ])?(?:{_WORD}(?:[- ](?:and )?)?)*{_WORD}"
_ABOUT = r"(?:(?:about|around|approximately|approx\.?|roughly|some|circa|ca\.?|nearly|almost|over|under|up to|at least|"
_ABOUT += r"more than|less than|fewer than|close to|like|only|just|now|currently|maybe|probably|~|≈|<|>)\s*)*"
_RANGE = r"(?:\s*(?:-|–|to)\s*(?:" + _DIGITS + r"))?"
_SIZE = rf"(?P<v>(?:{_DIGITS}){_RANGE}\s?k?|{_WORDS})"
_BETWEEN = rf"(?P<v>(?:{_DIGITS}) and (?:{_DIGITS}))"
_PEOPLE = (
    r"(?:people|persons?|employees?|employes|emplyees|emps?|staff(?:ers)?|folks|ppl|fte?s?|heads|headcount|colleagues|"
    r"coworkers|co-workers|team ?members|members|workers|strong|of us|humans|souls|full[- ]?timers?|professionals)"
)
_KIND = r"(?:(?:full[- ]time|permanent|active|total|different|paid|happy|talented|amazing)\s+)?"
_SIZES = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\bbetween {_BETWEEN}\s+{_KIND}{_PEOPLE}\b",
        rf"(?<![\w.$€£]){_SIZE}\+?(?:\s*-\s*|\s+|\+\s*){_KIND}{_PEOPLE}\b",
        r"\b(?<!sales )(?<!marketing )(?<!support )(?<!dev )(?:team|company|firm|org(?:ani[sz]ation)?|agency|"
        r"startup|shop|"
        rf"staff|business|workforce|crew|headcount|size|group)(?: size)?\s*(?:of|is|=|:|at)?\s+{_ABOUT}{_SIZE}"
        r"(?!\s*(?:%|months?|weeks?|days?|years?|hours?|min|leads?|users?|customers?|dollars|euros|usd|eur|k\b))\b",
        rf"\bwe(?:'|’| a)?re\s+{_ABOUT}{_SIZE}(?=\s*(?:$|[.,;!]|now\b|in total|and\b|in\b|at\b))",
        rf"\b(?:employ|employs|employing|hired?)\s+{_ABOUT}{_SIZE}\b",
        rf"\b(?:company|team|staff) size\b[^.,;\d]{{0,20}}?{_SIZE}(?!\s*(?:%|k\b))\b",
        r"\b(?P<v>just me|only me|just myself|only myself|just the two of us)\b",
    )
]
_MONEY = (
    r"(?:us dollars?|dollars?|usd|euros?|eur|pounds?|gbp|bucks?|quid|chf|francs?|cad|aud|inr|rupees?|sek|pln|yen|"
    r"€|£|\$)"
)
_SCALE = r"(?:\s?(?:k|m|mm|mn|mil|mio|thousand|million|grand|hundred)(?![a-z]))"
_BUDGETS = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?P<v>[$€£]\s?(?:{_DIGITS}){_SCALE}?(?:\s*(?:-|–|to|"
        rf"and)\s*[$€£]?\s?(?:{_DIGITS}){_SCALE}?)?(?:\s?{_MONEY}\b)?)",
        rf"(?<![\w.])(?P<v>(?:{_DIGITS}){_SCALE}?(?:\s*(?:-|–|to|and)\s*(?:{_DIGITS}){_SCALE}?)?\s?{_MONEY})(?![a-z])",
        rf"\b(?P<v>(?:a |{_WORDS} )?(?:hundred |thousand |million |grand )?(?:dollars|euros|pounds|bucks|grand|"
        r"million))\b",
        rf"(?<![\w.])(?P<v>(?:{_DIGITS}){_SCALE}?\s*(?:-|–|to|and)\s*(?:{_DIGITS})(?:\s?(?:k|grand)(?![a-z])))"
        rf"(?!\s*{_PEOPLE})",
        rf"(?<![\w.])(?P<v>(?:{_DIGITS})(?:\s?(?:k|grand)(?![a-z])))(?!\s*(?:{_PEOPLE}|users|leads|signups|contacts|"
        r"customers))",
        rf"\b(?:budget(?:ed)?|spend|invest|set aside|allocated?|earmarked)\b[^.,;\d]{{0,30}}?{_ABOUT}"
        rf"(?P<v>(?:{_DIGITS}){_SCALE}?)(?!\s*(?:{_PEOPLE}|%|months?|weeks?|days?|years?|hours?|min))\b",
    )
]
_MONTHS = (
    "january|february|march|april|may|june|july|august|september|october|november|december|"
    "jan|feb|mar|apr|jun|jul|aug|sept|sep|oct|nov|dec"
)
_SPAN = r"(?:days?|weeks?|wks?|months?|mths?|mos?|quarters?|years?|yrs?)"
_COUNT = rf"(?:\d+(?:\s*(?:-|–|to|or)\s*\d+)?|(?:{_WORDS})(?:\s(?:to|or)\s(?:{_WORDS}))?|couple(?: of)?|few|half a)"
_YEAR = r"(?:\s(?:20\d\d|this year|next year))?"
_TIMES = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\b(?P<v>q[1-4](?: (?:of )?(?:20\d\d|this year|next year))?|h[12] 20\d\d|eoy|eoq|eom)\b",
        rf"\b(?:in|within|about|around|over|under|after|maybe)\s(?P<v>an?\s{_SPAN})\b",
        r"\b(?P<v>(?:end|beginning|start|middle|mid) of (?:the |this |next )?(?:q[1-4]|year|quarter|month|week|"
        rf"{_MONTHS}|20\d\d|summer|spring|winter|fall|autumn)){_YEAR}\b",
        rf"(?<![\w$€£.])(?P<v>{_COUNT}[- ]?{_SPAN})\b(?!\s*(?:trial|free|ago|old|of experience|contract|long trial))",
        r"\b(?P<v>(?:early |late |later |mid )?(?:this|next|coming|the following) (?:week|month|quarter|"
        rf"year|spring|summer|autumn|fall|winter|half|{_MONTHS}|monday|tuesday|wednesday|thursday|friday))\b",
        r"\b(?P<v>as soon as possible|a\.?s\.?a\.?p\.?|immediately|right away|straight ?away|tomorrow|urgently|"
        r"no rush|no hurry|sooner the better)(?=\W|$)",
        r"\b(?:in|by|before|until|till|around|from|for|during|since|start(?:ing)?|launch(?:ing)?|mid|early|"
        rf"late)\s(?P<v>(?:(?:early|late|mid)[- ])?(?:{_MONTHS})(?: \d{{1,2}}(?:st|nd|rd|th)?)?(?: 20\d\d)?)\b",
        r"\b(?:in|by|before|until|during|this|next|after)\s(?:the )?(?P<v>(?:spring|summer|autumn|fall|winter|"
        r"christmas|easter|new year)(?: 20\d\d)?)\b",
        r"\b(?:start|ready|live|launch|begin|go|need(?: it| this| something)?|buy|it)\s(?P<v>right now|now|today)\b",
        rf"^\W*(?P<v>now|today|right now|(?:{_MONTHS})(?: 20\d\d)?|spring|summer|autumn|fall|winter)\W*$",
    )
]
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_PHONE = re.compile(r"(?<![\w.])(?:\+|\(|\b)\d[\d\s().\-/]{5,}\d(?!\w)")
_YEARS = re.compile(r"(?:19|20)\d\d\s*[-–/]\s*(?:19|20)\d\d")
_NUMBER = re.compile(rf"(?<![\w.,$€£%-])(?:{_DIGITS})(?![\w%])", re.IGNORECASE)
_STANDARD = re.compile(
    r"(?:soc|iso|iec|dynamics|office|type|version|v|step|option|windows|in|since)[\s-]*$", re.IGNORECASE
)
_COUNTED = re.compile(
    r"/7|\s*[-–]?\s*(?!(?:now|please|pls|in|total|or|so|maybe|i|ish|and|to|for|at|but|right|today|if|with|as|is|not|"
    r"actually|altogether|overall|roughly|approximately|approx|currently|probably)\b)[^\W\d]",
    re.IGNORECASE,
)
_WHOLE_NUMBER_WORD = re.compile(rf"^\W*(?:about |around )?(?P<v>{_WORDS})\W*$", re.IGNORECASE)


_WORDS_IN = re.compile(r"[a-z]+")
_NUMBER_WORDS = frozenset((*_UNITS.split("|"), *listed("hundred thousand million dozen grand just only")))
_TIME_WORDS = frozenset(_MONTHS.split("|")) | frozenset(
    listed(
        "day days week weeks wk wks month months mth mths mo mos quarter quarters year years yr yrs half eoy eoq eom "
        "monday tuesday wednesday thursday friday spring summer autumn fall winter christmas easter asap possible "
        "immediately away straightaway tomorrow urgently rush hurry sooner now today"
    )
)


def find(text: str) -> list[Found]:
    """Return the entities of `text` in order, none overlapping; where two claim the same words the first kind wins."""
    # One quick look first: most messages have neither numbers nor times nor addresses in them.
    words = set(_WORDS_IN.findall(text.lower()))
    digits = any(character.isdigit() for character in text)
    numbers = digits or not words.isdisjoint(_NUMBER_WORDS)
    times = digits or not words.isdisjoint(_TIME_WORDS) or "a.s.a" in text.lower()
    if not (numbers or times or "@" in text):
        return []
    taken: list[Found] = []
    for found in (*_emails(text), *(_phones(text) if digits else ())):
        _add(taken, found)
    if numbers:
        for entity, patterns in (("budget", _BUDGETS), ("company_size", _SIZES)):
            for found in _grouped(text, patterns, entity):
                _add(taken, found)
    if times:
        for found in _grouped(text, _TIMES, "timeline"):
            _add(taken, found)
    if numbers:
        for found in _numbers(text):
            _add(taken, found)
    return sorted(taken)


def _add(taken: list[Found], new: Found) -> None:
    if new.end > new.start and all(new.end <= old.start or old.end <= new.start for old in taken):
        taken.append(new)


def _emails(text: str) -> Iterator[Found]:
    if "@" in text:
        for match in _EMAIL.finditer(text):
            yield Found(match.start(), match.start() + len(match[0].rstrip(".-")), "email")


def _phones(text: str) -> Iterator[Found]:
    for match in _PHONE.finditer(text):
        digits = sum(character.isdigit() for character in match[0])
        grouped = re.fullmatch(r"\d{1,3}([ .]\d{3})+", match[0]) and digits < 9
        if 7 <= digits <= 15 and not _YEARS.fullmatch(match[0]) and not grouped:
            yield Found(match.start(), match.end(), "phone")


def _grouped(text: str, patterns: Iterable[re.Pattern[str]], entity: str) -> Iterator[Found]:
    for pattern in patterns:
        for match in pattern.finditer(text):
            words = match["v"].rstrip()
            start = match.start("v") + len(match["v"]) - len(match["v"].lstrip())
            yield Found(start, match.start("v") + len(words), entity)


def _numbers(text: str) -> Iterator[Found]:
    for match in _NUMBER.finditer(text):
        counted = _COUNTED.match(text, match.end())
        if not counted and not _STANDARD.search(text[: match.start()]):
            yield Found(match.start(), match.end(), "number")
    whole = _WHOLE_NUMBER_WORD.match(text)
    if whole and whole["v"].lower() not in ("one", "a"):
        yield Found(whole.start("v"), whole.end("v"), "number")
