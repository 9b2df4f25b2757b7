"""Faults that somebody could write into the code, each of which the property's test must notice."""

from typing import NamedTuple


class Mutation(NamedTuple):
    """Attributes: number: of the property. what: what is wrong then. old: stands in the file once."""

    number: int
    what: str
    file: str
    old: str
    new: str


MUTATIONS: tuple[Mutation, ...] = (
    Mutation(
        1,
        "a login that is twice in one batch is not noticed",
        "tracker/logins.py",
        "        if key in taken:\n",
        "        if key in known.seen:\n",
    ),
    Mutation(
        1,
        "a login of an unknown product is taken for counted",
        "n8n/ingest.py",
        'if counted is not None and counted.status != "unknown_product" and not read.faults:',
        "if counted is not None and not read.faults:",
    ),
    Mutation(
        1,
        "a field that was left out is told to nobody",
        "n8n/ingest.py",
        'counted.status != "unknown_product" and not read.faults:',
        'counted.status != "unknown_product":',
    ),
    Mutation(
        1,
        "the results come in another order than the records",
        "tracker/ingestion.py",
        "        self.results[index] = result\n",
        "        self.results[-index] = result\n",
    ),
    Mutation(
        2,
        "a lead may skip a stage",
        "tracker/stages.py",
        "    if NEXT.get(stage) is not to:\n",
        "    if ORDER.index(to) <= ORDER.index(stage):\n",
    ),
    Mutation(
        2,
        "two changes in one millisecond have no order",
        "tracker/lead.py",
        "change.at <= lead.staged_at:",
        "change.at < lead.staged_at:",
    ),
    Mutation(
        2,
        "a reclassified event takes a lead back without a word",
        "tracker/recorder.py",
        "lead.but(stage=stage_changes[-1].to if stage_changes else lead.stage, updated_at=at)",
        "lead.but(stage=reached, updated_at=at)",
    ),
    Mutation(
        2,
        "an event that moves a lead a second time cannot be kept",
        "tracker/recorder.py",
        '*entries([], stage_changes, mark=f":{mark}"),',
        "*entries([], stage_changes),",
    ),
    Mutation(
        2,
        "a repeat for a lead that was absorbed is refused",
        "tracker/recorder.py",
        "if event.lead_id not in loaded.ids:",
        "if event.lead_id != loaded.id:",
    ),
    Mutation(
        2,
        "a revert by the id of an absorbed lead looks into that one's history",
        "tracker/recorder.py",
        "self.store.find(AUDIT_BY_LEAD, loaded.id, reverse=True, limit=1)",
        "self.store.find(AUDIT_BY_LEAD, lead_id, reverse=True, limit=1)",
    ),
    Mutation(
        2,
        "two leads that are one keep two open handoffs",
        "tracker/merging.py",
        "        if (closed := one.pair.closed) is not None:\n",
        "        if (closed := one.pair.closed) == '':\n",
    ),
    Mutation(
        2,
        "an undone merge takes the stage back without an entry",
        "tracker/merging.py",
        "    return dated(lead.but(stage=before.stage), [step])\n",
        "    return lead.but(stage=before.stage), []\n",
    ),
    Mutation(
        2,
        "what two leads have come to together lifts nobody",
        "tracker/merging.py",
        "        after = after.but(stage=max(brought, reached, key=ORDER.index))\n",
        "        pass\n",
    ),
    Mutation(
        2,
        "what happened to the other lead's events during a merge is forgotten",
        "tracker/merges.py",
        "                ledgers[gone.id] = await self._alone(gone.id, other)\n",
        "",
    ),
    Mutation(
        2,
        "a step of the stage before stays planned",
        "nurture/planning.py",
        "cancelled = self._called_back(known.message, facts, why)\n        if cancelled is not None:",
        'cancelled = self._called_back(known.message, facts, why)\n        if cancelled == "":',
    ),
    Mutation(
        3,
        "old logins are greeted",
        "nurture/planning.py",
        "before=before, at=at) if facts.fresh else None",
        "before=before, at=at)",
    ),
    Mutation(
        3,
        "every first message is an e-mail",
        "nurture/planning.py",
        "            channel=step.channel,\n",
        '            channel=type(step.channel)("email"),\n',
    ),
    Mutation(
        3,
        "whatever the stage, the first sequence is sent",
        "tracker/product.py",
        "for s in self.nurturing_sequences if s.stage is stage and s.messages)",
        "for s in self.nurturing_sequences if s.messages)",
    ),
    Mutation(
        5,
        "a cap holds for each event, not for the day",
        "tracker/scoring.py",
        "max(0, thousandths(cap) - lead.capped.get(_day(event_type, at), 0))",
        "thousandths(cap)",
    ),
    Mutation(
        5,
        "what a machine did counts",
        "tracker/scoring.py",
        "    if machine:\n        return Scored(0, ",
        "    if machine and slot:\n        return Scored(0, ",
    ),
    Mutation(
        5,
        "points that came late fade from when they came",
        "tracker/scoring.py",
        "total += faded(impact, rules.half_life_days, since=at, until=newest)",
        "total += faded(impact, rules.half_life_days, since=newest, until=newest)",
    ),
    Mutation(
        5,
        "reclassifying an event leaves the others of its day as they were",
        "tracker/recorder.py",
        "            events = [after, *(e for e in events if e is not after)]\n",
        "            events = [after]\n",
    ),
    Mutation(
        5,
        "a login that is called a machine's later goes on counting as one",
        "tracker/recorder.py",
        "            lead = logged(lead, [*others, after])\n",
        "            lead = logged(lead, [*others, after.but(machine=False)])\n",
    ),
    Mutation(
        5,
        "the score of a moment leaves out what happened in that moment",
        "tracker/score_report.py",
        "high = just_after(at) if at else None",
        "high = at",
    ),
    Mutation(
        7,
        "an old login that comes late moves the lead to its old organization",
        "tracker/logins.py",
        "    wins = has is None or at >= told\n",
        "    wins = True\n",
    ),
    Mutation(
        7,
        "in one batch the last record wins, not the newest",
        "tracker/logins.py",
        "            since = max(since, login.occurred_at)\n            if times",
        "            if times",
    ),
    Mutation(
        7,
        "where somebody wrote last is where the last report was from",
        "tracker/ledger.py",
        "happening.timestamp < wrote_at or happening.channel",
        "happening.channel",
    ),
    Mutation(
        7,
        "the last login is the one that came last",
        "tracker/ledger.py",
        "last_login = max(last_login or timestamp, timestamp)",
        "last_login = timestamp",
    ),
    Mutation(
        9,
        "a login counts on any lead of the person",
        "tracker/logins.py",
        "        found = leads.get(product_id) or KnownLead(\n",
        "        found = next(iter(leads.values()), None) or KnownLead(\n",
    ),
    Mutation(
        9,
        "all products share their counts",
        "tracker/counting.py",
        'Kind.COUNTERS, f"{day}:{product_id}:{metric}"',
        'Kind.COUNTERS, f"{day}:{metric}"',
    ),
    Mutation(
        9,
        "an opt-out is forgotten",
        "tracker/consent.py",
        "    if scope is None:\n",
        "    if scope is None or scope == 'nurture':\n",
    ),
    Mutation(
        10,
        "the poll asks by POST",
        "n8n/workflows/crm-ingestion-poll.json",
        '"method": "GET"',
        '"method": "POST"',
    ),
    Mutation(
        10,
        "dead letters go back to the CRM",
        "n8n/workflows/crm-ingestion-webhook.json",
        "@@leadline_url@@/dead-letters",
        "@@crm_url@@/dead-letters",
    ),
    Mutation(
        10,
        "the lint lets a PATCH to the CRM pass",
        "n8n/linting.py",
        'READING = {"GET", "HEAD"}',
        'READING = {"GET", "HEAD", "PATCH"}',
    ),
)
