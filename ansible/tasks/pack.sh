#!/usr/bin/env bash
# Packs three programs into a release archive:  pack.sh PROGRAMS RELEASES ID ARCHITECTURE
# Prints "made ARCHIVE", or "kept ARCHIVE" when one with the same programs lies there.
set -euo pipefail
programs=$1 releases=$2 id=$3 architecture=$4

archive=$releases/flowtest-$id-$architecture.tar.gz
mkdir -p "$releases"
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
mkdir "$room/bin"
for program in flowtest-loadgen flowtest-target flowtest-dashboard; do
    install -m 0755 "$programs/$program" "$room/bin/"
    # Names of functions stay, for a backtrace that says something; line tables are half of the size.
    strip --strip-debug "$room/bin/$program" 2>/dev/null || true
done
(cd "$room" && sha256sum bin/* > SHA256SUMS)
printf '%s\n' "$id" > "$room/ID"
# The same programs give the same archive, byte for byte.
tar --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 -C "$room" -cf - bin ID SHA256SUMS | gzip -n > "$room.tar.gz"
if cmp -s "$room.tar.gz" "$archive"; then
    echo "kept $archive"
    rm "$room.tar.gz"
else
    mv "$room.tar.gz" "$archive"
    echo "made $archive"
fi
(cd "$releases" && sha256sum "${archive##*/}" > "${archive##*/}.sha256")
printf '%s\n' "$id" > "$releases/NEWEST"
