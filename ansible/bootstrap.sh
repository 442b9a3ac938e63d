#!/usr/bin/env bash
# Makes the Python environment in which the playbooks run: build/ansible in the project, and nothing outside it.
#
#   ansible/bootstrap.sh            what organisers need
#   ansible/bootstrap.sh --tests    also what `make lint` and `make test` need; with FLOWTEST_LONG=1 `make test-long`
#
# Run again after an update; it does nothing when the requirements have not changed.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
venv=$(dirname "$here")/build/ansible
requirements=requirements.txt
if [ "${1:-}" = --tests ]; then requirements=requirements-test.txt; fi

say() { echo "ansible: $*" >&2; }

# ansible-core 2.21 needs Python 3.12; an older one would silently get an Ansible that is no longer cared for.
find_python() {
    local python
    for python in python3.14 python3.13 python3.12 python3 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.1[2-9]*/bin/python3; do
        if "$python" -c 'import sys; sys.exit(sys.version_info < (3, 12))' 2>/dev/null; then
            command -v "$python"
            return 0
        fi
    done
    say "no Python 3.12 or newer found; install one (Ubuntu 24.04: apt-get install python3 python3-venv;" \
        "Amazon Linux 2023: dnf install python3.12)"
    return 1
}

for tool in ssh-keygen openssl; do
    if ! command -v "$tool" >/dev/null; then
        say "$tool is missing, which makes keys and certificates: install it (openssh-client, openssl)"
        exit 1
    fi
done

# Pretended machines have no network, and the dashboard's gets certbot as it would from the index.
certbot() {
    local version wheels=$venv/certbot
    version=$(sed -n 's/^dashboard_certbot_version: //p' "$here/roles/dashboard/defaults/main.yml")
    if [ -e "$wheels/$version" ]; then return; fi
    say "fetching certbot $version for the tests"
    rm -rf "$wheels"
    "$venv/bin/pip" download --quiet --disable-pip-version-check --only-binary :all: --python-version "$(system_python)" \
        --dest "$wheels" "certbot==$version"
    touch "$wheels/$version"
}
system_python() { /usr/bin/python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])'; }
# Nor has the place where the image's program is built. Without it that test is skipped, and says so.
musl() {
    local target
    target=$(uname -m)-unknown-linux-musl
    if command -v rustup >/dev/null && ! rustup target list --installed | grep -qx "$target"; then
        say "fetching Rust for $target for the tests"
        rustup target add "$target" || true
    fi
}
# What target/starters/express runs with, in the version that its image takes. Without npm that test is skipped, and says so.
express() {
    local version folder
    version=$(sed -n 's/.* express@//p' "$here/../target/starters/express/Containerfile")
    folder=$(dirname "$venv")/starters/express
    if [ -e "$folder/installed-$version" ] || ! command -v npm >/dev/null; then return; fi
    say "fetching express $version for the tests"
    rm -rf "$folder" && mkdir -p "$folder"
    if npm install --prefix "$folder" --no-audit --no-fund --ignore-scripts --loglevel=error "express@$version" >&2; then
        touch "$folder/installed-$version"
    fi
}
finish() {
    if [ "$requirements" = requirements-test.txt ]; then express; fi
    if [ "$requirements" = requirements-test.txt ] && [ "${FLOWTEST_LONG:-}" = 1 ]; then certbot; musl; fi
    exit 0
}

wanted=$(cd "$here" && cat "$requirements" requirements-bundle.txt bootstrap.sh | sha256sum)
if [ "$(cat "$venv/installed-$requirements" 2>/dev/null)" = "$wanted" ]; then finish; fi

python=$(find_python)
say "making $venv with $("$python" --version)"
# One that was cut off while it was made has no pip.
if ! [ -x "$venv/bin/pip" ]; then rm -rf "$venv" && "$python" -m venv "$venv"; fi
"$venv/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$here/$requirements"

# The whole bundle is 20,000 files; we use one collection of it. It has a folder of its own, which ansible.cfg names first: an
# older one at home (ansible-galaxy) would win otherwise.
"$venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --require-hashes \
    --dest "$venv/cache" -r "$here/requirements-bundle.txt"
rm -rf "$venv/collections"
"$venv/bin/python" - "$venv/cache" "$venv/collections" <<'PYTHON'
import pathlib, sys, zipfile

for wheel in pathlib.Path(sys.argv[1]).glob("ansible-*.whl"):
    with zipfile.ZipFile(wheel) as bundle:
        names = [name for name in bundle.namelist() if name.startswith("ansible_collections/amazon/aws/")]
        bundle.extractall(sys.argv[2], names)
    wheel.unlink()
PYTHON
echo "$wanted" > "$venv/installed-$requirements"
say "ready: PATH=$venv/bin:\$PATH"
finish
