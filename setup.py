# SPDX-License-Identifier: Apache-2.0
"""pip install . gives the part of dinoiser_ros that needs no ROS, and the command "dinoiser".

On a ROS machine colcon installs everything, this part included; see CMakeLists.txt.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent


def requirements(name: str) -> list[str]:
    """Return the lines of a requirements file without comments and blank lines."""
    text = re.sub(r"(?m)(^|\s)#.*$", "", (ROOT / name).read_text(encoding="utf-8"))
    return [line.strip() for line in text.splitlines() if line.strip()]


def version() -> str:
    """Return the version in package.xml, its only home."""
    text = (ROOT / "package.xml").read_text(encoding="utf-8")
    return re.search(r"<version>(.+?)</version>", text).group(1)


def maintainer_email() -> str:
    """Return the maintainer's address in package.xml."""
    text = (ROOT / "package.xml").read_text(encoding="utf-8")
    return re.search(r'<maintainer email="(.+?)">', text).group(1)


def long_description() -> str:
    """Return the README, if it comes with the sources."""
    path = ROOT / "README.md"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


setup(
    name="dinoiser_ros",
    version=version(),
    description="Open-vocabulary semantic segmentation of camera streams with CLIP-DINOiser",
    long_description=long_description(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    author="dinoiser_ros maintainers",
    author_email=maintainer_email(),
    keywords="ros2 robotics semantic-segmentation open-vocabulary clip",
    classifiers=[
        "Development Status :: 4 - Beta",
        "Intended Audience :: Science/Research",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in range(10, 14)),
        "Topic :: Scientific/Engineering :: Image Recognition",
        "Typing :: Typed",
    ],
    python_requires=">=3.10",
    # ros/ needs rclpy and generated messages, which pip does not bring.
    packages=find_packages(
        include=["dinoiser_ros", "dinoiser_ros.*"],
        exclude=["dinoiser_ros.ros", "dinoiser_ros.ros.*"],
    ),
    package_data={
        "dinoiser_ros": ["py.typed", "**/*.json", "**/*.safetensors", "**/*.txt", "web/page/*"]
    },
    install_requires=requirements("requirements.txt"),
    extras_require={
        # The method cliper-diffusion; transformers holds Stable Diffusion's text tower.
        "diffusion": ["diffusers>=0.27", "transformers>=4.38"],
        # "dinoiser segment" on videos and on bags; rosbags-image reads Bayer and YUV pictures.
        "video": ["opencv-python-headless>=4.8"],
        "bags": ["rosbags>=0.11", "rosbags-image>=0.10", "opencv-python-headless>=4.8"],
        # `dinoiser segment --ray`: workers on several machines.
        "ray": ["ray>=2.9"],
        # Data sets for Hugging Face's `datasets`.
        "parquet": ["pyarrow>=12"],
        # `dinoiser export`. PyTorch's tracing exporter is used, which needs no onnxscript.
        "export": ["onnx>=1.14", "onnxruntime>=1.15"],
        # `engine: openvino`, and `dinoiser quantize`, which needs nncf besides.
        "openvino": ["openvino>=2024.4", "onnx>=1.14"],
        "quantize": ["openvino>=2024.4", "onnx>=1.14", "nncf>=2.13"],
        # Models of SigLIP: their tokenizers.
        "siglip": ["tokenizers>=0.15"],
        "sim": ["mujoco>=3.2", "PyOpenGL>=3.1.7"],
        # DINO teachers by their timm names; local files of them need nothing.
        "train": ["timm>=0.9"],
        "test": requirements("requirements-dev.txt"),
        "docs": requirements("requirements-docs.txt"),
    },
    entry_points={"console_scripts": ["dinoiser = dinoiser_ros.cli.main:main"]},
)
