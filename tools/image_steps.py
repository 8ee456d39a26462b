"""What `tools/image-steps.sh` does once there is a base: the stages of the Dockerfile one after the other, then trials.

It runs in a mount namespace of its own, so nothing that is mounted here stays.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tools.dockerfile import Instruction, Stage, ignores, parse

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".tools" / "image"
BASE = FOLDER / "base"
CONTEXT = FOLDER / "context"  #: what an engine would be sent: the files as they were at the start
CLIP = ROOT / "charts" / "lalmesh" / "files" / "clip.flv"
STEP_S = 1800.0  #: some hundred packages of npm on a slow machine
TRIAL_S = 60.0
GLIBC_MINOR = 36  #: of Debian 12; what was built for an older one runs
#: How this machine reaches its package registries; seen inside while a step runs, read-only.
SETTINGS = ("/etc/resolv.conf", "/etc/hosts", "/etc/apt", "/etc/pip.conf", "/etc/xdg/pip", "/root/.config/pip", "/etc/npmrc",
            "/usr/etc/npmrc", "/root/.npmrc", "/usr/share/keyrings")  # fmt: skip
#: The authorities that this machine trusts: seen inside under another name, since packages write the usual one.
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
AUTHORITIES_INSIDE = "/run/authorities.crt"
PASSED_ON = ("PIP_", "NPM_CONFIG_", "SSL_", "NODE_EXTRA_CA", "REQUESTS_CA", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: What an image has no use for, and somebody who got in has.
BUILD_TOOLS = ("cc", "gcc", "c++", "ld", "make", "pip", "pip3", "npm", "node", "git", "curl", "wget")


class StepError(Exception):
    """A step or a trial went wrong."""


def run(words: Sequence[str | Path], **more: object) -> str:
    done = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          stdin=subprocess.DEVNULL, timeout=STEP_S, check=False, **more)  # type: ignore[call-overload]  # fmt: skip
    if done.returncode:
        raise StepError(f"{shlex.join(map(str, words))}\n{done.stdout[-4000:]}")
    return str(done.stdout)


class Root:
    """The file system of one stage: what it changes, over the base."""

    def __init__(self, name: str, *, kept: bool = False) -> None:
        """Clean, or as it was `kept`."""
        self.path = FOLDER / f"{name}.root"
        self.env = {"PATH": PATH}
        self.working = "/"
        upper, work = FOLDER / f"{name}.upper", FOLDER / f"{name}.work"
        for folder in (self.path, upper, work):
            if not kept:
                shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True, exist_ok=True)
        run(["mount", "-t", "overlay", "overlay", "-o", f"lowerdir={BASE},upperdir={upper},workdir={work}", self.path])
        for name in ("proc", "dev", "sys"):
            run(["mount", "--rbind", f"/{name}", self.path / name])

    def at(self, path: str) -> Path:
        """A path of the image, here; a relative one is below WORKDIR."""
        return self.path / os.path.normpath(os.path.join(self.working, path)).lstrip("/")

    def shell(self, text: str) -> None:
        """What RUN does."""
        settings = {Path(path): self.at(path) for path in SETTINGS if Path(path).exists()}
        settings[Path(AUTHORITIES)] = self.at(AUTHORITIES_INSIDE)
        made = [inside for inside in settings.values() if not inside.exists()]
        for path, inside in settings.items():
            if path.is_dir():
                inside.mkdir(parents=True, exist_ok=True)
            elif not inside.exists():
                inside.parent.mkdir(parents=True, exist_ok=True)
                inside.touch()
            run(["mount", "--bind", path, inside])
            run(["mount", "-o", "remount,ro,bind", inside])
        passed = {
            name: value.replace(AUTHORITIES, AUTHORITIES_INSIDE)
            for name, value in os.environ.items()
            if name.upper().startswith(PASSED_ON)
        }
        passed |= dict.fromkeys(("PIP_CERT", "npm_config_cafile", "NODE_EXTRA_CA_CERTS", "SSL_CERT_FILE"), AUTHORITIES_INSIDE)
        env = [f"{name}={value}" for name, value in {**passed, "DEBIAN_FRONTEND": "noninteractive", **self.env}.items()]
        try:
            run(["chroot", self.path, "env", "-i", "-C", self.working, *env, "/bin/sh", "-c", text])
        finally:
            for inside in settings.values():
                run(["umount", inside])
            for inside in made:
                inside.rmdir() if inside.is_dir() else inside.unlink()

    def command(self, words: Sequence[str], user: str) -> list[str]:
        """How `words` run in it as that user, with nothing but its own environment, cut off from every network."""
        uid, _, gid = user.partition(":")
        env = [f"{name}={value}" for name, value in self.env.items()]
        away = ["setpriv", "--reuid", uid, "--regid", gid, "--clear-groups", "--no-new-privs", "--bounding-set=-all"]
        return ["chroot", str(self.path), *away, "env", "-i", "-C", self.working, *env, *words]


def build(stage: Stage, roots: dict[str, Root]) -> Root:
    """Run the instructions of a stage."""
    name = stage.name or "image"
    made_of, done = origin(stage), FOLDER / f"{name}.done"
    if made_of and done.exists() and done.read_text() == made_of:
        print(f"{name}: as it was")
        return Root(name, kept=True)
    done.unlink(missing_ok=True)
    root = Root(name)
    for number, step in enumerate(stage.instructions, 1):
        began = time.monotonic()
        do(step, root, roots)
        if step.name in ("RUN", "COPY"):
            print(f"{name} {number}: {step.name} {step.text[:100]} ({time.monotonic() - began:.1f} s)", flush=True)
    done.write_text(made_of)
    return root


def origin(stage: Stage) -> str:
    """What a stage is made of, as a digest; empty where that includes another stage."""
    copies = stage.all("COPY")
    if any("from" in step.flags for step in copies):
        return ""
    named = [CONTEXT / source for step in copies for source in step.words[:-1]]
    files = sorted({file for path in named for file in (path.rglob("*") if path.is_dir() else [path]) if file.is_file()})
    whole = hashlib.sha256(repr(stage).encode())
    for file in files:
        whole.update(str(file).encode() + hashlib.sha256(file.read_bytes()).digest())
    return whole.hexdigest()


def do(step: Instruction, root: Root, roots: dict[str, Root]) -> None:
    """Run one instruction."""
    match step.name:
        case "RUN":
            root.shell(step.text)
        case "COPY":
            *sources, target = step.words
            for source in sources:
                copy(roots[step.flags["from"]].at(source) if "from" in step.flags else CONTEXT / source, root, target)
        case "WORKDIR":
            root.working = step.text
            root.at(".").mkdir(parents=True, exist_ok=True)
        case "ENV":
            root.env |= {name: value.replace("$PATH", root.env["PATH"]) for name, value in step.pairs.items()}
        case "USER" | "VOLUME" | "EXPOSE" | "STOPSIGNAL" | "HEALTHCHECK" | "ENTRYPOINT" | "CMD":
            pass  # of the image, not of its files
        case _:
            raise StepError(f"{step.name} is not known here")


def take_context() -> None:
    """Copy what `.dockerignore` leaves in."""
    rules = (ROOT / ".dockerignore").read_text()

    def left_out(folder: str, names: list[str]) -> list[str]:
        return [name for name in names if ignores(rules, (Path(folder) / name).relative_to(ROOT))]

    shutil.rmtree(CONTEXT, ignore_errors=True)
    shutil.copytree(ROOT, CONTEXT, symlinks=True, ignore=left_out)


def copy(source: Path, root: Root, target: str) -> None:
    """Copy a file into a folder, or what is in a folder."""
    inside = root.at(target)
    if source.is_dir():
        shutil.copytree(source, inside, symlinks=True, dirs_exist_ok=True)
    elif source.is_file():
        to = inside / source.name if target.endswith("/") else inside
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, to)
    else:
        raise StepError(f"there is no {source}")


def digest(folder: Path) -> str:
    """Of all names, modes and contents below a folder."""
    whole = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        whole.update(f"{path.relative_to(folder)} {path.lstat().st_mode:o}\n".encode())
        if path.is_symlink():
            whole.update(os.readlink(path).encode())
        elif path.is_file():
            whole.update(hashlib.sha256(path.read_bytes()).digest())
    return whole.hexdigest()


def try_out(stage: Stage, root: Root) -> None:
    """Run the image as an engine would: its user, a root that cannot be written to, its command, its health check; and use it."""
    found = [
        name
        for name in BUILD_TOOLS
        if any((root.path / folder.lstrip("/") / name).exists() for folder in root.env["PATH"].split(":"))
    ]
    if found:
        raise StepError(f"build tools in the image: {found}")
    user = stage.last("USER").text
    writable = FOLDER / "volume"
    shutil.rmtree(writable, ignore_errors=True)
    writable.mkdir()
    os.chown(writable, *map(int, user.split(":")))
    run(["mount", "-t", "tmpfs", "tmpfs", root.at("/tmp")])
    run(["mount", "--bind", writable, root.at(stage.last("VOLUME").text)])
    shutil.copy2(CLIP, root.at("/tmp/clip.flv"))
    run(["mount", "-o", "remount,ro", root.path])
    started = root.command([*stage.last("ENTRYPOINT").words, *stage.last("CMD").words], user)
    with (FOLDER / "server.log").open("wb") as log:
        server = subprocess.Popen(["unshare", "--net", "/bin/sh", "-c", 'ip link set lo up; exec "$@"', "in", *started],
                                  stdin=subprocess.DEVNULL, stdout=log, stderr=log)  # fmt: skip
    try:
        beside = ["nsenter", "--target", str(server.pid), "--net"]
        health = [*beside, *root.command(stage.last("HEALTHCHECK").words, user)]
        began = time.monotonic()
        while subprocess.run(health, capture_output=True, check=False).returncode:
            if server.poll() is not None or time.monotonic() - began > TRIAL_S:
                raise StepError(f"it does not get healthy:\n{(FOLDER / 'server.log').read_text()[-4000:]}")
            time.sleep(0.2)
        print(f"healthy after {time.monotonic() - began:.1f} s, as {user}, with a root that cannot be written to")
        push = [*beside, *root.command(["lalmesh", "push", "/tmp/clip.flv", "rtmp://127.0.0.1/live/clip", "--loop", "0"], user)]
        pushing = subprocess.Popen(push, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            print(run([*beside, *root.command(["lalmesh", "probe", "http://127.0.0.1:8080/live/clip.flv"], user)]).strip())
        finally:
            pushing.terminate()
            pushing.wait(TRIAL_S)
        page = "import urllib.request as r; print(len(r.urlopen('http://127.0.0.1:8083/console/').read()), 'bytes of the console')"
        print(run([*beside, *root.command(["python3", "-c", page], user)]).strip())
        server.terminate()
        if code := server.wait(TRIAL_S):
            raise StepError(f"it ends with {code}")
    finally:
        server.kill()
        server.wait(TRIAL_S)


def try_arm64(root: Root) -> None:
    """Look for all packages for linux/arm64."""
    names = ["manylinux2014", *(f"manylinux_2_{minor}" for minor in range(17, GLIBC_MINOR + 1))]
    platforms = " ".join(f"--platform {name}_aarch64" for name in names)
    root.shell(
        f"/build/bin/pip download --no-cache-dir --quiet --dest /tmp/arm64 --only-binary :all: {platforms} --python-version 3.11"
        " --implementation cp --constraint constraints.txt dist/*.whl"
    )
    print(f"{len(list(root.at('/tmp/arm64').iterdir()))} packages for linux/arm64")


def main() -> None:
    stages = parse((ROOT / "Dockerfile").read_text())
    roots: dict[str, Root] = {}
    take_context()
    try:
        for stage in stages:
            roots[stage.name or "image"] = build(stage, roots)
        image = roots["image"]
        code = digest(image.at("/opt/lalmesh"))
        size = int(run(["du", "-sbx", FOLDER / "image.upper"]).split()[0])
        print(f"{size / 1e6:.0f} MB over the base; /opt/lalmesh is {code[:16]}")
        if "--arm64" in sys.argv:
            try_arm64(roots["build"])
        if "--twice" in sys.argv:
            (stage,) = (stage for stage in stages if stage.name == "build")
            again = digest(build(Stage(stage.base, "again", stage.instructions), roots).at("/opt/lalmesh"))
            if again != code:
                raise StepError(f"built twice, it is not the same: {again}")
            print("built twice, it is the same")
        try_out(stages[-1], image)
    except StepError as error:
        sys.exit(f"tools/image-steps.sh: {error}")


if __name__ == "__main__":
    main()
