#!/usr/bin/env python3
"""Runs every test: builds once, then runs the suites beside one another as far as they allow it.

    bench/run-tests.py [--also NAME COMMAND]... [--only TEXT] -- CARGO'S FLAGS

A suite is one test program of the workspace (a package's unit tests, or one of the programs in its `tests/`), or a
command given by --also, whose last lines tell its counts as pytest does. Most suites wait more than they work, so they
run together, and those of WAITING, which compute next to nothing, one after the other beside them. Those of ALONE measure what the
machine does, so they run when all others have ended.

A few tests that failed run once more at the very end, one at a time, with the machine to themselves: two cores shared by
many rounds make a generator late, and then what it says of itself is right and not what the test is about. One that
passes then is told as flaky, by name, in the last lines; one that fails twice has failed.

What a suite says goes to build/tests/NAME.log, and to the terminal when it fails. With FLOWTEST_LONG the suites are the same
ones beside one another with fewer tests at a time in each: what runs for an hour must be late by nothing but itself.
"""

import argparse
import json
import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
LOGS = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "build")) / "tests"
LONG = os.environ.get("FLOWTEST_LONG") == "1"

# Whoever measures (rates, shares of a core, what one contestant's fault costs another, how soon a slow viewer is let go), and
# whoever writes journals by many threads: where other work starves the kernel's own, direct writes of theirs wait without
# end.
ALONE = [
    "flowtest-bench/play",
    "flowtest-dashboard/live",
    "flowtest-journal/writer",
    "flowtest-loadgen/journal_commands",
    "flowtest-loadgen/outage",
    "flowtest-loadgen/report",
    "flowtest-loadgen/stress",
]
# The longest of the others, so that they begin first.
FIRST = [
    "flowtest-bench/browser",
    "ansible/hosts",
    "ansible/event",
    "flowtest-bench/rounds",
    "ansible/rest",
    "flowtest-loadgen",
    "flowtest-dashboard/control",
]
# A quarter of a processor at the most, and so a minute and a half beside the longest. In the long form some of them compute.
WAITING = [] if LONG else [
    "flowtest-bench/bad_input",
    "flowtest-dashboard/setting",
    "flowtest-loadgen/limit",
    "flowtest-loadgen/probe",
    "flowtest-scoreboard/redis",
    "flowtest-target/capacity",
    "flowtest-target/faults",
    "flowtest-target/hostile",
    "flowtest-target/life",
    "flowtest-target/tls",
    "flowtest-target/tokens",
]
# Suites at the same time, besides those that wait, and tests at the same time in each.
CORES = len(os.sched_getaffinity(0))
SUITES_AT_ONCE = CORES
THREADS_BESIDE = CORES if LONG else 2 * CORES
THREADS = {
    # Rounds wait for their clock and send a few hundred requests a second, so there are more of them.
    "flowtest-bench/rounds": (2 if LONG else 3) * CORES,
    # Those that measure have the machine.
    "flowtest-bench/play": 1,
    # It computes and does not wait, beside a suite that does.
    "flowtest-loadgen": CORES,
    # These wait for what takes its time, and compute next to nothing.
    "flowtest-bench/bad_input": 2 * THREADS_BESIDE,
    "flowtest-dashboard/live": 2 * CORES,
    "flowtest-loadgen/outage": 2 * CORES,
    "flowtest-loadgen/probe": 2 * THREADS_BESIDE,
    "flowtest-target/hostile": 2 * THREADS_BESIDE,
}
# More tests than this that fail have a cause that no second run mends.
AGAIN_AT_MOST = 6
# A suite that takes longer hangs.
LIMIT_S = 10 * 3600 if LONG else 2400


class Suite:
    def __init__(self, name, command, folder):
        self.name, self.command, self.folder = name, command, folder
        self.passed = self.failed = self.ignored = 0
        self.seconds = self.cpu_seconds = 0.0
        self.flaky = []
        self.log = LOGS / (name.replace("/", ".") + ".log")

    def run(self, threads):
        self.count(self.execute(self.command, self.log, threads))

    def execute(self, command, path, threads):
        environment = dict(os.environ)
        if threads:
            environment.setdefault("RUST_TEST_THREADS", str(threads))
        begin = time.monotonic()
        with open(path, "wb") as log:
            process = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdin=subprocess.DEVNULL, stdout=log,
                stderr=subprocess.STDOUT, start_new_session=True)
            guard = threading.Timer(LIMIT_S, os.killpg, [process.pid, signal.SIGKILL])
            guard.start()
            _, status, usage = os.wait4(process.pid, 0)
            guard.cancel()
            process.returncode = os.waitstatus_to_exitcode(status)
        self.seconds += time.monotonic() - begin
        self.cpu_seconds += usage.ru_utime + usage.ru_stime
        return process.returncode

    def failures(self):
        """The names of the tests that failed, as far as the log tells all of them."""
        text = self.log.read_text(errors="replace")
        cargo, pytest = text.rpartition("\nfailures:\n"), text.rpartition(" short test summary info ")
        names = re.findall(r"^    (\S+)$", cargo[2], re.M) if cargo[1] else []
        names = names or re.findall(r"^(?:FAILED|ERROR) (.+?)(?: - |$)", pytest[2], re.M)
        return names if len(names) == self.failed else []

    def again(self):
        """Runs what failed once more, alone, where it is known what that is."""
        names = self.failures()
        if not names:
            return
        if self.command[0] == "bash":
            command = ["bash", "-c", " ".join([self.command[-1], *map(shlex.quote, names)])]
        else:
            command = [*self.command, "--exact", *names]
        log = self.log.with_suffix(".again.log")
        if self.execute(command, log, 1) == 0:
            self.flaky, self.passed, self.failed = names, self.passed + self.failed, 0
        else:
            print(f"---- {self.name}, again ----\n{log.read_text(errors='replace')}", flush=True)

    def count(self, code):
        text = self.log.read_text(errors="replace")
        results = re.findall(r"^test result: .*", text, re.M) or re.findall(r"^(?:=+ )?\d+ .* in [\d.]+s.*", text, re.M)[-1:]
        for line in results:
            self.passed += sum(map(int, re.findall(r"(\d+) passed", line)))
            self.failed += sum(map(int, re.findall(r"(\d+) (?:failed|errors?)\b", line)))
            self.ignored += sum(map(int, re.findall(r"(\d+) (?:ignored|skipped|deselected)", line)))
        # One that ends badly without a count has failed as a whole.
        if code != 0 and self.failed == 0:
            self.failed = 1
        if code == 0 and not results:
            self.passed = 1


def build(flags):
    """The test programs of the workspace."""
    command = ["cargo", "test", "--workspace", "--no-run", "--message-format", "json-render-diagnostics", *flags]
    built = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    if built.returncode != 0:
        sys.exit(built.returncode)
    suites = []
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if message["reason"] != "compiler-artifact" or not message["profile"]["test"] or not message["executable"]:
            continue
        folder = pathlib.Path(message["manifest_path"]).parent
        kind, target = message["target"]["kind"][0], message["target"]["name"]
        package = manifest_name(folder)
        name = {"lib": package, "bin": f"{package}/main"}.get(kind, f"{package}/{target}")
        suites.append(Suite(name, [message["executable"]], folder))
    return suites


def manifest_name(folder):
    return re.search(r'^name = "([^"]+)"', (folder / "Cargo.toml").read_text(), re.M).group(1)


class Run:
    """All suites, and who runs when."""

    def __init__(self, suites):
        rank = {name: index for index, name in enumerate(FIRST)}
        suites.sort(key=lambda suite: rank.get(suite.name, len(rank)))
        self.beside = [suite for suite in suites if suite.name not in ALONE + WAITING]
        self.waiting = [suite for suite in suites if suite.name in WAITING]
        self.alone = [suite for suite in suites if suite.name in ALONE]
        self.done, self.lock = [], threading.Lock()

    def play(self):
        workers = [threading.Thread(target=self.work, args=[self.beside]) for _ in range(SUITES_AT_ONCE)]
        workers.append(threading.Thread(target=self.work, args=[self.waiting]))
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        for suite in self.alone:
            suite.run(THREADS.get(suite.name))
            self.tell(suite)
        failed = [suite for suite in self.done if suite.failed]
        if sum(suite.failed for suite in failed) <= AGAIN_AT_MOST:
            for suite in failed:
                suite.again()

    def work(self, suites):
        while True:
            with self.lock:
                if not suites:
                    return
                suite = suites.pop(0)
            suite.run(THREADS.get(suite.name, THREADS_BESIDE))
            self.tell(suite)

    def tell(self, suite):
        with self.lock:
            self.done.append(suite)
            if suite.failed:
                print(f"---- {suite.name} ----\n{suite.log.read_text(errors='replace')}", flush=True)
            word = "FAILED" if suite.failed else "ok"
            print(f"{word:6} {suite.seconds:7.1f} s {suite.cpu_seconds:7.1f} s CPU {suite.passed:5} passed"
                  f"{f', {suite.failed} failed' if suite.failed else ''}"
                  f"{f', {suite.ignored} ignored' if suite.ignored else ''}  {suite.name}", flush=True)


def main():
    words, flags = sys.argv[1:], []
    if "--" in words:
        at = words.index("--")
        words, flags = words[:at], words[at + 1:]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--also", nargs=2, action="append", default=[], metavar=("NAME", "COMMAND"))
    parser.add_argument("--only", action="append", default=[], help="suites whose names hold this")
    arguments = parser.parse_args(words)
    suites = build(flags) + [Suite(name, ["bash", "-c", command], ROOT) for name, command in arguments.also]
    if arguments.only:
        suites = [suite for suite in suites if any(text in suite.name for text in arguments.only)]
    LOGS.mkdir(parents=True, exist_ok=True)
    begin = time.monotonic()
    run = Run(suites)
    run.play()
    failed = [suite.name for suite in run.done if suite.failed]
    cpu = sum(suite.cpu_seconds for suite in run.done)
    flaky = [f"{suite.name} {name}" for suite in run.done for name in suite.flaky]
    if flaky:
        print("flaky (failed beside others, passed alone): " + ", ".join(flaky))
    if failed:
        print("failed: " + ", ".join(failed))
    passed, lost, ignored = (sum(getattr(suite, what) for suite in run.done) for what in ("passed", "failed", "ignored"))
    print(f"{passed} passed, {lost} failed, {ignored} ignored in {len(run.done)} suites; "
          f"{time.monotonic() - begin:.0f} s, {cpu:.0f} s CPU")
    return 1 if failed or not run.done else 0


if __name__ == "__main__":
    sys.exit(main())
