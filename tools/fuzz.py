"""Feed every parser with made-up bytes: each `tests/fuzz/fuzz_*.py` for some time, two at once; a finding fails the run.

What a run learns stays below `.tools/fuzz` and the next one begins with it; inputs that made a parser fail lie there too.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from bench import _report  # noqa: E402 -- found through the line above

WORK = ROOT / ".tools" / "fuzz"
PAGE = ROOT / "docs" / "fuzz.md"
COLUMNS = ("target", "inputs", "seconds", "date", "commit")
JOBS = 2
MEMORY_MB = 2048  #: a parser that needs more has no bound
INPUT_S = 10  #: a parser that takes longer over one input has no bound
OUTPUT_CHARS = 4000  #: of a target that failed
START_S = 60  #: for the instrumentation, beyond the time asked for
#: Captures that a target begins with.
SEEDS = {
    "flv_stream": "tests/captures/flv",
    "recording_restore": "tests/captures/flv",
    "rtmp_server": "tests/captures/rtmp",
    "rtmp_chunks": "tests/captures/rtmp",
    "http_auth": "tests/captures/http_auth",
    "rtcp": "tests/captures/rtcp",
    "rtp_packets": "tests/captures/rtp",
    "rtp_payloads": "tests/captures/rtp_payloads",
    "rtsp_client": "tests/captures/rtsp_answers",
    "rtsp_server": "tests/captures/rtsp",
    "sdp": "tests/captures/sdp",
}


def run(script: Path, seconds: int) -> bool:
    """Run one target; whether it found nothing."""
    name = script.stem.removeprefix("fuzz_")
    folder = WORK / name
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    log = folder / "log.txt"
    seeds = [seed for seed in (SEEDS.get(name),) if seed and (ROOT / seed).is_dir()]
    limits = [f"-max_total_time={seconds}", f"-rss_limit_mb={MEMORY_MB}", f"-timeout={INPUT_S}", f"-artifact_prefix={folder}/"]
    command: list[str | Path] = [sys.executable, script, *limits, "-max_len=65536", corpus, *seeds]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "tests"), str(ROOT)))}
    with log.open("w") as output:
        try:
            done = subprocess.run(
                command,
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=seconds + START_S,
                check=False,
            )
            ok = done.returncode == 0
        except subprocess.TimeoutExpired:
            ok = False
    said = log.read_text(errors="replace")
    runs = re.search(r"^Done (\d+) runs", said, re.M)
    print(f"{'ok    ' if ok else 'FAILED'} {name} ({runs.group(1) if runs else 'unknown'} inputs)", flush=True)
    if not ok:
        kept = ", ".join(str(path.relative_to(ROOT)) for path in folder.glob("*-*"))
        print(f"{said[-OUTPUT_CHARS:]}\nthe input: {kept or 'none was kept'}")
    return ok


def report(names: Sequence[str]) -> None:
    """Write the rows of these targets into `docs/fuzz.md`, from the logs of their last runs; those of others stay as they are.

    Exits where one of them found something or has no whole log, or another has no row.
    """
    about = _report.context()
    rows = _rows() | {name: [name, *_result(name), about["date"], about["commit"]] for name in names}
    wanted = [script.stem.removeprefix("fuzz_") for script in targets()]
    if missing := [name for name in wanted if name not in rows]:
        sys.exit(f"not run yet: {' '.join(missing)}")
    head = (
        "# Fuzzing\n\nEvery parser is fed with made-up bytes (atheris, guided by coverage). A run ends where a parser raises "
        f"anything but its documented errors, takes over {INPUT_S} s for one input, or {MEMORY_MB} MiB of memory. "
        "None of these did, when each was run last:"
    )
    listed = _report.listed({"command": "make fuzz ARGS=--report", "machine": about["machine"]})
    page = "\n\n".join((head, listed, _report.table(COLUMNS, [rows[name] for name in wanted])))
    PAGE.write_text(f"{page}\n")


def _result(name: str) -> tuple[str, str]:
    """Inputs and seconds of a target's last run."""
    log = WORK / name / "log.txt"
    done = re.search(r"^Done (\d+) runs in (\d+) second", log.read_text(errors="replace") if log.exists() else "", re.M)
    if done is None:
        sys.exit(f"{name} has no log of a whole run")
    return f"{int(done.group(1)):,}", done.group(2)


def _rows() -> dict[str, list[str]]:
    """What the page says of each target."""
    lines = PAGE.read_text().splitlines() if PAGE.exists() else []
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    return {row[0]: row for row in rows if len(row) == len(COLUMNS)}


def targets() -> list[Path]:
    """Every target's script."""
    return sorted((ROOT / "tests" / "fuzz").glob("fuzz_*.py"))


def main() -> None:
    """Run all targets, or those named."""
    parser = argparse.ArgumentParser(
        prog="tools/fuzz.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=int, default=60, help="for each target (%(default)s)")
    parser.add_argument("--report", action="store_true", help="write what was run into docs/fuzz.md; rows of other targets stay")
    parser.add_argument("--only-report", action="store_true", help="run nothing, write docs/fuzz.md from the last run of each")
    parser.add_argument("names", nargs="*", help="targets, such as flv_stream; all of them without any")
    chosen = parser.parse_args()
    scripts = targets()
    if chosen.names:
        scripts = [script for script in scripts if script.stem.removeprefix("fuzz_") in chosen.names]
    if not scripts:
        sys.exit("no such target")
    names = [script.stem.removeprefix("fuzz_") for script in scripts]
    if chosen.only_report:
        report(names)
        return
    with ThreadPoolExecutor(JOBS) as pool:
        good = list(pool.map(lambda script: run(script, chosen.seconds), scripts))
    print(f"{sum(good)} passed, {len(good) - sum(good)} failed")
    if all(good) and chosen.report:
        report(names)
    sys.exit(0 if all(good) else 1)


if __name__ == "__main__":
    main()
