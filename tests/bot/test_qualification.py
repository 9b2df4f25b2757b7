"""The assistant at work: the form, digressions, corrections, refusals, offers, and what it asks the caller for."""

from datetime import timedelta

import pytest

from bot.dialogue import Turn
from bot.embedded import EmbeddedEngine
from tests.bot.conftest import PRODUCT, Chat

FILLED = {
    "full_name": "Dana Fox",
    "email": "dana7@acme7.example",
    "company": "Acme 7",
    "company_size": "51-200",
    "job_title": "Head of Sales",
    "industry": "software",
    "use_case": "we want to nurture our trial users",
    "timeline": 90,
    "budget": {"amount": 20000, "currency": "USD"},
}
ANSWERS = {
    "full_name": "Dana Fox",
    "email": "dana7@acme7.example",
    "company": "Acme 7",
    "company_size": "about 200 people",
    "job_title": "Head of Sales",
    "industry": "software",
    "use_case": "we want to nurture our trial users",
    "timeline": "within 3 months",
    "budget": "around 20000 dollars",
}


async def reach(chat: Chat, slot: str) -> None:
    """Answer questions until `slot` is asked for."""
    await chat.say("I would like to book a demo")
    while chat.state.requested_slot not in (slot, None):
        await chat.say(ANSWERS[str(chat.state.requested_slot)])


async def test_the_whole_way_to_a_demo(chat: Chat) -> None:
    """Every answer is kept as its value, with the words as said beside it, and the end is announced once."""
    answered: dict[str, tuple[object, object]] = {}
    wants: list[tuple[str, str]] = []
    for text in ("hi", "I would like to book a demo", *ANSWERS.values(), "thanks"):
        reply = await chat.say(text)
        answered |= {answer.slot: (answer.raw, answer.value) for answer in reply.answered}
        wants += chat.wants
    assert {slot: chat.state.slots[slot] for slot in FILLED} == FILLED
    assert answered["company_size"] == ("200", "51-200")
    assert answered["timeline"] == ("3 months", 90)
    assert set(answered) == set(FILLED)
    assert wants == [("handoff", "demo"), ("qualified", "")]
    assert chat.state.loop is None


async def test_a_greeting_before_a_question_is_no_greeting(chat: Chat) -> None:
    """The price is answered from the product's facts."""
    await chat.say("hi, what does it cost?")
    assert "pricing" in chat.said[0].lower()
    assert "$49" in chat.said[0]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("how much is it?", "$49"),
        ("do you integrate with salesforce?", "Salesforce, HubSpot and Zapier"),
        ("is it gdpr compliant?", "SOC 2"),
        ("is there a free trial?", "14 days"),
        ("what does the product do?", "sign-ups into customers"),
        ("are you a bot?", "automated assistant"),
        ("how are you?", ""),
        ("who won the world cup?", ""),
        ("hello", ""),
        ("thanks", ""),
        ("goodbye", ""),
        ("I want a demo", ""),
        ("say that again please", ""),
    ],
)
async def test_digressions_are_answered_and_the_question_comes_again(chat: Chat, text: str, part: str) -> None:
    """In the same turn, and nothing of them ends up in the slot that was asked for."""
    await reach(chat, "job_title")
    await chat.say(text)
    assert len(chat.said) == 2
    assert part in chat.said[0]
    assert chat.state.requested_slot == "job_title"
    assert "job_title" not in chat.state.slots


async def test_a_human_is_called_in_the_middle_of_the_form(chat: Chat) -> None:
    """It is a wish, not a job title, and the form goes on while we wait."""
    await reach(chat, "job_title")
    await chat.say("talk to a human")
    assert chat.wants == [("handoff", "asked")]
    assert "job_title" not in chat.state.slots
    assert chat.state.loop == "qualification_form"


async def test_one_sentence_fills_several_slots(chat: Chat) -> None:
    """What has been said is not asked again."""
    await chat.say("I want a demo", "I'm Dana, head of sales at Acme, about 200 people")
    assert {"full_name", "job_title", "company", "company_size"} <= set(chat.state.slots)
    assert chat.state.requested_slot == "email"
    await chat.say("dana@acme.example")
    assert chat.state.requested_slot == "industry"


async def test_what_the_crm_knows_is_not_asked(engine: EmbeddedEngine) -> None:
    """Known values are normalised too; a known demo seeker is announced at once."""
    chat = Chat(engine, known={"full_name": "Dana Fox", "email": "dana@acme.example", "company_size": "200"})
    await chat.say("book a demo")
    assert chat.wants == [("handoff", "demo")]
    assert chat.state.requested_slot == "company"
    assert chat.state.slots["company_size"] == "51-200"
    await chat.say("Acme")
    assert chat.state.requested_slot == "job_title"


async def test_a_correction_finds_its_slot(chat: Chat) -> None:
    """A number of people is the company's size, whatever is being asked."""
    await reach(chat, "industry")
    await chat.say("Actually it's 300 people")
    assert chat.state.slots["company_size"] == "201-500"
    assert chat.state.requested_slot == "industry"
    assert "300" in chat.said[0]


async def test_a_correction_that_names_nothing_is_of_the_last_answer(chat: Chat) -> None:
    """So is a bare value after "I meant"."""
    await reach(chat, "job_title")
    await chat.say("sorry, I meant 300")
    assert chat.state.slots["company_size"] == "201-500"
    assert chat.state.requested_slot == "job_title"


async def test_a_correction_after_the_form(chat: Chat) -> None:
    """The answers stay open to change."""
    await reach(chat, "nothing")
    reply = await chat.say("actually the budget is $30k")
    assert chat.state.slots["budget"] == {"amount": 30000, "currency": "USD"}
    assert [(a.slot, a.raw) for a in reply.answered] == [("budget", "$30k")]


async def test_optional_answers_may_be_declined(chat: Chat) -> None:
    """In whatever words; the slot says so and the form moves on."""
    await reach(chat, "job_title")
    await chat.say("I'd rather not say")
    assert chat.state.slots["job_title"] == "declined"
    await chat.say("skip")
    assert chat.state.slots["industry"] == "declined"
    assert chat.state.requested_slot == "use_case"


async def test_mandatory_answers_are_asked_for_kindly(chat: Chat) -> None:
    """The reason is given and the question comes again."""
    await reach(chat, "email")
    await chat.say("I'd rather not say")
    assert "invitation" in chat.said[0]
    assert chat.state.requested_slot == "email"
    assert "email" not in chat.state.slots


async def test_a_product_may_require_an_optional_answer(engine: EmbeddedEngine) -> None:
    """Then it cannot be declined."""
    chat = Chat(engine, product={**PRODUCT, "required": ["budget"]})
    await reach(chat, "budget")
    await chat.say("skip")
    assert "budget" not in chat.state.slots
    assert chat.state.requested_slot == "budget"
    await chat.say("5000 euros")
    assert chat.state.slots["budget"] == {"amount": 5000, "currency": "EUR"}


async def test_the_third_wrong_answer_brings_an_offer(chat: Chat) -> None:
    """Yes makes the handoff; the count begins anew."""
    await reach(chat, "email")
    await chat.say("dana at acme")
    assert "name@company.com" in chat.said[0]
    await chat.say("it is dana acme example")
    await chat.say("dana acme")
    assert "colleague" in chat.said[0]
    assert chat.state.slots["offer"] == "human"
    await chat.say("yes")
    assert chat.wants == [("handoff", "accepted_offer")]
    assert "failures" not in chat.state.slots
    await chat.say("dana@acme.example")
    assert chat.state.slots["email"] == "dana@acme.example"


async def test_the_offer_of_a_human_may_be_declined(chat: Chat) -> None:
    """Then the question simply comes again."""
    await reach(chat, "email")
    await chat.say("dana at acme", "it is dana acme example", "dana acme", "no")
    assert chat.wants == []
    assert "offer" not in chat.state.slots
    assert chat.state.requested_slot == "email"


async def test_an_offer_is_forgotten_when_the_talk_moves_on(chat: Chat) -> None:
    """A yes two messages later means something else."""
    await chat.say("what does it cost?")
    assert chat.state.slots["offer"] == "demo"
    await chat.say("how are you?", "yes")
    assert chat.state.loop is None


async def test_yes_to_the_demo_starts_the_form(chat: Chat) -> None:
    """Yes and no mean what was asked."""
    await chat.say("what does it cost?", "yes please")
    assert chat.state.requested_slot == "full_name"


@pytest.mark.parametrize(("answer", "loop"), [("yes", None), ("stop", None), ("no", "qualification_form")])
async def test_stopping_asks_once(chat: Chat, answer: str, loop: str | None) -> None:
    """Then yes, or stop again, stops; no goes on with the same question. What was said is kept."""
    await reach(chat, "company_size")
    await chat.say("stop asking me questions")
    assert chat.said[0].startswith("Shall we stop")
    assert len(chat.said) == 1
    await chat.say(answer)
    assert chat.state.loop == loop
    assert chat.state.slots["company"] == "Acme 7"
    assert chat.state.requested_slot == ("company_size" if loop else None)


async def test_an_answer_instead_of_yes_or_no_goes_on(chat: Chat) -> None:
    """Whoever answers the old question does not want to stop, and the answer counts."""
    await reach(chat, "company_size")
    await chat.say("stop", "about 200 people")
    assert chat.state.slots["company_size"] == "51-200"
    assert chat.state.requested_slot == "job_title"


async def test_restart_forgets_what_was_said_here(engine: EmbeddedEngine) -> None:
    """At once, but not what the CRM knows."""
    chat = Chat(engine, known={"company": "Acme"})
    await chat.say("book a demo", "Dana Fox", "restart")
    assert chat.wants == [("restart", "")]
    assert "full_name" not in chat.state.slots
    assert chat.state.slots["company"] == "Acme"
    assert chat.state.loop is None


async def test_opting_out_ends_the_form(chat: Chat) -> None:
    """No question follows."""
    await reach(chat, "email")
    await chat.say("stop messaging me, remove me from your list")
    assert chat.wants == [("opt_out", "")]
    assert len(chat.said) == 1
    assert chat.state.loop is None


async def test_repeat_says_the_same_with_its_buttons(chat: Chat) -> None:
    """Outside the form the last messages come again."""
    first = await chat.say("hi")
    again = await chat.say("say that again")
    assert again.messages == first.messages


async def test_another_language_is_answered_politely(chat: Chat) -> None:
    """With the offer of a human, which yes accepts."""
    await chat.say("Wie viel kostet das für unsere Firma?")
    assert "English" in chat.said[0]
    await chat.say("yes")
    assert chat.wants == [("handoff", "accepted_offer")]


async def test_the_third_miss_in_a_row_offers_a_human(chat: Chat) -> None:
    """Not the third one of a long conversation."""
    odd = ("zxqv wvut", "pfffrt grmbl", "krzt plomf")
    for text in odd[:2]:
        await chat.say(text)
    assert chat.state.slots.get("misses") == 2
    await chat.say("hello")
    assert "misses" not in chat.state.slots
    for text in odd:
        await chat.say(text)
    assert chat.state.slots["offer"] == "human"


async def test_a_missing_fact_is_admitted(engine: EmbeddedEngine) -> None:
    """With the offer of somebody who knows."""
    chat = Chat(engine, product={"name": "Trailhead", "facts": {}})
    await chat.say("how much is it?")
    assert "Pricing" in chat.said[0]
    assert chat.state.slots["offer"] == "human"


async def test_coming_back_after_the_session_expired(chat: Chat) -> None:
    """By name, with what was said remembered and the offer to go on."""
    await chat.say("book a demo", "Dana Fox")
    chat.now += timedelta(days=3)
    await chat.say("hi")
    assert "Dana" in chat.said[0]
    assert chat.said[1].startswith("We weren't quite finished")
    assert len(chat.said) == 2
    await chat.say("yes")
    assert chat.state.requested_slot == "email"


async def test_coming_back_with_the_answer(chat: Chat) -> None:
    """No yes is needed: the answer is taken and the next question asked."""
    await chat.say("book a demo", "Dana Fox")
    chat.now += timedelta(days=3)
    await chat.say("dana@acme.example")
    assert chat.state.slots["email"] == "dana@acme.example"
    assert chat.state.requested_slot == "company"


async def test_naming_another_product_switches(engine: EmbeddedEngine) -> None:
    """The caller is asked to; the old product's facts are not told."""
    chat = Chat(engine, products={"trailhead": "Trailhead", "campfire": "Campfire"})
    reply = await chat.say("what does Campfire cost?")
    assert [(want.kind, dict(want.detail)) for want in reply.wants] == [("switch_product", {"product_id": "campfire"})]
    assert not any("$49" in text for text in chat.said)


async def test_a_button_of_the_form_answers_it(chat: Chat) -> None:
    """Its payload is allowed because it was just offered, and so are the words on it."""
    await reach(chat, "company_size")
    offered = {button.title: button.payload for button in chat.state.offered}
    await chat.say(offered["201-500"])
    assert chat.state.slots["company_size"] == "201-500"


async def test_a_price_question_may_bring_its_own_facts(chat: Chat) -> None:
    """The size beside it is kept, though the form leaves the message alone."""
    await reach(chat, "email")
    await chat.say("how much would it be for a company of 300 people?")
    assert chat.state.slots["company_size"] == "201-500"
    assert chat.state.requested_slot == "email"


async def test_a_second_demo_request_is_not_a_second_form(chat: Chat) -> None:
    """Those who have told everything are told so."""
    await reach(chat, "nothing")
    await chat.say("can I book a demo?")
    assert chat.state.loop is None
    assert chat.wants == []


async def test_hostile_messages_leave_a_working_conversation(engine: EmbeddedEngine) -> None:
    """Template braces, markup, control characters and endless texts are only text."""
    chat = Chat(engine)
    await reach(chat, "company")
    await chat.say("{product_name} {0[x]} </b><script>")
    for text in ("", " ", "{}", "{{{{", "\x00", "/" * 50, "😀" * 400, "a " * 5000):
        reply = await chat.engine.handle(Turn("visitor-1", text, now=chat.now, product=PRODUCT), chat.state)
        assert reply.messages
    await chat.say("Acme")
    assert chat.state.loop == "qualification_form"
