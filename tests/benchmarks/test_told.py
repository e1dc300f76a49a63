"""How a script ends where the user, or who reads its output, has ended it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from told import told

from tracking.errors import UserError

ROOT = Path(__file__).resolve().parents[2]


def test_a_mistake_of_the_users_is_one_message_and_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end, told():
        raise UserError("a rule", "what was given", "a hint")
    assert end.value.code == 2
    assert capsys.readouterr().err == "error: a rule\n  got:  what was given\n  hint: a hint\n"
    with pytest.raises(ZeroDivisionError), told():  # a mistake of ours keeps its traceback
        raise ZeroDivisionError
    with told():
        print("shown")
    assert capsys.readouterr() == ("shown\n", "")


@pytest.mark.parametrize(("script", "said"), [
    ("from told import told\nwith told():\n    {}", ""),
    ("{}", "BrokenPipeError"),
], ids=["told", "control"])
@pytest.mark.parametrize("printed", ["print('x')", "[print('x' * 99) for _ in range(9999)]"])
def test_a_closed_pipe_ends_it_quietly(script: str, said: str, printed: str) -> None:
    """Also where all that was printed is still buffered when the script has done its work."""
    folders = os.pathsep.join([str(ROOT / "benchmarks"), str(ROOT)])
    begun = subprocess.Popen(
        [sys.executable, "-c", "input()\n" + script.format(printed)], env={**os.environ, "PYTHONPATH": folders},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    assert begun.stdin and begun.stdout and begun.stderr
    begun.stdout.close()
    begun.stdin.write("go on\n")
    begun.stdin.close()
    complaint = begun.stderr.read()
    assert (begun.wait() == 141) is (not said)
    assert said in complaint if said else not complaint
    begun.stderr.close()


def test_a_folder_that_is_no_sweep_ends_the_table_of_tails(tmp_path: Path) -> None:
    script = ROOT / "benchmarks" / "git_transfer.py"
    done = subprocess.run(
        [sys.executable, str(script), "--sweeps", str(tmp_path / "nosuch")], capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: the folder of a sweep must be given\n") and "Traceback" not in done.stderr
