"""Who stands behind identity keys: persons as they are stored, merges followed."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tracker.identity import Key, crm_key
from tracker.person import Person
from tracker.store.port import Document, Store
from tracker.store.schema import Kind


class Owners(NamedTuple):
    """Attributes: by_key: the person of each key that is known. documents: of these persons, by id. keys: the documents
    of the keys.
    """

    by_key: dict[Key, str]
    documents: dict[str, Document]
    keys: dict[Key, Document]


async def owners(store: Store, keys: Sequence[Key]) -> Owners:
    """Return who owns each key; for a person who was absorbed by another, that other one."""
    found = await store.get(Kind.PERSON_KEYS, *(key.id for key in keys))
    known = {key: document for key, document in zip(keys, found, strict=True) if document}
    named = {key: str(document.body["person_id"]) for key, document in known.items()}
    documents = await followed(store, dict.fromkeys(named.values()))
    by_key = {key: documents[id].id for key, id in named.items() if id in documents}
    return Owners(by_key, {document.id: document for document in documents.values()}, known)


async def followed(store: Store, ids: Iterable[str], kind: Kind = Kind.PERSONS) -> dict[str, Document]:
    """Return persons (or leads) by the ids asked for; an absorbed one is answered by the one that absorbed it."""
    stand_for = {id: id for id in ids}
    documents: dict[str, Document] = {}
    while missing := set(stand_for.values()) - documents.keys():
        read = [document for document in await store.get(kind, *sorted(missing)) if document]
        if not read:
            break
        documents |= {document.id: document for document in read}
        for id, at in stand_for.items():
            stand_for[id] = documents[at].body.get("merged_into") or at if at in documents else at
    return {id: documents[at] for id, at in stand_for.items() if at in documents}


def known_as(person: Person) -> list[Key]:
    """Return the keys that a person's fields come to. One whose address somebody else had first may not have them."""
    fields = {"email": person.email, "phone": person.phone, "whatsapp": person.whatsapp_id, "visitor": person.visitor}
    told = [Key(kind, value) for kind, value in fields.items() if value]
    return [*(crm_key(identity.source, identity.user_id) for identity in person.crm), *told]
