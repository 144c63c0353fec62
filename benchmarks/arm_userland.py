"""A userland of 64-bit ARM in a folder: Python from the distribution's packages, runtimes from wheels, and what a
board's /proc and /sys say of its processor, by which runtimes choose their kernels. Nothing of it is installed."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from ellopt.estimate.cores import Core

#: Runtime -> what pip calls it.
WHEELS = {"ncnn": "ncnn", "mnn": "MNN", "litert": "ai-edge-litert", "onnxruntime": "onnxruntime"}
_PACKAGES = ("python3-minimal", "libpython3-stdlib", "libstdc++6", "libgomp1")
_PLATFORMS = ("manylinux2014", *(f"manylinux_2_{minor}" for minor in (17, 24, 27, 28, 31, 34, 35)))
_LIBRARIES = "lib/aarch64-linux-gnu"
_ARMV8 = "fp asimd evtstrm crc32 cpuid"
_ARMV82 = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
#: Processor -> variant, part, revision, and what its boards' Linux calls its features.
_IDENTITY = {
    "cortex-a53": (0, 0xD03, 4, _ARMV8),
    "cortex-a72": (0, 0xD08, 3, _ARMV8),
    "cortex-a76": (4, 0xD0B, 1, _ARMV82),
}
_CORES = 4


class NotHere(Exception):
    """What cannot be run, and why."""


@dataclass(frozen=True)
class Userland:
    """``root``: the unpacked packages. Runtimes lie in ``sites``, each with what it needs in a folder of its own."""

    root: Path
    sites: Path

    @property
    def python(self) -> Path:
        """Raises NotHere."""
        found = sorted(self.root.glob("usr/bin/python3.*"))
        if not found:
            raise NotHere(f"there is no Python in {self.root}")
        return found[0]

    def site(self, runtime: str) -> Path:
        """The folder of ``runtime``'s wheels, which are fetched the first time. Raises NotHere."""
        folder = self.sites / runtime
        if not folder.exists():
            version = self.python.name.removeprefix("python")
            partial = folder.with_name(f"{runtime}.partial")
            platforms = [word for name in _PLATFORMS for word in ("--platform", f"{name}_aarch64")]
            tail = ("--implementation", "cp", "--python-version", version, "--only-binary=:all:", "--no-compile")
            _command(*_pip(), "install", "--quiet", "--target", str(partial), *platforms, *tail, WHEELS[runtime])
            partial.rename(folder)
        return folder

    def version(self, runtime: str) -> str:
        """The version of ``runtime``'s wheel. Raises NotHere."""
        name = WHEELS[runtime].lower().replace("-", "_")
        for path in self.site(runtime).glob("*.dist-info"):
            found, _, version = path.name.removesuffix(".dist-info").partition("-")
            if found.lower() == name:
                return version
        raise NotHere(f"the version of {runtime} is not known")

    def view(self, core: Core) -> Path:
        """A root with the same files, whose /proc and /sys are those of a board with ``core``."""
        folder = self.root.with_name(f"root {core.name}")
        if not folder.exists():
            folder.mkdir()
            for part in ("lib", "usr", "etc"):
                if (self.root / part).exists():
                    (folder / part).symlink_to(self.root / part)
        for name, text in processor_files(core).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        return folder

    def environment(self, *paths: Path) -> dict[str, str]:
        """What Python needs, with ``paths`` to import from."""
        return {
            "PYTHONHOME": str(self.root / "usr"),
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": "0",
            "OMP_NUM_THREADS": "1",
            "LD_LIBRARY_PATH": f"{self.root}/{_LIBRARIES}:{self.root}/usr/{_LIBRARIES}",
        }

    def programs(self, runtime: str) -> list[Path]:
        """The files whose code may run while ``runtime`` computes."""
        site = self.site(runtime)
        system = [
            path
            for folder in (self.root / _LIBRARIES, self.root / "usr" / _LIBRARIES)
            for name in ("libc.so.6", "libm.so.6", "libgomp.so.1", "libstdc++.so.6", "libgcc_s.so.1")
            if (path := folder / name).exists()
        ]
        numbers = list(site.glob("numpy/_core/*.so"))
        own = [path for path in site.rglob("*.so*") if not path.relative_to(site).parts[0].startswith("numpy")]
        return [self.python, *system, *numbers, *own]


def make_userland(folder: Path) -> Userland:
    """The userland in ``folder``, made the first time. Raises NotHere if this system has no packages for it."""
    root = folder / "root"
    if not root.exists():
        if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
            raise NotHere("a userland of aarch64 is made of Debian packages, and there is no apt-get")
        state = folder / "apt"
        for name in ("lists/partial", "archives/partial"):
            (state / name).mkdir(parents=True, exist_ok=True)
        (state / "status").touch()  # nothing is installed, so that all that is needed is fetched
        places = {"State": state, "State::Lists": state / "lists", "State::status": state / "status"}
        places |= {"Cache": state, "Cache::archives": state / "archives"}
        settings = ["APT::Architecture=arm64", "APT::Architectures::=arm64", "APT::Install-Recommends=false"]
        settings += ["APT::Sandbox::User=", *(f"Dir::{name}={place}" for name, place in places.items())]
        options = ["-q", "-y", *(word for setting in settings for word in ("-o", setting))]
        _command("apt-get", *options, "update")
        _command("apt-get", *options, "install", "--download-only", *_PACKAGES)
        partial = folder / "root.partial"
        for package in sorted((state / "archives").glob("*.deb")):
            _command("dpkg-deb", "-x", str(package), str(partial))
        partial.rename(root)
        shutil.rmtree(state)
    return Userland(root, folder / "sites")


def processor_files(core: Core) -> dict[str, str]:
    """Path below the root -> what a board with ``core`` has there. Raises NotHere."""
    if core.name not in _IDENTITY:
        raise NotHere(f"what a board says of a {core.name} is not known")
    variant, part, revision, features = _IDENTITY[core.name]
    identity = {"implementer": "0x41", "architecture": "8", "variant": f"{variant:#x}", "part": f"{part:#x}"}
    identity["revision"] = str(revision)
    lines = ["BogoMIPS\t: 108.00", f"Features\t: {features}"]
    lines += [f"CPU {name}\t: {value}" for name, value in identity.items()]
    files = {
        "proc/cpuinfo": "".join("\n".join([f"processor\t: {n}", *lines, "", ""]) for n in range(_CORES)),
    }
    place = "sys/devices/system/cpu"
    files |= {f"{place}/{name}": f"0-{_CORES - 1}\n" for name in ("online", "possible", "present")}
    memory = core.memory
    caches = {0: (1, "Data", memory.l1_kb), 2: (2, "Unified", memory.l2_kb), 3: (3, "Unified", memory.l3_kb)}
    for n in range(_CORES):
        midr = 0x410F0000 | variant << 20 | part << 4 | revision
        files[f"{place}/cpu{n}/regs/identification/midr_el1"] = f"{midr:#018x}\n"
        for index, (level, kind, size) in caches.items():
            if not size:
                continue
            shared = level == 3 or (level == 2 and memory.l2_shared)
            facts = {"level": str(level), "type": kind, "size": f"{size}K"}
            facts["shared_cpu_list"] = f"0-{_CORES - 1}" if shared else str(n)
            facts["shared_cpu_map"] = f"{(1 << _CORES) - 1 if shared else 1 << n:x}"
            files |= {f"{place}/cpu{n}/cache/index{index}/{name}": f"{text}\n" for name, text in facts.items()}
    return files


def _pip() -> tuple[str, ...]:
    if importlib.util.find_spec("pip"):
        return (sys.executable, "-m", "pip")
    if found := shutil.which("pip"):
        return (found,)
    raise NotHere("wheels are fetched by pip, which is not installed")


def _command(*arguments: str) -> None:
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=900)
    if done.returncode:
        said = re.sub(r"\s+", " ", done.stderr).strip()
        raise NotHere(f"{' '.join(arguments[:2])} failed: {said[-300:]}")
