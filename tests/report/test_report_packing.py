import base64
import gzip
import json
from random import Random

from concur_batch.report.chosen import Chosen
from concur_batch.report.packing import Pack, packed


def unpacked(block):
    return json.loads(gzip.decompress(base64.b64decode(block)))


def noise(chosen):
    """Hardly shrinks."""
    return [chosen.rollout, Random(chosen.rollout).randbytes(6_000).hex()]


def test_what_is_packed_comes_back_and_packs_the_same():
    content = {"a": "\ud800 ü </script>"}
    assert unpacked(packed(content)) == content
    assert packed(content) == packed(content)
    assert packed(content).isascii()


def test_each_trajectory_is_where_the_pack_says():
    pack = Pack(10_000_000)
    pack.fill([Chosen(f"a{i}") for i in range(80)], noise)
    assert len(pack.where) == 80
    assert len(pack.blocks) > 1
    assert all(unpacked(pack.blocks[block])[place][0] == name for name, (block, place) in pack.where.items())


def test_blocks_stay_within_the_room_and_a_share_keeps_some_for_others():
    pack = Pack(200_000)
    pack.fill([Chosen(f"a{i}") for i in range(200)], noise, 0.3)
    first = len(pack.where)
    assert 0 < sum(map(len, pack.blocks)) <= 60_000
    pack.fill([Chosen(f"b{i}") for i in range(200)], noise)
    assert sum(map(len, pack.blocks)) <= 200_000
    assert len(pack.where) > first


def test_no_room_holds_nothing_and_nothing_is_added_twice():
    pack = Pack(0)
    pack.fill([Chosen("a")], noise)
    assert (pack.blocks, pack.where) == ([], {})
    pack = Pack(100_000)
    pack.fill([Chosen("a"), Chosen("a")], noise)
    pack.fill([Chosen("a")], noise)
    assert sum(len(unpacked(block)) for block in pack.blocks) == 1
