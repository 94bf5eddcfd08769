# SPDX-License-Identifier: Apache-2.0
"""open_clip's tokenizer, prompt templates and configs, without the rest of open_clip.

Importing open_clip brings timm, torchvision and PyTorch's compiler along: 1.5 s and 220 MB, and
segmenting needs none of it. The two modules below do not depend on the rest, so they are loaded
on their own.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any


def _folder() -> Path:
    """Where open_clip is installed; finding it does not import it."""
    spec = importlib.util.find_spec("open_clip")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("open_clip is not installed: run `pip install open_clip_torch`")
    return Path(next(iter(spec.submodule_search_locations)))


def _part(name: str) -> ModuleType:
    """A module of open_clip; together with all of it if it was imported, or the module needs it."""
    if "open_clip" not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            f"{__name__}_{name}", _folder() / f"{name}.py"
        )
        assert spec is not None and spec.loader is not None, "a path that ends in .py has both"
        try:
            part = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(part)
            return part
        except (ImportError, OSError):  # another version: it is laid out in another way
            pass
    return importlib.import_module(f"open_clip.{name}")


SimpleTokenizer = _part("tokenizer").SimpleTokenizer
TEMPLATES = _part("zero_shot_metadata").OPENAI_IMAGENET_TEMPLATES


def model_config(name: str) -> dict[str, Any] | None:
    """A config that open_clip ships, such as "ViT-B-16"; None for a name it does not know."""
    path = _folder() / "model_configs" / f"{name}.json"
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return values
    except OSError:
        return None
