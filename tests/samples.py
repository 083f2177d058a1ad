"""Documents that every stage is tried on: real languages, near-duplicates, and what breaks careless code."""

from __future__ import annotations

import pyarrow as pa

from pipeline.core.schema import documents

ENGLISH = (
    "The mill stands at the end of the valley, where the river turns to the south. Farmers have brought their grain "
    "here for three hundred years, and the miller still keeps a book in which every sack is written down. What came "
    "in and what went out must be the same, he says, and what was thrown away must be in the book as well.\n"
    "On market days the road is full of carts. Children sit on the wall and count them, and in the evening they tell "
    "the miller how many they have seen. He writes that down too, for the pleasure of it."
)
CHINESE = (
    "这座磨坊在山谷的尽头，河流从这里转向南方。三百年来，农民们一直把粮食送到这里，磨坊主至今还保存着一本账簿，"
    "每一袋粮食都记在上面。他说，进来的和出去的必须相等，扔掉的也要记在账上。\n"
    "赶集的日子，路上满是马车。孩子们坐在墙上数车，晚上再告诉磨坊主他们看到了多少辆。他也把这些记下来，只是为了高兴。"
)
GERMAN = (
    "Die Mühle steht am Ende des Tals, wo der Fluss sich nach Süden wendet. Seit dreihundert Jahren bringen die Bauern "
    "ihr Getreide hierher, und der Müller führt noch immer ein Buch, in dem jeder Sack verzeichnet ist. Was hineinkam "
    "und was hinausging, muss gleich sein, sagt er, und auch das Weggeworfene muss im Buch stehen."
)
JAPANESE = (
    "水車小屋は谷の奥にあり、川はそこで南へ曲がっています。三百年のあいだ、農民たちは穀物をここへ運んできました。"
    "粉屋の主人は今でも帳簿をつけていて、一袋ごとに書きとめています。入ったものと出たものは同じでなければならないと彼は言います。"
)
KOREAN = (
    "방앗간은 골짜기 끝에 있고 강은 그곳에서 남쪽으로 굽어진다. 삼백 년 동안 농부들은 곡식을 이곳으로 가져왔고, "
    "방앗간 주인은 지금도 모든 자루를 적어 두는 장부를 쓰고 있다. 들어온 것과 나간 것은 같아야 한다고 그는 말한다."
)
THAI = (
    "โรงสีตั้งอยู่ปลายหุบเขา ซึ่งแม่น้ำไหลโค้งไปทางทิศใต้ ชาวนานำข้าวมาที่นี่มาเป็นเวลาสามร้อยปี "
    "และเจ้าของโรงสียังคงจดบันทึกข้าวทุกกระสอบลงในสมุด เขาบอกว่าสิ่งที่เข้ามาและออกไปต้องเท่ากัน"
)
ARABIC = (
    "تقع الطاحونة في نهاية الوادي حيث ينعطف النهر نحو الجنوب. منذ ثلاثمئة عام والفلاحون يحملون حبوبهم إلى هنا، "
    "ولا يزال الطحان يحتفظ بدفتر يكتب فيه كل كيس. يقول إن ما دخل وما خرج يجب أن يكونا متساويين."
)
HINDI = (
    "चक्की घाटी के अंत में खड़ी है, जहाँ नदी दक्षिण की ओर मुड़ती है। तीन सौ वर्षों से किसान अपना अनाज यहाँ लाते हैं, "
    "और चक्की वाला आज भी एक बही रखता है जिसमें हर बोरी लिखी जाती है।"
)

TEXTS: tuple[tuple[str, str | None], ...] = (
    (ENGLISH, "en"),
    (CHINESE, "zh"),
    (GERMAN, "de"),
    (JAPANESE, "ja"),
    (KOREAN, "ko"),
    (THAI, "th"),
    (ARABIC, "ar"),
    (HINDI, "hi"),
    (ENGLISH, "en"),
    (ENGLISH.replace("three hundred", "four hundred"), "en"),
    (CHINESE.replace("三百", "四百"), "zh"),
    ("buy now " * 200, "en"),
    ("- one\n- two\n- three\n" * 20, "en"),
    ("Short text.", "en"),
    (ENGLISH + "\n" + CHINESE, None),
    ("1234 5678 ### ... … {}", None),
)

EDGES: tuple[str, ...] = (
    "",
    " \n\t\r\n  ",
    "a",
    "\x00\x01\x02 NUL \x00",
    "e\u0301\u0301\u0301 combining \u0300\u0301\u0302\u0303" * 3,
    "\u202eright to left override\u202c \u200f\u200e",
    "\ud7ff\ue000\ufffd\ufffe\U0010ffff",
    "\\ud800 escaped lone surrogate",
    "👩‍👩‍👧‍👦🏳️‍🌈" * 20,
    "no_space_" * 2000,
    "\n" * 5000,
    "。" * 300,
    "the of and to be that have with " * 40,
)


def batch(texts: tuple[tuple[str, str | None], ...] = TEXTS) -> pa.RecordBatch:
    """A batch of documents with all columns that a source can give."""
    rows = [
        {
            "id": f"doc-{index:03d}",
            "text": text,
            "url": f"https://example.org/{index}?utm_source=x" if index % 2 else None,
            "date": "2026-11-01",
            "lang": lang,
            "source": "first" if index % 3 else "second",
            "license": "cc0-1.0",
            "file": f"part-{index % 4}.jsonl",
            "offset": index * 100,
            "html": f"<html lang='{lang or 'en'}'><title>T</title><body><article><p>{text}</p></article>".encode(),
            "content_type": "text/html; charset=utf-8",
        }
        for index, (text, lang) in enumerate(texts)
    ]
    return documents(rows)


def edges() -> pa.RecordBatch:
    """The awkward texts, without a language."""
    return batch(tuple((text, None) for text in EDGES))


ADVERSARIAL = (
    "👩\u200d👩\u200d👧\u200d👦🏳️\u200d🌈🇧🇪👍🏽" * 50,
    "Z̷͓̈́a̶l̵̇g̸o" * 100 + "\u0301" * 5000,
    r"\ud83d\ude42 \ud800 \udfff \uFFFE " * 40,
    "word " * 200_000,
    "x" * 1_000_000,
    "磨坊主磨麦子" * 60_000,
    "1234567890" * 1000 + " 12 345 6789 0" * 300,
    "I'm you're HE'LL it'S don't 'tis '' 's's 'sſ I’m" * 20,
    "line\r\nline\r\n\r\n\n\r \r\n\t\r\n  \n x\r",
    " \u2003\u00a0\u3000\t\x0b\x0c\x1c\x85\u2028 a  b   c    ",
    "<|endoftext|><|endoftext|> x<|endoftext|>y <|end of text|>",
    "\x00\x01\x7f\u0080\ufeff\ufffe\uffff\U0010ffff",
)
"""What separates tokenizers: emoji sequences, combining marks, surrogates escaped, lines of a megabyte, runs of digits,
contractions, line ends, white space, names of special tokens, controls."""
