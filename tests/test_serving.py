"""The command of a server, without starting one."""

from __future__ import annotations

import sys

import pytest

from isr.cards import Endpoint, Images
from isr.errors import CardError, JudgeError, UsageError
from isr.serving import Server, running, server_of
from tests.samples import a_card


def test_the_command_carries_the_card() -> None:
    card = a_card(
        model="some/model",
        revision="abc",
        endpoint=Endpoint(base_url="http://127.0.0.1:9000/v1"),
        images=Images(processor={"max_pixels": 1000}),
        engine={"dtype": "bfloat16", "tensor_parallel_size": 2, "data_parallel": 4, "max_model_len": 8192,
                "gpu_memory_utilization": 0.8, "quantization": "fp8", "batch_invariant": True,
                "args": {"enable_prefix_caching": False}},
    )  # fmt: skip
    assert server_of(card).command == (
        "VLLM_BATCH_INVARIANT=1 python -m vllm.entrypoints.openai.api_server --served-model-name some/model "
        "--host 127.0.0.1 --port 9000 --model some/model --revision abc --tokenizer-revision abc "
        "--load-format safetensors --dtype bfloat16 --quantization fp8 --max-model-len 8192 "
        "--tensor-parallel-size 2 --data-parallel-size 4 --gpu-memory-utilization 0.8 --max-num-seqs 8 --seed 0 "
        "--limit-mm-per-prompt '{\"image\":2}' --mm-processor-kwargs '{\"max_pixels\":1000}' "
        '--structured-outputs-config \'{"backend":"xgrammar","disable_any_whitespace":true}\' '
        "--no-enable-prefix-caching"
    )


def test_side_by_side_takes_one_image() -> None:
    card = a_card(images=Images(layout="side_by_side"))
    assert '{"image":1}' in server_of(card).argv


def test_a_key_is_not_in_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "canary-canary")
    card = a_card(endpoint=Endpoint(base_url="http://127.0.0.1:9/v1", api_key_env="MY_KEY"))
    server = server_of(card)
    assert server.key == "canary-canary"
    assert "canary" not in server.command + repr(server)


def test_what_cannot_be_served_is_refused() -> None:
    with pytest.raises(UsageError, match="which vLLM does not serve"):
        server_of(a_card(backend="shapes_oracle"))
    with pytest.raises(UsageError, match="an endpoint on this machine"):
        server_of(a_card(endpoint=Endpoint(base_url="https://example.org/v1")))
    with pytest.raises(CardError, match=r"engine\.dtipe"):
        server_of(a_card(engine={"dtipe": "float32"}))


def test_a_command_that_ends_or_is_not_there_is_told() -> None:
    address = "http://127.0.0.1:9/v1"
    with (
        pytest.raises(JudgeError, match="exit code 7"),
        running(Server(address, (sys.executable, "-c", "exit(7)"))),
    ):
        pass
    with pytest.raises(JudgeError, match="cannot be started"), running(Server(address, ("/no/such/python",))):
        pass
    slow = Server(address, (sys.executable, "-c", "import time; time.sleep(60)"))
    with pytest.raises(JudgeError, match=r"did not answer at .* within 1 s"), running(slow, 1.0):
        pass
