# SPDX-License-Identifier: MIT
"""Python environments for the peers, made from PyPI under build-peers/ (not tracked by git) when they are first asked
for.

PyPI's torch for Linux is a CUDA build that does not load without some gigabytes of CUDA libraries.  The peers run on
the CPU, so torch is installed without them, and each library that is missing is replaced by an empty one whose
functions all return an error; torch then reports that there is no GPU.  Its CPU kernels are those of any other
build.
"""
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

HOME = pathlib.Path(__file__).resolve().parents[2] / "build-peers"
TORCH = ["torch==2.14.0", "fbgemm-gpu-cpu==1.9.0", "torch-rechub==0.9.0"]
TORCH_NEEDS = ["numpy", "pandas", "scikit-learn", "tqdm", "safetensors", "filelock", "typing-extensions>=4.10.0",
               "sympy>=1.13.3", "networkx", "jinja2", "fsspec", "setuptools>=77.0.3"]
PANDAS = ["pandas>=2.1,<4", "numpy>=1.24,<3"]  # any of them: see pandas_order.py


def run(*command):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{pathlib.Path(command[0]).name} failed ({' '.join(map(str, command[1:6]))} ...):\n"
                 + (done.stderr or done.stdout)[-2000:])
    return done.stdout


def make(name, install):
    """The Python of build-peers/NAME.  A new one is filled by install(python) and only then moved to its place."""
    python = HOME / name / "bin" / "python"
    if not (HOME / name / "complete").exists():
        print(f"making {HOME.name}/{name} from PyPI; this is done once", file=sys.stderr)
        shutil.rmtree(HOME / name, ignore_errors=True)
        run(sys.executable, "-m", "venv", HOME / name)
        install(python)
        (HOME / name / "complete").touch()
    return python


def pip(python, *what):
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *what)


def torch_python():
    """torch, fbgemm-gpu-cpu (for Meta's own layer) and torch-rechub."""
    def install(python):
        pip(python, *TORCH_NEEDS)
        pip(python, "--no-deps", *TORCH)
        if sys.platform == "linux":
            stand_in_for_cuda(python)
        run(python, "-c", "import torch, torch_rechub")
    return make("torch", install)


def pandas_python():
    return make("pandas", lambda python: pip(python, *PANDAS))


def stand_in_for_cuda(python):
    """Puts an empty library beside torch's own for each CUDA library that they name, those of this machine (which may
    be of another version) included; the linker looks beside the library first."""
    for tool in ("cc", "nm", "readelf"):
        if not shutil.which(tool):
            sys.exit(f"making PyPI's torch load without CUDA needs {tool}; or install a CPU build of torch yourself, "
                     "and name its interpreter with --python")
    folder = pathlib.Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))").strip())
    libraries = sorted((folder / "torch" / "lib").glob("*.so"))
    needed = "\n".join(run("readelf", "-d", library) for library in libraries)
    missing = set(re.findall(r"NEEDED.*\[(lib(?:cu|nv|nccl)[\w.]+)\]", needed)) - {"libcuda.so.1"}
    undefined = set(re.findall(r"\b[Uw] (\w+)(?:@(\S+))?", "\n".join(run("nm", "-D", "-u", lib) for lib in libraries)))
    for soname in missing:
        prefix = re.match(r"lib([a-zA-Z]+)", soname)[1].lower()  # libcufile.so.0 holds cuFileRead
        versions = {}
        for name, version in undefined:
            if version == soname or name.lower().startswith(prefix):
                versions.setdefault(version, []).append(name)
        with tempfile.TemporaryDirectory() as scratch:
            source, script = pathlib.Path(scratch, "stub.c"), pathlib.Path(scratch, "versions")
            source.write_text("long hstu_no_cuda(void) { return 100; }\n" + "".join(
                f'long {name}(void) __attribute__((alias("hstu_no_cuda")));\n'
                for name in sorted(set().union(*versions.values()))))
            versions.pop("", None)
            script.write_text("".join(f"{version} {{ {'; '.join(names)}; }};\n" for version, names in versions.items()))
            options = [f"-Wl,--version-script={script}"] if versions else []
            run("cc", "-shared", "-fPIC", f"-Wl,-soname,{soname}", *options, source, "-o",
                folder / "torch" / "lib" / soname)
