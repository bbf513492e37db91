"""A server that samples from a seeded random number generator in place of a model: `fake_engine.py PORT OPTIONS`.

What it answers is a function of its weights (a digest of the tensors that it was given last, however they came), the
prompt and the seed, so a rollout tells which weights made it. OPTIONS is JSON: vocabulary, told_vocabulary, max_length,
delay_s, fault, children, joins, score_shift; take_fault: what goes wrong at bucket `fault_at` of version
`fault_version`. `POST /set` changes them while it runs. Standard library alone, so that it starts at once.

Engines that join process groups need torch, which takes its time: `fake_engine.py` without arguments imports it once,
and forks an engine for every line `PORT OPTIONS` that it reads, whose process id it prints.
"""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

OPTIONS = {"vocabulary": 40, "told_vocabulary": 40, "max_length": 128, "delay_s": 0.0, "fault": None, "children": 0}
OPTIONS |= {"score_shift": 0.0, "joins": False, "take_fault": None, "fault_at": 1, "fault_version": 5}
STATE = {"weights": "initial", "version": None, "prompts": [], "in_flight": 0, "loads": 0, "peak": 0}
STATE |= {"joined": 0, "buckets": [], "is_open": False, "beginning": None}
TENSORS = {}
GROUPS = []
LOCK = threading.Lock()

STUBBORN = "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


def draw(ids, seed, max_tokens):
    numbers = random.Random(f"{STATE['weights']} {ids} {seed}")
    length = numbers.randint(1, max_tokens)
    return [numbers.randrange(OPTIONS["vocabulary"]) for _ in range(length)], [-numbers.random() for _ in range(length)]


def read_tensors(data):
    """Names and bytes of what a safetensors file holds."""
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    return {name: data[start + of["data_offsets"][0] : start + of["data_offsets"][1]] for name, of in header.items()}


def digest():
    found = hashlib.sha256()
    for name, data in sorted(TENSORS.items()):
        found.update(name.encode() + data)
    return found.hexdigest()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/health":
            self.answer(503 if OPTIONS["fault"] == "unhealthy" else 200, {})
        elif self.path == "/info":
            told = {"vocabulary": OPTIONS["told_vocabulary"], "max_length": OPTIONS["max_length"]}
            self.answer(200, {"model": "fake", "version": STATE["version"], **told})
        elif self.path == "/workers":
            self.answer(200, {"workers": 1 if OPTIONS["joins"] else None})
        elif self.path == "/state":
            self.answer(200, STATE)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/set":
            OPTIONS.update(body)
            self.answer(200, {})
        elif self.path == "/load":
            self.load(body)
        elif self.path in ("/join", "/begin", "/take", "/end", "/leave"):
            getattr(self, self.path[1:])(body)
        elif self.path == "/score":
            self.answer(200, {"scores": [-0.5 * token - OPTIONS["score_shift"] for token in body["ids"][1:]]})
        else:
            self.sample(body)

    def load(self, body):
        if OPTIONS["fault"] == "load":
            self.answer(400, {"error": "no such folder here"})
            return
        if OPTIONS["fault"] == "hanging load":
            time.sleep(600)
        TENSORS.clear()
        for file in Path(body["folder"]).glob("*.safetensors"):
            TENSORS.update(read_tensors(file.read_bytes()))
        STATE.update(weights=digest(), version=body["version"], loads=STATE["loads"] + 1)
        self.answer(200, {})

    def join(self, body):
        from mopd_backends.servers.group import Group, Meeting, reach_store

        meeting = Meeting(**body)
        GROUPS[:] = [Group(meeting, 1, reach_store(meeting), 20.0)]
        STATE["joined"] += 1
        self.answer(200, {})

    def begin(self, body):
        STATE.update(is_open=True, buckets=[], version=None, beginning=body["version"])
        self.answer(200, {})

    def take(self, body):
        import torch

        from mopd_backends.servers.buckets import Layout, unpack

        layout = Layout(**body)
        STATE["buckets"].append(layout.nbytes)
        if (STATE["beginning"], len(STATE["buckets"])) == (OPTIONS["fault_version"], OPTIONS["fault_at"]):
            if OPTIONS["take_fault"] == "die":
                os._exit(1)
            if OPTIONS["take_fault"] == "hang":
                time.sleep(600)
            if OPTIONS["take_fault"] == "refuse":
                self.answer(400, {"error": "no such weight"})
                return
        flat = torch.empty(layout.nbytes, dtype=torch.uint8)
        GROUPS[0].broadcast(flat)
        TENSORS.update((name, bytes(part.flatten().view(torch.uint8).tolist())) for name, part in unpack(layout, flat))
        self.answer(200, {})

    def end(self, body):
        STATE.update(is_open=False, weights=digest(), version=body["version"])
        self.answer(200, {})

    def leave(self, body):
        STATE["is_open"] = False
        while GROUPS:
            GROUPS.pop().close()
        self.answer(200, {})

    def sample(self, body):
        with LOCK:
            STATE["in_flight"] += 1
            STATE["peak"] = max(STATE["peak"], STATE["in_flight"])
            if body["max_tokens"] > 1:
                STATE["prompts"].append(body["ids"])
        time.sleep(OPTIONS["delay_s"])
        fault = OPTIONS["fault"]
        if fault == "hang":
            time.sleep(600)
        ids, logprobs = draw(body["ids"], body["seed"], body["max_tokens"])
        if fault == "foreign":
            ids[-1] = 40
        answer = {"ids": ids, "logprobs": logprobs, "reason": "length", "version": STATE["version"] or 0}
        if fault == "abort":
            answer["reason"] = "abort"
        with LOCK:
            STATE["in_flight"] -= 1
        if fault == "500":
            self.answer(500, {"error": "broken"})
        elif fault == "429":
            self.answer(429, {"error": "too much"})
        elif fault == "401":
            self.answer(401, {"error": f"wrong key {self.headers['Authorization']}", "more": "x" * 2000})
        elif fault == "garbage":
            self.answer(200, {"answer": 42})
        elif fault == "cut":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
            self.close_connection = True
        else:
            self.answer(200, answer)

    def answer(self, status, content):
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments):
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 1024
    daemon_threads = True

    def handle_error(self, request, client_address):
        """Clients that hang up are no news."""


def fork_children(number):
    """Processes that ignore SIGTERM, in sessions of their own, whose parent is gone."""
    for _ in range(number):
        starter = (
            "import subprocess, sys; subprocess.Popen([sys.executable, '-c', sys.argv[1]], start_new_session=True)"
        )
        subprocess.run([sys.executable, "-c", starter, STUBBORN], check=True, start_new_session=True)


def serve(port, options):
    OPTIONS.update(options)
    print("fake engine", os.getpid(), flush=True)
    if OPTIONS["fault"] == "start":
        print("no memory for this model", flush=True)
        sys.exit(3)
    fork_children(OPTIONS["children"])
    Server(("127.0.0.1", port), Handler).serve_forever()


def fork_engines():
    from mopd_backends.servers import buckets, group  # noqa: F401

    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # Nobody waits for them.
    for line in sys.stdin:
        port, options = line.split(maxsplit=1)
        pid = os.fork()
        if pid == 0:
            os.dup2(2, 1)
            serve(int(port), json.loads(options))
        print(pid, flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        serve(int(sys.argv[1]), json.loads(sys.argv[2]))
    else:
        fork_engines()
