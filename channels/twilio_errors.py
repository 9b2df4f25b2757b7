"""What Twilio's errors mean for a message. Pure."""

from typing import Literal, NamedTuple

from channels.sending import Later, Refused, Uncertain


class Meaning(NamedTuple):
    """Attributes: then: what follows from it; `alert` is a setting or an account that somebody has to mend."""

    words: str
    then: Literal["later", "refused", "bounced", "opted_out", "alert"] = "refused"


TEMPLATE = "the person's last message is more than 24 h old: WhatsApp takes only an approved template (content_sid)"

ERRORS: dict[int, Meaning] = {
    20003: Meaning(
        "Twilio does not know this account and token: see LEADLINE_TWILIO_ACCOUNT_SID, _AUTH_TOKEN", "alert"
    ),
    20404: Meaning("Twilio has no such account: see LEADLINE_TWILIO_ACCOUNT_SID", "alert"),
    20429: Meaning("Twilio asks to send less at once", "later"),
    21211: Meaning("the number is not one that Twilio can write to", "bounced"),
    21408: Meaning("the account may not send to this country", "alert"),
    21609: Meaning("Twilio cannot reach the address for status callbacks: see LEADLINE_PUBLIC_URL", "alert"),
    21610: Meaning("the person has told Twilio that they want no more messages", "opted_out"),
    21617: Meaning("the text is longer than 1,600 characters"),
    21656: Meaning("the values for the template's variables are not as the template wants them", "alert"),
    63001: Meaning("the WhatsApp account could not be authenticated", "alert"),
    63003: Meaning("there is nobody on WhatsApp with this number", "bounced"),
    63005: Meaning("WhatsApp did not take the content"),
    63007: Meaning("the sender is not set up for WhatsApp: see LEADLINE_TWILIO_WHATSAPP_FROM", "alert"),
    63013: Meaning("WhatsApp's policy forbids this message", "alert"),
    63014: Meaning("the person has blocked the sender, or wants no more messages", "opted_out"),
    63015: Meaning("the number has not joined the Twilio sandbox"),
    63016: Meaning(TEMPLATE),
    63018: Meaning("WhatsApp asks to send less at once", "later"),
    63019: Meaning("the media could not be fetched"),
    63020: Meaning("the WhatsApp business account is not in order", "alert"),
    63021: Meaning("the content is not valid for WhatsApp", "alert"),
    63024: Meaning("there is nobody on WhatsApp with this number", "bounced"),
    63027: Meaning("the approved template does not exist in this language", "alert"),
    63028: Meaning("the approved template wants another number of values", "alert"),
    63032: Meaning("WhatsApp does not allow this message to this person"),
    63049: Meaning("WhatsApp chose not to deliver this marketing message"),
}
"""The errors worth knowing, by Twilio's code."""

BUSY = frozenset({408, 429})
"""HTTP statuses that ask to come again: the request was not worked on."""


def told(code: int | None, words: str = "") -> str:
    """Return an error in words, with Twilio's code where it has one."""
    known = ERRORS.get(code or 0)
    what = ": ".join(part for part in (known.words if known else "", words) if part)
    return f"Twilio error {code}: {what or 'no words'}"[:500] if code else words[:500]


def refused(code: int | None, words: str = "") -> Refused:
    """Return what a definite no means."""
    known = ERRORS.get(code or 0)
    then = known.then if known else "refused"
    return Refused(told(code, words), bounced=then == "bounced", opted_out=then == "opted_out")


def answered(status: int, code: int | None, words: str, after: float | None) -> Later | Refused | Uncertain:
    """Return what an answer that is no success means.

    Args: status: of HTTP. code: Twilio's. after: seconds that the answer asks to wait.
    Returns: a 4xx is definite, and nothing was sent; behind a 5xx, or anything else, the message may be on its way.
    """
    known = ERRORS.get(code or 0)
    if status in BUSY or (400 <= status < 500 and known is not None and known.then == "later"):
        return Later(told(code, words), after)
    if 400 <= status < 500:
        return refused(code, words)
    return Uncertain(f"Twilio answered {status}: {words}"[:500])
