"""Templates in the store: numbered versions, each product's own before the common ones, none that does not render."""

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError

from channels.templates import NewTemplate, TemplateCatalog
from tracker.errors import Invalid, NotFound
from tracker.events import Channel
from tracker.store.port import Store
from tracker.store.schema import Kind


@pytest.fixture
def templates(store: Store) -> TemplateCatalog:
    return TemplateCatalog(store)


def new(template_id: str = "welcome", **more: Any) -> NewTemplate:
    words = {"template_id": template_id, "channel": "email", "subject": "Hi", "text": "Hello", **more}
    return NewTemplate.model_validate(words)


async def test_each_change_is_a_version(templates: TemplateCatalog, store: Store):
    """A template that is changed gets the next number; the words of the older one stay as they were."""
    assert (await templates.add(new(text="one"))).version == 1
    assert (await templates.add(new(text="two"))).version == 2
    content = await templates.content("welcome", Channel.EMAIL, "flow")
    assert content is not None
    assert content.text == "two"
    old, now = await store.get(Kind.TEMPLATE_CONTENTS, "*:welcome:email:*:1", "*:welcome:email:*:2")
    assert old is not None
    assert now is not None
    assert '"one"' in old.body["content"]


async def test_one_template_speaks_on_several_channels(templates: TemplateCatalog):
    """Contents come one by one; a new one on a channel leaves those of the others."""
    await templates.add(new())
    template = await templates.add(new(channel="whatsapp", subject=None, text="hey"))
    assert template.contents == {"email:*": 1, "whatsapp:*": 2}
    mail = await templates.content("welcome", Channel.EMAIL, "flow")
    phone = await templates.content("welcome", Channel.WHATSAPP, "flow")
    assert mail is not None
    assert phone is not None
    assert (mail.text, phone.text) == ("Hello", "hey")
    assert await templates.content("welcome", Channel.CHATBOT, "flow") is None


async def test_a_products_own_words_go_first(templates: TemplateCatalog):
    """A product says it in its own words where it has some, else in the common ones, channel by channel."""
    await templates.add(new(text="common"))
    await templates.add(new(channel="whatsapp", subject=None, text="common"))
    await templates.add(new(text="own", product_id="flow"))
    for channel, product_id, text in [
        (Channel.EMAIL, "flow", "own"),
        (Channel.EMAIL, "grid", "common"),
        (Channel.WHATSAPP, "flow", "common"),
    ]:
        content = await templates.content("welcome", channel, product_id)
        assert content is not None
        assert content.text == text
    assert (await templates.get("welcome", "flow")).product_id == "flow"
    assert (await templates.get("welcome", "grid")).product_id is None


async def test_another_process_sees_a_new_version(templates: TemplateCatalog, store: Store):
    """Contents are remembered by version, so that a new one is used at once everywhere."""
    other = TemplateCatalog(store)
    await templates.add(new(text="one"))
    first = await other.content("welcome", Channel.EMAIL, "flow")
    await templates.add(new(text="two"))
    second = await other.content("welcome", Channel.EMAIL, "flow")
    assert first is not None
    assert second is not None
    assert (first.text, second.text) == ("one", "two")


@pytest.mark.parametrize(
    ("broken", "path"),
    [
        ({"subject": "{{ nobody }}"}, "subject"),
        ({"text": "{{ person.shoe_size }}"}, "text"),
        ({"html": "{% if %}"}, "html"),
        ({"mjml": "<mjml>"}, "mjml"),
        ({"html": "<p>{{ lead.__class__ }}</p>"}, "html"),
        ({"html": '<a href="javascript:alert(1)">x</a>'}, "html"),
    ],
)
async def test_a_template_that_does_not_render_is_refused(
    templates: TemplateCatalog, store: Store, broken: dict[str, str], path: str
):
    """A sequence can never name a template that does not render: it is refused when saved, with the path."""
    with pytest.raises(Invalid) as refusal:
        await templates.add(new(**broken))
    assert [fault.path for fault in refusal.value.faults] == [path]
    assert await store.get(Kind.TEMPLATES, "*:welcome") == [None]


@pytest.mark.parametrize(
    "wrong",
    [
        {"subject": None},
        {"text": None},
        {"html": "<p>", "mjml": "<mjml>"},
        {"channel": "whatsapp", "text": None},
        {"channel": "pigeon"},
        {"template_id": "../etc"},
        {"locale": "not a locale"},
        {"colour": "red"},
    ],
)
def test_a_template_that_says_nothing_is_refused(wrong: dict[str, Any]):
    """A mail needs a subject and words, a message needs text; unknown fields are noticed."""
    with pytest.raises(ValidationError):
        new(**wrong)


async def test_changes_at_the_same_time_all_count(templates: TemplateCatalog, store: Store):
    """Twenty people who save at once get twenty versions; the newest is used, and none is lost."""
    catalogs = [TemplateCatalog(store) for _ in range(20)]
    added = await asyncio.gather(*(c.add(new(text=f"text {n}")) for n, c in enumerate(catalogs)))
    assert sorted(template.version for template in added) == list(range(1, 21))
    contents = await store.get(Kind.TEMPLATE_CONTENTS, *(f"*:welcome:email:*:{n}" for n in range(1, 21)))
    assert all(contents)
    last = next(n for n, template in enumerate(added) if template.version == 20)
    content = await templates.content("welcome", Channel.EMAIL, "flow")
    assert content is not None
    assert content.text == f"text {last}"


async def test_what_is_missing_is_told(templates: TemplateCatalog):
    """A configuration is checked against what a product can really say, on that channel."""
    await templates.add(new())
    await templates.add(new("secret", product_id="grid"))
    wanted = [("welcome", Channel.EMAIL), ("welcome", Channel.WHATSAPP), ("secret", Channel.EMAIL)]
    assert await templates.missing(wanted, "flow") == {("welcome", Channel.WHATSAPP), ("secret", Channel.EMAIL)}


async def test_an_unknown_template_is_not_found(templates: TemplateCatalog):
    """Asking for what is not there says so."""
    with pytest.raises(NotFound, match="nothing"):
        await templates.get("nothing")


async def test_all_templates_are_listed(templates: TemplateCatalog):
    """Each scope's template is one line of the list, however many versions it has."""
    for given in (new("a"), new("a"), new("a", product_id="flow"), new("b")):
        await templates.add(given)
    listed, page = await templates.all(after=None, limit=10)
    assert [(t.template_id, t.product_id, t.version) for t in listed] == [
        ("a", None, 2),
        ("b", None, 1),
        ("a", "flow", 1),
    ]
    assert page.next is None
