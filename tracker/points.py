"""Points, kept as integer thousandths, so that a sum does not depend on its order."""

from functools import lru_cache


@lru_cache(maxsize=1000)
def thousandths(points: float) -> int:
    return round(points * 1000)


def points(thousandths: int) -> float:
    """Points as the API shows them: 5, 7.5."""
    whole, rest = divmod(thousandths, 1000)
    return thousandths / 1000 if rest else whole
