import tomllib

import pytest

from concur_batch.errors import InputError
from concur_batch.sim.cost import FittedCost
from concur_batch.sim.profile import Profile, find_profile, profile_from_table, profile_names, profile_to_toml, with_pool


def read(text):
    return profile_from_table(tomllib.loads(text), "mine.toml")


def test_every_name_is_found_and_survives_its_file():
    assert len(profile_names()) == len(set(profile_names())) == 40
    for name in profile_names():
        profile = find_profile(name)
        assert profile.name == name
        assert read(profile_to_toml(profile)) == profile


def test_names_in_any_case_and_one_gpu_by_default():
    assert find_profile(" Qwen3-8B@H100 ") == find_profile("qwen3-8b@h100x1")
    profile = find_profile("qwen3-8b@h100x1")
    assert (profile.gpus, profile.context_length, profile.max_running_requests) == (1, 131_072, 2048)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("qwen3-33b@h100x4", "nearest: qwen3-32b@h100x4"),
        ("qwen3-32b", "nearest: qwen3-32b@h"),
        ("gpt", "MODEL@GPUxTP with qwen3-32b, qwen3-8b, llama-3.1-8b, llama-3.1-70b or deepseek-v3 and h100 or h200"),
        ("llama-3.1-70b@h100x2", "does not fit on 2 x h100; it needs at least 4: llama-3.1-70b@h100x4"),
        ("llama-3.1-70b@h200", "does not fit on 1 x h200; it needs at least 2: llama-3.1-70b@h200x2"),
        ("qwen3-8b@h100x3", "cannot be split over 3 GPUs; on h100 it can be over 1, 2, 4, 8 or 16"),
        ("qwen3-8b@h100x0", "cannot be split over 0 GPUs"),
    ],
)
def test_names_that_will_not_do(name, told):
    with pytest.raises(InputError, match=told.replace(".", r"\.")):
        find_profile(name)


def test_another_pool_lets_as_many_run_as_sglang_would():
    profile = find_profile("qwen3-32b@h100x4")
    assert with_pool(profile, 2_000_000).max_running_requests == 4096
    assert with_pool(profile, 100).max_running_requests == 50


def test_a_file_changes_single_values_of_its_base():
    profile = read(
        'base = "qwen3-8b@h100"\npool_tokens = 50_000\nname = "small"\n[cost]\ndecode_fixed_s = 1\nprefill_fixed_s = 2'
    )
    base = find_profile("qwen3-8b@h100x1")
    assert (profile.name, profile.model, profile.pool_tokens) == ("small", base.model, 50_000)
    assert profile.cost == FittedCost(decode_fixed_s=1.0, prefill_fixed_s=2.0)
    assert read('base = "qwen3-8b@h100"\nmax_running_requests = 7').max_running_requests == 7
    assert read('base = "qwen3-8b@h100"\npool_tokens = 1000').max_running_requests == 500


def test_a_fitted_profile_survives_its_file():
    fitted = Profile(
        name='my "own" \\ engine é',
        model="tiny",
        gpu=None,
        tp=1,
        gpus=1,
        cost=FittedCost(prefill_per_token_s=1.25e-7, decode_fixed_s=0.0123),
        pool_tokens=20_000,
        kv_bytes_per_token=1024,
        max_running_requests=64,
        page_size=16,
    )
    assert read(profile_to_toml(fitted)) == fitted


COST = "\n[cost]\nprefill_per_token_s = 1e-5\ndecode_fixed_s = 0.01"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("pool_token = 1", "unknown key 'pool_token' (is 'pool_tokens' meant?)"),
        ('base = "qwen3-8b@h100"\npool_tokens = 0', "'pool_tokens' must be a whole number of at least 1, not 0"),
        ('base = "qwen3-8b@h100"\npool_tokens = 1000\npage_size = 64', "'pool_tokens' 1000 is too small to serve anything"),
        (
            'base = "qwen3-8b@h100"\npage_size = 64\nchunked_prefill_size = 100',
            "'chunked_prefill_size' 100 must be a multiple of 'page_size' 64",
        ),
        ('base = "qwen3-8b@h100"\npool_tokens = true', "'pool_tokens' must be a whole number"),
        ('base = "qwen3-8b@h100"\nmodel = "x"', "'model' comes from base = 'qwen3-8b@h100'"),
        ('base = "qwen3-9b@h100x1"', "base: there is no profile 'qwen3-9b@h100x1'; nearest: qwen3-8b@h100x1"),
        ('base = "qwen3-8b@h100"\nname = "a\\u001b[31mb"', r"'name' must be printable characters, not 'a\x1b[31mb'"),
        ("base = 3", "'base' must be a name in quotes, not 3"),
        ('model = "m"\nkv_bytes_per_token = 1' + COST, "key 'pool_tokens' is missing"),
        ('model = "m"\nkv_bytes_per_token = 1\npool_tokens = 10', "table [cost] is missing"),
        ('base = "qwen3-8b@h100"\ncost = 3', "'cost' must be a table"),
        ('base = "qwen3-8b@h100"\n[cost]\ndecode_fixed = 1', "unknown key 'cost.decode_fixed' (is 'decode_fixed_s' meant?)"),
        ('base = "qwen3-8b@h100"\n[cost]\ndecode_fixed_s = -1', "'cost.decode_fixed_s' must be seconds, 0 to 3600, not -1"),
        ('base = "qwen3-8b@h100"\n[cost]\ndecode_fixed_s = nan', "must be seconds"),
        ('base = "qwen3-8b@h100"\n[cost]\ndecode_fixed_s = 1e300', "must be seconds, 0 to 3600, not 1e+300"),
        (
            f'base = "qwen3-8b@h100"\npool_tokens = {"9" * 400}',
            "'pool_tokens' must be at most 9,007,199,254,740,992, not a number of 400 digits",
        ),
        ('base = "qwen3-8b@h100"\n[cost]\ndecode_fixed_s = 1', "iterations that take no time"),
    ],
)
def test_faults_of_files_are_named(text, told):
    with pytest.raises(InputError) as caught:
        read(text)
    assert str(caught.value).startswith("mine.toml: ")
    assert told in str(caught.value)


def test_a_file_without_a_base_needs_little():
    profile = read('model = "m"\nkv_bytes_per_token = 1\npool_tokens = 10000' + COST)
    assert (profile.name, profile.gpu, profile.tp, profile.gpus, profile.max_running_requests) == ("m", None, 1, 1, 2048)
