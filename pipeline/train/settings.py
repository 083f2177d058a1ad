"""What a training run is, apart from where it runs: two runs of equal settings on equal rows learn the same."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Settings(BaseModel):
    """How a model is trained."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    steps: int = Field(ge=1, description="changes of the weights")
    batch: int = Field(16, ge=1, description="rows in a step, over all processes")
    optimizer: Literal["adamw", "muon"] = Field("muon", description="muon: for matrices, and adamw for the rest")
    learning_rate: float = Field(2e-3, gt=0, le=1, description="at its highest")
    warmup: int = Field(10, ge=0, description="steps in which the rate rises")
    decay: float = Field(0.4, ge=0, le=1, description="share of the steps, at the end, in which the rate falls")
    final: float = Field(0.0, ge=0, le=1, description="share of the rate that is left at the end")
    weight_decay: float = Field(0.1, ge=0, le=10, description="how fast matrices shrink, times the rate")
    betas: tuple[float, float] = Field((0.9, 0.95), description="of adamw")
    clip: float = Field(1.0, ge=0, description="largest norm of the gradient; 0: any")
    pairs: bool = Field(False, description="bert: also tell whether the second half of a text follows the first")
    seed: int = Field(0, ge=0, description="of the weights, the order of rows and all that is drawn")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.warmup + round(self.decay * self.steps) > self.steps:
            raise ValueError(f"warmup {self.warmup} and decay {self.decay} together are more than {self.steps} steps")
        return self


class Machine(BaseModel):
    """Where and how it runs; none of it changes what is learnt, but for rounding."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = Field(None, ge=1)
    rows: int = Field(16, ge=1, description="rows at once; a step of more is done in parts")
    compile: bool = False
    shard: bool = Field(False, description="split weights and optimizer over the processes")
    log_every: int = Field(10, ge=1)
    evaluate_every: int | None = Field(None, ge=1)
    save_every: int | None = Field(None, ge=1)
    keep: int = Field(2, ge=1, description="checkpoints")
