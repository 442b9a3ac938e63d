import os

from flask import Flask, request

app = Flask(__name__)
VERSION = os.environ.get("VERSION", "v1")
FROM = os.environ.get("FROM", "EC2")
# Your login name, where the contest asks whose server it is.
TEAM = {"Team": os.environ["TEAM"]} if os.environ.get("TEAM") else {}


@app.get("/healthz")
def health():
    return ""


@app.get("/")
@app.get("/<path:_path>")
def answer(_path=""):
    # The token of this request: a global variable would answer with somebody else's.
    return "", {"Token": request.headers.get("Token", ""), "Version": VERSION, "From": FROM, **TEAM}
