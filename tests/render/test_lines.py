"""Lines for people, where no command's test looks at the words."""

import pytest

from featurestore.render.lines import replay_line
from featurestore.workflows.verify.replay import Replay


@pytest.mark.parametrize(("behind", "said"), [(1, "1 line behind"), (2, "2 lines behind")])
def test_one_line_of_a_log_is_not_lines(behind: int, said: str) -> None:
    assert replay_line(Replay(lines=3, behind=behind)).endswith(f", {said}")
