"""What profiles and levels mean: names, and how many frames a decoder holds (ISO/IEC 14496-10 Annex A)."""

from __future__ import annotations

MAX_DPB_FRAMES = 16  #: no level lets a decoder hold more frames (§A.3.1)

_CONSTRAINT_SET1, _CONSTRAINT_SET3, _CONSTRAINT_SET4, _CONSTRAINT_SET5 = 0x40, 0x10, 0x08, 0x04
_PROFILES_WITH_INTRA = frozenset({44, 86, 100, 110, 122, 244})  #: constraint_set3_flag means "only intra" (§E.2.1)

#: level_idc -> MaxDpbMbs in macroblocks (Table A-1); 9 is level 1b
_MAX_DPB_MBS = (
    {9: 396, 10: 396, 11: 900, 12: 2376, 13: 2376, 20: 2376, 21: 4752, 22: 8100, 30: 8100, 31: 18_000, 32: 20_480}
    | {40: 32_768, 41: 32_768, 42: 34_816, 50: 110_400, 51: 184_320, 52: 184_320}
    | {60: 696_320, 61: 696_320, 62: 696_320}
)
_PROFILE_NAMES = {
    44: "CAVLC 4:4:4 Intra",
    66: "Baseline",
    77: "Main",
    83: "Scalable Baseline",
    86: "Scalable High",
    88: "Extended",
    100: "High",
    110: "High 10",
    118: "Multiview High",
    122: "High 4:2:2",
    128: "Stereo High",
    244: "High 4:4:4 Predictive",
}


def profile_name(profile_idc: int, flags: int) -> str:
    """The name of a profile (§A.2); `flags` are its constraint flags, constraint_set0_flag the highest of 8 bits."""
    name = _PROFILE_NAMES.get(profile_idc, f"profile {profile_idc}")
    if profile_idc == 66 and flags & _CONSTRAINT_SET1:
        return f"Constrained {name}"
    if profile_idc == 100 and flags & _CONSTRAINT_SET4:
        return f"Constrained {name}" if flags & _CONSTRAINT_SET5 else f"Progressive {name}"
    if profile_idc in (110, 122, 244) and flags & _CONSTRAINT_SET3:
        return f"{name.removesuffix(' Predictive')} Intra"
    return name


def is_intra_only(profile_idc: int, constraint_flags: int) -> bool:
    """Whether no picture refers to another, so that none is shown out of order (§E.2.1)."""
    return profile_idc in _PROFILES_WITH_INTRA and bool(constraint_flags & _CONSTRAINT_SET3)


def max_dpb_frames(profile_idc: int, constraint_flags: int, level_idc: int, frame_mbs: int) -> int:
    """MaxDpbFrames, how many frames a decoder of the level holds (§A.3.1)."""
    is_1b = level_idc == 11 and constraint_flags & _CONSTRAINT_SET3 and profile_idc in (66, 77, 88)
    max_dpb_mbs = _MAX_DPB_MBS.get(9 if is_1b else level_idc)
    return MAX_DPB_FRAMES if max_dpb_mbs is None else min(max_dpb_mbs // frame_mbs, MAX_DPB_FRAMES)
