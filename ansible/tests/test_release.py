"""`make release`: static programs with sums, an image that a registry takes, the kit, and a sentence for what cannot be made."""

import gzip
import hashlib
import io
import json
import os
import pathlib
import posixpath
import re
import subprocess
import sys
import tarfile

import pytest
from conftest import PROJECT, flood

sys.path.insert(0, str(PROJECT / "bench"))
import release

MACHINE = os.uname().machine


def files_of(archive):
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {entry.name: tar.extractfile(entry).read() for entry in tar if entry.isfile()}


def test_an_image_is_laid_out_as_registries_read_it(tmp_path):
    program = tmp_path / "flowtest-target"
    program.write_bytes(b"\x7fELF and so on")
    archive = release.image(program, "aarch64", "flowtest-target:abc")
    assert archive == release.image(program, "aarch64", "flowtest-target:abc"), "the same program gives the same image"
    files = files_of(archive)
    assert json.loads(files["oci-layout"]) == {"imageLayoutVersion": "1.0.0"}

    def blob(entry):
        content = files["blobs/sha256/" + entry["digest"].removeprefix("sha256:")]
        assert len(content) == entry["size"] and hashlib.sha256(content).hexdigest() == entry["digest"].removeprefix("sha256:")
        return content

    [entry] = json.loads(files["index.json"])["manifests"]
    assert entry["platform"] == {"architecture": "arm64", "os": "linux"}
    manifest = json.loads(blob(entry))
    [layer] = manifest["layers"]
    config = json.loads(blob(manifest["config"]))
    unpacked = gzip.decompress(blob(layer))
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(unpacked).hexdigest()}"]
    assert files_of(unpacked) == {"flowtest-target": program.read_bytes()}
    with tarfile.open(fileobj=io.BytesIO(unpacked)) as tar:
        assert tar.getmember("flowtest-target").mode == 0o755
    # What the Containerfile says, and no second list of it.
    assert config["config"] == {
        "User": "65532:65532", "Env": ["FLOWTEST_TARGET_LISTEN=0.0.0.0:8080"], "ExposedPorts": {"8080/tcp": {}}, "Entrypoint": ["/flowtest-target"],
    }
    [docker] = json.loads(files["manifest.json"])
    assert docker["RepoTags"] == ["flowtest-target:abc"] and docker["Config"] in files and docker["Layers"][0] in files


def test_what_cannot_be_made_is_named_with_its_reason():
    text = release.notes("abc", {"one": ("what", "sum")}, [("flowtest-loadgen for aarch64", "there is no compiler")])
    assert "Not in here:" in text and "- flowtest-loadgen for aarch64: there is no compiler." in text and "| `one` | what | `sum` |" in text
    built, why = release.build("flowtest-target", "no-such-processor", "quick")
    assert built is None and "no-such-processor-unknown-linux-musl" in why


def test_templates_lie_beside_the_programs_for_who_has_a_browser_alone():
    assert set(release.BROWSER) == {file.name for file in (PROJECT / "target/aws").iterdir()} - {"README.md"}
    text = release.notes("abc", {"ec2.yml": ("what", "sum")}, [])
    assert "`ProgramUrl` of `ec2.yml` is the address" in text
    # And what their users read, which leads to nothing that is not there.
    beside = set(release.BROWSER) | {name for name, _ in release.READ.values()}
    for file in release.READ:
        links = re.findall(r"\]\(([^)#\s]+)\)", release.readable(file))
        assert links and {link for link in links if ":" not in link} <= beside, (file, links)
    assert "[ec2.yml](ec2.yml)" in release.readable("docs/PLAY.md") and "[How to play](PLAY.md)" in release.readable("target/aws/README.md")


def test_no_document_of_the_kit_leads_out_of_it(tmp_path):
    release.kit(tmp_path, "abc")
    files = files_of(gzip.decompress((tmp_path / "flowtest-kit-abc.tar.gz").read_bytes()))
    inside = {name.split("/", 1)[1] for name in files}
    inside |= {str(folder) for name in inside for folder in pathlib.PurePath(name).parents}
    lost = []
    for name, text in files.items():
        document = name.split("/", 1)[1]
        if document.endswith(".md"):
            links = [link for link in re.findall(r"\]\(([^)#\s]+)", text.decode()) if ":" not in link]
            there = {link: posixpath.normpath(posixpath.join(posixpath.dirname(document), link)) for link in links}
            lost += [f"{document}: {link}" for link, place in there.items() if place not in inside]
    assert len(inside) > 100 and not lost, lost


@pytest.mark.long
def test_a_release_of_this_processor_is_whole(tmp_path):
    if not release.has_target(f"{MACHINE}-unknown-linux-musl"):
        pytest.skip(f"there is no Rust for {MACHINE}-unknown-linux-musl here")
    done = subprocess.run(
        [PROJECT / "bench/release.py", "--profile", "quick", "--only", MACHINE, "--output", tmp_path], capture_output=True, text=True, timeout=3600, check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    [folder] = tmp_path.iterdir()
    names = {file.name for file in folder.iterdir()}
    wanted = {f"flowtest-{program}-{folder.name}-{MACHINE}" for program in ("target", "loadgen")}
    assert wanted | {f"flowtest-target-{folder.name}-{MACHINE}.oci.tar", f"flowtest-kit-{folder.name}.tar.gz", "SHA256SUMS", "NOTES.md", *release.BROWSER, *(name for name, _ in release.READ.values())} == names
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=folder, check=True)
    target, loadgen = sorted(wanted, reverse=True)
    headers = subprocess.run(["readelf", "--dynamic", "--program-headers", folder / target], capture_output=True, text=True, check=True).stdout
    assert "NEEDED" not in headers and "INTERP" not in headers, headers
    # Of the generator what every glibc since 2.34 has.
    headers = subprocess.run(["readelf", "--dynamic", folder / loadgen], capture_output=True, text=True, check=True).stdout
    assert {name.split(".")[0] for name in re.findall(r"NEEDED.*\[(.+)\]", headers)} <= {"libc", "libm", "libgcc_s", "ld-linux-x86-64", "ld-linux-aarch64"}, headers
    assert (0, 0) < release.glibc_of(folder / loadgen) <= release.GLIBC
    assert "needs glibc 2.34 or newer" in (folder / "NOTES.md").read_text()
    server = subprocess.Popen([folder / target, "--listen", "127.0.0.1:0", "--json"], stdout=subprocess.PIPE, text=True)
    try:
        [port] = set(re.findall(r"127\.0\.0\.1:(\d+)", server.stdout.readline()))
        flood(f"http://127.0.0.1:{port}/", 500, loadgen=folder / loadgen)
    finally:
        server.terminate()
        server.wait(timeout=20)
    with tarfile.open(folder / f"flowtest-kit-{folder.name}.tar.gz") as kit:
        inside = {name.split("/", 1)[1] for name in kit.getnames() if "/" in name}
    assert {"ansible/target.yml", "ansible/bootstrap.sh", "target/aws/ec2.yml", "target/starters/flask/app.py", "docs/PLAY.md"} <= inside
