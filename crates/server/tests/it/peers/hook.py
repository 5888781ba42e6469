"""A receiver of webhooks for tests. Arguments: certificate, key, secret. Prints its port, then each request as JSON.

/fail answers 500 once, /redirect leads elsewhere, all else is taken.
"""

import hashlib
import hmac
import json
import ssl
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

certificate, key, secret = sys.argv[1:4]
failed = False


class Taker(BaseHTTPRequestHandler):
    def do_POST(self):
        global failed
        body = self.rfile.read(int(self.headers["content-length"]))
        at = self.headers["x-backstay-time"]
        signed = hmac.new(secret.encode(), at.encode() + b"." + body, hashlib.sha256).hexdigest()
        right = hmac.compare_digest(self.headers["x-backstay-signature"], "v1=" + signed)
        told = {"path": self.path, "signed": right and abs(time.time() - int(at)) < 60, "body": json.loads(body)}
        if self.path == "/fail" and not failed:
            failed = True
            self.send_response(500)
        elif self.path == "/redirect":
            self.send_response(307)
            self.send_header("location", "/elsewhere")
        else:
            self.send_response(204)
        self.send_header("content-length", "0")
        self.end_headers()
        print(json.dumps(told), flush=True)

    def log_message(self, *_):
        pass


context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server = ThreadingHTTPServer(("127.0.0.1", 0), Taker)
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_address[1], flush=True)
server.serve_forever()
