"""Uploads a file to Darkroom and resumes when anything breaks, written from docs/upload-protocol.md alone.

Runs on Python's C-core gRPC with classes that protoc made from the .proto files:

    upload_client.py TARGET STUBS FILE NAME [--break-at BYTES ...] [--resume TASK_ID] [--chunk BYTES]

Prints JSON lines: what it created, where it resumed, what the watch told, how it ended.
"""

import argparse
import hashlib
import json
import os
import sys
import threading
import time

parser = argparse.ArgumentParser()
parser.add_argument("target")
parser.add_argument("stubs")
parser.add_argument("file")
parser.add_argument("name")
parser.add_argument("--break-at", type=int, nargs="*", default=[])
parser.add_argument("--resume")
parser.add_argument("--chunk", type=int, default=1024 * 1024)
parser.add_argument("--format", default="RAW")
options = parser.parse_args()
sys.path.insert(0, options.stubs)

import google  # noqa: E402

# protoc wrote google/rpc beside the google.protobuf of the system.
google.__path__.append(os.path.join(options.stubs, "google"))

import grpc  # noqa: E402
from darkroom.v1 import image_pb2, image_service_pb2, task_pb2, task_service_pb2  # noqa: E402
from google.rpc import error_details_pb2, status_pb2  # noqa: E402

IMAGES = "/darkroom.v1.ImageService/"
TASKS = "/darkroom.v1.TaskService/"
TERMINAL = (task_pb2.Task.STATE_SUCCEEDED, task_pb2.Task.STATE_FAILED, task_pb2.Task.STATE_CANCELLED)
FATAL = {"SIZE_SHORT", "SIZE_EXCEEDED", "DIGEST_MISMATCH", "STORED_BYTES_LOST", "TASK_TERMINAL", "TASK_EXPIRED"}


def say(**line):
    print(json.dumps(line), flush=True)


def reason_of(error):
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            status = status_pb2.Status.FromString(value)
            for detail in status.details:
                info = error_details_pb2.ErrorInfo()
                if detail.Unpack(info):
                    return info.reason
    return ""


class Breaks(Exception):
    pass


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, "rb") as source:
        while block := source.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def frames(task_id, epoch, offset, size, sha256, break_at):
    header = image_service_pb2.UploadImageRequest.Header(task_id=task_id)
    if epoch is not None:
        header.writer_epoch = epoch
    yield image_service_pb2.UploadImageRequest(header=header)
    with open(options.file, "rb") as source:
        source.seek(offset)
        while data := source.read(options.chunk):
            if break_at is not None and offset >= break_at:
                raise Breaks()
            yield image_service_pb2.UploadImageRequest(
                chunk=image_service_pb2.UploadImageRequest.Chunk(offset=offset, data=data)
            )
            offset += len(data)
    yield image_service_pb2.UploadImageRequest(
        finish=image_service_pb2.UploadImageRequest.Finish(total_size=size, sha256=sha256)
    )


def main():
    channel = grpc.insecure_channel(
        options.target,
        options=[
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1000),
        ],
    )

    def unary(path, answer):
        return channel.unary_unary(path, lambda m: m.SerializeToString(), answer.FromString)

    create = unary(IMAGES + "CreateImage", image_service_pb2.CreateImageResponse)
    resume = unary(IMAGES + "ResumeUpload", image_service_pb2.ResumeUploadResponse)
    upload = channel.stream_unary(
        IMAGES + "UploadImage",
        lambda m: m.SerializeToString(),
        image_service_pb2.UploadImageResponse.FromString,
    )
    watch = channel.unary_stream(
        TASKS + "WatchTask",
        lambda m: m.SerializeToString(),
        task_service_pb2.WatchTaskResponse.FromString,
    )

    size = os.path.getsize(options.file)
    sha256 = sha256_of(options.file)
    if options.resume:
        task_id = options.resume
        needs_resume = True
    else:
        request = image_service_pb2.CreateImageRequest(
            image=image_pb2.Image(
                name=options.name,
                disk_format=image_pb2.Image.DiskFormat.Value("DISK_FORMAT_" + options.format),
            ),
            upload=image_service_pb2.CreateImageRequest.Upload(total_size=size),
        )
        created = create(request, timeout=30)
        task_id = created.task.id
        needs_resume = False
        say(created=created.image.id, task=task_id)

    def follow():
        token = ""
        for _ in range(600):
            try:
                request = task_service_pb2.WatchTaskRequest(task_id=task_id, resume_token=token)
                for message in watch(request):
                    token = message.resume_token
                    kind = message.WhichOneof("content")
                    if kind == "update":
                        event = message.update.event
                        say(
                            event=task_pb2.TaskEvent.Kind.Name(event.kind),
                            state=task_pb2.Task.State.Name(event.state),
                            revision=event.revision,
                            reason=event.fault.reason,
                        )
                    elif kind == "snapshot":
                        say(snapshot=task_pb2.Task.State.Name(message.snapshot.state))
                return
            except grpc.RpcError:
                time.sleep(0.1)

    follower = threading.Thread(target=follow, daemon=True)
    follower.start()

    breaks = list(options.break_at)
    offset, epoch, wait = 0, None, 0.05
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        try:
            if needs_resume:
                resumed = resume(image_service_pb2.ResumeUploadRequest(task_id=task_id), timeout=30)
                offset, epoch = resumed.committed_size, resumed.writer_epoch
                say(resumed=offset, epoch=epoch)
            needs_resume = True
            answer = upload(frames(task_id, epoch, offset, size, sha256, breaks.pop(0) if breaks else None))
            say(committed=answer.committed_size, complete=answer.complete, sha256=answer.image.sha256)
            if answer.complete:
                follower.join(timeout=30)
                say(done=answer.image.id, follower_ended=not follower.is_alive())
                return 0
        except grpc.RpcError as error:
            reason = reason_of(error)
            say(broken=error.code().name, reason=reason)
            if reason in FATAL or reason == "WRITER_FENCED":
                return 1
            time.sleep(wait)
            wait = min(2.0, wait * 2)
    return 1


sys.exit(main())
