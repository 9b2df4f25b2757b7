"""Loads an assistant: a folder of Rasa files, one per locale."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from bot.domain import DEFAULT_INTENTS, Domain, read_domain
from bot.located import Table, load, rows_at
from bot.nlu_files import NluData, read_nlu
from bot.rules import LISTEN, RuleTable, read_rules
from bot.understanding import Understanding

DEFAULT_FOLDER = Path(__file__).parent / "assistant"


@dataclass(frozen=True, slots=True)
class Assistant:
    """What the files say, ready to run.

    Args:
        fallback_action: runs when no rule says what to do.
        version: changes whenever a file does; for the record of each turn.
        notes: what was read but has no effect, for `check-config`.
    """

    domain: Domain
    rules: RuleTable
    understanding: Understanding
    fallback_action: str = "action_default_fallback"
    language: str = "en"
    version: str = ""
    notes: tuple[str, ...] = ()

    @classmethod
    def load(cls, folder: Path = DEFAULT_FOLDER) -> Self:
        """Load `domain.yml`, `config.yml` (optional) and every `data/*.yml` of a folder.

        Raises: AssistantError: a file is missing or says something outside the supported subset.
        """
        config = folder / "config.yml"
        data = sorted((folder / "data").glob("*.yml"))
        return cls.from_files([folder / "domain.yml", *data], config if config.exists() else None)

    @classmethod
    def from_files(cls, files: Iterable[Path], config: Path | None = None) -> Self:
        """Load from files of any kind: each may hold parts of the domain, rules or training data."""
        paths = list(files)
        tables = [load(path) for path in paths]
        for table in tables:
            _refuse_stories(table)
        settings = _settings(load(config) if config else Table("", 1))
        domain = read_domain(*(table for table in tables if not {"rules", "nlu"} & set(table)))
        rules = read_rules(domain, *(table for table in tables if _only(table, "rules")))
        data = read_nlu(*(table for table in tables if _only(table, "nlu")))
        understanding = Understanding.train(
            data, threshold=settings["threshold"], margin=settings["margin"], language=settings["language"]
        )
        return cls(
            domain,
            rules,
            understanding,
            settings["fallback_action"],
            settings["language"],
            _digest([*paths, *([config] if config else [])]),
            tuple(_notes(domain, data)),
        )


def _refuse_stories(table: Table) -> None:
    if "stories" in table:
        table.refuse("unsupported: stories (they need a learned policy; say it in rules)", "stories")


def _only(table: Table, key: str) -> bool:
    if key in table:
        table.only(("version", "rules", "nlu"), "a data file")
    return key in table


def _settings(config: Table) -> dict[str, Any]:
    """Read what `config.yml` says to this engine; other parts of the pipeline and policies are a Rasa server's."""
    found: dict[str, Any] = {
        "language": config.get("language", "en"),
        "threshold": 0.3,
        "margin": 0.0,
        "fallback_action": "action_default_fallback",
    }
    for part in _named(config, "pipeline", "FallbackClassifier"):
        found["threshold"] = float(part.get("threshold", 0.3))
        found["margin"] = float(part.get("ambiguity_threshold", 0.1))
    for part in _named(config, "policies", "RulePolicy"):
        found["fallback_action"] = part.get("core_fallback_action_name", found["fallback_action"])
        if not part.get("enable_fallback_prediction", True):
            found["fallback_action"] = LISTEN
    return found


def _named(config: Table, key: str, name: str) -> Iterable[Table]:
    return (item for item in rows_at(config, key, key) if isinstance(item, Table) and item.get("name") == name)


def _digest(paths: Iterable[Path]) -> str:
    whole = hashlib.sha256()
    for path in paths:
        whole.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return whole.hexdigest()[:12]


def _notes(domain: Domain, data: NluData) -> Iterable[str]:
    known = {*domain.intents, *DEFAULT_INTENTS}
    for intent in dict.fromkeys(example.intent for example in data.examples):
        if intent not in known:
            yield f"intent {intent!r} has examples but is not in the domain"
    for slot in domain.slots.values():
        for mapping in slot.mappings:
            if mapping.type == "from_entity" and mapping.entity not in domain.entities:
                yield f"slot {slot.name!r} waits for entity {mapping.entity!r}, which is not in the domain"
