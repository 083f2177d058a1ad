import pytest
from pydantic import ValidationError

from pipeline.transforms.line_rules import C4Lines, DropLines, RefinedwebLines

SENTENCES = "The mill stands at the bend.\nIt rests here in the autumn.\nNobody could say who built it."


def after(stage, text, lang="en"):
    left, reason = stage.rewrite(text, lang)
    return left, reason.reason if reason else None


def test_c4_keeps_sentences_and_nothing_else():
    page = f'Home | About\n{SENTENCES}\nFour words are few.\nThe end is not here...\n  She said "it is very old"  \n'
    page += "Please enable JavaScript to see this page.\nThis site uses cookies to give you cookies.\n"
    page += "A line without an end\n" + "x" * 1001 + " is too long a word for it.\n"
    page += "It was built in 1703.[12][citation needed]\n"
    assert after(C4Lines(), page) == (f'{SENTENCES}\nShe said "it is very old"\nIt was built in 1703.', None)


def test_c4_drops_pages_by_what_is_in_the_lines_that_stay():
    assert after(C4Lines(), f"{SENTENCES}\nLorem ipsum dolor sit amet.")[1] == "lorem_ipsum"
    assert after(C4Lines(), f"{SENTENCES}\nLorem ipsum")[1] is None  # that line has gone before
    assert after(C4Lines(), f"{SENTENCES}\nA set is written like this: {{}}.")[1] == "curly_bracket"
    assert after(C4Lines(), f"{SENTENCES}\nThe JavaScript code is {{}}.")[1] is None
    assert after(C4Lines(), "One sentence is all there is.")[1] == "too_few_sentences"


def test_the_paper_has_other_limits_than_the_code():
    paper = C4Lines(min_words=3, min_sentences=5)
    page = "The mill stands.\nIt rests here.\nNobody built it.\nWho could say?\nBirds sing there."
    assert after(paper, page) == (page, None)
    assert after(C4Lines(), page)[1] == "too_few_sentences"


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"end_marks": ()}, "There is no end of this line"),
        ({"min_words": 0}, "One."),
        ({"max_word": None}, "x" * 2000 + " is a very long word."),
        ({"javascript": False}, "Please enable JavaScript to see it."),
        ({"policies": False}, "Read our privacy policy before you go."),
        ({"lorem_ipsum": False}, "Lorem ipsum is no text at all."),
        ({"curly_bracket": False}, "A set is written {a, b, c}."),
        ({"citations": False}, "It was built in 1703 [12]."),
    ],
)
def test_each_of_c4s_rules_can_be_switched_off(fields, line):
    assert after(C4Lines(**fields), f"{SENTENCES}\n{line}") == (f"{SENTENCES}\n{line}", None)
    assert after(C4Lines(), f"{SENTENCES}\n{line}") != (f"{SENTENCES}\n{line}", None)


def test_chinese_lines_are_counted_in_words_and_end_in_their_own_marks():
    page = "这座磨坊在山谷的尽头。\n河流从这里转向南方！\n是谁建造了这座房子？\n首页 新闻\n太短。"
    assert after(C4Lines(), page, "zh") == ("\n".join(page.split("\n")[:3]), None)
    assert after(C4Lines(), ("这座磨坊" * 300 + "。\n") * 3, "zh")[1] is None  # 1,200 characters, no long word


def test_refinedweb_takes_out_lines_and_phrases():
    long = "\n".join(f"{SENTENCES}\n{SENTENCES}" for _ in range(9))
    junk = ["SHARE THIS NOW", "2026 11 24", "1.5K followers", "Home", "12 likes so far"]
    mixed = f"{long}\n\n\n\n" + "\n".join(junk)
    assert after(RefinedwebLines(), mixed) == (long, None)
    assert after(RefinedwebLines(), f"{long}\nSign-in to go on") == (f"{long}\nto go on", None)
    assert after(RefinedwebLines(), f"{long}\nYou have 3 items in cart") == (f"{long}\nYou have 3", None)
    assert after(RefinedwebLines(), f"{long}\nThe mill is old Read more...") == (f"{long}\nThe mill is old", None)
    eleven = "There are three items in cart and nobody will buy them."
    assert after(RefinedwebLines(), f"{long}\n{eleven}") == (f"{long}\n{eleven}", None)


def test_refinedweb_drops_a_document_that_loses_more_than_a_twentieth():
    body = " ".join(f"word{n}" for n in range(95))
    left, reason = RefinedwebLines().rewrite(f"{body}\nA B C D E", "en")
    assert (left, reason) == (body, None)
    _, reason = RefinedwebLines().rewrite(f"{body}\nA B C D E F", "en")
    assert reason is not None and reason.value == pytest.approx(6 / 101) and reason.limit == 0.05


def test_a_paragraph_stays_a_paragraph():
    assert after(RefinedwebLines(), "one two\n\n\n\nthree four\n") == ("one two\n\nthree four", None)


def test_lines_of_symbols_and_lines_with_phrases_go():
    stage = DropLines(symbols="|-", containing=("Read More",))
    assert after(stage, "| - |\na | b\n\nread more here\n---") == ("a | b", None)
    assert after(stage, "||\n") == ("", "nothing_left")
    with pytest.raises(ValidationError, match="give `symbols`, `containing` or both"):
        DropLines(symbols=" ")


def test_c4_finds_a_phrase_that_a_citation_cut_in_two():
    assert after(C4Lines(), f"{SENTENCES}\nWe use coo[1]kies here, as so many others do.") == (SENTENCES, None)
    assert after(C4Lines(), f"{SENTENCES}\nOne more line says lorem[2] ipsum, as so many do.")[1] == "lorem_ipsum"
