"""Profile, tier and level, which parameter sets and `hvcC` carry (ISO/IEC 23008-2 §7.3.3)."""

from __future__ import annotations

from dataclasses import dataclass

from lalmesh.bits import BitReader

_PROFILE_NAMES = {
    1: "Main",
    2: "Main 10",
    3: "Main Still Picture",
    4: "Format Range Extensions",
    5: "High Throughput",
    6: "Multiview Main",
    7: "Scalable Main",
    8: "3D Main",
    9: "Screen Content Coding",
    10: "Scalable Format Range Extensions",
    11: "High Throughput Screen Content Coding",
}


@dataclass(slots=True, frozen=True, kw_only=True)
class ProfileTierLevel:
    """What a decoder must be capable of: the general part of profile_tier_level() (§7.3.3), the same bits as in `hvcC`."""

    profile_space: int  #: 0 to 3
    high_tier: bool  #: general_tier_flag
    profile_idc: int  #: 0 to 31
    compatibility_flags: int  #: 32 bits, general_profile_compatibility_flag[0] the highest
    constraint_flags: int  #: 48 bits, general_progressive_source_flag the highest
    level_idc: int  #: thirty times the level

    def serialize(self) -> bytes:
        """Give the 12 bytes in which parameter sets and `hvcC` carry it."""
        first = self.profile_space << 6 | self.high_tier << 5 | self.profile_idc
        return b"".join(
            (
                bytes((first,)),
                self.compatibility_flags.to_bytes(4, "big"),
                self.constraint_flags.to_bytes(6, "big"),
                bytes((self.level_idc,)),
            )
        )

    @property
    def profile(self) -> str:
        """The name of the profile (§A.3), such as ``Main 10``."""
        return _PROFILE_NAMES.get(self.profile_idc, f"profile {self.profile_idc}")


def parse_general_profile(bits: BitReader) -> ProfileTierLevel:
    """Read the 12 bytes that `ProfileTierLevel.serialize` writes."""
    return ProfileTierLevel(
        profile_space=bits.read(2),
        high_tier=bits.flag(),
        profile_idc=bits.read(5),
        compatibility_flags=bits.read(32),
        constraint_flags=bits.read(48),
        level_idc=bits.read(8),
    )


def parse_profile_tier_level(bits: BitReader, max_sub_layers: int) -> ProfileTierLevel:
    """Read profile_tier_level(1, max_sub_layers - 1), passing over the sub-layers (§7.3.3)."""
    general = parse_general_profile(bits)
    present = [(bits.flag(), bits.flag()) for _ in range(max_sub_layers - 1)]
    if present:
        bits.skip(2 * (8 - len(present)))  # reserved_zero_2bits, up to the eighth sub-layer
    for has_profile, has_level in present:
        bits.skip(88 * has_profile + 8 * has_level)
    return general
