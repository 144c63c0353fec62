"""Names of libraries: a C identifier, a Python module, a header, a CMake target and a library's file in one."""

from __future__ import annotations

import keyword
import re
import sys

from ellopt.core.errors import ConfigurationError
from ellopt.model.names import short_hash

LONGEST = 48
#: lower case, because macros have the same name in capitals and some file systems do not tell them apart
_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]*")

_C = """
alignas alignof auto bool break case char const constexpr continue default do double else enum extern false float for
goto if inline int long nullptr register restrict return short signed sizeof static struct switch thread_local true
typedef typeof union unsigned void volatile while and and_eq asm bitand bitor catch class co_await co_return co_yield
compl concept const_cast consteval constinit decltype delete dynamic_cast explicit export final friend import module
mutable namespace new noexcept not not_eq operator or or_eq override private protected public reinterpret_cast requires
static_assert static_cast template this throw try typeid typename using virtual wchar_t xor xor_eq main linux unix
"""
#: <name.h> of C, POSIX, glibc, musl, Linux and of the compiler: a header of that name would stand in its place
_HEADERS = """
aio aliases alloca ar argp argz assert builtins byteswap complex cpio cpuid crypt ctype dirent dlfcn elf endian envz
err errno error execinfo fcntl features fenv float fmtmsg fnmatch fstab fts ftw gconv getopt glob gnumake grp gshadow
iconv ieee754 ifaddrs immintrin inttypes iso646 langinfo lastlog libgen libintl limits link locale malloc math mcheck
memory mntent monetary mqueue ncurses netdb nl_types nss obstack paths poll printf proc_service pthread pty pwd re_comp
regdef regex regexp resolv sched search semaphore setjmp sgtty shadow signal spawn stab stdalign stdarg stdatomic
stdbit stdbool stdckdint stddef stdint stdio stdio_ext stdlib stdnoreturn string strings stropts syscall sysexits syslog
tar termio termios tgmath thread_db threads time ttyent types uchar ucontext ulimit unistd unwind utime utmp utmpx
values varargs vector version wait wchar wctype windows winsock winsock2 wordexp zconf
"""
#: lib<name>.a or lib<name>.so that compilers are told to link with, by themselves or in many programs
_LIBRARIES = """
anl asan atomic bfd blas bsd_compat c c_nonshared cblas crypto cuda cudart curl dl dw edit event expat ffi g gcc gcc_eh
gcc_s gfortran glib gmp gomp gsl intl jpeg lapack lzma m mpi mvec ncursesw nsl nsl_db omp openblas opencl opencv_core
openssl pcre png protobuf python quadmath readline rt sqlite3 ssl ssp stdcpp swscale system tbb thread tiff tinfo tsan
ubsan usb util uuid vulkan webp xml2 yaml z zstd
"""
#: what CMake, make and ninja call their own targets
_TARGETS = """
all build check clean cmake_force default_target depend doc docs dist distclean edit_cache experimental force help
install list_install_components nightly package package_source preinstall rebuild_cache run_tests test uninstall
"""
#: modules that are not Python's, but without which the wrapper or those who use it do not get far
_MODULES = """
attr cffi cupy cv2 cython dask flask google ipython jax jinja2 matplotlib mlflow ml_dtypes numba numpy onnx
onnxruntime openvino optuna orjson packaging pandas paramiko picamera pil pip pluggy pydantic pytest requests rich scipy
setuptools shtab six sklearn skimage tensorflow threadpoolctl torch torchvision tqdm urllib3 wheel yaml ziglang
"""
_DEVICES = ("con", "prn", "aux", "nul", *(f"{kind}{n}" for kind in ("com", "lpt") for n in range(10)))
RESERVED = frozenset(
    {
        *" ".join((_C, _HEADERS, _LIBRARIES, _TARGETS, _MODULES)).split(),
        *(name.lower() for name in (*sys.stdlib_module_names, *keyword.kwlist, *keyword.softkwlist)),
        *_DEVICES,
    }
)


def library_name(text: str) -> str:
    """What the library of a model called ``text`` is called: a lower-case C identifier that means nothing else.

    A name that is so already stays. Of any other its letters, digits and ``_`` stay, in lower case, and a hash of all
    of it follows: ``net-1`` and ``net_1``, ``Net`` and ``net`` can be linked into one program.
    """
    if not trouble_with(text):
        return text
    kept = re.sub(r"[^a-z0-9]+", "_", text.lower(), flags=re.ASCII).strip("_")[: LONGEST - 16].rstrip("_") or "model"
    if not kept[0].isalpha() or _ours(kept):
        kept = f"model_{kept}"
    return f"{kept}_{short_hash(text)}"


def chosen_name(text: str) -> str:
    """``text``, given by ``--name``. Raises ConfigurationError if no library can be called so, saying why."""
    if why := trouble_with(text):
        raise ConfigurationError(f"--name: a library cannot be called {text[:80]!r}: {why}")
    return text


def trouble_with(name: str) -> str:
    """Why ``name`` cannot be a library's; empty if it can."""
    if not _IDENTIFIER.fullmatch(name):
        return "it takes lower-case letters (a to z), digits and '_', a letter first"
    if len(name) > LONGEST:
        return f"it has more than {LONGEST} characters"
    if name in RESERVED:
        return "a keyword, module, header, library or build target has that name"
    if _ours(name):
        return "names of the code in the library begin so"
    return ""


def _ours(name: str) -> bool:
    return name == "ell" or name.startswith(("ell_", "ellopt"))
