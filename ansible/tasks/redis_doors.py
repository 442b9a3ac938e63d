#!/usr/bin/env python3
"""Asks a scoreboard whether it opens to a user with its password, and to nobody else.

    redis_doors.py HOST:PORT USER PASSWORD_FILE [CERTIFICATE]

With CERTIFICATE over TLS: a file with the one that the server must show, or `system` for those that the system trusts.
Then nothing may be heard without TLS, either.

Prints nothing secret. Exit code 1 with a sentence when a door is open that should be closed, or the other way round.
"""

import socket
import ssl
import sys


def ask(connection, *words):
    parts = [f"*{len(words)}\r\n".encode()]
    for word in words:
        parts.append(f"${len(word.encode())}\r\n{word}\r\n".encode())
    connection.sendall(b"".join(parts))
    return connection.recv(4096).decode(errors="replace")


def main():
    address, user, file = sys.argv[1:4]
    trusted = sys.argv[4] if len(sys.argv) > 4 else None
    host, _, port = address.rpartition(":")
    tls = ssl.create_default_context(cafile=None if trusted == "system" else trusted) if trusted else None

    def connect():
        plain = socket.create_connection((host, int(port)), timeout=5)
        return tls.wrap_socket(plain, server_hostname=host) if tls else plain

    if tls:
        with socket.create_connection((host, int(port)), timeout=5) as connection:
            try:
                heard = ask(connection, "PING")
            except ConnectionError:
                heard = ""
        if heard.startswith(("+", "-")):
            sys.exit(f"{address} answers without TLS: {heard!r}")
    with open(file, encoding="utf-8") as opened:
        password = opened.read()
    # (what is tried, the words before it, the words, what the answer begins with)
    cases = [
        ("a stranger's PING", None, ("PING",), "-NOAUTH"),
        ("a wrong password", None, ("AUTH", user, "wrong"), "-WRONGPASS"),
        ("the right password", None, ("AUTH", user, password), "+OK"),
        ("PING", password, ("PING",), "+PONG"),
        ("another contest's key", password, ("GET", "flowtest:{someone-else}:control"), "-NOPERM"),
        ("CONFIG", password, ("CONFIG", "GET", "*"), "-NOPERM"),
        ("FLUSHALL", password, ("FLUSHALL",), "-NOPERM"),
        ("KEYS", password, ("KEYS", "*"), "-NOPERM"),
        ("ACL", password, ("ACL", "LIST"), "-NOPERM"),
        ("a function that is deleted", password, ("FUNCTION", "FLUSH"), "-NOPERM"),
    ]
    for what, secret, words, wanted in cases:
        with connect() as connection:
            if secret is not None:
                ask(connection, "AUTH", user, secret)
            answer = ask(connection, *words)
        if not answer.startswith(wanted):
            sys.exit(f"{address}, user {user}, {what}: answered {answer.split(chr(13))[0]!r}, not {wanted}...")


main()
