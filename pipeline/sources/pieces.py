"""Documents from one file inside a distribution: pages, texts, and the strings of catalogues and data files."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from email import message_from_bytes, policy
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from pipeline.sources.catalogues import messages
from pipeline.sources.expand import Damaged
from pipeline.sources.lines import decoded, not_utf8

_WIDE = re.compile("[\u3041-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7a3]")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_MAX_DEPTH = 64


class Pieces(BaseModel):
    """How a file becomes documents."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal["html", "text", "mo", "json", "yaml", "match", "description", "license_files"] = Field(
        description="what the files are; description and license_files need no `files`"
    )
    fields: tuple[str, ...] = Field((), description="json, yaml: keys (`a.b`) whose strings are the text; none: all")
    match: str | None = Field(None, description="match: regular expression; its one group, unescaped, is the text")
    shortest: int = Field(0, ge=0, description="mo, json, yaml: length of a string worth having; CJK signs count 3")
    per_document: int | None = Field(None, ge=1, description="mo, json, yaml: strings that make one document at most")


def pieces(content: bytes, how: Pieces) -> Iterator[dict[str, Any]]:
    """The columns of each document in a file; Damaged where it cannot be parsed."""
    if how.format == "html":
        yield {"html": content, "content_type": "text/html"}
    else:
        yield from ({"text": text} for text in _texts(content, how) if text.strip())


def _texts(content: bytes, how: Pieces) -> Iterator[str]:
    if how.format == "description":
        yield _description(content)
    elif how.format == "mo":
        yield from _joined(messages(content), how)
    elif how.format == "json":
        yield from _from_data(_json(_text(content)), how)
    elif how.format == "yaml":
        yield from _from_data(_yaml(_text(content)), how)
    elif how.match is not None:
        for found in re.finditer(how.match, _text(content)):
            yield re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[1]), found[1] or "")
    else:
        yield _text(content)


def _text(content: bytes) -> str:
    text = decoded(content)
    if isinstance(text, UnicodeDecodeError):
        raise Damaged(not_utf8(text))
    return text


def _description(content: bytes) -> str:
    """The long description in a METADATA file: its body, or a header with indented lines in the oldest files."""
    message = message_from_bytes(content, policy=policy.compat32)
    body = message.get_payload(decode=True)
    text = _text(body if isinstance(body, bytes) else b"")
    return text if text.strip() else re.sub(r"\n {8}(?: {7}\|)?|\n {7}\|", "\n", str(message.get("Description") or ""))


def _from_data(value: object, how: Pieces) -> Iterator[str]:
    """One document for each item of a list, or one for all else; long ones cut by `per_document`."""
    for item in value if isinstance(value, list) else [value]:
        yield from _joined(_strings(_picked(item, how.fields)), how)


def _joined(strings: Iterator[str], how: Pieces) -> Iterator[str]:
    """Strings that are long enough, some to a document, one a line."""
    held: list[str] = []
    for string in strings:
        if string.strip() and len(string) + 2 * len(_WIDE.findall(string)) >= how.shortest:
            held.append(string)
        if how.per_document and len(held) >= how.per_document:
            yield "\n".join(held)
            held = []
    if held:
        yield "\n".join(held)


def _picked(item: object, fields: tuple[str, ...]) -> object:
    """The values of the fields; Damaged for an object that has none of them, if it has any key."""
    if not fields or item is None:
        return item
    if not isinstance(item, dict):
        raise Damaged(f"not an object with the fields {', '.join(fields)}")
    found = [value for field in fields if (value := _at(item, field)) is not None]
    if item and not found:
        raise Damaged(f"none of the fields {', '.join(fields)}; there are {', '.join(map(str, item))[:200]}")
    return found


def _at(item: object, field: str) -> object:
    for key in field.split("."):
        item = item.get(key) if isinstance(item, dict) else None
    return item


def _strings(value: object, depth: int = 0) -> Iterator[str]:
    """All strings in a value, in order; keys and numbers are no text."""
    if depth > _MAX_DEPTH:
        raise Damaged(f"nested deeper than {_MAX_DEPTH} levels")
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _strings(inner, depth + 1)


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Damaged(f"not JSON ({error})") from None


def _yaml(text: str) -> object:
    """The value with every scalar as it is written; tags are ignored, so nothing is ever constructed."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        depth = 0
        for event in yaml.parse(text, Loader=loader):  # composing calls itself, and at some depth kills the process
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > _MAX_DEPTH:
                raise Damaged(f"nested deeper than {_MAX_DEPTH} levels")
        node = yaml.compose(text, Loader=loader)
    except (yaml.YAMLError, RecursionError) as error:
        raise Damaged(f"not YAML ({' '.join(str(error).split())})") from None
    return _plain(node, set())


def _plain(node: Any, seen: set[int], depth: int = 0) -> object:  # yaml.Node: PyYAML is imported when it is needed
    """A node as plain values; each is visited once, so that aliases cannot expand."""
    if node is None or node.tag == "tag:yaml.org,2002:null":
        return None
    if id(node) in seen or depth > _MAX_DEPTH:
        raise Damaged("YAML with aliases" if id(node) in seen else f"nested deeper than {_MAX_DEPTH} levels")
    seen.add(id(node))
    if node.id == "sequence":
        return [_plain(child, seen, depth + 1) for child in node.value]
    if node.id == "mapping":
        return {str(key.value): _plain(child, seen, depth + 1) for key, child in node.value}
    return str(node.value)
