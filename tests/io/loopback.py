"""A web server on loopback whose pages can fail in every way that servers do."""

from __future__ import annotations

import contextlib
import http.server
import re
import threading
import time


class Site:
    """Pages by path; a page is a function of the request handler."""

    def __init__(self, server):
        self.server = server
        self.pages = {}
        self.requests = []

    def url(self, path):
        return f"http://127.0.0.1:{self.server.server_port}{path}"

    def add(self, path, page):
        self.pages[path] = page
        return self.url(path)

    def ranges(self, path):
        return [found for name, found in self.requests if name == path]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        site = self.server.site
        path = self.path.partition("?")[0]
        site.requests.append((path, self.headers.get("Range")))
        with contextlib.suppress(ConnectionError, BrokenPipeError):
            site.pages.get(path, status(404))(self)

    def answer(self, code, body=b"", **headers):
        self.send_response(code)
        for name, value in {"Content_Length": len(body), **headers}.items():
            if value is not None:
                self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def status(code, **headers):
    return lambda handler: handler.answer(code, **headers)


def redirect(url, code=302):
    return status(code, Location=url)


def content(data, etag='"v1"', **headers):
    """Serve bytes with ranges, as object stores do."""

    def page(handler):
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", handler.headers.get("Range", ""))
        tags = {"ETag": etag, **headers}
        if not match:
            return handler.answer(200, data, **tags)
        start, stop = int(match[1]), min(int(match[2] or len(data)) + 1, len(data))
        if start >= len(data):
            return handler.answer(416, Content_Range=f"bytes */{len(data)}")
        where = {"Content_Range": f"bytes {start}-{stop - 1}/{len(data)}"}
        return handler.answer(206, data[start:stop], **(where | tags))

    return page


def plain(data):
    """Serve bytes without ranges."""
    return lambda handler: handler.answer(200, data)


def truncated(page, n_bytes):
    """Send only the first bytes of the body that the page announces."""

    def cut(handler):
        write, left = handler.wfile.write, n_bytes

        def write_some(data):
            nonlocal left
            if data.startswith(b"HTTP/"):
                return write(data)
            write(data[:left])
            left -= len(data[:left])
            handler.close_connection = True

        handler.wfile.write = write_some
        page(handler)
        handler.wfile.write = write

    return cut


def in_turn(*pages):
    """Answer with one page after the other, then with the last."""
    left = list(pages)
    return lambda handler: (left.pop(0) if len(left) > 1 else left[0])(handler)


def slow(page, seconds):
    def wait(handler):
        time.sleep(seconds)
        page(handler)

    return wait


@contextlib.contextmanager
def running_site(context=None):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None
    server.site = Site(server)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
