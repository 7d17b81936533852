"""Servers that the scripts here start, and a proxy that stands before one."""
import http.client
import http.server
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).parent


class Server:
    """A program that answers on PORT: there when /health answers, ended with all of its workers."""

    def __init__(self, command, port, log):
        self.command, self.url, self.log = [str(word) for word in command], f"http://127.0.0.1:{port}", log
        self.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()

    def start(self):
        env = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_WAIT_POLICY": "passive"}
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log, env=env, start_new_session=True)

    def wait(self, seconds=400):
        """Returns when it answers, after so many seconds."""
        begun = time.time()
        while time.time() < begun + seconds:
            if self.process.poll() is not None:
                self.give_up(f"the server ended with {self.process.returncode}")
            try:
                urllib.request.urlopen(f"{self.url}/health", timeout=2).read()
                return time.time() - begun
            except OSError:
                time.sleep(0.5)
        self.give_up(f"no server after {seconds} s")

    def give_up(self, why):
        sys.exit(f"{why}; the end of {self.log}:\n{pathlib.Path(self.log).read_text(errors='replace')[-3000:]}")

    def kill(self):
        """The server and its workers, as they are."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def call(self, path, body=None):
        """The reply to a post, or without a body to a get. A refusal is shown and ends the script."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, headers={"content-type": "application/json"})
        try:
            text = urllib.request.urlopen(request, timeout=300).read()
        except urllib.error.HTTPError as error:
            sys.exit(f"{path}: status {error.code}: {error.read().decode()[:2000]}")
        try:
            return json.loads(text)
        except ValueError:
            return text.decode()


def vllm(venv, model, port, log, *options):
    """vLLM on the CPU with MODEL, which it calls `policy` (vllm_cpu.sh)."""
    return Server([HERE / "vllm_cpu.sh", "serve", venv, model, port, *options], port, log)


class Proxy:
    """Between trainer and server. `before` is called with path and body of every call: what it returns is the reply, and
    the server is not asked. `after` is called with method, path, body, status and reply, one call at a time."""

    def __init__(self, url, before=lambda *_: None, after=lambda *_: None):
        lock = threading.Lock()

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def pass_on(self):
                text = self.rfile.read(int(self.headers.get("content-length", 0))) or None
                body = json.loads(text) if text else None
                instead = before(self.path, body)
                if instead is not None:
                    return self.reply(200, json.dumps(instead).encode())
                request = urllib.request.Request(url + self.path, text, method=self.command,
                                                 headers={"content-type": "application/json"})
                try:
                    with urllib.request.urlopen(request, timeout=300) as answer:
                        status, said = answer.status, answer.read()
                except urllib.error.HTTPError as error:
                    status, said = error.code, error.read()
                except (OSError, http.client.HTTPException):
                    self.close_connection = True  # As the server did.
                    return None
                with lock:
                    after(self.command, self.path, body, status, said)
                return self.reply(status, said)

            def reply(self, status, text):
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = pass_on

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
