#!/bin/sh
# make_deb.sh VERSION: packs what `make install` installs into facegen_VERSION_ARCH.deb, with the packages that its programs'
# libraries come from as dependencies. Run by `make deb`.
set -eu
version=$1
command -v dpkg-deb > /dev/null || { echo "make_deb.sh: dpkg-deb was not found: Debian packages are built on Debian" >&2; exit 3; }

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
make --no-print-directory install DESTDIR="$root" PREFIX=/usr

# The package of every shared library that the programs ask for by name.
depends=$(for program in "$root"/usr/bin/*; do
  ldd "$program" | awk '$2 == "=>" && $3 ~ /^\// {print $3}'
done | sort -u | while read -r library; do
  dpkg -S "$(readlink -f "$library")" 2> /dev/null || dpkg -S "*/$(basename "$(readlink -f "$library")")" 2> /dev/null
done | cut -d: -f1 | sort -u | grep -v '^diversion' | paste -sd, | sed 's/,/, /g')
if ldd "$root/usr/bin/facegen_parallel" | grep -q libmpi; then depends="$depends, openmpi-bin"; fi

mkdir "$root/DEBIAN"
cat > "$root/DEBIAN/control" << CONTROL
Package: facegen
Version: $version
Section: science
Priority: optional
Architecture: $(dpkg --print-architecture)
Depends: $depends
Installed-Size: $(du -sk "$root/usr" | cut -f1)
Maintainer: facegen authors <facegen@localhost>
Description: faces from noise at the limit of the hardware
 Reads noise vectors and a trained DCGAN generator and writes 64x64 RGB faces as
 numbers and as a picture: a sequential reference program, a parallel one (MPI,
 OpenMP, CUDA), and a tool that compares their results.
CONTROL
package=facegen_${version}_$(dpkg --print-architecture).deb
dpkg-deb --root-owner-group --build "$root" "$package" > /dev/null
echo "$package"
