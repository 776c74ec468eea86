"""What the project needs, in pyproject.toml and the requirement files: bounded, named once, and complete."""

import ast
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions, requires

import pytest
from browser import REPOSITORY
from packaging.requirements import Requirement

PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())
FILES = sorted(REPOSITORY.glob("requirements*.txt"))
# What bench runs beside ours and detect_rfdetr tries, where a user has installed it.
OF_THE_USERS_OWN = {"torch", "transformers"}


def read(path) -> list[Requirement]:
    lines = (line.split("#")[0].strip() for line in path.read_text().splitlines())
    return [Requirement(line) for line in lines if line and not line.startswith("-")]


EXTRAS = {
    name: [Requirement(text) for text in texts] for name, texts in PROJECT["project"]["optional-dependencies"].items()
}
BUILD = [Requirement(text) for text in PROJECT["build-system"]["requires"]]
ALL = [(path.name, one) for path in FILES for one in read(path)]
ALL += [(f"extra {name}", one) for name, ones in EXTRAS.items() for one in ones] + [("build", one) for one in BUILD]


@pytest.mark.parametrize(("where", "requirement"), ALL, ids=[f"{where}: {one.name}" for where, one in ALL])
def test_every_requirement_has_a_floor_and_a_ceiling(where, requirement):
    operators = {bound.operator for bound in requirement.specifier}
    assert operators in ({"=="}, {">=", "<"}), f"{requirement} in {where}"


def test_a_package_that_is_named_twice_has_the_same_bounds():
    bounds = {}
    for where, one in ALL:
        assert bounds.setdefault(one.name, one.specifier) == one.specifier, f"{one} in {where}"


def test_what_is_imported_is_named():
    """Or it comes with Gradio, which is pinned to one version and bounds it."""
    named = {one.name for where, one in ALL if where == "requirements.txt" or where.startswith("extra")}
    named |= {one.name for text in requires("gradio") if (one := Requirement(text)).marker is None and one.specifier}
    named = {name.replace("_", "-").lower() for name in named} | OF_THE_USERS_OWN | {"sapiens-mlx"}
    owners = packages_distributions()
    for path in sorted((REPOSITORY / "sapiens_mlx").rglob("*.py")):
        beside = {one.stem for one in path.parent.glob("*.py")}  # for scripts of their own process
        for module in imported(path) - sys.stdlib_module_names - beside - {"sapiens_mlx"}:
            distributions = {name.replace("_", "-").lower() for name in owners.get(module, [module.replace("_", "-")])}
            assert distributions & named, f"{path} imports {module}"


def imported(path) -> set[str]:
    """The first parts of the names of modules that a file imports from elsewhere."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module)
    return {name.split(".")[0] for name in names}


def test_the_lowest_versions_are_the_floors():
    command = [sys.executable, str(REPOSITORY / ".ci/lowest.py"), *map(str, FILES)]
    lowest = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert set(lowest) == {
        f"{one.name}=={bound.version}"
        for path in FILES
        for one in read(path)
        for bound in one.specifier
        if bound.operator in (">=", "==")
    }


def test_mlx_is_left_out_on_an_intel_mac_alone():
    mlx = [one for one in read(REPOSITORY / "requirements.txt") if one.name == "mlx"]
    for platform, machine, extras in (
        ("darwin", "arm64", [set()]),
        ("darwin", "x86_64", []),
        ("linux", "x86_64", [{"cpu"}]),
        ("linux", "aarch64", [{"cpu"}]),
    ):
        computer = {"sys_platform": platform, "platform_machine": machine}
        assert [one.extras for one in mlx if one.marker.evaluate(computer)] == extras


def test_every_folder_of_the_package_is_installed():
    listed = PROJECT["tool"]["setuptools"]["packages"]
    folders = {
        ".".join(path.parent.relative_to(REPOSITORY).parts) for path in (REPOSITORY / "sapiens_mlx").rglob("*.py")
    }
    assert set(listed) == folders | {"sapiens_mlx.demo", "sapiens_mlx.examples"}
    assert len(listed) == len(set(listed))


def test_the_workflow_runs_every_python_that_the_package_names():
    workflow = (REPOSITORY / ".github/workflows/test.yml").read_text()
    for classifier in PROJECT["project"]["classifiers"]:
        if found := re.fullmatch(r"Programming Language :: Python :: (3\.\d+)", classifier):
            assert f'"{found[1]}"' in workflow


def test_no_file_of_the_project_names_a_package_index():
    patterns = ("requirements*.txt", "pyproject.toml", ".ci/*", ".github/**/*.yml")
    for path in (path for pattern in patterns for path in REPOSITORY.glob(pattern)):
        assert not re.search(r"index-url|find-links|--index|trusted-host", path.read_text()), path
