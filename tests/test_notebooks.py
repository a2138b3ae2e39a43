"""The notebooks: stripped, installed from the project's address, each a page of the documents.

`make notebooks` executes them.
"""

import json
import re
import subprocess

import pytest
from commands import ROOT
from documents import PROJECT

FILES = sorted((ROOT / "colabs").glob("*.ipynb"))
ADDRESS = PROJECT["urls"]["Repository"]
INSTALL = f'''# In Colab this installs the package; where it is installed already, nothing happens.
import importlib.util

if importlib.util.find_spec("vision_banana") is None:
    %pip install --quiet "vision-banana[colabs] @ git+{ADDRESS}"'''


def cells(file):
    return json.loads(file.read_text("utf-8"))["cells"]


def test_there_are_notebooks():
    assert len(FILES) >= 5


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_outputs_are_stripped(file):
    for cell in cells(file):
        assert "execution" not in cell["metadata"]
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None, cell["source"]


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_it_opens_with_what_it_shows_a_badge_and_its_installation(file):
    first, second = cells(file)[:2]
    title, _, rest = "".join(first["source"]).partition("\n")
    place = ADDRESS.removeprefix("https://github.com/")
    badge = f"https://colab.research.google.com/github/{place}/blob/main/colabs/{file.name})"
    assert title.startswith("# ") and badge in rest, f"the address is {ADDRESS}, as in pyproject"
    assert len(re.sub(r"\[!\[.*", "", rest).split()) > 20, "say what it shows"
    assert "".join(second["source"]) == INSTALL


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_it_names_no_other_address_and_has_a_page(file):
    text = file.read_text("utf-8")
    addresses = re.findall(r"github\.com/([\w-]+/[\w-]+)", text)
    assert {f"https://github.com/{a}" for a in addresses} <= {ADDRESS}
    assert f"notebooks/{file.name}" in (ROOT / "mkdocs.yml").read_text()
    assert f"`{file.name}`" in (ROOT / "colabs" / "README.md").read_text()


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_what_it_trains_begins_anew(file):
    for cell in cells(file):
        if "train.train(" in (source := "".join(cell["source"])):
            assert "tempfile.mkdtemp()" in source, "a folder with a run would train nothing"


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_what_it_scores_begins_anew(file):
    """Records that are kept may be of older code."""
    code = "".join("".join(cell["source"]) for cell in cells(file) if cell["cell_type"] == "code")
    fresh = re.findall(r"^(\w+) = tempfile\.mkdtemp\(\)", code, re.M)
    for folder in re.findall(r'\b(?:records|workdir)=(?:f?"\{?)?([^\s,)}"]+)', code):
        assert folder in fresh, folder


def test_each_is_executed_anew_after_a_change_of_the_package_or_its_data():
    made = subprocess.run(
        ["make", "--dry-run", "--print-data-base", "notebooks"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    for file in FILES:
        rule = re.search(rf"^docs/notebooks/{file.name}: (.*)$", made, re.M)
        needed = set(rule[1].split())
        assert {"vision_banana/cli.py", "vision_banana/tasks/colormaps.json"} <= needed


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_its_pictures_are_described_to_people_who_cannot_see_them(file):
    for cell in cells(file):
        if re.search(r"plt\.show\(\)|display\.display\(", "".join(cell["source"])):
            assert cell["metadata"].get("alt"), "".join(cell["source"])


def test_no_function_is_defined_in_two_notebooks():
    found = {}
    for file in FILES:
        for cell in cells(file):
            if cell["cell_type"] == "code":
                for name in re.findall(r"^(?:def|class) (\w+)", "".join(cell["source"]), re.M):
                    assert found.setdefault(name, file.name) == file.name, name
