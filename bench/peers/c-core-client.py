"""What one writes in an hour in Python: an upload on gRPC's C core, of a file, with its sha256. No holes, no checks, no resume.
For each task's id that it reads it uploads the file, and prints how long that took in s and the sha256 of the image.

c-core-client.py DESCRIPTORS HOST:PORT FILE
"""

import hashlib
import os
import sys
import time

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

MIB = 1024 * 1024


def message_classes(path):
    """Answers a function that gives the class of a message by its name."""
    files = descriptor_pb2.FileDescriptorSet()
    with open(path, 'rb') as file:
        files.ParseFromString(file.read())
    pool = descriptor_pool.DescriptorPool()
    for one in files.file:
        pool.Add(one)
    # Debian 12 has no GetMessageClass yet, and newer ones have no GetPrototype.
    make = getattr(message_factory, 'GetMessageClass', None) or message_factory.MessageFactory(pool).GetPrototype
    return lambda name: make(pool.FindMessageTypeByName('darkroom.v1.' + name))


def main():
    descriptors, address, path = sys.argv[1:]
    message = message_classes(descriptors)
    request, response = message('UploadImageRequest'), message('UploadImageResponse')
    channel = grpc.insecure_channel(address)
    upload = channel.stream_unary(
        '/darkroom.v1.ImageService/UploadImage',
        request_serializer=request.SerializeToString,
        response_deserializer=response.FromString,
    )

    def frames(task_id):
        yield request(header=dict(task_id=task_id))
        digest, offset = hashlib.sha256(), 0
        with open(path, 'rb') as file:
            while data := file.read(MIB):
                digest.update(data)
                yield request(chunk=dict(offset=offset, data=data))
                offset += len(data)
        yield request(finish=dict(total_size=offset, sha256=digest.hexdigest()))

    for line in sys.stdin:
        began = time.monotonic()
        answer = upload(frames(line.strip()))
        if not answer.complete:
            sys.exit('the upload is not complete')
        print(time.monotonic() - began, answer.image.sha256, flush=True)


main()
