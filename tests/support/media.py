"""Test media, made with ffmpeg when first asked for and kept under `.tools/media`, keyed by the command that makes it."""

from __future__ import annotations

import fcntl
import hashlib
import os
from pathlib import Path

from support import ffmpeg

FOLDER = Path(__file__).resolve().parents[2] / ".tools" / "media"
MAKE_LIMIT_S = 120  #: for one file on a slow machine; each takes a second or so

_TONE = "sine=f=440:r={rate}"
_KEY_EACH_SECOND = ("-g", "25", "-keyint_min", "25", "-sc_threshold", "0")
_H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", *_KEY_EACH_SECOND)
_H264_PLAIN = (*_H264, "-bf", "0", "-b:v", "400k")
_H264_B3 = (
    *("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", *_KEY_EACH_SECOND),
    *("-bf", "3", "-b_strategy", "0", "-b:v", "400k"),
)
_H264_KEY_EACH_4_S = (
    *("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-bf", "0", "-b:v", "400k"),
    *("-g", "1000", "-sc_threshold", "0", "-force_key_frames", "expr:gte(t,n_forced*4)"),
)
_AAC = ("-c:a", "aac", "-b:a", "64k")
# Of each four seconds: where there are no pictures, where there is one of four, and where there is no sound.
_PAUSE = "'not(between(mod(t,4),1.2,1.9))'"
_SLOWER = "'if(gt(mod(t,4),3),not(mod(n,4)),1)'"
_MISSING = "'between(mod(pts*tb,4),1.2,1.4)'"


def _video(size: str, rate: str | int = 25, noise: int = 0) -> tuple[str, ...]:
    grain = f",noise=alls={noise}:allf=t" if noise else ""
    return ("-f", "lavfi", "-i", f"testsrc2=s={size}:r={rate}{grain}")


def _audio(rate: int = 44_100) -> tuple[str, ...]:
    return ("-f", "lavfi", "-i", _TONE.format(rate=rate))


def _constant(rate: str, buffer: str) -> tuple[str, ...]:
    return ("-b:v", rate, "-minrate", rate, "-maxrate", rate, "-bufsize", buffer, "-x264-params", "nal-hrd=cbr")


def _bench(rate: str, buffer: str) -> tuple[str, ...]:
    h264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-bf", "0", "-g", "60", "-keyint_min", "60")
    sound = ("-c:a", "aac", "-b:a", "128k", "-t", "30")
    return (*_video("640x360", 30, noise=20), *_audio(), *h264, "-sc_threshold", "0", *_constant(rate, buffer), *sound)


_SMALL = _video("320x180")
_NOISE = ("-f", "lavfi", "-i", "anoisesrc=r=44100:a=0.3:seed=1")
_OTHER_NOISE = ("-f", "lavfi", "-i", "anoisesrc=r=44100:a=0.3:seed=2")
_OPUS_NOISE = ("-f", "lavfi", "-i", "anoisesrc=r=48000:a=0.3:seed=3")
_NTSC = (
    *(*_video("320x180", "30000/1001"), *_audio(), "-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p"),
    *("-g", "300", "-sc_threshold", "0", "-bf", "3", "-b_strategy", "0", "-b:v", "400k"),
)
#: What there is: inputs, encoders, duration.
RECIPES: dict[str, tuple[str, ...]] = {
    "h264_aac": (*_SMALL, *_audio(), *_H264_PLAIN, *_AAC, "-ac", "2", "-t", "8"),
    "h264_aac_15s": (*_SMALL, *_audio(), *_H264_PLAIN, *_AAC, "-ac", "2", "-t", "15"),  # many players at once are long in starting
    "h264_b3_aac": (*_SMALL, *_audio(), *_H264_B3, *_AAC, "-t", "8"),
    "h264_b3_aac_60s": (*_SMALL, *_audio(), *_H264_B3, *_AAC, "-t", "60"),  # long enough to join often, no packet twice
    "h264_large_aac": (*_video("640x360"), *_audio(48_000), *_H264_PLAIN, *_AAC, "-t", "8"),
    # 29.97 pictures a second and a key frame every 10 s; in the second one, one more after 1 s.
    "h264_ntsc_10s": (*_NTSC, *_AAC, "-t", "12.5"),
    "h264_ntsc_1s_10s": (*_NTSC, "-force_key_frames", "1.001", *_AAC, "-t", "12.5"),
    "hevc_aac": (
        *_SMALL, *_audio(), "-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p",
        "-x265-params", "log-level=error:keyint=25:min-keyint=25:scenecut=0", *_AAC, "-t", "8",
    ),
    "av1_opus": (
        *_SMALL, *_audio(48_000), "-c:v", "libsvtav1", "-preset", "11", "-pix_fmt", "yuv420p", "-g", "25",
        "-c:a", "libopus", "-b:a", "64k", "-t", "8",
    ),
    "aac": (*_audio(), *_AAC, "-t", "8"),
    "h264": (*_SMALL, *_H264_PLAIN, "-t", "8"),
    "h264_mp3": (*_SMALL, *_audio(), *_H264_PLAIN, "-c:a", "libmp3lame", "-b:a", "64k", "-t", "8"),
    "h264_opus": (*_SMALL, *_audio(48_000), *_H264_PLAIN, "-c:a", "libopus", "-b:a", "64k", "-t", "8"),
    "h264_pcma": (*_SMALL, *_audio(8_000), *_H264_PLAIN, "-c:a", "pcm_alaw", "-ac", "1", "-t", "8"),
    "h264_pcmu": (*_SMALL, *_audio(8_000), *_H264_PLAIN, "-c:a", "pcm_mulaw", "-ac", "1", "-t", "8"),
    "h264_20m_aac": (*_video("640x360", noise=60), *_audio(), *_H264, "-bf", "0", *_constant("20M", "10M"), *_AAC, "-t", "8"),
    # Pictures stop for 700 ms in the middle of a group and come at 25, then at 6 a second; and sound of which 200 ms are missing.
    "h264_pausing_aac": (
        *_video("640x360"), *_audio(), "-vf", f"select={_PAUSE},select={_SLOWER}", "-fps_mode", "vfr", *_H264_KEY_EACH_4_S, *_AAC,
        "-t", "16",
    ),
    "h264_aac_missing": (
        *_video("640x360"), *_audio(), *_H264_KEY_EACH_4_S, *_AAC, "-ac", "2", "-bsf:a", f"noise=drop={_MISSING}",
        "-t", "16",
    ),
    # 30 pictures a second with a key frame each second, and sound: no payload comes twice in any of them.
    "unique_av": (*_video("320x180", 30, noise=20), *_NOISE, *_H264_PLAIN, "-g", "30", "-keyint_min", "30", *_AAC, "-t", "60"),
    "unique_av_rival": (
        *_video("256x144", 30, noise=30), *_OTHER_NOISE, *_H264_PLAIN, "-g", "30", "-keyint_min", "30", *_AAC, "-t", "60",
    ),
    "unique_av_opus": (
        *_video("192x108", 30, noise=30), *_OPUS_NOISE, *_H264_PLAIN, "-g", "30", "-keyint_min", "30", "-c:a", "libopus",
        "-b:a", "64k", "-t", "20",
    ),
    "unique_hevc": (
        *_video("320x180", 30, noise=20), *_NOISE, "-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p",
        "-x265-params", "log-level=error:keyint=30:min-keyint=30:scenecut=0:bframes=0", "-b:v", "400k", *_AAC, "-t", "20",
    ),
    "unique_sound": (*_NOISE, *_AAC, "-t", "60"),
    # The stream of the fan-out benchmark: 2.6 Mbit/s in all, 30 pictures a second, a key frame every 2 s, AAC.
    # For benchmarks: 2.6 Mbit/s in all, and the same pictures at other rates.
    "bench": _bench("2450k", "1M"),
    "bench_600k": _bench("450k", "200k"),
    "bench_1m": _bench("850k", "400k"),
    "bench_6m": _bench("5850k", "2400k"),
}  # fmt: skip


def media(name: str) -> Path:
    """The FLV file of that name in `RECIPES`, made now if it is not there yet. Safe to ask from several processes at once."""
    recipe = RECIPES[name]
    key = hashlib.sha256("\0".join((ffmpeg.FFMPEG.name, *recipe)).encode()).hexdigest()[:12]
    path = FOLDER / f"{name}-{key}.flv"
    if not path.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        with (FOLDER / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                _make(recipe, path)
    return path


def _make(recipe: tuple[str, ...], path: Path) -> None:
    for old in FOLDER.glob(f"{path.stem.rpartition('-')[0]}-*.flv"):
        old.unlink()
    unfinished = path.with_suffix(f".{os.getpid()}.part")
    ffmpeg.run("-y", *recipe, "-map_metadata", "-1", "-f", "flv", unfinished, limit_s=MAKE_LIMIT_S)
    unfinished.rename(path)
