"""Writing a mail: the headers, names in any script, and nothing that a value could smuggle in."""

import email
import email.policy

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from channels.email import SmtpUrl, compose, mailbox, message_id, parse_url, plain
from channels.rendering import Rendered
from channels.sending import Outgoing

FROM = "Leadline <leadline@leads.test>"
HEADERS = {"From", "To", "Subject", "Date", "Message-ID", "MIME-Version", "Content-Type"}


def outgoing(
    *,
    subject: str = "Hello",
    text: str = "Hi",
    html: str | None = "<p>Hi</p>",
    to: str = "dana@example.com",
    sender: str | None = None,
    reply_to: str | None = None,
    unsubscribe_url: str = "",
) -> Outgoing:
    return Outgoing("m1", to, Rendered(subject, text, html), sender, reply_to, unsubscribe_url)


def test_a_mail_says_who_it_is_from_and_how_to_stop_it():
    """Receivers find what they look for: sender, reply address, one-click unsubscribe, an id that is ours."""
    mail = compose(
        outgoing(
            sender="Dana's Shop <hello@shop.test>",
            reply_to="sales@shop.test",
            unsubscribe_url="https://leads.test/u/abc",
        ),
        sender=FROM,
        date=0,
    )
    assert dict(mail.items()) == {
        "From": "Dana's Shop <hello@shop.test>",
        "To": "dana@example.com",
        "Subject": "Hello",
        "Date": "Thu, 01 Jan 1970 00:00:00 -0000",
        "Message-ID": "<m1@shop.test>",
        "Reply-To": "sales@shop.test",
        "List-Unsubscribe": "<https://leads.test/u/abc>",
        "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
        "Precedence": "bulk",
        "MIME-Version": "1.0",
        "Content-Type": mail["Content-Type"],
    }
    assert mail.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in mail.iter_parts()] == ["text/plain", "text/html"]


def test_a_mail_without_extras_has_none():
    """A text mail from the server itself has no list headers and one part."""
    mail = compose(outgoing(html=None), sender=FROM)
    assert set(mail.keys()) == HEADERS | {"Content-Transfer-Encoding"}
    assert mail["From"] == "Leadline <leadline@leads.test>"
    assert mail.get_content_type() == "text/plain"


def test_the_message_id_follows_from_the_message():
    """The same message has the same id however often it is written, so that receivers can tell."""
    assert message_id("m1", "a@leads.test") == "<m1@leads.test>"
    first, second = (compose(outgoing(), sender=FROM)["Message-ID"] for _ in range(2))
    assert first == second


@pytest.mark.parametrize("name", ["Zoë Müller-Łukasz", "王小明", "Дана", "😀 Emoji", 'Ünal, Öz & Co. "Söhne"'])
def test_names_in_any_script_arrive(name: str):
    """Names and subjects in any script are encoded for servers that take ASCII only, and read the same."""
    raw = compose(outgoing(subject=f"Hi {name}", text=name, sender=f"{name} <hello@shop.test>"), sender=FROM).as_bytes()
    assert raw.isascii()
    read = email.message_from_bytes(raw, policy=email.policy.default)
    assert read["Subject"] == f"Hi {name}"
    (address,) = read["From"].addresses
    assert (address.display_name, address.addr_spec) == (name.strip('"'), "hello@shop.test")
    body = read.get_body(("plain",))
    assert body is not None
    assert body.get_content().strip() == name


_lines = st.text("ab\r\n\x00\x0b\x85\u2028: <>@é", max_size=30)


@given(_lines, st.sampled_from(["subject", "name", "to", "reply_to"]))
def test_no_value_adds_a_header(value: str, where: str):
    """Whatever stands in a subject, a name or an address, a mail has its own headers or is not written at all."""
    attack = f"x{value}\r\nBcc: victim@example.com"
    given = {
        "subject": outgoing(subject=attack),
        "name": outgoing(sender=f"{attack} <hello@shop.test>"),
        "to": outgoing(to=f"dana@example.com{attack}"),
        "reply_to": outgoing(reply_to=attack),
    }[where]
    try:
        raw = compose(given, sender=FROM).as_bytes()
    except (ValueError, LookupError, email.errors.MessageError):
        return
    read = email.message_from_bytes(raw, policy=email.policy.default)
    assert set(read.keys()) <= HEADERS | {"Reply-To"}
    assert read["Bcc"] is None


@pytest.mark.parametrize("header", ["subject", "to", "reply_to"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_a_line_break_in_a_header_is_refused(header: str, newline: str):
    """A line break is no part of any header: such a mail is not written."""
    with pytest.raises(ValueError, match=r".*"):
        compose(outgoing(**{header: f"a@b.test{newline}Bcc: c@d.test"}), sender=FROM).as_bytes()


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_words_can_be_written(subject: str, text: str):
    """No subject or text makes the server stumble: it is written for ASCII servers, or refused with a ValueError."""
    assume(not any("\ud800" <= c <= "\udfff" for c in subject + text))
    try:
        raw = compose(outgoing(subject=subject, text=text), sender=FROM).as_bytes()
    except ValueError:
        assert len(subject.splitlines()) > 1 or any(c in "\r\n" for c in subject)
        return
    assert raw.isascii()
    assert max(map(len, raw.split(b"\r\n"))) <= 998


@pytest.mark.parametrize(
    ("sender", "parts"),
    [
        ("hello@shop.test", ("", "hello@shop.test")),
        ("<hello@shop.test>", ("", "hello@shop.test")),
        ("Shop <hello@shop.test>", ("Shop", "hello@shop.test")),
        ('"Shop, Inc." <hello@shop.test>', ("Shop, Inc.", "hello@shop.test")),
        ("Shop, Inc. <hello@shop.test>", ("Shop, Inc.", "hello@shop.test")),
        ("Shop (Berlin) <hello@shop.test>", ("Shop (Berlin)", "hello@shop.test")),
    ],
)
def test_a_sender_is_a_name_and_an_address(sender: str, parts: tuple[str, str]):
    """A name may have a comma or brackets without quotes, as people write it."""
    assert mailbox(sender) == parts


@pytest.mark.parametrize("sender", ["", "Shop", "Shop <hello>", "Shop <hello@shop.test", "hello@"[:-1]])
def test_a_sender_without_an_address_is_refused(sender: str):
    """Mail without a return address is not written."""
    with pytest.raises(ValueError, match="mail"):
        mailbox(sender)


def test_addresses_are_written_in_ascii():
    """A domain in other letters has a form for servers; a mailbox in other letters has none."""
    assert plain("dana@example.com") == "dana@example.com"
    assert plain("dana@straße.example") == "dana@xn--strae-oqa.example"
    with pytest.raises(ValueError, match="letters"):
        plain("dänä@example.com")
    with pytest.raises(ValueError, match="not a mail address"):
        plain("dänä")


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("smtp://mail.test", SmtpUrl("mail.test", 25, False, False, None, None)),
        ("smtp://mail.test:2525", SmtpUrl("mail.test", 2525, False, False, None, None)),
        ("smtps://mail.test", SmtpUrl("mail.test", 465, True, False, None, None)),
        ("smtp://mail.test?starttls=1", SmtpUrl("mail.test", 587, False, True, None, None)),
        ("smtp://a%40b:p%3Aw%2F@mail.test:25", SmtpUrl("mail.test", 25, False, False, "a@b", "p:w/")),
        ("smtp://[::1]:2525", SmtpUrl("::1", 2525, False, False, None, None)),
    ],
)
def test_where_mail_goes(url: str, parts: SmtpUrl):
    """One address says host, port, encryption and login."""
    assert parse_url(url) == parts


@pytest.mark.parametrize(
    "url", ["", "mail.test", "http://mail.test", "smtp://", "smtp://mail.test:port", "smtp://h:99999"]
)
def test_an_address_that_is_none_is_refused(url: str):
    """A wrong setting is noticed at the start, not with the first mail."""
    with pytest.raises(ValueError, match=r".+"):
        parse_url(url)
