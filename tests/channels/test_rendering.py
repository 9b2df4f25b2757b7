"""Rendering: templates may say what a lead is, and can neither reach into the program nor send half a message."""

import html as html_module
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.rendering import Content, Unrenderable, as_html, as_text, html_of, render, sample_context


def rendered_html(source: str, **person: Any) -> str:
    values = sample_context({})
    values["person"] = {**values["person"], **person}
    return render(Content(subject="s", html=source), values).html or ""


def test_a_template_names_the_lead_the_person_the_product_and_variables():
    """All that the API promises to templates is there, in every part."""
    source = "{{ lead.stage }} {{ person.first_name }} {{ product.name }} {{ variables.code }} {{ unsubscribe_url }}"
    told = render(Content(subject=source, text=source, html=source), sample_context({"code": "X1"}))
    assert told.subject == told.text == told.html
    assert told.text == "User Dana Sample X1 https://leadline.example/u/sample"


@pytest.mark.parametrize(
    "source",
    [
        "{{ lead.__class__ }}",
        "{{ lead['__class__'] }}",
        "{{ lead|attr('__class__') }}",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ ''.join.__globals__ }}",
        "{{ self.__init__ }}",
        "{{ cycler.__init__.__globals__ }}",
        "{{ joiner.__init__.__globals__.os.popen('id').read() }}",
        "{{ '{0.__class__}'.format(lead) }}",
        "{{ '{x.__class__}'.format_map({'x': lead}) }}",
        "{{ (lead|map(attribute='__class__')|list)[0].mro() }}",
    ],
)
def test_no_template_reaches_behind_the_values(source: str):
    """A template is given values, not the program: attributes that lead out of the sandbox are refused."""
    with pytest.raises(Unrenderable) as refusal:
        rendered_html(source)
    assert refusal.value.fault.path == "html"


@pytest.mark.parametrize(
    "source", ["{{ lead.update({'stage': 'x'}) }}", "{{ lead.clear() }}", "{{ lead.demographics.pop('name') }}"]
)
def test_no_template_changes_what_it_is_given(source: str):
    """Values are shared with other messages: a template reads them only."""
    values = sample_context({})
    with pytest.raises(Unrenderable):
        render(Content(subject="s", html=source), values)
    assert values == sample_context({})


@pytest.mark.parametrize("source", ["{% include 'a' %}", "{% extends 'a' %}", "{% import 'os' as os %}"])
def test_no_template_loads_another(source: str):
    """There is nothing to load templates or modules from."""
    with pytest.raises(Unrenderable):
        rendered_html(source)


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("{{ nobody }}", "nobody"),
        ("{{ person.shoe_size }}", "shoe_size"),
        ("{{ variables.code }}", "code"),
        ("{{ lead.contact_info.fax }}", "fax"),
        ("{% if unknown %}x{% endif %}", "unknown"),
    ],
)
@pytest.mark.parametrize("part", ["subject", "text", "html"])
def test_a_missing_variable_is_named(source: str, name: str, part: str):
    """A mail with a hole in it is never sent: the part and the variable that is missing are told."""
    words: dict[str, Any] = {"subject": "s", "text": "t", "html": "h", part: source}
    with pytest.raises(Unrenderable, match=name) as refusal:
        render(Content(**words), sample_context({}))
    assert refusal.value.fault.path == part


@pytest.mark.parametrize("source", ["{{ person.name", "{% if %}", "{% for x in %}", "{{ 1/0 }}", "{{ 'x' + 1 }}"])
def test_a_broken_template_is_told(source: str):
    """A mistake in a template is the author's to mend, not a failure of the server."""
    with pytest.raises(Unrenderable) as refusal:
        rendered_html(source)
    assert refusal.value.fault.message


@pytest.mark.parametrize("source", ["{{ 5|dictsort }}", "{{ 5|xmlattr }}"])
def test_a_filter_on_the_wrong_thing_is_told(source: str):
    """A filter that stumbles over its input is the template's mistake like any other."""
    with pytest.raises(Unrenderable):
        rendered_html(source)


@pytest.mark.parametrize(
    "source",
    ["{{ 'a' * 300000000 }}", "{{ 9 ** 9 ** 9 }}", "{% for a in range(99999) %}{% endfor %}", "{{ [1] * 10 ** 9 }}"],
)
def test_endless_work_is_refused(source: str):
    """A template cannot keep the server busy: what would take long is refused before it begins."""
    with pytest.raises(Unrenderable):
        rendered_html(source)


def test_names_with_markup_are_only_names():
    """Whatever a person calls themselves, it is text in a mail."""
    name = "<script>alert('x')</script> & \"Co\""
    html = rendered_html('<p title="{{ person.name }}">{{ person.name }}</p>', name=name)
    assert "<script" not in html
    assert html_module.unescape(html) == f'<p title="{name}">{name}</p>'


class Skeleton(HTMLParser):
    """The tags and attributes of some HTML."""

    def __init__(self, html: str):
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))


@given(st.text(max_size=80) | st.text("<>\"'&/ =onclicktp", max_size=40))
def test_no_value_adds_a_tag(value: str):
    """Whatever the values are, the HTML has the tags and attributes of its template and no others."""
    html = rendered_html('<p title="{{ person.name }}">{{ person.name }}</p>', name=value)
    assert Skeleton(html).tags == [("p", ("title",))]


def test_text_parts_are_not_escaped():
    """A text mail shows `Fish & Chips`, not `Fish &amp; Chips`."""
    told = render(
        Content(subject="{{ variables.x }}", text="{{ variables.x }}"), sample_context({"x": "Fish & <Chips>"})
    )
    assert (told.subject, told.text, told.html) == ("Fish & <Chips>", "Fish & <Chips>", None)


@given(st.text("ab\r\n\t\v\f\x1c\x85\u2028 ", max_size=30))
def test_a_subject_is_one_line(value: str):
    """No value can break a header."""
    told = render(Content(subject="Re: {{ variables.x }}", text="t"), sample_context({"x": value}))
    assert len(told.subject.splitlines()) == 1


def test_text_is_made_from_html():
    """A mail without a text part gets the words of its HTML, a line a block, without markup or style."""
    html = (
        "<html><head><style>p { color: red }</style></head><body><h1>Hello   {{ person.first_name }}</h1>"
        "<p>One<br>two &amp; three</p><ul><li>a</li><li>b</li></ul><script>alert(1)</script></body></html>"
    )
    told = render(Content(subject="s", html=html), sample_context({}))
    assert told.text == "Hello Dana\nOne\ntwo & three\na\nb"


def test_html_is_made_from_text():
    """A message given as text is shown as paragraphs, and as nothing but text."""
    assert as_html("a <b>\nc\n\nd") == "<p>a &lt;b&gt;<br>c</p><p>d</p>"
    assert as_text(as_html("a <b>\nc\n\nd")) == "a <b>\nc\nd"


@pytest.mark.parametrize("part", ["subject", "text", "html"])
def test_a_huge_message_is_refused(part: str):
    """A template that grows beyond 200,000 characters is refused, in whichever part."""
    words: dict[str, Any] = {"subject": "s", "text": "t", "html": "h"}
    fine = render(Content(**{**words, part: "{{ 'x' * 200000 }}"}), sample_context({}))
    assert len(getattr(fine, part)) == 200_000
    with pytest.raises(Unrenderable, match="200000") as refusal:
        render(Content(**{**words, part: "{{ 'x' * 200001 }}"}), sample_context({}))
    assert refusal.value.fault.path == part


@pytest.mark.parametrize("source", ["{{ range(10 ** 9)|list }}", "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}"])
def test_a_template_without_end_is_refused(source: str):
    """A huge range or an endless recursion ends in a refusal."""
    with pytest.raises(Unrenderable):
        rendered_html(source)


def test_a_templates_variables_are_defaults():
    """What the caller gives goes before what the template brings along."""
    content = Content(subject="{{ variables.a }} {{ variables.b }}", text="t", variables={"a": "1", "b": "2"})
    assert render(content, sample_context({"b": "3"})).subject == "1 3"


def test_a_product_has_every_fact_in_a_trial():
    """Which facts a product has is known only when a message is made: a trial rendering takes any."""
    assert rendered_html("{{ product.pricing }}") == "(pricing)"


MJML = """<mjml><mj-body><mj-section><mj-column>
<mj-text>Hello {{ person.name }}</mj-text><mj-button href="https://example.com/{{ lead.id }}">Go</mj-button>
</mj-column></mj-section></mj-body></mjml>"""


def test_mjml_becomes_html_that_is_a_template():
    """A mail written in MJML is HTML with the same placeholders, and values in it are escaped."""
    html = html_of(MJML)
    assert "<mj-" not in html
    shown = rendered_html(html, name="A <b> C")
    assert "Hello A &lt;b&gt; C" in shown
    assert "https://example.com/01JD0000000000000000000000" in shown
    assert "Hello A <b> C" in as_text(shown)


@pytest.mark.parametrize("source", ["", "<mjml>", "no markup", "<mjml><mj-body></mjml>"])
def test_broken_mjml_is_told(source: str):
    """MJML that is none is the author's to mend."""
    with pytest.raises(Unrenderable) as refusal:
        html_of(source)
    assert refusal.value.fault.path == "mjml"
