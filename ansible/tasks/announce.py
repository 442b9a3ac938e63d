#!/usr/bin/env python3
"""Announces one line to everybody, unless it stands on the dashboard's page Rules already, where announcements stay.

    announce.py ORIGIN NAME PASSWORD_FILE TEXT

By the forms that an organiser has: ORIGIN is the dashboard on this machine, as https://127.0.0.1:443, whose certificate is for another
name and not looked at. Prints `announced`, or `it stands there`; exit code 1 with a sentence when it could not.
"""

import html
import http.cookiejar
import re
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request

TIMEOUT_S = 60
# As a banner; on the page Rules it stays.
SHOWN_MINUTES = 5


class Dashboard:
    def __init__(self, origin):
        self.origin = origin
        here = ssl.create_default_context()
        here.check_hostname = False
        here.verify_mode = ssl.CERT_NONE
        self.opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=here), urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        )

    def ask(self, path, fields=None):
        """The page that it leads to."""
        body = None if fields is None else urllib.parse.urlencode(fields).encode()
        request = urllib.request.Request(self.origin + path, body, {"Origin": self.origin})
        with self.opener.open(request, timeout=TIMEOUT_S) as answer:
            return answer.read().decode()

    def send(self, page, path, **fields):
        """Sends a form with the secret of the page that it stands on."""
        [secret, *_] = re.findall(r'name="csrf_token" value="([^"]*)"', page)
        return self.ask(path, {"csrf_token": html.unescape(secret), **fields})

    def stands(self, text):
        return text in html.unescape(self.ask("/rules"))


def announce(origin, name, password_file, text):
    dashboard = Dashboard(origin)
    if dashboard.stands(text):
        return "it stands there"
    with open(password_file) as file:
        password = file.read().strip()
    try:
        dashboard.send(dashboard.ask("/login"), "/login", name=name, password=password)
    except urllib.error.HTTPError as refused:
        raise ValueError(f"{name} is not let in ({refused}): it may have another password than the one that was made for it") from None
    dashboard.send(dashboard.ask("/setting"), "/setting/announce", level="info", minutes=str(SHOWN_MINUTES), text=text)
    if not dashboard.stands(text):
        raise ValueError("the dashboard did not take it")
    return "announced"


def main():
    try:
        print(announce(*sys.argv[1:]))
    except (OSError, ValueError) as error:
        sys.exit(f"announce.py: {error}")


if __name__ == "__main__":
    main()
