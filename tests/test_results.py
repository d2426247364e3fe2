"The page of the results says what their files say."

from tools import hours


def test_the_page_of_commands_and_hours_is_that_of_the_files():
    assert hours.PAGE.read_text("utf-8") == hours.page(), "run python -m tools.hours"


def test_every_folder_has_its_command_and_hours_are_sums():
    folders = {p.name for p in (hours.RESULTS / "covid_cxr").iterdir() if p.is_dir()}
    assert folders == set(hours.COMMANDS)
    both = [{"seconds": 1800, "device": "cuda"}, {"seconds": "5400"}]
    assert hours.hours(both) == "GPU 0.500 + processor 1.500"
    assert hours.hours([{"side": 1}]) == "not stored" and hours.hours([]) == "none"
