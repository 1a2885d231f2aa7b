"""A small web server on this machine, which misbehaves as told."""

import re
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Site:
    """What the server serves, how it misbehaves, and what it was asked."""

    def __init__(self):
        self.files = {}
        self.asked = []
        """(path, Range header or None) of every request."""
        self.cuts = []
        """For each request in turn: so many bytes of the body, then the line goes dead."""
        self.answers = []
        """For each request in turn: a status instead of the file."""
        self.headers = {}
        self.tag = '"one"'
        self.ranges = True
        self.heeds_if_range = True
        self.says_length = True
        self.pause = 0.0
        """Seconds between two pieces of 1 kB."""
        self.redirect = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def serve():
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_GET(self):
            site.asked.append((self.path, self.headers.get("Range")))
            self.close_connection = True
            if site.answers and (status := site.answers.pop(0)):
                self.send_response(status)
                for name, value in site.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if site.redirect:
                self.send_response(302)
                self.send_header("Location", site.redirect)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            if self.path not in site.files:
                self.send_error(404)
                return
            self.give(site.files[self.path])

        def give(self, body):
            start, whole = 0, len(body)
            span = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            fits = self.headers.get("If-Range") in (None, site.tag) or not site.heeds_if_range
            if span and site.ranges and fits:
                start = int(span[1])
                if start >= whole:
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{whole}")
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {start}-{whole - 1}/{whole}")
            else:
                self.send_response(200)
            if site.tag:
                self.send_header("ETag", site.tag)
            for name, value in site.headers.items():
                self.send_header(name, value)
            if site.says_length:
                self.send_header("Content-Length", str(whole - start))
            self.end_headers()
            rest = body[start : start + site.cuts.pop(0)] if site.cuts else body[start:]
            for at in range(0, len(rest), 1024 if site.pause else 1 << 20):
                try:
                    self.wfile.write(rest[at : at + (1024 if site.pause else 1 << 20)])
                except OSError:
                    return
                time.sleep(site.pause)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    site.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
