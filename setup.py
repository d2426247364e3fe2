"""Build the package from `settings.ini`, the one home of its metadata and requirements."""

from configparser import ConfigParser
from pathlib import Path

from setuptools import find_namespace_packages, setup

config = ConfigParser(delimiters=["="])
config.read(Path(__file__).parent / "settings.ini", encoding="utf-8")
cfg = config["DEFAULT"]


def lines(key: str) -> list[str]:
    "The entries of `key`, one a line."
    return cfg.get(key, "").split("\n")


setup(
    version=cfg["version"],
    description=cfg["description"],
    long_description=(Path(__file__).parent / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author=cfg["author"],
    license=cfg["license"],
    keywords=cfg["keywords"].split(),
    classifiers=[
        f"Development Status :: {cfg['status']}",
        f"Intended Audience :: {cfg['audience']}",
        "Programming Language :: Python :: 3",
        "Topic :: Scientific/Engineering :: Medical Science Apps.",
    ],
    python_requires=f">={cfg['min_python']}",
    install_requires=lines("requirements"),
    extras_require={
        key.removesuffix("_requirements"): lines(key)
        for key in cfg
        if key.endswith("_requirements")
    },
    entry_points={
        "console_scripts": lines("console_scripts"),
        "nbdev": ["hemidiaphragm_nb=hemidiaphragm_nb._modidx:d"],
    },
    packages=find_namespace_packages(include=["hemidiaphragm_nb*"], exclude=["*.__pycache__"]),
    package_data={
        "hemidiaphragm_nb": [
            "weights/*/*",
            "reference/*",
            "static/*",
            "static/page/*",
            "static/page/examples/*",
        ]
    },
    zip_safe=False,
)
