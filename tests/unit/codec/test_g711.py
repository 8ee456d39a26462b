from lalmesh.codec import g711
from lalmesh.media import Codec


def test_twenty_milliseconds_are_160_bytes() -> None:
    assert g711.samples(160) == 160
    assert g711.duration_ticks(160) == 1800


def test_two_channels_share_the_bytes() -> None:
    assert g711.duration_ticks(320, channels=2) == 1800


def test_a_container_may_claim_another_rate() -> None:
    assert g711.duration_ticks(320, sample_rate_hz=16000) == 1800


# RFC 3551 Table 4
def test_names_and_payload_types_are_those_of_the_profile() -> None:
    assert {g711.NAMES[codec]: number for codec, number in g711.PAYLOAD_TYPES.items()} == {"PCMU": 0, "PCMA": 8}
    assert g711.SILENCE[Codec.PCMA] == 0xD5
