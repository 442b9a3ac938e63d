#!/usr/bin/env bash
# Runs the tests in namespaces of their own: no way out, and everything is gone with the last process.
#
#   ansible/tests/run.sh [pytest's arguments]        FLOWTEST_LONG=1 for the whole
#
# Without a test's name: all of them. With PART=event those of test_event.py alone, with PART=hosts those of test_two_hosts.py,
# with PART=rest all others: none sees another, so they are played beside one another.
#
# Needs root, the Python environment of ansible/bootstrap.sh --tests, and what bench/install.sh installs for it.
set -euo pipefail
project=$(cd "$(dirname "$0")/../.." && pwd)
export PATH="$project/build/ansible/bin:$PATH:/usr/sbin:/sbin"
# Nothing here may ever speak to a real account.
unset AWS_PROFILE AWS_SESSION_TOKEN AWS_CONFIG_FILE AWS_SHARED_CREDENTIALS_FILE
export ANSIBLE_LOCALHOST_WARNING=False ANSIBLE_NOCOLOR=1 PYTHONDONTWRITEBYTECODE=1
tests=$project/ansible/tests
case " $* :${PART:-}" in
    *test_*) ;;
    *:event) set -- "$tests/test_event.py" "$@" ;;
    *:hosts) set -- "$tests/test_two_hosts.py" "$@" ;;
    *:rest) set -- "$tests" --ignore "$tests/test_event.py" --ignore "$tests/test_two_hosts.py" "$@" ;;
    *:) set -- "$tests" "$@" ;;
    *) echo "ansible/tests/run.sh: PART is event, hosts or rest, not $PART" >&2; exit 2 ;;
esac
apart=(unshare --net --mount --pid --uts --ipc --cgroup --fork --kill-child --mount-proc)
if ! "${apart[@]}" ip link set lo up 2>/dev/null; then
    echo "ansible/tests/run.sh: namespaces need root, unshare and ip; the tests with pretended machines are left out" >&2
    exec python -m pytest -p no:cacheprovider -m 'not hosts' "$@"
fi
exec "${apart[@]}" \
    bash -c 'mount -t tmpfs tmpfs /run/netns 2>/dev/null || { mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns; }
             ip link set lo up
             exec python -m pytest -p no:cacheprovider "$@"' run "$@"
