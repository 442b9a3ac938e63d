#!/usr/bin/env python3
"""Makes the pictures of README.md from a real round: `make screenshots`.

It starts `flowtest-bench demo --stay`, signs in with a headless Chromium as the organiser and as a team, and takes pictures of
the pages while the round runs. A second, short run of the generator alone is drawn as SVG from what it wrote to its terminal.
Nothing but Python, Chromium and chromedriver is needed; no page is staged and no picture is retouched.
"""

import base64
import html
import json
import os
import pathlib
import pty
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
BIN = ROOT / "build" / "quick"
OUT = ROOT / "docs" / "images"

# The round, and when in it pictures are taken: after both deadlines, which the demo has at a third and at two thirds, and
# early enough for a busy machine.
LENGTH_S = 75
TAKEN_AT_S = 54
# Longest wait for anything else.
TIMEOUT_S = 90
# A picture that is larger does not belong into a repository.
BYTES_MAX = 200_000

# Who looks, at what, in a window of which size.
PICTURES = [
    ("my-team", "bob", "/index", 1280, 1200),
    ("projector", "organiser", "/chart?view=projector", 1280, 720),
    ("chart", "organiser", "/chart", 1280, 1060),
]


def fail(message):
    sys.exit(f"screenshots: {message}")


class Demo:
    """The contest in a box, and what it says about itself."""

    def __init__(self):
        command = [BIN / "flowtest-bench", "demo", "--for", f"{LENGTH_S}s", "--stay"]
        self.child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.said = []
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        for line in self.child.stdout:
            self.said.append(line)

    def wait_for(self, pattern):
        until = time.monotonic() + TIMEOUT_S + LENGTH_S
        while time.monotonic() < until:
            found = re.search(pattern, "".join(self.said), re.MULTILINE)
            if found:
                return found.group(1)
            if self.child.poll() is not None:
                break
            time.sleep(0.1)
        fail(f"the demo never said {pattern!r}; it said:\n{''.join(self.said)}")

    def stop(self):
        self.child.send_signal(signal.SIGINT)
        self.child.wait(timeout=TIMEOUT_S)


class Browser:
    """One headless Chromium, by the WebDriver protocol."""

    def __init__(self, site):
        self.site = site
        self.driver = subprocess.Popen(
            ["chromedriver", "--port=0"], stdout=subprocess.PIPE, text=True, env={**os.environ, "TZ": "UTC"}
        )
        for line in self.driver.stdout:
            found = re.search(r"started successfully on port (\d+)", line)
            if found:
                break
        else:
            fail("chromedriver does not start")
        flags = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars", "--lang=en-GB"]
        capabilities = {"browserName": "chrome", "goog:chromeOptions": {"args": flags}}
        self.base = f"http://127.0.0.1:{found.group(1)}/session"
        self.base += "/" + self.ask("POST", "", {"capabilities": {"alwaysMatch": capabilities}})["sessionId"]

    def ask(self, method, path, body=None):
        data = json.dumps(body or {}).encode() if method == "POST" else None
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"}, method=method)
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            return json.load(response)["value"]

    def go(self, path):
        self.ask("POST", "/url", {"url": self.site + path})

    def run(self, script):
        return self.ask("POST", "/execute/sync", {"script": script, "args": []})

    def until(self, condition):
        until = time.monotonic() + TIMEOUT_S
        while not self.run(f"return Boolean({condition})"):
            if time.monotonic() > until:
                fail(f"the page never had {condition}")
            time.sleep(0.1)

    def sign_in(self, name, password):
        self.go("/login")
        for field, text in [("name", name), ("password", password)]:
            found = self.ask("POST", "/element", {"using": "css selector", "value": f"[name={field}]"})
            self.ask("POST", f"/element/{next(iter(found.values()))}/value", {"text": text})
        self.run("document.querySelector('form[action=\"/login\"]').requestSubmit()")
        self.until("!location.pathname.startsWith('/login')")

    def press(self, path, form):
        """Sends a form of a page, as its button does."""
        self.go(path)
        self.until(f"document.querySelector('{form}')")
        self.run(f"document.querySelector('{form}').requestSubmit()")

    def picture(self, name, path, width, height):
        self.ask("POST", "/goog/cdp/execute", {
            "cmd": "Emulation.setDeviceMetricsOverride",
            "params": {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
        })
        self.go(path)
        self.until("document.readyState === 'complete' && document.fonts.status === 'loaded'")
        # The first frames of the live feed, so that lines and changes are there.
        time.sleep(3)
        save(f"{name}.png", base64.b64decode(self.ask("GET", "/screenshot")))

    def close(self):
        self.ask("DELETE", "")
        self.driver.terminate()
        self.driver.wait(timeout=TIMEOUT_S)


def save(name, data):
    if len(data) > BYTES_MAX:
        fail(f"{name} has {len(data)} bytes, more than {BYTES_MAX}: take it in a smaller window")
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / name).write_bytes(data)
    print(f"docs/images/{name}: {len(data) // 1024} KiB")


# The terminal -------------------------------------------------------------------------------------------------------

COLUMNS, CELL, LINE, MARGIN = 104, 8.0, 18, 16
COLOURS = {
    "30": "#484f58", "31": "#ff7b72", "32": "#7ee787", "33": "#e3b341", "34": "#79c0ff", "35": "#d2a8ff", "36": "#56d4dd",
    "37": "#c9d1d9", "90": "#8b949e",
}


def terminal():
    """A contestant, three seconds of flood on it, and what the generator writes, as SVG."""
    target = subprocess.Popen([BIN / "flowtest-target", "--listen", "127.0.0.1:0"], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
    try:
        for line in target.stdout:
            found = re.search(r"127\.0\.0\.1:\d+", line)
            if found:
                break
        else:
            fail("the target does not say where it listens")
        threading.Thread(target=target.stdout.read, daemon=True).start()
        arguments = ["stress", f"http://{found.group(0)}/", "--rate", "2000..20000", "--duration", "3s"]
        words = on_a_terminal([BIN / "flowtest-loadgen", *arguments])
        shown = " ".join(["flowtest-loadgen", *arguments]).replace(found.group(0), "127.0.0.1:8081")
        save("terminal.svg", drawn(f"$ {shown}\n" + words.replace(found.group(0), "127.0.0.1:8081")).encode())
    finally:
        target.terminate()
        target.wait(timeout=TIMEOUT_S)


def on_a_terminal(command):
    """What a command writes to its standard output when that is a terminal; what it says meanwhile is left out."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "CLICOLOR_FORCE": "1"}
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.DEVNULL, env=environment) as child:
        os.close(theirs)
        said = b""
        try:
            while chunk := os.read(ours, 65536):
                said += chunk
        except OSError:
            pass  # Linux ends a terminal that nobody holds by EIO.
        child.wait(timeout=TIMEOUT_S)
    os.close(ours)
    return said.decode().replace("\r\n", "\n").rstrip("\n")


def drawn(text):
    lines = text.split("\n")
    width, height = int(COLUMNS * CELL + 2 * MARGIN), len(lines) * LINE + 2 * MARGIN
    rows = []
    for number, line in enumerate(lines):
        spans, column, style = [], 0, {}
        for part in re.split(r"(\x1b\[[0-9;]*m)", line):
            code = re.fullmatch(r"\x1b\[([0-9;]*)m", part)
            if code:
                for number_of in code.group(1).split(";"):
                    if number_of in ("", "0"):
                        style = {}
                    elif number_of == "1":
                        style["font-weight"] = "bold"
                    elif number_of == "2":
                        style["fill"] = COLOURS["90"]
                    elif number_of in COLOURS:
                        style["fill"] = COLOURS[number_of]
            elif part:
                attributes = "".join(f' {key}="{value}"' for key, value in style.items())
                # The length is said, so that columns stand where they stood whatever font is at hand.
                length = len(part) * CELL
                spans.append(f'<tspan x="{MARGIN + column * CELL:g}" textLength="{length:g}"{attributes}>'
                             f"{html.escape(part)}</tspan>")
                column += len(part)
        rows.append(f'<text y="{MARGIN + LINE * number + 13}" xml:space="preserve">{"".join(spans)}</text>')
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            f'font-family="ui-monospace, DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="13" fill="#c9d1d9">\n'
            f'<rect width="100%" height="100%" rx="8" fill="#0d1117"/>\n' + "\n".join(rows) + "\n</svg>\n")


def pages():
    demo = Demo()
    browsers = {}
    try:
        site = demo.wait_for(r"(http://127\.0\.0\.1:\d+)")
        password = demo.wait_for(r"password +(\S+)")
        for who in dict.fromkeys(who for _, who, *_ in PICTURES):
            browsers[who] = Browser(site.rstrip("/"))
            browsers[who].sign_in(who, password)
        # What an organiser does before a round: takes the notice away that saving the settings has made. No team tests its
        # endpoint here: the request would be one more than the demo's exact account knows.
        browsers["organiser"].press("/setting", 'form[action^="/setting/announce/"][action$="/end"]')
        browsers["organiser"].go("/chart")
        browsers["organiser"].until("document.querySelector('[data-stage-state]').dataset.state === 'running'")
        started = time.monotonic()
        time.sleep(max(0, started + TAKEN_AT_S - time.monotonic()))
        for name, who, path, width, height in PICTURES:
            browsers[who].picture(name, path, width, height)
        demo.wait_for(r"(The dashboard stays at)")
        wrong = [line for line in demo.said if "DIFFER" in line]
        if wrong:
            fail(f"the round behind the pictures is not exact:\n{''.join(wrong)}")
        print("the round behind the pictures is exact")
    finally:
        for browser in browsers.values():
            browser.close()
        demo.stop()


if __name__ == "__main__":
    terminal()
    pages()
