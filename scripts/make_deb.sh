#!/bin/sh
# make_deb.sh VERSION: packs what `make install` installs into facegen_VERSION_ARCH.deb, with the packages that its
# programs' libraries come from as dependencies. Run by `make deb`.
set -eu
version=$1
command -v dpkg-deb > /dev/null ||
  { echo "make_deb.sh: dpkg-deb was not found: Debian packages are built on Debian" >&2; exit 3; }

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"
make --no-print-directory install DESTDIR="$root" PREFIX=/usr

# The package that a library comes from. dpkg knows it by one of its names: a link or not, under /usr or not.
owner() {
  real=$(readlink -f "$1")
  for name in "$1" "$real" "/usr$1" "${1#/usr}" "${real#/usr}"; do
    package=$(dpkg -S "$name" 2> /dev/null | cut -d: -f1)
    if [ -n "$package" ]; then echo "$package"; return; fi
  done
}

# The packages of the shared libraries that the programs need, but for those that only other libraries need.
needed() { objdump -p "$1" | awk '$1 == "NEEDED" {print $2}'; }
depends=$(for program in "$root"/usr/bin/*; do
  for library in $(needed "$program"); do
    owner "$(ldd "$program" | awk -v name="$library" '$1 == name {print $3}')"
  done
done | sort -u | grep . | paste -sd, | sed 's/,/, /g')
case $(ldd "$root/usr/bin/facegen_parallel") in
  *libmpich*) depends="$depends, mpich" ;;
  *libmpi*) depends="$depends, openmpi-bin" ;;
esac

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
