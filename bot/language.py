"""Whether a message is in English, judged by its script and its commonest little words."""

import re

from bot.listed import listed

_LITTLE = {
    "de": "ich du wir sie ist nicht und oder der die das ein eine mit fur für auf von zu haben hat kann können wie was "
    "bitte danke guten tag hallo möchte mochte brauche kostet viel preis ja nein auch aber noch sprechen deutsch "
    "gibt es",
    "fr": "je tu nous vous est pas et ou le la les un une des avec pour sur de du combien ça ca coûte coute bonjour "
    "merci "
    "s'il plaît plait voudrais besoin qui que quoi comment oui non avez êtes parler français prix",
    "es": "nosotros usted y o el la los las un una con para por de del cuanto cuánto cuesta hola gracias favor "
    "quiero necesito que qué como cómo si sí tienen hablar español precio buenos buenas días puedo",
    "pt": "eu você voce nós não nao e ou o os as um uma com para por de do da quanto custa olá ola obrigado "
    "obrigada favor "
    "quero preciso que como sim falar português preço bom dia tem vocês",
    "it": "io noi voi è non e o il lo la gli le un una con per di del della quanto costa ciao grazie favore vorrei "
    "bisogno "
    "che come sì parlare italiano prezzo buongiorno avete posso sono",
    "nl": "ik jij wij u is niet en of de het een met voor op van te hebben heeft kan hoe wat graag dank hallo "
    "goedemorgen "
    "kost kosten veel prijs ja nee ook maar nog spreken nederlands wil",
    "pl": "ja ty my jest nie i lub z dla na od do ile kosztuje cześć dzień dobry dziękuję proszę chcę potrzebuję co "
    "jak tak "
    "macie mówić polski cena czy się",
}
_ENGLISH = frozenset(
    listed(
        "i you we they he she it is are am was the a an and or of to in on at for with from by not no yes my your "
        "our this that "
        "what how who when where why which can could do does did would will should have has had be been please "
        "thanks hello hi "
        "hey need want like about much price demo people me us if so as but just some any more there all"
    )
)
_SETS = {code: frozenset(listed(words)) for code, words in _LITTLE.items()}
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_OTHER_SCRIPTS = re.compile(r"[Ѐ-ӿ֐-ۿऀ-෿฀-๿぀-ヿ㐀-鿿가-힯Ͱ-Ͽ]")


def language(text: str) -> str:
    """Return the ISO 639 code of the language `text` seems to be in; `xx` for a script English does not use.

    Two foreign little words are needed, and more of them than English ones, so names and single words count as English.
    """
    letters = sum(character.isalpha() for character in text)
    if letters and len(_OTHER_SCRIPTS.findall(text)) * 2 > letters:
        return "xx"
    words = _WORD.findall(text.lower())
    if len(words) < 2:
        return "en"
    english = sum(word in _ENGLISH for word in words)
    hits = {code: sum(word in known and word not in _ENGLISH for word in words) for code, known in _SETS.items()}
    best = max(hits, key=lambda code: hits[code])
    return best if hits[best] >= 2 and hits[best] > english else "en"
