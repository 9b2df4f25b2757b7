"""What Twilio's form of an inbound message says."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from channels.heard import LONGEST, Unreadable, Word, contact_of, read, sid_of
from tests.channels.twilio import inbound
from tracker.identity import Key


def said(text: str = "", **more: str) -> Any:
    return read(inbound(text, **more))


def test_who_wrote_is_known_by_whatsapp_and_by_phone():
    """WhatsApp's id first; the number is a key as well, so that a lead of the CRM is the same person."""
    heard = said("Hi")
    assert (heard.sid, heard.contact, heard.text, heard.pressed) == ("SM" + "1" * 32, "4915112345678", "Hi", False)
    assert heard.keys == [Key("whatsapp", "4915112345678"), Key("phone", "+4915112345678")]


def test_a_person_without_a_number_is_still_somebody():
    """WhatsApp may tell no number, only an id of the user."""
    heard = said("Hi", WaId="", From="whatsapp:US.13491208655302741918", ExternalUserId="US.13491208655302741918")
    assert heard.contact == "US.13491208655302741918"
    assert heard.keys == [Key("whatsapp", "US.13491208655302741918")]
    both = said("Hi", ExternalUserId="US.1")
    assert [key.kind for key in both.keys] == ["whatsapp", "whatsapp_user", "phone"]


@pytest.mark.parametrize("number", ["1", "99999999999999999"])
def test_a_number_that_is_none_is_no_phone(number: str):
    """The contact is still the contact."""
    assert read(inbound("Hi", WaId=number)).keys == [Key("whatsapp", number)]


@pytest.mark.parametrize("gone", [{"MessageSid": ""}, {"MessageSid": "../x"}, {"MessageSid": "S" * 65}])
def test_a_form_without_an_id_is_no_message(gone: dict[str, str]):
    """Nothing could tell a repeat from the first."""
    with pytest.raises(Unreadable):
        sid_of({**inbound(), **gone})


def test_a_form_from_nobody_is_no_message():
    with pytest.raises(Unreadable):
        contact_of({**inbound(), "WaId": "", "From": "whatsapp:"})


@pytest.mark.parametrize(
    ("text", "word"),
    [
        *[(text, Word.STOP) for text in ("STOP", "stop", "Stop.", " *STOP* ", "“stop!”", "STOPALL", "Stop all", "End")],
        *[(text, Word.STOP) for text in ("Unsubscribe", "cancel", "QUIT!!!", "stop 🛑", "opt-out", "OPTOUT")],
        *[(text, Word.START) for text in ("START", "unstop", "yes", "Yes!")],
        *[(text, Word.HELP) for text in ("HELP", "help?", "Info")],
        *[(text, None) for text in ("", "?", "please stop", "stop it", "the end", "cancel my order", "I need help")],
        *[(text, None) for text in ("non-stop", "restart", "yes please", "st op", "stopp")],
    ],
)
def test_a_single_word_is_an_order(text: str, word: Word | None):
    """In any case, with any punctuation; inside a sentence the same word is just said."""
    assert said(text).word is word


def test_a_button_says_its_payload():
    """What a button of ours means, not what stands on it; a payload that is no command is its words."""
    pressed = said("Yes, a demo", ButtonText="Yes, a demo", ButtonPayload="/request_demo")
    assert (pressed.text, pressed.pressed) == ("/request_demo", True)
    other = said("", ButtonText="Yes, a demo", ButtonPayload="demo_yes")
    assert (other.text, other.pressed) == ("Yes, a demo", False)
    typed = said("/request_demo")
    assert (typed.text, typed.pressed) == ("/request_demo", False)


def test_pictures_and_places_are_read():
    """Each picture with its address and kind; a place with its coordinates."""
    heard = said(NumMedia="2", MediaUrl0="https://x/0", MediaContentType0="image/jpeg", MediaUrl1="https://x/1")
    assert [(m.url, m.type) for m in heard.media] == [("https://x/0", "image/jpeg"), ("https://x/1", "")]
    assert (heard.kind, heard.text) == ("image", "")
    assert said(Latitude="52.5", Longitude="13.4").kind == "location"
    assert said(NumMedia="1", MediaUrl0="u", MediaContentType0="application/pdf").kind == "document"
    assert said(NumMedia="1", MediaUrl0="u").kind == "file"
    assert said().kind == "message"


@pytest.mark.parametrize("count", ["-1", "x", "", "9" * 5000, "²", "1.5", "999"])
def test_a_number_of_pictures_that_is_none(count: str):
    """Nothing that comes in breaks the reading."""
    assert said("Hi", NumMedia=count).text == "Hi"


def test_an_endless_text_is_cut():
    """WhatsApp takes 4,096 characters; more is not read."""
    assert len(said("x" * 100_000).text) == LONGEST


texts = st.text(max_size=30)


@given(st.dictionaries(st.one_of(st.sampled_from(sorted(inbound())), texts), st.one_of(texts, st.lists(texts))))
def test_whatever_comes_is_read_or_refused(form: dict[str, Any]):
    """Any form at all is a message or is none; it never breaks."""
    try:
        heard = read(form)
    except Unreadable:
        return
    assert heard.keys[0].kind == "whatsapp"
    assert heard.word in {None, *Word}
