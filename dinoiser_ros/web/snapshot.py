# SPDX-License-Identifier: Apache-2.0
"""What the page saves of one frame: the picture, its masks and the settings, as a zip file."""

from __future__ import annotations

import io
import json
import zipfile

import numpy as np
from PIL import Image

from dinoiser_ros.geometry.resampling import nearest_grid

from .backend import State
from .frame import Frame, shares
from .settings_file import settings_text


def snapshot(frame: Frame, state: State) -> bytes:
    """A zip file: picture, labels and confidence as PNG, masks/, classes.json and settings.yaml.

    Raises:
        DinoiserError: the picture cannot be read.
    """
    image = frame.image
    height, width = image.shape[:2]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:  # PNG is deflated already
        archive.writestr("picture.png", _png(image))
        classes = []
        if frame.labels is not None:
            labels = nearest_grid(frame.labels, (height, width))
            confidence = None
            archive.writestr("labels.png", _png(labels))
            if frame.confidence is not None:
                confidence = nearest_grid(frame.confidence, (height, width))
                archive.writestr("confidence.png", _png(confidence))
            for class_id, name, share, mean in shares(frame, labels, confidence):
                file = f"masks/{class_id}.png"  # texts of people are no file names
                archive.writestr(file, _png(np.where(labels == class_id, 255, 0).astype(np.uint8)))
                entry = {"id": class_id, "name": name, "share": share, "confidence": mean}
                classes.append({**entry, "mask": file})
        about = {"camera": frame.camera, "stamp": frame.stamp, "classes": classes}
        archive.writestr("classes.json", json.dumps(about, indent=2, ensure_ascii=False))
        archive.writestr("settings.yaml", settings_text(state.parameters))
    return buffer.getvalue()


def _png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()
