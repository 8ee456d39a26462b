from lalmesh.codec import g711
from lalmesh.media import Codec


def test_twenty_milliseconds_are_160_bytes() -> None:
    assert g711.samples(160) == 160
    assert g711.duration_ticks(160) == 1800


def test_two_channels_share_the_bytes() -> None:
    assert g711.duration_ticks(320, channels=2) == 1800


def test_a_container_may_claim_another_rate() -> None:
    assert g711.duration_ticks(320, sample_rate_hz=16000) == 1800


def test_silence_is_that_of_each_law() -> None:
    assert g711.SILENCE[Codec.PCMA] == 0xD5
