"""What pyproject.toml cannot say: conf/, which stands at the top for its users, is installed as mixlingua/conf."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages("src"), "hydra_plugins", "mixlingua.conf"],
    package_dir={"": "src", "mixlingua.conf": "conf"},
)
