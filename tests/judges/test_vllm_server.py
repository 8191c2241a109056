"""The command of a server, without starting one."""

from __future__ import annotations

import signal
import socket
import sys
from pathlib import Path

import pytest

from isr.errors import CardError, JudgeError, SecretError, UsageError
from isr.judges._vllm_server import Server, run_beside, running, server_of
from isr.judging.card_sections import Decoding, Endpoint, Images
from isr.judging.keys import allow
from tests.local_judges import free_port
from tests.processes import LIMIT_S, group_lives, read_until, started, wait_for
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
        "--generation-config vllm --no-enable-prefix-caching"
    )


@pytest.mark.parametrize(
    ("model", "engine", "thinking", "words"),
    [
        ("Qwen/Qwen3.5-9B", {}, True, "--reasoning-parser qwen3 --default-chat-template-kwargs"),
        ("Qwen/Qwen3.6-27B", {}, 512, "--reasoning-parser qwen3 --default-chat-template-kwargs"),
        ("google/gemma-4-31b-it", {}, True, "--reasoning-parser gemma4 "),
        ("zai-org/GLM-4.6V", {}, True, "--reasoning-parser glm45 "),
        ("a/judge", {"reasoning_parser": "step3"}, True, "--reasoning-parser step3 "),
    ],
)
def test_a_judge_that_thinks_has_a_reasoning_parser(
    model: str, engine: dict[str, str], thinking: bool | int, words: str
) -> None:
    command = server_of(a_card(model=model, engine=engine, decoding=Decoding(thinking=thinking))).command
    assert words in command
    assert command.endswith("--default-chat-template-kwargs '{\"enable_thinking\":true}'")


def test_a_judge_that_does_not_think_is_served_without_thoughts() -> None:
    command = server_of(a_card(model="Qwen/Qwen3.5-9B", decoding=Decoding(thinking=False))).command
    assert "--reasoning-parser" not in command
    assert command.endswith("--default-chat-template-kwargs '{\"enable_thinking\":false}'")
    unsaid = server_of(a_card(model="Qwen/Qwen3.5-9B")).command
    assert "--reasoning-parser" not in unsaid
    assert "--default-chat-template-kwargs" not in unsaid


def test_the_family_of_a_folder_is_in_its_config(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    card = a_card(
        model="./model", folder=str(tmp_path), backend="vllm_engine", decoding=Decoding(thinking=True)
    )
    for text, ok in (('{"model_type": "qwen3_vl"}', True), ('{"model_type": "llava"}', False), ("[]", False)):
        (tmp_path / "model" / "config.json").write_text(text, "utf-8")
        if ok:
            assert "--reasoning-parser qwen3 " in server_of(card).command
            continue
        with pytest.raises(CardError, match=r"'engine\.reasoning_parser' expected the name of vLLM's parser"):
            server_of(card)


def test_side_by_side_takes_one_image() -> None:
    card = a_card(images=Images(layout="side_by_side"))
    assert '{"image":1}' in server_of(card).argv


def test_a_key_is_not_in_the_command_and_must_be_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "canary-canary")
    card = a_card(endpoint=Endpoint(base_url="http://127.0.0.1:9/v1", api_key_env="MY_KEY"))
    with pytest.raises(SecretError, match="has not been allowed to go to 127"):
        server_of(card)
    allow("127.0.0.1", "MY_KEY")
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


def test_fields_of_the_card_cannot_be_said_twice() -> None:
    for field, value in {
        "trust_remote_code": True,
        "load_format": "pt",
        "model": "other",
        "hf_token": "x",
    }.items():
        with pytest.raises(CardError, match=rf"engine\.args.* found {field}"):
            server_of(a_card(engine={"args": {field: value}}))


def a_server(*argv: str, port: int = 0) -> Server:
    """Some other program in a server's place."""
    return Server(f"http://127.0.0.1:{port or free_port()}/v1", "test-model", argv)


LISTENING = """
import http.server, json, sys
class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(302 if sys.argv[2] == "elsewhere" else 200)
        self.send_header("Location", "http://127.0.0.2:1/")
        self.end_headers()
        self.wfile.write(json.dumps({"data": [{"id": sys.argv[2]}]}).encode())
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Answers).serve_forever()
"""


def test_a_server_is_up_when_it_offers_the_model() -> None:
    port = free_port()
    with running(a_server(sys.executable, "-c", LISTENING, str(port), "test-model", port=port), LIMIT_S):
        socket.create_connection(("127.0.0.1", port)).close()


@pytest.mark.parametrize("model", ["another-model", "elsewhere"])
def test_another_model_or_a_redirect_is_not_it(model: str) -> None:
    port = free_port()
    other = a_server(sys.executable, "-c", LISTENING, str(port), model, port=port)
    with pytest.raises(JudgeError, match="did not answer"), running(other, 3):
        pass


def test_a_port_that_is_taken_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        mark = tmp_path / "started"
        late = a_server(sys.executable, "-c", f"open({str(mark)!r}, 'w')", port=taken.getsockname()[1])
        with pytest.raises(JudgeError, match="expected a free port"), running(late):
            pass
    assert not mark.exists()


def test_a_command_that_is_not_there_is_told_before_the_server_starts() -> None:
    with pytest.raises(UsageError, match="no such command"):
        run_beside(a_server(sys.executable), ["no-such-command-here"], 5)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_the_server_ends_with_a_run_that_is_ended(how: signal.Signals, tmp_path: Path) -> None:
    port, mark = free_port(), tmp_path / "pid"
    script = (
        f"import os; open({str(mark)!r}, 'w').write(str(os.getpid()))\n{LISTENING}".replace(
            "sys.argv[1]", str(port)
        )
    ).replace("sys.argv[2]", "'test-model'")
    run = (
        "import signal, sys, time; from isr.judges._vllm_server import Server, running\n"
        "signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))\n"
        f"with running(Server('http://127.0.0.1:{port}/v1', 'test-model', (sys.executable, '-c', {script!r})), {LIMIT_S}):\n"
        "    print('up', flush=True); time.sleep(3600)"
    )
    with started([sys.executable, "-c", run], stderr=None) as process:
        read_until(process.stdout, "^up$")
        server = int(mark.read_text())
        process.send_signal(how)
        process.wait(LIMIT_S)
        wait_for(lambda: not group_lives(server), what="the end of the server")


def test_a_command_that_ends_or_is_not_there_is_told() -> None:
    with pytest.raises(JudgeError, match="exit code 7"), running(a_server(sys.executable, "-c", "exit(7)")):
        pass
    with pytest.raises(JudgeError, match="cannot be started"), running(a_server("/no/such/python")):
        pass
    slow = a_server(sys.executable, "-c", "import time; time.sleep(3600)")
    with pytest.raises(JudgeError, match=r"did not answer at .* within 1 s"), running(slow, 1.0):
        pass
