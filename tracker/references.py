"""What a configuration names that has to exist elsewhere: steps, questions and templates. Pure.

It is read from JSON as it was given, whatever else is wrong with it, so that all faults can be told at once. Endless
quiet hours are found here too: a model that refused them could not read a version in use.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from tracker.errors import Fault
from tracker.events import Channel
from tracker.model import clean
from tracker.product import SLOTS
from tracker.stages import Stage


class Named(NamedTuple):
    """A template that a configuration names. Attributes: channel: on which it has to speak; None: on any."""

    path: str
    template_id: str
    channel: Channel | None


def named_templates(given: Any) -> list[Named]:
    """Return every template that steps, variants and conditions name, with the path of its name."""
    return [*_of_steps(given), *_of_variants(given), *_of_conditions(given, "")]


def stray_experiments(given: Any) -> list[Fault]:
    """Return the experiments about a step that no sequence has. A stage that is none is its field's own fault."""
    steps = _numbered(given)
    return [
        Fault(f"experiments/{n}/step", f"the sequence of {stage} has no such step")
        for n, experiment in _objects(given, "experiments")
        if isinstance(stage := experiment.get("stage"), str)
        and stage in _STAGES
        and isinstance(step := experiment.get("step"), int)
        and (stage, step) not in steps
    ]


def unasked_answers(given: Any) -> list[Fault]:
    """Return the answers with points that no question asks for: nobody would ever earn them.

    No version in use is refused for it: it is told when the next one is saved.
    """
    rules = given.get("scoring_rules") if isinstance(given, dict) else None
    points = rules.get("answer_points") if isinstance(rules, dict) else None
    return [
        Fault(f"scoring_rules/answer_points/{slot}", f"is no question: there are {', '.join(SLOTS)}")
        for slot in (points if isinstance(points, dict) else ())
        if clean(slot) not in SLOTS
    ]


def endless_quiet(given: Any) -> list[Fault]:
    """Return the fault of quiet hours that end when they begin: every end would be the next beginning, for ever.

    No version in use is refused for it either.
    """
    quiet = given.get("quiet_hours") if isinstance(given, dict) else None
    start, end = (quiet.get("start"), quiet.get("end")) if isinstance(quiet, dict) else (None, None)
    if not isinstance(start, str) or start != end:
        return []
    return [Fault("quiet_hours/end", "is the start as well: nothing of a sequence would ever be sent")]


_STAGES = {str(stage) for stage in Stage}


def _of_steps(given: Any) -> Iterator[Named]:
    for s, sequence in _objects(given, "nurturing_sequences"):
        for m, step in _objects(sequence, "messages"):
            yield from _named(f"nurturing_sequences/{s}/messages/{m}/template_id", step, step)
    silent = given.get("re_engagement") if isinstance(given, dict) else None
    for m, step in _objects(silent, "messages"):
        yield from _named(f"re_engagement/messages/{m}/template_id", step, step)


def _of_variants(given: Any) -> Iterator[Named]:
    """A variant is sent where its step is."""
    steps = _numbered(given)
    for e, experiment in _objects(given, "experiments"):
        place = experiment.get("stage"), experiment.get("step")
        step = steps.get(place, {}) if all(isinstance(part, str | int) for part in place) else {}
        for v, variant in _objects(experiment, "variants"):
            yield from _named(f"experiments/{e}/variants/{v}/template_id", variant, step)


def _of_conditions(value: Any, path: str) -> Iterator[Named]:
    """Conditions stand in steps, goals and progression, and in each other: so every part is looked through."""
    parts: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in parts:
        seen = part.get("message") if name in _SIGHTINGS and isinstance(part, dict) else None
        if isinstance(seen, str):
            yield Named(f"{path}{name}/message", seen, None)
        yield from _of_conditions(part, f"{path}{name}/")


_SIGHTINGS = {"event_seen", "event_not_seen"}


def _numbered(given: Any) -> dict[Any, dict[str, Any]]:
    """Return the steps by stage and number, as experiments name them."""
    return {
        (stage, m): step
        for _, sequence in _objects(given, "nurturing_sequences")
        if isinstance(stage := sequence.get("stage"), str)
        for m, step in _objects(sequence, "messages")
    }


def _named(path: str, given: dict[str, Any], step: dict[str, Any]) -> Iterator[Named]:
    template_id, channel = given.get("template_id"), step.get("channel")
    if isinstance(template_id, str):
        yield Named(path, template_id, next((known for known in Channel if known == channel), None))


def _objects(value: Any, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Return the objects of a list that a field holds, with their places; none where it holds something else."""
    listed = value.get(name) if isinstance(value, dict) else None
    for place, one in enumerate(listed if isinstance(listed, list) else ()):
        if isinstance(one, dict):
            yield place, one
