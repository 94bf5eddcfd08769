# SPDX-License-Identifier: Apache-2.0
"""Files and folders that get their name only when they are whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A place to write a file or folder to, that becomes `path` at the end of the block.

    It lies in a folder `path`.part, so that it has its final name all along: containers and bags
    note it inside. After an exception nothing is left, after a killed process only that folder,
    which the next run replaces.

    Args:
        path: where the result will be; what is there is replaced in the end.
    """
    workplace = path.with_name(f"{path.name}.part")
    shutil.rmtree(workplace, ignore_errors=True)
    workplace.mkdir(parents=True)
    try:
        yield workplace / path.name
        if path.is_dir():
            shutil.rmtree(path)
        os.replace(workplace / path.name, path)
    finally:
        shutil.rmtree(workplace, ignore_errors=True)
