"""The package as pip installs it, from the wheel and from the source: tried in a fresh virtual environment, in a folder
that has nothing of the clone."""

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from browser import REPOSITORY, draw_photo, serving

import sapiens_mlx as sm

pytestmark = pytest.mark.slow
FOLDERS = ("assets/demo", "examples", "sapiens_mlx")
FILES = ("pyproject.toml", "requirements.txt", "README.md", "LICENSE", "NOTICE")
BECOME = "import os, sys; os.execv(sys.argv[1], sys.argv[1:])"


def done(*command: str | Path, **where) -> str:
    """Runs a program and returns what it printed; it must go well."""
    # Nothing of this process's Python, and no weights but those that were installed.
    own = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    own |= {"SAPIENS_CHECKPOINT_ROOT": "none", "HF_HUB_OFFLINE": "1"}
    ended = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=own, **where)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the source, and the wheel that was made of the source."""
    clone, folder = tmp_path_factory.mktemp("clone"), tmp_path_factory.mktemp("built")
    for name in FOLDERS:
        shutil.copytree(REPOSITORY / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(REPOSITORY / name, clone)
    done(sys.executable, "-m", "build", "--outdir", folder, clone)
    return folder


@pytest.fixture(scope="module")
def environment(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of a fresh virtual environment that has what the package needs."""
    folder = tmp_path_factory.mktemp("environment")
    done(sys.executable, "-m", "venv", folder)
    done(folder / "bin/pip", "install", "--quiet", next(built.glob("*.whl")))
    return folder / "bin"


@pytest.fixture(scope="module", params=["*.whl", "*.tar.gz"], ids=["wheel", "source"])
def installed(request: pytest.FixtureRequest, built: Path, environment: Path) -> Path:
    """The folder of programs of the environment, with the package installed anew from this kind of file."""
    done(environment / "pip", "uninstall", "--quiet", "--yes", "sapiens-mlx")
    done(environment / "pip", "install", "--quiet", "--no-deps", next(built.glob(request.param)))
    return environment


def test_the_command_predicts_with_the_weights_inside(installed, tmp_path):
    photo = draw_photo(tmp_path / "photo.png", (96, 128))
    assert done(installed / "sapiens-mlx", "--version", cwd=tmp_path).strip() == sm.__version__
    assert "usage: sapiens-mlx predict" in done(installed / "sapiens-mlx", "predict", "--help", cwd=tmp_path)
    done(installed / "sapiens-mlx", "predict", photo, "--task", "seg,detect", "--out", "results", cwd=tmp_path)
    assert {"photo_seg.png", "photo_detect.png"} <= {path.name for path in (tmp_path / "results").iterdir()}


def test_the_page_answers_and_has_its_examples(installed, tmp_path):
    from gradio_client import Client, handle_file

    photo = draw_photo(tmp_path / "photo.png", (96, 128))
    listed = "from sapiens_mlx.ui import examples; print(len(examples.files()), len(examples.clips()))"
    assert done(installed / "python", "-c", listed, cwd=tmp_path) == "6 1\n"
    command = ["-c", BECOME, str(installed / "sapiens-mlx"), "serve"]
    with serving(command, tmp_path, {}, tmp_path) as server:
        client = Client(server.url, verbose=False, download_files=str(tmp_path / "received"))
        files, *_ = client.predict(handle_file(photo), "seg", "demo", api_name="/predict")
        assert any(Path(file).name == "photo_seg.png" for file in files)
        client.close()


def test_all_that_is_in_the_package_was_installed(installed):
    """Nothing is written among the installed files, by Gradio say, which pip would leave behind."""
    program = """
from importlib.metadata import files
from pathlib import Path
import sapiens_mlx.ui.page
package = Path(sapiens_mlx.__file__).parent
listed = {Path(file.locate()) for file in files("sapiens-mlx")}
print([str(path) for path in package.rglob("*") if path.is_file() and path.suffix != ".pyc" and path not in listed])
print((package / "py.typed") in listed)
"""
    assert done(installed / "python", "-c", program, cwd=installed).splitlines() == ["[]", "True"]


def test_the_source_has_the_licences_and_what_the_build_reads(built):
    with tarfile.open(next(built.glob("*.tar.gz"))) as source:
        names = {name.partition("/")[2] for name in source.getnames()}
    assert {"LICENSE", "NOTICE", "README.md", "pyproject.toml", "requirements.txt", "assets/demo/LICENSE"} <= names
