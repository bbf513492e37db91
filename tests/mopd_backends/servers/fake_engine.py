"""A server that samples from a seeded random number generator in place of a model: `fake_engine.py PORT OPTIONS`.

What it answers is a function of its weights (a digest of the folder that it was given last), the prompt and the seed,
so a rollout tells which weights made it. OPTIONS is JSON: vocabulary, told_vocabulary, max_length, delay_s, fault,
children. `POST /set` changes them while it runs. Standard library alone, so that it starts at once.
"""

import hashlib
import json
import os
import random
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

OPTIONS = {"vocabulary": 40, "told_vocabulary": 40, "max_length": 64, "delay_s": 0.0, "fault": None, "children": 0}
STATE = {"weights": "initial", "version": None, "prompts": [], "in_flight": 0, "loads": 0, "peak": 0}
LOCK = threading.Lock()

STUBBORN = "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"


def draw(ids, seed, max_tokens):
    numbers = random.Random(f"{STATE['weights']} {ids} {seed}")
    length = numbers.randint(1, max_tokens)
    return [numbers.randrange(OPTIONS["vocabulary"]) for _ in range(length)], [-numbers.random() for _ in range(length)]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/health":
            self.answer(503 if OPTIONS["fault"] == "unhealthy" else 200, {})
        elif self.path == "/info":
            told = {"vocabulary": OPTIONS["told_vocabulary"], "max_length": OPTIONS["max_length"]}
            self.answer(200, {"model": "fake", "version": STATE["version"], **told})
        elif self.path == "/state":
            self.answer(200, STATE)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/set":
            OPTIONS.update(body)
            self.answer(200, {})
        elif self.path == "/load":
            self.load(body)
        elif self.path == "/score":
            self.answer(200, {"scores": [-0.5 * token for token in body["ids"][1:]]})
        else:
            self.sample(body)

    def load(self, body):
        if OPTIONS["fault"] == "load":
            self.answer(400, {"error": "no such folder here"})
            return
        digest = hashlib.sha256()
        for file in sorted(Path(body["folder"]).glob("*.safetensors")):
            digest.update(file.read_bytes())
        STATE.update(weights=digest.hexdigest(), version=body["version"], loads=STATE["loads"] + 1)
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


if __name__ == "__main__":
    OPTIONS.update(json.loads(sys.argv[2]))
    print("fake engine", os.getpid(), flush=True)
    if OPTIONS["fault"] == "start":
        print("no memory for this model", flush=True)
        sys.exit(3)
    fork_children(OPTIONS["children"])
    Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
