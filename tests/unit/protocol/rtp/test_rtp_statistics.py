import pytest
from hypothesis import given
from hypothesis import strategies as st

from lalmesh.protocol.rtp import ReceiverStatistics, SenderReport, ntp_to_unix_us, report_interval_s, unix_us_to_ntp

RATE_HZ = 8_000


def received(*sequence_numbers: int) -> ReceiverStatistics:
    statistics = ReceiverStatistics(RATE_HZ)
    for number in sequence_numbers:
        statistics.packet(number & 0xFFFF, number * 160, number * 20_000)
    return statistics


def test_nothing_is_reported_before_the_first_packet() -> None:
    assert received().report_block(1, 0) is None
    assert received().lost == 0


def test_loss_is_what_was_expected_less_what_came() -> None:
    # §A.3: of 10, two are missing since the start, one of five since the block before
    statistics = received(65_530, 65_531, 65_533, 65_534)
    first = statistics.report_block(7, 0)
    for number in (65_535, 65_536, 65_538, 65_539):
        statistics.packet(number & 0xFFFF, 0, 0)
    second = statistics.report_block(7, 0)
    assert first is not None
    assert second is not None
    assert (first.ssrc, first.cumulative_lost, first.fraction_lost) == (7, 1, 256 // 5)
    assert (second.cumulative_lost, second.fraction_lost, second.highest_sequence) == (2, 256 // 5, 0x10003)


def test_second_copies_make_loss_negative_but_no_fraction() -> None:
    block = received(1, 2, 2, 2).report_block(7, 0)
    assert block is not None
    assert (block.cumulative_lost, block.fraction_lost) == (-2, 0)


def test_packets_out_of_order_are_not_lost() -> None:
    assert received(1, 4, 2, 3).lost == 0


def test_a_sender_that_jumps_is_counted_anew() -> None:
    statistics = received(1, 2, 30_000, 30_001)
    assert (statistics.received, statistics.lost) == (2, 0)


def test_packets_at_their_intervals_have_no_jitter() -> None:
    assert received(*range(50)).jitter == 0


def test_jitter_is_a_sixteenth_of_each_deviation() -> None:
    # §A.8: one packet is 10 ms (80 ticks) late, the next in time again
    statistics = ReceiverStatistics(RATE_HZ)
    for number, late_us in ((1, 0), (2, 10_000), (3, 0)):
        statistics.packet(number, number * 160, number * 20_000 + late_us)
    assert statistics.jitter == (80 + 80 - (80 + 8 >> 4)) // 16


def test_jitter_does_not_see_timestamps_wrap() -> None:
    statistics = ReceiverStatistics(RATE_HZ)
    for number in range(10):
        statistics.packet(number, 0xFFFFFF00 + number * 160 & 0xFFFFFFFF, number * 20_000)
    assert statistics.jitter == 0


def test_a_block_names_the_last_sender_report_and_its_age() -> None:
    # §6.4.1: the middle 32 bits of the NTP time, and the delay in 1/65536 s
    statistics = received(1)
    report = SenderReport(ssrc=7, ntp_timestamp=0x1111222233334444, rtp_timestamp=0, packet_count=0, octet_count=0)
    statistics.sender_report(report, 1_000_000)
    block = statistics.report_block(7, 3_500_000)
    assert block is not None
    assert (block.last_sr, block.delay_since_last_sr) == (0x22223333, 5 << 15)


def test_ntp_counts_from_1900() -> None:
    # RFC 4330 §3: the Unix epoch is 2208988800 s later; the second era begins in 2036
    assert unix_us_to_ntp(0) == 2_208_988_800 << 32
    assert unix_us_to_ntp(500_000) & 0xFFFFFFFF == 1 << 31
    assert ntp_to_unix_us(0) == ((1 << 32) - 2_208_988_800) * 1_000_000


@given(st.integers(0, 4_000_000_000_000_000))
def test_ntp_is_exact_to_the_microsecond(unix_us: int) -> None:
    assert ntp_to_unix_us(unix_us_to_ntp(unix_us)) == unix_us


def interval(*, members: int = 2, senders: int = 1, is_sender: bool = True, is_first: bool = False, at: float = 0.5) -> float:
    return report_interval_s(
        members=members,
        senders=senders,
        session_bandwidth_bps=64_000,
        is_sender=is_sender,
        average_rtcp_bytes=100,
        is_first=is_first,
        randomness=at,
    )


def test_few_participants_report_at_the_minimum() -> None:
    # §6.3.1: 5 s, half of it at first, times 0.5 to 1.5, over e - 1.5
    assert interval() == pytest.approx(5 / 1.21828, rel=1e-5)
    assert interval(is_first=True) == pytest.approx(2.5 / 1.21828, rel=1e-5)
    assert interval(at=0) == pytest.approx(2.5 / 1.21828, rel=1e-5)


def test_many_participants_share_the_bandwidth() -> None:
    # 1000 receivers of 800 bits share three quarters of 5% of 64 kbit/s
    assert interval(members=1001, is_sender=False) == pytest.approx(800 * 1000 / 2_400 / 1.21828, rel=1e-5)
    assert interval(members=1001) == pytest.approx(5 / 1.21828, rel=1e-5)
    assert interval(members=1000, senders=500) == pytest.approx(800 * 1000 / 3_200 / 1.21828, rel=1e-5)
