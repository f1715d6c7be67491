#!/bin/sh
# The README's two commands on a Debian machine that has next to nothing.
#
#   tests/fresh-machine.sh [SUITE] [FOLDER]      (bookworm, a new folder under /tmp); as root, needs debootstrap
#
# Makes a chroot with `debootstrap --variant=minbase` plus git, make and ca-certificates, gives it this
# machine's package-client settings (apt sources, pip settings, proxies, certificates), clones the
# committed state of this repository into it, and runs `make demo` and `make test`.
# Prints how long each took and how much it installed. KEEP=1 leaves the chroot.
set -eu
cd "$(dirname "$0")/.."
suite=${1:-bookworm}
root=${2:-$(mktemp -d /tmp/fresh-machine.XXXXXX)}
[ "$(id -u)" = 0 ] || { echo "fresh-machine: needs root" >&2; exit 2; }
command -v debootstrap >/dev/null || { echo "fresh-machine: needs debootstrap" >&2; exit 2; }

# The mirror that this machine uses for Debian itself.
mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list 2>/dev/null |
    sed -nE 's/^(URIs:|deb( \[.*\])?) *(https?:[^ ]*debian\/?) *.*$/\3/p' | grep -v security | head -n 1)

cleanup() {
    umount "$root/proc" "$root/dev/pts" "$root/dev" 2>/dev/null || true
    [ -n "${KEEP:-}" ] || rm -rf --one-file-system "$root"
}
trap cleanup EXIT

echo "fresh-machine: debootstrap $suite from ${mirror:-the default mirror} into $root"
mkdir -p "$root" && chmod 755 "$root"
debootstrap --variant=minbase --include=git,make,ca-certificates "$suite" "$root" ${mirror:+"$mirror"} \
    >"$root.log" 2>&1 || { tail -n 20 "$root.log"; exit 1; }
rm -f "$root.log"

# Package-client settings.
for path in /etc/apt/sources.list /etc/apt/sources.list.d /etc/apt/apt.conf.d /etc/apt/auth.conf.d /etc/apt/preferences.d \
    /etc/apt/keyrings /usr/share/keyrings /etc/pip.conf /etc/resolv.conf /etc/hosts \
    /etc/ssl/certs /usr/local/share/ca-certificates /usr/share/ca-certificates; do
    rm -rf "${root:?}$path"
    [ -e "$path" ] || continue
    mkdir -p "$root$(dirname "$path")"
    cp -aL "$path" "$root$path" 2>/dev/null || cp -a "$path" "$root$path"
done
# Hooks of programs that are not there would only fail.
grep -rlE 'Invoke|Pre-Install-Pkgs' "$root/etc/apt/apt.conf.d" 2>/dev/null | xargs -r rm -f
mount -t proc proc "$root/proc"
mount --bind /dev "$root/dev"
mount --bind /dev/pts "$root/dev/pts"

git clone -q --no-local . "$root/tenon"
environment=$(env | grep -iE '^(http_proxy|https_proxy|no_proxy|all_proxy|pip_[a-z_]*|ssl_cert_[a-z]*|requests_ca_bundle|curl_ca_bundle)=' |
    grep -v PIP_FIND_LINKS || true)

inside() { # command line
    # shellcheck disable=SC2086
    chroot "$root" /usr/bin/env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 $environment \
        sh -c "cd /tenon && $1" </dev/null
}
used() { du -sxm --exclude=proc --exclude=dev "$root" | cut -f1; }
packages() { chroot "$root" dpkg-query -W | wc -l; }

status=0
report="fresh machine: $(used) MB, $(packages) packages"
for command in "make demo" "make test"; do
    echo "fresh-machine: $command"
    began=$(date +%s)
    inside "$command" && result=succeeded || { result=FAILED; status=1; }
    report="$report
$command: $result in $(($(date +%s) - began)) s; now $(used) MB, $(packages) packages, of them $(du -sm "$root/tenon/build" | cut -f1) MB in build/"
done
echo "$report"
exit $status
