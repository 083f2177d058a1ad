"""A tokenizer that no text can make say a control token, whatever its model would find in the text."""

from __future__ import annotations

import json
import secrets
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def deaf(tokenizer: Tokenizer, names: Collection[str]) -> Tokenizer:
    """The same tokenizer with the vocabulary entries of these names under names that nobody knows; all ids stay.

    Unigram models and those of whole words look their control tokens up in the text like any other entry. An entry
    whose name ends in 128 random bits is in no text, so that the ids of a text do not depend on them.
    """
    from tokenizers import Tokenizer

    content: dict[str, Any] = json.loads(tokenizer.to_str())
    model = content["model"]
    other = {name: name + secrets.token_hex(16) for name in names}
    if isinstance(model["vocab"], dict):
        known = set(model["vocab"]) & set(names)
        model["vocab"] = {other.get(word, word): index for word, index in model["vocab"].items()}
    else:
        known = {word for word, _ in model["vocab"]} & set(names)
        model["vocab"] = [[other.get(word, word), score] for word, score in model["vocab"]]
    content["added_tokens"] = [token for token in content["added_tokens"] if token["content"] not in known]
    made = Tokenizer.from_str(json.dumps(content))
    made.encode_special_tokens = True
    return made
