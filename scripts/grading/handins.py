"""Hand-ins: finding them, unpacking them safely, and what in them is to be built."""
import errno
import hashlib
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

MOST_FILES = 10_000
MOST_BYTES = 512 << 20
MOST_RATIO = 100  # unpacked to packed size, for archives that unpack to more than FREE_BYTES
FREE_BYTES = 16 << 20
BLOCK = 1 << 20

UNITS = (".c", ".cc", ".cpp", ".cxx", ".cu")
ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
OTHER_ARCHIVES = (".7z", ".rar", ".gz", ".xz", ".bz2", ".zst", ".egg", ".alz")
MAKEFILES = ("GNUmakefile", "makefile", "Makefile")  # make's own order
KINDS = {stat.S_IFLNK: "a symbolic link", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device", stat.S_IFIFO: "a pipe",
         stat.S_IFSOCK: "a socket"}


class Refused(Exception):
    """A hand-in that cannot be graded as it is; the sentence goes beside its name."""


@dataclass
class Handin:
    """Named by its file or folder, without an archive's or a unit's ending."""

    name: str
    path: Path


def printable(text):
    """The text without what a terminal would obey or UTF-8 cannot hold."""
    return "".join(c if c.isprintable() else "?" for c in text)


def ending(path, endings):
    """The ending of path's name that is among `endings`, the longest of them, or ''."""
    return max((e for e in endings if path.name.lower().endswith(e)), key=len, default="")


def find_handins(folder):
    """Every hand-in of a folder, by name, and the names of files that are none."""
    found, others = {}, []
    for path in sorted(folder.iterdir()):
        cut = "" if path.is_dir() else ending(path, ARCHIVES + OTHER_ARCHIVES + UNITS)
        if path.name.startswith(".") or not (path.is_dir() or cut):
            others.append(path.name)
            continue
        name = printable(path.name[: len(path.name) - len(cut)])
        if name in found:  # shpc001.zip beside a folder shpc001: both are graded, one under its full name
            name = printable(path.name)
        found[name] = Handin(name, path)
    return list(found.values()), others


# ---------------------------------------------------------------------------------------------------------------------
# Unpacking


def zip_members(path):
    """Yields (name, kind or None for a file, executable, function that opens it)."""
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            mode = info.external_attr >> 16
            kind = "a folder" if info.is_dir() else KINDS.get(stat.S_IFMT(mode))
            if info.flag_bits & 1:
                raise Refused(f"'{info.filename}' in it is encrypted: pack it without a password")
            yield info.filename.replace("\\", "/"), kind, mode & 0o100, lambda info=info: archive.open(info)


def tar_members(path):
    with tarfile.open(path) as archive:
        for info in archive:
            kind = (None if info.isreg() else "a folder" if info.isdir() else
                    "a link" if info.islnk() or info.issym() else "a device")
            yield info.name, kind, info.mode & 0o100, lambda info=info: archive.extractfile(info)


def folder_members(path):
    for parent, folders, files in os.walk(path):
        folders.sort()
        for name in [*folders, *sorted(files)]:
            file = Path(parent, name)
            mode = file.lstat().st_mode
            kind = "a folder" if stat.S_ISDIR(mode) else KINDS.get(stat.S_IFMT(mode))
            yield file.relative_to(path).as_posix(), kind, mode & 0o100, lambda file=file: open(file, "rb")


def file_members(path):
    yield "facegen_unit" + path.suffix.lower(), None, False, lambda: open(path, "rb")


def members_of(path):
    if path.is_symlink():
        raise Refused("it is a symbolic link: put the hand-in itself there")
    if path.is_dir():
        return folder_members(path), None
    if path.name.lower().endswith(".zip"):
        return zip_members(path), path.stat().st_size
    if ending(path, ARCHIVES):
        return tar_members(path), path.stat().st_size
    if ending(path, OTHER_ARCHIVES):
        raise Refused(f"archives of its kind are not known here ({', '.join(ARCHIVES)} are): unpack it into a folder")
    return file_members(path), None


def unpack(handin, target):
    """Copies the hand-in into the new folder `target`. Returns a digest of what it holds. Links, devices, names that
    lead elsewhere and more than the limits above are refused; no size is believed that was not counted."""
    target.mkdir()
    digest, files, written = hashlib.sha256(), 0, 0
    try:
        members, packed = members_of(handin.path)
        most = MOST_BYTES if packed is None else min(MOST_BYTES, max(FREE_BYTES, MOST_RATIO * packed))
        for name, kind, executable, open_member in members:
            files += 1
            if files > MOST_FILES:
                raise Refused(f"it holds more than {MOST_FILES} files")
            parts = PurePosixPath(name).parts
            if not parts and kind == "a folder":
                continue  # tar's "./"
            if not parts or name.startswith("/") or ".." in parts or ":" in parts[0] or "\0" in name:
                raise Refused(f"the name '{name[:80]}' in it leads out of its own folder")
            if kind not in (None, "a folder"):
                raise Refused(f"'{name[:80]}' in it is {kind}: expected plain files and folders")
            place = target.joinpath(*parts)
            if kind == "a folder":
                place.mkdir(parents=True, exist_ok=True)
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            digest.update(f"{len(name)} {name} {executable}".encode(errors="surrogateescape"))
            with open_member() as source, open(place, "xb") as copy:
                while block := source.read(BLOCK):
                    written += len(block)
                    if written > most:
                        raise Refused(f"it unpacks to more than {most >> 20} MiB"
                                      + (f" from {packed} bytes" if most < MOST_BYTES else ""))
                    digest.update(block)
                    copy.write(block)
            digest.update(written.to_bytes(8, "little"))
            place.chmod(0o755 if executable else 0o644)
    except FileExistsError as error:
        raise Refused(f"'{Path(error.filename).relative_to(target)}' is in it twice") from error
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, NotImplementedError,
            UnicodeError) as error:
        raise Refused(f"it cannot be unpacked: {error}") from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EACCES, errno.EPERM):
            raise  # the machine's fault, not the hand-in's
        raise Refused(f"it cannot be unpacked: {error.strerror or error}") from error
    return digest.hexdigest()


# ---------------------------------------------------------------------------------------------------------------------
# What is to be built


def find_project(folder):
    """-> (the highest folder with a Makefile, False), or where there is none (the highest folder with sources, True).
    Of Makefiles those that know the course's target come first."""
    folders = sorted((path for path in folder.rglob("*") if path.is_dir()), key=lambda path: (len(path.parts), path))
    folders = [folder, *(path for path in folders if "__MACOSX" not in path.parts and not path.name.startswith("."))]

    def makefile(path):
        return next((path / name for name in MAKEFILES if (path / name).is_file()), None)

    with_makefile = [path for path in folders if makefile(path)]
    with_target = [path for path in with_makefile if "parallel" in makefile(path).read_text(errors="replace")]
    found = with_target or with_makefile or [
        path for path in folders if any(file.suffix in UNITS and file.is_file() for file in path.iterdir())]
    if not found:
        raise Refused("nothing to build: expected a Makefile, or a unit for `make custom` (.c, .cpp, .cu)")
    highest = [path for path in found if len(path.parts) == len(found[0].parts)]
    if len(highest) > 1:
        names = ", ".join(f"'{path.relative_to(folder)}'" for path in highest)
        raise Refused(f"several folders in it could be built ({names}): expected one")
    return found[0], not with_makefile
