"""The numbered batches that a replica sends."""

from __future__ import annotations

from gateway.state.outbox import Batch, Outbox


def test_a_batch_in_doubt_is_sent_again_as_it_was() -> None:
    outbox = Outbox(bound=10, batch=2)
    for n in range(3):
        outbox.append(str(n), b"%d" % n)
    first = outbox.batch()
    outbox.append("3", b"3")
    assert first == outbox.batch() == Batch(1, (("0", b"0"), ("1", b"1")))
    outbox.delivered()
    assert outbox.batch() == Batch(2, (("2", b"2"), ("3", b"3")))
    outbox.delivered()
    assert outbox.batch() is None


def test_a_full_outbox_drops_the_oldest_but_never_what_is_under_way() -> None:
    outbox = Outbox(bound=2, batch=1)
    outbox.append("0", b"0")
    outbox.batch()
    for n in range(1, 5):
        outbox.append(str(n), b"%d" % n)
    assert (outbox.newest(9), outbox.dropped, len(outbox)) == ([b"4", b"3", b"0"], 2, 3)
