"""A trained gpt or bert learns to tell texts apart: a matrix on top of one state of each text.

It is that of the last token of a gpt, and that of the first, pooled, of a bert, as in transformers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional

from pipeline.backends.tokenizer import FILE, load
from pipeline.core.chance import draws
from pipeline.core.errors import GristmillError, StoreError
from pipeline.core.manifest import Record
from pipeline.core.shards import write_text
from pipeline.train import lines
from pipeline.train.attention import arrange
from pipeline.train.baseline import labels_of
from pipeline.train.batches import encoded
from pipeline.train.checkpoint import CLASSIFIER, TOKENIZER, Sheet, copy_tokenizer, load_model, put, write_tensors
from pipeline.train.device import keep_memory
from pipeline.train.metrics import Metrics, compare
from pipeline.train.model import Bert, Gpt, Model, Tokens, build
from pipeline.train.optim import clip, optimizers, rate
from pipeline.train.settings import Settings

if TYPE_CHECKING:
    from pipeline.backends.tokenizer import Encoder

WEIGHTS, METRICS = "classifier.safetensors", "metrics.json"


class Tuning(BaseModel):
    """How a classifier is trained."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    epochs: int = Field(3, ge=1, description="times that every text is seen")
    batch: int = Field(16, ge=1, description="texts in a step")
    learning_rate: float = Field(5e-4, gt=0, le=1, description="at its highest, after a tenth of the steps")
    weights: Literal["balanced", "equal"] = Field(
        "balanced", description="balanced: every label counts as much, however many texts it has; equal: every text"
    )
    test: float = Field(
        0.2, ge=0, lt=1, description="share of texts held out, chosen by hash, where no others are given"
    )
    seed: int = Field(0, ge=0, description="of the matrix on top, the order and the held-out texts")


class Text(Record):
    """A text and its label."""

    text: str
    label: str


class Card(Record):
    """What `classifier.json` says: the model underneath, the labels in order, how it was trained, on how many texts."""

    sheet: Sheet
    labels: tuple[str, ...]
    tuning: Tuning
    texts: dict[str, int]


class Classifier(nn.Module):
    """A model with a matrix on top of one state of each text."""

    def __init__(self, model: Model, labels: int) -> None:
        super().__init__()
        self.model, self.head = model, nn.Linear(model.shape.width, labels, bias=model.shape.kind == "bert")
        nn.init.zeros_(self.head.weight)

    def forward(self, texts: Sequence[np.ndarray]) -> Tensor:
        """Logits (texts, labels) of the ids of texts, cut at the model's length."""
        shape = self.model.shape
        rows = [np.concatenate([[shape.end], ids])[: shape.length].astype(np.int64) for ids in texts]
        width = max(map(len, rows))
        segments = np.array([np.where(np.arange(width) < len(row), 0, -1) for row in rows])
        ids = np.array([np.pad(row, (0, width - len(row)), constant_values=shape.end) for row in rows])
        order, sight = arrange(segments, causal=shape.kind == "gpt", heads=shape.heads)
        device = self.head.weight.device
        tokens = Tokens(torch.from_numpy(ids[order]), torch.arange(width).expand(len(rows), -1), sight).to(device)
        if isinstance(self.model, Gpt):
            last = torch.tensor([len(rows[row]) - 1 for row in order], device=device)
            state = self.model.read(tokens.ids, tokens.sight)[torch.arange(len(rows), device=device), last]
        else:
            state = self.model.pooled(self.model.read(tokens))
        return self.head(state)[torch.from_numpy(np.argsort(order)).to(device)]


def finetune(
    folder: Path,
    texts: Sequence[Text],
    tuning: Tuning,
    out: Path,
    test: Sequence[Text] | None = None,
    *,
    device: torch.device | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Metrics:
    """Train a classifier on a model's folder, leave it in another, and measure it on texts that it has not seen.

    GristmillError where there are fewer than two labels, a label of the test is new, or the model is a t5.
    """
    model, sheet = load_model(folder)
    if not isinstance(model, Gpt | Bert) or sheet.bits:
        raise GristmillError(f"{folder}: a gpt or bert with all of its bits is needed")
    train, held = (list(texts), list(test)) if test is not None else _apart(texts, tuning)
    counts = Counter(text.label for text in train)
    labels = tuple(sorted(counts))
    if len(labels) < 2 or not {text.label for text in held} <= set(labels):
        raise GristmillError(f"labels are {', '.join(labels)}: two are needed at least, and the test's among them")
    encoder = load(folder / TOKENIZER / FILE)
    torch.manual_seed(tuning.seed)
    device = device or torch.device("cpu")
    keep_memory(device)
    classifier = Classifier(model, len(labels)).to(device)
    steps = tuning.epochs * -(-len(train) // tuning.batch)
    settings = Settings(
        steps=steps, optimizer="adamw", learning_rate=tuning.learning_rate, warmup=steps // 10, decay=0.8
    )
    [optimizer] = optimizers(classifier, settings).values()
    weight = torch.ones(len(labels), device=classifier.head.weight.device)
    if tuning.weights == "balanced":
        weight = torch.tensor([len(train) / len(labels) / counts[label] for label in labels]).to(weight)
    ids, truth = encoded(encoder, [t.text for t in train]), torch.tensor([labels.index(t.label) for t in train])
    classifier.train()
    for step, chosen in enumerate(_order(len(train), tuning)):
        for group in optimizer.param_groups:
            group["lr"] = rate(settings, step) * tuning.learning_rate
        said = classifier([ids[n] for n in chosen])
        loss = functional.cross_entropy(said, truth[chosen].to(said.device), weight=weight)
        loss.backward()
        clip(classifier, settings)
        optimizer.step()
        optimizer.zero_grad()
        if (step + 1) % 20 == 0 or step + 1 == steps:
            tell(f"step {step + 1} of {steps}: loss {loss.item():.4f}")
    card = Card(sheet=sheet, labels=labels, tuning=tuning, texts={"train": len(train), "test": len(held)})
    write_tensors(out / WEIGHTS, classifier.state_dict())
    copy_tokenizer(folder / TOKENIZER, out)
    write_text(out / CLASSIFIER, card.to_json())
    odds = classify(classifier, encoder, [text.text for text in held])
    asked, is_so = encoded(encoder, [text.text for text in held]), [text.label for text in held]
    counted = labels_of(ids, [text.label for text in train], asked, encoder.size, balanced=tuning.weights == "balanced")
    metrics = compare(is_so, [labels[int(row.argmax())] for row in odds])
    metrics = metrics.model_copy(update={"ngram": compare(is_so, counted)})
    write_text(out / METRICS, metrics.to_json())
    return metrics


def load_classifier(folder: Path) -> tuple[Classifier, Encoder, Card]:
    """A classifier with its tokenizer; GristmillError says how to make one."""
    path = folder / CLASSIFIER
    try:
        card = Card.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        raise GristmillError(f"{path}: no classifier here; `gristmill finetune` makes one") from None
    except ValueError as error:
        raise StoreError(f"{path}: not the description of a classifier ({error})") from error
    classifier = Classifier(build(card.sheet.shape), len(card.labels))
    put(classifier, folder / WEIGHTS)
    return classifier, load(folder / TOKENIZER / FILE), card


@torch.no_grad()
def classify(classifier: Classifier, encoder: Encoder, texts: Sequence[str], batch: int = 32) -> np.ndarray:
    """The probability of every label for every text: (texts, labels)."""
    classifier.eval()
    ids = encoded(encoder, texts)
    parts = [classifier(ids[at : at + batch]).softmax(1).cpu().numpy() for at in range(0, len(ids), batch)]
    return np.concatenate(parts) if parts else np.zeros((0, classifier.head.out_features))


def read_texts(path: Path) -> list[Text]:
    """JSON lines with `text` and `label`; SourceError names the line that is not."""
    return [Text(text=lines.text(row, "text", at), label=lines.text(row, "label", at)) for at, row in lines.rows(path)]


def _apart(texts: Sequence[Text], tuning: Tuning) -> tuple[list[Text], list[Text]]:
    """Those to learn from and those to be measured on: equal texts are on one side."""
    held = draws((text.text for text in texts), tuning.seed, "finetune") < tuning.test
    pairs = list(zip(texts, held.tolist(), strict=True))
    return [text for text, out in pairs if not out], [text for text, out in pairs if out]


def _order(n: int, tuning: Tuning) -> Iterator[list[int]]:
    for epoch in range(tuning.epochs):
        order = np.random.Generator(np.random.Philox(key=[tuning.seed, epoch])).permutation(n).tolist()
        yield from (order[at : at + tuning.batch] for at in range(0, n, tuning.batch))
