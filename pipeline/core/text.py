"""Words of a text in any language, and the most frequent function words of many.

One definition serves every rule and every shingle, so that a word counted by a filter is the word that deduplication
compares. Scripts written without spaces (Han, kana, Thai, Lao, Khmer, Burmese) are cut by the dictionaries of ICU, run
by run, whatever the language of the document around them: 6 MB/s of Chinese, 7 of Japanese, 12 of Thai, 15 to 35 of
spaced scripts. Another ICU may cut otherwise: the digests of the stages on Chinese, Japanese and Thai samples notice.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Collection
from functools import cache, lru_cache
from importlib.resources import files
from math import fsum, log

from pipeline.core.errors import MissingBackend

CACHED_CHARACTERS = 20_000
"""Longer texts are split anew for every stage that asks: what is remembered of 1,024 stays below about 120 MB."""

_UNSPACED = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e50-\u0e59"  # Thai, without the baht sign and punctuation
    "\u0e81-\u0edf\u1000-\u1049\u1050-\u109f\u1780-\u17d3\u17d7\u17dc-\u17e9"  # Lao, Burmese, Khmer
    "\u2e80-\u2fdf\u3005-\u3007\u3021-\u3029\u3031-\u3035\u303b"  # radicals and signs used as Han characters
    "\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"  # kana, without the middle dot
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
_CHARACTERS_A_WORD = 12
_BETWEEN_WORDS = " ，、"
"""No word spans one of these: what stands before it is split as it is in the whole text."""
_SELECTORS = "\ufe00-\ufe0f\U000e0100-\U000e01ef"
_JOINERS = "\u200c\u200d"
_APOSTROPHES = "'\u2019"
ELIDING = frozenset({"ca", "fr", "it", "oc"})
"""Languages whose elisions (`l'`) are words of their own."""

_SENTENCE_END = re.compile(r"(?:[.?!]+[\"'\u2019\u201d)\]]*(?=\s|$)|[。？！｡।؟۔]+)")

_HAS_UNSPACED = re.compile(f"[{_UNSPACED}]")
_UNSPACED_ONLY = re.compile(f"[{_UNSPACED}]+")
_UNSPACED_RUN = re.compile(f"[{_UNSPACED}][{_UNSPACED}{_SELECTORS}]*")
_HAS_HANGUL = re.compile("[가-힣]")

_PARTICLES_AFTER = {
    "consonant": "은 이 을 과 으로 으로는 이나 이라는 이며 이고 입니다 이다",
    "vowel": "는 가 를 와 라는",
    "any": "의 에 도 만 로 로는 에서 에게 에는 에도 에서는 께서 까지 부터 처럼 보다 마다 한테",
}
_PARTICLES = {particle: sound for sound, listed in _PARTICLES_AFTER.items() for particle in listed.split()}
_LONGEST_PARTICLE = max(map(len, _PARTICLES))
_AFTER_ONE_SYLLABLE = frozenset("은는이가을를")


def words(text: str, lang: str | None = None) -> list[str]:
    """The words of a text, in order and in their own case; punctuation and symbols are left out.

    A word is a run of letters, digits and combining marks, with apostrophes inside. French, Italian, Catalan and
    Occitan elisions are words of their own (`l'`, `eau`). Runs of unspaced scripts are cut by ICU's dictionaries.
    Korean words are those between spaces with a trailing particle split off by a rule on final consonants, without a
    dictionary: enough for function words and n-grams, wrong for nouns that end like a particle (`고양이`).
    """
    eliding = lang in ELIDING
    if len(text) > CACHED_CHARACTERS:
        return _split(text, eliding)
    joined = _joined(text, eliding)
    return joined.split("\n") if joined else []


def has_words(text: str, count: int, lang: str | None = None) -> bool:
    """Whether a text has at least so many `words`; most are told by their first few, and only these are split."""
    eliding = lang in ELIDING
    end = max(text.rfind(mark, 0, _CHARACTERS_A_WORD * count) for mark in _BETWEEN_WORDS)
    return (end > 0 and len(_split(text[:end], eliding)) >= count) or len(_split(text, eliding)) >= count


def count_sentences(text: str) -> int:
    """Stretches with a letter or digit that a full stop, question or exclamation mark, or the end of the text closes.

    Marks of Chinese, Japanese, Hindi and Arabic close wherever they stand, the others before white space only. No list
    of abbreviations: `Dr. Who` is two.
    """
    return sum(any(map(str.isalnum, part)) for part in _SENTENCE_END.split(text))


def stop_words(lang: str | None) -> frozenset[str]:
    """The function words listed for a language, lower case; empty where there is no list."""
    return _stop_words().get(lang or "", frozenset())


def is_stop(word: str, lang: str | None) -> bool:
    """Whether a word of `words` is listed, whatever its case and its kind of apostrophe."""
    return folded(word) in stop_words(lang)


def entropy(counts: Collection[int]) -> float:
    """Entropy, in nats, of a text whose distinct words occur so often: rounded once, the same under every Python.

    `sum` adds up floats otherwise since Python 3.12.
    """
    n_words = sum(counts)
    return -fsum(n / n_words * log(n / n_words) for n in counts)


def folded(word: str) -> str:
    """A word as stop words are listed: lower case, with a typewriter's apostrophe."""
    return word.lower().replace("\u2019", "'")


def is_unspaced(text: str) -> bool:
    """Whether the text has any character of a script that is written without spaces between words."""
    return _HAS_UNSPACED.search(text) is not None


def unspaced_runs(text: str) -> list[tuple[int, int]]:
    """Where characters of such scripts stand in the text: first and one behind the last of each run."""
    return [run.span() for run in _UNSPACED_ONLY.finditer(text)]


def boundaries(text: str, *, korean: bool = False) -> list[int]:
    """Where a text is to be cut within what stands between white space: around and inside of unspaced runs.

    With `korean`, also before the particle of a word. Places of characters, ascending, the ends of the text left out.
    """
    found: set[int] = set()
    runs = list(_UNSPACED_RUN.finditer(text))
    if runs:
        pieces = iter(_icu_pieces("\n".join(run.group() for run in runs)).split("\n"))
        for run in runs:
            at = run.start()
            for piece in next(pieces).split(" "):
                found.add(at)
                at += len(piece)
            # The last piece ends where the run does.
            found.add(run.end())
    if korean:
        for token in _pattern(False).finditer(text):
            stem, *particle = _split_particle(token.group())
            if particle:
                found.add(token.start() + len(stem))
    return sorted(found - {0, len(text)})


@lru_cache(maxsize=1024)
def _joined(text: str, eliding: bool) -> str:
    """The words of a text as one string, a twelfth of the list's memory, and read back in a tenth of the time."""
    return "\n".join(_split(text, eliding))


def _split(text: str, eliding: bool) -> list[str]:
    tokens: list[str] = _pattern(eliding).findall(text)
    if _HAS_HANGUL.search(text):
        tokens = [part for token in tokens for part in _split_particle(token)]
    return _segment(tokens) if _HAS_UNSPACED.search(text) else tokens


@cache
def _pattern(eliding: bool) -> re.Pattern[str]:
    spaced = rf"[^\W_{_UNSPACED}]"
    plain = f"{spaced}+(?:[{_marks()}{_JOINERS}]+{spaced}*)*"
    unspaced = f"[{_UNSPACED}][{_UNSPACED}{_SELECTORS}]*"
    word = f"{plain}(?:[{_APOSTROPHES}](?={spaced}))?" if eliding else f"{plain}(?:[{_APOSTROPHES}]{plain})*"
    return re.compile(f"{word}|{unspaced}")


def _marks() -> str:
    """Combining marks as the inside of a character class: Indic and Arabic words need them, `re` has none."""
    points = [*range(0x300, 0x20000), *range(0xE0100, 0xE01F0)]
    starts: list[int] = []
    ends: list[int] = []
    for point in points:
        if unicodedata.category(chr(point)).startswith("M"):
            if ends and ends[-1] == point - 1:
                ends[-1] = point
            else:
                starts.append(point)
                ends.append(point)
    return "".join(f"{chr(start)}-{chr(end)}" for start, end in zip(starts, ends, strict=True))


def _segment(tokens: list[str]) -> list[str]:
    """The tokens with every run of an unspaced script cut into words: all runs of a text in one call."""
    runs = [token for token in tokens if _HAS_UNSPACED.match(token)]
    cut = iter(_icu_pieces("\n".join(runs)).split("\n"))
    result: list[str] = []
    for token in tokens:
        if _HAS_UNSPACED.match(token) is None:
            result.append(token)
        else:
            result.extend(piece for piece in next(cut).split(" ") if any(map(str.isalnum, piece)))
    return result


def _icu_pieces(runs: str) -> str:
    """Runs of unspaced scripts with a blank behind each word; line breaks stay."""
    try:
        from icu4py.breakers import WordBreaker
    except ImportError:
        raise MissingBackend(
            "icu4py", "splitting Chinese, Japanese or Thai into words", "pip install 'icu4py>=1.2,<2'"
        ) from None
    return "".join(f"{piece} " for piece in WordBreaker(runs, "und"))


def _split_particle(token: str) -> tuple[str, ...]:
    """`학교에서` as `학교`, `에서`; the token itself where no particle fits."""
    if not "가" <= token[-1] <= "힣":
        return (token,)
    for size in range(min(_LONGEST_PARTICLE, len(token) - 1), 0, -1):
        stem, particle = token[:-size], token[-size:]
        sound = _PARTICLES.get(particle)
        if sound is None or (size == len(stem) == 1 and particle not in _AFTER_ONE_SYLLABLE):
            continue
        last = stem[-1]
        if sound == "any" or not "가" <= last <= "힣":
            return stem, particle
        closed = (ord(last) - ord("가")) % 28 > 0
        if closed == (sound == "consonant"):
            return stem, particle
    return (token,)


@cache
def _stop_words() -> dict[str, frozenset[str]]:
    listed = json.loads(files("pipeline.core").joinpath("stop_words.json").read_text(encoding="utf-8"))
    return {lang: frozenset(entry.split()) for lang, entry in listed.items()}
