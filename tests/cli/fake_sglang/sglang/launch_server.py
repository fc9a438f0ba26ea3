"""Serves /ready and /v1/models; what else it does, flags of its own say. Writes the process ids of all of it to $FAKE_PIDS."""

import json
import os
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/die":
            sys.stderr.write("RuntimeError: out of something\n")
            os._exit(9)
        key = f"Bearer {option('--api-key')}" if option("--api-key") else None
        known = {"/ready": "", "/argv": json.dumps(sys.argv[1:]), "/v1/models": '{"data": [{"id": "fake"}]}'}
        body = known.get(self.path, "").encode()
        self.send_response(404 if self.path not in known else 401 if key not in (None, self.headers["Authorization"]) else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def option(name):
    return sys.argv[sys.argv.index(name) + 1] if name in sys.argv else None


def main():
    sys.stderr.write("the fake starts\n")
    if "--fail" in sys.argv:
        sys.exit("ValueError: --enable-session-radix-cache requires UnifiedRadixCache")
    workers = [subprocess.Popen(["sleep", "600"], start_new_session="--leaving" in sys.argv) for _ in range(2)]
    pids = Path(os.environ["FAKE_PIDS"])
    whole = pids.with_suffix(".whole")
    whole.write_text(json.dumps([os.getpid(), *(worker.pid for worker in workers)]))
    whole.rename(pids)  # nobody reads half of it
    time.sleep(float(option("--slow") or 0))
    ThreadingHTTPServer((option("--host"), int(option("--port"))), Answers).serve_forever()


main()
