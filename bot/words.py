"""From a message as people type it to tokens and plain words: emoji, slang, contractions, stretched letters, typos."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

_TOKEN = re.compile(
    r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"  # e-mail
    r"|https?://\S+|www\.\S+"
    r"|[$€£]?\d+(?:[.,]\d+)*(?:[km](?![a-z])|%)?"  # numbers, with thousands and k or m
    r"|[^\W\d_]+(?:['’.&-][^\W\d_]+)*\.?(?=\W|\d|$)|[^\W_]+"
    r"|[☀-➿️\U0001F300-\U0001FAFF]|[^\w\s]",
    re.IGNORECASE,
)
_STRETCHED = re.compile(r"([^\W\d_])\1{2,}")
_EMOJI = {
    **dict.fromkeys("👋", "emojiwave"),
    **dict.fromkeys("👍👌✅🙌💯✔", "emojiyes"),
    **dict.fromkeys("👎❌🚫", "emojino"),
    **dict.fromkeys("🙏❤💙😍", "emojithanks"),
    **dict.fromkeys("😀😃😄😁🙂😊😉😂🤣😅", "emojismile"),
    **dict.fromkeys("😡🤬😠🙄😤", "emojiangry"),
    **dict.fromkeys("🤖", "robot"),
}
_PLAIN = {
    line.split("=")[0]: line.split("=")[1]
    for line in """
u=you|ur=your|r=are|y=why|n=and|pls=please|plz=please|plss=please|plese=please|thx=thanks|thnx=thanks|tnx=thanks
ty=thank you|tysm=thank you|thankyou=thank you|thanx=thanks|thks=thanks|k=ok|kk=ok|okay=ok|okey=ok|oki=ok|okie=ok
yea=yes|yeah=yes|yep=yes|yup=yes|ya=yes|yeh=yes|yess=yes|ye=yes|nope=no|nah=no|naw=no|noo=no|info=information
ppl=people|emp=employees|emps=employees|mo=months|mos=months|mth=month|mths=months|yr=year|yrs=years|wk=week|wks=weeks
msg=message|msgs=messages|idk=i do not know|nvm=never mind|nevermind=never mind|btw=|rn=right now|abt=about|bc=because
hw=how|wat=what|wot=what|wut=what|wen=when|cya=see you|ttyl=talk to you later|gtg=got to go|thru=through|gr8=great
tmrw=tomorrow|tmr=tomorrow|tomorow=tomorrow|asap=asap|unsub=unsubscribe|wanna=want to|gonna=going to|gimme=give me
lemme=let me|gotta=got to|kinda=kind of|dunno=do not know|whats=what is|wheres=where is|hows=how is|whos=who is
im=i am|ive=i have|id=i would|ill=i will|dont=do not|doesnt=does not|didnt=did not|cant=can not|cannot=can not
wont=will not|isnt=is not|arent=are not|wasnt=was not|wouldnt=would not|shouldnt=should not|havent=have not
couldnt=could not|thats=that is|theres=there is|youre=you are|theyre=they are|lets=let us|hes=he is|shes=she is
sth=something|smth=something|bout=about|tho=though|cuz=because|coz=because|w=with|ai=ai|convo=conversation
prob=probably|probs=probably|def=definitely|sec=security|docs=documentation|doc=documentation|integrate=integrate
cos=because|aint=is not|wassup=what is up|sup=what is up|wsup=what is up|howdy=howdy|gud=good|mins=minutes|min=minutes
""".replace("\n", "|").split("|")
    if "=" in line
}
_ENDINGS = {"'s": "is", "'re": "are", "'m": "am", "'ve": "have", "'ll": "will", "'d": "would"}
_SUFFIXES = ("ations", "ation", "ings", "ing", "ies", "ied", "ers", "ed", "er", "es", "ly", "s", "e")


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the text as written, with its place; `lower` is it in lower case with straight quotes."""

    text: str
    lower: str
    start: int
    end: int


def tokens(text: str) -> list[Token]:
    """Return the tokens of `text`: words, numbers, addresses, emoji, punctuation."""
    found = []
    for match in _TOKEN.finditer(text):
        word = match[0]
        if word.endswith(".") and len(word) > 1 and not ("." in word[:-1] or len(word) <= 3):
            word = word[:-1]
        found.append(Token(word, word.lower().replace("’", "'"), match.start(), match.start() + len(word)))
    return found


def plain(lower: str) -> Sequence[str]:
    """Return a token in lower case as plain words, none for what means nothing."""
    if not lower.isascii():
        if lower in _EMOJI:
            return (_EMOJI[lower],)
        lower = "".join(c for c in unicodedata.normalize("NFKD", lower) if not unicodedata.combining(c))
    if len(lower) > 2:
        lower = _STRETCHED.sub(r"\1", lower)
    slang = _PLAIN.get(lower)
    if slang is not None:
        return slang.split()
    if "'" in lower:
        return _contraction(lower)
    if lower[0].isdigit() or lower[0] in "$€£":
        return ("#number",)
    if "@" in lower:
        return ("#email",)
    if lower == "?":
        return ("?",)
    return (lower,) if lower[0].isalpha() else ()


def _contraction(lower: str) -> Sequence[str]:
    if lower.endswith("n't"):
        stem = {"ca": "can", "wo": "will", "sha": "shall"}.get(lower[:-3], lower[:-3])
        return (stem, "not")
    for ending, word in _ENDINGS.items():
        if lower.endswith(ending):
            return (lower[: -len(ending)], word)
    return (lower.replace("'", ""),)


def stem(word: str) -> str:
    """Return the word without its ending, roughly."""
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= 3:
            return word[: -len(suffix)]
    return word


@dataclass(slots=True)
class Speller:
    """Finds the known word that an unknown one is one slip away from (two, if it is long).

    Known words are found by what is left when letters are dropped, so a look-up costs a few dictionary reads.
    """

    counts: dict[str, int] = field(default_factory=dict)
    reduced: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, words: Iterable[str], listed: Iterable[str] = ()) -> "Speller":
        """Return a speller of `listed` words and of `words` that stand there more than once, as a slip would not."""
        counts = Counter(words)
        counts.update(dict.fromkeys(listed, 2))
        speller = cls({w: count for w, count in counts.items() if count > 1 and w.isascii() and w.isalpha()})
        for word in speller.counts:
            if len(word) >= 4:
                for part in {word, *_without_one(word)}:
                    speller.reduced.setdefault(part, []).append(word)
        return speller

    def correct(self, word: str) -> str:
        """Return `word` if it is known, short or beyond help, else the likeliest known word."""
        if word in self.counts or len(word) < 4 or not word.isalpha():
            return word
        near: set[str] = set(self.reduced.get(word, ()))
        for part in _without_one(word):
            near.update(self.reduced.get(part, ()))
        near = {known for known in near if _close(word, known)}
        if not near and len(word) >= 8:
            for part in _without_one(word):
                for shorter in _without_one(part):
                    near.update(self.reduced.get(shorter, ()))
        return max(near, key=lambda known: (known[0] == word[0], self.counts[known], known), default=word)


def _without_one(word: str) -> set[str]:
    return {word[:i] + word[i + 1 :] for i in range(len(word))}


def _close(left: str, right: str) -> bool:
    """Whether one letter dropped, added, changed, or two neighbours swapped, makes one word of the other."""
    if abs(len(left) - len(right)) > 1:
        return False
    if len(left) == len(right):
        differing = [i for i in range(len(left)) if left[i] != right[i]]
        if len(differing) <= 1:
            return True
        first, second = differing[0], differing[-1]
        return (
            len(differing) == 2
            and second == first + 1
            and left[first] == right[second]
            and left[second] == right[first]
        )
    short, long = sorted((left, right), key=len)
    return short in _without_one(long)
