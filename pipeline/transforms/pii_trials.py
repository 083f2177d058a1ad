"""Planted personal data: made-up values in the forms that people write, in sentences of several languages.

The values are drawn by hash, with right check digits and lengths, and belong to nobody that is known. Some forms are
known to be missed (an address spelt out as `name (at) host`, a number in threes with no word beside it): they are
planted all the same, so that recall is of what people write and not of what the patterns ask for. Names and street
addresses are not tried because they are not looked for.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping

from pipeline.core.manifest import Trial
from pipeline.transforms.personal import KINDS, Kind, find, luhn, mod97, resident_id

PLANTED = 25
"""Values of each kind in each language."""


def trials(kinds: Collection[Kind]) -> tuple[Trial, ...]:
    """Recall and false alarms by kind and language."""
    chosen = [kind for kind in KINDS if kind in kinds]
    results = []
    for lang, told in _LANGUAGES.items():
        alarms = [{span.kind for span in find(text, chosen)} for text in _clean(lang)]
        for kind in chosen:
            draw = random.Random(f"{kind}/{lang}")
            hits = 0
            for number in range(PLANTED):
                value = _VALUES[kind](draw, lang)
                sentence = told.sentences[number % len(told.sentences)]
                before, behind = sentence.format(what=told.names[kind], value="\0").split("\0")
                expected = (len(before), len(before) + len(value), kind)
                hits += any(tuple(span) == expected for span in find(f"{before}{value}{behind}", chosen))
            wrong = sum(kind in found for found in alarms)
            results.append(
                Trial(kind=kind, lang=lang, planted=PLANTED, found=hits, clean=len(alarms), false_alarms=wrong)
            )
    return tuple(results)


class _Told:
    """How a language speaks of such data: the word for each kind, and sentences around it."""

    def __init__(self, names: str, *sentences: str) -> None:
        listed = names.split("|")
        self.names: Mapping[Kind, str] = dict(zip(KINDS, listed, strict=True))
        self.sentences = sentences


_LANGUAGES: Mapping[str, _Told] = {
    "en": _Told(
        "api_key|e-mail|IBAN|credit card|resident id|IP address|social security number|phone",
        "You can find the {what}: {value}, as we said before.",
        "My {what} is {value}.",
        "{what} {value}",
        "Thanks for writing. {value} is my {what}, please do not share it.",
        "The record of 2019-03-14 lists ({value}) under {what}.",
    ),
    "zh": _Told(
        "密钥|邮箱|国际银行账号|信用卡号|身份证号|IP地址|社会安全号码|手机",
        "我的{what}是{value}，请不要告诉别人。",
        "{what}：{value}。",
        "请记下{what}{value}谢谢",
        "联系方式如下：{what}{value}（工作日）",
        "如有问题，请使用{value}，这是我的{what}。",
    ),
    "de": _Told(
        "api_key|E-Mail|IBAN|Kreditkarte|Ausweisnummer|IP-Adresse|Social Security Number|Telefon",
        "{what}: {value}",
        "Meine {what} lautet {value}.",
        "Bitte notieren Sie {what} {value}, danke.",
        "Sie erreichen uns unter {value} ({what}).",
    ),
    "fr": _Told(
        "api_key|courriel|IBAN|carte bancaire|numéro d'identité|adresse IP|numéro SSN|téléphone",
        "{what} : {value}",
        "Mon {what} est le {value}.",
        "Vous pouvez utiliser {value} comme {what}, merci.",
    ),
    "es": _Told(
        "api_key|correo|IBAN|tarjeta|número de identidad|dirección IP|número SSN|teléfono",
        "{what}: {value}",
        "Mi {what} es {value}.",
        "Puede usar {value} como {what}, gracias.",
    ),
    "ru": _Told(
        "api_key|почта|IBAN|карта|номер удостоверения|IP-адрес|SSN|телефон",
        "{what}: {value}",
        "Мой {what} {value}.",
        "Запишите {value}, это мой {what}.",
    ),
    "ja": _Told(
        "APIキー|メール|国際口座番号|カード番号|身分証番号|IPアドレス|社会保障番号|電話",
        "{what}：{value}",
        "私の{what}は{value}です。",
        "ご連絡は{what}{value}までお願いします。",
    ),
    "ko": _Told(
        "API 키|이메일|국제 계좌번호|카드 번호|신분증 번호|IP 주소|사회보장번호|전화",
        "{what}: {value}",
        "제 {what}는 {value}입니다.",
        "{what} {value}로 연락 주세요.",
    ),
}

_NUMBERS = (
    "2019-03-14 to 2020-11-02", "1998-2001", "ISBN 978-3-16-148410-0", "10.1038/s41586-020-2649-2", "version 4.10.2.1",
    "1,234,567,890", "3.1415926535", "1748503543123", "12:34:56", "48.8566, 2.3522", "192.168.0.1", "20191231",
    "#1024768", "std::vector::size", "user@2x.png", "10 000 000", "RFC 2616", "1.234.567,89", "0x7f3a91c2",
    "2024/01/31 08:15", "100-200-300", "00:1A:2B:3C:4D:5E", "A4-210-297", "@everyone", "12 34 56 78 lb",
    "alex@example.org",
)  # fmt: skip
_PLAINLY = {
    "en": "The page mentions {value} in passing.",
    "zh": "文中提到了{value}这个数字。",
    "de": "Auf der Seite steht {value} ohne weitere Angabe.",
    "fr": "La page mentionne {value} en passant.",
    "es": "La página menciona {value} de paso.",
    "ru": "На странице упоминается {value} без пояснений.",
    "ja": "ページには{value}とだけ書かれています。",
    "ko": "페이지에는 {value} 라고만 적혀 있다.",
}


def _clean(lang: str) -> list[str]:
    return [_PLAINLY[lang].format(value=number) for number in _NUMBERS]


def _digits(draw: random.Random, count: int) -> str:
    return "".join(draw.choice("0123456789") for _ in range(count))


def _token(draw: random.Random, count: int) -> str:
    body = "".join(draw.choice("abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ0123456789") for _ in range(count - 2))
    return f"{body}{draw.choice('abcdef')}{draw.choice('2345678')}"


def _key(draw: random.Random, lang: str) -> str:
    issued = (
        f"AKIA{_token(draw, 16).upper()}",
        f"ghp_{_token(draw, 36)}",
        f"sk-{_token(draw, 48)}",
        f"hf_{_token(draw, 34)}",
        f"AIza{_token(draw, 35)}",
        f"xoxb-{_digits(draw, 12)}-{_token(draw, 24)}",
        f"eyJ{_token(draw, 30)}.eyJ{_token(draw, 60)}.{_token(draw, 43)}",
        _token(draw, 32),
    )
    return draw.choice(issued)


def _email(draw: random.Random, lang: str) -> str:
    name = draw.choice(["maria.lopez", "j_smith", "li.wei88", "o'neill", "büro", "sales+eu", "x9", "TOM-HANKS"])
    host = draw.choice(
        ["mail.ru", "gmail.com", "163.com", "web.de", "uni-köln.de", "cs.ox.ac.uk", "orange.fr", "QQ.COM"]
    )
    spelt = f"{name}@{host}"
    return draw.choice([spelt] * 12 + [spelt.replace("@", "＠"), f"{name} (at) {host}"])


def _iban(draw: random.Random, lang: str) -> str:
    country, bank = draw.choice(
        [("DE", 18), ("FR", 23), ("ES", 20), ("IT", 23), ("NL", 14), ("GB", 18), ("CH", 17), ("NO", 11)]
    )
    body = _digits(draw, bank)
    if country in ("NL", "GB"):
        body = f"{draw.choice(['ABNA', 'BARC', 'INGB', 'LOYD'])}{body[4:]}"
    check = next(f"{n:02}" for n in range(2, 99) if mod97(f"{country}{n:02}{body}"))
    number = f"{country}{check}{body}"
    return draw.choice([number, " ".join(number[at : at + 4] for at in range(0, len(number), 4))])


def _card(draw: random.Random, lang: str) -> str:
    prefix, length = draw.choice([("4", 16), ("52", 16), ("37", 15), ("6011", 16), ("3530", 16), ("622848", 19)])
    body = prefix + _digits(draw, length - len(prefix) - 1)
    number = next(f"{body}{last}" for last in range(10) if luhn(f"{body}{last}"))
    spread = (
        [number[:4], number[4:10], number[10:]] if length == 15 else [number[i : i + 4] for i in range(0, length, 4)]
    )
    return draw.choice([number, " ".join(spread), "-".join(spread)])


def _cn_id(draw: random.Random, lang: str) -> str:
    day = f"{draw.randint(1940, 2010)}{draw.randint(1, 12):02}{draw.randint(1, 28):02}"
    body = f"{draw.choice(['110101', '310115', '440305', '510104', '330106'])}{day}{_digits(draw, 3)}"
    number = next(f"{body}{last}" for last in "0123456789X" if resident_id(f"{body}{last}"))
    return draw.choice([number, number.lower()])


def _ip(draw: random.Random, lang: str) -> str:
    first = draw.choice([23, 41, 66, 81, 101, 114, 139, 185, 203])
    four = f"{first}.{draw.randint(1, 254)}.{draw.randint(40, 254)}.{draw.randint(1, 254)}"
    groups = [f"{draw.randint(0x1000, 0xFFFF):x}" for _ in range(7)]
    return draw.choice([four, four, four, ":".join(["2001", *groups]), f"2a00:{groups[0]}:{groups[1]}::{groups[2]}"])


def _ssn(draw: random.Random, lang: str) -> str:
    parts = f"{draw.randint(100, 665)}", f"{draw.randint(1, 99):02}", f"{draw.randint(1, 9999):04}"
    return draw.choice(["-", "-", " "]).join(parts)


def _phone(draw: random.Random, lang: str) -> str:
    form = draw.choice(_FORMS.get(lang, ()) + _FORMS["any"])
    return "".join(
        draw.choice("23456789") if mark == "N" else _digits(draw, 1) if mark == "D" else mark for mark in form
    )


_FORMS: Mapping[str, tuple[str, ...]] = {
    "any": ("+44 20 7NDD DDDD", "+49 30 NDDDDDD", "+1 (2N2) N2N-DDDD", "+86 138 DDDD DDDD", "+33 6 NN DD DD DD",
            "+7 9ND NDD-DD-DD"),
    "en": ("(2N3) N3N-DDDD", "2N3-N3N-DDDD", "2N3.N3N.DDDD", "1-2N3-N3N-DDDD", "N3N-DDDD", "020 7NDD DDDD",
           "07NDD NDDDDD"),
    "zh": ("138DDDDDDDD", "159 DDDD DDDD", "186-DDDD-DDDD", "010-6NDDDDDD", "0755-8NDDDDD", "(021) 5NDDDDDD",
           "１３９DDDDDDDD"),
    "de": ("030 NDDDDDD", "0171/NDDDDDD", "(089) NDDDDD", "0176 NDDD DDDD", "030-NDDDDDD"),
    "fr": ("06 NN DD DD DD", "01.NN.DD.DD.DD", "0NNNDDDDDD"),
    "es": ("6ND NDD DDD", "91 NDD DD DD", "6NDNDDDDD"),
    "ru": ("8 (495) NDD-DD-DD", "8-9ND-NDD-DD-DD"),
    "ja": ("03-NDDD-DDDD", "090-NDDD-DDDD"),
    "ko": ("010-NDDD-DDDD", "02-NDD-DDDD"),
}  # fmt: skip
"""D any digit, N one of 2 to 9."""

_VALUES: Mapping[Kind, Callable[[random.Random, str], str]] = {
    "key": _key,
    "email": _email,
    "iban": _iban,
    "card": _card,
    "cn_id": _cn_id,
    "ip": _ip,
    "ssn": _ssn,
    "phone": _phone,
}
