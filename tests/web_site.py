"""A small web server on this machine, which misbehaves as told."""

import hashlib
import json
import re
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit


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

    with running(Handler) as site.port:
        yield site


@contextmanager
def running(handler):
    """The port of a server that answers meanwhile."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def serve_hub(name, folder):
    """The address of a stand-in of the Hugging Face hub that has one data set, a folder.

    It answers what `huggingface_hub` asks to read one: about the set, what is in a folder, about
    paths, and the files. A file called `BROKEN` in the folder has the server fail at every file.
    """
    commit = "a" * 40

    def about(path):
        where = path.relative_to(folder).as_posix()
        oid = hashlib.sha1(path.name.encode()).hexdigest()
        kind, size = ("file", path.stat().st_size) if path.is_file() else ("directory", 0)
        return {"type": kind, "oid": oid, "size": size, "path": where}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def answer(self):
            asked = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = unquote(urlsplit(self.path).path)
            api, files = f"/api/datasets/{name}", f"/datasets/{name}/resolve/"
            kind, _, rest = path.removeprefix(api).strip("/").partition("/")
            inner = rest.partition("/")[2]
            if path.startswith(files):
                file = folder / path.removeprefix(files).partition("/")[2]
                if (folder / "BROKEN").exists():
                    self.give(b"", 500)
                elif file.is_file():
                    tag = hashlib.sha1(file.read_bytes()).hexdigest()
                    self.give(file.read_bytes(), ETag=f'"{tag}"', **{"X-Repo-Commit": commit})
                else:
                    self.give(b"", 404, **{"X-Error-Code": "EntryNotFound"})
            elif not path.startswith(api):
                self.give(b"", 404, **{"X-Error-Code": "RepoNotFound"})
            elif kind == "tree":
                inside = folder / inner
                found = sorted(inside.iterdir()) if inside.is_dir() else None
                self.give_json(None if found is None else list(map(about, found)))
            elif kind == "paths-info":
                is_json = "json" in self.headers.get("Content-Type", "")
                form = json.loads(asked) if is_json else parse_qs(asked.decode())
                named = [folder / one for one in form["paths"]]
                self.give_json([about(one) for one in named if one.exists()])
            else:
                siblings = [{"rfilename": about(one)["path"]} for one in folder.rglob("*.*")]
                self.give_json({"id": name, "sha": commit, "siblings": siblings, "tags": []})

        def give_json(self, value):
            if value is None:
                self.give(b"", 404, **{"X-Error-Code": "EntryNotFound"})
            else:
                self.give(json.dumps(value).encode(), **{"Content-Type": "application/json"})

        def give(self, body, status=200, **headers):
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_POST = answer

    with running(Handler) as port:
        yield f"http://127.0.0.1:{port}"
