"""The contestant's image, without a container engine: its program is built as the Containerfile says, stands alone in an
empty folder, and serves from there as nobody, with io_uring denied as ECS denies it."""

import ctypes
import os
import re
import shutil
import struct
import subprocess
import time
import urllib.request

import pytest
from conftest import PROJECT, flood

TARGET = f"{os.uname().machine}-unknown-linux-musl"
CONTAINERFILE = (PROJECT / "target/Containerfile").read_text()


def deny_io_uring():
    """In the child: a filter that answers io_uring_setup with EPERM, as containers' profiles do. Ends in no new rights."""
    lines = [(0x20, 0, 0, 0), (0x15, 0, 1, 425), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in lines))

    class Filter(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]

    libc = ctypes.CDLL(None, use_errno=True)
    filter = Filter(len(lines), ctypes.addressof(code))
    if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, ctypes.byref(filter), 0, 0):
        raise OSError(ctypes.get_errno(), "no seccomp")


@pytest.fixture(scope="session")
def program():
    installed = subprocess.run(["rustup", "target", "list", "--installed"], capture_output=True, text=True, check=False).stdout
    if TARGET not in installed:
        pytest.skip(f"there is no Rust for {TARGET} here (rustup target add {TARGET})")
    [line] = re.findall(r"^RUN (cargo build .*?) \\$", CONTAINERFILE, re.MULTILINE)
    words = line.replace("$(uname -m)", os.uname().machine).replace('"', "").split()
    # The same build in the profile and the folder of the other tests.
    words[words.index("--release")] = "--profile=quick"
    words[words.index("--target-dir") + 1] = str(PROJECT / "build")
    subprocess.run(words, cwd=PROJECT, check=True, capture_output=True, timeout=1800)
    return PROJECT / "build" / TARGET / "quick/flowtest-target"


def test_the_image_runs_one_program_as_nobody_on_a_port_above_1024():
    last = CONTAINERFILE.split("FROM scratch")[1]
    assert "USER 65532:65532" in last and "FLOWTEST_TARGET_LISTEN=0.0.0.0:8080" in last and "EXPOSE 8080" in last
    assert 'ENTRYPOINT ["/flowtest-target"]' in last
    assert re.findall(r"^COPY .*", last, re.MULTILINE) == ["COPY --from=build /image/flowtest-target /flowtest-target"]


def test_no_key_and_no_build_enters_the_image():
    """The image's build copies the project as .dockerignore leaves it."""
    left_out = (PROJECT / ".dockerignore").read_text().splitlines()
    assert {".git", "build", "ansible"} <= set(left_out)
    # What cargo needs of the workspace stays.
    assert not {"target", "contract", "Cargo.lock", ".cargo"} & set(left_out)


@pytest.mark.long
def test_the_program_needs_no_shared_object(program):
    headers = subprocess.run(["readelf", "--dynamic", "--program-headers", str(program)], capture_output=True, text=True, check=True).stdout
    assert "NEEDED" not in headers and "INTERP" not in headers, headers


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0, reason="an empty root folder needs root")
def test_the_program_serves_alone_as_nobody_with_io_uring_denied(program, tmp_path):
    root = tmp_path / "image"
    root.mkdir()
    shutil.copy(program, root / "flowtest-target")

    def enter():
        os.chroot(root)
        os.chdir("/")
        os.setgroups([])
        os.setgid(65532)
        os.setuid(65532)
        deny_io_uring()

    server = subprocess.Popen(
        ["/flowtest-target", "--json"], preexec_fn=enter, stdout=subprocess.PIPE, text=True,
        env={"FLOWTEST_TARGET_LISTEN": "127.0.0.1:0"},
    )
    try:
        said = server.stdout.readline()
        assert "epoll" in said, said
        [port] = set(re.findall(r"127\.0\.0\.1:(\d+)", said))
        token = "0123456789abcdef0123456789abcdef"
        request = urllib.request.Request(f"http://127.0.0.1:{port}/", headers={"Token": token})
        with urllib.request.urlopen(request, timeout=5) as answer:
            assert answer.headers["Token"] == token and answer.headers["From"] == "ECS" and answer.headers["Version"] == "v2"
        flood(f"http://127.0.0.1:{port}/", 500)
    finally:
        server.terminate()
        server.wait(timeout=20)
