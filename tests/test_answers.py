"Each lesson with exercises has an answers notebook; that they run is a test of each notebook."

import re
from pathlib import Path

import nbformat
import pytest

from tests.notebooks import assertions
from tools.project import ANSWERS, NOTEBOOKS, notebooks


def cells_of(path: Path) -> list:
    return nbformat.read(path, as_version=4).cells


def exercises(lesson: Path) -> list[int]:
    "The numbers of the exercises that close a lesson."
    cells = cells_of(lesson)
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    numbers = re.findall(r"^(\d+)\. ", text.partition("## Exercises")[2], re.M)
    return [int(number) for number in numbers]


def answered(path: Path) -> dict[int, int]:
    "The numbers of the exercises answered, each with how many assertions its answer makes."
    found, number = {}, 0
    for cell in cells_of(path):
        if heading := re.match(r"## Exercise (\d+)$", cell.source.partition("\n")[0]):
            number = int(heading[1])
            found[number] = 0
        elif cell.cell_type == "code" and number:
            found[number] += assertions(cell.source)
    return found


LESSONS = {path.relative_to(NOTEBOOKS): exercises(path) for path in notebooks() if exercises(path)}


@pytest.mark.parametrize("lesson", LESSONS, ids=str)
def test_each_exercise_has_an_answer_that_can_fail(lesson):
    path = ANSWERS / lesson
    answers = answered(path)
    assert list(answers) == LESSONS[lesson]
    assert all(answers.values()), f"answers without an assertion: {answers}"
    cells = [cell for cell in cells_of(path) if cell.cell_type == "code"]
    with_outputs = [cell.source for cell in cells if cell.outputs or cell.execution_count]
    assert not with_outputs, "answers keep no outputs: clear them"


def test_each_answer_belongs_to_a_lesson():
    there = {path.relative_to(ANSWERS) for path in ANSWERS.rglob("*.ipynb")}
    assert not there - LESSONS.keys() and LESSONS
