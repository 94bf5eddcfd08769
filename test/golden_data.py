"""Where the golden data are, and what they were made with."""

from __future__ import annotations

import sys
from pathlib import Path

DATA = Path(__file__).parent / "data"
GOLDEN = DATA / "golden"
GOLDEN_MODEL = {
    "model": GOLDEN / "golden-small.json",
    "weights": GOLDEN / "clip.safetensors",
    "heads": GOLDEN / "heads.safetensors",
}
# open_clip 2.24 is the newest release with sequence-first transformers; `make` puts it there.
OLD_OPEN_CLIP = Path(sys.prefix) / "open_clip-2.24"
GOLDEN_PROMPTS = ["background", "wooden floor", "person", "traffic cone", "rusted van"]
