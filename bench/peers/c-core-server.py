"""What one writes in an hour in Python: UploadImage on gRPC's C core, a sha256 and a file. No database, no fsync, no checks, no
resume. Prints the port that it took.

c-core-server.py DESCRIPTORS FOLDER
"""

import hashlib
import os
import sys
from concurrent import futures

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

MIB = 1024 * 1024
SERVICE = 'darkroom.v1.ImageService'


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
    descriptors, folder = sys.argv[1:]
    message = message_classes(descriptors)
    request, response = message('UploadImageRequest'), message('UploadImageResponse')
    active = message('Image').DESCRIPTOR.enum_types_by_name['State'].values_by_name['STATE_ACTIVE'].number

    def upload_image(frames, _context):
        task_id = next(frames).header.task_id
        digest, size = hashlib.sha256(), 0
        with open(os.path.join(folder, task_id), 'wb') as file:
            for frame in frames:
                data = frame.chunk.data
                digest.update(data)
                size += file.write(data)
        answer = response(committed_size=size, complete=True)
        answer.image.state, answer.image.sha256 = active, digest.hexdigest()
        return answer

    handler = grpc.stream_unary_rpc_method_handler(
        upload_image, request_deserializer=request.FromString, response_serializer=response.SerializeToString
    )
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=16), options=[('grpc.max_receive_message_length', 8 * MIB)]
    )
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {'UploadImage': handler}),))
    print(server.add_insecure_port('127.0.0.1:0'), flush=True)
    server.start()
    server.wait_for_termination()


main()
