"""Serves Debian's Keystone: its arguments are the file of its settings, and a port, 0 for any. Prints the port."""

import os
import sys

os.environ["OS_KEYSTONE_CONFIG_FILES"] = sys.argv[1]
port = int(sys.argv[2])
sys.argv = sys.argv[:1]

from keystone.server.wsgi import initialize_public_application
from werkzeug.serving import WSGIRequestHandler, make_server


class Quiet(WSGIRequestHandler):
    def log(self, *_):
        pass


# One request after the other: SQLite lets only one write.
server = make_server(
    "127.0.0.1", port, initialize_public_application(), request_handler=Quiet
)
print(server.server_port, flush=True)
server.serve_forever()
