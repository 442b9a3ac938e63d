#!/usr/bin/env python3
"""Asks a scoreboard as one of its users, on a host that has that user's password.

    redis.py HOST:PORT USER PASSWORD_FILE CERTIFICATE access CONTEST
    redis.py HOST:PORT USER PASSWORD_FILE CERTIFICATE get KEY...

CERTIFICATE: a file with the one that the server must show, `system` for those that the system trusts, or `none` for no TLS.

`access` says whether it opens to the user with the password, and to nobody else, and with TLS to nobody without; and that a
generator's user steers nothing. `get` prints
one line, `flowtest-redis: {"let_in": true, "values": [..]}`, with an empty text for a key that is not there; where there is no
password file, `let_in` is false and nobody was asked. Prints nothing secret. Exit code 1 with a sentence when something is
wrong.
"""

import json
import os
import socket
import ssl
import sys

TIMEOUT_S = 5


def ask(connection, *words):
    """Sends one command, and returns the answer's first line, or what follows it when that is a text."""
    parts = [f"*{len(words)}\r\n".encode()]
    for word in words:
        parts.append(f"${len(word.encode())}\r\n{word}\r\n".encode())
    connection.sendall(b"".join(parts))
    answer = connection.makefile("rb")
    line = answer.readline()
    if not line.endswith(b"\r\n"):
        raise ConnectionError("it ended the connection instead of answering")
    first = line.decode(errors="replace").rstrip("\r\n")
    if not first.startswith("$"):
        return first
    size = max(int(first[1:]), 0)
    text = answer.read(size)
    if len(text) < size:
        raise ConnectionError("it ended the connection in its answer")
    return text.decode(errors="replace")


class Server:
    def __init__(self, address, user, file, certificate):
        self.address, self.user, self.file, self.certificate = address, user, file, certificate
        host, _, self.port = address.rpartition(":")
        self.host = host.strip("[]")

    def plain(self):
        return socket.create_connection((self.host, int(self.port)), timeout=TIMEOUT_S)

    def connect(self):
        if self.certificate == "none":
            return self.plain()
        trusted = ssl.create_default_context(cafile=None if self.certificate == "system" else self.certificate)
        return trusted.wrap_socket(self.plain(), server_hostname=self.host)

    def password(self):
        with open(self.file, encoding="utf-8") as opened:
            return opened.read()


def access(server, contest):
    if server.certificate != "none":
        with server.plain() as connection:
            try:
                heard = ask(connection, "PING")
            except ConnectionError:
                heard = ""
        if heard.startswith(("+", "-")):
            sys.exit(f"{server.address} answers without TLS: {heard!r}")
    password = server.password()
    # (what is tried, the words before it, the words, what the answer begins with)
    cases = [
        ("a stranger's PING", None, ("PING",), "-NOAUTH"),
        ("a wrong password", None, ("AUTH", server.user, "wrong"), "-WRONGPASS"),
        ("the right password", None, ("AUTH", server.user, password), "+OK"),
        ("PING", password, ("PING",), "+PONG"),
        ("another contest's key", password, ("GET", "flowtest:{someone-else}:control"), "-NOPERM"),
        # ElastiCache has no such command at all.
        ("CONFIG", password, ("CONFIG", "GET", "*"), ("-NOPERM", "-ERR unknown command")),
        ("FLUSHALL", password, ("FLUSHALL",), "-NOPERM"),
        ("KEYS", password, ("KEYS", "*"), "-NOPERM"),
        ("ACL", password, ("ACL", "LIST"), ("-NOPERM", "-ERR unknown command")),
        ("a function that is deleted", password, ("FUNCTION", "FLUSH"), "-NOPERM"),
    ]
    if server.user == "generator":
        # Where they were allowed they would do nothing: to trim a text is an error, and an empty library is none.
        cases += [
            ("the contest's document", password, ("LTRIM", f"flowtest:{{{contest}}}:control", "0", "-1"), "-NOPERM"),
            ("who steers the contest", password, ("LTRIM", f"flowtest:{{{contest}}}:steering", "0", "-1"), "-NOPERM"),
            ("a function of somebody's", password, ("FUNCTION", "LOAD", ""), "-NOPERM"),
        ]
    for what, secret, words, wanted in cases:
        with server.connect() as connection:
            if secret is not None:
                ask(connection, "AUTH", server.user, secret)
            answer = ask(connection, *words)
        if not answer.startswith(wanted):
            sys.exit(f"{server.address}, user {server.user}, {what}: answered {answer!r}, not {wanted}...")


def get(server, keys):
    found = {"let_in": os.path.exists(server.file), "values": []}
    if found["let_in"]:
        with server.connect() as connection:
            let_in = ask(connection, "AUTH", server.user, server.password())
            if let_in != "+OK":
                sys.exit(f"{server.address} does not let in user {server.user}: {let_in}")
            for key in keys:
                answer = ask(connection, "GET", key)
                if answer.startswith("-"):
                    sys.exit(f"{server.address}, user {server.user}, {key}: {answer}")
                found["values"].append(answer)
    # What SSH or sudo print beside it is not taken for it.
    print(f"flowtest-redis: {json.dumps(found)}")


def main():
    server, what, rest = Server(*sys.argv[1:5]), sys.argv[5], sys.argv[6:]
    try:
        if what == "access":
            access(server, *rest)
        else:
            get(server, rest)
    except (OSError, ValueError) as error:
        sys.exit(f"{server.address} cannot be asked: {error}")


main()
