"""Lists images over Python's C-core gRPC with what DARKROOM_TEST_TOKEN has, and prints the code and the details of the answer.

    token_client.py TARGET
"""

import json
import os
import sys

import grpc

token = os.environ.get("DARKROOM_TEST_TOKEN")
metadata = [("authorization", "Bearer " + token)] if token else []
with grpc.insecure_channel(sys.argv[1]) as channel:
    # An empty message is one without any field set: no stubs are needed.
    call = channel.unary_unary("/darkroom.v1.ImageService/ListImages")
    try:
        call(b"", metadata=metadata, timeout=30)
        print(json.dumps({"code": "OK"}))
    except grpc.RpcError as error:
        print(json.dumps({"code": error.code().name, "message": error.details()}))
