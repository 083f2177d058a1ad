"""What a worker has imported before its first job: the sweeps, and every stage that a recipe can name."""

from pipeline.run import registry, sweep

__all__ = ["sweep"]

registry.stages()
