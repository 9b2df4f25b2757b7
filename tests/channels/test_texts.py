"""Texts in parts: nothing is lost, nothing is too long, buttons can be counted."""

from hypothesis import given
from hypothesis import strategies as st

from channels.texts import MOST, composed, split

WORDS = st.text(alphabet="ab .!?\n", max_size=400)


@given(WORDS, st.integers(5, 60))
def test_parts_are_short_and_complete(text: str, most: int) -> None:
    """Only white space at the cuts goes."""
    parts = split(text, most)
    assert all(0 < len(part) <= most for part in parts)
    assert "".join("".join(parts).split()) == "".join(text.split())


def test_a_long_text_is_cut_after_a_sentence() -> None:
    """So that every part can be read alone."""
    sentence = "All of this is one sentence. "
    parts = split(sentence * 100)
    assert len(parts) == 2
    assert all(part.endswith("sentence.") for part in parts)
    assert len(parts[0]) > MOST - len(sentence)


def test_what_fits_is_one_message_with_the_buttons_counted_through() -> None:
    """A number then says which button is meant, whatever text it stood under."""
    said = [("Hello.", ()), ("A demo?", ["Yes", "No"]), ("Or this?", ["Prices"])]
    assert composed(said) == ["Hello.\n\nA demo?\n1. Yes\n2. No\n\nOr this?\n3. Prices"]


@given(
    st.lists(st.tuples(WORDS, st.lists(st.sampled_from(["Yes", "No"]), max_size=3)), max_size=6), st.integers(20, 90)
)
def test_messages_keep_to_the_length(said: list[tuple[str, list[str]]], most: int) -> None:
    """Whatever a turn says."""
    messages = composed(said, most=most)
    assert all(0 < len(message) <= most for message in messages)
    assert sum(message.count("Yes") + message.count("No") for message in messages) == sum(len(t) for _, t in said)
