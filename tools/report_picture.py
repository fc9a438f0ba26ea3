"""Take a picture of a report in Chromium: `python tools/report_picture.py runs/first/report.html docs/report.png`.

Needs the extra `browser` and `chromium` on the PATH.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--size", default="1180x1340", help="of the window, in pixels")
    parser.add_argument("--theme", choices=("light", "dark"), default="light")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=options.theme)
        page.goto(options.page.resolve().as_uri())
        page.wait_for_selector("html[data-ready=yes]")
        page.wait_for_timeout(500)  # until the browser has painted
        page.screenshot(path=options.picture)
        browser.close()


if __name__ == "__main__":
    main()
