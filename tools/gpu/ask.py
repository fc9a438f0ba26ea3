"""One chat completion, to wake a server: ask.py URL TEXT MAX_TOKENS. Standard library only; its answer does not matter."""

import json
import sys
import urllib.request


def main() -> None:
    url, text, tokens = sys.argv[1:]
    body = {"model": "any", "messages": [{"role": "user", "content": text}], "max_tokens": int(tokens), "ignore_eos": True}
    asked = urllib.request.Request(f"{url}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(asked, timeout=120) as reply:
        reply.read()


if __name__ == "__main__":
    main()
