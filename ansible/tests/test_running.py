"""bench/run-tests.py: what failed beside others runs once more, alone, whatever says so."""

import importlib.util
import shlex

import pytest
from conftest import PROJECT


@pytest.fixture
def runner(tmp_path):
    spec = importlib.util.spec_from_file_location("run_tests", PROJECT / "bench/run-tests.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.LOGS = tmp_path
    return module


@pytest.mark.parametrize("body", ["def test_it():\n    only_once()\n", "import pytest\n\n\n@pytest.fixture\ndef it():\n    only_once()\n\n\ndef test_it(it):\n    pass\n"])
def test_what_pytest_says_failed_runs_once_more(runner, tmp_path, body):
    seen = tmp_path / "seen"
    once = f"import pathlib\n\n\ndef only_once():\n    seen = pathlib.Path({str(seen)!r})\n    first = not seen.exists()\n    seen.touch()\n    assert not first, 'beside others'\n\n\n"
    (tmp_path / "test_once.py").write_text(once + body + "\n\ndef test_other():\n    pass\n")
    words = ["python", "-m", "pytest", "-p", "no:cacheprovider", "-c", str(PROJECT / "ansible/tests/pytest.ini"), "--rootdir", str(tmp_path)]
    suite = runner.Suite("once", ["bash", "-c", shlex.join(words)], tmp_path)
    suite.run(None)
    assert (suite.passed, suite.failed) == (1, 1), suite.log.read_text()
    suite.again()
    assert (suite.passed, suite.failed) == (2, 0), suite.log.read_text()
    assert [name.split("::")[-1] for name in suite.flaky] == ["test_it"]
