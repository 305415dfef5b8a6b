# Unpacks the container engines of a Debian suite with their dependencies into a folder.
#
#   bash newerDebian.sh SUITE ROOT
#
# apt uses this machine's mirror, proxy and keys, with its state below ROOT.new, which is renamed to ROOT when complete.
set -euo pipefail
suite=$1 root=$2 new=$2.new
[ ! -d "$root" ] || exit 0
umask 022
rm -rf "$new"
mkdir -p "$new"/apt/{etc,lists/partial,cache/archives/partial}

find_mirror() {
  apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian' | sed -n 1p
}
mirror=$(find_mirror)
[ -n "$mirror" ] || { apt-get -q update; mirror=$(find_mirror); }
[ -n "$mirror" ] || { echo 'apt has no mirror of Debian' >&2; exit 1; }
keys=$(ls /usr/share/keyrings/debian-archive-keyring.* | sed -n 1p)
echo "deb [signed-by=$keys] $mirror $suite main" >"$new/apt/etc/sources.list"
: >"$new/apt/status"
# An old mirror is accepted; its packages are verified all the same.
cat >"$new/apt/apt.conf" <<CONF
Dir::Etc::sourcelist "$new/apt/etc/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State "$new/apt";
Dir::State::lists "$new/apt/lists";
Dir::State::status "$new/apt/status";
Dir::Cache "$new/apt/cache";
Acquire::Check-Valid-Until "false";
Acquire::Languages "none";
Acquire::Retries "2";
Acquire::http::Timeout "20";
APT::Install-Recommends "false";
APT::Sandbox::User "root";
CONF
export APT_CONFIG=$new/apt/apt.conf
apt-get -q update
apt-get -q install -y --download-only docker.io docker-cli docker-compose runc iptables \
  podman netavark aardvark-dns nftables conmon catatonit busybox-static

mkdir -p "$new"/usr/{bin,sbin,lib,lib64} "$new"/{proc,sys,dev,run,tmp,root} "$new"/{etc/docker,var/tmp}
for name in bin sbin lib lib64; do ln -s "usr/$name" "$new/$name"; done
unpack() {
  dpkg-deb --fsys-tarfile "$2" | tar -x -C "$1" --keep-directory-symlink \
    --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' --exclude='./usr/share/locale/*'
}
export -f unpack
find "$new/apt/cache/archives" -name '*.deb' -print0 | xargs -0 -n 1 -P 2 bash -euo pipefail -c 'unpack "$@"' - "$new"

# The steps of the packages' own scripts.
for tool in iptables ip6tables; do
  for part in '' -save -restore; do ln -s "$tool-nft$part" "$new/usr/sbin/$tool$part"; done
done
for applet in $(busybox --list); do
  [ -e "$new/usr/bin/$applet" ] || [ -e "$new/usr/sbin/$applet" ] || ln -s busybox "$new/usr/bin/$applet"
done
echo root:x:0:0:root:/root:/bin/sh >"$new/etc/passwd"
echo root:x:0: >"$new/etc/group"
echo 127.0.0.1 localhost >"$new/etc/hosts"
# No server listens there, so that lookups of the engines fail at once.
echo nameserver 127.0.0.1 >"$new/etc/resolv.conf"
rm -rf "$new/apt"
mv "$new" "$root"
