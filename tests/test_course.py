"The form of a lesson, from its opening to its quiz, and the paths through the course."

import ast
import re
from functools import cache
from math import ceil
from pathlib import Path

import nbformat
import pytest

from tools.project import ANSWERS, NOTEBOOKS, ROOT
from tools.project import code_cells as code_of

LESSONS = sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))
NUMBERS = {path.stem[:2]: path for path in LESSONS}
GUESS = "**Guess first"
END = ["What was found", "Quiz", "Exercises"]
GRADES = ("apply", "build", "evaluate")
RUNS = {
    "under a minute": "under 1 min",
    "a minute": "1 min",
    "a minute and a half": "1.5 min",
    "two minutes": "2 min",
}


@cache
def cells_of(path: Path) -> list:
    return nbformat.read(path, as_version=4).cells


def is_guard(cell) -> bool:
    "Whether JupyterLab and the page fold this cell: what tests, and what a reader may skip."
    return "guard" in cell.metadata.get("tags", ())


def read_cells(path: Path) -> list:
    "The cells that a reader reads: all but the guards and what else is folded and not exported."
    folded = "#| code-fold: true"
    return [c for c in cells_of(path) if not is_guard(c) and not c.source.startswith(folded)]


def asserts(source: str) -> list[str]:
    "The assertions in code: `assert`, and calls of `test_eq`, `assert_allclose` and such."
    return [
        ast.unparse(node)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Assert)
        or isinstance(node, ast.Call)
        and re.search(r"(^|\.)((test|assert)_\w+|expect_fail|raises)$", ast.unparse(node.func))
    ]


def prose(path: Path) -> str:
    return "\n\n".join(cell.source for cell in cells_of(path) if cell.cell_type == "markdown")


def part(text: str, heading: str) -> str:
    "What stands under a heading of the second level, up to the next one."
    return re.split(r"^## ", text.partition(f"## {heading}\n")[2], flags=re.M)[0]


def answers_of(lesson: Path) -> Path:
    return ANSWERS / lesson.name


def numbered(text: str) -> list[str]:
    return re.findall(r"^\d+\. (.+)$", text, re.M)


def opening(path: Path) -> dict[str, str]:
    "The paragraphs of the first two cells of text that begin in bold, by what is bold."
    text = "\n\n".join(cell.source for cell in cells_of(path)[:4] if cell.cell_type == "markdown")
    return dict(re.findall(r"^\*\*([^*]+)\*\* (.+)$", text, re.M))


def needs(path: Path) -> list[str]:
    return re.findall(r"\[(\d\d)\]\(\1_\w+\.ipynb\)", opening(path)["You need"])


def times(path: Path) -> tuple[int, str]:
    "Minutes to read, and what it says of the time to run."
    minutes, run = re.fullmatch(
        r"about (\d+) minutes to read, (.+) to run on two cores\.", opening(path)["Time:"]
    ).groups()
    return int(minutes), run


def minutes_by_section(path: Path) -> dict[str, float]:
    "180 words a minute and 20 seconds a code cell that is not folded."
    section, minutes = "", {}
    for cell in read_cells(path):
        if cell.cell_type == "code":
            minutes[section] = minutes.get(section, 0) + 1 / 3
            continue
        for text in re.split(r"^(?=##+ )", cell.source, flags=re.M):
            if text.startswith("##"):
                section = text.partition("\n")[0].lstrip("# ")
            minutes[section] = minutes.get(section, 0) + len(text.split()) / 180
    return minutes


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
class TestLesson:
    def test_it_opens_with_what_it_teaches_needs_and_takes(self, lesson):
        found = opening(lesson)
        assert len(found["You will learn"]) <= 400, "more than three lines"
        assert (
            needs(lesson) == sorted(needs(lesson)) and max(needs(lesson), default="") < lesson.stem
        )
        minutes, run = times(lesson)
        assert run in RUNS
        assert abs(minutes - sum(minutes_by_section(lesson).values())) <= 2.5, "to the nearest five"

    def test_each_guess_comes_before_code_and_its_answer_after(self, lesson):
        open_guesses, answered, code_cells = [], 0, 0
        for cell in cells_of(lesson):
            if cell.cell_type == "code":
                code_cells += 1
                continue
            for mark in re.findall(r"\*\*(?:Guess first|Your guess)", cell.source):
                if mark == GUESS:
                    open_guesses.append(code_cells)
                    continue
                assert open_guesses, "an answer without a guess"
                assert open_guesses.pop() < code_cells, "no code between a guess and its answer"
                answered += 1
        assert answered and not open_guesses, "a guess without an answer"

    def test_it_ends_with_what_was_found_a_quiz_and_exercises(self, lesson):
        last = cells_of(lesson)[-1].source
        assert [h for h in re.findall(r"^## (.+)$", last, re.M) if h in END] == END
        assert 4 <= len(numbered(part(last, "Quiz"))) <= 5
        exercises = numbered(part(last, "Exercises"))
        assert exercises and all(" *Hint:* " in exercise for exercise in exercises)
        assert f"`answers/{lesson.name}`" in last

    def test_its_exercises_rise_through_all_three_grades(self, lesson):
        asked = numbered(part(cells_of(lesson)[-1].source, "Exercises"))
        grades = [re.match(r"\*\((\w+)\)\* ", exercise)[1] for exercise in asked]
        assert grades == sorted(grades, key=GRADES.index) and {*grades} == {*GRADES}

    def test_assertions_stand_in_folded_cells(self, lesson):
        for cell in read_cells(lesson):
            if cell.cell_type == "code" and not re.search(r"^#\|\s*export", cell.source, re.M):
                assert not asserts(cell.source), f"move into a guard cell: {asserts(cell.source)}"
        for cell in filter(is_guard, cells_of(lesson)):
            assert cell.source.startswith("#| code-fold: true\n")
            assert cell.metadata["jupyter"]["source_hidden"] is True

    def test_run_all_runs_every_cell(self, lesson):
        "JupyterLab, Colab and Binder do not know nbdev's `eval: false`, and run such a cell."
        code = [cell.source for cell in cells_of(lesson) if cell.cell_type == "code"]
        assert not [s for s in code if re.search(r"^#\|\s*eval:\s*false", s, re.M)]

    def test_titles_carry_their_numbers(self, lesson):
        titles = [
            cells_of(path)[0].source.partition("\n")[0] for path in (lesson, answers_of(lesson))
        ]
        assert titles[0].startswith(f"# {lesson.stem[:2]} ")
        assert titles[1] == f"# Answers: {titles[0].removeprefix('# ')}"

    def test_every_slider_redraws_while_it_is_dragged(self, lesson):
        assert not any("continuous_update=False" in cell.source for cell in cells_of(lesson))

    def test_each_question_of_the_quiz_is_answered(self, lesson):
        questions = numbered(part(cells_of(lesson)[-1].source, "Quiz"))
        answers = numbered(part(prose(answers_of(lesson)), "Quiz"))
        assert len(answers) == len(questions) > 0


@pytest.mark.parametrize("number", ["10", "11", "12", "13"])
def test_an_analysis_predicts_before_it_computes_and_returns_to_it(number):
    cells = cells_of(NUMBERS[number])
    predicts, returns = (
        [i for i, cell in enumerate(cells) if cell.cell_type == "markdown" and mark in cell.source]
        for mark in ("**We predict**", "**Our prediction")
    )
    assert len(predicts) == len(returns) == 1
    between = [cell for cell in cells[predicts[0] : returns[0]] if cell.cell_type == "code"]
    assert any("saved" in cell.source for cell in between), "the results come after the prediction"
    assert "**What would settle it:**" in prose(NUMBERS[number])


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_the_site_opens_a_lesson_as_its_notebook_does(lesson):
    from tools.build_docs import title_cell

    page = title_cell(f"---\ntitle: {lesson.stem}\ndescription: of it\n---", lesson).source
    for words in ("**You will learn**", "**You need**", "**Time:**"):
        assert page.count(words) == 1
    assert page.count("Colab") == page.count("Binder") == page.count("Download") == 1


def page_of(path: Path) -> list:
    "Cells of a notebook as the site shows them, but for what nbdev makes by running it."
    from nbdev.process import NBProcessor

    from tools.build_docs import convert, describe, mark_exported

    made = NBProcessor(path, procs=[mark_exported])
    made.process()
    cells = [cell for cell in made.nb.cells if "source" in cell]
    describe(cells)
    return [convert(cell, set(), path) for cell in cells]


def code_shown(path: Path) -> str:
    code = (cell for cell in page_of(path) if cell.cell_type == "code")
    return "\n".join(cell.source for cell in code if "hide-input" not in cell.metadata["tags"])


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_the_lines_that_a_lesson_points_to_are_on_its_page(lesson):
    pages = {lesson.stem: code_shown(lesson)}
    for line, place in re.findall(r"\blines? `([^`]+)`(?: in \[\w+\]\(([^)]+)\))?", prose(lesson)):
        if place:  # the engine room's code is folded, below the documentation
            shown = "\n".join(cell.source for cell in cells_of(NOTEBOOKS / place))
        else:
            shown = pages[lesson.stem]
        assert line.partition("...")[0].rstrip() in shown, line


def test_the_site_shows_exported_code_in_lessons_and_folds_it_in_the_engine_room():
    losses, engine = NOTEBOOKS / "04_losses.ipynb", NOTEBOOKS / "engine/conformal.ipynb"
    assert "def dice_loss(" in code_shown(losses) and "import torch\n" not in code_shown(losses)
    assert "rank = math.ceil(" not in code_shown(engine)
    folded = [cell for cell in page_of(engine) if "hide-input" in cell.metadata.get("tags", ())]
    assert any("rank = math.ceil(" in cell.source for cell in folded)
    assert not any("#| " in cell.source for cell in page_of(losses))


def test_every_picture_on_the_page_of_a_lesson_has_an_alternative_text():
    shown, alts = 0, []
    for cell in (cell for lesson in LESSONS for cell in page_of(lesson)):
        kinds = {kind for output in cell.get("outputs", []) for kind in output.get("data", {})}
        if any(kind.startswith("image/") for kind in kinds):
            shown += 1
            alts.append(cell.metadata["mystnb"]["image"]["alt"])
    assert shown == len(alts) > 80
    assert not [alt for alt in alts if not re.match(r"Figure of (?!the notebook)\S|[A-Z]", alt)]


@pytest.mark.parametrize(
    "code, alt",
    [
        ("#| fig-alt: Two lungs.\nax.imshow(x)", "Two lungs."),
        ("fig, ax = plt.subplots()", "Figure of Decoders"),
        (
            "a.set_title('one')\nb.set(title='two', xlabel='x (px)', ylabel='h')\nb.set_title(' ')",
            "Figure of Decoders: one; two; h against x (px)",
        ),
        ("plt.ylabel('Dice')\nplt.xlabel('epoch')", "Figure of Decoders: Dice against epoch"),
        ("%timeit f(x)", "Figure of Decoders"),
    ],
)
def test_alternative_text(code, alt):
    from tools.build_docs import alternative_text

    assert alternative_text(code, "Decoders") == alt


def test_the_site_makes_no_links_of_what_code_prints():
    from tools.build_docs import convert

    table = "| [`not_frontal`](/engine/dicom_header.html#not_frontal) | [a](b.html) |"
    output = nbformat.v4.new_output("display_data", {"text/markdown": table})
    cell = nbformat.v4.new_code_cell("Markdown(table)", outputs=[output])
    shown = convert(cell, set(), NOTEBOOKS / "engine/findings.ipynb").outputs[0]
    assert shown.data["text/markdown"] == "| `not_frontal` | [a](b.html) |"


def test_what_an_assertion_is():
    for visible in ("assert x", "for _ in y:\n    test_eq(1, x)", "np.testing.assert_equal(1, x)"):
        assert asserts(visible)
    assert not asserts("t = randomisation_test(x)\ntested = frames.subset(x)")


def index() -> str:
    return part(prose(ROOT / "index.ipynb"), "The course")


def running(numbers: list[str]) -> int:
    "Minutes that lessons run at most, in all."
    return ceil(sum(float(RUNS[times(NUMBERS[n])[1]].split()[-2]) for n in numbers))


def hours(minutes: int) -> str:
    return f"{minutes // 60} h {minutes % 60} min"


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_is_read_in_one_sitting(lesson):
    folded = (cell.metadata.get("jupyter", {}).get("source_hidden") for cell in cells_of(lesson))
    assert 25 <= sum(not hidden for hidden in folded) <= 45


def test_the_map_says_what_the_lessons_say():
    row = r"^\| \[(\d\d) \w+\]\((nbs/\w+\.ipynb)\) \| (.+) \| (.+) \| (\d+) min \| (.+) \|$"
    rows = re.findall(row, index(), re.M)
    assert [number for number, *_ in rows] == list(NUMBERS)
    for number, link, about, needed, minutes, run in rows:
        lesson = NUMBERS[number]
        assert about.endswith("(slider)") == ("ipywidgets" in "\n".join(code_of(lesson)))
        assert ROOT / link == lesson
        assert needed == (", ".join(needs(lesson)) or "nothing")
        assert (int(minutes), run) == (times(lesson)[0], RUNS[times(lesson)[1]])


def test_the_hour_names_sections_that_are_there_and_their_time():
    row = r"^\| \[(\d\d) \w+\]\(nbs/\w+\.ipynb\) \| (\*.+\*) \| .+ \| (\d+) min \|$"
    rows = re.findall(row, index(), re.M)
    assert [number for number, *_ in rows] == ["01", "03", "08", "10", "15"]
    for number, sections, minutes in rows:
        by_section = minutes_by_section(NUMBERS[number])
        read = ["", *re.findall(r"\*([^*]+)\*", sections), "What was found", "Quiz"]
        assert abs(sum(by_section[section] for section in read) - int(minutes)) < 3
    total = sum(int(minutes) for *_, minutes in rows)
    run = running(["01", "03", "08", "10", "15"])
    assert f"is worth.** {total} minutes to read, {run} at most to run" in index() and total <= 60


def test_the_longer_paths_add_up_and_need_nothing_that_they_leave_out():
    day = [*list(NUMBERS)[:11], "15", "16", "17"]
    for path, text in (
        (day, "Lessons 00 to 10, then 15, 16 and 17"),
        (list(NUMBERS), "Lessons 00 to 18 in order"),
    ):
        assert {need for number in path for need in needs(NUMBERS[number])} <= set(path)
        minutes = sum(times(NUMBERS[number])[0] for number in path)
        assert (
            f"{text}: {hours(minutes)} to read, {running(path)} minutes at most to run" in index()
        )
