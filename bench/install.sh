#!/usr/bin/env bash
# Installs the commands that a make target needs, if they are missing, and says so.
#
#   bench/install.sh COMMAND... [--optional COMMAND...]
#
# A needed command that cannot be had ends the run; an optional one is skipped with a sentence. Debian packages come
# from apt-get (by sudo when not root); programs of the Rust registry are built into build/peers, at low priority.
# `axe-core` is no command but a script for the browser tests, fetched by npm into build/axe.
# Nothing is reconfigured: services that a package starts are left as they are, and we use none of them.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
peers=$root/build/peers
export PATH="$peers/bin:$PATH:/usr/sbin:/sbin"
export DEBIAN_FRONTEND=noninteractive

say() { echo "install: $*" >&2; }

debian_package() {
    case $1 in
    redis-server) echo redis-server ;;
    nginx) echo nginx-light ;;
    python3) echo python3 ;;
    # A browser without a font shows nothing.
    chromium) echo chromium fonts-liberation ;;
    chromedriver) echo chromium-driver ;;
    # Whom a browser trusts.
    certutil) echo libnss3-tools ;;
    haproxy) echo haproxy ;;
    node) echo nodejs ;;
    go) echo golang-go ;;
    openssl) echo openssl ;;
    wrk) echo wrk ;;
    h2load) echo nghttp2-client ;;
    git) echo git ;;
    cc) echo build-essential ;;
    # The machines that the tests of ansible/ pretend are views of this one, without a network.
    sshd) echo openssh-server ;;
    sudo) echo sudo ;;
    nft) echo nftables ;;
    ethtool) echo ethtool ;;
    chronyd) echo chrony ;;
    ip) echo iproute2 ;;
    systemctl) echo systemd ;;
    # An authority for certificates, and what its client is installed with.
    pebble) echo pebble python3-venv python3-packaging ;;
    losetup) echo mount ;;
    *) return 1 ;;
    esac
}

as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

updated=no
install_debian() {
    if ! command -v apt-get >/dev/null; then
        say "there is no apt-get here; please install '$1' ($2) with this system's package manager"
        return 1
    fi
    if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
        say "installing '$2' needs root; run this as root or install sudo"
        return 1
    fi
    if [ $updated = no ]; then
        say "apt-get update"
        as_root apt-get update -qq >/dev/null || say "apt-get update failed; trying with the lists at hand"
        updated=yes
    fi
    say "apt-get install $2 (for $1)"
    # shellcheck disable=SC2086 # One command may need several packages.
    as_root apt-get install -y -qq --no-install-recommends $2 >/dev/null
}

# What looks at pages for people who cannot see them well. Never committed, and only this very file is run.
axe_version=4.14.1
axe_sha256=e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745
provide_axe() {
    local folder=$root/build/axe archive
    archive=$folder/axe-core-$axe_version.tgz
    is_ours() { echo "$axe_sha256  $archive" | sha256sum --check --status 2>/dev/null; }
    if ! is_ours; then
        if ! command -v npm >/dev/null; then
            say "there is no npm to fetch axe-core with; nobody looks at the pages for people who cannot see them well"
            return 1
        fi
        say "npm pack axe-core@$axe_version into build/axe"
        mkdir -p "$folder"
        npm pack --silent --pack-destination "$folder" "axe-core@$axe_version" >/dev/null || return 1
        is_ours || { say "$archive is not the file that was looked at once (sha256): it is not used"; return 1; }
    fi
    tar -xzf "$archive" -C "$folder" --strip-components=1 package/axe.min.js
}

# Features that a peer needs to be the peer we mean.
features_of() {
    case $1 in
    statico) echo monoio ;;
    esac
}

install_cargo() {
    say "cargo install $1 into build/peers (may take minutes)"
    # A folder of its own, so that a peer's artefacts never mix with ours.
    CARGO_TARGET_DIR=$root/build/peers/build nice -n 19 \
        cargo install "$1" --locked --quiet --root "$peers" ${2:+--features "$2"}
}

provide() {
    local command=$1 package
    if [ "$command" = axe-core ]; then provide_axe; return; fi
    if command -v "$command" >/dev/null; then return 0; fi
    if [ "$command" = cargo ]; then
        say "cargo is missing; install Rust $(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$root/Cargo.toml") or newer first"
        return 1
    fi
    if package=$(debian_package "$command"); then
        install_debian "$command" "$package"
    else
        install_cargo "$command" "$(features_of "$command")"
    fi
    command -v "$command" >/dev/null
}

optional=no
for argument in "$@"; do
    if [ "$argument" = --optional ]; then
        optional=yes
    elif ! provide "$argument"; then
        if [ $optional = no ]; then
            say "'$argument' is needed and could not be installed"
            exit 1
        fi
        say "'$argument' could not be installed: left out"
    fi
done
