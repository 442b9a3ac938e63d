"""Somebody who visits the dashboard without a browser: keeps cookies, and sends the forms that stand on its pages."""

import html.parser
import re
import urllib.parse

import requests

# A login waits for its turn at the passwords; nothing takes longer.
TIMEOUT_S = 60


class Forms(html.parser.HTMLParser):
    """The forms of a page: each its action and its fields, (name, value), as a browser would send them untouched."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.select = self.textarea = None
        self.feed(page)

    def field(self, name, value):
        self.found[-1][1].append((name, value or ""))

    def handle_starttag(self, tag, attributes):
        has = dict(attributes)
        name = has.get("name")
        if tag == "form":
            self.found.append((has.get("action", ""), []))
        elif not self.found:
            return
        elif tag == "input" and name and (has.get("type") not in ("checkbox", "radio") or "checked" in has):
            self.field(name, has.get("value"))
        elif tag == "textarea" and name:
            self.textarea = (name, "")
        elif tag == "select" and name:
            self.select = (name, None)
        elif tag == "option" and self.select and (self.select[1] is None or "selected" in has):
            self.select = (self.select[0], has.get("value"))

    def handle_data(self, data):
        if self.textarea:
            self.textarea = (self.textarea[0], self.textarea[1] + data)

    def handle_endtag(self, tag):
        if tag == "textarea" and self.textarea:
            self.field(*self.textarea)
            self.textarea = None
        elif tag == "select" and self.select:
            self.field(*self.select)
            self.select = None


def complaints(page):
    """What a page says is wrong, in its own words."""
    found = re.findall(r'<[^>]*(?:class="(?:error|notice plain bad)"|role="alert")[^>]*>(.*?)</(?:p|div)>', page.text, re.DOTALL)
    return [" ".join(re.sub("<[^>]*>", " ", one).split()) for one in found]


class Visitor:
    def __init__(self, origin):
        self.origin = origin
        self.session = requests.Session()
        self.session.headers["Origin"] = origin

    def open(self, path):
        answer = self.session.get(self.origin + path, timeout=TIMEOUT_S)
        assert answer.status_code == 200, f"{path}: {answer.status_code}\n{answer.text[:2000]}"
        return answer

    def send(self, path, action, **filled):
        """Fills in the form that leads to `action` on the page at `path`, and sends it. A field given as None is left out."""
        return self.send_from(self.open(path), action, **filled)

    def send_from(self, page, action, **filled):
        forms = [fields for where, fields in Forms(page.text).found if where == action]
        assert forms, f"{page.url} has no form to {action}"
        kept = [(name, value) for name, value in forms[0] if name not in filled]
        fields = kept + [(name, value) for name, value in filled.items() if value is not None]
        return self.session.post(urllib.parse.urljoin(self.origin, action), data=fields, timeout=TIMEOUT_S)

    def sign_in(self, name, password):
        page = self.send("/login", "/login", name=name, password=password)
        assert page.status_code == 200 and "/login" not in page.url, f"{name} was not let in: {page.status_code}"
        return self
