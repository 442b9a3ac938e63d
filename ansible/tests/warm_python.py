"""A Python that has boto3 and EC2's model in memory already: to load them is two fifths of what a module of amazon.aws costs.

    python warm_python.py SOCKET FILE      serves at SOCKET, and writes FILE, the interpreter that modules are given

Each module still runs in a process of its own, a fork of this one: with its caller's arguments, environment, folder, input
and output, and nothing of what earlier modules did.
"""

import array
import ast
import os
import pathlib
import signal
import socket
import sys
import types

SERVICES = ["ec2", "iam", "sts", "ssm", "cloudformation", "s3"]
# Hands everything over, waits, and ends as the module did. Without what Python imports by itself, which takes longer than it.
CLIENT = """#!{python} -IS
import _socket, os, sys
there = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
there.connect({place!r})
told = repr((sys.argv[1:], os.getcwd(), dict(os.environ))).encode()
there.sendmsg([len(told).to_bytes(4, "big")], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, b"".join(fd.to_bytes(4, sys.byteorder) for fd in (0, 1, 2)))])
there.sendall(told)
code = there.recv(1)
os._exit(code[0] if code else 70)
"""


def warm():
    """Loads what modules load, once. Models are read from files again and again otherwise, 10 MB of JSON for EC2's."""
    import botocore.loaders

    read, known = botocore.loaders.JSONFileLoader.load_file, {}

    def load_file(self, path):
        if path not in known:
            known[path] = read(self, path)
        return known[path]

    botocore.loaders.JSONFileLoader.load_file = load_file
    import boto3

    for service in SERVICES:
        client = boto3.client(service, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
        # The files of waiters and paginators.
        assert isinstance(client.waiter_names, list)
        client.can_paginate(next(iter(client.meta.method_to_api_mapping)))


def received(connection):
    """What the client has handed over: (its arguments, its folder, its environment), and its three descriptors."""
    size, told, _, _ = connection.recvmsg(4, socket.CMSG_SPACE(3 * 4))
    descriptors = array.array("i", told[0][2])
    text = b""
    while len(text) < int.from_bytes(size, "big"):
        text += connection.recv(1 << 20)
    return ast.literal_eval(text.decode()), descriptors


def run(connection):
    """In the fork: becomes what was asked for. Returns its exit code."""
    (arguments, folder, environment), descriptors = received(connection)
    for number, descriptor in enumerate(descriptors):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(number, mode, closefd=False) for number, mode in ((0, "r"), (1, "w"), (2, "w")))
    name = arguments[0] if arguments else "<stdin>"
    text = pathlib.Path(name).read_bytes() if arguments else sys.stdin.buffer.read()
    sys.argv = arguments or [""]
    main = sys.modules["__main__"] = types.ModuleType("__main__")
    main.__dict__.update(__file__=name, __builtins__=__builtins__)
    try:
        exec(compile(text, name, "exec"), main.__dict__)
        return 0
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
        return ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def serve(place):
    server = socket.socket(socket.AF_UNIX)
    server.bind(place)
    server.listen(64)
    # Nobody asks how forks ended: each tells its client.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print("warm", flush=True)
    while True:
        connection, _ = server.accept()
        if os.fork() == 0:
            server.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            code = run(connection)
            connection.sendall(bytes([code & 255]))
            os._exit(code & 255)
        connection.close()


if __name__ == "__main__":
    warm()
    interpreter = pathlib.Path(sys.argv[2])
    interpreter.write_text(CLIENT.format(python=sys.executable, place=sys.argv[1]))
    interpreter.chmod(0o755)
    serve(sys.argv[1])
