"""What a product asks of a lead before it counts as qualified, and what of that is known by now. Pure."""

from collections.abc import Mapping
from typing import Any

from tracker.lead import Lead
from tracker.person import Person
from tracker.product import SLOTS, ProductConfig

DECLINED = "declined"
"""The value of an answer that somebody would rather not give."""

OF_PERSON: Mapping[str, str] = {"full_name": "name", "email": "email"}
OF_DEMOGRAPHICS: Mapping[str, str] = {
    "company": "company",
    "company_size": "company_size",
    "job_title": "job_title",
    "industry": "industry",
}
"""Where a person's document keeps the answer to a question, whoever gave it."""


def known(person: Person) -> dict[str, Any]:
    """Return what is known of a person, by slot."""
    values = {slot: getattr(person, name) for slot, name in OF_PERSON.items()}
    values |= {slot: person.demographics.get(name) for slot, name in OF_DEMOGRAPHICS.items()}
    return {slot: value for slot, value in values.items() if value}


def answers_something(metadata: Mapping[str, Any]) -> str | None:
    """Return the slot that a `qualification_answer` event answers; None for one that was declined or is not ours."""
    slot = metadata.get("slot")
    if not isinstance(slot, str) or slot not in SLOTS or metadata.get("value") in (None, "", DECLINED):
        return None
    return slot


def missing(lead: Lead, person: Person | None, config: ProductConfig) -> tuple[str, ...]:
    """Return the answers that the product requires and nobody has given, the person or its CRM."""
    required = config.qualification.required
    if not required:
        return ()
    has = {*lead.answered, *(known(person) if person else ())}
    return tuple(slot for slot in required if slot not in has)
