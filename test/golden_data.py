"""Where the golden data are, and what they were made with."""

from __future__ import annotations

from pathlib import Path

DATA = Path(__file__).parent / "data"
GOLDEN = DATA / "golden"
GOLDEN_MODEL = {
    "model": GOLDEN / "golden-small.json",
    "weights": GOLDEN / "clip.safetensors",
    "heads": GOLDEN / "heads.safetensors",
}
GOLDEN_PROMPTS = ["background", "wooden floor", "person", "traffic cone", "rusted van"]
