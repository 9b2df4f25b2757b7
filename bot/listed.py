"""Lists of words, written as one text so that they read as lists."""


def listed(words: str) -> tuple[str, ...]:
    return tuple(words.split())
