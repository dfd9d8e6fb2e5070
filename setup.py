"""Builds fastnn._core: every C file of src/, those of src/isa/ once a level with the level's own flags.

Metadata is in pyproject.toml. Without a compiler the package is built pure; a compiler that is present and
fails is an error. What was built is recorded in fastnn/_build_info.py.
Environment: CC, CFLAGS, FASTNN_WERROR=1, FASTNN_OPENMP=0, FASTNN_LEVELS (those to compile beside the floor).
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from setuptools import Distribution, Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py
from setuptools.errors import CompileError

ROOT = Path(__file__).resolve().parent
# No contraction: multiply-adds are written where they are meant, so that a value has the same bits wherever it falls.
MATH = ["-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off"]
FLAGS = ["-O3", "-g0", "-std=gnu11", *MATH, "-Wno-psabi", "-Isrc"]
WARNINGS = ["-Wall", "-Wextra"]
OPENMP_PROBE = """
#include <omp.h>
int main(void) {
    int n = 0;
#pragma omp parallel num_threads(2) reduction(+ : n)
    n += 1;
    return n >= 1 && omp_get_max_threads() >= 1 ? 0 : 1;
}
"""
ARCHITECTURE_PROBE = """
#ifndef {}
#error another architecture
#endif
int main(void) {{ return 0; }}
"""


class Level(NamedTuple):
    """One file of src/isa beside the floor: its architecture's macro, its flags, a level whose kernels it shares."""

    name: str
    architecture: str
    flags: list[str]
    shares: str = ""


AVX2 = ["-mavx2", "-mfma", "-mf16c"]
AVX512 = [*AVX2, "-mavx512f", "-mavx512cd", "-mavx512bw", "-mavx512dq", "-mavx512vl"]
AMX = [*AVX512, "-mamx-tile", "-mamx-bf16"]
LEVELS = [
    Level("avx2", "__x86_64__", AVX2),
    Level("avx512", "__x86_64__", AVX512),
    Level("amx", "__x86_64__", AMX, "avx512"),
    Level("neon", "__aarch64__", []),
]


class Object(NamedTuple):
    """One object file: its source and the full command that makes it."""

    source: Path
    path: Path
    command: list[str]


def compiler_command() -> list[str] | None:
    """Return the C compiler that builds would use, or None where there is none."""
    if os.name == "nt":
        return None  # the sources need GCC's or Clang's vector extensions and POSIX threads
    import sysconfig

    chosen = os.environ.get("CC", "").strip()
    command = shlex.split(chosen or sysconfig.get_config_var("CC") or "cc")
    if shutil.which(command[0]):
        return command
    if chosen:
        raise SystemExit(f"fastnn: expected CC to name a C compiler, got {chosen!r}, which is not on PATH")
    fallback = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    return [fallback] if fallback else None


class Toolchain:
    """The compiler and what it turned out to be able to do."""

    def __init__(self, command: list[str]) -> None:
        self.command = command
        self.levels: list[Level] = []
        self.left_out: dict[str, str] = {}
        self.probe_machine()
        self.openmp = os.environ.get("FASTNN_OPENMP", "1") != "0" and self.try_program(
            OPENMP_PROBE, ["-fopenmp"], run=True
        )

    def probe_machine(self) -> None:
        """Keep the levels of this architecture whose flags the compiler takes."""
        wanted = os.environ.get("FASTNN_LEVELS", " ".join(level.name for level in LEVELS)).replace(",", " ").split()
        for level in LEVELS:
            check = ARCHITECTURE_PROBE.format(level.architecture)
            if not self.try_program(check, []):
                continue
            if level.name not in wanted:
                self.left_out[level.name] = "not in FASTNN_LEVELS"
            elif level.shares and level.shares not in [other.name for other in self.levels]:
                self.left_out[level.name] = f"it shares the kernels of {level.shares}, which is left out"
            elif self.try_program(check, ["-Werror", *level.flags]):
                self.levels.append(level)
            else:
                self.left_out[level.name] = f"{self.version()} refuses {' '.join(level.flags)}"

    def try_program(self, text: str, flags: list[str], run: bool = False) -> bool:
        """Whether the program compiles (and, with run, links and exits with 0)."""
        with tempfile.TemporaryDirectory() as folder:
            source, out = Path(folder, "probe.c"), Path(folder, "probe")
            source.write_text(text)
            command = [*self.command, *([] if run else ["-c"]), *flags, str(source), "-o", str(out)]
            if subprocess.run(command, capture_output=True, check=False).returncode != 0:
                return False
            try:
                return not run or subprocess.run([str(out)], check=False, timeout=60).returncode == 0
            except (OSError, subprocess.TimeoutExpired):
                return False

    def version(self) -> str:
        """Return the first line that the compiler says of itself."""
        text = subprocess.run([*self.command, "--version"], capture_output=True, text=True, check=False).stdout
        return text.splitlines()[0] if text else " ".join(self.command)

    @property
    def defines(self) -> list[str]:
        """Return what base/ must know of the build."""
        levels = [f"-DFNN_HAVE_{level.name.upper()}" for level in self.levels]
        return levels + (["-DFNN_HAVE_OPENMP"] if self.openmp else [])


def is_fresh(obj: Object) -> bool:
    """Whether an object was made by the same command from files that have not changed since."""
    record, depends = obj.path.with_suffix(".cmd"), obj.path.with_suffix(".d")
    try:
        if record.read_text() != shlex.join(obj.command):
            return False
        made = obj.path.stat().st_mtime_ns
        names = depends.read_text().replace("\\\n", " ").split(":", 1)[1].split()
        return all(Path(name).stat().st_mtime_ns < made for name in names)
    except (OSError, IndexError):
        return False


def compile_object(obj: Object) -> None:
    """Make one object unless it is fresh; a failure carries the compiler's words."""
    if is_fresh(obj):
        return
    record = obj.path.with_suffix(".cmd")
    record.unlink(missing_ok=True)
    done = subprocess.run(obj.command, capture_output=True, text=True, check=False)
    sys.stderr.write(done.stderr)
    if done.returncode != 0:
        raise CompileError(f"{shlex.join(obj.command)} failed with status {done.returncode}:\n{done.stderr}")
    print(f"fastnn: compiled {obj.source.name}")
    record.write_text(shlex.join(obj.command))


def write_build_info(folder: Path, **facts: object) -> None:
    """Record what was built where the package will find it."""
    lines = ['"""What the build made; written by setup.py."""', ""]
    types = {"levels": "tuple[str, ...]", "left_out": "dict[str, str]"}
    lines += [f"{name}: {types.get(name, type(value).__name__)} = {value!r}" for name, value in facts.items()]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "_build_info.py").write_text("\n".join(lines) + "\n")


class BuildCore(build_ext):
    """Compiles the core with its own object cache; setuptools only links."""

    def build_extension(self, ext: Extension) -> None:
        """Compile, link and record."""
        command = compiler_command()
        assert command is not None, "an extension is declared only where there is a compiler"
        tools = Toolchain(command)
        objects = self.core_objects(tools, self.translate())
        # Objects are few and large, and a build may share its machine: two at a time unless told otherwise.
        with ThreadPoolExecutor(self.parallel if isinstance(self.parallel, int) else 2) as pool:
            list(pool.map(compile_object, objects))
        self.link(ext, [str(obj.path) for obj in objects], tools)
        for level, why in tools.left_out.items():
            print(f"fastnn: level {level} left out: {why}")
        if not tools.openmp:
            print("fastnn: built without the OpenMP thread back end; the pthreads one is there")
        write_build_info(
            Path(self.get_ext_fullpath(ext.name)).parent,
            compiled=True,
            reason="",
            compiler=tools.version(),
            levels=(
                "baseline" if self.is_x86(tools) else "portable",
                *(level.name for level in tools.levels),
            ),
            left_out=tools.left_out,
            openmp=tools.openmp,
        )

    def copy_extensions_to_source(self) -> None:
        """Bring the record along with an in-place build."""
        super().copy_extensions_to_source()
        shutil.copy2(Path(self.build_lib, "fastnn", "_build_info.py"), ROOT / "fastnn")

    @staticmethod
    def is_x86(tools: Toolchain) -> bool:
        """Whether the floor is called baseline."""
        return tools.try_program(ARCHITECTURE_PROBE.format("__x86_64__"), [])

    def translate(self) -> Path:
        """Translate _core.pyx to C under build/ and return the C file."""
        from Cython.Build import cythonize

        folder = Path(self.build_temp, "cython")
        module = cythonize(
            [Extension("fastnn._core", ["fastnn/_core.pyx"], include_dirs=["src"])],
            build_dir=str(folder),
            compiler_directives={"language_level": 3, "embedsignature": True},
        )[0]
        return Path(module.sources[0])

    def core_objects(self, tools: Toolchain, module: Path) -> list[Object]:
        """List every object of the extension."""
        flags = [*FLAGS, "-fPIC", "-pthread", *tools.defines]
        strict = WARNINGS + (["-Werror"] if os.environ.get("FASTNN_WERROR") == "1" else [])
        extra = {f"isa/{level.name}.c": level.flags for level in tools.levels}
        extra["isa/baseline.c"] = []
        if tools.openmp:
            extra["base/team_openmp.c"] = ["-fopenmp"]
        objects = [self.make(tools, module, "core.o", [*flags, *(f"-I{d}" for d in self.python_includes())])]
        for source in sorted(Path("src").rglob("*.c")):
            name = source.relative_to("src").as_posix()
            if name.startswith("isa/") and name not in extra:
                continue
            own = [*flags, *strict, *extra.get(name, [])]
            objects.append(self.make(tools, source, name.replace("/", "-").replace(".c", ".o"), own))
        # The longest first: the levels take nearly all of the time.
        return sorted(objects, key=lambda obj: not obj.source.match("isa/*.c"))

    def python_includes(self) -> list[str]:
        """Return the folders of Python.h."""
        import sysconfig

        paths = sysconfig.get_paths()
        return sorted({paths["include"], paths["platinclude"], *self.include_dirs})

    def make(self, tools: Toolchain, source: Path, name: str, flags: list[str]) -> Object:
        """Describe one object under the temporary folder of this build."""
        path = Path(self.build_temp, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        user = shlex.split(os.environ.get("CFLAGS", ""))
        depends = ["-MMD", "-MF", str(path.with_suffix(".d"))]
        command = [*tools.command, *flags, *user, *depends, "-c", str(source), "-o", str(path)]
        return Object(source, path, command)

    def link(self, ext: Extension, objects: list[str], tools: Toolchain) -> None:
        """Link the objects as Python links extension modules on this platform."""
        options = ["-lm", "-pthread", *(["-fopenmp"] if tools.openmp else [])]
        target = self.get_ext_fullpath(ext.name)
        if not shutil.which(self.compiler.linker_so[0]):
            self.compiler.linker_so[:1] = tools.command
        self.compiler.link_shared_object(objects, target, extra_postargs=options, build_temp=self.build_temp)


class BuildPackage(build_py):
    """Copies the Python files and, in a pure build, records that it is one."""

    def run(self) -> None:
        """Copy and record."""
        super().run()
        if not self.distribution.has_ext_modules():
            reason = "no C compiler was found when fastnn was installed"
            target = ROOT if self.editable_mode else Path(self.build_lib)
            facts = {
                "compiled": False,
                "reason": reason,
                "compiler": "",
                "levels": (),
                "left_out": {},
                "openmp": False,
            }
            write_build_info(target / "fastnn", **facts)
            print(f"fastnn: {reason}: it will run on the slow NumPy reference backend")


def main() -> None:
    """Run setuptools with the extension where it can be built."""
    os.chdir(ROOT)
    found = compiler_command() is not None
    core = [Extension("fastnn._core", ["fastnn/_core.pyx"])] if found else []
    setup(ext_modules=core, cmdclass={"build_ext": BuildCore, "build_py": BuildPackage}, distclass=Distribution)


if __name__ == "__main__":
    main()
