#!/usr/bin/env python3
"""Makes a release for contestants: programs for each processor, an image of the target, sums and notes.

    bench/release.py [--profile NAME] [--only ARCHITECTURE] [--output FOLDER]

Into build/releases/ID, where ID is the commit: `flowtest-target-ID-x86_64`, `flowtest-loadgen-ID-x86_64` and the image archive
`flowtest-target-ID-x86_64.oci.tar`; the same for aarch64 (Graviton) where this machine's compiler can; the playbooks and
templates (`flowtest-kit-ID.tar.gz`, and the templates alone with what their users read), SHA256SUMS, NOTES.md. The target is linked
with musl and needs no other file, the generator needs glibc 2.34 or newer; the image is written without a daemon. What cannot be made here is named, in the notes as well, and the rest is made.
"""

import argparse
import gzip
import hashlib
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "build"))
# What each program is linked with. The generator writes its journal on glommio, which does not compile for musl.
PROGRAMS = {"flowtest-target": "musl", "flowtest-loadgen": "gnu"}
# Amazon Linux 2023, Ubuntu 22.04, Debian 12 and all that is newer have it.
GLIBC = (2, 34)
# As Rust and uname call a processor, and as images do.
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def say(text):
    print(f"release: {text}", file=sys.stderr, flush=True)


def output_of(*words):
    return subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout.strip()


def release_id():
    """The commit; what is not committed has a sum of its own, as in ansible/build.yml."""
    name = output_of("git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude", "*")
    if name.endswith("-dirty"):
        name += "-" + hashlib.sha256(subprocess.run(["git", "diff", "HEAD"], cwd=ROOT, check=True, capture_output=True).stdout).hexdigest()[:8]
    return name


def has_target(target):
    """Whether this compiler has a standard library for it; rustup is asked to fetch one that is missing."""
    folder = lambda: subprocess.run(["rustc", "--print", "target-libdir", "--target", target], cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip()
    there = lambda: bool(folder()) and any(pathlib.Path(folder()).glob("libstd-*"))
    if not there() and shutil.which("rustup"):
        say(f"fetching Rust for {target}")
        subprocess.run(["rustup", "target", "add", target], cwd=ROOT, check=False)
    return there()


def linker_for(architecture, libc):
    """(linker, whether it comes with a C compiler). Rust's own linker does where no C is compiled."""
    for compiler in dict.fromkeys([f"{architecture}-linux-{libc}-gcc", f"{architecture}-linux-gnu-gcc"]):
        if shutil.which(compiler):
            return compiler, True
    return "rust-lld", False


def build(program, architecture, profile):
    """Returns (the program's file, None), or (None, why there is none)."""
    target = f"{architecture}-unknown-linux-{PROGRAMS[program]}"
    if not has_target(target):
        return None, f"this machine's compiler has no {target} (rustup target add {target})"
    environment = dict(os.environ)
    if architecture != os.uname().machine:
        linker, compiles = linker_for(architecture, PROGRAMS[program])
        if not compiles and program != "flowtest-target":
            return None, f"it holds C, and there is no compiler of C for {architecture} here (Debian: gcc-{architecture.replace('_', '-')}-linux-gnu)"
        name = target.upper().replace("-", "_")
        environment[f"CARGO_TARGET_{name}_LINKER"] = linker
        if compiles:
            environment[f"CC_{target.replace('-', '_')}"] = linker
    say(f"building {program} for {architecture}")
    done = subprocess.run(
        ["cargo", "build", "--locked", "--profile", profile, "-p", program, "--bin", program, "--target", target, "--target-dir", str(BUILD)],
        cwd=ROOT, env=environment, check=False,
    )
    if done.returncode != 0:
        return None, "it could not be built; what the compiler said stands above"
    built = BUILD / target / profile / program
    needed = glibc_of(built)
    if needed > GLIBC:
        return None, f"made here it needs glibc {version(needed)}, and contestants' machines may have {version(GLIBC)}: make it on an older system"
    return built, None


def glibc_of(program):
    """The newest glibc of which it needs a function."""
    text = subprocess.run(["readelf", "--version-info", program], check=True, capture_output=True, text=True).stdout
    return max((tuple(map(int, found.split("."))) for found in re.findall(r"GLIBC_(\d+\.\d+)", text)), default=(0, 0))


def version(numbers):
    return ".".join(map(str, numbers))


def lay(program, destination):
    """Copies a program without its line tables. Strip knows only this machine's processor."""
    shutil.copy(program, destination)
    destination.chmod(0o755)
    if destination.name.endswith(os.uname().machine) and shutil.which("strip"):
        subprocess.run(["strip", "--strip-debug", destination], check=True)


def packed(entries):
    """A tar of (name, bytes, mode), the same bytes for the same entries."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content, mode in entries:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), mode
            tar.addfile(entry, io.BytesIO(content))
    return file.getvalue()


def containerfile():
    """What the last stage of target/Containerfile says of the image."""
    last = (ROOT / "target/Containerfile").read_text().split("FROM scratch")[1]
    word = lambda instruction: re.search(rf"^{instruction} (.+)$", last, re.MULTILINE).group(1)
    return {
        "User": word("USER"), "Env": [word("ENV")], "ExposedPorts": {f"{word('EXPOSE')}/tcp": {}}, "Entrypoint": json.loads(word("ENTRYPOINT")),
    }


def image(program, architecture, name):
    """The bytes of an OCI image layout with one layer, which docker's and podman's `load` and skopeo's `oci-archive:` read."""
    layer = packed([("flowtest-target", program.read_bytes(), 0o755)])
    blobs = {}

    def blob(kind, content):
        sum = hashlib.sha256(content).hexdigest()
        blobs[sum] = content
        return {"mediaType": kind, "digest": f"sha256:{sum}", "size": len(content)}

    config = {
        "architecture": ARCHITECTURES[architecture], "os": "linux", "config": containerfile(),
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    kind = "application/vnd.oci.image."
    manifest = {
        "schemaVersion": 2, "mediaType": kind + "manifest.v1+json",
        "config": blob(kind + "config.v1+json", json.dumps(config).encode()),
        "layers": [blob(kind + "layer.v1.tar+gzip", gzip.compress(layer, mtime=0))],
    }
    entry = blob(kind + "manifest.v1+json", json.dumps(manifest).encode())
    entry["platform"] = {"architecture": ARCHITECTURES[architecture], "os": "linux"}
    entry["annotations"] = {"org.opencontainers.image.ref.name": name.split(":")[1]}
    place = lambda one: "blobs/sha256/" + one["digest"].split(":")[1]
    files = {
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        "index.json": json.dumps({"schemaVersion": 2, "mediaType": kind + "index.v1+json", "manifests": [entry]}).encode(),
        # Older docker reads this one.
        "manifest.json": json.dumps([{"Config": place(manifest["config"]), "RepoTags": [name], "Layers": [place(one) for one in manifest["layers"]]}]).encode(),
    }
    return packed([(path, content, 0o644) for path, content in files.items()] + [(f"blobs/sha256/{sum}", content, 0o644) for sum, content in blobs.items()])


# What a contestant or an organiser needs beside the programs, and what those documents lead to.
KIT = [
    "ansible", "target/aws", "target/starters", "docs", "examples", "README.md", "ARCHITECTURE.md", "BENCHMARKS.md", "CHANGELOG.md", "CONTRIBUTING.md",
    "SECURITY.md", "LICENSE-APACHE", "LICENSE-MIT",
]


# What a contestant with a browser alone takes, and no archive.
BROWSER = {
    "ec2.yml": "a contestant on EC2: CloudFormation, *Create stack*, this address or *Upload a template file*",
    "ecs.yml": "a contestant on ECS, the same way",
    "user-data.sh": "one machine on EC2: paste it into *User data*",
}
# What they read, under the names by which these documents and the templates call each other here.
READ = {"docs/PLAY.md": ("PLAY.md", "how to play: the hour of a team"), "target/aws/README.md": ("AWS.md", "how the templates are used, and their limits")}


def kit(folder, id):
    """Playbooks, templates, starters, documents. As committed."""
    archive = folder / f"flowtest-kit-{id}.tar.gz"
    tar = subprocess.run(
        ["git", "-c", "tar.umask=0022", "archive", "--format=tar", f"--prefix=flowtest-{id}/", "HEAD", *KIT], cwd=ROOT, check=True, capture_output=True,
    ).stdout
    archive.write_bytes(gzip.compress(tar, mtime=0))


def readable(file):
    """A document of ours with links to what lies beside it; what lies in the kit alone is its name."""
    beside = {ROOT / "target/aws" / name: name for name in BROWSER} | {ROOT / other: name for other, (name, _) in READ.items()}

    def link(found):
        text, target = found.groups()
        place = (ROOT / file).parent / target
        name = beside.get(place.resolve())
        return found.group(0) if ":" in target else f"[{text}]({name})" if name else f"{text} (`{place.resolve().relative_to(ROOT)}` of the kit)"

    return re.sub(r"\[([^\]]+)\]\(([^)#\s]+)\)", link, (ROOT / file).read_text())


def notes(id, files, missing):
    changelog = (ROOT / "CHANGELOG.md").read_text()
    newest = re.search(r"^## \[(.+?)\].*?$(.*?)(?=^## \[|\Z)", changelog, re.MULTILINE | re.DOTALL)
    lines = [f"# Flow Test {newest.group(1)}, {id}", "", "| file | what | sha256 |", "|---|---|---|"]
    for name, (what, sum) in files.items():
        lines.append(f"| `{name}` | {what} | `{sum}` |")
    if missing:
        lines += ["", "Not in here:", ""] + [f"- {what}: {why}." for what, why in missing]
    lines += [
        "", "A contestant's machine, from a laptop with the kit (`./bootstrap.sh` in its `ansible/`):", "", "```",
        "ansible-playbook -i 203.0.113.20, -u ubuntu target.yml -e target_program=ADDRESS -e target_program_sha256=SUM", "```", "",
        "The image into a registry: `skopeo copy oci-archive:FILE docker://REGISTRY/flowtest-target:TAG`. With a browser alone:",
        "`ec2.yml` and `ecs.yml`, as `PLAY.md` and `AWS.md` say; each file lies beside this page, and `ProgramUrl` of `ec2.yml` is the address of a `flowtest-target` here.",
        "", "## Changes", newest.group(2).rstrip(), "",
    ]
    return "\n".join(lines)


def main():
    arguments = argparse.ArgumentParser(description="Makes a release for contestants.")
    arguments.add_argument("--profile", default="release", help="cargo's profile (release)")
    arguments.add_argument("--only", choices=ARCHITECTURES, help="one processor instead of all")
    arguments.add_argument("--output", type=pathlib.Path, default=BUILD / "releases", help="where the folder of the release is made")
    asked = arguments.parse_args()
    id = release_id()
    folder = asked.output / id
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    what, missing = {}, []
    for architecture in [asked.only] if asked.only else ARCHITECTURES:
        for program in PROGRAMS:
            built, why = build(program, architecture, asked.profile)
            if built is None:
                say(f"no {program} for {architecture}: {why}")
                missing.append((f"{program} for {architecture}", why))
                continue
            file = folder / f"{program}-{id}-{architecture}"
            lay(built, file)
            needs = f"glibc {version(GLIBC)} or newer" if PROGRAMS[program] == "gnu" else "no other file"
            what[file.name] = f"{program} for Linux on {architecture}, needs {needs}"
            if program == "flowtest-target":
                archive = folder / f"{file.name}.oci.tar"
                archive.write_bytes(image(file, architecture, f"flowtest-target:{id}"))
                what[archive.name] = f"its image, {ARCHITECTURES[architecture]}"
    if not what:
        sys.exit("release: nothing could be built")
    for name in BROWSER:
        shutil.copy(ROOT / "target/aws" / name, folder / name)
        what[name] = BROWSER[name]
    for file, (name, about) in READ.items():
        (folder / name).write_text(readable(file))
        what[name] = about
    kit(folder, id)
    what[f"flowtest-kit-{id}.tar.gz"] = "playbooks, templates for AWS, starters, documents"
    sums = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in what}
    (folder / "SHA256SUMS").write_text("".join(f"{sum}  {name}\n" for name, sum in sums.items()))
    (folder / "NOTES.md").write_text(notes(id, {name: (what[name], sums[name]) for name in what}, missing))
    say(f"{folder}: {len(what)} files, SHA256SUMS, NOTES.md")


if __name__ == "__main__":
    main()
