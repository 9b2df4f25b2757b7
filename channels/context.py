"""What a template may name of a real lead."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from channels.rendering import context
from tracker.recorder import Loaded


def context_of(loaded: Loaded, variables: Mapping[str, Any], unsubscribe_url: str, *, now: datetime) -> dict[str, Any]:
    person, config = loaded.person, loaded.config.config
    about = {
        "first_name": person.first_name,
        "name": person.name or "",
        "email": person.email or "",
        "phone": person.phone or "",
    }
    return context(loaded.view(now), about, {"name": config.name, **config.facts}, variables, unsubscribe_url)
