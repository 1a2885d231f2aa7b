"""A stand-in of the Hugging Face hub's HTTP interface for models, on this machine."""

import base64
import hashlib
import json
import re
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from urllib.parse import unquote, urlsplit

from tests.web_site import running

TOKEN = "hf_ours"
COMMIT = "c" * 40


class Hub:
    """The repositories of the stand-in, how it misbehaves, and what it was asked."""

    def __init__(self):
        self.repositories = {}
        """By name: {"private": bool, "files": {name: bytes}, "uploaded": {sha256: bytes}}."""
        self.asked = []
        """(method, path, Range header or None) of every request."""
        self.cuts = []
        """For each file that is fetched, in turn: so many bytes of it, then the line goes dead."""
        self.sizes = {}
        """By name: a size that is told in place of the file's own."""

    def add(self, name, folder, private=False):
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        self.repositories[name] = {"private": private, "files": files, "uploaded": {}}
        return self.repositories[name]["files"]

    def fetched(self):
        """Names of the files whose content was asked for."""
        return [path.rpartition("/")[2] for method, path, _ in self.asked
                if method == "GET" and "/resolve/" in path]  # fmt: skip


@contextmanager
def serve_models():
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def answer(self):
            self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = unquote(urlsplit(self.path).path)
            hub.asked.append((self.command, path, self.headers.get("Range")))
            if resolved := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
                self.resolve(*resolved.groups())
            elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/\w+)?", path):
                self.about(found[1])
            elif path == "/":
                self.give(b"")
            elif not (
                self.allowed() or path.startswith("/upload/")
            ):  # as storage that is signed for
                self.refuse(401, "Invalid credentials in Authorization header")
            else:
                self.write(path)

        def allowed(self):
            return self.headers.get("Authorization") == f"Bearer {TOKEN}"

        def resolve(self, name, revision, file):
            repository = hub.repositories.get(name)
            if repository is None or (repository["private"] and not self.allowed()):
                self.refuse(404, "Repository not found", "RepoNotFound")
            elif revision not in ("main", COMMIT):
                self.refuse(404, "Invalid rev id", "RevisionNotFound")
            elif file not in repository["files"]:
                self.refuse(404, "Entry not found", "EntryNotFound")
            else:
                self.give_file(file, repository["files"][file])

        def give_file(self, file, content):
            start, size = 0, hub.sizes.get(file, len(content))
            if span := re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", "")):
                start = int(span[1])
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("Content-Length", str(size - start))
            self.end_headers()
            if self.command == "HEAD":
                return
            cut = hub.cuts.pop(0) if hub.cuts else None
            self.wfile.write(content[start:] if cut is None else content[start : start + cut])
            self.close_connection = True

        def about(self, name):
            repository = hub.repositories.get(name)
            if repository is None or (repository["private"] and not self.allowed()):
                self.refuse(401, "Repository not found", "RepoNotFound")
                return
            files = [{"rfilename": file} for file in repository["files"]]
            about = {"id": name, "sha": COMMIT, "private": repository["private"]}
            self.give_json({**about, "siblings": files, "tags": []})

        def write(self, path):
            if path == "/api/repos/create":
                asked = json.loads(self.body)
                name = f"{asked['organization']}/{asked['name']}"
                if name in hub.repositories:
                    url = f"http://{self.headers['Host']}/{name}"
                    self.give(json.dumps({"url": url}).encode(), 409)
                    return
                private = asked.get("private", asked.get("visibility") == "private")
                hub.repositories[name] = {"private": private, "files": {}, "uploaded": {}}
                self.give_json({"url": f"http://{self.headers['Host']}/{name}"})
            elif path == "/api/validate-yaml":
                self.give_json({"errors": [], "warnings": []})
            elif found := re.fullmatch(r"/api/models/(.+)/preupload/main", path):
                self.give_json(
                    {"files": [self.mode(one) for one in json.loads(self.body)["files"]]}
                )
            elif found := re.fullmatch(r"/(.+)\.git/info/lfs/objects/batch", path):
                self.give_json(self.batch(found[1]))
            elif found := re.fullmatch(r"/upload/([^/]+/[^/]+)/(\w+)", path):
                hub.repositories[found[1]]["uploaded"][found[2]] = self.body
                self.give(b"")
            elif found := re.fullmatch(r"/api/models/(.+)/commit/main", path):
                self.commit(hub.repositories[found[1]])
                url = f"http://{self.headers['Host']}/{found[1]}/commit/{COMMIT}"
                self.give_json({"commitUrl": url, "commitOid": COMMIT, "success": True})
            else:
                self.refuse(404, "no such address")

        def mode(self, file):
            large = file["path"].endswith(".safetensors")
            mode = "lfs" if large else "regular"
            return {"path": file["path"], "uploadMode": mode, "shouldIgnore": False, "oid": None}

        def batch(self, name):
            place = f"http://{self.headers['Host']}/upload/{name}"
            token = {"Authorization": f"Bearer {TOKEN}"}
            return {"transfer": "basic", "objects": [
                {**one, "actions": {"upload": {"href": f"{place}/{one['oid']}", "header": token}}}
                for one in json.loads(self.body)["objects"]
            ]}  # fmt: skip

        def commit(self, repository):
            for line in map(json.loads, self.body.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    repository["files"][value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    repository["files"][value["path"]] = repository["uploaded"][value["oid"]]

        def refuse(self, status, message, code=None):
            more = {"X-Error-Code": code} if code else {}
            self.give(b"", status, **{"X-Error-Message": message, **more})

        def give_json(self, value):
            self.give(json.dumps(value).encode(), **{"Content-Type": "application/json"})

        def give(self, body, status=200, **headers):
            self.send_response(status)
            for key, value in headers.items():
                self.send_header(key, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        do_GET = do_HEAD = do_POST = do_PUT = answer

    with running(Handler) as port:
        hub.address = f"http://127.0.0.1:{port}"
        yield hub
