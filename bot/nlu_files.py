"""Training data for understanding: the supported subset of Rasa's `nlu.yml`."""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from bot.located import AssistantError, Rows, Table, rows_at

_ANNOTATION = re.compile(r"\[(?P<text>[^\]]+)\](?:\((?P<entity>[^)]+)\)|(?P<json>{[^}]+}))")


@dataclass(frozen=True, slots=True)
class Span:
    """Characters `start` to `end` of an example are an `entity`; `value` is what it stands for."""

    start: int
    end: int
    entity: str
    value: str


@dataclass(frozen=True, slots=True)
class Example:
    text: str
    intent: str
    spans: tuple[Span, ...] = ()


@dataclass(slots=True)
class NluData:
    """All of it. `synonyms` maps words (lower case) to their value; `regexes` and `lookups` are by name."""

    examples: list[Example] = field(default_factory=list)
    synonyms: dict[str, str] = field(default_factory=dict)
    regexes: dict[str, list[str]] = field(default_factory=dict)
    lookups: dict[str, list[str]] = field(default_factory=dict)


def read_nlu(*files: Table) -> NluData:
    """Read training data.

    Raises: AssistantError: retrieval intents, a broken annotation or regular expression, or another kind of section.
    """
    data = NluData()
    for file in files:
        rows = rows_at(file, "nlu", "nlu")
        for index, section in enumerate(rows):
            if not isinstance(section, Table):
                rows.refuse("a section of nlu must be a mapping", index)
            _read_section(section, data)
    return data


def _read_section(section: Table, data: NluData) -> None:
    section.only(("intent", "synonym", "regex", "lookup", "examples"), "a section of nlu")
    kinds = [kind for kind in ("intent", "synonym", "regex", "lookup") if kind in section]
    if len(kinds) != 1:
        section.refuse("a section of nlu is one of intent, synonym, regex, lookup")
    (kind,) = kinds
    name = str(section[kind])
    if kind == "intent" and "/" in name:
        section.refuse(f"unsupported: retrieval intent {name!r}", kind)
    for line, text in _lines(section):
        if kind == "intent":
            data.examples.append(_example(section, line, text, name, data))
        elif kind == "synonym":
            data.synonyms[text.lower()] = name
        elif kind == "regex":
            data.regexes.setdefault(name, []).append(_pattern(section, line, text))
        else:
            data.lookups.setdefault(name, []).append(text)


def _lines(section: Table) -> Iterable[tuple[int, str]]:
    """Yield each example with its line: a block text of `- …` lines, or a list whose items have a `text`."""
    examples = section.get("examples")
    first = section.lines.get("examples", section.line)
    if isinstance(examples, Rows):
        for index, item in enumerate(examples):
            if not isinstance(item, Table) or not isinstance(item.get("text"), str):
                examples.refuse("an example in a list needs a text", index)
            yield examples.lines[index], item["text"].strip()
        return
    for number, line in enumerate(str(examples or "").splitlines(), start=1):
        if not line.strip():
            continue
        if not line.startswith("- "):
            raise AssistantError(section.file, first + number, f"an example begins with '- ': {line.strip()[:40]!r}")
        yield first + number, line[2:].strip()


def _pattern(section: Table, line: int, text: str) -> str:
    try:
        re.compile(text)
    except re.error as problem:
        raise AssistantError(section.file, line, f"not a regular expression: {problem}") from problem
    return text


def _example(section: Table, line: int, text: str, intent: str, data: NluData) -> Example:
    parts, spans, end, length = [], [], 0, 0
    for match in _ANNOTATION.finditer(text):
        given = _annotation(section, line, match)
        words = match["text"]
        before = text[end : match.start()]
        parts += [before, words]
        start = length + len(before)
        length = start + len(words)
        end = match.end()
        value = str(given.get("value", words))
        if value != words:
            data.synonyms[words.lower()] = value
        spans.append(Span(start, length, str(given["entity"]), value))
    return Example("".join([*parts, text[end:]]), intent, tuple(spans))


def _annotation(section: Table, line: int, match: re.Match[str]) -> dict[str, object]:
    if match["entity"]:
        entity, _, value = match["entity"].partition(":")
        return {"entity": entity, "value": value} if value else {"entity": entity}
    try:
        given: dict[str, object] = json.loads(match["json"])
    except json.JSONDecodeError as problem:
        raise AssistantError(section.file, line, f"not an annotation: {match['json']}") from problem
    if "entity" not in given or not set(given) <= {"entity", "value", "role", "group"}:
        raise AssistantError(section.file, line, f"unsupported annotation: {match['json']}")
    return given
